"""The media record: one call in one minute, both sides of it (37 fields of the media log, then extras).

Extras, None where unknown (`<dir>`: cust2vc, vc2cust, rem2vc, vc2rem; `<side>`: cust, rem):

    call_ids, flags                    every leg's Call-ID; what is remarkable (summary/flags.py)
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

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from agent.summary import flags
from agent.summary.catalog import DIRECTIONS, SIDES
from agent.summary.direction import DirectionFigures, MediaTotals
from agent.tracking.call import Call
from agent.tracking.dialog import Leg
from agent.tracking.events import FarEnd, ReportsMinute, RoundTrip, StreamMinute
from agent.tracking.far import View
from agent.tracking.report import MINUTE_NS
from agent.tracking.sides import Connector


@dataclass(frozen=True, slots=True)
class Identity:
    """How people are named in records: a host's key for endpoint ids, where a bare number is from."""

    key: bytes = b""
    country: str | None = None  # ISO 3166 alpha-2, for numbers without a country code

    def endpoint(self, who: str) -> str:
        """An opaque identifier of `who`: stable on a host, not to be turned back without its key."""
        return blake2b(who.encode(), key=self.key[:64], digest_size=16).hexdigest()

    def country_of(self, user: str) -> str | None:
        """The ISO country of an E.164 user, None where it cannot be told."""
        return _country(user, self.country)


@lru_cache(maxsize=65_536)
def _country(user: str, default: str | None) -> str | None:
    number = user.split(";")[0]
    digits = number.removeprefix("+")
    if not digits.isdigit() or len(digits) < 7 or (digits == number and default is None):
        return None
    import phonenumbers  # heavy: 0.1 s, only where numbers are logged

    try:
        parsed = phonenumbers.parse(number, default)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.region_code_for_number(parsed)


@dataclass(slots=True)
class CallMinute:
    """Everything heard of one call in one minute. `vc_lost` is None where the vc cannot be observed."""

    call: Call
    streams: list[StreamMinute] = field(default_factory=list)
    reports: list[ReportsMinute] = field(default_factory=list)
    rtts: list[RoundTrip] = field(default_factory=list)
    far_ends: list[FarEnd] = field(default_factory=list)
    vc_lost: int | None = None

    def views(self, *, vc_seen: bool = True) -> list[CallView]:
        """The minute as each connector of the call sees it. To be asked once: totals move on."""
        if vc_seen:
            self.vc_lost = self._vc_lost()
        return [CallView(self, *view) for view in self.call.views()]

    def _vc_lost(self) -> int:
        """Gaps that are new where a stream leaves: the SBC's own.

        A relayed stream keeps its SSRC and so is met again on the leg where it came in. What leaves under an
        SSRC of its own may still be passed on packet by packet, so all that was missing on the other legs is
        taken off. Totals are compared, not minutes: a gap may be judged on either side of a boundary.
        """
        for stream in self.streams:
            if stream.leg is not None and stream.towards is not None:
                stream.leg.ledger.gap(stream.ssrc, stream.gaps, arrived=stream.towards)
        lost = 0
        for leg in self.call.legs:
            ledger = leg.ledger
            for ssrc, gaps in ledger.left.items():
                published = ledger.vc_lost.get(ssrc, 0)
                if gaps <= published:
                    continue
                others = [other.ledger.arrived for other in self.call.legs if other is not leg]
                same = [arrived[ssrc] for arrived in others if ssrc in arrived]
                came = sum(same) if same else sum(sum(arrived.values()) for arrived in others)
                new = gaps - came - published
                if new > 0:
                    ledger.vc_lost[ssrc] = published + new
                    lost += new
        return lost


