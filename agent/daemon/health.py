"""Signs of life of every thread: the ring is read, minutes close, the store is written, sinks run.

A thread gives a sign each time round its loop, and waits no longer than it announced. Health and systemd's
watchdog ask for all of them: a process with a dead writer goes on watching, but keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_S = 10.0  # the ring is read several times a second, even without traffic
CAPTURE_S = 20.0  # a capture thread stands still while the engine closes a minute or is reloaded
WRITER_S = 60.0  # a transaction on a slow disk
SINK_S = 120.0  # connecting to each address of a name, sending, and the whole of an answer
OVERDUE_NS = 120_000_000_000  # a minute's close may wait behind a stopped machine, but not for ever


class Health:
    """Alive: every thread gave its sign and minutes close. `monotonic` gives seconds; `say` takes a line."""

    def __init__(self, monotonic: Callable[[], float], say: Callable[[str], object] = str) -> None:
        self._monotonic = monotonic
        self._say = say
        self._passed_at: float | None = None
        self._overdue_ns = 0
        # by thread: the time of its last sign, the longest allowed silence
        self._signs: dict[str, tuple[float, float]] = {}
        self._ended: dict[str, str] = {}  # threads that failed, and why
        self.away: list[str] = []  # interfaces that are down, removed or without carrier

    def passed(self, overdue_ns: int) -> None:
        """The main loop went round; `overdue_ns` is the delay of a due minute's close."""
        self._passed_at = self._monotonic()
        self._overdue_ns = overdue_ns

    @contextmanager
    def thread(self, name: str, within_s: float) -> Iterator[Callable[[], None]]:
        """Runs a thread and passes it its sign-of-life function.

        An exception ends the thread, and is reported.
        """

        def sign() -> None:
            self._signs[name] = self._monotonic(), within_s

        sign()
        try:
            yield sign
        except Exception as error:
            self._ended[name] = f"{type(error).__name__}: {error}"
            self._say(f"thread {name} ended: {self._ended[name]}")
        finally:
            del self._signs[name]

    def well(self) -> tuple[bool, str]:
        for name, why in self._ended.copy().items():
            return False, f"thread {name} ended: {why}"
        now = self._monotonic()
        for name, (at, within_s) in self._signs.copy().items():
            if now - at > within_s:
                return False, f"thread {name} gave its last sign {now - at:.0f} s ago"
        if self._passed_at is None:
            return True, "starting"
        silent = now - self._passed_at
        if silent > SILENT_S:
            return False, f"the ring was last read {silent:.0f} s ago"
        if self._overdue_ns > OVERDUE_NS:
            return False, f"a minute close is {self._overdue_ns / 1e9:.0f} s overdue"
        return True, "ok"

    def ready(self) -> tuple[bool, str]:
        if self._passed_at is None:
            return False, "not watching yet"
        if self.away:
            return False, f"nothing is captured on {', '.join(self.away)}: down, gone or without carrier"
        return self.well()
