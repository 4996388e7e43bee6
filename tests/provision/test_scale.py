"""What `sbcwatch aws` prints is within AWS's quotas at 1 to 500 connectors, or refused with the number."""

import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from agent.cli import main
from agent.config.load import read
from agent.config.settings import Config
from agent.errors import ConfigError
from agent.provision import quotas
from agent.provision.cloudformation import MAIN, apart, templates
from agent.provision.dashboard import dashboard_body, metrics_of
from agent.provision.policy import policy_document, statements
from agent.provision.put_alarms import MERGED, alarm_parameters
from agent.provision.queries import definitions
from agent.provision.scope import groups, partition
from agent.provision.terraform import terraform_text
from tests.kit.metric_math import breaches

CARRIERS = 20
SIZES = (1, 13, 36, 100, 500)


def toml(connectors: int, more: str = "") -> str:
    tables = [
        f'[[connectors]]\nid = "trunk-{n:03}-{"x" * 22}"\nregion = "eu-central-1"\n'
        for n in range(connectors)
    ]
    tables += [f'[[carriers]]\nid = "carrier-{n:02}"\n' for n in range(CARRIERS)]
    dimensions = '["VoiceConnectorId", "Region", "Carrier"]'
    head = f"[cloudwatch]\nenabled = true\nagent_metrics = true\ndimensions = {dimensions}\n"
    return "".join(tables) + head + "[logs]\nenabled = true\ncreate_groups = false\n" + more


@lru_cache
def config(connectors: int, more: str = "") -> Config:
    made, problems = read(toml(connectors, more), {})
    assert made is not None, problems
    return made


@lru_cache
def texts(connectors: int) -> dict[str, str]:
    return templates(config(connectors), 12)


@lru_cache
def stacks(connectors: int) -> dict[str, dict[str, Any]]:
    return {name: json.loads(text) for name, text in texts(connectors).items()}


@lru_cache
def alarms_of(connectors: int) -> list[dict[str, Any]]:
    return alarm_parameters(config(connectors), 12)


@lru_cache
def dashboard(connectors: int) -> dict[str, Any]:
    return dashboard_body(config(connectors), "eu-central-1")


def resources(connectors: int, kind: str) -> list[dict[str, Any]]:
    return [
        resource["Properties"]
        for stack in stacks(connectors).values()
        for resource in stack["Resources"].values()
        if resource["Type"] == kind
    ]


@lru_cache
def session() -> boto3.Session:
    return boto3.Session(region_name="eu-central-1")


@lru_cache
def service_model(service: str) -> ServiceModel:
    client: Any = session().client  # it has an overload for each of AWS's services
    model: ServiceModel = client(service).meta.service_model
    return model


# --- sizes


@pytest.mark.parametrize("connectors", SIZES)
def test_policy_is_as_long_for_500_connectors_as_for_two(connectors: int) -> None:
    document = policy_document(config(connectors))
    assert len(re.sub(r"\s", "", json.dumps(document))) < 1_200 < quotas.POLICY_CHARACTERS


def allowed(document: dict[str, Any], action: str, arn: str) -> bool:
    """Whether IAM would allow it: `*` and `?` match any text, also `/` and `:`."""

    def several(named: str | list[str]) -> list[str]:
        return [named] if isinstance(named, str) else named

    return any(
        fnmatchcase(arn, resource)
        for statement in document["Statement"]
        if action in several(statement["Action"])
        for resource in several(statement["Resource"])
    )


