"""IP, UDP, TCP and Ethernet by hand: addresses are text; checksums are 0, as where a NIC offloads them."""

from __future__ import annotations

import struct
from functools import cache
from ipaddress import ip_address

Socket = tuple[str, int]
TCP, UDP, GRE, SCTP = 6, 17, 47, 132
IPV4, IPV6 = 0x0800, 0x86DD  # EtherTypes
FRAGMENT = 44  # the IPv6 extension header
MACS = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"  # destination, source


@cache
def packed(address: str) -> bytes:
    return ip_address(address).packed


def is_ipv6(address: str) -> bool:
    return ":" in address


def datagram(source: int, destination: int, payload: bytes) -> bytes:
    """A UDP datagram, without its IP header."""
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(src: Socket, dst: Socket, number: int, payload: bytes, flags: int = 0x18) -> bytes:
    """A segment, without its IP header."""
    return struct.pack(">HHIIBBHHH", src[1], dst[1], number, 1, 0x50, flags, 65535, 0, 0) + payload


def ip(
    src: str,
    dst: str,
    protocol: int,
    payload: bytes,
    ident: int = 0,
    fragment: int = 0,
    *,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    """A packet. `fragment`: the flags and offset field of IPv4, in IPv6 a Fragment header's.

    `options`: of IPv4, in words of 4 bytes; `total`: an IPv4 length other than the true one.
    """
    ends = packed(src) + packed(dst)
    if is_ipv6(src):
        if fragment:
            offset, more = (fragment & 0x1FFF) << 3, fragment >> 13 & 1
            payload = struct.pack(">BBHI", protocol, 0, offset | more, ident) + payload
            protocol = FRAGMENT
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    size = 20 + len(options)
    length = size + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, length & 0xFFFF, ident, fragment, 64, protocol, 0)
    return head + ends + options + payload


def udp(src: Socket, dst: Socket, payload: bytes, ident: int = 0) -> bytes:
    """An IP packet with a datagram."""
    return ip(src[0], dst[0], UDP, datagram(src[1], dst[1], payload), ident)


def fragments(src: str, dst: str, protocol: int, payload: bytes, ident: int, size: int) -> list[bytes]:
    """A packet in fragments of `size` bytes (a multiple of 8)."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(parts) - 1
    return [
        ip(src, dst, protocol, part, ident, (0 if place == last else 0x2000) | place * size // 8)
        for place, part in enumerate(parts)
    ]


def ip_type(packet: bytes) -> int:
    """The EtherType of an IP packet, by its version."""
    return IPV6 if packet[0] >> 4 == 6 else IPV4


def ethernet(packet: bytes, ether_type: int = 0, tags: bytes = b"") -> bytes:
    """A frame of an IP packet, or of what `ether_type` names; `tags` stand before the EtherType."""
    return MACS + tags + (ether_type or ip_type(packet)).to_bytes(2, "big") + packet
