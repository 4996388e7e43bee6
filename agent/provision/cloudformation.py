"""Everything as CloudFormation: log groups, alarms, dashboard, policy, saved queries, archive.

One template, as long as it is within 500 resources and 1 MB; else a main template and further ones that it
nests. Their `TemplateURL` is the file beside it: `aws cloudformation package` puts them into a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agent.config.settings import Config
from agent.errors import ConfigError
from agent.provision import archive
from agent.provision.dashboard import dashboard_body
from agent.provision.policy import policy_document
from agent.provision.put_alarms import alarm_parameters
from agent.provision.queries import INDEXED, definitions
from agent.provision.quotas import NESTED_RESOURCES, TEMPLATE_BYTES, TEMPLATE_RESOURCES, compact, within
from agent.provision.scope import groups

MAIN = "sbcwatch.json"
_REGION = "${AWS::Region}"
_TOPIC, _CONDITION = "AlarmTopicArn", "HasTopic"
_HEAD_BYTES = 20_000  # the parts of a template that are not resources; more than enough for them


def templates(config: Config, hosts: int = 1) -> dict[str, str]:
    """Text by file name, the main template first.

    It nests the others, as many as AWS takes in one operation; the rest (`apart`) are stacks of their own. An
    optional parameter is the topic that alarms notify. Raises ConfigError beyond AWS's limits.
    """
    shared, each = _shared(config), {**_groups(config), **_alarms(config, hosts)}
    outputs = {"AgentPolicyArn": {"Value": {"Ref": "AgentPolicy"}}}
    whole = _text({**each, **shared}, outputs)
    if len(each) + len(shared) <= TEMPLATE_RESOURCES and len(whole) <= TEMPLATE_BYTES:
        return {MAIN: whole}
    parts = {f"sbcwatch-{n}.json": part for n, part in enumerate(_parts(each), 1)}
    nested: dict[str, Any] = {}
    resources = len(shared)
    for n, (name, part) in enumerate(parts.items(), 1):
        resources += len(part) + 1
        if resources > NESTED_RESOURCES:
            break
        properties = _nested(name, part) | _tags(config)
        nested[f"Part{n}"] = {"Type": "AWS::CloudFormation::Stack", "Properties": properties}
    texts = {MAIN: _text({**nested, **shared}, outputs)}
    texts |= {name: _text(part, {}) for name, part in parts.items()}
    for name, text in texts.items():
        within(len(text), TEMPLATE_BYTES, f"bytes in {name}", "publish fewer carriers")
    within(len(nested) + len(shared), TEMPLATE_RESOURCES, f"resources in {MAIN}", "make two configurations")
    return texts


def apart(texts: dict[str, str]) -> list[str]:
    """The templates of `templates` that are stacks of their own, beside the main one."""
    return [name for name in texts if name != MAIN and f'"TemplateURL":"{name}"' not in texts[MAIN]]


def _parts(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Resources in portions that fit a template each."""
    part: dict[str, Any] = {}
    size = 0
    for name, resource in resources.items():
        more = len(compact(resource)) + len(name) + 10
        if part and (len(part) == TEMPLATE_RESOURCES or size + more > TEMPLATE_BYTES - _HEAD_BYTES):
            yield part
            part, size = {}, 0
        part[name] = resource
        size += more
    yield part


def _nested(name: str, part: dict[str, Any]) -> dict[str, Any]:
    parameters = {"Parameters": {_TOPIC: {"Ref": _TOPIC}}} if _CONDITION in compact(part) else {}
    return {"TemplateURL": name, **parameters}


