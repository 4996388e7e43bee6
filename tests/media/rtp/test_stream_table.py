"""The table beside the rows: counts that few streams have, in records that come and go."""

from __future__ import annotations

from typing import Any

from tests.kit.loop_tap import MINUTE, T0, counts_of, rtp

LOST = (20, 24, 28, 29)  # a burst, of three runs
EVENT = 150  # a packet of another type


def lossy(tap: Any, begin_ms: float = 0.0, first: int = 0) -> None:
    """4 s of packets, of which these numbers behind `first` are lost. What is lost is known 64 later."""
    for number in range(1, 201):
        if number not in LOST:
            kind = 101 if number == EVENT else 8
            tap.send(begin_ms + number * 20, rtp(first + number, payload_type=kind))


def test_stream_without_loss_or_lateness_has_no_record_whatever_its_type(make: Any) -> None:
    for payload_type in (0, 8, 111):
        tap = make()
        for seq in range(100):
            tap.send(seq * 20, rtp(seq, payload_type=payload_type))
        assert tap.loop.rare_used == 0
        assert tap.loop.harvest(tap.stream, T0).packets == 100


def test_record_of_a_closed_minute_is_used_again(make: Any) -> None:
    tap = make()
    for minute in range(5):
        lossy(tap, minute * 60_000, minute * 200)
        taken = tap.loop.harvest(tap.stream, T0 + minute * MINUTE)
        assert (taken.bursts, taken.burst_lost, sum(taken.runs)) == (1, 4, 3)
        assert dict(taken.by_type) == {8: 195, 101: 1}
        assert (tap.loop.rare_used, tap.loop.rare_spares) == (1, 1)


def test_stream_that_goes_gives_its_record_back(make: Any) -> None:
    tap = make()
    lossy(tap)
    assert (tap.loop.rare_used, tap.loop.rare_spares) == (1, 0)
    tap.loop.drop(tap.stream)
    assert tap.loop.rare_spares == 1
    lossy(tap, begin_ms=10_000)
    assert (tap.loop.rare_used, tap.loop.rare_spares) == (1, 0)
    assert tap.loop.harvest(tap.stream, T0).bursts == 1  # of the new one alone


def test_two_open_minutes_have_a_record_each(make: Any) -> None:
    tap = make()
    lossy(tap, begin_ms=55_000)
    lossy(tap, begin_ms=60_000, first=200)
    assert tap.loop.rare_used == 2
    for minute in (0, 1):
        assert tap.loop.harvest(tap.stream, T0 + minute * MINUTE).bursts == 1
    assert tap.loop.rare_spares == 2


def test_snapshot_has_the_records(make: Any) -> None:
    before, after = make(), make()
    lossy(before)
    after.loop.restore(before.loop.save())
    assert after.loop.rare_used == 1
    (one,), (other,) = (tap.loop.harvest_all(T0) for tap in (before, after))
    assert counts_of(one) == counts_of(other)
    assert one.bursts == 1
    assert (one.runs, one.delays, one.by_type) == (other.runs, other.delays, other.by_type)
