# cython: language_level=3
"""Walks a batch's frames in capture order: RTP in the loop, time to the clock, all else to the intake.

Compiled, because each SIP message passes it: the steps between the loop and the intake were a tenth of the
cost of a message (`python -m benchmarks.sip`).
"""

from __future__ import annotations

import cython

from agent.calls.signalling_cy import Signalling
from agent.engine.intake_cy import Intake
from agent.media.rtp.loop_cy import Loop
from agent.media.streams_cy import Streams
from agent.wire.frame import Batch

if not cython.compiled:  # walk_cy.pxd has these for the compiler
    from agent.media.rtp.loop_cy import STOP_END as END
    from agent.media.rtp.loop_cy import STOP_SLOW as SLOW
    from agent.media.rtp.loop_cy import STOP_STREAM as STREAM
    from agent.wire.frame import CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE

NO_TIME = -(1 << 62)


class ClockTimes:
    """The times of the minute clock, for which every frame asks. A class of its own, for C keeps them.

    `minute_ns` starts the oldest open minute; None: no minute has begun.
    """

    def __init__(self, idle_ns: cython.longlong) -> None:
        """`idle_ns`: after so long without a frame or a clock reading there is a gap."""
        self.minute_ns: int | None = None
        self.boundary_ns = 0  # when the open minute ends or, once it has, closes
        self.idle_ns = idle_ns
        self._newest_ns = NO_TIME

    @property
    def now_ns(self) -> int | None:
        """The newest time that was seen; None: none yet."""
        return None if self._newest_ns == NO_TIME else self._newest_ns

    @now_ns.setter
    def now_ns(self, now_ns: int | None) -> None:
        self._newest_ns = NO_TIME if now_ns is None else now_ns

    def see(self, stamp_ns: cython.longlong) -> None:
        """Time has reached `stamp_ns`: nothing is due before it."""
        if stamp_ns > self._newest_ns:
            self._newest_ns = stamp_ns

    def is_gap(self, now_ns: int) -> bool:
        """Whether so long passed until `now_ns` that capture may not have run."""
        raise NotImplementedError

    def pass_to(self, now_ns: int) -> None:
        """Let time pass: timers, gauges, closed minutes, in their order."""
        raise NotImplementedError


class Walk:
    """The walk of one engine's batches. `late_frames`: of a minute already closed; the loop has its own."""

    def __init__(self, clock: ClockTimes, signalling: Signalling, streams: Streams, intake: Intake) -> None:
        self.late_frames = 0
        self._clock = clock
        self._signalling = signalling
        self._streams = streams
        self._intake = intake

    def batch(self, loop: Loop, batch: Batch) -> None:
        """Takes all frames of a batch, which `loop` and the intake hold."""
        data = batch.data
        frames = batch.index
        index: cython.longlong[::1] = frames
        clock = self._clock
        count: cython.longlong = len(index) // STRIDE
        position: cython.longlong = 0
        due_ns: cython.longlong
        stamp_ns: cython.longlong
        while position < count:
            due_ns = min(self._signalling.due(), clock.boundary_ns)
            position = loop.walk(data, frames, position, due_ns)
            if loop.stopped == STREAM:
                self._streams.accepted(loop.new_stream)
                continue
            if loop.stopped == END:
                break
            stamp_ns = index[STRIDE * position + STAMP]
            # A frame that comes soon after the last is not behind a gap; of any other the clock knows.
            if stamp_ns >= due_ns or (stamp_ns - clock._newest_ns > clock.idle_ns and clock.is_gap(stamp_ns)):
                clock.pass_to(stamp_ns)
            if loop.stopped == SLOW:
                self.frame(index, STRIDE * position, stamp_ns)
                position += 1

    def frame(self, index: cython.longlong[::1], at: cython.longlong, stamp_ns: cython.longlong) -> None:
        """Takes the frame whose row is `index[at:]`, which is not plain RTP; the intake holds its batch."""
        clock = self._clock
        clock.see(stamp_ns)
        minute_ns = clock.minute_ns
        if minute_ns is not None and stamp_ns < minute_ns:
            self.late_frames += 1
            stamp_ns = minute_ns
        self._intake.frame(
            index[at + OFFSET], index[at + CAPTURED], index[at + WIRE], stamp_ns, index[at + ORIGIN]
        )