_OF_SIDE = {
    ("customer", True): "cust2vc",
    ("customer", False): "vc2cust",
    ("remote", True): "rem2vc",
    ("remote", False): "vc2rem",
}
# Field names, put together once: 5,000 records are made when a minute closes.
_DIRECTION_KEYS = tuple(
    (direction, *(f"{direction}_{name}" for name in (
        "rtp_packets", "rtp_bytes", "rtcp_packets", "rtcp_bytes", "packets_lost", "jitter",
    )))
    for direction in DIRECTIONS
)  # fmt: skip
_DIRECTION_EXTRAS = tuple(
    (direction, *(f"{direction}_{name}" for name in (
        "packets_lost_source", "jitter_source", "packets_lost_total", "packets_unknown", "packets_discarded",
        "burst_density", "gap_density", "bursts",
    )))
    for direction in DIRECTIONS
)  # fmt: skip
_SIDE_KEYS = tuple(
    (side, f"rtt_btwn_vc_and_{short}", f"mos_btwn_vc_and_{short}", f"r_btwn_vc_and_{short}",
     f"mos_wb_btwn_vc_and_{short}", f"mos_worst_btwn_vc_and_{short}", f"r_worst_btwn_vc_and_{short}",
     f"rtt_end_to_end_{short}", f"far_end_{short}", f"vc2{short}_relayed")
    for side, (_, short, _) in SIDES.items()
)  # fmt: skip


@dataclass(slots=True)
class SideFigures:
    """One side: both directions averaged by packets, over those that are known."""

    mos: float | None = None
    r: float | None = None
    mos_wb: float | None = None
    mos_worst: float | None = None
    r_worst: float | None = None
    mos_source: str | None = None
    rtt_us: float | None = None
    rtt_source: str | None = None
    end_to_end_us: float | None = None
    far_end: dict[str, Any] | None = None
    relayed: bool | None = None


