"""Every table at four widths, with the longest values: no figure is cut, none runs into another."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from agent.commands import tables
from agent.commands.call import call_lines
from agent.commands.calls import _minute_sheet, call_list
from agent.commands.sheet import Sheet
from agent.commands.top_look import connector_list
from agent.commands.verify import Check, difference_table
from agent.store.overview import OverviewPoint, OverviewSeries
from agent.store.reader import DirectionSum, IndexedCall
from agent.summary.catalog import DIRECTIONS, METRICS
from agent.summary.records import CallRecords, ConnectorMinute, Samples, Summary, Value

WIDTHS = [60, 80, 100, 200]
START_NS = 1_795_448_520 * 10**9
MANY = 4_294_967_295
ADDRESS = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
CALL_ID = "0123456789abcdef-0123456789abcdef@" + ADDRESS
CONNECTOR = "trunk-with-a-name-that-is-forty-long-0001"
FLAGS = ["one_way_audio", "loss_on_exit", "late_negotiation", "rtcp_only_from_one_end", "media_elsewhere"]
PEOPLE = {"from_sip_user": "+442079460110", "to_sip_user": "+12065550110"}


def media() -> dict[str, Any]:
    row: dict[str, Any] = {"call_id": CALL_ID, "flags": FLAGS, "event_timestamp": START_NS // 10**6} | PEOPLE
    for place, way in enumerate(DIRECTIONS):
        row |= {f"{way}_rtp_packets": MANY - place, f"{way}_packets_lost": MANY - 10 - place}
        row |= {f"{way}_jitter": 123_456_789.0 + place * 1e6}
    for side in ("cust", "rem"):
        row |= {f"rtt_btwn_vc_and_{side}": 987_654_321.0, f"mos_btwn_vc_and_{side}": 1.25}
    return row


def summary() -> Summary:
    call = {
        "invite_ns": START_NS, "answer_ns": START_NS, "end_ns": START_NS + 86_400_123 * 10**6,
        "direction": "outbound", "outcome": "answered", "end_reason": "session_timer_expired", "status": 200,
        "call_id": CALL_ID, "call_ids": [CALL_ID],
    }  # fmt: skip
    values: dict[str, Value] = {
        metric.name: Samples([1e9 + place], [3.0])
        if metric.unit in ("Microseconds", "None")
        else MANY - place
        for place, metric in enumerate(METRICS)
    }
    connector = ConnectorMinute(CONNECTOR, "eu-central-1", values, dict.fromkeys(DIRECTIONS, 1.0))
    return Summary(START_NS, 0, True, [connector], [media()], [call | PEOPLE], [])


def indexed() -> IndexedCall:
    ways = {way: DirectionSum(MANY, MANY, MANY // 3 + place, 1.0) for place, way in enumerate(DIRECTIONS)}
    return IndexedCall(
        1, START_NS, START_NS, None, START_NS + 10**15, CONNECTOR, None, None, "inbound", "+442079460110",
        "+12065550110", "failed", 503, None, None, None, None, ADDRESS, ADDRESS, "opus", None, [CALL_ID],
        FLAGS, 1.01, 0.33, ways,
    )  # fmt: skip


def stream() -> dict[str, Any]:
    return {
        "src": ADDRESS, "src_port": 65_535, "dst": ADDRESS, "dst_port": 65_534, "ssrc": MANY, "codec": None,
        "payload_type": 127, "direction": "cust2vc", "packets": MANY, "bytes": 10**13, "lost": MANY - 1,
        "duplicates": MANY - 2, "reordered": MANY - 3, "jitter_mean_us": 123_456_789.0,
        "jitter_max_us": 987_654_321.0, "mos": 4.41, "call_id": CALL_ID,
    }  # fmt: skip


def connectors() -> list[OverviewSeries]:
    share: dict[str, float | None] = {way: 0.123 + place / 10 for place, way in enumerate(DIRECTIONS)}
    sides: dict[str, float | None] = {"customer": 1.23, "remote": 4.32}
    rtt_us: dict[str, float | None] = {"customer": 123_456_700.0, "remote": 765_432_100.0}
    point = OverviewPoint(START_NS, MANY, MANY - 1, MANY - 2, share, {}, sides, rtt_us, MANY)
    return [OverviewSeries(CONNECTOR, [point])]


def minutes(calls: bool) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"timestamp": START_NS // 10**6}
    if calls:
        row |= {"call_id": CALL_ID, "from": "+442079460110", "to": "+12065550110"}
        row |= {f"{way}_{name}": MANY - 7 for way in DIRECTIONS for name in ("packets", "lost", "mos")}
        return [row | {"flags": " ".join(FLAGS)}]
    row |= {"connector": CONNECTOR, "attempts": MANY, "failures": MANY - 1, "active": MANY - 2}
    return [row | {f"{way}_loss": 0.123 for way in DIRECTIONS} | {"rtt_us_customer": 123_456_789.125}]


def checks() -> list[Check]:
    file = "/var/lib/captures/2026/11/customer-side-of-the-second-sbc.pcapng.gz"
    subject = f"[{ADDRESS}]:65535 > [{ADDRESS}]:65534 0xffffffff"
    note = "tshark's own is expected minus received"
    return [
        Check(file, "RTP bytes", subject, 10**13, 10**13 - 1, 0.0, 10**13 - 2, note),
        Check(file, "jitter max us", subject, 987_654_321.5, None, 9_876_543.2, 123_456_789.1, ""),
    ]


TABLES: dict[str, Callable[[], Sheet]] = {
    "replay: minutes": lambda: tables.minute_table([summary()]),
    "replay: sides": lambda: tables.side_table([summary()]),
    "replay: calls": lambda: tables.call_table([summary()]),
    "replay: by address": lambda: tables.address_table([stream()]),
    "streams": lambda: tables.stream_table([stream()]),
    "top: connectors": lambda: connector_list(connectors()),
    "top, calls": lambda: call_list([indexed()]),
    "minutes": lambda: _minute_sheet(minutes(calls=False)),
    "minutes of calls": lambda: _minute_sheet(minutes(calls=True)),
    "verify": lambda: difference_table(checks()),
}


def lines_at(width: int, sheet: Sheet) -> list[str]:
    out = io.StringIO()
    tables.show([sheet], Console(width=width, file=out, force_terminal=True, color_system=None))
    return [re.sub("\x1b\\[[0-9;]*m", "", line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_longest_values_are_whole_and_apart_at_any_width(name: str, width: int) -> None:
    sheet = TABLES[name]()
    lines = lines_at(width, sheet)
    assert max(map(cell_len, lines)) <= width
    assert "…" not in "".join(lines)
    printed = re.split(r"\s+", " ".join(lines))
    together = "".join("".join(lines).split())
    for column in sheet.columns:
        for cell in map(str, column.cells):
            for word in cell.split():
                # A text that is longer than the line goes on in the next; a figure never has to.
                assert word in printed if len(word) <= 25 else word in together, (column.header, cell)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_table_that_does_not_fit_says_how_it_is_shown(name: str, width: int) -> None:
    sheet = TABLES[name]()
    shown = " ".join(" ".join(lines_at(width, sheet)).split())
    whole = max(map(cell_len, lines_at(2_000, TABLES[name]()))) <= width
    assert whole != ("columns are too few" in shown or "a figure a line" in shown)


def test_words_go_on_below_themselves_where_only_they_are_too_wide() -> None:
    sheet = Sheet("Rows", ["key"], ["count", "flags"], words=["flags"])
    tables.add(sheet, "1", "123456", " ".join(FLAGS))
    lines = lines_at(60, sheet)
    assert "columns" not in lines[0]
    assert [line.split()[-1] for line in lines[4:6]] == ["late_negotiation", "media_elsewhere"]


@pytest.mark.parametrize("packets", [1_104, MANY])
def test_figures_of_a_call_stand_apart_however_long(packets: int) -> None:
    row = media()
    for way in DIRECTIONS:
        row |= {f"{way}_rtp_packets": packets, f"{way}_packets_lost": packets - 4}
    call = summary().calls[0]
    lines = call_lines(CallRecords(call, [row | {"jitter_source": None}], []))
    words = " ".join(lines).split()
    assert words.count(str(packets)) == 6  # four directions, and the base of two losses
    assert words.count(str(packets - 4)) >= 2
    assert all(len(line) <= 80 for line in lines if CALL_ID not in line)


@pytest.mark.parametrize("way", DIRECTIONS)
def test_base_of_a_loss_has_the_lost_packets_only_where_they_were_not_counted(way: str) -> None:
    """Towards the vc a lost packet was never counted; away from it all of them left."""
    row = media() | {f"{each}_packets_lost": 0 for each in DIRECTIONS}
    row |= {f"{way}_rtp_packets": 1000, f"{way}_packets_lost": 10}
    lines = call_lines(CallRecords(summary().calls[0], [row], []))
    base = 1010 if way.endswith("2vc") else 1000
    assert [line.rpartition(": ")[2] for line in lines if " lost of about " in line] == [
        f"10 lost of about {base}"
    ]
