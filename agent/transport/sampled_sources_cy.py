# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type"
"""Removes messages of sampled sources from a batch before they are decoded.

A flood comes faster than Python can look at a message. So the calls of a sampled source that are not kept
(`keeps`: one in 2**bits, by a hash of the Call-ID) are removed from the batch's index by compiled code that
reads their headers in place. Without sampled sources this code does not run.

A removed INVITE is held (`held_invites_cy`) until its call is taken up; then its messages are not removed.
"""
# ruff: noqa: F403, F405 -- the constants come whole, as the compiler takes them from the .pxd

from __future__ import annotations

import mmap
from array import array

import cython

from agent.transport.held_invites_cy import HeldInvites, Invite
from agent.wire.ip.decoder_cy import Decoder
from agent.wire.ip.packet_cy import halves

if not cython.compiled:  # sampled_sources_cy.pxd has these for the compiler
    from agent.uncompiled import constants
    from agent.wire.ip.decoder_cy import *

    MAX_SAMPLED, ANSWERED = constants(__name__, "MAX_SAMPLED ANSWERED")
    COLON, CR, LF, SPACE, TAB = constants("agent.wire.sip.scan_cy", "COLON CR LF SPACE TAB")
    MASK = 0xFFFF_FFFF

__all__ = ["MOST", "SampledSources", "keeps"]

MOST = MAX_SAMPLED  # sampled sources held


def keeps(message: bytes, bits: int) -> bool:
    """Whether a message's call is among the one in 2**`bits` that is kept."""
    return bool(call_hash(message, 0, len(message)) & (1 << bits) - 1 == 0)


def is_invite(
    view: cython.const[cython.uchar][::1], at: cython.longlong, end: cython.longlong
) -> cython.bint:
    return end - at > 7 and view[at + 6] == SPACE and says_invite(view, at)


def says_invite(view: cython.const[cython.uchar][::1], at: cython.longlong) -> cython.bint:
    return bool(
        view[at] == 73  # I
        and view[at + 1] == 78
        and view[at + 2] == 86
        and view[at + 3] == 73
        and view[at + 4] == 84
        and view[at + 5] == 69
    )


def takes_up(view: cython.const[cython.uchar][::1], at: cython.longlong, end: cython.longlong) -> cython.bint:
    """Whether a message takes a call up, as `peers_cy.is_taken_up` says: 18x or 2xx to INVITE."""
    if end - at < 12 or view[at] != 83 or view[at + 3] != 47 or view[at + 7] != SPACE:  # SIP/2.0
        return False
    if view[at + 8] != 50 and (view[at + 8] != 49 or view[at + 9] != 56):  # 2, 18
        return False
    at += 12
    while at + 9 <= end:  # of CSeq
        if view[at] == SPACE and view[at + 7] == CR and view[at + 8] == LF and says_invite(view, at + 1):
            return True
        at += 1
    return False


def call_hash(
    view: cython.const[cython.uchar][::1], at: cython.longlong, end: cython.longlong
) -> cython.uint:
    """32 bits of a message's Call-ID (RFC 3261 20.8), by FNV-1a; 0 where it has none."""
    mixed: cython.ulonglong = 2166136261
    last: cython.ulonglong = 0
    octet: cython.ulonglong
    name: cython.ulonglong
    while at < end:
        if view[at] != LF:
            at += 1
            continue
        at += 1
        if at + 8 > end or view[at] == CR or view[at] == LF:
            return 0  # the end of the headers
        name = view[at] | 32
        if name == 105:  # i, the compact form
            at += 1
        elif (
            name == 99  # call-id
            and view[at + 1] | 32 == 97
            and view[at + 2] | 32 == 108
            and view[at + 3] | 32 == 108
            and view[at + 4] == 45
            and view[at + 5] | 32 == 105
            and view[at + 6] | 32 == 100
        ):
            at += 7
        else:
            continue
        while at < end and (view[at] == SPACE or view[at] == TAB):
            at += 1
        if at == end or view[at] != COLON:
            continue
        at += 1
        while at < end and (view[at] == SPACE or view[at] == TAB):
            at += 1
        while at < end and view[at] != CR and view[at] != LF:
            octet = view[at]
            mixed = (mixed ^ octet) * 16777619 & MASK
            if octet != SPACE and octet != TAB:
                last = mixed
            at += 1
        return (last ^ last >> 15) & MASK
    return 0


