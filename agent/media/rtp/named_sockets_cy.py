# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
"""The sockets that an SDP names, for the loop: a stream there needs no probation.

RFC 3550 A.1 waits for two packets in sequence, because any datagram may look like RTP. An SDP that names a
socket says what comes there, so the first packet counts. Only candidates are looked up, never an accepted
stream.

An attacker who knows a named socket could fill the stream table with invented SSRCs. So a socket admits
streams without probation from or to one peer only, the first one seen, and 64 of them; other peers are probed
as on any socket. It is an open-addressing table, whose hash is keyed with secret odd numbers; a full one
takes no further socket.
"""

from __future__ import annotations

import mmap
import os

import cython

from agent.wire.ip.packet_cy import halves

if not cython.compiled:  # named_sockets_cy.pxd has them, typed
    from agent import uncompiled
    from agent.media.rtp.stream_table_cy import MASK32, MASK64

    FIELDS, UNPROBED, FIRST = uncompiled.constants(__name__, "FIELDS UNPROBED FIRST")


class NamedSockets:
    """A set of sockets. `capacity`: the greatest number."""

    def __init__(self, capacity: int) -> None:
        self.widest = max(1024, 1 << (2 * capacity - 1).bit_length())
        self.entries = memoryview(mmap.mmap(-1, self.widest * FIELDS * 8)).cast("Q")
        self.mask = min(FIRST, self.widest) - 1
        self.count = 0
        self.odd0, self.odd1, self.odd2 = (int.from_bytes(os.urandom(8), "little") | 1 for _ in range(3))

    def add(self, host: str, port: cython.ulonglong, types: cython.ulonglong = 0) -> None:
        """Notes that an SDP names this socket.

        `types` has a bit for each payload type of 64 to 95 that it declares.
        """
        known, high, low = _key(host)
        if not known:
            return
        at: cython.int = self.find(high, low, port)
        if self.entries[at + 2] == 0:
            if (self.count + 1) * 2 > self.mask + 1:
                if self.mask + 1 == self.widest:
                    return
                self._grow()
                at = self.find(high, low, port)
            self.count += 1
        self._write(at, high, low, UNPROBED * (MASK32 + 1) + port + 1, types)

    def discard(self, host: str, port: cython.ulonglong) -> None:
        """No SDP names this socket any more."""
        known, high, low = _key(host)
        if not known:
            return
        at: cython.int = self.find(high, low, port)
        word: cython.ulonglong
        rest: cython.ulonglong
        if self.entries[at + 2] == 0:
            return
        self._write(at, 0, 0, 0, 0)
        self.count -= 1
        while True:  # behind the hole in one cluster: each is put anew
            at = (at + FIELDS) & (self.mask * FIELDS + FIELDS - 1)
            high, low, word, rest = (
                self.entries[at], self.entries[at + 1], self.entries[at + 2], self.entries[at + 3]
            )  # fmt: skip
            if word == 0:
                return
            self._write(at, 0, 0, 0, 0)
            self._write(self.find(high, low, (word & MASK32) - 1), high, low, word, rest)

    def clear(self) -> None:
        at: cython.ulonglong
        if self.count == 0:
            return  # no page of it is touched yet
        for at in range((self.mask + 1) * FIELDS):
            self.entries[at] = 0
        self.count = 0

    def peers(self) -> bytes:
        """Everything known of each socket, for `recall`."""
        return bytes(self.entries[: (self.mask + 1) * FIELDS]) if self.count else b""

    def recall(self, before: bytes) -> None:
        """The sockets were named anew: each has the peer and the admissions left that `before` says."""
        rows: cython.ulonglong[::1] = memoryview(bytearray(before)).cast("Q")
        at: cython.longlong
        place: cython.int
        for at in range(0, len(rows), FIELDS):
            if rows[at + 2]:
                place = self.find(rows[at], rows[at + 1], (rows[at + 2] & MASK32) - 1)
                if self.entries[place + 2]:
                    self.entries[place + 2] = rows[at + 2]
                    self.entries[place + 3] = (self.entries[place + 3] & MASK32) | (rows[at + 3] & ~MASK32)

    def _grow(self) -> None:
        """Twice as many slots; every entry finds its own anew."""
        size: cython.ulonglong = (self.mask + 1) * FIELDS
        rows: cython.ulonglong[::1] = memoryview(bytearray(self.entries[:size])).cast("Q")
        at: cython.ulonglong
        count: cython.longlong = self.count
        self.clear()
        self.mask = self.mask * 2 + 1
        self.count = count
        for at in range(0, size, FIELDS):
            if rows[at + 2]:
                self._write(
                    self.find(rows[at], rows[at + 1], (rows[at + 2] & MASK32) - 1),
                    rows[at], rows[at + 1], rows[at + 2], rows[at + 3],
                )  # fmt: skip

    def _write(
        self,
        at: cython.int,
        high: cython.ulonglong,
        low: cython.ulonglong,
        word: cython.ulonglong,
        rest: cython.ulonglong,
    ) -> None:
        self.entries[at], self.entries[at + 1] = high, low
        self.entries[at + 2], self.entries[at + 3] = word, rest

    # -- what the loop asks

    def slot_of(
        self, high: cython.ulonglong, low: cython.ulonglong, port: cython.ulonglong
    ) -> cython.ulonglong:
        x: cython.ulonglong = (high * self.odd0 + low * self.odd1 + port * self.odd2) & MASK64
        return (x >> 32) & self.mask

    def find(self, high: cython.ulonglong, low: cython.ulonglong, port: cython.ulonglong) -> cython.int:
        """The place of the socket's entry, or of a free slot for it."""
        slot: cython.ulonglong = self.slot_of(high, low, port)
        word: cython.ulonglong
        while True:
            word = self.entries[slot * FIELDS + 2]
            if word == 0 or (
                (word & MASK32) == port + 1
                and self.entries[slot * FIELDS + 1] == low
                and self.entries[slot * FIELDS] == high
            ):
                return slot * FIELDS
            slot = (slot + 1) & self.mask

    def peer_of(
        self, high: cython.ulonglong, low: cython.ulonglong, port: cython.ulonglong
    ) -> cython.ulonglong:
        """32 bits, never 0, that stand for a peer's socket."""
        x: cython.ulonglong = (high * self.odd1 + low * self.odd2 + port * self.odd0) & MASK64
        return (x >> 32) | 1

    def admits(
        self,
        high: cython.ulonglong,
        low: cython.ulonglong,
        port: cython.ulonglong,
        peer: cython.ulonglong,
    ) -> cython.bint:
        """Whether a new stream between this socket and `peer` counts from its first packet.

        The first peer is kept, and one stream fewer is admitted from now on.
        """
        if self.count == 0:
            return False
        at: cython.longlong = self.find(high, low, port)
        word: cython.ulonglong = self.entries[at + 2]
        known: cython.ulonglong = self.entries[at + 3] >> 32
        if word >> 32 == 0 or (known and known != peer):
            return False
        self.entries[at + 2] = word - MASK32 - 1
        self.entries[at + 3] = (self.entries[at + 3] & MASK32) | (peer << 32)
        return True

    def declares(
        self,
        high: cython.ulonglong,
        low: cython.ulonglong,
        port: cython.ulonglong,
        payload_type: cython.longlong,
    ) -> cython.bint:
        """Whether an SDP that names this socket declares this payload type, one of 64 to 95."""
        if self.count == 0:
            return False
        at: cython.longlong = self.find(high, low, port)
        return self.entries[at + 2] != 0 and (self.entries[at + 3] >> (payload_type - 64)) & 1 != 0

    def __contains__(self, socket: tuple[str, int]) -> bool:
        known, high, low = _key(socket[0])
        return known and self.entries[self.find(high, low, socket[1]) + 2] != 0


def _key(host: str) -> tuple[bool, int, int]:
    """Whether it is an address, and its halves as the decoder has them; SDP may name hosts (RFC 8866 5.7)."""
    dotted: cython.longlong = _dotted(host)
    if dotted >= 0:  # nearly always
        return True, 0, 0xFFFF << 32 | dotted
    try:
        high, low = halves(host)
    except (OSError, ValueError):  # ValueError: a null character
        return False, 0, 0
    return True, high, low


def _dotted(host: str) -> cython.longlong:
    """The 32 bits of an IPv4 address as it is usually written; -1 where a closer look must decide."""
    letter: cython.Py_UCS4
    number: cython.longlong = 0
    octet: cython.int = -1  # no digit yet
    dots: cython.int = 0
    for letter in host:
        if "0" <= letter <= "9":
            if octet == 0:
                return -1  # a leading zero
            octet = (0 if octet < 0 else 10 * octet) + (ord(letter) - 48)
            if octet > 255:
                return -1
        elif letter == "." and octet >= 0 and dots < 3:
            number, octet = number << 8 | octet, -1
            dots += 1
        else:
            return -1
    return number << 8 | octet if dots == 3 and octet >= 0 else -1
