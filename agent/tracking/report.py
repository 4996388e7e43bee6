"""RTCP: what the far end says of what we sent it (RFC 3550 6.4), and the round trip.

Loss away from the vc, between two consecutive blocks about the same stream: the increase of the cumulative
loss minus the increase, over the same sequence span, of (expected - received) of that stream as it left the
vc. This holds where the SBC relays RTP and RTCP end to end (the block covers the whole path) and where it
makes its own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.tracking.sides import Socket

MINUTE_NS = 60_000_000_000
MAX_RTT_NS = 10_000_000_000
COARSE_NS = 2_000_000  # clocks are coarse: an RTT above -2 ms counts as 0
MAX_REPORTS_KEPT = 32  # sender reports a socket pair; one comes every few seconds, so minutes of them
SEQUENCE_BACK = 1 << 16  # an extended highest that falls further back than this is a reset


@dataclass(slots=True)
class AwayMinute:
    """What blocks told of one stream in one minute. `lost` None: no span is known."""

    lost: int | None = None
    expected: int = 0
    jitter_ticks: float = 0.0
    blocks: int = 0

    @property
    def ratio(self) -> float | None:
        if self.lost is None:
            return None
        return min(1.0, self.lost / self.expected) if self.expected > 0 else 0.0

    def jitter_us(self, clock_rate: int) -> float | None:
        """The mean of the blocks' jitter, microseconds."""
        if not self.blocks or clock_rate <= 0:
            return None
        return self.jitter_ticks / self.blocks * 1e6 / clock_rate


@dataclass(slots=True)
class Baseline:
    """The block before: cumulative loss and highest as reported, our own gap up to there."""

    stamp_ns: int
    cumulative: int
    highest: int
    epoch: int
    gap: int
    unknown: int


@dataclass(slots=True)
class Away:
    """The far end's view of one stream that leaves the vc."""

    base: Baseline | None = None
    balance: int = 0  # a negative difference waits here; what is published is never below 0
    minutes: dict[int, AwayMinute] = field(default_factory=dict)
    cut_off: bool = False  # a span could not be told: the stream's start is no baseline any more

    def block(
        self,
        stamp_ns: int,
        cumulative: int,
        highest: int,
        jitter: int,
        counted: tuple[int, int, int, int] | None,
        *,
        whole: bool,
        missed_ns: int,
    ) -> None:
        """Take one block about the stream.

        `cumulative` is signed, `highest` the extended highest sequence number, `jitter` in ticks. `counted`
        is (epoch, expected, received, unknown) of the stream as it left, up to `highest` (RFC 3550 A.3),
        None where our window has moved on. `whole`: the stream was watched from its first packet. `missed_ns`:
        when the capture last missed frames (0: never).
        """
        minute = stamp_ns // MINUTE_NS * MINUTE_NS
        base = self.base
        if base is not None:
            advance = highest - base.highest
            if -SEQUENCE_BACK < advance <= 0:
                return  # repeated, or overtaken by a newer one
            if advance <= -SEQUENCE_BACK:
                base = None  # the receiver began again
                whole = False
        figures = self.minutes.setdefault(minute, AwayMinute())
        figures.jitter_ticks += jitter
        figures.blocks += 1
        if counted is None:
            self.base = None
            self.cut_off = True
            return
        epoch, expected, received, unknown = counted
        gap = expected - received
        now = Baseline(stamp_ns, cumulative, highest, epoch, gap, unknown)
        if base is None and whole and not self.cut_off and not unknown:
            lost = cumulative - gap
            self._charge(figures, max(0, lost), expected)
        elif base is not None and base.epoch == epoch and base.unknown == unknown and missed_ns < base.stamp_ns:
            self._charge(figures, (cumulative - base.cumulative) - (gap - base.gap), highest - base.highest)
        self.base = now

    def _charge(self, figures: AwayMinute, lost: int, expected: int) -> None:
        self.balance += lost
        published = max(0, self.balance)
        self.balance -= published
        figures.lost = (figures.lost or 0) + published
        figures.expected += expected


class Departures:
    """Sender reports that left the vc, to be met by their LSR (RFC 3550 6.4.1). Bounded by socket pairs."""

    def __init__(self, max_pairs: int = 100_000) -> None:
        self._sent: OrderedDict[tuple[Socket, str], OrderedDict[tuple[int, int], int]] = OrderedDict()
        self._max_pairs = max_pairs

    def sent(self, local: Socket, peer: str, ssrc: int, middle: int, stamp_ns: int) -> None:
        """A sender report of `ssrc` left `local` for `peer`; `middle` is its NTP stamp's middle 32 bits."""
        pair = self._sent.get((local, peer))
        if pair is None:
            if len(self._sent) >= self._max_pairs:
                self._sent.popitem(last=False)
            pair = self._sent[local, peer] = OrderedDict()
        pair.setdefault((ssrc, middle), stamp_ns)
        if len(pair) > MAX_REPORTS_KEPT:
            pair.popitem(last=False)

    def round_trip_us(
        self, local: Socket, peer: str, ssrc: int, lsr: int, dlsr: int, stamp_ns: int
    ) -> float | None:
        """RTT of a block from `peer` that reached `local`: A - LSR - DLSR; None where it cannot be told.

        `dlsr` in 1/65536 s. -2 ms < RTT <= 0 counts as 0; other negatives and more than 10 s are dropped.
        """
        if lsr == 0:
            return None
        departed_ns = self._sent.get((local, peer), {}).get((ssrc, lsr))
        if departed_ns is None:
            return None
        rtt_ns = stamp_ns - departed_ns - dlsr * 1_000_000_000 // 65536
        if rtt_ns <= -COARSE_NS or rtt_ns > MAX_RTT_NS:
            return None
        return max(0, rtt_ns) / 1000.0
