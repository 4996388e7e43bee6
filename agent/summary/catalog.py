"""Every published number, once: README's table, the CloudWatch sink, Prometheus names, dashboards and alarms
come from these rows.

A *count* adds up over connectors, hosts and minute parts. A *gauge* is one value at the minute's end.
*samples* is a distribution: one sample per stream-minute (jitter) or per call, side and minute (RTT, MOS).
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from agent.model.unseen import Sight

Kind = Literal["count", "gauge", "samples"]
# `Metric.of` to the Prometheus label that it is a value of.
_LABEL = {
    "inbound": "direction", "outbound": "direction", "cust2vc": "direction", "vc2cust": "direction",
    "rem2vc": "direction", "vc2rem": "direction", "customer": "side", "remote": "side",
    "1xx": "class", "2xx": "class", "3xx": "class", "4xx": "class", "5xx": "class", "6xx": "class",
}  # fmt: skip


class Metric(Struct, frozen=True):
    """One CloudWatch metric of a connector.

    `unit` is CloudWatch's; MOS has unit `None` there. `needs`: the traffic that must be seen for it to be
    known. `of`: the call direction, media direction, side or response class that it is about. `prometheus` is
    the name in base units, without `_total`; `buckets` are its histogram's upper bounds there, in base units.
    """

    name: str
    kind: Kind
    unit: Literal["Count", "Microseconds", "None"]
    needs: Sight
    of: str
    prometheus: str
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Its fixed labels in Prometheus."""
        return ((_LABEL[self.of], self.of),) if self.of else ()

    @property
    def scale(self) -> float:
        """Turns our value into Prometheus' base unit."""
        return 1e-6 if self.unit == "Microseconds" else 1.0

    @property
    def is_sided(self) -> bool:
        """Whether it needs to know the customers."""
        return self.needs != CODES


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

# The traffic that a metric needs.
CALLS, CODES, MEDIA = Sight.SIP_CALLS, Sight.SIP, Sight.MEDIA
# The traffic that each sight, once lost, leaves unknown.
HIDES: dict[Sight, frozenset[Sight]] = {
    Sight.SIP_CALLS: frozenset({CALLS}),
    Sight.SIP: frozenset({CALLS, CODES}),
    Sight.MEDIA: frozenset({MEDIA}),
    Sight.ALL: frozenset({CALLS, CODES, MEDIA}),
}
# Upper bounds in base units: good and bad telephony in each.
JITTER = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
RTT = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, 5.0)
MOS = (1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.2, 4.34, 4.4)

