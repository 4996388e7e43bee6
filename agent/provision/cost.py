"""`sbcwatch cost`: what a configuration costs a month, before it is published.

Series: 45 a connector and 45 a region, shared by all hosts that report them, and up to 8 a host for the
agent itself. Requests: each host's minutes. Alarms and dashboard: those that `sbcwatch aws` prints. Logs,
archive, ClickHouse: the records of `agent.provision.volume`. Prices are settings with a date; taxes, free
tiers and ClickHouse's servers are not in it. A series is billed by the hours in which it was sent: figures of
calls cost less than this where nobody calls for hours.
"""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from agent.config.load import load
from agent.config.settings import CarrierSettings, Config, ConnectorSettings, Cost
from agent.errors import ConfigError
from agent.provision.archive import bucket_and_prefix
from agent.provision.put_alarms import alarmed_metrics
from agent.provision.scope import home
from agent.provision.series import all_series, series_of
from agent.provision.volume import ARCHIVED_BYTES, CLICKHOUSE_BYTES, DAYS, MINUTES, logged_bytes, records
from agent.summary.catalog import TABLE_DAYS

WIDTH = 80
_GB = 1e9
_DATUMS = 1_000  # in one request at most
_STORED = 0.15  # of what was ingested: CloudWatch Logs bills storage compressed
_ATHENA_LEAST_GB = 0.01  # a query is billed for 10 MB at least


@dataclass(slots=True)
class Estimate:
    """A month in USD and what it is made of."""

    hosts: int
    prices_of: str
    hypothetical: bool
    series: int = 0
    shared: int = 0  # of those: the same ones on every host that has these connectors
    lines: list[tuple[str, float]] = field(default_factory=list)

    @property
    def usd(self) -> float:
        return math.fsum(usd for _, usd in self.lines)

    def part(self, begin: str) -> float:
        """USD of the lines that begin so."""
        return math.fsum(usd for text, usd in self.lines if text.startswith(begin))

    def __str__(self) -> str:
        hosts = "1 host" if self.hosts == 1 else f"{self.hosts:,} hosts"
        begin = "If CloudWatch and Logs were enabled, a" if self.hypothetical else "A"
        head = f"{begin} month of {hosts} in USD, at prices of {self.prices_of}, without free tier and tax:"
        lines = textwrap.wrap(head, WIDTH, break_on_hyphens=False)
        amounts = [f"{usd:,.2f}" for _, usd in (*self.lines, ("", self.usd))]
        room = max(map(len, amounts))
        for (text, _), amount in zip((*self.lines, ("together", 0.0)), amounts, strict=True):
            *above, last = textwrap.wrap(
                text, WIDTH - room - 2, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
            )
            lines += [*above, f"{last:<{WIDTH - room}}{amount:>{room}}"]
        return "\n".join(lines)


def cost_command(options: argparse.Namespace) -> int:
    """Raises ConfigError where a bound is passed, or an option is no number to reckon with."""
    config = asked(load(options.config), options)
    print(estimate(config, as_if_enabled=not _costs(config)))
    check_bound(config)
    return 0


def asked(config: Config, options: argparse.Namespace) -> Config:
    """The configuration with the numbers that the command line gives instead. Raises ConfigError."""
    for name in ("hosts", "connectors", "carriers", "calls", "cps"):
        number = getattr(options, name)
        if number is not None and not (0 if name in ("carriers", "calls", "cps") else 1) <= number <= 1e6:
            raise ConfigError(f"--{name} {number:g} will not do: write a number of at most 1,000,000")
    given = {"hosts": options.hosts, "expected_calls": options.calls, "expected_cps": options.cps}
    given = {name: number for name, number in given.items() if number is not None}
    config = msgspec.structs.replace(config, cost=msgspec.structs.replace(config.cost, **given))
    if options.connectors is not None:
        own = config.connectors[: options.connectors]
        region = home(config) or "us-east-1"
        more = range(len(own) + 1, options.connectors + 1)
        config.connectors = own + [ConnectorSettings(id=f"connector-{n}", region=region) for n in more]
    if options.carriers is not None:
        known = config.carriers[: options.carriers]
        config.carriers = known + [
            CarrierSettings(id=f"carrier-{n}") for n in range(len(known) + 1, options.carriers + 1)
        ]
    return config


def _costs(config: Config) -> bool:
    """Whether anything that is paid for is switched on."""
    in_bucket = bucket_and_prefix(config) is not None
    return config.cloudwatch.enabled or config.logs.enabled or in_bucket or bool(config.clickhouse.url)


