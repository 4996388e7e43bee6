"""Dashboards, alarms, policy and queries as code, drawn from a configuration and `summary.catalog`.

    alarms           the alarms as one table, and as JSON for PutMetricAlarm
    dashboard        a CloudWatch dashboard
    queries          Logs Insights queries over both logs
    policy           the least that the daemon's role may do
    cloudformation   all of these as one template
    terraform        the same as HCL
    grafana          a dashboard over `/metrics`
    prometheus       the alarms as alert rules over `/metrics`
    aws              what `sbcwatch aws NAME` prints

No metric is named but by `metric`, which refuses what the catalog does not know.
"""

from __future__ import annotations

from agent.summary.catalog import AGENT_METRICS, BY_NAME, HOST_MINUTES

_BESIDE = {HOST_MINUTES, *(metric.name for metric in AGENT_METRICS)}


def metric(name: str) -> str:
    """`name`, where the catalog has it. Raises KeyError: a name that nobody publishes."""
    if name not in BY_NAME and name not in _BESIDE:
        raise KeyError(name)
    return name
