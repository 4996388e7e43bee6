"""The record's finer grain: slots of 10 s, runs of losses, late packets; and what the call's row sums up."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest

from agent.model.events import RoundTrip
from agent.model.stream_minute_cy import StreamMinute
from agent.model.units import MINUTE_NS, SLOT_NS
from agent.store.codec import to_json
from agent.summary.catalog import LATE_HISTOGRAM_MS, LOSS_RUNS, TIMELINE
from agent.summary.timeline_cy import ALL_WATCHED, timeline, trips_by_slot, watched_slots
from tests.kit.scene import CUST, REM, VC2CUST, VC2REM, Scene, block, odd, receiver_report

A, B, PHONE = 0xAAAA, 0xBBBB, 0xCCCC


def call(numbers: Any, *, at: float = 0.2) -> Scene:
    """The customer talks, every 20 ms a packet of these numbers."""
    scene = Scene()
    scene.call()
    scene.rtp(at, CUST, VC2CUST, B, numbers)
    return scene


def row(scene: Scene, **how: Any) -> dict[str, Any]:
    return scene.play(**how).row


def test_slots_of_a_direction_add_up_to_its_record() -> None:
    lost = {100, 101, 700, *range(1200, 1230)}
    found = row(call([number for number in range(1, 1501) if number not in lost]))
    slots = [dict(zip(TIMELINE, slot, strict=True)) for slot in found["cust2vc_timeline"] if slot]
    assert sum(slot["packets"] for slot in slots) == found["cust2vc_rtp_packets"]
    assert [slot["lost"] for slot in slots] == [2, 1, 30, 0]
    assert sum(slot["lost"] for slot in slots) == found["cust2vc_packets_lost"]
    assert found["cust2vc_loss_runs"] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert len(found["cust2vc_loss_runs"]) == len(LOSS_RUNS)
    assert found["cust2vc_late_histogram"] == [0] * len(LATE_HISTOGRAM_MS)


def test_a_direction_without_a_stream_has_no_timeline() -> None:
    found = row(call(range(1, 200)))
    for name in ("timeline", "loss_runs", "late_histogram"):
        assert found[f"rem2vc_{name}"] is None


def test_away_from_the_vc_the_far_ends_reports_say_what_was_lost_in_each_slot() -> None:
    scene = call(range(1, 50))
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, A, range(1, 1501))
    for at, lost, highest in ((5, 0, 240), (15, 10, 740), (25, 10, 1240)):
        report = receiver_report(PHONE, block(A, lost, highest, jitter=8 * at))
        scene.send(at, odd(CUST), odd(VC2CUST), report)
    found = row(scene)
    slots = found["vc2cust_timeline"]
    assert [slot and slot[TIMELINE.index("lost")] for slot in slots[:4]] == [5, 5, 0, None]
    assert [slot and slot[TIMELINE.index("late")] for slot in slots[:3]] == [None] * 3
    assert [slot and slot[TIMELINE.index("jitter_max_us")] for slot in slots[:3]] == [5000, 15000, 25000]
    assert [slot[TIMELINE.index("packets")] for slot in slots[:3]] == [490, 500, 500]
    assert found["vc2cust_loss_runs"] is None
    assert found["vc2cust_late_histogram"] is None
    assert found["vc2cust_packets_lost"] == 10


def test_each_slot_has_the_mean_of_the_round_trips_that_its_reports_gave() -> None:
    leg: Any = object()
    trips = [RoundTrip(at * 10**9, leg, rtt) for at, rtt in ((5, 1_000.0), (8, 2_000.0), (41, 700.04))]
    assert trips_by_slot(trips) == [1_500.0, None, None, None, 700.0, None]


def test_slots_before_and_behind_the_capture_are_null() -> None:
    scene = Scene()
    scene.call(at=21.0)
    scene.rtp(22.0, CUST, VC2CUST, B, range(1, 501))  # to 32 s
    slots = row(scene)["cust2vc_timeline"]
    assert [slot is None for slot in slots] == [True, True, False, False, True, True]


def test_a_slot_in_which_nobody_watched_is_null() -> None:
    scene = call([*range(1, 500), *range(1500, 1700)])
    scene.missed(10.0, 30.0)
    slots = row(scene)["cust2vc_timeline"]
    assert [slot is None for slot in slots] == [False, True, True, False, True, True]


def test_drops_that_the_ring_counted_leave_their_slots() -> None:
    scene = call([*range(1, 491), *range(1000, 1500)])
    scene.missed(10.0, 20.0, 7)
    slots = row(scene)["cust2vc_timeline"]
    assert slots[1][0] == 0
    assert sum(slot[1] for slot in slots if slot) == 0  # a gap there is unknown


def test_minutes_of_a_call_each_have_their_six_slots() -> None:
    played = call(range(1, 5001)).play()
    slots = [slot for minute in played.field("cust2vc_timeline") for slot in minute if slot is not None]
    assert sum(slot[0] for slot in slots) == 5000
    assert [slot[0] for slot in slots[1:-1]] == [500] * (len(slots) - 2)


def test_parts_of_a_minute_do_not_tell_of_each_others_slots() -> None:
    first = watched_slots(0, 0, 25 * 10**9, [])
    second = watched_slots(0, 25 * 10**9, MINUTE_NS, [])
    assert (first, second) == (0b000111, 0b111100)


@pytest.mark.parametrize(
    ("missed", "watched"),
    [
        ([], ALL_WATCHED),
        ([(0, SLOT_NS)], 0b111110),
        ([(1, SLOT_NS)], 0b111111),
        ([(0, SLOT_NS // 2), (SLOT_NS // 2, SLOT_NS)], 0b111110),
        ([(-MINUTE_NS, 2 * MINUTE_NS)], 0),
    ],
)
def test_slot_is_watched_where_any_of_it_was(missed: list[tuple[int, int]], watched: int) -> None:
    assert watched_slots(0, 0, MINUTE_NS, missed) == watched


def stream(*slots: tuple[int, int, int, int, int], source: str | None = "rtp") -> StreamMinute:
    """(packets, lost, late, jitter and gap as a row has them), the newest ones of a minute."""
    its = StreamMinute()
    its.slots = b"".join(number.to_bytes(2, "little") for slot in slots for number in slot)
    its.lost_source = source
    return its


def test_streams_that_share_a_direction_merge_slot_by_slot() -> None:
    one = stream(*[(10 * number, 1, 2, 101, 21) for number in range(6)])
    other = stream(*[(5, 3, 4, 201, 11)] * 6)
    slots = timeline([one, other], ALL_WATCHED)
    assert slots == [[10 * number + 5, 4, 6, 2000, 20] for number in range(6)]


def test_slots_that_were_not_kept_are_null_the_oldest_first() -> None:
    assert timeline([stream(*[(5, 0, 0, 1, 21)] * 4)], ALL_WATCHED) == [None, None, *[[5, 0, 0, 0, 20]] * 4]


def test_more_packets_than_a_slot_can_count_are_null() -> None:
    assert timeline([stream(*[(65535, 0, 0, 1, 21)] * 6)], ALL_WATCHED) == [None] * 6


def test_a_stream_of_which_nothing_is_reported_has_packets_and_gaps_only() -> None:
    assert timeline([stream(*[(5, 3, 2, 9, 21)] * 6, source=None)], 1)[0] == [5, None, None, None, 20]


def test_timeline_is_written_and_copied_as_the_list_of_its_slots() -> None:
    slots = timeline([stream(*[(5, 0, 0, 1, 21)] * 5)], ALL_WATCHED)
    plainly = [None, *[[5, 0, 0, 0, 20]] * 5]
    assert to_json({"timeline": slots}) == to_json({"timeline": plainly})
    assert to_json(["\ud800", slots]) == to_json(["\ud800", plainly])
    copied: object = deepcopy(slots)
    assert type(copied) is list
    assert (copied, list(slots), len(slots)) == (plainly, plainly, 6)


def test_call_row_sums_the_histograms_of_its_minutes() -> None:
    lost = {500, 501, 4000, 4001}
    scene = call([number for number in range(1, 5001) if number not in lost])
    scene.bye(102.0)
    played = scene.play()
    (over,) = [row for summary in played.summaries for row in summary.calls]
    assert over["loss_runs"]["cust2vc"] == [0, 2, 0, 0, 0, 0, 0, 0, 0, 0]
    assert over["loss_runs"]["vc2cust"] is None
    assert over["late_histogram"]["cust2vc"] == [0] * 7
    runs = played.field("cust2vc_loss_runs")
    assert [sum(counts) for counts in zip(*runs, strict=True)] == over["loss_runs"]["cust2vc"]
    assert all(a < b for a, b in pairwise(LATE_HISTOGRAM_MS))
