"""Every setting once: type, default, unit, help. The shipped file and `check-config` come from here."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
Impairment = Annotated[float, Meta(ge=0, le=95)]
Port = Annotated[int, Meta(ge=1, le=65535)]


# Flags of media records (agent/summary/media_flags_cy.py).
Flag = Literal[
    "answer_unseen",
    "assumed_clock_rate",
    "bye_refused",
    "capture_loss",
    "clock_rate_mismatch",
    "codec_asymmetry",
    "dead_air",
    "far_end_deaf",
    "late_answer",
    "late_media",
    "one_way_audio",
    "packets_twice",
    "ptime_asymmetry",
    "rtcp_implausible",
    "seen_twice",
    "sip_seen_twice",
    "ssrc_flood",
    "static_type_redefined",
    "unexpected_source",
    "unsignalled",
]


class _Section(Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Vc(_Section):
    """Addresses of the SBC itself."""

    addresses: Annotated[
        tuple[str, ...],
        Meta(description="The SBC's addresses. Empty: this host's own (a capture file has none)."),
    ] = ()
    public_addresses: Annotated[
        dict[str, str],
        Meta(description="Addresses that SDP names, each to the one that frames carry (1:1 NAT)."),
    ] = {}
    observer: Annotated[
        Literal["vc", "customer"],
        Meta(description='Whose host this is; "customer": the customer\'s SBC, its connector is elsewhere.'),
    ] = "vc"


class Customers(_Section):
    """Customer addresses that belong to no connector in particular."""

    networks: Annotated[tuple[str, ...], Meta(description="Networks (CIDR) of customers.")] = ()


class ConnectorSettings(_Section):
    """One customer trunk. Repeat the table for each."""

    id: Annotated[str, Meta(description="VoiceConnectorId dimension, log group name, X-VoiceConnector-ID.")]
    region: Annotated[str, Meta(description="Region dimension and aws_region of its records.")] = "local"
    domains: Annotated[
        tuple[str, ...], Meta(description="SIP hosts that name it in Request-URI, To or From.")
    ] = ()
    customer_networks: Annotated[tuple[str, ...], Meta(description="Networks (CIDR) of its customer.")] = ()
    default: Annotated[bool, Meta(description="Takes legs that fit no connector.")] = False
    log_media: Annotated[bool, Meta(description="Write its media records.")] = True
    log_sip: Annotated[bool, Meta(description="Write its SIP messages.")] = True


class CarrierSettings(_Section):
    """A carrier at the remote end. Repeat the table for each."""

    id: Annotated[str, Meta(description="Its name in records, label and dimension.")]
    networks: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR) of its SIP; the longest prefix counts.")
    ] = ()
    domains: Annotated[
        tuple[str, ...],
        Meta(
            description="SIP hosts that name it where no network does: Request-URI and To of calls to it,"
            " From and Contact of calls from it."
        ),
    ] = ()


class TunnelSettings(_Section):
    """A tunnel, or HEP of capture agents, that is believed: kind and outer source. Repeat for each."""

    kind: Annotated[
        Literal[
            "ipip",
            "6in4",
            "gre",
            "nvgre",
            "erspan",
            "erspan3",
            "pptp",
            "etherip",
            "l2tpv3",
            "vxlan",
            "vxlangpe",
            "geneve",
            "gtpu",
            "l2tp",
            "mplsudp",
            "tzsp",
            "hep",
        ],
        Meta(
            description="ipip 6in4 gre nvgre erspan erspan3 pptp etherip l2tpv3 vxlan vxlangpe geneve gtpu"
            " l2tp mplsudp tzsp hep."
        ),
    ]
    peers: Annotated[
        tuple[str, ...],
        Meta(
            description="Who sends it: outer source addresses or networks (CIDR); empty: anybody (not hep)."
        ),
    ] = ()
    vni: Annotated[
        int,
        Meta(ge=-1, le=0xFFFFFFFF, description="Its VNI, ERSPAN session, GRE key or the like; -1: any."),
    ] = -1
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of a kind over UDP, and of hep; 0: the usual one.")
    ] = 0


class Fleet(_Section):
    """More than one host: the identity in their records. One host needs none of it."""

    host: Annotated[
        str, Meta(description="This host in records; empty: its name and a hash of its machine id.")
    ] = ""
    key_file: Annotated[
        str,
        Meta(
            description="A key that all hosts share, behind transaction ids, endpoint ids and tokens: 32"
            " characters or more. Empty: a key of this host alone, made at the first start."
        ),
    ] = ""
    board: Annotated[
        str,
        Meta(
            description="rediss://HOST:6379, a Valkey or Redis 7: hosts that see SIP tell relays there whose"
            " media it is; empty: none."
        ),
    ] = ""
    board_user: Annotated[str, Meta(description="User there (ACL).")] = ""
    board_password_file: Annotated[str, Meta(description="File with its password; empty: none.")] = ""
    board_ca_file: Annotated[str, Meta(description="CA of its certificate; empty: the system's.")] = ""
    media_addresses: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of this host that SDP names for media; empty: all of its own."),
    ] = ()


class Capture(_Section):
    """Where frames come from."""

    method: Annotated[
        Literal["auto", "afpacket", "scapy"], Meta(description="auto: AF_PACKET where the system has it.")
    ] = "auto"
    interfaces: Annotated[
        tuple[str, ...],
        Meta(description="NICs to watch together; empty: all. One process must see all legs."),
    ] = ()
    sip_ports: Annotated[tuple[Port, ...], Meta(description="Ports of SIP over UDP and TCP.")] = (
        5060,
        5061,
        5080,
    )
    media_ports: Annotated[
        str, Meta(description="UDP ports of RTP and RTCP, first-last; empty: all UDP.")
    ] = ""
    filter: Annotated[
        str, Meta(description="A libpcap expression instead of the filter made from ports.")
    ] = ""
    tunnels: Annotated[
        tuple[TunnelSettings, ...],
        Meta(description="Tunnels and HEP that are opened, as [[capture.tunnels]]. Live: no others."),
    ] = ()
    snap_length: Annotated[
        int, Meta(ge=256, le=262144, description="Bytes kept of a frame: a SIP message must fit.")
    ] = 65535
    threads: Annotated[
        int, Meta(ge=1, le=16, description="Capture threads; the kernel deals flows out to them.")
    ] = 1
    ring_mb: Annotated[int, Meta(ge=1, le=4096, description="Size of the kernel rings together, MB.")] = 64
    block_timeout_ms: Annotated[
        int, Meta(ge=1, le=1000, description="How long the kernel may hold a part-filled block, ms.")
    ] = 60
    promiscuous: Annotated[bool, Meta(description="Take frames for other hosts too (mirror port).")] = False
    single_span: Annotated[
        bool, Meta(description="A mirror port that sends every frame twice: RTP seen twice is a copy.")
    ] = False
    lateness: Annotated[
        Positive, Meta(description="How long a silent NIC or file holds back the clock, s (> join_window).")
    ] = 3.0


class CallSettings(_Section):
    """How calls are told apart and counted."""

    count_at: Annotated[
        Literal["incoming", "outgoing"], Meta(description="The leg on which a call counts.")
    ] = "incoming"
    retry_window: Annotated[
        Positive, Meta(description="An INVITE this soon after 401, 407, 422 ... is the same attempt, s.")
    ] = 5.0
    join_window: Annotated[
        Positive, Meta(description="Legs with the same users join when this close together, s.")
    ] = 2.0
    call_timeout: Annotated[
        Positive, Meta(description="Without SIP and RTP for so long a call is over, s.")
    ] = 300.0
    hold_timeout: Annotated[Positive, Meta(description="The same for a call on hold, s.")] = 7200.0
    correlation_headers: Annotated[
        tuple[str, ...], Meta(description="Headers whose equal values join legs.")
    ] = ("Session-ID", "X-Call-ID", "X-CID", "P-Charging-Vector")
    call_id_suffixes: Annotated[
        tuple[str, ...], Meta(description="Suffixes that a B2BUA adds to the other leg's Call-ID.")
    ] = ("_b2b-1", "_pbx-1")
    not_failures: Annotated[
        tuple[Annotated[int, Meta(ge=300, le=699)], ...],
        Meta(description="Final statuses that are no CallFailures (RFC 6076 SEER: 480, 486, 600, 603)."),
    ] = ()
    throttle_patterns: Annotated[
        tuple[str, ...],
        Meta(description='"STATUS reason" (with * and ?) that means Throttles, beside 503 + Retry-After.'),
    ] = ()


class MediaSettings(_Section):
    """RTP and RTCP."""

    linger: Annotated[
        Positive, Meta(description="Media sockets stay a call's for so long after its end, s.")
    ] = 5.0
    unsignalled: Annotated[
        Literal["count", "null"],
        Meta(
            description="RTP that runs both ways between the vc and an address that no SDP names:"
            " `count` it by address, or leave its direction `null`."
        ),
    ] = "count"


class CodecSettings(_Section):
    """Impairment figures of one codec (ITU-T G.113), in place of the built-in ones."""

    ie: Annotated[Impairment | None, Meta(description="Ie; unset: the built-in figure.")] = None
    bpl: Annotated[Positive | None, Meta(description="Bpl; unset: the built-in figure.")] = None


class Quality(_Section):
    """The E-model (ITU-T G.107)."""

    jitter_buffer: Annotated[
        Literal["fixed", "adaptive"], Meta(description="The modelled jitter buffer.")
    ] = "adaptive"
    jitter_buffer_ms: Annotated[Positive, Meta(description="Its depth (adaptive: where it starts), ms.")] = (
        60.0
    )
    jitter_buffer_max_ms: Annotated[Positive, Meta(description="Greatest depth of an adaptive one, ms.")] = (
        200.0
    )
    default_rtt_ms: Annotated[
        float, Meta(ge=0, description="RTT for MOS where none is known (the record says assumed), ms.")
    ] = 100.0
    plc: Annotated[bool, Meta(description="Receivers conceal lost packets.")] = True
    codecs: Annotated[
        dict[str, CodecSettings],
        Meta(
            description="Figures by encoding name, as `codecs.opus = {bpl = 19.5}`. Empty: the built-in ones."
        ),
    ] = {}


class CloudWatch(_Section):
    """Metrics to Amazon CloudWatch."""

    enabled: Annotated[bool, Meta(description="Send metrics to CloudWatch.")] = False
    region: Annotated[str, Meta(description="AWS region of the endpoint; empty: as boto3 finds it.")] = ""
    namespace: Annotated[str, Meta(description="Metric namespace; may not begin with AWS/.")] = (
        "ChimeVoiceConnector"
    )
    dimensions: Annotated[
        tuple[Literal["VoiceConnectorId", "Region", "Carrier"], ...],
        Meta(description="Dimension sets published; each has a price. Carrier: 20 metrics a carrier."),
    ] = ("VoiceConnectorId", "Region")
    interval: Annotated[
        Positive, Meta(description="How often this host looks for minutes to send (logs too), s.")
    ] = 10.0
    newest_first: Annotated[bool, Meta(description="After an outage send the newest minutes first.")] = False
    agent_metrics: Annotated[
        bool, Meta(description="Send the agent's own figures too: namespace sbcwatch/Agent, 8 series a host.")
    ] = False


class Logs(_Section):
    """Media records and SIP messages to CloudWatch Logs."""

    enabled: Annotated[bool, Meta(description="Send both logs to CloudWatch Logs.")] = False
    media_group_prefix: Annotated[
        str, Meta(description="What the media log's groups begin with; the connector's id follows.")
    ] = "/aws/ChimeVoiceConnectorLogs/"
    sip_group_prefix: Annotated[
        str, Meta(description="What the SIP log's groups begin with; the connector's id follows.")
    ] = "/aws/ChimeVoiceConnectorSipMessages/"
    calls: Annotated[bool, Meta(description="Write call records too, one a call, when it is over.")] = False
    calls_group_prefix: Annotated[
        str, Meta(description="What the call log's groups begin with; the connector's id follows.")
    ] = "/aws/ChimeVoiceConnectorCallRecords/"
    stream: Annotated[str, Meta(description="Log stream name; {host} is this host.")] = "{host}"
    create_groups: Annotated[bool, Meta(description="Create groups that are missing.")] = True
    retention_days: Annotated[int, Meta(description="Retention of groups we create, days.")] = 30
    group_class: Annotated[
        Literal["STANDARD", "INFREQUENT_ACCESS"],
        Meta(description="Class of new groups: INFREQUENT_ACCESS is half the price, without field indexes."),
    ] = "STANDARD"
    kms_key: Annotated[
        str, Meta(description="ARN of the KMS key that new groups are encrypted with; empty: AWS's own.")
    ] = ""
    deletion_protection: Annotated[
        bool, Meta(description="New groups refuse to be deleted until somebody lifts that.")
    ] = False
    timeline: Annotated[
        bool, Meta(description="Media records carry their slots of 10 s; a record costs a fifth more.")
    ] = False
    sip_rate: Annotated[
        int, Meta(ge=0, description="SIP messages logged a second, and as many failures; 0: all of them.")
    ] = 5_000


class AwsSettings(_Section):
    """How AWS is reached, by every sink; and tags of what we make there."""

    role_arn: Annotated[
        str, Meta(description="Role to take on first, of another account for example; empty: none.")
    ] = ""
    external_id: Annotated[str, Meta(description="External id that the role's trust asks for.")] = ""
    proxy: Annotated[
        str, Meta(description="URL of an HTTP proxy for AWS alone; empty: as HTTPS_PROXY says.")
    ] = ""
    fips: Annotated[bool, Meta(description="Take FIPS endpoints.")] = False
    dual_stack: Annotated[bool, Meta(description="Take endpoints that have IPv6 as well.")] = False
    tags: Annotated[
        dict[str, str], Meta(description='Tags of groups, alarms, policy and bucket: {team = "voice"}.')
    ] = {}


class Archive(_Section):
    """Records as gzipped JSON lines in S3, in any store that speaks S3, or in a folder."""

    url: Annotated[str, Meta(description="s3://BUCKET/PREFIX or file:///FOLDER; empty: no archive.")] = ""
    kinds: Annotated[
        tuple[Literal["media", "calls", "sip", "metrics"], ...], Meta(description="What is kept there.")
    ] = ("media", "calls", "sip", "metrics")
    kms_key: Annotated[
        str, Meta(description="KMS key (id or ARN) that S3 encrypts with; empty: as the bucket says.")
    ] = ""
    keep_days: Annotated[
        int, Meta(ge=1, description="Lifecycle of the bucket in printed templates, days; a folder is yours.")
    ] = 30


class ClickHouseSettings(_Section):
    """Records to ClickHouse; `sbcwatch fleet schema` prints its tables."""

    url: Annotated[str, Meta(description="https://HOST:8443, its HTTP interface; empty: none.")] = ""
    database: Annotated[str, Meta(description="Database of the tables.")] = "sbcwatch"
    user: Annotated[str, Meta(description="User that may insert there.")] = "default"
    password_file: Annotated[str, Meta(description="File with the user's password; empty: none.")] = ""
    kinds: Annotated[
        tuple[Literal["media", "calls", "sip"], ...], Meta(description="What is sent there.")
    ] = ("media", "calls", "sip")


class OtlpSettings(_Section):
    """Metrics by OpenTelemetry's protocol: OTLP/HTTP with JSON, once a minute."""

    url: Annotated[
        str,
        Meta(
            description="https://HOST:4318, or CloudWatch's own endpoint, whose requests are signed: "
            "https://monitoring.REGION.amazonaws.com/v1/metrics; empty: none."
        ),
    ] = ""
    headers_file: Annotated[
        str, Meta(description="File with headers, one `Name: value` a line: a token, say; empty: none.")
    ] = ""


