"""Media on traffic that is not kind: who a socket belongs to, what is RTP, what the far end tells by SIP."""

from __future__ import annotations

import msgspec
import pytest

from agent.config.settings import Config
from tests.kit.scene import (
    CUST,
    CUSTOMER,
    PHONE,
    REM,
    REMOTE,
    VC2CUST,
    VC2REM,
    VC_C,
    VC_R,
    A,
    B,
    Scene,
    answered,
    block,
    extended_report,
    fax,
    odd,
    receiver_report,
    sdp,
    sender_report,
    voip_metrics,
)

# -- who a socket belongs to


def test_media_before_its_sdp_is_attached_when_the_sdp_comes() -> None:
    scene = Scene()
    scene.rtp(0.0, REM, VC2REM, A, range(1, 101))  # the vc's SDP to the remote end passes at 1.01
    scene.call(1.0)
    row = scene.play().row
    assert row["rem2vc_rtp_packets"] == 100


def test_a_socket_taken_over_by_another_call_counts_there_from_its_sdp_on() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 101))
    scene.bye(2.5)
    scene.call(4.0, name="2")  # inside the linger of the first, on the same sockets of the vc
    scene.rtp(4.2, CUST, VC2CUST, B, range(1, 51))
    rows = {row["call_id"]: row for row in scene.play().media}
    assert rows["a"]["cust2vc_rtp_packets"] == 100
    assert rows["a2"]["cust2vc_rtp_packets"] == 50


def test_a_stream_that_runs_on_into_another_call_is_split_at_the_sdp() -> None:
    scene = answered()
    scene.rtp(0.205, CUST, VC2CUST, A, range(1, 501))  # to 10.2; the second call's SDP names VC2CUST at 5.1
    scene.bye(4.0)
    scene.call(5.0, name="2")
    rows = {row["call_id"]: row for row in scene.play().media}
    assert rows["a"]["cust2vc_rtp_packets"] == 245
    assert rows["a2"]["cust2vc_rtp_packets"] == 255


def test_media_within_the_linger_belongs_to_the_call_and_later_is_an_orphan() -> None:
    scene = answered()
    scene.rtp(0.205, CUST, VC2CUST, A, range(1, 501))  # to 10.2
    scene.bye(2.0)  # lingers to 7.0
    played = scene.play()
    assert played.row["cust2vc_rtp_packets"] == 340
    assert sum(stream.packets for stream in played.streams if stream.leg is None) == 160


def test_the_last_losses_of_a_released_stream_are_its_calls() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, [n for n in range(1, 101) if n not in (90, 95)])
    scene.bye(2.3)
    assert scene.play(until=30).row["cust2vc_packets_lost"] == 2


def test_media_belongs_to_the_leg_of_the_vcs_socket_wherever_it_comes_from() -> None:
    """Behind NAT the far end's SDP address is not where its packets come from."""
    scene = answered(customer=sdp(("192.168.1.5", 4000)))
    scene.rtp(0.2, ("203.0.113.99", 31_000), VC2CUST, A, range(1, 101))
    row = scene.play().row
    assert row["cust2vc_rtp_packets"] == 100
    assert row["flags"] == ["unexpected_source"]


def test_packets_from_an_address_that_sdp_names_are_expected() -> None:
    scene = answered()
    scene.rtp(0.2, (CUSTOMER, 4444), VC2CUST, A, range(1, 101))
    assert scene.play().row["flags"] == []


def test_an_address_given_as_a_host_name_makes_no_source_unexpected() -> None:
    scene = answered(customer=sdp(("phone.example", 4000)))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 101))
    assert scene.play().row["flags"] == []


def test_packets_count_on_the_leg_of_the_far_socket_where_the_vc_named_none() -> None:
    """The second choice: the SBC's SDP names an address that frames do not carry."""
    scene = answered(ours=(sdp(("203.0.113.50", 5000)), sdp(VC2REM)))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 101))
    assert scene.play().row["cust2vc_rtp_packets"] == 100


