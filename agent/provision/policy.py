"""The least rights of the daemon's role: put metrics in its namespaces, write its log groups.

Groups are named by a common prefix, so the policy for 500 connectors is as long as for two. Where the stack
makes the groups, the agent may make streams and write, but neither make groups nor set retention.
"""

from __future__ import annotations

from typing import Any

from agent.config.settings import Config
from agent.provision.archive import bucket_and_prefix
from agent.provision.quotas import POLICY_CHARACTERS, characters, within
from agent.provision.scope import groups, prefixes
from agent.provision.scope import partition as partition_of
from agent.summary.catalog import AGENT_NAMESPACE


def statements(
    config: Config,
    *,
    partition: str = "",
    region: str = "*",
    account: str = "*",
    groups_exist: bool = False,
) -> list[dict[str, Any]]:
    """IAM statements for the sinks in `config`. There is no right to read: the daemon never reads from AWS.

    `partition`: empty, the region's. `groups_exist`: the stack makes the groups as well.
    """
    partition = partition or partition_of(config)
    cloudwatch, logs = config.cloudwatch, config.logs
    namespaces = [cloudwatch.namespace] + ([AGENT_NAMESPACE] if cloudwatch.agent_metrics else [])
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Metrics",
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",  # PutMetricData has no resources; only the condition limits it
            "Condition": {"StringEquals": {"cloudwatch:namespace": namespaces}},
        }
    ]
    if (found := bucket_and_prefix(config)) is not None:
        bucket, prefix = found
        statements.append(
            {
                "Sid": "Archive",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": f"arn:{partition}:s3:::{bucket}/{prefix}kind=*",
            }
        )
    if found is not None and config.archive.kms_key:
        key = config.archive.kms_key
        arn = key if key.startswith("arn:") else f"arn:{partition}:kms:{region}:{account}:key/{key}"
        statements.append(
            {"Sid": "ArchiveKey", "Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": arn}
        )
    arns = [f"arn:{partition}:logs:{region}:{account}:log-group:{name}" for name in _names(config)]
    if not arns:
        return statements
    statements.append(
        {
            "Sid": "LogEvents",
            "Effect": "Allow",
            "Action": "logs:PutLogEvents",
            "Resource": [f"{arn}:log-stream:*" for arn in arns],
        }
    )
    create = logs.create_groups and not groups_exist
    actions = ["logs:CreateLogStream"]
    if create:
        actions = ["logs:CreateLogGroup", *actions, "logs:PutRetentionPolicy"]
    if create and config.aws.tags:
        actions.append("logs:TagResource")
    statements.append(
        {
            "Sid": "LogGroups" if create else "LogStreams",
            "Effect": "Allow",
            "Action": actions,
            # The service matches a group with and without the trailing part, by action.
            "Resource": [*arns, *(f"{arn}:*" for arn in arns)],
        }
    )
    return statements


def _names(config: Config) -> list[str]:
    """Log groups as a policy names them: by a common prefix, which must not be empty."""
    patterns = []
    begin = prefixes(config)
    for kind, names in groups(config).items():
        patterns += names if len(names) < 2 or not begin[kind] else [begin[kind] + "*"]
    return patterns


def policy_document(config: Config, **where: Any) -> dict[str, Any]:
    """Raises ConfigError where it is longer than IAM takes."""
    document = {"Version": "2012-10-17", "Statement": statements(config, **where)}
    within(
        characters(document),
        POLICY_CHARACTERS,
        "characters in the agent's policy",
        "give all log groups a common beginning (logs.media_group_prefix, logs.sip_group_prefix)",
    )
    return document
