from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.config.settings import Config, Customers, Vc
from agent.errors import SinkError
from agent.pipeline import build
from agent.sinks.prometheus import Collector, Totals
from agent.summary.catalog import METRICS
from agent.summary.records import Samples
from agent.web.server import HttpEndpoint
from tests.kit.minutes import SAMPLES, connector, summary


class Endpoint:
    def __init__(self, **options: Any) -> None:
        self.totals = Totals()
        self.self_metrics: dict[str, Any] = {}
        collector = Collector(self.totals, lambda: self.self_metrics)
        self.server = HttpEndpoint(collector, port=0, **options)
        self.server.start()

    def get(self, path: str, accept: str = "text/plain") -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.port}{path}", headers={"Accept": accept}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.stop()


def labels(**more: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"voice_connector_id": "vc1", "region": "us-east-1", **more}.items()))


def test_counters_add_up_over_minutes_and_gauges_are_the_last_minutes(endpoint: Endpoint) -> None:
    endpoint.totals.add(summary(0, connectors=[connector(InboundCallAttempts=3, InboundCallsActive=9)]))
    endpoint.totals.add(summary(1, connectors=[connector(InboundCallAttempts=4, InboundCallsActive=7)]))
    found = endpoint.samples()
    assert found["sbcwatch_call_attempts_total", labels(direction="inbound")] == 7
    assert found["sbcwatch_calls_active", labels(direction="inbound")] == 7
    assert found["sbcwatch_sip_responses_total", labels(**{"class": "2xx"})] == 2


@pytest.mark.parametrize("observer", ["vc", "customer"])
def test_counters_are_there_before_the_first_minute_and_unknown_ones_are_not(
    endpoint: Endpoint, observer: str
) -> None:
    config = Config(
        vc=Vc(addresses=["10.0.0.1"], observer=observer),  # type: ignore[arg-type]
        customers=Customers(networks=("192.0.2.0/24",)),
    )
    endpoint.totals.begin(build(config).intervals.nothing())
    endpoint.totals.add(summary(0, connectors=[connector(InboundCallAttempts=5)]))
    found = endpoint.samples()
    fresh = labels(voice_connector_id="default", region="local", direction="inbound")
    assert found["sbcwatch_call_attempts_total", fresh] == 0
    assert found["sbcwatch_call_attempts_total", labels(direction="inbound")] == 5
    assert ("sbcwatch_calls_active", fresh) not in found
    remote = [value for (_, told), value in found.items() if ("voice_connector_id", "default") in told
              and ("direction", "rem2vc") in told]  # fmt: skip
    assert set(remote) == ({0.0} if observer == "vc" else set())


def test_every_metric_of_the_catalog_is_shown_under_its_own_labels(endpoint: Endpoint) -> None:
    samples: dict[str, Any] = {metric.name: SAMPLES for metric in METRICS if metric.kind == "samples"}
    endpoint.totals.add(summary(connectors=[connector(**samples)]))
    found = endpoint.samples()
    suffix = {"count": "_total", "gauge": "", "samples": "_count"}
    for metric in METRICS:
        value = found[metric.prometheus + suffix[metric.kind], labels(**dict(metric.labels))]
        assert value == {"count": 1, "gauge": 2, "samples": 6}[metric.kind]
    assert all(bool(metric.buckets) == (metric.kind == "samples") for metric in METRICS)


def test_samples_are_histograms_in_seconds(endpoint: Endpoint) -> None:
    jitter = Samples([100.0, 1_000.0, 700_000.0], [3.0, 2.0, 1.0])
    endpoint.totals.add(summary(connectors=[connector(CustomerToVcJitter=jitter)]))
    found = endpoint.samples()
    name = "sbcwatch_jitter_seconds"
    assert found[name + "_sum", labels(direction="cust2vc")] == pytest.approx(0.7023)
    assert found[name + "_count", labels(direction="cust2vc")] == 6
    assert found[name + "_bucket", labels(direction="cust2vc", le="0.0005")] == 3
    assert found[name + "_bucket", labels(direction="cust2vc", le="0.001")] == 5
    assert found[name + "_bucket", labels(direction="cust2vc", le="0.5")] == 5
    assert found[name + "_bucket", labels(direction="cust2vc", le="+Inf")] == 6


def test_unknown_shows_nothing(endpoint: Endpoint) -> None:
    endpoint.totals.add(summary(connectors=[connector(Throttles=None)]))
    assert ("sbcwatch_throttles_total", labels()) not in endpoint.samples()


def test_gauge_of_a_part_without_one_stays_the_minutes(endpoint: Endpoint) -> None:
    endpoint.totals.add(summary(0))
    endpoint.totals.add(
        summary(1, complete=False, connectors=[connector(InboundCallsActive=None, OutboundCallsActive=None)])
    )
    assert ("sbcwatch_calls_active", labels(direction="inbound")) not in endpoint.samples()


def test_no_label_grows_with_the_traffic(endpoint: Endpoint) -> None:
    endpoint.totals.add(summary(media=50, sip=50))
    before = len(endpoint.samples())
    endpoint.totals.add(summary(1, media=500, sip=500))
    assert len(endpoint.samples()) == before


def test_agents_own_figures_are_shown_with_their_labels(endpoint: Endpoint) -> None:
    endpoint.self_metrics = {
        "sbcwatch_rejects": ("Rejected records", "counter", [({"reason": "sip_header"}, 3), ({}, 1)]),
        "sbcwatch_outbox_depth": ("Waiting", "gauge", [({"sink": "cloudwatch"}, 2.0)]),
    }
    found = endpoint.samples()
    assert found["sbcwatch_rejects_total", (("reason", "sip_header"),)] == 3
    assert found["sbcwatch_outbox_depth", (("sink", "cloudwatch"),)] == 2


def test_openmetrics_is_spoken_when_asked_for(endpoint: Endpoint) -> None:
    endpoint.totals.add(summary())
    status, text = endpoint.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert text.endswith("# EOF\n")


def test_health_and_readiness_answer_for_themselves() -> None:
    state = {"ready": (False, "no interface yet")}
    made = Endpoint(ready=lambda: state["ready"])
    try:
        assert made.get("/healthz") == (200, "ok\n")
        assert made.get("/readyz") == (503, "no interface yet\n")
        state["ready"] = (True, "ok")
        assert made.get("/readyz")[0] == 200
        assert made.get("/etc/passwd")[0] == 404
    finally:
        made.server.stop()


def test_address_in_use_is_a_sink_error(endpoint: Endpoint) -> None:
    with pytest.raises(SinkError, match="cannot serve /metrics"):
        HttpEndpoint(Collector(Totals()), port=endpoint.server.port)


def test_stopped_endpoint_frees_its_port() -> None:
    made = Endpoint()
    port = made.server.port
    made.server.stop()
    again = HttpEndpoint(Collector(Totals()), port=port)
    again.stop()


def test_ipv6_address_is_served() -> None:
    made = HttpEndpoint(Collector(Totals()), address="::1", port=0)
    made.start()
    with urllib.request.urlopen(f"http://[::1]:{made.port}/healthz", timeout=5) as answer:
        assert answer.status == 200
    made.stop()
