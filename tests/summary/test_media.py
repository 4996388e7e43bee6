"""The media record: fields and their sources, totals over minutes, what is the vc's own, and the flags."""

from __future__ import annotations

from typing import Any

import pytest

from agent.summary.catalog import MEDIA_FIELDS
from agent.summary.direction_totals_cy import DirectionFigures, MediaTotals
from tests.kit.scene import (
    CUST,
    CUSTOMER,
    REM,
    VC2CUST,
    VC2REM,
    VC_C,
    Scene,
    block,
    fax,
    odd,
    receiver_report,
    sdp,
)

A, B, PHONE = 0xAAAA, 0xBBBB, 0xCCCC


def call(seconds: float = 20.0, *, at: float = 0.2, **how: Any) -> Scene:
    """Both ends talk, end to end through the SBC."""
    scene = Scene()
    scene.call(**how)
    count = int(seconds * 50)
    scene.relayed(at, CUST, (VC2CUST, VC2REM), REM, B, range(1, 1 + count))
    scene.relayed(at, REM, (VC2REM, VC2CUST), CUST, A, range(1, 1 + count))
    return scene


def test_record_says_whose_a_flag_is_and_how_many_packets_a_loss_is_of() -> None:
    scene = call()
    scene.bye(20.4)
    for at in range(4, 20, 4):  # the customer's phone heard 30 packets, and no more
        report = receiver_report(PHONE, block(A, 0, 30))
        scene.send(0.2 + at, odd(CUST), odd(VC2CUST), report)
    row = scene.play(until=60).row
    assert row["flags"] == ["far_end_deaf"]
    assert row["side_flags"] == {"customer": ["far_end_deaf"]}
    known = {way: row[f"{way}_packets_known"] for way in ("cust2vc", "vc2cust", "rem2vc", "vc2rem")}
    assert known == {"cust2vc": 1_000, "vc2cust": 30, "rem2vc": 1_000, "vc2rem": 0}


def test_record_without_a_flag_of_a_side_names_no_side() -> None:
    scene = call()
    scene.bye(20.4)
    assert scene.play(until=60).row["side_flags"] is None


def test_the_record_begins_with_the_fields_of_the_media_log_in_their_order() -> None:
    row = call().play().row
    assert tuple(row)[:9] == MEDIA_FIELDS[:9]
    assert set(MEDIA_FIELDS) <= set(row)
    assert row["flags"] == []


def test_every_figure_names_its_source() -> None:
    scene = call()
    scene.send(5, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 1, 230, jitter=4)))
    row = scene.play().row
    sources = {name.removesuffix("_source"): value for name, value in row.items() if name.endswith("_source")}
    assert sources == {
        "cust2vc_packets_lost": "rtp",
        "cust2vc_jitter": "rtp",
        "vc2cust_packets_lost": "rtcp",
        "vc2cust_jitter": "rtcp",
        "rem2vc_packets_lost": "rtp",
        "rem2vc_jitter": "rtp",
        "vc2rem_packets_lost": None,
        "vc2rem_jitter": None,
        "rtt_btwn_vc_and_cust": None,
        "rtt_btwn_vc_and_rem": None,
        "mos_btwn_vc_and_cust": "assumed",
        "mos_btwn_vc_and_rem": "assumed",
    }


def test_a_figure_without_a_source_is_null_and_the_other_way_round() -> None:
    row = call().play().row
    for name, source in row.items():
        if name.endswith("_source"):
            assert (row[name.removesuffix("_source")] is None) == (source is None), name


# -- totals


def test_totals_are_cumulative_over_minutes() -> None:
    scene = Scene()
    scene.call()
    gone = {500, 501, 3500, 6500}
    scene.rtp(0.2, CUST, VC2CUST, B, [n for n in range(1, 7001) if n not in gone])
    played = scene.play()
    assert played.field("cust2vc_packets_lost") == [2, 1, 1]
    assert played.field("cust2vc_packets_lost_total") == [2, 3, 4]


def test_a_total_is_null_until_something_is_known_and_then_stays() -> None:
    scene = call(170)
    scene.send(70, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 5, 3480)))
    played = scene.play()
    assert played.field("vc2cust_packets_lost") == [None, 5, None]
    assert played.field("vc2cust_packets_lost_total") == [None, 5, 5]


