# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="no-any-return"
"""The clock of a stream: the rate that its payload type says, the rate that the wire shows, its time bases.

Every clock rate is compared with the time that passes. Packets come here only where something may change: the
first one of a payload type, a late one, and one of 32 (`check_clock`).
"""
# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import mmap

import cython

from agent.media.rtp.loss_cy import Losses
from agent.wire.rtp.payload_types import STATIC_ROWS

if not cython.compiled:  # clocks_cy.pxd has them, typed
    from agent import uncompiled
    from agent.media.rtp.loss_cy import *
    from agent.media.rtp.stream_row import MinuteRow, RareRow, StreamRow
    from agent.media.rtp.stream_table_cy import *

    OTHER_TYPE, EVENT, COMFORT, VIDEO = uncompiled.constants(__name__, "OTHER_TYPE EVENT COMFORT VIDEO")
    REDUNDANT, REPAIR = uncompiled.constants(__name__, "REDUNDANT REPAIR")
    TYPES, MAX_MAPS, SWEEP_EVERY = uncompiled.constants(__name__, "TYPES MAX_MAPS SWEEP_EVERY")
    TS_HALF, TS_WRAP = uncompiled.constants(__name__, "TS_HALF TS_WRAP")
    TICK_SHIFT, SECOND, MAX_SPAN = uncompiled.constants(__name__, "TICK_SHIFT SECOND MAX_SPAN")
    STEADY_US, DELAY_US = uncompiled.constants(__name__, "STEADY_US DELAY_US")
    AFTER_EVENT, SUSPECT = uncompiled.constants(__name__, "AFTER_EVENT SUSPECT")
    MARKED, AFTER_OTHER = uncompiled.constants(__name__, "MARKED AFTER_OTHER")
    RATE_BITS, RATE_MASK, ODD_SPANS = uncompiled.constants(__name__, "RATE_BITS RATE_MASK ODD_SPANS")


