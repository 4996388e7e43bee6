"""The same resources as the CloudFormation template, as Terraform configuration for the AWS provider."""

from __future__ import annotations

import re
from typing import Any

from agent.config.settings import Config
from agent.provision import archive
from agent.provision.alarms import alarm_parameters
from agent.provision.dashboard import dashboard_body
from agent.provision.hcl import HclBlock, Raw, render
from agent.provision.policy import policy_document
from agent.provision.queries import queries
from agent.provision.scope import groups

_MARK = "@REGION@"  # stands for an expression inside of documents that are otherwise text


def terraform_text(config: Config, hosts: int = 1) -> str:
    blocks = [
        HclBlock(
            "terraform",
            (),
            [
                HclBlock(
                    "required_providers", (), [("aws", {"source": "hashicorp/aws", "version": ">= 4.40"})]
                )
            ],
        ),
        HclBlock(
            "variable",
            ("alarm_actions",),
            [
                ("type", Raw("list(string)")),
                ("default", []),
                ("description", "ARNs that alarms tell, an SNS topic for example."),
            ],
        ),
        HclBlock("data", ("aws_region", "current"), []),
        HclBlock("data", ("aws_caller_identity", "current"), []),
        HclBlock("data", ("aws_partition", "current"), []),
    ]
    names = groups(config)
    for kind, group_names in names.items():
        blocks += [_group(kind, number, name, config) for number, name in enumerate(group_names)]
    blocks += [
        HclBlock(
            "resource",
            ("aws_cloudwatch_query_definition", _label(query.name)),
            [
                ("name", f"sbcwatch/{query.name}"),
                ("log_group_names", names[query.log][:50]),
                ("query_string", query.text),
            ],
        )
        for query in queries()
        if names[query.log]
    ]
    blocks += archive.blocks(config)
    blocks += [_alarm(parameters) for parameters in alarm_parameters(config, hosts)]
    blocks.append(
        HclBlock(
            "resource",
            ("aws_cloudwatch_dashboard", "sbcwatch"),
            [
                ("dashboard_name", "sbcwatch"),
                ("dashboard_body", _encoded(dashboard_body(config, _MARK), "data.aws_region.current.id")),
            ],
        )
    )
    where = {name: f"@{name.upper()}@" for name in ("partition", "account")}
    document = policy_document(config, region=_MARK, **where)
    blocks += [
        HclBlock(
            "resource",
            ("aws_iam_policy", "agent"),
            [
                ("name_prefix", "sbcwatch-agent-"),
                ("description", "What sbcwatch needs on an SBC host; attach it to the host's role."),
                ("policy", _encoded(document, "data.aws_region.current.id")),
            ],
        ),
        HclBlock("output", ("agent_policy_arn",), [("value", Raw("aws_iam_policy.agent.arn"))]),
    ]
    return render(blocks)


def _group(kind: str, number: int, name: str, config: Config) -> HclBlock:
    return HclBlock(
        "resource",
        ("aws_cloudwatch_log_group", f"{kind}_{number}"),
        [("name", name), ("retention_in_days", config.logs.retention_days), ("skip_destroy", True)],
    )


def _alarm(parameters: dict[str, Any]) -> HclBlock:
    body: list[tuple[str, Any] | HclBlock] = [
        ("alarm_name", parameters["AlarmName"]),
        ("alarm_description", parameters["AlarmDescription"]),
        ("comparison_operator", parameters["ComparisonOperator"]),
        ("threshold", parameters["Threshold"]),
        ("evaluation_periods", parameters["EvaluationPeriods"]),
        ("datapoints_to_alarm", parameters["DatapointsToAlarm"]),
        ("treat_missing_data", parameters["TreatMissingData"]),
        ("alarm_actions", Raw("var.alarm_actions")),
        ("ok_actions", Raw("var.alarm_actions")),
    ]
    return HclBlock(
        "resource",
        ("aws_cloudwatch_metric_alarm", _label(parameters["AlarmName"])),
        [*body, *map(_query, parameters["Metrics"])],
    )


def _query(query: dict[str, Any]) -> HclBlock:
    body: list[tuple[str, Any] | HclBlock] = [("id", query["Id"])]
    if "Expression" in query:
        body.append(("expression", query["Expression"]))
        body += [(key.lower(), query[key]) for key in ("Label", "Period") if key in query]
    body.append(("return_data", query["ReturnData"]))
    if "MetricStat" in query:
        stat = query["MetricStat"]
        metric = stat["Metric"]
        body.append(
            HclBlock(
                "metric",
                (),
                [
                    ("namespace", metric["Namespace"]),
                    ("metric_name", metric["MetricName"]),
                    ("dimensions", {one["Name"]: one["Value"] for one in metric["Dimensions"]}),
                    ("period", stat["Period"]),
                    ("stat", stat["Stat"]),
                ],
            )
        )
    return HclBlock("metric_query", (), body)


def _encoded(document: Any, region: str) -> Raw:
    """`jsonencode(...)` of a document, its marks turned into expressions."""
    text = render([HclBlock("x", (), [("y", document)])])
    value = "\n".join(text.splitlines()[1:-1]).removeprefix("  y = ")
    value = value.replace(_MARK, f"${{{region}}}")
    value = value.replace("@PARTITION@", "${data.aws_partition.current.partition}")
    return Raw(f"jsonencode({value.replace('@ACCOUNT@', '${data.aws_caller_identity.current.account_id}')})")


def _label(name: str) -> str:
    """A resource's name: letters, digits and underscores, and different for different names."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", name.removeprefix("sbcwatch "))
    exotic = re.sub(r"[A-Za-z0-9 _-]", "", name)
    label = words + ("_x" + exotic.encode().hex() if exotic else "")
    return label if label[0].isalpha() or label[0] == "_" else f"n{label}"
