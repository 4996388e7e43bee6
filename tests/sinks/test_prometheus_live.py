"""Counters move with the traffic: at any moment they are what was seen by then, and they never go back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from agent.config.settings import Config
from agent.model.units import MINUTE_NS
from agent.pipeline import build, pass_on
from agent.sinks.prometheus import Totals
from agent.summary.catalog import METRICS
from agent.summary.records import Summary
from agent.wire.frame import Frame, batch_of
from tests.kit.halves import frames_of
from tests.kit.minutes import connector, summary
from tests.kit.replayed import PCAPS, sidecar

NAMES = sorted(path.stem for path in PCAPS.glob("*.json"))
COUNTS = [metric for metric in METRICS if metric.kind == "count"]
Shown = dict[tuple[str, tuple[str, ...]], float]


class Watched:
    """A pipeline whose totals are published as the daemon does it."""

    def __init__(self, name: str) -> None:
        side = sidecar(name)
        config = Config()
        config.vc.public_addresses = side.get("public_addresses", {})
        self.pipeline = build(config, vc=side["vc"], customers=side["customer_networks"], key=b"key")
        self.totals = Totals(live=True)
        self.totals.begin(self.pipeline.intervals.nothing())
        self.closed: Counter[tuple[str, str]] = Counter()

    def messages(self, rows: list[dict[str, Any]]) -> None:
        pass

    def commit(self, summary: Summary) -> None:
        self.totals.add(summary)
        for minute in summary.connectors:
            for metric in COUNTS:
                value = minute.values[metric.name]
                self.closed[metric.name, minute.voice_connector_id] += (
                    value if isinstance(value, int) else minute.seen.get(metric.name, 0)
                )

    def feed(self, frames: list[Frame]) -> None:
        pass_on(self.pipeline.engine.feed(batch_of(frames)), self.pipeline.intervals, self)

    def scrape(self) -> Shown:
        self.totals.publish(*self.pipeline.so_far())
        return shown(self.totals)


def shown(totals: Totals) -> Shown:
    totals.refresh = lambda: None  # type: ignore[method-assign]  # published just before
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in totals.families()
        if family.type == "counter"
        for sample in family.samples
    }


@pytest.mark.parametrize("name", NAMES)
def test_counters_never_go_back_and_end_at_what_the_minutes_have(name: str) -> None:
    frames = frames_of(name)
    watched = Watched(name)
    before: dict[tuple[str, tuple[str, ...]], float] = {}
    step = max(1, len(frames) // 60)
    for at in range(0, len(frames), step):
        watched.feed(frames[at : at + step])
        now = watched.scrape()
        assert all(now.get(key, 0) >= value for key, value in before.items()), at  # an unknown 0 is left out
        before = now
    pass_on(watched.pipeline.engine.finish(), watched.pipeline.intervals, watched)
    end = watched.scrape()
    assert all(end.get(key, 0) >= value for key, value in before.items())
    for metric in COUNTS:
        for (counted, whose), value in watched.closed.items():
            if counted == metric.name:
                key = (
                    f"{metric.prometheus}_total",
                    tuple(sorted((whose, "local", *(v for _, v in metric.labels)))),
                )
                assert end.get(key, 0) == value, (metric.name, whose)


def packets(found: Shown) -> float:
    return sum(value for (name, _), value in found.items() if name == "sbcwatch_rtp_packets_total")


def test_a_rate_over_any_interval_is_what_ran_in_it() -> None:
    """At 1, 5, 15 and 60 s between scrapes: no interval has a minute's packets, and none has nothing."""
    name = "twenty-inbound"
    frames = frames_of(name)
    for seconds in (1, 5, 15):
        watched, at, before, increments = Watched(name), 0, 0.0, []
        due_ns = frames[0].stamp_ns
        truth = []
        while at < len(frames):
            due_ns += seconds * 1_000_000_000
            begun = at
            while at < len(frames) and frames[at].stamp_ns < due_ns:
                at += 1
            watched.feed(frames[begun:at])
            now = packets(watched.scrape())
            increments.append(now - before)
            truth.append(sum(1 for each in frames[begun:at] if is_rtp(each)))
            before = now
        for counted, ran in zip(increments, truth, strict=True):
            assert abs(counted - ran) <= 0.02 * max(truth), (seconds, counted, ran)


