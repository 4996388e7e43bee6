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

import msgspec

from agent.summary import flags
from agent.summary.catalog import DIRECTIONS, MEDIA_FIELDS, SIDES
from agent.summary.direction import DirectionFigures, MediaTotals, of_stream
from agent.summary.masking import Masking
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
    masking: Masking | None = None  # people by tokens

    def endpoint(self, who: str) -> str:
        """An opaque identifier of `who`: stable on a host, not to be turned back without its key."""
        return _endpoint(self.key[:64], who)

    def user(self, user: str) -> str:
        """A user as records name it."""
        return user if self.masking is None else self.masking.user(user)

    def call_ids(self, call: Call) -> list[str]:
        """The Call-IDs of a call, the lead's first, as records name them."""
        found = list(dict.fromkeys([call.lead.call_id, *(leg.call_id for leg in call.legs)]))
        if self.masking is None:
            return found
        known = users_of(call)
        return [self.masking.text(call_id, known) for call_id in found]

    def country_of(self, user: str) -> str | None:
        """The ISO country of an E.164 user, None where it cannot be told."""
        return _country(user, self.country)


def users_of(call: Call) -> list[str]:
    """Both users of all its legs."""
    return [user for leg in (call.lead, *call.legs) for user in (leg.from_user, leg.to_user)]


@lru_cache(maxsize=65_536)
def _endpoint(key: bytes, who: str) -> str:
    return blake2b(who.encode(), key=key, digest_size=16).hexdigest()


def _country(user: str, default: str | None) -> str | None:
    number = user.split(";")[0]
    digits = number.removeprefix("+")
    if not digits.isdigit() or len(digits) < 7 or (digits == number and default is None):
        return None
    # Numbers are given out in blocks: what is asked is the country of the thousand that this one is in.
    return _country_of(number[:-3] + "000", default)


@lru_cache(maxsize=65_536)
def _country_of(number: str, default: str | None) -> str | None:
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
        grown = False  # only where more is missing of what leaves can any of it be new
        for stream in self.streams:
            if stream.leg is not None and stream.towards is not None:
                ledger, gaps = stream.leg.ledger, stream.gaps
                if gaps or stream.ssrc not in (ledger.arrived if stream.towards else ledger.left):
                    ledger.gap(stream.ssrc, gaps, arrived=stream.towards)
                    grown = grown or not stream.towards
        lost = 0
        if not grown:
            return lost
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
_DIRECTIONS_OF = {side: (_OF_SIDE[side, True], _OF_SIDE[side, False]) for side in SIDES}
_METRICS_OF = {
    side: ("RTTBetweenVcAnd" + suffix, "MOSBetweenVcAnd" + suffix) for side, (suffix, _, _) in SIDES.items()
}
_NONE = DirectionFigures()  # of a direction where nothing happened


def _keys() -> tuple[str, ...]:
    """The record's field names, in the order in which `CallView.row` puts its values."""
    keys = list(MEDIA_FIELDS)
    keys += ["call_ids", "flags", "vc_lost"]
    for direction in DIRECTIONS:
        keys += [
            f"{direction}_{name}"
            for name in (
                "packets_lost_source", "jitter_source", "packets_lost_total", "packets_unknown",
                "packets_discarded", "burst_density", "gap_density", "bursts",
            )
        ]  # fmt: skip
    for _, short, _ in SIDES.values():
        pair = f"btwn_vc_and_{short}"
        keys += [
            f"rtt_{pair}_source", f"mos_{pair}_source", f"r_{pair}", f"mos_wb_{pair}", f"mos_worst_{pair}",
            f"r_worst_{pair}", f"rtt_end_to_end_{short}", f"far_end_{short}", f"vc2{short}_relayed",
        ]  # fmt: skip
    return tuple(keys)


_KEYS = _keys()


class SideFigures(msgspec.Struct, gc=False):
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

    def extras(self) -> tuple[Any, ...]:
        return (
            self.rtt_source,
            self.mos_source,
            _tenths(self.r),
            _thousandths(self.mos_wb),
            _thousandths(self.mos_worst),
            _tenths(self.r_worst),
            _tenths(self.end_to_end_us),
            self.far_end,
            self.relayed,
        )


