"""The judge of overload by itself: levels come with seconds of lag or drops, and go with calm."""

from __future__ import annotations

import pytest

from agent.daemon.overload import BEHIND_NS, LEVEL_WITH_NS, LOWER_NS, Load
from agent.model.units import SECOND_NS

TICK_NS = SECOND_NS // 20


def run(load: Load, seconds: float, lag_ns: int, *, begin_ns: int, drops_a_tick: int = 0) -> list[int]:
    """The levels after each change."""
    changes, drops = [], 0
    for tick in range(round(seconds * SECOND_NS / TICK_NS)):
        drops += drops_a_tick
        if load.judge(lag_ns, drops, begin_ns + tick * TICK_NS):
            changes.append(load.level)
    return changes


def test_host_that_keeps_up_sheds_nothing() -> None:
    load = Load()
    assert run(load, 60, LEVEL_WITH_NS, begin_ns=1) == []
    assert load.level == 0


def test_each_second_behind_is_a_level_up_to_the_third() -> None:
    load = Load()
    assert run(load, 0.9, BEHIND_NS, begin_ns=1) == []
    load = Load()
    assert run(load, 30, BEHIND_NS, begin_ns=1) == [1, 2, 3]


def test_each_calm_stretch_is_a_level_down() -> None:
    load = Load()
    run(load, 5, BEHIND_NS, begin_ns=1)
    assert run(load, LOWER_NS / SECOND_NS - 1, 0, begin_ns=10 * SECOND_NS) == []
    assert run(load, 60, 0, begin_ns=30 * SECOND_NS) == [2, 1, 0]


@pytest.mark.parametrize("lag_ns", [LEVEL_WITH_NS + 1, BEHIND_NS - 1])
def test_between_the_two_bounds_the_level_stays(lag_ns: int) -> None:
    load = Load()
    run(load, 2.5, BEHIND_NS, begin_ns=1)
    assert run(load, 100, lag_ns, begin_ns=10 * SECOND_NS) == []
    assert load.level == 2


def test_slow_minute_close_alone_is_no_overload() -> None:
    load = Load()
    for minute in range(5):
        begin_ns = 1 + minute * 60 * SECOND_NS
        assert run(load, 0.8, 2 * BEHIND_NS, begin_ns=begin_ns) == []
        assert run(load, 55, 0, begin_ns=begin_ns + SECOND_NS) == []


def test_ring_that_drops_on_is_overload_however_short_its_lag() -> None:
    load = Load()
    assert run(load, 10, 0, begin_ns=1, drops_a_tick=3) == [1, 2, 3]


def test_single_burst_of_drops_sheds_nothing() -> None:
    load = Load()
    load.judge(0, 500, SECOND_NS)
    assert run(load, 30, 0, begin_ns=SECOND_NS + 1) == []
