"""Round trips: sender reports that left the vc, paired with the blocks that answer them (RFC 3550 6.4.1)."""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct

from agent.media.plausible import AnswerClock, ClaimVerdict, judge_answer

MAX_REPORTS_KEPT = 16  # sender reports a pair; one comes every few seconds, so a minute of them
MAX_REPORTERS = 16  # of a pair; a flood of invented SSRCs pushes out the oldest
SAME_NS = 20_000_000  # one report that leaves twice in so short a time is one departure


class MetDeparture(Struct, frozen=True):
    """`rtt_us` is None unless the verdict is TRUE."""

    rtt_us: float | None
    verdict: ClaimVerdict


NO_TRIP = MetDeparture(None, ClaimVerdict.NONE)


class SentReports(Struct):
    """Sender reports that left one end for one peer: times by SSRC and stamp, and the newest of each SSRC.

    `last_ns`: when the last new one left.
    """

    left_ns: dict[int, int] = {}
    newest: dict[int, int] = {}
    stuck: set[int] = set()  # stamps that left again later
    clocks: dict[tuple[int, int], AnswerClock] = {}  # by reporter and the SSRC that it reports on
    last_ns: int = 0


class RoundTrips:
    """Sender reports that left the vc, to be found by their LSR (RFC 3550 6.4.1).

    Also receiver reference times and their LRR (RFC 3611 4.5), in an object of their own. A pair is any name
    of our end and the peer. Bounded by pairs, and by `forget`.
    """

    def __init__(self, max_pairs: int = 100_000) -> None:
        self._pairs: dict[Hashable, SentReports] = {}
        self._max_pairs = max_pairs

    def sent(self, pair: Hashable, ssrc: int, middle: int, stamp_ns: int) -> None:
        """A sender report of `ssrc` left; `middle` is its NTP stamp's middle 32 bits."""
        found = self._pairs.get(pair)
        if found is None:
            if len(self._pairs) >= self._max_pairs:
                del self._pairs[next(iter(self._pairs))]
            found = self._pairs[pair] = SentReports()
        key = ssrc << 32 | middle
        before_ns = found.left_ns.get(key)
        if before_ns is None:
            found.left_ns[key] = found.last_ns = stamp_ns
        elif stamp_ns - before_ns > SAME_NS:
            found.stuck.add(key)
        found.newest[ssrc] = middle
        if len(found.left_ns) > MAX_REPORTS_KEPT:
            oldest = next(iter(found.left_ns))
            del found.left_ns[oldest]
            found.stuck.discard(oldest)
            if found.newest.get(oldest >> 32) == oldest & 0xFFFF_FFFF:
                del found.newest[oldest >> 32]

    def met(
        self, pair: Hashable, ssrc: int, lsr: int, dlsr: int, stamp_ns: int, reporter: int = 0
    ) -> MetDeparture:
        """The round trip of a block that answers a sender report: A - LSR - DLSR (`dlsr` in 1/65536 s).

        -2 ms < RTT <= 0 counts as 0; other negatives and more than 10 s are no round trip. A false claim
        (media/plausible.py) is none, and the verdict says so.
        """
        found = self._pairs.get(pair) if lsr else None  # 0: no sender report has come to it yet
        key = ssrc << 32 | lsr
        departed_ns = found.left_ns.get(key) if found is not None else None
        if found is None or departed_ns is None:
            return NO_TRIP
        if key in found.stuck:
            return MetDeparture(None, ClaimVerdict.FALSE)
        clock = found.clocks.get((reporter, ssrc))
        if clock is None:
            if len(found.clocks) >= MAX_REPORTERS:
                del found.clocks[next(iter(found.clocks))]
            clock = found.clocks[reporter, ssrc] = AnswerClock()
        elapsed_ns, dlsr_ns = stamp_ns - departed_ns, dlsr * 1_000_000_000 // 65536
        verdict = judge_answer(clock, elapsed_ns, dlsr_ns, newest=found.newest.get(ssrc) == lsr)
        if verdict is not ClaimVerdict.TRUE:
            return MetDeparture(None, verdict)
        return MetDeparture(max(0, elapsed_ns - dlsr_ns) / 1000.0, verdict)

    def knows(self, pair: Hashable) -> bool:
        """Whether a report has left for that peer lately."""
        return pair in self._pairs

    def departed(self) -> list[tuple[Hashable, int]]:
        """All pairs, and when the last report left for each."""
        return [(pair, found.last_ns) for pair, found in self._pairs.items()]

    def recall(self, pairs: list[tuple[Hashable, int]]) -> None:
        """Knows the pairs of `departed` again; the reports themselves are lost."""
        for pair, last_ns in pairs:
            self._pairs[pair] = SentReports(last_ns=last_ns)

    def shift(self, shift_ns: int) -> None:
        """Moves all times: the clock was set."""
        if shift_ns:
            for found in self._pairs.values():
                found.last_ns += shift_ns
                for key in found.left_ns:
                    found.left_ns[key] += shift_ns

    def forget(self, before_ns: int) -> None:
        """Drops the pairs without a departure since then."""
        for pair in [pair for pair, found in self._pairs.items() if found.last_ns < before_ns]:
            del self._pairs[pair]

    def __len__(self) -> int:
        return len(self._pairs)
