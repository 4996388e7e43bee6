"""What `sbcwatch aws` prints names only what is published, and the tools that take it agree with it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.config.load import read
from agent.config.settings import Config
from agent.provision.alarms import AlarmRule, rules
from agent.provision.aws import TEXTS
from agent.provision.dashboard import dashboard_body
from agent.provision.policy import statements
from agent.provision.prometheus import alerts
from agent.provision.put_alarms import alarm_parameters
from agent.provision.queries import queries
from agent.quality.codecs import codec
from agent.quality.emodel import score
from agent.sinks.aws.cloudwatch import datums
from agent.summary.catalog import (
    AGENT_METRICS,
    AGENT_NAMESPACE,
    BY_NAME,
    HOST_MINUTES,
    MEDIA_FIELDS,
    METRICS,
    SIP_FIELDS,
)
from agent.summary.records import ConnectorMinute, Samples, Value
from tests.kit.metric_math import breaches
from tests.kit.minutes import connector
from tests.kit.strict_aws import StrictAws

Reference = tuple[str, str, tuple[tuple[str, str], ...]]
SETTINGS = """
[[connectors]]
id = "trunk-1"
region = "eu-central-1"
[[connectors]]
id = "abcd.1_2/#"
region = "eu-west-1"
[cloudwatch]
enabled = true
agent_metrics = true
[logs]
enabled = true
"""


def made(text: str = SETTINGS) -> Config:
    config, problems = read(text, {})
    assert config is not None, problems
    return config


def template(config: Config, hosts: int = 1) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(TEXTS["cloudformation"][0](config, hosts))
    return made


def references(node: Any) -> Iterator[Reference]:
    """Every metric that an alarm, a template or a dashboard names, wherever it stands."""
    if isinstance(node, dict):
        if "MetricName" in node:
            yield (
                node["Namespace"],
                node["MetricName"],
                tuple((one["Name"], one["Value"]) for one in node["Dimensions"]),
            )
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        if len(node) >= 4 and all(isinstance(one, str) for one in node[:4]):
            pairs = [one for one in node[2:] if isinstance(one, str)]
            yield node[0], node[1], tuple(zip(pairs[::2], pairs[1::2], strict=True))
        for value in node:
            yield from references(value)


def all_references(config: Config) -> set[Reference]:
    found = set(references(alarm_parameters(config))) | set(references(dashboard_body(config, "eu-west-1")))
    resources = template(config)["Resources"]
    found |= set(references({k: v for k, v in resources.items() if k != "Dashboard"}))
    return found | set(
        references(json.loads(resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]))
    )


@pytest.mark.parametrize(
    "dimensions", ['["VoiceConnectorId", "Region"]', '["VoiceConnectorId"]', '["Region"]']
)
def test_every_metric_reference_is_in_the_catalog_under_a_published_dimension(dimensions: str) -> None:
    config = made(SETTINGS.replace("agent_metrics", f"dimensions = {dimensions}\nagent_metrics"))
    found = all_references(config)
    assert len({name for _, name, _ in found}) > 35
    for namespace, name, pairs in found:
        assert namespace == config.cloudwatch.namespace
        assert name in {*BY_NAME, HOST_MINUTES}
        assert [key for key, _ in pairs] in [[one] for one in config.cloudwatch.dimensions]


def test_every_metric_reference_is_a_series_that_cloudwatch_really_stored() -> None:
    config = made()

    def value(kind: str) -> Value:
        return Samples([1.0, 2.0], [1.0, 3.0]) if kind == "samples" else 0

    minute_ns = int(time.time() // 60 - 2) * 60_000_000_000
    minutes = [
        ConnectorMinute(c.id, c.region, {m.name: value(m.kind) for m in METRICS}, {}, complete=True)
        for c in config.connectors
    ]
    items = datums(minutes, minute_ns, [(one,) for one in config.cloudwatch.dimensions])
    with StrictAws() as aws:
        aws.client("cloudwatch").put_metric_data(Namespace=config.cloudwatch.namespace, MetricData=items)
        stored = {(namespace, name, tuple(pairs)) for namespace, name, pairs in aws.metrics.points}
    missing = all_references(config) - stored
    assert not missing
    # and the dashboard leaves nothing of the 43 out but the bytes of RTCP
    shown = {name for _, name, _ in references(dashboard_body(config, "eu-west-1"))}
    assert {metric.name for metric in METRICS} - shown <= {f"{p}RtcpBytes" for p in _prefixes()}


def _prefixes() -> list[str]:
    return [name.removesuffix("Jitter") for name in BY_NAME if name.endswith("Jitter")]


def test_statistics_of_samples_and_counts_fit_their_kind() -> None:
    """A gauge or count under Average would be the mean over hosts; a distribution under Sum says nothing."""
    for rule in rules(made()):
        for _, name, statistic in rule.inputs:
            is_samples = name in BY_NAME and BY_NAME[name].kind == "samples"
            wanted = {"Average", "SampleCount", "p10"} if is_samples else {"Sum"}
            wanted |= {"SampleCount"} if name == HOST_MINUTES else set()
            assert statistic in wanted, rule.key


def test_agent_figures_only_where_they_are_published() -> None:
    silent = made(SETTINGS.replace("agent_metrics = true", ""))
    for text, (function, _) in TEXTS.items():
        assert AGENT_NAMESPACE not in function(silent, 1), text
    for alarm in alarm_parameters(made())[-4:]:
        named = re.match(
            r'SELECT (?:SUM|MAX|COUNT)\((\w+)\) FROM SCHEMA\("([\w/]+)", Host\)( GROUP BY Host |$)',
            alarm["Metrics"][0]["Expression"],
        )
        assert named
        assert named[2] == AGENT_NAMESPACE
        assert named[1] in {metric.name for metric in AGENT_METRICS}


# --- alarms judge rightly


def judged(key: str, config: Config | None = None, hosts: int = 1, **inputs: float) -> bool:
    """Whether one period of these inputs breaches the alarm `key`: the expression, evaluated."""
    rule = by_key(config or made(), hosts)[key]
    before = {name.removeprefix("before_"): inputs.pop(name) for name in list(inputs) if "before" in name}
    assert set(inputs) == {name for name, _, _ in rule.inputs}
    return breaches(rule.expression, inputs, before, rule.comparison, rule.threshold)


def by_key(config: Config, hosts: int = 1) -> dict[str, AlarmRule]:
    return {rule.key: rule for rule in rules(config, hosts)}


def before(active: float, beats: float = 1) -> dict[str, float]:
    """The minute before, inbound."""
    return {"before_inbound": active, "before_outbound": 0, "before_beats": beats}


@pytest.mark.parametrize(
    ("key", "inputs", "breaching"),
    [
        ("mos-customer", {"mos": 3.5, "n": 5}, True),
        ("mos-customer", {"mos": 1.0, "n": 4}, False),
        ("mos-remote", {"mos": 3.7, "n": 50}, False),
        ("mos-worst-customer", {"p10": 3.0, "n": 20}, True),
        ("mos-worst-customer", {"p10": 3.2, "n": 200}, False),
        ("mos-worst-remote", {"p10": 1.0, "n": 19}, False),
        ("rtt-remote", {"rtt": 300_001, "n": 5}, True),
        ("rtt-remote", {"rtt": 900_000, "n": 1}, False),
        ("jitter-cust2vc", {"jitter": 30_001, "n": 9}, True),
        # Towards the vc the lost ones are not among the packets; away from it they are.
        ("loss-cust2vc", {"lost": 400, "packets": 19_600}, False),
        ("loss-cust2vc", {"lost": 410, "packets": 19_590}, True),
        ("loss-vc2cust", {"lost": 410, "packets": 20_000}, True),
        ("loss-vc2cust", {"lost": 400, "packets": 20_000}, False),
        ("loss-rem2vc", {"lost": 500, "packets": 1_000}, False),
        ("failures-inbound", {"failed": 11, "attempts": 20}, True),
        ("failures-inbound", {"failed": 19, "attempts": 19}, False),
        ("5xx", {"c2": 15, "c3": 0, "c4": 3, "c5": 2, "c6": 0}, True),
        ("5xx", {"c2": 0, "c3": 0, "c4": 0, "c5": 19, "c6": 0}, False),
        ("active-collapse", {"inbound": 5, "outbound": 4, **before(20), "beats": 1}, True),
        ("active-collapse", {"inbound": 0, "outbound": 0, **before(19), "beats": 1}, False),
        ("active-collapse", {"inbound": 8, "outbound": 4, **before(20), "beats": 1}, False),
        # A minute that the host has not sent yet is no call that ended, nor is the one before it.
        ("active-collapse", {"inbound": 5, "outbound": 4, **before(20), "beats": 0}, False),
        ("active-collapse", {"inbound": 5, "outbound": 4, **before(20, 0), "beats": 1}, False),
        ("silent", {"sent": 1}, False),
    ],
)
def test_alarm_breaches_exactly_where_it_says(key: str, inputs: dict[str, Any], breaching: bool) -> None:
    assert judged(key, **inputs) is breaching


def test_alarm_on_collapse_waits_for_every_host() -> None:
    """Of two hosts one is late: half of the calls are missing, and nothing has ended."""
    late = {"inbound": 10, "outbound": 0, "beats": 1, **before(40, 2)}
    assert not judged("active-collapse", None, 2, **late)
    assert judged("active-collapse", None, 2, **{**late, "beats": 2})


def test_alarm_on_silence_counts_hosts_and_takes_missing_data_as_breach() -> None:
    assert judged("silent", hosts=3, sent=2)
    assert by_key(made())["silent"].missing == "breaching"
    assert all(rule.missing == "notBreaching" for rule in rules(made()) if rule.key != "silent")


def test_alarm_on_failures_is_sharper_where_users_own_outcomes_do_not_count() -> None:
    config = made("[calls]\nnot_failures = [480, 486, 600, 603]")
    assert judged("failures-outbound", config, failed=3, attempts=20)
    assert not judged("failures-outbound", failed=3, attempts=20)


def test_alarm_reasons_agree_with_the_model() -> None:
    """The MOS named in the loss alarm's reason are what our own E-model gives."""

    def mos(name: str, loss_ratio: float, plc: bool = True) -> str:
        scored = score(codec(name), loss_ratio=loss_ratio, one_way_delay_ms=100, plc=plc)
        return f"{scored.mos:.1f}"

    why = by_key(made())["loss-cust2vc"].why
    assert f"G.729 falls from MOS {mos('G729', 0)} to {mos('G729', 0.02)}" in why
    assert f"concealment from {mos('PCMU', 0, False)} to {mos('PCMU', 0.02, False)}" in why


