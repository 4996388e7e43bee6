"""Every setting once: type, default, unit, help. The shipped file and `check-config` come from here.

A file is TOML. An environment variable `SBCWATCH_<SECTION>_<KEY>` overrides the key of a section (lists:
commas between). Problems are collected, not raised one by one: an operator fixes a file in one go.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from agent.errors import ConfigError

ENVIRONMENT = "SBCWATCH_"
Positive = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]
# What CloudWatch Logs accepts as retention, days.
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip


class _Section(Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Vc(_Section):
    """Whose addresses are the SBC's own side."""

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
    snap_length: Annotated[
        int, Meta(ge=256, le=262144, description="Bytes kept of a frame: a SIP message must fit.")
    ] = 65535
    ring_mb: Annotated[int, Meta(ge=1, le=4096, description="Size of the kernel ring, MB.")] = 64
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


class Calls(_Section):
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
    ] = ("_b2b-1",)
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


class Quality(_Section):
    """The E-model (ITU-T G.107)."""

    jitter_buffer: Annotated[
        Literal["fixed", "adaptive"], Meta(description="The modelled jitter buffer.")
    ] = "fixed"
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


class CloudWatch(_Section):
    """Metrics to Amazon CloudWatch."""

    enabled: Annotated[bool, Meta(description="Send metrics to CloudWatch.")] = False
    region: Annotated[str, Meta(description="AWS region of the endpoint; empty: as boto3 finds it.")] = ""
    namespace: Annotated[str, Meta(description="Metric namespace; may not begin with AWS/.")] = (
        "ChimeVoiceConnector"
    )
    dimensions: Annotated[
        tuple[Literal["VoiceConnectorId", "Region"], ...],
        Meta(description="Dimension sets published; each has a price."),
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
    stream: Annotated[str, Meta(description="Log stream name; {host} is this host.")] = "{host}"
    create_groups: Annotated[bool, Meta(description="Create groups that are missing.")] = True
    retention_days: Annotated[int, Meta(description="Retention of groups we create, days.")] = 30


class PrometheusSettings(_Section):
    """/metrics, /healthz and /readyz."""

    enabled: Annotated[bool, Meta(description="Serve them.")] = True
    address: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: any free one.")] = 9642


class StoreSettings(_Section):
    """The local store: one SQLite file that is the outbox too."""

    directory: Annotated[str, Meta(description="State directory.")] = "/var/lib/sbcwatch"
    keep_hours: Annotated[Positive, Meta(description="How long delivered minutes stay readable, hours.")] = (
        24.0
    )
    max_mb: Annotated[int, Meta(ge=8, description="Greatest size on disk, MB.")] = 512
    checkpoint: Annotated[Positive, Meta(description="How often open minutes and calls are saved, s.")] = 5.0


class Cost(_Section):
    """What AWS will ask for it: `sbcwatch cost`. Prices of us-east-1, read on `prices_of`, no free tier."""

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
        1600.0
    )
    hosts: Annotated[int, Meta(ge=1, description="Hosts that run this configuration.")] = 1
    other_metrics: Annotated[
        int,
        Meta(ge=0, description="Custom metrics that the account has already: the first tier may be used up."),
    ] = 0
    max_monthly_cost: Annotated[
        float,
        Meta(ge=0, description="Refuse a configuration whose estimate is above this, USD; 0: no bound."),
    ] = 0.0
    prices_of: Annotated[str, Meta(description="Date of the prices below.")] = "2025-06-01"
    metric_tiers: Annotated[
        tuple[tuple[int, float], ...],
        Meta(description="Metrics up to this many cost so much each and month, USD; 0: all further ones."),
    ] = ((10_000, 0.30), (250_000, 0.10), (1_000_000, 0.05), (0, 0.02))
    request_price: Annotated[float, Meta(ge=0, description="1,000 PutMetricData requests, USD.")] = 0.01
    log_price: Annotated[float, Meta(ge=0, description="One GB into CloudWatch Logs, USD.")] = 0.50
    log_storage_price: Annotated[
        float, Meta(ge=0, description="One GB kept in CloudWatch Logs for a month (compressed), USD.")
    ] = 0.03


class Privacy(_Section):
    """What records say about people."""

    redact_headers: Annotated[
        tuple[str, ...], Meta(description="Headers whose values are removed from logged SIP messages.")
    ] = ("Authorization", "Proxy-Authorization")
    country: Annotated[
        str, Meta(description="ISO country of numbers without a country code; empty: leave them unknown.")
    ] = ""