class PrometheusSettings(_Section):
    """/metrics, /healthz and /readyz."""

    enabled: Annotated[bool, Meta(description="Serve them.")] = True
    address: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: any free one.")] = 9642


class WebSettings(_Section):
    """Pages for people: sbcwatch web, a process of its own."""

    listen: Annotated[
        str,
        Meta(description="Address and port. Beyond this host only with a token and TLS, or behind a proxy."),
    ] = "127.0.0.1:9643"
    token_file: Annotated[
        str, Meta(description="File with the token that readers sign in with; empty: no sign-in.")
    ] = ""
    tls_certificate: Annotated[str, Meta(description="PEM file with the certificate and its chain.")] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's private key.")] = ""
    proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks of a proxy that signs readers in: others are refused."),
    ] = ()
    public_url: Annotated[
        str,
        Meta(description="Address that readers use, with its path behind a proxy; links in records use it."),
    ] = ""


class StoreSettings(_Section):
    """The local store: one SQLite file that is the outbox too."""

    directory: Annotated[str, Meta(description="State directory.")] = "/var/lib/sbcwatch"
    keep_hours: Annotated[
        Positive, Meta(description="How long delivered metrics and SIP are kept, hours.")
    ] = 24.0
    keep_calls_days: Annotated[
        Positive, Meta(description="How long calls and their media records are kept, days.")
    ] = 14.0
    max_mb: Annotated[int, Meta(ge=8, description="Greatest size on disk, MB.")] = 512
    checkpoint: Annotated[Positive, Meta(description="How often open minutes and calls are saved, s.")] = 5.0


