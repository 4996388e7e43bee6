"""The spans of capture time that were not watched. Silence in them proves nothing."""

from __future__ import annotations

from collections.abc import Iterable

MAX_SPANS = 64


class Missed:
    """Spans (start_ns, end_ns), in the order of the calls of `add`.

    There are at most `MAX_SPANS`. Then the two oldest become one, which at worst makes more time unknown.
    """

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self.spans: list[tuple[int, int]] = list(spans)

    def add(self, start_ns: int, end_ns: int) -> None:
        spans = self.spans
        if spans and spans[-1][0] <= start_ns <= spans[-1][1]:  # the span before goes on
            spans[-1] = spans[-1][0], max(spans[-1][1], end_ns)
            return
        if len(spans) == MAX_SPANS:
            (first, first_end), (second, second_end) = spans[:2]
            spans[:2] = [(min(first, second), max(first_end, second_end))]
        spans.append((start_ns, end_ns))

    def touches(self, start_ns: int, end_ns: int) -> bool:
        """Whether any moment from `start_ns` to `end_ns` was not watched."""
        return any(start <= end_ns and end >= start_ns for start, end in self.spans)

    def within_ns(self, start_ns: int, end_ns: int) -> int:
        """How much of the time from `start_ns` to `end_ns` was not watched."""
        reached_ns, total_ns = start_ns, 0
        for start, end in sorted(self.spans):
            start, end = max(start, reached_ns), min(end, end_ns)
            if end > start:
                total_ns += end - start
                reached_ns = end
        return total_ns

    def shift(self, shift_ns: int) -> None:
        self.spans = [(start + shift_ns, end + shift_ns) for start, end in self.spans]
