"""A disk that fills up at each phase of the daemon's life, on a real file system of sixteen megabytes.

Expected of each phase: `StateError` (exit 3, so that it is started again) where nothing was counted yet; else
it is told, goes on from memory, and nothing that was counted is lost once there is room.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.daemon.keys import KEY_BYTES, key
from agent.errors import StateError
from agent.evidence.files import PACKETS, EvidenceFiles, EvidenceNote, FileBounds
from agent.model.units import MINUTE_NS
from agent.store import Draft, Store
from agent.store.database import Unwritable
from tests.kit.minutes import T0, sip_row, summary

ALL = 2 * T0
SINKS = {"cloudwatch": ("metrics",), "logs_sip": ("sip",)}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a file system of sixteen megabytes needs root: " + done.stderr.decode().strip())
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


def rows(minute: int, size: int = 2_000) -> list[dict[str, object]]:
    start = T0 + minute * MINUTE_NS
    return [sip_row(start, n) | {"sip_message": os.urandom(size).hex()} for n in range(50)]


def told(store: Store) -> bool:
    return any("keeping new rows in memory" in notice for notice in store.take_notices())


# -- before anything is counted: exit 3


@pytest.mark.parametrize("phase", ["store", "key"])
def test_start_on_a_full_disk_is_exit_3_and_the_next_start_goes_well(disk: Path, phase: str) -> None:
    starts: dict[str, Callable[[], object]] = {
        "store": lambda: Store(disk / "s.sqlite"),
        "key": lambda: key(disk),
    }
    with full(disk), pytest.raises(StateError, match=r"check its folder and space|No space left") as raised:
        starts[phase]()
    assert raised.value.exit_status == 3
    assert "\n" not in str(raised.value)
    Store(disk / "s.sqlite").close()
    assert len(key(disk)) == KEY_BYTES


# -- under way: told, goes on, loses nothing. Each phase is done while the disk is full.


def state(store: Store) -> None:
    store.save_checkpoint(b"state" * 10_000, now_ns=T0)


def wal_growth(store: Store) -> None:
    for _ in range(4):
        store.save_checkpoint(None, rows(1), now_ns=T0)


def minute(store: Store) -> None:
    assert store.commit(summary(1), b"minute 2 is open" * 1_000)


def seal(store: Store) -> None:
    due = store.outbox.due("cloudwatch", before_ns=ALL)
    drafts = [Draft("*", "t", [{"a": os.urandom(30_000).hex()}], T0, T0)]
    with pytest.raises(Unwritable):  # nothing is sent that could be sent again, and the row stays due
        store.outbox.plan("cloudwatch", due, drafts)
    assert store.outbox.next_batch("cloudwatch") is None


def reload(store: Store) -> None:
    """A reload may name a sink that was not there."""
    store.outbox.register({**SINKS, "archive": ("metrics", "sip")})


PHASES = [state, wal_growth, minute, seal, reload]


@pytest.mark.parametrize("phase", PHASES)
def test_phase_on_a_full_disk_is_told_and_loses_nothing(disk: Path, phase: Callable[[Store], None]) -> None:
    path = disk / "s.sqlite"
    store = Store(path)
    store.outbox.register(SINKS)
    store.commit(summary(0), b"minute 1 is open")
    with full(disk):
        phase(store)
        for number in range(2, 5):  # it goes on
            store.save_checkpoint(b"open %d" % number, rows(number), now_ns=T0)
            assert store.commit(summary(number))
        assert store.counters()["degraded"] == 1
        assert told(store)
        assert store.load_checkpoint() == b"open 4"
    assert store.commit(summary(5))
    assert store.counters()["degraded"] == 0
    store.close()
    again = Store(path)
    found = {one.start_ns: one for one in again.minutes(0, ALL, ("metrics", "sip"))}
    counted = [0, *([1] if phase is minute else []), 2, 3, 4, 5]
    due = [row.minute_ns for row in again.outbox.due("cloudwatch", before_ns=ALL)]
    assert due == [T0 + number * MINUTE_NS for number in counted]
    assert set(due) <= set(found)
    assert [len(found[T0 + number * MINUTE_NS].sip) for number in (2, 3, 4)] == [50, 50, 50]
    assert again.counters()["evicted_sip"] == 0
    again.close()


def test_evidence_on_a_full_disk_is_counted_and_leaves_what_was_written(disk: Path) -> None:
    files = EvidenceFiles(disk, FileBounds(bytes=1 << 30, files=10, age_s=1e9))
    first, second, third = (
        EvidenceNote(f"20231114T22140{number}-1", [str(number)], "mos", False, T0, float(number))
        for number in range(3)
    )
    files.begin(first, b"head")
    with full(disk):
        files.add(first.name, bytes(100_000))
        files.add(first.name, b"after")  # a block may be cut short: nothing follows it
        assert files.failed == 1
        files.begin(second, bytes(100_000))
        files.end(second)
        assert files.failed > 1
    files.begin(third, b"head")
    files.end(third)
    assert (files.folder / f"{first.name}{PACKETS}").read_bytes().startswith(b"head")
    assert (files.folder / f"{third.name}{PACKETS}").read_bytes() == b"head"
