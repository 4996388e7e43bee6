"""The overview: each connector and carrier in the last hours, and the missed frames."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from agent.model.units import MINUTE_NS
from agent.store.call_query import CallQuery
from agent.store.overview import By, OverviewPoint, OverviewSeries
from agent.store.reader import IndexedCall, StoreReader
from agent.story.words import SILENT
from agent.summary.catalog import DIRECTIONS
from agent.web.plots import Curve, Plot, PlotStep, TimeAxis, draw
from agent.web.rendering import ARROWS

HOURS = (1, 4, 24)
WORST = 10  # calls
MAX_GROUPS = 12  # connectors and carriers with plots; the others have links
LEAST_MINUTES = 12  # of an axis
POINTS = 100  # on an axis, at most
_GRAINS = (1, 2, 5, 10, 15, 30, 60)  # minutes of a point


class OverviewGroup(msgspec.Struct):
    """One connector or carrier. `link`: the query of its calls."""

    kind: By
    name: str
    link: str
    attempts: int | None
    failures: int | None
    plots: list[Plot]


class Overview(msgspec.Struct):
    """All groups, the busiest first; `others`: names and links of those beyond `MAX_GROUPS`."""

    axis: TimeAxis
    groups: list[OverviewGroup]
    others: list[tuple[str, str]]
    capture: Plot | None
    worst: list[IndexedCall]


def overview(reader: StoreReader, until_ns: int, hours: int) -> Overview:
    """The last hours before `until_ns`."""
    grain = next((one for one in _GRAINS if hours * 60 / one <= POINTS), _GRAINS[-1])
    span_ns = grain * MINUTE_NS
    since_ns = until_ns - hours * 60 * MINUTE_NS

    def series(by: By) -> list[OverviewSeries]:
        return reader.overview(since_ns, until_ns, by, grain)

    kinds: tuple[By, ...] = ("connector", "carrier")
    found = [(by, one) for by in kinds for one in series(by)]
    found.sort(
        key=lambda group: (group[0] != "connector", -(_total(group[1], _attempts) or 0), group[1].name)
    )
    hosts = series("host")
    begun = [one.points[0].start_ns for one in (*(one for _, one in found), *hosts) if one.points]
    latest_ns = until_ns - LEAST_MINUTES * MINUTE_NS  # a new store shows its short time at full width
    axis = TimeAxis(max(since_ns, min([latest_ns, *begun])), until_ns)
    groups = [_group(by, one, axis, span_ns) for by, one in found[:MAX_GROUPS]]
    others = [(one.name, _link(by, one.name)) for by, one in found[MAX_GROUPS:]]
    worst = worst_calls(reader, CallQuery(since_ns=axis.start_ns, limit=WORST))
    return Overview(axis, groups, others, _capture(hosts, axis, span_ns), worst)


def worst_calls(reader: StoreReader, query: CallQuery) -> list[IndexedCall]:
    """Calls in which somebody heard nothing, the newest first, then those with the worst scores.

    At most `query.limit`, and half as many of the first.
    """
    limit = query.limit
    silent = [
        call for name in SILENT for call in reader.search(replace(query, flags=(*query.flags, name))).calls
    ]
    silent.sort(key=lambda call: -call.id)
    scored = reader.search(replace(query, sort="mos")).calls
    found = {call.id: call for call in (*silent[: limit // 2], *scored)}
    return list(found.values())[:limit]


def _group(by: By, series: OverviewSeries, axis: TimeAxis, span_ns: int) -> OverviewGroup:
    spans = [(_span(point, axis, span_ns), point) for point in series.points]

    def curve(name: str, key: str, value: Callable[[OverviewPoint], float | None]) -> Curve:
        return Curve(name, key, [PlotStep(*span, value(point)) for span, point in spans])

    calls = [curve("attempts", "attempts", _attempts), curve("failures", "failures", _failures)]
    loss = [curve(ARROWS[way], way, lambda point, way=way: _percent(point.loss[way])) for way in DIRECTIONS]  # type: ignore[misc]
    score = [curve(side, side, lambda one, side=side: one.mos_p10[side]) for side in ("customer", "remote")]  # type: ignore[misc]
    trip = [
        curve(side, side, lambda point, side=side: _ms(point.rtt_us[side]))  # type: ignore[misc]
        for side in ("customer", "remote")
    ]
    grain = span_ns // MINUTE_NS
    every = f"tried, failed / {'min' if grain == 1 else f'{grain} min'}"
    return OverviewGroup(
        by,
        series.name,
        _link(by, series.name),
        _total(series, _attempts),
        _total(series, _failures),
        [
            draw("loss", "Packets lost", "%", axis, _known(loss), high=1.0, filled=True),
            draw("mos", "MOS, p10", "1 to 4.5", axis, _known(score), low=1.0, high=4.5, worst_is_low=True),
            draw("calls", "Calls", every, axis, calls, high=4.0, filled=True),
            draw("rtt", "Round trip", "ms", axis, _known(trip), high=10.0),
        ],
    )


def _known(curves: list[Curve]) -> list[Curve]:
    """Curves without the spans that had no media: those are not unknown."""
    return [
        Curve(curve.name, curve.key, [one for one in curve.levels if one.value is not None])
        for curve in curves
    ]


def _capture(hosts: list[OverviewSeries], axis: TimeAxis, span_ns: int) -> Plot | None:
    steps = [
        PlotStep(*_span(point, axis, span_ns), point.drops)
        for host in hosts
        for point in host.points
        if point.drops is not None
    ]
    if not steps:
        return None
    curve = Curve("drops", "drops", steps)
    return draw("drops", "Frames that the capture missed", "", axis, [curve], high=10.0, filled=True)


def _span(point: OverviewPoint, axis: TimeAxis, span_ns: int) -> tuple[int, int]:
    """From when to when a point is drawn."""
    return max(axis.start_ns, point.start_ns), min(axis.end_ns, point.start_ns + span_ns)


def _total(series: OverviewSeries, value: Callable[[OverviewPoint], int | None]) -> int | None:
    known = [found for point in series.points if (found := value(point)) is not None]
    return sum(known) if known else None


def _attempts(point: OverviewPoint) -> int | None:
    return point.attempts


def _failures(point: OverviewPoint) -> int | None:
    return point.failures


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _ms(us: float | None) -> float | None:
    return None if us is None else us / 1000


def _link(by: By, name: str) -> str:
    return urlencode({"q": f"{by}:{name}"})
