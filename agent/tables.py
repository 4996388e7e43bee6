"""What people read at a terminal: the minute table, the call table, the stream table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from agent.summary.catalog import DIRECTIONS
from agent.summary.records import ConnectorMinute, Samples, Summary, Value

UNKNOWN = "-"  # nobody knows; a 0 is a measured 0


def minute_table(summaries: Iterable[Summary]) -> Table:
    """One row per connector and minute: calls, SIP classes, and each side's media."""
    table = _table(
        "Minutes",
        ["minute (UTC)", "connector", "calls in/out", "failed", "answered", "active", "SIP 1-6xx"],
        [
            "cust→vc pkt/lost",
            "vc→cust pkt/lost",
            "rem→vc pkt/lost",
            "vc→rem pkt/lost",
            "RTT ms c/r",
            "MOS c/r",
        ],
    )
    for summary in summaries:
        for connector in summary.connectors:
            v = connector.values
            table.add_row(
                clock(summary.start_ns, "%Y-%m-%d %H:%M") + (f" ({summary.part})" if summary.part else ""),
                connector.voice_connector_id,
                _pair(v, "InboundCallAttempts", "OutboundCallAttempts"),
                _pair(v, "InboundCallFailures", "OutboundCallFailures"),
                _pair(v, "InboundCallsAnswered", "OutboundCallsAnswered"),
                _pair(v, "InboundCallsActive", "OutboundCallsActive"),
                " ".join(text(v[f"Sip{n}xxCodes"]) for n in range(1, 7)),
                *(
                    _pair(v, f"{prefix}RtpPackets", f"{prefix}PacketsLost")
                    for prefix in ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote")
                ),
                f"{_mean(connector, 'RTTBetweenVcAndCustomer', 1e-3)}/"
                f"{_mean(connector, 'RTTBetweenVcAndRemote', 1e-3)}",
                f"{_mean(connector, 'MOSBetweenVcAndCustomer', 1, 2)}/"
                f"{_mean(connector, 'MOSBetweenVcAndRemote', 1, 2)}",
            )
    return table


def call_table(summaries: Iterable[Summary]) -> Table:
    """One row per call."""
    table = _table(
        "Calls", ["start (UTC)", "direction", "from", "to", "outcome", "status"], ["seconds", "call id"]
    )
    for summary in summaries:
        for row in summary.calls:
            answered, ended = row["answer_ns"], row["end_ns"]
            seconds = f"{(ended - answered) / 1e9:.1f}" if answered and ended else UNKNOWN
            table.add_row(
                clock(row["invite_ns"], "%H:%M:%S") if row["invite_ns"] else UNKNOWN,
                row["direction"] or UNKNOWN,
                row["from_sip_user"],
                row["to_sip_user"],
                row["outcome"] + (f" ({row['end_reason']})" if row["end_reason"] else ""),
                text(row["status"]),
                seconds,
                row["call_id"],
            )
    return table


def media_table(summaries: Iterable[Summary]) -> Table:
    """One row per call and minute, side by side."""
    table = _table(
        "Calls by minute",
        ["minute (UTC)", "call id"],
        [
            *(f"{words} pkt/lost/jitter ms" for words in ("cust→vc", "vc→cust", "rem→vc", "vc→rem")),
            "RTT ms c/r",
            "MOS c/r",
            "flags",
        ],
    )
    for summary in summaries:
        for row in summary.media:
            table.add_row(
                clock(summary.start_ns, "%H:%M"),
                row["call_id"],
                *(
                    f"{row[f'{d}_rtp_packets']}/{text(row[f'{d}_packets_lost'])}/"
                    f"{_scaled(row[f'{d}_jitter'], 1e-3)}"
                    for d in DIRECTIONS
                ),
                "/".join(_scaled(row[f"rtt_btwn_vc_and_{side}"], 1e-3) for side in ("cust", "rem")),
                "/".join(_scaled(row[f"mos_btwn_vc_and_{side}"], 1.0) for side in ("cust", "rem")),
                " ".join(row["flags"]),
            )
    return table


def _scaled(value: float | None, scale: float) -> str:
    return UNKNOWN if value is None else f"{value * scale:.2f}"


def stream_table(rows: Iterable[dict[str, Any]]) -> Table:
    """One row per RTP stream."""
    table = _table(
        "Streams",
        ["source", "destination", "SSRC", "codec", "direction"],
        ["packets", "bytes", "lost", "dup", "reordered", "jitter ms mean/max", "call id"],
    )
    for row in rows:
        jitter = (
            f"{row['jitter_mean_us'] / 1000:.2f}/{row['jitter_max_us'] / 1000:.2f}"
            if row["jitter_mean_us"] is not None
            else UNKNOWN
        )
        table.add_row(
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
    """Print tables; piped into a file they keep their width instead of being cut."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=220, file=console.file)
    for table in tables:
        console.print(table)


def clock(stamp_ns: int, form: str) -> str:
    return datetime.fromtimestamp(stamp_ns / 1e9, UTC).strftime(form)


def text(value: Any) -> str:
    return UNKNOWN if value is None else str(value)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in left:
        table.add_column(column, no_wrap=True)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _pair(values: dict[str, Value], one: str, other: str) -> str:
    return f"{text(values[one])}/{text(values[other])}"


def _mean(connector: ConnectorMinute, name: str, scale: float, digits: int = 1) -> str:
    value = connector.values[name]
    if not isinstance(value, Samples):
        return UNKNOWN
    return f"{value.sum / value.count * scale:.{digits}f}"
