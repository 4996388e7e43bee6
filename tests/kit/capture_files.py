"""Capture files written by hand, so that what a test expects comes from no reader."""

from __future__ import annotations

import struct
from dataclasses import dataclass

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Packet:
    stamp_ns: int
    data: bytes
    wire: int = 0
    interface: int = 0

    @property
    def wire_length(self) -> int:
        return self.wire or len(self.data)


def pcap(
    packets: list[Packet], order: str = "<", nanoseconds: bool = True, link: int = 1, modified: bool = False
) -> bytes:
    magic = 0xA1B2CD34 if modified else 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for packet in packets:
        seconds, rest = divmod(packet.stamp_ns, SECOND)
        if not nanoseconds or modified:
            rest //= 1000
        out.append(struct.pack(order + "IIII", seconds, rest, len(packet.data), packet.wire_length))
        if modified:
            out.append(struct.pack(order + "IHBB", packet.interface, 0x800, 4, 0))
        out.append(packet.data)
    return b"".join(out)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", link: int = 1, snap: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def enhanced(packet: Packet, order: str = "<", units: int | None = None, options: bytes = b"") -> bytes:
    """An EPB; `units` is the raw stamp (microseconds since the epoch unless given)."""
    raw = packet.stamp_ns // 1000 if units is None else units
    return block(
        6,
        struct.pack(
            order + "IIIII",
            packet.interface,
            raw >> 32,
            raw & 0xFFFFFFFF,
            len(packet.data),
            packet.wire_length,
        )
        + packet.data
        + bytes(-len(packet.data) % 4)
        + options,
        order,
    )


def statistics(stamp_ns: int, dropped: int, number: int = 0, order: str = "<") -> bytes:
    raw = stamp_ns // 1000
    return block(
        5,
        struct.pack(order + "III", number, raw >> 32, raw & 0xFFFFFFFF)
        + option(5, struct.pack(order + "Q", dropped), order)
        + option(0, b"", order),
        order,
    )


def steady(count: int, size: int = 60, start_ns: int = START_NS, gap_ns: int = 20_000_000) -> list[Packet]:
    return [
        Packet(start_ns + number * gap_ns, number.to_bytes(4, "big") * (size // 4)) for number in range(count)
    ]
