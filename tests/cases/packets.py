"""Packets and capture files by hand: addresses are text, times integer nanoseconds."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.kit.packets import GRE, IPV4, ethernet, fragments, ip, ip_type, udp

Stamped = tuple[int, bytes]  # (ns, frame)
Tunnel = Callable[[bytes], bytes]  # IP packet in, IP packet out
SECOND = 1_000_000_000
BRIDGED = 0x6558  # the EtherType of a frame in a tunnel
TUNNEL = ("203.0.113.1", "203.0.113.2")  # the ends of every tunnel


# -- tunnels: each takes an IP packet and gives the outer one


def between(payload: bytes, port: int, ident: int = 1) -> bytes:
    """Over UDP between the tunnel's ends."""
    return udp((TUNNEL[0], 50_000), (TUNNEL[1], port), payload, ident)


def gre(packet: bytes, kind: int, flags: int = 0, fields: bytes = b"") -> bytes:
    return ip(*TUNNEL, GRE, struct.pack(">HH", flags, kind) + fields + packet)


def ppp_type(packet: bytes) -> bytes:
    return b"\x00\x57" if packet[0] >> 4 == 6 else b"\x00\x21"


def vxlan(packet: bytes) -> bytes:
    """RFC 7348."""
    return between(b"\x08\0\0\0\0\0\x07\0" + ethernet(packet), 4789)


def geneve_with_options(packet: bytes) -> bytes:
    """RFC 8926: one option of 8 bytes."""
    option = struct.pack(">HBB", 0x0102, 0x80, 1) + b"abcd"
    return between(struct.pack(">BBHI", 2, 0, BRIDGED, 7 << 8) + option + ethernet(packet), 6081)


def geneve_of_ip(packet: bytes) -> bytes:
    """RFC 8926: the protocol is IP itself."""
    return between(struct.pack(">BBHI", 0, 0, ip_type(packet), 7 << 8) + packet, 6081)


def gtpu_with_extension(packet: bytes) -> bytes:
    """3GPP TS 29.281: sequence number, and a PDU session container as 5G puts it."""
    inner = struct.pack(">HBB", 1, 0, 0x85) + b"\x01\x00\x09\x00" + packet
    return between(struct.pack(">BBHI", 0x36, 255, len(inner), 1) + inner, 2152)


def erspan3_with_platform(packet: bytes) -> bytes:
    """ERSPAN type III: sequenced GRE, and the O bit with its 8 bytes."""
    head = struct.pack(">HHIHH", 0x2064, 1, 99, 0, 0x0001)
    return gre(head + bytes(8) + ethernet(packet), 0x22EB, 0x1000, struct.pack(">I", 5))


def l2tp_with_all_fields(packet: bytes) -> bytes:
    """RFC 2661 3.1: length, sequence numbers and an offset of 4."""
    inner = b"\xff\x03" + ppp_type(packet) + packet
    flags = 0x4000 | 0x0800 | 0x0200 | 2
    body = struct.pack(">HHHHH", 1, 2, 3, 4, 4) + bytes(4) + inner
    return between(struct.pack(">HH", flags, 4 + len(body)) + body, 1701)


def pptp_with_acknowledgement(packet: bytes) -> bytes:
    """RFC 2637 4.1: key, sequence and acknowledgement; the PPP address field left out."""
    inner = ppp_type(packet) + packet
    fields = struct.pack(">HHII", len(inner), 9, 1, 1)
    return ip(*TUNNEL, GRE, struct.pack(">HH", 0x3081, 0x880B) + fields + inner)


def gre_with_all_fields(packet: bytes) -> bytes:
    """RFC 2784 and 2890: checksum, key and sequence number."""
    return gre(packet, ip_type(packet), 0xB000, struct.pack(">HHII", 0, 0, 7, 1))


def vxlan_in_gre(packet: bytes) -> bytes:
    return gre(vxlan(packet), IPV4)


def three_deep(packet: bytes) -> bytes:
    return vxlan(gre(vxlan(packet), IPV4))


TUNNELS: tuple[Tunnel, ...] = (
    vxlan,
    geneve_with_options,
    geneve_of_ip,
    gtpu_with_extension,
    erspan3_with_platform,
    l2tp_with_all_fields,
    pptp_with_acknowledgement,
    gre_with_all_fields,
    vxlan_in_gre,
    three_deep,
)


def fragmented(tunnel: Tunnel) -> Callable[[bytes, int], list[bytes]]:
    """The outer packets of a tunnel in fragments."""

    def send(packet: bytes, ident: int) -> list[bytes]:
        outer = tunnel(packet)
        return fragments(*TUNNEL, outer[9], outer[20:], ident, 400)

    return send


# -- copies


def copied(frames: list[Stamped], after_us: int, *, ident: int | None = None) -> list[Stamped]:
    """Each frame twice; `ident` is the second one's IP identification, default: the same."""
    out = list(frames)
    for stamp, data in frames:
        if ident is not None:
            data = data[:18] + struct.pack(">H", struct.unpack(">H", data[18:20])[0] + ident) + data[20:]
        out.append((stamp + after_us * 1000, data))
    return out


def anonymous(frames: list[Stamped]) -> list[Stamped]:
    """IP identification 0."""
    return [(stamp, data[:18] + b"\0\0" + data[20:]) for stamp, data in frames]


# -- files


def write(path: Path, frames: Iterable[Stamped], *, snap: int = 262_144, in_order: bool = True) -> Path:
    """A pcap in nanoseconds; `in_order` sorts by time, frames of the same time stay as they are."""
    rows = sorted(frames, key=lambda row: row[0]) if in_order else list(frames)
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snap, 1)]
    for stamp, data in rows:
        kept = data[:snap]
        out.append(struct.pack("<IIII", *divmod(stamp, SECOND), len(kept), len(data)) + kept)
    path.write_bytes(b"".join(out))
    return path


def write_without_stamps(path: Path, frames: Iterable[Stamped]) -> Path:
    """A pcapng of Simple Packet Blocks, which have no time."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    blocks = [
        block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(1, struct.pack("<HHI", 1, 0, 0)),
    ]
    blocks += [block(3, struct.pack("<I", len(data)) + data) for _, data in frames]
    path.write_bytes(b"".join(blocks))
    return path
