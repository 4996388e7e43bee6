"""The tables at a terminal: minutes, sides, calls, streams."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.commands.sheet import PIPE_COLUMNS, OurConsole, Sheet
from agent.summary.catalog import SIDES
from agent.summary.printable import printable
from agent.summary.records import Samples, Summary, Value

UNKNOWN = "-"  # unknown; a 0 is a measured 0


def minute_table(summaries: Iterable[Summary]) -> Sheet:
    """One row per connector and minute: calls and SIP classes."""
    table = Sheet(
        "Minutes",
        ["minute (UTC)", "connector"],
        [
            "calls in/out",
            "failed",
            "answered",
            "active",
            "throttled",
            "1xx",
            "2xx",
            "3xx",
            "4xx",
            "5xx",
            "6xx",
        ],
    )
    for summary in summaries:
        for connector in summary.connectors:
            v = connector.values
            add(
                table,
                _minute(summary),
                connector.voice_connector_id,
                *(
                    f"{text(v['Inbound' + what])}/{text(v['Outbound' + what])}"
                    for what in ("CallAttempts", "CallFailures", "CallsAnswered", "CallsActive")
                ),
                text(v["Throttles"]),
                *(text(v[f"Sip{n}xxCodes"]) for n in range(1, 7)),
            )
    return table


def side_table(summaries: Iterable[Summary]) -> Sheet:
    """One row per connector, minute and side: it shows which network loses packets."""
    table = Sheet(
        "Media by side",
        ["minute (UTC)", "connector", "side"],
        [
            "to vc",
            "lost to",
            "jitter to ms",
            "from vc",
            "lost from",
            "jitter from ms",
            "RTT ms",
            "MOS",
        ],
    )
    for summary in summaries:
        for connector in summary.connectors:
            v = connector.values
            for side, (suffix, _, _) in SIDES.items():
                ways = (f"{suffix}ToVc", f"VcTo{suffix}")
                add(
                    table,
                    _minute(summary),
                    connector.voice_connector_id,
                    side,
                    *(
                        cell
                        for way in ways
                        for cell in (
                            text(v[f"{way}RtpPackets"]),
                            text(v[f"{way}PacketsLost"]),
                            _mean(v[f"{way}Jitter"], 1e-3),
                        )
                    ),
                    _mean(v[f"RTTBetweenVcAnd{suffix}"], 1e-3),
                    _mean(v[f"MOSBetweenVcAnd{suffix}"], 1.0),
                )
    return table


def _minute(summary: Summary) -> str:
    part = f" part {summary.part}" if summary.part else ""
    return clock(summary.start_ns, "%Y-%m-%d %H:%M") + part


def _mean(value: Value, scale: float) -> str:
    return f"{value.sum / value.count * scale:.2f}" if isinstance(value, Samples) else UNKNOWN


def call_table(summaries: Iterable[Summary]) -> Sheet:
    """One row per call."""
    table = Sheet(
        "Calls",
        ["start (UTC)", "direction", "from", "to", "outcome", "status"],
        ["seconds", "call id"],
        keys=4,
    )
    for summary in summaries:
        for row in summary.calls:
            answered, ended = row["answer_ns"], row["end_ns"]
            seconds = f"{(ended - answered) / 1e9:.1f}" if answered and ended else UNKNOWN
            add(
                table,
                clock(row["invite_ns"], "%H:%M:%S") if row["invite_ns"] else UNKNOWN,
                row["direction"] or UNKNOWN,
                row["from_sip_user"] or UNKNOWN,
                row["to_sip_user"] or UNKNOWN,
                row["outcome"] + (f" ({row['end_reason']})" if row["end_reason"] else ""),
                text(row["status"]),
                seconds,
                row["call_id"],
            )
    return table


def _scaled(value: float | None, scale: float) -> str:
    return UNKNOWN if value is None else f"{value * scale:.2f}"


def address_table(rows: Iterable[dict[str, Any]]) -> Sheet:
    """Quality by address, where no side is known: a row a stream, with its call."""
    table = Sheet(
        "Media by address, as it passed the capture",
        ["from", "to", "codec"],
        ["packets", "lost", "jitter ms", "MOS", "call id"],
        keys=2,
    )
    for row in rows:
        add(
            table,
            f"{row['src']}:{row['src_port']}",
            f"{row['dst']}:{row['dst_port']}",
            row["codec"] or f"type {row['payload_type']}",
            text(row["packets"]),
            text(row["lost"]),
            _scaled(row["jitter_mean_us"], 1e-3),
            _scaled(row["mos"], 1.0),
            row["call_id"] or UNKNOWN,
        )
    return table


def stream_table(rows: Iterable[dict[str, Any]]) -> Sheet:
    """One row per RTP stream."""
    table = Sheet(
        "Streams",
        ["source", "destination", "SSRC", "codec", "direction"],
        ["packets", "bytes", "lost", "dup", "reordered", "jitter ms mean/max", "call id"],
        keys=2,
    )
    for row in rows:
        jitter = (
            f"{row['jitter_mean_us'] / 1000:.2f}/{row['jitter_max_us'] / 1000:.2f}"
            if row["jitter_mean_us"] is not None
            else UNKNOWN
        )
        add(
            table,
            f"{row['src']}:{row['src_port']}",
            f"{row['dst']}:{row['dst_port']}",
            f"0x{row['ssrc']:08x}",
            row["codec"] or f"type {row['payload_type']}",
            row["direction"] or UNKNOWN,
            *(text(row[name]) for name in ("packets", "bytes", "lost", "duplicates", "reordered")),
            jitter,
            row["call_id"] or UNKNOWN,
        )
    return table


def show(tables: Iterable[Table], console: Console | None = None) -> None:
    """Prints tables as wide as the terminal; piped into a file they have `PIPE_COLUMNS`."""
    console = console or OurConsole()
    if not console.is_terminal:
        console = OurConsole(width=PIPE_COLUMNS, file=console.file)
    for table in tables:
        console.print(table)


def clock(stamp_ns: int, form: str) -> str:
    return datetime.fromtimestamp(stamp_ns / 1e9, UTC).strftime(form)


def percent(share: float | None) -> str:
    """A share as percent without the sign."""
    return UNKNOWN if share is None else f"{share * 100:.1f}"


def text(value: Any) -> str:
    return UNKNOWN if value is None else str(value)


def add(table: Table, *cells: str) -> None:
    """Adds one row.

    A cell may hold text from the wire: it is shown as text, never read as markup or escapes.
    """
    table.add_row(*(Text(printable(cell)) for cell in cells))
