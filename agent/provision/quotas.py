"""AWS's limits for each printed thing, and one clear line where a limit is passed.

Figures are AWS's published quotas of 2026: those of IAM (managed policies), CloudFormation, CloudWatch
(dashboards, alarms, Metrics Insights) and CloudWatch Logs (query definitions).
"""

from __future__ import annotations

import json
import re
from typing import Any

from agent.errors import ConfigError

POLICY_CHARACTERS = 6_144  # white space is not counted
TEMPLATE_BYTES = 1_000_000  # "1 MB" from a bucket: the smaller of the two megabytes
TEMPLATE_DIRECT_BYTES = 51_200  # in the request itself
TEMPLATE_RESOURCES = 500
NESTED_RESOURCES = 2_500  # of a stack and those that it nests, in one operation
DASHBOARD_WIDGETS = 500
DASHBOARD_METRICS = 2_500
ALARM_NAME = 255
ALARM_DESCRIPTION = 1_024
ALARM_METRICS = 10  # of metric math
INSIGHTS_CONTRIBUTORS = 100  # series of one alarm that may be in ALARM at once
QUERY_GROUPS = 50  # named one by one
QUERY_CHARACTERS = 10_000


def within(number: int, limit: int, what: str, instead: str) -> None:
    """Raises ConfigError where `number` of `what` is beyond AWS's `limit`; `instead`: what to do."""
    if number > limit:
        raise ConfigError(f"{number:,} {what}, and AWS takes {limit:,}: {instead}")


def compact(document: Any) -> str:
    """JSON without white space, where each byte counts."""
    return json.dumps(document, separators=(",", ":"))


def characters(document: Any) -> int:
    """Length of a policy as IAM counts it: without white space."""
    return len(re.sub(r"\s", "", json.dumps(document)))
