"""RTCP: what the far end says of what we sent it (RFC 3550 6.4), and the round trip.

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

from msgspec import Struct

from agent.tracking.minute_cy import AwayMinute
from agent.tracking.sides import Socket
from agent.wire.rtcp import Block

MINUTE_NS = 60_000_000_000
MAX_RTT_NS = 10_000_000_000
COARSE_NS = 2_000_000  # clocks are coarse: an RTT above -2 ms counts as 0
MAX_REPORTS_KEPT = 16  # sender reports a socket pair; one comes every few seconds, so a minute of them
MISORDER = 3000  # a block whose highest lies no further back is an older one (RFC 3550 A.1 MAX_DROPOUT)
CUMULATIVE_MOST, CUMULATIVE_LEAST = 0x7F_FFFF, -0x80_0000


class Counted(NamedTuple):
    """Our own view of a stream up to one number (RFC 3550 A.3); `unknown`: perhaps missed by the capture."""

    epoch: int
    expected: int
    received: int
    unknown: int


class Span(NamedTuple):
    """Loss between two blocks: signed, for duplicates made after the vc lower it; of `expected` numbers."""

    lost: int
    expected: int


class Baseline(Struct):
    """The block before: who said it and when, what it said, and our own count up to its number."""

    stamp_ns: int
    reporter: int
    cumulative: int
    highest: int
    counted: Counted


class Away(Struct):
    """The far end's view of one stream that leaves the vc."""

    base: Baseline | None = None
    met: bool = False  # a block was compared or refused: the stream's start is no baseline any more
    minutes: dict[int, AwayMinute] = {}

    def block(
        self,
        stamp_ns: int,
        reporter: int,
        block: Block,
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
        base = self.base
        if base is not None and base.reporter == reporter:
            # Nearest by the low 16 bits: extended cycles are the receiver's own (RFC 3550 A.1).
            advance = (block.highest - base.highest + 0x8000 & 0xFFFF) - 0x8000
            if -MISORDER < advance <= 0 and (counted is None or counted[1] <= base.counted.expected):
                return None  # repeated, or overtaken by a newer one
        figures = self._minute(stamp_ns)
        figures.jitter_ticks += block.jitter
        figures.blocks += 1
        if counted is None:
            return None  # about a number we cannot place; the next block covers its span
        ours = Counted(*counted)
        before, self.base = base, Baseline(stamp_ns, reporter, block.cumulative_lost, block.highest, ours)
        if block.cumulative_lost in (CUMULATIVE_MOST, CUMULATIVE_LEAST):
            self.base, self.met = None, True
            return None
        if before is not None:
            return None if missed_ns >= before.stamp_ns else _span(before, self.base, block.fraction_lost)
        was_met, self.met = self.met, True
        gap = ours.expected - ours.received
        if was_met or not first or ours.epoch or ours.unknown or block.cumulative_lost > ours.expected:
            return None
        # Baseline 0: the first difference is floored, for the receiver may have begun after the first packet.
        return Span(max(0, block.cumulative_lost - gap), ours.expected)

    def charge(self, stamp_ns: int, lost: int, expected: int) -> None:
        """What a span comes to in the minute in which its block was captured."""
        figures = self._minute(stamp_ns)
        figures.lost = (figures.lost or 0) + lost
        figures.expected += expected

    def _minute(self, stamp_ns: int) -> AwayMinute:
        minute = stamp_ns // MINUTE_NS * MINUTE_NS
        found = self.minutes.get(minute)
        if found is None:
            found = self.minutes[minute] = AwayMinute()
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


class Departures:
    """Sender reports that left the vc, to be met by their LSR (RFC 3550 6.4.1).

    Also receiver reference times and their LRR (RFC 3611 4.5), in an object of their own. Bounded by socket
    pairs, and `forget`.
    """

    def __init__(self, max_pairs: int = 100_000) -> None:
        self._sent: dict[tuple[Socket, str], dict[int, int]] = {}
        self._max_pairs = max_pairs

    def sent(self, local: Socket, peer: str, ssrc: int, middle: int, stamp_ns: int) -> None:
        """A sender report of `ssrc` left `local` for `peer`; `middle` is its NTP stamp's middle 32 bits."""
        pair = self._sent.get((local, peer))
        if pair is None:
            if len(self._sent) >= self._max_pairs:
                del self._sent[next(iter(self._sent))]
            pair = self._sent[local, peer] = {}
        pair.setdefault(ssrc << 32 | middle, stamp_ns)
        if len(pair) > MAX_REPORTS_KEPT:
            del pair[next(iter(pair))]

    def round_trip_us(
        self, local: Socket, peer: str, ssrc: int, lsr: int, dlsr: int, stamp_ns: int
    ) -> float | None:
        """RTT of a block from `peer` that reached `local`: A - LSR - DLSR; None where it cannot be told.

        `dlsr` in 1/65536 s. -2 ms < RTT <= 0 counts as 0; other negatives and more than 10 s are dropped.
        """
        pair = self._sent.get((local, peer)) if lsr else None  # 0: no sender report has come to it yet
        departed_ns = pair.get(ssrc << 32 | lsr) if pair else None
        if departed_ns is None:
            return None
        rtt_ns = stamp_ns - departed_ns - dlsr * 1_000_000_000 // 65536
        if rtt_ns <= -COARSE_NS or rtt_ns > MAX_RTT_NS:
            return None
        return max(0, rtt_ns) / 1000.0

    def shift(self, shift_ns: int) -> None:
        """The clock was set."""
        if shift_ns:
            for pair in self._sent.values():
                for key in pair:
                    pair[key] += shift_ns

    def forget(self, before_ns: int) -> None:
        """Drop the pairs from which nothing has left since."""
        for key in [key for key, pair in self._sent.items() if next(reversed(pair.values())) < before_ns]:
            del self._sent[key]

    def __len__(self) -> int:
        return len(self._sent)
