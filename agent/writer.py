"""The thread that owns the disk: closed minutes, SIP messages and checkpoints go to the store in order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from agent.checkpoint import packed
from agent.sinks.prometheus import Totals
from agent.store import Store
from agent.summary.records import Summary


class Writer:
    """A `Keeper`: what it is given waits for `hand_over`, which commits it with the checkpoint after it.

    `figures` gives the agent's own figures of a minute part, `say` tells the operator.
    """

    def __init__(
        self,
        store: Store,
        totals: Totals,
        figures: Callable[[], dict[str, float]],
        say: Callable[[str], object],
    ) -> None:
        self._store = store
        self._totals = totals
        self._figures = figures
        self._say = say
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._rows: list[dict[str, Any]] = []
        self._summaries: list[Summary] = []
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self.commit_seconds = 0.0
        self.checkpoint_bytes = 0
        self.checkpoint_ns = 0  # capture time of the newest checkpoint on disk

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    @property
    def has_minutes(self) -> bool:
        """Whether a minute part waits to be committed."""
        return bool(self._summaries)

    def start(self) -> None:
        self._thread.start()

    def messages(self, rows: list[dict[str, Any]]) -> None:
        self._rows += rows

    def commit(self, summary: Summary) -> None:
        self._summaries.append(summary)

    def hand_over(self, image: bytes | None, now_ns: int) -> None:
        """Write everything so far; `image` is the checkpoint taken after it (capture time `now_ns`)."""
        rows, self._rows = self._rows, []
        summaries, self._summaries = self._summaries, []
        self._queue.put(lambda: self._write(rows, summaries, image, now_ns))

    def stop(self) -> None:
        """What is queued is still written; then the thread ends."""
        self._queue.put(None)
        self._thread.join()

    def _write(
        self, rows: list[dict[str, Any]], summaries: list[Summary], image: bytes | None, now_ns: int
    ) -> None:
        begun = time.monotonic()
        checkpoint = packed(image) if image is not None else None
        # Rows first: were they to follow their checkpoint, a kill in between would lose them.
        if rows or (checkpoint is not None and not summaries):
            self._store.save_checkpoint(checkpoint if not summaries else None, rows, now_ns=now_ns)
        for number, summary in enumerate(summaries, 1):
            summary.part = self._store.next_part(summary.start_ns)
            summary.agent = self._figures()
            self._store.commit(summary, checkpoint if number == len(summaries) else None)
            self._totals.add(summary)
        if checkpoint is not None:
            self.checkpoint_bytes, self.checkpoint_ns = len(checkpoint), now_ns
        self.commit_seconds = time.monotonic() - begun

    def _work(self) -> None:
        while (action := self._queue.get()) is not None:
            action()
            for notice in self._store.take_notices():
                self._say(notice)
