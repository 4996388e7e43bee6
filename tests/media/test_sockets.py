"""Which leg a media socket belongs to."""

from __future__ import annotations

import pytest

from agent.config.settings import Config, MediaSettings
from agent.media.rtp.named_sockets_cy import NamedSockets
from agent.media.sockets_cy import EARLIER_BYTES, MAX_SOCKETS, MediaSockets
from agent.model.call_cy import Call, Leg
from agent.pipeline import build
from agent.wire.sdp.session_cy import parse
from tests.kit.conversation import ALICE, BOB, VC, VC_MEDIA, Conversation, Script, sdp

ELSEWHERE = "198.18.0.9"  # where packets come from behind NAT, in nobody's SDP
HERE, THERE = (VC, 5000), (ALICE, 4000)


def call(talk: Conversation, ours: str = "", far: str = "", **names: str) -> Script:
    """Alice's call to the vc, answered after a second."""
    leg = talk.leg(ALICE, VC, **names)
    leg.invite(0, sdp=far or sdp(ALICE, 4000))
    leg.ok(1, sdp=ours or sdp(VC, 5000))
    return leg


def test_the_vc_side_socket_comes_first_whatever_the_far_address() -> None:
    talk = Conversation()
    call(talk)
    to_vc = talk.rtp(2, (ELSEWHERE, 9), HERE)
    away = talk.rtp(2, HERE, (ELSEWHERE, 9), ssrc=8)
    heard = talk.play()
    assert heard.total("CustomerToVcRtpPackets") == to_vc
    assert heard.total("VcToCustomerRtpPackets") == away


def test_the_far_ends_socket_comes_second() -> None:
    talk = Conversation()
    call(talk)
    count = talk.rtp(2, THERE, (VC, 7777))  # a vc socket that no SDP named
    assert talk.play().total("CustomerToVcRtpPackets") == count


def test_packets_between_sockets_that_no_sdp_named_are_orphans() -> None:
    talk = Conversation()
    call(talk)
    talk.rtp(2, (ELSEWHERE, 9), (VC, 7777))
    assert talk.play().total("CustomerToVcRtpPackets") is None  # the call's own media is not seen


def test_the_vc_at_both_ends_counts_nowhere() -> None:
    talk = Conversation()
    call(talk)
    talk.rtp(2, HERE, (VC_MEDIA, 6000))
    heard = talk.play()
    assert not heard.total("VcToCustomerRtpPackets")


def test_another_sdp_of_the_vc_takes_the_socket_over() -> None:
    talk = Conversation()
    first = call(talk)
    first.bye(10)
    bob = talk.leg(BOB, VC, call_id="call-2", from_tag="z")
    bob.invite(11, sdp=sdp(BOB, 4000))
    bob.ok(11.5, sdp=sdp(VC, 5000))  # within the linger of the first
    count = talk.rtp(12, (ELSEWHERE, 9), HERE)
    heard = talk.play()
    assert heard.total("RemoteToVcRtpPackets") == count
    assert heard.total("CustomerToVcRtpPackets") == 0


def test_media_lingers_after_the_dialogs_end_and_no_longer() -> None:
    talk = Conversation(Config(media=MediaSettings(linger=5)))
    call(talk).bye(10)
    within = talk.rtp(14, THERE, HERE, seconds=0.5)
    assert talk.play().total("CustomerToVcRtpPackets") == within
    later = talk.rtp(16, THERE, HERE, seconds=0.5, ssrc=9)
    assert [summary.extras["orphan_packets"] for summary in talk.play().summaries] == [later]


def test_nobody_begins_to_stand_in_for_who_has_left() -> None:
    talk = Conversation(Config(media=MediaSettings(linger=5)))
    call(talk).bye(10)
    within = talk.rtp(11, THERE, HERE, seconds=0.5)
    talk.rtp(11, (ELSEWHERE, 9), HERE, seconds=3, ssrc=8)
    assert talk.play().total("CustomerToVcRtpPackets") == within


@pytest.mark.parametrize("ours", [sdp(VC, 0), sdp(VC, 5000, profile="udptl")])
def test_port_0_and_udptl_never_claim(ours: str) -> None:
    talk = Conversation()
    call(talk, ours=ours, far=sdp(ALICE, 0))
    talk.rtp(2, THERE, HERE)
    assert talk.play().total("CustomerToVcRtpPackets") is None  # one way, and nobody's: no 0


def test_proxy_that_leaves_the_sdp_alone_claims_no_socket_of_an_endpoint() -> None:
    talk = Conversation()
    proxied = talk.proxied(ALICE, BOB)
    proxied.invite(0, sdp=sdp(ALICE, 4000))
    proxied.ok(1, sdp=sdp(BOB, 4000))
    talk.rtp(2, (ALICE, 4000), (BOB, 4000))  # past the vc
    heard = talk.play()
    for name in ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote"):
        assert heard.total(f"{name}RtpPackets") is None  # it is elsewhere


