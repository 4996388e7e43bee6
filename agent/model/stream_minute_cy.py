# cython: language_level=3
"""One stream in one minute, as seen here and as the far end reports it. A close has tens of thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if TYPE_CHECKING:
    from agent.model.call_cy import Leg
    from agent.model.sides import Socket
    from agent.quality.emodel import Score

MANY_PACKETS = 50  # so many late or lost packets make a habit
Reporting = dict["Leg", None]
COUNTERS = (
    "packets", "bytes", "judged", "gap_packets", "jitter_sum_us", "jitter_count", "jitter_max_us", "gaps",
    "unknown", "duplicates", "reordered", "discarded", "loss_runs", "burst_packets", "burst_lost", "gap_lost",
    "bursts", "ssrc_gap", "timebase_changes",
)  # fmt: skip
"""What the loop counts of a `StreamMinute`; two are floats, the rest integers."""
FIELDS = (
    *COUNTERS,
    "id", "stamp_ns", "leg", "to_vc", "src", "dst", "ssrc", "payload_type", "clock_rate", "step", "assumed",
    "codec", "first_ns", "last_ns", "lost", "jitter_us", "lost_source", "jitter_source", "score", "weight",
    "burst_ratio", "audio", "packet_ms", "named", "by_type", "clock_rate_mismatch", "is_over",
    "runs", "delays", "slots", "reported_slots",
)  # fmt: skip
"""A `StreamMinute`'s fields, in the order in which a checkpoint has them."""
REPORTS_FIELDS = ("stamp_ns", "leg", "packets_towards", "bytes_towards", "packets_away", "bytes_away")


@cython.no_gc
@cython.cclass
class StreamMinute:
    """One stream in one minute.

    The loop makes it with its counts; `Measure` adds the owner and the score. `lost` and `jitter_us` are None
    where unknown. Towards the vc they are measured here; away from it they are the far end's reports (the
    sources say so). `gaps` counts numbers never seen here, in both directions; `weight` is the number of
    packets that `score` judges. Burst and gap figures are RFC 3611 4.7.2's with a Gmin of 16.
    stream_minute_cy.pxd has the C types.
    """

    def __init__(self) -> None:
        self.id = 0  # the stream's id in the loop
        self.stamp_ns = 0
        self.leg: Leg | None = None
        self.to_vc: bool | None = None
        self.src: Socket = ("", 0)
        self.dst: Socket = ("", 0)
        self.ssrc = 0
        self.payload_type = 0  # the newest that is neither event nor comfort noise
        self.clock_rate = 0  # Hz; 0: not known yet
        self.step = 0  # ticks of the timestamp between packets, as a rule; 0: not known yet
        self.codec = ""
        self.first_ns = 0
        self.last_ns = 0
        self.packets = 0
        self.bytes = 0
        self.lost: int | None = None
        self.unknown = 0  # numbers never seen, perhaps because the capture missed them
        self.duplicates = 0
        self.reordered = 0
        self.discarded = 0  # too late for the modelled jitter buffer
        self.gaps = 0
        self.judged = 0  # numbers known to have arrived or not
        self.loss_runs = 0
        self.jitter_us: float | None = None
        self.jitter_sum_us = 0.0
        self.jitter_count = 0
        self.jitter_max_us = 0.0
        self.lost_source: str | None = None
        self.jitter_source: str | None = None
        self.score: Score | None = None
        self.weight = 0.0
        self.burst_ratio = 1.0
        self.assumed = False  # the clock rate was inferred
        self.audio = True
        self.packet_ms = 0.0  # 0: not known yet
        self.named = True  # its source address is one that its sender's SDP names
        self.burst_packets = 0
        self.burst_lost = 0
        self.gap_packets = 0
        self.gap_lost = 0
        self.bursts = 0
        self.ssrc_gap = 0  # numbers that another SSRC of the same sockets replaced: no loss
        self.timebase_changes = 0
        # the declared rate was wrong by 1.5 times or more: this is the wire's
        self.clock_rate_mismatch = False
        self.is_over = False  # of no call: its call is over
        # (payload type, packets), 255 for further types; empty: all packets are of `payload_type`.
        self.by_type: tuple[tuple[int, int], ...] = ()
        self.runs: tuple[int, ...] = ()  # of lost packets: 1, 2 ... 10 or more in a row; empty: none
        self.delays: tuple[int, ...] = ()  # packets late by 50, 70 ... 300 ms or more; empty: none
        self.slots = b""  # of 10 s, as the loop's row has them; empty: nothing was counted
        # The far end's reports: loss of each slot, then jitter of each in ticks, -1 where unknown.
        self.reported_slots: list[int] | None = None

    def comes_twice(self) -> cython.bint:
        """Whether nine in ten of its packets came twice, as from a mirror that copies both ways of a port."""
        once: cython.longlong = self.packets - self.duplicates
        return once >= MANY_PACKETS and self.duplicates * 10 >= once * 9

    def counted(self) -> bool:
        """Whether the loop counted anything. Every other counter implies one of these."""
        return bool(self.packets or self.judged or self.unknown or self.gap_packets or self.bursts)

    @property
    def jitter_mean_us(self) -> float | None:
        """The mean jitter measured here, in both directions."""
        return self.jitter_sum_us / self.jitter_count if self.jitter_count else None


