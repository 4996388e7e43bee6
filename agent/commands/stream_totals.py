"""Streams added up over their minutes: a row each."""

from __future__ import annotations

from typing import Any

from agent.commands.json_lines import Row
from agent.model.stream_minute_cy import StreamMinute


class StreamTotals:
    """One row per RTP stream, added up over its minutes."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], Row] = {}
        self._sums: dict[tuple[Any, ...], list[float]] = {}
        self._scores: dict[tuple[Any, ...], list[float]] = {}  # MOS by packets, and the packets

    def add(self, minute: StreamMinute) -> None:
        key = (minute.src, minute.dst, minute.ssrc, minute.first_ns)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _stream_row(minute)
            self._sums[key] = [0.0, 0.0]
        if minute.score is not None:
            scores = self._scores.setdefault(key, [0.0, 0.0])
            scores[0] += minute.score.mos * minute.weight
            scores[1] += minute.weight
        for name in ("packets", "bytes", "duplicates", "reordered"):
            row[name] += getattr(minute, name)
        row["lost"] += minute.gaps
        row["last_ns"] = max(row["last_ns"], minute.last_ns)
        if minute.jitter_mean_us is not None:
            sums = self._sums[key]
            sums[0] += minute.jitter_mean_us * minute.jitter_count
            sums[1] += minute.jitter_count
            row["jitter_mean_us"] = round(sums[0] / sums[1], 1)
            row["jitter_max_us"] = max(row["jitter_max_us"] or 0.0, round(minute.jitter_max_us or 0.0, 1))
        if minute.leg is not None:
            row["call_id"] = minute.leg.call.lead.call_id or None  # media without signalling has none
            row["direction"] = direction_of(minute) or row["direction"]
        if minute.codec:
            row["codec"], row["payload_type"] = minute.codec, minute.payload_type

    def judged(self) -> list[Row]:
        """The same rows, with the `mos` of each stream where it was captured; None where unknown."""
        scores = self._scores
        for key, row in self._rows.items():
            total, weight = scores.get(key, (0.0, 0.0))
            row["mos"] = total / weight if weight else None
        return self.rows()

    def rows(self) -> list[Row]:
        return sorted(self._rows.values(), key=lambda row: (row["first_ns"], row["src"], row["src_port"]))


def direction_of(minute: StreamMinute) -> str | None:
    """cust2vc, vc2cust, rem2vc or vc2rem; None where the side is unknown."""
    if minute.leg is None or minute.to_vc is None or minute.leg.side not in ("customer", "remote"):
        return None
    end = "cust" if minute.leg.side == "customer" else "rem"
    return f"{end}2vc" if minute.to_vc else f"vc2{end}"


def _stream_row(minute: StreamMinute) -> Row:
    return {
        "src": minute.src[0],
        "src_port": minute.src[1],
        "dst": minute.dst[0],
        "dst_port": minute.dst[1],
        "ssrc": minute.ssrc,
        "payload_type": minute.payload_type,
        "codec": minute.codec or None,
        "packets": 0,
        "bytes": 0,
        "lost": 0,
        "duplicates": 0,
        "reordered": 0,
        "jitter_mean_us": None,
        "jitter_max_us": None,
        "first_ns": minute.first_ns,
        "last_ns": minute.last_ns,
        "call_id": None,
        "direction": None,
    }
