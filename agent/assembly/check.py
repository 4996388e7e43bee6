"""A configuration with which a daemon may start or go on: each file, and what lies beyond the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.assembly import sources
from agent.assembly.rules import believed, taken
from agent.config.load import load
from agent.config.settings import Config, media_ports
from agent.errors import ConfigError
from agent.provision.cost import check_bound

FOR_CALLS_MB = 16  # and streams: some 900 calls


def usable(path: str | None, warn: Callable[[str], None]) -> Config:
    """The configuration in `path`, with which a daemon may start or go on.

    Raises ConfigError with every problem found.
    """
    config = load(path, warn=warn, further=_beyond_the_file)
    check_bound(config)
    return config


def _beyond_the_file(config: Config) -> Iterator[tuple[str, str, str]]:
    """Whether the kernel's filter can be made (a wrong expression, too many ports), and calls have memory."""
    least_mb = (taken(config, live=True) >> 20) + FOR_CALLS_MB
    if config.limits.max_memory_mb < least_mb:
        rings = f"rings of {config.capture.ring_mb} MB"
        yield "limits", "max_memory_mb", f"leaves none for calls: at least {least_mb} with {rings}"
    key = "filter" if config.capture.filter else "sip_ports"
    try:
        believed(config.capture)
    except ConfigError as error:
        yield "capture", "tunnels", str(error).removeprefix("capture.tunnels: ")
        return
    try:
        sources.program(config.capture, media_ports(config))
    except ConfigError as error:
        yield "capture", key, str(error).removeprefix(f"capture.{key}: ")
