"""pcapng blocks as bytes, for evidence (draft-ietf-opsawg-pcapng).

Media is written as captured, cut behind its header. SIP is written as in the log, so its packets are built
here: raw IP, UDP, and the message. Each block stands alone: a file that ends early opens too.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6  # block types, sections 4.1, 4.2, 4.3
ORDER_MAGIC = 0x1A2B3C4D
OPT_END, OPT_COMMENT, IF_TSRESOL, SHB_USERAPPL = 0, 1, 9, 4
NANOSECONDS = b"\x09"
LINK_RAW = 101
SNAP_LENGTH = 262_144
COMMENT_MAX = 1_000  # octets
UDP, UDP_HEADER, HOPS = 17, 8, 64
DATAGRAM_MAX = 65_535 - UDP_HEADER - 20  # the longest IPv4 datagram
SIP_PORT = 5060


def section(comment: str, application: str = "") -> bytes:
    """A section header block. All later blocks belong to it."""
    options = _option(OPT_COMMENT, comment.encode()) + (
        _option(SHB_USERAPPL, application.encode()) if application else b""
    )
    body = struct.pack("<IHHq", ORDER_MAGIC, 1, 0, -1) + options + _end()
    return _block(SECTION, body)


def interface(link_type: int) -> bytes:
    """An interface description block, its stamps in nanoseconds. The first of a section is number 0."""
    body = struct.pack("<HHI", link_type, 0, SNAP_LENGTH) + _option(IF_TSRESOL, NANOSECONDS) + _end()
    return _block(INTERFACE, body)


def packet(number: int, stamp_ns: int, octets: bytes, wire_length: int, comment: str = "") -> bytes:
    """An enhanced packet block of interface `number`, with a comment where there is one."""
    head = struct.pack(
        "<IIIII", number, stamp_ns >> 32, stamp_ns & 0xFFFF_FFFF, len(octets), max(wire_length, len(octets))
    )
    options = b""
    if comment:
        options = (
            _option(OPT_COMMENT, comment.encode()[:COMMENT_MAX].decode(errors="ignore").encode()) + _end()
        )
    return _block(PACKET, head + _padded(octets) + options)


def sip_datagram(src: str, dst: str, message: bytes) -> bytes:
    """A SIP message in UDP in IP, from and to port 5060.

    Raises ValueError where an address does not parse.
    """
    source, target = ip_address(src), ip_address(dst)
    message = message[:DATAGRAM_MAX]
    length = UDP_HEADER + len(message)
    addresses = source.packed + target.packed
    pseudo = addresses + struct.pack(
        "!II" if source.version == 6 else "!HH", *_lengths(source.version, length)
    )
    udp = struct.pack("!HHHH", SIP_PORT, SIP_PORT, length, 0)
    total = checksum(pseudo + udp + message) or 0xFFFF  # RFC 768: 0 would mean "no checksum"
    datagram = udp[:6] + struct.pack("!H", total) + message
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, UDP, HOPS) + addresses + datagram
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, HOPS, UDP, 0)
    total = checksum(header + addresses)
    return header[:10] + struct.pack("!H", total) + addresses + datagram


def _lengths(version: int, length: int) -> tuple[int, int]:
    """Length and protocol of the pseudo-header, in its order (RFC 768, RFC 8200 8.1)."""
    return (length, UDP) if version == 6 else (UDP, length)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _end() -> bytes:
    return struct.pack("<HH", OPT_END, 0)


def _padded(octets: bytes) -> bytes:
    """Blocks and options come in words of 4 octets."""
    return octets + bytes(-len(octets) % 4)
