"""The metrics of one connector in one minute, and its further figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from agent.calls.rfc6076 import extras
from agent.model.sides import Connector, Sides
from agent.summary.catalog import CARRIER_METRICS, METRICS, Metric
from agent.summary.direction_totals_cy import MediaTotals
from agent.summary.open_minute import OpenMinute, connector_of
from agent.summary.records import ConnectorMinute, Value
from agent.summary.unseen import CountedTraffic, View

_CODES = tuple(metric.name for metric in METRICS if metric.name.startswith("Sip"))
_OF_REMOTE = frozenset({"rem2vc", "vc2rem", "remote"})


class MinuteTotals(Struct):
    """The totals of a closing minute, by connector."""

    counts: defaultdict[Connector, Counter[str]]
    media: defaultdict[Connector, MediaTotals]
    gauges: dict[tuple[Connector, str], int]
    figures: dict[Connector, dict[str, Any]]
    complete: bool  # it has gauges
    # By connector and carrier ("": of none): what the remote end had, how calls ended, calls up.
    carrier_media: defaultdict[tuple[Connector, str], MediaTotals]
    carrier_counts: defaultdict[tuple[Connector, str], Counter[str]]
    host: CountedTraffic = field(default_factory=CountedTraffic)

    def connectors(self, configured: tuple[Connector, ...]) -> list[Connector]:
        """The configured connectors, then others with events."""
        named = (connector for connector, _ in self.gauges)
        return list(dict.fromkeys((*configured, *self.counts, *self.figures, *self.media, *named)))


def no_totals() -> MinuteTotals:
    """Empty totals of a minute without gauges."""
    return MinuteTotals(
        defaultdict(Counter),
        defaultdict(MediaTotals),
        {},
        {},
        False,
        defaultdict(MediaTotals),
        defaultdict(Counter),
    )


def connector_minute(
    connector: Connector, totals: MinuteTotals, minute: OpenMinute, sides: Sides, observer: str
) -> ConnectorMinute:
    """One connector's 43 metrics: None where unknown; `unknown_because` has the reason."""
    counts, media = totals.counts[connector], totals.media[connector]
    media_values, samples, coverage = media.values, media.samples, media.coverage
    view = View(minute.marks, connector, traffic(counts, media), totals.host)
    values: dict[str, Value] = {}
    seen: dict[str, int] = {}
    for metric in METRICS:
        name = metric.name
        if view.is_anothers(metric):
            values[name] = None
            continue  # `seen` would count it here too
        if (metric.is_sided and not sides.known) or (metric.of in _OF_REMOTE and observer == "customer"):
            values[name] = None
        elif name == "Throttles" and totals.figures.get(connector, {}).get("throttles_unknown"):
            values[name] = None  # nobody knows whose refusal it was
        elif metric.kind == "samples":
            values[name] = samples[name]
        elif metric.kind == "gauge":
            gauge = totals.gauges.get((connector, name), 0) if totals.complete else None
            values[name] = view.value(metric, gauge)
        elif name in media_values:
            values[name] = _media_value(metric, media_values[name], media, view)
        else:
            values[name] = view.value(metric, counts[name])
        if values[name] is None and metric.kind == "count" and (sides.known or not metric.is_sided):
            count = media_values.get(name) if name in media_values else counts[name]
            if count:
                seen[name] = count
    return ConnectorMinute(
        connector.id,
        connector.region,
        values,
        {direction: view.coverage(direction, share) for direction, share in coverage.items()},
        totals.figures.get(connector, {}),
        view.because(),
        totals.complete,
        seen,
        {
            carrier: _carrier_values(connector, carrier, values, totals, view)
            for carrier in ("", *(one.id for one in sides.carriers))
        }
        if sides.carriers
        else {},
    )


def _carrier_values(
    connector: Connector, carrier: str, whole: Mapping[str, Value], totals: MinuteTotals, view: View
) -> dict[str, Value]:
    """A carrier's part of a connector's metrics: None where the `whole` is, or where a 0 is doubtful."""
    counts = totals.carrier_counts.get((connector, carrier), Counter())
    media = totals.carrier_media.get((connector, carrier)) or MediaTotals()
    known: dict[str, Value] = {**counts, **media.values, **media.samples}
    values: dict[str, Value] = {}
    for metric in CARRIER_METRICS:
        value = None if whole[metric.name] is None else known.get(metric.name, 0)
        values[metric.name] = _media_value(metric, value, media, view) if value == 0 else value
    return values


def _media_value(metric: Metric, value: int | None, media: MediaTotals, view: View) -> int | None:
    """Loss is that of the streams whose loss is known; `coverage` says how many those are."""
    if metric.prometheus == "sbcwatch_packets_lost" and media.has_streams(metric.of):
        return value
    return view.value(metric, value)


def traffic(counts: Mapping[str, int], media: MediaTotals) -> CountedTraffic:
    """How much of a connector was seen."""
    return CountedTraffic(sum(counts.get(name, 0) for name in _CODES), media.packets)


def figures(minute: OpenMinute, fallback: Connector) -> dict[Connector, dict[str, Any]]:
    """RFC 6076 and the other extra counts, by connector."""
    tallies: defaultdict[Connector, Counter[str]] = defaultdict(Counter)
    delays: defaultdict[Connector, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (owner, name), count in minute.tallies.items():
        tallies[connector_of(owner, fallback)][name] += count
    for (owner, name), values in minute.delays.items():
        delays[connector_of(owner, fallback)][name] += values
    return {
        connector: extras(tallies[connector], delays[connector])
        for connector in dict.fromkeys((*tallies, *delays))
    }
