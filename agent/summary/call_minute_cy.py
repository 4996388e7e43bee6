# cython: language_level=3
"""Everything of each call in one minute, until the minute closes; and the vc's own loss of it."""

from __future__ import annotations

from collections.abc import Callable

import cython

from agent.model.call_cy import Call, Leg, LegMediaTotals
from agent.model.events import FarEnd, FarEndFlag, RoundTrip
from agent.model.stream_minute_cy import ReportsMinute, StreamMinute

FIELDS = ("call", "streams", "reports", "rtts", "far_ends", "vc_lost", "flagged")
"""A `CallMinute`'s fields, in the order in which a checkpoint has them."""


@cython.no_gc
@cython.cclass
class CallMinute:
    """Everything of one call in one minute. `vc_lost` is None where the vc cannot be observed."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.streams: list[StreamMinute] = []
        self.reports: list[ReportsMinute] = []
        self.rtts: list[RoundTrip] = []
        self.far_ends: list[FarEnd] = []
        self.vc_lost: int | None = None
        self.flagged: list[tuple[Leg, str]] = []  # flags of the far ends, each once

    def flag(self, event: FarEndFlag) -> None:
        """Keeps a far end's flag, and drops the round trips that it makes false."""
        flagged = event.leg, event.flag
        if flagged not in self.flagged:
            self.flagged.append(flagged)
        if event.voids_rtt:
            self.rtts = [trip for trip in self.rtts if trip.leg is not event.leg or trip.source != "rtcp"]

    def lose(self) -> None:
        """Finds `vc_lost`: new gaps where a stream leaves. Call it once: totals move on.

        A relayed stream keeps its SSRC and so is found again on the leg where it came in. A stream that
        leaves under an SSRC of its own may still be passed on packet by packet, so the gaps of the other legs
        are subtracted. Totals are compared, not minutes: a gap may be judged on either side of a boundary.
        """
        lost: cython.longlong = 0
        grown: cython.bint = False  # only where more is missing of what leaves can any of it be new
        stream_minute: StreamMinute
        leg: Leg | None
        media_totals: LegMediaTotals
        for stream_minute in self.streams:
            leg = stream_minute.leg
            if leg is None or stream_minute.to_vc is None:
                continue
            media_totals = leg.media_totals
            known: dict[int, int] = media_totals.arrived if stream_minute.to_vc else media_totals.left
            if stream_minute.gaps or stream_minute.ssrc not in known:
                media_totals.gap(stream_minute.ssrc, stream_minute.gaps, stream_minute.to_vc)
                grown = grown or not stream_minute.to_vc
        if grown:
            for leg in self.call.legs:
                left: dict[int, int] = leg.media_totals.left
                for ssrc, gaps in left.items():
                    if gaps:
                        lost += self.added(leg, ssrc, gaps)
        self.vc_lost = lost

    def added(self, leg: Leg, ssrc: cython.longlong, gaps: cython.longlong) -> cython.longlong:
        """How many gaps of a leaving stream neither came in nor are published yet. They are from here on."""
        others = [other.media_totals.arrived for other in self.call.legs if other is not leg]
        same = [arrived[ssrc] for arrived in others if ssrc in arrived]
        came = sum(same) if same else sum(sum(arrived.values()) for arrived in others)
        published = leg.media_totals.vc_lost
        before: cython.longlong = published.get(ssrc, 0)
        lost: cython.longlong = gaps - came - before
        if lost <= 0:
            return 0
        published[ssrc] = before + lost
        return lost


Calls = dict[Call, CallMinute]


def of_call(calls: Calls, call: Call) -> CallMinute:
    """A call's minute; a new one where there is none."""
    found: CallMinute | None = calls.get(call)
    if found is None:
        found = calls[call] = CallMinute(call)
    return found


def share_out(
    calls_of: Callable[[int], Calls], streams: list[StreamMinute], reports: list[ReportsMinute]
) -> list[StreamMinute]:
    """Gives each call its own events. Returns the streams without an owner.

    `calls_of`: the calls of the minute that a time (ns) is in.
    """
    orphans: list[StreamMinute] = []
    calls: Calls = {}
    stamp_ns: cython.longlong = -1
    counts: ReportsMinute
    stream_minute: StreamMinute
    for counts in reports:
        if counts.stamp_ns != stamp_ns:
            stamp_ns = counts.stamp_ns
            calls = calls_of(stamp_ns)
        of_call(calls, counts.leg.call).reports.append(counts)
    for stream_minute in streams:
        if stream_minute.leg is None:
            orphans.append(stream_minute)
            continue
        if stream_minute.to_vc is None:
            continue
        if stream_minute.stamp_ns != stamp_ns:
            stamp_ns = stream_minute.stamp_ns
            calls = calls_of(stamp_ns)
        of_call(calls, stream_minute.leg.call).streams.append(stream_minute)
    return orphans
