from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from botocore.model import OperationModel
from botocore.serialize import create_serializer
from botocore.session import Session
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import SinkError
from agent.sinks.aws.cloudwatch import (
    DIMENSION_SETS,
    MAX_REQUEST_BYTES,
    CloudWatchSink,
    datums,
    wire_bytes,
)
from agent.store import OutboxRow, Store
from agent.store.codec import pack
from agent.summary.catalog import METRICS
from agent.summary.records import ConnectorMinute, Samples
from agent.summary.samples_cy import binned
from tests.kit.examples import examples
from tests.kit.minutes import SAMPLES, T0, connector, summary
from tests.kit.sink_clock import Clock, delivery, run
from tests.kit.strict_aws import StrictAws

VC1 = [{"Name": "VoiceConnectorId", "Value": "vc1"}]
REGION = [{"Name": "Region", "Value": "us-east-1"}]


def row(connectors: list[ConnectorMinute], number: int = 0) -> OutboxRow:
    return OutboxRow(number, "*", T0 + number * 60_000_000_000, 0, "metrics", "", 1, pack(connectors))


@cache
def put_metric_data() -> OperationModel:
    """botocore reads the service's description anew for each session, 50 ms."""
    model: OperationModel = Session().get_service_model("cloudwatch").operation_model("PutMetricData")
    return model


def statistics(aws: StrictAws, name: str, dimensions: Any, *percentiles: str) -> Any:
    client = aws.client("cloudwatch")
    asked: dict[str, Any] = {"ExtendedStatistics": list(percentiles)} if percentiles else {}
    [point] = client.get_metric_statistics(
        Namespace="ChimeVoiceConnector",
        MetricName=name,
        Dimensions=dimensions,
        StartTime=T0 / 1e9,
        EndTime=T0 / 1e9 + 60,
        Period=60,
        **(asked or {"Statistics": ["Sum", "Average", "Minimum", "Maximum", "SampleCount"]}),
    )["Datapoints"]
    return point["ExtendedStatistics"] if percentiles else point


def test_all_43_metrics_arrive_and_read_back_with_unit_and_minute(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    samples: dict[str, Any] = {metric.name: SAMPLES for metric in METRICS if metric.kind == "samples"}
    store.commit(summary(connectors=[connector(**samples)]))
    run(delivery(store, CloudWatchSink(aws.client("cloudwatch")), clock), clock)
    assert len(aws.client("cloudwatch").list_metrics(Namespace="ChimeVoiceConnector")["Metrics"]) == 88
    for metric in METRICS:
        point = statistics(aws, metric.name, VC1)
        assert point["Unit"] == metric.unit
        assert point["Timestamp"].timestamp() == T0 / 1e9
        assert point["Sum"] == {"count": 1, "gauge": 2, "samples": 9801}[metric.kind]
    jitter = statistics(aws, "CustomerToVcJitter", VC1)
    assert (jitter["SampleCount"], jitter["Minimum"], jitter["Maximum"]) == (6, 100, 9000)
    assert statistics(aws, "CustomerToVcJitter", VC1, "p50", "p99") == {"p50": 100, "p99": 9000}


def test_region_is_merged_over_connectors(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(
        summary(
            connectors=[
                connector("vc1", InboundCallAttempts=3, CustomerToVcJitter=SAMPLES, Throttles=None),
                connector("vc2", InboundCallAttempts=4, CustomerToVcJitter=SAMPLES, Throttles=None),
                connector("vc3", "eu-west-1", InboundCallAttempts=50),
            ]
        )
    )
    run(delivery(store, CloudWatchSink(aws.client("cloudwatch")), clock), clock)
    assert statistics(aws, "InboundCallAttempts", REGION)["Sum"] == 7
    assert statistics(aws, "InboundCallsActive", REGION)["Sum"] == 4
    jitter = statistics(aws, "CustomerToVcJitter", REGION)
    assert (jitter["Sum"], jitter["SampleCount"]) == (2 * 9801, 12)
    assert not any(series[1] == "Throttles" and "us-east-1" in str(series) for series in aws.metrics.points)


def test_unknown_makes_no_datum_and_zero_does() -> None:
    made = datums(
        [connector(InboundCallAttempts=0, CustomerToVcPacketsLost=None)], T0, [("VoiceConnectorId",)]
    )
    by_name = {datum["MetricName"]: datum for datum in made}
    assert by_name["InboundCallAttempts"]["Value"] == 0
    assert "CustomerToVcPacketsLost" not in by_name
    assert "CustomerToVcJitter" not in by_name


def test_region_of_known_and_unknown_sums_what_is_known() -> None:
    made = datums([connector("a", Throttles=None), connector("b", Throttles=5)], T0, [("Region",)])
    assert [datum["Value"] for datum in made if datum["MetricName"] == "Throttles"] == [5]


def test_unassigned_never_leaves_the_host() -> None:
    assert datums([connector("unassigned")], T0, DIMENSION_SETS) == []


def test_nan_and_infinity_are_never_sent() -> None:
    bad = Samples([float("nan"), 1.0, float("inf")], [1.0, 2.0, 1.0])
    made = datums([connector(CustomerToVcJitter=bad)], T0, [("Region",)])
    [jitter] = [datum for datum in made if datum["MetricName"] == "CustomerToVcJitter"]
    assert (jitter["Values"], jitter["Counts"]) == ([1.0], [2.0])


def test_151_values_become_150_with_the_same_sum() -> None:
    samples = Samples([float(n * n) for n in range(151)], [1.0] * 151)
    made = datums([connector(CustomerToVcJitter=samples)], T0, [("Region",)])
    [jitter] = [datum for datum in made if datum["MetricName"] == "CustomerToVcJitter"]
    assert len(jitter["Values"]) <= 150
    total = sum(value * count for value, count in zip(jitter["Values"], jitter["Counts"], strict=True))
    assert total == pytest.approx(samples.sum)


def test_1000_datums_are_one_request_and_the_next_begins_another(aws: StrictAws) -> None:
    sink = CloudWatchSink(aws.client("cloudwatch"), dimension_sets=[["VoiceConnectorId"]])
    known = len(datums([connector()], T0, [["VoiceConnectorId"]]))
    one: dict[str, Any] = {metric.name: None for metric in METRICS if metric.name != "Throttles"}
    full, rest = divmod(1000, known)
    rows = [row([connector()], n) for n in range(full)] + [
        row([connector(**one)], full + n) for n in range(rest)
    ]
    assert [len(draft.items) for draft in sink.encode(rows)] == [1000]
    over = [*rows, row([connector(**one)], full + rest)]
    assert [len(draft.items) for draft in sink.encode(over)] == [1000, 1]


def test_requests_stay_under_a_megabyte_and_gzip(aws: StrictAws, store: Store, clock: Clock) -> None:
    values = [1 / (n + 3) * 12345.678 for n in range(150)]
    samples = Samples(values, [float(n + 1) for n in range(150)])
    full: dict[str, Any] = {metric.name: samples for metric in METRICS if metric.kind == "samples"}
    for minute in range(6):
        connectors = [connector(f"vc{n}", **full) for n in range(10)]
        store.commit(summary(minute, connectors=connectors))
    run(delivery(store, CloudWatchSink(aws.client("cloudwatch")), clock), clock)
    assert len(aws.metrics.sizes) > 1
    assert max(size for _, size in aws.metrics.sizes) > 0.4 * MAX_REQUEST_BYTES
    assert sum(count for count, _ in aws.metrics.sizes) == 6 * 11 * 44
    assert {encoding for operation, _, encoding in aws.encodings if operation == "PutMetricData"} == {"gzip"}


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=150, unique=True
    ),
    st.text(min_size=1, max_size=40),
)
@settings(max_examples=examples(60), deadline=None)
@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_wire_bytes_is_never_less_than_what_botocore_makes(
    protocol: str, values: list[float], name: str
) -> None:
    minute = connector(name, CustomerToVcJitter=Samples(values, [1e-9 + 1 / 3] * len(values)))
    if not binned([(value, 1.0) for value in values]):
        return
    made = datums([minute], T0, [("VoiceConnectorId",)])
    bodies = [
        create_serializer(protocol).serialize_to_request(
            {"Namespace": "N", "MetricData": [*made * 25][:count]}, put_metric_data()
        )["body"]
        for count in (len(made), 2 * len(made))
    ]
    first, second = (_size(body) for body in bodies)
    estimate = sum(wire_bytes(datum, protocol) for datum in made)
    assert estimate >= second - first


