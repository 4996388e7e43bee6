"""The daemon on a real NIC, beside a real SBC, into a CloudWatch that is not ours.

The lab's calls run while `sbcwatch run` watches the sbc's interfaces; then what boto3 reads back must equal
what the endpoints, kamailio's log and the kernel's counters say.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.summary.catalog import ID_FIELDS, MEDIA_FIELDS, METRICS, SIP_FIELDS
from tests.lab import Lab, ng, total, why_not

SCENARIOS = [
    "answered-outbound",
    "answered-inbound",
    "busy-inbound",
    "cancelled-outbound",
    "carrier-503-outbound",
    "throttled-outbound",
    "challenged-outbound",
    "ipv6-outbound",
    "loss-cust2vc",
    "loss-vc2cust",
    "twenty-inbound",
]
PORT = 5055
CONNECTOR = "lab-trunk"
CONFIG = """
[[connectors]]
id = "{connector}"
region = "eu-lab-1"
customer_networks = {customers}
default = true
[vc]
addresses = {vc}
[store]
directory = "{state}"
checkpoint = 1.0
[cloudwatch]
enabled = true
region = "us-east-1"
interval = 2.0
[logs]
enabled = true
[prometheus]
port = 9643
"""
DIRECTIONS = {
    "cust2vc": "CustomerToVc",
    "vc2cust": "VcToCustomer",
    "rem2vc": "RemoteToVc",
    "vc2rem": "VcToRemote",
}

pytestmark = pytest.mark.lab


class Seen:
    """What boto3 read back, and what `/metrics` said."""

    def __init__(self, truth: dict[str, Any]) -> None:
        self.truth = truth
        self.asked = ""  # the Call-ID of which rtpengine was asked
        self.relayed: dict[tuple[str, int], int] = {}  # and what it counted on its sockets
        self.values: dict[str, float | None] = {}
        self.media: list[dict[str, Any]] = []
        self.sip: list[dict[str, Any]] = []
        self.prometheus = ""
        self.log = ""
        self.status: int | None = None


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    reason = why_not()
    if reason:
        pytest.skip(f"the lab cannot run here: {reason}")
    folder = tmp_path_factory.mktemp("live")
    began = time.time()
    with pytest.MonkeyPatch.context() as environment, Lab() as lab:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{PORT}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        emulator = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(PORT)]
        lab.start_in_sbc(emulator, folder / "moto.log")
        config = folder / "sbcwatch.toml"
        config.write_text(
            CONFIG.format(
                connector=CONNECTOR,
                customers=json.dumps(lab.customer_networks),
                vc=json.dumps(lab.vc_addresses),
                state=folder / "state",
            )
        )
        command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
        for interface in lab.interfaces:
            command += ["--interface", interface]
        with lab.inside_sbc():
            _wait_for(f"http://127.0.0.1:{PORT}/moto-api/")
        watcher = lab.start_in_sbc(command, folder / "sbcwatch.log")
        with lab.inside_sbc():
            _wait_for("http://127.0.0.1:9643/readyz")
        truths = lab.run_all(SCENARIOS)
        last = lab.run("answered-outbound")  # by itself: rtpengine forgets a call half a minute after its end
        result = Seen(total([*truths, last]))
        result.asked = last["calls"][0]["call_id_incoming"]
        with lab.inside_sbc():
            result.relayed = ng.relayed(result.asked)
        _wait_for_minute_close()
        with lab.inside_sbc():
            result.prometheus = _get("http://127.0.0.1:9643/metrics")
            os.kill(watcher.pid, signal.SIGTERM)
            result.status = watcher.wait(30)
            _read_back(result, began)
        result.log = watcher.text()
        yield result


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def _wait_for(url: str) -> None:
    """Until a server that was just started answers."""
    for _ in range(300):
        try:
            _get(url)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} never answered")


def _wait_for_minute_close() -> None:
    """Past the end of this minute and its lateness, so that a whole minute is among what is read back."""
    now = time.time()
    time.sleep(60 - now % 60 + 5)


def _read_back(result: Seen, began: float) -> None:
    import boto3

    cloudwatch = boto3.client("cloudwatch")
    start = datetime.fromtimestamp(began, UTC) - timedelta(minutes=2)
    for metric in METRICS:
        points = cloudwatch.get_metric_statistics(
            Namespace="ChimeVoiceConnector",
            MetricName=metric.name,
            Dimensions=[{"Name": "VoiceConnectorId", "Value": CONNECTOR}],
            StartTime=start,
            EndTime=datetime.now(UTC) + timedelta(minutes=2),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        result.values[metric.name] = sum(point["Sum"] for point in points) if points else None
    logs = boto3.client("logs")
    for group, rows in (
        (f"/aws/ChimeVoiceConnectorLogs/{CONNECTOR}", result.media),
        (f"/aws/ChimeVoiceConnectorSipMessages/{CONNECTOR}", result.sip),
    ):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        rows += [json.loads(event["message"]) for page in pages for event in page["events"]]


def test_run_on_sigterm_exits_0(seen: Seen) -> None:
    assert seen.status == 0, seen.log


def test_call_counts_equal_the_endpoints(seen: Seen) -> None:
    for what, metric in (
        ("attempts", "CallAttempts"),
        ("answered", "CallsAnswered"),
        ("failed", "CallFailures"),
    ):
        for direction in ("inbound", "outbound"):
            assert seen.values[direction.capitalize() + metric] == seen.truth[what][direction], (
                what,
                direction,
            )
    assert seen.values["Throttles"] == sum(seen.truth["throttles"].values())


def test_responses_per_class_equal_the_wire(seen: Seen) -> None:
    for status, count in seen.truth["responses"].items():
        assert seen.values[f"Sip{status}Codes"] == count, status


def test_media_counts_equal_the_kernels_counters(seen: Seen) -> None:
    for direction, prefix in DIRECTIONS.items():
        for kind, metric in (("rtp", "Rtp"), ("rtcp", "Rtcp")):
            expected = seen.truth[kind][direction]
            assert seen.values[f"{prefix}{metric}Packets"] == expected["packets"], (direction, kind)
            assert seen.values[f"{prefix}{metric}Bytes"] == expected["bytes"], (direction, kind)


def test_loss_equals_the_kernels_drop_counter(seen: Seen) -> None:
    for direction, prefix in DIRECTIONS.items():
        assert seen.values[f"{prefix}PacketsLost"] == seen.truth["rtp"][direction]["dropped"], direction


def test_quality_is_there(seen: Seen) -> None:
    for metric in METRICS:
        if metric.kind == "samples":
            assert seen.values[metric.name], metric.name


def test_media_records_have_the_fields_and_add_up(seen: Seen) -> None:
    assert seen.media
    for row in seen.media:
        assert list(row)[: len(MEDIA_FIELDS)] == list(MEDIA_FIELDS)
        assert row["voice_connector_id"] == CONNECTOR
        assert row["aws_region"] == "eu-lab-1"
    for direction in DIRECTIONS:
        packets = sum(row[f"{direction}_rtp_packets"] for row in seen.media)
        assert packets == seen.truth["rtp"][direction]["packets"], direction


def test_calls_record_equals_what_the_media_server_counted(seen: Seen) -> None:
    rows = [row for row in seen.media if row["call_id"] == seen.asked]
    ours = [sum(row[f"{way}_rtp_packets"] for row in rows) for way in ("cust2vc", "rem2vc")]
    assert len(seen.relayed) == 2
    assert ours == [packets for _, packets in sorted(seen.relayed.items())]  # the customer's side first


def test_every_sip_message_is_logged_without_credentials(seen: Seen) -> None:
    for row in seen.sip:
        assert tuple(row)[:5] == SIP_FIELDS
        assert set(row) <= {*SIP_FIELDS, *ID_FIELDS}
    classes = Counter(
        f"{row['sip_message'][8]}xx" for row in seen.sip if row["sip_message"].startswith("SIP/2.0 ")
    )
    expected = {status: count for status, count in seen.truth["responses"].items() if count}
    assert classes == expected
    assert not any('response="' in row["sip_message"] for row in seen.sip)


def test_metrics_endpoint_shows_what_closed_minutes_counted(seen: Seen) -> None:
    lines = [
        line for line in seen.prometheus.splitlines() if line.startswith("sbcwatch_call_attempts_total{")
    ]
    attempts = sum(float(line.rsplit(" ", 1)[1]) for line in lines)
    assert attempts == sum(seen.truth["attempts"].values())
    assert "sbcwatch_agent_drops_total 0.0" in seen.prometheus


@pytest.mark.parametrize(
    "series",
    [
        "frames_total", "drops_total", "ring_fill_ratio", "rejects_total", 'table_size{table="calls"}',
        'shed_total{what="sip"}', "close_seconds", "store{",
        'sink{sink="cloudwatch",what="depth"}', 'sink{sink="cloudwatch",what="oldest_age_seconds"}',
        'sink{sink="cloudwatch",what="latency_seconds"}', "checkpoint_age_seconds", "cpu_seconds_total",
        "resident_bytes",
    ],
)  # fmt: skip
def test_metrics_endpoint_shows_the_agents_own_figure(series: str, seen: Seen) -> None:
    """Of rejects there are none here: their family is named."""
    assert re.search(rf"(?m)^(# TYPE )?sbcwatch_agent_{re.escape(series)}", seen.prometheus)
