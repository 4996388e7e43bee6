"""`sbcwatch web`: the store as pages, from a process of its own that only reads."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from agent.config.load import load
from agent.config.settings import Config
from agent.errors import ConfigError, SinkError
from agent.store.reader import StoreReader
from agent.summary.redaction import Redaction
from agent.web.access import Access, access

MAX_CONNECTIONS = 64
STOP_S = 3  # for requests under way


def web_command(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises: ConfigError; SinkError where the address is taken."""
    config = load(options.config)
    granted = access_of(config, options.listen)
    directory = options.store or config.store.directory
    reader = StoreReader(Path(directory, "sbcwatch.sqlite"))
    redaction = Redaction("redacted", config.privacy.redact_headers)
    if config.privacy.sip_log == "headers":
        redaction = Redaction("headers", config.privacy.redact_headers)
    serve(reader, granted, redaction)
    return 0


def access_of(config: Config, listen: str | None) -> Access:
    """Who may read, by settings and option. Raises: ConfigError."""
    web = config.web
    return access(
        listen or web.listen, web.token_file, web.tls_certificate, web.tls_key, web.proxies, web.public_url
    )


def serve(reader: StoreReader, granted: Access, redaction: Redaction) -> None:
    """Serve the pages of a store. Raises: ConfigError (packages are missing), SinkError."""
    try:
        import uvicorn

        from agent.web.app import Site
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the pages need the package {error.name}: install the extra [web], or requirements/runtime.txt"
        ) from None
    import socket

    site = Site(reader, granted, redaction)
    family = socket.AF_INET6 if ":" in granted.address else socket.AF_INET
    try:
        listener = socket.create_server((granted.address, granted.port), family=family, backlog=128)
    except OSError as error:
        raise SinkError(
            f"cannot listen on {granted.address} port {granted.port}: {error.strerror}: set [web] listen"
        ) from None
    # Connections inherit it: without, the body waits 40 ms for the head to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    granted.port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            site.app(),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is who connects: a header is anybody's to write
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=STOP_S,
            ssl_certfile=granted.certificate or None,
            ssl_keyfile=granted.key or None,
        )
    )
    print(f"sbcwatch: pages at {granted.url} (Ctrl-C ends)", flush=True)
    gc.freeze()
    try:
        server.run([listener])
    finally:
        site.close()
