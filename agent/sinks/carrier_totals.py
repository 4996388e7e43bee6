"""The families of `/metrics` by carrier: how its calls end, and the figures of the remote end.

They are families of their own, `sbcwatch_carrier_...`, over all connectors of the host: a label on the
families of the connectors would multiply their series. They change at the close of a minute. Carrier "" is
none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from agent.summary.catalog import CARRIER_METRICS, Metric, carrier_family
from agent.summary.records import ConnectorMinute, Samples, Summary

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

_Key = tuple[str, str]  # metric, carrier


class CarrierTotals:
    """Fed by one thread, read by any. Empty where no carrier is configured."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[_Key, float] = {}
        self._buckets: dict[_Key, list[float]] = {}  # one a bucket, then +Inf; not cumulative
        self._sums: dict[_Key, float] = {}
        self._doubtful: set[_Key] = set()  # unknown in the last minute: their 0 is left out

    def begin(self, nothing: Iterable[ConnectorMinute]) -> None:
        """Show counters at zero before the first minute."""
        with self._lock:
            self._add(nothing)

    def add(self, summary: Summary) -> None:
        """Adds one minute part. Unknown adds nothing; a gauge stays until the next minute."""
        with self._lock:
            for key in [key for key in self._numbers if _BY_NAME[key[0]].kind == "gauge"]:
                del self._numbers[key]
            self._doubtful = {
                (name, carrier)
                for minute in summary.connectors
                for carrier, values in minute.carriers.items()
                for name, value in values.items()
                if value is None
            }
            self._add(summary.connectors)

    def _add(self, minutes: Iterable[ConnectorMinute]) -> None:
        for minute in minutes:
            for carrier, values in minute.carriers.items():
                for metric in CARRIER_METRICS:
                    value, key = values.get(metric.name), (metric.name, carrier)
                    if isinstance(value, Samples):
                        self._fill(key, metric, value)
                    elif value is not None:
                        self._numbers[key] = self._numbers.get(key, 0.0) + value * metric.scale

    def _fill(self, key: _Key, metric: Metric, samples: Samples) -> None:
        filled = self._buckets.setdefault(key, [0.0] * (len(metric.buckets) + 1))
        for value, count in zip(samples.values, samples.counts, strict=True):
            scaled = value * metric.scale
            filled[sum(bound < scaled for bound in metric.buckets)] += count
        self._sums[key] = self._sums.get(key, 0.0) + samples.sum * metric.scale

    def families(self) -> Iterator[Family]:
        """One family a Prometheus name."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        with self._lock:
            numbers = {
                key: value for key, value in self._numbers.items() if value or key not in self._doubtful
            }
            sums = dict(self._sums)
            buckets = {key: list(filled) for key, filled in self._buckets.items()}
        kinds = {"count": CounterMetricFamily, "gauge": GaugeMetricFamily, "samples": HistogramMetricFamily}
        found: dict[str, Family] = {}
        for metric in CARRIER_METRICS if numbers or buckets else ():
            name = carrier_family(metric)
            labels = ["carrier", *(label for label, _ in metric.labels)]
            family = found.setdefault(
                name, kinds[metric.kind](name, f"{metric.help}, by carrier", labels=labels)
            )
            own = [value for _, value in metric.labels]
            for (of, carrier), number in numbers.items():
                if of == metric.name:
                    family.add_metric([carrier, *own], number)  # type: ignore[attr-defined]
            for (of, carrier), filled in buckets.items():
                if of == metric.name:
                    total = 0.0
                    rows = [
                        (str(bound), total := total + count)
                        for bound, count in zip((*metric.buckets, "+Inf"), filled, strict=True)
                    ]
                    family.add_metric([carrier, *own], rows, sums[of, carrier])  # type: ignore[attr-defined]
        yield from found.values()


_BY_NAME = {metric.name: metric for metric in CARRIER_METRICS}
