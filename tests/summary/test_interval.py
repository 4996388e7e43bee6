from __future__ import annotations

from typing import Any

from agent.config.settings import Config, ConnectorSettings
from agent.model.call_cy import Call, Leg
from agent.model.events import MinuteClosed, MinutesSkipped, Tallied
from agent.model.sides import ONLY, Sides
from agent.model.units import MINUTE_NS
from agent.summary.identity import Identity
from agent.summary.interval import Intervals
from tests.kit.replayed import PCAPS, Replayed, sidecar, through


def replayed_with(**switches: Any) -> Replayed:
    side = sidecar("answered-outbound")
    trunk = ConnectorSettings(id="trunk", customer_networks=tuple(side["customer_networks"]), **switches)
    return through(
        [str(PCAPS / file) for file in side["files"]],
        vc=side["vc"],
        customers=[],
        config=Config(connectors=[trunk]),
    )


def test_connector_without_sip_log_counts_but_writes_no_message() -> None:
    result = replayed_with(log_sip=False)
    assert result.sip == []
    assert result.total("Sip2xxCodes") == sidecar("answered-outbound")["truth"]["responses"]["2xx"]


def test_connector_without_media_log_counts_but_writes_no_record() -> None:
    result = replayed_with(log_media=False)
    assert result.media == []
    assert result.total("CustomerToVcRtpPackets")
    assert result.sip


def counted(intervals: Intervals) -> list[int]:
    """How many of `one` each minute has that was closed since."""
    return [summary.connectors[0].extras.get("one", 0) for summary in intervals.closed() if not summary.gap]


def test_facts_out_of_order_count_in_their_minute_and_late_ones_in_the_oldest_open() -> None:
    intervals = Intervals(Sides(), identity=Identity())
    first, second, third, later = (minute * MINUTE_NS for minute in (1, 2, 3, 9))

    def tally(*stamps_ns: int) -> None:
        for stamp_ns in stamps_ns:
            intervals.record(Tallied(stamp_ns, None, ONLY, "one"))

    tally(first, second, second - 1, second + 1, first + 1)
    intervals.record(MinuteClosed(first, True))
    tally(first + 2, second + 2, first + 3)
    intervals.record(MinuteClosed(second, False))
    tally(second + 3, first)
    intervals.record(MinuteClosed(second, True))
    tally(third)
    intervals.record(MinuteClosed(third, True))
    intervals.record(MinutesSkipped(third + MINUTE_NS, later))
    tally(third, later)
    intervals.record(MinuteClosed(later, True))
    assert counted(intervals) == [3, 5, 2, 1, 2]


def test_a_leg_that_joins_is_named_from_then_on() -> None:
    call, identity = Call(), Identity()
    call.adopt(Leg("call-1", "tag", "outgoing", "192.0.2.1", "customer", 5, 1))
    assert identity.of_call(call)[0] == ["call-1"]
    call.adopt(Leg("call-2", "tag", "incoming", "198.51.100.9", "remote", 6, 1))
    assert identity.of_call(call)[0] == ["call-2", "call-1"]
    assert identity.of_call(call) is identity.of_call(call)
