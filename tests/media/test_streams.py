"""Streams through the pipeline: loss, silence, other payload types, and the score of a direction."""

from __future__ import annotations

import struct

import pytest

from agent.media.streams_cy import MAX_SENT, payload_rows
from agent.quality.codecs import codec
from agent.quality.emodel import burst_ratio, one_way_delay_ms, score
from agent.wire import sdp as sdp_reader
from tests.kit.scene import (
    CUST,
    PHONE,
    REM,
    VC2CUST,
    VC2REM,
    VC_C,
    A,
    B,
    Scene,
    answered,
    block,
    odd,
    receiver_report,
    sdp,
    sender_report,
)


def test_the_same_ssrc_in_both_directions_is_two_streams() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, [n for n in range(1, 301) if n != 50])
    scene.rtp(0.2, REM, VC2REM, A, range(1, 301))
    row = scene.play().row
    assert (row["cust2vc_packets_lost"], row["rem2vc_packets_lost"]) == (1, 0)


def test_silence_suppressed_is_no_loss() -> None:
    """DTX: nothing is sent, no number is used; comfort noise (RFC 3389) comes between talkspurts."""
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 101))
    for place in range(20):
        scene.rtp(2.2 + place * 0.5, CUST, VC2CUST, A, [101 + place], payload_type=13, size=1)
    scene.rtp(12.2, CUST, VC2CUST, A, range(121, 321), marker=True)
    row = scene.play().row
    assert (row["cust2vc_rtp_packets"], row["cust2vc_packets_lost"]) == (320, 0)
    assert row["cust2vc_jitter"] == pytest.approx(0, abs=1)


def test_telephone_events_and_their_retransmitted_ends_are_packets_and_no_jitter() -> None:
    """RFC 4733 2.5: an event keeps one timestamp and its end is sent three times."""
    scene = answered(
        ours=(sdp(VC2CUST, types="8 101", more=["a=rtpmap:101 telephone-event/8000"]), sdp(VC2REM))
    )
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 101))
    scene.rtp(2.2, CUST, VC2CUST, A, range(101, 111), payload_type=101, ticks=0, size=4, marker=True)
    scene.rtp(2.4, CUST, VC2CUST, A, range(111, 211))
    played = scene.play()
    row = played.row
    assert (row["cust2vc_rtp_packets"], row["cust2vc_packets_lost"]) == (210, 0)
    assert played.streams[0].codec == "PCMA"


def test_redundant_audio_is_one_packet_and_no_other_codec() -> None:
    """RFC 2198."""
    red = ["a=rtpmap:100 red/8000", "a=fmtp:100 8/8"]
    scene = answered(ours=(sdp(VC2CUST, types="100 8", more=red), sdp(VC2REM)))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301), payload_type=100, size=325)
    row = scene.play().row
    assert (row["cust2vc_rtp_packets"], row["cust2vc_packets_lost"]) == (300, 0)
    assert row["cust2vc_rtp_bytes"] == 300 * 337


def test_parity_packets_of_a_stream_count_once_and_disturb_neither_loss_nor_jitter() -> None:
    """RFC 5109: a FEC packet takes a number of the stream and the timestamp of what was sent last."""
    fec = ["a=rtpmap:8 PCMA/8000", "a=rtpmap:96 ulpfec/8000"]
    scene = answered(ours=(sdp(VC2CUST, types="8 96", more=fec), sdp(VC2REM)))
    for group in range(60):  # four of audio, then their parity
        at, base = 0.2 + group * 0.08, group * 5
        for place in range(4):
            scene.rtp(at + place * 0.02, CUST, VC2CUST, A, [base + place], first=group * 4 + place)
        scene.rtp(at + 0.061, CUST, VC2CUST, A, [base + 4], first=group * 4 + 3, payload_type=96)
    row = scene.play().row
    assert (row["cust2vc_rtp_packets"], row["cust2vc_packets_lost"]) == (300, 0)
    assert row["cust2vc_jitter"] == pytest.approx(0, abs=1)
    assert row["flags"] == []


def test_an_unnamed_dynamic_type_has_its_clock_rate_assumed() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301), payload_type=118, ticks=320)
    row = scene.play().row
    assert row["flags"] == ["assumed_clock_rate"]
    assert row["mos_btwn_vc_and_cust"] is None  # which codec it is nobody said


