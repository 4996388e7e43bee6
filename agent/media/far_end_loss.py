"""Loss away from the vc: the far end's report blocks against our own count of packets that left (RFC 3550
6.4).

Between two consecutive blocks about the same stream it is the increase of the cumulative loss minus the
increase, over the same sequence span, of (expected - received) of that stream as it left the vc. This holds
where the SBC relays RTP and RTCP end to end (the block covers the whole path) and where it makes its own.

These blocks are not compared:

    repeated    the same highest number, or an older one: ignored
    reporter    another receiver counts for itself: its first block is a baseline
    reset       its count began anew, or cannot be one count with the block before: a baseline
    restart     the stream itself began anew (another epoch of ours): a baseline
    missed      the capture missed frames since the block before: null, and a baseline
    saturated   the 24 bits are full (RFC 3550 A.3: the count is clamped, it does not wrap): null
    interval    the count is of the last interval alone (media/plausible.py): it is the span's own loss
    twice       our own count has far more packets than numbers: the capture shows the stream twice, and how
                many of them left is not known

A block may refer far back: video has 300 packets a second, and the loop keeps the newest 64 numbers. Before
them a number is placed where our own loss stood still on both sides of it.
"""

from __future__ import annotations

from msgspec import Struct

from agent.media.plausible import Count, counted_as, denies
from agent.model.far_end_cy import AwayMinute, Baseline, Counted, FarEndLoss, Level
from agent.model.units import MINUTE_NS, SLOT_NS
from agent.wire.rtp.rtcp import ReportBlock

MISORDER = 3000  # a block whose highest lies no further back is an older one (RFC 3550 A.1 MAX_DROPOUT)
CUMULATIVE_MOST, CUMULATIVE_LEAST = 0x7F_FFFF, -0x80_0000
MAX_LEVELS = 16
MOST_RECEIVED = 1.5  # receptions a number, above which the capture shows a stream twice
MAX_FALLS = 2  # a count that falls, or denies its fraction, so often counts nothing


class Span(Struct, frozen=True):
    """Loss between two blocks, of `expected` numbers.

    Signed, because duplicates made after the vc lower it.
    """

    lost: int
    expected: int


def place(
    away: FarEndLoss, expected: int, back: int, edge: tuple[int, int, int, int] | None
) -> tuple[int, int, int, int] | None:
    """Our own count up to a number `back` behind our newest, older than the loop keeps; else None.

    `expected`: numbers up to our newest; `edge`: our count up to the oldest number that the loop keeps.
    """
    if edge is None:
        return None
    epoch, edge_expected, received, unknown = edge
    missing, number = edge_expected - received, expected - back
    levels = away.levels
    if not levels or levels[-1].epoch != epoch:
        levels.append(Level(epoch, 0, 0, 0, 0))
    newest = levels[-1]
    if (newest.missing, newest.unknown) == (missing, unknown):
        newest.last = edge_expected
    else:
        levels.append(Level(epoch, edge_expected, edge_expected, missing, unknown))
    del levels[:-MAX_LEVELS]
    for level in reversed(levels):
        if level.epoch == epoch and level.first <= number <= level.last:
            return epoch, number, number - level.missing, level.unknown
    return None


