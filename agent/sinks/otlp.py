"""Minutes as OpenTelemetry metrics: OTLP/HTTP with JSON, delta temporality, one request a minute.

A point covers its own minute only, so it does not depend on the point before. The request is a plain function
of the minute: sent again after a lost answer it is word for word the same, and a store with keys of series
and time has it once. An unknown value makes no point; a count of zero does.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.errors import SinkError
from agent.model.units import MINUTE_NS
from agent.sinks.aws.errors import code_in
from agent.sinks.aws.errors import verdict as aws_verdict
from agent.sinks.verdict import MAX_AGE_S, MAX_AHEAD_S, ErrorRule, PartlyTaken, SinkLimits, Verdict
from agent.store import UNASSIGNED, Draft, OutboxRow
from agent.store.codec import to_json, unpack_connectors
from agent.summary.catalog import HOST_MINUTES, METRICS, Metric
from agent.summary.records import ConnectorMinute, Samples, Value

if TYPE_CHECKING:
    from urllib3 import PoolManager

# Changes the headers of a request; method and URL are fixed, the body is given.
Signer = Callable[[str, bytes, dict[str, str]], None]

LANE = "*"
PATH = "/v1/metrics"  # where a URL names none (OTLP/HTTP)
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 3.0, 10.0
MAX_POINTS = 200  # points a request: the batch of CloudWatch's own example
DELTA = 1  # AGGREGATION_TEMPORALITY_DELTA
MAX_SCALE, MAX_BUCKETS = 20, 160  # of an exponential histogram: OpenTelemetry's own defaults
_RULES = {
    400: ErrorRule.BISECT,  # the data is malformed: never again (OTLP/HTTP)
    413: ErrorRule.BISECT,
    401: ErrorRule.CREDENTIALS,
    403: ErrorRule.CREDENTIALS,
    404: ErrorRule.SETTINGS,
    405: ErrorRule.SETTINGS,
    415: ErrorRule.SETTINGS,
    429: ErrorRule.THROTTLED,
    503: ErrorRule.THROTTLED,
}


class OtlpError(Exception):
    """An answer without success."""

    def __init__(self, status: int, text: str, aws_code: str = "") -> None:
        super().__init__(f"HTTP {status}: {text[:300]}")
        self.status = status
        # As botocore's errors have it.
        self.response = {
            "Error": {"Code": aws_code or str(status)},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


class OtlpSink:
    """Each item is one point; each batch is of one minute. Raises SinkError where the URL is malformed."""

    name = "otlp"
    kinds = ("metrics",)
    limits = SinkLimits(MAX_AGE_S, MAX_AHEAD_S)

    def __init__(
        self, url: str, *, host: str, headers: Mapping[str, str] | None = None, sign: Signer | None = None
    ) -> None:
        import urllib3

        self._url = endpoint(url)
        self._headers = dict(headers or {})
        self._sign = sign
        self._resource = _attributes({"service.name": "sbcwatch", "host.name": host})
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        self._pool: PoolManager = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=2)

    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """Rows by minute, `MAX_POINTS` a request, points in the catalog's order."""
        minutes: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            points = minutes.setdefault(row.minute_ns, [])
            for minute in unpack_connectors(row.body):
                if minute.voice_connector_id != UNASSIGNED:
                    points += points_of(minute, row.minute_ns, row.part)
        return [
            Draft(LANE, self._url, points[at : at + MAX_POINTS], minute_ns, minute_ns)
            for minute_ns, points in minutes.items()
            for at in range(0, len(points), MAX_POINTS)
        ]

    @staticmethod
    def item_ns(item: dict[str, Any]) -> int:
        """The start of a point's minute, UTC ns."""
        return int(item["point"]["timeUnixNano"]) - MINUTE_NS

    def send(self, target: str, items: list[dict[str, Any]]) -> Any:
        """One request; the answer's JSON. Raises OtlpError, urllib3's HTTPError, botocore's errors."""
        body = gzip.compress(to_json(request_of(items, self._resource)), 2, mtime=0)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **self._headers}
        if self._sign is not None:
            self._sign(self._url, body, headers)
        answer = self._pool.request("POST", self._url, body=body, headers=headers, redirect=False)
        if not 200 <= answer.status < 300:
            code = code_in(answer.headers, answer.data)
            raise OtlpError(answer.status, answer.data.decode(errors="replace"), code)
        try:
            return answer.json() if answer.data else {}
        except ValueError:
            return {}  # taken; the answer's body is not JSON

    def partly_taken(self, answer: Any, items: list[dict[str, Any]]) -> PartlyTaken | None:
        """The points that the answer calls rejected are lost: OTLP forbids to send them again."""
        part = answer.get("partialSuccess") if isinstance(answer, dict) else None
        if not isinstance(part, dict):
            return None
        said = str(part.get("rejectedDataPoints") or 0)  # a string in JSON: it has 64 bits
        rejected = min(int(said), len(items)) if re.fullmatch("[0-9]{1,19}", said) else 0
        if not rejected:
            return None  # a warning at most
        why = str(part.get("errorMessage") or "no reason given")[:300]
        return PartlyTaken(rejected, len(items), f"rejected by {self.name}: {why}", "PartialSuccess")

    def verdict(self, error: BaseException) -> Verdict:
        """The status decides (where AWS answers, its code), else whether the request left."""
        if isinstance(error, OtlpError) and self._sign is not None:
            return aws_verdict(error)
        if isinstance(error, OtlpError):
            rule = _RULES.get(error.status)
            if rule is None:
                rule = ErrorRule.REFUSED if error.status < 500 else ErrorRule.UNKNOWN
            return Verdict(str(error.status), rule)
        if type(error).__module__.startswith("botocore"):
            return aws_verdict(error)
        name = type(error).__name__
        never_left = name in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "SSLError")
        return Verdict(name, ErrorRule.UNREACHED if never_left else ErrorRule.UNKNOWN)

    def prepare(self, target: str) -> None:
        """Does nothing: the first point of a metric creates it."""


