"""The least that the daemon's role may do: put metrics in its namespaces, write its log groups."""

from __future__ import annotations

from typing import Any

from agent.config.settings import Config
from agent.provision.archive import bucket_and_prefix
from agent.provision.scope import groups
from agent.summary.catalog import AGENT_NAMESPACE


def statements(
    config: Config, *, partition: str = "aws", region: str = "*", account: str = "*"
) -> list[dict[str, Any]]:
    """IAM statements for what `config` sends. Reading is no part of it: the daemon never reads from AWS."""
    cloudwatch, logs = config.cloudwatch, config.logs
    namespaces = [cloudwatch.namespace] + ([AGENT_NAMESPACE] if cloudwatch.agent_metrics else [])
    made: list[dict[str, Any]] = [
        {
            "Sid": "Metrics",
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",  # PutMetricData knows no resources; the condition is what bounds it
            "Condition": {"StringEquals": {"cloudwatch:namespace": namespaces}},
        }
    ]
    if (found := bucket_and_prefix(config)) is not None:
        bucket, prefix = found
        made.append(
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
        made.append(
            {"Sid": "ArchiveKey", "Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": arn}
        )
    names = [name for kind in groups(config).values() for name in kind]
    if not names:
        return made
    arns = [f"arn:{partition}:logs:{region}:{account}:log-group:{name}" for name in names]
    made.append(
        {
            "Sid": "LogEvents",
            "Effect": "Allow",
            "Action": "logs:PutLogEvents",
            "Resource": [f"{arn}:log-stream:*" for arn in arns],
        }
    )
    if logs.create_groups:
        made.append(
            {
                "Sid": "LogGroups",
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutRetentionPolicy"],
                # The service matches a group with and without the trailing part, by action.
                "Resource": [*arns, *(f"{arn}:*" for arn in arns)],
            }
        )
    return made


def policy_document(config: Config, **where: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements(config, **where)}
