"""The overview: connectors and carriers of the last hours, and what the capture missed."""

from __future__ import annotations

from pathlib import Path

from agent.model.units import MINUTE_NS
from agent.store import Store
from agent.store.reader import StoreReader
from agent.summary.records import Samples
from agent.web.overview_view import MAX_GROUPS, Overview, OverviewGroup, overview
from tests.kit.minutes import T0, connector, media_row, summary

MINUTES = 30


def shown(folder: Path, connectors: int = 2, hours: int = 1) -> Overview:
    """Half an hour of some connectors: the second one loses a tenth of what it gets from the customer."""
    store = Store(folder / "sbcwatch.sqlite")
    for minute in range(MINUTES):
        rows = []
        for number in range(connectors):
            lost = 10 if number == 1 else 0
            rows.append(
                connector(
                    f"vc{number}",
                    InboundCallAttempts=5 + number,
                    InboundCallFailures=2,
                    CustomerToVcRtpPackets=90,
                    CustomerToVcPacketsLost=lost,
                    MOSBetweenVcAndCustomer=Samples([3.1, 4.3], [1.0, 8.0]),
                    RTTBetweenVcAndCustomer=Samples([20_000.0], [3.0]),
                    RemoteToVcPacketsLost=None,
                )
            )
        part = summary(minute, connectors=rows)
        part.agent = {"CaptureDrops": float(minute == 7)}
        store.commit(part)
    store.close()
    reader = StoreReader(folder / "sbcwatch.sqlite")
    found = overview(reader, T0 + MINUTES * MINUTE_NS, hours)
    reader.close()
    return found


def test_calls_in_which_somebody_heard_nothing_come_before_bad_scores(tmp_path: Path) -> None:
    store = Store(tmp_path / "sbcwatch.sqlite")
    rows = []
    for number, (score, flags) in enumerate(
        ((3.1, []), (4.3, ["one_way_audio"]), (4.2, []), (4.4, ["held"]))
    ):
        row = media_row(T0, number) | {"call_ids": [f"call-{number}"], "cust2vc_rtp_packets": 1_000}
        rows.append(row | {"mos_directions": {"cust2vc": score}, "flags": flags})
    part = summary(0)
    part.media = rows
    store.commit(part)
    store.close()
    reader = StoreReader(tmp_path / "sbcwatch.sqlite")
    found = overview(reader, T0 + MINUTE_NS, 1).worst
    reader.close()
    assert [call.call_id for call in found] == ["call-1", "call-0", "call-2", "call-3"]


def points(group: OverviewGroup) -> dict[str, dict[str, int]]:
    return {plot.key: {curve.name: curve.points for curve in plot.curves} for plot in group.plots}


def test_busiest_connector_is_first_with_a_point_a_minute(tmp_path: Path) -> None:
    found = shown(tmp_path)
    assert [group.name for group in found.groups] == ["vc1", "vc0"]
    assert (found.groups[0].attempts, found.groups[0].failures) == (MINUTES * 7, MINUTES * 3)
    drawn = points(found.groups[0])
    assert drawn["calls"] == {"attempts": MINUTES, "failures": MINUTES}
    assert drawn["loss"]["customer \u2192 vc"] == MINUTES
    assert drawn["mos"]["customer"] == drawn["rtt"]["customer"] == MINUTES
    assert "customer \u2192 vc 10" in found.groups[0].plots[0].summary
    assert "customer 3.1" in found.groups[0].plots[1].summary


def test_direction_that_nobody_knows_has_no_point(tmp_path: Path) -> None:
    assert points(shown(tmp_path).groups[0])["loss"]["remote \u2192 vc"] == 0


def test_drops_of_the_capture_have_a_plot(tmp_path: Path) -> None:
    capture = shown(tmp_path).capture
    assert capture is not None
    assert capture.points == MINUTES
    assert "drops 1" in capture.summary


def test_many_hours_have_fewer_and_wider_points(tmp_path: Path) -> None:
    drawn = points(shown(tmp_path, hours=24).groups[0])
    assert drawn["calls"]["attempts"] <= 4


def test_connectors_beyond_the_most_are_links(tmp_path: Path) -> None:
    found = shown(tmp_path, connectors=MAX_GROUPS + 3)
    assert len(found.groups) == MAX_GROUPS
    assert [name for name, _ in found.others] == ["vc2", "vc1", "vc0"]
    assert found.others[0][1] == "q=connector%3Avc2"


def test_store_without_a_minute_is_shown_all_the_same(tmp_path: Path) -> None:
    Store(tmp_path / "sbcwatch.sqlite").close()
    reader = StoreReader(tmp_path / "sbcwatch.sqlite")
    assert overview(reader, 0, 1).groups == []
    reader.close()
