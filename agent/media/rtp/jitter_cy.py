# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="no-any-return"
"""Jitter of the packets that a stream admits (RFC 3550 A.8), and the modelled jitter buffer."""
# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import cython

from agent.media.rtp.clocks_cy import Clocks

if not cython.compiled:  # jitter_cy.pxd has them, typed
    from agent import uncompiled
    from agent.media.rtp.clocks_cy import *
    from agent.media.rtp.loss_cy import *
    from agent.media.rtp.stream_row import MinuteRow, StreamRow
    from agent.media.rtp.stream_table_cy import *

    MAX_VOTES, CHECK_EVERY, FEW_PACKETS = uncompiled.constants(__name__, "MAX_VOTES CHECK_EVERY FEW_PACKETS")
    TIME_BASE_US, PACKET_MOST = uncompiled.constants(__name__, "TIME_BASE_US PACKET_MOST")


class Jitter(Clocks):
    """`buffer_us`: the size of the jitter buffer, or where it is adaptive from `least_us` to `most_us`."""

    def __init__(
        self,
        max_streams: int,
        minute_ns: int,
        jitter_buffer_ms: float,
        adaptive: bool,
        jitter_buffer_max_ms: float,
    ) -> None:
        super().__init__(max_streams, minute_ns)
        self.adaptive = adaptive
        self.buffer_us = jitter_buffer_ms * 1000.0
        self.least_us = min(jitter_buffer_ms, jitter_buffer_max_ms) * 1000.0
        self.most_us = jitter_buffer_max_ms * 1000.0

    def jitter(
        self,
        row: StreamRow,
        minute: MinuteRow,
        stamp_ns: cython.longlong,
        ts: cython.longlong,
        second: cython.longlong,
        follows: cython.bint,
    ) -> cython.int:
        """RFC 3550 A.8 for one packet, J in microseconds; 1: it comes too late for the jitter buffer.

        Elapsed times and steps are compared in ticks of 1e-9: exact, and without a division.
        """
        payload_type: cython.longlong = second & 127
        if not (row.settled and payload_type == row.payload_type) and not self.settle(
            row, minute, stamp_ns, ts, payload_type
        ):
            return 0
        begins: cython.bint = second >= 128  # a talkspurt, or a time base
        if row.referenced != 1:
            if row.referenced == MARKED:  # some senders mark every packet: that says nothing
                begins = False
            elif row.referenced != AFTER_OTHER:
                if row.referenced == AFTER_EVENT and ts == row.ref_ts:  # the packet before once more
                    return 0
                row.ref_ns = stamp_ns
                row.ref_ts = ts
                row.referenced = MARKED if begins else 1
                return 0
            row.referenced = 1
        if second >= 128:
            row.referenced = MARKED
        step: cython.longlong = (ts - row.ref_ts) & MASK32
        if step == 0:
            return 0
        if step >= TS_HALF:
            step -= TS_WRAP
        elapsed: cython.double = stamp_ns - row.ref_ns
        row.ref_ns = stamp_ns
        row.ref_ts = ts
        rate: cython.double = row.codec >> 8
        ticks: cython.double = elapsed * rate
        off_us: cython.double = (ticks - step * 1e9) * row.scale
        apart_us: cython.double = -off_us if off_us < 0.0 else off_us
        is_video: cython.bint = row.codec & 255 == VIDEO
        if begins and not is_video:
            usual: cython.double = row.step
            if usual == 0.0:  # as if packets were of 20 ms
                usual = rate / 50.0
            if apart_us > FEW_PACKETS * 1e9 * usual * row.scale:
                self.new_base(row, minute)
                return 0
            if ticks > 2e9 * usual:  # a talkspurt begins
                row.excess_us = 0.0
                return 0
        if apart_us > TIME_BASE_US:
            return self.jump(row, minute, stamp_ns, step, off_us)
        if follows and 0 < step * PACKET_MOST <= rate:  # longer is silence between its descriptors
            self.vote(row, step)
        late: cython.int = 0
        if not is_video:
            # The baseline rises by 500 us a second, so that it follows clocks that drift apart.
            late = self.buffer(row, minute, row.excess_us + off_us - elapsed * 5e-7)
            if late:
                late = self.late(row, minute, stamp_ns, step * 1e9 * row.scale, off_us)
        row.jitter_us += (apart_us - row.jitter_us) / 16.0
        minute.jitter_sum_us += row.jitter_us
        minute.jitter_count += 1
        if row.jitter_us > minute.jitter_max_us:
            minute.jitter_max_us = row.jitter_us
        if minute.jitter_count & CHECK_EVERY == 0 and self.check_clock(row, stamp_ns, ts):
            return 0
        return late

    def buffer(self, row: StreamRow, minute: MinuteRow, excess_us: cython.double) -> cython.int:
        """1: a packet that comes `excess_us` above the baseline is later than the modelled buffer allows."""
        if excess_us < 0.0:
            excess_us = 0.0
        row.excess_us = excess_us
        if excess_us >= DELAY_US:
            self.count_delay(minute, excess_us)
        allowed_us: cython.double = self.buffer_us
        if self.adaptive:
            allowed_us = 4.0 * row.jitter_us
            if allowed_us < self.least_us:
                allowed_us = self.least_us
            if allowed_us > self.most_us:
                allowed_us = self.most_us
        if excess_us <= allowed_us:
            if row.late_run != 1 or excess_us < allowed_us / 2.0:  # a steady delay may swing about the limit
                row.late_run = 0
            return 0
        return 1

    def vote(self, row: StreamRow, step: cython.longlong) -> None:
        """The usual step is the one that most of the last few packets took."""
        if step == row.step:
            if row.votes < MAX_VOTES:
                row.votes += 1
        elif row.votes > 1:
            row.votes -= 1
        else:
            row.step = step
            row.votes = 1
