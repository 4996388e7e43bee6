# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
"""RTP streams by key: an open-addressing hash table over rows of one lazily committed mapping.

A stream is (source, source port, destination, destination port, SSRC), never the SSRC alone. All that is
known of it is one row of 896 bytes, so that a packet touches few cache lines; the row number is the
stream's id. The mapping has room for `max_streams` rows from the start and the kernel commits pages when
they are first written, so growing copies nothing and an idle table costs nothing.

The wire can fill this table, so: a stream is a candidate until RFC 3550 A.1 accepts it; at `max_streams` the
oldest candidate gives way (a flood of random SSRCs reaches no further), and where there is none the newcomer
is refused and counted. The hash is keyed with secret odd numbers: nobody outside can choose keys that
collide.
"""

from __future__ import annotations

import mmap
import secrets

from agent.wire.packet_cy import address, halves

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if not cython.compiled:  # table_cy.pxd holds the same values for the compiler
    # A row is WORDS words of 8 bytes, the last 32 being a window of WINDOW cells of 4 bytes.
    WORDS, CELLS, WINDOW, WINDOW_AT = 112, 224, 64, 160
    # Words every packet touches: key, state, newest stamp, highest extended sequence number...
    SRC_HI, SRC_LO, DST_HI, DST_LO, SOCKETS, STATE, LAST, TOP = range(8)
    # ... loss and jitter; REF_* is the jitter reference (REF_TS -1: none), CODEC is rate << 8 | kind
    JUDGED, RECEIVED, FIRST, REF_NS, REF_TS, CODEC, SINCE, TYPE = range(8, 16)
    # Doubles: jitter J in ticks, delay above the buffer's baseline in us, and the clock rate twice.
    JITTER, EXCESS, RATE, US_PER_TICK = range(16, 20)
    # BAD is A.1's bad_seq, -1: none, -2: the next packet re-bases. From BASE on seldom touched.
    STEP, VOTES, MAP, BAD, BASE, EPOCH, BAD_NS, BAD_PATH = range(20, 28)
    UNKNOWN, CLUSTER, CLUSTER_RECEIVED, QUEUE = range(28, 32)
    # LATE_RUN: packets in a row that came too late for the modelled jitter buffer.
    LATE_RUN, INFER_NS, INFER_TS, INFER_COUNT, ASSUMED = range(51, 56)
    # Two minutes are open at once: counters of the even one at SLOT, of the odd one SLOT_STRIDE further.
    SLOT, SLOT_STRIDE, N_COUNTERS = 32, 24, 17
    PACKETS, BYTES, JUDGED_NUMBERS, GAP_PACKETS, JITTER_SUM, JITTER_COUNT, JITTER_MAX, LOST = range(8)
    LOST_UNKNOWN, DUPLICATES, REORDERED, DISCARDED, LOSS_RUNS = range(8, 13)
    BURST_PACKETS, BURST_LOST, GAP_LOST, BURSTS = range(13, 17)
    FREE, CANDIDATE, ACCEPTED = range(3)
    MASK64, MASK32 = 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF

COUNTERS = (
    "packets",
    "bytes",
    "judged",
    "gap_packets",
    "jitter_sum_us",
    "jitter_count",
    "jitter_max_us",
    "lost",
    "unknown",
    "duplicates",
    "reordered",
    "discarded",
    "loss_runs",
    "burst_packets",
    "burst_lost",
    "gap_lost",
    "bursts",
)
"""Names of a harvested tuple's places; `jitter_sum_us` and `jitter_max_us` are floats, the rest integers."""