@pytest.mark.parametrize("connectors", SIZES)
def test_policy_allows_each_group_and_none_of_its_neighbours(connectors: int) -> None:
    made = config(connectors, '[archive]\nurl = "s3://my-bucket/sbcwatch"\n')
    document = policy_document(made, region="eu-central-1", account="111122223333")
    logs = "arn:aws:logs:eu-central-1:111122223333:log-group:"
    every = {kind: names for kind, names in groups(made).items() if kind != "calls"}
    for names in every.values():
        for name in (names[0], names[-1]):
            assert allowed(document, "logs:PutLogEvents", f"{logs}{name}:log-stream:sbc-1")
            assert allowed(document, "logs:CreateLogStream", f"{logs}{name}:*")
    for kind, names in every.items():
        prefix = {"media": made.logs.media_group_prefix, "sip": made.logs.sip_group_prefix}[kind]
        neighbours = [
            prefix.rstrip("/") + "Other",
            prefix.rstrip("/") + "Other/" + names[0].rpartition("/")[2],
        ]
        neighbours += [prefix.rstrip("/"), "/aws/lambda/x", "/other" + names[0]]
        for name in neighbours:
            for action in ("logs:PutLogEvents", "logs:CreateLogStream", "logs:CreateLogGroup"):
                for arn in (f"{logs}{name}", f"{logs}{name}:*", f"{logs}{name}:log-stream:sbc-1"):
                    assert not allowed(document, action, arn), (action, arn)
    s3 = "arn:aws:s3:::my-bucket"
    assert allowed(
        document, "s3:PutObject", f"{s3}/sbcwatch/kind=media/dt=2026-11-29/hour=01/host=h/x.jsonl.gz"
    )
    for key in (
        "/sbcwatch-other/kind=media/x",
        "/kind=media/x",
        "-other/sbcwatch/kind=media/x",
        "/sbcwatch/x",
    ):
        assert not allowed(document, "s3:PutObject", s3 + key), key
    assert not allowed(document, "s3:DeleteObject", f"{s3}/sbcwatch/kind=media/x")


@pytest.mark.parametrize("connectors", SIZES)
def test_templates_are_within_500_resources_and_a_megabyte(connectors: int) -> None:
    for name, text in texts(connectors).items():
        assert len(text.encode()) <= 1_000_000, name
        assert 1 <= len(json.loads(text)["Resources"]) <= 500, name


@pytest.mark.parametrize("connectors", SIZES)
def test_templates_together_have_everything_once(connectors: int) -> None:
    names = [one["LogGroupName"] for one in resources(connectors, "AWS::Logs::LogGroup")]
    assert sorted(names) == sorted(name for kind in groups(config(connectors)).values() for name in kind)
    alarms = [one["AlarmName"] for one in resources(connectors, "AWS::CloudWatch::Alarm")]
    assert sorted(alarms) == sorted(one["AlarmName"] for one in alarms_of(connectors))
    assert len(alarms) == len(set(alarms))
    nested = {one["TemplateURL"] for one in resources(connectors, "AWS::CloudFormation::Stack")}
    own = apart(texts(connectors))
    assert nested | set(own) == set(stacks(connectors)) - {MAIN}
    assert len(own) == (connectors == 500)


@pytest.mark.parametrize("connectors", SIZES)
def test_main_template_and_what_it_nests_are_within_one_operation(connectors: int) -> None:
    made = stacks(connectors)
    own = apart(texts(connectors))
    together = [name for name in made if name not in own]
    assert sum(len(made[name]["Resources"]) for name in together) <= 2_500
    for name in own:  # it stands alone: all that it refers to is in it
        text = json.dumps(made[name])
        assert set(re.findall(r'"Ref": "(\w+)"', text)) <= {
            *made[name]["Resources"],
            *made[name]["Parameters"],
            "AWS::NoValue",
        }


@pytest.mark.parametrize("connectors", SIZES)
def test_dashboard_is_within_widgets_and_metrics(connectors: int) -> None:
    body = dashboard(connectors)
    assert len(body["widgets"]) <= 500
    assert metrics_of(body) <= 2_500
    for widget in body["widgets"]:
        lines = widget["properties"].get("metrics", [])
        assert sum(isinstance(line[0], str) for line in lines) <= 500
        assert widget["x"] + widget["width"] <= 24


