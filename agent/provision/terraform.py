"""The same resources as the CloudFormation template, as Terraform configuration for the AWS provider."""

from __future__ import annotations

import re
from typing import Any

from agent.config.settings import Config
from agent.provision import archive
from agent.provision.dashboard import dashboard_body
from agent.provision.hcl import HclBlock, Raw, render
from agent.provision.policy import policy_document
from agent.provision.put_alarms import alarm_parameters
from agent.provision.queries import INDEXED, definitions
from agent.provision.scope import groups

# Index policies came with 5.82, deletion protection of log groups with 6.23.
_PLAIN, _INDEXES, _PROTECTED = ">= 4.40", ">= 5.82", ">= 6.23"
_MARK = "@REGION@"  # stands for an expression inside documents that are otherwise text


def terraform_text(config: Config, hosts: int = 1) -> str:
    blocks = [
        HclBlock(
            "terraform",
            (),
            [
                HclBlock(
                    "required_providers",
                    (),
                    [("aws", {"source": "hashicorp/aws", "version": _provider(config)})],
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
    if config.logs.group_class == "STANDARD" and any(names.values()):
        blocks.append(_indexes(names))
    blocks += [
        HclBlock(
            "resource",
            ("aws_cloudwatch_query_definition", _label(query.name)),
            [
                ("name", f"sbcwatch/{query.name}"),
                *([("log_group_names", named)] if named else []),
                ("query_string", text),
            ],
        )
        for query, named, text in definitions(config)
    ]
    blocks += archive.blocks(config)
    blocks += [_alarm(parameters, config) for parameters in alarm_parameters(config, hosts, brief=True)]
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
    document = policy_document(config, region=_MARK, groups_exist=True, **where)
    blocks += [
        HclBlock(
            "resource",
            ("aws_iam_policy", "agent"),
            [
                ("name_prefix", "sbcwatch-agent-"),
                ("description", "What sbcwatch needs on an SBC host; attach it to the host's role."),
                ("policy", _encoded(document, "data.aws_region.current.id")),
                *_tags(config),
            ],
        ),
        HclBlock("output", ("agent_policy_arn",), [("value", Raw("aws_iam_policy.agent.arn"))]),
    ]
    return render(blocks)


def _provider(config: Config) -> str:
    """The first version of the AWS provider that has every feature used."""
    if config.logs.deletion_protection:
        return _PROTECTED
    return _INDEXES if config.logs.group_class == "STANDARD" else _PLAIN


def _group(kind: str, number: int, name: str, config: Config) -> HclBlock:
    logs = config.logs
    optional = {
        "log_group_class": logs.group_class if logs.group_class != "STANDARD" else "",
        "kms_key_id": logs.kms_key,
        "deletion_protection_enabled": logs.deletion_protection,
    }
    return HclBlock(
        "resource",
        ("aws_cloudwatch_log_group", f"{kind}_{number}"),
        [
            ("name", name),
            ("retention_in_days", logs.retention_days),
            ("skip_destroy", True),
            *((key, value) for key, value in optional.items() if value),
            *_tags(config),
        ],
    )


def _indexes(names: dict[str, list[str]]) -> HclBlock:
    """A field index for each group, so that a search for one call reads that call alone."""
    every = ",\n".join(
        f"    aws_cloudwatch_log_group.{kind}_{number}.name"
        for kind, group_names in names.items()
        for number in range(len(group_names))
    )
    fields = ", ".join(f'"{field}"' for field in INDEXED)
    return HclBlock(
        "resource",
        ("aws_cloudwatch_log_index_policy", "call"),
        [
            ("for_each", Raw(f"toset([\n{every},\n  ])")),
            ("log_group_name", Raw("each.value")),
            ("policy_document", Raw(f"jsonencode({{ Fields = [{fields}] }})")),
        ],
    )


def _tags(config: Config) -> list[tuple[str, Any]]:
    return [("tags", dict(config.aws.tags))] if config.aws.tags else []


def _alarm(parameters: dict[str, Any], config: Config) -> HclBlock:
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
        *_tags(config),
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
