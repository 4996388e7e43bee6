# cython: language_level=3
"""The far end's view of one stream that leaves the vc, from its RTCP report blocks (RFC 3550 6.4)."""

from __future__ import annotations

from typing import NamedTuple

import cython
from msgspec import Struct

from agent.model.units import MINUTE_NS, SLOT_NS

SLOTS = MINUTE_NS // SLOT_NS
MAX_JITTER_S = 1  # a step that is further off is a new time base and no sample: a longer claim is no jitter
MAX_JITTER_US = MAX_JITTER_S * 1_000_000.0


@cython.no_gc
@cython.cclass
class AwayMinute:
    """The report blocks of one stream in one minute. `lost` None: no span is known.

    `slots`: loss of each 10 s, then the largest jitter of each in ticks, -1 where no block says it; None: as
    `lost`.
    """

    def __init__(
        self,
        lost: int | None = None,
        expected: int = 0,
        jitter_ticks: float = 0.0,
        blocks: int = 0,
        slots: list[int] | None = None,
    ) -> None:
        self.lost = lost
        self.expected = expected
        self.jitter_ticks = jitter_ticks
        self.blocks = blocks
        self.slots = slots

    def note_slot(self, number: cython.int, lost: cython.longlong, ticks: cython.longlong) -> None:
        """Adds to a slot; -1 adds nothing."""
        before: cython.longlong
        if self.slots is None:
            self.slots = [-1] * (2 * SLOTS)
        slots: list[int] = self.slots
        if lost >= 0:
            before = slots[number]
            slots[number] = lost + max(before, 0)
        before = slots[SLOTS + number]
        if ticks > before:
            slots[SLOTS + number] = ticks

    def jitter_us(self, clock_rate: cython.longlong) -> float | None:
        """The mean of the blocks' jitter, microseconds."""
        if not self.blocks or clock_rate <= 0:
            return None
        jitter_us: cython.double = self.jitter_ticks / self.blocks * 1e6 / clock_rate
        return jitter_us if jitter_us <= MAX_JITTER_US else None


class Counted(NamedTuple):
    """Our own view of a stream up to one number (RFC 3550 A.3). `unknown`: perhaps missed by the capture."""

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
    """The report block before: its source and time, its figures, and our own count up to its number."""

    stamp_ns: int
    reporter: int
    cumulative: int
    highest: int
    counted: Counted


class Hearing(Struct):
    """Whether the highest number in a far end's reports moves while packets leave."""

    said: tuple[int, ...] = ()  # its newest report: its source, and the highest numbers
    still: int = 0  # new reports in a row in which it stood still while packets left
    still_ns: int = 0
    left: int = 0  # numbers of ours that had left at its newest report


class FarEndLoss(Struct):
    """The far end's view of one stream that leaves the vc."""

    base: Baseline | None = None
    # a block was compared or refused, so the stream's start is not the baseline any more
    baseline_used: bool = False
    minutes: dict[int, AwayMinute] = {}
    levels: list[Level] = []  # our own counts, oldest first, of streams whose reports refer far back
    # Doubts about its reports (media/plausible.py).
    counts_intervals: bool = False  # its cumulative loss is really the last interval's
    pending: tuple[int, int] | None = None  # (lost, expected) of a span in which its count fell
    fraction_is_false: bool = False
    falls: int = 0  # of its count; neither duplicates nor a new start explain it
    refused: bool = False  # its count makes no sense: loss is unknown from there
    hearing: Hearing | None = None
