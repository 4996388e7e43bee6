"""The open minute, and the effect of time on it: `TABLE` is the code.

A minute is open until the clock passes its end. Then its gauges are taken, and late frames have `lateness`
more. A minute that was not watched to its end has no gauges. Time is an argument, and None is no time: 0 is
the first nanosecond of 1970, a valid time.

`python -m agent.engine.minute_clock` prints the table as it stands in docs/architecture.md.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from agent.engine.walk_cy import ClockTimes
from agent.model.state_table import picture
from agent.model.units import MINUTE_NS


class State(enum.StrEnum):
    BEFORE = "before"  # no frame yet, and watching has not begun
    OPEN = "open"
    ENDED = "ended"  # the gauges are taken; late frames still count
    OVER = "over"  # the capture is at its end


class Event(enum.StrEnum):
    BEGIN = "begin"  # the first frame, or watching begins
    END = "end"  # the clock passes the minute's end
    RESUME = "resume"  # taken over from an engine that had passed the minute's end
    LATENESS = "lateness"  # the clock passes the minute's end by `lateness`
    CUT = "cut"  # nothing more comes for this minute
    SKIP = "skip"  # what follows was not watched
    PART = "part"  # the engine hands over inside the minute
    FINISH = "finish"  # the capture is over


class MinuteWork(Protocol):
    """The engine's part. Each method gets the start of the minute."""

    @property
    def due_ns(self) -> int:
        """The time at which `advance_timers` has work."""
        ...

    def advance_timers(self, now_ns: int) -> None:
        """Let the timers that are due by `now_ns` run out."""
        ...

    def open_minute(self, minute_ns: int) -> None: ...

    def take_gauges(self, minute_ns: int) -> None: ...

    def close_minute(self, minute_ns: int, *, complete: bool) -> None: ...

    def close_part(self, minute_ns: int) -> None: ...

    def skip_minutes(self, minute_ns: int, until_ns: int, watched_ns: int, now_ns: int) -> None:
        """Nothing was watched from `watched_ns` to `now_ns`; the minutes between have no record."""
        ...


def open_minute(clock: MinuteClock, at_ns: int) -> None:
    clock.move_to(at_ns)


def take_gauges(clock: MinuteClock, at_ns: int) -> None:
    clock.work.take_gauges(clock.start_ns)


def close_complete(clock: MinuteClock, at_ns: int) -> None:
    clock.work.close_minute(clock.start_ns, complete=True)
    clock.move_to(clock.end_ns)


def close_incomplete(clock: MinuteClock, at_ns: int) -> None:
    clock.work.close_minute(clock.start_ns, complete=False)
    clock.move_to(clock.end_ns)


def close_part(clock: MinuteClock, at_ns: int) -> None:
    clock.work.close_part(clock.start_ns)


def nothing(clock: MinuteClock, at_ns: int) -> None:
    """No action: at most the state changes."""


Action = Callable[["MinuteClock", int], None]

TABLE: dict[tuple[State, Event], tuple[Action, State]] = {
    (State.BEFORE, Event.BEGIN): (open_minute, State.OPEN),
    (State.BEFORE, Event.FINISH): (nothing, State.OVER),
    (State.OPEN, Event.END): (take_gauges, State.ENDED),
    (State.OPEN, Event.RESUME): (nothing, State.ENDED),
    (State.OPEN, Event.CUT): (close_incomplete, State.OPEN),
    (State.OPEN, Event.SKIP): (open_minute, State.OPEN),
    (State.OPEN, Event.PART): (close_part, State.OPEN),
    (State.OPEN, Event.FINISH): (nothing, State.OVER),
    (State.ENDED, Event.LATENESS): (close_complete, State.OPEN),
    (State.ENDED, Event.CUT): (close_complete, State.OPEN),
    (State.OVER, Event.FINISH): (nothing, State.OVER),
}