class EvidenceSettings(_Section):
    """Packets of calls that go bad or are asked for, a pcapng each, in the store's folder."""

    enabled: Annotated[bool, Meta(description="Keep evidence.")] = False
    mos_below: Annotated[
        float, Meta(ge=0, le=5, description="A minute's MOS below this triggers, in any direction; 0: never.")
    ] = 3.0
    loss_above: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Packets lost in a minute and direction, per cent, above this; 0: never.",
        ),
    ] = 1.0
    flags: Annotated[
        tuple[Flag, ...], Meta(description="Flags of media records that trigger, as one_way_audio.")
    ] = ("one_way_audio", "dead_air")
    before_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Headers of all media kept from before a trigger, s; 0: none. See before_mb.",
        ),
    ] = 90.0
    before_mb: Annotated[
        int, Meta(ge=1, description="Memory for them, MB; of limits.max_memory_mb an eighth at most.")
    ] = 64
    payload: Annotated[
        bool, Meta(description="Calls that are asked for keep their payload: the conversation itself.")
    ] = False
    max_calls: Annotated[int, Meta(ge=1, le=1000, description="Calls recorded at once.")] = 20
    max_call_mb: Annotated[int, Meta(ge=1, description="Greatest size of one call's file, MB.")] = 16
    max_files: Annotated[int, Meta(ge=1, le=10_000, description="Files kept; the oldest goes first.")] = 200
    max_mb: Annotated[int, Meta(ge=1, description="Size of all files, MB; the oldest goes first.")] = 256
    keep_days: Annotated[Positive, Meta(description="How long a file is kept, days.")] = 14.0


