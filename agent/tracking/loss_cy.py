# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
"""Which sequence numbers of a stream are lost, and how losses cluster.

A stream remembers its newest 64 numbers, a cell of 32 bits each:

    bits 0-2    receptions, no further than 7
    bit 3       discarded: too late for the modelled jitter buffer
    bit 4       unknown: skipped while the capture itself missed frames
    bits 5-12   the path of the newest reception
    bits 13-31  its arrival since the stream's first packet, in units of 2**15 ns

A number is judged once: when it leaves the window, or sooner at a restart, after 2 s without a packet and
at the stream's end. Until then a late packet can still fill it, so reordering is never loss; duplicates
raise a cell's receptions and never hide a loss. JUDGED is the highest number judged, TOP the highest seen;
TOP - 64 <= JUDGED <= TOP.
"""

# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import mmap

from agent.tracking.table_cy import Table

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if not cython.compiled:  # loss_cy.pxd holds the same values for the compiler
    from agent.tracking.table_cy import *

    CELL_COUNT, CELL_DISCARDED, CELL_UNKNOWN = 7, 8, 16
    PATH_AT, PATH_MASK, ARRIVAL_AT, ARRIVAL_MASK = 5, 255, 13, 524287
    UNIT_SHIFT, COPY_UNITS, COPY_NS = 15, 611, 20_000_000
    MAX_LOSSES, GMIN, SILENCE_NS = 16, 16, 2_000_000_000


