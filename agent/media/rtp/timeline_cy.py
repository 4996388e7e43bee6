# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""A stream's minute in six slots of 10 s: packets, lost, late, the largest jitter, the longest gap.

A slot has its number in units of 10 s since 1970. A row has a ring of the newest eight: a minute that waits
for its close keeps its six while the next one begins. Where the close is overdue by more than 20 s the next
minute takes their places, the oldest first, and these are unknown.

Nothing here is done for each packet. When a stream's first packet of another slot comes, the slot that ends
gets what the minute's counters gained in it. A packet that comes late for its slot counts in the newest one
of its minute. Loss is judged later than the packets were missed: it is charged to the slot in which they
would have come, and where that is of a minute before the one that the loss counts in, to the first slot of
that one. So the slots of a minute add up to its counters.
"""

# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import cython

from agent.media.rtp.stream_table_cy import Table

if not cython.compiled:  # timeline_cy.pxd has them, typed
    from agent import uncompiled
    from agent.media.rtp.stream_row import MinuteRow, SlotRow, StreamRow, clear
    from agent.media.rtp.stream_table_cy import *

    JITTER_UNIT_US, GAP_UNIT_NS, KEPT_ZERO = uncompiled.constants(
        __name__, "JITTER_UNIT_US GAP_UNIT_NS KEPT_ZERO"
    )


class Timelines(Table):
    def __init__(self, max_streams: int, minute_ns: int) -> None:
        super().__init__(max_streams, minute_ns)
        self.slot_ns = minute_ns // SLOTS

    # --- the ring

    def slot(self, row: StreamRow, number: cython.longlong) -> SlotRow:
        """The slot of that number, None where a newer one has its place."""
        newest: cython.longlong = max(row.even.slot, row.odd.slot)
        if number + RING <= newest:
            return cython.NULL  # type: ignore[no-any-return]
        return slot_of(row, number)

    def enter(self, row: StreamRow, minute: MinuteRow, number: cython.longlong) -> None:
        """Makes slot `number` the newest of its minute."""
        at: cython.longlong
        newest: cython.longlong = max(row.even.slot, row.odd.slot)
        if minute.slot > 0:
            self.leave(row, minute)
        for at in range(max(newest, number - RING) + 1, number + 1):
            if cython.compiled:
                memset(slot_of(row, at), 0, SLOT_BYTES)  # type: ignore[name-defined]
            else:
                clear(slot_of(row, at))
        minute.slot = number
        minute.longest_ns = 0
        minute.jitter_max_us = -1.0

    def leave(self, row: StreamRow, minute: MinuteRow) -> None:
        """Gives the newest slot the gain of the minute's counters since it began."""
        gained: cython.longlong = minute.packets - minute.slotted
        jitter_us: cython.double = minute.jitter_max_us
        units: cython.longlong = 0
        slot: SlotRow = self.slot(row, minute.slot)
        if jitter_us >= 0.0:
            units = int(jitter_us / JITTER_UNIT_US + 0.5)
            units += KEPT_ZERO
        if slot is not cython.NULL:
            slot.packets = min(slot.packets + gained, MOST)
            slot.jitter = max(slot.jitter, min(units, MOST))
        minute.slotted = minute.packets
        minute.jitter_peak_us = max(minute.jitter_peak_us, minute.jitter_max_us)
        minute.jitter_max_us = -1.0

    # --- what is charged to the slot of a time

    def charged(self, row: StreamRow, minute: MinuteRow, at_ns: cython.longlong) -> SlotRow:
        """The slot of `minute` that `at_ns` is in: its first one where that is before the minute."""
        number: cython.longlong = at_ns // self.slot_ns
        of_minute: cython.longlong = number // SLOTS
        if of_minute & 1 != is_odd_half(row, minute):
            number = (of_minute + 1) * SLOTS
        if minute.slot == 0:
            self.enter(row, minute, number)
        return self.slot(row, min(number, minute.slot))

    def lose_at(
        self, row: StreamRow, minute: MinuteRow, at_ns: cython.longlong, count: cython.longlong
    ) -> None:
        slot: SlotRow = self.charged(row, minute, at_ns)
        if slot is not cython.NULL:
            slot.lost = min(slot.lost + count, MOST)

    def be_late_at(self, row: StreamRow, minute: MinuteRow, at_ns: cython.longlong) -> None:
        slot: SlotRow = self.charged(row, minute, at_ns)
        if slot is not cython.NULL:
            slot.late = min(slot.late + 1, MOST)

    def lose_between(
        self,
        row: StreamRow,
        minute: MinuteRow,
        count: cython.longlong,
        at_ns: cython.longlong,
        step_ns: cython.longlong,
        start_ns: cython.longlong,
    ) -> None:
        """`count` packets are lost, due at `at_ns` and every `step_ns` from there on.

        `minute` begins at `start_ns`. The wire chooses the count, so this goes by slots and not by packets.
        """
        until_ns: cython.longlong
        some: cython.longlong
        while count > 0:
            until_ns = start_ns if at_ns < start_ns else (at_ns // self.slot_ns + 1) * self.slot_ns
            some = count
            if step_ns > 0:
                some = min(count, (until_ns - at_ns + step_ns - 1) // step_ns)
            self.lose_at(row, minute, max(at_ns, start_ns), some)
            at_ns += some * step_ns
            count -= some

    def note_gap(self, row: StreamRow, last_ns: cython.longlong, stamp_ns: cython.longlong) -> None:
        """Nothing came between these times, of two packets: each slot has its own part of it."""
        number: cython.longlong
        newest: cython.longlong = stamp_ns // self.slot_ns
        for number in range(max(last_ns // self.slot_ns, newest - RING + 1), newest + 1):
            if self.slot(row, number) is not cython.NULL:
                self.note_part(
                    slot_of(row, number),
                    min(stamp_ns, (number + 1) * self.slot_ns) - max(last_ns, number * self.slot_ns),
                )

    def note_part(self, slot: SlotRow, part_ns: cython.longlong) -> None:
        slot.gap = max(slot.gap, (part_ns + GAP_UNIT_NS // 2) // GAP_UNIT_NS + KEPT_ZERO)

    def paused(self, stream: int, from_ns: cython.longlong, until_ns: cython.longlong) -> bool:
        """Whether nothing of a stream came between two times in one slot of a minute that is still open."""
        row: StreamRow = self.known(stream)
        if row.last_ns <= from_ns or row.first_ns >= until_ns:
            return True
        slot: SlotRow = self.slot(row, from_ns // self.slot_ns)
        return slot is not cython.NULL and slot.gap >= (until_ns - from_ns) // GAP_UNIT_NS

    # --- corrections

    def forget_slots(self, row: StreamRow) -> None:
        """Drops the ring's delays, which came from a wrong clock."""
        at: cython.longlong
        for at in range(RING):
            row.timeline[at].late = 0
            row.timeline[at].jitter = 0

    def carry_slots(self, row: StreamRow, following: MinuteRow, first: cython.longlong) -> None:
        """A candidate's minute, of which slot `first` is the first, goes on in the `following` one."""
        number: cython.longlong
        slot: SlotRow
        if following.slot == 0:
            self.enter(row, following, first + SLOTS)
        there: SlotRow = self.slot(row, first + SLOTS)
        for number in range(first, first + SLOTS):
            slot = self.slot(row, number)
            if slot is not cython.NULL and there is not cython.NULL:
                there.lost = min(there.lost + slot.lost, MOST)
                there.late = min(there.late + slot.late, MOST)
                there.jitter = max(there.jitter, slot.jitter)
                slot.lost = slot.late = slot.packets = slot.jitter = slot.gap = 0

    def shift(self, shift_ns: int) -> None:
        """Slots of the time before have other numbers: what is not harvested counts in the next slot."""
        super().shift(shift_ns)
        for number in range(self.used):
            row: StreamRow = row_of(self, number)
            for odd in (0, 1):
                minute: MinuteRow = half(row, odd)
                minute.slot = minute.slotted = 0

    # --- results

    def taken_slots(self, row: StreamRow, minute: MinuteRow, minute_start_ns: cython.longlong) -> bytes:
        """Takes the minute's slots as they lie in the row, without the oldest where these are not kept.

        They start at 0 again.
        """
        number: cython.longlong
        newest: cython.longlong
        first: cython.longlong = minute_start_ns // self.slot_ns
        end: cython.longlong = first + SLOTS
        if minute.slot == 0 and minute.packets == 0:
            return b""
        if minute.slot == 0:  # a first packet that counts since the second one came, a minute later
            minute.slot = end - 1
        if minute.slot < end - 1:
            self.enter(row, minute, end - 1)
        else:
            self.leave(row, minute)
        newest = max(row.even.slot, row.odd.slot)
        first = min(max(first, newest - RING + 1), end)
        octets: bytes = slot_octets(row, first, end)
        for number in range(first, end):
            if cython.compiled:
                memset(slot_of(row, number), 0, SLOT_BYTES)  # type: ignore[name-defined]
            else:
                clear(slot_of(row, number))
        return octets
