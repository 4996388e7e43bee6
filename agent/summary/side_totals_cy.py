# cython: language_level=3
"""One side of a call in one minute, and its part of the media record (media_record_cy)."""

from __future__ import annotations

from typing import Any

import cython

from agent.model.call_cy import Call, Leg, LegMediaTotals
from agent.model.endpoint_view import EndpointView
from agent.model.events import FarEnd, RoundTrip
from agent.summary.call_minute_cy import CallMinute
from agent.summary.catalog import LATE_HISTOGRAM_MS, LOSS_RUNS, SIDES
from agent.summary.direction_totals_cy import DirectionFigures, MediaTotals, added
from agent.summary.media_columns import MEDIA_COLUMNS
from agent.summary.timeline_cy import mean_us, timeline, trips_by_slot

Row = list[Any]  # a media record's values, in the order of MEDIA_COLUMNS
Legs = list[Leg]
MAX_CODECS = 8  # of one direction in a call's record: each new SDP may name another
Heard = tuple[tuple[str, ...], int, float, int]  # codecs, packets scored, their MOS summed, known packets
Lost = dict[str, int | None]  # by direction, since the call began


_PLACES = {name: number for number, name in enumerate(MEDIA_COLUMNS)}


def place(name: str) -> int:
    """The place of a column in a media record."""
    return _PLACES[name]


JITTER_BUFFER, MOS_DIRECTIONS = place("jitter_buffer"), place("mos_directions")


class DirectionPlaces:
    """The places in the record of one direction's figures."""

    def __init__(self, direction: str) -> None:
        self.direction = direction
        self.packets, self.bytes = place(f"{direction}_rtp_packets"), place(f"{direction}_rtp_bytes")
        self.rtcp_packets = place(f"{direction}_rtcp_packets")
        self.rtcp_bytes = place(f"{direction}_rtcp_bytes")
        self.lost, self.jitter = place(f"{direction}_packets_lost"), place(f"{direction}_jitter")
        self.lost_source = place(f"{direction}_packets_lost_source")
        self.jitter_source = place(f"{direction}_jitter_source")
        self.total = place(f"{direction}_packets_lost_total")
        self.known = place(f"{direction}_packets_known")
        self.unknown = place(f"{direction}_packets_unknown")
        self.discarded = place(f"{direction}_packets_discarded")
        self.burst_density = place(f"{direction}_burst_density")
        self.gap_density = place(f"{direction}_gap_density")
        self.bursts, self.ssrc_gap = place(f"{direction}_bursts"), place(f"{direction}_ssrc_gap")
        self.timebase_changes = place(f"{direction}_timebase_changes")
        self.loss_runs = place(f"{direction}_loss_runs")
        self.late_histogram = place(f"{direction}_late_histogram")
        self.timeline = place(f"{direction}_timeline")


class SidePlaces:
    """The places of a side's figures in the record, and their names in the metrics."""

    def __init__(self, side: str) -> None:
        suffix, short, _ = SIDES[side]
        pair = f"btwn_vc_and_{short}"
        self.side, self.short = side, short
        self.to_vc, self.away = DirectionPlaces(f"{short}2vc"), DirectionPlaces(f"vc2{short}")
        self.rtt_metric, self.mos_metric = f"RTTBetweenVcAnd{suffix}", f"MOSBetweenVcAnd{suffix}"
        self.rtt, self.mos = place(f"rtt_{pair}"), place(f"mos_{pair}")
        self.rtt_source, self.mos_source = place(f"rtt_{pair}_source"), place(f"mos_{pair}_source")
        self.r, self.mos_wb = place(f"r_{pair}"), place(f"mos_wb_{pair}")
        self.mos_worst, self.r_worst = place(f"mos_worst_{pair}"), place(f"r_worst_{pair}")
        self.end_to_end, self.far_end = place(f"rtt_end_to_end_{short}"), place(f"far_end_{short}")
        self.relayed = place(f"vc2{short}_relayed")
        self.codec_assumed = place(f"mos_codec_assumed_{pair}")
        self.rtt_timeline = place(f"rtt_{pair}_timeline")