class Losses(Table):
    def __init__(self, max_streams: int, minute_ns: int) -> None:
        super().__init__(max_streams, minute_ns)
        self.losses = 0
        self.loss_start = memoryview(mmap.mmap(-1, 4096)).cast("q")
        self.loss_end = memoryview(mmap.mmap(-1, 4096)).cast("q")

    # --- what the capture itself missed

    def lose(self, start_ns: int, end_ns: int) -> None:
        """The capture missed frames between these times: gaps that touch them are unknown, not lost."""
        if self.losses == MAX_LOSSES:  # the two oldest become one, which at worst calls more unknown
            self.loss_start[0] = min(self.loss_start[0], self.loss_start[1])
            self.loss_end[0] = max(self.loss_end[0], self.loss_end[1])
            for at in range(1, MAX_LOSSES - 1):
                self.loss_start[at] = self.loss_start[at + 1]
                self.loss_end[at] = self.loss_end[at + 1]
            self.losses -= 1
        self.loss_start[self.losses] = start_ns
        self.loss_end[self.losses] = end_ns
        self.losses += 1

    def shift(self, shift_ns: int) -> None:
        super().shift(shift_ns)
        for at in range(self.losses):
            self.loss_start[at] += shift_ns
            self.loss_end[at] += shift_ns

    def missed(self, start_ns: cython.longlong, end_ns: cython.longlong) -> cython.int:
        """Did the capture miss frames at any time from `start_ns` to `end_ns`?"""
        at: cython.longlong
        for at in range(self.losses):
            if self.loss_start[at] <= end_ns and self.loss_end[at] >= start_ns:
                return 1
        return 0

    # --- numbers are judged, in order; `slot` is where the minute's counters lie

    def lose_number(self, word: cython.longlong, slot: cython.longlong, count: cython.longlong) -> cython.int:
        """The next `count` numbers are lost or discarded. RFC 3611 4.7.2: within Gmin, still one burst."""
        self.rows[slot + JUDGED_NUMBERS] += count
        since: cython.longlong = self.rows[word + SINCE]
        if since > 0:
            self.rows[slot + LOSS_RUNS] += 1
        if since >= GMIN:
            self.rows[word + CLUSTER] = count
            self.rows[word + CLUSTER_RECEIVED] = 0
        else:
            self.rows[word + CLUSTER] += count
            self.rows[word + CLUSTER_RECEIVED] += since
        self.rows[word + SINCE] = 0
        return 0

    def take_number(self, word: cython.longlong, slot: cython.longlong) -> cython.int:
        """The next number was received in time."""
        self.rows[slot + JUDGED_NUMBERS] += 1
        since: cython.longlong = self.rows[word + SINCE]
        if since >= GMIN:
            self.rows[slot + GAP_PACKETS] += 1
            return 0
        self.rows[word + SINCE] = since + 1
        if since + 1 == GMIN:
            self.close_cluster(word, slot)
        return 0

    def close_cluster(self, word: cython.longlong, slot: cython.longlong) -> cython.int:
        """The losses since the last gap are a burst, or one loss alone, which belongs to the gap."""
        cluster: cython.longlong = self.rows[word + CLUSTER]
        if cluster == 1:
            self.rows[slot + GAP_LOST] += 1
            self.rows[slot + GAP_PACKETS] += 1
        elif cluster > 1:
            self.rows[slot + BURSTS] += 1
            self.rows[slot + BURST_LOST] += cluster
            self.rows[slot + BURST_PACKETS] += cluster + self.rows[word + CLUSTER_RECEIVED]
        if cluster > 0:
            self.rows[slot + GAP_PACKETS] += self.rows[word + SINCE]
        self.rows[word + CLUSTER] = 0
        self.rows[word + SINCE] = GMIN
        return 0

    def judge(self, word: cython.longlong, slot: cython.longlong, number: cython.longlong) -> cython.int:
        cell: cython.uint = self.cells[2 * word + WINDOW_AT + (number & (WINDOW - 1))]
        if cell & CELL_COUNT:
            if cell & CELL_DISCARDED:
                self.rows[slot + DISCARDED] += 1
                return self.lose_number(word, slot, 1)
            return self.take_number(word, slot)
        if cell & CELL_UNKNOWN:
            self.rows[slot + LOST_UNKNOWN] += 1
            return 0
        self.rows[slot + LOST] += 1
        return self.lose_number(word, slot, 1)

    def judge_to(self, word: cython.longlong, slot: cython.longlong, number: cython.longlong) -> cython.int:
        """Judge all numbers not judged yet, to `number` (at most TOP)."""
        at: cython.longlong
        for at in range(self.rows[word + JUDGED] + 1, number + 1):
            self.judge(word, slot, at)
        if number > self.rows[word + JUDGED]:
            self.rows[word + JUDGED] = number
        return 0

    def advance(
        self, word: cython.longlong, slot: cython.longlong, top: cython.longlong, stamp_ns: cython.longlong
    ) -> cython.int:
        """Move the window so that `top` > TOP is its newest number; those between were skipped.

        A skip costs 64 steps at most, however long it is: the wire chooses its length.
        """
        before: cython.longlong = self.rows[word + TOP]
        leaving: cython.longlong = top - WINDOW
        unknown: cython.uint = 0
        if top > before + 1 and self.losses > 0 and self.missed(self.rows[word + LAST], stamp_ns):
            unknown = CELL_UNKNOWN
            self.rows[word + UNKNOWN] += top - before - 1
        if leaving > self.rows[word + JUDGED]:
            if leaving <= before:
                self.judge_to(word, slot, leaving)
            else:
                self.judge_to(word, slot, before)
                if unknown:
                    self.rows[slot + LOST_UNKNOWN] += leaving - before
                else:
                    self.rows[slot + LOST] += leaving - before
                    self.lose_number(word, slot, leaving - before)
                self.rows[word + JUDGED] = leaving
        at: cython.longlong
        for at in range(max(before, leaving) + 1, top):
            self.cells[2 * word + WINDOW_AT + (at & (WINDOW - 1))] = unknown
        self.rows[word + TOP] = top
        return 0

    def start_sequence(self, word: cython.longlong, base: cython.longlong) -> cython.int:
        """RFC 3550 A.1 init_seq: nothing before `base` was ever expected. The caller counts `base` itself."""
        at: cython.longlong
        for at in range(WINDOW):
            self.cells[2 * word + WINDOW_AT + at] = 0
        self.rows[word + BASE] = base
        self.rows[word + TOP] = base
        self.rows[word + JUDGED] = base - 1
        self.rows[word + RECEIVED] = 0
        return 0

    # --- ends: silence, the end of the capture, the end of a stream

    def flush(self, before_ns: int) -> None:
        """Judge what is open of every stream that has been silent for 2 s at `before_ns`."""
        row: cython.longlong
        word: cython.longlong
        last: cython.longlong
        before: cython.longlong = before_ns
        for row in range(self.used):
            word = row * WORDS
            if self.rows[word + STATE] == ACCEPTED and self.rows[word + JUDGED] < self.rows[word + TOP]:
                last = self.rows[word + LAST] + SILENCE_NS
                if last <= before:
                    self.judge_to(word, self.slot_at(row, last), self.rows[word + TOP])

    def finish(self) -> None:
        """The capture is over: judge everything, in the minute of each stream's newest packet."""
        row: cython.longlong
        for row in range(self.used):
            if self.rows[row * WORDS + STATE] == ACCEPTED:
                self.end(row)

    def end(self, row: cython.longlong) -> cython.int:
        word: cython.longlong = row * WORDS
        slot: cython.longlong = self.slot_at(row, self.rows[word + LAST])
        self.judge_to(word, slot, self.rows[word + TOP])
        return self.close_cluster(word, slot)

    def expire(self, before_ns: int) -> list[int]:
        """Free the streams without a packet since `before_ns`: their ids, which may be used again.

        A stream whose end adds counts, or that has counts not harvested yet, waits for a later call.
        Candidates go without a word.
        """
        freed: list[int] = []
        row: cython.longlong
        word: cython.longlong
        for row in range(self.used):
            word = row * WORDS
            if self.rows[word + STATE] == FREE or self.rows[word + LAST] >= before_ns:
                continue
            if self.rows[word + STATE] == ACCEPTED:
                self.end(row)
                if self.holds(word + SLOT) or self.holds(word + SLOT + SLOT_STRIDE):
                    continue
                freed.append(row)
            self.remove(row)
        return freed

    # --- results

    def harvest(self, stream: int, minute_start_ns: int) -> tuple[float, ...]:
        """The stream's counters of that minute, in the order of COUNTERS; they start at 0 again."""
        return self.take(self.word(stream) + self.open_at(minute_start_ns))

    def open_at(self, minute_start_ns: cython.longlong) -> cython.longlong:
        return SLOT + ((minute_start_ns // self.minute_ns) & 1) * SLOT_STRIDE

    def holds(self, slot: cython.longlong) -> cython.int:
        """Has anything been counted there?"""
        at: cython.longlong
        for at in range(slot, slot + N_COUNTERS):
            if self.rows[at] != 0:
                return 1
        return 0

    def take(self, slot: cython.longlong) -> tuple[float, ...]:
        counters = (
            self.rows[slot],
            self.rows[slot + 1],
            self.rows[slot + 2],
            self.rows[slot + 3],
            self.reals[slot + 4],
            self.rows[slot + 5],
            self.reals[slot + 6],
            self.rows[slot + 7],
            self.rows[slot + 8],
            self.rows[slot + 9],
            self.rows[slot + 10],
            self.rows[slot + 11],
            self.rows[slot + 12],
            self.rows[slot + 13],
            self.rows[slot + 14],
            self.rows[slot + 15],
            self.rows[slot + 16],
        )
        at: cython.longlong
        for at in range(slot, slot + N_COUNTERS):
            self.rows[at] = 0
        return counters

    def harvest_all(self, minute_start_ns: int) -> list[tuple[int, tuple[float, ...]]]:
        """(stream, counters) of every stream that counted anything in that minute.

        What a candidate counted moves on to the next minute: it counts once the stream is accepted.
        """
        result: list[tuple[int, tuple[float, ...]]] = []
        row: cython.longlong
        at: cython.longlong
        word: cython.longlong
        here: cython.longlong
        there: cython.longlong
        for row in range(self.used):
            word = row * WORDS
            if self.rows[word + STATE] == FREE:
                continue
            here = word + self.open_at(minute_start_ns)
            if self.rows[word + STATE] == ACCEPTED:
                if self.holds(here):
                    result.append((row, self.take(here)))
            elif self.rows[here + PACKETS] != 0:
                there = 2 * (word + SLOT) + SLOT_STRIDE - here
                for at in range(N_COUNTERS):
                    self.rows[there + at] += self.rows[here + at]
                    self.rows[here + at] = 0
        return result

    def close(self, minute_start_ns: int, end_ns: int) -> list[tuple[int, tuple[float, ...]]]:
        """`harvest_all` of a minute that ended at `end_ns`; a late frame of it counts in the next one."""
        self.flush(end_ns)
        harvest = self.harvest_all(minute_start_ns)
        self.closed_ns = end_ns
        return harvest

    def counted(self, stream: int, sequence: int) -> tuple[int, int, int, int] | None:
        """The stream as seen here up to the number nearest to its newest whose low 16 bits are `sequence`.

        (epoch, expected, received, unknown): RFC 3550 A.3 (duplicates count as received), and how many
        numbers so far the capture may itself have missed. A new epoch is a new count from its own base.
        None: that number is ahead, from before the epoch, or more than 64 numbers back.
        """
        word: int = self.word(stream)
        top: int = self.rows[word + TOP]
        back: int = (top - sequence) & 0xFFFF
        if back > WINDOW or top - back < self.rows[word + BASE]:
            return None
        received: int = self.rows[word + RECEIVED]
        unknown: int = self.rows[word + UNKNOWN]
        for number in range(top - back + 1, top + 1):
            cell = self.cells[2 * word + WINDOW_AT + (number & 63)]
            received -= cell & CELL_COUNT
            if cell & CELL_UNKNOWN and not cell & CELL_COUNT:
                unknown -= 1
        return self.rows[word + EPOCH], top - back - self.rows[word + BASE] + 1, received, unknown
