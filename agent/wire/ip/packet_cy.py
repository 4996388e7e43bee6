# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""A decoded frame on its own, and the text of addresses.

Addresses are 128 bits in two halves, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
"""

from __future__ import annotations

from functools import lru_cache

import cython

MAX_TEXTS = 65_536  # addresses whose text is kept


@cython.no_gc
@cython.cclass
class Packet:
    """One decoded frame on its own, for the slow path.

    `payload` may be shorter than `length`, its length on the wire, where the capture snapped it. For a
    fragment and for SCTP it is the IP payload; for TCP the segment's data; empty for any other protocol but
    UDP.
    """

    def __init__(self) -> None:
        """Sets nothing: the caller fills in the fields."""
        self.kind: cython.int = 0
        self.src = ""
        self.src_port = 0
        self.dst = ""
        self.dst_port = 0
        self.payload = b""
        self.length = 0
        self.stamp_ns = 0
        self.path = 0
        self.protocol = 0
        self.identification = 0
        self.fragment_offset = 0
        self.more_fragments = False
        self.seq = 0
        self.flags = 0
        self.tunnel = 0  # as `Decoder` has these
        self.vni = -1
        self.depth = 0

    def __eq__(self, other: object) -> bool:
        """Whether it is the same bytes between the same sockets."""
        if not isinstance(other, Packet):
            return NotImplemented
        that: Packet = other
        if self.src_port != that.src_port or self.dst_port != that.dst_port:
            return False
        return self.payload == that.payload and self.src == that.src and self.dst == that.dst

    def __hash__(self) -> int:
        # The sender chooses all of it. Texts hash with a secret, and ports are multiplied into it, so that an
        # attacker cannot find pairs that collide.
        src: cython.ulonglong = hash(self.src)
        dst: cython.ulonglong = hash(self.dst)
        payload: cython.ulonglong = hash(self.payload)
        return payload ^ src * (2 * self.src_port + 1) ^ dst * (2 * self.dst_port + 1)


_dotted: dict[int, str] = {}  # IPv4 addresses by number


def address(high: cython.ulonglong, low: cython.ulonglong) -> str:
    """The canonical text of an address: dotted for IPv4 (and v4-mapped), RFC 5952 for IPv6."""
    if high or low >> 32 != 0xFFFF:
        return _rfc5952(high, low)
    text: str | None = _dotted.get(low)
    if text is None:
        if len(_dotted) >= MAX_TEXTS:  # addresses come from the wire
            _dotted.clear()
        text = f"{low >> 24 & 0xFF}.{low >> 16 & 0xFF}.{low >> 8 & 0xFF}.{low & 0xFF}"
        _dotted[low] = text
    return text


@lru_cache(maxsize=MAX_TEXTS)
def _rfc5952(high: int, low: int) -> str:
    import socket  # this import takes 6 ms of a start, and few hosts have IPv6

    return socket.inet_ntop(socket.AF_INET6, high.to_bytes(8, "big") + low.to_bytes(8, "big"))


def halves(text: str) -> tuple[int, int]:
    """`address` reversed."""
    import socket

    if ":" in text:
        packed = socket.inet_pton(socket.AF_INET6, text)
        return int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")
    return 0, 0xFFFF << 32 | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
