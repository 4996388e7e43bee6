# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="no-any-return"
"""Which sequence numbers of a stream are lost, and how losses cluster.

A stream remembers its newest 64 numbers, a cell of 32 bits each:

    bits 0-2    receptions, up to 7
    bit 3       discarded: too late for the modelled jitter buffer
    bit 4       unknown: skipped while the capture itself missed frames
    bits 5-15   the newest reception's IP identification, ten bits of it, or else its path
    bits 16-31  its arrival since the stream's first packet, in units of 2**17 ns; of a number that was
                skipped, when it would have come

A number is judged once: when it leaves the window, or sooner at a restart, after 2 s without a packet and at
the stream's end. Until then a late packet can still fill it, so reordering is never loss. Duplicates raise a
cell's receptions and never hide a loss. `top` is the highest number seen, and the newest `unjudged` numbers,
at most 64, are still open.
"""

# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import cython

from agent.media.rtp.timeline_cy import Timelines
from agent.model.stream_minute_cy import StreamMinute

if not cython.compiled:  # loss_cy.pxd has them, typed
    from agent import uncompiled
    from agent.media.rtp.stream_row import MinuteRow, RareRow, StreamRow
    from agent.media.rtp.stream_table_cy import *

    CELL_COUNT, CELL_DISCARDED, CELL_UNKNOWN = uncompiled.constants(
        __name__, "CELL_COUNT CELL_DISCARDED CELL_UNKNOWN"
    )
    TAG_AT, TAG_MASK, IDENTIFIED = uncompiled.constants(__name__, "TAG_AT TAG_MASK IDENTIFIED")
    ARRIVAL_AT, ARRIVAL_MASK, UNIT_SHIFT = uncompiled.constants(
        __name__, "ARRIVAL_AT ARRIVAL_MASK UNIT_SHIFT"
    )
    (COPY_UNITS,) = uncompiled.constants(__name__, "COPY_UNITS")
    (COPY_NS,) = uncompiled.constants("agent.wire.ip.packet_cy", "COPY_NS")
    MAX_LOSSES, GMIN, SILENCE_NS = uncompiled.constants(__name__, "MAX_LOSSES GMIN SILENCE_NS")
    MAX_SIBLINGS, STANDS_IN = uncompiled.constants(__name__, "MAX_SIBLINGS STANDS_IN")