class SampledSources:
    """At most `MOST` sampled sources (`used` now), each with its share. It counts what it removes."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.used = 0
        self.places: dict[str, int] = {}
        self.highs = memoryview(array("Q", bytes(8 * MAX_SAMPLED)))
        self.lows = memoryview(array("Q", bytes(8 * MAX_SAMPLED)))
        self.bits = memoryview(array("q", bytes(8 * MAX_SAMPLED)))
        self.counts = memoryview(array("q", bytes(16 * MAX_SAMPLED)))
        # A bit for each call that was taken up, by its hash: of this generation, then of the one before.
        # The kernel commits a page when it is first written: without a sampled source none is.
        self.answered = memoryview(mmap.mmap(-1, 2 * ANSWERED // 8)).cast("Q")
        self.held = HeldInvites()
        self.room = 0  # calls that compiled code may still mark as taken up in this second

    def answer(self, message: bytes) -> None:
        """Notes that this call was taken up: messages with its hash are not removed."""
        self.mark(call_hash(message, 0, len(message)))

    def mark(self, hashed: cython.uint) -> cython.int:
        at: cython.uint = hashed % ANSWERED
        one: cython.ulonglong = 1
        self.answered[at >> 6] = self.answered[at >> 6] | one << (at & 63)
        return 0

    def hold(self, message: bytes, src: str, dst: str, stamp_ns: int, taken: bool) -> None:
        """Holds an INVITE that is left out; of one that was `taken` it keeps a note."""
        self.held.hold(message, call_hash(message, 0, len(message)), src, dst, stamp_ns, taken)

    def is_answer(self, message: bytes, src: str, dst: str) -> bool:
        """Whether a message takes up a call whose INVITE is held."""
        hashed = call_hash(message, 0, len(message))
        return takes_up(message, 0, len(message)) and self.held.answers(hashed, src, dst)

    def release(self, message: bytes, src: str, dst: str) -> Invite | None:
        """The INVITE of this message's call, where it was left out; only once."""
        return self.held.release(call_hash(message, 0, len(message)), src, dst)

    def age(self) -> None:
        """Forgets the calls that were answered before the last `age`."""
        half = ANSWERED // 64
        for at in range(half):
            self.answered[half + at] = self.answered[at]
            self.answered[at] = 0

    def answers(self, message: bytes) -> bool:
        """Whether this message's call was taken up."""
        return bool(self.is_answered(call_hash(message, 0, len(message))))

    def is_answered(self, hashed: cython.uint) -> cython.bint:
        at: cython.uint = hashed % ANSWERED
        one: cython.ulonglong = 1
        found: cython.ulonglong = self.answered[at >> 6] | self.answered[(ANSWERED + at) >> 6]
        return found & (one << (at & 63)) != 0

    def share(self, address: str, bits: int) -> None:
        """Keeps one call in 2**`bits` of `address`; 0: all, and the source is not sampled any more.

        The caller must take its counts first.
        """
        at = self.places.get(address)
        if at is None:
            if not bits or self.used == MAX_SAMPLED:
                return  # no room: the caller sheds its messages
            at = self.places[address] = int(self.used)
            self.used += 1
            self.highs[at], self.lows[at] = halves(address)
            self.counts[2 * at] = self.counts[2 * at + 1] = 0
        self.bits[at] = bits
        if not bits:
            self.used -= 1
            del self.places[address]
            if at != self.used:  # the last one moves to its place
                moved = next(name for name, place in self.places.items() if place == self.used)
                self.places[moved] = at
                self.highs[at], self.lows[at] = self.highs[self.used], self.lows[self.used]
                self.bits[at] = self.bits[self.used]
                self.counts[2 * at] = self.counts[2 * self.used]
                self.counts[2 * at + 1] = self.counts[2 * self.used + 1]

    def sources(self) -> list[str]:
        return list(self.places)

    def taken_out(self, address: str) -> tuple[int, int]:
        """Messages to and from `address` removed since the last call."""
        at = self.places.get(address)
        if at is None:
            return 0, 0
        found = int(self.counts[2 * at]), int(self.counts[2 * at + 1])
        self.counts[2 * at] = self.counts[2 * at + 1] = 0
        return found

    def thin(self, data: bytes | bytearray | memoryview, index: array[int]) -> array[int]:
        """The index of a batch without the removed frames."""
        self.decoder.attach(data)
        try:
            end = int(self.rows(index))
        finally:
            self.decoder.attach(b"")
        return index if end == len(index) else index[:end]

    def rows(self, index: cython.longlong[::1]) -> cython.int:
        """Moves the rows that stay to the front. Returns where they end."""
        count: cython.longlong = len(index) // 5
        row: cython.longlong
        column: cython.longlong
        to: cython.longlong = 0
        with cython.nogil:
            for row in range(count):
                if self.out(index[5 * row], index[5 * row + 1], index[5 * row + 4], index[5 * row + 3]):
                    continue
                if to != 5 * row:
                    for column in range(5):
                        index[to + column] = index[5 * row + column]
                to += 5
        return to

    def out(
        self,
        offset: cython.longlong,
        captured: cython.longlong,
        origin: cython.longlong,
        stamp_ns: cython.longlong,
    ) -> cython.int:
        """1: a SIP message of a sampled source whose call is not kept; it is now counted."""
        if self.decoder.frame(offset, captured, origin) != UDP:
            return 0
        if self.decoder.classify() != PAYLOAD_SIP:
            return 0
        at: cython.longlong = self.place(self.decoder.src_hi, self.decoder.src_lo)
        way: cython.longlong = 1
        if at < 0:
            at = self.place(self.decoder.dst_hi, self.decoder.dst_lo)
            way = 0
        if at < 0:
            return 0
        begin: cython.longlong = self.decoder.payload_offset
        end: cython.longlong = begin + self.decoder.payload_captured
        hashed: cython.uint = call_hash(self.decoder.view, begin, end)
        one: cython.uint = 1
        if hashed & (one << self.bits[at]) - 1 == 0 or self.is_answered(hashed):
            return 0
        if is_invite(self.decoder.view, begin, end):
            self.held.add(
                self.decoder.view,
                begin,
                end - begin,
                hashed,
                stamp_ns,
                self.decoder.src_hi,
                self.decoder.src_lo,
                self.decoder.dst_hi,
                self.decoder.dst_lo,
            )
        elif self.is_taken_up(hashed, begin, end, way == 0):
            return 0
        self.counts[2 * at + way] += 1
        return 1

    def is_taken_up(
        self, hashed: cython.uint, begin: cython.longlong, end: cython.longlong, to_it: cython.bint
    ) -> cython.int:
        """1: this message takes a call up. It goes to the source (`to_it`), or answers a held INVITE."""
        if self.room <= 0 or not takes_up(self.decoder.view, begin, end):
            return 0
        answered: cython.int = self.held.find(
            hashed, self.decoder.dst_hi, self.decoder.dst_lo, self.decoder.src_hi, self.decoder.src_lo
        )
        if not to_it and answered < 0:
            return 0
        self.room -= 1
        self.mark(hashed)
        return 1

    def place(self, high: cython.ulonglong, low: cython.ulonglong) -> cython.int:
        at: cython.longlong
        for at in range(self.used):
            if self.lows[at] == low and self.highs[at] == high:
                return at
        return -1