class Alarms(_Section):
    """Alarms and alert rules: `sbcwatch aws alarms`, `sbcwatch aws prometheus`."""

    runbook_url: Annotated[
        str,
        Meta(description="Where your copy of docs/runbook.md opens: alarm texts point there, with #section."),
    ] = ""
    detailed: Annotated[
        int,
        Meta(
            ge=0,
            description="Up to so many connectors each has every alarm; beyond it three each (loss, MOS,"
            " failures), and all others by region.",
        ),
    ] = 20


class Cost(_Section):
    """The prices of AWS: `sbcwatch cost`. Prices of us-east-1, no free tier."""

    expected_calls: Annotated[
        float, Meta(ge=0, description="Calls up at once on this host, mean over a month.")
    ] = 20.0
    expected_cps: Annotated[
        float, Meta(ge=0, description="Call attempts a second on this host, mean over a month.")
    ] = 0.1
    messages_per_call: Annotated[
        float,
        Meta(ge=0, description="SIP messages of a call, both legs: INVITE, 100, 180, 200, ACK, BYE, 200."),
    ] = 14.0
    sip_bytes: Annotated[Positive, Meta(description="Mean size of one SIP message in the log, bytes.")] = (
        1200.0
    )
    media_bytes: Annotated[Positive, Meta(description="Mean size of one media record in the log, bytes.")] = (
        3400.0
    )
    calls_bytes: Annotated[Positive, Meta(description="Mean size of one call record in the log, bytes.")] = (
        1000.0
    )
    queries: Annotated[
        int,
        Meta(
            ge=0,
            description="Queries a month over a day of media records, by Logs Insights and by Athena each.",
        ),
    ] = 30
    composite_alarms: Annotated[
        int, Meta(ge=0, description="Composite alarms of your own over those that are printed.")
    ] = 0
    hosts: Annotated[int, Meta(ge=1, description="Hosts that run this configuration.")] = 1
    other_metrics: Annotated[
        int,
        Meta(ge=0, description="Custom metrics that the account has already: the first tier may be used up."),
    ] = 0
    max_metrics: Annotated[
        int,
        Meta(ge=0, description="Refuse a configuration that publishes more series than this; 0: no bound."),
    ] = 10_000
    max_monthly_cost: Annotated[
        float,
        Meta(ge=0, description="Refuse a configuration whose estimate is above this, USD; 0: no bound."),
    ] = 0.0
    prices_of: Annotated[str, Meta(description="Where and since when the prices below are AWS's.")] = (
        "us-east-1 of 2025-09-01"
    )
    metric_tiers: Annotated[
        tuple[tuple[int, float], ...],
        Meta(description="Metrics up to this many cost so much each and month, USD; 0: all further ones."),
    ] = ((10_000, 0.30), (250_000, 0.10), (1_000_000, 0.05), (0, 0.02))
    request_price: Annotated[float, Meta(ge=0, description="1,000 PutMetricData requests, USD.")] = 0.01
    log_price: Annotated[float, Meta(ge=0, description="One GB into CloudWatch Logs, USD.")] = 0.50
    infrequent_log_price: Annotated[
        float, Meta(ge=0, description="One GB into groups of the class INFREQUENT_ACCESS, USD.")
    ] = 0.25
    log_storage_price: Annotated[
        float, Meta(ge=0, description="One GB kept in CloudWatch Logs for a month (compressed), USD.")
    ] = 0.03
    log_query_price: Annotated[float, Meta(ge=0, description="One GB read by Logs Insights, USD.")] = 0.005
    alarm_price: Annotated[
        float, Meta(ge=0, description="One metric that an alarm or its query looks at, a month, USD.")
    ] = 0.10
    composite_alarm_price: Annotated[float, Meta(ge=0, description="One composite alarm, a month, USD.")] = (
        0.50
    )
    dashboard_price: Annotated[float, Meta(ge=0, description="One dashboard, a month, USD.")] = 3.0
    put_price: Annotated[float, Meta(ge=0, description="1,000 objects written to S3, USD.")] = 0.005
    object_storage_price: Annotated[float, Meta(ge=0, description="One GB kept in S3 for a month, USD.")] = (
        0.023
    )
    athena_price: Annotated[float, Meta(ge=0, description="1,000 GB read by Athena, USD.")] = 5.0
    disk_price: Annotated[
        float, Meta(ge=0, description="One GB of ClickHouse's disk for a month (EBS gp3), USD.")
    ] = 0.08


