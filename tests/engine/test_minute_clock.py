"""The minute clock: its table, any stamps, in steps that do not grow with the time between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.capture.stamps import LAST_NS
from agent.engine import minute_clock
from agent.engine.minute_clock import Event, MinuteClock, State
from agent.model.units import MINUTE_NS, SECOND_NS

IDLE_NS = 3600 * SECOND_NS
NEVER_NS = 1 << 62
DOCS = Path(__file__).parents[2] / "docs" / "architecture.md"


class Work:
    """Notes what the clock asks for."""

    due_ns = NEVER_NS

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def advance_timers(self, now_ns: int) -> None: ...

    def open_minute(self, minute_ns: int) -> None:
        self.asked.append(("open", minute_ns))

    def take_gauges(self, minute_ns: int) -> None:
        self.asked.append(("gauges", minute_ns))

    def close_minute(self, minute_ns: int, *, complete: bool) -> None:
        self.asked.append(("close" if complete else "close early", minute_ns))

    def close_part(self, minute_ns: int) -> None:
        self.asked.append(("part", minute_ns))

    def skip_minutes(self, minute_ns: int, until_ns: int, watched_ns: int, now_ns: int) -> None:
        self.asked.append(("skip", until_ns))


def clock_with(work: Work) -> MinuteClock:
    return MinuteClock(work, 3 * SECOND_NS, IDLE_NS)


def test_table_in_the_docs_is_the_one_that_runs() -> None:
    assert minute_clock.table() in DOCS.read_text()


def test_minute_that_starts_at_0_ends_and_closes_like_any_other() -> None:
    work = Work()
    clock = clock_with(work)
    clock.begin(0)
    clock.pass_to(MINUTE_NS + 3 * SECOND_NS)
    assert work.asked == [("open", 0), ("gauges", 0), ("close", 0), ("open", MINUTE_NS)]


def test_time_before_the_first_frame_does_nothing() -> None:
    work = Work()
    clock = clock_with(work)
    clock.pass_to(99 * MINUTE_NS)
    assert (work.asked, clock.minute_ns, clock.now_ns) == ([], None, None)


@pytest.mark.parametrize("years", [1, 50, 136])
def test_gap_of_years_is_one_step(years: int) -> None:
    work = Work()
    clock = clock_with(work)
    clock.begin(30 * SECOND_NS)
    later_ns = years * 365 * 1440 * MINUTE_NS
    clock.pass_to(later_ns)
    assert work.asked == [
        ("open", 0),
        ("close early", 0),
        ("open", MINUTE_NS),
        ("skip", later_ns),
        ("open", later_ns),
    ]


def test_clock_taken_over_behind_the_minutes_end_takes_no_gauges_twice() -> None:
    work = Work()
    clock = clock_with(work)
    clock.take(0, MINUTE_NS + SECOND_NS)
    assert clock.state is State.ENDED
    clock.pass_to(MINUTE_NS + 4 * SECOND_NS)
    assert ("gauges", 0) not in work.asked
    assert ("close", 0) in work.asked


def test_part_of_an_ended_minute_closes_it_first() -> None:
    work = Work()
    clock = clock_with(work)
    clock.begin(0)
    clock.pass_to(MINUTE_NS + SECOND_NS)
    clock.part()
    assert work.asked[-3:] == [("close", 0), ("open", MINUTE_NS), ("part", MINUTE_NS)]


def test_event_that_a_state_does_not_know_is_refused() -> None:
    with pytest.raises(KeyError):
        clock_with(Work()).happen(Event.END)


STAMPS = st.one_of(
    st.sampled_from([0, 30 * SECOND_NS, 59_500_000_000, MINUTE_NS, (2**32 - 1) * SECOND_NS]),
    st.integers(0, LAST_NS),
    st.integers(0, 600).map(lambda minute: minute * MINUTE_NS),
)


@given(st.lists(STAMPS, max_size=30))
@example([0, 59 * MINUTE_NS, 2 * 59 * MINUTE_NS])
def test_any_stamps_end_in_a_bounded_number_of_steps(stamps: list[int]) -> None:
    work = Work()
    clock = clock_with(work)
    for stamp in stamps:
        clock.begin(stamp)
        clock.pass_to(stamp)
    if clock.now_ns is not None:
        clock.cut_to(clock.now_ns)
    # A gap below an hour is walked minute by minute, three steps each; a longer one is one step.
    assert len(work.asked) <= (len(stamps) + 1) * 3 * 63
    opened = [at for what, at in work.asked if what == "open"]
    assert opened == sorted(opened)
