"""Reports of the far end against what really happened to packets, by hand-made RTCP through the pipeline."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from agent.media.far_end_loss import Span, take_block
from agent.media.round_trip import RoundTrips
from agent.model.far_end_cy import FarEndLoss
from agent.wire.rtp.rtcp import ReportBlock
from tests.kit.scene import (
    CUST,
    CUSTOMER,
    PHONE,
    REM,
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
    odd,
    receiver_report,
    sdp,
    sender_report,
    voip_metrics,
)


def talking(seconds: float = 20.0, **how: object) -> Scene:
    """An answered call; the remote end's stream A is relayed to the customer, from number 100 on."""
    scene = answered(**how)
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, A, range(100, 100 + int(seconds * 50)))
    return scene


def tells(scene: Scene, at: float, *blocks: bytes, reporter: int = PHONE) -> None:
    scene.send(at, odd(CUST), odd(VC2CUST), receiver_report(reporter, *blocks))


def highest(at: float, cycles: int = 0) -> int:
    """The newest number of stream A 50 ms before `at`."""
    return 100 + int((at - 0.25) * 50) + (cycles << 16)


# -- loss away from the vc


def test_loss_after_the_vc_is_the_increase_of_the_cumulative_loss() -> None:
    scene = talking()
    tells(scene, 5, block(A, 3, highest(5)))
    tells(scene, 10, block(A, 10, highest(10)))
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 10
    assert row["vc2cust_packets_lost_source"] == "rtcp"
    assert row["rem2vc_packets_lost"] == 0


def test_loss_before_the_vc_reported_end_to_end_is_not_charged_after_it() -> None:
    scene = answered()
    lost = {150, 151, 400}
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, A, [n for n in range(100, 1100) if n not in lost])
    tells(scene, 5, block(A, 2, highest(5)))
    tells(scene, 10, block(A, 3, highest(10)))
    row = scene.play().row
    assert row["rem2vc_packets_lost"] == 3
    assert row["vc2cust_packets_lost"] == 0
    assert row["vc2cust_relayed"] is True


def test_a_stream_made_by_the_sbc_is_judged_alike() -> None:
    scene = answered()
    scene.rtp(0.2, REM, VC2REM, A, [n for n in range(100, 1100) if n not in (200, 201)])
    scene.rtp(0.2, VC2CUST, CUST, 0xD00D, range(1, 1001))
    tells(scene, 5, block(0xD00D, 4, 1 + 237))
    row = scene.play().row
    assert (row["rem2vc_packets_lost"], row["vc2cust_packets_lost"]) == (2, 4)
    assert row["vc2cust_relayed"] is False


def test_ten_duplicated_before_the_vc_and_ten_lost_after_it_are_ten() -> None:
    scene = talking()
    for number in range(120, 130):  # again 30 ms later: too late for a copy
        at = 0.2 + (number - 100) * 0.02 + 0.03
        for src, dst in ((REM, VC2REM), (VC2CUST, CUST)):
            scene.rtp(at, src, dst, A, [number])
    tells(scene, 5, block(A, 0, highest(5)))  # the receiver: ten lost, ten received twice
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 10
    assert row["rem2vc_packets_lost"] == 0


def test_the_first_block_of_a_stream_seen_from_its_start_counts_from_zero() -> None:
    scene = talking()
    tells(scene, 5, block(A, 7, highest(5)))
    assert scene.play().row["vc2cust_packets_lost"] == 7


def test_the_first_difference_is_floored_at_zero_and_not_carried() -> None:
    scene = talking()
    tells(scene, 5, block(A, -3, highest(5)))
    tells(scene, 10, block(A, 2, highest(10)))
    assert scene.play().row["vc2cust_packets_lost"] == 5


def test_a_capture_begun_mid_call_takes_the_first_block_as_a_baseline() -> None:
    scene = Scene()
    # An in-dialog request is all that shows the legs; the call had lost 500 packets before.
    scene.sip(
        0.0,
        CUSTOMER,
        VC_C,
        "INVITE sip:bob@b.example SIP/2.0",
        call_id="a",
        to_tag="c",
        cseq="5 INVITE",
        body=sdp(CUST),
    )
    scene.sip(
        0.1, VC_C, CUSTOMER, "SIP/2.0 200 OK", call_id="a", to_tag="c", cseq="5 INVITE", body=sdp(VC2CUST)
    )
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 6000))
    tells(scene, 5, block(A, 500, highest(5)))
    tells(scene, 70, block(A, 504, highest(70)))
    assert scene.play().field("vc2cust_packets_lost") == [None, 4]


