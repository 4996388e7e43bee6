"""Spans that nobody watched."""

from __future__ import annotations

import pytest

from agent.model.missed import MAX_SPANS, Missed


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "touched"),
    [(0, 9, False), (0, 10, True), (15, 16, True), (20, 30, True), (21, 30, False)],
)
def test_span_touches_what_overlaps_it(start_ns: int, end_ns: int, touched: bool) -> None:
    assert Missed([(10, 20)]).touches(start_ns, end_ns) is touched


def test_time_missed_twice_counts_once() -> None:
    assert Missed([(10, 20), (15, 25), (30, 40)]).within_ns(12, 35) == 13 + 5


def test_more_spans_than_are_kept_the_two_oldest_become_one() -> None:
    missed = Missed()
    for at in range(MAX_SPANS + 1):
        missed.add(at * 10, at * 10 + 1)
    assert len(missed.spans) == MAX_SPANS
    assert missed.touches(5, 6)