# The source document gives every count the unit Count, bytes too.
# fmt: off
METRICS: tuple[Metric, ...] = (
    Metric("InboundCallAttempts", "count", "Count", CALLS, "inbound", "sbcwatch_call_attempts", "Inbound calls attempted"),
    Metric("InboundCallFailures", "count", "Count", CALLS, "inbound", "sbcwatch_call_failures", "Inbound call attempts failed"),
    Metric("InboundCallsAnswered", "count", "Count", CALLS, "inbound", "sbcwatch_calls_answered", "Inbound calls answered"),
    Metric("InboundCallsActive", "gauge", "Count", CALLS, "inbound", "sbcwatch_calls_active", "Inbound calls up at the minute's end"),
    Metric("OutboundCallAttempts", "count", "Count", CALLS, "outbound", "sbcwatch_call_attempts", "Outbound calls attempted"),
    Metric("OutboundCallFailures", "count", "Count", CALLS, "outbound", "sbcwatch_call_failures", "Outbound call attempts failed"),
    Metric("OutboundCallsAnswered", "count", "Count", CALLS, "outbound", "sbcwatch_calls_answered", "Outbound calls answered"),
    Metric("OutboundCallsActive", "gauge", "Count", CALLS, "outbound", "sbcwatch_calls_active", "Outbound calls up at the minute's end"),
    Metric("Throttles", "count", "Count", CALLS, "", "sbcwatch_throttles", "Call attempts refused by the vc's own limits"),
    Metric("Sip1xxCodes", "count", "Count", CODES, "1xx", "sbcwatch_sip_responses", "SIP messages with 1xx status codes"),
    Metric("Sip2xxCodes", "count", "Count", CODES, "2xx", "sbcwatch_sip_responses", "SIP messages with 2xx status codes"),
    Metric("Sip3xxCodes", "count", "Count", CODES, "3xx", "sbcwatch_sip_responses", "SIP messages with 3xx status codes"),
    Metric("Sip4xxCodes", "count", "Count", CODES, "4xx", "sbcwatch_sip_responses", "SIP messages with 4xx status codes"),
    Metric("Sip5xxCodes", "count", "Count", CODES, "5xx", "sbcwatch_sip_responses", "SIP messages with 5xx status codes"),
    Metric("Sip6xxCodes", "count", "Count", CODES, "6xx", "sbcwatch_sip_responses", "SIP messages with 6xx status codes"),
    Metric("CustomerToVcRtpPackets", "count", "Count", MEDIA, "cust2vc", "sbcwatch_rtp_packets", "RTP packets from the customer to the vc"),
    Metric("CustomerToVcRtpBytes", "count", "Count", MEDIA, "cust2vc", "sbcwatch_rtp_bytes", "UDP payload bytes in RTP packets from the customer to the vc"),
    Metric("CustomerToVcRtcpPackets", "count", "Count", MEDIA, "cust2vc", "sbcwatch_rtcp_packets", "RTCP packets from the customer to the vc"),
    Metric("CustomerToVcRtcpBytes", "count", "Count", MEDIA, "cust2vc", "sbcwatch_rtcp_bytes", "UDP payload bytes in RTCP packets from the customer to the vc"),
    Metric("CustomerToVcPacketsLost", "count", "Count", MEDIA, "cust2vc", "sbcwatch_packets_lost", "RTP packets lost in transit from the customer to the vc"),
    Metric("CustomerToVcJitter", "samples", "Microseconds", MEDIA, "cust2vc", "sbcwatch_jitter_seconds", "Interarrival jitter of packets from the customer to the vc", JITTER),
    Metric("VcToCustomerRtpPackets", "count", "Count", MEDIA, "vc2cust", "sbcwatch_rtp_packets", "RTP packets from the vc to the customer"),
    Metric("VcToCustomerRtpBytes", "count", "Count", MEDIA, "vc2cust", "sbcwatch_rtp_bytes", "UDP payload bytes in RTP packets from the vc to the customer"),
    Metric("VcToCustomerRtcpPackets", "count", "Count", MEDIA, "vc2cust", "sbcwatch_rtcp_packets", "RTCP packets from the vc to the customer"),
    Metric("VcToCustomerRtcpBytes", "count", "Count", MEDIA, "vc2cust", "sbcwatch_rtcp_bytes", "UDP payload bytes in RTCP packets from the vc to the customer"),
    Metric("VcToCustomerPacketsLost", "count", "Count", MEDIA, "vc2cust", "sbcwatch_packets_lost", "RTP packets lost in transit from the vc to the customer"),
    Metric("VcToCustomerJitter", "samples", "Microseconds", MEDIA, "vc2cust", "sbcwatch_jitter_seconds", "Interarrival jitter of packets from the vc to the customer", JITTER),
    Metric("RTTBetweenVcAndCustomer", "samples", "Microseconds", MEDIA, "customer", "sbcwatch_rtt_seconds", "Round-trip time between the vc and the customer", RTT),
    Metric("MOSBetweenVcAndCustomer", "samples", "None", MEDIA, "customer", "sbcwatch_mos", "Estimated mean opinion score between the vc and the customer, 1.0 to 4.4", MOS),
    Metric("RemoteToVcRtpPackets", "count", "Count", MEDIA, "rem2vc", "sbcwatch_rtp_packets", "RTP packets from the remote end to the vc"),
    Metric("RemoteToVcRtpBytes", "count", "Count", MEDIA, "rem2vc", "sbcwatch_rtp_bytes", "UDP payload bytes in RTP packets from the remote end to the vc"),
    Metric("RemoteToVcRtcpPackets", "count", "Count", MEDIA, "rem2vc", "sbcwatch_rtcp_packets", "RTCP packets from the remote end to the vc"),
    Metric("RemoteToVcRtcpBytes", "count", "Count", MEDIA, "rem2vc", "sbcwatch_rtcp_bytes", "UDP payload bytes in RTCP packets from the remote end to the vc"),
    Metric("RemoteToVcPacketsLost", "count", "Count", MEDIA, "rem2vc", "sbcwatch_packets_lost", "RTP packets lost in transit from the remote end to the vc"),
    Metric("RemoteToVcJitter", "samples", "Microseconds", MEDIA, "rem2vc", "sbcwatch_jitter_seconds", "Interarrival jitter of packets from the remote end to the vc", JITTER),
    Metric("VcToRemoteRtpPackets", "count", "Count", MEDIA, "vc2rem", "sbcwatch_rtp_packets", "RTP packets from the vc to the remote end"),
    Metric("VcToRemoteRtpBytes", "count", "Count", MEDIA, "vc2rem", "sbcwatch_rtp_bytes", "UDP payload bytes in RTP packets from the vc to the remote end"),
    Metric("VcToRemoteRtcpPackets", "count", "Count", MEDIA, "vc2rem", "sbcwatch_rtcp_packets", "RTCP packets from the vc to the remote end"),
    Metric("VcToRemoteRtcpBytes", "count", "Count", MEDIA, "vc2rem", "sbcwatch_rtcp_bytes", "UDP payload bytes in RTCP packets from the vc to the remote end"),
    Metric("VcToRemotePacketsLost", "count", "Count", MEDIA, "vc2rem", "sbcwatch_packets_lost", "RTP packets lost in transit from the vc to the remote end"),
    Metric("VcToRemoteJitter", "samples", "Microseconds", MEDIA, "vc2rem", "sbcwatch_jitter_seconds", "Interarrival jitter of packets from the vc to the remote end", JITTER),
    Metric("RTTBetweenVcAndRemote", "samples", "Microseconds", MEDIA, "remote", "sbcwatch_rtt_seconds", "Round-trip time between the vc and the remote end", RTT),
    Metric("MOSBetweenVcAndRemote", "samples", "None", MEDIA, "remote", "sbcwatch_mos", "Estimated mean opinion score between the vc and the remote end, 1.0 to 4.4", MOS),
)
# fmt: on
BY_NAME = {metric.name: metric for metric in METRICS}
# Metrics by carrier too: how its calls end, and all about the remote end. An attempt is not: when
# a customer's call begins nobody knows yet which carrier will have it.
CARRIER_METRICS = tuple(
    metric
    for metric in METRICS
    if metric.of in ("rem2vc", "vc2rem", "remote")
    or metric.name.endswith(("CallFailures", "CallsAnswered", "CallsActive"))
)
assert len(METRICS) == len(BY_NAME) == 43


