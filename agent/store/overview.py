"""The overview: each connector and carrier minute by minute, small enough to draw days of it.

A connector's row comes from its metrics. A carrier's comes from the records of its calls: those that ended in
the minute, and the media of all. None is unknown.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from agent.model.units import MINUTE_NS
from agent.summary.catalog import DIRECTIONS, SIDES
from agent.summary.records import ConnectorMinute, Samples, Summary, Value, expected, known_loss

Row = dict[str, Any]
By = Literal["connector", "carrier", "host"]
_LOSS = tuple(f"{way}_{name}" for way in DIRECTIONS for name in ("lost", "expected"))
_SUMS = ("attempts", "failures", *_LOSS, "drops")
_COLUMNS = (
    "attempts", "failures", "active", *_LOSS, "customer_mos_p10", "remote_mos_p10", "customer_rtt_us",
    "remote_rtt_us", "drops",
)  # fmt: skip


class OverviewPoint(msgspec.Struct):
    """A span of minutes of one series. None: unknown.

    `loss`: share by direction. MOS p10 is the worst minute's, `active` the last minute's, RTT the mean of the
    minutes.
    """

    start_ns: int
    attempts: int | None
    failures: int | None
    active: int | None
    loss: dict[str, float | None]
    lost: dict[str, int | None]
    mos_p10: dict[str, float | None]  # customer, remote
    rtt_us: dict[str, float | None]
    drops: int | None


class OverviewSeries(msgspec.Struct):
    """The points of one connector or carrier, in order of time; unwatched minutes have none."""

    name: str
    points: list[OverviewPoint]


def record_overview(connection: sqlite3.Connection, summary: Summary) -> None:
    """Keeps the figures that an overview draws of a minute part."""
    losses = _losses(summary, "voice_connector_id")
    rows = [
        (
            "connector",
            connector_minute.voice_connector_id,
            _of_connector(connector_minute) | losses.get(connector_minute.voice_connector_id, {}),
        )
        for connector_minute in summary.connectors
    ]
    rows += [("carrier", name, row) for name, row in _of_carriers(summary).items()]
    drops = summary.agent.get("CaptureDrops")
    if drops is not None:
        rows.append(("host", "", {"drops": round(drops)}))
    names = ("minute_ns", "part", "kind", "name", *_COLUMNS)
    marks = ",".join("?" * len(names))
    connection.executemany(
        f"INSERT OR REPLACE INTO minute_index ({', '.join(names)}) VALUES ({marks})",
        [
            (summary.start_ns, summary.part, kind, name[:128], *(row.get(column) for column in _COLUMNS))
            for kind, name, row in rows
        ],
    )


def read_overview(
    connection: sqlite3.Connection, since_ns: int, until_ns: int, by: By, minutes: int = 1
) -> list[OverviewSeries]:
    """Series of points of so many minutes each."""
    # Minute by minute the key is in the order of the groups: nothing is sorted.
    at = "minute_ns" if minutes <= 1 else f"minute_ns / {minutes * MINUTE_NS} * {minutes * MINUTE_NS}"
    sums = ", ".join(f"sum({name})" for name in _SUMS)
    found = connection.execute(
        f"SELECT name, {at}, {sums}, max(active), min(customer_mos_p10), "
        "min(remote_mos_p10), avg(customer_rtt_us), avg(remote_rtt_us) FROM minute_index "
        "WHERE kind=? AND minute_ns >= ? AND minute_ns < ? GROUP BY 2, 1 ORDER BY 2, 1",
        (by, since_ns, until_ns),
    )
    series: dict[str, OverviewSeries] = {}
    for (
        name, at_ns, attempts, failures, lost0, all0, lost1, all1, lost2, all2, lost3, all3, drops, active,
        customer_mos, remote_mos, customer_rtt, remote_rtt,
    ) in found:  # fmt: skip
        lost = lost0, lost1, lost2, lost3
        point = OverviewPoint(
            at_ns,
            attempts,
            failures,
            active,
            dict(zip(DIRECTIONS, map(_share, lost, (all0, all1, all2, all3)), strict=True)),
            dict(zip(DIRECTIONS, lost, strict=True)),
            {"customer": customer_mos, "remote": remote_mos},
            {"customer": customer_rtt, "remote": remote_rtt},
            drops,
        )
        series.setdefault(name, OverviewSeries(name, [])).points.append(point)
    return list(series.values())


def percentile(values: Iterable[tuple[float, float]], percent: float) -> float | None:
    """Nearest rank over (value, how often)."""
    ordered = sorted(values)
    wanted = math.fsum(count for _, count in ordered) * percent / 100
    reached = 0.0
    for value, count in ordered:
        reached += count
        if reached >= wanted:
            return value
    return None


def _of_connector(minute: ConnectorMinute) -> Row:
    """A point from a connector's metrics.

    Its lost share is only as good as `coverage`. Its calls' records, where there are any, say of each call
    whether its loss is known.
    """
    values = minute.values
    row: Row = {
        "attempts": _total(values, "CallAttempts"),
        "failures": _total(values, "CallFailures"),
        "active": _total(values, "CallsActive"),
    }
    for way, (prefix, _) in DIRECTIONS.items():
        packets, lost = values.get(prefix + "RtpPackets"), values.get(prefix + "PacketsLost")
        covered = (minute.coverage or {}).get(way)
        if isinstance(packets, int) and isinstance(lost, int):
            row[f"{way}_lost"] = lost
            known = packets if covered is None else round(packets * covered)
            row[f"{way}_expected"] = expected(way, known, lost)
    for side, (suffix, _, _) in SIDES.items():
        scores = values.get("MOSBetweenVcAnd" + suffix)
        trips = values.get("RTTBetweenVcAnd" + suffix)
        if isinstance(scores, Samples):
            row[f"{side}_mos_p10"] = percentile(zip(scores.values, scores.counts, strict=True), 10)
        if isinstance(trips, Samples) and trips.count:
            row[f"{side}_rtt_us"] = trips.sum / trips.count
    return row


def _losses(summary: Summary, by: str) -> dict[str, Row]:
    """Lost and expected of each direction of the calls whose loss is known, by a field of their records."""
    losses: dict[str, Row] = {}
    for record in summary.media:
        if not record.get(by):
            continue
        row = losses.setdefault(record[by], {})
        for way in DIRECTIONS:
            found = known_loss(record, way)
            if found is not None:
                row[f"{way}_lost"] = row.get(f"{way}_lost", 0) + found[0]
                row[f"{way}_expected"] = row.get(f"{way}_expected", 0) + found[1]
    return losses


def _of_carriers(summary: Summary) -> dict[str, Row]:
    carriers = _losses(summary, "carrier")
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for call in summary.calls:
        if call.get("carrier"):
            row = carriers.setdefault(call["carrier"], {})
            row["attempts"] = row.get("attempts", 0) + 1
            row["failures"] = row.get("failures", 0) + (call.get("outcome") == "failed")
    for record in summary.media:
        if not record.get("carrier"):
            continue
        for way in DIRECTIONS:
            score = (record.get("mos_directions") or {}).get(way)
            if score is not None:
                side = "customer" if "cust" in way else "remote"
                scores.setdefault((record["carrier"], side), []).append((score, 1))
    for (name, side), carrier_scores in scores.items():
        carriers[name][f"{side}_mos_p10"] = percentile(carrier_scores, 10)
    return carriers


def _total(values: dict[str, Value], what: str) -> int | None:
    """Both directions; None where either is unknown."""
    inbound, outbound = values.get("Inbound" + what), values.get("Outbound" + what)
    return inbound + outbound if isinstance(inbound, int) and isinstance(outbound, int) else None


def _share(lost: int | None, expected: int | None) -> float | None:
    return lost / expected if lost is not None and expected else None
