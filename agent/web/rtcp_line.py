"""A call's RTCP on its time axis: by 10 s where slots were kept, by a minute otherwise.

A report speaks of what left the vc: so many of our packets lost, so much jitter. A report that answers one of
the vc's gives a round trip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agent.model.units import MINUTE_NS, SLOT_NS
from agent.story.path import WAYS_OF, Network
from agent.story.words import clock
from agent.summary.catalog import SIDES, TIMELINE
from agent.summary.records import CallRecords
from agent.web.plots import Box, Curve, PlotStep, TimeAxis

MAX_MARKS = 720  # of a side: an hour of slots and another; a longer call has its RTCP by the minute
_LOST, _JITTER = TIMELINE.index("lost"), TIMELINE.index("jitter_max_us")


class RtcpSpan(msgspec.Struct):
    """A side's reports of a span of time in words; None: there are none."""

    side: Network
    start_ns: int
    end_ns: int
    lost: int | None
    jitter_us: float | None
    rtt_us: float | None
    packets: int = 0  # RTCP packets in it, where it is a whole minute

    @property
    def words(self) -> str:
        said = [f"{self.packets} RTCP packets"] if self.packets else []
        if self.lost is not None:
            said.append(f"{self.lost} of our packets lost")
        if self.jitter_us is not None:
            said.append(f"jitter {self.jitter_us / 1000:.1f} ms")
        if self.rtt_us is not None:
            said.append(f"round trip {self.rtt_us / 1000:.1f} ms")
        said = said or ["reports that say nothing of our packets"]
        return f"{clock(self.start_ns)} to {clock(self.end_ns)}, the {self.side}: {', '.join(said)}"


def rtcp_minutes(records: CallRecords) -> list[RtcpSpan]:
    """Each side's RTCP by the minute, where any came."""
    return [_minute(record, side) for record in records.media for side in WAYS_OF if _packets(record, side)]


def rtcp_spans(records: CallRecords) -> list[RtcpSpan]:
    """The same as fine as it was kept."""
    found: list[RtcpSpan] = []
    for side in WAYS_OF:
        fine = [span for record in records.media for span in _slots(record, side)]
        if len(fine) > MAX_MARKS:
            fine = [_minute(record, side) for record in records.media if _packets(record, side)]
        found += fine
    return found


def boxes_of(spans: list[RtcpSpan], axis: TimeAxis) -> dict[str, list[Box]]:
    """Marks on the axis, of each side."""
    boxes: dict[str, list[Box]] = {side: [] for side in WAYS_OF}
    for span in spans:
        left, right = axis.x(span.start_ns), axis.x(span.end_ns)
        boxes[span.side].append(Box(left, max(2.0, round(right - left - 2, 1)), span.words))
    return boxes


def round_trips(records: CallRecords, axis: TimeAxis) -> list[Curve]:
    """Each side's round trip. A minute in which some slot has one is known; one in which none has is not."""
    curves = []
    for side, ways in WAYS_OF.items():
        steps: list[PlotStep] = []
        for record in records.media:
            known = [span for span in _slots(record, side) if span.rtt_us is not None]
            if not known and any(record.get(f"{way}_rtp_packets") for way in ways):
                known = [_minute(record, side)]
            steps += [_step(span, axis) for span in known]
        curves.append(Curve(f"vc \u2194 {side}", side, steps))
    return curves


def trip_boxes(spans: list[RtcpSpan], axis: TimeAxis) -> list[tuple[int, int, str]]:
    """The words that a reader sees on pointing at the round trips."""
    words: dict[tuple[int, int], list[str]] = {}
    for span in spans:
        at = max(axis.start_ns, span.start_ns), min(axis.end_ns, span.end_ns)
        trip = "unknown" if span.rtt_us is None else f"{span.rtt_us / 1000:.1f} ms"
        words.setdefault(at, []).append(f"{span.side} {trip}")
    return [
        (start_ns, end_ns, f"{clock(start_ns)} to {clock(end_ns)}: {', '.join(said)}")
        for (start_ns, end_ns), said in sorted(words.items())
    ]


def _slots(record: dict[str, Any], side: Network) -> Iterator[RtcpSpan]:
    """The slots in which a report came: it says a jitter, or gives a round trip."""
    _, away = WAYS_OF[side]
    slots, trips = record.get(f"{away}_timeline"), record.get(f"{_rtt(side)}_timeline")
    if slots is None and trips is None:
        if _packets(record, side):
            yield _minute(record, side)
        return
    start_ns = _start_ns(record)
    for number, (slot, rtt_us) in enumerate(zip(slots or [None] * 6, trips or [None] * 6, strict=False)):
        lost, jitter_us = (slot[_LOST], slot[_JITTER]) if slot else (None, None)
        if jitter_us is not None or rtt_us is not None:
            begin_ns = start_ns + number * SLOT_NS
            yield RtcpSpan(side, begin_ns, begin_ns + SLOT_NS, lost, jitter_us, rtt_us)


def _minute(record: dict[str, Any], side: Network) -> RtcpSpan:
    _, away = WAYS_OF[side]
    start_ns = _start_ns(record)
    of_reports = record.get(f"{away}_packets_lost_source") in ("rtcp", "xr")
    lost = record.get(f"{away}_packets_lost") if of_reports else None
    jitter_us = record.get(f"{away}_jitter") if record.get(f"{away}_jitter_source") == "rtcp" else None
    rtt_us = record.get(_rtt(side))
    return RtcpSpan(side, start_ns, start_ns + MINUTE_NS, lost, jitter_us, rtt_us, _packets(record, side))


def _step(span: RtcpSpan, axis: TimeAxis) -> PlotStep:
    value = None if span.rtt_us is None else span.rtt_us / 1000
    return PlotStep(max(axis.start_ns, span.start_ns), min(axis.end_ns, span.end_ns), value)


def _packets(record: dict[str, Any], side: Network) -> int:
    return record.get(f"{WAYS_OF[side][0]}_rtcp_packets") or 0


def _rtt(side: Network) -> str:
    return f"rtt_btwn_vc_and_{SIDES[side][1]}"


def _start_ns(record: dict[str, Any]) -> int:
    return int(record["event_timestamp"]) * 1_000_000 - MINUTE_NS