def test_a_repeated_or_overtaken_block_is_ignored() -> None:
    scene = talking()
    tells(scene, 5, block(A, 3, highest(5)))
    tells(scene, 5.1, block(A, 3, highest(5)))
    tells(scene, 10, block(A, 5, highest(10)))
    tells(scene, 10.1, block(A, 4, highest(9.9)))
    tells(scene, 15, block(A, 6, highest(15)))
    assert scene.play().row["vc2cust_packets_lost"] == 6


@pytest.mark.parametrize("after", [0, 1])
def test_a_receiver_that_began_again_is_a_new_baseline(after: int) -> None:
    scene = talking(30)
    tells(scene, 5, block(A, 20, highest(5)))
    tells(scene, 10, block(A, after, highest(10), fraction=after))  # its count since then
    tells(scene, 15, block(A, after + 2, highest(15)))
    assert scene.play().row["vc2cust_packets_lost"] == 22


def test_cycles_that_began_again_are_a_new_baseline() -> None:
    scene = talking(30)
    tells(scene, 5, block(A, 2, highest(5, cycles=3)))
    tells(scene, 10, block(A, 40, highest(10, cycles=0)))
    tells(scene, 15, block(A, 41, highest(15, cycles=0)))
    assert scene.play().row["vc2cust_packets_lost"] == 3


def test_the_extended_highest_is_mapped_by_its_low_sixteen_bits() -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(65_400, 66_400))  # wraps; the receiver counts cycles from 7
    tells(scene, 5, block(A, 1, 65_400 + 237 + (7 << 16)))
    tells(scene, 10, block(A, 3, 65_400 + 487 + (7 << 16)))
    assert scene.play().row["vc2cust_packets_lost"] == 3


def test_another_reporter_is_a_baseline_of_its_own() -> None:
    scene = talking(30)
    tells(scene, 5, block(A, 2, highest(5)))
    tells(scene, 10, block(A, 90, highest(10)), reporter=PHONE + 1)
    tells(scene, 15, block(A, 93, highest(15)), reporter=PHONE + 1)
    assert scene.play().row["vc2cust_packets_lost"] == 5


def test_blocks_about_several_streams_are_told_apart() -> None:
    scene = talking()
    scene.rtp(0.2, VC2CUST, CUST, B, range(100, 1100))
    tells(scene, 5, block(A, 2, highest(5)), block(B, 5, highest(5)), block(0xEEEE, 99, highest(5)))
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 7


def test_a_stream_with_a_new_ssrc_counts_from_zero_again() -> None:
    scene = talking(10)
    tells(scene, 9, block(A, 4, highest(9)))
    scene.rtp(10.2, VC2CUST, CUST, B, range(5000, 5500))
    tells(scene, 15.25, block(B, 3, 5250))
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 7


def test_an_ssrc_that_left_before_is_not_counted_from_zero() -> None:
    """The far end moves to another port and counts on: what it had lost was charged already."""
    scene = talking(10)
    tells(scene, 9, block(A, 50, highest(9)))
    moved = (CUSTOMER, 4500)
    scene.rtp(10.2, VC2CUST, moved, A, range(600, 1600))
    scene.send(15, odd(moved), odd(VC2CUST), receiver_report(PHONE, block(A, 51, 600 + 230)))
    scene.send(20, odd(moved), odd(VC2CUST), receiver_report(PHONE, block(A, 53, 600 + 480)))
    assert scene.play().row["vc2cust_packets_lost"] == 52


def test_a_negative_difference_is_carried_and_never_published() -> None:
    scene = talking(130)
    tells(scene, 5, block(A, 0, highest(5)))
    tells(scene, 50, block(A, -6, highest(50)))  # six received twice after the vc
    tells(scene, 65, block(A, -2, highest(65)))
    tells(scene, 125, block(A, 3, highest(125)))
    assert scene.play().field("vc2cust_packets_lost") == [0, 0, 3]


