"""The bytes that `sbcwatch cost` reckons with, against records that were really made: within a tenth.

Those of ClickHouse's disk: tests/sinks/test_clickhouse.py.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from agent.config.load import read
from agent.config.settings import Config
from agent.provision.volume import (
    ARCHIVED_BYTES,
    EVENT_OVERHEAD,
    MINUTES,
    TIMELINE_BYTES,
    logged_bytes,
    records,
)
from agent.sinks.archive import KINDS, ArchiveSink, Folder
from agent.sinks.aws import logs
from agent.store.codec import pack, to_json
from agent.store.outbox import OutboxRow
from agent.summary.catalog import DIRECTIONS, TIMELINE_FIELDS
from tests.kit.records import bundled

HOST = "sbc-1.example.com-0123abcd"


def mean(sizes: list[int]) -> float:
    return sum(sizes) / len(sizes)


def row(kind: str, rows: list[Any]) -> OutboxRow:
    return OutboxRow(1, "default", 0, 0, kind, "", len(rows), pack(rows))


def logged(kind: Any) -> float:
    """What an event of the log has, as PutLogEvents is given it."""
    sink = logs.LogsSink(None, kind, host=HOST)  # type: ignore[arg-type]
    events = [event for draft in sink.encode([row(kind, bundled()[kind])]) for event in draft.items]
    return mean([len(event["message"].encode()) for event in events])


def test_media_record_in_the_log_is_as_long_as_the_setting_says() -> None:
    assert Config().cost.media_bytes == pytest.approx(logged("media"), rel=0.1)


def test_call_record_in_the_log_is_as_long_as_the_setting_says() -> None:
    assert Config().cost.calls_bytes == pytest.approx(logged("calls"), rel=0.1)


def test_overhead_of_an_event_is_the_sinks_own() -> None:
    assert EVENT_OVERHEAD == logs.EVENT_OVERHEAD


def test_timeline_of_a_whole_minute_is_as_long_as_the_estimate_says() -> None:
    whole = [
        sum(len(to_json({name: record[name]})) for name in TIMELINE_FIELDS)
        for record in bundled()["media"]
        if all(record[f"{direction}_rtp_packets"] > 2_500 for direction in DIRECTIONS)
    ]
    assert pytest.approx(mean(whole), rel=0.1) == TIMELINE_BYTES


@pytest.mark.parametrize("kind", ARCHIVED_BYTES)
def test_record_in_the_archive_is_as_long_as_the_estimate_says(kind: str) -> None:
    sink = ArchiveSink(Folder(Path()), host=HOST)
    rows = bundled()[kind]
    sizes = []
    for at in range(0, len(rows) // 20 * 20, 20):
        (draft,) = sink.encode([row(kind, rows[at : at + 20])])
        sizes.append(len(b64decode(draft.items[0]["gz"])) // 20)
    assert ARCHIVED_BYTES[kind] == pytest.approx(mean(sizes), rel=0.1)


def test_archive_prices_every_kind_that_it_may_hold() -> None:
    assert set(ARCHIVED_BYTES) == set(KINDS) == set(records(Config()))


def test_number_of_records_is_the_traffic_of_all_hosts() -> None:
    config, problems = read("[cost]\nhosts = 3\nexpected_calls = 10\nexpected_cps = 2\n", {})
    assert config is not None, problems
    assert records(config) == {
        "media": 3 * 10 * MINUTES,
        "calls": 3 * 2 * 60 * MINUTES,
        "sip": 3 * 2 * 60 * MINUTES * 14,
        "metrics": 3 * MINUTES,
    }
    assert logged_bytes(config)["calls"] == 1026
