"""The one account of unseen traffic: intervals with causes, by minute, and the counts left unknown.

Two kinds of cause (docs/decisions/0064). Frames that were *met and not read* hold calls or media: a count of
0 is unknown beside any of them, and a count that they may make wrong by more than `NEGLIGIBLE` is unknown
too. Frames that were *never met* (a full ring, time not watched) lower `coverage`; a count stays a lower
bound, and a 0 is unknown where more than `NEGLIGIBLE` of the host's frames were missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from agent.model.events import Unseen
from agent.model.sides import Connector
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.summary.catalog import CALLS, HIDES, MEDIA, Metric
from agent.summary.records import ConnectorMinute, UnseenSpan

NEGLIGIBLE = 0.01  # share of the traffic that a count may lack
MAX_MINUTES = 1_440  # marked by one interval; a longer one marks its first day
# Met and not read; the other causes say that frames were never met.
NOT_READ = frozenset(
    {
        Cause.SNAP_LENGTH, Cause.TLS, Cause.FRAMING, Cause.FRAGMENTS, Cause.ORPHAN_MEDIA,
        Cause.IPSEC, Cause.TURN, Cause.OVERSIZED, Cause.MEDIA_ELSEWHERE, Cause.SIGNALLING_ELSEWHERE,
        Cause.ONE_DIRECTION, Cause.CLAIMS_MISSED,
    }
)  # fmt: skip
# The counts of these are no packets of calls, or may be none: only a 0 is unknown beside them.
_ELSEWHERE = frozenset({Cause.MEDIA_ELSEWHERE, Cause.SIGNALLING_ELSEWHERE, Cause.ONE_DIRECTION, Cause.IPSEC})
DOUBT = 1e-9  # the share that these stand for: a 0 beside them is unknown
# (what happened, what to do), after a number or "some".
ADVICE: dict[Cause, tuple[str, str]] = {
    Cause.SNAP_LENGTH: (
        "packets of SIP or media were cut by the capture's snap length",
        "capture whole packets (tcpdump -s 0)",
    ),
    Cause.TLS: (
        "packets of SIP inside TLS could not be read",
        "give the session keys (--keylog), or capture where the SIP is plain",
    ),
    Cause.FRAMING: (
        "packets of a SIP connection had a framing that is not understood",
        "capture the connection from its beginning, or where the SIP is plain",
    ),
    Cause.IPSEC: (
        "packets of IPsec (ESP) between the vc and another host could not be read",
        "capture behind the tunnel, where the packets are plain",
    ),
    Cause.TURN: (
        "packets of media inside TURN could not be read",
        "capture between the TURN server and the vc's media",
    ),
    Cause.FRAGMENTS: ("IP fragments never became whole", "capture where all fragments of a datagram pass"),
    Cause.ORPHAN_MEDIA: (
        "RTP packets to or from the vc belong to no call that is seen here",
        "capture the signalling too, or look for who sends them (`sbcwatch streams`)",
    ),
    Cause.MEDIA_ELSEWHERE: (
        "answered calls, no media of theirs seen on this host",
        "capture where their media passes (the relay's host), or name its addresses under [vc] addresses",
    ),
    Cause.SIGNALLING_ELSEWHERE: (
        "minutes had media of calls whose SIP does not pass this host",
        "capture where their SIP passes (the proxy's host), or name its addresses under [vc] addresses",
    ),
    Cause.ONE_DIRECTION: (
        "minutes had only one direction of the vc's traffic",
        "capture both: a mirror port has rx and tx, and answers may leave through another interface",
    ),
    Cause.CLAIMS_MISSED: (
        "times claims of other hosts were missed",
        "look at the board (`[fleet] board`) and at the way to it",
    ),
    Cause.SEEN_TWICE: (
        "calls are seen by another host too, which counts them",
        "let one host alone capture this traffic",
    ),
    Cause.CAPTURE_DROPS: ("frames were missed by the capture", "raise [capture] ring_mb, or give it CPU"),
    Cause.INTERFACE_DOWN: ("times an interface was down", "look at its link"),
    Cause.NOT_WATCHED: ("times nobody watched", "look for what stopped the capture or the host"),
    Cause.REFUSED: ("entries found a full table", "raise [limits] max_memory_mb"),
    Cause.EVICTED: ("entries were pushed out of a full table", "raise [limits] max_memory_mb"),
    Cause.SHED: ("packets were left out because the host could not follow", "look at the host's load"),
    Cause.OVERSIZED: ("messages were longer than what is read", "look for who sends them"),
}  # fmt: skip

# Never met, and not by a table's bound: nobody knows what these frames were.
_MISSED = frozenset(
    {Cause.CAPTURE_DROPS, Cause.INTERFACE_DOWN, Cause.NOT_WATCHED, Cause.SHED, Cause.SNAP_LENGTH}
)


def missed_spans(start_ns: int, minute: ConnectorMinute) -> list[UnseenSpan]:
    """The missed spans of a connector's minute, for judging one call of it."""
    spans = []
    for because in minute.unknown_because:
        if because["cause"] in _MISSED:
            count, words = because["count"], ADVICE[Cause(because["cause"])][0]
            kind = "sip" if because["sight"].startswith("sip") else "capture"
            said = f"{'some' if count is None else count} {words}"
            spans.append(UnseenSpan(start_ns, start_ns + MINUTE_NS, kind, said))
    return spans