def test_loss_is_charged_to_the_minute_of_the_block() -> None:
    scene = talking(70)
    tells(scene, 59, block(A, 1, highest(59)))
    tells(scene, 64, block(A, 9, highest(64)))
    played = scene.play()
    assert played.field("vc2cust_packets_lost") == [1, 8]
    assert played.field("vc2cust_packets_lost_total") == [1, 9]


def test_the_last_report_counts_though_it_comes_a_minute_after_the_last_packet() -> None:
    scene = talking(57)
    tells(scene, 50, block(A, 1, highest(50)))
    scene.bye(59.9)
    tells(scene, 61, block(A, 5, highest(57)))
    played = scene.play(until=130)
    assert played.metric("VcToCustomerPacketsLost")[:2] == [1, 4]


def test_a_span_that_touches_missed_frames_is_unknown() -> None:
    scene = talking(30)
    tells(scene, 5, block(A, 2, highest(5)))
    scene.missed(7, 7.5)
    tells(scene, 10, block(A, 80, highest(10)))
    tells(scene, 15, block(A, 81, highest(15)))
    assert scene.play().row["vc2cust_packets_lost"] == 3


def test_frames_missed_before_the_first_block_make_it_a_baseline() -> None:
    scene = talking(30)
    scene.missed(2, 2.5)
    tells(scene, 5, block(A, 40, highest(5)))
    tells(scene, 10, block(A, 42, highest(10)))
    assert scene.play().row["vc2cust_packets_lost"] == 2


def test_without_a_second_block_a_baseline_stays_unknown() -> None:
    scene = talking(30)
    scene.missed(2, 2.5)
    tells(scene, 5, block(A, 40, highest(5)))
    played = scene.play()
    assert played.row["vc2cust_packets_lost"] is None
    assert played.row["vc2cust_packets_lost_source"] is None
    assert played.row["vc2cust_packets_lost_total"] is None
    assert played.metric("VcToCustomerPacketsLost") == [None]
    assert played.summaries[0].connectors[0].coverage["vc2cust"] == 0


@pytest.mark.parametrize("full", [0x7F_FFFF, -0x80_0000])
def test_a_saturated_count_is_unknown(full: int) -> None:
    away = FarEndLoss()
    at: dict[str, Any] = {"first": False, "missed_ns": 0}
    assert (
        take_block(away, 1, 9, ReportBlock(1, 0, full - (full > 0), 100, 0, 0, 0), (0, 100, 100, 0), **at)
        is None
    )
    assert take_block(away, 2, 9, ReportBlock(1, 0, full, 200, 0, 0, 0), (0, 200, 200, 0), **at) is None
    assert take_block(away, 3, 9, ReportBlock(1, 0, full, 300, 0, 0, 0), (0, 300, 300, 0), **at) is None


def test_a_count_that_wraps_though_it_should_be_clamped_goes_on() -> None:
    away = FarEndLoss()
    at: dict[str, Any] = {"first": False, "missed_ns": 0}
    take_block(away, 1, 9, ReportBlock(1, 0, 0x7F_FFFE, 100, 0, 0, 0), (0, 100, 100, 0), **at)
    span = take_block(away, 2, 9, ReportBlock(1, 0, -0x80_0000 + 3, 200, 0, 0, 0), (0, 200, 200, 0), **at)
    assert span == Span(5, 100)


def test_more_lost_than_was_sent_is_no_measurement() -> None:
    scene = talking(30)
    tells(scene, 5, block(A, 2, highest(5)))
    tells(scene, 10, block(A, 70_000, highest(10)))
    tells(scene, 15, block(A, 70_001, highest(15)))
    assert scene.play().row["vc2cust_packets_lost"] == 3


def test_jitter_of_the_far_end_is_its_ticks_by_the_clock_rate() -> None:
    scene = talking()
    tells(scene, 5, block(A, 0, highest(5), jitter=80))
    tells(scene, 10, block(A, 0, highest(10), jitter=160))
    played = scene.play()
    assert played.row["vc2cust_jitter"] == 15_000
    assert played.row["vc2cust_jitter_source"] == "rtcp"
    assert played.metric("VcToCustomerJitter") == [15_000]


def test_jitter_of_hours_is_no_measurement() -> None:
    scene = talking()
    tells(scene, 5, block(A, 0, highest(5), jitter=0xFFFF_0000))
    assert scene.play().row["vc2cust_jitter"] is None


