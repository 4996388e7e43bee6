"""Signs of life: the ring is read, and minutes close."""

from __future__ import annotations

from collections.abc import Callable

SILENT_S = 10.0  # the ring is read several times a second, traffic or not
OVERDUE_NS = 120_000_000_000  # a minute close may wait behind a stopped machine, not for ever


class Health:
    """Alive: the ring is read and minutes close. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._passed_at: float | None = None
        self._overdue_ns = 0

    def passed(self, overdue_ns: int) -> None:
        """The loop went round; `overdue_ns` is how late a due minute close is."""
        self._passed_at = self._monotonic()
        self._overdue_ns = overdue_ns

    def well(self) -> tuple[bool, str]:
        if self._passed_at is None:
            return True, "starting"
        silent = self._monotonic() - self._passed_at
        if silent > SILENT_S:
            return False, f"the ring was last read {silent:.0f} s ago"
        if self._overdue_ns > OVERDUE_NS:
            return False, f"a minute close is {self._overdue_ns / 1e9:.0f} s overdue"
        return True, "ok"

    def ready(self) -> tuple[bool, str]:
        if self._passed_at is None:
            return False, "not watching yet"
        return self.well()
