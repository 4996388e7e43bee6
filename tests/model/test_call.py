"""Which legs make a call, and how long it is up."""

from __future__ import annotations

import pytest

from agent.config.settings import CallSettings, Config
from tests.kit.conversation import ALICE, BOB, BOB2, CAROL, VC, Conversation, Heard, Script, sdp

SILENT = Config(calls=CallSettings(correlation_headers=("X-CID", "Session-ID", "P-Charging-Vector")))


def two_legs(second: dict[str, object], headers: tuple[str, str] = ("", ""), gap: float = 5.0) -> Heard:
    """A B2BUA's two legs: answered on both, joined or not."""
    talk = Conversation(SILENT)
    alice = talk.leg(ALICE, VC)
    outside = talk.leg(VC, BOB, **{"call_id": "out", "from_tag": "v"} | second)
    alice.invite(0, headers=headers[0])
    outside.invite(gap, headers=headers[1])
    outside.ok(gap + 1)
    alice.ok(gap + 1.1)
    return talk.play(until=61)


def joined(heard: Heard) -> bool:
    assert heard.counts() == (1, 1, 0)
    assert heard.counters["legs_unjoined"] == (0 if len(heard.calls) == 1 else 1)
    return len(heard.calls) == 1


# -- joining rules, in order


def test_same_call_id_joins() -> None:
    assert joined(two_legs({"call_id": "call-1"}))


def test_same_from_tag_and_cseq_join_topology_hiding() -> None:
    assert joined(two_legs({"from_tag": "a", "from_user": "x"}))


def test_same_from_tag_with_another_cseq_does_not_join() -> None:
    assert not joined(two_legs({"from_tag": "a", "from_user": "x", "cseq": 7}))


@pytest.mark.parametrize(
    "headers",
    [
        ("X-CID: 77\r\n", "X-CID: 77\r\n"),
        ("Session-ID: ab;remote=00\r\n", "Session-ID: ab;remote=cd\r\n"),
        ("P-Charging-Vector: icid-value=9;icid-generated-at=x\r\n", 'P-Charging-Vector: icid-value="9"\r\n'),
    ],
)
def test_equal_correlation_headers_join(headers: tuple[str, str]) -> None:
    assert joined(two_legs({"from_user": "x"}, headers))


def test_null_session_id_joins_nothing() -> None:
    null = f"Session-ID: {'0' * 32};remote={'0' * 32}\r\n"
    assert not joined(two_legs({"from_user": "x"}, (null, null)))


def test_header_that_is_not_configured_joins_nothing() -> None:
    assert not joined(two_legs({"from_user": "x"}, ("X-Other: 1\r\n", "X-Other: 1\r\n")))


def test_call_id_with_a_configured_suffix_joins() -> None:
    assert joined(two_legs({"call_id": "call-1_b2b-1", "from_user": "x"}))


def test_same_users_within_the_join_window_join() -> None:
    assert joined(two_legs({"from_user": "15550001"}, gap=1.9))


def test_same_users_after_the_join_window_do_not_join() -> None:
    assert not joined(two_legs({}, gap=2.1))


def test_join_window_starts_anew_with_a_challenged_invite() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    outside = talk.leg(VC, BOB, call_id="out", from_tag="v")
    alice.invite(0)
    alice.respond(0.1, 407)
    alice.invite(4, cseq=2)
    outside.invite(4.5)
    assert talk.play(until=61).counters["legs_unjoined"] == 0


def test_same_users_within_the_window_after_a_joined_legs_final_join() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    alice.invite(0)
    for number, at in ((1, 1.0), (2, 20.0)):
        leg = talk.leg(VC, BOB, call_id=f"out-{number}", from_tag=f"v{number}")
        leg.invite(at)
        leg.respond(at + 18, 503)
    heard = talk.play(until=61)
    assert heard.counters["legs_unjoined"] == 0


def test_ambiguity_leaves_legs_apart_and_is_counted() -> None:
    talk = Conversation()
    talk.leg(ALICE, VC, call_id="one", from_tag="1").invite(0)
    talk.leg(ALICE, VC, call_id="two", from_tag="2").invite(0.5)
    talk.leg(VC, BOB, call_id="out", from_tag="v").invite(1)
    heard = talk.play(until=61)
    assert heard.counters["joins_ambiguous"] == 1
    assert heard.counters["legs_unjoined"] == 1
    assert heard.counts()[0] == 2


def test_earlier_rule_wins_over_a_later_ambiguous_one() -> None:
    talk = Conversation()
    talk.leg(ALICE, VC, call_id="one", from_tag="1").invite(0)
    talk.leg(ALICE, VC, call_id="two", from_tag="2").invite(0.5)
    talk.leg(VC, BOB, call_id="two_b2b-1", from_tag="v").invite(1)
    heard = talk.play(until=61)
    assert heard.counters["joins_ambiguous"] == 0
    assert ["two", "two_b2b-1"] in [row["call_ids"] for row in heard.calls]