# -- where RTCP runs


def test_rtcp_on_the_rtp_port_is_told_by_its_packet_type() -> None:
    scene = talking()
    scene.send(5, CUST, VC2CUST, receiver_report(PHONE, block(A, 6, highest(5))))
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 6
    assert (row["cust2vc_rtcp_packets"], row["cust2vc_rtcp_bytes"]) == (1, 32)
    assert row["cust2vc_rtp_packets"] == 0


def test_rtcp_named_by_sdp_runs_on_any_port_and_address() -> None:
    far, near = ("192.0.2.77", 9999), (VC_R, 12_346)
    scene = Scene()
    scene.call(
        customer=sdp(CUST, more=["a=rtcp:9999 IN IP4 192.0.2.77"]),
        ours=(sdp(VC2CUST, more=[f"a=rtcp:12346 IN IP4 {VC_R}"]), sdp(VC2REM)),
    )
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 1100))
    scene.send(5, far, near, receiver_report(PHONE, block(A, 2, highest(5))))
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 2
    assert row["cust2vc_rtcp_packets"] == 1


def test_srtcp_is_counted_and_its_contents_are_unknown() -> None:
    secure = [s.replace("RTP/AVP", "RTP/SAVP") for s in (sdp(CUST), sdp(REM), sdp(VC2CUST), sdp(VC2REM))]
    scene = Scene()
    scene.call(customer=secure[0], remote=secure[1], ours=(secure[2], secure[3]))
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 1100))
    tells(scene, 5, block(A, 2, highest(5)))
    played = scene.play()
    assert played.row["cust2vc_rtcp_packets"] == 1
    assert played.row["vc2cust_packets_lost"] is None
    assert played.row["vc2cust_jitter"] is None
    assert played.rejects == {"rtcp_encrypted": 1}


def test_a_trailer_of_srtcp_is_seen_without_a_secure_profile() -> None:
    scene = talking()
    clear = receiver_report(PHONE, block(A, 2, highest(5)))
    scene.send(5, odd(CUST), odd(VC2CUST), clear + struct.pack(">I", 0x8000_0001) + bytes(range(10)))
    played = scene.play()
    assert played.row["cust2vc_rtcp_packets"] == 1
    assert played.row["vc2cust_packets_lost"] is None
    assert played.rejects == {"rtcp_encrypted": 1}


def test_what_does_not_add_up_where_keys_were_offered_is_not_read() -> None:
    keys = ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
    scene = Scene()
    scene.call(ours=(sdp(VC2CUST, more=keys), sdp(VC2REM)))
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 1100))
    scene.send(5, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 2, highest(5))) + b"\x11" * 9)
    row = scene.play().row
    assert row["cust2vc_rtcp_packets"] == 1
    assert row["vc2cust_packets_lost"] is None


def test_rtcp_before_its_sdp_is_counted_once_the_sdp_comes() -> None:
    scene = talking()
    scene.send(0.05, odd(CUST), odd(VC2CUST), receiver_report(PHONE))
    row = scene.play().row
    assert row["cust2vc_rtcp_packets"] == 1


# -- round trip


def trip(scene: Scene, answered: float, *, dlsr: float = 0.0, middle: int = 0x1234_5678) -> None:
    """The vc's sender report at 5 s; the customer's block about it, `answered` seconds later."""
    scene.send(5, odd(VC2CUST), odd(CUST), sender_report(A, middle))
    lsr = block(A, 0, highest(5), lsr=middle, dlsr=round(dlsr * 65536))
    scene.send(5 + answered, odd(CUST), odd(VC2CUST), receiver_report(PHONE, lsr))


def test_round_trip_is_arrival_minus_departure_minus_delay() -> None:
    scene = talking()
    trip(scene, 1.080, dlsr=1.0)
    played = scene.play()
    assert played.row["rtt_btwn_vc_and_cust"] == pytest.approx(80_000, abs=20)
    assert played.row["rtt_btwn_vc_and_cust_source"] == "rtcp"
    assert played.row["rtt_btwn_vc_and_rem"] is None


