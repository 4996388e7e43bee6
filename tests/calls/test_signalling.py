"""What counts as an attempt, and how it ends, on traffic that is not kind."""

from __future__ import annotations

import pytest

from agent.config.settings import CallSettings, Config, ConnectorSettings, Limits, Vc
from tests.kit.conversation import ALICE, BEGIN_NS, BOB, BOB2, CAROL, VC, VC_MEDIA, Conversation, sdp

# -- retransmissions, copies


def test_retransmitted_invite_200_and_ack_change_nothing_but_message_counts() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.incoming.invite(0.5, branch=call.incoming.invite_branch)
    call.outgoing.invite(0.505, branch=call.outgoing.invite_branch)
    for at in (2, 2.5, 3.5):
        call.ok(at)
    for at in (2.1, 2.6, 3.6):
        call.ack(at)
    call.bye(30)
    heard = talk.play()
    assert heard.counts() == (1, 1, 0)
    assert heard.total("Sip2xxCodes") == 6 + 2
    assert len(heard.calls) == 1


def test_copy_within_2_ms_counts_once_and_retransmission_counts_again() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(1, 486)
    stamp, _, frame = talk.frames[-1]
    for delay_ms in (1, 1000):
        talk.frames.append(
            (
                stamp + delay_ms * 10**6,
                len(talk.frames),
                frame.__class__(frame.data, stamp + delay_ms * 10**6, frame.origin, frame.wire_length),
            )
        )
    heard = talk.play()
    assert heard.total("Sip4xxCodes") == 2
    assert heard.pipeline.engine.duplicates() == 1


# -- forks and hunting


def test_forked_invite_with_early_dialogs_and_two_2xx_is_one_attempt_answered_once() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ringing(1, tag="b1")
    call.ringing(1.2, tag="b2")
    call.ok(3, tag="b1")
    call.ok(3.1, tag="b2")
    heard = talk.play(until=60)
    assert heard.counts() == (1, 1, 0)
    assert heard.active()[0] == 1


def test_bye_to_the_losing_branch_of_two_2xx_leaves_the_call_up() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(3, tag="b1")
    call.ok(3.1, tag="b2")
    call.bye(3.5, tag="b2")
    call.bye(70, tag="b1")
    heard = talk.play(until=125)
    assert heard.active() == [1, 0, None]
    assert heard.call["end_reason"] == "bye"


def test_serial_fork_486_then_200_on_the_next_branch_is_one_attempt_answered() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.outgoing.respond(2, 486, tag="x")
    call.outgoing.ack(2.01, tag="x", failed=True)
    call.outgoing.invite(2.02, to=BOB2)
    call.ok(8)
    heard = talk.play()
    assert heard.counts() == (1, 1, 0)


def test_serial_fork_counted_at_the_outgoing_leg_is_one_attempt_answered() -> None:
    talk = Conversation(Config(calls=CallSettings(count_at="outgoing")))
    leg = talk.leg(VC, BOB)
    leg.invite(0)
    leg.respond(2, 486, tag="x")
    leg.ack(2.01, tag="x", failed=True)
    leg.invite(2.02, to=BOB2)
    leg.ok(8)
    assert talk.play().counts() == (1, 1, 0)


def test_parallel_fork_one_branch_busy_does_not_fail_the_attempt() -> None:
    talk = Conversation(Config(calls=CallSettings(count_at="outgoing")))
    leg = talk.leg(VC, BOB)
    first = leg.invite(0)
    leg.invite(0.001, to=BOB2)
    leg.respond(1, 486, branch=first, tag="x")
    leg.ok(20)
    assert talk.play().counts() == (1, 1, 0)


def test_hunting_to_a_second_carrier_after_20_s_in_a_dialog_of_its_own_is_one_attempt() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    first = talk.leg(VC, BOB, call_id="out-1", from_tag="v1")
    second = talk.leg(VC, BOB2, call_id="out-2", from_tag="v2")
    alice.invite(0)
    first.invite(0.1)
    first.respond(20, 503)
    second.invite(20.5)
    second.ok(24)
    alice.ok(24.1)
    heard = talk.play(until=61)
    assert heard.counts() == (1, 1, 0)
    assert heard.call["call_ids"] == ["call-1", "out-1", "out-2"]
    assert heard.counters["legs_unjoined"] == 0