def test_a_direction_without_a_stream_has_lost_nothing() -> None:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, CUST, VC2CUST, B, range(1, 101))
    row = scene.play().row
    assert (row["vc2rem_packets_lost"], row["vc2rem_packets_lost_total"]) == (0, 0)
    assert row["vc2rem_packets_lost_source"] is None


# -- the vc's own loss


def test_gaps_that_are_new_where_a_relayed_stream_leaves_are_the_vcs() -> None:
    scene = Scene()
    scene.call()
    numbers = [n for n in range(1, 1001) if n not in (100, 101)]
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, B, numbers, dropped=[300, 400, 401])
    row = scene.play().row
    assert row["vc_lost"] == 3
    assert row["cust2vc_packets_lost"] == 2


@pytest.mark.parametrize("lost", [range(2975, 2991), range(2920, 2940)])
def test_gaps_near_a_minutes_end_are_no_loss_of_the_vc(lost: range) -> None:
    """The same gap may be judged in one minute where it comes in, and in the next where it leaves."""
    scene = Scene()
    scene.call()
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, B, [n for n in range(1, 4001) if n not in lost])
    played = scene.play()
    assert played.field("vc_lost") == [0, 0]
    assert sum(played.field("cust2vc_packets_lost")) == len(lost)


def test_gaps_in_a_stream_of_the_sbcs_own_are_the_vcs() -> None:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, CUST, VC2CUST, B, range(1, 501))
    scene.rtp(0.2, VC2REM, REM, 0xD00D, [n for n in range(1, 501) if n % 100])
    assert scene.play().row["vc_lost"] == 4


def test_gaps_passed_on_under_another_ssrc_are_not_the_vcs() -> None:
    scene = Scene()
    scene.call()
    numbers = [n for n in range(1, 501) if n % 100]
    scene.rtp(0.2, CUST, VC2CUST, B, numbers)
    scene.rtp(0.201, VC2REM, REM, 0xD00D, numbers)
    assert scene.play().row["vc_lost"] == 0


def test_the_echo_of_an_endpoint_is_not_taken_for_its_relayed_stream() -> None:
    """An endpoint that echoes sends the SSRC and numbers that it got: both ways look alike."""
    scene = Scene()
    scene.call()
    numbers = list(range(1, 501))
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, B, numbers, dropped=[100, 200])
    back = [n for n in numbers if n not in (100, 200)]
    scene.relayed(0.21, REM, (VC2REM, VC2CUST), CUST, B, back)
    assert scene.play().row["vc_lost"] == 2


# -- sums of a connector


def test_a_connectors_loss_is_the_sum_over_what_is_known() -> None:
    known, unknown, told_late = DirectionFigures(), DirectionFigures(), DirectionFigures()
    known.streams = known.known = 1
    known.packets = known.known_packets = 300
    known.known_lost = 7
    unknown.streams, unknown.packets = 1, 100
    told_late.streams = told_late.known = 1  # only a report: its packets were of the minute before
    told_late.known_lost = 3
    for order in ([known, unknown, told_late], [told_late, unknown, known], [unknown, known, told_late]):
        totals = MediaTotals()
        for figures in order:
            totals.add("vc2cust", figures)
        assert totals.values["VcToCustomerPacketsLost"] == 10
        assert totals.coverage["vc2cust"] == 0.75
    totals = MediaTotals()
    totals.add("vc2cust", unknown)
    assert totals.values["VcToCustomerPacketsLost"] is None
    assert totals.values["CustomerToVcPacketsLost"] == 0


# -- flags


def flags(scene: Scene, **how: Any) -> list[list[str]]:
    rows: list[list[str]] = scene.play(**how).field("flags")
    return rows


def test_one_way_audio_is_flagged() -> None:
    scene = Scene()
    scene.call()
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, B, range(1, 1001))
    assert flags(scene) == [["one_way_audio"]]


def test_audio_one_way_for_less_than_ten_seconds_is_not_flagged() -> None:
    scene = Scene()
    scene.call()
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, B, range(1, 451))
    assert flags(scene) == [[]]


def test_one_way_audio_of_a_held_call_is_music() -> None:
    scene = Scene()
    scene.call()
    scene.again(0.3, sdp(CUST, direction="sendonly"), sdp(VC2CUST, direction="recvonly"), away=sdp(VC2REM))
    scene.relayed(0.4, CUST, (VC2CUST, VC2REM), REM, B, range(1, 1001))
    assert flags(scene) == [[]]


