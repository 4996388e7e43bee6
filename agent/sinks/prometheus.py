"""Counters in base units for Prometheus, made from the catalog.

Counters change with the traffic, so that a rate over any scrape interval is right: each scrape asks for the
counts of the open minutes. They stand at zero from the start of the process; the counts of earlier processes
are in CloudWatch and in the store. Samples (jitter, RTT, MOS) and the figures of a minute come at its close.
No label grows with the traffic: the labels are connector, region, and the catalog's fixed ones.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from agent.sinks.carrier_totals import CarrierTotals
from agent.summary.catalog import METRICS, Metric
from agent.summary.records import ConnectorMinute, Samples, Summary

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

T = TypeVar("T")
Key = tuple[str, str, str]  # metric, connector, region
Figure = tuple[str, str, str, str]  # name, connector, region, its own label's value
PUBLISH_S = 0.5  # how long a scrape may wait for the engine
_LABELS = ("voice_connector_id", "region")
RFC6076 = frozenset({"ser_percent", "seer_percent", "isa_percent", "scr_percent", "ira_percent"})
# Figures of the last closed minute: (help, the label beside connector and region).
FIGURES = {
    "coverage_ratio": ("Share of RTP packets whose loss is known, last closed minute", "direction"),
    "rfc6076_percent": ("Session figures of RFC 6076, last closed minute", "figure"),
}
SelfMetrics = Mapping[
    str, tuple[str, Literal["counter", "gauge"], Sequence[tuple[Mapping[str, str], float]]]
]  # name (a counter's without `_total`): (help, type, [(labels, value)])


@dataclass(slots=True)
class _Histogram:
    counts: list[float]  # one a bucket, then +Inf; not cumulative
    sum: float = 0.0


class Totals:
    """The families of `/metrics`. The engine's thread feeds it, any thread reads.

    `add` adds up closed minutes. Counters and active calls are as of the last `publish`, which adds the open
    minutes. It replaces both in one step, so that no counter goes back at a close.
    """

    def __init__(self, *, live: bool = False) -> None:
        """`live`: another thread calls `publish` where `asked` is set. Else only closed minutes show."""
        self._lock = threading.Lock()
        self._live = live
        self._closed: dict[Key, float] = {}
        self._shown: dict[Key, float] = {}
        self._doubtful: dict[
            str, set[Key]
        ] = {}  # counters whose 0 is unknown, of "closed" and "open" minutes
        self._gauges: dict[Key, float] = {}
        self._figures: dict[Figure, float] = {}
        self._histograms: dict[Key, _Histogram] = {}
        self._unknown: Counter[tuple[str, str, str]] = Counter()  # minutes by connector, region, cause
        self.calls_active_unknown: int | None = None
        self.asked = False
        self._published = threading.Condition(self._lock)
        self.carriers = CarrierTotals()

    def begin(self, nothing: Iterable[ConnectorMinute]) -> None:
        """Shows counters of these connectors before their first minute: a counter that appears at 5 has no
        rate.
        """
        nothing = list(nothing)
        self.carriers.begin(nothing)
        with self._lock:
            for minute in nothing:
                for metric in METRICS:
                    self._add(minute, metric)
            for key, value in self._closed.items():
                self._shown.setdefault(key, value)

    def add(self, summary: Summary) -> None:
        """Adds one minute part. Of an unknown count the part that was seen is added."""
        self.carriers.add(summary)
        with self._lock:
            if summary.complete:  # a part that a reload ended is not a whole minute
                self._figures = {}
            for minute in summary.connectors:
                if summary.complete:
                    self._add_figures(minute)
                for cause in {str(reason["cause"]) for reason in minute.unknown_because}:
                    self._unknown[minute.voice_connector_id, minute.region, cause] += 1
                for metric in METRICS:
                    self._add(minute, metric)
            self._doubtful["closed"] = _unknown_counts(summary.connectors)
            if not self._live:
                self._show({})
                self._gauges = self._gauges_of(summary.connectors)
                self.calls_active_unknown = summary.extras.get("calls_active_unknown")

    def closed(self) -> dict[str, float]:
        """Counts of closed minutes by metric, over all connectors."""
        with self._lock:
            counts = dict.fromkeys((name for name, _, _ in self._closed), 0.0)
            for (name, _, _), value in self._closed.items():
                counts[name] += value
            return counts

    def publish(self, open_minutes: Sequence[ConnectorMinute], calls_active_unknown: int | None) -> None:
        """Shows the closed minutes with the present counts of the open ones."""
        counts = {
            (metric.name, minute.voice_connector_id, minute.region): value * metric.scale
            for minute in open_minutes
            for metric in METRICS
            if metric.kind == "count" and isinstance(value := minute.values.get(metric.name), int)
        }
        with self._published:
            self._show(counts)
            self._doubtful["open"] = _unknown_counts(open_minutes)
            self._gauges = self._gauges_of(open_minutes)
            self.calls_active_unknown = calls_active_unknown
            self.asked = False
            self._published.notify_all()

    def refresh(self) -> None:
        """Waits for `publish`, not long: of a busy engine the last counts are shown."""
        with self._published:
            if self._live and not self.asked:  # one that did not answer in time is not waited for again
                self.asked = True
                self._published.wait_for(lambda: not self.asked, PUBLISH_S)

    def _show(self, counts: Mapping[Key, float]) -> None:
        """A counter never goes back: a count that was shown and then became unknown stays counted."""
        for key in {**self._closed, **counts}:
            value = self._closed.get(key, 0.0) + counts.get(key, 0.0)
            before = self._shown.get(key, 0.0)
            if value < before:
                self._closed[key] = self._closed.get(key, 0.0) + before - value
                value = before
            self._shown[key] = value

    def _gauges_of(self, minutes: Iterable[ConnectorMinute]) -> dict[Key, float]:
        return {
            (metric.name, minute.voice_connector_id, minute.region): value * metric.scale
            for minute in minutes
            for metric in METRICS
            if metric.kind == "gauge" and isinstance(value := minute.values.get(metric.name), int)
        }

    def _add_figures(self, minute: ConnectorMinute) -> None:
        whose = minute.voice_connector_id, minute.region
        for direction, coverage in minute.coverage.items():
            if coverage is not None:
                self._figures["coverage_ratio", *whose, direction] = coverage
        for name, value in minute.extras.items():
            if name in RFC6076 and isinstance(value, int | float):
                self._figures["rfc6076_percent", *whose, name.removesuffix("_percent")] = value

    def _add(self, minute: ConnectorMinute, metric: Metric) -> None:
        value = minute.values.get(metric.name, None)
        key = (metric.name, minute.voice_connector_id, minute.region)
        if value is None:
            value = minute.seen.get(metric.name)
        if value is None or metric.kind == "gauge":
            return
        if isinstance(value, Samples):
            bounds = metric.buckets
            histogram = self._histograms.setdefault(key, _Histogram([0.0] * (len(bounds) + 1)))
            for sample, count in zip(value.values, value.counts, strict=True):
                scaled = sample * metric.scale
                place = next((i for i, bound in enumerate(bounds) if scaled <= bound), len(bounds))
                histogram.counts[place] += count
                histogram.sum += scaled * count
        else:
            self._closed[key] = self._closed.get(key, 0.0) + value * metric.scale

    def families(self) -> Iterator[Family]:
        """One family a Prometheus name. Asks for the counts of the open minutes."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        self.refresh()
        with self._lock:
            doubtful = set[Key]().union(*self._doubtful.values())
            counts = {key: value for key, value in self._shown.items() if value or key not in doubtful}
            gauges, figures = dict(self._gauges), dict(self._figures)
            unknown, calls_active_unknown = dict(self._unknown), self.calls_active_unknown
            histograms = {
                key: (list(histogram.counts), histogram.sum) for key, histogram in self._histograms.items()
            }
        for name, metrics in _by_family().items():
            labels = [*_LABELS, *(label for label, _ in metrics[0].labels)]
            help_text = _family_help(metrics)
            if metrics[0].kind == "samples":
                family: Family = HistogramMetricFamily(name, help_text, labels=labels)
                for values, (filled, total) in _rows(metrics, histograms):
                    family.add_metric(values, _cumulative(metrics[0].buckets, filled), total)  # type: ignore[attr-defined]
            else:
                family_class = GaugeMetricFamily if metrics[0].kind == "gauge" else CounterMetricFamily
                family = family_class(name, help_text, labels=labels)
                for values, number in _rows(metrics, gauges if metrics[0].kind == "gauge" else counts):
                    family.add_metric(values, number)
            yield family
        for figure, (text, label) in FIGURES.items():
            family = GaugeMetricFamily(f"sbcwatch_{figure}", text, labels=[*_LABELS, label])
            for (name, *values), number in figures.items():
                if name == figure:
                    family.add_metric(values, number)
            yield family
        family = CounterMetricFamily(
            "sbcwatch_unknown_intervals",
            "Minutes of which something was not seen, by cause: their counts are too low",
            labels=[*_LABELS, "cause"],
        )
        for whose, minutes in unknown.items():
            family.add_metric(list(whose), minutes)
        yield family
        if calls_active_unknown is not None:
            yield GaugeMetricFamily(
                "sbcwatch_calls_active_unknown",
                "Calls up of which nobody saw the start",
                value=calls_active_unknown,
            )


