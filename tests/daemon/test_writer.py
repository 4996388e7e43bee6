"""The writer beside a disk that is slow or hangs: what waits is bounded, and nobody waits with it."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.daemon.writer import TOO_SLOW, Writer
from agent.model.units import MINUTE_NS
from agent.sinks.prometheus import Totals
from agent.store import Store
from tests.kit.minutes import T0, sip_row, summary

LIMIT = 100_000


class Hung(Store):
    """A store whose disk answers only once it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.transactions = 0

    def keep(self, *what: Any, **more: Any) -> int:
        self.asked.set()
        self.let_go.wait()
        self.transactions += 1
        return super().keep(*what, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Hung]:
    made = Hung(tmp_path / "s.sqlite")
    yield made
    made.let_go.set()
    made.close()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def writer(store: Hung, said: list[str]) -> Writer:
    """Its thread waits for the disk with the first hand-over, which is empty."""
    made = Writer(store, Totals(), dict, said.append, max_waiting=LIMIT)
    made.start()
    made.hand_over(b"0", T0)
    store.asked.wait()
    return made


def hand_over_minute(writer: Writer, number: int, *, sip: int = 0, size: int = 0, media: int = 0) -> None:
    start_ns = T0 + number * MINUTE_NS
    writer.messages([sip_row(start_ns, n, size=size) for n in range(sip)])
    writer.commit(summary(number, media=media))
    writer.hand_over(b"%d" % (number + 1), start_ns + MINUTE_NS)


def finished(writer: Writer, store: Hung) -> list[Any]:
    store.let_go.set()
    writer.stop()
    return list(store.minutes(0, 2 * T0, ("metrics", "media", "sip")))


def test_disk_that_hung_gets_one_transaction_with_all_and_the_newest_checkpoint(
    writer: Writer, store: Hung
) -> None:
    for number in range(5):
        hand_over_minute(writer, number, sip=3, media=2)
    assert writer.waiting == 5
    minutes = finished(writer, store)
    assert store.transactions == 2
    assert [(len(minute.media), len(minute.sip)) for minute in minutes] == [(2, 3)] * 5
    saved = store.load_checkpoint()
    assert saved is not None
    assert zlib.decompress(saved) == b"5"
    assert writer.shed == {}


def test_parts_of_one_minute_that_waited_together_are_numbered_in_order(writer: Writer, store: Hung) -> None:
    for complete in (False, False, True):
        writer.commit(summary(0, complete=complete))
    writer.hand_over(b"1", T0 + MINUTE_NS)
    assert [(minute.part, minute.complete) for minute in finished(writer, store)] == [
        (0, False),
        (1, False),
        (2, True),
    ]


def test_beyond_the_bound_the_oldest_sip_goes_first_with_a_gap_record(
    writer: Writer, store: Hung, said: list[str]
) -> None:
    for number in range(4):
        hand_over_minute(writer, number, sip=20, size=1_500, media=2)
    minutes = finished(writer, store)
    kept = sum(len(minute.sip) for minute in minutes)
    assert LIMIT * 0.5 < kept * 1_900 < LIMIT
    assert writer.shed == {"sip": 80 - kept}
    assert len(minutes[3].sip) == 20
    assert [len(minute.media) for minute in minutes] == [2] * 4
    gaps = store.gaps(0, 2 * T0)
    assert {(gap.kind, gap.why) for gap in gaps} == {("sip", TOO_SLOW)}
    assert sum(gap.records for gap in gaps) == 80 - kept
    assert any("too slow" in line for line in said)


def test_records_follow_the_sip_and_minutes_are_never_given_up(writer: Writer, store: Hung) -> None:
    for number in range(100):
        hand_over_minute(writer, number, sip=5, media=5)
    minutes = finished(writer, store)
    assert len(minutes) == 100
    assert all(minute.connectors for minute in minutes)
    assert sum(len(minute.sip) for minute in minutes) <= 5
    records = [len(minute.media) for minute in minutes]
    assert records == sorted(records)
    assert sum(records) * 4_300 <= LIMIT
    assert writer.shed["media"] == 500 - sum(records)
    assert sum(gap.records for gap in store.gaps(0, 2 * T0) if gap.kind == "media") == writer.shed["media"]


def test_hand_over_returns_while_the_disk_hangs(writer: Writer, store: Hung) -> None:
    done = threading.Event()

    def hand_over() -> None:
        for number in range(50):
            hand_over_minute(writer, number, sip=50, size=2_000)
        done.set()

    threading.Thread(target=hand_over, daemon=True).start()
    assert done.wait(30)
