# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""RTP streams by key: an open-addressing hash table over rows of one lazily committed mapping.

A stream is (source, source port, destination, destination port, SSRC), never the SSRC alone. Its whole state
is one row of 704 bytes (stream_row.py), so that a packet touches few cache lines; the row number is the
stream's id. A row is found by one bounds check and then read field by field. The mapping has room for
`max_streams` rows from the start and the kernel commits pages when they are first written, so growing copies
nothing and an idle table costs nothing.

Counts that few streams have (bursts, histograms, packets by payload type) are in a table beside the
rows: a minute gets a record there when it first counts some, and gives it back when it is taken.

The wire can fill this table, so a stream is a candidate until the loop accepts it. At `max_streams` the
oldest candidate is evicted (a flood of random SSRCs gets no further), and where there is none the new stream
is refused and counted. The hash is keyed with secret odd numbers, so an attacker cannot choose keys that
collide.
"""

from __future__ import annotations

import mmap
import os

import cython

from agent.model.stream_minute_cy import StreamMinute
from agent.wire.ip.packet_cy import address, halves

if not cython.compiled:  # stream_table_cy.pxd has them, typed
    from ctypes import addressof

    from agent import uncompiled
    from agent.media.rtp.stream_row import MinuteRow, RareRow, SlotRow, StreamRow, clear

    ROW_BYTES, MINUTE_BYTES, SLOT_BYTES = uncompiled.constants(__name__, "ROW_BYTES MINUTE_BYTES SLOT_BYTES")
    (RARE_BYTES,) = uncompiled.constants(__name__, "RARE_BYTES")
    WINDOW, SLOTS, RING, MOST = uncompiled.constants(__name__, "WINDOW SLOTS RING MOST")
    RUNS, DELAYS = uncompiled.constants(__name__, "RUNS DELAYS")
    TYPE_SLOTS, FURTHER_TYPES = uncompiled.constants(__name__, "TYPE_SLOTS FURTHER_TYPES")
    FREE, CANDIDATE, ACCEPTED = uncompiled.constants(__name__, "FREE CANDIDATE ACCEPTED")
    MASK64, MASK32 = uncompiled.constants(__name__, "MASK64 MASK32")

    def row_of(table: Table, number: int) -> StreamRow:
        return table.rows[number]

    def rare_of(table: Table, minute: MinuteRow) -> RareRow:
        rare: RareRow = table.rares[minute.rare]
        return rare

    def half(row: StreamRow, odd: int) -> MinuteRow:
        minute: MinuteRow = row.odd if odd else row.even
        return minute

    def is_odd_half(row: StreamRow, minute: MinuteRow) -> bool:
        return addressof(minute) == addressof(row.odd)

    def slot_of(row: StreamRow, number: int) -> SlotRow:
        slot: SlotRow = row.timeline[number & (RING - 1)]
        return slot

    def slot_octets(row: StreamRow, first: int, end: int) -> bytes:
        return b"".join(bytes(slot_of(row, number)) for number in range(first, end))


class Table:
    def __init__(self, max_streams: int, minute_ns: int) -> None:
        self.max_streams = max_streams
        self.minute_ns = minute_ns
        self.closed_ns = self.newest_ns = 0
        self.streams = self.refused = self.evicted = self.live = 0
        self.used = self.spares = self.queued = self.oldest = 0
        self.memory = memoryview(mmap.mmap(-1, max_streams * ROW_BYTES))
        # Two minutes of a stream are open at once. Record 0 stays all zero, for minutes without one.
        most_rare = 2 * max_streams + 1
        self.rare = memoryview(mmap.mmap(-1, most_rare * RARE_BYTES))
        self.rare_spare = memoryview(mmap.mmap(-1, most_rare * 4)).cast("i")
        self.rare_used = self.rare_spares = 0
        if cython.compiled:  # the one check that finds a row trusts its length
            assert cython.sizeof(RowFields) == ROW_BYTES  # type: ignore[name-defined] # noqa: F821
            assert cython.sizeof(MinuteFields) == MINUTE_BYTES  # type: ignore[name-defined] # noqa: F821
            assert cython.sizeof(SlotFields) == SLOT_BYTES  # type: ignore[name-defined] # noqa: F821
            assert cython.sizeof(RareFields) == RARE_BYTES  # type: ignore[name-defined] # noqa: F821
        else:
            self.rows = (StreamRow * max_streams).from_buffer(self.memory)
            self.rares = (RareRow * most_rare).from_buffer(self.rare)
        self.spare = memoryview(mmap.mmap(-1, max_streams * 4)).cast("i")
        self.mask = 1023
        self.widest = max(1024, 1 << (2 * max_streams - 1).bit_length())
        self.slots = memoryview(mmap.mmap(-1, self.widest * 8)).cast("Q")
        self.queue_mask = self.widest - 1
        self.queue = memoryview(mmap.mmap(-1, self.widest * 4)).cast("i")
        self.odd0, self.odd1, self.odd2, self.odd3, self.odd4, self.odd5 = (
            int.from_bytes(os.urandom(8), "little") | 1 for _ in range(6)
        )

    # --- the hash table: a slot is hash << 32 | row + 1, or 0

    def hash(
        self,
        a: cython.ulonglong,
        b: cython.ulonglong,
        c: cython.ulonglong,
        d: cython.ulonglong,
        e: cython.ulonglong,
    ) -> cython.ulonglong:
        """32 bits, multilinear: without the odd numbers keys collide with the odds of chance."""
        x: cython.ulonglong = (
            a * self.odd0 + b * self.odd1 + c * self.odd2 + d * self.odd3 + e * self.odd4
        ) & MASK64
        return ((x ^ x >> 32) * self.odd5 & MASK64) >> 32

    def hash_of(self, row: StreamRow) -> cython.ulonglong:
        return self.hash(row.src_hi, row.src_lo, row.dst_hi, row.dst_lo, row.sockets)

    def lookup(
        self,
        a: cython.ulonglong,
        b: cython.ulonglong,
        c: cython.ulonglong,
        d: cython.ulonglong,
        e: cython.ulonglong,
    ) -> cython.int:
        """The row of a key, or -1."""
        row: StreamRow
        entry: cython.ulonglong
        hashed: cython.ulonglong = self.hash(a, b, c, d, e)
        at: cython.ulonglong = hashed & self.mask
        while True:
            entry = self.slots[at]
            if entry == 0:
                return -1
            if entry >> 32 == hashed:
                row = row_of(self, (entry & MASK32) - 1)
                if (
                    row.sockets == e
                    and row.src_lo == b
                    and row.dst_lo == d
                    and row.src_hi == a
                    and row.dst_hi == c
                ):
                    return (entry & MASK32) - 1
            at = (at + 1) & self.mask

    def place(self, hashed: cython.ulonglong, number: cython.longlong) -> cython.int:
        at: cython.ulonglong = hashed & self.mask
        while self.slots[at] != 0:
            at = (at + 1) & self.mask
        self.slots[at] = hashed << 32 | (number + 1)
        return 0

    def grow(self) -> cython.int:
        """Twice the slots, at half load; the rows stay where they are."""
        at: cython.ulonglong
        row: StreamRow
        number: cython.longlong
        for at in range(self.mask + 1):
            self.slots[at] = 0
        self.mask = self.mask * 2 + 1
        for number in range(self.used):
            row = row_of(self, number)
            if row.state != FREE:
                self.place(self.hash_of(row), number)
        return 0

    def revive(self, number: int) -> None:
        """Sets the fields that follow from the rest, in a row filled from outside."""
        row: StreamRow = row_of(self, number)
        row.state = ACCEPTED
        if row.codec >> 8:
            row.scale = 1e-3 / (row.codec >> 8)

    def rebuild(self, used: int) -> None:
        """Take up rows that were filled from outside: the first `used`, where not free."""
        self.used = used
        self.spares = self.live = self.streams = 0
        for number in range(used - 1, -1, -1):
            row: StreamRow = row_of(self, number)
            if row.state == FREE:
                self.spare[self.spares] = number
                self.spares += 1
            else:
                self.live += 1
                self.streams += 1
        while (self.live + 1) * 2 > self.mask + 1 and self.mask + 1 < self.widest:
            self.mask = self.mask * 2 + 1
        self.mask >>= 1
        self.grow()

    # --- rows come and go

    def waits(self, position: cython.longlong) -> cython.int:
        """The row of the candidate queued as number `position`, or -1 when it is none any more."""
        number: cython.longlong = self.queue[position & self.queue_mask]
        row: StreamRow = row_of(self, number)
        if row.state == CANDIDATE and row.queue == position & MASK32:
            return number
        return -1

    def insert(
        self,
        a: cython.ulonglong,
        b: cython.ulonglong,
        c: cython.ulonglong,
        d: cython.ulonglong,
        e: cython.ulonglong,
    ) -> cython.int:
        """A cleared row for a new candidate, or -1: full."""
        number: cython.longlong
        while self.oldest < self.queued and (
            self.queued - self.oldest > self.queue_mask
            or (self.spares == 0 and self.used == self.max_streams)
        ):
            number = self.waits(self.oldest)
            self.oldest += 1
            if number >= 0:
                self.remove(number)
                self.evicted += 1
        if self.spares > 0:
            self.spares -= 1
            number = self.spare[self.spares]
        elif self.used < self.max_streams:
            number = self.used
            self.used += 1
        else:
            self.refused += 1
            return -1
        if (self.live + 1) * 2 > self.mask + 1 and self.mask + 1 < self.widest:
            self.grow()
        row: StreamRow = row_of(self, number)
        if cython.compiled:
            memset(row, 0, ROW_BYTES)  # type: ignore[name-defined] # noqa: F821
        else:
            clear(row)
        row.src_hi = a
        row.src_lo = b
        row.dst_hi = c
        row.dst_lo = d
        row.sockets = e
        row.state = CANDIDATE
        row.queue = self.queued & MASK32
        self.queue[self.queued & self.queue_mask] = number
        self.queued += 1
        self.live += 1
        self.place(self.hash(a, b, c, d, e), number)
        return number

    def remove(self, number: cython.longlong) -> cython.int:
        """Free a row. Slots behind it move up, so that no tombstone ever lengthens a search."""
        row: StreamRow = row_of(self, number)
        entry: cython.ulonglong
        hashed: cython.ulonglong = self.hash_of(row)
        hole: cython.ulonglong = hashed & self.mask
        while self.slots[hole] & MASK32 != number + 1:
            hole = (hole + 1) & self.mask
        at: cython.ulonglong = hole
        while True:
            at = (at + 1) & self.mask
            entry = self.slots[at]
            if entry == 0:
                break
            if (at - (entry >> 32)) & self.mask >= (at - hole) & self.mask:  # its search passes the hole
                self.slots[hole] = entry
                hole = at
        self.slots[hole] = 0
        if row.state == ACCEPTED:
            self.streams -= 1
        row.state = FREE
        self.give_back(half(row, 0))
        self.give_back(half(row, 1))
        self.spare[self.spares] = number
        self.spares += 1
        self.live -= 1
        return 0

    # --- counts that few streams have

    def rare_for(self, minute: MinuteRow) -> RareRow:
        """The minute's record of these, made where it has none; to write."""
        if minute.rare == 0:
            if self.rare_spares > 0:
                self.rare_spares -= 1
                minute.rare = self.rare_spare[self.rare_spares]
            else:
                self.rare_used += 1
                minute.rare = self.rare_used
        return rare_of(self, minute)

    def give_back(self, minute: MinuteRow) -> cython.int:
        """Frees the minute's record, if it has one."""
        if minute.rare == 0:
            return 0
        if cython.compiled:
            memset(rare_of(self, minute), 0, RARE_BYTES)  # type: ignore[name-defined] # noqa: F821
        else:
            clear(rare_of(self, minute))
        self.rare_spare[self.rare_spares] = minute.rare
        self.rare_spares += 1
        minute.rare = 0
        return 0

    def blank(self, minute: MinuteRow) -> None:
        """Clears all counts of a minute."""
        self.give_back(minute)
        if cython.compiled:
            memset(minute, 0, MINUTE_BYTES)  # type: ignore[name-defined] # noqa: F821
        else:
            clear(minute)

    def minute_at(self, row: StreamRow, stamp_ns: cython.longlong) -> MinuteRow:
        """The counters of the minute that `stamp_ns` counts in: its own, or the oldest open one."""
        if stamp_ns < self.closed_ns:
            stamp_ns = self.closed_ns
        return half(row, (stamp_ns // self.minute_ns) & 1)

    # --- what Python asks of one stream

    def find(self, src: str, src_port: int, dst: str, dst_port: int, ssrc: int) -> int:
        """The id of an accepted stream, or -1."""
        a, b = halves(src)
        c, d = halves(dst)
        number: int = self.lookup(a, b, c, d, ssrc << 32 | src_port << 16 | dst_port)
        if number < 0:
            return -1
        row: StreamRow = row_of(self, number)
        return number if row.state == ACCEPTED else -1

    def known(self, stream: cython.longlong) -> StreamRow:
        """A stream's row.

        Raises:
            IndexError: no live stream has this id.
        """
        if not 0 <= stream < self.used:
            raise IndexError(f"no stream {stream}")
        row: StreamRow = row_of(self, stream)
        if row.state == FREE:
            raise IndexError(f"no stream {stream}")
        return row

    def key(self, stream: int) -> tuple[str, int, str, int, int]:
        """(source, source port, destination, destination port, SSRC)."""
        row: StreamRow = self.known(stream)
        sockets: int = row.sockets
        src, dst = address(row.src_hi, row.src_lo), address(row.dst_hi, row.dst_lo)
        return src, sockets >> 16 & 0xFFFF, dst, sockets & 0xFFFF, sockets >> 32

    def first_ns(self, stream: int) -> int:
        row: StreamRow = self.known(stream)
        return int(row.first_ns)

    def last_ns(self, stream: cython.longlong) -> int:
        row: StreamRow = self.known(stream)
        return int(row.last_ns)

    def payload_type(self, stream: int) -> int:
        """The newest one that is neither an event nor comfort noise."""
        row: StreamRow = self.known(stream)
        return int(row.payload_type)

    def clock_rate(self, stream: int) -> int:
        """Of the timestamps, Hz; 0: unknown."""
        row: StreamRow = self.known(stream)
        return int(row.codec >> 8)

    def silent(self, stream: int, minute_start_ns: int) -> StreamMinute:
        """A stream's minute without a packet."""
        return self.described(stream, self.known(stream), minute_start_ns)

    def described(
        self, number: cython.longlong, row: StreamRow, minute_start_ns: cython.longlong
    ) -> StreamMinute:
        """A stream's minute in which nothing is counted yet: its newest packet, how its packets are timed."""
        stream_minute: StreamMinute = StreamMinute()
        codec: cython.uint = row.codec
        stream_minute.id = number
        stream_minute.stamp_ns = minute_start_ns
        stream_minute.last_ns = row.last_ns
        stream_minute.payload_type = row.payload_type
        stream_minute.clock_rate = codec >> 8
        stream_minute.step = row.step
        # Inferred from arrival times: else the kind would come from a payload map.
        stream_minute.assumed = codec != 0 and codec & 255 == 0
        stream_minute.clock_rate_mismatch = row.refuted != 0
        return stream_minute

    def shift(self, shift_ns: int) -> None:
        """Moves every time in the table: the clock was set. Harvest the open minutes first."""
        for number in range(self.used):
            row: StreamRow = row_of(self, number)
            if row.state != FREE:
                row.last_ns += shift_ns
                row.first_ns += shift_ns
                row.ref_ns += shift_ns
        self.closed_ns += shift_ns
        self.newest_ns += shift_ns

    @property
    def candidates(self) -> int:
        """Streams in probation: their first packet was seen, not yet a second in sequence."""
        return int(self.live - self.streams)

    def renumber(self, stream: int) -> int:
        """The id here of what had the id `stream` where the snapshot was taken: the same."""
        return stream

    def live_streams(self) -> list[int]:
        """Ids of the accepted streams."""
        accepted: list[int] = []
        for number in range(self.used):
            row: StreamRow = row_of(self, number)
            if row.state == ACCEPTED:
                accepted.append(number)
        return accepted
