"""Minutes as Prometheus metrics: cumulative counters in base units, drawn from the catalog.

Counters add up over the minutes that this process closed and are there at zero from its start, as Prometheus
expects of a counter; what earlier processes counted is in CloudWatch and in the store. No label grows with
the traffic: the labels are connector, region, and the catalog's fixed ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from agent.summary.catalog import METRICS, Metric
from agent.summary.records import ConnectorMinute, Samples, Summary

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

T = TypeVar("T")
_LABELS = ("voice_connector_id", "region")
SelfMetrics = Mapping[
    str, tuple[str, Literal["counter", "gauge"], Sequence[tuple[Mapping[str, str], float]]]
]  # name (a counter's without `_total`): (help, type, [(labels, value)])


@dataclass(slots=True)
class _Histogram:
    counts: list[float]  # one a bucket, then +Inf; not cumulative
    sum: float = 0.0


class Totals:
    """What `/metrics` shows of the closed minutes. Fed by one thread, read by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], float] = {}
        self._gauges: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._histograms: dict[tuple[str, str, str], _Histogram] = {}
        self._minute_ns = 0

    def begin(self, nothing: Iterable[ConnectorMinute]) -> None:
        """Show counters of these connectors before their first minute: what comes up at 5 has no rate."""
        with self._lock:
            for minute in nothing:
                for metric in METRICS:
                    self._add(0, minute, metric)

    def add(self, summary: Summary) -> None:
        """Add one minute part. Unknown values add nothing; a gauge stands until the next minute."""
        with self._lock:
            self._minute_ns = max(self._minute_ns, summary.start_ns)
            for minute in summary.connectors:
                for metric in METRICS:
                    self._add(summary.start_ns, minute, metric)

    def _add(self, start_ns: int, minute: ConnectorMinute, metric: Metric) -> None:
        value = minute.values.get(metric.name)
        key = (metric.name, minute.voice_connector_id, minute.region)
        if value is None:
            return
        if isinstance(value, Samples):
            bounds = metric.buckets
            histogram = self._histograms.setdefault(key, _Histogram([0.0] * (len(bounds) + 1)))
            for sample, count in zip(value.values, value.counts, strict=True):
                scaled = sample * metric.scale
                place = next((i for i, bound in enumerate(bounds) if scaled <= bound), len(bounds))
                histogram.counts[place] += count
                histogram.sum += scaled * count
        elif metric.kind == "gauge":
            self._gauges[key] = (start_ns, value * metric.scale)
        else:
            self._counts[key] = self._counts.get(key, 0.0) + value * metric.scale

    def families(self) -> Iterator[Family]:
        """One family a Prometheus name; a gauge whose minute was followed by one without it is not shown."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        with self._lock:
            counts, minute_ns = dict(self._counts), self._minute_ns
            gauges = {key: value for key, (at_ns, value) in self._gauges.items() if at_ns == minute_ns}
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
                made = GaugeMetricFamily if metrics[0].kind == "gauge" else CounterMetricFamily
                family = made(name, help_text, labels=labels)
                for values, number in _rows(metrics, gauges if metrics[0].kind == "gauge" else counts):
                    family.add_metric(values, number)
            yield family


class Collector:
    """prometheus-client's collector of the minutes and of the agent's own figures."""

    def __init__(self, totals: Totals, self_metrics: Callable[[], SelfMetrics] = dict) -> None:
        self._totals = totals
        self._self_metrics = self_metrics

    def collect(self) -> Iterator[Family]:
        yield from self._totals.families()
        yield from _self_families(self._self_metrics())

    def describe(self) -> Iterable[Family]:
        """Nothing: registering must not call into a daemon that is still starting."""
        return ()


def _self_families(metrics: SelfMetrics) -> Iterator[Family]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, (help_text, kind, samples) in metrics.items():
        labels = sorted({label for values, _ in samples for label in values})
        made = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        family = made(name, help_text, labels=labels)
        for values, number in samples:
            family.add_metric([values.get(label, "") for label in labels], number)
        yield family


def _by_family() -> dict[str, list[Metric]]:
    families: dict[str, list[Metric]] = {}
    for metric in METRICS:
        families.setdefault(metric.prometheus, []).append(metric)
    return families


def _family_help(metrics: Sequence[Metric]) -> str:
    """The words that all of a family's metrics share; its labels say the rest."""
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