def is_rtp(frame: Frame) -> bool:
    data = frame.data
    return len(data) >= 44 and data[23] == 17 and data[42] >> 6 == 2 and not 192 <= data[43] <= 223


def test_calls_up_are_those_of_the_moment_and_not_of_the_last_minute() -> None:
    name = "answered-inbound"
    frames = frames_of(name)
    watched, seen = Watched(name), []
    for at in range(0, len(frames), 4):
        watched.feed(frames[at : at + 4])
        watched.scrape()
        seen.append(gauge(watched.totals, "sbcwatch_calls_active", "inbound"))
    assert seen[0] == 0
    assert 1 in seen
    assert seen[-1] == 0
    assert frames[-1].stamp_ns - frames[0].stamp_ns < MINUTE_NS, "all within a minute"


def gauge(totals: Totals, name: str, label: str) -> float | None:
    for family in totals.families():
        for sample in family.samples:
            if sample.name == name and label in sample.labels.values():
                return float(sample.value)
    return None


def test_a_count_that_turned_out_unknown_stays_as_far_as_it_was_seen() -> None:
    totals = Totals(live=True)
    totals.publish([connector(Sip2xxCodes=5)], 0)
    unknown = connector(Sip2xxCodes=None)
    unknown.seen = {"Sip2xxCodes": 7}
    unknown.unknown_because = [{"cause": "capture_drops", "sight": "all", "direction": None, "count": 3}]
    totals.add(summary(0, connectors=[unknown]))
    totals.publish([connector(Sip2xxCodes=2)], 0)
    found = shown(totals)
    assert found["sbcwatch_sip_responses_total", ("2xx", "us-east-1", "vc1")] == 9
    assert found["sbcwatch_unknown_intervals_total", ("capture_drops", "us-east-1", "vc1")] == 1


def test_what_was_taken_back_is_never_subtracted_and_delays_nothing_later() -> None:
    totals = Totals(live=True)
    totals.publish([connector(Sip2xxCodes=100)], 0)
    totals.add(summary(0, connectors=[connector(Sip2xxCodes=None)]))
    totals.publish([connector(Sip2xxCodes=0)], 0)
    key = "sbcwatch_sip_responses_total", ("2xx", "us-east-1", "vc1")
    assert shown(totals)[key] == 100
    totals.publish([connector(Sip2xxCodes=4)], 0)
    assert shown(totals)[key] == 104


def test_a_close_moves_counts_from_open_to_closed_in_one_step() -> None:
    totals = Totals(live=True)
    key = "sbcwatch_sip_responses_total", ("2xx", "us-east-1", "vc1")
    totals.publish([connector(Sip2xxCodes=10)], 0)
    totals.add(summary(0, connectors=[connector(Sip2xxCodes=12)]))
    assert shown(totals)[key] == 10, "a scrape between the two sees neither twice"
    totals.publish([connector(Sip2xxCodes=1)], 0)
    assert shown(totals)[key] == 13


def test_an_engine_that_does_not_answer_is_waited_for_once() -> None:
    import time

    totals = Totals(live=True)
    totals.publish([connector(Sip2xxCodes=10)], 3)
    begun = time.monotonic()
    for _ in range(20):
        totals.refresh()
    assert time.monotonic() - begun < 2.0
    assert totals.asked
    assert gauge(totals, "sbcwatch_calls_active_unknown", "") is None  # it has no labels
    assert totals.calls_active_unknown == 3


def test_figures_of_the_last_minute_are_gauges() -> None:
    totals = Totals()
    minute = connector()
    minute.coverage = {"vc2cust": 0.75, "cust2vc": None}
    minute.extras = {"ser_percent": 98.5, "seer_percent": None}
    totals.add(summary(0, connectors=[minute]))
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in totals.families()
        for sample in family.samples
        if family.name in ("sbcwatch_coverage_ratio", "sbcwatch_rfc6076_percent")
    }
    assert found == {
        ("sbcwatch_coverage_ratio", "vc1", "us-east-1", "vc2cust"): 0.75,
        ("sbcwatch_rfc6076_percent", "vc1", "us-east-1", "ser"): 98.5,
    }
