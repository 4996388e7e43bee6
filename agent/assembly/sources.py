"""Live sources, a row for each method, with the kernel's filter."""

from __future__ import annotations

import socket
from collections.abc import Callable

from agent.assembly.rules import believed
from agent.capture.source import Source
from agent.config.settings import Config, media_ports
from agent.errors import CaptureError, ConfigError


def listen(config: Config) -> Source:
    """Live frames by the configured method, of one ring. Raises CaptureError, ConfigError."""
    return rings(config, threads=1)[0]


def rings(config: Config, threads: int | None = None) -> list[Source]:
    """Live frames by the configured method, a source a capture thread. Raises CaptureError, ConfigError."""
    return _SOURCES[config.capture.method](config, threads or config.capture.threads)


def _scapy(config: Config, threads: int) -> list[Source]:
    from agent.capture.live.scapy_source import ScapySource

    return [ScapySource(_interfaces(config), expression(config), config.capture.snap_length)]


def _afpacket(config: Config, threads: int) -> list[Source]:
    if not hasattr(socket, "AF_PACKET"):
        raise CaptureError('this system has no AF_PACKET: set [capture] method = "scapy"')
    from agent.capture.live.afpacket import fanned_out

    capture = config.capture
    return list(
        fanned_out(
            threads,
            _interfaces(config),
            filter=program(config),
            snap_length=capture.snap_length,
            ring_mb=capture.ring_mb,
            block_timeout_ms=capture.block_timeout_ms,
            promiscuous=capture.promiscuous,
        )
    )


def _auto(config: Config, threads: int) -> list[Source]:
    return (_afpacket if hasattr(socket, "AF_PACKET") else _scapy)(config, threads)


# By the method of [capture].
_SOURCES: dict[str, Callable[[Config, int], list[Source]]] = {
    "auto": _auto,
    "afpacket": _afpacket,
    "scapy": _scapy,
}


def _interfaces(config: Config) -> list[str]:
    return list(config.capture.interfaces) or ["any"]


def program(config: Config) -> list[tuple[int, int, int, int]]:
    """The kernel's filter: the user's own expression, or SIP ports and media ports."""
    from agent.capture.live import kernel_filter

    capture = config.capture
    if capture.filter:
        return kernel_filter.compile_expression(capture.filter, capture.snap_length)
    try:
        return kernel_filter.voice(
            sip_ports=capture.sip_ports,
            media_ports=media_ports(config),
            tunnels=believed(capture),
            snap_length=capture.snap_length,
            rtp_bytes=kernel_filter.WHOLE if keeps_payload(config) else kernel_filter.RTP_BYTES,
        )
    except ValueError as error:
        raise ConfigError(f"capture.sip_ports: {error}: name fewer ports, or fewer tunnels") from None


def keeps_payload(config: Config) -> bool:
    """Whether evidence may hold payload: then RTP frames are taken whole."""
    return config.evidence.enabled and config.evidence.payload


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