@pytest.mark.parametrize(
    ("answered", "expected"), [(0.9985, 0.0), (0.9979, None), (11.1, None), (10.9, 9_900_000.0)]
)
def test_round_trip_slightly_below_zero_is_zero_and_beyond_reason_is_dropped(
    answered: float, expected: float | None
) -> None:
    scene = talking()
    trip(scene, answered, dlsr=1.0)
    rtt = scene.play().row["rtt_btwn_vc_and_cust"]
    assert rtt is None if expected is None else rtt == pytest.approx(expected, abs=20)


def test_a_block_before_any_sender_report_gives_no_round_trip() -> None:
    scene = talking()
    trip(scene, 0.05, middle=0)
    assert scene.play().row["rtt_btwn_vc_and_cust"] is None


def test_the_reverse_pairing_measures_this_host_and_is_not_used() -> None:
    scene = talking()
    scene.send(5, odd(CUST), odd(VC2CUST), sender_report(B, 77))
    scene.send(5.001, odd(VC2CUST), odd(CUST), receiver_report(1, block(B, 0, 1, lsr=77)))
    assert scene.play().row["rtt_btwn_vc_and_cust"] is None


def test_round_trip_by_receiver_reference_times_serves_without_sender_reports() -> None:
    """RFC 3611 4.4 and 4.5."""
    scene = talking()
    scene.send(5, odd(VC2CUST), odd(CUST), extended_report(7, 4, struct.pack(">II", 0x1234, 0x5678_0000)))
    answer = struct.pack(">III", 7, 0x1234_5678, 65536 // 2)
    scene.send(5.540, odd(CUST), odd(VC2CUST), extended_report(PHONE, 5, answer))
    row = scene.play().row
    assert row["rtt_btwn_vc_and_cust"] == pytest.approx(40_000, abs=20)
    assert row["rtt_btwn_vc_and_cust_source"] == "xr"


def test_sender_reports_go_before_receiver_reference_times() -> None:
    scene = talking()
    trip(scene, 0.080)
    scene.send(5, odd(VC2CUST), odd(CUST), extended_report(7, 4, struct.pack(">II", 0x1234, 0x5678_0000)))
    scene.send(
        5.5, odd(CUST), odd(VC2CUST), extended_report(PHONE, 5, struct.pack(">III", 7, 0x1234_5678, 0))
    )
    row = scene.play().row
    assert row["rtt_btwn_vc_and_cust"] == pytest.approx(80_000, abs=20)
    assert row["rtt_btwn_vc_and_cust_source"] == "rtcp"


def test_an_endpoints_round_trip_over_a_relayed_stream_is_end_to_end() -> None:
    scene = talking()
    scene.send(5, odd(CUST), odd(VC2CUST), extended_report(PHONE, 7, voip_metrics(A, round_trip=180)))
    row = scene.play().row
    assert row["rtt_end_to_end_cust"] == 180_000
    assert row["rtt_btwn_vc_and_cust"] is None


def test_an_endpoints_round_trip_over_the_sbcs_own_stream_is_the_sides() -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 600))
    scene.send(5, odd(CUST), odd(VC2CUST), extended_report(PHONE, 7, voip_metrics(A, round_trip=180)))
    row = scene.play().row
    assert row["rtt_btwn_vc_and_cust"] == 180_000
    assert row["rtt_btwn_vc_and_cust_source"] == "xr"
    assert row["rtt_end_to_end_cust"] is None


def test_voip_metrics_are_the_far_ends_view_beside_ours() -> None:
    scene = talking()
    scene.send(5, odd(CUST), odd(VC2CUST), extended_report(PHONE, 7, voip_metrics(A, loss=64, r=80, mos=41)))
    row = scene.play().row
    view = row["far_end_cust"]
    assert (view["source"], view["loss_ratio"], view["r"], view["mos_cq"]) == ("xr", 0.25, 80, 4.1)
    assert row["far_end_rem"] is None
    assert row["vc2cust_packets_lost"] is None


def test_departures_are_bounded_and_forgotten() -> None:
    departures = RoundTrips(max_pairs=10)
    for number in range(50):
        departures.sent((VC_C, number), 1, number + 1, number)
    assert len(departures) == 10
    for number in range(100):
        departures.sent((VC_R, 1), 1, number + 1, 1000 + number)
    assert departures.met((VC_R, 1), 1, 100, 0, 1099).rtt_us is not None
    assert departures.met((VC_R, 1), 1, 50, 0, 1099).rtt_us is None
    departures.forget(1000)
    assert len(departures) == 1


