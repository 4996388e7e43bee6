"""The open minutes, for counters that move with the traffic.

A leg whose connector is not known yet is left out: it counts at its minute's close, and a counter never goes
back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection

from agent.model.call_cy import Call, CountedAttempt, Leg
from agent.model.names import UNSIGNALLED
from agent.model.sides import Connector, Sides
from agent.model.stream_minute_cy import SoFar, add_to
from agent.model.unseen import Sight
from agent.summary.catalog import DIRECTIONS, METRICS, Metric
from agent.summary.open_minute import OpenMinute
from agent.summary.records import ConnectorMinute, Value
from agent.summary.split_host import SplitHost
from agent.summary.unseen import CountedTraffic, View

_SUFFIXES = ("RtpPackets", "RtpBytes", "PacketsLost", "RtcpPackets", "RtcpBytes")  # in the order of `SoFar`
_NAMES = {
    direction: tuple(prefix + suffix for suffix in _SUFFIXES) for direction, (prefix, _) in DIRECTIONS.items()
}
_OF_REMOTE = frozenset({"rem2vc", "vc2rem"})
Places = dict[Leg, list[tuple[Connector, str]]]  # (connector, "cust" or "rem") of every leg of a call


def minutes_so_far(
    minutes: Collection[OpenMinute],
    media: SoFar,
    up: list[CountedAttempt],
    sides: Sides,
    observer: str,
    host: SplitHost,
) -> list[ConnectorMinute]:
    """A connector minute each, of counts and active calls. `media` gets the counts that streams left behind.

    A 0 is None where traffic that it needs was seen and not read, or passes elsewhere.
    """
    totals: defaultdict[Connector, Counter[str]] = defaultdict(Counter)
    for minute in minutes:
        _left_behind(minute, media)
        for (owner, name), count in minute.counts.items():
            connector = owner.connector if isinstance(owner, Leg) else owner
            if connector is not None:
                totals[connector][name] += count
    _add_media(totals, media)
    for account in up:
        if account.leg.connector is not None and account.direction is not None:
            totals[account.leg.connector][account.direction.capitalize() + "CallsActive"] += 1
    unsignalled = any(UNSIGNALLED in leg.call.flags for leg in media if leg.call.flags)
    elsewhere, blind = host.elsewhere(unsignalled=unsignalled), host.blind()
    nothing = CountedTraffic()
    rows = []
    for connector in dict.fromkeys((*sides.connectors, *totals)):
        views = [View(minute.marks, connector, nothing, nothing) for minute in minutes if minute.marks]
        values = _values(totals[connector], sides, observer)
        for metric in METRICS:
            is_doubtful = metric.of in blind or _is_doubtful(metric, elsewhere, views)
            is_unknown_zero = is_doubtful and values.get(metric.name) == 0
            if is_unknown_zero or any(view.is_anothers(metric) for view in views):
                values[metric.name] = None
        rows.append(ConnectorMinute(connector.id, connector.region, values, {}))
    return rows


def _is_doubtful(metric: Metric, elsewhere: frozenset[Sight], views: list[View]) -> bool:
    return metric.needs in elsewhere or any(view.hides(metric) for view in views)


def _left_behind(minute: OpenMinute, media: SoFar) -> None:
    """The counts of streams before they left their leg, and RTCP of ended legs."""
    for call_minute in minute.calls.values():
        for stream in call_minute.streams:
            if stream.leg is not None and stream.to_vc is not None:
                add_to(media, stream.leg, stream.to_vc, stream.packets, stream.bytes, stream.lost or 0)
        for counts in call_minute.reports:
            add_to(media, counts.leg, True, 0, 0, 0, counts.packets_towards, counts.bytes_towards)
            add_to(media, counts.leg, False, 0, 0, 0, counts.packets_away, counts.bytes_away)


def _add_media(totals: defaultdict[Connector, Counter[str]], media: SoFar) -> None:
    places: dict[Call, Places] = {}
    for leg, ways in media.items():
        known = places.get(leg.call)
        if known is None:
            known = places[leg.call] = _places(leg.call)
        for connector, side in known.get(leg, ()):
            for to_vc, numbers in ways.items():
                names = _NAMES[f"{side}2vc" if to_vc else f"vc2{side}"]
                totals[connector].update(dict(zip(names, numbers, strict=True)))


def _places(call: Call) -> Places:
    """The places where each leg of a call counts: two connectors where both ends are customers'."""
    places: Places = {}
    for owner, customers, remotes in call.views():
        if owner.connector is not None:
            for side, legs in (("cust", customers), ("rem", remotes)):
                for leg in legs:
                    places.setdefault(leg, []).append((owner.connector, side))
    return places


def _values(counts: Counter[str], sides: Sides, observer: str) -> dict[str, Value]:
    return {
        metric.name: counts[metric.name]
        for metric in METRICS
        if metric.kind != "samples"
        and (sides.known or not metric.is_sided)
        and not (observer == "customer" and metric.of in _OF_REMOTE)
    }