def test_hunting_counted_at_the_outgoing_leg_fails_once_after_the_last_carrier() -> None:
    talk = Conversation(Config(calls=CallSettings(count_at="outgoing")))
    alice = talk.leg(ALICE, VC)
    alice.invite(0)
    for number, at in ((1, 0.1), (2, 3.0)):
        leg = talk.leg(VC, BOB, call_id=f"out-{number}", from_tag=f"v{number}")
        leg.invite(at)
        leg.respond(at + 2, 503)
    alice.respond(6, 503)
    heard = talk.play()
    assert heard.counts() == (1, 0, 1)


# -- retries


@pytest.mark.parametrize("status", [401, 407, 413, 415, 416, 420, 421, 422, 484, 488, 494])
def test_invite_within_the_retry_window_of_a_challenge_is_the_same_attempt(status: int) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, status)
    leg.ack(0.11, failed=True)
    leg.invite(5.0, cseq=2)
    leg.ok(7)
    assert talk.play().counts() == (1, 1, 0)


def test_invite_after_the_retry_window_is_another_attempt() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 407)
    leg.invite(5.2, cseq=2)
    leg.ok(7)
    assert talk.play().counts() == (2, 1, 1)


def test_challenge_without_retry_fails_when_the_window_has_passed() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(50)
    leg.respond(57, 401)  # the window ends in the next minute, and so the outcome is that minute's
    heard = talk.play(until=130)
    assert [heard.value("OutboundCallFailures", minute) for minute in (0, 1)] == [0, 1]


def test_challenge_at_the_end_of_a_capture_file_is_decided_there() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 407)
    assert talk.play().counts() == (1, 0, 1)


def test_retry_window_is_configured() -> None:
    talk = Conversation(Config(calls=CallSettings(retry_window=20)))
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 407)
    leg.invite(15, cseq=2)
    leg.ok(16)
    assert talk.play().counts() == (1, 1, 0)


def test_3xx_followed_is_the_same_attempt() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 302)
    leg.invite(0.5, cseq=2)
    leg.ok(2)
    heard = talk.play()
    assert heard.counts() == (1, 1, 0)
    assert heard.call["outcome"] == "answered"


def test_3xx_not_followed_is_redirected_and_no_failure() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 302)
    heard = talk.play(until=60)
    assert heard.counts() == (1, 0, 0)
    assert heard.call["outcome"] == "redirected"


def test_invite_again_after_a_failure_is_another_attempt() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(1, 486)
    leg.invite(2, cseq=2)
    leg.ok(3)
    assert talk.play().counts() == (2, 1, 1)


# -- CANCEL


def test_487_after_cancel_is_cancelled_and_no_failure() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ringing(1)
    call.cancel(5)
    call.respond(5.1, 487)
    heard = talk.play()
    assert heard.counts() == (1, 0, 0)
    assert heard.call["outcome"] == "cancelled"


def test_487_without_cancel_is_a_failure() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(1, 487)
    assert talk.play().counts() == (1, 0, 1)


def test_cancel_and_200_crossing_is_answered() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ringing(1)
    leg.cancel(5)
    leg.ok(5.01)
    leg.ack(5.1)
    leg.bye(5.2)
    heard = talk.play(until=60)
    assert heard.counts() == (1, 1, 0)
    assert heard.active()[0] == 0


def test_cancel_that_nobody_confirms_is_cancelled_after_32_s() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ringing(1)
    leg.cancel(5)
    heard = talk.play(until=60)
    assert heard.call["outcome"] == "cancelled"
    assert heard.counts() == (1, 0, 0)


def test_late_200_after_cancel_makes_the_call_active_with_a_flag_but_not_answered() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.cancel(5)
    leg.respond(5.1, 487)
    leg.ok(6)
    heard = talk.play(until=60)
    assert heard.counts() == (1, 0, 0)
    assert heard.active()[0] == 1
    assert heard.calls[-1]["flags"] == ["late_answer"]


