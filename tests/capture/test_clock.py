from __future__ import annotations

from agent.capture.clock import Clock, Step, moved
from agent.wire.frame import CaptureDrop, Frame, batch_of, origin

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


class Host:
    """A host's two clocks."""

    def __init__(self) -> None:
        self.boottime_ns = 5 * SECOND
        self.set_ns = START_NS - self.boottime_ns

    def realtime_ns(self) -> int:
        return self.boottime_ns + self.set_ns

    def clock(self) -> Clock:
        return Clock(self.realtime_ns, lambda: self.boottime_ns)


def test_a_clock_that_is_never_set_moves_nothing() -> None:
    host = Host()
    clock = host.clock()
    host.boottime_ns += 3600 * SECOND
    assert clock.look() is None
    assert clock.now_ns() == START_NS + 3600 * SECOND
    assert clock.stamp(12345) == 12345


def test_a_small_set_is_taken_out_of_the_stamps() -> None:
    host = Host()
    clock = host.clock()
    host.boottime_ns += SECOND
    host.set_ns -= 400_000_000
    assert clock.look() is None
    assert clock.stamp(host.realtime_ns()) == START_NS + SECOND
    assert clock.now_ns() == START_NS + SECOND


def test_a_frame_stamped_before_the_set_and_read_after_it_keeps_its_place() -> None:
    for set_by_ns in (-400_000_000, 400_000_000):
        host = Host()
        clock = host.clock()
        host.boottime_ns += SECOND
        before_ns = host.realtime_ns()
        host.boottime_ns += 20_000_000
        host.set_ns += set_by_ns
        assert clock.look() is None
        assert clock.stamp(before_ns) == START_NS + SECOND
        assert clock.stamp(host.realtime_ns()) == START_NS + SECOND + 20_000_000


def test_a_step_over_a_second_sets_engine_time_once() -> None:
    host = Host()
    clock = host.clock()
    host.set_ns += 3600 * SECOND
    assert clock.look() == Step(START_NS, START_NS + 3600 * SECOND)
    assert clock.look() is None
    assert clock.steps == 1
    assert clock.now_ns() == host.realtime_ns()
    assert clock.stamp(host.realtime_ns()) == host.realtime_ns()


def test_small_sets_that_add_up_to_a_second_are_a_step() -> None:
    host = Host()
    clock = host.clock()
    steps = 0
    for _ in range(5):
        host.boottime_ns += 60 * SECOND
        host.set_ns += 300_000_000
        steps += clock.look() is not None
    assert steps == 1
    assert abs(clock.now_ns() - host.realtime_ns()) <= SECOND


def test_reading_the_clocks_one_after_the_other_is_no_skew() -> None:
    host = Host()
    clock = host.clock()
    host.set_ns += 30_000
    clock.look()
    assert clock.stamp(START_NS) == START_NS


def test_batches_on_engine_time_run_evenly_through_sets_of_the_clock() -> None:
    host = Host()
    clock = host.clock()
    stamps, steps, clocks = [], [], []
    for set_by_ns in (0, -500_000_000, 0, -3600 * SECOND, 0):
        host.boottime_ns += 20_000_000
        host.set_ns += set_by_ns
        stamp_ns = host.realtime_ns()
        batch = batch_of([Frame(b"x", stamp_ns, origin(1, 0), 1)])
        batch.losses.append(CaptureDrop(stamp_ns - 5, stamp_ns, 1))
        steps.append(clock.look())
        clocks.append(moved(batch, stamp_ns, clock) - START_NS)
        stamps.append(batch.frame(0).stamp_ns - START_NS)
        assert batch.losses == [CaptureDrop(stamps[-1] + START_NS - 5, stamps[-1] + START_NS, 1)]
    assert stamps == clocks
    assert stamps[:3] == [20_000_000, 40_000_000, 60_000_000]
    assert [step is not None for step in steps] == [False, False, False, True, False]
    assert stamps[4] - stamps[3] == 20_000_000
    assert stamps[4] == host.realtime_ns() - START_NS
