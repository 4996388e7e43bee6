"""Minutes as CloudWatch metrics: which values become datums, and how many fit a request.

The limits are PutMetricData's: 1,000 datums and 1 MB a request, 150 values a datum, no NaN, no namespace of
AWS's own. An unknown value makes no datum; a count of zero does, because alarms need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from agent.errors import SinkError
from agent.sinks.aws.errors import verdict
from agent.sinks.verdict import MAX_AGE_S, MAX_AHEAD_S, SinkLimits, Verdict
from agent.store import UNASSIGNED, Draft, OutboxRow
from agent.store.codec import unpack, unpack_connectors
from agent.summary.catalog import (
    AGENT_METRICS,
    AGENT_NAMESPACE,
    BY_NAME,
    EXTRA_GAUGES,
    HOST_MINUTES,
    METRICS,
    Metric,
)
from agent.summary.records import MAX_VALUES, ConnectorMinute, Samples, Value
from agent.summary.samples_cy import binned

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

MAX_DATUMS = 1_000
# "1 MB" of payload before compression. The document does not say which megabyte: the smaller is safe.
MAX_REQUEST_BYTES = 1_000_000
DIMENSION_SETS = (("VoiceConnectorId",), ("Region",))
CARRIER = "Carrier"
_DIMENSIONS: dict[str, Callable[[ConnectorMinute], str]] = {
    CARRIER: lambda minute: "",  # `_members` says which
    "VoiceConnectorId": lambda minute: minute.voice_connector_id,
    "Region": lambda minute: minute.region,
}
# Largest bytes of one number and its separators, and of a text beside its own length, by botocore's protocol.
_NUMBER_BYTES = {"smithy-rpc-v2-cbor": 9, "json": 26, "query": 70}
_TEXT_BYTES = {"smithy-rpc-v2-cbor": 20, "json": 24, "query": 70}
_DATUM_BYTES = {"smithy-rpc-v2-cbor": 100, "json": 160, "query": 400}
_ENVELOPE_BYTES = 1_000


class CloudWatchSink:
    """Raises: SinkError (a namespace or a dimension set that CloudWatch would refuse)."""

    name = "cloudwatch"
    kinds = ("metrics",)
    limits = SinkLimits(MAX_AGE_S, MAX_AHEAD_S)

    def __init__(
        self,
        client: CloudWatchClient,
        *,
        namespace: str = "ChimeVoiceConnector",
        dimension_sets: Sequence[Sequence[str]] = DIMENSION_SETS,
    ) -> None:
        if not 1 <= len(namespace) <= 255 or namespace.startswith((":", "AWS/")) or not namespace.isascii():
            raise SinkError(f"CloudWatch refuses the namespace {namespace!r}: set one that is not AWS's own")
        for names in dimension_sets:
            unknown = [name for name in names if name not in _DIMENSIONS]
            if unknown or not names:
                raise SinkError(
                    f"unknown dimension set {list(names)}: sets are made of {', '.join(_DIMENSIONS)}"
                )
        self._client = client
        self._namespace = namespace
        self._dimension_sets = [tuple(names) for names in dimension_sets]
        model = client.meta.service_model
        self._protocol = str(getattr(model, "resolved_protocol", None) or model.protocol)

    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """Rows as requests, each within every limit, datums in the rows' order."""
        drafts: list[Draft] = []
        items: list[dict[str, Any]] = []
        size = _ENVELOPE_BYTES
        for row in rows:
            for datum in datums(unpack_connectors(row.body), row.minute_ns, self._dimension_sets):
                datum_size = wire_bytes(datum, self._protocol)
                if items and (len(items) == MAX_DATUMS or size + datum_size > MAX_REQUEST_BYTES):
                    drafts.append(Draft.of(items, row.connector, self._namespace, self.item_ns))
                    items, size = [], _ENVELOPE_BYTES
                items.append(datum)
                size += datum_size
        if items:
            drafts.append(Draft.of(items, rows[-1].connector, self._namespace, self.item_ns))
        return drafts

    @staticmethod
    def item_ns(item: dict[str, Any]) -> int:
        """The time of a datum: its minute's start, UTC ns."""
        return int(item["Timestamp"]) * 1_000_000_000

    def send(self, target: str, items: list[dict[str, Any]]) -> None:
        """One request.

        Raises: botocore's ClientError and BotoCoreError.
        """
        self._client.put_metric_data(Namespace=target, MetricData=cast(Any, items))

    def partly_taken(self, answer: Any, items: list[dict[str, Any]]) -> None:
        """CloudWatch takes a request whole or not at all."""

    def verdict(self, error: BaseException) -> Verdict:
        """The rule for AWS's code."""
        return verdict(error)

    def prepare(self, target: str) -> None:
        """Does nothing: the first datum of a metric creates it."""