def test_2xx_after_a_counted_failure_is_late_answer_and_active_but_not_answered() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ok(33)  # Timer B passed at 32 s
    leg.bye(70)
    heard = talk.play(until=121)
    assert heard.counts() == (1, 0, 1)
    assert heard.active()[:2] == [1, 0]
    assert heard.calls[-1]["flags"] == ["late_answer"]


def test_6xx_of_one_branch_is_the_outcome_though_the_vc_cancels_the_others() -> None:
    talk = Conversation(Config(calls=CallSettings(count_at="outgoing")))
    leg = talk.leg(VC, BOB)
    first = leg.invite(0)
    leg.invite(0.001, to=BOB2)
    leg.respond(1, 603, branch=first, tag="x")
    leg.cancel(1.01)
    leg.respond(1.1, 487)
    heard = talk.play()
    assert heard.counts() == (1, 0, 1)
    assert heard.call["status"] == 603


# -- time


def test_no_response_for_32_s_is_a_failure_timer_b() -> None:
    talk = Conversation()
    talk.leg(ALICE, VC).invite(0)
    assert talk.play(until=31.9).counts() == (1, 0, 0)
    heard = talk.play(until=32.1)
    assert heard.counts() == (1, 0, 1)
    assert heard.call["status"] is None


def test_no_final_180_s_after_the_last_101_to_199_is_a_failure_timer_c() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.trying(0.1)
    leg.ringing(10)
    leg.ringing(100)
    assert talk.play(until=279).counts() == (1, 0, 0)
    assert talk.play(until=281).counts() == (1, 0, 1)


def test_trying_ends_timer_b_and_does_not_renew_timer_c() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.trying(0.1)
    leg.trying(100)
    assert talk.play(until=179).counts() == (1, 0, 0)
    assert talk.play(until=181).counts() == (1, 0, 1)


# -- other requests


def test_prack_and_update_of_an_early_dialog_change_nothing() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.respond(1, 183, headers="RSeq: 1\r\nRequire: 100rel\r\n")
    call.request(1.1, "PRACK")
    call.reply(1.2, 200, "PRACK")
    call.request(1.3, "UPDATE")
    call.reply(1.4, 200, "UPDATE")
    heard = talk.play(until=60.1)
    assert heard.counts() == (1, 0, 0)
    assert heard.active()[0] == 0
    assert heard.total("Sip2xxCodes") == 4


def test_refer_and_its_notify_are_no_attempt_and_end_nothing() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    call.request(10, "REFER", headers="Refer-To: <sip:carol@example.org>\r\n")
    call.reply(10.1, 202, "REFER")
    call.request(10.2, "NOTIFY", by="callee")
    call.reply(10.3, 200, "NOTIFY", by="callee")
    heard = talk.play(until=60)
    assert heard.counts() == (1, 1, 0)
    assert heard.active()[0] == 1


def test_invite_with_replaces_for_a_call_that_is_up_is_no_attempt() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    other = talk.proxied(ALICE, BOB, call_id="call-2", from_tag="c")
    other.invite(10, headers="Replaces: call-1;to-tag=b;from-tag=a\r\n")
    other.ok(11, tag="d")
    call.bye(11.5)
    other.bye(70, tag="d")
    heard = talk.play(until=121)
    assert heard.counts() == (1, 1, 0)
    assert heard.active()[:2] == [1, 0]  # goes on with the other party, ends with it
    assert len(heard.calls) == 1


def test_invite_with_replaces_for_no_known_call_is_an_attempt() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0, headers="Replaces: nobody;to-tag=b;from-tag=a\r\n")
    leg.ok(1)
    assert talk.play().counts() == (1, 1, 0)


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE"])
def test_other_requests_are_no_attempt_but_their_responses_count(method: str) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.request(0, method, tag="")
    leg.reply(0.1, 200, method, tag="")
    heard = talk.play()
    assert heard.counts() == (0, 0, 0)
    assert heard.total("Sip2xxCodes") == 1
    assert heard.calls == []


