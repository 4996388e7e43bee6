"""Link types that the decoder does not read: finds the inner frame that it does read.

Nothing is copied: a row of the index is moved to the inner frame. 802.11 goes through scapy, a Python object
a frame; the others are a few bytes. See https://www.tcpdump.org/linktypes.html for each number.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from agent.wire import frame
from agent.wire.frame import CAPTURED, LINK_ETHERNET, LINK_RAW, OFFSET, ORIGIN, STRIDE, WIRE

Octets = bytes | bytearray | memoryview
Inner = tuple[int, int]  # bytes before the inner frame, and its link type
_IP_TYPES = (0x0800, 0x86DD)
_PPP_IP = (0x21, 0x57)
_NFLOG_PAYLOAD = 9
# Types of ERF (Endace's "ERF types"): Ethernet with two bytes of padding, HDLC, bare IP.
_ERF_ETHERNET, _ERF_HDLC, _ERF_IP = (2, 11, 16, 26), (1, 10, 15, 25), (22, 23)


def ppp(data: Octets, at: int = 0) -> Inner | None:
    """RFC 1661, with the HDLC address of RFC 1662 or without."""
    if bytes(data[at : at + 2]) == b"\xff\x03":
        at += 2
    elif data[at] in (0x0F, 0x8F):
        return c_hdlc(data, at)
    protocol = data[at]
    at += 1
    if not protocol & 1:
        protocol = protocol << 8 | data[at]
        at += 1
    return (at, LINK_RAW) if protocol in _PPP_IP else None


def ppp_with_direction(data: Octets) -> Inner | None:
    return ppp(data, 1)


def pppoe(data: Octets) -> Inner | None:
    return ppp(data, 6)


def c_hdlc(data: Octets, at: int = 0) -> Inner | None:
    """Cisco HDLC (RFC 1547 4.3.1): address, control, an EtherType; 0xFF is PPP's address."""
    if data[at] == 0xFF:
        return ppp(data, at)
    return (at + 4, LINK_RAW) if data[at + 2] << 8 | data[at + 3] in _IP_TYPES else None


def ppi(data: Octets) -> Inner | None:
    """Per-Packet Information: its length and the link type of what follows, little endian."""
    size, link = int.from_bytes(data[2:4], "little"), int.from_bytes(data[4:8], "little")
    if size < 8 or link == 192 or link > 0xFFFF:
        return None
    if link not in READERS:
        return size, link
    inner = READERS[link](data[size:])
    return None if inner is None else (size + inner[0], inner[1])


def nflog(data: Octets) -> Inner | None:
    """Linux netfilter's log: TLVs in the order of the host's bytes, one of them the IP packet."""
    for order in ("little", "big"):
        at = 4
        while at + 4 <= len(data):
            size = int.from_bytes(data[at : at + 2], order)
            kind = int.from_bytes(data[at + 2 : at + 4], order)
            if size < 4 or (at + size > len(data) and kind != _NFLOG_PAYLOAD):
                break
            if kind == _NFLOG_PAYLOAD:
                return at + 4, LINK_RAW
            at += size + 3 & ~3
    return None


def erf(data: Octets) -> Inner | None:
    """Endace's record: 16 bytes, 8 for each extension header, what the type says."""
    kind, at = data[8], 16
    more = kind & 0x80
    while more:
        more = data[at] & 0x80
        at += 8
    kind &= 0x7F
    if kind in _ERF_ETHERNET:
        return at + 2, LINK_ETHERNET
    if kind in _ERF_HDLC:
        return c_hdlc(data, at)
    return (at, LINK_RAW) if kind in _ERF_IP else None


def _wireless(link: int) -> Callable[[Octets], Inner | None]:
    """802.11 of one link type, in the clear, by scapy."""

    def read(data: Octets) -> Inner | None:
        from scapy.config import conf
        from scapy.layers import dot11, inet, inet6, l2  # noqa: F401  (they register the link types)

        octets = bytes(data)
        layer: Any = conf.l2types[link](octets)
        for kind in (inet.IP, inet6.IPv6):
            if kind in layer and (at := octets.find(layer[kind].original)) > 0:
                return at, LINK_RAW
        return None

    return read


READERS: dict[int, Callable[[Octets], Inner | None]] = {
    9: ppp,
    50: ppp,
    51: pppoe,
    104: c_hdlc,
    192: ppi,
    197: erf,
    204: ppp_with_direction,
    239: nflog,
    **{link: _wireless(link) for link in (105, 119, 127, 163)},
}


def unwrapped(data: Octets, index: array[int]) -> array[int]:
    """The rows of `index`, with those of `READERS`' link types moved to their inner frames.

    A frame without IP loses its row. A frame that is too short keeps its link type, and the decoder rejects
    it.
    """
    rows = array("q")
    view = memoryview(data)
    for at in range(0, len(index), STRIDE):
        row = index[at : at + STRIDE]
        read = READERS.get(row[ORIGIN] >> 32)
        if read is not None:
            try:
                inner = read(view[row[OFFSET] : row[OFFSET] + row[CAPTURED]])
            # it is too short, or a dissector of scapy failed: scapy documents no exceptions for either
            except Exception:
                inner = (0, row[ORIGIN] >> 32)
            if inner is None:
                continue
            skip = min(inner[0], row[CAPTURED])
            row[OFFSET] += skip
            row[CAPTURED] -= skip
            row[WIRE] -= skip
            row[ORIGIN] = frame.origin(inner[1], 0, 0) | row[ORIGIN] & 0xFFFFFFFF
        rows.extend(row)
    return rows
