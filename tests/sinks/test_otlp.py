"""OTLP metrics: read back by OpenTelemetry's own classes, each minute once though answers are lost."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from agent.assembly.sinks import deliveries
from agent.config.settings import Config, OtlpSettings
from agent.errors import ConfigError, SinkError
from agent.model.units import MINUTE_NS
from agent.sinks.aws.sigv4 import region_of, signer
from agent.sinks.delivery import Delivery
from agent.sinks.otlp import OtlpError, OtlpSink, endpoint, headers_in, histogram, name_of, unit_of
from agent.sinks.verdict import ErrorRule
from agent.store import UNASSIGNED, Store
from agent.summary.catalog import METRICS
from agent.summary.records import ConnectorMinute, Samples, Summary, Value
from tests.kit.replayed import scenario

json_format = pytest.importorskip("google.protobuf.json_format")
service = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
T0 = 1_795_996_440 * 10**9
DELTA = 1


class Collector:
    """An OTLP/HTTP receiver that keeps points by series and time; `lots` say how each request ends."""

    def __init__(self) -> None:
        self.points: dict[tuple[Any, ...], Any] = {}
        self.metrics: dict[str, Any] = {}
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.draw = random.Random(7)
        self.lots: tuple[str, ...] = ("well",)
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.lost = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                collector.headers.append(dict(self.headers.items()))
                lot = collector.draw.choice(collector.lots)
                status, answer = collector.answer
                if lot != "before" and status == 200:
                    collector.take(body)
                if lot != "well":
                    collector.lost += 1
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        request = json_format.Parse(body, service.ExportMetricsServiceRequest())
        for resource in request.resource_metrics:
            of = tuple((each.key, each.value.string_value) for each in resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.metrics[metric.name] = metric
                    shape = metric.WhichOneof("data")
                    for point in getattr(metric, shape).data_points:
                        series = tuple(
                            sorted((each.key, each.value.string_value) for each in point.attributes)
                        )
                        key = (metric.name, of, series, point.start_time_unix_nano, point.time_unix_nano)
                        assert self.points.setdefault(key, point) == point  # what comes again is the same

    def total(self, name: str) -> int:
        return sum(point.as_int for key, point in self.points.items() if key[0] == name)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def minute_of(
    values: Mapping[str, Value] | None = None, connector: str = "vc-1", complete: bool = True
) -> ConnectorMinute:
    return ConnectorMinute(connector, "eu-west-1", dict(values or {}), {}, complete=complete)


def summary(minute: int, *connectors: ConnectorMinute, part: int = 0) -> Summary:
    return Summary(T0 + minute * MINUTE_NS, part, True, list(connectors), [], [], [])


def loop_of(store: Store, sink: OtlpSink) -> Delivery:
    store.outbox.register({sink.name: sink.kinds})
    return Delivery(store.outbox, sink, host="h", random=random.Random(1).random, monotonic=lambda: 0.0)


def delivered(
    collector: Collector, path: Path, parts: list[Summary]
) -> tuple[dict[str, float], dict[str, int]]:
    """Counters and errors of a delivery of `parts`, one after the other."""
    store = Store(path)
    loop = loop_of(store, OtlpSink(collector.url, host="sbc-1"))
    now_ns = T0 + 60 * MINUTE_NS
    for part in parts:
        store.commit(part)
        now_ns += int(loop.deliver_once(now_ns) * 1e9)
    for _ in range(2_000):
        if not store.outbox.depth("otlp")[0]:
            break
        now_ns += int(loop.deliver_once(now_ns) * 1e9)
    assert not store.outbox.depth("otlp")[0], (loop.errors(), loop.take_notices())
    seen = loop.counters(now_ns), dict(loop.errors())
    store.close()
    return seen


def test_each_minute_is_there_once_though_answers_are_lost(collector: Collector, tmp_path: Path) -> None:
    collector.lots = ("lost", "before", "well", "well")
    values: list[dict[str, Value]] = [
        {m.name: n * 100 + k for k, m in enumerate(METRICS) if m.kind == "count"} for n in range(10)
    ]
    parts = [
        summary(n, *(minute_of(values[n], f"vc-{k}") for k in range(8))) for n in range(10)
    ]  # more points a minute than one request takes
    delivered(collector, tmp_path / "s.sqlite", parts)
    assert collector.lost > 5
    wanted: dict[str, int] = {}
    for metric in METRICS:
        if metric.kind == "count":
            total = 8 * sum(cast(int, each[metric.name]) for each in values)
            wanted[name_of(metric)] = wanted.get(name_of(metric), 0) + total
    assert {name: collector.total(name) for name in wanted} == wanted
    assert collector.total("sbcwatch.host_minutes") == 80
    assert {(end - start, start % MINUTE_NS) for *_, start, end in collector.points} == {(MINUTE_NS, 0)}


def test_counts_are_delta_sums_gauges_are_gauges_samples_are_histograms(
    collector: Collector, tmp_path: Path
) -> None:
    values: dict[str, Value] = {
        "CustomerToVcRtpPackets": 3_000, "CustomerToVcRtpBytes": 516_000, "InboundCallsActive": 4,
        "InboundCallAttempts": 0, "VcToCustomerJitter": Samples([500.0, 8_000.0], [2, 1]),
        "MOSBetweenVcAndRemote": Samples([4.4], [1]),
    }  # fmt: skip
    delivered(collector, tmp_path / "s.sqlite", [summary(0, minute_of(values))])
    found = collector.metrics
    packets = found["sbcwatch.rtp_packets"]
    assert packets.unit == "{packet}"
    assert packets.sum.is_monotonic
    assert packets.sum.aggregation_temporality == DELTA
    labels = {each.key: each.value.string_value for each in packets.sum.data_points[0].attributes}
    assert labels == {
        "sbcwatch.connector": "vc-1", "cloud.region": "eu-west-1", "sbcwatch.direction": "cust2vc",
    }  # fmt: skip
    assert found["sbcwatch.rtp_bytes"].unit == "By"
    assert found["sbcwatch.calls_active"].gauge.data_points[0].as_int == 4
    assert found["sbcwatch.call_attempts"].sum.data_points[0].as_int == 0  # known to be none
    jitter = found["sbcwatch.jitter"]
    assert jitter.unit == "s"
    assert jitter.exponential_histogram.aggregation_temporality == DELTA
    point = jitter.exponential_histogram.data_points[0]
    assert (point.count, point.min, point.max) == (3, pytest.approx(0.0005), pytest.approx(0.008))
    assert point.sum == pytest.approx(0.009)
    assert found["sbcwatch.mos"].unit == "1"


def test_unknown_makes_no_point(collector: Collector, tmp_path: Path) -> None:
    values: dict[str, Value] = {
        "CustomerToVcPacketsLost": None,
        "CustomerToVcRtpPackets": 1,
        "CustomerToVcJitter": None,
    }
    delivered(collector, tmp_path / "s.sqlite", [summary(0, minute_of(values, complete=False))])
    assert set(collector.metrics) == {"sbcwatch.rtp_packets"}


def test_parts_of_a_minute_are_series_that_add_up(collector: Collector, tmp_path: Path) -> None:
    parts = [
        summary(0, minute_of({"Throttles": 2}, complete=False)),
        summary(0, minute_of({"Throttles": 3}), part=1),
    ]
    delivered(collector, tmp_path / "s.sqlite", parts)
    assert collector.total("sbcwatch.throttles") == 5
    assert collector.total("sbcwatch.host_minutes") == 1


def test_carrier_has_metrics_of_its_own_and_nobody_has_none(collector: Collector, tmp_path: Path) -> None:
    minute = minute_of({"RemoteToVcRtpPackets": 9})
    minute.carriers = {"one": {"RemoteToVcRtpPackets": 7}, "": {"RemoteToVcRtpPackets": 2}}
    delivered(collector, tmp_path / "s.sqlite", [summary(0, minute)])
    assert collector.total("sbcwatch.rtp_packets") == 9
    assert collector.total("sbcwatch.carrier.rtp_packets") == 7


def test_records_of_nobody_stay_here(collector: Collector, tmp_path: Path) -> None:
    delivered(collector, tmp_path / "s.sqlite", [summary(0, minute_of({"Throttles": 1}, UNASSIGNED))])
    assert not collector.points


def test_rejected_points_are_a_gap_and_are_not_sent_again(collector: Collector, tmp_path: Path) -> None:
    answer = {"partialSuccess": {"rejectedDataPoints": "2", "errorMessage": "too many labels"}}
    collector.answer = (200, json.dumps(answer).encode())
    store = Store(tmp_path / "s.sqlite")
    loop = loop_of(store, OtlpSink(collector.url, host="sbc-1"))
    store.commit(summary(0, minute_of({"Throttles": 1, "Sip1xxCodes": 2})))
    for n in range(3):
        loop.deliver_once(T0 + (n + 2) * MINUTE_NS)
    counts = loop.counters(T0)
    assert (counts["requests"], counts["sent_items"], counts["dropped"], counts["depth"]) == (1, 1, 2, 0)
    store.commit(summary(1, minute_of({"Throttles": 1, "Sip1xxCodes": 2})))
    loop.deliver_once(T0 + 9 * MINUTE_NS)
    assert loop.take_notices() == ["otlp: 2 items are lost: rejected by otlp: too many labels"]
    store.close()


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"no JSON", b"[]", b'{"partialSuccess":{}}', b'{"partialSuccess":null}',
     b'{"partialSuccess":{"errorMessage":"deprecated"}}', b'{"partialSuccess":{"rejectedDataPoints":"-1"}}',
     b'{"partialSuccess":{"rejectedDataPoints":{}}}',
     '{"partialSuccess":{"rejectedDataPoints":"\u00b2"}}'.encode(),
     b'{"partialSuccess":{"rejectedDataPoints":"' + b"9" * 5_000 + b'"}}'],
)  # fmt: skip
def test_answer_that_rejects_nothing_is_success(collector: Collector, tmp_path: Path, answer: bytes) -> None:
    collector.answer = (200, answer)
    counts, errors = delivered(collector, tmp_path / "s.sqlite", [summary(0, minute_of({"Throttles": 1}))])
    assert counts["dropped"] == 0
    assert not errors


@pytest.mark.parametrize(
    ("status", "rule"),
    [(400, ErrorRule.BISECT), (413, ErrorRule.BISECT), (401, ErrorRule.CREDENTIALS),
     (403, ErrorRule.CREDENTIALS), (404, ErrorRule.SETTINGS), (307, ErrorRule.REFUSED),
     (429, ErrorRule.THROTTLED), (503, ErrorRule.THROTTLED), (502, ErrorRule.UNKNOWN),
     (504, ErrorRule.UNKNOWN)],
)  # fmt: skip
def test_status_says_what_becomes_of_the_batch(status: int, rule: ErrorRule) -> None:
    assert OtlpSink("http://h", host="h").verdict(OtlpError(status, "")).rule is rule


@pytest.mark.parametrize(
    ("answer", "rule"),
    [((400, b'{"__type":"com.amazonaws.monitoring#ThrottlingException"}'), ErrorRule.THROTTLED),
     ((400, b'{"__type":"ExpiredTokenException"}'), ErrorRule.CREDENTIALS),
     ((403, b'{"__type":"InvalidSignatureException:http://x"}'), ErrorRule.CLOCK),
     ((400, b"no code"), ErrorRule.REFUSED), ((413, b"[]"), ErrorRule.BISECT),
     ((429, b""), ErrorRule.THROTTLED), ((502, b""), ErrorRule.UNKNOWN)],
)  # fmt: skip
def test_error_of_aws_means_what_its_code_says(
    collector: Collector, answer: tuple[int, bytes], rule: ErrorRule
) -> None:
    collector.answer = answer
    sink = OtlpSink(collector.url, host="h", sign=lambda url, body, headers: None)
    with pytest.raises(OtlpError) as raised:
        sink.send("", [])
    assert sink.verdict(raised.value).rule is rule


def test_collector_that_is_not_there_has_taken_nothing() -> None:
    sink = OtlpSink("http://127.0.0.1:1", host="h")
    with pytest.raises(Exception, match="refused") as raised:
        sink.send("", [])
    assert sink.verdict(raised.value).rule is ErrorRule.UNREACHED


@pytest.mark.parametrize(
    "samples",
    [[(1.0, 1)], [(2.0, 1), (4.0, 1)], [(0.0, 5)], [(0.0, 1), (1e-6, 1), (5.0, 3)], [(1e-9, 1), (1e9, 1)],
     [(1 + n / 100, n + 1) for n in range(340)]],
)  # fmt: skip
def test_histogram_holds_each_sample_in_the_bucket_of_its_value(samples: list[tuple[float, int]]) -> None:
    found = histogram(samples)
    assert found is not None
    counts = [int(count) for count in found["positive"]["bucketCounts"]]
    assert len(counts) <= 160
    assert int(found["count"]) == sum(count for _, count in samples) == sum(counts) + int(found["zeroCount"])
    assert found["sum"] == pytest.approx(sum(value * count for value, count in samples))
    width = 2.0 ** -found["scale"]
    for at, count in enumerate(counts, found["positive"]["offset"]):
        low, high = at * width, (at + 1) * width
        assert count == sum(n for value, n in samples if value > 0 and low < math.log2(value) <= high)


def test_histogram_of_nothing_that_is_a_number_is_none() -> None:
    assert histogram([]) is None
    assert histogram([(math.nan, 1), (math.inf, 2)]) is None


def test_units_are_four_and_names_are_unique_a_unit() -> None:
    assert {unit_of(metric) for metric in METRICS} == {"s", "By", "{packet}", "1"}
    shapes = {(name_of(metric), unit_of(metric), metric.kind) for metric in METRICS}
    assert len({name for name, _, _ in shapes}) == len(shapes)


@pytest.mark.parametrize(
    ("url", "region"),
    [("https://monitoring.eu-west-1.amazonaws.com/v1/metrics", "eu-west-1"),
     ("https://monitoring-fips.us-east-1.amazonaws.com/v1/metrics", "us-east-1"),
     ("https://monitoring.cn-north-1.amazonaws.com.cn/v1/metrics", "cn-north-1"),
     ("https://monitoring.us-east-1.api.aws/v1/metrics", "us-east-1"),
     ("https://monitoring.eu-west-1.amazonaws.com", "eu-west-1"),
     ("http://monitoring.eu-west-1.amazonaws.com/v1/metrics", ""),
     ("https://monitoring.eu-west-1.amazonaws.com.evil.example@h/v1/metrics", ""),
     ("https://collector:4318/v1/metrics", "")],
)  # fmt: skip
def test_only_the_endpoint_of_aws_is_signed_for(url: str, region: str) -> None:
    assert region_of(url) == region


def test_signed_request_names_service_and_region_and_signs_the_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("ACCESS_KEY_ID", "AKIDEXAMPLE"), ("SECRET_ACCESS_KEY", "s"), ("SESSION_TOKEN", "t")):
        monkeypatch.setenv(f"AWS_{name}", value)
    sign = signer("monitoring", "eu-west-1")
    signatures = []
    for body in (b"one", b"two"):
        headers = {"Content-Type": "application/json"}
        sign("https://monitoring.eu-west-1.amazonaws.com/v1/metrics", body, headers)
        assert "/eu-west-1/monitoring/aws4_request" in headers["Authorization"]
        assert headers["X-Amz-Security-Token"] == "t"
        signatures.append(headers["Authorization"].rpartition("=")[2])
    assert signatures[0] != signatures[1]


def test_headers_of_the_file_go_with_each_request(collector: Collector, tmp_path: Path) -> None:
    secret = tmp_path / "headers"
    secret.write_text("# for the gateway\nX-Scope-OrgID: 7\nAuthorization: Bearer a:b\n")
    store = Store(tmp_path / "s.sqlite")
    config = Config(otlp=OtlpSettings(url=collector.url, headers_file=str(secret)))
    (loop,) = [each for each in deliveries(config, store.outbox, "sbc-1") if each.sink.name == "otlp"]
    store.commit(summary(0, minute_of({"Throttles": 1})))
    loop.deliver_once(T0 + 2 * MINUTE_NS)
    (headers,) = collector.headers
    assert headers["X-Scope-OrgID"] == "7"
    assert headers["Authorization"] == "Bearer a:b"
    assert headers["Content-Type"] == "application/json"
    store.close()


def test_file_of_headers_that_is_not_there_or_holds_none_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    config = Config(otlp=OtlpSettings(url="http://h", headers_file=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match=r"otlp\.headers_file"):
        deliveries(config, store.outbox)
    for text in ("secret", "a b: c", "a:", "a: \u20ac"):
        with pytest.raises(SinkError, match="Name: value"):
            headers_in(text)
    store.close()


@pytest.mark.parametrize("url", ["ftp://h", "h:4318", "http://", "http://h/x?y=1"])
def test_url_that_will_not_do_is_refused(url: str) -> None:
    with pytest.raises(SinkError, match="OTLP"):
        endpoint(url)


def test_url_without_a_path_has_that_of_the_protocol() -> None:
    assert endpoint("http://h:4318/") == endpoint("http://h:4318") == "http://h:4318/v1/metrics"
    assert endpoint("http://h/otlp/v1/metrics") == "http://h/otlp/v1/metrics"


def test_minutes_of_a_capture_arrive_as_the_pipeline_counted_them(
    collector: Collector, tmp_path: Path
) -> None:
    replayed = scenario("loss-vc2cust")
    store = Store(tmp_path / "s.sqlite")
    loop = loop_of(store, OtlpSink(collector.url, host="sbc-1"))
    for each in replayed.summaries:
        store.commit(each)
    now_ns = replayed.summaries[-1].start_ns + 2 * MINUTE_NS
    while store.outbox.depth("otlp")[0]:
        now_ns += int(loop.deliver_once(now_ns) * 1e9)
    store.close()
    for name in {name_of(metric) for metric in METRICS if metric.kind == "count"}:
        known = [replayed.total(metric.name) for metric in METRICS if name_of(metric) == name]
        assert collector.total(name) == sum(value or 0 for value in known), name
        assert (name in collector.metrics) == any(value is not None for value in known)
