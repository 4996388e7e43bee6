"""ClickHouse's tables for records, as `sbcwatch fleet schema` prints them.

Rows of one record have one key and the engine keeps the newest. The insert itself fills a roll-up, so its
table needs a deduplication window of its own: without one a repeated batch is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.model.call_cy import SEEN_TWICE
from agent.summary.catalog import DIRECTIONS, MEDIA_FIELDS, TABLE_DAYS
from agent.summary.media_columns import EXTRAS

ROLL_UP_DAYS = 730
RETRY_MINUTES = 14 * 1_440  # the longest time that an outbox keeps undelivered rows
_LOW = "LowCardinality(String)"
_MAYBE = "LowCardinality(Nullable(String))"
_IDS = {"host": _LOW, "transaction_id": "Nullable(UUID)", "key_id": _MAYBE}
_TEXTS = {
    "voice_connector_id": _LOW, "aws_region": _LOW, "event_timestamp": "Int64", "call_id": "Nullable(String)",
    "from_sip_user": "Nullable(String)", "from_country": _MAYBE, "to_sip_user": "Nullable(String)",
    "to_country": _MAYBE, "endpoint_id": "Nullable(UUID)",
}  # fmt: skip


def _media() -> dict[str, str]:
    columns = {name: _TEXTS.get(name) or _figure(name) for name in MEDIA_FIELDS}
    columns |= _IDS | {
        "record_id": "UUID", "part": "UInt16", "start_ts": "Nullable(Int64)", "carrier": _MAYBE,
        "codec": _MAYBE,
        "peer_media": f"Map({_LOW}, String)", "call_ids": "Array(String)", "flags": f"Array({_LOW})",
        "vc_lost": "Nullable(UInt32)", "jitter_buffer": _MAYBE, "mos_directions": f"Map({_LOW}, Float32)",
        "page": "Nullable(String)", "side_flags": f"Map({_LOW}, Array({_LOW}))",
    }  # fmt: skip
    return columns | {name: _figure(name) for name in EXTRAS}


def _figure(name: str) -> str:
    if name.endswith("_source"):
        return _MAYBE
    if name.endswith("_relayed") or name.startswith("mos_codec_assumed"):
        return "Nullable(Bool)"
    if name.startswith("far_end") or name.endswith("_timeline"):
        return "Nullable(String)"  # as JSON
    if name.endswith(("_loss_runs", "_late_histogram")):
        return "Array(UInt32)"  # empty where it is unknown
    if name.endswith(("_jitter", "_density")) or name.startswith(("rtt", "mos", "r_")):
        return "Nullable(Float32)"
    return "Nullable(UInt32)"


COLUMNS: dict[str, dict[str, str]] = {
    "media": _media(),
    "calls": {
        "call_id": "Nullable(String)", "call_ids": "Array(String)", "voice_connector_id": _LOW,
        "direction": _MAYBE, "from_sip_user": "Nullable(String)", "to_sip_user": "Nullable(String)",
        "invite_ns": "Nullable(Int64)", "answer_ns": "Nullable(Int64)", "end_ns": "Nullable(Int64)",
        "status": "Nullable(UInt16)", "outcome": _LOW, "end_reason": _MAYBE, "flags": f"Array({_LOW})",
        "diverted_from": "Nullable(String)", "customer_peer": _MAYBE, "remote_peer": _MAYBE,
        "ended_by": _MAYBE, "setup_ms": "Nullable(Float32)", "ring_ms": "Nullable(Float32)", **_IDS,
        "carrier": _MAYBE, "codec": _MAYBE, "worst_direction": _MAYBE, "last_rtp_ns": "Nullable(Int64)",
        "loss_runs": "Nullable(String)", "late_histogram": "Nullable(String)",
        "page": "Nullable(String)",
        "schema_version": "Nullable(UInt16)", "aws_region": _MAYBE, "from_country": _MAYBE,
        "to_country": _MAYBE, "duration_seconds": "Nullable(Float64)",
    },
    "sip": {
        "voice_connector_id": _LOW, "aws_region": _LOW, "event_timestamp": "Int64", "call_id": "String",
        "sip_message": "String", **_IDS, "stamp_ns": "Int64", "src": "String", "dst": "String",
        "side": _MAYBE,
    },
}  # fmt: skip
_AT = {
    "media": "intDiv(event_timestamp, 1000)",
    # A record without any time is of now: of 1970 its TTL would delete it at once.
    "calls": "intDiv(coalesce(end_ns, answer_ns, invite_ns, last_rtp_ns, toInt64(now()) * 1000000000), "
    "1000000000)",
    "sip": "intDiv(event_timestamp, 1000)",
}
_KEY = {
    "media": "event_timestamp, host, part, record_id",
    "calls": "host, ifNull(invite_ns, 0), ifNull(call_id, '')",
    "sip": "stamp_ns, host, src, dst, cityHash64(sip_message)",
}
_TOKENS = {"media": ("from_sip_user", "to_sip_user"), "calls": ("from_sip_user", "to_sip_user"), "sip": ()}


def schema(database: str, hosts: int = 1, *, replicated: bool = True) -> Iterator[str]:
    """The statements, in order. `hosts` and their longest retry make the deduplication windows."""
    yield f"CREATE DATABASE IF NOT EXISTS {database}"
    window = hosts * RETRY_MINUTES
    for kind, columns in COLUMNS.items():
        indexes = [("call_id", "call_id"), ("transaction_id", "transaction_id")]
        indexes += [(name, name) for name in _TOKENS[kind]]
        if "call_ids" in columns:
            indexes.append(("call_ids", "call_ids"))
        lines = [f"    {name} {kind_of} CODEC(ZSTD(3))" for name, kind_of in columns.items()]
        lines += [
            f"    at DateTime MATERIALIZED toDateTime({_AT[kind]}, 'UTC')",
            "    hour DateTime MATERIALIZED toStartOfHour(at)",
        ]
        lines += [f"    INDEX by_{name} {of} TYPE bloom_filter GRANULARITY 4" for name, of in indexes]
        body = ",\n".join(lines)
        yield (
            f"CREATE TABLE IF NOT EXISTS {database}.{kind} (\n{body}\n)\n"
            f"ENGINE = {_engine('ReplacingMergeTree', replicated)}\nPARTITION BY toDate(at)\n"
            f"ORDER BY (voice_connector_id, hour, ifNull(transaction_id, toUUID("
            f"'00000000-0000-0000-0000-000000000000')), {_KEY[kind]})\n"
            f"TTL at + INTERVAL {TABLE_DAYS[kind]} DAY\n{_window(window, replicated)}"
        )
        # A table that an older version made is widened.
        more = ",\n".join(
            f"    ADD COLUMN IF NOT EXISTS {name} {kind_of} CODEC(ZSTD(3))"
            for name, kind_of in columns.items()
        )
        yield f"ALTER TABLE {database}.{kind}\n{more}"
    for name, column in (("carrier_minute", "carrier"), ("connector_minute", "voice_connector_id")):
        yield from _roll_up(database, name, column, window, replicated)
    yield call_minute(database)


def call_minute(database: str) -> str:
    """A view of one row a call and minute, though several hosts saw it.

    Each direction is of one host: of those that know its loss the one with most packets, else of all. Parts
    of a host's minute are added up first; a sum is NULL where one of them is. `seen_twice`: two hosts counted
    the same direction. A question names the hours that it is about: only by columns of the order does `FINAL`
    read less than all.
    """
    inner, outer, twice = [], [], []
    for way in DIRECTIONS:
        packets, lost, jitter = f"m.{way}_rtp_packets", f"m.{way}_packets_lost", f"m.{way}_jitter"
        inner += [
            f"sum({packets}) AS {way}_packets",
            f"if(count({lost}) = count(), sum({lost}), NULL) AS {way}_lost",
            f"sum({jitter} * {packets}) / nullIf(sumIf({packets}, {jitter} IS NOT NULL), 0) "
            f"AS {way}_jitter_mean",
        ]
        chosen = f"tuple({way}_packets, {way}_lost, {way}_jitter_mean)"
        known = f"tuple({way}_packets > 0 AND {way}_lost IS NOT NULL, ifNull({way}_packets, 0))"
        best = f"argMax({chosen}, {known})"
        outer += [
            f"tupleElement({best}, {n}) AS {way}_{name}"
            for n, name in enumerate(("rtp_packets", "packets_lost", "jitter"), 1)
        ]
        twice.append(f"countIf({way}_packets > 0) > 1")
    for side, ways in (("cust", ("cust2vc", "vc2cust")), ("rem", ("rem2vc", "vc2rem"))):
        mos, packets = f"m.mos_btwn_vc_and_{side}", " + ".join(f"m.{way}_rtp_packets" for way in ways)
        inner.append(
            f"sum({mos} * ({packets})) / nullIf(sumIf({packets}, {mos} IS NOT NULL), 0) AS mos_{side}_mean"
        )
        packets_known = " + ".join(f"ifNull({way}_packets, 0)" for way in ways)
        best = f"argMax(tuple(mos_{side}_mean), tuple(mos_{side}_mean IS NOT NULL, {packets_known}))"
        outer.append(f"tupleElement({best}, 1) AS mos_{side}")
    key = "transaction_id, voice_connector_id, event_timestamp, hour, at"
    return (
        f"CREATE OR REPLACE VIEW {database}.call_minute AS\nSELECT {key},\n"
        "    any(call) AS call_id, any(carried_by) AS carrier, groupUniqArray(host) AS hosts,\n    "
        + ",\n    ".join(outer)
        + f",\n    {' OR '.join(twice)} AS seen_twice\nFROM (\n    SELECT {key}, host,\n"
        "        any(m.call_id) AS call, any(m.carrier) AS carried_by,\n        "
        + ",\n        ".join(inner)
        + f"\n    FROM {database}.media AS m FINAL GROUP BY {key}, host\n)\nGROUP BY {key}"
    )


def _roll_up(database: str, name: str, column: str, window: int, replicated: bool) -> Iterator[str]:
    """Each direction in a minute: all packets, those whose loss is known, loss, MOS.

    Of a call that two hosts saw, one host's records have the flag and are left out.
    """
    sums = {"records": "count()"}
    for way in DIRECTIONS:
        sums[f"{way}_rtp_packets"] = f"sum(ifNull(m.{way}_rtp_packets, 0))"
        sums[f"{way}_known_packets"] = (
            f"ifNull(sumIf(m.{way}_rtp_packets, m.{way}_packets_lost IS NOT NULL), 0)"
        )
        sums[f"{way}_packets_lost"] = f"sum(ifNull(m.{way}_packets_lost, 0))"
    for side in ("cust", "rem"):
        sums[f"mos_{side}_sum"] = f"sum(ifNull(m.mos_btwn_vc_and_{side}, 0))"
        sums[f"mos_{side}_count"] = f"count(m.mos_btwn_vc_and_{side})"
    kinds = {of: "Float64" if of.endswith("_sum") else "UInt64" for of in sums}
    columns = "".join(f",\n    {of} {kind}" for of, kind in kinds.items())
    yield (
        f"CREATE TABLE IF NOT EXISTS {database}.{name} (\n"
        f"    minute DateTime,\n    {column} {_LOW}{columns}\n)\n"
        f"ENGINE = {_engine('SummingMergeTree', replicated)}\nPARTITION BY toYYYYMM(minute)\n"
        f"ORDER BY ({column}, minute)\nTTL minute + INTERVAL {ROLL_UP_DAYS} DAY\n"
        f"{_window(window, replicated)}"
    )
    columns_summed = ",\n    ".join(f"{value} AS {of}" for of, value in sums.items())
    query = (
        f"SELECT toDateTime(intDiv(m.event_timestamp, 1000) - 60, 'UTC') AS minute,\n"
        f"    ifNull(toString(m.{column}), '') AS {column},\n    {columns_summed}\n"
        f"FROM {database}.media AS m\nWHERE NOT has(m.flags, '{SEEN_TWICE}')\nGROUP BY minute, {column}"
    )
    view = f"{database}.{name}_view"
    yield f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {database}.{name} AS\n{query}"
    yield f"ALTER TABLE {view} MODIFY QUERY\n{query}"  # one that an older version made


def _engine(name: str, replicated: bool) -> str:
    return f"Replicated{name}" if replicated else name


def _window(window: int, replicated: bool) -> str:
    if not replicated:
        return f"SETTINGS non_replicated_deduplication_window = {window}"
    seconds = RETRY_MINUTES * 60
    return (
        f"SETTINGS replicated_deduplication_window = {window}, "
        f"replicated_deduplication_window_seconds = {seconds}"
    )