def test_payload_types_are_the_receivers_to_define() -> None:
    """RFC 3264 5.1: where offer and answer disagree, what is sent to us means what our SDP says."""
    ours = sdp(VC2CUST, types="97", more=["a=rtpmap:97 iLBC/8000"])
    scene = answered(
        customer=sdp(CUST, types="97", more=["a=rtpmap:97 G726-32/8000"]), ours=(ours, sdp(VC2REM))
    )
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 101), payload_type=97)
    scene.rtp(0.2, VC2CUST, CUST, B, range(1, 101), payload_type=97)
    assert {s.ssrc: s.codec for s in scene.play().streams} == {A: "iLBC", B: "G726-32"}


def test_the_first_sdp_that_names_a_type_wins() -> None:
    medias = [
        sdp_reader.parse(sdp(CUST, types="97", more=[f"a=rtpmap:97 {name}/8000"]).encode()).media[0]
        for name in ("iLBC", "G726-32")
    ]
    assert payload_rows(medias)[1] == {97: "iLBC"}


def test_a_stream_forgotten_over_a_long_hold_is_not_counted_from_zero_again() -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 301))
    scene.send(6, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 40, 285)))
    scene.again(7, sdp(CUST, direction="sendonly"), sdp(VC2CUST, direction="recvonly"), away=sdp(VC2REM))
    scene.again(300, sdp(CUST), sdp(VC2CUST), away=sdp(VC2REM), cseq=3)
    scene.rtp(300.2, VC2CUST, CUST, A, range(301, 901))
    scene.send(306, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 41, 585)))
    scene.send(311, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 43, 835)))
    played = scene.play()
    assert played.field("vc2cust_packets_lost") == [40, 2]
    assert played.field("vc2cust_packets_lost_total") == [40, 42]


def test_a_sender_that_changes_its_ssrc_without_end_is_bounded() -> None:
    scene = answered()
    for number in range(MAX_SENT + 50):
        scene.rtp(0.2 + number * 0.01, VC2CUST, CUST, 1000 + number, range(1, 4), step=0.002)
    played = scene.play()
    legs = {id(stream.leg): stream.leg for stream in played.streams if stream.leg is not None}
    assert [len(leg.sent) for leg in legs.values()] == [MAX_SENT]
    assert played.row["vc2cust_rtp_packets"] == (MAX_SENT + 50) * 3


# -- loss that the capture cannot tell


def test_a_gap_that_touches_missed_frames_is_unknown_and_no_loss() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, [n for n in range(1, 501) if n not in range(100, 120) and n != 300])
    scene.missed(2.2, 2.5)
    row = scene.play().row
    assert (row["cust2vc_packets_lost"], row["cust2vc_packets_unknown"]) == (1, 20)
    assert "capture_loss" in row["flags"]


# -- scores


def expected(
    name: str, ratio: float, *, rtt_ms: float, bursts: float = 1.0, packet_ms: float = 20.0
) -> float:
    row = codec(name, 8000)
    delay_ms = one_way_delay_ms(rtt_ms, row, packet_ms=packet_ms, jitter_buffer_ms=60.0)
    return score(row, loss_ratio=ratio, burst_ratio=bursts, one_way_delay_ms=delay_ms).mos


def test_without_a_round_trip_the_delay_is_the_configured_one_and_the_record_says_assumed() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 501))
    row = scene.play().row
    assert row["mos_btwn_vc_and_cust"] == pytest.approx(expected("PCMA", 0, rtt_ms=100), abs=1e-3)
    assert row["mos_btwn_vc_and_cust_source"] == "assumed"
    assert row["rtt_btwn_vc_and_cust"] is None


def test_towards_the_vc_loss_and_discards_over_numbers_judged_enter_the_score() -> None:
    scene = answered()
    gone = [n for n in range(1, 501) if n % 50]  # one in fifty, at random as far as the model knows
    scene.rtp(0.2, CUST, VC2CUST, A, [*gone, 501])
    scene.send(5, odd(VC2CUST), odd(CUST), sender_report(B, 0x1234))
    scene.send(5.4, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(B, 0, 1, lsr=0x1234)))
    row = scene.play().row
    assert row["cust2vc_packets_lost"] == 10
    assert row["mos_btwn_vc_and_cust"] == pytest.approx(expected("PCMA", 10 / 500, rtt_ms=400), abs=2e-3)
    assert row["mos_btwn_vc_and_cust_source"] == "rtp"