class Limits(_Section):
    """Bounds on what the wire can make us hold."""

    max_streams: Annotated[int, Meta(ge=100, description="RTP streams followed at once.")] = 200_000
    max_calls: Annotated[int, Meta(ge=100, description="Calls followed at once.")] = 100_000


class Config(_Section):
    """The whole file."""

    vc: Vc = msgspec.field(default_factory=Vc)
    customers: Customers = msgspec.field(default_factory=Customers)
    connectors: list[ConnectorSettings] = []
    capture: Capture = msgspec.field(default_factory=Capture)
    calls: Calls = msgspec.field(default_factory=Calls)
    media: MediaSettings = msgspec.field(default_factory=MediaSettings)
    quality: Quality = msgspec.field(default_factory=Quality)
    cloudwatch: CloudWatch = msgspec.field(default_factory=CloudWatch)
    logs: Logs = msgspec.field(default_factory=Logs)
    prometheus: PrometheusSettings = msgspec.field(default_factory=PrometheusSettings)
    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    privacy: Privacy = msgspec.field(default_factory=Privacy)
    limits: Limits = msgspec.field(default_factory=Limits)
    cost: Cost = msgspec.field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration. `line` 0: not in the file (environment, or a missing key)."""

    where: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.where}: {self.text}" if self.line else f"{self.where}: {self.text}"


def load(path: str | Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a file (None: defaults) and the environment.

    Raises ConfigError with every problem found, each on its line.
    """
    text = ""
    if path is not None:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise ConfigError(f"{path}: {reason}: name a readable TOML file with --config") from None
    config, problems = read(text, environment)
    if config is None:
        name = str(path) if path is not None else "configuration"
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems))
    return config


