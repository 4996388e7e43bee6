# cython: language_level=3
"""The media record: one call in one minute, both sides of it (37 fields of the media log, then extras).

Extras, None where unknown (`<dir>`: cust2vc, vc2cust, rem2vc, vc2rem; `<side>`: cust, rem):

    call_ids, flags                    every leg's Call-ID; what is remarkable (summary/flags_cy.py)
    vc_lost                            gaps that are new where streams leave the vc: its own loss
    <field>_source                     rtp: measured here; rtcp, xr: the far end's report; assumed: MOS with
                                       the configured delay, for no round trip was known
    <dir>_packets_lost_total           loss since the call began, as far as it is known
    <dir>_packets_unknown, _discarded  missed perhaps by the capture; too late for the modelled jitter buffer
    <dir>_burst_density, _gap_density  losses and discards in bursts / packets in bursts; same for gaps
    <dir>_bursts                       bursts that ended in this minute (RFC 3611 4.7.2, Gmin 16)
    vc2<side>_relayed                  the SBC passes on what it gets, so the far end's jitter is the path's
    r_btwn_.., mos_wb_btwn_..          the rating behind the MOS; MOS on the wideband scale (G.107.1)
    mos_worst_btwn_.., r_worst_btwn_.. the worse of a side's two directions
    rtt_end_to_end_<side>              microseconds, as an endpoint measured it over a relayed stream
    far_end_<side>                     the far end's own view of its reception (tracking/far.py), source xr
"""

from __future__ import annotations

from typing import Any

from agent.summary.catalog import DIRECTIONS, MEDIA_FIELDS, SIDES
from agent.summary.direction_cy import DirectionFigures, MediaTotals
from agent.summary.flags_cy import Legs, flag_side, flag_streams
from agent.summary.heard_cy import CallMinute
from agent.summary.identity import Identity
from agent.tracking.call import Call
from agent.tracking.dialog import Leg
from agent.tracking.events import RoundTrip
from agent.tracking.far import View
from agent.tracking.minute_cy import ReportsMinute, StreamMinute
from agent.tracking.report import MINUTE_NS
from agent.tracking.sides import Connector

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

Row = dict[str, Any]
Trips = list[RoundTrip]


class DirectionNames:
    """What a record calls the figures of one direction."""

    def __init__(self, direction: str) -> None:
        self.packets, self.bytes = f"{direction}_rtp_packets", f"{direction}_rtp_bytes"
        self.rtcp_packets, self.rtcp_bytes = f"{direction}_rtcp_packets", f"{direction}_rtcp_bytes"
        self.lost, self.jitter = f"{direction}_packets_lost", f"{direction}_jitter"
        self.lost_source, self.jitter_source = f"{self.lost}_source", f"{self.jitter}_source"
        self.total = f"{direction}_packets_lost_total"
        self.unknown, self.discarded = f"{direction}_packets_unknown", f"{direction}_packets_discarded"
        self.burst_density, self.gap_density = f"{direction}_burst_density", f"{direction}_gap_density"
        self.bursts = f"{direction}_bursts"

    def extras(self) -> tuple[str, ...]:
        return (
            self.lost_source, self.jitter_source, self.total, self.unknown, self.discarded,
            self.burst_density, self.gap_density, self.bursts,
        )  # fmt: skip


class SideNames:
    """One side: its two directions, and what a record and the metrics call its figures."""

    def __init__(self, side: str) -> None:
        suffix, short, _ = SIDES[side]
        pair = f"btwn_vc_and_{short}"
        self.side = side
        self.towards, self.away = f"{short}2vc", f"vc2{short}"
        self.rtt_metric, self.mos_metric = f"RTTBetweenVcAnd{suffix}", f"MOSBetweenVcAnd{suffix}"
        self.rtt, self.mos = f"rtt_{pair}", f"mos_{pair}"
        self.rtt_source, self.mos_source = f"rtt_{pair}_source", f"mos_{pair}_source"
        self.r, self.mos_wb = f"r_{pair}", f"mos_wb_{pair}"
        self.mos_worst, self.r_worst = f"mos_worst_{pair}", f"r_worst_{pair}"
        self.end_to_end, self.far_end = f"rtt_end_to_end_{short}", f"far_end_{short}"
        self.relayed = f"vc2{short}_relayed"

    def extras(self) -> tuple[str, ...]:
        return (
            self.rtt_source, self.mos_source, self.r, self.mos_wb, self.mos_worst, self.r_worst,
            self.end_to_end, self.far_end, self.relayed,
        )  # fmt: skip


_DIRECTIONS = {direction: DirectionNames(direction) for direction in DIRECTIONS}
_CUSTOMER, _REMOTE = SideNames("customer"), SideNames("remote")
_NONE = DirectionFigures()  # of a direction where nothing happened


