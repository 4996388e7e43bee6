"""What a minute becomes: the rows that the store keeps and the sinks deliver.

A `Summary` is one closed minute, or one part of it (restart, clock step, stop). Everything in it is plain
data, so that it can be committed, read back and sent by another process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

MINUTE_NS = 60_000_000_000
MAX_VALUES = 150  # CloudWatch's limit of `Values` in one datum


class Samples(msgspec.Struct, array_like=True):
    """A distribution of at most `MAX_VALUES` bins: `values[i]` was seen `counts[i]` times.

    Sum, average, least and greatest are exact: each value is the mean of its bin's samples, and the least
    and the greatest stand in bins of their own.
    """

    values: list[float]
    counts: list[float]

    @property
    def count(self) -> float:
        return math.fsum(self.counts)

    @property
    def sum(self) -> float:
        return math.fsum(value * count for value, count in zip(self.values, self.counts, strict=True))

    def summary(self) -> dict[str, float]:
        """`{"sum", "count", "min", "max"}`: the JSON form."""
        return {
            "sum": self.sum,
            "count": int(self.count),
            "min": min(self.values),
            "max": max(self.values),
        }


def binned(pairs: Iterable[tuple[float, float]]) -> Samples | None:
    """(value, count) pairs as at most `MAX_VALUES` bins; None where there are none.

    Inner bins hold equal shares of the samples (by rank), so percentiles stay near where most samples are.
    """
    merged: dict[float, float] = {}
    for value, count in pairs:
        if math.isfinite(value) and count > 0:
            merged[value] = merged.get(value, 0.0) + count
    if not merged:
        return None
    ordered = sorted(merged.items())
    if len(ordered) > MAX_VALUES:
        inner = ordered[1:-1]
        share = sum(count for _, count in inner) / (MAX_VALUES - 2)
        bins: list[tuple[float, float]] = []
        held: list[tuple[float, float]] = []
        filled = 0.0
        for value, count in inner:
            held.append((value, count))
            filled += count
            if filled >= share * (len(bins) + 1) - 1e-9:
                bins.append(_mean(held))
                held = []
        if held:
            bins.append(_mean(held))
        ordered = [ordered[0], *bins, ordered[-1]]
    return Samples([value for value, _ in ordered], [count for _, count in ordered])


def _mean(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    weight = math.fsum(count for _, count in pairs)
    return math.fsum(value * count for value, count in pairs) / weight, weight


Value = int | Samples | None


class ConnectorMinute(msgspec.Struct):
    """The 43 metrics of one connector in one minute part; None means unknown and is never sent as 0."""

    voice_connector_id: str
    region: str
    values: dict[str, Value]
    coverage: dict[str, float | None]  # by media direction: packets of streams with known loss / packets
    extras: dict[str, Any] = {}  # further figures: RFC 6076, calls_active_unknown, legs_unjoined ...


class Summary(msgspec.Struct):
    """One minute part. `complete`: it reaches the minute's end, so it carries the gauges.

    `media`, `sip` and `calls` are JSON-ready rows with the field names that `replay --json` prints. `gap`,
    where set, says why this minute (or a part of it) was not watched: then there are no datums.
    """

    start_ns: int  # minute start, UTC
    part: int
    complete: bool
    connectors: list[ConnectorMinute]
    media: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    sip: list[dict[str, Any]]
    gap: str | None = None
    extras: dict[str, Any] = {}  # the host's: calls_active_unknown, legs_unjoined ...
    agent: dict[str, float] = {}  # the agent's own figures in this part, by `AGENT_METRICS` name
