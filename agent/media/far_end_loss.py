"""Loss away from the vc: the far end's blocks against our own count of what left (RFC 3550 6.4).

Loss away from the vc, between two consecutive blocks about the same stream: the increase of the cumulative
loss minus the increase, over the same sequence span, of (expected - received) of that stream as it left the
vc. This holds where the SBC relays RTP and RTCP end to end (the block covers the whole path) and where it
makes its own.

What a block may not be compared with:

    repeated    the same highest number, or an older one: ignored
    reporter    another receiver counts for itself: its first block is a baseline
    reset       its count began anew, or cannot be one count with the block before: a baseline
    restart     the stream itself began anew (another epoch of ours): a baseline
    missed      the capture missed frames since the block before: null, and a baseline
    saturated   the 24 bits are full (RFC 3550 A.3: the count is clamped, it does not wrap): null
"""

from __future__ import annotations

from typing import NamedTuple

from agent.model.far_end_cy import AwayMinute, Baseline, Counted, FarEndLoss
from agent.model.units import MINUTE_NS
from agent.wire.rtp.rtcp import ReportBlock

MISORDER = 3000  # a block whose highest lies no further back is an older one (RFC 3550 A.1 MAX_DROPOUT)
CUMULATIVE_MOST, CUMULATIVE_LEAST = 0x7F_FFFF, -0x80_0000


class Span(NamedTuple):
    """Loss between two blocks: signed, for duplicates made after the vc lower it; of `expected` numbers."""

    lost: int
    expected: int


def take_block(
    away: FarEndLoss,
    stamp_ns: int,
    reporter: int,
    block: ReportBlock,
    counted: tuple[int, int, int, int] | None,
    *,
    first: bool,
    missed_ns: int,
) -> Span | None:
    """Take one block about the stream; the span that it ends, None where that is not known.

    `counted`: the stream as it left, up to the block's highest number; None where that cannot be told.
    `first`: the first packet of the stream was seen leaving. `missed_ns`: when the capture last missed
    frames (0: never).
    """
    base = away.base
    if base is not None and base.reporter == reporter:
        # Nearest by the low 16 bits: extended cycles are the receiver's own (RFC 3550 A.1).
        advance = (block.highest - base.highest + 0x8000 & 0xFFFF) - 0x8000
        if -MISORDER < advance <= 0 and (counted is None or counted[1] <= base.counted.expected):
            return None  # repeated, or overtaken by a newer one
    figures = _minute(away, stamp_ns)
    figures.jitter_ticks += block.jitter
    figures.blocks += 1
    if counted is None:
        return None  # about a number we cannot place; the next block covers its span
    ours = Counted(*counted)
    before, away.base = base, Baseline(stamp_ns, reporter, block.cumulative_lost, block.highest, ours)
    if block.cumulative_lost in (CUMULATIVE_MOST, CUMULATIVE_LEAST):
        away.base, away.baseline_used = None, True
        return None
    if before is not None:
        return None if missed_ns >= before.stamp_ns else _span(before, away.base, block.fraction_lost)
    was_used, away.baseline_used = away.baseline_used, True
    gap = ours.expected - ours.received
    if was_used or not first or ours.epoch or ours.unknown or block.cumulative_lost > ours.expected:
        return None
    # Baseline 0: the first difference is floored, for the receiver may have begun after the first packet.
    return Span(max(0, block.cumulative_lost - gap), ours.expected)


def charge(away: FarEndLoss, stamp_ns: int, lost: int, expected: int) -> None:
    """What a span comes to in the minute in which its block was captured."""
    figures = _minute(away, stamp_ns)
    figures.lost = (figures.lost or 0) + lost
    figures.expected += expected


def _minute(away: FarEndLoss, stamp_ns: int) -> AwayMinute:
    minute = stamp_ns // MINUTE_NS * MINUTE_NS
    found = away.minutes.get(minute)
    if found is None:
        found = away.minutes[minute] = AwayMinute()
    return found


def _span(base: Baseline, now: Baseline, fraction: int) -> Span | None:
    """The span between two blocks; None where they are not parts of one count."""
    ours, before = now.counted, base.counted
    if base.reporter != now.reporter or ours.epoch != before.epoch or ours.unknown != before.unknown:
        return None
    advance = ours.expected - before.expected
    if now.highest - base.highest != advance:
        return None  # the receiver's cycles began anew
    # A receiver that wraps what should be clamped is read modulo 2^24.
    increase = (now.cumulative - base.cumulative + 0x80_0000 & 0xFF_FFFF) - 0x80_0000
    if increase > advance or increase < -advance:
        return None  # more lost, or more received twice, than there was
    lost = increase - ((ours.expected - ours.received) - (before.expected - before.received))
    # A count that fell by more than the duplicates that left here, to no more than what this span alone lost
    # (its fraction, rounded down), is a new one.
    if lost < 0 and increase < 0 <= now.cumulative and now.cumulative * 256 <= (fraction + 1) * advance:
        return None
    return Span(lost, advance)