def test_constant_from_tag_of_a_poor_endpoint_is_ambiguous_between_two_calls() -> None:
    talk = Conversation()
    for number in (1, 2):
        talk.leg(ALICE, VC, call_id=f"in-{number}", from_tag="same", from_user=f"u{number}").invite(0)
    talk.leg(VC, BOB, call_id="out", from_tag="same", from_user="x").invite(5)
    heard = talk.play(until=61)
    assert heard.counters["joins_ambiguous"] == 1


def test_a_call_has_one_incoming_leg() -> None:
    talk = Conversation()
    talk.leg(ALICE, VC, from_tag="1").invite(0)
    talk.leg(ALICE, VC, from_tag="2").invite(0.5)
    assert talk.play().counts()[0] == 2


def test_fork_to_a_customer_and_a_carrier_with_one_call_id_has_a_leg_for_each() -> None:
    talk = Conversation()
    bob = talk.leg(BOB, VC)
    bob.invite(0)
    talk.leg(VC, ALICE).invite(0.1)
    mobile = talk.leg(VC, BOB2)
    mobile.invite(0.2)
    heard = talk.play(until=30, finish=False)
    legs = heard.pipeline.engine.signalling._legs["call-1"]
    assert len({leg.call for leg in legs}) == 1
    assert [(leg.way, leg.side) for leg in legs] == [
        ("incoming", "remote"),
        ("outgoing", "customer"),
        ("outgoing", "remote"),
    ]


# -- how long a call is up


def answered(talk: Conversation, **names: object) -> Script:
    leg = talk.leg(ALICE, VC, **names)
    leg.invite(0, sdp=sdp(ALICE, 4000))
    return leg


def test_bye_glare_ends_once() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    call.bye(30)
    call.bye(30.001, by="callee")
    heard = talk.play(until=121)
    assert heard.active()[:2] == [0, 0]
    assert len(heard.calls) == 1
    assert heard.extra("sessions_completed") == [1]


def test_bye_of_the_counting_leg_alone_ends_the_call() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    call.incoming.bye(30)  # the vc's BYE to the other side was lost to the capture
    assert talk.play(until=61).active()[0] == 0


def test_bye_of_an_outgoing_leg_leaves_the_caller_up() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    call.outgoing.bye(30, by="callee")
    call.incoming.bye(70)
    heard = talk.play(until=121)
    assert heard.active()[:2] == [1, 0]
    assert heard.extra("sessions_completed") == [1]


def test_two_other_legs_keep_a_call_up_whose_counting_leg_has_left() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    second = talk.leg(VC, BOB2, call_id="out-2", from_tag="v2")
    second.invite(10, headers="X-CID: call-1\r\n")
    second.ok(12)
    call.incoming.bye(20)  # an attended transfer: the transferor leaves, the B2BUA has bridged the others
    second.bye(70)
    heard = talk.play(until=121)
    assert heard.active()[:2] == [1, 0]
    assert len(heard.calls) == 1


@pytest.mark.parametrize("status", [401, 403, 500])
def test_refused_bye_ends_nothing(status: int) -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.bye(10, answered=False)
    leg.reply(10.1, status, "BYE")
    talk.rtp(20, (ALICE, 4000), (VC, 5000))
    leg.bye(70)
    heard = talk.play(until=121)
    assert heard.active()[:2] == [1, 0]
    assert heard.total("CustomerToVcRtpPackets") == 50
    assert heard.extra("sessions_completed") == [1]


@pytest.mark.parametrize("status", [0, 481])
def test_bye_from_a_third_address_ends_nothing_unless_the_vc_accepts_it(status: int) -> None:
    for answer, active in ((status, 1), (200, 0)):
        talk = Conversation()
        answered(talk).ok(1)
        stranger = talk.leg(CAROL, VC)
        stranger.bye(10, answered=False)
        if answer:
            stranger.reply(10.1, answer, "BYE")
        assert talk.play(until=61).active()[0] == active


def test_bye_of_both_parties_ends_though_both_are_refused() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1)
    leg.bye(10, answered=False)
    leg.bye(10.01, by="callee", answered=False)
    leg.reply(10.1, 481, "BYE")
    assert talk.play(until=61).active()[0] == 0


def test_bye_ends_the_media_of_its_leg_alone() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.incoming.invite(0, sdp=sdp(ALICE, 4000))
    call.outgoing.invite(0.1, sdp=sdp(VC, 6000))
    call.outgoing.ok(1, sdp=sdp(BOB, 7000))
    call.incoming.ok(1.1, sdp=sdp(VC, 5000))
    call.outgoing.bye(10, by="callee")
    for at in (12, 30):  # within media_linger, and after it
        talk.rtp(at, (BOB, 7000), (VC, 6000), sequence=at * 50)
        talk.rtp(at, (ALICE, 4000), (VC, 5000), sequence=at * 50)
    heard = talk.play(until=61)
    assert heard.total("RemoteToVcRtpPackets") == 50
    assert heard.total("CustomerToVcRtpPackets") == 100


