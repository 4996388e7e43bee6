"""A count is null where something passed unseen that it needs, and nowhere else; the minute says why."""

from __future__ import annotations

import pytest

from agent.model.events import MessageSeen, MinuteClosed, Unseen
from agent.model.sides import ONLY, Connector, Sides
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.summary.catalog import METRICS
from agent.summary.identity import Identity
from agent.summary.interval import Intervals
from agent.summary.records import ConnectorMinute, Summary
from agent.summary.unseen import ADVICE, NOT_READ, spread

SIDES = Sides(["10.0.0.1"], customer_networks=["192.0.2.0/24"])
CODES = {f"Sip{n}xxCodes" for n in range(1, 7)}
CALLS = {
    metric.name
    for metric in METRICS
    if metric.name.startswith(("Inbound", "Outbound")) or metric.name == "Throttles"
}
MEDIA = {metric.name for metric in METRICS if metric.kind == "count"} - CODES - CALLS


def closed(*events: Unseen, answers: int = 0, sides: Sides = SIDES) -> Summary:
    """One minute with so many 200s, and what was not seen in it."""
    intervals = Intervals(sides, identity=Identity())
    for number in range(answers):
        intervals.record(MessageSeen(number, None, ONLY, "call-1", 200, b"SIP/2.0 200 OK\r\n\r\n"))
    for event in events:
        intervals.record(event)
    intervals.record(MinuteClosed(0, True))
    (summary,) = intervals.closed()
    return summary


def nulls(minute: ConnectorMinute) -> set[str]:
    """Counts that are null; gauges need calls that are up, which these minutes do not have."""
    return {m.name for m in METRICS if m.kind == "count" and minute.values[m.name] is None}


@pytest.mark.parametrize(
    ("sight", "unknown"),
    [
        (Sight.SIP_CALLS, CALLS),
        (Sight.SIP, CALLS | CODES),
        (Sight.MEDIA, MEDIA),
        (Sight.ALL, CALLS | CODES | MEDIA),
    ],
)
@pytest.mark.parametrize("cause", sorted(NOT_READ))
def test_no_zero_beside_frames_that_were_not_read(sight: Sight, unknown: set[str], cause: Cause) -> None:
    (minute,) = closed(Unseen(0, 0, sight, cause, 1)).connectors
    assert nulls(minute) == {name for name in unknown if not name.endswith("Active")}
    assert minute.unknown_because == [{"cause": cause, "sight": sight, "direction": None, "count": 1}]


def test_cut_sip_leaves_calls_unknown_and_codes_counted() -> None:
    (minute,) = closed(Unseen(0, 0, Sight.SIP_CALLS, Cause.SNAP_LENGTH, 14), answers=8).connectors
    assert minute.values["Sip2xxCodes"] == 8
    assert minute.values["OutboundCallAttempts"] is None


def test_a_few_lost_fragments_in_a_busy_minute_take_its_zeros_and_no_more() -> None:
    (minute,) = closed(Unseen(0, 0, Sight.SIP, Cause.FRAGMENTS, 2), answers=1000).connectors
    assert minute.values["Sip2xxCodes"] == 1000
    assert minute.values["Sip6xxCodes"] is None
    (minute,) = closed(Unseen(0, 0, Sight.SIP, Cause.FRAGMENTS, 200), answers=1000).connectors
    assert minute.values["Sip2xxCodes"] is None


def test_capture_drops_never_make_calls_or_codes_null_that_were_counted() -> None:
    (minute,) = closed(Unseen(0, 0, Sight.ALL, Cause.CAPTURE_DROPS, 5000), answers=1000).connectors
    assert minute.values["Sip2xxCodes"] == 1000
    assert minute.values["Sip5xxCodes"] is None  # most of the host's frames passed unseen
    (minute,) = closed(Unseen(0, 0, Sight.ALL, Cause.CAPTURE_DROPS, 5), answers=1000).connectors
    assert minute.values["Sip5xxCodes"] == 0
    assert minute.unknown_because[0]["count"] == 5


def test_time_that_nobody_counted_is_judged_by_its_length() -> None:
    short = Unseen(0, MINUTE_NS // 200, Sight.ALL, Cause.NOT_WATCHED, None)
    long = Unseen(0, MINUTE_NS // 2, Sight.ALL, Cause.NOT_WATCHED, None)
    assert nulls(closed(short).connectors[0]) == set()
    assert "OutboundCallAttempts" in nulls(closed(long).connectors[0])


def test_one_connectors_frames_leave_the_others_alone() -> None:
    a, b = Connector("a", customer_networks=("192.0.2.0/24",)), Connector("b")
    sides = Sides(["10.0.0.1"], [a, b])
    one, other = closed(Unseen(0, 0, Sight.SIP, Cause.TLS, 9, a), sides=sides).connectors
    assert nulls(one) == {name for name in CALLS | CODES if not name.endswith("Active")}
    assert nulls(other) == set()
    assert other.unknown_because == []


def test_one_direction_leaves_the_others_alone() -> None:
    event = Unseen(0, 0, Sight.MEDIA, Cause.ORPHAN_MEDIA, 9, None, "rem2vc")
    (minute,) = closed(event).connectors
    assert nulls(minute) == {name for name in MEDIA if name.startswith("RemoteToVc")}


def test_interval_over_minutes_is_shared_and_adds_up() -> None:
    event = Unseen(MINUTE_NS // 2, 3 * MINUTE_NS, Sight.ALL, Cause.CAPTURE_DROPS, 1001)
    shares = list(spread(event, 0))
    assert [at_ns // MINUTE_NS for at_ns, _, _ in shares] == [0, 1, 2]
    assert sum(frames for _, frames, _ in shares) == 1001
    assert sum(length_ns for _, _, length_ns in shares) == 3 * MINUTE_NS - MINUTE_NS // 2


def test_every_event_is_accounted_for_once_by_cause() -> None:
    intervals = Intervals(SIDES, identity=Identity())
    sent = 0
    for number, cause in enumerate(Cause, 1):
        intervals.record(Unseen(0, 5 * MINUTE_NS, Sight.ALL, cause, number))
        sent += number
    counters = intervals.unseen.counters()
    assert sum(count for name, count in counters.items() if name.endswith("_frames")) == sent
    assert counters["tls_intervals"] == 1


def test_each_cause_is_told_once_with_what_to_do() -> None:
    intervals = Intervals(SIDES, identity=Identity())
    for _ in range(7):
        intervals.record(Unseen(0, 0, Sight.SIP_CALLS, Cause.SNAP_LENGTH, 2, detail="128 bytes"))
    (line,) = intervals.unseen.lines()
    assert line.startswith("14 packets")
    assert "(128 bytes)" in line
    assert "tcpdump -s 0" in line
    intervals.record(Unseen(0, 0, Sight.SIP_CALLS, Cause.SNAP_LENGTH, 2))
    assert intervals.unseen.lines() == []
    assert set(ADVICE) == set(Cause)
