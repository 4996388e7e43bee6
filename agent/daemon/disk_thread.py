"""A thread that does disk work in order, so that the main thread never waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING = 32 << 20  # octets passed on and not yet written; beyond it work is dropped
STOP_S = 10.0


class DiskThread:
    """One thread at a time calls `do`."""

    def __init__(self, name: str) -> None:
        self.dropped = 0
        self._news = threading.Condition()
        self._work: deque[tuple[int, Callable[..., object], tuple[object, ...]]] = deque()
        self._waiting = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def do(self, work: Callable[..., object], *arguments: object) -> None:
        """Runs `work` soon, after all earlier work. An exception of `work` ends the thread."""
        size = sum(len(each) for each in arguments if isinstance(each, bytes))
        with self._news:
            if self._waiting + size > MAX_WAITING:
                self.dropped += 1
                return
            self._waiting += size
            self._work.append((size, work, arguments))
            self._news.notify_all()

    def stop(self) -> None:
        """Does the remaining work, then ends."""
        with self._news:
            self._stopped = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._work and not self._stopped:
                    self._news.wait()
                if not self._work:
                    return
                size, work, arguments = self._work.popleft()
                self._waiting -= size
            work(*arguments)
