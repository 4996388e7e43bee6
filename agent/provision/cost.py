"""`sbcwatch cost`: what AWS asks a month for what a configuration publishes, before it is published.

Series: 44 a connector and 44 a region, shared by all hosts that report them, and up to 8 a host for the
agent itself. Requests: each host's minutes. Log volume: one media record a call and minute, and every SIP
message. Prices are settings with a date; taxes, free tiers, alarms and queries are not in it. A series is
billed by the hours in which it was sent: figures of calls cost less than this where nobody calls for hours.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from agent.config.load import load
from agent.config.settings import Config, Cost
from agent.errors import ConfigError
from agent.provision.scope import connectors, regions
from agent.summary.catalog import AGENT_METRICS, CARRIER_METRICS, EXTRA_GAUGES, METRICS

MINUTES = 730 * 60  # a month as AWS bills it: 730 hours
SECONDS = MINUTES * 60
_GB = 1e9
_EVENT_OVERHEAD = 26  # bytes that CloudWatch Logs adds to each event
_DATUMS = 1_000  # in one request at most
_TIMELINE_BYTES = 600  # of a media record with four directions, where the log has them
_STORED = 0.15  # of what was ingested: CloudWatch Logs bills storage compressed


@dataclass(frozen=True, slots=True)
class Estimate:
    """A month in USD and what it is made of."""

    series: int
    shared: int  # of those: the same ones on every host that has these connectors
    requests: float
    media_gb: float
    sip_gb: float
    metrics_usd: float
    requests_usd: float
    ingestion_usd: float
    storage_usd: float
    hosts: int
    prices_of: str
    hypothetical: bool

    @property
    def usd(self) -> float:
        return self.metrics_usd + self.requests_usd + self.ingestion_usd + self.storage_usd

    def __str__(self) -> str:
        rows = (
            (f"custom metrics: {self.series:,} series, {self.shared:,} shared by hosts", self.metrics_usd),
            (f"requests: {self.requests:,.0f} PutMetricData", self.requests_usd),
            (f"logs in: {self.media_gb:,.2f} GB media, {self.sip_gb:,.2f} GB SIP", self.ingestion_usd),
            ("logs kept", self.storage_usd),
        )
        hosts = "1 host" if self.hosts == 1 else f"{self.hosts} hosts"
        begin = "If CloudWatch and Logs were enabled, a" if self.hypothetical else "A"
        lines = [f"{begin} month of {hosts}, at prices of {self.prices_of} (USD, without free tier and tax):"]
        lines += [f"  {text:<52}{usd:>12,.2f}" for text, usd in rows]
        return "\n".join([*lines, f"  {'together':<52}{self.usd:>12,.2f}"])


def cost_command(options: argparse.Namespace) -> int:
    config = load(options.config)
    print(estimate(config, as_if_enabled=not (config.cloudwatch.enabled or config.logs.enabled)))
    check_bound(config)
    return 0


def estimate(config: Config, *, as_if_enabled: bool = False) -> Estimate:
    """What `config` will cost; `as_if_enabled` as though every sink were on."""
    cost = config.cost
    series = requests = 0.0
    datums = 0
    if config.cloudwatch.enabled or as_if_enabled:
        datums = series_of(config)
        agent = len(AGENT_METRICS) if config.cloudwatch.agent_metrics else 0
        series = datums + agent * cost.hosts
        # Every host sends its connectors' minutes, and its own figures in another namespace.
        requests = (math.ceil(datums / _DATUMS) + (agent > 0)) * MINUTES * cost.hosts
    media_gb = sip_gb = 0.0
    if config.logs.enabled or as_if_enabled:
        media, sip = logged_shares(config)
        records = cost.expected_calls * MINUTES * cost.hosts * media
        record_bytes = cost.media_bytes + _TIMELINE_BYTES * config.logs.timeline
        media_gb = records * (record_bytes + _EVENT_OVERHEAD) / _GB
        messages = cost.expected_cps * SECONDS * cost.messages_per_call * cost.hosts * sip
        sip_gb = messages * (cost.sip_bytes + _EVENT_OVERHEAD) / _GB
    kept_months = config.logs.retention_days / 30.4
    return Estimate(
        series=int(series),
        shared=datums,
        requests=requests,
        media_gb=media_gb,
        sip_gb=sip_gb,
        metrics_usd=tiered(series, cost),
        requests_usd=requests / 1_000 * cost.request_price,
        ingestion_usd=(media_gb + sip_gb) * cost.log_price,
        storage_usd=(media_gb + sip_gb) * _STORED * kept_months * cost.log_storage_price,
        hosts=cost.hosts,
        prices_of=cost.prices_of,
        hypothetical=as_if_enabled and not (config.cloudwatch.enabled or config.logs.enabled),
    )


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


def logged_shares(config: Config) -> tuple[float, float]:
    """Shares of the traffic whose media records and SIP messages are logged: connectors count alike."""
    if not config.connectors:
        return 1.0, 1.0
    number = len(config.connectors)
    return (
        sum(connector.log_media for connector in config.connectors) / number,
        sum(connector.log_sip for connector in config.connectors) / number,
    )


def tiered(series: float, cost: Cost) -> float:
    """USD for `series` further metrics in an account that has `cost.other_metrics`."""
    total = 0.0
    at, end = float(cost.other_metrics), cost.other_metrics + series
    for upper, price in cost.metric_tiers:
        upto = end if upper == 0 else min(end, upper)
        if upto > at:
            total += (upto - at) * price
            at = upto
    # Tiers that end too early: the last price goes on.
    return total + max(0.0, end - at) * (cost.metric_tiers[-1][1] if cost.metric_tiers else 0.0)


def check_bound(config: Config) -> None:
    """Raises ConfigError where series or estimate are above their bounds, with the arithmetic."""
    cost = config.cost
    expected = estimate(config)
    if cost.max_metrics and expected.series > cost.max_metrics:
        raise ConfigError(
            f"this publishes {expected.series:,} series, and cost.max_metrics is {cost.max_metrics:,}: "
            f"publish less, or raise the bound\n{expected}"
        )
    if cost.max_monthly_cost and expected.usd > cost.max_monthly_cost:
        raise ConfigError(
            f"this will cost about {expected.usd:,.2f} USD a month, and cost.max_monthly_cost is "
            f"{cost.max_monthly_cost:,.2f}: publish less, or raise the bound\n{expected}"
        )