def take_block(
    away: FarEndLoss,
    stamp_ns: int,
    reporter: int,
    block: ReportBlock,
    counted: tuple[int, int, int, int] | None,
    *,
    first: bool,
    missed_ns: int,
    is_ours: bool = True,
    has_jitter: bool = True,
) -> Span | None:
    """Takes one block about the stream. Returns the span that it ends, None where that is unknown.

    `counted`: the stream as it left, up to the block's highest number; None where unknown. `first`: the first
    packet of the stream was seen leaving. `missed_ns`: when the capture last missed frames (0: never).
    `is_ours`: the highest number is one that left. `has_jitter`: its jitter can be true.
    """
    base = away.base
    if base is not None and base.reporter == reporter:
        if block.highest == base.highest:
            return None  # repeated, or nothing was received since
        # Nearest by the low 16 bits: extended cycles are the receiver's own (RFC 3550 A.1).
        advance = (block.highest - base.highest + 0x8000 & 0xFFFF) - 0x8000
        if -MISORDER < advance <= 0 and (counted is None or counted[1] <= base.counted.expected):
            return None  # repeated, or overtaken by a newer one
    if not is_ours:
        return None
    figures = _minute(away, stamp_ns)
    if has_jitter:
        figures.jitter_ticks += block.jitter
        figures.blocks += 1
        figures.note_slot(stamp_ns % MINUTE_NS // SLOT_NS, -1, block.jitter)
    if counted is None:
        return None  # about a number we cannot place; the next block covers its span
    ours = Counted(*counted)
    before, away.base = base, Baseline(stamp_ns, reporter, block.cumulative_lost, block.highest, ours)
    if block.cumulative_lost in (CUMULATIVE_MOST, CUMULATIVE_LEAST):
        away.base, away.baseline_used = None, True
        return None
    if before is not None:
        if missed_ns >= before.stamp_ns:
            return None
        return _span(away, before, away.base, block.fraction_lost, stamp_ns)
    was_used, away.baseline_used = away.baseline_used, True
    gap = ours.expected - ours.received
    if was_used or not first or ours.epoch or ours.unknown or block.cumulative_lost > ours.expected:
        return None
    if ours.received > MOST_RECEIVED * ours.expected:
        return None
    lost = block.cumulative_lost
    if counted_as(lost, lost, block.fraction_lost, ours.expected) is Count.NEITHER:
        away.fraction_is_false = True
    # Baseline 0: the first difference is floored, for the receiver may have begun after the first packet.
    return Span(max(0, block.cumulative_lost - gap), ours.expected)


def charge(away: FarEndLoss, stamp_ns: int, lost: int, expected: int, since_ns: int | None = None) -> None:
    """Charges a span to the minute in which its block was captured, evenly over the slots since then.

    `since_ns`: when the span began; None: with the block. The part before the minute goes to its first slot.
    """
    figures = _minute(away, stamp_ns)
    figures.lost = (figures.lost or 0) + lost
    figures.expected += expected
    at_ns = min(stamp_ns, stamp_ns if since_ns is None else since_ns)
    length_ns = max(1, stamp_ns - at_ns)
    start_ns = max(at_ns, stamp_ns // MINUTE_NS * MINUTE_NS)
    charged = 0
    for number in range(start_ns % MINUTE_NS // SLOT_NS, stamp_ns % MINUTE_NS // SLOT_NS + 1):
        end_ns = min(stamp_ns, stamp_ns // MINUTE_NS * MINUTE_NS + (number + 1) * SLOT_NS)
        due = lost * (end_ns - at_ns) // length_ns if end_ns < stamp_ns else lost
        figures.note_slot(number, due - charged, -1)
        charged = due


def _minute(away: FarEndLoss, stamp_ns: int) -> AwayMinute:
    minute = stamp_ns // MINUTE_NS * MINUTE_NS
    found = away.minutes.get(minute)
    if found is None:
        found = away.minutes[minute] = AwayMinute()
    return found


def _span(away: FarEndLoss, base: Baseline, now: Baseline, fraction: int, stamp_ns: int) -> Span | None:
    """The span between two blocks; None where they are not parts of one count."""
    ours, before = now.counted, base.counted
    if base.reporter != now.reporter or ours.epoch != before.epoch or ours.unknown != before.unknown:
        return None
    advance = ours.expected - before.expected
    if now.highest - base.highest != advance:
        return None  # the receiver's cycles began anew
    if ours.received - before.received > MOST_RECEIVED * advance:
        return None
    # A receiver that wraps what should be clamped is read modulo 2^24.
    increase = (now.cumulative - base.cumulative + 0x80_0000 & 0xFF_FFFF) - 0x80_0000
    missing = (ours.expected - ours.received) - (before.expected - before.received)
    counts = counted_as(increase, now.cumulative, fraction, advance)
    lost = increase - missing
    # A count that fell by more than the duplicates that left here, to no more than what this span alone lost
    # (its fraction, rounded down), is a new one, or counts intervals: the next block says which.
    fell = lost < 0 and increase < 0
    anew = fell and now.cumulative >= 0 and now.cumulative * 256 <= (fraction + 1) * advance
    alone = Span(now.cumulative - missing, advance)
    if counts is Count.TOTAL:
        away.counts_intervals, away.pending = False, None
    elif away.counts_intervals and 0 <= now.cumulative <= advance:
        return alone
    elif (counts is Count.INTERVAL and increase >= 0) or (anew and away.pending is not None):
        away.counts_intervals = True
        held, away.pending = away.pending or (0, 0), None
        return Span(alone.lost + held[0], advance + held[1])
    elif anew:
        away.pending = None if away.fraction_is_false else (alone.lost, advance)
        return None
    elif (fell and away.fraction_is_false) or denies(now.cumulative, fraction, advance):
        away.falls += 1
        if away.falls >= MAX_FALLS:
            refuse(away, stamp_ns)
    if counts is Count.NEITHER:
        away.fraction_is_false = True
    if away.refused or increase > advance or increase < -advance:
        return None  # more lost, or more received twice, than there was
    return Span(lost, advance)


def refuse(away: FarEndLoss, stamp_ns: int) -> None:
    """The far end's count makes no sense: its loss is unknown, for this whole minute too."""
    away.refused = True
    figures = _minute(away, stamp_ns)
    figures.lost, figures.expected = None, 0
    figures.slots = None