CUSTOMER, REMOTE = SidePlaces("customer"), SidePlaces("remote")
NO_RUNS, NO_DELAYS = [0] * len(LOSS_RUNS), [0] * len(LATE_HISTOGRAM_MS)  # never written to
_NOTHING = DirectionFigures()  # of a direction where nothing happened


@cython.no_gc
@cython.cclass
class SideFigures:
    """Both directions of a side, and their averages by packets, over the known ones."""

    def __init__(self, places: SidePlaces, legs: Legs) -> None:
        self.places = places
        self.legs = legs
        self.to_vc = self.away = _NOTHING
        self.scored = self.wide = 0  # packets behind the MOS, and behind that on the wideband scale
        self.mos = self.r = self.mos_wb = self.mos_worst = self.r_worst = 0.0
        self.mos_source: str | None = None
        self.rtt_us: float | None = None
        self.rtt_source: str | None = None
        self.rtt_slots: list[float | None] | None = None
        self.end_to_end_us: float | None = None
        self.far_end: dict[str, Any] | None = None
        self.relayed: bool | None = None
        self.flags: list[str] = []  # of the far end

    def direction(self, to_vc: cython.bint) -> DirectionFigures:
        """A direction's figures, to add to."""
        if to_vc:
            if self.to_vc is _NOTHING:
                self.to_vc = DirectionFigures()
            return self.to_vc
        if self.away is _NOTHING:
            self.away = DirectionFigures()
        return self.away

    def finish(self, call_minute: CallMinute) -> None:
        """All streams and reports are added: computes the averages."""
        self.scored = self.to_vc.scored + self.away.scored
        if self.scored:
            self.judge(call_minute.call)
        if call_minute.rtts:
            self.time(call_minute.rtts)
        if call_minute.far_ends:
            self.hear(call_minute.far_ends)
        if call_minute.flagged:
            self.flags = [flag for leg, flag in call_minute.flagged if leg in self.legs]
        if self.away.packets:
            self.relayed = is_relayed(call_minute.call.legs, self.legs)

    def judge(self, call: Call) -> None:
        """MOS and the ratings behind it."""
        to_vc, away = self.to_vc, self.away
        self.mos = (to_vc.mos_sum + away.mos_sum) / self.scored
        self.r = (to_vc.r_sum + away.r_sum) / self.scored
        worst: DirectionFigures = to_vc
        if not to_vc.scored or (away.scored and away.r_sum * to_vc.scored < to_vc.r_sum * away.scored):
            worst = away
        self.mos_worst, self.r_worst = worst.mos_sum / worst.scored, worst.r_sum / worst.scored
        self.wide = to_vc.wide + away.wide
        if self.wide:
            self.mos_wb = (to_vc.wide_sum + away.wide_sum) / self.wide
        if self.places.side not in call.rtt_us:
            self.mos_source = "assumed"  # the delay is the configured default
        else:
            self.mos_source = (to_vc if to_vc.scored else away).lost_source

    def time(self, trips: list[RoundTrip]) -> None:
        """Round trips of this side; XR serves where sender reports tell nothing."""
        by_rtcp: list[RoundTrip] = []
        by_xr: list[RoundTrip] = []
        whole: list[RoundTrip] = []
        for trip in trips:
            if trip.leg in self.legs:
                kind = whole if trip.end_to_end else by_rtcp if trip.source == "rtcp" else by_xr
                kind.append(trip)
        if by_rtcp or by_xr:
            used = by_rtcp or by_xr
            self.rtt_us, self.rtt_source = mean_us(used), "rtcp" if by_rtcp else "xr"
            self.rtt_slots = trips_by_slot(used)
        if whole:
            self.end_to_end_us = mean_us(whole)

    def hear(self, far_ends: list[FarEnd]) -> None:
        """Takes the far end's own view of its reception."""
        views = [far_end.view for far_end in far_ends if far_end.leg in self.legs]
        if views:
            newest = EndpointView()
            for far_end in views:
                newest.take(far_end)
            self.far_end = {"source": "xr"} | newest.row()

    def some(self) -> cython.bint:
        """Whether there is anything to record."""
        to_vc, away = self.to_vc, self.away
        return (
            to_vc.packets > 0
            or away.packets > 0
            or to_vc.rtcp_packets > 0
            or away.rtcp_packets > 0
            or to_vc.known_lost != 0
            or away.known_lost != 0
        )

    def count(self, totals: LegMediaTotals) -> None:
        """Adds the loss of each direction to the call's; None where streams ran and it was never known."""
        places = self.places
        if self.to_vc is not _NOTHING:
            count_lost(totals, places.to_vc, self.to_vc)
        if self.away is not _NOTHING:
            count_lost(totals, places.away, self.away)

    def add_to(self, totals: MediaTotals) -> None:
        """Adds the side's figures to the connector's metrics."""
        places = self.places
        if self.to_vc is not _NOTHING:
            totals.add(places.to_vc.direction, self.to_vc)
        if self.away is not _NOTHING:
            totals.add(places.away.direction, self.away)
        if self.rtt_us is not None:
            totals.sample(places.rtt_metric, self.rtt_us)
        if self.to_vc.scored:
            totals.sample(places.mos_metric, self.to_vc.mos_sum / self.to_vc.scored)
        if self.away.scored:
            totals.sample(places.mos_metric, self.away.mos_sum / self.away.scored)

    def put(self, row: Row, watched: cython.int) -> None:
        """Fills in the side's figures; a blank record has the rest.

        `watched`: a bit for each watched slot.
        """
        places = self.places
        if self.to_vc is not _NOTHING:
            put_direction(row, places.to_vc, self.to_vc, watched)
        if self.away is not _NOTHING:
            put_direction(row, places.away, self.away, watched)
        if self.rtt_us is not None:
            row[places.rtt], row[places.rtt_source] = tenths(self.rtt_us), self.rtt_source
            row[places.rtt_timeline] = self.rtt_slots
        if self.scored:
            row[places.mos], row[places.mos_source] = thousandths(self.mos), self.mos_source
            row[places.mos_worst] = thousandths(self.mos_worst)
            row[places.r], row[places.r_worst] = tenths(self.r), tenths(self.r_worst)
            if self.wide:
                row[places.mos_wb] = thousandths(self.mos_wb)
            row[places.codec_assumed] = bool(self.to_vc.codec_assumed or self.away.codec_assumed)
            row[JITTER_BUFFER] = self.to_vc.buffer or self.away.buffer
            self.put_directions(row)
        if self.end_to_end_us is not None:
            row[places.end_to_end] = tenths(self.end_to_end_us)
        if self.far_end is not None:
            row[places.far_end] = self.far_end
        if self.relayed is not None:
            row[places.relayed] = self.relayed

    def put_directions(self, row: Row) -> None:
        """The MOS of each direction that is known."""
        known: dict[str, float] | None = row[MOS_DIRECTIONS]
        if known is None:
            known = row[MOS_DIRECTIONS] = {}
        if self.to_vc.scored:
            known[self.places.to_vc.direction] = thousandths(self.to_vc.mos_sum / self.to_vc.scored)
        if self.away.scored:
            known[self.places.away.direction] = thousandths(self.away.mos_sum / self.away.scored)


