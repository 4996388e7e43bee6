"""A proxy host without its relay publishes no zeros for media that it cannot see."""

from __future__ import annotations

from tests.kit.conversation import ALICE, BOB, VC, Conversation, sdp

RELAY = "10.0.0.77"  # no address of this host
MEDIA = ("CustomerToVcRtpPackets", "VcToCustomerPacketsLost", "RemoteToVcRtcpBytes", "VcToRemoteRtpPackets")


def answered(talk: Conversation, media: str, call_id: str = "call-1", port: int = 5000) -> None:
    leg = talk.leg(ALICE, VC, call_id=call_id, from_tag=call_id)
    leg.invite(0, sdp=sdp(ALICE, port - 1000))
    leg.ok(1, sdp=sdp(media, port))
    leg.ack(1.1)
    leg.bye(30)


def test_calls_without_any_media_on_this_host_leave_media_null_and_say_so_once() -> None:
    talk = Conversation()
    answered(talk, RELAY)
    answered(talk, RELAY, "call-2", 6000)
    heard = talk.play(until=70)
    assert {heard.value(name) for name in MEDIA} == {None}
    assert heard.total("OutboundCallsAnswered") == 2
    assert [row["flags"] for row in heard.calls] == [["media_elsewhere"]] * 2
    (line,) = heard.pipeline.intervals.unseen.lines()
    assert line.startswith("2 answered calls, no media of theirs seen on this host")
    assert heard.pipeline.intervals.unseen.lines() == []


def test_one_call_past_this_host_keeps_what_is_counted_of_the_others() -> None:
    talk = Conversation()
    answered(talk, VC)
    count = talk.rtp(2, (ALICE, 4000), (VC, 5000), seconds=10)
    answered(talk, RELAY, "call-2", 6000)
    heard = talk.play(until=70)
    assert heard.total("CustomerToVcRtpPackets") == count
    assert heard.value("RemoteToVcRtpPackets") is None
    assert heard.connector().coverage["cust2vc"] == 1.0
    assert [row["flags"] for row in heard.calls if row["call_id"] == "call-2"] == [["media_elsewhere"]]


def test_silent_call_of_the_vc_beside_others_has_true_zeros() -> None:
    talk = Conversation()
    answered(talk, VC)
    talk.rtp(2, (ALICE, 4000), (VC, 5000), seconds=10)
    answered(talk, VC, "call-2", 6000)
    heard = talk.play(until=70)
    assert heard.total("RemoteToVcRtpPackets") == 0
    assert all("media_elsewhere" not in row["flags"] for row in heard.calls)


def test_call_that_fails_needs_no_media() -> None:
    talk = Conversation()
    leg = talk.proxied(ALICE, BOB)
    leg.invite(0)
    assert talk.play(until=70).total("CustomerToVcRtpPackets") == 0