class Collector:
    """prometheus-client's collector of the minutes and of the agent's own figures."""

    def __init__(self, totals: Totals, self_metrics: Callable[[], SelfMetrics] = dict) -> None:
        self._totals = totals
        self._self_metrics = self_metrics

    def collect(self) -> Iterator[Family]:
        yield from self._totals.families()
        yield from self._totals.carriers.families()
        yield from _self_families(self._self_metrics())

    def describe(self) -> Iterable[Family]:
        """Returns nothing: registering must not call into a daemon that is still starting."""
        return ()


def _self_families(metrics: SelfMetrics) -> Iterator[Family]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, (help_text, kind, samples) in metrics.items():
        labels = sorted({label for values, _ in samples for label in values})
        family_class = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        family = family_class(name, help_text, labels=labels)
        for values, number in samples:
            family.add_metric([values.get(label, "") for label in labels], number)
        yield family


def _unknown_counts(minutes: Iterable[ConnectorMinute]) -> set[Key]:
    """Keys of counts that are unknown: a counter that is still 0 is left out while they are."""
    return {
        (name, minute.voice_connector_id, minute.region)
        for minute in minutes
        for name, value in minute.values.items()
        if value is None
    }


def _by_family() -> dict[str, list[Metric]]:
    families: dict[str, list[Metric]] = {}
    for metric in METRICS:
        families.setdefault(metric.prometheus, []).append(metric)
    return families


def _family_help(metrics: Sequence[Metric]) -> str:
    """The words that the help texts of a family's metrics share; its labels say the rest."""
    if len(metrics) == 1:
        return metrics[0].help
    names = ", ".join(metric.name for metric in metrics)
    return f"CloudWatch: {names}"


def _rows(
    metrics: Sequence[Metric], values: Mapping[tuple[str, str, str], T]
) -> Iterator[tuple[list[str], T]]:
    for metric in metrics:
        for (name, connector, region), value in values.items():
            if name == metric.name:
                yield [connector, region, *(label for _, label in metric.labels)], value


def _cumulative(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    total = 0.0
    buckets = []
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
