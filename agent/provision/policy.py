"""The least that the daemon's role may do: put metrics in its namespaces, write its log groups."""

from __future__ import annotations

from typing import Any

from agent.config.settings import Config
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