def test_sdp_between_parts_of_the_vc_claims_nothing() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    alice.invite(0, sdp=sdp(ALICE, 4000))
    talk.leg(VC, VC_MEDIA).invite(0.1, sdp=sdp(ALICE, 4000))  # passed on inside as it came
    alice.ok(1, sdp=sdp(VC, 5000))
    count = talk.rtp(2, THERE, (VC, 7777))
    assert talk.play().total("CustomerToVcRtpPackets") == count


def rtcp(talk: Conversation, at: float, src: tuple[str, int], dst: tuple[str, int]) -> None:
    talk.datagram(at, src, dst, bytes([0x80, 201, 0, 1, 0, 0, 0, 7]))


@pytest.mark.parametrize(
    ("lines", "socket", "counts"),
    [
        ("", (VC, 5001), True),
        ("", (VC, 5003), False),
        ("a=rtcp:5003\r\n", (VC, 5003), True),
        (f"a=rtcp:7001 IN IP4 {VC_MEDIA}\r\n", (VC_MEDIA, 7001), True),
        ("a=rtcp-mux\r\n", (VC, 5000), True),
        (f"a=candidate:1 2 UDP 1 {VC_MEDIA} 8001 typ host\r\n", (VC_MEDIA, 8001), True),
    ],
)
def test_rtcp_is_where_the_sdp_says(lines: str, socket: tuple[str, int], counts: bool) -> None:
    talk = Conversation()
    call(talk, ours=sdp(VC, 5000, lines=lines))
    rtcp(talk, 2, (ELSEWHERE, 99), socket)
    assert talk.play().total("CustomerToVcRtcpPackets") == (1 if counts else None)


def test_ice_candidates_claim_their_sockets() -> None:
    talk = Conversation()
    call(talk, ours=sdp(VC, 5000, lines=f"a=candidate:1 1 UDP 1 {VC_MEDIA} 8000 typ host\r\n"))
    count = talk.rtp(2, (ELSEWHERE, 9), (VC_MEDIA, 8000))
    assert talk.play().total("CustomerToVcRtpPackets") == count


def test_bundled_sections_share_the_socket_of_the_first() -> None:
    talk = Conversation()
    bundle = sdp(VC, 5000, lines="a=mid:a\r\n").replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE a v\r\n")
    video = "m=video 0 RTP/AVP 96\r\na=mid:v\r\na=bundle-only\r\na=rtpmap:96 VP8/90000\r\n"
    leg = call(talk, ours=bundle + video)
    heard = talk.play(until=2, finish=False)
    found = heard.pipeline.engine.media.sockets.find((ELSEWHERE, 9), HERE)
    assert found is not None
    assert [media.kind for media in found[0].media] == ["audio", "video"]
    assert found[0].leg.call_id == leg.call_id


def test_a_port_that_one_section_names_is_not_anothers_rtcp() -> None:
    talk = Conversation()
    call(talk, ours=sdp(VC, 5000) + "m=video 5001 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n")
    heard = talk.play(until=2, finish=False)
    found = heard.pipeline.engine.media.sockets.find((ELSEWHERE, 9), (VC, 5001))
    assert found is not None
    assert [media.kind for media in found[0].media] == ["video"]


def test_options_capabilities_are_no_media() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ok(1)
    leg.request(2, "OPTIONS")
    leg.reply(2.1, 200, "OPTIONS", sdp=sdp(VC, 5000))
    heard = talk.play(until=3, finish=False)
    assert len(heard.pipeline.engine.media.sockets) == 0


def test_offer_in_the_200_and_answer_in_the_ack_claim() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0)
    leg.ok(1, sdp=sdp(VC, 5000))
    leg.ack(1.1, sdp=sdp(ALICE, 4000))
    count = talk.rtp(2, THERE, (VC, 7777)) + talk.rtp(2, (ELSEWHERE, 9), HERE, ssrc=9)
    assert talk.play().total("CustomerToVcRtpPackets") == count


def test_retransmitted_answer_does_not_take_a_socket_back() -> None:
    talk = Conversation()
    call(talk)
    bob = talk.leg(BOB, VC, call_id="call-2", from_tag="z")
    bob.invite(2, sdp=sdp(BOB, 4000))
    bob.ok(3, sdp=sdp(VC, 5000))
    again = talk.leg(ALICE, VC)
    again.invite_branch = "z9hG4bK1"
    again.ok(3.5, sdp=sdp(VC, 5000))
    count = talk.rtp(4, (ELSEWHERE, 9), HERE)
    assert talk.play().total("RemoteToVcRtpPackets") == count