def endpoint(url: str) -> str:
    """The URL for the POST: with OTLP's own path where it has none. Raises SinkError."""
    if not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", url):
        raise SinkError(f"{url!r} is no OTLP endpoint: write it as https://host:4318")
    has_path = bool(url.split("://")[1].partition("/")[2])
    return url if has_path else url.rstrip("/") + PATH


def name_of(metric: Metric) -> str:
    """`sbcwatch.rtp_packets`: the Prometheus name without the unit. OTLP has a field for the unit."""
    return metric.prometheus.replace("_", ".", 1).removesuffix("_seconds")


def unit_of(metric: Metric) -> str:
    """UCUM: `s`, `By`, `{packet}` or `1`."""
    if metric.unit == "Microseconds":
        return "s"
    if metric.name.endswith("Bytes"):
        return "By"
    return "{packet}" if "Packets" in metric.name else "1"


def points_of(minute: ConnectorMinute, minute_ns: int, part: int) -> Iterator[dict[str, Any]]:
    """The known values of one connector's minute part, then of its carriers.

    A further part of a minute is a series of its own: it covers the same minute, and adds up with the first.
    """
    of = {"sbcwatch.connector": minute.voice_connector_id, "cloud.region": minute.region}
    if part:
        of["sbcwatch.part"] = str(part)
    if minute.complete:
        yield _item(HOST_MINUTES_NAME, "1", "sum", {"asInt": "1"}, of, minute_ns)
    yield from _points(minute.values, "sbcwatch.", of, minute_ns)
    for carrier, values in minute.carriers.items():
        if carrier:
            yield from _points(values, "sbcwatch.carrier.", {**of, "sbcwatch.carrier": carrier}, minute_ns)


def _points(
    values: Mapping[str, Value], prefix: str, of: Mapping[str, str], minute_ns: int
) -> Iterator[dict[str, Any]]:
    for metric in METRICS:
        body = _body(values.get(metric.name), metric)
        if body is not None:
            name = prefix + name_of(metric).removeprefix("sbcwatch.")
            series = {**of, **{f"sbcwatch.{label}": value for label, value in metric.labels}}
            yield _item(name, unit_of(metric), _SHAPES[metric.kind], body, series, minute_ns, metric.help)


