"""Silence that the capture did not watch decides nothing."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.settings import Config
from agent.model.events import CallOver, Concluded, Unseen
from agent.model.unseen import Cause, Sight
from agent.pipeline import build
from agent.wire.frame import Batch, CaptureDrop, batch_of
from tests.kit.conversation import ALICE, BEGIN_NS, BOB, SECOND_NS, VC, Conversation
from tests.kit.scene import REMOTE, VC_R, Scene

Span = tuple[float, float]


def events_of(talk: Conversation, until: float, drop: Span | None, count: int | None = 5) -> list[Any]:
    """What the engine tells of a conversation in whose capture there is a drop."""
    engine = build(Config(), vc=[VC], customers=["192.0.2.0/24"]).engine
    frames = [frame for _, _, frame in sorted(talk.frames, key=lambda row: row[:2])]
    batch = batch_of(frames)
    events = engine.feed(batch)
    if drop is not None:
        start, end = (BEGIN_NS + round(at * SECOND_NS) for at in drop)
        events += engine.advance(end) + engine.feed(
            Batch(b"", batch_of([]).index, [CaptureDrop(start, end, count)])
        )
    return events + engine.advance(BEGIN_NS + round(until * SECOND_NS))


def outcomes(events: list[Any]) -> list[str]:
    return [event.outcome for event in events if isinstance(event, Concluded)]


def invited(*, ringing: bool = False) -> Conversation:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    if ringing:
        leg.ringing(1)
    return talk


@pytest.mark.parametrize(("ringing", "until"), [(False, 40), (True, 190)], ids=["timer b", "timer c"])
def test_timer_over_a_drop_fails_no_call(ringing: bool, until: float) -> None:
    assert outcomes(events_of(invited(ringing=ringing), until, None)) == ["failed"]
    events = events_of(invited(ringing=ringing), until, (10, 10.5))
    assert outcomes(events) == []
    assert [event.call.outcome for event in events if isinstance(event, CallOver)] == ["pending"]


def test_drop_before_the_wait_began_leaves_the_failure() -> None:
    assert outcomes(events_of(invited(), 40, (-3, -2))) == ["failed"]


@pytest.mark.parametrize(
    ("count", "cause"),
    [(5, Cause.CAPTURE_DROPS), (None, Cause.INTERFACE_DOWN)],
    ids=["ring", "interface away"],
)
def test_each_drop_is_told_as_an_interval_with_its_cause(count: int | None, cause: Cause) -> None:
    told = [event for event in events_of(invited(), 12, (10, 10.5), count) if isinstance(event, Unseen)]
    start_ns = BEGIN_NS + 10 * SECOND_NS
    assert told == [Unseen(start_ns, start_ns + SECOND_NS // 2, Sight.ALL, cause, count)]


def test_time_without_a_process_is_told_as_not_watched() -> None:
    engine = build(Config(), vc=[VC]).engine
    engine.begin(BEGIN_NS)
    told = [e for e in engine.resume(BEGIN_NS + 20 * SECOND_NS) if isinstance(e, Unseen)]
    assert told == [Unseen(BEGIN_NS, BEGIN_NS + 20 * SECOND_NS, Sight.ALL, Cause.NOT_WATCHED, None)]


def test_call_is_not_ended_by_silence_of_which_a_part_was_missed() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    call.ack(1.1)
    for drop, ended in ((None, True), ((100, 200), False)):
        events = events_of(talk, 364, drop)
        up = [event for event in events if type(event).__name__ == "CallsUp"]
        assert (not up[-1].accounts) is ended


@pytest.mark.parametrize("missed", [False, True])
def test_response_counts_whose_request_may_have_left_in_a_drop(missed: bool) -> None:
    """The vc is known to ask, and was never seen to ask the second one."""
    scene = Scene()
    ok, asks = "SIP/2.0 200 OK", "OPTIONS sip:b SIP/2.0"
    scene.sip(1, VC_R, REMOTE, asks, call_id="o", cseq="1 OPTIONS")
    scene.sip(1.1, REMOTE, VC_R, ok, call_id="o", cseq="1 OPTIONS")
    scene.sip(50, "198.51.100.99", VC_R, ok, call_id="p", cseq="1 OPTIONS")
    if missed:
        scene.missed(45, 46)
    (minute,) = scene.play().summaries
    (connector,) = minute.connectors
    counts = {**connector.values, **connector.seen}
    assert counts["Sip2xxCodes"] == (2 if missed else 1)