class CallView:
    """One call in one minute in the eyes of the connector that owns leg `owner`."""

    __slots__ = ("call", "directions", "legs", "minute", "owner", "sides")

    def __init__(self, minute: CallMinute, owner: Leg, customers: list[Leg], remotes: list[Leg]) -> None:
        self.owner = owner
        self.call = minute.call
        self.minute = minute
        self.legs = {"customer": customers, "remote": remotes}
        self.directions: dict[str, DirectionFigures] = {}
        side_of: dict[Leg | None, str] = dict.fromkeys(customers, "customer")
        side_of.update(dict.fromkeys(remotes, "remote"))
        directions = self.directions
        for stream in minute.streams:
            side = side_of.get(stream.leg)
            if side is not None and stream.towards is not None:
                direction = _OF_SIDE[side, stream.towards]
                found = directions.get(direction)
                if found is None:
                    directions[direction] = of_stream(stream)
                else:
                    found.add(stream)
        for report in minute.reports:
            side = side_of.get(report.leg)
            if side is not None and report.towards is not None:
                direction = _OF_SIDE[side, report.towards]
                found = directions.get(direction)
                if found is None:
                    found = directions[direction] = DirectionFigures()
                found.rtcp_packets += report.packets
                found.rtcp_bytes += report.bytes
        self.sides = {side: self._side(side, side_of) for side in SIDES}

    def both(self, side: str) -> tuple[DirectionFigures, DirectionFigures]:
        """What came from a side, and what went to it."""
        directions = self.directions
        towards, away = _DIRECTIONS_OF[side]
        return directions.get(towards, _NONE), directions.get(away, _NONE)

    def _side(self, side: str, side_of: dict[Leg | None, str]) -> SideFigures:
        figures = SideFigures()
        towards, away = self.both(side)
        scored = towards.scored + away.scored
        if scored:
            figures.mos = (towards.mos_sum + away.mos_sum) / scored
            figures.r = (towards.r_sum + away.r_sum) / scored
            worst = towards
            if not towards.scored or (
                away.scored and away.r_sum * towards.scored < towards.r_sum * away.scored
            ):
                worst = away
            figures.mos_worst, figures.r_worst = worst.mos_sum / worst.scored, worst.r_sum / worst.scored
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
        for other in self.call.legs:
            arrived = other.ledger.arrived
            if arrived:
                for leg in self.legs[side]:
                    if leg is not other and not arrived.keys().isdisjoint(leg.ledger.left):
                        return True
        return False

    def row(
        self, connector: Connector, end_ns: int, identity: Identity, *, until_ns: int | None = None
    ) -> dict[str, Any] | None:
        """The media log record; None where the minute had no media of a known side and nothing is missed.

        `until_ns`: how far the minute was watched, its end where not given.
        """
        directions, call = self.directions, self.call
        found = flags.of_streams(directions.values())
        found |= call.flags
        until_ns = end_ns if until_ns is None else until_ns
        for side in SIDES:
            legs = self.legs[side]
            if legs:
                found |= flags.of_side(call, legs, *self.both(side), end_ns - MINUTE_NS, until_ns)
        totals = self._totals()
        some = any(d.packets or d.rtcp_packets or d.known_lost for d in directions.values())
        if not some and "dead_air" not in found:
            return None
        lead = call.lead
        other = lead.to_user if lead.side == "customer" else lead.from_user
        customer, remote = self.sides["customer"], self.sides["remote"]
        cust2vc, vc2cust = self.both("customer")
        rem2vc, vc2rem = self.both("remote")
        call_ids = identity.call_ids(call)
        values = (
            connector.id,
            end_ns // 1_000_000,
            call_ids[0],
            identity.user(lead.from_user),
            identity.country_of(lead.from_user),
            identity.user(lead.to_user),
            identity.country_of(lead.to_user),
            identity.endpoint(other or lead.peer),
            connector.region,
            *cust2vc.fields(),
            *vc2cust.fields(),
            _tenths(customer.rtt_us),
            _thousandths(customer.mos),
            *rem2vc.fields(),
            *vc2rem.fields(),
            _tenths(remote.rtt_us),
            _thousandths(remote.mos),
            call_ids,
            sorted(found),
            self.minute.vc_lost,
            *cust2vc.extras(totals.get("cust2vc", 0)),
            *vc2cust.extras(totals.get("vc2cust", 0)),
            *rem2vc.extras(totals.get("rem2vc", 0)),
            *vc2rem.extras(totals.get("vc2rem", 0)),
            *customer.extras(),
            *remote.extras(),
        )
        return dict(zip(_KEYS, values, strict=True))

    def add_to(self, totals: MediaTotals) -> None:
        """Give the connector's metrics what this call had."""
        totals.add(self.directions.items())
        for side, its in self.sides.items():
            rtt, mos = _METRICS_OF[side]
            if its.rtt_us is not None:
                totals.sample(rtt, its.rtt_us)
            if its.mos is not None:
                totals.sample(mos, its.mos)

    def _totals(self) -> dict[str, int | None]:
        """Loss since the call began: what is known of it; None where streams ran and none ever was."""
        lost = self.owner.ledger.lost
        for direction, figures in self.directions.items():
            if figures.known:
                lost[direction] = (lost.get(direction) or 0) + figures.known_lost
            elif figures.streams:
                lost.setdefault(direction, None)
        return lost


# round() is five times as slow, and a minute's close has 70,000 figures; none of them is negative.


def _tenths(value: float | None) -> float | None:
    return None if value is None else int(value * 10 + 0.5) / 10


def _thousandths(value: float | None) -> float | None:
    return None if value is None else int(value * 1000 + 0.5) / 1000
