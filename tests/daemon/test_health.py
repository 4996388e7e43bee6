"""Every thread gives signs of life, and each is asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agent.daemon.health import OVERDUE_NS, SILENT_S, WRITER_S, Health
from agent.daemon.writer import Writer
from agent.sinks.prometheus import Totals
from agent.store import Store
from tests.kit.minutes import summary


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_process_that_starts_is_alive_and_not_ready(clock: Clock) -> None:
    health = Health(clock)
    assert health.well() == (True, "starting")
    assert health.ready() == (False, "not watching yet")
    health.passed(0)
    assert health.well() == health.ready() == (True, "ok")


def test_interface_that_is_down_leaves_it_alive_and_not_ready(clock: Clock) -> None:
    health = Health(clock)
    health.passed(0)
    health.away = ["ens5", "ens6"]
    assert health.well() == (True, "ok")
    assert health.ready() == (
        False, "nothing is captured on ens5, ens6: down, gone or without carrier",
    )  # fmt: skip
    health.away = []
    assert health.ready() == (True, "ok")


def test_silent_ring_and_late_close_are_not_well(clock: Clock) -> None:
    health = Health(clock)
    health.passed(OVERDUE_NS + 1)
    assert health.well() == (False, "a minute close is 120 s overdue")
    clock.now += SILENT_S + 1
    assert health.well() == (False, "the ring was last read 11 s ago")


@pytest.mark.parametrize("name", ["writer", "sink-cloudwatch", "capture-1"])
def test_thread_that_is_silent_for_longer_than_it_said_is_not_well(clock: Clock, name: str) -> None:
    health = Health(clock)
    with health.thread(name, 60.0) as sign:
        clock.now += 60
        health.passed(0)
        assert health.well()[0]
        clock.now += 1
        health.passed(0)
        assert health.well() == (False, f"thread {name} gave its last sign 61 s ago")
        sign()
        assert health.well()[0]
    clock.now += 1_000
    health.passed(0)
    assert health.well()[0]  # it came to its end


def test_thread_that_raised_is_told_once_and_not_well_for_good(clock: Clock) -> None:
    lines: list[str] = []
    health = Health(clock, lines.append)
    with health.thread("writer", 60.0):
        raise ValueError("odd")
    health.passed(0)
    assert health.well() == (False, "thread writer ended: ValueError: odd")
    assert lines == ["thread writer ended: ValueError: odd"]


def test_dead_writer_is_not_ok(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store, health = Store(tmp_path / "s.sqlite"), Health(clock)

    def broken(*arguments: Any, **options: Any) -> int:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(store, "keep", broken)
    writer = Writer(store, Totals(), dict, lambda text: None, health=health)
    writer.start()
    writer.commit(summary())
    writer.hand_over(b"", 1)
    writer._thread.join(10)
    health.passed(0)
    assert health.well() == (False, "thread writer ended: RuntimeError: a mistake of ours")
    writer.stop()
    store.close()


def test_writer_that_hangs_is_not_ok(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store, health = Store(tmp_path / "s.sqlite"), Health(clock)
    entered, release = threading.Event(), threading.Event()
    keep = store.keep

    def hanging(*arguments: Any, **options: Any) -> int:
        entered.set()
        release.wait(30)
        return keep(*arguments, **options)

    monkeypatch.setattr(store, "keep", hanging)
    writer = Writer(store, Totals(), dict, lambda text: None, health=health)
    writer.start()
    writer.hand_over(b"", 1)
    assert entered.wait(10)
    clock.now += WRITER_S + 1
    health.passed(0)
    assert not health.well()[0]
    release.set()
    writer.stop()
    store.close()
