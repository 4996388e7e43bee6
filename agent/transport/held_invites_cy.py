# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type"
"""The newest INVITEs, until somebody answers them.

An INVITE of a flood is left out before it is parsed. Whether it was a real call shows later: its other end
answers it (18x, 2xx). Until then its bytes wait here, in one ring that the next ones overwrite, so that a
flood has a bounded memory and each INVITE costs its copy. An INVITE that was parsed has a note without bytes.
"""

from __future__ import annotations

from mmap import mmap

import cython

from agent.wire.ip.packet_cy import halves

if not cython.compiled:  # held_invites_cy.pxd has these for the compiler
    from agent.uncompiled import constants

    ENTRIES, BUCKETS, LONGEST, STEPS = constants(__name__, "ENTRIES BUCKETS LONGEST STEPS")
    HASH, BEGIN, LENGTH, STAMP, BEFORE = constants(__name__, "HASH BEGIN LENGTH STAMP BEFORE")
    SRC, DST, COLUMNS, HALVES = constants(__name__, "SRC DST COLUMNS HALVES")
    (HELD_BYTES,) = constants(__name__, "HELD_BYTES")

__all__ = ["HeldInvites", "Invite"]

Invite = tuple[bytes, str, str, int]  # message, source, destination, stamp in ns


class HeldInvites:
    """INVITEs by the hash of their Call-ID and their addresses.

    `entries` and `octets` are rings: entry n has its columns at n % ENTRIES, its bytes from BEGIN on modulo
    HELD_BYTES. `heads` has the newest entry of each bucket, 0: none. The memory is taken as it is filled.
    """

    def __init__(self) -> None:
        self.count = self.written = 0
        self.octets = memoryview(mmap(-1, HELD_BYTES))
        self.entries = memoryview(mmap(-1, 8 * COLUMNS * ENTRIES)).cast("q")
        self.addresses = memoryview(mmap(-1, 8 * HALVES * ENTRIES)).cast("Q")
        self.heads = memoryview(mmap(-1, 8 * BUCKETS)).cast("q")

    def hold(self, message: bytes, hashed: int, src: str, dst: str, stamp_ns: int, taken: bool) -> None:
        """Keeps an INVITE; of one that was `taken` (parsed) a note."""
        src_hi, src_lo = halves(src)
        dst_hi, dst_lo = halves(dst)
        self.add(message, 0, 0 if taken else len(message), hashed, stamp_ns, src_hi, src_lo, dst_hi, dst_lo)

    def answers(self, hashed: int, src: str, dst: str) -> bool:
        """Whether a message from `src` to `dst` answers one of these INVITEs."""
        src_hi, src_lo = halves(src)
        dst_hi, dst_lo = halves(dst)
        return bool(self.find(hashed, dst_hi, dst_lo, src_hi, src_lo) >= 0)

    def release(self, hashed: int, src: str, dst: str) -> Invite | None:
        """The INVITE of a message between these two, if it was not taken. It is then."""
        place: cython.longlong
        at: cython.longlong
        begin: cython.longlong
        for one, other in ((dst, src), (src, dst)):
            one_hi, one_lo = halves(one)
            other_hi, other_lo = halves(other)
            place = self.find(hashed, one_hi, one_lo, other_hi, other_lo)
            at = COLUMNS * place
            if place >= 0 and self.entries[at + LENGTH]:
                begin = self.entries[at + BEGIN] % HELD_BYTES
                message = bytes(self.octets[begin : begin + self.entries[at + LENGTH]])
                self.entries[at + LENGTH] = 0
                return message, one, other, int(self.entries[at + STAMP])
        return None

    def add(
        self,
        view: cython.const[cython.uchar][::1],
        at: cython.longlong,
        length: cython.longlong,
        hashed: cython.uint,
        stamp_ns: cython.longlong,
        src_hi: cython.ulonglong,
        src_lo: cython.ulonglong,
        dst_hi: cython.ulonglong,
        dst_lo: cython.ulonglong,
    ) -> cython.int:
        """1: it is held now. 0: it is too long, or the repetition of one that is there."""
        if length > LONGEST:
            return 0
        entry: cython.longlong
        before: cython.longlong = self.find(hashed, src_hi, src_lo, dst_hi, dst_lo)
        if before >= 0:
            entry = COLUMNS * before
            if self.entries[entry + LENGTH] == length and self.is_same(
                view, at, self.entries[entry + BEGIN] % HELD_BYTES, length
            ):
                return 0
        begin: cython.longlong = self.written
        if begin % HELD_BYTES + length > HELD_BYTES:
            begin += HELD_BYTES - begin % HELD_BYTES
        self.written = begin + length
        to: cython.longlong = begin % HELD_BYTES
        if length:
            self.octets[to : to + length] = view[at : at + length]
        self.count += 1
        bucket: cython.longlong = hashed % BUCKETS
        entry = COLUMNS * (self.count % ENTRIES)
        self.entries[entry + HASH] = hashed
        self.entries[entry + BEGIN] = begin
        self.entries[entry + LENGTH] = length
        self.entries[entry + STAMP] = stamp_ns
        self.entries[entry + BEFORE] = self.heads[bucket]
        self.heads[bucket] = self.count
        entry = HALVES * (self.count % ENTRIES)
        self.addresses[entry + SRC] = src_hi
        self.addresses[entry + SRC + 1] = src_lo
        self.addresses[entry + DST] = dst_hi
        self.addresses[entry + DST + 1] = dst_lo
        return 1

    def find(
        self,
        hashed: cython.uint,
        src_hi: cython.ulonglong,
        src_lo: cython.ulonglong,
        dst_hi: cython.ulonglong,
        dst_lo: cython.ulonglong,
    ) -> cython.int:
        """Where the newest INVITE with this hash from `src` to `dst` is; -1: there is none."""
        number: cython.longlong = self.heads[hashed % BUCKETS]
        steps: cython.longlong = 0
        place: cython.longlong
        at: cython.longlong
        while steps < STEPS and self.is_there(number):
            place = number % ENTRIES
            at = HALVES * place
            if (
                self.entries[COLUMNS * place + HASH] == hashed
                and self.addresses[at + SRC] == src_hi
                and self.addresses[at + SRC + 1] == src_lo
                and self.addresses[at + DST] == dst_hi
                and self.addresses[at + DST + 1] == dst_lo
            ):
                return place
            number = self.entries[COLUMNS * place + BEFORE]
            steps += 1
        return -1

    def is_there(self, number: cython.longlong) -> cython.bint:
        """Whether neither the entry nor its bytes are overwritten."""
        if number == 0 or number <= self.count - ENTRIES:
            return False
        return self.written - self.entries[COLUMNS * (number % ENTRIES) + BEGIN] <= HELD_BYTES

    def is_same(
        self,
        view: cython.const[cython.uchar][::1],
        at: cython.longlong,
        begin: cython.longlong,
        length: cython.longlong,
    ) -> cython.bint:
        step: cython.longlong
        for step in range(length):
            if view[at + step] != self.octets[begin + step]:
                return False
        return True