# (sight, cause, connector or None: anybody's, media direction or "": any)
Key = tuple[str, str, Connector | None, str]
Mark = list[int]  # frames, how many times nobody could count them, nanoseconds
Marks = dict[Key, Mark]


class CountedTraffic(Struct):
    """The traffic of one minute, to judge by: SIP responses and RTP packets, by direction."""

    responses: int = 0
    packets: dict[str, int] = {}

    def of(self, sights: frozenset[Sight], direction: str) -> int:
        media = self.packets.get(direction, 0) if direction else sum(self.packets.values())
        return (self.responses if CALLS in sights else 0) + (media if MEDIA in sights else 0)


class UnseenTotals:
    """Adds intervals to the minutes that they touch; totals by cause since the start."""

    def __init__(self) -> None:
        self.counts: Counter[Cause] = Counter()
        self.intervals: Counter[Cause] = Counter()
        self._details: dict[Cause, str] = {}
        self._reported: set[Cause] = set()

    def note(self, event: Unseen) -> None:
        self.counts[event.cause] += event.count or 0
        self.intervals[event.cause] += 1
        if event.detail:
            self._details[event.cause] = event.detail

    def counters(self) -> dict[str, int]:
        """Frames, and intervals, by cause."""
        return {f"{cause}_frames": count for cause, count in sorted(self.counts.items())} | {
            f"{cause}_intervals": count for cause, count in sorted(self.intervals.items())
        }

    def lines(self) -> list[str]:
        """One line a cause, with the event and the remedy, for causes not reported so far."""
        causes = [cause for cause in self.intervals if cause not in self._reported]
        self._reported.update(causes)
        return [self._line(cause) for cause in causes]

    def _line(self, cause: Cause) -> str:
        happened, advice = ADVICE[cause]
        detail = self._details.get(cause)
        of = f" ({detail})" if detail else ""
        return f"{self.counts[cause] or 'some'} {happened}{of}, so counts of that time are unknown: {advice}"