class Losses(Timelines):
    def __init__(self, max_streams: int, minute_ns: int) -> None:
        super().__init__(max_streams, minute_ns)
        self.losses = 0
        self.loss_start = memoryview(bytearray(4096)).cast("q")
        self.loss_end = memoryview(bytearray(4096)).cast("q")

    # --- the time line of a source socket

    def link(self, streams: list[int]) -> None:
        """Notes that these streams run between the same two sockets: one may send in a gap of another."""
        for at, stream in enumerate(streams):
            row: StreamRow = self.known(stream)
            row.sibling = streams[(at + 1) % len(streams)] + 1 if len(streams) > 1 else 0

    # --- what the capture itself missed

    def lose(self, start_ns: int, end_ns: int) -> None:
        """The capture missed frames between these times: gaps that touch them are unknown, not lost."""
        if self.losses and self.loss_start[self.losses - 1] <= start_ns <= self.loss_end[self.losses - 1]:
            self.loss_end[self.losses - 1] = max(self.loss_end[self.losses - 1], end_ns)  # it goes on
            return
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
        """Whether the capture missed frames at any time from `start_ns` to `end_ns`."""
        at: cython.longlong
        for at in range(self.losses):
            if self.loss_start[at] <= end_ns and self.loss_end[at] >= start_ns:
                return 1
        return 0

    # --- numbers are judged, in order; `minute` is where they count

    def lose_number(self, row: StreamRow, minute: MinuteRow, count: cython.longlong) -> None:
        """The next `count` numbers are lost or discarded. RFC 3611 4.7.2: within Gmin, still one burst."""
        minute.judged = min(minute.judged + count, MASK32)
        if row.since > 0:
            minute.loss_runs += 1
        if row.since >= GMIN:
            row.cluster = count
            row.cluster_received = 0
        else:
            row.cluster = min(row.cluster + count, MASK32)
            row.cluster_received += row.since
        row.since = 0

    def take_number(self, row: StreamRow, minute: MinuteRow) -> None:
        """The next number was received in time."""
        minute.judged += 1
        if row.since >= GMIN:
            minute.gap_packets += 1
            return
        row.since += 1
        if row.since == GMIN:
            self.close_cluster(row, minute)

    def close_cluster(self, row: StreamRow, minute: MinuteRow) -> None:
        """The losses since the last gap are a burst, or one loss alone, which belongs to the gap."""
        if row.cluster == 1:
            minute.gap_lost += 1
            minute.gap_packets += 1
        elif row.cluster > 1:
            rare: RareRow = self.rare_for(minute)
            rare.bursts += 1
            cluster: cython.longlong = row.cluster
            rare.burst_lost = min(rare.burst_lost + cluster, MASK32)
            rare.burst_packets = min(rare.burst_packets + cluster + row.cluster_received, MASK32)
        if row.cluster > 0:
            minute.gap_packets += row.since
        row.cluster = 0
        row.since = GMIN

    def end_run(self, row: StreamRow, minute: MinuteRow) -> None:
        """Ends a run of lost numbers: the next one came, or is unknown."""
        kind: cython.longlong = min(row.run, RUNS) - 1
        rare: RareRow = self.rare_for(minute)
        rare.runs[kind] = min(rare.runs[kind] + 1, MOST)
        row.run = 0

    def came_ns(self, row: StreamRow, cell: cython.uint) -> cython.longlong:
        """When the number of that cell came, or would have come: at most 2**17 ns earlier."""
        newest: cython.longlong = (row.last_ns - row.first_ns) >> UNIT_SHIFT
        units: cython.longlong = newest - ((newest - (cell >> ARRIVAL_AT)) & ARRIVAL_MASK)
        # A product: C leaves the shift of a negative number undefined.
        return row.first_ns + (units + 1) * (1 << UNIT_SHIFT) - 1

    def judge(self, row: StreamRow, minute: MinuteRow, number: cython.longlong) -> None:
        cell: cython.uint = row.window[number & (WINDOW - 1)]
        if cell & (CELL_COUNT | CELL_UNKNOWN) == 0:
            minute.lost = min(minute.lost + 1, MASK32)
            row.run = min(row.run + 1, MASK32)
            self.lose_number(row, minute, 1)
            self.lose_at(row, minute, self.came_ns(row, cell), 1)
            return
        if row.run > 0:
            self.end_run(row, minute)
        if cell & CELL_COUNT == 0:
            minute.unknown = min(minute.unknown + 1, MASK32)
        elif cell & CELL_DISCARDED:
            minute.discarded += 1
            self.lose_number(row, minute, 1)
            self.be_late_at(row, minute, self.came_ns(row, cell))
        else:
            self.take_number(row, minute)

    def judge_to(self, row: StreamRow, minute: MinuteRow, number: cython.longlong) -> None:
        """Judge all numbers not judged yet, to `number` (at most `top`)."""
        at: cython.longlong
        first: cython.longlong = row.top - row.unjudged + 1
        for at in range(first, number + 1):
            self.judge(row, minute, at)
        if number >= first:
            row.unjudged = row.top - number

    def advance(
        self,
        row: StreamRow,
        minute: MinuteRow,
        top: cython.longlong,
        last_ns: cython.longlong,
        stamp_ns: cython.longlong,
    ) -> cython.int:
        """Moves the window so that `top`, a higher one, is its newest number; the numbers between were
        skipped.

        `last_ns`, `stamp_ns`: the newest packet before this one, and this one. A skip of any length costs 64
        steps at most: the wire chooses its length.
        """
        before: cython.longlong = row.top
        leaving: cython.longlong = top - WINDOW
        skipped: cython.longlong = leaving - before  # if positive: that many were never in the window
        cell: cython.uint = 0
        at: cython.longlong
        step_ns: cython.longlong = 0  # from packet to packet, as if they had come evenly
        if top > before + 1:
            step_ns = max(0, stamp_ns - last_ns) // (top - before)
            if self.losses > 0 and self.missed(last_ns, stamp_ns):
                cell = CELL_UNKNOWN
                row.unknown += top - before - 1
            elif row.sibling and self.was_replaced(row, last_ns, stamp_ns):
                self.leap(row, minute, top)
                return 0
        self.judge_to(row, minute, min(leaving, before))
        if skipped > 0:
            if cell:
                minute.unknown = min(minute.unknown + skipped, MASK32)
            else:
                minute.lost = min(minute.lost + skipped, MASK32)
                row.run = min(row.run + skipped, MASK32)
                self.lose_number(row, minute, skipped)
                start_ns: cython.longlong = max(stamp_ns, self.closed_ns) // self.minute_ns * self.minute_ns
                self.lose_between(row, minute, skipped, last_ns + step_ns, step_ns, start_ns)
        for at in range(max(before, leaving) + 1, top):
            if cell & CELL_UNKNOWN == 0:
                cell = self.arrival(row, last_ns + (at - before) * step_ns) << ARRIVAL_AT
            row.window[at & (WINDOW - 1)] = cell
        row.unjudged = min(WINDOW, row.unjudged + top - before)
        row.top = top
        return 0

    def was_replaced(self, row: StreamRow, last_ns: cython.longlong, stamp_ns: cython.longlong) -> cython.int:
        """Whether another SSRC of the same sockets and kind sent in the stream's place since `last_ns`.

        Streams that replace each other have sent no longer together than the time since the first of them
        began. Streams that run side by side have, and a gap in one of them is its own. A few packets stand in
        for nobody: whoever forges them would hide losses.
        """
        other: StreamRow
        found: cython.int = 0
        begun_ns: cython.longlong = row.first_ns
        sent_ns: cython.double = self.sent_ns(row)
        at: cython.longlong = row.sibling
        locks: cython.int = 0
        while 0 < at <= self.used and locks < MAX_SIBLINGS:
            other = row_of(self, at - 1)
            if (
                other.state != ACCEPTED
                or (other.sockets ^ row.sockets) & MASK32
                or other.sockets == row.sockets
                or other.src_lo != row.src_lo
                or other.dst_lo != row.dst_lo
                or other.src_hi != row.src_hi
                or other.dst_hi != row.dst_hi
            ):
                break
            if (other.codec ^ row.codec) & 255 == 0:
                sent_ns += self.sent_ns(other)
                begun_ns = min(begun_ns, other.first_ns)
                if other.last_ns > last_ns and other.received >= STANDS_IN:
                    found = 1
            at = other.sibling
            locks += 1
        return found and sent_ns < 1.1 * (stamp_ns - begun_ns)

    def arrival(self, row: StreamRow, stamp_ns: cython.longlong) -> cython.uint:
        """A cell's arrival bits; counted from the stream's start, so that no clock's phase decides."""
        return ((stamp_ns - row.first_ns) >> UNIT_SHIFT) & ARRIVAL_MASK

    def packet_ns(self, row: StreamRow) -> cython.double:
        """The usual time from packet to packet, 20 ms where it is not known."""
        rate: cython.double = row.codec >> 8
        if row.step and rate > 0.0:
            return row.step * 1e9 / rate
        return 2e7

    def sent_ns(self, row: StreamRow) -> cython.double:
        """How long the stream has been sending in this epoch, by its packets."""
        return row.received * self.packet_ns(row)

    def revive(self, number: int) -> None:
        """Sets the due times of the missing numbers in a row that was filled from outside."""
        super().revive(number)
        row: StreamRow = row_of(self, number)
        at: cython.longlong
        packet_ns: cython.longlong = int(self.packet_ns(row))
        for at in range(row.top - row.unjudged + 1, row.top):
            cell: cython.uint = row.window[at & (WINDOW - 1)]
            if cell & CELL_COUNT == 0 or cell & CELL_DISCARDED:
                came: cython.uint = self.arrival(row, row.last_ns - (row.top - at) * packet_ns)
                row.window[at & (WINDOW - 1)] = cell & ((1 << ARRIVAL_AT) - 1) | came << ARRIVAL_AT

    def leap(self, row: StreamRow, minute: MinuteRow, top: cython.longlong) -> None:
        """Moves on to `top` without judging the numbers before it: another stream stood in for them."""
        at: cython.longlong
        self.judge_to(row, minute, row.top)
        minute.ssrc_gap += top - row.top - 1
        for at in range(max(row.top, top - WINDOW) + 1, top):
            row.window[at & (WINDOW - 1)] = 0
        row.unjudged = 1
        row.top = top

    def start_sequence(self, row: StreamRow, base: cython.longlong) -> None:
        """RFC 3550 A.1 init_seq: nothing before `base` was ever expected. The caller counts `base` itself."""
        at: cython.longlong
        for at in range(WINDOW):
            row.window[at] = 0
        row.base = base
        row.top = base
        row.unjudged = 1
        row.received = 0

    # --- ends: silence, the end of the capture, the end of a stream

    def flush(self, before_ns: int) -> None:
        """Judges the open numbers of every stream that has been silent for 2 s at `before_ns`."""
        number: cython.longlong
        row: StreamRow
        before: cython.longlong = before_ns
        for number in range(self.used):
            row = row_of(self, number)
            if row.state == ACCEPTED and row.unjudged > 0 and row.last_ns + SILENCE_NS <= before:
                self.judge_to(row, self.minute_at(row, row.last_ns + SILENCE_NS), row.top)

    def flush_stream(self, stream: int, before_ns: int) -> None:
        """As `flush`, for one stream."""
        row: StreamRow = self.known(stream)
        if row.state == ACCEPTED and row.unjudged > 0 and row.last_ns + SILENCE_NS <= before_ns:
            self.judge_to(row, self.minute_at(row, row.last_ns + SILENCE_NS), row.top)

    def finish(self) -> None:
        """The capture is over: judges everything, in the minute of each stream's newest packet."""
        number: cython.longlong
        row: StreamRow
        for number in range(self.used):
            row = row_of(self, number)
            if row.state == ACCEPTED:
                self.end(row)

    def end(self, row: StreamRow) -> None:
        minute: MinuteRow = self.minute_at(row, row.last_ns)
        self.judge_to(row, minute, row.top)
        self.close_cluster(row, minute)

    def expire(self, before_ns: int) -> list[int]:
        """Frees the streams without a packet since `before_ns`. Returns their ids, which may be used again.

        A stream whose end adds counts, or that has counts not harvested yet, waits for a later call.
        Candidates are freed without a report.
        """
        freed: list[int] = []
        number: cython.longlong
        row: StreamRow
        before: cython.longlong = before_ns
        for number in range(self.used):
            row = row_of(self, number)
            if row.state == FREE or row.last_ns >= before:
                continue
            if row.state == ACCEPTED:
                self.end(row)
                if self.holds(half(row, 0)) or self.holds(half(row, 1)):
                    continue
                freed.append(number)
            self.remove(number)
        return freed

    def drop(self, stream: int) -> None:
        """Gives a stream up, with its counts since the last harvest."""
        self.known(stream)
        self.remove(stream)

    # --- results

    def harvest(self, stream: int, minute_start_ns: int) -> StreamMinute:
        """Takes the stream's counts of that minute; its counters start at 0 again."""
        row: StreamRow = self.known(stream)
        return self.take(stream, row, half(row, self.is_odd(minute_start_ns)), minute_start_ns)

    def is_odd(self, minute_start_ns: cython.longlong) -> cython.int:
        return (minute_start_ns // self.minute_ns) & 1

    def holds(self, minute: MinuteRow) -> cython.int:
        """Whether anything was counted there. Every other counter implies one of these."""
        return (
            minute.packets > 0
            or minute.judged > 0
            or minute.unknown > 0
            or minute.gap_packets > 0
            or rare_of(self, minute).bursts > 0
        )

    def take(
        self, number: cython.longlong, row: StreamRow, minute: MinuteRow, minute_start_ns: cython.longlong
    ) -> StreamMinute:
        stream_minute: StreamMinute = self.described(number, row, minute_start_ns)
        stream_minute.packets = minute.packets
        stream_minute.bytes = minute.bytes
        stream_minute.judged = minute.judged
        stream_minute.gap_packets = minute.gap_packets
        stream_minute.jitter_sum_us = minute.jitter_sum_us
        stream_minute.jitter_count = minute.jitter_count
        stream_minute.slots = self.taken_slots(row, minute, minute_start_ns)
        stream_minute.jitter_max_us = max(minute.jitter_peak_us, minute.jitter_max_us)
        stream_minute.gaps = minute.lost
        stream_minute.unknown = minute.unknown
        stream_minute.duplicates = minute.duplicates
        stream_minute.reordered = minute.reordered
        stream_minute.discarded = minute.discarded
        stream_minute.loss_runs = minute.loss_runs
        stream_minute.gap_lost = minute.gap_lost
        stream_minute.ssrc_gap = minute.ssrc_gap
        if minute.rare:
            rare: RareRow = rare_of(self, minute)
            stream_minute.bursts = rare.bursts
            stream_minute.burst_packets = rare.burst_packets
            stream_minute.burst_lost = rare.burst_lost
            stream_minute.timebase_changes = rare.timebase_changes
            if rare.type_packets[0]:
                stream_minute.by_type = self.types_of(row, minute)
            stream_minute.runs = self.runs_of(rare)
            stream_minute.delays = self.delays_of(rare)
        self.blank(minute)
        return stream_minute

    def runs_of(self, rare: RareRow) -> tuple[int, ...]:
        """Runs of losses by length; empty: there were none."""
        for at in range(RUNS):
            if rare.runs[at]:
                return tuple([int(rare.runs[at]) for at in range(RUNS)])
        return ()

    def delays_of(self, rare: RareRow) -> tuple[int, ...]:
        """Late packets by how late they were; empty: there were none."""
        for at in range(DELAYS):
            if rare.delays[at]:
                return tuple([int(rare.delays[at]) for at in range(DELAYS)])
        return ()

    def types_of(self, row: StreamRow, minute: MinuteRow) -> tuple[tuple[int, int], ...]:
        """Packets by payload type; the last figure is of the newest type."""
        rest: int = minute.packets
        rare: RareRow = rare_of(self, minute)
        pairs: list[tuple[int, int]] = []
        for at in range(TYPE_SLOTS):
            packets: int = rare.type_packets[at]
            if packets:
                pairs.append((int(rare.types[at]), packets))
                rest -= packets
        newest = int(row.payload_type)
        if rest > 0:
            rest += sum(packets for kind, packets in pairs if kind == newest)
            pairs = [pair for pair in pairs if pair[0] != newest] + [(newest, rest)]
        return tuple(pairs)

    def harvest_all(self, minute_start_ns: int) -> list[StreamMinute]:
        """Takes the counts of every stream that has any in that minute.

        A candidate's counts move on to the next minute: they count once the stream is accepted.
        """
        result: list[StreamMinute] = []
        start_ns: cython.longlong = minute_start_ns
        number: cython.longlong
        row: StreamRow
        minute: MinuteRow
        odd: cython.int = self.is_odd(minute_start_ns)
        for number in range(self.used):
            row = row_of(self, number)
            if row.state == FREE:
                continue
            minute = half(row, odd)
            if row.state == ACCEPTED:
                if self.holds(minute):
                    result.append(self.take(number, row, minute, start_ns))
            elif minute.packets > 0:
                if minute.slot > 0:
                    self.leave(row, minute)
                self.carry_slots(row, half(row, 1 - odd), start_ns // self.slot_ns)
                self.move_on(minute, half(row, 1 - odd))
        return result

    def so_far(self) -> list[tuple[int, int, int, int]]:
        """(row, packets, bytes, numbers lost) of accepted streams in both open minutes. Nothing is taken."""
        result: list[tuple[int, int, int, int]] = []
        number: cython.longlong
        packets: cython.longlong
        size: cython.longlong
        lost: cython.longlong
        row: StreamRow
        for number in range(self.used):
            row = row_of(self, number)
            if row.state != ACCEPTED:
                continue
            packets = row.even.packets
            packets += row.odd.packets
            size = row.even.bytes + row.odd.bytes
            lost = row.even.lost + row.odd.lost
            if packets > 0 or lost > 0:
                result.append((number, packets, size, lost))
        return result

    def move_on(self, minute: MinuteRow, following: MinuteRow) -> None:
        """A candidate may count for hours, so that 32 bits may not do for its packets."""
        packets: cython.longlong = following.packets
        duplicates: cython.longlong = following.duplicates
        judged: cython.longlong = minute.judged
        lost: cython.longlong = minute.lost
        unknown: cython.longlong = minute.unknown
        following.packets = min(packets + minute.packets, MASK32)
        following.duplicates = min(duplicates + minute.duplicates, MASK32)
        following.bytes += minute.bytes
        following.judged = min(following.judged + judged, MASK32)
        following.jitter_sum_us += minute.jitter_sum_us
        following.jitter_peak_us = max(following.jitter_peak_us, minute.jitter_peak_us, minute.jitter_max_us)
        following.gap_packets += minute.gap_packets
        following.jitter_count += minute.jitter_count
        following.lost = min(following.lost + lost, MASK32)
        following.unknown = min(following.unknown + unknown, MASK32)
        following.reordered += minute.reordered
        following.discarded += minute.discarded
        following.loss_runs += minute.loss_runs
        following.gap_lost += minute.gap_lost
        if minute.rare:
            self.move_rare(rare_of(self, minute), self.rare_for(following))
        self.blank(minute)

    def move_rare(self, minute: RareRow, following: RareRow) -> None:
        at: cython.longlong
        following.bursts += minute.bursts
        following.burst_packets += minute.burst_packets
        following.burst_lost += minute.burst_lost
        following.timebase_changes = min(following.timebase_changes + minute.timebase_changes, MOST)
        for at in range(RUNS):
            following.runs[at] = min(following.runs[at] + minute.runs[at], MOST)
        for at in range(DELAYS):
            following.delays[at] = min(following.delays[at] + minute.delays[at], MOST)

    def close(self, minute_start_ns: int, end_ns: int) -> list[StreamMinute]:
        """`harvest_all` of a minute that ended at `end_ns`; a late frame of it counts in the next one."""
        self.flush(end_ns)
        harvest = self.harvest_all(minute_start_ns)
        self.closed_ns = end_ns
        return harvest

    def counted(self, stream: int, sequence: int) -> tuple[int, int, int, int] | None:
        """Our view of the stream up to the number nearest to its newest whose low 16 bits are `sequence`.

        (epoch, expected, received, unknown): RFC 3550 A.3 (duplicates count as received), and how many
        numbers so far the capture may itself have missed. A new epoch is a new count from its own base. None:
        that number is ahead, from before the epoch, or more than 64 numbers back.
        """
        row: StreamRow = self.known(stream)
        number: cython.longlong
        cell: cython.uint
        top: cython.longlong = row.top
        back: cython.longlong = (top - sequence) & 0xFFFF
        if back > WINDOW or top - back < row.base:
            return None
        received: cython.longlong = row.received
        unknown: cython.longlong = row.unknown
        for number in range(top - back + 1, top + 1):
            cell = row.window[number & (WINDOW - 1)]
            received -= cell & CELL_COUNT
            if cell & CELL_UNKNOWN and not cell & CELL_COUNT:
                unknown -= 1
        return row.epoch, top - back - row.base + 1, received, unknown

    def newest(self, stream: int) -> tuple[int, int, int, int, int]:
        """The low 16 bits of the stream's newest number, then our view up to it as in `counted`."""
        row: StreamRow = self.known(stream)
        top: cython.longlong = row.top
        return top & 0xFFFF, row.epoch, top - row.base + 1, row.received, row.unknown
