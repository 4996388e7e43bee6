"""`sbcwatch web`: the store as pages, from a process of its own that only reads."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from agent.config.load import load
from agent.config.settings import Config
from agent.errors import ConfigError, how_to_add
from agent.evidence.files import packets_of
from agent.summary.redaction import Redaction
from agent.web.access import Access, access


def web_command(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises: ConfigError; SinkError where the address is taken."""
    config = load(options.config)
    granted = access_of(config, options.listen)
    directory = options.store or config.store.directory
    redaction = Redaction("redacted", config.privacy.redact_headers)
    if config.privacy.sip_log == "headers":
        redaction = Redaction("headers", config.privacy.redact_headers)
    serve(Path(directory, "sbcwatch.sqlite"), granted, redaction)
    return 0


def access_of(config: Config, listen: str | None) -> Access:
    """The permitted readers, by settings and option. Raises: ConfigError."""
    web = config.web
    return access(
        listen or web.listen, web.token_file, web.tls_certificate, web.tls_key, web.proxies, web.public_url
    )


def serve(path: Path, granted: Access, redaction: Redaction) -> None:
    """Serve the pages of a store. Raises: ConfigError (no store, missing packages), SinkError."""
    try:
        from agent.web.app import Site
        from agent.web.listening import server_of
    except ModuleNotFoundError as error:
        missing = f"the pages need the package {error.name}"
        raise ConfigError(f"{missing}: {how_to_add('starlette uvicorn')}") from None
    site = Site(path, granted, redaction, lambda call_ids: packets_of(path.parent, call_ids))
    try:
        server, listener = server_of(site, granted)
        print(f"sbcwatch: pages at {granted.url} (Ctrl-C ends)", flush=True)
        gc.freeze()
        server.run([listener])
    finally:
        site.close()