def is_relayed(all_legs: Legs, legs: Legs) -> cython.bint:
    """Whether a stream that leaves on `legs` came in on another leg of the call under the same SSRC."""
    leg: Leg
    other: Leg
    for other in all_legs:
        arrived: dict[int, int] = other.media_totals.arrived
        if arrived:
            for leg in legs:
                if leg is not other:
                    for ssrc in leg.media_totals.left:
                        if ssrc in arrived:
                            return True
    return False


def count_lost(totals: LegMediaTotals, places: DirectionPlaces, figures: DirectionFigures) -> None:
    lost: Lost = totals.lost
    if figures.runs is not None or figures.delays is not None:
        if totals.histograms is None:
            totals.histograms = {}
        runs, delays = totals.histograms.get(places.direction) or (NO_RUNS, NO_DELAYS)
        totals.histograms[places.direction] = (
            added(runs, figures.runs or NO_RUNS),
            added(delays, figures.delays or NO_DELAYS),
        )
    if figures.packets or figures.known:
        count_scores(totals, places, figures)
    if figures.known:
        lost[places.direction] = (lost.get(places.direction) or 0) + figures.known_lost
    elif figures.streams:
        lost.setdefault(places.direction, None)


def count_scores(totals: LegMediaTotals, places: DirectionPlaces, figures: DirectionFigures) -> None:
    """Adds a direction's part of the call's own record: codecs, scores, packets whose loss is known."""
    if totals.heard is None:
        totals.heard = {}
    heard: dict[str, Heard] = totals.heard
    codec = figures.codec
    before: Heard | None = heard.get(places.direction)
    if before is None:
        heard[places.direction] = (
            alone(heard, codec) if codec else (),
            figures.scored,
            figures.mos_sum,
            figures.known_packets,
        )
        return
    codecs, scored, mos_sum, known = before
    if codec and codec not in codecs and len(codecs) < MAX_CODECS:
        codecs = (*codecs, codec)
    heard[places.direction] = (
        codecs,
        scored + figures.scored,
        mos_sum + figures.mos_sum,
        known + figures.known_packets,
    )


