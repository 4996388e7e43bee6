"""Round trips: sender reports that left the vc, met by the blocks that answer them (RFC 3550 6.4.1)."""

from __future__ import annotations

from agent.model.sides import Socket

MAX_RTT_NS = 10_000_000_000
COARSE_NS = 2_000_000  # clocks are coarse: an RTT above -2 ms counts as 0
MAX_REPORTS_KEPT = 16  # sender reports a socket pair; one comes every few seconds, so a minute of them


class RoundTrips:
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
