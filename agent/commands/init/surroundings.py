"""The host as `sbcwatch init` sees it: interfaces, addresses, SIP listeners, a few seconds of traffic.

Everything is read below a root folder that a test can lay out; nothing here writes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from agent.capture.source import Source
from agent.commands.init.imds import Instance
from agent.config.settings import Capture, Config, TunnelSettings
from agent.daemon import host
from agent.errors import CaptureError, ConfigError, WireError
from agent.wire.hep import MAGIC
from agent.wire.ip.decoder_cy import KIND_UDP, Decoder, packet, read
from agent.wire.ip.encapsulations import KINDS, TUNNELS
from agent.wire.ip.packet_cy import Packet
from agent.wire.sip import looks_like_sip

USUAL_PORTS = range(5060, 5100)
# Programs whose listening ports are SIP, whatever their number.
SBC_PROGRAMS = ("kamailio", "opensips", "asterisk", "freeswitch", "rtpengine", "sems", "yate", "drachtio")
ENOUGH = 50_000  # frames; a busy SBC's few seconds are millions
MAX_HEARD = 1_000  # peers, and senders of tunnels
EVERYBODY = ("0.0.0.0/0", "::/0")
_RTP_FIRST = {bytes((first,)) for first in range(0x80, 0xC0)}


@dataclass(slots=True)
class Listener:
    port: int
    protocol: str
    program: str


@dataclass(slots=True)
class Traffic:
    """The traffic heard: SIP messages by peer, our ports of SIP and of RTP, packets by tunnel.

    A tunnel, as which HEP counts, is its kind, the outer source and the port (0: it has none).
    """

    seconds: float = 0.0
    peers: Counter[str] = field(default_factory=Counter)
    sip_ports: Counter[int] = field(default_factory=Counter)
    rtp_ports: Counter[int] = field(default_factory=Counter)
    tunnels: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    why_not: str = ""


@dataclass(slots=True)
class Findings:
    """All that `init` knows of the host."""

    interfaces: list[tuple[str, str]]  # name, state
    addresses: list[str]
    listeners: list[Listener]
    traffic: Traffic
    instance: Instance | None


def look(
    root: Path, seconds: float, listen: Callable[[Config], Source], instance: Instance | None
) -> Findings:
    proc = root / "proc"
    addresses = [a for a in host.addresses(proc / "net") if not _is_inner(a)]
    found = listeners(proc)
    return Findings(
        interfaces=interfaces(root / "sys/class/net"),
        addresses=addresses,
        listeners=found,
        traffic=hear(seconds, listen, addresses, [one.port for one in found]),
        instance=instance,
    )


def _is_inner(address: str) -> bool:
    parsed = ip_address(address)
    return parsed.is_loopback or parsed.is_link_local


def interfaces(folder: Path) -> list[tuple[str, str]]:
    """(name, state) of each interface."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append((path.name, (path / "operstate").read_text().strip()))
        except OSError:
            continue  # removed meanwhile, or `bonding_masters`, which is no interface
    return found


def listeners(proc: Path) -> list[Listener]:
    """SIP ports in use: a usual number, or any port of an SBC's program."""
    found: dict[tuple[int, str], Listener] = {}
    programs: dict[str, str] | None = None
    for protocol, listening in (("udp", "07"), ("udp6", "07"), ("tcp", "0A"), ("tcp6", "0A")):
        try:
            lines = (proc / "net" / protocol).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) < 10 or words[3] != listening:
                continue
            port = int(words[1].rpartition(":")[2], 16)
            if programs is None:
                programs = _programs(proc)
            program = programs.get(words[9], "")
            key = (port, protocol.rstrip("6"))
            usual = port in USUAL_PORTS
            if usual or (program and program != "rtpengine" and protocol.startswith("udp") and port < 10000):
                found.setdefault(key, Listener(port, key[1], program))
    return sorted(found.values(), key=lambda one: (one.port, one.protocol))


def _programs(proc: Path) -> dict[str, str]:
    """Socket inode to program, for the SBC programs; processes that we may not read are skipped."""
    found = {}
    for process in proc.glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            if not name.startswith(SBC_PROGRAMS):
                continue
            for descriptor in (process / "fd").iterdir():
                inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
                if inode:
                    found[inode[1]] = name
        except OSError:
            continue
    return found


def hear(
    seconds: float, listen: Callable[[Config], Source], addresses: Iterable[str], ports: list[int]
) -> Traffic:
    """A few seconds of traffic, if that is allowed."""
    traffic = Traffic(seconds)
    if seconds <= 0:
        traffic.why_not = "not asked to"
        return traffic
    settings = Capture(
        sip_ports=tuple(sorted({5060, 5061, 5080, *ports})),
        tunnels=tuple(TunnelSettings(kind=cast(Any, kind), peers=EVERYBODY) for kind in TUNNELS),
        ring_mb=8,
    )
    try:
        source = listen(Config(capture=settings))
    except (CaptureError, ConfigError) as error:
        traffic.why_not = str(error)
        return traffic
    try:
        _hear(source, traffic, frozenset(addresses))
    except CaptureError as error:
        traffic.why_not = str(error)
    finally:
        source.close()
    return traffic


def _hear(source: Source, traffic: Traffic, ours: frozenset[str]) -> None:
    begun_ns = frames = 0
    shut = Decoder(())  # that opens no tunnel: it reads the outer header
    for batch, now_ns in source:
        begun_ns = begun_ns or now_ns
        for frame in batch.frames():
            with contextlib.suppress(WireError):
                one = packet(frame.data, 0, len(frame.data), frame.stamp_ns, frame.origin)
                if one.tunnel or one.payload.startswith(MAGIC):
                    shut.attach(frame.data)
                    outer = read(shut, 0, len(frame.data), frame.stamp_ns, frame.origin)
                    _count_tunnel(KINDS[one.tunnel] or "hep", outer, traffic)
                else:
                    _count(one, traffic, ours)
        frames += len(batch)
        if now_ns - begun_ns >= traffic.seconds * 1e9 or frames >= ENOUGH:
            return


def _count_tunnel(kind: str, outer: Packet, traffic: Traffic) -> None:
    tunnel = (kind, outer.src, outer.dst_port if TUNNELS[kind].ports else 0)
    if len(traffic.tunnels) < MAX_HEARD or tunnel in traffic.tunnels:
        traffic.tunnels[tunnel] += 1


def _count(one: Packet, traffic: Traffic, ours: frozenset[str]) -> None:
    inwards = one.dst in ours
    if inwards == (one.src in ours):
        return  # between ourselves, or between others
    peer, port = (one.src, one.dst_port) if inwards else (one.dst, one.src_port)
    if looks_like_sip(one.payload):
        traffic.sip_ports[port] += 1
        if len(traffic.peers) < MAX_HEARD or peer in traffic.peers:
            traffic.peers[peer] += 1
    elif inwards and one.kind == KIND_UDP and one.length > 12 and one.payload[:1] in _RTP_FIRST:
        traffic.rtp_ports[port] += 1
