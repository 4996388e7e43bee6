"""The engine: frames and time in, facts out. No socket, clock, thread or logger.

RTP is finished inside the loop; what is not plain RTP (SIP, RTCP, fragments, TCP) comes out of it frame by
frame, in capture order, and is handled here. Minutes are UTC-aligned: a minute's gauges are taken at its
end, and it closes when the clock passes its end by `lateness`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent.calls.signalling_cy import CallRules, Signalling
from agent.engine.intake_cy import Intake
from agent.errors import Reason
from agent.gc_pause import held_off
from agent.media.leg_media_cy import LegMedia
from agent.media.rtp.loop_cy import STOP_END, STOP_SLOW, STOP_STREAM, Loop
from agent.media.rtp.workers import Lock, RtpWorkers
from agent.media.streams_cy import Observer, QualityRules
from agent.model.events import Event, MinuteClosed, MinutesSkipped
from agent.model.sides import Sides
from agent.model.units import MINUTE_NS
from agent.transport.rate_limit import RateLimit
from agent.wire.frame import CAPTURED, ORIGIN, STAMP, STRIDE, Batch

if TYPE_CHECKING:
    from array import array

SECOND_NS = 1_000_000_000
FOREVER_NS = 1 << 62
MAX_MISSED = 64  # spans that the capture missed: what was silent since before them is judged by them
STREAM_IDLE_NS = 120 * SECOND_NS  # silent streams are forgotten: two minutes, so that none is half counted


class Rules(Struct, frozen=True):
    """Everything that configuration says about tracking. Nanoseconds unless the name says otherwise."""

    calls: CallRules = CallRules()
    quality: QualityRules = QualityRules()
    observer: Observer = "vc"
    count_unsignalled: bool = True
    lateness_ns: int = 3 * SECOND_NS
    single_span: bool = False
    adaptive_buffer: bool = False
    max_buffer_ms: float = 200.0
    max_streams: int = 200_000
    sip_budget: int = 0  # messages a second from one far address, 0: no bound
    idle_ns: int = 3600 * SECOND_NS  # after so long without a frame, or a word of the clock, there is a gap


class Engine:
    """`feed` takes a batch, `advance` a time; both return the facts so far, in order."""

    def __init__(
        self,
        sides: Sides,
        rules: Rules | None = None,
        turns: Sequence[Lock] = (),
        before: Engine | None = None,
    ) -> None:
        """`turns`: one a thread that sifts RTP out of the frames before they come here; none: `feed` does.
        `before`: the engine that this one will go on from in the same process (`follow`)."""
        rules = rules or Rules()
        self.rules = rules
        self.sides = sides
        # Where its settings stay the loop goes on itself: no snapshot holds the first packet of a stream.
        self._goes_on = before is not None and _loop_settings(before.rules) == _loop_settings(rules)
        self.loop: Loop | RtpWorkers
        if before is not None and self._goes_on:
            self.loop = before.loop
        else:
            self.loop = RtpWorkers(self._made, turns) if turns else self._made()
        self._out: list[Event] = []
        self.media = LegMedia(
            self.loop,
            sides,
            self._out,
            quality=rules.quality,
            observer=rules.observer,
            count_unsignalled=rules.count_unsignalled,
        )
        self.signalling = Signalling(rules.calls, sides, self.media, self._out)
        self.rejects: Counter[Reason] = self.media.rejects
        self.counters: Counter[str] = self.signalling.counters
        self.missed: deque[tuple[int, int]] = deque(maxlen=MAX_MISSED)
        self.intake = Intake(
            sides, self.signalling, self.media, RateLimit(rules.sip_budget), self.rejects, rules.single_span
        )
        self.now_ns = 0
        self.late_frames = 0  # of what is not plain RTP; the loop has its own
        self._minute_ns = 0  # the oldest minute not closed; 0 before the first frame
        self._ended = False  # its gauges are taken

    @property
    def budget(self) -> RateLimit:
        """What one source of SIP may have parsed."""
        return self.intake.budget

    @property
    def lanes(self) -> RtpWorkers:
        """Where capture threads sift; only with `turns`."""
        assert isinstance(self.loop, RtpWorkers)
        return self.loop

    def _made(self) -> Loop:
        return Loop(**_loop_settings(self.rules))

    # -- time

    @property
    def _boundary_ns(self) -> int:
        """When the open minute ends or, once it has, when it closes."""
        end_ns = self._minute_ns + MINUTE_NS
        return end_ns + self.rules.lateness_ns if self._ended else end_ns

    @property
    def _due_ns(self) -> int:
        """When something must happen before another frame is taken."""
        return min(self.signalling.due_ns, self._boundary_ns)

    def advance(self, now_ns: int) -> list[Event]:
        """Let time pass up to `now_ns`: timers, gauges, closed minutes."""
        self._meet(now_ns)
        self._pass(now_ns)
        return self._taken()

    def _pass(self, now_ns: int) -> None:
        if not self._minute_ns:
            return
        if now_ns - max(self.now_ns, self._minute_ns) > self.rules.idle_ns:
            self._skip(now_ns)
        while (due_ns := self._due_ns) <= now_ns:
            self.signalling.advance(due_ns)
            end_ns = self._minute_ns + MINUTE_NS
            if not self._ended and due_ns >= end_ns:
                self.signalling.minute_end(self._minute_ns, end_ns)
                self._ended = True
            elif self._ended and due_ns >= end_ns + self.rules.lateness_ns:
                self._close(complete=True)
        self.now_ns = max(self.now_ns, now_ns)

    def begin(self, now_ns: int) -> None:
        """Live: watching starts now, traffic or not. A file starts with its first frame."""
        if not self._minute_ns:
            self._begin(now_ns)

    @property
    def minute_ns(self) -> int:
        """The start of the oldest minute that is not closed; 0 before the first frame."""
        return self._minute_ns

    def begin_at(
        self, minute_ns: int, now_ns: int, loop: bytes, missed: Iterable[tuple[int, int]], shift_ns: int
    ) -> None:
        """Go on where another engine was at `now_ns`, with its loop's streams. Only before any frame.

        `minute_ns`, `missed` and the loop's times are still to be moved by `shift_ns`. Raises ValueError
        where the snapshot is not this loop's.
        """
        if not self._goes_on:
            self.loop.restore(loop)
        self.now_ns = now_ns
        if shift_ns:
            self.loop.shift(shift_ns)
            minute_ns = now_ns // MINUTE_NS * MINUTE_NS
        for start_ns, end_ns in missed:
            (self._missed if self._goes_on else self._miss)(start_ns + shift_ns, end_ns + shift_ns)
        if minute_ns:
            self._begin(minute_ns)
            # Time never passes a minute's end without its gauges.
            self._ended = now_ns >= self._minute_ns + MINUTE_NS

    def follow(self, before: Engine, shift_ns: int) -> None:
        """Take over what no checkpoint holds, from the engine before in this process, after `begin_at`.

        Where the clock was set, what was stamped by it and is over in a moment stays behind.
        """
        self.intake.follow(before.intake, not shift_ns)
        self.media.follow(before.media, shift_ns)

    def discard(self, until_ns: int) -> None:
        """Drop restored counts of minutes that were committed before."""
        while self._minute_ns and self._minute_ns < until_ns:
            before = len(self._out)
            self.media.harvest(self._minute_ns, self.loop.harvest_all(self._minute_ns))
            del self._out[before:]
            self._minute_ns += MINUTE_NS
            self.loop.closed_ns = self._minute_ns
            self._ended = False
            self._open()

    def resume(self, now_ns: int) -> list[Event]:
        """Frames may have passed since what was restored: gaps of that time are the capture's own.

        A minute that ended meanwhile is closed without its gauges: nobody was alive at its end.
        """
        if self._minute_ns and now_ns > self.now_ns:
            self._miss(self.now_ns, now_ns)
            self.signalling.interrupted()
            if now_ns >= self._minute_ns + MINUTE_NS:
                self._skip(now_ns)
            self.now_ns = now_ns
        self.begin(now_ns)
        self.now_ns = max(self.now_ns, now_ns)  # what moves a fresh engine along must find it in the present
        return self._taken()

    def _miss(self, start_ns: int, end_ns: int) -> None:
        """The capture missed frames between these times."""
        self.loop.lose(start_ns, end_ns)
        self._missed(start_ns, end_ns)

    def _missed(self, start_ns: int, end_ns: int) -> None:
        """The same, of which the loop knows."""
        self.missed.append((start_ns, end_ns))
        self.media.missed_ns = max(self.media.missed_ns, end_ns)

    def _begin(self, stamp_ns: int) -> None:
        self._minute_ns = stamp_ns // MINUTE_NS * MINUTE_NS
        self.loop.closed_ns = self._minute_ns
        self._open()

    def _open(self) -> None:
        self.media.open_minutes = [self._minute_ns, self._minute_ns + MINUTE_NS]

    @held_off()
    def _close(self, *, complete: bool) -> None:
        end_ns = self._minute_ns + MINUTE_NS
        self.signalling.settle(end_ns)
        self.media.harvest(self._minute_ns, self.loop.close(self._minute_ns, end_ns))
        self._out.append(MinuteClosed(self._minute_ns, complete, self.budget.taken_shed()))
        self._minute_ns = end_ns
        self._ended = False
        self._open()
        self.media.streams.expire(end_ns - STREAM_IDLE_NS)

    def _skip(self, now_ns: int) -> None:
        """Nothing came for minutes (two captures hours apart, a suspended host): they were not watched."""
        watched_ns = max(self.now_ns, self._minute_ns)
        while self._minute_ns <= watched_ns:
            self._close(complete=self._ended)
        until_ns = now_ns // MINUTE_NS * MINUTE_NS
        if until_ns > self._minute_ns:
            self._out.append(MinutesSkipped(self._minute_ns, until_ns))
        self.signalling.advance(now_ns)
        self._miss(watched_ns, now_ns)
        self._minute_ns = self.loop.closed_ns = until_ns
        self._ended = False
        self._open()

    def overdue_ns(self, now_ns: int) -> int:
        """How long the close of the oldest open minute is overdue; at most 0 when it is not."""
        return now_ns - (self._minute_ns + MINUTE_NS + self.rules.lateness_ns) if self._minute_ns else 0

    def suspend(self) -> list[Event]:
        """Close what the open minutes hold as parts of them. All that is known of calls stays."""
        self._meet(FOREVER_NS)
        if self._minute_ns:
            self._pass(self.now_ns)
            if self._ended:
                self._close(complete=True)
            self.media.harvest(self._minute_ns, self.loop.harvest_all(self._minute_ns))
            self._out.append(MinuteClosed(self._minute_ns, False, self.budget.taken_shed()))
        return self._taken()

    def shed(self, level: int) -> None:
        """The host cannot follow (`agent.daemon.overload`): do without what is missed least."""
        self.media.streams.shedding = level >= 2
        self.budget.strained = level >= 3

    def rejected(self) -> Counter[str]:
        """Records that did not parse, by reason, the loop's and ours."""
        total = Counter({str(reason): count for reason, count in self.rejects.items()})
        total.update(self.loop.rejects())
        return total

    def late(self) -> int:
        """Frames of a minute already closed, the loop's and ours."""
        return int(self.loop.late_frames) + self.late_frames

    def duplicates(self) -> int:
        """Copies removed before counting, the loop's and ours."""
        return int(self.loop.duplicate_frames) + self.intake.duplicates

    def tables(self) -> dict[str, int]:
        """Sizes of the tables that the wire fills."""
        return {
            "calls": len(self.signalling),
            "streams": len(self.media.streams),
            "streams_unexplained": len(self.media.streams.unexplained),
            "media_sockets": len(self.media.offers),
            "unsignalled_pairs": len(self.media.unsignalled),
            **self.intake.tables(),
        }

    def finish(self) -> list[Event]:
        """The capture is over. Closes what is open; its last minute is a part without gauges."""
        self._meet(FOREVER_NS)
        if self._minute_ns:
            self._pass(self.now_ns)
            self.signalling.finish(self.now_ns)
            self.loop.finish()
            while self._minute_ns <= self.now_ns:
                self._close(complete=self._ended)
        return self._taken()

    def _taken(self) -> list[Event]:
        # The list itself is shared with those who fill it, so it is emptied, not replaced.
        events = self._out[:]
        self._out.clear()
        return events

    # -- frames

    def feed(self, batch: Batch) -> list[Event]:
        """Take frames in capture order; of a batch that was sifted, what is no RTP."""
        if isinstance(self.loop, RtpWorkers):
            return self._sifted(self.loop, batch)
        for loss in batch.losses:
            self._miss(loss.start_ns, loss.end_ns)
        if len(batch) and not self._minute_ns:
            self._begin(batch.index[STAMP])
        self.budget.thin(batch)
        count = len(batch)
        if not count:
            return self._taken()
        self.loop.hold(batch.data)
        self.intake.hold(batch.data)
        try:
            self._walked(self.loop, batch, count)
        finally:
            self.loop.hold(b"")
            self.intake.hold(b"")
        self.now_ns = max(self.now_ns, self.loop.newest_ns)
        return self._taken()

    def _walked(self, loop: Loop, batch: Batch, count: int) -> None:
        data, index, signalling, position = batch.data, batch.index, self.signalling, 0
        idle_ns, boundary_ns = self.rules.idle_ns, self._boundary_ns
        while position < count:
            due_ns = signalling.due_ns
            if due_ns > boundary_ns:
                due_ns = boundary_ns
            position = loop.walk(data, index, position, due_ns)
            stopped = loop.stopped
            if stopped == STOP_STREAM:
                self.media.streams.fresh(loop.fresh)
                continue
            if stopped == STOP_END:
                break
            stamp_ns = index[position * STRIDE + STAMP]
            if stamp_ns >= due_ns or stamp_ns - self.now_ns > idle_ns:
                self._pass(stamp_ns)
                boundary_ns = self._boundary_ns
            if stopped == STOP_SLOW:
                self._slow(index, position * STRIDE, stamp_ns)
                position += 1

    def _sifted(self, lanes: RtpWorkers, batch: Batch) -> list[Event]:
        """The loops had this batch before us, and know its losses."""
        for loss in batch.losses:
            self._missed(loss.start_ns, loss.end_ns)
        self.budget.thin(batch)
        self.intake.hold(batch.data)
        try:
            for position in range(len(batch)):
                stamp_ns = batch.index[position * STRIDE + STAMP]
                self._meet(stamp_ns)
                if stamp_ns >= self._due_ns or stamp_ns - self.now_ns > self.rules.idle_ns:
                    self._pass(stamp_ns)
                self._slow(batch.index, position * STRIDE, stamp_ns)
        finally:
            self.intake.hold(b"")
        return self._taken()

    def _meet(self, until_ns: int) -> None:
        """Streams that capture threads accepted by then."""
        if isinstance(self.loop, RtpWorkers):
            for stream_id, clean in self.loop.begun(until_ns):
                self.media.streams.fresh(stream_id, clean)

    def _slow(self, index: array[int], at: int, stamp_ns: int) -> None:
        """The frame whose row is `index[at:]`, which is not plain RTP; its batch is held."""
        if stamp_ns > self.now_ns:
            self.now_ns = stamp_ns
        if stamp_ns < self._minute_ns:
            self.late_frames += 1
            stamp_ns = self._minute_ns
        self.intake.frame(index[at], index[at + CAPTURED], stamp_ns, index[at + ORIGIN])


def _loop_settings(rules: Rules) -> dict[str, Any]:
    return {
        "max_streams": rules.max_streams,
        "jitter_buffer_ms": rules.quality.jitter_buffer_ms,
        "adaptive": rules.adaptive_buffer,
        "jitter_buffer_max_ms": rules.max_buffer_ms,
        "single_span": rules.single_span,
    }
