"""A disk that takes no more: the file may not grow (RLIMIT_FSIZE) or its file system is full (tmpfs)."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model.units import MINUTE_NS
from agent.store import Draft, Store
from tests.kit.minutes import T0, sip_row, summary

ALL = 2 * T0


@contextlib.contextmanager
def no_room(path: Path) -> Iterator[None]:
    """While inside, no file of this process grows beyond what the store's files are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(largest, 4096), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def big(minute: int) -> list[dict[str, object]]:
    start = T0 + minute * MINUTE_NS
    return [sip_row(start, n) | {"sip_message": os.urandom(50_000).hex()} for n in range(10)]


def test_full_disk_keeps_new_rows_in_memory_and_writes_them_when_space_returns(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.outbox.register({"logs_sip": ("sip",), "cloudwatch": ("metrics",)})
    store.commit(summary(0), b"old")
    with no_room(path):
        for minute in range(1, 4):
            store.save_checkpoint(b"new", big(minute), now_ns=T0)
            assert store.commit(summary(minute))
        counters = store.counters()
        assert counters["degraded"] == 1
        assert counters["degraded_writes"] >= 3
        assert "keeping new rows in memory" in store.take_notices()[0]
        assert store.load_checkpoint() == b"new"
        assert store.next_part(T0 + MINUTE_NS) == 1
        assert not store.commit(summary(0))  # known to the file
        assert len(list(store.minutes(0, ALL))) == 4
    assert store.commit(summary(4))
    assert store.counters()["degraded"] == 0
    assert store.counters()["recovered_times"] == 1
    store.close()
    again = Store(path)
    minutes = list(again.minutes(0, ALL, ("metrics", "sip")))
    assert [len(minute.sip) for minute in minutes] == [0, 10, 10, 10, 0]
    assert len(again.outbox.due("cloudwatch", before_ns=ALL)) == 5
    assert again.load_checkpoint() == b"new"


def test_sinks_deliver_from_memory_while_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.outbox.register({"cloudwatch": ("metrics",)})
    with no_room(path):
        store.save_checkpoint(None, big(0), now_ns=T0)
        assert store.counters()["degraded"] == 1
        store.commit(summary(1))
        rows = store.outbox.due("cloudwatch", before_ns=ALL)
        drafts = [Draft("*", "t", [{"a": n}], T0, T0) for n in range(2)]
        store.outbox.plan("cloudwatch", rows, drafts)
        first = store.outbox.next_batch("cloudwatch")
        assert first is not None
        store.outbox.mark_sent(first)
        store.outbox.mark_done(first)
        second = store.outbox.next_batch("cloudwatch")
        assert second is not None
        assert second.id != first.id
        store.outbox.mark_sent(second)
    store.commit(summary(2))  # memory moves to the file while the request is under way
    store.outbox.mark_done(second)
    assert store.outbox.next_batch("cloudwatch") is None
    assert [row.minute_ns for row in store.outbox.due("cloudwatch", before_ns=ALL)] == [T0 + 2 * MINUTE_NS]
    assert store.outbox.totals("cloudwatch") == {"sent_batches": 2}


def test_answer_that_came_while_the_disk_filled_up_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.outbox.register({"cloudwatch": ("metrics",)})
    store.commit(summary(0))
    rows = store.outbox.due("cloudwatch", before_ns=ALL)
    store.outbox.plan("cloudwatch", rows, [Draft("*", "t", [{"a": 1}], T0, T0)])
    batch = store.outbox.next_batch("cloudwatch")
    assert batch is not None
    store.outbox.mark_sent(batch)
    with no_room(path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        store.outbox.mark_done(batch)
        assert store.outbox.next_batch("cloudwatch") is None
    store.commit(summary(1))
    assert store.outbox.next_batch("cloudwatch") is None
    assert store.outbox.totals("cloudwatch") == {"sent_batches": 1}


def test_minute_closed_into_memory_is_known_to_be_closed_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.commit(summary(0), b"minute 1 is open")
    with no_room(path):
        store.save_checkpoint(None, big(0), now_ns=T0)
        store.commit(summary(1), b"minute 2 is open")
        # The kill: what memory held is gone, and the file's checkpoint is from before minute 1 was closed.
        store._volume.memory = None
        store.close()
    again = Store(path)
    assert again.load_checkpoint() == b"minute 1 is open"
    assert again.closed_until_ns == T0 + 2 * MINUTE_NS


def test_memory_is_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path, max_memory_bytes=2_000_000)
    with no_room(path):
        for minute in range(10):
            store.save_checkpoint(None, big(minute), now_ns=T0)
            store.commit(summary(minute))
        assert store.counters()["evicted_sip"] > 0
        assert len(list(store.minutes(0, ALL))) == 10
    assert {gap.why for gap in store.gaps(0, ALL)} == {"size"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a file system of one megabyte needs root: " + done.stderr.decode().strip())
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_file_system_without_space_degrades_and_recovers(small_disk: Path) -> None:
    path = small_disk / "s.sqlite"
    store = Store(path)
    store.commit(summary(0))
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    store.save_checkpoint(b"c", [sip_row(T0, n, size=500) for n in range(50)], now_ns=T0)
    store.save_checkpoint(b"c" * 100_000, big(1)[:1], now_ns=T0)
    assert store.counters()["degraded"] == 1
    filler.unlink()
    store.commit(summary(1))
    assert store.counters()["degraded"] == 0
    assert store.load_checkpoint() == b"c" * 100_000
    store.close()
