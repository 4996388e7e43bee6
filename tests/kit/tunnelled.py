"""One SIP packet in every encapsulation of the table, from a peer or a stranger, over IPv4 and IPv6."""

from __future__ import annotations

import struct
from ipaddress import ip_address

SIP = b"OPTIONS sip:a SIP/2.0\r\n\r\n"
PEER, STRANGER = "203.0.113.1", "203.0.113.200"
PEER6, STRANGER6 = "2001:db8:1::1", "2001:db8:2::1"
FLAGGED = b"\x08" + bytes(7)


def udp(source: int, destination: int, body: bytes) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(body), 0) + body


def ip(protocol: int, body: bytes, source: str = "192.0.2.1") -> bytes:
    """An IPv4 or IPv6 packet, as `source` is."""
    if ":" in source:
        head = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64)
        return head + ip_address(source).packed + ip_address("2001:db8:9::9").packed + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 77, 0, 64, protocol, 0)
    return head + ip_address(source).packed + ip_address("198.51.100.9").packed + body


def ether(body: bytes, ether_type: int | None = None) -> bytes:
    """An Ethernet frame, of IP unless said otherwise."""
    if ether_type is None:
        ether_type = 0x0800 if body[0] >> 4 == 4 else 0x86DD
    return b"\2\0\0\0\0\2\2\0\0\0\0\1" + ether_type.to_bytes(2, "big") + body


VOICE = ip(17, udp(5060, 5060, SIP))
VOICE6 = ip(17, udp(5060, 5060, SIP), "2001:db8::5")
FRAMED = {
    "vlan": [ether(b"\0\7\x08\0" + VOICE, tag) for tag in (0x8100, 0x88A8, 0x9100)]
    + [ether((b"\0\7\x81\0" * 3) + b"\0\7\x08\0" + VOICE, 0x8100)],
    "vntag": [ether(b"\x80\2\3\xe8\x08\0" + VOICE, 0x8926)],
    "mpls": [ether(b"\0\1\0\x40\0\2\1\x40" + VOICE, label) for label in (0x8847, 0x8848)],
    "pppoe": [ether(b"\x11\0\0\7" + bytes(2) + b"\0\x21" + VOICE, 0x8864)],
}
# Protocol and body of the outer IP packet.
TUNNELLED = {
    "ipip": (4, VOICE),
    "6in4": (41, VOICE6),
    "gre": (47, b"\x20\0\x08\0\0\0\0\7" + VOICE),
    "nvgre": (47, b"\x20\0\x65\x58\0\0\7\0" + ether(VOICE)),
    "erspan": (47, b"\x10\0\x88\xbe\0\0\0\1\x10\0\0\7" + bytes(4) + ether(VOICE)),
    "erspan3": (47, b"\x10\0\x22\xeb\0\0\0\1\x20\0\0\7" + bytes(8) + ether(VOICE)),
    "pptp": (47, b"\x30\1\x88\x0b" + struct.pack(">HHI", 4 + len(VOICE), 7, 1) + b"\xff\3\0\x21" + VOICE),
    "vxlan": (17, udp(33333, 4789, b"\x08\0\0\0\0\0\7\0" + ether(VOICE))),
    "geneve": (17, udp(33333, 6081, b"\2\0\x65\x58\0\0\7\0" + bytes(8) + ether(VOICE))),
    "gtpu": (17, udp(2152, 2152, b"\x30\xff" + struct.pack(">HI", len(VOICE), 7) + VOICE)),
    "l2tp": (17, udp(1701, 1701, b"\0\2\0\1\0\7\xff\3\0\x21" + VOICE)),
}


def frames(kind: str, source: str = PEER) -> list[bytes]:
    """Ethernet frames of a row; a tunnel's outer packet comes from `source`."""
    return FRAMED[kind] if kind in FRAMED else [ether(ip(*TUNNELLED[kind], source))]
