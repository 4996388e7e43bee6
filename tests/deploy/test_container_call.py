"""Real calls through the container: a sidecar in the SBC's network namespace, into a CloudWatch beside it.

kamailio and rtpengine carry the lab's calls between baresips and sipps; the container shares the interfaces
with them and nothing else. What it published for that minute must be what kamailio's log and the kernel say.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.deploy.container import IMAGE, Images, Start
from tests.kit.strict_aws import StrictAws, statistic
from tests.lab import Lab, total, why_not
from tests.lab.truth import Truth

SCENARIOS = ["answered-outbound", "answered-inbound", "busy-inbound", "loss-cust2vc", "loss-vc2cust"]
SECONDS = 32  # from the first call to the last packet, with some to spare
DIRECTIONS = {
    "cust2vc": "CustomerToVc",
    "vc2cust": "VcToCustomer",
    "rem2vc": "RemoteToVc",
    "vc2rem": "VcToRemote",
}

pytestmark = [pytest.mark.image, pytest.mark.lab]


@dataclass
class Seen:
    truth: Truth
    aws: StrictAws
    minute_s: int
    status: int
    log: str

    def sum(self, metric: str) -> float | None:
        """Of the minute alone; None: no datum."""
        return self._of(metric, "Sum")

    def mean(self, metric: str) -> float | None:
        return self._of(metric, "Average")

    def _of(self, metric: str, name: str) -> float | None:
        series = ("ChimeVoiceConnector", metric, (("VoiceConnectorId", "default"),))
        points = [point for point in self.aws.metrics.points.get(series, ()) if point.time_s == self.minute_s]
        return statistic(points, name) if points else None

    def records(self, kind: str) -> list[dict[str, Any]]:
        streams = self.aws.logs.groups[f"/aws/ChimeVoiceConnector{kind}/default"].streams
        return [json.loads(event["message"]) for events in streams.values() for event in events]


@pytest.fixture(scope="module")
def seen(images: Images) -> Iterator[Seen]:
    reason = why_not()
    if reason:
        pytest.skip(f"the lab cannot run here: {reason}")
    with Lab() as lab:
        with lab.inside_sbc():
            aws = StrictAws()  # its socket stays in there
        settings = {
            "SBCWATCH_VC_ADDRESSES": ",".join(lab.vc_addresses),
            "SBCWATCH_CUSTOMERS_NETWORKS": ",".join(lab.customer_networks),
            "SBCWATCH_CLOUDWATCH_ENABLED": "true",
            "SBCWATCH_CLOUDWATCH_INTERVAL": "1.0",
            "SBCWATCH_LOGS_ENABLED": "true",
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        command = ["run"]
        for interface in lab.interfaces:
            command += ["--interface", interface]
        with aws, images.started(IMAGE, lab.sbc_namespace, Start(command, settings)) as container:
            container.wait_until_healthy()
            minute_s = whole_minute()
            truth = total(lab.run_all(SCENARIOS))
            assert time.time() < minute_s + 60, "the calls took longer than their minute"
            wait_for(minute_s, aws)
            container.kill(signal.SIGTERM.name)  # sends what is still waiting
            status = container.process.wait(30)
            yield Seen(truth, aws, minute_s, status, container.log)


def whole_minute() -> int:
    """The start of a minute, just begun or with room for all scenarios."""
    now = time.time()
    if 60 - now % 60 < SECONDS:
        time.sleep(60 - now % 60)
    return int(time.time()) // 60 * 60


def wait_for(minute_s: int, aws: StrictAws) -> None:
    """Until the minute was published."""
    deadline = minute_s + 60 + 30
    while minute_s not in {point.time_s for points in list(aws.metrics.points.values()) for point in points}:
        assert time.time() < deadline, aws.requests
        time.sleep(0.5)


def test_calls_of_the_minute_are_the_endpoints_own(seen: Seen) -> None:
    for what, metric in (
        ("attempts", "CallAttempts"),
        ("answered", "CallsAnswered"),
        ("failed", "CallFailures"),
    ):
        for direction in ("inbound", "outbound"):
            assert seen.sum(direction.capitalize() + metric) == seen.truth[what][direction], (what, direction)
    assert seen.truth["answered"]["outbound"] > 0


def test_media_of_the_minute_is_the_kernels_count(seen: Seen) -> None:
    for direction, prefix in DIRECTIONS.items():
        for kind, metric in (("rtp", "Rtp"), ("rtcp", "Rtcp")):
            counted = seen.truth[kind][direction]
            assert counted["packets"] > 0
            assert seen.sum(f"{prefix}{metric}Packets") == counted["packets"], (direction, kind)
            assert seen.sum(f"{prefix}{metric}Bytes") == counted["bytes"], (direction, kind)


def test_loss_of_the_minute_is_what_the_kernel_dropped(seen: Seen) -> None:
    dropped = {direction: seen.truth["rtp"][direction]["dropped"] for direction in DIRECTIONS}
    assert dropped["cust2vc"] > 0
    assert dropped["vc2cust"] > 0
    assert {
        direction: seen.sum(f"{prefix}PacketsLost") for direction, prefix in DIRECTIONS.items()
    } == dropped


def test_responses_of_the_minute_are_those_on_the_wire(seen: Seen) -> None:
    for status, count in seen.truth["responses"].items():
        assert seen.sum(f"Sip{status}Codes") == count, status


def test_scores_are_there_and_the_loss_is_heard_in_them(seen: Seen) -> None:
    for side in ("Customer", "Remote"):
        mos = seen.mean(f"MOSBetweenVcAnd{side}")
        assert mos is not None
        assert 3 < mos < 4.5


def test_each_answered_call_has_its_record_and_the_log_its_messages(seen: Seen) -> None:
    rows = seen.records("Logs")
    answered = {call["call_id_incoming"] for call in seen.truth["calls"] if call["outcome"] == "answered"}
    assert {row["call_id"] for row in rows} == answered
    packets = sum(row["cust2vc_rtp_packets"] for row in rows)
    assert packets == seen.truth["rtp"]["cust2vc"]["packets"]
    assert len(seen.records("SipMessages")) > sum(seen.truth["responses"].values())


def test_container_was_locked_in_all_the_while_and_stopped_in_order(seen: Seen) -> None:
    assert seen.status == 0
    assert "no capability; no new privileges; writes /var/lib/sbcwatch only" in seen.log
    assert '"level": "error"' not in seen.log