def spread(event: Unseen, oldest_ns: int) -> Iterator[tuple[int, int, int]]:
    """(minute's time, frames, nanoseconds) of each open minute that an interval touches.

    Frames are shared by time, the rest of the division to the first minute: they add up to the event's.
    """
    start_ns, until_ns = event.stamp_ns, max(event.stamp_ns, event.until_ns)
    count = event.count or 0
    first = start_ns // MINUTE_NS
    last = min(max(first, (until_ns - 1) // MINUTE_NS), first + MAX_MINUTES - 1)
    spans = [
        (max(start_ns, minute * MINUTE_NS), min(until_ns, (minute + 1) * MINUTE_NS))
        for minute in range(first, last + 1)
    ]
    whole_ns = sum(end - begin for begin, end in spans)
    shares = [count * (end - begin) // whole_ns if whole_ns else 0 for begin, end in spans]
    shares[0] += count - sum(shares)
    for (begin, end), share in zip(spans, shares, strict=True):
        yield max(begin, oldest_ns), share, max(0, end - begin)


def mark(marks: Marks, key: Key, count: int | None, length_ns: int) -> None:
    """Notes one interval in the minute of `marks`. `count` None: unknown."""
    found = marks.setdefault(key, [0, 0, 0])
    found[0] += count or 0
    found[1] += count is None
    found[2] += length_ns


class View:
    """The marks of one minute that concern one connector."""

    def __init__(self, marks: Marks, connector: Connector, own: CountedTraffic, host: CountedTraffic) -> None:
        """`own`: the connector's traffic; `host`: all traffic."""
        self._marks = {key: marked for key, marked in marks.items() if key[2] in (None, connector)}
        self._own = own
        self._host = host
        self._shares: dict[tuple[Sight, str], tuple[float, float]] = {}  # 43 metrics ask for a dozen

    def value(self, metric: Metric, value: int | None) -> int | None:
        """A count for publishing: None where unseen traffic leaves it unknown."""
        if value is None or not self._marks:
            return value
        not_read, not_met = self.shares(metric.needs, metric.of)
        if not_read > NEGLIGIBLE or (value == 0 and not_read > 0):
            return None
        # A gauge is of the minute's end, which was watched.
        if value == 0 and not_met > NEGLIGIBLE and metric.kind != "gauge":
            return None
        return value

    def hides(self, metric: Metric) -> bool:
        """Whether traffic that a count of `metric` needs was seen and not read."""
        return bool(self._marks) and self.shares(metric.needs, metric.of)[0] > 0

    def is_anothers(self, metric: Metric) -> bool:
        """Whether another host counts what `metric` needs: two hosts' figures would add up to a wrong one."""
        return bool(self._marks) and any(
            cause == Cause.SEEN_TWICE and metric.needs in HIDES[Sight(sight)]
            for sight, cause, *_ in self._marks
        )

    def shares(self, needs: Sight, of: str) -> tuple[float, float]:
        """Of the traffic that a figure needs: the share seen and not read, and the share never seen."""
        known = self._shares.get((needs, of))
        if known is None:
            known = self._shares[needs, of] = self._share(needs, of)
        return known

    def _share(self, needs: Sight, of: str) -> tuple[float, float]:
        not_read = not_met = 0.0
        for (sight, cause, _, direction), (count, uncounted, length_ns) in self._marks.items():
            hidden = HIDES[Sight(sight)]
            if cause == Cause.SEEN_TWICE or needs not in hidden or (direction and direction != of):
                continue
            if cause in _ELSEWHERE:
                not_read += DOUBT
            elif cause in NOT_READ:
                seen = self._own.of(hidden, of if needs == MEDIA else "")
                not_read += 1.0 if uncounted else count / (count + seen) if count else 0.0
            else:
                part = count / (count + self._host.of(hidden, "")) if count else 0.0
                not_met += max(part, length_ns / MINUTE_NS if uncounted else 0.0)
        return min(1.0, not_read), min(1.0, not_met)

    def coverage(self, direction: str, known: float | None) -> float | None:
        """`known`: the share of the packets seen that belong to streams of known loss."""
        if known is None or not self._marks:
            return known
        not_read, not_met = self.shares(MEDIA, direction)
        return round(known * (1.0 - not_read) * (1.0 - not_met), 6)

    def because(self) -> list[dict[str, Any]]:
        """`unknown_because`: cause, the sight lost, media direction where it is one's, frames or None."""
        return [
            {
                "cause": cause,
                "sight": sight,
                "direction": direction or None,
                "count": None if uncounted and not count else count,
            }
            for (sight, cause, _, direction), (count, uncounted, _) in sorted(
                self._marks.items(), key=lambda item: (item[0][1], item[0][0], item[0][3])
            )
        ]