def test_early_rtcp_of_a_flood_is_bounded() -> None:
    from agent.media.rtcp_cy import MAX_EARLY

    scene = Scene()
    for number in range(MAX_EARLY + 100):
        port = 1024 + number % 60_000
        scene.send(0.001 + number * 1e-5, ("203.0.113.9", port), (VC_C, 9), receiver_report(number))
    scene.send(0.9, odd(CUST), odd(VC2CUST), receiver_report(PHONE))
    scene.call(1.0)
    assert scene.play().row["cust2vc_rtcp_packets"] == 1


def test_the_same_rtcp_on_another_interface_is_one_packet() -> None:
    scene = answered()
    for interface in (0, 1):
        scene.send(5, odd(CUST), odd(VC2CUST), receiver_report(PHONE), interface=interface)
    assert scene.play().row["cust2vc_rtcp_packets"] == 1


def test_orphans_count_in_streams_and_make_their_direction_null() -> None:
    scene = answered()
    scene.rtp(0.2, ("203.0.113.1", 1), (VC_C, 31_000), A, range(1, 101))
    played = scene.play()
    assert [stream.packets for stream in played.streams] == [100]
    assert played.metric("CustomerToVcRtpPackets") == [None]  # the call's own media is not seen
    assert played.metric("RemoteToVcRtpPackets") == [None]


def test_two_bundled_media_on_one_socket_are_told_apart_by_payload_type() -> None:
    """RFC 9143: audio and video of one transport."""
    more = ["m=video 5000 RTP/AVP 96", "c=IN IP4 10.0.0.1", "a=rtpmap:96 VP8/90000"]
    scene = answered(ours=(sdp(VC2CUST, more=more), sdp(VC2REM)))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301))
    scene.rtp(0.2, CUST, VC2CUST, B, range(1, 301), payload_type=96, ticks=1800)
    played = scene.play()
    assert {s.ssrc: (s.audio, s.codec, s.score is None) for s in played.streams} == {
        A: (True, "PCMA", False),
        B: (False, "VP8", True),
    }
    assert played.row["flags"] == []


# -- T.38


def test_t38_on_the_audio_socket_is_not_rtp() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 201))
    scene.again(4.3, fax(CUST), fax(VC2CUST), away=fax(VC2REM))
    # UDPTL (T.38 9.1): a sequence number, then the message; from 0x8000 on it begins like RTP or RTCP.
    for number in range(300):
        datagram = (0x8000 + number).to_bytes(2, "big") + bytes([0x80, number & 0xFF]) + bytes(range(12))
        scene.send(5 + number * 0.02, CUST, VC2CUST, datagram)
    played = scene.play()
    assert played.row["cust2vc_rtp_packets"] == 200
    assert played.row["cust2vc_rtcp_packets"] == 0
    assert played.row["cust2vc_packets_lost"] == 0
    assert played.row["flags"] == []


def test_t38_refused_leaves_the_audio_where_it_was() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 501))
    scene.again(4.3, fax(CUST), "", away=fax(VC2REM), refused=True)
    scene.send(6, odd(CUST), odd(VC2CUST), receiver_report(PHONE))
    row = scene.play().row
    assert (row["cust2vc_rtp_packets"], row["cust2vc_rtcp_packets"]) == (500, 1)


def test_audio_after_t38_is_the_calls_again() -> None:
    scene = answered()
    scene.again(4.3, fax(CUST), fax(VC2CUST), away=fax(VC2REM))
    scene.again(8.3, sdp(CUST), sdp(VC2CUST), away=sdp(VC2REM), cseq=3)
    scene.rtp(9, CUST, VC2CUST, A, range(1, 101))
    assert scene.play().row["cust2vc_rtp_packets"] == 100


# -- hold and re-INVITE


def test_a_jump_after_hold_is_no_loss() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 201))
    scene.again(4.3, sdp(CUST, direction="sendonly"), sdp(VC2CUST, direction="recvonly"), away=sdp(VC2REM))
    scene.again(9.0, sdp(CUST), sdp(VC2CUST), away=sdp(VC2REM), cseq=3)
    scene.rtp(9.1, CUST, VC2CUST, A, range(900, 1100))
    row = scene.play().row
    assert (row["cust2vc_rtp_packets"], row["cust2vc_packets_lost"]) == (400, 0)


