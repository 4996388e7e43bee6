"""Broken configurations and what is said of each; docs/configuration.md holds the same table.

`python -m tests.config.test_broken` writes the table there again.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.assembly.check import looked_at
from agent.cli import main
from agent.config.load import read

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN, END = "<!-- broken: written by tests/config/test_broken.py -->\n", "<!-- /broken -->"
NICS = [(1, "lo"), (2, "eth0")]


class Broken(NamedTuple):
    """Lines of a file, or a variable (NAME=value), and what is said: the place and a part of the text."""

    lines: str
    where: str
    said: str
    severity: str = "error"


def connector(more: str, name: str = "trunk-1") -> str:
    return f'[[connectors]]\nid = "{name}"\n{more}\n'.replace("\n\n", "\n")


TWO = connector('customer_networks = ["10.1.0.0/16"]')
BROKEN = [
    # Words and types
    Broken("[capture]\nsnap_lenght = 3", "capture.snap_lenght", "did you mean snap_length?"),
    Broken("[captur]\nring_mb = 3", "captur", "did you mean capture?"),
    Broken('[capture]\nring_mb = "64"', "capture.ring_mb", "Expected `int`, got `str`"),
    Broken("[capture]\nthreads = 99", "capture.threads", "Expected `int` <= 16"),
    Broken('[capture]\nmethod = "afpaket"', "capture.method", "one of auto, afpacket, scapy (nearest: afpacket)"),
    Broken("[calls]\nretry_window = inf", "calls.retry_window", "inf is no number to reckon with"),
    Broken("[store]\nkeep_hours = 1e12", "store.keep_hours", "1e+12 is too much: 1e+09 at most"),
    Broken("[logs]\nenabled = 1", "logs.enabled", "Expected `bool`, got `int`"),
    Broken('[store]\ndirectory = "/var/lib/\\u0000"', "store.directory", "has a NUL: remove it"),
    Broken('[fleet]\nkey_file = "/etc/\\u0000"', "fleet.key_file", "has a NUL: remove it"),
    Broken('[vc]\naddresses = ["\\u0000"]', "vc.addresses", "has a NUL: remove it"),
    Broken("[limits]\nmax_streams = 9999999999999999999999", "limits.max_streams", "1e+22 is too much: 1e+12 at most"),
    Broken("connectors = 5", "connectors[0]", "must be a table: [[connectors]]"),
    # Sides
    Broken('[vc]\naddresses = ["::ffff:10.1.0.1"]', "vc.addresses", "is IPv4, and so are its frames: write 10.1.0.1"),
    Broken(
        '[customers]\nnetworks = ["::ffff:10.1.0.0/112"]',
        "customers.networks",
        "is IPv4, and so are its frames: write 10.1.0.0/16",
    ),
    Broken(
        '[vc]\naddresses = ["10.1.0.1"]\n[customers]\nnetworks = ["10.1.0.1"]',
        "customers.networks",
        '"10.1.0.1" is the vc itself: name the network that the customer calls from',
        "warning",
    ),
    Broken('[customers]\nnetworks = ["10.1.0.0/16", "10.1.0.0/16"]', "customers.networks", "stands there 2 times", "warning"),
    Broken('[vc]\naddresses = ["sbc.example.com"]', "vc.addresses", "is no IP address: write it as 192.0.2.1"),
    Broken('[vc]\naddresses = ["192.0.2.0/24"]', "vc.addresses", "is no IP address: write it as 192.0.2.1"),
    Broken('[vc]\naddresses = ["0.0.0.0"]', "vc.addresses", "is nobody's: write the address of one host"),
    Broken('[vc]\naddresses = ["255.255.255.255"]', "vc.addresses", "is nobody's: write the address of one host"),
    Broken('[vc]\naddresses = ["fe80::1%eth0"]', "vc.addresses", "has a zone: no frame carries it, write fe80::1"),
    Broken('[vc]\naddresses = ["10.1.0.1", "10.1.0.1"]', "vc.addresses", "stands there 2 times", "warning"),
    Broken(
        '[vc]\naddresses = ["10.1.0.1"]\npublic_addresses = { "198.18.0.1" = "10.1.0.2" }',
        "vc.public_addresses",
        '"10.1.0.2" is none of vc.addresses: its frames are nobody\'s',
        "warning",
    ),
    Broken('[vc]\npublic_addresses = { "192.0.2.1" = "192.0.2.1" }', "vc.public_addresses", "is mapped to itself"),
    Broken(
        '[customers]\nnetworks = ["10.1.0.7/16"]',
        "customers.networks",
        "has host bits: write 10.1.0.0/16, or 10.1.0.7/32 for that host alone",
    ),
    Broken('[customers]\nnetworks = ["10.1.0.0/33"]', "customers.networks", "is no network: write it as 192.0.2.0/24"),
    Broken('[customers]\nnetworks = ["0.0.0.0/0"]', "customers.networks", "holds every address", "warning"),
    Broken(
        '[customers]\nnetworks = ["198.51.100.128/25"]',
        "customers.networks",
        "is a network for examples: name the customer's own",
        "warning",
    ),
    Broken('[vc]\nobserver = "customer"', "vc.observer", "vc.addresses are those of its connector: name them", "warning"),
    # Fleet
    Broken('[fleet]\nboard = "valkey.example"', "fleet.board", "will not do: write it as rediss://"),
    Broken('[fleet]\nboard = "rediss://user:secret@192.0.2.9"', "fleet.board", '"rediss://...@192.0.2.9" will not do'),
    Broken('[fleet]\nboard = "rediss://valkey.example:99999"', "fleet.board", "will not do: write it as rediss://"),
    Broken('[fleet]\nmedia_addresses = ["239.1.1.1"]', "fleet.media_addresses", "is nobody's"),
    Broken('[fleet]\nkey_file = "/nonexistent"', "fleet.key_file", "/nonexistent: No such file or directory"),
    Broken('[fleet]\nmedia_addresses = ["relay-1"]', "fleet.media_addresses", "is no IP address"),
    Broken(
        '[fleet]\nboard = "redis://192.0.2.9"',
        "fleet.board",
        "needs [vc] addresses: those of every proxy and relay of the fleet",
        "warning",
    ),
    # Connectors
    Broken(
        TWO + connector('customer_networks = ["10.1.0.0/16"]', "trunk-2"),
        "connectors[1].customer_networks",
        "\"10.1.0.0/16\" is trunk-1's already: a customer has one connector",
    ),
    Broken(
        TWO + connector('customer_networks = ["10.1.7.0/24"]', "trunk-2"),
        "connectors[1].customer_networks",
        "lies in 10.1.0.0/16 of trunk-1: calls from it are trunk-2's",
        "warning",
    ),
    Broken(connector("log_sip = true") + connector("log_sip = true"), "connectors[1].id", "is there twice"),
    Broken(connector("") + connector("", "Trunk-1"), "connectors[1].id", 'is "trunk-1" in another case'),
    Broken(connector("", "trunk 1"), "connectors[0].id", "letters, digits and . _ - / # only"),
    Broken('[[connectors]]\nregion = "local"', "connectors[0].id", "is required: add id = ..."),
    Broken("[[connectors]]\nid = 12345", "connectors[0].id", "Expected `str`, got `int`"),
    Broken(connector("", "unassigned"), "connectors[0].id", "is where calls go that fit no connector"),
    Broken(connector('domains = ["münchen.example"]'), "connectors[0].domains", "write xn--mnchen-3ya.example"),
    Broken(connector('domains = ["a b.example"]'), "connectors[0].domains", "write sip.example.com"),
    Broken(connector('domains = ["a.example", "a.example"]'), "connectors[0].domains", "stands there 2 times", "warning"),
    Broken(
        connector("default = true") + connector("default = true", "trunk-2"),
        "connectors[1].default",
        "only one connector can be the default",
    ),
    Broken(connector('domains = ["sip:pbx.example.com"]'), "connectors[0].domains", "write pbx.example.com"),
    Broken(connector('domains = ["https://pbx.example.com:5061/"]'), "connectors[0].domains", "write pbx.example.com"),
    Broken(connector('domains = ["*.example.com"]'), "connectors[0].domains", "no wildcard is known here"),
    Broken(
        connector('domains = ["pbx.example.com"]') + connector('domains = ["PBX.example.com"]', "trunk-2"),
        "connectors[1].domains",
        "is trunk-1's already: a host names one connector",
    ),
    Broken(connector('region = "münchen"'), "connectors[0].region", "CloudWatch refuses others"),
    Broken(connector('region = "eu-cental-1"'), "connectors[0].region", "(nearest: eu-central-1)", "warning"),
    # Capture
    # Carriers
    Broken("[[carriers]]\nid = 7\ndomains = [\"a.example\"]", "carriers[0].id", "Expected `str`, got `int`"),
    Broken('[[carriers]]\nid = "a"', "carriers[0].id", "a fits nothing: add networks or domains", "warning"),
    Broken(
        '[vc]\naddresses = ["10.1.0.1"]\n[[carriers]]\nid = "a"\nnetworks = ["10.1.0.1"]',
        "carriers[0].networks",
        '"10.1.0.1" is the vc itself',
        "warning",
    ),
    Broken('[[carriers]]\nid = "a"\nnetworks = ["10.1.0.7/16"]', "carriers[0].networks", "has host bits"),
    Broken(
        connector('domains = ["a.example"]') + '[[carriers]]\nid = "a"\ndomains = ["A.example"]',
        "carriers[0].domains",
        '"A.example" is a host of trunk-1, a customer\'s trunk',
        "warning",
    ),
    Broken('[[carriers]]\nid = "a"\ndomains = ["sip:a.example"]', "carriers[0].domains", "write a.example"),
    Broken(
        '[customers]\nnetworks = ["10.0.0.0/8"]\n[[carriers]]\nid = "a"\nnetworks = ["10.1.0.0/16"]',
        "carriers[0].networks",
        "lies in 10.0.0.0/8, a customer's: no carrier is there",
        "warning",
    ),
    # Capture
    Broken('[capture]\ninterfaces = ["eht0"]', "capture.interfaces", "is not there: here are lo, eth0 (nearest: eth0)"),
    Broken('[capture]\ninterfaces = ["a-nic-of-a-long-name"]', "capture.interfaces", "can be no NIC"),
    Broken("[capture]\nsip_ports = []", "capture.sip_ports", "without a port no SIP is seen"),
    Broken("[capture]\nhep_ports = [9060]", "capture.hep_ports", 'is gone: write [[capture.tunnels]] with kind = "hep"'),
    Broken('[[capture.tunnels]]\nkind = "VXLAN"', "capture.tunnels", "one of ipip, 6in4, gre, nvgre"),
    Broken('[[capture.tunnels]]\nkind = "hep"', "capture.tunnels", "hep needs peers: name who sends it"),
    Broken(
        '[[capture.tunnels]]\nkind = "vxlan"\npeers = ["10.1.0.1/8"]', "capture.tunnels", "has host bits set: write peers"
    ),
    Broken('[[capture.tunnels]]\nkind = "vxlan"\nvni = 16777216', "capture.tunnels", "the network has 24 bits"),
    Broken(
        '[[capture.tunnels]]\nkind = "vxlan"\n[[capture.tunnels]]\nkind = "geneve"\nport = 4789',
        "capture.tunnels",
        "geneve has port 4789 of vxlan: a port carries one kind",
    ),
    Broken(
        '[[capture.tunnels]]\nkind = "vxlan"\n[[capture.tunnels]]\nkind = "vxlan"',
        "capture.tunnels",
        "vxlan from anybody stands there twice",
    ),
    Broken('[capture]\ninterfaces = ["any", "eth0"]', "capture.interfaces", '"any" stands for all', "warning"),
    Broken('[capture]\nmedia_ports = "20000-10000"', "capture.media_ports", "write it as first-last"),
    Broken('[capture]\nfilter = "udp prot 5060"', "capture.filter", "syntax error"),
    Broken("[capture]\nlateness = 1.0", "capture.lateness", "must be more than calls.join_window"),
    Broken("[capture]\nsnap_length = 256", "capture.snap_length", "256 cuts SIP messages", "warning"),
    Broken("[capture]\nlateness = 600.0", "capture.lateness", "600 s: minutes close and reach AWS that much later", "warning"),
    Broken("[limits]\nmax_memory_mb = 128", "limits.max_memory_mb", "leaves none for calls: at least 262"),
    # Calls and quality
    Broken('[calls]\ncorrelation_headers = ["X-CID:"]', "calls.correlation_headers", "write its name alone, as X-CID"),
    Broken('[calls]\ncorrelation_headers = ["User-Agent"]', "calls.correlation_headers", "all would join: remove it"),
    Broken('[calls]\ncorrelation_headers = ["P-Asserted-Identity"]', "calls.correlation_headers", "all would join: remove it"),
    Broken('[calls]\ncall_id_suffixes = [""]', "calls.call_id_suffixes", "so all legs would join"),
    Broken('[calls]\nthrottle_patterns = ["503"]', "calls.throttle_patterns", "begin with a status and a blank"),
    Broken('[calls]\nthrottle_patterns = ["Call limit"]', "calls.throttle_patterns", "begin with a status and a blank"),
    Broken("[calls]\nhold_timeout = 60.0", "calls.hold_timeout", "a call on hold would end first", "warning"),
    Broken("[quality]\njitter_buffer_ms = 300.0", "quality.jitter_buffer_ms", "is above jitter_buffer_max_ms (200)"),
    Broken('[quality.codecs.opuss]\nbpl = 19.5', "quality.codecs", "(nearest: opus)", "warning"),
    # AWS
    Broken('[cloudwatch]\nregion = "eu-cental-1"', "cloudwatch.region", "(nearest: eu-central-1)"),
    Broken("[cloudwatch]\nenabled = true", "cloudwatch.region", "no AWS region: set it, as eu-central-1"),
    Broken('[cloudwatch]\nnamespace = "AWS/Chime"', "cloudwatch.namespace", "AWS/ is reserved"),
    Broken('[cloudwatch]\nnamespace = "voice:sbc"', "cloudwatch.namespace", "is refused by CloudWatch"),
    Broken('[cloudwatch]\ndimensions = ["Regions"]', "cloudwatch.dimensions", "one of VoiceConnectorId, Region"),
    Broken('[cloudwatch]\ndimensions = ["Region", "Region"]', "cloudwatch.dimensions", "stands there 2 times"),
    Broken('[logs]\nmedia_group_prefix = "calls of "', "logs.media_group_prefix", "is refused by CloudWatch Logs"),
    Broken('[logs]\nsip_group_prefix = "aws/sip/"', "logs.sip_group_prefix", "is reserved: begin it with /aws/"),
    Broken(
        '[logs]\ncalls_group_prefix = "/aws/ChimeVoiceConnectorLogs/"',
        "logs.calls_group_prefix",
        "is media_group_prefix too: give each log groups of its own",
    ),
    Broken('[logs]\ncalls = true', "logs.calls", "has no effect: logs.enabled is false", "warning"),
    Broken('[logs]\nkms_key = "alias/voice"', "logs.kms_key", "write arn:aws:kms:REGION:ACCOUNT:key/ID"),
    Broken(
        '[logs]\nkms_key = "arn:aws:kms:us-east-1:123456789012:key/1"\n[cloudwatch]\nregion = "eu-west-1"',
        "logs.kms_key",
        "is a key of us-east-1, and the groups are made in eu-west-1: AWS refuses it",
    ),
    Broken('[aws]\nrole_arn = "arn:aws:iam::1:user/bob"', "aws.role_arn", "write arn:aws:iam::ACCOUNT:role/NAME"),
    Broken("[cloudwatch]\nagent_metrics = true", "cloudwatch.agent_metrics", "cloudwatch.enabled is false", "warning"),
    Broken(
        "[logs]\ncreate_groups = false\ndeletion_protection = true",
        "logs.deletion_protection",
        "has no effect: logs.create_groups is false",
        "warning",
    ),
    Broken('[aws]\nexternal_id = "x-1"', "aws.external_id", "is for role_arn, which is empty", "warning"),
    Broken('[aws]\nproxy = "proxy.example"', "aws.proxy", "write it as http://HOST:3128"),
    Broken('[aws]\ntags = {"aws:team" = "voice"}', "aws.tags", "is reserved: no tag may begin with aws:"),
    Broken('[aws]\ntags = {team = "voice;sip"}', "aws.tags", '"team" is refused by AWS'),
    Broken('[archive]\nurl = "s3://Calls_1"', "archive.url", "will not do: s3://BUCKET/PREFIX"),
    Broken('[archive]\nurl = "s3://192.168.1.1/calls"', "archive.url", "will not do: s3://BUCKET/PREFIX"),
    Broken('[archive]\nurl = "s3://sbc..calls"', "archive.url", "will not do: s3://BUCKET/PREFIX"),
    Broken('[archive]\nurl = "s3://calls"\nkinds = []', "archive.kinds", "is empty: nothing would be kept there"),
    Broken('[clickhouse]\nurl = "clickhouse:9000"', "clickhouse.url", "write it as https://HOST:8443"),
    Broken('[clickhouse]\ndatabase = "sbc-watch"', "clickhouse.database", "letters, digits and _ only"),
    Broken('[otlp]\nurl = "collector:4317"', "otlp.url", "write it as https://HOST:4318"),
    Broken(
        '[cloudwatch]\ndimensions = ["Carrier"]', "cloudwatch.dimensions", "has Carrier, and no carrier is named", "warning"
    ),
    Broken('[alarms]\nrunbook_url = "docs/runbook.md"', "alarms.runbook_url", "write it as https://"),
    Broken('[alarms]\nrunbook_url = "https://wiki.example/runbook#top"', "alarms.runbook_url", "write it as https://"),
    Broken('[logs]\nstream = "{hostname}"', "logs.stream", "names no log stream"),
    Broken("[logs]\nretention_days = 31", "logs.retention_days", "must be one of 1, 3, 5, 7, 14, 30"),
    Broken(
        '[logs]\nenabled = true\n[cloudwatch]\nregion = "eu-west-1"',
        "customers.networks",
        "nobody is a customer: every sided figure is null",
        "warning",
    ),
    Broken("[cost]\nmetric_tiers = [[100, 0.3], [0, -0.1]]", "cost.metric_tiers", "has a number below 0"),
    Broken("[cost]\nmetric_tiers = [[100, 0.3], [50, 0.1]]", "cost.metric_tiers", "must rise from tier to tier"),
    Broken(
        '[cost]\nmax_metrics = 10\n[cloudwatch]\nenabled = true\nregion = "eu-west-1"',
        "cost.max_metrics",
        " series, and cost.max_metrics is 10",
    ),
    # People and host
    Broken('[privacy]\ncountry = "Germany"', "privacy.country", "its two letters in ISO 3166, as DE"),
    Broken('[privacy]\ncountry = "uk"', "privacy.country", "its two letters in ISO 3166, as GB"),
    Broken('[privacy]\nredact_headers = ["X-Caller: "]', "privacy.redact_headers", "write its name alone, as X-Caller"),
    Broken('[prometheus]\naddress = "eth0"', "prometheus.address", "127.0.0.1 for this host"),
    Broken("[prometheus]\nport = 96420", "prometheus.port", "Expected `int` <= 65535"),
    Broken('[store]\ndirectory = "state"', "store.directory", "depends on where the daemon is started", "warning"),
    Broken('[store]\ndirectory = "/etc/passwd"', "store.directory", "/etc/passwd is no folder"),
    Broken('[web]\nlisten = "127.0.0.1:9642"', "web.listen", "has the port of /metrics (9642)", "warning"),
    Broken('[evidence]\nflags = ["one_way_adio"]', "evidence.flags", "(nearest: one_way_audio)"),
    Broken("[evidence]\nmax_call_mb = 512", "evidence.max_call_mb", "is above max_mb (256)", "warning"),
    # Variables
    Broken("SBCWATCH_CAPTURE_RING=8", "SBCWATCH_CAPTURE_RING", "did you mean SBCWATCH_CAPTURE_RING_MB?"),
    Broken("SBCWATCH_CLOUDWTCH_REGION=x", "SBCWATCH_CLOUDWTCH_REGION", "did you mean SBCWATCH_CLOUDWATCH_REGION?"),
    Broken("SBCWATCH_CAPTURE_RING_MB=lots", "SBCWATCH_CAPTURE_RING_MB", "Expected `int`, got `str`"),
    Broken("SBCWATCH_CONNECTORS__0__IDS=x", "SBCWATCH_CONNECTORS__0__IDS", "did you mean id?"),
    Broken("SBCWATCH_CONNECTORS__1__ID=x", "SBCWATCH_CONNECTORS__1__ID", "number them from 0"),
    Broken("SBCWATCH_VC_ADDRESSES=sbc1", "SBCWATCH_VC_ADDRESSES", '"sbc1" is no IP address'),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _a_host_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, {})


def set_up(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: NICS)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def written(broken: Broken, folder: Path) -> tuple[Path, dict[str, str]]:
    """The file, and the variables."""
    path = folder / "sbcwatch.toml"
    if broken.lines.startswith("SBCWATCH_"):
        path.write_text("")
        return path, dict([broken.lines.split("=", 1)])
    path.write_text(broken.lines)
    return path, {}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda b: b.lines.replace("\n", " "))
def test_broken_configuration_is_told_where_and_what(
    broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, variables = written(broken, tmp_path)
    set_up(monkeypatch, variables)
    status = main(["check-config", str(path), "--strict", "--json"])
    row = json.loads(capsys.readouterr().out)
    found = [(p["severity"], p["where"], p["text"]) for p in row["problems"]]
    assert [(s, w) for s, w, t in found if broken.said in t] == [(broken.severity, broken.where)], found
    errors = [where for severity, where, _ in found if severity == "error"]
    assert set(errors) == ({broken.where} if broken.severity == "error" else set())
    assert status == (2 if broken.severity == "error" else 1)
    assert row["valid"] == (broken.severity == "warning")
    line = next(p["line"] for p in row["problems"] if broken.said in p["text"])
    assert variables or line is None or 1 <= line <= broken.lines.count("\n") + 1


def test_broken_values_are_all_told_at_once(tmp_path: Path) -> None:
    # One file of every case that is a section alone and no table twice.
    sections: dict[str, list[str]] = {}
    alone = ("capture.filter", "capture.sip_ports", "logs.calls_group_prefix")  # another's fault makes up
    cases = [b for b in BROKEN if b.lines.count("\n") == 1 and b.severity == "error" and b.lines[1] != "["]
    wanted: set[str] = set()
    for broken in cases:
        head, line = broken.lines.split("\n")
        key = line.split(" = ")[0]
        if head.strip("[]") + "." + key == broken.where and broken.where not in (*alone, *wanted):
            sections.setdefault(head, []).append(line)
            wanted.add(broken.where)
    path = tmp_path / "sbcwatch.toml"
    path.write_text("\n".join(f"{head}\n" + "\n".join(lines) for head, lines in sections.items()))
    _, problems, _ = looked_at(str(path))
    assert wanted - {problem.where for problem in problems} == set()
    assert len(wanted) > 25


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--config"],
        ["replay", "pcaps/busy-inbound-customer.pcap", "--config"],
        ["streams", "pcaps/busy-inbound-customer.pcap", "--config"],
        ["report", "pcaps/busy-inbound-customer.pcap", "-o", "-", "--config"],
        ["verify", "pcaps/busy-inbound-customer.pcap", "--config"],
        ["top", "--once", "--config"],
        ["healthcheck", "--config"],
        ["cost", "--config"],
        ["aws", "policy", "--config"],
        ["check-config"],
    ],
    ids=lambda command: command[0],
)
def test_configuration_that_will_not_do_is_exit_2_in_every_command(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sbcwatch.toml"
    path.write_text('[privacy]\ncountry = "Germany"\n[prometheus]\naddress = "eth0"\n')
    assert main([*command, str(path)]) == 2
    said = capsys.readouterr().err
    assert "line 2: privacy.country" in said
    assert "line 4: prometheus.address" in said


def test_file_for_another_host_may_name_its_nics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sbcwatch.toml"
    path.write_text('[capture]\ninterfaces = ["ens5"]\n[customers]\nnetworks = ["10.0.0.0/8"]\n')
    assert main(["check-config", str(path), "--elsewhere"]) == 0
    assert "watching: ens5" in capsys.readouterr().out


@pytest.mark.parametrize(
    "variable",
    [
        "SBCWATCH_PORT=tcp://10.0.0.1:9642",
        "SBCWATCH_PORT_9642_TCP_ADDR=10.0.0.1",
        "SBCWATCH_SERVICE_HOST=10.0.0.1",
        "SBCWATCH_METRICS_SERVICE_PORT_HTTP=9642",
        "SBCWATCH_REQUIRE_COMPILED=1",
    ],
)
def test_variable_that_kubernetes_sets_for_a_service_is_no_setting(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(monkeypatch, dict([variable.split("=", 1)]))
    path = tmp_path / "sbcwatch.toml"
    path.write_text("")
    assert looked_at(str(path))[1] == []


def test_connector_of_the_environment_alone_and_over_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "SBCWATCH_CONNECTORS__0__ID": "123",
        "SBCWATCH_CONNECTORS__0__CUSTOMER_NETWORKS": "10.1.0.0/16, 10.2.0.0/16",
        "SBCWATCH_CONNECTORS__0__DEFAULT": "true",
    }
    set_up(monkeypatch, variables)
    path = tmp_path / "sbcwatch.toml"
    for text in ("", connector('region = "eu-west-1"')):
        path.write_text(text)
        config, problems, _ = looked_at(str(path))
        assert config is not None, problems
        (row,) = config.connectors
        assert (row.id, row.customer_networks, row.default) == ("123", ("10.1.0.0/16", "10.2.0.0/16"), True)
        assert row.region == ("eu-west-1" if text else "local")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("connectors = [5]", "connectors[0] must be a table: [[connectors]]"),
        ('[connectors]\nregion = "local"', ""),
    ],
)
def test_variable_over_a_connector_that_is_no_table_is_told_and_over_a_single_one_is_taken(
    text: str, said: str
) -> None:
    config, problems = read(text, {"SBCWATCH_CONNECTORS__0__ID": "trunk-1"})
    assert (config is None, said in {problem.text for problem in problems}) == (
        (True, True) if said else (False, False)
    )


def test_directory_with_a_name_too_long_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sbcwatch.toml"
    path.write_text(f'[store]\ndirectory = "/{"a" * 5000}"\n')
    (problem,) = looked_at(str(path))[1]
    assert (problem.where, problem.line) == ("store.directory", 2)
    assert problem.text.startswith("File name too long: ")


def test_twelve_connectors_of_the_environment_stand_in_the_order_of_their_numbers() -> None:
    variables = {f"SBCWATCH_CONNECTORS__{n}__ID": f"trunk-{n}" for n in range(12)}
    config, problems = read("", variables)
    assert config is not None, problems
    assert [row.id for row in config.connectors] == [f"trunk-{n}" for n in range(12)]


def table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The table as docs/configuration.md shows it."""
    rows = ["| written | said |", "| --- | --- |"]
    for broken in BROKEN:
        with pytest.MonkeyPatch.context() as patch:
            path, variables = written(broken, folder)
            set_up(patch, variables)
            _, problems, warnings = looked_at(str(path))
        said = next(str(p) for p in (*problems, *warnings) if broken.said in p.text).splitlines()[0]
        shown = broken.lines.rstrip("\n").replace("\n", "` `").replace("|", "\\|")
        grade = "warning: " if broken.severity == "warning" else ""
        rows.append(f"| `{shown}` | {grade}{said.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def test_documented_table_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = DOCS.read_text().split(BEGIN)[1].split(END)[0]
    assert shown == table(tmp_path, monkeypatch), "run: python -m tests.config.test_broken"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        before, after = DOCS.read_text().split(BEGIN)
        DOCS.write_text(before + BEGIN + table(Path(name), patch) + END + after.split(END)[1])
