# cython: language_level=3
"""The far end's view of one stream that leaves the vc, as its RTCP blocks tell it (RFC 3550 6.4)."""

from __future__ import annotations

from typing import NamedTuple

import cython
from msgspec import Struct

SLOTS = 6  # of a minute
MAX_JITTER_US = 10_000_000.0  # as for round trips: what claims more is no measurement


class AwayMinute:
    """What blocks told of one stream in one minute. `lost` None: no span is known.

    `slots`: by 10 s lost, and the largest jitter in ticks, each -1 where no block says it; None: as `lost`.
    """

    def __init__(
        self,
        lost: int | None = None,
        expected: int = 0,
        jitter_ticks: float = 0.0,
        blocks: int = 0,
        slots: list[tuple[int, int]] | None = None,
    ) -> None:
        self.lost = lost
        self.expected = expected
        self.jitter_ticks = jitter_ticks
        self.blocks = blocks
        self.slots = slots

    def note_slot(self, number: int, lost: int, ticks: int) -> None:
        """Add to a slot; -1: nothing is said."""
        if self.slots is None:
            self.slots = [(-1, -1)] * SLOTS
        before_lost, before_ticks = self.slots[number]
        if lost >= 0:
            lost += max(before_lost, 0)
        self.slots[number] = max(lost, before_lost), max(ticks, before_ticks)

    def reported(self, clock_rate: int) -> list[tuple[int, int]] | None:
        """By slot lost and jitter, microseconds."""
        if self.slots is None:
            return None
        most = MAX_JITTER_US * clock_rate / 1e6
        return [
            (lost, round(ticks * 1e6 / clock_rate) if clock_rate > 0 and 0 <= ticks <= most else -1)
            for lost, ticks in self.slots
        ]

    def jitter_us(self, clock_rate: cython.longlong) -> float | None:
        """The mean of the blocks' jitter, microseconds."""
        if not self.blocks or clock_rate <= 0:
            return None
        jitter_us: cython.double = self.jitter_ticks / self.blocks * 1e6 / clock_rate
        return jitter_us if jitter_us <= MAX_JITTER_US else None


class Counted(NamedTuple):
    """Our own view of a stream up to one number (RFC 3550 A.3); `unknown`: perhaps missed by the capture."""

    epoch: int
    expected: int
    received: int
    unknown: int


class Level(Struct):
    """Numbers from `first` to `last` of an epoch, counted from its start, over which our own loss stood."""

    epoch: int
    first: int
    last: int
    missing: int  # expected - received
    unknown: int


class Baseline(Struct):
    """The block before: who said it and when, what it said, and our own count up to its number."""

    stamp_ns: int
    reporter: int
    cumulative: int
    highest: int
    counted: Counted


class Hearing(Struct):
    """Whether a far end's highest number moves while packets leave."""

    said: tuple[int, ...] = ()  # its newest report: who, and the highest numbers
    still: int = 0  # new reports in a row in which it stood still while packets left
    still_ns: int = 0
    left: int = 0  # numbers of ours that had left at its newest report


class FarEndLoss(Struct):
    """The far end's view of one stream that leaves the vc."""

    base: Baseline | None = None
    baseline_used: bool = False  # a block was compared or refused: the stream's start is no baseline any more
    minutes: dict[int, AwayMinute] = {}
    levels: list[Level] = []  # where our own count stood, oldest first; of streams whose reports lie far back
    # What is doubted of its reports (media/plausible.py).
    counts_intervals: bool = False  # its cumulative loss is the last interval's
    pending: tuple[int, int] | None = None  # (lost, expected) of a span in which its count fell
    fraction_is_false: bool = False
    falls: int = 0  # of its count, that neither duplicates nor a new start explain
    refused: bool = False  # its count makes no sense: loss is unknown from there
    hearing: Hearing | None = None
