"""A Grafana dashboard over ClickHouse: the tables and roll-ups that `sbcwatch fleet schema` prints.

The data source is Grafana's own plug-in, `grafana-clickhouse-datasource`. A bucket of time is of whole
minutes, and figures a minute are divided by its length. Lines are bounded: the ten worst of a kind, never one
a host or a call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from agent.provision.grafana import field_config, framed, place
from agent.summary.catalog import DIRECTIONS

_SOURCE = {"type": "grafana-clickhouse-datasource", "uid": "${source}"}
_BUCKET_S = "60 * greatest(1, intDiv($__interval_ms + 59999, 60000))"
_IN_RANGE = "$__timeFilter({0})"
_HOURS = (
    "hour >= toStartOfHour($__fromTime) AND hour <= $__toTime"  # by which `call_minute` reads less than all
)
_MOST = 10
# Each host that saw a call has a record of it.
_CALLS = "uniqExact(transaction_id)"


class _Panel(NamedTuple):
    title: str
    unit: str  # Grafana's
    query: str
    kind: str = "timeseries"


def _bucket(column: str) -> str:
    return f"toStartOfInterval({column}, toIntervalSecond({_BUCKET_S}))"


def _share(side: str) -> str:
    """Lost of the packets sent whose loss is known, both directions of a side.

    Towards the vc what was lost is not among the packets counted.
    """
    lost = f"(sum({side}2vc_packets_lost) + sum(vc2{side}_packets_lost))"
    sent = f"sum({side}2vc_known_packets) + sum({side}2vc_packets_lost) + sum(vc2{side}_known_packets)"
    return f"{lost} / nullIf({sent}, 0)"


def _mos(side: str) -> str:
    return f"sum(mos_{side}_sum) / nullIf(sum(mos_{side}_count), 0)"


def _worst(table: str, column: str, value: str, order: str, database: str) -> str:
    """The ten of `column` whose `value` is worst over the whole range."""
    return (
        f"SELECT {column}, {value} AS value FROM {database}.{table} WHERE {_IN_RANGE.format('minute')} "
        f"GROUP BY {column} HAVING value IS NOT NULL ORDER BY value {order} LIMIT {_MOST}"
    )


def _lines(table: str, column: str, value: str, order: str, database: str) -> str:
    """A line for each of those ten."""
    worst = _worst(table, column, value, order, database)
    return (
        f"SELECT {_bucket('minute')} AS time, {column}, {value} AS value FROM {database}.{table} "
        f"WHERE {_IN_RANGE.format('minute')} AND {column} IN (SELECT {column} FROM ({worst})) "
        f"GROUP BY time, {column} ORDER BY time"
    )


def _panels(database: str) -> Iterator[_Panel]:
    for who, table, column, side in (
        ("carrier", "carrier_minute", "carrier", "rem"),
        ("customer", "connector_minute", "voice_connector_id", "cust"),
    ):
        lost, mos = (
            (table, column, _share(side), "DESC", database),
            (table, column, _mos(side), "ASC", database),
        )
        yield _Panel(
            f"Packets lost, share, by {who}: the ten worst", "percentunit", _worst(*lost), "bargauge"
        )
        yield _Panel(f"Packets lost, share, by {who}", "percentunit", _lines(*lost))
        yield _Panel(f"MOS, mean, by {who}: the ten worst", "none", _lines(*mos))
    packets = ", ".join(f"sum({way}_rtp_packets) / (({_BUCKET_S}) / 60) AS {way}" for way in DIRECTIONS)
    yield _Panel(
        "RTP packets a minute, as hosts counted them",
        "short",
        f"SELECT {_bucket('minute')} AS time, {packets} FROM {database}.connector_minute "
        f"WHERE {_IN_RANGE.format('minute')} GROUP BY time ORDER BY time",
    )
    of_calls = f"FROM {database}.calls FINAL WHERE {_IN_RANGE.format('at')}"
    yield _Panel(
        "Calls over, a minute, by outcome",
        "short",
        f"SELECT {_bucket('at')} AS time, outcome, {_CALLS} / (({_BUCKET_S}) / 60) AS value {of_calls} "
        "GROUP BY time, outcome ORDER BY time",
    )
    yield _Panel(
        "Answer after the INVITE, median and worst twentieth",
        "ms",
        f"SELECT {_bucket('at')} AS time, quantile(0.5)(setup_ms) AS median, quantile(0.95)(setup_ms) AS p95 "
        f"{of_calls} AND setup_ms IS NOT NULL GROUP BY time ORDER BY time",
    )
    yield _Panel(
        "Worst minutes of calls",
        "none",
        "SELECT at - 60 AS minute, transaction_id, carrier, "
        "voice_connector_id, least(coalesce(mos_cust, 5), coalesce(mos_rem, 5)) AS mos, hosts, seen_twice "
        f"FROM {database}.call_minute WHERE {_HOURS} AND {_IN_RANGE.format('at')} AND mos < 3.6 "
        "ORDER BY mos LIMIT 50",
        "table",
    )
    yield _Panel(
        "Hosts, the longest silent first",
        "none",
        f"SELECT host, max(at) AS last, dateDiff('second', last, now('UTC')) AS seconds_ago "
        f"FROM {database}.media WHERE {_IN_RANGE.format('at')} GROUP BY host ORDER BY last LIMIT 50",
        "table",
    )


_FORMATS = {"timeseries": 0, "bargauge": 1, "table": 1}  # of the plug-in: a time series, or a table


def dashboard(database: str) -> dict[str, Any]:
    panels = [
        {
            "id": number + 1,
            "type": panel.kind,
            "title": panel.title,
            "datasource": _SOURCE,
            "gridPos": place(number),
            "fieldConfig": field_config(panel.unit),
            "options": {"reduceOptions": {"values": True}} if panel.kind == "bargauge" else {},
            "targets": [
                {
                    "refId": "A",
                    "datasource": _SOURCE,
                    "editorType": "sql",
                    "queryType": "timeseries" if panel.kind == "timeseries" else "table",
                    "format": _FORMATS[panel.kind],
                    "rawSql": panel.query,
                }
            ],
        }
        for number, panel in enumerate(_panels(database))
    ]
    return framed("sbcwatch fleet", "sbcwatch-fleet", "utc", _SOURCE["type"], [], panels)


def grafana_text(database: str) -> str:
    return json.dumps(dashboard(database), indent=2)