class Privacy(_Section):
    """People in records and messages."""

    mask_numbers: Annotated[
        bool,
        Meta(description="Users and numbers in records and logged messages become keyed tokens (n-...)."),
    ] = False
    sip_log: Annotated[
        Literal["redacted", "whole", "headers"],
        Meta(
            description="Logged SIP messages: redacted (without credentials, keys and texts), whole, "
            "or headers (redacted, and no body at all)."
        ),
    ] = "redacted"
    redact_headers: Annotated[
        tuple[str, ...],
        Meta(description="Further headers whose values are removed from logged SIP messages."),
    ] = ()
    country: Annotated[
        str, Meta(description="ISO country of numbers without a country code; empty: leave them unknown.")
    ] = ""


class Confine(_Section):
    """The rights that the daemon gives up once it runs: capabilities but NET_RAW, files but its own."""

    enabled: Annotated[
        bool,
        Meta(description="Drop privileges and fence files in (Landlock); where that cannot be, it says so."),
    ] = True


class Limits(_Section):
    """Bounds on what the wire can make us hold."""

    max_streams: Annotated[int, Meta(ge=100, description="RTP streams followed at once.")] = 200_000
    max_calls: Annotated[int, Meta(ge=100, description="Calls followed at once.")] = 100_000
    max_memory_mb: Annotated[
        int,
        Meta(
            ge=128,
            description="Resident memory with the rings, MB: both of the above are lowered to what fits.",
        ),
    ] = 512
    sip_budget: Annotated[
        int,
        Meta(
            ge=0, description="SIP messages a second of one far address; above it calls are sampled. 0: all."
        ),
    ] = 2_000