def test_losses_around_a_reinvite_of_a_stream_that_flows_are_losses() -> None:
    scene = answered()
    at = 0.2 + 205 * 0.02
    gone = set(range(203, 213))
    scene.rtp(0.2, CUST, VC2CUST, A, [n for n in range(1, 601) if n not in gone])
    scene.again(at, sdp(CUST, types="8 0"), sdp(VC2CUST), away=sdp(VC2REM))
    assert scene.play().row["cust2vc_packets_lost"] == 10


def test_music_on_hold_that_flows_on_hides_no_loss() -> None:
    scene = answered()
    at = 0.2 + 205 * 0.02
    scene.rtp(0.2, CUST, VC2CUST, A, [n for n in range(1, 601) if n not in range(206, 209)])
    scene.again(at, sdp(CUST, direction="sendonly"), sdp(VC2CUST), away=sdp(VC2REM))
    assert scene.play().row["cust2vc_packets_lost"] == 3


def test_a_session_refresh_changes_nothing() -> None:
    scene = answered()
    pause = 0.8  # DTX: the stream is silent when the refresh comes
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 201))
    scene.send(4.1, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 2, 190)))
    scene.again(4.2 + pause, sdp(CUST), sdp(VC2CUST), away=sdp(VC2REM))
    scene.rtp(5.2, VC2CUST, CUST, A, range(201, 401), marker=True)
    scene.send(9.1, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 5, 390)))
    assert scene.play().row["vc2cust_packets_lost"] == 5


def test_a_codec_changed_by_reinvite_is_scored_as_what_it_is() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 201))
    opus = ["a=rtpmap:111 opus/48000/2"]
    scene.again(
        4.3, sdp(CUST, types="111", more=opus), sdp(VC2CUST, types="111", more=opus), away=sdp(VC2REM)
    )
    scene.rtp(4.4, CUST, VC2CUST, A, range(201, 601), payload_type=111, ticks=960)
    played = scene.play()
    assert played.row["cust2vc_packets_lost"] == 0
    assert [stream.codec for stream in played.streams] == ["opus"]
    assert played.row["mos_wb_btwn_vc_and_cust"] is not None


# -- the customer's SBC as the place of capture


def at_the_customer() -> Scene:
    config = msgspec.convert(
        {"vc": {"observer": "customer"}, "customers": {"networks": ["192.0.2.0/24"]}}, Config
    )
    scene = Scene(config=config, vc=(VC_C,))
    scene.sip(0, CUSTOMER, VC_C, "INVITE sip:bob@b.example SIP/2.0", call_id="a", body=sdp(CUST))
    scene.sip(0.1, VC_C, CUSTOMER, "SIP/2.0 200 OK", call_id="a", to_tag="c", body=sdp(VC2CUST))
    return scene


def test_at_the_customer_what_leaves_towards_the_vc_is_the_vcs_to_report() -> None:
    scene = at_the_customer()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 501))
    scene.rtp(0.2, VC2CUST, CUST, B, [n for n in range(1, 501) if n not in (40, 50)])
    scene.send(5, odd(VC2CUST), odd(CUST), receiver_report(9, block(A, 6, 230, jitter=8)))
    row = scene.play().row
    assert (row["cust2vc_packets_lost"], row["cust2vc_packets_lost_source"]) == (6, "rtcp")
    assert (row["vc2cust_packets_lost"], row["vc2cust_packets_lost_source"]) == (2, "rtp")
    assert (row["cust2vc_jitter"], row["cust2vc_jitter_source"]) == (1000, "rtcp")
    assert row["vc2cust_jitter_source"] == "rtp"
    assert row["vc_lost"] is None