@pytest.mark.parametrize("connectors", SIZES)
def test_alarms_have_at_most_ten_metrics_and_one_answer(connectors: int) -> None:
    insights = 0
    for alarm in alarms_of(connectors):
        assert sum("MetricStat" in query for query in alarm["Metrics"]) <= 10
        assert sum(query["ReturnData"] for query in alarm["Metrics"]) == 1
        assert len(alarm["AlarmName"]) <= 255
        assert len(alarm["AlarmDescription"]) <= 1_024
        insights += alarm["Metrics"][0].get("Expression", "").startswith("SELECT")
    assert insights <= 200


@pytest.mark.parametrize("connectors", SIZES)
def test_parameters_are_what_the_service_model_takes(connectors: int) -> None:
    calls = [("cloudwatch", "PutMetricAlarm", one) for one in alarms_of(connectors)[-400:]]
    body = quotas.compact(dashboard(connectors))
    calls.append(("cloudwatch", "PutDashboard", {"DashboardName": "sbcwatch", "DashboardBody": body}))
    for query, named, text in definitions(config(connectors)):
        parameters = {"name": query.name, "queryString": text, "logGroupNames": named}
        calls.append(("logs", "PutQueryDefinition", parameters))
    for service, operation, parameters in calls:
        shape = service_model(service).operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), report.generate_report()


def shapes(template: dict[str, Any]) -> dict[str, Any]:
    """The template with one resource of those that differ in numbers alone: cfn-lint says of all what it says
    of one, at 20 ms each.
    """
    first: dict[str, str] = {}
    for name, resource in template["Resources"].items():
        first.setdefault(re.sub(r"\d+", "0", json.dumps(resource)), name)
    return template | {"Resources": {name: template["Resources"][name] for name in first.values()}}


@pytest.mark.slow
def test_templates_pass_cfn_lint(tmp_path: Path) -> None:
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed (pip install cfn-lint)")
    looked_at = []
    for connectors in (13, 100, 500):
        for name, template in stacks(connectors).items():
            looked_at.append(tmp_path / f"{connectors}-{name}")
            looked_at[-1].write_text(json.dumps(shapes(template)))
    run = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", *looked_at],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[:3000]


# --- beyond a limit


def test_one_template_that_would_be_too_large_is_refused_with_the_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(toml(500))
    assert main(["aws", "cloudformation", "--config", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert re.search(r"2,\d\d\d resources, and AWS takes 500 .*: print \d templates with --output", err)


def test_output_writes_a_main_template_that_names_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(toml(500))
    folder = tmp_path / "out"
    assert main(["aws", "cloudformation", "--config", str(path), "--output", str(folder)]) == 0
    assert {one.name for one in folder.iterdir()} == set(stacks(500))
    err = capsys.readouterr().err
    assert "cloudformation package" in err
    assert "beyond 2,500 resources in one operation: deploy as stacks of their own: sbcwatch-6.json" in err


def test_policy_without_a_common_beginning_names_groups_and_is_refused_where_too_long() -> None:
    apart = '[[connectors]]\nid = "{}{}"\n'
    prefix = '[logs]\nenabled = true\nmedia_group_prefix = ""\nsip_group_prefix = "sip/"\n'

    def of(count: int) -> Config:
        tables = "".join(apart.format(chr(97 + n % 26), "y" * 40 + str(n)) for n in range(count))
        made, problems = read(tables + prefix, {})
        assert made is not None, problems
        return made

    for statement in statements(of(3)):
        assert not any(re.search(r"log-group:\*", one) for one in [*statement["Resource"]])
    with pytest.raises(ConfigError, match=r"\d,\d+ characters in the agent's policy, and AWS takes 6,144"):
        policy_document(of(60))


def test_more_tags_than_a_resource_takes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[aws.tags]\n" + "".join(f'k{n} = "v"\n' for n in range(51)))
    assert main(["aws", "terraform", "--config", str(path)]) == 2
    assert "aws.tags: are 51: AWS takes 50" in capsys.readouterr().err


# --- what the agent may do


def actions(config: Config, **where: Any) -> set[str]:
    found: set[str] = set()
    for statement in statements(config, **where):
        found |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    return found


def test_policy_where_the_stack_makes_groups_cannot_create_them_nor_set_retention() -> None:
    assert actions(config(2)) == {"cloudwatch:PutMetricData", "logs:PutLogEvents", "logs:CreateLogStream"}
    (policy,) = resources(13, "AWS::IAM::ManagedPolicy")
    assert "CreateLogGroup" not in json.dumps(policy)
    assert "Retention" not in json.dumps(policy)


def test_policy_of_a_stack_never_creates_groups_whatever_the_agent_may_want() -> None:
    own, _ = read("[logs]\nenabled = true\ncreate_groups = true\n", {})
    assert own is not None
    assert "logs:CreateLogGroup" in actions(own)
    assert "logs:CreateLogGroup" not in actions(own, groups_exist=True)
    assert "CreateLogGroup" not in templates(own)[MAIN]
    assert "CreateLogGroup" not in terraform_text(own)


def test_policy_reaches_every_group_of_ours_and_no_other_prefix() -> None:
    for connectors in (1, 2, 100):
        resource = [
            one
            for statement in statements(config(connectors))
            if statement["Sid"] == "LogStreams"
            for one in statement["Resource"]
        ]
        for name in (name for kind in groups(config(connectors)).values() for name in kind):
            arn = f"arn:aws:logs:eu-central-1:123456789012:log-group:{name}"
            assert any(matches(one, arn) for one in resource), name
        for other in ("/aws/lambda/x", "/aws/ChimeVoiceConnectorOther/trunk-000"):
            arn = f"arn:aws:logs:eu-central-1:123456789012:log-group:{other}"
            assert not any(matches(one, arn) for one in resource)


def matches(pattern: str, arn: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), arn))


