"""Records of calls before their minute closes: each change once, and the minute's own record all the same."""

from __future__ import annotations

import pytest

from agent.config.settings import Config, ConnectorSettings
from agent.summary import interval
from tests.kit.conversation import ALICE, BEGIN_NS, BOB, SECOND_NS, VC, Conversation, Heard, Script


def heard(until: float) -> Heard:
    """A call that rings at 1 s, is answered at 4 s and over at 30 s, up to a time; no minute is over."""
    talk = Conversation()
    leg = talk.proxied(ALICE, BOB)
    for at, act in ((0, leg.invite), (1, leg.ringing), (4, leg.ok), (4.1, leg.ack), (30, leg.bye)):
        if at <= until:
            act(at)
    return talk.play(until=until, finish=False)


@pytest.mark.parametrize(
    ("until", "outcome", "answered", "over"),
    [(2, "pending", None, None), (5, "answered", 4, None), (50, "answered", 4, 30)],
)
def test_news_has_each_call_as_it_is_now(
    until: float, outcome: str, answered: float | None, over: float | None
) -> None:
    intervals = heard(until).pipeline.intervals
    (row,) = intervals.news()
    assert row["outcome"] == outcome
    for name, at in (("answer_ns", answered), ("end_ns", over)):
        stamp_ns = row[name]
        assert (stamp_ns is None) == (at is None)
        assert at is None or abs(stamp_ns - BEGIN_NS - at * SECOND_NS) < SECOND_NS // 10
    assert intervals.news() == []


def test_call_that_was_told_is_in_its_minute_once_it_is_over() -> None:
    told = heard(50)
    told.pipeline.intervals.news()
    for event in told.pipeline.engine.finish():
        told.pipeline.intervals.record(event)
    (summary,) = told.pipeline.intervals.closed()
    assert [row["call_id"] for row in summary.calls] == ["call-1"]
    assert summary.live == []


def test_call_that_lingers_into_the_next_minute_is_in_the_minute_of_its_start() -> None:
    """Its record comes 5 s after its end, and the media of its own minute must find the call."""
    talk = Conversation()
    leg = talk.proxied(ALICE, BOB)
    for at, act in ((20, leg.invite), (22, leg.ok), (22.1, leg.ack), (57, leg.bye)):
        act(at)
    first, second = talk.play(until=70).summaries
    assert [row["call_id"] for row in first.live] == ["call-1"]
    assert not first.calls
    assert [row["call_id"] for row in second.calls] == ["call-1"]
    assert not second.live


def test_call_of_no_connector_yet_waits_for_its_minute() -> None:
    trunks = [
        ConnectorSettings(id="a", customer_networks=("192.0.2.0/24",)),
        ConnectorSettings(id="b", customer_networks=("203.0.113.0/24",)),
    ]
    talk = Conversation(Config(connectors=trunks))
    Script(talk, BOB, VC).invite(0)  # nobody knows yet to which customer it goes
    told = talk.play(until=5, finish=False)
    assert told.pipeline.intervals.news() == []


def test_more_calls_than_the_bound_wait_for_their_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval, "MAX_NEWS", 2)
    talk = Conversation()
    for number in range(3):
        leg = talk.proxied(ALICE, BOB, call_id=f"call-{number}", from_tag=f"a{number}")
        leg.invite(number)
        leg.ok(number + 0.5)
    told = talk.play(until=10, finish=False)
    assert len(told.pipeline.intervals.news()) == 2
    for event in told.pipeline.engine.advance(BEGIN_NS + 70 * SECOND_NS):
        told.pipeline.intervals.record(event)
    (summary,) = told.pipeline.intervals.closed()
    assert len(summary.live) == 1