def carrier_family(metric: Metric) -> str:
    """The Prometheus name of a metric's figures by carrier, without `_total`."""
    return metric.prometheus.replace("sbcwatch_", "sbcwatch_carrier_", 1)


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
ID_FIELDS = ("host", "transaction_id", "key_id")  # beside them in every record
assert len(MEDIA_FIELDS) == 37

# The media record's extras that are arrays, by what follows the direction's name, and their places.
LOSS_RUNS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10 or more")  # packets lost in a row
LATE_HISTOGRAM_MS = (50, 70, 90, 120, 150, 200, 300)  # late by so much, and less than the next one
TIMELINE = ("packets", "lost", "late", "jitter_max_us", "gap_ms")  # of each slot
TIMELINE_FIELDS = (
    *(f"{direction}_timeline" for direction in DIRECTIONS),
    *(f"rtt_btwn_vc_and_{short}_timeline" for _, short, _ in SIDES.values()),
)


# Beside the 43 in CloudWatch, with their dimensions: 1 for each minute that a host watched to its end, so that
# its Sum is how many hosts were alive. Parts of a minute have none, however often a host starts again.
HOST_MINUTES = "HostMinutes"
# Amazon's newer gauge, a sum of two of the 43: a name here, and what is added up. Null where either is.
EXTRA_GAUGES = {"VoiceConnectorActiveCallCount": ("InboundCallsActive", "OutboundCallsActive")}


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

# The retentions that CloudWatch Logs accepts, days.
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
CALL_SCHEMA = 2  # of the call record: it grows with each field that is added, and none ever goes
# Amazon's call detail record, and the field of ours that says the same; None: nobody tells an SBC.
AMAZON_CDR: dict[str, str | None] = {
    "AwsAccountId": None,
    "TransactionId": "transaction_id",
    "CallId": "call_id",
    "VoiceConnectorId": "voice_connector_id",
    "Status": "outcome",
    "StatusMessage": "status",
    "SipAuthUser": None,
    "BillableDurationSeconds": "duration_seconds",
    "BillableDurationMinutes": "duration_seconds",
    "SchemaVersion": "schema_version",
    "SourcePhoneNumber": "from_sip_user",
    "SourceCountry": "from_country",
    "DestinationPhoneNumber": "to_sip_user",
    "DestinationCountry": "to_country",
    "UsageType": None,
    "ServiceCode": None,
    "Direction": "direction",
    "StartTimeEpochSeconds": "invite_ns",
    "EndTimeEpochSeconds": "end_ns",
    "Region": "aws_region",
    "Streaming": None,
}
# How long the tables of an analytics database keep records, days.
TABLE_DAYS = {"media": 90, "calls": 90, "sip": 14}
_NOT_IN_GROUP = re.compile(r"[^.\-_/#A-Za-z0-9]")


def log_group(prefix: str, connector: str) -> str:
    """The log group of a connector.

    The operator chooses its id: characters that a group's name cannot hold become `_`.
    """
    return (prefix + _NOT_IN_GROUP.sub("_", connector))[:512]
