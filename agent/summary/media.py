"""The media record: one call in one minute, both sides of it (37 fields of the media log, then extras)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from agent.summary.catalog import DIRECTIONS, SIDES
from agent.tracking.call import Call
from agent.tracking.dialog import Leg
from agent.tracking.events import ReportsMinute, RoundTrip, StreamMinute
from agent.tracking.quality import Score, weighted_mean
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
class DirectionFigures:
    """One direction of one call in one minute. `lost` None: streams ran and nobody knows."""

    packets: int = 0
    bytes: int = 0
    rtcp_packets: int = 0
    rtcp_bytes: int = 0
    lost: int | None = 0
    known_packets: int = 0
    jitters_us: list[float] = field(default_factory=list)
    jitter_us: float | None = None
    lost_source: str | None = None
    jitter_source: str | None = None
    scores: list[tuple[Score, int]] = field(default_factory=list)
    unknown: int = 0
    discarded: int = 0


@dataclass(slots=True)
class CallMinute:
    """Everything heard of one call in one minute."""

    call: Call
    streams: list[StreamMinute] = field(default_factory=list)
    reports: list[ReportsMinute] = field(default_factory=list)
    rtts: list[RoundTrip] = field(default_factory=list)

    def views(self) -> list[CallView]:
        """The minute as each connector of the call sees it."""
        return [
            CallView(self, owner, {"customer": customers, "remote": remotes})
            for owner, customers, remotes in self.call.views()
        ]


_OF_SIDE = {
    ("customer", True): "cust2vc",
    ("customer", False): "vc2cust",
    ("remote", True): "rem2vc",
    ("remote", False): "vc2rem",
}


class CallView:
    """One call in one minute in the eyes of the connector that owns leg `owner`."""

    def __init__(self, minute: CallMinute, owner: Leg, legs: dict[str, list[Leg]]) -> None:
        self.owner = owner
        self.call = minute.call
        self.minute = minute
        self.directions = {direction: DirectionFigures() for direction in DIRECTIONS}
        self.rtt_us: dict[str, float | None] = {}
        self.scores: dict[str, Score | None] = {}
        self.scored_by: dict[str, str | None] = {}
        side_of = {leg: side for side, its in legs.items() for leg in its}
        grouped: dict[str, list[StreamMinute]] = {direction: [] for direction in DIRECTIONS}
        for stream in minute.streams:
            side = side_of.get(stream.leg) if stream.leg else None
            if side is not None and stream.towards is not None:
                grouped[_OF_SIDE[side, stream.towards]].append(stream)
        for direction, streams in grouped.items():
            _add_up(self.directions[direction], streams)
        for report in minute.reports:
            side = side_of.get(report.leg) if report.leg else None
            if side is not None and report.towards is not None:
                figures = self.directions[_OF_SIDE[side, report.towards]]
                figures.rtcp_packets += report.packets
                figures.rtcp_bytes += report.bytes
        for side in SIDES:
            rtts = [trip.rtt_us for trip in minute.rtts if side_of.get(trip.leg) == side]
            self.rtt_us[side] = sum(rtts) / len(rtts) if rtts else None
            self._judge(side)

    def _judge(self, side: str) -> None:
        """The side's score: both known directions averaged by packets."""
        both = [(_OF_SIDE[side, True], "rtp"), (_OF_SIDE[side, False], "rtcp")]
        scores = [pair for direction, _ in both for pair in self.directions[direction].scores]
        mos = weighted_mean((score.mos, packets) for score, packets in scores)
        self.scores[side] = self.scored_by[side] = None
        if mos is None:
            return
        r = weighted_mean((score.r, packets) for score, packets in scores)
        wide = weighted_mean(
            (score.mos_wb, packets) for score, packets in scores if score.mos_wb is not None
        )
        self.scores[side] = Score(r or 0.0, mos, wide)
        if side not in self.call.rtt_us:
            self.scored_by[side] = "assumed"  # the delay is the configured default
        else:
            self.scored_by[side] = next(source for d, source in both if self.directions[d].scores)

    def row(self, connector: Connector, end_ns: int, identity: Identity) -> dict[str, Any] | None:
        """The media log record; None where the minute had no media of a known side."""
        if not any(d.packets or d.rtcp_packets for d in self.directions.values()):
            return None
        lead = self.call.lead
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
        sources: dict[str, str | None] = {}
        for side, (_, short, _) in SIDES.items():
            for towards in (True, False):
                direction = _OF_SIDE[side, towards]
                figures = self.directions[direction]
                row[f"{direction}_rtp_packets"] = figures.packets
                row[f"{direction}_rtp_bytes"] = figures.bytes
                row[f"{direction}_rtcp_packets"] = figures.rtcp_packets
                row[f"{direction}_rtcp_bytes"] = figures.rtcp_bytes
                row[f"{direction}_packets_lost"] = figures.lost
                row[f"{direction}_jitter"] = _rounded(figures.jitter_us, 1)
                sources[f"{direction}_packets_lost_source"] = figures.lost_source
                sources[f"{direction}_jitter_source"] = figures.jitter_source
            score = self.scores[side]
            row[f"rtt_btwn_vc_and_{short}"] = _rounded(self.rtt_us[side], 1)
            row[f"mos_btwn_vc_and_{short}"] = _rounded(score.mos if score else None, 3)
            sources[f"rtt_btwn_vc_and_{short}_source"] = None if self.rtt_us[side] is None else "rtcp"
            sources[f"mos_btwn_vc_and_{short}_source"] = self.scored_by[side]
        row["call_ids"] = list(dict.fromkeys(leg.call_id for leg in (lead, *self.call.legs)))
        row["flags"] = sorted(self.call.flags)
        row["vc_lost"] = self._vc_lost()
        row.update(sources)
        totals = self.call.media_lost
        for direction, figures in self.directions.items():
            key = f"{self.owner.call_id} {direction}"
            totals[key] = totals.get(key, 0) + (figures.lost or 0)
            row[f"{direction}_packets_lost_total"] = totals[key]
        for side, (_, short, _) in SIDES.items():
            score = self.scores[side]
            row[f"r_btwn_vc_and_{short}"] = _rounded(score.r if score else None, 1)
            row[f"mos_wb_btwn_vc_and_{short}"] = _rounded(score.mos_wb if score else None, 3)
        return row

    def _vc_lost(self) -> int:
        """Gaps that are new where a stream leaves: the SBC's own. A relayed stream keeps its SSRC."""
        balance: dict[int, int] = {}
        for stream in self.minute.streams:
            if stream.towards is False:
                balance[stream.ssrc] = balance.get(stream.ssrc, 0) + stream.gaps
        for stream in self.minute.streams:
            if stream.towards and stream.ssrc in balance:
                balance[stream.ssrc] -= stream.gaps
        return sum(max(0, gaps) for gaps in balance.values())


def _add_up(figures: DirectionFigures, streams: Iterable[StreamMinute]) -> None:
    """Streams that share a direction: counts add, jitter is weighted by packets."""
    streams = list(streams)
    for stream in streams:
        figures.packets += stream.packets
        figures.bytes += stream.bytes
        figures.unknown += stream.unknown
        figures.discarded += stream.discarded
        if stream.lost is not None:
            figures.known_packets += stream.packets
            figures.lost_source = stream.source
        if stream.jitter_us is not None:
            figures.jitters_us.append(stream.jitter_us)
            figures.jitter_source = stream.source
        if stream.score is not None:
            figures.scores.append((stream.score, stream.packets))
    if streams:
        known = [stream.lost for stream in streams if stream.lost is not None]
        figures.lost = sum(known) if known else None
        figures.jitter_us = weighted_mean(
            (stream.jitter_us, max(1, stream.packets)) for stream in streams if stream.jitter_us is not None
        )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
