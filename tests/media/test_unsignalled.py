"""Media without signalling: counted by address once it runs both ways, taken over by an SDP that comes."""

from __future__ import annotations

from agent.config.settings import Config, MediaSettings
from tests.kit.conversation import ALICE, BOB, VC, Conversation, sdp

PHONE, OURS = (ALICE, 4000), (VC, 5000)
CARRIER, OURS_TOO = (BOB, 6000), (VC, 7000)


def both_ways(talk: Conversation, far: tuple[str, int] = PHONE, ours: tuple[str, int] = OURS) -> int:
    talk.rtp(1, far, ours, ssrc=1)
    return talk.rtp(1, ours, far, ssrc=2)


def test_streams_both_ways_count_by_address_with_flag_and_without_call_id() -> None:
    talk = Conversation()
    count = both_ways(talk)
    assert both_ways(talk, CARRIER, OURS_TOO) == count
    heard = talk.play()
    for name in ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote"):
        assert heard.total(name + "RtpPackets") == count
    records = [row for summary in heard.summaries for row in summary.media]
    assert [row["flags"] for row in records] == [["unsignalled"]] * 2
    assert {(row["call_id"], tuple(row["call_ids"]), row["vc_lost"]) for row in records} == {(None, (), None)}


def test_one_way_proves_nothing_and_leaves_its_direction_null() -> None:
    talk = Conversation()
    talk.rtp(1, CARRIER, OURS)
    heard = talk.play()
    assert heard.total("RemoteToVcRtpPackets") is None
    assert heard.total("VcToRemoteRtpPackets") == 0
    because = heard.summaries[0].connectors[0].unknown_because
    assert [(row["cause"], row["direction"]) for row in because] == [("orphan_media", "rem2vc")]
    assert heard.summaries[0].extras["orphan_packets"] == because[0]["count"]


def test_a_strangers_packets_on_a_socket_in_use_are_an_intruders() -> None:
    talk = Conversation()
    talk.rtp(0.5, ("203.0.113.9", 9), OURS, ssrc=9)  # before the answered one, and after
    count = both_ways(talk, CARRIER)
    talk.rtp(2, ("203.0.113.8", 9), OURS, ssrc=8)
    heard = talk.play()
    assert heard.total("RemoteToVcRtpPackets") == heard.total("VcToRemoteRtpPackets") == count
    assert heard.summaries[0].extras["intruder_packets"] > 0
    assert "orphan_packets" not in heard.summaries[0].extras


def test_setting_null_leaves_both_directions_null() -> None:
    talk = Conversation(Config(media=MediaSettings(unsignalled="null")))
    both_ways(talk)
    heard = talk.play()
    assert heard.total("CustomerToVcRtpPackets") is heard.total("VcToCustomerRtpPackets") is None


def test_an_sdp_that_comes_later_takes_the_streams_over_whole() -> None:
    talk = Conversation()
    talk.rtp(1, CARRIER, OURS, ssrc=1, seconds=4)
    count = talk.rtp(1, OURS, CARRIER, ssrc=2, seconds=4)
    alice = talk.leg(ALICE, VC, call_id="call-1")
    alice.invite(3, sdp=sdp(ALICE, 4000))
    alice.ok(4, sdp=sdp(VC, 5000))
    heard = talk.play()
    assert heard.total("CustomerToVcRtpPackets") == heard.total("VcToCustomerRtpPackets") == count
    assert heard.total("RemoteToVcRtpPackets") == heard.total("VcToRemoteRtpPackets") == 0
    assert [row["call_id"] for row in heard.summaries[0].media] == ["call-1"]