class Clocks(Losses):
    """Keeps the payload maps, and each row's clock. `map_sweeps`: how often unused maps were dropped."""

    def __init__(self, max_streams: int, minute_ns: int) -> None:
        super().__init__(max_streams, minute_ns)
        self.maps = memoryview(mmap.mmap(-1, 4096 * 128 * 8)).cast("q")
        self.free_maps: list[int] = []
        self.map_sweeps = self.refused_maps = 0
        self.map_ids: dict[tuple[tuple[int, tuple[int, int]], ...], int] = {}
        self.payload_map({})

    # --- payload types

    def payload_map(self, rows: dict[int, tuple[int, int]]) -> int:
        """The id of a map payload type -> (clock rate in Hz, kind). Types that it leaves out are RFC 3551's.

        There are 4096 at once. When all are taken, those without a stream are dropped (`map_sweeps`), so ask
        anew then. Where all are in use the static one (0) is given: its dynamic types are inferred.
        """
        merged = {number & 127: row for number, row in {**STATIC_ROWS, **rows}.items()}
        key = tuple(sorted(merged.items()))
        known = self.map_ids.get(key)
        if known is not None:
            return known
        number = self.free_map()
        if number == 0 and self.map_ids:
            return 0
        self.map_ids[key] = number
        for payload_type in range(TYPES):
            self.maps[number * TYPES + payload_type] = 0
        for payload_type, (rate, kind) in key:
            self.maps[number * TYPES + payload_type] = max(1, min(rate, 0xFFFFFF)) << 8 | kind
        return number

    def free_map(self) -> int:
        """A number that no map has; 0: there is none."""
        if not self.free_maps and len(self.map_ids) == MAX_MAPS and self.refused_maps % SWEEP_EVERY == 0:
            in_use = {0}
            for stream in range(self.used):
                row: StreamRow = row_of(self, stream)
                if row.state != FREE:
                    in_use.add(int(row.map))
            self.map_ids = {key: number for key, number in self.map_ids.items() if number in in_use}
            self.free_maps = [number for number in range(MAX_MAPS - 1, 0, -1) if number not in in_use]
            self.map_sweeps += 1
        if self.free_maps:
            self.refused_maps = 0
            return int(self.free_maps.pop())
        if len(self.map_ids) < MAX_MAPS:
            return len(self.map_ids)
        self.refused_maps += 1
        return 0

    def set_map(self, stream: int, map_id: int) -> None:
        """Sets the payload map of the stream from its next packet on."""
        if not 0 <= map_id < MAX_MAPS or self.maps[map_id * TYPES] == 0:
            raise IndexError(f"no payload map {map_id}")
        row: StreamRow = self.known(stream)
        row.map = map_id
        row.settled = 0

    # --- time bases and late packets

    def new_base(self, row: StreamRow, minute: MinuteRow) -> None:
        """The packet's timestamp begins a new time base: it is the reference, and no sample."""
        rare: RareRow = self.rare_for(minute)
        rare.timebase_changes = min(rare.timebase_changes + 1, MOST)
        row.anchored = 0
        row.excess_us = 0.0
        row.late_run = 0

    def jump(
        self,
        row: StreamRow,
        minute: MinuteRow,
        stamp_ns: cython.longlong,
        step: cython.longlong,
        off_us: cython.double,
    ) -> cython.int:
        """Handles a timestamp that disagrees with the time passed by more than 1 s.

        A packet this late belongs to a stall, after which the others catch up, or to a clock that stood
        meanwhile. The next packet decides; until then it is too late for the jitter buffer.
        """
        if step < 0 or off_us < 0.0:
            self.new_base(row, minute)
            return 0
        row.anchored = 0
        row.excess_us += off_us
        row.late_run = SUSPECT
        self.count_delay(minute, row.excess_us)
        return 1

    def count_delay(self, minute: MinuteRow, excess_us: cython.double) -> None:
        """A packet that comes so much above the baseline, 50 ms or more."""
        kind: cython.longlong = 0
        kind += excess_us >= 70_000.0
        kind += excess_us >= 90_000.0
        kind += excess_us >= 120_000.0
        kind += excess_us >= 150_000.0
        kind += excess_us >= 200_000.0
        kind += excess_us >= 300_000.0
        rare: RareRow = self.rare_for(minute)
        rare.delays[kind] = min(rare.delays[kind] + 1, MOST)

    def late(
        self,
        row: StreamRow,
        minute: MinuteRow,
        stamp_ns: cython.longlong,
        step_us: cython.double,
        off_us: cython.double,
    ) -> cython.int:
        """A late packet. The baseline moves after 1 s of steady delay, never while packets catch up."""
        now: cython.longlong = (stamp_ns - row.first_ns) >> TICK_SHIFT
        if row.late_run == SUSPECT and off_us > -step_us / 2.0:  # the clock stood: nothing catches up
            self.new_base(row, minute)
            row.window[(row.top - 1) & (WINDOW - 1)] &= ~CELL_DISCARDED & MASK32
            rare: RareRow = self.rare_for(minute)
            if rare.delays[DELAYS - 1] >= 2:  # this packet, and the one before
                rare.delays[DELAYS - 1] -= 2
            return 0
        excess_us: cython.double = row.excess_us
        if excess_us > 4e9:
            excess_us = 4e9
        moved_us: cython.double = excess_us - row.steady_us
        if row.late_run != 1 or moved_us > STEADY_US or moved_us < -STEADY_US:
            row.late_run = 1
            row.late_from = now & MASK32
            row.steady_us = int(excess_us)
        elif (now - row.late_from) & MASK32 >= SECOND:
            row.late_run = 0
            row.excess_us = 0.0
        return 1

    # --- clock rates

    def settle(
        self,
        row: StreamRow,
        minute: MinuteRow,
        stamp_ns: cython.longlong,
        ts: cython.longlong,
        payload_type: cython.longlong,
    ) -> cython.int:
        """The meaning of a payload type that differs from the last packet's; 0: no jitter of this packet."""
        codec: cython.longlong = self.maps[row.map * TYPES + payload_type]
        kind: cython.longlong = codec & 255
        rate: cython.longlong
        if kind in (EVENT, COMFORT, REPAIR):
            self.count_type(minute, payload_type, 1)
            if kind == EVENT and row.referenced:  # the clock of the audio may stand during digits
                row.referenced = AFTER_EVENT
                row.anchored = 0
                row.excess_us = 0.0
            return 0
        if kind == OTHER_TYPE:
            if payload_type != row.payload_type and row.codec & 255 and row.referenced in (1, MARKED):
                # One alone between others keeps a path open (RFC 6263 4.6); two in a row are a codec.
                self.count_type(minute, payload_type, 1)
                row.referenced = AFTER_OTHER
                return 0
            if payload_type != row.payload_type or row.codec & 255:
                self.use_codec(row, minute, 0, payload_type)
                row.anchored = 0
            if row.codec == 0:
                rate = self.measured_rate(row, stamp_ns, ts)
                if rate:
                    self.use_codec(row, minute, rate << 8, payload_type)
                    row.jitter_us = 0.0
                    row.excess_us = 0.0
                row.ref_ns = stamp_ns
                row.ref_ts = ts
                row.referenced = 1
                return 0
        elif payload_type != row.payload_type or (codec != row.codec and codec != row.refuted):
            self.use_codec(row, minute, codec, payload_type)
        row.settled = 1
        return 1

    def use_codec(
        self, row: StreamRow, minute: MinuteRow, codec: cython.longlong, payload_type: cython.longlong
    ) -> None:
        """From this packet on: another codec or clock rate restarts J, and the packet is its reference."""
        before: cython.longlong = row.codec
        same: cython.bint = payload_type == row.payload_type
        if not same:
            # Packets that no slot has were of the type before, all but this one.
            odd: cython.bint = is_odd_half(row, minute)
            self.count_rest(half(row, 0), row.payload_type, not odd)
            self.count_rest(half(row, 1), row.payload_type, odd)
        row.payload_type = payload_type
        row.codec = codec
        row.refuted = 0
        row.settled = 0
        if codec:
            row.scale = 1e-3 / (codec >> 8)
        if before == 0 and (codec == 0 or same):  # the first packet of all stays the reference
            return
        # Redundant data (RFC 2198) and video's own types share their carrier's clock and timing.
        if codec >> 8 == before >> 8 and (
            codec & 255 == REDUNDANT or before & 255 == REDUNDANT or codec & before & 255 == VIDEO
        ):
            return
        row.jitter_us = 0.0
        row.excess_us = 0.0
        row.referenced = 0
        row.anchored = 0
        row.step = 0

    def count_rest(self, minute: MinuteRow, payload_type: cython.longlong, newest: cython.longlong) -> None:
        """Gives the packets without a slot to this type, all but the `newest` ones (0 or 1)."""
        rest: cython.longlong = minute.packets
        rest -= newest
        rare: RareRow = rare_of(self, minute)
        at: cython.longlong
        for at in range(TYPE_SLOTS):
            rest -= rare.type_packets[at]
        self.count_type(minute, payload_type, rest)

    def count_type(self, minute: MinuteRow, payload_type: cython.longlong, packets: cython.longlong) -> None:
        at: cython.longlong
        if packets == 0:
            return
        rare: RareRow = self.rare_for(minute)
        for at in range(TYPE_SLOTS):
            if rare.type_packets[at] == 0 or rare.types[at] == payload_type:
                rare.types[at] = payload_type
                rare.type_packets[at] += packets
                return
        rare.types[TYPE_SLOTS - 1] = FURTHER_TYPES
        rare.type_packets[TYPE_SLOTS - 1] += packets

    def measured_rate(
        self, row: StreamRow, stamp_ns: cython.longlong, ts: cython.longlong
    ) -> cython.longlong:
        """The clock rate that spans of a second, one after the other, all show; 0: not yet.

        Two are enough for a usual rate, four for another.
        """
        now: cython.longlong = ((stamp_ns - row.first_ns) >> TICK_SHIFT) & MASK32
        span: cython.longlong = (now - row.anchor_at) & MASK32
        ticks: cython.longlong = (ts - row.anchor_ts) & MASK32
        before: cython.longlong = row.guess
        rate: cython.longlong = 0
        agreed: cython.longlong = 0
        if row.anchored and span < SECOND:
            return 0
        if row.anchored and span <= MAX_SPAN and 0 < ticks < TS_HALF:
            rate = self.shown_rate(row, ticks * 1e9 / (span << TICK_SHIFT))
            if rate == before & RATE_MASK:
                agreed = min((before >> RATE_BITS) + 1, ODD_SPANS)
        row.guess = agreed << RATE_BITS | rate
        row.anchored = 1
        row.anchor_at = now
        row.anchor_ts = ts
        return rate if agreed >= ODD_SPANS or (agreed and rate == self.usual_rate(rate)) else 0

    def shown_rate(self, row: StreamRow, seen: cython.double) -> cython.longlong:
        """The rate behind `seen` Hz: a usual one, or what the usual step makes of packets of 10, 20, 30 ms.

        It is rounded down: packets that seem early are never late.
        """
        usual: cython.longlong = self.usual_rate(seen)
        tens: cython.longlong = int(row.step * 100.0 / seen + 0.5)  # of ms, from packet to packet
        if tens == 0:
            return usual
        exact: cython.longlong = row.step
        exact = exact * 100 // tens
        off: cython.double = exact / seen
        if exact > RATE_MASK or off < 0.95 or off > 1.05:
            return usual
        off = exact * 1.0 / usual
        return usual if 0.95 < off < 1.05 else exact

    def usual_rate(self, seen: cython.double) -> cython.longlong:
        """The nearest one; the bounds are geometric means of neighbours. 1000: timestamps in ms."""
        if seen < 2828.0:
            return 1000
        if seen < 11314.0:
            return 8000
        if seen < 19596.0:
            return 16000
        if seen < 27713.0:
            return 24000
        if seen < 37566.0:
            return 32000
        if seen < 46009.0:
            return 44100
        if seen < 65727.0:
            return 48000
        return 90000

    def check_clock(self, row: StreamRow, stamp_ns: cython.longlong, ts: cython.longlong) -> cython.int:
        """Compares the clock rate with time: where it is off, the wire's is taken (1).

        By 1.5 times or more, or by a tenth where the wire shows a rate that no codec has.
        """
        rate: cython.longlong = self.measured_rate(row, stamp_ns, ts)
        declared: cython.longlong = row.codec >> 8
        if rate == 0 or rate == declared:
            return 0
        if rate == self.usual_rate(rate):
            if 2 * rate < 3 * declared and 3 * rate > 2 * declared:
                return 0
        elif row.codec & 255 and 10 * rate < 11 * declared and 11 * rate > 10 * declared:
            return 0
        if row.codec & 255 and row.refuted == 0:
            row.refuted = row.codec
        row.codec = rate << 8 | row.codec & 255
        row.scale = 1e-3 / rate
        row.jitter_us = 0.0
        row.excess_us = 0.0
        row.late_run = 0
        row.since = GMIN
        row.cluster = 0
        at: cython.longlong
        for at in range(WINDOW):
            row.window[at] &= ~CELL_DISCARDED & MASK32
        self.forget_timing(half(row, 0))
        self.forget_timing(half(row, 1))
        self.forget_slots(row)
        return 1

    def forget_timing(self, minute: MinuteRow) -> None:
        """Drops figures by a wrong clock: jitter starts anew, nothing was late, losses are single ones."""
        at: cython.longlong
        if minute.rare:
            rare: RareRow = self.rare_for(minute)
            for at in range(DELAYS):
                rare.delays[at] = 0
            rare.bursts = rare.burst_lost = rare.burst_packets = 0
        minute.jitter_sum_us = 0.0
        minute.jitter_max_us = -1.0
        minute.jitter_peak_us = 0.0
        minute.jitter_count = 0
        minute.discarded = 0
        minute.loss_runs = min(minute.lost, MASK32)
        minute.gap_lost = min(minute.lost, MASK32)
        minute.gap_packets = min(minute.judged, MASK32)
