"""The same minutes through emulators that were not written here, and through each of boto3's protocols."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.args
import botocore.model
import pytest

from agent.model.units import MINUTE_NS
from agent.sinks.aws.clients import cloudwatch_client, logs_client
from agent.sinks.aws.cloudwatch import CloudWatchSink
from agent.sinks.aws.logs import LogsSink
from agent.store import Store
from tests.kit.minutes import SAMPLES, connector, summary
from tests.kit.sink_clock import Clock, delivery, run
from tests.kit.strict_aws import StrictAws


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@contextlib.contextmanager
def moto() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextlib.contextmanager
def ministack() -> Iterator[str]:
    """MINISTACK names its program, which may live in an environment of its own: its dependencies are many."""
    program = os.environ.get("MINISTACK") or shutil.which("ministack")
    if program is None:
        pytest.skip("no ministack here: pip install ministack, or set MINISTACK to its program")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program],
        env={**os.environ, "GATEWAY_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=[moto, ministack], ids=lambda made: made.__name__)
def emulator(
    request: pytest.FixtureRequest, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    with request.param() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield


def test_emulator_reads_back_what_was_sent(emulator: None, store: Store, clock: Clock) -> None:
    clock.now_ns = time.time_ns()  # an emulator keeps no clock but the real one
    start = clock.now_ns // MINUTE_NS * MINUTE_NS - 10 * MINUTE_NS
    first = summary(
        0, start_ns=start, media=2, sip=3, connectors=[connector("vc1", CustomerToVcJitter=SAMPLES)]
    )
    second = summary(1, start_ns=start, connectors=[connector("vc1"), connector("vc2")])
    store.commit(first)
    store.commit(second)
    cloudwatch, logs = cloudwatch_client(), logs_client()
    run(delivery(store, CloudWatchSink(cloudwatch), clock), clock)
    run(delivery(store, LogsSink(logs, "media", host="h"), clock), clock)
    run(delivery(store, LogsSink(logs, "sip", host="h"), clock), clock)

    def statistics(name: str, dimension: str, value: str) -> Any:
        points = cloudwatch.get_metric_statistics(
            Namespace="ChimeVoiceConnector",
            MetricName=name,
            Dimensions=[{"Name": dimension, "Value": value}],
            StartTime=datetime.fromtimestamp(start / 1e9, UTC),
            EndTime=datetime.fromtimestamp(start / 1e9 + 180, UTC),
            Period=60,
            Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"],
        )["Datapoints"]
        return sorted(points, key=lambda point: point["Timestamp"])

    assert [p["Sum"] for p in statistics("InboundCallAttempts", "VoiceConnectorId", "vc1")] == [1, 1]
    assert [p["Sum"] for p in statistics("InboundCallAttempts", "Region", "us-east-1")] == [1, 2]
    [jitter] = statistics("CustomerToVcJitter", "VoiceConnectorId", "vc1")
    assert (jitter["Sum"], jitter["SampleCount"]) == (9801, 6)
    assert (jitter["Minimum"], jitter["Maximum"]) == (100, 9000)
    for group, rows in (("Logs", first.media), ("SipMessages", first.sip)):
        events = logs.get_log_events(
            logGroupName=f"/aws/ChimeVoiceConnector{group}/vc1", logStreamName="h", startFromHead=True
        )["events"]
        assert [json.loads(event["message"]) for event in events] == rows


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_each_protocol_of_boto3_is_spoken(
    protocol: str, credentials: None, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = list(vars(botocore.model)["PRIORITY_ORDERED_SUPPORTED_PROTOCOLS"])
    order = [protocol, *(name for name in known if name != protocol)]
    monkeypatch.setattr(botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", order)
    with StrictAws(now=lambda: clock.now_ns / 1e9) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", aws.endpoint_url)
        client = cloudwatch_client()
        assert client.meta.service_model.resolved_protocol == protocol
        for minute in range(30):
            store.commit(summary(minute, connectors=[connector(CustomerToVcJitter=SAMPLES)]))
        loop = delivery(store, CloudWatchSink(client), clock)
        aws.fail("throttle")
        aws.fail("500")
        aws.fail(code="InvalidParameterValueException")
        for _ in range(20):
            run(loop, clock)
            clock.advance(61)
        assert loop.counters(clock.now_ns)["depth"] == 0
        assert set(loop.errors()) == {"Throttling", "InternalServiceError", "InvalidParameterValue"}
        assert sum(map(len, aws.metrics.points.values())) == 30 * 74
        jitter = aws.metrics.points[
            ("ChimeVoiceConnector", "CustomerToVcJitter", (("VoiceConnectorId", "vc1"),))
        ]
        assert {(tuple(p.values), tuple(p.counts)) for p in jitter} == {
            (tuple(SAMPLES.values), tuple(SAMPLES.counts))
        }
        assert {p.unit for p in jitter} == {"Microseconds"}


def test_clients_try_once_with_short_timeouts(credentials: None) -> None:
    for client in (cloudwatch_client(), logs_client()):
        config: Any = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (3, 10)
        assert config.retries["total_max_attempts"] == 1


def test_settings_that_boto3_refuses_are_sink_errors(
    credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.errors import SinkError

    with pytest.raises(SinkError):
        cloudwatch_client(endpoint_url="not a url")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(SinkError, match="region"):
        cloudwatch_client()
    monkeypatch.setenv("AWS_PROFILE", "none-such")
    with pytest.raises(SinkError, match="profile"):
        logs_client()