def _groups(config: Config) -> dict[str, Any]:
    logs = config.logs
    optional = {
        "LogGroupClass": logs.group_class if logs.group_class != "STANDARD" else "",
        "KmsKeyId": logs.kms_key,
        "DeletionProtectionEnabled": logs.deletion_protection,
        # Only the standard class has field indexes.
        "FieldIndexPolicies": [{"Fields": list(INDEXED)}] if logs.group_class == "STANDARD" else [],
    }
    options = {name: value for name, value in optional.items() if value} | _tags(config)
    return {
        f"{kind.capitalize()}Log{number}": {
            "Type": "AWS::Logs::LogGroup",
            # Deleting the stack must not delete the phone calls' records.
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"LogGroupName": name, "RetentionInDays": logs.retention_days, **options},
        }
        for kind, names in groups(config).items()
        for number, name in enumerate(names)
    }


def _alarms(config: Config, hosts: int) -> dict[str, Any]:
    return {
        f"Alarm{_logical(parameters['AlarmName'])}": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                **parameters,
                "AlarmActions": _alarm_actions(),
                "OKActions": _alarm_actions(),
                **_tags(config),
            },
        }
        for parameters in alarm_parameters(config, hosts, brief=True)
    }


def _shared(config: Config) -> dict[str, Any]:
    """The resources that exist once, for any number of connectors."""
    resources: dict[str, Any] = {
        f"Query{_logical(query.name)}": {
            "Type": "AWS::Logs::QueryDefinition",
            "Properties": {"Name": f"sbcwatch/{query.name}", "QueryString": text}
            | ({"LogGroupNames": named} if named else {}),
        }
        for query, named, text in definitions(config)
    }
    resources |= archive.resources(config)
    resources["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": "sbcwatch",
            "DashboardBody": {"Fn::Sub": compact(dashboard_body(config, _REGION))},
        },
    }
    document = policy_document(
        config,
        partition="${AWS::Partition}",
        region=_REGION,
        account="${AWS::AccountId}",
        groups_exist=True,
    )
    resources["AgentPolicy"] = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": "What sbcwatch needs on an SBC host; attach it to the host's role.",
            "PolicyDocument": _substituted(document),
        },
    }
    return resources


def _tags(config: Config) -> dict[str, Any]:
    tags = [{"Key": key, "Value": value} for key, value in config.aws.tags.items()]
    return {"Tags": tags} if tags else {}


def _template(resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    topic = {"Type": "String", "Default": "", "Description": "SNS topic that alarms tell; empty: none."}
    text = compact(resources)
    packaged = {"cfn-lint": {"config": {"ignore_checks": ["W3002"]}}}  # files that `package` uploads
    sections: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "sbcwatch: log groups, alarms, dashboard, agent policy and saved queries.",
        "Metadata": packaged if "TemplateURL" in text else {},
        "Parameters": {_TOPIC: topic} if _TOPIC in text or _CONDITION in text else {},
        "Conditions": {_CONDITION: {"Fn::Not": [{"Fn::Equals": [{"Ref": _TOPIC}, ""]}]}}
        if _CONDITION in text
        else {},
        "Resources": resources,
        "Outputs": outputs,
    }
    return {key: value for key, value in sections.items() if value}


def _text(resources: dict[str, Any], outputs: dict[str, Any]) -> str:
    """A line for each section and resource, so that two can be compared, and no other white space."""
    template = _template(resources, outputs)
    lines = ",\n".join(f"{compact(name)}:{compact(one)}" for name, one in resources.items())
    sections = [f"{compact(name)}:{compact(one)}" for name, one in template.items() if name != "Resources"]
    return "{" + ",\n".join([*sections, f'"Resources":{{\n{lines}\n}}']) + "}"


def _alarm_actions() -> dict[str, Any]:
    return {"Fn::If": [_CONDITION, [{"Ref": _TOPIC}], {"Ref": "AWS::NoValue"}]}


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
    """The one template. Raises ConfigError where several are needed."""
    texts = templates(config, hosts)
    resources = sum(text.count('"Type":"AWS::') for text in texts.values())
    if len(texts) > 1:
        raise ConfigError(
            f"{resources:,} resources, and AWS takes {TEMPLATE_RESOURCES} in a template of "
            f"{TEMPLATE_BYTES:,} bytes: print {len(texts)} templates with --output FOLDER"
        )
    return texts[MAIN]