def _body(value: Value, metric: Metric) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, Samples):
        pairs = zip(value.values, value.counts, strict=True)
        return histogram([(each * metric.scale, round(count)) for each, count in pairs])
    return {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}


def _item(
    name: str, unit: str, shape: str, body: Mapping[str, Any], of: Mapping[str, str], minute_ns: int,
    description: str = "",
) -> dict[str, Any]:  # fmt: skip
    times = {"startTimeUnixNano": str(minute_ns), "timeUnixNano": str(minute_ns + MINUTE_NS)}
    point = {"attributes": _attributes(of), **times, **body}
    return {"name": name, "unit": unit, "shape": shape, "description": description, "point": point}


def histogram(samples: Sequence[tuple[float, int]]) -> dict[str, Any] | None:
    """(value, count) pairs as an exponential histogram, at the finest scale within `MAX_BUCKETS`.

    Bucket i holds values above 2^(i / 2^scale), up to 2^((i + 1) / 2^scale). Sum, least and greatest are
    exact.
    """
    known = [(value, count) for value, count in samples if math.isfinite(value) and count > 0]
    if not known:
        return None
    positive = [(math.log2(value), count) for value, count in known if value > 0]
    zeros = sum(count for value, count in known if value <= 0)
    scale = MAX_SCALE
    while positive and _bucket(max(positive)[0], scale) - _bucket(min(positive)[0], scale) >= MAX_BUCKETS:
        scale -= 1
    first = min((_bucket(power, scale) for power, _ in positive), default=0)
    last = max((_bucket(power, scale) for power, _ in positive), default=-1)
    counts = [0] * (last - first + 1)
    for power, count in positive:
        counts[_bucket(power, scale) - first] += count
    return {
        "count": str(zeros + sum(counts)),
        "sum": math.fsum(value * count for value, count in known),
        "scale": scale,
        "zeroCount": str(zeros),
        "positive": {"offset": first, "bucketCounts": [str(count) for count in counts]},
        "min": min(value for value, _ in known),
        "max": max(value for value, _ in known),
    }


def _bucket(power: float, scale: int) -> int:
    """The bucket of 2^power. An upper bound is a bucket's own."""
    return math.ceil(math.ldexp(power, scale)) - 1


def request_of(items: Sequence[Mapping[str, Any]], resource: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An ExportMetricsServiceRequest of points, in OTLP's JSON."""
    metrics: dict[str, dict[str, Any]] = {}
    for item in items:
        name, shape = item["name"], item["shape"]
        metric = metrics.get(name)
        if metric is None:
            data: dict[str, Any] = {"dataPoints": []}
            if shape != "gauge":
                data["aggregationTemporality"] = DELTA
            if shape == "sum":
                data["isMonotonic"] = True
            metric = metrics[name] = {"name": name, "unit": item["unit"], shape: data}
            if item["description"]:
                metric["description"] = item["description"]
        metric[shape]["dataPoints"].append(item["point"])
    scope = {"scope": {"name": "sbcwatch", "version": __version__}, "metrics": list(metrics.values())}
    return {"resourceMetrics": [{"resource": {"attributes": list(resource)}, "scopeMetrics": [scope]}]}


def _attributes(of: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in of.items() if value]


def headers_in(text: str) -> dict[str, str]:
    """The headers of a file, one `Name: value` a line; `#` begins a comment. Raises SinkError."""
    headers = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        named = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name.strip())
        if not colon or not named or not re.fullmatch(r"[\t -~]+", value.strip()):
            raise SinkError("otlp.headers_file: a line is no header: write Name: value")
        headers[name.strip()] = value.strip()
    return headers


# The protobuf field of each kind of metric.
_SHAPES = {"count": "sum", "gauge": "gauge", "samples": "exponentialHistogram"}
HOST_MINUTES_NAME = "sbcwatch." + re.sub(r"(?<!^)(?=[A-Z])", "_", HOST_MINUTES).lower()