def _size(body: Any) -> int:
    if isinstance(body, dict):
        from urllib.parse import urlencode

        return len(urlencode(body))
    return len(body.encode() if isinstance(body, str) else body)


def test_wire_bytes_of_real_datums_is_less_than_three_times_the_truth() -> None:
    made = datums([connector(CustomerToVcJitter=SAMPLES)], T0, DIMENSION_SETS)
    body = create_serializer("json").serialize_to_request(
        {"Namespace": "N", "MetricData": made}, put_metric_data()
    )["body"]
    assert sum(wire_bytes(datum, "json") for datum in made) < 3 * _size(body)


@pytest.mark.parametrize("namespace", ["AWS/ChimeVoiceConnector", "", ":x", "x" * 256, "näme"])
def test_namespace_that_cloudwatch_refuses_is_refused_at_the_start(aws: StrictAws, namespace: str) -> None:
    with pytest.raises(SinkError):
        CloudWatchSink(aws.client("cloudwatch"), namespace=namespace)


def test_unknown_dimension_is_refused_at_the_start(aws: StrictAws) -> None:
    with pytest.raises(SinkError, match="CallId"):
        CloudWatchSink(aws.client("cloudwatch"), dimension_sets=[["CallId"]])


def test_two_parts_of_a_minute_add_up(aws: StrictAws, store: Store, clock: Clock) -> None:
    gauges: dict[str, Any] = {metric.name: None for metric in METRICS if metric.kind == "gauge"}
    store.commit(summary(part=0, complete=False, connectors=[connector(InboundCallAttempts=3, **gauges)]))
    store.commit(summary(part=1, connectors=[connector(InboundCallAttempts=4)]))
    run(delivery(store, CloudWatchSink(aws.client("cloudwatch")), clock), clock)
    assert statistics(aws, "InboundCallAttempts", VC1)["Sum"] == 7
    assert statistics(aws, "InboundCallsActive", VC1)["Sum"] == 2


def test_active_call_count_is_both_directions_and_absent_where_one_is_unknown() -> None:
    known, unknown = connector("vc1"), connector("vc2", "eu-west-1", OutboundCallsActive=None)
    named = [
        (datum["Dimensions"][0]["Value"], datum["Value"])
        for datum in datums([known, connector("vc3"), unknown], T0, (("VoiceConnectorId",), ("Region",)))
        if datum["MetricName"] == "VoiceConnectorActiveCallCount"
    ]
    assert named == [("vc1", 4), ("vc3", 4), ("us-east-1", 8)]
