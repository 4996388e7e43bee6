"""Claims of a far end that cannot be true are flagged, and no figure rests on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.media.plausible import AnswerClock, ClaimVerdict, Count, counted_as, is_deaf, judge_answer
from agent.media.round_trip import MAX_REPORTERS, RoundTrips
from agent.model.far_end_cy import Hearing
from tests.kit.scene import (
    CUST,
    PHONE,
    VC2CUST,
    VC2REM,
    A,
    B,
    Played,
    Scene,
    answered,
    block,
    odd,
    receiver_report,
    sdp,
    sender_report,
)

SECOND = 1_000_000_000
PATH_S = 0.04  # the true round trip
GAPS = (1.0, 1.5, 2.0, 2.5, 3.0)


def flags(row: dict[str, Any]) -> list[str]:
    """Those of the far end."""
    return [flag for flag in row["flags"] if flag in ("rtcp_implausible", "far_end_deaf")]


def judged(
    gaps: tuple[float, ...], dlsr: Callable[[float], float], path_s: float = PATH_S
) -> list[ClaimVerdict]:
    """Verdicts on answers `gap` seconds after each sender report arrived, which claim `dlsr(gap)` seconds."""
    clock = AnswerClock()
    return [
        judge_answer(clock, round((gap + path_s) * SECOND), round(dlsr(gap) * SECOND), newest=True)
        for gap in gaps
    ]


# -- round trips


@pytest.mark.parametrize("path_s", [0.0005, 0.04, 0.6, 1.5])
@pytest.mark.parametrize("gaps", [GAPS, GAPS[::-1], (0.05, 4.9, 0.3, 2.0, 0.1), (2.5,) * 5])
def test_true_delays_are_believed(gaps: tuple[float, ...], path_s: float) -> None:
    assert set(judged(gaps, lambda gap: gap, path_s)) == {ClaimVerdict.TRUE}


@pytest.mark.parametrize("unit", [1000, 8000, 48_000, 100])
def test_delay_in_another_unit_is_convicted_by_three_answers(unit: int) -> None:
    verdicts = judged(GAPS, lambda gap: gap * unit / 65_536)
    assert verdicts == [
        ClaimVerdict.TRUE,
        ClaimVerdict.TRUE,
        ClaimVerdict.VOID,
        ClaimVerdict.FALSE,
        ClaimVerdict.FALSE,
    ]


def test_delay_in_microseconds_gives_no_round_trip() -> None:
    assert set(judged(GAPS, lambda gap: gap * 1e6 / 65_536)) == {ClaimVerdict.NONE}


def test_delay_of_zero_at_a_fixed_distance_is_convicted_too() -> None:
    assert judged((2.5,) * 3, lambda gap: 0.0)[-1] is ClaimVerdict.VOID


def test_growing_round_trip_of_a_far_end_that_reports_on_time_is_believed() -> None:
    """A queue fills: the time since the sender report grows one to one with the path, and DLSR is true."""
    clock = AnswerClock()
    verdicts = [
        judge_answer(clock, round((2.5 + path) * SECOND), round(2.5 * SECOND), newest=True)
        for path in (0.04, 0.3, 0.8)
    ]
    assert set(verdicts) == {ClaimVerdict.TRUE}


def test_delay_cut_to_whole_seconds_is_convicted_where_the_round_trips_swing() -> None:
    assert judged(GAPS, lambda gap: float(int(gap)))[2:] == [ClaimVerdict.VOID] + [ClaimVerdict.FALSE] * 2
    assert set(judged((1.0,) * 5, float)) == {ClaimVerdict.TRUE}


def test_delay_of_zero_about_an_older_sender_report_is_false() -> None:
    assert judge_answer(AnswerClock(), SECOND, 0, newest=False) is ClaimVerdict.FALSE


def test_stamp_that_several_departures_carry_says_nothing() -> None:
    trips = RoundTrips()
    trips.sent("pair", 1, 777, 0)
    trips.sent("pair", 1, 777, 10_000_000)  # the same departure, at two points of its way
    assert trips.met("pair", 1, 777, 0, 40_000_000).rtt_us == 40_000
    trips.sent("pair", 1, 777, 5 * SECOND)
    assert trips.met("pair", 1, 777, 0, 5 * SECOND + 40_000_000).verdict is ClaimVerdict.FALSE


def test_reporters_of_a_pair_are_bounded() -> None:
    trips = RoundTrips()
    trips.sent("pair", 1, 777, 0)
    for reporter in range(MAX_REPORTERS * 3):
        trips.met("pair", 1, 777, 65_536, 2 * SECOND, reporter)
    assert len(trips._pairs["pair"].clocks) == MAX_REPORTERS


def answers(dlsr: Callable[[float], float], *, to: tuple[str, int] = odd(VC2CUST), middle: int = 0) -> Played:
    """Sender reports of the vc every 5 s, answered after a gap that grows, to the socket `to`."""
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 1600))
    for place, gap in enumerate(GAPS):
        at = 2 + 5 * place
        stamp = middle or (at + 100) << 16
        scene.send(at, odd(VC2CUST), odd(CUST), sender_report(A, stamp))
        number = 100 + int((at + gap - 0.25) * 50)
        told = block(A, 0, number, lsr=stamp, dlsr=round(dlsr(gap) * 65_536))
        scene.send(at + gap + PATH_S, odd(CUST), to, receiver_report(PHONE, told))
    return scene.play()


def test_false_delays_void_the_minutes_round_trip_and_the_score_assumes_one() -> None:
    row = answers(lambda gap: 0.0).row
    assert row["rtt_btwn_vc_and_cust"] is None
    assert flags(row) == ["rtcp_implausible"]
    assert row["mos_btwn_vc_and_cust_source"] == "assumed"


def test_true_delays_carry_no_flag() -> None:
    row = answers(lambda gap: gap).row
    assert row["rtt_btwn_vc_and_cust"] == pytest.approx(40_000, abs=20)
    assert flags(row) == []


def test_stamp_that_stands_still_is_flagged_and_no_second_round_trip_comes_of_it() -> None:
    row = answers(lambda gap: gap, middle=777 << 16).row
    assert row["rtt_btwn_vc_and_cust"] == pytest.approx(40_000, abs=20)  # while one departure carried it
    assert flags(row) == ["rtcp_implausible"]


def test_answer_to_the_rtp_port_is_paired_with_the_report_from_the_rtcp_port() -> None:
    assert answers(lambda gap: gap, to=VC2CUST).row["rtt_btwn_vc_and_cust"] == pytest.approx(40_000, abs=20)


def test_answer_is_paired_with_a_report_that_left_before_the_sdp() -> None:
    scene = Scene()
    scene.send(0.5, odd(VC2CUST), odd(CUST), sender_report(A, 5 << 16))
    scene.call(1.0)
    told = block(A, 0, 1, lsr=5 << 16, dlsr=65_536)
    scene.send(1.54, odd(CUST), VC2CUST, receiver_report(PHONE, told))
    assert scene.play().row["rtt_btwn_vc_and_cust"] == pytest.approx(40_000, abs=20)


# -- hearing


def test_deaf_takes_two_new_reports_while_packets_leave() -> None:
    hearing = Hearing()
    told = [(0, 500, 500), (5, 500, 750), (5.1, 500, 760), (10, 500, 1000), (15, 700, 1250)]
    assert [is_deaf(hearing, round(at * SECOND), (9, said), left) for at, said, left in told] == [
        False, False, False, True, False,
    ]  # fmt: skip


def test_silence_of_the_vc_makes_nobody_deaf() -> None:
    hearing = Hearing()
    assert not any(is_deaf(hearing, at * SECOND, (9, 500), 510) for at in range(0, 60, 5))


def heard(*, until: float, blocks: Callable[[int], tuple[bytes, ...]], seconds: int = 110) -> Played:
    """The vc sends for `seconds`; the far end reports every 5 s on what it has received up to `until`."""
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 100 + seconds * 50))
    for at in range(5, seconds, 5):
        number = 100 + int((min(at, until) - 0.25) * 50)
        scene.send(at, odd(CUST), odd(VC2CUST), receiver_report(PHONE, *blocks(number)))
    return scene.play()


def test_far_end_whose_highest_stands_still_is_flagged_and_only_its_known_spans_are_covered() -> None:
    played = heard(until=20, blocks=lambda number: (block(A, 0, number, jitter=8),))
    assert [flags(row) for row in played.media] == [["far_end_deaf"]] * 2
    assert played.field("vc2cust_packets_lost") == [0, None]
    assert played.field("vc2cust_jitter") == [1000, None]
    coverage = [summary.connectors[0].coverage["vc2cust"] for summary in played.summaries]
    assert coverage[0] == pytest.approx(988 / 2990, abs=0.01)
    assert coverage[1] == 0


@pytest.mark.parametrize(
    "blocks", [(), (block(0, 1, 0),), (block(B, 0, 7),)], ids=["none", "ssrc-0", "other"]
)
def test_reports_on_nothing_of_ours_are_a_deaf_far_end(blocks: tuple[bytes, ...]) -> None:
    row = heard(until=0, blocks=lambda number: blocks, seconds=30).row
    assert flags(row) == ["far_end_deaf"]
    assert (row["vc2cust_packets_lost"], row["vc2cust_jitter"]) == (None, None)


def test_far_end_that_never_makes_blocks_is_not_called_deaf() -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 1600))
    for at in range(5, 30, 5):
        scene.send(at, odd(CUST), odd(VC2CUST), sender_report(PHONE, at << 16))
    assert flags(scene.play().row) == []


def test_reports_on_another_number_space_that_moves_are_not_deaf() -> None:
    row = heard(until=99, blocks=lambda number: (block(B, 0, number),), seconds=30).row
    assert flags(row) == []


# -- loss


@pytest.mark.parametrize(
    ("increase", "cumulative", "fraction", "expected", "count"),
    [
        (2, 4, 4, 250, Count.INTERVAL),
        (4, 30, 4, 250, Count.TOTAL),
        (4, 4, 4, 250, Count.UNDECIDED),
        (0, 0, 0, 250, Count.UNDECIDED),
        (5, 20, 0, 250, Count.NEITHER),  # no fraction at all
        (2, -1, 0, 30, Count.UNDECIDED),  # duplicates
    ],
)
def test_fraction_says_what_the_cumulative_loss_counts(
    increase: int, cumulative: int, fraction: int, expected: int, count: Count
) -> None:
    assert counted_as(increase, cumulative, fraction, expected) is count


def lost_by_interval(losses: tuple[int, ...], *, fraction: bool = True) -> Played:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 2400))
    for place, gone in enumerate(losses):
        at = 5 + 5 * place
        told = block(A, gone, 100 + int((at - 0.25) * 50), fraction=gone * 256 // 250 if fraction else 0)
        scene.send(at, odd(CUST), odd(VC2CUST), receiver_report(PHONE, told))
    return scene.play()


@pytest.mark.parametrize(
    "losses", [(3, 2, 4, 1, 5), (7, 3, 6, 2, 5), (4, 0, 4, 0, 4), (3, 6, 9, 2), (9, 4, 8)]
)
def test_loss_of_each_interval_adds_up_and_is_flagged(losses: tuple[int, ...]) -> None:
    row = lost_by_interval(losses).row
    assert row["vc2cust_packets_lost"] == sum(losses)
    assert flags(row) == ["rtcp_implausible"]


def test_loss_of_each_interval_without_a_fraction_is_unknown() -> None:
    row = lost_by_interval((30, 20, 40, 10, 50), fraction=False).row
    assert row["vc2cust_packets_lost"] is None
    assert flags(row) == ["rtcp_implausible"]


def test_count_that_begins_anew_once_is_no_interval() -> None:
    scene = answered()
    scene.rtp(0.2, VC2CUST, CUST, A, range(100, 2400))
    for at, lost, fraction in ((5, 20, 20), (10, 2, 2), (15, 6, 4), (20, 9, 3), (25, 9, 0)):
        told = block(A, lost, 100 + int((at - 0.25) * 50), fraction=fraction)
        scene.send(at, odd(CUST), odd(VC2CUST), receiver_report(PHONE, told))
    row = scene.play().row
    assert row["vc2cust_packets_lost"] == 27
    assert flags(row) == []


def video(back: int, *, gaps: frozenset[int] = frozenset()) -> Played:
    """300 packets a second leave; reports are `back` numbers behind, and each has 3 more lost."""
    more = ["a=rtpmap:97 H264/90000"]
    ours = sdp(VC2CUST, types="97", more=more).replace("m=audio", "m=video")
    scene = answered(ours=(ours, sdp(VC2REM)))
    numbers = range(100, 9100)
    for number in numbers:
        if number not in gaps:
            at = 0.2 + (number - 100) / 300
            scene.rtp(at, VC2CUST, CUST, A, [number], payload_type=97, ticks=300)
    for place, at in enumerate(range(5, 30, 5), 1):
        highest = 100 + round((at - 0.2) * 300) - back
        gone = sum(number <= highest for number in gaps)
        scene.send(at, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(A, 3 * place + gone, highest)))
    return scene.play()


@pytest.mark.parametrize("back", [0, 63, 64, 65, 100, 900])
def test_reports_far_behind_the_newest_packet_are_placed(back: int) -> None:
    assert video(back).row["vc2cust_packets_lost"] == 15


def test_our_own_gaps_are_taken_off_far_behind_too() -> None:
    assert video(300, gaps=frozenset({2000, 2001, 5000})).row["vc2cust_packets_lost"] == 15


def test_number_among_gaps_of_our_own_waits_for_a_later_report() -> None:
    """Our loss differs before and behind it: the block is left out, and the next one covers its span."""
    row = video(900, gaps=frozenset({100 + round(14.8 * 300) - 500})).row
    assert row["vc2cust_packets_lost"] == 15