@pytest.mark.parametrize(
    ("region", "name"),
    [
        ("eu-central-1", "aws"), ("us-east-1", "aws"), ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"), ("eusc-de-east-1", "aws-eusc"), ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
    ],
)  # fmt: skip
def test_partition_is_the_regions_in_every_arn(region: str, name: str) -> None:
    made, problems = read(f'[cloudwatch]\nregion = "{region}"\n[logs]\nenabled = true\n', {})
    assert made is not None, problems
    assert partition(made) == name
    assert session().get_partition_for_region(region) == name
    arns = re.findall(r'"arn:[^"]+', json.dumps(statements(made)))
    assert arns
    assert all(arn.startswith(f'"arn:{name}:') for arn in arns)


# --- merged alarms judge as the single ones do


def merged(key: str, **inputs: float) -> bool:
    alarm = next(one for one in alarms_of(36) if re.fullmatch(rf"sbcwatch \S+ {key}", one["AlarmName"]))
    names = [query["Id"] for query in alarm["Metrics"] if "MetricStat" in query]
    values = dict.fromkeys(names, 0.0) | inputs
    assert set(values) == set(names)
    comparison = {"LessThanThreshold": "<", "GreaterThanThreshold": ">"}[alarm["ComparisonOperator"]]
    return breaches(alarm["Metrics"][-1]["Expression"], values, {}, comparison, alarm["Threshold"])


@pytest.mark.parametrize(
    ("key", "inputs", "breaching"),
    [
        ("loss", {"lost0": 410, "packets0": 19_590}, True),
        ("loss", {"lost3": 410, "packets3": 20_000}, True),
        ("loss", {"lost0": 400, "packets0": 19_600, "lost2": 9, "packets2": 10}, False),
        ("loss", {}, False),
        ("mos", {"mos0": 4.2, "n0": 50, "mos1": 3.5, "n1": 5}, True),
        ("mos", {"mos0": 4.2, "n0": 50, "mos1": 1.0, "n1": 4}, False),
        ("mos", {}, False),
        ("failures", {"failed1": 11, "attempts1": 20}, True),
        ("failures", {"failed0": 10, "attempts0": 20, "failed1": 3, "attempts1": 3}, False),
    ],
)
def test_merged_alarm_breaches_where_the_worst_of_its_rules_does(
    key: str, inputs: dict[str, float], breaching: bool
) -> None:
    assert merged(key, **inputs) is breaching