@pytest.mark.parametrize("status", [100, 199, 200, 299, 302, 404, 503, 606, 699])
def test_responses_of_all_classes_count_in_theirs(status: int) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(1, status)
    heard = talk.play()
    for number in range(1, 7):
        assert heard.total(f"Sip{number}xxCodes") == (number == status // 100)


# -- dialogs whose beginning was not seen


@pytest.mark.parametrize("first", ["INVITE", "UPDATE", "INFO", "200"])
def test_capture_begun_mid_call_is_active_unknown_and_never_an_attempt(first: str) -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    if first == "200":
        call.invite(0)
        talk.frames.clear()
        call.ok(0.5)
    else:
        call.request(0, first, headers="Session-Expires: 1800\r\n")
    call.bye(70)
    heard = talk.play(until=121)
    assert heard.counts() == (0, 0, 0)
    assert heard.unknown()[:2] == [1, 0]
    assert heard.active()[:2] == [0, 0]
    assert heard.call["direction"] is None
    assert heard.call["invite_ns"] is None


@pytest.mark.parametrize("first", ["BYE", "ACK", "PRACK", "NOTIFY", "UPDATE"])
def test_tail_of_a_dialog_is_no_call(first: str) -> None:
    talk = Conversation()
    talk.proxied(ALICE, BOB).request(0, first)
    heard = talk.play(until=60)
    assert heard.unknown()[0] == 0
    assert heard.calls == []


@pytest.mark.parametrize("proof", ["ack", "reinvite", "bye"])
def test_answer_that_was_not_captured_is_no_failure_and_active_only_as_unknown(proof: str) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ringing(1)
    if proof == "ack":
        leg.ack(5)
    elif proof == "reinvite":
        leg.request(5, "INVITE")
    else:
        leg.bye(5, by="callee")
    heard = talk.play(until=300)
    assert heard.counts() == (1, 0, 0)
    assert heard.active()[0] == 0
    assert heard.unknown()[0] == (proof != "bye")
    assert heard.call["flags"] == ["answer_unseen"]


def test_ack_of_a_failure_proves_no_answer() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ack(1, failed=True)  # its 486 was lost to the capture
    assert talk.play(until=60).counts() == (1, 0, 1)


def test_call_id_used_again_by_another_dialog_is_another_call() -> None:
    talk = Conversation()
    first = talk.proxied(ALICE, BOB)
    first.invite(0)
    first.ok(1)
    second = talk.proxied(ALICE, BOB, from_tag="a2")
    second.invite(10)
    second.ok(11, tag="b2")
    first.bye(20)
    heard = talk.play(until=60)
    assert heard.counts() == (2, 2, 0)
    assert heard.active()[0] == 1
    assert len(heard.calls) == 2


def test_call_id_and_tag_used_again_after_the_bye_is_another_attempt() -> None:
    talk = Conversation()
    for start in (0, 20):
        call = talk.proxied(ALICE, BOB)
        call.invite(start)
        call.ok(start + 1)
        call.bye(start + 10)
    assert talk.play().counts() == (2, 2, 0)


# -- where calls count


def test_count_at_outgoing_counts_on_the_leg_that_the_vc_sends() -> None:
    talk = Conversation(Config(calls=CallSettings(count_at="outgoing")))
    call = talk.proxied(BOB, ALICE)
    call.invite(0)
    call.ok(1)
    refused = talk.leg(BOB, VC, call_id="call-2", from_tag="z")
    refused.invite(5)
    refused.respond(5.1, 486)
    heard = talk.play(until=61)
    assert heard.counts("Inbound") == (1, 1, 0)
    assert heard.active("Inbound")[0] == 1
    assert heard.counters["legs_unjoined"] == 1


def test_unjoined_outgoing_leg_counts_nowhere_but_as_legs_unjoined() -> None:
    talk = Conversation()
    leg = talk.leg(VC, BOB)
    leg.invite(0)
    leg.ok(1)
    heard = talk.play(until=61)
    assert heard.counts() == (0, 0, 0)
    assert heard.active()[0] == 0
    assert heard.total("Sip2xxCodes") == 1
    assert heard.counters["legs_unjoined"] == 1
    assert heard.extra("legs_unjoined") == [1]


def test_both_legs_customers_count_outbound_for_the_callers_and_inbound_for_the_callees() -> None:
    config = Config(
        connectors=[
            ConnectorSettings(id="vc-alice", customer_networks=("192.0.2.0/24",)),
            ConnectorSettings(id="vc-carol", customer_networks=("203.0.113.0/24",)),
        ]
    )
    talk = Conversation(config, customers=())
    call = talk.proxied(ALICE, CAROL)
    call.invite(0)
    call.ok(1)
    heard = talk.play(until=61)
    assert heard.counts("Outbound", "vc-alice") == (1, 1, 0)
    assert heard.counts("Inbound", "vc-alice") == (0, 0, 0)
    assert heard.counts("Inbound", "vc-carol") == (1, 1, 0)
    assert heard.counts("Outbound", "vc-carol") == (0, 0, 0)
    assert heard.active("Outbound", "vc-alice")[0] == heard.active("Inbound", "vc-carol")[0] == 1


def test_both_legs_customers_count_alike_at_the_outgoing_leg() -> None:
    config = Config(calls=CallSettings(count_at="outgoing"))
    talk = Conversation(config, customers=("192.0.2.0/24", "203.0.113.0/24"))
    call = talk.proxied(ALICE, CAROL)
    call.invite(0)
    call.respond(1, 486)
    heard = talk.play(until=61)
    assert heard.counts("Outbound") == heard.counts("Inbound") == (1, 0, 1)


@pytest.mark.parametrize("direction", ["Outbound", "Inbound"])
def test_observer_customer_counts_calls_both_ways(direction: str) -> None:
    talk = Conversation(Config(vc=Vc(observer="customer")))
    leg = talk.leg(ALICE, VC) if direction == "Outbound" else talk.leg(VC, ALICE)
    leg.invite(0)
    leg.ok(1)
    heard = talk.play(until=61)
    assert heard.counts(direction) == (1, 1, 0)
    assert heard.active(direction)[0] == 1
    assert heard.value("RemoteToVcRtpPackets") is None


def test_messages_between_parts_of_the_vc_count_nowhere_but_join() -> None:
    talk = Conversation(Config(calls=CallSettings(correlation_headers=("X-CID",))))
    alice = talk.leg(ALICE, VC)
    inside = talk.leg(VC, VC_MEDIA)
    outside = talk.leg(VC_MEDIA, BOB, call_id="out", from_tag="v")
    alice.invite(0)
    inside.invite(0.1, headers="X-CID: 9\r\n")
    outside.invite(5, headers="X-CID: 9\r\n")
    outside.ok(6)
    inside.ok(6.1)
    alice.ok(6.2)
    heard = talk.play(until=61)
    assert heard.counts() == (1, 1, 0)
    assert heard.total("Sip2xxCodes") == 2
    assert heard.call["call_ids"] == ["call-1", "out"]
    assert heard.counters["legs_unjoined"] == 0


def test_messages_past_the_vc_count_nowhere() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, BOB)
    leg.invite(0)
    leg.ok(1)
    heard = talk.play(until=61)
    assert heard.counts() == (0, 0, 0)
    assert heard.total("Sip2xxCodes") == 0
    assert heard.counters["messages_elsewhere"] == 2