def test_bye_lost_ends_by_silence_after_call_timeout() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    call.ack(1.5)
    heard = talk.play(until=421)
    assert heard.active()[:7] == [1, 1, 1, 1, 1, 0, 0]
    assert heard.call["end_reason"] == "silence"


def test_rtp_in_either_direction_keeps_a_call_up() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, sdp=sdp(VC, 5000))
    for minute in range(8):
        talk.rtp(minute * 60 + 10, (VC, 5000), (ALICE, 4000), sequence=minute * 50)
    assert talk.play(until=481).active()[:8] == [1] * 8


@pytest.mark.parametrize(
    ("direction", "address"), [("inactive", ALICE), ("sendonly", ALICE), ("sendrecv", "0.0.0.0")]
)
def test_held_call_has_hold_timeout(direction: str, address: str) -> None:
    talk = Conversation(Config(calls=CallSettings(hold_timeout=900)))
    leg = answered(talk)
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.request(10, "INVITE", sdp=sdp(address, 4000, direction=direction))
    leg.reply(10.1, 200, "INVITE", sdp=sdp(VC, 5000, direction="recvonly"))
    heard = talk.play(until=1021)
    assert heard.active()[:17] == [1] * 15 + [0, 0]


def test_hold_for_ten_minutes_then_resumed_is_one_call_all_the_time() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.request(10, "INVITE", sdp=sdp(ALICE, 4000, direction="sendonly"))
    leg.reply(10.1, 200, "INVITE", sdp=sdp(VC, 5000, direction="recvonly"))
    leg.request(610, "INVITE", sdp=sdp(ALICE, 4000))
    leg.reply(610.1, 200, "INVITE", sdp=sdp(VC, 5000))
    leg.bye(670)
    heard = talk.play(until=721)
    assert heard.active()[:12] == [1] * 11 + [0]
    assert heard.counts() == (1, 1, 0)


def test_later_traffic_reopens_a_call_ended_by_silence() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.request(610, "INFO")
    leg.bye(670)
    heard = talk.play(until=721)
    assert heard.active()[:12] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    assert heard.call["end_reason"] == "bye"


def test_bye_after_silence_ends_and_does_not_reopen() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1)
    leg.bye(610)
    heard = talk.play(until=721)
    assert heard.active()[9:12] == [0, 0, 0]
    assert heard.call["end_reason"] == "bye"


def test_session_timer_that_ran_out_ends_a_call_without_rtp_since() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, headers="Session-Expires: 120;refresher=uac\r\n")
    heard = talk.play(until=241)
    assert heard.active()[:4] == [1, 1, 0, 0]
    assert heard.call["end_reason"] == "timer"


def test_session_timer_that_ran_out_does_not_end_a_call_with_rtp_since() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, sdp=sdp(VC, 5000), headers="Session-Expires: 120\r\n")
    talk.rtp(125, (ALICE, 4000), (VC, 5000), seconds=2)
    assert talk.play(until=241).active()[:4] == [1, 1, 1, 1]


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_refresh_starts_the_session_timer_anew(method: str) -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, headers="Session-Expires: 120\r\n")
    leg.request(100, method)
    leg.reply(100.1, 200, method, headers="Session-Expires: 120\r\n")
    assert talk.play(until=301).active()[:5] == [1, 1, 1, 0, 0]


def test_2xx_without_session_expires_ends_the_session_timer() -> None:
    talk = Conversation()
    leg = answered(talk)
    leg.ok(1, headers="Session-Expires: 120\r\n")
    leg.request(100, "INVITE")
    leg.reply(100.1, 200, "INVITE")
    assert talk.play(until=301).active()[:5] == [1] * 5


def test_calls_active_is_published_only_where_the_minutes_end_was_watched() -> None:
    talk = Conversation()
    answered(talk).ok(1)
    assert talk.play(until=30).active() == [None]


def test_media_server_leg_inside_the_vc_does_not_end_the_call() -> None:
    talk = Conversation()
    alice, inside = talk.leg(ALICE, VC), talk.leg(VC, "10.0.0.2")
    outside = talk.leg("10.0.0.2", BOB)
    for leg, at in ((alice, 0), (inside, 0.1), (outside, 0.2)):
        leg.invite(at)
    for leg, at in ((outside, 1.0), (inside, 1.1), (alice, 1.2)):
        leg.ok(at)
    inside.bye(30)
    assert talk.play(until=61).active()[0] == 1