def test_sockets_of_a_leg_are_bounded_and_the_newest_stay() -> None:
    talk = Conversation()
    leg = call(talk)
    for number in range(MAX_SOCKETS):
        leg.request(2 + number / 10, "INVITE", sdp=sdp(ALICE, 4000))
        leg.reply(2.05 + number / 10, 200, "INVITE", sdp=sdp(VC, 10_000 + 2 * number))
    heard = talk.play(until=40, finish=False)
    sockets = heard.pipeline.engine.media.sockets
    assert len(sockets) <= MAX_SOCKETS
    assert sockets.find((ELSEWHERE, 9), (VC, 10_000 + 2 * MAX_SOCKETS - 2)) is not None


def test_address_with_a_null_character_names_no_socket() -> None:
    named = NamedSockets(16)
    for host in ("10.0.0.1\0", "\0", "::1\0"):
        named.add(host, 5000)
        assert (host, 5000) not in named


@pytest.mark.parametrize(
    "host", ["01.2.3.4", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "1.2.3.4 ", "\u0661.2.3.4"]
)
def test_what_is_nearly_an_ipv4_address_names_no_socket(host: str) -> None:
    named = NamedSockets(16)
    named.add(host, 5000)
    assert (host, 5000) not in named
    assert named.count == 0


def test_a_v4_mapped_address_is_the_ipv4_one() -> None:
    named = NamedSockets(16)
    named.add("::ffff:1.2.3.4", 5000, 3)
    named.add("1.2.3.4", 5000)
    assert named.count == 1
    named.discard("::ffff:1.2.3.4", 5000)
    assert ("1.2.3.4", 5000) not in named


def leg_of_a_call() -> Leg:
    leg = Leg("a", "from-a", "incoming", ALICE, "customer", 0, 1)
    Call().adopt(leg)
    return leg


def test_earlier_descriptions_are_those_that_still_hold_a_socket() -> None:
    sockets, leg = MediaSockets(build(Config(), vc=[VC]).sides), leg_of_a_call()
    for port in (4000, 4000, 4100, 4200):
        sockets.describe(leg, parse(sdp(ALICE, port).encode()), "towards")
    sockets.describe(leg, parse(sdp(VC, 5000).encode()), "away")
    rows = sockets.earlier(leg)
    assert [(passage, until_ns) for passage, _, until_ns in rows] == [("towards", 0)] * 2
    assert [parse(text).media[0].port for _, text, _ in rows] == [4000, 4100]
    again = MediaSockets(build(Config(), vc=[VC]).sides)
    for passage, text, _ in rows:
        again.restore(leg, parse(text), passage, 0)
    again.describe(leg, parse(sdp(ALICE, 4200).encode()), "towards")
    again.describe(leg, parse(sdp(VC, 5000).encode()), "away")
    assert again.earlier(leg) == rows
    assert again.count(leg) == sockets.count(leg)


def test_earlier_descriptions_are_bounded_and_the_newest_stay() -> None:
    sockets, leg = MediaSockets(build(Config(), vc=[VC]).sides), leg_of_a_call()
    for port in range(4000, 4200, 2):
        sockets.describe(leg, parse(sdp(ALICE, port).encode()), "towards")
    rows = sockets.earlier(leg)
    assert sum(len(text) for _, text, _ in rows) <= EARLIER_BYTES
    assert parse(rows[-1][1]).media[0].port == 4196
    assert len(rows) > 8


def test_withdrawn_descriptions_are_bounded_and_go_with_their_leg() -> None:
    sockets, leg = MediaSockets(build(Config(), vc=[VC]).sides), leg_of_a_call()
    for port in range(4000, 4040, 2):
        session = parse(sdp(ALICE, port).encode())
        sockets.describe(leg, session, "towards")
        sockets.withdraw(leg, session.media[0], port)
    sockets.describe(leg, parse(sdp(ALICE, 0).encode()), "towards")
    assert [row[2] for row in sockets.earlier(leg)] == [4032, 4034, 4036, 4038]
    assert sockets.find((ALICE, 4038), HERE) is None
    assert sockets.find_withdrawn((ALICE, 4038), HERE, 4038) is not None
    assert sockets.find_withdrawn((ALICE, 4038), HERE, 4039) is None  # it began later
    assert sockets.find_withdrawn((ALICE, 4000), HERE, 0) is None
    sockets.release(leg)
    assert sockets.earlier(leg) == []
    assert sockets.find_withdrawn((ALICE, 4038), HERE, 4038) is None


def test_host_whose_media_ended_for_a_fax_is_still_the_legs() -> None:
    sockets, leg = MediaSockets(build(Config(), vc=[VC]).sides), leg_of_a_call()
    session = parse(sdp(ALICE, 4000).encode())
    sockets.describe(leg, session, "towards")
    sockets.withdraw(leg, session.media[0], 1)
    assert sockets.names_host(leg, ALICE)
    assert not sockets.names_host(leg, "203.0.113.9")
    sockets.release(leg)
    assert not sockets.names_host(leg, ALICE)