def test_sides_unknown_gives_codes_but_no_calls_and_names_the_likely_sbc() -> None:
    talk = Conversation(vc=(), customers=())
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    heard = talk.play(until=61)
    assert heard.counts() == (None, None, None)
    assert heard.total("Sip2xxCodes") == 2
    assert heard.pipeline.engine.signalling.suspects.most_common(1)[0][0] == VC
    assert heard.call["outcome"] == "answered"


# -- failures and throttles


def test_not_failures_are_configured() -> None:
    talk = Conversation(Config(calls=CallSettings(not_failures=(486,))))
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(1, 486)
    heard = talk.play()
    assert heard.counts() == (1, 0, 0)
    assert heard.call["outcome"] == "failed"


def test_503_with_retry_after_by_the_vc_itself_is_a_throttle() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 503, headers="Retry-After: 5\r\n")
    heard = talk.play()
    assert heard.total("Throttles") == 1
    assert heard.counts() == (1, 0, 1)


def test_503_without_retry_after_is_no_throttle() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 503)
    assert talk.play().total("Throttles") == 0


def test_carriers_503_that_the_vc_passes_on_is_no_throttle() -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.respond(0.1, 503, headers="Retry-After: 5\r\n")
    heard = talk.play()
    assert heard.total("Throttles") == 0
    assert heard.counts() == (1, 0, 1)


