"""Work that the engine itself refused, as intervals with a cause: a table of counters, read at a minute's
close.

Frames that the capture missed come as `CaptureDrop`, unreadable ones from the intake. These are the bounds: a
table that was full, a source above its limit. The lost messages of an evicted call are unknown; its counts so
far stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.model.events import Unseen
from agent.model.unseen import Cause, Sight

# Counter: (counts that it hides, cause, whether each one is a message that is missing, words for the line)
ROWS: dict[str, tuple[Sight, Cause, bool, str]] = {
    "sip_shed": (Sight.SIP, Cause.SHED, True, "SIP messages of sources above [limits] sip_budget"),
    "calls_evicted": (Sight.SIP_CALLS, Cause.EVICTED, False, "calls that were not up"),
    "legs_refused": (Sight.SIP_CALLS, Cause.REFUSED, True, "legs of one Call-ID"),
}
SILENCES = ("unseen_oversized", "unseen_shed")  # a message of a peer was dropped: its silence proves nothing


class Refusals:
    """Differences of counters since the last close."""

    def __init__(self, counters: Callable[[], Mapping[str, int]]) -> None:
        self._counters = counters
        self._reported: dict[str, int] = {}
        self._silences = 0

    def intervals(self, start_ns: int, end_ns: int) -> list[Unseen]:
        """The refusals since the last call, of the minute from `start_ns` to `end_ns`."""
        counters = self._counters()
        found = []
        for name, (sight, cause, is_message, words) in ROWS.items():
            count = counters.get(name, 0)
            new, self._reported[name] = count - self._reported.get(name, 0), count
            if new > 0:
                found.append(
                    Unseen(start_ns, end_ns, sight, cause, new if is_message else 0, detail=f"{new} {words}")
                )
        return found

    def silenced(self, counters: Mapping[str, int]) -> bool:
        """Whether a message of a peer that the vc answers was dropped since the last call."""
        count = sum(counters.get(name, 0) for name in SILENCES)
        before, self._silences = self._silences, count
        return count > before
