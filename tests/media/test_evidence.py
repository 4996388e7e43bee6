from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from agent.media.evidence import KNOWN_NS, SourceEvidence
from agent.model.trust import Trust
from agent.model.units import SLOT_NS

T0 = 1_700_000_040_000_000_000
YEAR_NS = 365 * 86_400 * 10**9


def test_stamps_of_a_stream_that_lie_a_year_apart_are_looked_at_for_two_minutes() -> None:
    """A file's stamps choose how far its first and last packet lie apart."""
    asked: list[tuple[int, int]] = []
    here = ("10.0.0.1", 4000)
    named = SimpleNamespace(dst=here, trust=Trust.NAMED, first_ns=T0)
    stranger: Any = SimpleNamespace(dst=here, trust=Trust.UNKNOWN, first_ns=T0)
    found: Any = SimpleNamespace(few_at=lambda socket: [named, stranger])

    def paused(stream: object, start_ns: int, end_ns: int) -> bool:
        asked.append((start_ns, end_ns))
        return True

    def times(stream: object) -> Any:
        return T0 + YEAR_NS, 0

    sockets: Any = None
    assert SourceEvidence(sockets, found, times, paused).stands_in(stranger)
    assert KNOWN_NS // SLOT_NS <= len(asked) <= KNOWN_NS // SLOT_NS + 1