class Table:
    def __init__(self, max_streams: int, minute_ns: int) -> None:
        self.max_streams = max_streams
        self.minute_ns = minute_ns
        self.closed_ns = self.newest_ns = 0
        self.streams = self.refused = self.evicted = self.live = 0
        self.used = self.spares = self.queued = self.oldest = 0
        memory = memoryview(mmap.mmap(-1, max_streams * 8 * 112))
        self.rows = memory.cast("q")
        self.keys = memory.cast("Q")
        self.reals = memory.cast("d")
        self.cells = memory.cast("I")
        self.spare = memoryview(mmap.mmap(-1, max_streams * 4)).cast("i")
        self.mask = 1023
        self.widest = max(1024, 1 << (2 * max_streams - 1).bit_length())
        self.slots = memoryview(mmap.mmap(-1, self.widest * 8)).cast("Q")
        self.queue_mask = self.widest - 1
        self.queue = memoryview(mmap.mmap(-1, self.widest * 4)).cast("i")
        self.odd0, self.odd1, self.odd2, self.odd3, self.odd4, self.odd5 = (
            secrets.randbits(64) | 1 for _ in range(6)
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
        """32 bits, multilinear: keys collide with the odds of chance for whoever lacks the odd numbers."""
        x: cython.ulonglong = (
            a * self.odd0 + b * self.odd1 + c * self.odd2 + d * self.odd3 + e * self.odd4
        ) & MASK64
        return ((x ^ x >> 32) * self.odd5 & MASK64) >> 32

    def lookup(
        self,
        a: cython.ulonglong,
        b: cython.ulonglong,
        c: cython.ulonglong,
        d: cython.ulonglong,
        e: cython.ulonglong,
    ) -> cython.int:
        """The row of a key, or -1."""
        hashed: cython.ulonglong = self.hash(a, b, c, d, e)
        at: cython.ulonglong = hashed & self.mask
        while True:
            entry: cython.ulonglong = self.slots[at]
            if entry == 0:
                return -1
            if entry >> 32 == hashed:
                row: cython.longlong = (entry & MASK32) - 1
                word: cython.longlong = row * WORDS
                if (
                    self.keys[word + SOCKETS] == e
                    and self.keys[word + SRC_LO] == b
                    and self.keys[word + DST_LO] == d
                    and self.keys[word + SRC_HI] == a
                    and self.keys[word + DST_HI] == c
                ):
                    return row
            at = (at + 1) & self.mask

    def place(self, hashed: cython.ulonglong, row: cython.longlong) -> cython.int:
        at: cython.ulonglong = hashed & self.mask
        while self.slots[at] != 0:
            at = (at + 1) & self.mask
        self.slots[at] = hashed << 32 | (row + 1)
        return 0

    def grow(self) -> cython.int:
        """Twice the slots, at half load; the rows stay where they are."""
        at: cython.ulonglong
        row: cython.longlong
        word: cython.longlong
        for at in range(self.mask + 1):
            self.slots[at] = 0
        self.mask = self.mask * 2 + 1
        for row in range(self.used):
            word = row * WORDS
            if self.rows[word + STATE] != FREE:
                self.place(
                    self.hash(
                        self.keys[word + SRC_HI],
                        self.keys[word + SRC_LO],
                        self.keys[word + DST_HI],
                        self.keys[word + DST_LO],
                        self.keys[word + SOCKETS],
                    ),
                    row,
                )
        return 0

    def rebuild(self, used: int) -> None:
        """Take up rows that were filled from outside: the first `used`, where not free."""
        self.used = used
        self.spares = self.live = self.streams = 0
        for row in range(used - 1, -1, -1):
            if self.rows[row * WORDS + STATE] == FREE:
                self.spare[self.spares] = row
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
        row: cython.longlong = self.queue[position & self.queue_mask]
        word: cython.longlong = row * WORDS
        if self.rows[word + STATE] == CANDIDATE and self.rows[word + QUEUE] == position:
            return row
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
        row: cython.longlong
        at: cython.longlong
        while self.oldest < self.queued and (
            self.queued - self.oldest > self.queue_mask
            or (self.spares == 0 and self.used == self.max_streams)
        ):
            row = self.waits(self.oldest)
            self.oldest += 1
            if row >= 0:
                self.remove(row)
                self.evicted += 1
        if self.spares > 0:
            self.spares -= 1
            row = self.spare[self.spares]
        elif self.used < self.max_streams:
            row = self.used
            self.used += 1
        else:
            self.refused += 1
            return -1
        if (self.live + 1) * 2 > self.mask + 1 and self.mask + 1 < self.widest:
            self.grow()
        word: cython.longlong = row * WORDS
        for at in range(word, word + WORDS):
            self.rows[at] = 0
        self.keys[word + SRC_HI] = a
        self.keys[word + SRC_LO] = b
        self.keys[word + DST_HI] = c
        self.keys[word + DST_LO] = d
        self.keys[word + SOCKETS] = e
        self.rows[word + STATE] = CANDIDATE
        self.rows[word + QUEUE] = self.queued
        self.queue[self.queued & self.queue_mask] = row
        self.queued += 1
        self.live += 1
        self.place(self.hash(a, b, c, d, e), row)
        return row

    def remove(self, row: cython.longlong) -> cython.int:
        """Free a row. Slots behind it move up, so that no tombstone ever lengthens a search."""
        word: cython.longlong = row * WORDS
        hashed: cython.ulonglong = self.hash(
            self.keys[word + SRC_HI],
            self.keys[word + SRC_LO],
            self.keys[word + DST_HI],
            self.keys[word + DST_LO],
            self.keys[word + SOCKETS],
        )
        hole: cython.ulonglong = hashed & self.mask
        while self.slots[hole] & MASK32 != row + 1:
            hole = (hole + 1) & self.mask
        at: cython.ulonglong = hole
        while True:
            at = (at + 1) & self.mask
            entry: cython.ulonglong = self.slots[at]
            if entry == 0:
                break
            if (at - (entry >> 32)) & self.mask >= (at - hole) & self.mask:  # its search passes the hole
                self.slots[hole] = entry
                hole = at
        self.slots[hole] = 0
        if self.rows[word + STATE] == ACCEPTED:
            self.streams -= 1
        self.rows[word + STATE] = FREE
        self.spare[self.spares] = row
        self.spares += 1
        self.live -= 1
        return 0

    def slot_at(self, row: cython.longlong, stamp_ns: cython.longlong) -> cython.longlong:
        """Where the counters lie of the minute that `stamp_ns` counts in: its own, or the oldest open one."""
        if stamp_ns < self.closed_ns:
            stamp_ns = self.closed_ns
        return row * WORDS + SLOT + ((stamp_ns // self.minute_ns) & 1) * SLOT_STRIDE

    # --- what Python asks of one stream

    def find(self, src: str, src_port: int, dst: str, dst_port: int, ssrc: int) -> int:
        """The id of an accepted stream, or -1."""
        a, b = halves(src)
        c, d = halves(dst)
        row: int = self.lookup(a, b, c, d, ssrc << 32 | src_port << 16 | dst_port)
        return row if row >= 0 and self.rows[row * WORDS + STATE] == ACCEPTED else -1

    def key(self, stream: int) -> tuple[str, int, str, int, int]:
        """(source, source port, destination, destination port, SSRC)."""
        word: int = self.word(stream)
        sockets: int = self.keys[word + SOCKETS]
        src = address(self.keys[word + SRC_HI], self.keys[word + SRC_LO])
        dst = address(self.keys[word + DST_HI], self.keys[word + DST_LO])
        return src, sockets >> 16 & 0xFFFF, dst, sockets & 0xFFFF, sockets >> 32

    def word(self, stream: int) -> int:
        """The first word of a stream's row.

        Raises:
            IndexError: no live stream has this id.
        """
        if not 0 <= stream < self.used or self.rows[stream * WORDS + STATE] == FREE:
            raise IndexError(f"no stream {stream}")
        return stream * WORDS

    def first_ns(self, stream: int) -> int:
        return int(self.rows[self.word(stream) + FIRST])

    def last_ns(self, stream: int) -> int:
        return int(self.rows[self.word(stream) + LAST])

    def payload_type(self, stream: int) -> int:
        """The newest one that is neither an event nor comfort noise."""
        return int(self.rows[self.word(stream) + TYPE])

    def clock_rate(self, stream: int) -> int:
        """Hz; 0: not known yet."""
        return int(self.rows[self.word(stream) + CODEC]) >> 8

    def assumed(self, stream: int) -> bool:
        """Was the clock rate inferred from arrival times?"""
        return bool(self.rows[self.word(stream) + ASSUMED])

    def packet_ticks(self, stream: int) -> int:
        """The usual step of the timestamp from packet to packet; 0: not known yet."""
        return int(self.rows[self.word(stream) + STEP])

    def shift(self, shift_ns: int) -> None:
        """Move every time in the table: the clock was set. Harvest the open minutes first."""
        for row in range(self.used):
            word: int = row * WORDS
            if self.rows[word + STATE] != FREE:
                for at in (LAST, FIRST, REF_NS, BAD_NS, INFER_NS):
                    self.rows[word + at] += shift_ns
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
        return [row for row in range(self.used) if self.rows[row * WORDS + STATE] == ACCEPTED]