def test_alarm_descriptions_fit_and_say_what_missing_data_means() -> None:
    for parameters in alarm_parameters(made(), 3):
        text = parameters["AlarmDescription"]
        assert len(text) < 1024
        assert "Missing data:" in text
        assert parameters["DatapointsToAlarm"] <= parameters["EvaluationPeriods"]
        assert sum(query["ReturnData"] for query in parameters["Metrics"]) == 1


def test_alarms_have_a_section_each_in_the_runbook() -> None:
    runbook = (Path(__file__).parents[2] / "docs/runbook.md").read_text()
    named = {
        re.search(r"runbook\.md#([\w-]+)", parameters["AlarmDescription"])[1]  # type: ignore[index]
        for parameters in alarm_parameters(made())
    } | {alert.key for alert in alerts(made())}
    anchors = set(re.findall(r'<a id="([\w-]+)">', runbook))
    assert named == anchors


def test_alarm_texts_point_to_an_address_that_opens() -> None:
    config = made(SETTINGS + '[alarms]\nrunbook_url = "https://wiki.example/sbcwatch/runbook"\n')
    for parameters in alarm_parameters(config):
        assert "See https://wiki.example/sbcwatch/runbook#" in parameters["AlarmDescription"]
    for parameters in alarm_parameters(made()):
        assert "See file:///usr/share/doc/sbcwatch/runbook.md#" in parameters["AlarmDescription"]


