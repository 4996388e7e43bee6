"""One SIP packet in every encapsulation of the table, from a peer or a stranger, over IPv4 and IPv6."""

from __future__ import annotations

import struct

from tests.kit import packets
from tests.kit.packets import datagram, ethernet

SIP = b"OPTIONS sip:a SIP/2.0\r\n\r\n"
PEER, STRANGER = "203.0.113.1", "203.0.113.200"
PEER6, STRANGER6 = "2001:db8:1::1", "2001:db8:2::1"
FLAGGED = b"\x08" + bytes(7)


def ip(protocol: int, body: bytes, source: str = "192.0.2.1") -> bytes:
    """An IPv4 or IPv6 packet, as `source` is."""
    return packets.ip(source, "2001:db8:9::9" if ":" in source else "198.51.100.9", protocol, body, 77)


VOICE = ip(17, datagram(5060, 5060, SIP))
VOICE6 = ip(17, datagram(5060, 5060, SIP), "2001:db8::5")
FRAMED = {
    "vlan": [ethernet(b"\0\7\x08\0" + VOICE, tag) for tag in (0x8100, 0x88A8, 0x9100)]
    + [ethernet((b"\0\7\x81\0" * 3) + b"\0\7\x08\0" + VOICE, 0x8100)],
    "vntag": [ethernet(b"\x80\2\3\xe8\x08\0" + VOICE, 0x8926)],
    "etag": [ethernet(b"\0\0\0\7\0\0\x08\0" + VOICE, 0x893F)],
    "cmd": [ethernet(b"\1\1\0\1\0\7\x08\0" + VOICE, 0x8909)],
    "nsh": [
        ethernet(b"\x0f\xc2\2" + following + b"\0\0\1\xff" + inner, 0x894F)
        for following, inner in ((b"\1", VOICE), (b"\2", VOICE6), (b"\3", ethernet(VOICE)))
    ],
    "mpls": [ethernet(b"\0\1\0\x40\0\2\1\x40" + VOICE, label) for label in (0x8847, 0x8848)]
    + [ethernet(b"\0\2\1\x40" + word + ethernet(VOICE), 0x8847) for word in (b"", bytes(4))],
    "pppoe": [ethernet(b"\x11\0\0\7" + bytes(2) + b"\0\x21" + VOICE, 0x8864)],
}
# Protocol and body of the outer IP packet.
TUNNELLED = {
    "ipip": (4, VOICE),
    "6in4": (41, VOICE6),
    "gre": (47, b"\x20\0\x08\0\0\0\0\7" + VOICE),
    "nvgre": (47, b"\x20\0\x65\x58\0\0\7\0" + ethernet(VOICE)),
    "erspan": (47, b"\x10\0\x88\xbe\0\0\0\1\x10\0\0\7" + bytes(4) + ethernet(VOICE)),
    "erspan3": (47, b"\x10\0\x22\xeb\0\0\0\1\x20\0\0\7" + bytes(8) + ethernet(VOICE)),
    "pptp": (47, b"\x30\1\x88\x0b" + struct.pack(">HHI", 4 + len(VOICE), 7, 1) + b"\xff\3\0\x21" + VOICE),
    "etherip": (97, b"\x30\0" + ethernet(VOICE)),
    "l2tpv3": (115, b"\0\0\0\7" + bytes(4) + ethernet(VOICE)),
    "vxlan": (17, datagram(33333, 4789, b"\x08\0\0\0\0\0\7\0" + ethernet(VOICE))),
    "vxlangpe": (17, datagram(33333, 4790, b"\x0c\0\0\3\0\0\7\0" + ethernet(VOICE))),
    "geneve": (17, datagram(33333, 6081, b"\2\0\x65\x58\0\0\7\0" + bytes(8) + ethernet(VOICE))),
    "gtpu": (17, datagram(2152, 2152, b"\x30\xff" + struct.pack(">HI", len(VOICE), 7) + VOICE)),
    "l2tp": (17, datagram(1701, 1701, b"\0\2\0\1\0\7\xff\3\0\x21" + VOICE)),
    "mplsudp": (17, datagram(50000, 6635, b"\0\1\1\x40" + VOICE)),
    "tzsp": (17, datagram(50000, 37008, b"\1\0\0\1\x0a\1\5\0\1" + ethernet(VOICE))),
}


def frames(kind: str, source: str = PEER) -> list[bytes]:
    """Ethernet frames of a row; a tunnel's outer packet comes from `source`."""
    return FRAMED[kind] if kind in FRAMED else [ethernet(ip(*TUNNELLED[kind], source))]
