"""Dashboards, alarms, policy and queries as code, made from a configuration and `summary.catalog`.

    alarms           the alarms as one table, and as JSON for PutMetricAlarm
    dashboard        a CloudWatch dashboard
    queries          Logs Insights queries over both logs
    policy           the least rights that the daemon's role needs
    cloudformation   all of these as one template
    terraform        the same as HCL
    grafana          a dashboard over `/metrics`
    prometheus       the alarms as alert rules over `/metrics`
    grafana_clickhouse  a dashboard over the tables that `sbcwatch fleet schema` prints
    aws              `sbcwatch aws NAME`, which prints them

Every metric is named by `metric`, which refuses a name that the catalog does not have.
"""

from __future__ import annotations

from agent.summary.catalog import AGENT_METRICS, BY_NAME, HOST_MINUTES

_BESIDE = {HOST_MINUTES, *(metric.name for metric in AGENT_METRICS)}


def metric(name: str) -> str:
    """`name`, if the catalog has it. Raises KeyError: such a metric is never published."""
    if name not in BY_NAME and name not in _BESIDE:
        raise KeyError(name)
    return name
