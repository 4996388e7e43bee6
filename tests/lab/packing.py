"""Recorded captures, made small: RTP cut behind its header, every container a reader must know.

SIP, RTCP, ARP and all else stay whole. A cut frame keeps its original length: no count of octets changes.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .processes import LabError

Container = Literal["pcap-us", "pcap-ns", "pcapng", "pcap-us.gz", "pcap-ns.gz", "pcapng.gz"]

ETHERNET, SLL, SLL2 = 1, 113, 276
_LINK_HEADER = {ETHERNET: 14, SLL: 16, SLL2: 20}
_PROTOCOL_AT = {ETHERNET: 12, SLL: 14, SLL2: 0}
_US, _NS = 0xA1B2C3D4, 0xA1B23C4D
_RTP_HEADER = 12
_KEPT_PAYLOAD = 4  # a whole RFC 4733 event


@dataclass(frozen=True)
class Frame:
    """Link-layer bytes as captured, their length on the wire, and when (nanoseconds since the epoch)."""

    at_ns: int
    data: bytes
    length: int


@dataclass(frozen=True)
class Udp:
    """Where a frame's UDP payload starts, and both ends as (address bytes, port)."""

    payload_at: int
    source: tuple[bytes, int]
    target: tuple[bytes, int]


def read(path: Path) -> tuple[int, Iterator[Frame]]:
    """The link type and frames of a little-endian classic pcap: what tcpdump writes on the lab's machines.

    Raises:
        LabError: another format.
    """
    data = path.read_bytes()
    if len(data) < 24:
        raise LabError(f"{path}: no pcap header")
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    if magic not in (_US, _NS):
        raise LabError(f"{path}: magic {magic:#x}")
    unit = 1000 if magic == _US else 1

    def frames() -> Iterator[Frame]:
        offset = 24
        while offset + 16 <= len(data):
            seconds, fraction, captured, length = struct.unpack_from("<IIII", data, offset)
            body = data[offset + 16 : offset + 16 + captured]
            yield Frame(seconds * 1_000_000_000 + fraction * unit, body, length)
            offset += 16 + captured

    return link, frames()


def udp(data: bytes, link: int) -> Udp | None:
    """The UDP packet in a frame, if it is one. No VLAN, fragment or IPv6 extension occurs in the lab."""
    start = _LINK_HEADER[link]
    at = _PROTOCOL_AT[link]
    protocol = data[at : at + 2]
    if protocol == b"\x08\x00" and len(data) > start + 20 and data[start + 9] == 17:
        address, header = 4, (data[start] & 15) * 4
        source = start + 12
    elif protocol == b"\x86\xdd" and len(data) > start + 40 and data[start + 6] == 17:
        address, header = 16, 40
        source = start + 8
    else:
        return None
    ports = start + header
    if len(data) < ports + 8:
        return None
    source_port, target_port = struct.unpack_from("!HH", data, ports)
    return Udp(
        ports + 8,
        (data[source : source + address], source_port),
        (data[source + address : source + 2 * address], target_port),
    )


def kept_octets(data: bytes, link: int) -> int:
    """How much of a frame is worth keeping: of RTP, its headers and four octets of payload."""
    packet = udp(data, link)
    if packet is None:
        return len(data)
    payload = data[packet.payload_at :]
    if len(payload) < _RTP_HEADER or payload[0] >> 6 != 2 or 192 <= payload[1] <= 223:
        return len(data)
    return min(len(data), packet.payload_at + _RTP_HEADER + 4 * (payload[0] & 15) + _KEPT_PAYLOAD)


def shortened(frames: Iterable[Frame], link: int) -> list[Frame]:
    return [Frame(each.at_ns, each.data[: kept_octets(each.data, link)], each.length) for each in frames]


def tagged(frames: Iterable[Frame], vlan: int) -> list[Frame]:
    """Ethernet frames as a trunk carries them: an 802.1Q tag behind the addresses."""
    tag = struct.pack("!HH", 0x8100, vlan)
    return [Frame(each.at_ns, each.data[:12] + tag + each.data[12:], each.length + 4) for each in frames]


def write(path: Path, link: int, frames: Iterable[Frame], container: Container) -> None:
    """Write a capture file; a container that ends in `.gz` is compressed, without name or date in it."""
    kind, _, compressed = container.partition(".")
    body = _pcapng(link, frames) if kind == "pcapng" else _pcap(link, frames, kind == "pcap-ns")
    path.write_bytes(gzip.compress(body, 9, mtime=0) if compressed else body)


def extension(container: Container) -> str:
    kind, dot, compressed = container.partition(".")
    return kind.partition("-")[0] + dot + compressed


def _pcap(link: int, frames: Iterable[Frame], nanoseconds: bool) -> bytes:
    out = bytearray(struct.pack("<IHHiIII", _NS if nanoseconds else _US, 2, 4, 0, 0, 262144, link))
    for each in frames:
        seconds, fraction = divmod(each.at_ns, 1_000_000_000)
        out += struct.pack(
            "<IIII", seconds, fraction if nanoseconds else fraction // 1000, len(each.data), each.length
        )
        out += each.data
    return bytes(out)


def _pcapng(link: int, frames: Iterable[Frame]) -> bytes:
    """Section, one interface in nanoseconds, packets, and statistics that say nothing was dropped."""
    out = bytearray(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
    resolution = _option(9, b"\x09") + _option(0, b"")
    out += _block(1, struct.pack("<HHI", link, 0, 262144) + resolution)
    received, last = 0, 0
    for each in frames:
        received, last = received + 1, each.at_ns
        head = struct.pack("<IIIII", 0, last >> 32, last & 0xFFFFFFFF, len(each.data), each.length)
        out += _block(6, head + each.data)
    counts = _option(4, struct.pack("<Q", received)) + _option(5, struct.pack("<Q", 0)) + _option(0, b"")
    out += _block(5, struct.pack("<III", 0, last >> 32, last & 0xFFFFFFFF) + counts)
    return bytes(out)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