SoFar = dict["Leg", dict[bool, list[int]]]
"""By leg and whether towards the vc: packets, bytes, lost, RTCP packets, RTCP bytes of the open minutes."""


def add_to(
    totals: SoFar,
    leg: Leg,
    to_vc: bool,
    packets: int,
    size: int,
    lost: int,
    rtcp_packets: int = 0,
    rtcp_bytes: int = 0,
) -> None:
    """Adds the counts to a leg's totals."""
    ways = totals.setdefault(leg, {})
    numbers = ways.get(to_vc)
    if numbers is None:
        ways[to_vc] = [packets, size, lost, rtcp_packets, rtcp_bytes]
    else:
        numbers[0] += packets
        numbers[1] += size
        numbers[2] += lost
        numbers[3] += rtcp_packets
        numbers[4] += rtcp_bytes


def add_reports(totals: SoFar, leg: Leg, counts: list[int]) -> None:
    """Adds a leg's RTCP of one open minute, in the order of `Leg.reports`."""
    packets_towards, bytes_towards, packets_away, bytes_away = counts
    add_to(totals, leg, True, 0, 0, 0, packets_towards, bytes_towards)
    add_to(totals, leg, False, 0, 0, 0, packets_away, bytes_away)


@cython.no_gc
@cython.cclass
class ReportsMinute:
    """RTCP of one leg in one minute, towards the vc and away from it: UDP packets, their payload bytes."""

    def __init__(
        self,
        stamp_ns: int,
        leg: Leg,
        packets_towards: int,
        bytes_towards: int,
        packets_away: int,
        bytes_away: int,
    ) -> None:
        self.stamp_ns = stamp_ns
        self.leg = leg
        self.packets_towards = packets_towards
        self.bytes_towards = bytes_towards
        self.packets_away = packets_away
        self.bytes_away = bytes_away


def taken_reports(reporting: Reporting, minute_ns: cython.longlong) -> list[ReportsMinute]:
    """Takes the RTCP counts up to that minute from their legs. Legs without any leave `reporting`."""
    taken: list[ReportsMinute] = []
    leg: Leg
    for leg in list(reporting):
        counts: dict[int, list[int]] = leg.reports
        for minute in [minute for minute in counts if minute <= minute_ns]:
            packets, size, packets_away, size_away = counts.pop(minute)
            taken.append(ReportsMinute(minute_ns, leg, packets, size, packets_away, size_away))
        if not counts:
            del reporting[leg]
    return taken