def test_a_fax_is_not_one_way_audio() -> None:
    scene = call(4)
    scene.again(5, fax(CUST), fax(VC2CUST), away=fax(VC2REM))
    assert flags(scene, until=130) == [[]]


def test_dead_air_is_flagged_and_has_a_record_of_its_own() -> None:
    scene = call(30)
    assert flags(scene, until=130) == [["dead_air"], ["dead_air"]]


def test_silence_of_less_than_ten_seconds_is_not_dead_air() -> None:
    scene = call(52)
    scene.bye(65)
    assert flags(scene, until=130)[0] == []


def test_a_held_call_is_not_dead_air() -> None:
    scene = call(10)
    scene.again(11, sdp(CUST, direction="inactive"), sdp(VC2CUST, direction="inactive"), away=sdp(VC2REM))
    assert flags(scene, until=130) == [[]]


def test_a_call_that_is_over_is_not_dead_air() -> None:
    scene = call(10)
    scene.bye(11)
    assert flags(scene, until=130) == [[]]


def test_what_was_not_watched_is_not_dead_air() -> None:
    scene = call(10)
    assert flags(scene) == [[]]


def test_late_media_is_flagged_in_the_minute_of_its_first_packet() -> None:
    assert flags(call(70, at=0.7)) == [["late_media"], []]


def test_media_within_half_a_second_of_the_answer_is_not_late() -> None:
    assert flags(call(at=0.55)) == [[]]


def test_early_media_is_never_late() -> None:
    assert flags(call(at=0.05)) == [[]]


def test_media_of_a_call_met_in_its_middle_is_not_late() -> None:
    scene = Scene()
    scene.sip(0, CUSTOMER, VC_C, "INVITE sip:bob@b.example SIP/2.0", call_id="a", to_tag="c", body=sdp(CUST))
    scene.sip(0.1, VC_C, CUSTOMER, "SIP/2.0 200 OK", call_id="a", to_tag="c", body=sdp(VC2CUST))
    for src, dst in ((CUST, VC2CUST), (VC2CUST, CUST)):
        scene.rtp(5, src, dst, A, range(1, 301))
    assert flags(scene) == [[]]


def test_codec_asymmetry_is_flagged() -> None:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, CUST, VC2CUST, B, range(1, 101), payload_type=8)
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 101), payload_type=0)
    assert flags(scene) == [["codec_asymmetry"]]


def test_ptime_asymmetry_is_flagged() -> None:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, CUST, VC2CUST, B, range(1, 101))
    scene.rtp(0.2, VC2CUST, CUST, A, range(1, 101), step=0.03, ticks=240)
    assert flags(scene) == [["ptime_asymmetry"]]


def test_unexpected_source_is_flagged() -> None:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, ("203.0.113.7", 4000), VC2CUST, B, range(1, 101))
    assert flags(scene) == [["unexpected_source"]]


def test_capture_loss_is_flagged_and_counted_apart() -> None:
    scene = Scene()
    scene.call()
    for src, dst, ssrc in ((CUST, VC2CUST, B), (VC2CUST, CUST, A)):
        scene.rtp(0.2, src, dst, ssrc, [n for n in range(1, 401) if n not in range(100, 110)])
    scene.missed(2.17, 2.37)
    row = scene.play().row
    assert row["flags"] == ["capture_loss"]
    assert (row["cust2vc_packets_lost"], row["cust2vc_packets_unknown"]) == (0, 10)


def test_late_answer_is_flagged() -> None:
    """A 2xx after the attempt had failed by Timer B (RFC 3261 17.1.1.2)."""
    scene = Scene()
    scene.sip(0, CUSTOMER, VC_C, "INVITE sip:bob@b.example SIP/2.0", call_id="a", body=sdp(CUST))
    scene.sip(35, VC_C, CUSTOMER, "SIP/2.0 200 OK", call_id="a", to_tag="c", body=sdp(VC2CUST))
    for src, dst in ((CUST, VC2CUST), (VC2CUST, CUST)):
        scene.rtp(35.1, src, dst, A, range(1, 301))
    assert "late_answer" in flags(scene)[0]