def test_a_host_that_starts_again_and_again_counts_once_a_minute() -> None:
    """Twelve parts of one host are no twelve hosts: only the part that reaches the minute's end has a 1."""
    parts = [connector(), connector(), connector()]
    parts[-1].complete = True
    made = [datum for part in parts for datum in datums([part], 60_000_000_000, [("VoiceConnectorId",)])]
    beats = [datum for datum in made if datum["MetricName"] == HOST_MINUTES]
    assert [(beat["Value"], beat["Unit"]) for beat in beats] == [(1, "Count")]
    assert len([datum for datum in made if datum["MetricName"] == "Sip2xxCodes"]) == 3


# --- queries and policy


def test_queries_name_only_fields_of_their_log() -> None:
    fields = {"media": set(MEDIA_FIELDS), "sip": set(SIP_FIELDS)}
    for query in queries():
        words = set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", query.text))
        aliases = set(re.findall(r"as (\w+)", query.text))
        assert words - aliases - {"count_distinct"} <= fields[query.log], query.name


def test_policy_allows_the_sinks_calls_and_nothing_else() -> None:
    actions = set()
    config = made(SETTINGS + '[archive]\nurl = "s3://bucket/x"\n')
    for statement in statements(config):
        action = statement["Action"]
        actions |= {action} if isinstance(action, str) else set(action)
        assert statement["Resource"] != "*" or "Condition" in statement
    assert actions == {
        "cloudwatch:PutMetricData",
        "logs:PutLogEvents",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutRetentionPolicy",
        "s3:PutObject",
    }
    sources = "".join(path.read_text() for path in Path("agent/sinks").glob("**/*.py"))
    calls = set(re.findall(r"_(?:client|s3)\.((?:put|create|delete|get|describe)_\w+)\(", sources))
    assert {"".join(w.capitalize() for w in call.split("_")) for call in calls} == {
        action.split(":")[1] for action in actions
    }


# --- the tools that take the texts


