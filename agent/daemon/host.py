"""What this host is: its addresses, its name, its key, and how to listen on its NICs."""

from __future__ import annotations

import os
import re
import secrets
import socket
from pathlib import Path

from agent.capture.source import Source
from agent.config.settings import Capture, Config, media_ports
from agent.errors import CaptureError, ConfigError
from agent.pipeline import believed

KEY_BYTES = 32
_MEMORY_PAGE = 4096


def addresses(proc: Path = Path("/proc/net")) -> list[str]:
    """Every address of this host's network namespace, loopback too. Empty where /proc does not say."""
    found: dict[str, None] = {}
    try:
        trie = (proc / "fib_trie").read_text()
    except OSError:
        trie = ""
    for address in re.findall(r"\|-- ([\d.]+)\n\s+/32 host LOCAL", trie):
        found[address] = None
    try:
        lines = (proc / "if_inet6").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))] = None
    return list(found)


def key(directory: Path) -> bytes:
    """This host's key for endpoint ids, made at the first start. Raises ConfigError."""
    path = directory / "endpoint.key"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return path.read_bytes()
        made = secrets.token_bytes(KEY_BYTES)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
        return made
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path}: {error.strerror}: "
            "set [store] directory to a folder that can be written"
        ) from None


def listen(config: Config) -> Source:
    """Live frames by the configured method, of one ring. Raises CaptureError, ConfigError."""
    return rings(config, threads=1)[0]


def rings(config: Config, threads: int | None = None) -> list[Source]:
    """Live frames by the configured method, a source a capture thread. Raises CaptureError, ConfigError."""
    capture = config.capture
    interfaces = list(capture.interfaces) or ["any"]
    method = capture.method
    if method == "auto":
        method = "afpacket" if hasattr(socket, "AF_PACKET") else "scapy"
    if method == "scapy":
        from agent.capture.live.scapy_source import ScapySource

        return [ScapySource(interfaces, expression(config), capture.snap_length)]
    if not hasattr(socket, "AF_PACKET"):
        raise CaptureError('this system has no AF_PACKET: set [capture] method = "scapy"')
    from agent.capture.live.afpacket import fanned_out

    return list(
        fanned_out(
            threads or capture.threads,
            interfaces,
            filter=program(capture, media_ports(config)),
            snap_length=capture.snap_length,
            ring_mb=capture.ring_mb,
            block_timeout_ms=capture.block_timeout_ms,
            promiscuous=capture.promiscuous,
        )
    )


def program(capture: Capture, ports: tuple[int, int] | None) -> list[tuple[int, int, int, int]]:
    """The kernel's filter: the user's own expression, or SIP ports and media ports."""
    from agent.capture.live import kernel_filter

    if capture.filter:
        return kernel_filter.compile_expression(capture.filter, capture.snap_length)
    try:
        return kernel_filter.voice(
            sip_ports=capture.sip_ports,
            media_ports=ports,
            tunnels=believed(capture),
            snap_length=capture.snap_length,
        )
    except ValueError as error:
        raise ConfigError(f"capture.sip_ports: {error}: name fewer ports, or fewer tunnels") from None


def expression(config: Config) -> str:
    """The same filter as a libpcap expression, for scapy."""
    if config.capture.filter:
        return config.capture.filter
    from agent.capture.live import kernel_filter

    return kernel_filter.expression(
        sip_ports=config.capture.sip_ports,
        media_ports=media_ports(config),
        tunnels=believed(config.capture),
    )


def resident_bytes() -> int:
    """Resident memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _MEMORY_PAGE
    except (OSError, IndexError, ValueError):
        return 0
