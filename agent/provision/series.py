"""How many series a configuration publishes to CloudWatch."""

from __future__ import annotations

from agent.config.settings import Config
from agent.provision.scope import connectors, regions
from agent.summary.catalog import AGENT_METRICS, CARRIER_METRICS, EXTRA_GAUGES, METRICS


def all_series(config: Config) -> int:
    """Series that all hosts publish together: the connectors', and each agent's own."""
    agent = len(AGENT_METRICS) if config.cloudwatch.agent_metrics else 0
    return series_of(config) + agent * config.cost.hosts


def series_of(config: Config) -> int:
    """Series of the connectors: one a metric (and `HostMinutes`, and gauges beside the 43) and value of each
    published dimension.
    """
    own = len(METRICS) + 1 + len(EXTRA_GAUGES)
    series = {
        "VoiceConnectorId": len(connectors(config)) * own,
        "Region": len(regions(config)) * own,
        "Carrier": len(config.carriers) * len(CARRIER_METRICS),
    }
    return sum(series[dimension] for dimension in config.cloudwatch.dimensions)
