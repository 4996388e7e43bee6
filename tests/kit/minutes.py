"""Minutes made by hand for the tests of the store and of the sinks."""

from __future__ import annotations

from typing import Any

from agent.model.units import MINUTE_NS
from agent.summary.catalog import METRICS
from agent.summary.records import ConnectorMinute, Samples, Summary, Value

SECOND_NS = 1_000_000_000
T0 = 1_790_000_040 * SECOND_NS  # a minute's start in 2026
assert T0 % MINUTE_NS == 0


def connector(name: str = "vc1", region: str = "us-east-1", **values: Value) -> ConnectorMinute:
    """All counts 1, gauges 2, samples unknown, unless told otherwise."""
    defaults: dict[str, Value] = {
        metric.name: {"count": 1, "gauge": 2, "samples": None}[metric.kind] for metric in METRICS
    }
    return ConnectorMinute(name, region, defaults | values, {})


def summary(
    minute: int = 0,
    part: int = 0,
    *,
    connectors: list[ConnectorMinute] | None = None,
    media: int = 0,
    sip: int = 0,
    calls: int = 0,
    complete: bool = True,
    start_ns: int = T0,
    name: str = "vc1",
) -> Summary:
    start = start_ns + minute * MINUTE_NS
    return Summary(
        start,
        part,
        complete,
        [connector(name)] if connectors is None else connectors,
        [media_row(start, number, name) for number in range(media)],
        [{"voice_connector_id": name, "call_id": f"c{number}"} for number in range(calls)],
        [sip_row(start, number, name) for number in range(sip)],
    )


def media_row(start_ns: int, number: int, name: str = "vc1") -> dict[str, Any]:
    return {
        "voice_connector_id": name,
        "event_timestamp": (start_ns + MINUTE_NS) // 1_000_000,
        "call_id": f"call-{number}",
        "cust2vc_rtp_packets": 3000 + number,
        "cust2vc_jitter": 1250.5,
        "mos_btwn_vc_and_cust": None,
    }


def sip_row(start_ns: int, number: int, name: str = "vc1", size: int = 0) -> dict[str, Any]:
    return {
        "voice_connector_id": name,
        "aws_region": "us-east-1",
        "event_timestamp": start_ns // 1_000_000 + number,
        "call_id": f"call-{number}",
        "sip_message": "INVITE sip:x SIP/2.0\r\n" + "x" * size,
    }


SAMPLES = Samples([100.0, 250.5, 9000.0], [3.0, 2.0, 1.0])