class AgentSink(CloudWatchSink):
    """The agent's own figures, in a namespace of their own, with dimension `Host`."""

    name = "agent"
    kinds = ("agent",)

    def __init__(self, client: CloudWatchClient, *, host: str) -> None:
        super().__init__(client, namespace=AGENT_NAMESPACE)
        self._host = host

    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """A row is a minute part: at most eight datums, so a hundred parts fit a request."""
        items = [
            {
                "MetricName": metric.name,
                "Dimensions": [{"Name": "Host", "Value": self._host}],
                "Timestamp": row.minute_ns // 1_000_000_000,
                "Unit": metric.unit,
                "Value": figures[metric.name],
            }
            for row in rows
            for figures in unpack(row.body)
            for metric in AGENT_METRICS
            if math.isfinite(figures.get(metric.name, math.nan))
        ]
        return [
            Draft.of(items[at : at + MAX_DATUMS], rows[0].connector, AGENT_NAMESPACE, self.item_ns)
            for at in range(0, len(items), MAX_DATUMS)
        ]


def datums(
    connectors: Iterable[ConnectorMinute], minute_ns: int, dimension_sets: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """One minute part of the host's connectors as datums, in catalog order within each dimension set.

    Connectors that share all dimensions of a set are merged: counts and gauges add, samples are binned anew.
    Unknown ones among them add nothing; a metric that none of them knows makes no datum. A part that reaches
    its minute's end has `HOST_MINUTES` besides.
    """
    datums = []
    for names in dimension_sets:
        groups: dict[tuple[str, ...], list[ConnectorMinute]] = {}
        for minute in connectors:
            if minute.voice_connector_id != UNASSIGNED:
                for carrier, member in _members(minute, names):
                    key = tuple(carrier if name == CARRIER else _DIMENSIONS[name](minute) for name in names)
                    groups.setdefault(key, []).append(member)
        for values, members in groups.items():
            dimensions = [{"Name": name, "Value": value} for name, value in zip(names, values, strict=True)]
            at = {"Dimensions": dimensions, "Timestamp": minute_ns // 1_000_000_000}
            if any(member.complete for member in members):
                datums.append({"MetricName": HOST_MINUTES, **at, "Unit": "Count", "Value": 1})
            for metric in METRICS:
                body = _value(_merged([member.values.get(metric.name) for member in members], metric))
                if body is not None:
                    datums.append({"MetricName": metric.name, **at, "Unit": metric.unit, **body})
            if CARRIER not in names:
                datums += [{**at, **datum} for datum in _extra_gauges(members)]
    return datums


def _extra_gauges(members: Sequence[ConnectorMinute]) -> Iterator[dict[str, Any]]:
    """The catalog's sums of gauges; none where one of them is unknown."""
    for name, gauges in EXTRA_GAUGES.items():
        known = [
            _merged([member.values.get(gauge) for member in members], BY_NAME[gauge]) for gauge in gauges
        ]
        if None not in known:
            yield {"MetricName": name, "Unit": "Count", "Value": sum(cast("list[int]", known))}


def _members(minute: ConnectorMinute, names: Sequence[str]) -> list[tuple[str, ConnectorMinute]]:
    """A connector's minute, or its part of each carrier (never "none") where a set has that dimension."""
    if CARRIER not in names:
        return [("", minute)]
    return [
        (carrier, ConnectorMinute(minute.voice_connector_id, minute.region, values, {}))
        for carrier, values in minute.carriers.items()
        if carrier
    ]


def _merged(values: Sequence[Value], metric: Metric) -> Value:
    known = [value for value in values if value is not None]
    if not known or len(known) == 1:
        return known[0] if known else None
    if metric.kind == "samples":
        pairs: list[tuple[float, float]] = []
        for samples in known:
            assert isinstance(samples, Samples)
            pairs += zip(samples.values, samples.counts, strict=True)
        return binned(pairs)
    return sum(cast("list[int]", known))


def _value(value: Value) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Samples):
        return {"Value": value} if math.isfinite(value) else None
    samples: Samples | None = value
    if len(value.values) > MAX_VALUES or not all(map(math.isfinite, value.values)):
        samples = binned(list(zip(value.values, value.counts, strict=True)))
    if samples is None or not samples.values:
        return None
    return {"Values": samples.values, "Counts": samples.counts}


def wire_bytes(datum: dict[str, Any], protocol: str) -> int:
    """At least the bytes that botocore makes of `datum`, before compression, and seldom twice as many."""
    protocol = protocol if protocol in _NUMBER_BYTES else "query"
    texts = [datum["MetricName"], datum["Unit"]]
    for dimension in datum["Dimensions"]:
        texts += [dimension["Name"], dimension["Value"]]
    # A character may take three bytes in UTF-8 (as do an escape's), nine when percent-encoded.
    factor = 9 if protocol == "query" else 6
    text = sum(len(text) if text.isascii() and text.isalnum() else factor * len(text) for text in texts)
    numbers = 2 + 2 * len(datum.get("Values", ()))
    return (
        _DATUM_BYTES[protocol] + text + len(texts) * _TEXT_BYTES[protocol] + numbers * _NUMBER_BYTES[protocol]
    )
