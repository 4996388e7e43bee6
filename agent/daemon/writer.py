"""The thread that owns the disk: closed minutes, SIP messages and checkpoints go to the store in order.

While the disk is busy, waiting data is merged into one hand-over: SIP rows and minute parts add up, and the
newest checkpoint replaces the others, because it was taken after all of them. The waiting data is bounded:
beyond `MAX_WAITING` bytes the oldest SIP messages go first, then media records, then call records, counted
and with a gap record. The minutes themselves never go, and only this thread waits for the disk.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.daemon.checkpoint import packed
from agent.daemon.health import WRITER_S, Health
from agent.model.units import MINUTE_NS
from agent.sinks.prometheus import Totals
from agent.store import Gap, Store
from agent.summary.records import Summary

MAX_WAITING = 64 << 20  # as much as the store keeps in memory while the disk is full
SIGN_S = 10.0  # how often a waiting thread gives a sign of life
TOO_SLOW = "the disk was too slow"
# Resident bytes of a record; a SIP row has its message besides. In the order in which they go.
_RECORD_BYTES = {"sip": 400, "media": 4_300, "calls": 1_100}


@dataclass(slots=True)
class HandOver:
    """One transaction: `image` is the checkpoint taken after the rest (capture time `now_ns`).

    `news`: records of calls for the index alone, ahead of their minute.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    parts: list[Summary] = field(default_factory=list)
    news: list[dict[str, Any]] = field(default_factory=list)
    image: bytes = b""
    now_ns: int = 0
    gaps: dict[str, Gap] = field(default_factory=dict)  # records given up, by kind
    hand_overs: int = 0
    size: int = 0  # bytes of rows and records, about

    def add(
        self,
        rows: list[dict[str, Any]],
        parts: list[Summary],
        news: list[dict[str, Any]],
        image: bytes,
        now_ns: int,
    ) -> None:
        self.rows += rows
        self.news += news
        self.parts += parts
        self.image, self.now_ns = image, now_ns
        self.hand_overs += 1
        self.size += _size("sip", rows) + _size("calls", news)
        self.size += sum(_size(kind, getattr(part, kind)) for part in parts for kind in _RECORD_BYTES)

    def shed(self, limit: int) -> Counter[str]:
        """Gives up the least needed records, oldest first, until `limit` bytes are left.

        Returns how many of each kind.
        """
        gone: Counter[str] = Counter()
        count = 0
        if self.size > limit:  # the calls' own minutes tell of them again
            self.size -= _size("calls", self.news)
            self.news = []
        while self.size > limit and count < len(self.rows):
            self.size -= _size("sip", self.rows[count : count + 1])
            count += 1
        if count:
            times = [int(row["event_timestamp"]) * 1_000_000 for row in self.rows[:count]]
            del self.rows[:count]
            self._give_up("sip", count, min(times), max(times), gone)
        for kind in _RECORD_BYTES:
            for part in self.parts:
                records = getattr(part, kind)
                if self.size > limit and records:
                    self.size -= _size(kind, records)
                    setattr(part, kind, [])
                    self._give_up(kind, len(records), part.start_ns, part.start_ns + MINUTE_NS, gone)
        return gone

    def _give_up(self, kind: str, count: int, first_ns: int, last_ns: int, gone: Counter[str]) -> None:
        gone[kind] += count
        gap = self.gaps.get(kind)
        if gap is not None:
            first_ns, last_ns = min(first_ns, gap.first_ns), max(last_ns, gap.last_ns)
            count += gap.records
        self.gaps[kind] = Gap(self.now_ns, kind, first_ns, last_ns, count, TOO_SLOW)


def _size(kind: str, records: list[dict[str, Any]]) -> int:
    messages = sum(len(row["sip_message"]) for row in records) if kind == "sip" else 0
    return len(records) * _RECORD_BYTES[kind] + messages


class Writer:
    """A `MinuteSink`. Everything given to it waits for `hand_over`, which commits it with the next
    checkpoint.

    `figures` gives the agent's own figures of a minute part, `say` writes one line to the log.
    """

    def __init__(
        self,
        store: Store,
        totals: Totals,
        figures: Callable[[], dict[str, float]],
        say: Callable[[str], object],
        *,
        max_waiting: int = MAX_WAITING,
        health: Health | None = None,
    ) -> None:
        self._store = store
        self._totals = totals
        self._figures = figures
        self._say = say
        self._max_waiting = max_waiting
        self._health = health or Health(time.monotonic, say)
        self._rows: list[dict[str, Any]] = []
        self._parts: list[Summary] = []
        self._waiting = HandOver()
        self._changed = threading.Condition()  # guards what waits
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self.shed: Counter[str] = Counter()  # records by kind
        self.commit_seconds = 0.0
        self.checkpoint_bytes = 0
        self.checkpoint_ns = 0  # capture time of the newest checkpoint on disk

    @property
    def waiting(self) -> int:
        """Hand-overs that wait for the disk."""
        return self._waiting.hand_overs

    @property
    def has_minutes(self) -> bool:
        """Whether a minute part waits to be handed over."""
        return bool(self._parts)

    def start(self) -> None:
        self._thread.start()

    def messages(self, rows: list[dict[str, Any]]) -> None:
        self._rows += rows

    def commit(self, summary: Summary) -> None:
        self._totals.add(summary)
        self._parts.append(summary)

    def hand_over(self, image: bytes, now_ns: int, news: Sequence[dict[str, Any]] = ()) -> None:
        """Writes everything so far; `image` is the checkpoint taken after it (capture time `now_ns`).

        `news`: records of calls that the index should have before their minute closes.
        """
        rows, self._rows = self._rows, []
        parts, self._parts = self._parts, []
        with self._changed:
            self._waiting.add(rows, parts, list(news), image, now_ns)
            gone = self._waiting.shed(self._max_waiting)
            self._changed.notify()
        if gone:
            self.shed += gone
            what = ", ".join(f"{count} {kind}" for kind, count in gone.items())
            self._say(f"store: the disk is too slow; records given up: {what}")

    def stop(self) -> None:
        """Writes the waiting data, then ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        with self._health.thread("writer", WRITER_S) as sign:
            while (due := self._next(sign)) is not None:
                self._write(due)
                for notice in self._store.take_notices():
                    self._say(notice)

    def _next(self, sign: Callable[[], None]) -> HandOver | None:
        with self._changed:
            while not (self._waiting.hand_overs or self._stopping):
                sign()
                self._changed.wait(SIGN_S)
            sign()
            due, self._waiting = self._waiting, HandOver()
        return due if due.hand_overs else None

    def _write(self, due: HandOver) -> None:
        """One transaction. After a kill all of it is on the disk, or its source is in the checkpoint."""
        begun = time.monotonic()
        checkpoint = packed(due.image)
        seen: Counter[int] = Counter()
        for part in due.parts:
            part.become_part(self._store.next_part(part.start_ns) + seen[part.start_ns])
            part.agent = self._figures()
            seen[part.start_ns] += 1
        gaps = list(due.gaps.values())
        self._store.keep(due.parts, due.rows, checkpoint, gaps, due.news, now_ns=due.now_ns)
        self.checkpoint_bytes, self.checkpoint_ns = len(checkpoint), due.now_ns
        self.commit_seconds = time.monotonic() - begun