class CallView:
    """One call in one minute in the eyes of the connector that owns leg `owner`."""

    __slots__ = ("call", "directions", "legs", "minute", "owner", "sides")

    def __init__(self, minute: CallMinute, owner: Leg, customers: list[Leg], remotes: list[Leg]) -> None:
        self.owner = owner
        self.call = minute.call
        self.minute = minute
        self.legs = {"customer": customers, "remote": remotes}
        self.directions = {direction: DirectionFigures() for direction in DIRECTIONS}
        side_of: dict[Leg | None, str] = {leg: side for side, legs in self.legs.items() for leg in legs}
        for stream in minute.streams:
            side = side_of.get(stream.leg)
            if side is not None and stream.towards is not None:
                self.directions[_OF_SIDE[side, stream.towards]].add(stream)
        for report in minute.reports:
            side = side_of.get(report.leg)
            if side is not None and report.towards is not None:
                figures = self.directions[_OF_SIDE[side, report.towards]]
                figures.rtcp_packets += report.packets
                figures.rtcp_bytes += report.bytes
        self.sides = {side: self._side(side, side_of) for side in SIDES}

    def _side(self, side: str, side_of: dict[Leg | None, str]) -> SideFigures:
        figures = SideFigures()
        towards, away = self.directions[_OF_SIDE[side, True]], self.directions[_OF_SIDE[side, False]]
        scored = towards.scored + away.scored
        if scored:
            figures.mos = (towards.mos_sum + away.mos_sum) / scored
            figures.r = (towards.r_sum + away.r_sum) / scored
            figures.mos_worst = min(d.mos_sum / d.scored for d in (towards, away) if d.scored)
            figures.r_worst = min(d.r_sum / d.scored for d in (towards, away) if d.scored)
            wide = towards.wide + away.wide
            figures.mos_wb = (towards.wide_sum + away.wide_sum) / wide if wide else None
            if side not in self.call.rtt_us:
                figures.mos_source = "assumed"  # the delay is the configured default
            else:
                figures.mos_source = (towards if towards.scored else away).lost_source
        if self.minute.rtts:
            mine = [trip for trip in self.minute.rtts if side_of.get(trip.leg) == side]
            for source in ("rtcp", "xr"):  # XR serves where sender reports tell nothing
                rtts = [t.rtt_us for t in mine if t.source == source and not t.end_to_end]
                if rtts:
                    figures.rtt_us, figures.rtt_source = sum(rtts) / len(rtts), source
                    break
            whole = [t.rtt_us for t in mine if t.end_to_end]
            figures.end_to_end_us = sum(whole) / len(whole) if whole else None
        if self.minute.far_ends:
            views = [told.view for told in self.minute.far_ends if side_of.get(told.leg) == side]
            if views:
                newest = View()
                for view in views:
                    newest.take(view)
                figures.far_end = {"source": "xr"} | newest.row()
        if away.packets:
            figures.relayed = self._relayed(side)
        return figures

    def _relayed(self, side: str) -> bool:
        """Whether what leaves on this side came in on another leg under the same SSRC."""
        legs = self.legs[side]
        return any(
            ssrc in other.ledger.arrived
            for leg in legs
            for ssrc in leg.ledger.left
            for other in self.call.legs
            if other is not leg
        )

    def row(
        self, connector: Connector, end_ns: int, identity: Identity, *, until_ns: int | None = None
    ) -> dict[str, Any] | None:
        """The media log record; None where the minute had no media of a known side and nothing is missed.

        `until_ns`: how far the minute was watched, its end where not given.
        """
        directions, call = self.directions, self.call
        found = flags.of_streams(directions.values()) | call.flags
        start_ns = end_ns - MINUTE_NS
        for side in SIDES:
            found |= flags.of_side(
                call,
                self.legs[side],
                directions[_OF_SIDE[side, True]],
                directions[_OF_SIDE[side, False]],
                start_ns,
                end_ns if until_ns is None else until_ns,
            )
        totals = self._totals()
        some = any(d.packets or d.rtcp_packets or d.known_lost for d in directions.values())
        if not some and "dead_air" not in found:
            return None
        lead = call.lead
        other = lead.to_user if lead.side == "customer" else lead.from_user
        row: dict[str, Any] = {
            "voice_connector_id": connector.id,
            "event_timestamp": end_ns // 1_000_000,
            "call_id": lead.call_id,
            "from_sip_user": lead.from_user,
            "from_country": identity.country_of(lead.from_user),
            "to_sip_user": lead.to_user,
            "to_country": identity.country_of(lead.to_user),
            "endpoint_id": identity.endpoint(other or lead.peer),
            "aws_region": connector.region,
        }
        for direction, packets, size, rtcp_packets, rtcp_bytes, lost, jitter in _DIRECTION_KEYS:
            figures = directions[direction]
            row[packets], row[size] = figures.packets, figures.bytes
            row[rtcp_packets], row[rtcp_bytes] = figures.rtcp_packets, figures.rtcp_bytes
            row[lost] = figures.lost
            row[jitter] = _rounded(figures.jitter_us, 1)
        row["call_ids"] = list(dict.fromkeys([lead.call_id, *(leg.call_id for leg in call.legs)]))
        row["flags"] = sorted(found)
        row["vc_lost"] = self.minute.vc_lost
        for direction, lost, jitter, total, unknown, discarded, burst, gap, bursts in _DIRECTION_EXTRAS:
            figures = directions[direction]
            row[lost], row[jitter] = figures.lost_source, figures.jitter_source
            row[total] = totals[direction]
            row[unknown], row[discarded] = figures.unknown, figures.discarded
            row[burst] = _share(figures.burst_lost, figures.burst_packets)
            row[gap] = _share(figures.gap_lost, figures.gap_packets)
            row[bursts] = figures.bursts
        for side, rtt, mos, r, mos_wb, mos_worst, r_worst, end_to_end, far_end, relayed in _SIDE_KEYS:
            its = self.sides[side]
            row[rtt], row[mos] = _rounded(its.rtt_us, 1), _rounded(its.mos, 3)
            row[rtt + "_source"], row[mos + "_source"] = its.rtt_source, its.mos_source
            row[r], row[mos_wb] = _rounded(its.r, 1), _rounded(its.mos_wb, 3)
            row[mos_worst], row[r_worst] = _rounded(its.mos_worst, 3), _rounded(its.r_worst, 1)
            row[end_to_end] = _rounded(its.end_to_end_us, 1)
            row[far_end], row[relayed] = its.far_end, its.relayed
        return row

    def add_to(self, totals: MediaTotals) -> None:
        """Give the connector's metrics what this call had."""
        totals.add(self.directions)
        for side, (suffix, _, _) in SIDES.items():
            its = self.sides[side]
            if its.rtt_us is not None:
                totals.sample("RTTBetweenVcAnd" + suffix, its.rtt_us)
            if its.mos is not None:
                totals.sample("MOSBetweenVcAnd" + suffix, its.mos)

    def _totals(self) -> dict[str, int | None]:
        """Loss since the call began: what is known of it; None where streams ran and none ever was."""
        lost = self.owner.ledger.lost
        for direction, figures in self.directions.items():
            if figures.known:
                lost[direction] = (lost.get(direction) or 0) + figures.known_lost
            elif figures.streams:
                lost.setdefault(direction, None)
        return {direction: lost.get(direction, 0) for direction in DIRECTIONS}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