def alone(heard: dict[str, Heard], codec: str) -> tuple[str, ...]:
    """A codec by itself: a call's directions nearly always have the same one, and share it."""
    entry: Heard
    for entry in heard.values():
        if len(entry[0]) == 1 and entry[0][0] == codec:
            return entry[0]
    return (codec,)


def put_direction(row: Row, places: DirectionPlaces, figures: DirectionFigures, watched: cython.int) -> None:
    """Fills in a direction's figures; a blank record has the rest."""
    if figures.measured:
        row[places.loss_runs] = figures.runs or NO_RUNS
        if figures.jitter_packets:
            row[places.late_histogram] = figures.delays or NO_DELAYS
    if figures.stream_minutes:
        row[places.timeline] = timeline(figures.stream_minutes, watched)
    put_count(row, places.packets, figures.packets)
    put_count(row, places.bytes, figures.bytes)
    put_count(row, places.rtcp_packets, figures.rtcp_packets)
    put_count(row, places.rtcp_bytes, figures.rtcp_bytes)
    if figures.known:
        put_count(row, places.lost, figures.known_lost)
        put_count(row, places.known, figures.known_packets)
    elif figures.streams:
        row[places.lost] = None
    if figures.lost_source is not None:
        row[places.lost_source] = figures.lost_source
    if figures.jitter_packets:
        row[places.jitter] = tenths(figures.jitter_sum / figures.jitter_packets)
        row[places.jitter_source] = figures.jitter_source
    put_count(row, places.unknown, figures.unknown)
    put_count(row, places.discarded, figures.discarded)
    if figures.burst_packets:
        row[places.burst_density] = density(figures.burst_lost, figures.burst_packets)
    if figures.gap_packets:
        row[places.gap_density] = density(figures.gap_lost, figures.gap_packets)
    put_count(row, places.bursts, figures.bursts)
    put_count(row, places.ssrc_gap, figures.ssrc_gap)
    put_count(row, places.timebase_changes, figures.timebase_changes)


def put_count(row: Row, at: cython.int, count: cython.longlong) -> None:
    if count:
        row[at] = count


def density(lost: cython.longlong, packets: cython.longlong) -> float:
    return round(lost / packets, 4) if lost else 0.0


# round() is five times as slow, and a minute's close has 70,000 figures; none of them is negative.


def tenths(value: cython.double) -> cython.double:
    return (value * 10 + 0.5) // 1 / 10


def thousandths(value: cython.double) -> cython.double:
    return (value * 1000 + 0.5) // 1 / 1000