def read(text: str, environment: Mapping[str, str]) -> tuple[Config | None, list[Problem]]:
    """Parse and check; either a configuration or every problem."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [Problem("syntax", _line_in(str(error)), f"{error}: mend the TOML")]
    problems: list[Problem] = []
    _override(raw, environment, problems)
    values: dict[str, Any] = {}
    for section, content in raw.items():
        field = _fields(Config).get(section)
        if field is None:
            problems.append(Problem(section, _line_of(text, section), _unknown(section, _fields(Config))))
        elif section == "connectors":
            rows = content if isinstance(content, list) else [content]
            values[section] = [
                row
                for number, one in enumerate(rows)
                if (row := _section(ConnectorSettings, f"connectors[{number}]", one, text, problems))
            ]
        else:
            values[section] = _section(field.type, section, content, text, problems)
    if problems:
        return None, problems
    config = Config(**values)
    problems += _check(config, text)
    return (None, problems) if problems else (config, [])


def _section(kind: Any, where: str, content: Any, text: str, problems: list[Problem]) -> Any:
    """One section converted key by key, so that every bad key is told."""
    if not isinstance(content, dict):
        problems.append(Problem(where, _line_of(text, where), f"must be a table: [{where}]"))
        return None
    values: dict[str, Any] = {}
    fields = _fields(kind)
    for key, value in content.items():
        field = fields.get(key)
        line = _line_of(text, where, key)
        if field is None:
            problems.append(Problem(f"{where}.{key}", line, _unknown(key, fields)))
            continue
        try:
            values[key] = msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            problems.append(Problem(f"{where}.{key}", line, f"{error}; it is for: {_help(field)}"))
    missing = [key for key, field in fields.items() if field.required and key not in content]
    problems += [Problem(f"{where}.{key}", _line_of(text, where), "is required") for key in missing]
    return kind(**values) if not missing else None


def _check(config: Config, text: str) -> Iterator[Problem]:
    """What types cannot say."""

    def problem(section: str, key: str, reason: str) -> Problem:
        return Problem(f"{section}.{key}", _line_of(text, section, key), reason)

    for address in (*config.vc.addresses, *config.vc.public_addresses, *config.vc.public_addresses.values()):
        if not _parses(ip_address, address):
            yield problem("vc", "addresses", f'"{address}" is no IP address')
    for network in config.customers.networks:
        if not _parses(ip_network, network):
            yield problem("customers", "networks", f'"{network}" is no network: write it as 192.0.2.0/24')
    seen: set[str] = set()
    for number, connector in enumerate(config.connectors):
        where = f"connectors[{number}]"
        if not re.fullmatch(r"[A-Za-z0-9._\-/#]{1,256}", connector.id) or connector.id == "unassigned":
            yield problem(where, "id", f'"{connector.id}" will not do: letters, digits and . _ - / # only')
        if connector.id in seen:
            yield problem(where, "id", f'"{connector.id}" is there twice')
        seen.add(connector.id)
        for network in connector.customer_networks:
            if not _parses(ip_network, network):
                yield problem(
                    where, "customer_networks", f'"{network}" is no network: write it as 192.0.2.0/24'
                )
    if sum(connector.default for connector in config.connectors) > 1:
        yield problem("connectors", "default", "only one connector can be the default")
    if config.capture.media_ports and media_ports(config) is None:
        yield problem("capture", "media_ports", "write it as first-last, for example 10000-20000")
    if config.capture.lateness <= config.calls.join_window:
        yield problem("capture", "lateness", "must be more than calls.join_window")
    if config.cloudwatch.namespace.startswith("AWS/"):
        yield problem("cloudwatch", "namespace", "AWS/ is reserved: use a name of your own")
    if config.logs.retention_days not in RETENTION_DAYS:
        yield problem("logs", "retention_days", f"must be one of {', '.join(map(str, RETENTION_DAYS))}")


def media_ports(config: Config) -> tuple[int, int] | None:
    """(first, last) of the configured media ports; None for all, or where they do not parse."""
    found = re.fullmatch(r"(\d+)-(\d+)", config.capture.media_ports)
    if not found:
        return None
    first, last = int(found[1]), int(found[2])
    return (first, last) if 1 <= first <= last <= 65535 else None


def _override(raw: dict[str, Any], environment: Mapping[str, str], problems: list[Problem]) -> None:
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT):
            continue
        section, _, key = name[len(ENVIRONMENT) :].lower().partition("_")
        field = _fields(Config).get(section)
        if field is None or not key or section == "connectors":
            continue  # SBCWATCH_NO_COMPILED and its like are not settings
        setting = _fields(field.type).get(key)
        if setting is None:
            problems.append(Problem(name, 0, _unknown(key, _fields(field.type))))
            continue
        raw.setdefault(section, {})[key] = _from_environment(text, setting)


def _from_environment(text: str, setting: Any) -> Any:
    if isinstance(setting.default, tuple):
        return [_scalar(part.strip()) for part in text.split(",") if part.strip()]
    return text if isinstance(setting.default, str) else _scalar(text)


def _scalar(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _fields(kind: Any) -> dict[str, Any]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _help(field: Any) -> str:
    metas = [meta for meta in get_args(field.type)[1:] if isinstance(meta, Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def _unknown(key: str, fields: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, fields, 1)
    return (
        f"there is no such setting: did you mean {close[0]}?"
        if close
        else (f"there is no such setting: there are {', '.join(fields)}")
    )


def _parses(parse: Any, text: str) -> bool:
    try:
        parse(text, strict=False) if parse is ip_network else parse(text)
    except ValueError:
        return False
    return True


def _line_in(message: str) -> int:
    found = re.search(r"line (\d+)", message)
    return int(found[1]) if found else 0


def _line_of(text: str, section: str, key: str | None = None) -> int:
    """The line (from 1) of a section, or of a key in it; 0 where it is not in the text."""
    name, _, number = section.partition("[")
    wanted = int(number.rstrip("]")) if number else 0
    seen, inside = -1, False
    for line, content in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([\w.]+)\s*\]", content)
        if header:
            inside = header[1].split(".")[0] == name
            seen += inside
            if inside and seen == wanted and key is None:
                return line
        elif inside and key is not None and seen >= wanted and re.match(rf"\s*{re.escape(key)}\s*=", content):
            return line
    return 0


def shipped() -> str:
    """`config/sbcwatch.toml`: every setting with its help and default."""
    lines = [
        "# sbcwatch: every setting, with its default. Remove the # to change one.",
        "# Check a file with: sbcwatch check-config FILE",
    ]
    for section, field in _fields(Config).items():
        kind = ConnectorSettings if section == "connectors" else field.type
        head = f"#[[{section}]]" if section == "connectors" else f"[{section}]"
        lines += ["", f"# {kind.__doc__}", head]
        for setting in _fields(kind).values():
            default = setting.default
            if setting.default_factory is not msgspec.NODEFAULT:
                default = setting.default_factory()
            if default is msgspec.NODEFAULT:
                default = "trunk-1"
            lines += [f"# {_help(setting)}", f"#{setting.name} = {_toml(default)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {_toml(v)}' for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