@pytest.mark.parametrize(("status", "reason", "throttles"), [(480, "Too Many Calls", 1), (480, "Gone", 0)])
def test_throttle_patterns_are_configured(status: int, reason: str, throttles: int) -> None:
    talk = Conversation(Config(calls=CallSettings(throttle_patterns=("480 too many*",))))
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, status, reason)
    assert talk.play().total("Throttles") == throttles


# -- bounds


def test_flood_of_invented_call_ids_stays_bounded_and_keeps_the_call_that_is_up() -> None:
    talk = Conversation(Config(limits=Limits(max_calls=100)))
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    for number in range(2000):
        talk.leg(BOB, VC, call_id=f"flood-{number}", from_tag=f"f{number}").invite(2 + number / 1000)
    heard = talk.play(until=10, finish=False)
    signalling = heard.pipeline.engine.signalling
    assert len(signalling) == 100
    assert heard.counters["calls_evicted"] == 1901
    held = (signalling._legs, signalling._timers, signalling._connectors, signalling._joiner._keys_of)
    assert all(len(table) <= 102 for table in held)
    call.bye(20)
    assert Conversation.play(talk, until=61).active()[0] == 0


def test_flood_of_tags_in_one_call_id_is_refused_beyond_its_bound() -> None:
    talk = Conversation()
    for number in range(200):
        talk.leg(BOB, VC, from_tag=f"f{number}").invite(number / 1000)
    heard = talk.play(until=10, finish=False)
    assert len(heard.pipeline.engine.signalling._legs["call-1"]) == 64
    assert heard.counters["legs_refused"] == 136


# -- offers that are none


@pytest.mark.parametrize("status", [488, 606])
def test_sdp_of_a_refusal_describes_no_media(status: int) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(1, status, sdp=sdp(VC, 4000))
    heard = talk.play(until=2, finish=False)
    assert len(heard.pipeline.engine.media.sockets) == 0


# -- cancelled, challenged, taken over


@pytest.mark.parametrize("status", [302, 404, 407, 480, 486, 500, 603])
def test_any_final_after_cancel_is_cancelled(status: int) -> None:
    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ringing(1)
    call.cancel(5)
    call.respond(5.1, status)
    heard = talk.play(until=61)
    assert heard.counts() == (1, 0, 0)
    assert heard.call["outcome"] == "cancelled"


def test_refused_cancel_ends_nothing() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ringing(1)
    leg.cancel(5)
    text = "SIP/2.0 481 No\r\n" + leg._lines(1, "CANCEL", leg.invite_branch, ALICE, "caller", "")
    talk.sip(5.1, VC, ALICE, text + "Content-Length: 0\r\n\r\n")
    leg.respond(50, 486)  # later than Timer B of a CANCEL
    heard = talk.play(until=121)
    assert heard.counts() == (1, 0, 1)


def test_cancel_from_a_third_address_ends_nothing() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ringing(1)
    stranger = talk.leg(CAROL, VC)
    stranger.cancel(5, branch=leg.invite_branch)
    leg.respond(6, 486)
    assert talk.play(until=61).counts() == (1, 0, 1)


@pytest.mark.parametrize("cseq", [1, 2])
def test_challenged_invite_with_a_new_from_tag_is_the_same_attempt(cseq: int) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.respond(0.1, 407)
    leg.ack(0.11, failed=True)
    leg.from_tag = "another"
    leg.invite(0.2, cseq=cseq)
    leg.ok(2)
    leg.bye(10)
    heard = talk.play(until=61)
    assert heard.counts() == (1, 1, 0)
    assert heard.active() == [0, None]


@pytest.mark.parametrize("early_only", ["", ";early-only"])
def test_replaces_takes_a_ringing_leg_over_and_is_no_attempt(early_only: str) -> None:
    talk = Conversation()
    bob, phone = talk.leg(BOB, VC), talk.leg(VC, ALICE, call_id="out", from_tag="v")
    bob.invite(0)
    phone.invite(0.05)
    phone.ringing(1)
    other = talk.leg("192.0.2.11", VC, call_id="pick", from_tag="p")
    other.invite(3, headers=f"Replaces: out;to-tag=b;from-tag=v{early_only}\r\n")
    other.ok(3.1)
    bob.ok(3.2)
    phone.cancel(3.3)
    phone.respond(3.4, 487)
    other.bye(70)
    bob.bye(70.1, by="callee")
    heard = talk.play(until=121)
    assert heard.counts("Inbound") == (1, 1, 0)
    assert heard.counts("Outbound") == (0, 0, 0)
    assert heard.active("Inbound")[:2] == [1, 0]
    assert len(heard.calls) == 1


