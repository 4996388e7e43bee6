from __future__ import annotations

import os
from pathlib import Path

from agent.model.units import MINUTE_NS
from agent.store import Draft, Store
from tests.kit.minutes import SECOND_NS, T0, sip_row, summary

ALL = 2 * T0
DAY_NS = 86_400 * SECOND_NS


def noisy_sip(minute: int, count: int) -> list[dict[str, object]]:
    """SIP that does not compress, so that sizes are what they seem."""
    start = T0 + minute * MINUTE_NS
    return [sip_row(start, n) | {"sip_message": os.urandom(4_000).hex()} for n in range(count)]


def kinds_held(store: Store) -> dict[str, list[int]]:
    held: dict[str, list[int]] = {"sip": [], "media": [], "metrics": []}
    for minute in store.minutes(0, ALL, ("metrics", "media", "sip")):
        number = (minute.start_ns - T0) // MINUTE_NS
        for kind, there in (("sip", minute.sip), ("media", minute.media), ("metrics", minute.connectors)):
            if there:
                held[kind].append(number)
    return held


def test_rows_past_retention_go_without_a_gap_and_younger_ones_stay(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", retention_s=3_600, calls_retention_s=3_600)
    for minute in range(120):
        store.commit(summary(minute, media=1))
    held = kinds_held(store)
    assert held["metrics"] == held["media"] == list(range(60, 120))
    assert store.gaps(0, ALL) == []


def test_row_that_a_sink_waits_for_outlives_retention_up_to_cloudwatchs_window(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", retention_s=3_600, calls_retention_s=3_600)
    store.outbox.register({"cloudwatch": ("metrics",)})
    store.commit(summary(0, media=1))
    store.commit(summary(1), now_ns=T0 + 13 * DAY_NS)
    assert kinds_held(store) == {"sip": [], "media": [], "metrics": [0, 1]}
    store.commit(summary(2), now_ns=T0 + 15 * DAY_NS)
    assert kinds_held(store)["metrics"] == [2]
    [gap] = store.gaps(0, ALL)
    assert (gap.kind, gap.why, gap.records) == ("metrics", "age, not delivered", 2)


def test_sink_that_is_gone_holds_nothing_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", retention_s=3_600, calls_retention_s=3_600)
    store.outbox.register({"cloudwatch": ("metrics",)})
    store.commit(summary(0))
    store.outbox.register({})
    store.commit(summary(1), now_ns=T0 + DAY_NS)
    assert kinds_held(store)["metrics"] == [1]


def test_full_store_drops_the_oldest_sip_then_media_and_metrics_last(tmp_path: Path) -> None:
    limit = 600_000
    store = Store(tmp_path / "s.sqlite", max_bytes=limit)
    for minute in range(10):
        store.save_checkpoint(None, noisy_sip(minute, 20), now_ns=T0)
        store.commit(summary(minute, media=3))
    held = kinds_held(store)
    assert held["metrics"] == held["media"] == list(range(10))
    assert held["sip"] == list(range(10 - len(held["sip"]), 10))  # the newest are kept
    assert 0 < len(held["sip"]) < 10
    [gap] = store.gaps(0, ALL)
    assert (gap.kind, gap.why, gap.first_ns) == ("sip", "size", T0)
    assert gap.records == 20 * (10 - len(held["sip"]))
    assert store.counters()["evicted_sip"] == 10 - len(held["sip"])
    # A checkpoint that leaves no room for SIP, then none for media records: metrics stay.
    store.commit(summary(10), b"x" * 450_000)
    held = kinds_held(store)
    assert held["sip"] == []
    assert held["metrics"] == list(range(11))
    assert store.counters()["bytes"] <= limit + 100_000


def test_delivered_sip_goes_before_sip_that_a_sink_waits_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", max_bytes=420_000)
    store.outbox.register({"logs_sip": ("sip",)})
    store.save_checkpoint(None, noisy_sip(0, 10), now_ns=T0)
    store.save_checkpoint(None, noisy_sip(1, 10), now_ns=T0)
    [_, newer] = store.outbox.due("logs_sip", before_ns=ALL)
    store.outbox.plan("logs_sip", [newer], [Draft("vc1", "g", [], newer.minute_ns, newer.minute_ns)])
    for minute in range(2, 4):
        store.save_checkpoint(None, noisy_sip(minute, 25), now_ns=T0)
    minutes = {row.minute_ns for row in store.outbox.due("logs_sip", before_ns=ALL)}
    assert T0 in minutes
    assert newer.minute_ns not in kinds_held_minutes(store)
    assert next(gap.why for gap in store.gaps(0, ALL)) == "size"


def kinds_held_minutes(store: Store) -> set[int]:
    with store._volume.disk.read() as connection:
        return {row[0] for row in connection.execute("SELECT minute_ns FROM rows")}


def test_undelivered_rows_lost_to_size_say_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", max_bytes=200_000)
    store.outbox.register({"logs_sip": ("sip",)})
    for minute in range(12):
        store.save_checkpoint(None, noisy_sip(minute, 10), now_ns=T0)
    gaps = store.gaps(0, ALL)
    assert {gap.why for gap in gaps} == {"size, not delivered"}
    assert (
        sum(gap.records for gap in gaps)
        + 10 * len(store.outbox.due("logs_sip", before_ns=ALL, max_bytes=1 << 30))
        == 120
    )


def test_parts_are_remembered_after_their_rows_are_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", retention_s=60)
    store.commit(summary(0))
    store.commit(summary(100))
    assert store.next_part(T0) == 1
    assert not store.commit(summary(0))
