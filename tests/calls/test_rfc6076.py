"""RFC 6076 per connector, OPTIONS and REGISTER."""

from __future__ import annotations

from typing import Any

import pytest

from agent.calls.rfc6076 import MAX_PENDING, Exchanges, distribution, extras
from agent.model.sides import ONLY
from tests.kit.conversation import ALICE, VC, Conversation


def figures(*calls: tuple[float, float | None, int, float | None]) -> dict[str, Any]:
    """The minute's extras of calls: (INVITE, 180 or None, final status, BYE or None)."""
    talk = Conversation()
    for number, (invite, ringing, status, bye) in enumerate(calls):
        leg = talk.leg(ALICE, VC, call_id=f"c{number}", from_tag=f"t{number}")
        leg.invite(invite)
        if ringing is not None:
            leg.ringing(ringing)
        leg.respond((ringing or invite) + 1, status)
        if bye is not None:
            leg.bye(bye)
    return talk.play(until=61).connector(0).extras


def test_session_request_delay_is_invite_to_first_indication() -> None:
    srd = figures((0, 1.5, 200, None), (10, None, 200, None))["srd_ms"]
    assert (srd["count"], srd["min"], srd["max"]) == (2, 1000.0, 1500.0)


def test_trying_is_no_indication() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.trying(0.1)
    leg.ringing(2)
    assert talk.play().extra("srd_ms")[0]["sum"] == 2000.0


def test_challenge_is_part_of_the_session_request_delay() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 407)
    leg.invite(0.5, cseq=2)
    leg.ringing(2)
    assert talk.play().extra("srd_ms")[0]["sum"] == 2000.0


def test_failed_session_request_delay_is_apart() -> None:
    extra = figures((0, None, 486, None), (5, 6, 486, None))
    assert extra["srd_failed_ms"]["count"] == 1
    assert extra["srd_ms"]["count"] == 1


def test_session_disconnect_delay_and_duration() -> None:
    extra = figures((0, 1, 200, 32))
    assert extra["sdd_ms"]["sum"] == 10.0
    assert extra["sdt_ms"]["sum"] == 30_000.0


def test_ratios_count_what_was_decided_in_the_minute() -> None:
    extra = figures((0, 1, 200, 20), (5, 6, 486, None), (10, None, 503, None), (15, None, 404, None))
    assert extra["ser_percent"] == 25.0
    assert extra["seer_percent"] == 50.0
    assert extra["isa_percent"] == 25.0
    assert extra["scr_percent"] == 25.0


def test_redirected_sessions_are_out_of_ser_and_seer() -> None:
    extra = figures((0, None, 200, None), (5, None, 302, None))
    assert extra["ser_percent"] == extra["seer_percent"] == 100.0


def test_no_response_is_an_ineffective_attempt() -> None:
    talk = Conversation()
    talk.leg(ALICE, VC).invite(0)
    assert talk.play(until=61).extra("isa_percent") == [100.0]


def test_ratio_without_denominator_is_none() -> None:
    assert extras({}, {})["ser_percent"] is None


def test_percentiles_are_nearest_rank() -> None:
    figures = distribution([float(n) for n in range(1, 101)])
    assert [figures[f"p{p}"] for p in (50, 90, 95, 99)] == [50.0, 90.0, 95.0, 99.0]
    assert distribution([7.0])["p99"] == 7.0


def test_options_ping_round_trip_and_its_silence() -> None:
    talk = Conversation()
    ping = talk.leg(VC, ALICE, call_id="ping")
    ping.request(0, "OPTIONS", tag="")
    ping.reply(0.025, 404, "OPTIONS", tag="x")  # any final shows that the peer is there
    ping.request(5, "OPTIONS", tag="")
    extra = talk.play(until=64).connector(0).extras
    assert extra["options_rtt_ms"]["sum"] == pytest.approx(25.0)
    assert (extra["options_requests"], extra["options_answered"], extra["options_unanswered"]) == (2, 1, 1)


def test_register_counts_and_delay() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC, call_id="reg")
    for at, status in ((0, 401), (1, 200), (2, 403)):
        leg.request(at, "REGISTER", tag="")
        leg.reply(at + 0.05, status, "REGISTER", tag="x")
    extra = talk.play(until=64).connector(0).extras
    assert extra["register_requests"] == 3
    assert (extra["register_challenged"], extra["register_accepted"], extra["register_failed"]) == (1, 1, 1)
    assert extra["rrd_ms"]["count"] == 1
    assert extra["ira_percent"] == 50.0


def test_retransmitted_options_counts_once() -> None:
    exchanges = Exchanges()
    assert exchanges.request("OPTIONS", ("c", 1, "b"), ONLY, 0) == "options_requests"
    assert exchanges.request("OPTIONS", ("c", 1, "b"), ONLY, 10**9) is None


def test_scan_of_options_is_bounded() -> None:
    exchanges = Exchanges()
    for number in range(MAX_PENDING + 10):
        exchanges.request("OPTIONS", (str(number), 1, "b"), ONLY, number)
    assert len(exchanges) == MAX_PENDING
