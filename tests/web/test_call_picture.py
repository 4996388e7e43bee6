"""A call's picture: slots where they were kept, minutes otherwise; unknown with its reason; both legs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.store.call_query import CallQuery
from agent.store.reader import StoreReader
from agent.summary.catalog import DIRECTIONS, TIMELINE_FIELDS
from agent.summary.records import CallRecords, UnseenSpan
from agent.summary.redaction import Redaction
from agent.web.call_picture import CallPicture, call_picture
from agent.web.report import badness
from tests.kit.pages import VC, stored

WAYS = ("cust2vc", "vc2cust", "rem2vc", "vc2rem")


def records_of(folder: Path) -> CallRecords:
    reader = StoreReader(folder / "sbcwatch.sqlite")
    found = reader.call(reader.search(CallQuery(limit=1)).calls[0].id)
    reader.close()
    assert found is not None
    return found.records


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> CallRecords:
    return records_of(stored(tmp_path_factory.mktemp("loss")))


def picture(records: CallRecords, **fields: Any) -> CallPicture:
    """The picture of a call whose media record has other values."""
    media = [records.media[0] | fields]
    return call_picture(CallRecords(records.call, media, records.messages, records.unseen), Redaction())


def points(view: CallPicture) -> dict[str, int]:
    return {plot.key: plot.points for plot in view.plots}


def test_slots_make_the_time_line_of_10_s(loss: CallRecords) -> None:
    slots = [None, None, None, [180, 0, 0, 800, 20], [500, 30, 4, 900, 500], [424, 0, 0, 700, 20]]
    view = picture(loss, **{f"{way}_timeline": slots for way in WAYS})
    assert view.grain == "10 s"
    assert points(view) == {"loss": 12, "jitter": 12, "late": 12, "mos": 4, "rtt": 4}
    assert [row.spans["cust2vc"].lost for row in view.rows if row.spans["cust2vc"]] == [0, 30, 0]
    worst = next(plot for plot in view.plots if plot.key == "loss")
    assert "customer \u2192 vc 5.66" in worst.summary  # towards the vc the lost are not among the packets
    assert "vc \u2192 customer 6" in worst.summary


def test_minutes_stand_in_where_no_slots_were_kept(loss: CallRecords) -> None:
    none = dict.fromkeys(TIMELINE_FIELDS)
    view = picture(loss, **none)
    assert view.grain == "a minute"
    assert points(view) == {"loss": 4, "jitter": 4, "mos": 4, "rtt": 2}


def test_each_10_s_say_what_the_reports_in_them_said(loss: CallRecords) -> None:
    slots = [None, None, None, [180, 3, None, 800, 20], [500, 5, None, 900, 20], [424, 1, None, None, 20]]
    view = picture(
        loss, vc2cust_timeline=slots, rtt_btwn_vc_and_cust_timeline=[None, None, None, None, 640.0, None]
    )
    marks = view.reports["customer"]
    assert [mark.words for mark in marks] == [
        "15:42:30 to 15:42:40, the customer: 3 of our packets lost, jitter 0.8 ms",
        "15:42:40 to 15:42:50, the customer: 5 of our packets lost, jitter 0.9 ms, round trip 0.6 ms",
    ]
    assert marks[1].x == view.axis.x(loss.media[0]["event_timestamp"] * 1_000_000 - 20 * 10**9)


def test_rtcp_that_says_nothing_of_our_packets_says_so(loss: CallRecords) -> None:
    none = dict.fromkeys(TIMELINE_FIELDS) | {"vc2cust_packets_lost_source": "rtp"}
    view = picture(loss, **none, vc2cust_jitter_source=None, rtt_btwn_vc_and_cust=None)
    assert view.reports["customer"][0].words.endswith("the customer: 6 RTCP packets")


def test_hours_of_a_call_have_their_rtcp_by_the_minute(loss: CallRecords) -> None:
    record = loss.media[0]
    media = [record | {"event_timestamp": record["event_timestamp"] + 60_000 * n} for n in range(400)]
    view = call_picture(CallRecords(loss.call, media, loss.messages), Redaction())
    assert len(view.reports["customer"]) == 400


def test_all_plots_share_the_calls_own_time(loss: CallRecords) -> None:
    view = picture(loss)
    assert view.axis.start_ns <= loss.call["invite_ns"]
    assert view.axis.end_ns >= loss.call["end_ns"]
    assert len(view.events) == len(loss.messages)
    assert all(0 <= x <= 1_000 for x, _ in view.events)


def test_far_end_without_rtcp_is_unknown_and_says_why(loss: CallRecords) -> None:
    view = picture(
        loss, vc2cust_packets_lost=None, cust2vc_rtcp_packets=0, vc2cust_timeline=None,
        rtt_btwn_vc_and_cust=None,
    )  # fmt: skip
    assert view.lanes["vc2cust"].state == "unknown"
    assert "Loss vc \u2192 customer is unknown: the customer sent no RTCP." in view.unknowns
    assert any("round trip to the customer is unknown" in words for words in view.unknowns)
    assert view.plots[0].unknown[0].words == "unknown: vc \u2192 customer"


def test_time_that_nobody_watched_is_told(loss: CallRecords) -> None:
    start_ns = loss.call["invite_ns"]
    span = UnseenSpan(start_ns, start_ns + 10**9, "capture", "drops")
    view = call_picture(CallRecords(loss.call, loss.media, loss.messages, [span]), None)
    assert any("15:42:36 to 15:42:37: capture, drops" in words for words in view.unknowns)


def test_legs_stand_beside_each_other(loss: CallRecords) -> None:
    rows = picture(loss).ladder
    assert [(row.step.label, row.left, row.to_right) for row in rows[:4]] == [
        ("INVITE", False, False),  # from the remote end to the vc
        ("100 trying -- your call is important to us", False, True),
        ("INVITE", True, False),
        ("180 Ringing", True, True),
    ]


@pytest.mark.parametrize(
    ("name", "tone"),
    [("busy-inbound", "note"), ("throttled-outbound", "bad"), ("challenged-inbound", "unknown")],
)
def test_tone_is_that_of_the_worst_statement(tmp_path: Path, name: str, tone: str) -> None:
    files = [f"{name}-{side}.pcap" for side in ("customer", "remote")]
    assert call_picture(records_of(stored(tmp_path, *files, options=VC)), Redaction()).tone == tone


def test_call_of_which_little_is_kept_is_shown_all_the_same(loss: CallRecords) -> None:
    bare = {"call_id": "a", "call_ids": ["a"], "outcome": "pending"}
    view = call_picture(CallRecords(bare), Redaction())
    assert view.call["host"] is None
    assert view.is_live
    assert "No SIP message of this call is kept (any more)." in view.unknowns


@pytest.mark.parametrize("heard", ["cust2vc", "rem2vc"])
def test_way_that_should_have_been_heard_is_marked_silent(loss: CallRecords, heard: str) -> None:
    away = {"cust2vc": "vc2rem", "rem2vc": "vc2cust"}[heard]
    media = [
        row
        | {f"{way}_rtp_packets": 0 if way not in (heard, away) else 1_000 for way in DIRECTIONS}
        | {"flags": ["one_way_audio"]}
        for row in loss.media
    ]
    view = call_picture(CallRecords(loss.call, media, loss.messages), Redaction())
    states = {way: lane.state for way, lane in view.lanes.items()}
    silent = {"cust2vc": "rem2vc", "rem2vc": "cust2vc"}[heard]
    assert [way for way, state in states.items() if state == "silent"] == [silent]


def test_call_in_which_somebody_heard_nothing_is_worse_than_one_with_loss(loss: CallRecords) -> None:
    lossy = call_picture(loss, Redaction())
    row = loss.media[0] | {"flags": ["one_way_audio"], "cust2vc_rtp_packets": 0, "vc2cust_packets_lost": 0}
    silent = call_picture(CallRecords(loss.call, [row], loss.messages), Redaction())
    assert badness(silent) > badness(lossy)