def test_beyond_the_setting_each_connector_has_three_alarms_and_regions_have_all() -> None:
    names = [one["AlarmName"] for one in alarms_of(100)]
    of_one = [name for name in names if "trunk-007" in name]
    assert {name.split()[-1] for name in of_one} == set(MERGED)
    assert len([name for name in names if name.startswith("sbcwatch eu-central-1 ")]) > 15
    assert "sbcwatch connectors silent" in names


def test_silence_and_stuck_delivery_are_one_alarm_each_that_names_hosts() -> None:
    alarms = {one["AlarmName"]: one for one in alarms_of(1)}
    for name, function in (("host-silent", "COUNT(Frames)"), ("stuck-delivery", "MAX(UndeliveredSeconds)")):
        (query,) = alarms[f"sbcwatch {name}"]["Metrics"]
        assert query["Expression"].startswith(
            f'SELECT {function} FROM SCHEMA("sbcwatch/Agent", Host) GROUP BY Host'
        )
        assert query["Expression"].endswith("LIMIT 100")
    assert alarms["sbcwatch hosts-missing"]["Threshold"] == 12
    assert alarms["sbcwatch hosts-missing"]["TreatMissingData"] == "breaching"


# --- dashboards and queries of many


def test_dashboard_of_many_ranks_all_of_them_and_lets_one_be_chosen() -> None:
    body = dashboard(500)
    (variable,) = body["variables"]
    assert variable["property"] == "VoiceConnectorId"
    lines = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    queries = [line[0]["expression"] for line in lines if isinstance(line[0], dict)]
    ranked = [query for query in queries if "GROUP BY VoiceConnectorId" in query]
    assert len(ranked) >= 12
    named = {line[3] for line in lines if isinstance(line[0], str) and line[2] == "VoiceConnectorId"}
    assert named == {config(500).connectors[0].id}


def test_dashboard_of_few_has_a_section_each() -> None:
    text = json.dumps(dashboard(13))
    assert all(f"## VoiceConnectorId {one.id}" in text for one in config(13).connectors)


@pytest.mark.parametrize("connectors", SIZES)
def test_queries_reach_every_group(connectors: int) -> None:
    for query, named, text in definitions(config(connectors)):
        every = groups(config(connectors))[query.log]
        if named:
            assert named == every
            assert "SOURCE" not in text
        else:
            found = re.match(r"SOURCE logGroups\(namePrefix: \['([^']+)'\]\)\n\| ", text)
            assert found
            assert all(name.startswith(found[1]) for name in every)


def test_groups_have_class_key_tags_protection_and_an_index_on_the_call() -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    more = f'kms_key = "{key}"\ndeletion_protection = true\n[aws]\ntags = {{ team = "voice" }}\n'
    made = json.loads(templates(config(1, more))[MAIN])["Resources"]
    for group in (one["Properties"] for one in made.values() if one["Type"] == "AWS::Logs::LogGroup"):
        assert group["KmsKeyId"] == key
        assert group["DeletionProtectionEnabled"] is True
        assert group["Tags"] == [{"Key": "team", "Value": "voice"}]
        assert group["FieldIndexPolicies"] == [{"Fields": ["call_id", "transaction_id"]}]
    text = terraform_text(config(1, more))
    for said in ("kms_key_id", "deletion_protection_enabled = true", 'team = "voice"', ">= 6.23"):
        assert said in text


def test_infrequent_access_has_no_index_and_queries_name_the_class() -> None:
    seldom = config(100, 'group_class = "INFREQUENT_ACCESS"\n')
    for text in templates(seldom).values():
        assert "FieldIndexPolicies" not in text
    assert "aws_cloudwatch_log_index_policy" not in terraform_text(seldom)
    assert all("class: ['INFREQUENT_ACCESS']" in text for _, _, text in definitions(seldom))