@pytest.mark.parametrize("sign", ["Require: siprec\r\n", "Contact: <sip:r@10.0.0.1>;+sip.src\r\n"])
def test_recording_session_is_no_leg_and_its_media_no_sides(sign: str) -> None:
    talk = Conversation()
    recorder = talk.leg(VC, BOB, call_id="rec", from_tag="r")
    recorder.invite(0, headers=sign, sdp=sdp(VC, 6000))
    recorder.ok(0.1, sdp=sdp(BOB, 7000))
    talk.rtp(1, (VC, 6000), (BOB, 7000), seconds=2)
    recorder.bye(70)
    heard = talk.play(until=181)
    assert heard.extra("recording_sessions") == [1]
    assert heard.counts("Inbound") == heard.counts("Outbound") == (0, 0, 0)
    assert heard.unknown()[0] == 0
    assert heard.calls == []
    assert heard.total("VcToRemoteRtpPackets") == 0
    assert len(heard.pipeline.engine.signalling) == 0


def test_throttle_is_null_while_an_unjoined_leg_may_have_brought_it() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    alice.invite(0)
    talk.leg(VC, BOB, call_id="out", from_tag="v", from_user="x", to_user="y").invite(0.1)
    alice.respond(1, 503, headers="Retry-After: 5\r\n")
    heard = talk.play(until=61)
    assert heard.value("Throttles") is None
    assert heard.extra("throttles_unknown") == [1]


def test_strangers_whom_nobody_answers_are_no_failures() -> None:
    talk = Conversation()
    for number in range(3):
        talk.leg(BOB, VC, call_id=f"scan-{number}", from_tag=f"s{number}").invite(number)
    heard = talk.play(until=121)
    assert heard.counts("Inbound") == (3, 0, 0)
    assert heard.extra("attempts_unanswered_strangers") == [3]


@pytest.mark.parametrize("status", [200, 486])
def test_final_stamped_before_its_invite_is_its_answer(status: int) -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite_branch = "z9hG4bKearly"
    leg.respond(0.998, status)
    leg.invite(1, branch="z9hG4bKearly")
    heard = talk.play(until=61)
    assert heard.counts() == (1, int(status == 200), int(status != 200))
    assert heard.unknown()[0] == 0
    assert heard.call["status"] == status


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_bye_of_a_party_that_gets_481_ends_the_call_once_its_media_is_silent(by: str) -> None:
    """RFC 3261 15.1.1: the one that sent it considers the session over."""
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0, sdp=sdp(ALICE, 4000))
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.ack(1.1)
    talk.rtp(2, (ALICE, 4000), (VC, 5000), seconds=8)
    leg.bye(10, by=by, answered=False)
    leg.reply(10.1, 481, "BYE", by=by)
    heard = talk.play(until=70)
    assert heard.active()[0] == 0
    assert heard.call["end_reason"] == "bye"
    assert heard.call["end_ns"] == BEGIN_NS + 10_100_000_000
    assert "bye_refused" in heard.call["flags"]


def test_bye_that_gets_481_while_media_runs_on_ends_nothing() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0, sdp=sdp(ALICE, 4000))
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.ack(1.1)
    packets = talk.rtp(2, (ALICE, 4000), (VC, 5000), seconds=68)
    leg.bye(10, answered=False)
    leg.reply(10.1, 481, "BYE")
    heard = talk.play(until=75)
    assert heard.active()[0] == 1
    assert heard.total("CustomerToVcRtpPackets") == packets


def test_strangers_bye_that_gets_481_ends_nothing_though_the_call_is_silent() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ok(1)
    leg.ack(1.1)
    forged = talk.leg(BOB, VC)
    forged.bye(10, answered=False)
    forged.reply(10.1, 481, "BYE")
    assert talk.play(until=70).active()[0] == 1