class Config(_Section):
    """The whole file."""

    vc: Vc = msgspec.field(default_factory=Vc)
    customers: Customers = msgspec.field(default_factory=Customers)
    connectors: list[ConnectorSettings] = []
    carriers: list[CarrierSettings] = []
    fleet: Fleet = msgspec.field(default_factory=Fleet)
    capture: Capture = msgspec.field(default_factory=Capture)
    calls: CallSettings = msgspec.field(default_factory=CallSettings)
    media: MediaSettings = msgspec.field(default_factory=MediaSettings)
    quality: Quality = msgspec.field(default_factory=Quality)
    cloudwatch: CloudWatch = msgspec.field(default_factory=CloudWatch)
    logs: Logs = msgspec.field(default_factory=Logs)
    aws: AwsSettings = msgspec.field(default_factory=AwsSettings)
    archive: Archive = msgspec.field(default_factory=Archive)
    clickhouse: ClickHouseSettings = msgspec.field(default_factory=ClickHouseSettings)
    otlp: OtlpSettings = msgspec.field(default_factory=OtlpSettings)
    prometheus: PrometheusSettings = msgspec.field(default_factory=PrometheusSettings)
    web: WebSettings = msgspec.field(default_factory=WebSettings)
    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    evidence: EvidenceSettings = msgspec.field(default_factory=EvidenceSettings)
    privacy: Privacy = msgspec.field(default_factory=Privacy)
    confine: Confine = msgspec.field(default_factory=Confine)
    limits: Limits = msgspec.field(default_factory=Limits)
    alarms: Alarms = msgspec.field(default_factory=Alarms)
    cost: Cost = msgspec.field(default_factory=Cost)


def media_ports(config: Config) -> tuple[int, int] | None:
    """(first, last) of the configured media ports; None for all, or where they do not parse."""
    found = re.fullmatch(r"(\d+)-(\d+)", config.capture.media_ports)
    if not found:
        return None
    first, last = int(found[1]), int(found[2])
    return (first, last) if 1 <= first <= last <= 65535 else None