@pytest.mark.slow
def test_cloudformation_passes_cfn_lint(tmp_path: Path) -> None:
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed (pip install cfn-lint)")
    path = tmp_path / "sbcwatch.json"
    path.write_text(TEXTS["cloudformation"][0](made(), 2))
    run = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_cloudformation_log_groups_outlive_the_stack() -> None:
    groups = [r for r in template(made())["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == 4
    assert all(group["DeletionPolicy"] == "Retain" for group in groups)
    assert all(group["Properties"]["RetentionInDays"] == 30 for group in groups)


@pytest.fixture
def terraform() -> str:
    found = shutil.which("terraform") or shutil.which("tofu")
    if found is None:
        pytest.skip("neither terraform nor tofu is installed")
    return found


def test_terraform_is_as_fmt_would_write_it(terraform: str, tmp_path: Path) -> None:
    """`fmt` parses the whole: what passes is syntactically right."""
    (tmp_path / "main.tf").write_text(TEXTS["terraform"][0](made(), 2))
    run = subprocess.run(
        [terraform, "fmt", "-check", "-diff", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert run.returncode == 0, run.stdout[:2000] + run.stderr


def validated(terraform: str, folder: Path, text: str) -> dict[str, Any]:
    """What `terraform validate` says, with a provider that has the AWS provider's schema."""
    pytest.importorskip("grpc", reason="grpcio is not installed")
    plugin = folder / "plugins/terraform-provider-aws"
    plugin.parent.mkdir()
    root = Path(__file__).parents[2]
    plugin.write_text(f"#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m tests.deploy.aws_provider\n")
    plugin.chmod(0o755)
    settings = folder / "terraformrc"
    overrides = f'dev_overrides {{ "hashicorp/aws" = "{plugin.parent}" }}'
    settings.write_text(f"provider_installation {{\n{overrides}\ndirect {{}}\n}}\n")
    (folder / "module").mkdir()
    (folder / "module/main.tf").write_text(text)
    run = subprocess.run(
        [terraform, f"-chdir={folder / 'module'}", "validate", "-json"],
        capture_output=True, text=True, check=False, timeout=120,
        # The stand-in speaks in the clear.
        env=os.environ | {"TF_CLI_CONFIG_FILE": str(settings), "TF_DISABLE_PLUGIN_TLS": "1"},
    )  # fmt: skip
    said: dict[str, Any] = json.loads(run.stdout)
    return said


def errors(said: dict[str, Any]) -> list[str]:
    return [one.get("detail", "") for one in said["diagnostics"] if one["severity"] == "error"]


def test_terraform_validates(terraform: str, tmp_path: Path) -> None:
    said = validated(terraform, tmp_path, TEXTS["terraform"][0](made(), 2))
    assert said["valid"], errors(said)


@pytest.mark.slow  # a start of terraform and of the provider each
@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("alarm_name", "alarm_nam", 'An argument named "alarm_nam" is not expected here'),
        ("skip_destroy      = true", 'skip_destroy      = "yes"', "a bool is required"),
        ("aws_iam_policy.agent.arn", "aws_iam_policy.agnt.arn", "has not been declared"),
        ("data.aws_region.current.id", "data.aws_region.current.nme", 'exported attribute named "nme"'),
    ],
)
def test_terraform_finds_what_is_wrong(
    terraform: str, tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    """The stand-in provider is no rubber stamp."""
    text = TEXTS["terraform"][0](made(), 2)
    assert right in text
    said = validated(terraform, tmp_path, text.replace(right, wrong, 1))
    assert any(told in fault for fault in errors(said)), said


def test_terraform_validates_with_the_real_provider(terraform: str, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(TEXTS["terraform"][0](made(), 2))
    init = subprocess.run(
        [terraform, f"-chdir={tmp_path}", "init", "-backend=false", "-input=false", "-no-color"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if init.returncode:
        faults = [
            line.strip("│ ") for line in init.stderr.splitlines() if "Error" in line or "registry" in line
        ]
        pytest.skip(f"terraform cannot get its AWS provider here: {'; '.join(faults[:2])[:300]}")
    run = subprocess.run(
        [terraform, f"-chdir={tmp_path}", "validate"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_terraform_and_cloudformation_have_the_same_alarms() -> None:
    text = TEXTS["terraform"][0](made(), 2)
    names = [json.loads(f'"{name}"') for name in re.findall(r'alarm_name +=\s"(.*)"', text)]
    resources = template(made(), 2)["Resources"].values()
    assert names == [r["Properties"]["AlarmName"] for r in resources if r["Type"] == "AWS::CloudWatch::Alarm"]
    labels = re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE)
    assert len(labels) == len(set(labels))


def test_command_prints_and_notes_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aws", "alarms"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == len(list(rules(Config())))
    assert "no alarms on capture drops" in err