def test_losses_in_bursts_lower_the_score() -> None:
    scene = answered()
    gone = {n for start in (100, 200, 300) for n in range(start, start + 6)}
    scene.rtp(0.2, CUST, VC2CUST, A, [n for n in range(1, 501) if n not in gone])
    row = scene.play().row
    bursts = burst_ratio(18, 3, 500)
    assert bursts > 5
    assert row["mos_btwn_vc_and_cust"] == pytest.approx(
        expected("PCMA", 18 / 500, rtt_ms=100, bursts=bursts), abs=2e-3
    )
    assert (row["cust2vc_bursts"], row["cust2vc_burst_density"]) == (3, 1.0)


def test_packets_too_late_for_the_jitter_buffer_enter_the_score_and_not_the_loss() -> None:
    scene = answered()
    late = {100, 150, 200, 250}
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 401))
    scene.frames = [
        (stamp + (90_000_000 if _number(frame) in late else 0), where, frame)
        for stamp, where, frame in scene.frames
    ]
    row = scene.play().row
    assert row["cust2vc_packets_lost"] == 0
    assert row["cust2vc_packets_discarded"] == 4
    assert row["mos_btwn_vc_and_cust"] < expected("PCMA", 0, rtt_ms=100) - 0.01


def _number(frame: bytes) -> int:
    """The sequence number of an RTP frame, 0 of another."""
    return struct.unpack_from(">H", frame, 44)[0] if frame[42] == 0x80 else 0


def test_away_from_the_vc_the_reports_loss_over_its_span_enters_the_score() -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 501))
    scene.send(5, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 4, 200)))
    scene.send(10, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 25, 490)))
    row = scene.play().row
    assert row["mos_btwn_vc_and_cust"] == pytest.approx(expected("PCMA", 25 / 490, rtt_ms=100), abs=2e-3)


def test_both_known_directions_are_averaged_by_packets_and_the_worse_stands_beside() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301))
    scene.rtp(0.2, VC2CUST, CUST, B, range(1, 101))
    scene.send(2.1, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(B, 20, 95)))
    row = scene.play().row
    good, bad = expected("PCMA", 0, rtt_ms=100), expected("PCMA", 20 / 95, rtt_ms=100)
    assert row["mos_btwn_vc_and_cust"] == pytest.approx((300 * good + 100 * bad) / 400, abs=2e-3)
    assert row["mos_worst_btwn_vc_and_cust"] == pytest.approx(bad, abs=2e-3)
    assert row["r_worst_btwn_vc_and_cust"] < row["r_btwn_vc_and_cust"]


def test_a_direction_nobody_reports_on_leaves_the_other_to_speak() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301))
    scene.rtp(0.2, VC2CUST, CUST, B, range(1, 301))
    row = scene.play().row
    assert row["mos_btwn_vc_and_cust"] == pytest.approx(expected("PCMA", 0, rtt_ms=100), abs=2e-3)
    assert row["vc2cust_packets_lost"] is None


def test_ten_per_cent_loss_is_not_scored_as_clear_speech() -> None:
    scene = answered()
    scene.rtp(0.2, REM, VC2REM, A, [n for n in range(1, 1001) if n % 10])
    row = scene.play().row
    assert row["mos_btwn_vc_and_rem"] < 3.9
    assert row["mos_btwn_vc_and_cust"] is None


def test_loss_of_a_minute_does_not_pin_the_score_of_the_next() -> None:
    scene = answered()
    numbers = [n for n in range(1, 6001) if not (n < 2500 and n % 4 == 0)]
    scene.rtp(0.2, CUST, VC2CUST, A, numbers)
    worse, better = scene.play().field("mos_btwn_vc_and_cust")[:2]
    assert worse < 3.5
    assert better == pytest.approx(expected("PCMA", 0, rtt_ms=100), abs=1e-3)


def test_streams_of_one_pair_of_sockets_may_expire_together() -> None:
    scene = answered()
    for ssrc in range(1, 21):  # few enough to take turns
        scene.rtp(ssrc / 10, ("203.0.113.9", 9), VC2REM, ssrc, range(5))
    assert len(scene.play(until=400).summaries) == 7


def test_of_streams_alike_the_first_one_names_the_codec_each_time() -> None:
    """A leg that ends gives its streams out in their order, not in that of their places in memory."""
    codecs = []
    for first in range(12):
        scene = Scene()
        scene.call(1)
        for number in range(4):
            scene.rtp(2 + number, CUST, VC2CUST, 1 + number, range(1), payload_type=(8, 0, 9, 4)[number])
        scene.bye(10)
        scene.sip(50, CUST[0], VC_C, "OPTIONS sip:b SIP/2.0", call_id=f"o{first}", cseq="1 OPTIONS")
        codecs += scene.play().field("codec")
    assert set(codecs) == {"PCMA"}
