"""Everything as one CloudFormation template: log groups, alarms, dashboard, policy, saved queries."""

from __future__ import annotations

import json
import re
from typing import Any

from agent.config.settings import Config
from agent.provision import archive
from agent.provision.alarms import alarm_parameters
from agent.provision.dashboard import dashboard_body
from agent.provision.policy import policy_document
from agent.provision.queries import queries
from agent.provision.scope import groups

_REGION = "${AWS::Region}"


def template(config: Config, hosts: int = 1) -> dict[str, Any]:
    """A template with one optional parameter: the SNS topic that alarms tell."""
    resources: dict[str, Any] = {}
    names = groups(config)
    for kind, group_names in names.items():
        for number, name in enumerate(group_names):
            resources[f"{kind.capitalize()}Log{number}"] = {
                "Type": "AWS::Logs::LogGroup",
                # Deleting the stack must not delete what was said on the phone's behalf.
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {"LogGroupName": name, "RetentionInDays": config.logs.retention_days},
            }
    for query in queries():
        if names[query.log]:
            resources[f"Query{_logical(query.name)}"] = {
                "Type": "AWS::Logs::QueryDefinition",
                "Properties": {
                    "Name": f"sbcwatch/{query.name}",
                    "LogGroupNames": names[query.log][:50],  # the service takes no more
                    "QueryString": query.text,
                },
            }
    for parameters in alarm_parameters(config, hosts):
        resources[f"Alarm{_logical(parameters['AlarmName'])}"] = {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                **parameters,
                "AlarmActions": _told(),
                "OKActions": _told(),
            },
        }
    resources |= archive.resources(config)
    resources["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": "sbcwatch",
            "DashboardBody": {"Fn::Sub": json.dumps(dashboard_body(config, _REGION))},
        },
    }
    resources["AgentPolicy"] = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": "What sbcwatch needs on an SBC host; attach it to the host's role.",
            "PolicyDocument": _substituted(
                policy_document(
                    config, partition="${AWS::Partition}", region=_REGION, account="${AWS::AccountId}"
                )
            ),
        },
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "sbcwatch: log groups, alarms, dashboard, agent policy and saved queries.",
        "Parameters": {
            "AlarmTopicArn": {
                "Type": "String",
                "Default": "",
                "Description": "SNS topic that alarms tell; empty: none.",
            }
        },
        "Conditions": {"HasTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]}},
        "Resources": resources,
        "Outputs": {"AgentPolicyArn": {"Value": {"Ref": "AgentPolicy"}}},
    }


def _told() -> dict[str, Any]:
    return {"Fn::If": ["HasTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


def _substituted(value: Any) -> Any:
    """Every text with a `${...}` becomes an Fn::Sub."""
    if isinstance(value, dict):
        return {key: _substituted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_substituted(one) for one in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def _logical(name: str) -> str:
    """A logical id: letters and digits only, and different for different names."""
    words = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))
    exotic = re.sub(r"[A-Za-z0-9 ]", "", name.replace("-", ""))
    return words + ("x" + exotic.encode().hex() if exotic else "")


def template_text(config: Config, hosts: int = 1) -> str:
    return json.dumps(template(config, hosts), indent=2)