def _blank() -> Row:
    """A record in which nothing happened: every field, in order."""
    row: Row = dict.fromkeys((*MEDIA_FIELDS, "call_ids", "flags", "vc_lost"))
    for its in _DIRECTIONS.values():
        row |= dict.fromkeys(its.extras())
        for name in (its.packets, its.bytes, its.rtcp_packets, its.rtcp_bytes, its.lost):
            row[name] = 0
        for name in (its.total, its.unknown, its.discarded, its.bursts):
            row[name] = 0
    return row | dict.fromkeys((*_CUSTOMER.extras(), *_REMOTE.extras()))


_BLANK = _blank()


def views(heard: CallMinute, *, vc_seen: bool = True) -> list[CallView]:
    """A call's minute as each of its connectors sees it. To be asked once: totals move on."""
    if vc_seen:
        heard.lose()
    return [CallView(heard, *view) for view in heard.call.views()]


class CallView:
    """One call in one minute in the eyes of the connector that owns leg `owner`."""

    def __init__(self, minute: CallMinute, owner: Leg, customers: list[Leg], remotes: list[Leg]) -> None:
        self.owner = owner
        self.call = minute.call
        self.minute = minute
        self.directions: dict[str, DirectionFigures] = {}
        names: dict[Leg | None, SideNames] = dict.fromkeys(customers, _CUSTOMER)
        names.update(dict.fromkeys(remotes, _REMOTE))
        stream: StreamMinute
        for stream in minute.streams:
            side = names.get(stream.leg)
            if side is not None and stream.towards is not None:
                self.direction(side, stream.towards).add(stream)
        report: ReportsMinute
        for report in minute.reports:
            side = names.get(report.leg)
            if side is not None and report.packets_towards:
                figures = self.direction(side, True)
                figures.rtcp_packets += report.packets_towards
                figures.rtcp_bytes += report.bytes_towards
            if side is not None and report.packets_away:
                figures = self.direction(side, False)
                figures.rtcp_packets += report.packets_away
                figures.rtcp_bytes += report.bytes_away
        self.customer = SideFigures(self, _CUSTOMER, customers)
        self.remote = SideFigures(self, _REMOTE, remotes)

    def direction(self, side: SideNames, towards: bool) -> DirectionFigures:
        """The figures of a direction in which something happened."""
        name = side.towards if towards else side.away
        figures = self.directions.get(name)
        if figures is None:
            figures = self.directions[name] = DirectionFigures()
        return figures

    def row(
        self, connector: Connector, end_ns: cython.longlong, until_ns: cython.longlong, identity: Identity
    ) -> dict[str, Any] | None:
        """The media log record; None where the minute had no media of a known side and nothing is missed.

        `end_ns`: the minute's end; `until_ns`: how far it was watched.
        """
        call, directions = self.call, self.directions
        found: set[str] = set(call.flags)
        flag_streams(found, directions)
        side: SideFigures
        for side in (self.customer, self.remote):
            if side.legs:
                flag_side(found, call, side.legs, side.towards, side.away, end_ns - MINUTE_NS, until_ns)
        totals = self.totals()
        figures: DirectionFigures
        some = False
        for figures in directions.values():
            if figures.packets or figures.rtcp_packets or figures.known_lost:
                some = True
        if not some and "dead_air" not in found:
            return None
        lead = call.lead
        call_ids = identity.call_ids(call)
        row: Row = _BLANK.copy()
        row["voice_connector_id"] = connector.id
        row["event_timestamp"] = end_ns // 1_000_000
        row["call_id"] = call_ids[0]
        row["from_sip_user"] = identity.user(lead.from_user)
        row["from_country"] = identity.country_of(lead.from_user)
        row["to_sip_user"] = identity.user(lead.to_user)
        row["to_country"] = identity.country_of(lead.to_user)
        row["endpoint_id"] = identity.endpoint(lead)
        row["aws_region"] = connector.region
        row["call_ids"] = call_ids
        row["flags"] = sorted(found) if found else []
        row["vc_lost"] = self.minute.vc_lost
        for name, figures in directions.items():
            put_direction(row, _DIRECTIONS[name], figures)
        for name, total in totals.items():
            its: DirectionNames = _DIRECTIONS[name]
            row[its.total] = total
        self.customer.put(row)
        self.remote.put(row)
        return row

    def add_to(self, totals: MediaTotals) -> None:
        """Give the connector's metrics what this call had."""
        totals.add(self.directions)
        side: SideFigures
        for side in (self.customer, self.remote):
            if side.rtt_us is not None:
                totals.sample(side.names.rtt_metric, side.rtt_us)
            if side.mos is not None:
                totals.sample(side.names.mos_metric, side.mos)

    def totals(self) -> dict[str, int | None]:
        """Loss since the call began: what is known of it; None where streams ran and none ever was."""
        lost: dict[str, int | None] = self.owner.ledger.lost
        figures: DirectionFigures
        for direction, figures in self.directions.items():
            if figures.known:
                lost[direction] = (lost.get(direction) or 0) + figures.known_lost
            elif figures.streams:
                lost.setdefault(direction, None)
        return lost


