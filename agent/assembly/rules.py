"""Settings as the engine's rules: nanoseconds, and tables that fit in the memory."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from agent.calls.counting_cy import CALL_BYTES, CallRules
from agent.config.settings import Capture, Config, Quality, TunnelSettings
from agent.engine.engine import Rules
from agent.errors import ConfigError
from agent.media.stream_score_cy import CodecFigures, QualityRules
from agent.model.units import HOUR_NS, SECOND_NS
from agent.wire.ip.encapsulations import Tunnel

# After so long without a frame or a clock reading it is not certain that capture ran. A file of one quiet
# trunk may be silent for long; a live source reports several times a second unless the host was suspended.
FILE_IDLE_NS = HOUR_NS
LIVE_IDLE_NS = 65 * SECOND_NS
# Resident memory, measured by tests/kit/flooding.py: the idle daemon with boto3, a call that a flood invented
# (with its messages and its part of a checkpoint), a stream of two packets.
BASE_BYTES, STREAM_BYTES = 64 << 20, 2 << 10
LEAST = 100  # calls, and streams: the least value of both settings
EVIDENCE_SHARE = 8  # packets from before a trigger may take an eighth of the memory
# At most: for the engine (capture_threads.ROOM), for the disk (writer.MAX_WAITING), for their answer
# (held_invites_cy).
WAITING_BYTES = (32 + 64 + 22) << 20


def rules(config: Config, *, live: bool = False, own: tuple[str, ...] = (), reads_tls: bool = False) -> Rules:
    """The configuration in the engine's units: nanoseconds.

    `own`: addresses of the host that captures. `reads_tls`: keys are there, so TLS hides no SIP.
    """
    calls = config.calls
    max_calls, max_streams = tables(config, live=live)
    return Rules(
        calls=CallRules(
            # A customer's host sees one leg of each call: that leg counts.
            count_at="either" if config.vc.observer == "customer" else calls.count_at,
            retry_window_ns=ns(calls.retry_window),
            join_window_ns=ns(calls.join_window),
            call_timeout_ns=ns(calls.call_timeout),
            hold_timeout_ns=ns(calls.hold_timeout),
            media_linger_ns=ns(config.media.linger),
            correlation_headers=calls.correlation_headers,
            call_id_suffixes=calls.call_id_suffixes,
            not_failures=calls.not_failures,
            throttle_patterns=calls.throttle_patterns,
            max_calls=max_calls,
        ),
        quality=_quality(config.quality),
        observer=config.vc.observer,
        count_unsignalled=config.media.unsignalled == "count",
        lateness_ns=ns(config.capture.lateness),
        single_span=config.capture.single_span,
        adaptive_buffer=config.quality.jitter_buffer == "adaptive",
        max_buffer_ms=config.quality.jitter_buffer_max_ms,
        max_streams=max_streams,
        sip_budget=config.limits.sip_budget if live else 0,
        # A file names no peers: without a configured tunnel its reader opens every one, and says so.
        tunnels=believed(config.capture) if live or config.capture.tunnels else None,
        sip_ports=() if reads_tls else tuple(config.capture.sip_ports),
        own=own,
        idle_ns=LIVE_IDLE_NS if live else FILE_IDLE_NS,
    )


def _quality(quality: Quality) -> QualityRules:
    depth = f"{quality.jitter_buffer_ms:g} ms"
    if quality.jitter_buffer == "adaptive":
        depth = f"to {quality.jitter_buffer_max_ms:g} ms"
    codecs = {name.upper(): CodecFigures(own.ie, own.bpl) for name, own in quality.codecs.items()}
    return QualityRules(
        quality.jitter_buffer_ms,
        quality.default_rtt_ms,
        quality.plc,
        f"{quality.jitter_buffer} {depth}",
        codecs,
    )


def believed(capture: Capture) -> tuple[Tunnel, ...]:
    """The configured tunnels. Raises ConfigError where one is malformed."""
    for fault in tunnel_faults(capture):
        raise ConfigError(f"capture.tunnels: {fault}")
    return tuple(_tunnel(setting) for setting in capture.tunnels)


def _tunnel(setting: TunnelSettings) -> Tunnel:
    return Tunnel(setting.kind, setting.peers, None if setting.vni < 0 else setting.vni, setting.port)


def tunnel_faults(capture: Capture) -> Iterator[str]:
    """Each tunnel that no packet can be of, or that takes the place of another."""
    owners: dict[int, str] = {}
    seen: set[Tunnel] = set()
    for setting in capture.tunnels:
        tunnel = _tunnel(setting)
        kind, row = tunnel.kind, tunnel.row
        for peer in tunnel.peers:
            try:
                ip_network(peer)
            except ValueError as error:
                yield f"{error}: write peers as 192.0.2.1 or 192.0.2.0/24"
        if tunnel.port and not row.ports:
            yield f"{kind} is no UDP and has no port: remove it"
        if row.over_tcp and not tunnel.peers:  # whole messages, made up at no cost
            yield f"{kind} needs peers: name who sends it"
        if tunnel.vni is not None and not row.identifier:
            yield f"{kind} has no identifier: remove vni"
        elif tunnel.vni is not None and tunnel.vni >> row.bits:
            yield f"vni {tunnel.vni} can be in no {kind}: {row.identifier} has {row.bits} bits"
        for port in tunnel.ports if row.ports else ():
            if owners.setdefault(port, kind) != kind:
                yield f"{kind} has port {port} of {owners[port]}: a port carries one kind"
        if tunnel in seen:
            yield f"{tunnel} stands there twice: once will do"
        seen.add(tunnel)


def tables(config: Config, *, live: bool = False) -> tuple[int, int]:
    """The greatest numbers of calls and streams: as configured, or as many as fit in the memory."""
    limits = config.limits
    half = max(0, (limits.max_memory_mb << 20) - taken(config, live=live)) // 2
    return (
        max(LEAST, min(limits.max_calls, half // CALL_BYTES)),
        max(LEAST, min(limits.max_streams, half // STREAM_BYTES)),
    )


def taken(config: Config, *, live: bool = False) -> int:
    """Bytes of memory that calls and streams cannot have. Live, the rings are most of it."""
    return (
        BASE_BYTES + (WAITING_BYTES + (config.capture.ring_mb << 20) if live else 0) + evidence_bytes(config)
    )


def evidence_bytes(config: Config) -> int:
    """Bytes of memory for headers from before a trigger; SIP of calls under way has 16 MB at most beside."""
    evidence = config.evidence
    most = (config.limits.max_memory_mb << 20) // EVIDENCE_SHARE
    return min(evidence.before_mb << 20, most) if evidence.enabled and evidence.before_seconds else 0


def ns(seconds: float) -> int:
    return round(seconds * 1e9)
