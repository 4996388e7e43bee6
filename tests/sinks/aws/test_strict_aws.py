"""The strict server itself: it refuses what AWS refuses, to the item, the byte and the second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.kit.strict_aws import StrictAws, cbor_decode, cbor_encode

NOW = 1_790_000_040.0
DAY = 86_400


@pytest.fixture
def aws() -> Iterator[StrictAws]:
    with StrictAws(now=lambda: NOW) as server:
        yield server


def put(aws: StrictAws, *datums: dict[str, Any], namespace: str = "N") -> str:
    """The error's code, or nothing."""
    complete = [{"MetricName": "m", "Timestamp": NOW, "Value": 1.0} | datum for datum in datums]
    for datum in complete:
        if datum.keys() & {"Values", "StatisticValues"} and "both" not in datum:
            del datum["Value"]
        datum.pop("both", None)
    try:
        aws.client("cloudwatch", parameter_validation=False).put_metric_data(
            Namespace=namespace, MetricData=complete
        )
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


INVALID, COMBINATION, MISSING = (
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "MissingParameter",
)


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        ({"Values": [1.0] * 150}, ""),
        ({"Values": [1.0] * 151}, INVALID),
        ({"Values": [1.0, 2.0], "Counts": [1.0]}, INVALID),
        ({"Values": [1.0], "Counts": [-1.0]}, INVALID),
        ({"Values": [1.0], "both": 1}, COMBINATION),
        ({"Value": float("nan")}, INVALID),
        ({"Value": float("inf")}, INVALID),
        ({"Value": 2.0**360}, ""),
        ({"Value": 2.0**361}, INVALID),
        ({"Unit": "Microseconds"}, ""),
        ({"Unit": "Furlongs"}, INVALID),
        ({"MetricName": ""}, MISSING),
        ({"MetricName": "x" * 255}, ""),
        ({"MetricName": "x" * 256}, INVALID),
        ({"Timestamp": NOW - 14 * DAY}, ""),
        ({"Timestamp": NOW - 14 * DAY - 1}, INVALID),
        ({"Timestamp": NOW + 7_200}, ""),
        ({"Timestamp": NOW + 7_201}, INVALID),
        ({"StorageResolution": 1}, ""),
        ({"StorageResolution": 30}, INVALID),
        ({"Dimensions": [{"Name": f"d{n}", "Value": "v"} for n in range(30)]}, ""),
        ({"Dimensions": [{"Name": f"d{n}", "Value": "v"} for n in range(31)]}, INVALID),
        ({"Dimensions": [{"Name": "d", "Value": "v"}] * 2}, INVALID),
        ({"Dimensions": [{"Name": "d", "Value": ""}]}, INVALID),
        ({"Dimensions": [{"Name": "d", "Value": "x" * 1025}]}, INVALID),
    ],
)
def test_datum_limits(aws: StrictAws, datum: dict[str, Any], code: str) -> None:
    assert put(aws, datum) == code
    assert sum(map(len, aws.metrics.points.values())) == (0 if code else 1)


def test_one_bad_datum_fails_the_whole_request(aws: StrictAws) -> None:
    assert put(aws, {}, {"Unit": "x"}, {}) == INVALID
    assert aws.metrics.points == {}


def test_request_limits(aws: StrictAws) -> None:
    assert put(aws, *[{}] * 1000) == ""
    assert put(aws, *[{}] * 1001) == INVALID
    assert put(aws) == MISSING
    assert put(aws, {}, namespace="AWS/Chime") == INVALID
    big = [{"Values": [1 / 3 + n for n in range(150)], "Counts": [1 / 3] * 150}] * 1000
    assert put(aws, *big) == "RequestEntityTooLarge"


def test_statistics_read_back_exactly(aws: StrictAws) -> None:
    assert put(aws, {"Values": [1.0, 2.0, 10.0], "Counts": [98.0, 1.0, 1.0]}) == ""
    [result] = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {
                "Id": "q",
                "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 60, "Stat": "p99"},
            }
        ],
        StartTime=NOW,
        EndTime=NOW + 60,
    )["MetricDataResults"]
    assert result["Values"] == [2.0]
    assert [stamp.timestamp() for stamp in result["Timestamps"]] == [NOW]


def events(aws: StrictAws, *items: dict[str, Any]) -> Any:
    client = aws.client("logs", parameter_validation=False)
    if "g" not in aws.logs.groups:
        client.create_log_group(logGroupName="g")
        client.create_log_stream(logGroupName="g", logStreamName="s")
    complete = [{"timestamp": int(NOW * 1000), "message": "m"} | item for item in items]
    try:
        answer = client.put_log_events(logGroupName="g", logStreamName="s", logEvents=complete)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return answer.get("rejectedLogEventsInfo", {})


def at(seconds: float) -> dict[str, Any]:
    return {"timestamp": int((NOW + seconds) * 1000)}


def test_log_limits(aws: StrictAws) -> None:
    refused = "InvalidParameterException"
    assert events(aws, *[{}] * 10_000) == {}
    assert events(aws, *[{}] * 10_001) == refused
    assert events(aws) == refused
    assert events(aws, {"message": ""}) == refused
    assert events(aws, {"message": "x" * (1_048_576 - 26)}) == {}
    assert events(aws, {"message": "x" * (1_048_576 - 25)}) == refused
    assert events(aws, *[{"message": "x" * (524_288 - 26)}] * 2) == {}
    assert events(aws, {"message": "x" * (524_288 - 25)}, {"message": "x" * (524_288 - 26)}) == refused
    assert events(aws, {"message": "é" * 524_288}) == refused
    assert events(aws, at(0), at(-1)) == refused
    assert events(aws, at(-DAY), at(0)) == {}
    assert events(aws, at(-DAY - 1), at(0)) == refused


def test_log_windows_answer_with_indexes(aws: StrictAws) -> None:
    assert events(aws, at(-14 * DAY - 1), at(-1), at(0)) == {"tooOldLogEventEndIndex": 1}
    assert events(aws, at(0), at(7_200), at(7_201)) == {"tooNewLogEventStartIndex": 2}
    aws.client("logs").put_retention_policy(logGroupName="g", retentionInDays=1)
    assert events(aws, at(-DAY - 1), at(-1)) == {"expiredLogEventEndIndex": 1}
    assert len(aws.logs.groups["g"].streams["s"]) == 2 + 2 + 1


def test_missing_group_and_stream_are_said_apart_from_bad_events(aws: StrictAws) -> None:
    client = aws.client("logs")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.put_log_events(
            logGroupName="none", logStreamName="s", logEvents=[{"timestamp": 0, "message": "m"}]
        )
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.create_log_group(logGroupName="a b")
    client.create_log_group(logGroupName="g")
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName="g")
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.put_retention_policy(logGroupName="g", retentionInDays=2)


def test_hang_ends_when_the_server_stops_and_heal_ends_an_outage() -> None:
    with StrictAws(now=time.time) as aws:
        aws.fail("503", times=None)
        assert put(aws, {"Timestamp": time.time()}) == "ServiceUnavailable"
        aws.heal()
        assert put(aws, {"Timestamp": time.time()}) == ""


def test_cbor_round_trips() -> None:
    value = {"a": [1, -5, 300, 70_000, 2**40, 1.5, True, False, None, "é"], "b": {}}
    assert cbor_decode(cbor_encode(value)) == value