def test_at_the_customer_the_round_trip_is_paired_from_there() -> None:
    scene = at_the_customer()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 501))
    scene.send(5, odd(CUST), odd(VC2CUST), sender_report(A, 0x1234))
    scene.send(5.07, odd(VC2CUST), odd(CUST), receiver_report(9, block(A, 0, 235, lsr=0x1234)))
    # The reverse pairing would measure this host.
    scene.send(6, odd(VC2CUST), odd(CUST), sender_report(B, 0x99))
    scene.send(6.001, odd(CUST), odd(VC2CUST), receiver_report(A, block(B, 0, 1, lsr=0x99)))
    assert scene.play().row["rtt_btwn_vc_and_cust"] == pytest.approx(70_000, abs=20)


# -- the far end's view by SIP


REPORT = """VQSessionReport: CallTerm\r
CallID: {call}\r
LocalMetrics:\r
JitterBuffer:JBA=3 JBR=2 JBN=40 JBM=80 JBX=120\r
PacketLoss:NLR=2.5 JDR=0.5\r
Delay:RTD=150 ESD=20 IAJ=6\r
QualityEst:MOSLQ=4.1 MOSCQ=3.9 RCQ=82\r
"""


@pytest.mark.parametrize("method", ["PUBLISH", "NOTIFY"])
def test_a_quality_report_is_the_far_ends_view_of_its_call(method: str) -> None:
    scene = answered()
    scene.rtp(0.2, VC2REM, REM, A, range(1, 501))
    scene.sip(
        9,
        REMOTE,
        VC_R,
        f"{method} sip:collector@vc.example SIP/2.0",
        call_id="other",
        cseq=f"1 {method}",
        body=REPORT.format(call="b"),
        content="application/vq-rtcpxr",
    )
    row = scene.play().row
    view = row["far_end_rem"]
    assert (view["source"], view["loss_ratio"], view["mos_lq"], view["r"]) == ("xr", 0.025, 4.1, 82)
    assert row["rtt_btwn_vc_and_rem"] == 150_000
    assert row["far_end_cust"] is None


@pytest.mark.parametrize("header", ["X-RTP-Stat", "P-RTP-Stat"])
def test_statistics_in_a_bye_are_its_senders_view(header: str) -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 401))
    scene.bye(9, headers=[f"{header}: PS=207,OS=49680,PR=380,OR=50240,PL=20,JI=6,LA=40"])
    view = scene.play().row["far_end_cust"]
    assert view == {
        "source": "xr",
        "loss_ratio": 0.05,
        "jitter_ms": 6,
        "packets_received": 380,
        "packets_lost": 20,
    }


@pytest.mark.parametrize("method", ["PUBLISH", "NOTIFY"])
def test_quality_report_of_anybody_but_the_legs_peer_is_left_alone(method: str) -> None:
    scene = answered()
    scene.rtp(0.2, VC2REM, REM, A, range(1, 501))
    scene.sip(
        9,
        "203.0.113.77",  # on the remote side too
        VC_R,
        f"{method} sip:collector@vc.example SIP/2.0",
        call_id="other",
        cseq=f"1 {method}",
        body=REPORT.format(call="b"),
        content="application/vq-rtcpxr",
    )
    row = scene.play().row
    assert row["far_end_rem"] is None
    assert row["rtt_btwn_vc_and_rem"] is None


@pytest.mark.parametrize(
    ("told", "field"), [("RTT=10000001", "round_trip_ms"), ("Jitter=60000", "jitter_ms")]
)
def test_statistics_beyond_reason_are_dropped_and_flagged(told: str, field: str) -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 401))
    scene.bye(9, headers=[f"X-RTP-Stat: MOS=3.8;PacketLossPct=0;{told}"])
    row = scene.play().row
    assert "rtcp_implausible" in row["flags"]
    assert field not in row["far_end_cust"]
    assert row["far_end_cust"]["mos_cq"] == 3.8
    assert row["rtt_btwn_vc_and_cust"] is None


def test_an_extended_report_that_passes_away_from_the_vc_is_not_the_far_ends() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 401))
    scene.send(5, odd(VC2CUST), odd(CUST), extended_report(PHONE, 7, voip_metrics(A, loss=64)))
    assert scene.play().row["far_end_cust"] is None