def put_direction(row: Row, its: DirectionNames, figures: DirectionFigures) -> None:
    """Fill in what a direction had; a blank record has the rest."""
    row[its.packets], row[its.bytes] = figures.packets, figures.bytes
    row[its.rtcp_packets], row[its.rtcp_bytes] = figures.rtcp_packets, figures.rtcp_bytes
    row[its.lost], row[its.lost_source] = figures.lost(), figures.lost_source
    if figures.jitter_packets:
        row[its.jitter] = tenths(figures.jitter_sum / figures.jitter_packets)
        row[its.jitter_source] = figures.jitter_source
    row[its.unknown], row[its.discarded] = figures.unknown, figures.discarded
    if figures.burst_packets:
        row[its.burst_density] = round(figures.burst_lost / figures.burst_packets, 4)
    if figures.gap_packets:
        row[its.gap_density] = round(figures.gap_lost / figures.gap_packets, 4)
    row[its.bursts] = figures.bursts


class SideFigures:
    """One side of a view: both directions averaged by packets, over those that are known."""

    def __init__(self, view: CallView, names: SideNames, legs: list[Leg]) -> None:
        self.names = names
        self.legs = legs
        self.towards: DirectionFigures = view.directions.get(names.towards, _NONE)
        self.away: DirectionFigures = view.directions.get(names.away, _NONE)
        self.mos: float | None = None
        self.r: float | None = None
        self.mos_wb: float | None = None
        self.mos_worst: float | None = None
        self.r_worst: float | None = None
        self.mos_source: str | None = None
        self.rtt_us: float | None = None
        self.rtt_source: str | None = None
        self.end_to_end_us: float | None = None
        self.far_end: dict[str, Any] | None = None
        self.relayed: bool | None = None
        minute = view.minute
        if self.towards.scored + self.away.scored:
            self.judge(minute.call)
        if minute.rtts:
            self.time(minute.rtts)
        if minute.far_ends:
            views = [told.view for told in minute.far_ends if told.leg in legs]
            if views:
                newest = View()
                for told in views:
                    newest.take(told)
                self.far_end = {"source": "xr"} | newest.row()
        if self.away.packets:
            self.relayed = is_relayed(minute.call, legs)

    def judge(self, call: Call) -> None:
        """MOS and the ratings behind it."""
        towards, away = self.towards, self.away
        scored: cython.longlong = towards.scored + away.scored
        self.mos = (towards.mos_sum + away.mos_sum) / scored
        self.r = (towards.r_sum + away.r_sum) / scored
        worst: DirectionFigures = towards
        if not towards.scored or (away.scored and away.r_sum * towards.scored < towards.r_sum * away.scored):
            worst = away
        self.mos_worst, self.r_worst = worst.mos_sum / worst.scored, worst.r_sum / worst.scored
        wide: cython.longlong = towards.wide + away.wide
        if wide:
            self.mos_wb = (towards.wide_sum + away.wide_sum) / wide
        if self.names.side not in call.rtt_us:
            self.mos_source = "assumed"  # the delay is the configured default
        else:
            self.mos_source = (towards if towards.scored else away).lost_source

    def time(self, trips: Trips) -> None:
        """Round trips of this side; XR serves where sender reports tell nothing."""
        by_rtcp: list[float] = []
        by_xr: list[float] = []
        whole: list[float] = []
        for trip in trips:
            if trip.leg in self.legs:
                kind = whole if trip.end_to_end else by_rtcp if trip.source == "rtcp" else by_xr
                kind.append(trip.rtt_us)
        if by_rtcp:
            self.rtt_us, self.rtt_source = sum(by_rtcp) / len(by_rtcp), "rtcp"
        elif by_xr:
            self.rtt_us, self.rtt_source = sum(by_xr) / len(by_xr), "xr"
        if whole:
            self.end_to_end_us = sum(whole) / len(whole)

    def put(self, row: Row) -> None:
        """Fill in what the side had; a blank record has the rest."""
        its = self.names
        if self.rtt_us is not None:
            row[its.rtt], row[its.rtt_source] = tenths(self.rtt_us), self.rtt_source
        if self.mos is not None:
            row[its.mos], row[its.mos_source] = thousandths(self.mos), self.mos_source
            row[its.mos_worst] = thousandths(self.mos_worst)
            row[its.r], row[its.r_worst] = tenths(self.r), tenths(self.r_worst)
            if self.mos_wb is not None:
                row[its.mos_wb] = thousandths(self.mos_wb)
        if self.end_to_end_us is not None:
            row[its.end_to_end] = tenths(self.end_to_end_us)
        row[its.far_end], row[its.relayed] = self.far_end, self.relayed


def is_relayed(call: Call, legs: Legs) -> bool:
    """Whether what leaves on `legs` came in on another leg of the call under the same SSRC."""
    for other in call.legs:
        arrived = other.ledger.arrived
        if arrived:
            for leg in legs:
                if leg is not other and not arrived.keys().isdisjoint(leg.ledger.left):
                    return True
    return False


# round() is five times as slow, and a minute's close has 70,000 figures; none of them is negative.


def tenths(value: cython.double) -> cython.double:
    return (value * 10 + 0.5) // 1 / 10


def thousandths(value: cython.double) -> cython.double:
    return (value * 1000 + 0.5) // 1 / 1000