class MinuteClock(ClockTimes):
    """The clock of one engine."""

    def __init__(self, work: MinuteWork, lateness_ns: int, idle_ns: int) -> None:
        """`idle_ns`: after so long without a frame or a clock reading there is a gap."""
        super().__init__(idle_ns)
        self.work = work
        self.state = State.BEFORE
        self._lateness_ns = lateness_ns

    @property
    def is_running(self) -> bool:
        return self.state in (State.OPEN, State.ENDED)

    @property
    def start_ns(self) -> int:
        """`minute_ns` where there is one. Raises AssertionError."""
        assert self.minute_ns is not None
        return self.minute_ns

    @property
    def end_ns(self) -> int:
        return self.start_ns + MINUTE_NS

    @property
    def closes_ns(self) -> int:
        """When the open minute closes."""
        return self.end_ns + self._lateness_ns

    def move_to(self, at_ns: int) -> None:
        """Opens the minute of `at_ns`."""
        self.minute_ns = at_ns // MINUTE_NS * MINUTE_NS
        self.work.open_minute(self.minute_ns)

    def happen(self, event: Event, at_ns: int = 0) -> None:
        """Take one step of `TABLE`. Raises KeyError where the state knows no such event."""
        action, self.state = TABLE[self.state, event]
        action(self, at_ns)
        if self.minute_ns is not None:
            self.boundary_ns = self.closes_ns if self.state is State.ENDED else self.end_ns

    # -- events

    def begin(self, now_ns: int) -> None:
        """Watching starts, unless it has."""
        if self.state is State.BEFORE:
            self.happen(Event.BEGIN, now_ns)
            self.see(now_ns)

    def take(self, minute_ns: int | None, now_ns: int | None) -> None:
        """Goes on where another clock was. Only before anything else."""
        self.now_ns = now_ns
        if minute_ns is not None and now_ns is not None:
            self.happen(Event.BEGIN, minute_ns)
            # Time never passes a minute's end without its gauges.
            if now_ns >= self.end_ns:
                self.happen(Event.RESUME)

    def reopen(self, minute_ns: int) -> None:
        """Earlier minutes of the restored state are committed: opens the minute `minute_ns`."""
        self.state = State.BEFORE
        now_ns, self.now_ns = self.now_ns, None
        self.take(minute_ns, now_ns)

    def is_gap(self, now_ns: int) -> bool:
        """Whether so long passed until `now_ns` that capture may not have run."""
        return now_ns - self._watched_ns > self.idle_ns

    @property
    def _watched_ns(self) -> int:
        return max(self.start_ns, self.start_ns if self.now_ns is None else self.now_ns)

    def pass_to(self, now_ns: int) -> None:
        """Let time pass: timers, gauges, closed minutes, in their order."""
        if not self.is_running:
            return
        if self.is_gap(now_ns):
            self.skip_to(now_ns)
        work = self.work
        while (due_ns := min(work.due_ns, self.boundary_ns)) <= now_ns:
            work.advance_timers(due_ns)
            if due_ns >= self.boundary_ns:
                self.happen(Event.END if self.state is State.OPEN else Event.LATENESS)
        self.see(now_ns)

    def skip_to(self, now_ns: int) -> None:
        """Nothing was watched until `now_ns` (two captures, a suspended host): one step for any time."""
        watched_ns = self._watched_ns
        self.cut_to(watched_ns)
        self.work.skip_minutes(self.start_ns, now_ns // MINUTE_NS * MINUTE_NS, watched_ns, now_ns)
        self.happen(Event.SKIP, now_ns)

    def cut_to(self, now_ns: int) -> None:
        """Closes every minute that began by `now_ns`; minutes whose end was not watched have no gauges."""
        while self.start_ns <= now_ns:
            self.happen(Event.CUT)

    def part(self) -> None:
        """The open minute's counts so far become a part of it."""
        if self.state is State.ENDED:
            self.happen(Event.CUT)
        self.happen(Event.PART)


def table() -> str:
    """`TABLE` as it stands in the docs."""
    return picture({key: (action.__name__, state) for key, (action, state) in TABLE.items()})


if __name__ == "__main__":
    print(table())
