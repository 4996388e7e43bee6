"""Every published number, once: README's table, the CloudWatch sink, Prometheus names, dashboards and
alarms are drawn from here.

A *count* adds up over connectors, hosts and minute parts. A *gauge* is one value at the minute's end.
*samples* is a distribution: one sample per stream-minute (jitter) or per call, side and minute (RTT, MOS).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["count", "gauge", "samples"]


class Metric(Struct, frozen=True):
    """One CloudWatch metric of a connector.

    `unit` is CloudWatch's; MOS has unit `None` there. `prometheus` is the name in base units, without
    `_total`; `labels` are its fixed labels; `scale` turns our value into the base unit.
    """

    name: str
    kind: Kind
    unit: Literal["Count", "Microseconds", "None"]
    help: str
    prometheus: str
    labels: tuple[tuple[str, str], ...] = ()
    scale: float = 1.0


# The four directions of media: prefix in metric names, prefix in the media log, in words.
DIRECTIONS = {
    "cust2vc": ("CustomerToVc", "from the customer to the vc"),
    "vc2cust": ("VcToCustomer", "from the vc to the customer"),
    "rem2vc": ("RemoteToVc", "from the remote end to the vc"),
    "vc2rem": ("VcToRemote", "from the vc to the remote end"),
}
# The two sides: suffix in metric names, suffix in the media log, in words.
SIDES = {
    "customer": ("Customer", "cust", "between the vc and the customer"),
    "remote": ("Remote", "rem", "between the vc and the remote end"),
}


def _calls() -> list[Metric]:
    rows = []
    for call_direction in ("Inbound", "Outbound"):
        label = (("direction", call_direction.lower()),)
        for suffix, words in (
            ("CallAttempts", "calls attempted"),
            ("CallFailures", "call attempts failed"),
            ("CallsAnswered", "calls answered"),
        ):
            prometheus = {"CallAttempts": "call_attempts", "CallFailures": "call_failures"}.get(
                suffix, "calls_answered"
            )
            rows.append(
                Metric(
                    call_direction + suffix,
                    "count",
                    "Count",
                    f"{call_direction} {words}",
                    f"sbcwatch_{prometheus}",
                    label,
                )
            )
        rows.append(
            Metric(
                f"{call_direction}CallsActive",
                "gauge",
                "Count",
                f"{call_direction} calls up at the minute's end",
                "sbcwatch_calls_active",
                label,
            )
        )
    return rows


def _media(direction: str) -> list[Metric]:
    prefix, words = DIRECTIONS[direction]
    label = (("direction", direction),)
    counts = (
        ("RtpPackets", "RTP packets", "rtp_packets"),
        ("RtpBytes", "UDP payload bytes in RTP packets", "rtp_bytes"),
        ("RtcpPackets", "RTCP packets", "rtcp_packets"),
        ("RtcpBytes", "UDP payload bytes in RTCP packets", "rtcp_bytes"),
        ("PacketsLost", "RTP packets lost in transit", "packets_lost"),
    )
    rows = [
        # The source document gives every count the unit Count, bytes too.
        Metric(prefix + suffix, "count", "Count", f"{what} {words}", f"sbcwatch_{prom}", label)
        for suffix, what, prom in counts
    ]
    rows.append(
        Metric(
            f"{prefix}Jitter",
            "samples",
            "Microseconds",
            f"Interarrival jitter of packets {words}",
            "sbcwatch_jitter_seconds",
            label,
            1e-6,
        )
    )
    return rows


def _quality(side: str) -> list[Metric]:
    suffix, _, words = SIDES[side]
    label = (("side", side),)
    return [
        Metric(
            f"RTTBetweenVcAnd{suffix}",
            "samples",
            "Microseconds",
            f"Round-trip time {words}",
            "sbcwatch_rtt_seconds",
            label,
            1e-6,
        ),
        Metric(
            f"MOSBetweenVcAnd{suffix}",
            "samples",
            "None",
            f"Estimated mean opinion score {words}, 1.0 to 4.4",
            "sbcwatch_mos",
            label,
        ),
    ]


METRICS: tuple[Metric, ...] = (
    *_calls(),
    Metric(
        "Throttles", "count", "Count", "Call attempts refused by the vc's own limits", "sbcwatch_throttles"
    ),
    *(
        Metric(
            f"Sip{n}xxCodes",
            "count",
            "Count",
            f"SIP messages with {n}xx status codes",
            "sbcwatch_sip_responses",
            (("class", f"{n}xx"),),
        )
        for n in range(1, 7)
    ),
    *_media("cust2vc"),
    *_media("vc2cust"),
    *_quality("customer"),
    *_media("rem2vc"),
    *_media("vc2rem"),
    *_quality("remote"),
)
BY_NAME = {metric.name: metric for metric in METRICS}
assert len(METRICS) == len(BY_NAME) == 43

_DIRECTION_FIELDS = ("rtp_packets", "rtp_bytes", "rtcp_packets", "rtcp_bytes", "packets_lost", "jitter")


def _media_fields() -> tuple[str, ...]:
    fields = [
        "voice_connector_id",
        "event_timestamp",
        "call_id",
        "from_sip_user",
        "from_country",
        "to_sip_user",
        "to_country",
        "endpoint_id",
        "aws_region",
    ]
    for directions, side in ((("cust2vc", "vc2cust"), "cust"), (("rem2vc", "vc2rem"), "rem")):
        fields += [f"{direction}_{name}" for direction in directions for name in _DIRECTION_FIELDS]
        fields += [f"rtt_btwn_vc_and_{side}", f"mos_btwn_vc_and_{side}"]
    return tuple(fields)


# The media log's fields in the source document's order, and the SIP log's.
MEDIA_FIELDS = _media_fields()
SIP_FIELDS = ("voice_connector_id", "aws_region", "event_timestamp", "call_id", "sip_message")
assert len(MEDIA_FIELDS) == 37


class AgentMetric(Struct, frozen=True):
    """One figure of the agent itself, with dimension `Host`; sent where `cloudwatch.agent_metrics` is on."""

    name: str
    unit: Literal["Count", "Seconds", "Percent", "Bytes"]
    help: str


# At most eight a host: each is a custom metric at full price.
AGENT_NAMESPACE = "sbcwatch/Agent"
AGENT_METRICS: tuple[AgentMetric, ...] = (
    AgentMetric("Frames", "Count", "Frames read"),
    AgentMetric("CaptureDrops", "Count", "Frames that the capture missed"),
    AgentMetric("Rejects", "Count", "Records that did not parse"),
    AgentMetric("Shed", "Count", "Given up: entries of full tables, and what overload left no room for"),
    AgentMetric("SinkErrors", "Count", "Requests to AWS that failed"),
    AgentMetric("UndeliveredSeconds", "Seconds", "Age of the oldest minute not delivered yet"),
    AgentMetric("CpuPercent", "Percent", "CPU time of the process, of one core"),
    AgentMetric("ResidentBytes", "Bytes", "Resident memory of the process"),
)
assert len(AGENT_METRICS) <= 8

# What CloudWatch Logs accepts as retention, days.
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