def test_a_stream_whose_first_packets_were_lost_begins_with_a_baseline() -> None:
    """A receiver without probation counts from the packet before the gap, we from the two behind it."""
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, [n for n in range(100, 1100) if n != 101])
    tells(scene, 5, block(A, 1, highest(5)))
    tells(scene, 10, block(A, 3, highest(10)))
    assert scene.play().row["vc2cust_packets_lost"] == 2


# -- against a receiver by the book


class Receiver:
    """RFC 3550 A.3, with every packet kept: what it says of a stream without reordering."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def block(self) -> bytes:
        highest = max(self.numbers)
        return block(A, highest - self.numbers[0] + 1 - len(self.numbers), highest)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@example(  # as many came twice before the second report as were lost: the receiver's count falls to 0
    start=1527, before={17, 54, 90, 143}, twice={163, 70, 110, 87, 159}, after={41, 171}, told=[41, 171]
)
@given(
    start=st.integers(0, 65_535),
    before=st.sets(st.integers(2, 299), max_size=30),
    twice=st.sets(st.integers(2, 299), max_size=20),
    after=st.sets(st.integers(1, 299), max_size=40),
    told=st.lists(st.integers(10, 299), min_size=1, max_size=6, unique=True),
)
def test_any_loss_before_and_after_the_vc_is_told_apart(
    start: int, before: set[int], twice: set[int], after: set[int], told: list[int]
) -> None:
    """What was lost before the vc, what came twice, what was lost after it: the far end's sum is the last."""
    scene, receiver = Scene(), Receiver()
    scene.call()
    for place in range(300):
        at = 0.2 + place * 0.02
        for copy in range(2 if place in twice else 1):
            if place not in before:
                scene.rtp(at + copy * 0.008, VC2CUST, CUST, A, [start + place])
                if place not in after or copy:
                    receiver.numbers.append(start + place)
        if place in told and receiver.numbers:
            tells(scene, at + 0.015, receiver.block())
            newest = max(receiver.numbers)
            expected = sum(p in after and p not in before for p in range(newest - start + 1))
    assert receiver.numbers[0] == start
    assert scene.play().row["vc2cust_packets_lost"] == expected


def test_next_call_to_the_same_far_socket_with_the_same_ssrc_has_a_first_block_of_its_own() -> None:
    """A phone and an SBC that begin every call alike but for the vc's port: what is silent is another's."""
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 350))
    scene.bye(5.3)
    other = (VC_C, 5_100)
    scene.call(20.0, name="2", vc2cust=other)
    scene.rtp(20.2, other, CUST, A, range(100, 600))
    scene.send(25.2, odd(CUST), odd(other), receiver_report(PHONE, block(A, 7, 349)))
    rows = {row["call_id"]: row for row in scene.play().media}
    assert rows["a2"]["vc2cust_packets_lost"] == 7


def test_stream_older_than_its_leg_takes_its_first_block_as_a_baseline() -> None:
    """A call of before the capture goes on, and another one names the far socket that it uses."""
    scene = Scene()
    other = (VC_C, 5_100)
    scene.rtp(0.2, other, CUST, A, range(100, 1_100))
    scene.call(10.0, name="2")
    scene.send(15.0, odd(CUST), odd(other), receiver_report(PHONE, block(A, 7, 835)))
    scene.rtp(15.2, VC2CUST, CUST, B, range(1, 100))
    scene.send(17.2, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(B, 0, 90)))
    rows = {row["call_id"]: row for row in scene.play().media}
    assert rows["a2"]["vc2cust_packets_lost"] == 0


def test_pair_is_forgotten_by_its_newest_departure_after_the_clock_was_set_too() -> None:
    departures = RoundTrips()
    for stamp_ns, middle in ((100, 1), (2_000, 2)):
        departures.sent("a", 7, middle, stamp_ns)
    departures.sent("b", 7, 1, 100)
    departures.shift(1_000)
    departures.forget(1_101)
    assert (departures.knows("a"), departures.knows("b")) == (True, False)
    departures.forget(3_001)
    assert not departures.knows("a")