def estimate(config: Config, *, as_if_enabled: bool = False) -> Estimate:
    """The cost of `config`; `as_if_enabled`: as though CloudWatch and Logs were on."""
    cost = config.cost
    estimated = Estimate(cost.hosts, cost.prices_of, as_if_enabled and not _costs(config))
    if config.cloudwatch.enabled or as_if_enabled:
        estimated.shared, estimated.series = series_of(config), all_series(config)
        estimated.lines += _metrics(config, estimated)
    if config.logs.enabled or as_if_enabled:
        estimated.lines += _logs(config)
    if bucket_and_prefix(config) is not None:
        estimated.lines += _archive(config)
    if config.clickhouse.url:
        estimated.lines.append(_clickhouse(config))
    return estimated


def _metrics(config: Config, estimated: Estimate) -> Iterator[tuple[str, float]]:
    cost = config.cost
    # Every host sends its connectors' minutes, and its own figures in another namespace.
    a_minute = math.ceil(estimated.shared / _DATUMS) + config.cloudwatch.agent_metrics
    requests = float(a_minute * MINUTES * cost.hosts)
    yield (
        f"custom metrics: {estimated.series:,} series, {estimated.shared:,} shared by hosts",
        tiered(estimated.series, cost),
    )
    yield f"requests: {requests:,.0f} PutMetricData", requests / 1_000 * cost.request_price
    alarms, metrics, found = alarmed_metrics(config, cost.hosts)
    text = f"alarms: {alarms:,} on {metrics:,} metrics"
    if found:
        text += f", by Metrics Insights on {found:,} more"
    yield text, (metrics + found) * cost.alarm_price
    if cost.composite_alarms:
        yield (
            f"composite alarms: {cost.composite_alarms:,}",
            cost.composite_alarms * cost.composite_alarm_price,
        )
    yield "dashboard", cost.dashboard_price


def _logs(config: Config) -> Iterator[tuple[str, float]]:
    cost, logs = config.cost, config.logs
    number, sizes = records(config), logged_bytes(config)
    kinds = {"media": "media records", "sip": "SIP messages"} | (
        {"calls": "call records"} if logs.calls else {}
    )
    price = cost.log_price if logs.group_class == "STANDARD" else cost.infrequent_log_price
    total = 0.0
    for kind, words in kinds.items():
        size = number[kind] * sizes[kind] / _GB
        total += size
        yield f"logs in: {size:,.2f} GB of {words}", size * price
    kept = total * _STORED * logs.retention_days / DAYS
    yield f"logs kept: {kept:,.2f} GB for {logs.retention_days} days", kept * cost.log_storage_price
    scanned = cost.queries * number["media"] * sizes["media"] / _GB / DAYS
    yield (
        f"queries by Logs Insights: {cost.queries:,} of a day of media records, {scanned:,.2f} GB",
        scanned * cost.log_query_price,
    )


def _archive(config: Config) -> Iterator[tuple[str, float]]:
    cost, archive = config.cost, config.archive
    number = records(config)
    # An object a minute and kind; of call records none where no call ended.
    puts = sum(min(number[kind], float(MINUTES * cost.hosts)) for kind in archive.kinds)
    yield f"archive: {puts:,.0f} PUTs to S3", puts / 1_000 * cost.put_price
    size = sum(number[kind] * ARCHIVED_BYTES[kind] for kind in archive.kinds) / _GB
    kept = size * archive.keep_days / DAYS
    yield f"archive kept: {kept:,.2f} GB for {archive.keep_days} days", kept * cost.object_storage_price
    if "media" in archive.kinds:
        day = max(_ATHENA_LEAST_GB, number["media"] * ARCHIVED_BYTES["media"] / _GB / DAYS)
        scanned = cost.queries * day
        yield (
            f"queries by Athena: {cost.queries:,} of a day of media records, {scanned:,.2f} GB",
            scanned / 1_000 * cost.athena_price,
        )


def _clickhouse(config: Config) -> tuple[str, float]:
    number = records(config)
    kept = sum(
        number[kind] * CLICKHOUSE_BYTES[kind] * TABLE_DAYS[kind] / DAYS for kind in config.clickhouse.kinds
    )
    return (
        f"ClickHouse: {kept / _GB:,.2f} GB on a disk of one replica, servers apart",
        kept / _GB * config.cost.disk_price,
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
    series = all_series(config) if config.cloudwatch.enabled else 0
    if cost.max_metrics and series > cost.max_metrics:
        raise ConfigError(
            f"this publishes {series:,} series, and cost.max_metrics is {cost.max_metrics:,}: "
            f"publish less, or raise the bound\n{estimate(config)}"
        )
    if cost.max_monthly_cost and (expected := estimate(config)).usd > cost.max_monthly_cost:
        raise ConfigError(
            f"this will cost about {expected.usd:,.2f} USD a month, and cost.max_monthly_cost is "
            f"{cost.max_monthly_cost:,.2f}: publish less, or raise the bound\n{expected}"
        )
