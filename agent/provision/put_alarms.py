"""The alarms as parameters of PutMetricAlarm, for a few connectors or for hundreds.

Up to `alarms.detailed` connectors each has every alarm. Beyond it each has three, in which several rules are
merged (metric math takes ten metrics), and all others judge the regions. Hosts and silence of connectors are
one Metrics Insights query each, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.config.settings import Config
from agent.provision import metric
from agent.provision.alarms import OF_CARRIERS, AlarmRule, agent_rules, rules
from agent.provision.quotas import ALARM_METRICS, ALARM_NAME, INSIGHTS_CONTRIBUTORS, within
from agent.provision.scope import Scope, carriers, region_scopes, scopes
from agent.summary.catalog import AGENT_NAMESPACE, HOST_MINUTES

# By key: one alarm in place of several, and the rules that it merges.
MERGED = {
    "loss": (
        "More than 2 % of RTP packets of a direction are lost.",
        ("loss-cust2vc", "loss-vc2cust", "loss-rem2vc", "loss-vc2rem"),
    ),
    "mos": ("Mean MOS of a side is below 3.6.", ("mos-customer", "mos-remote")),
    "failures": ("Too many call attempts of a direction fail.", ("failures-inbound", "failures-outbound")),
}
_FUNCTIONS = {"Sum": "SUM", "Maximum": "MAX", "SampleCount": "COUNT"}


def alarm_parameters(config: Config, hosts: int = 1, *, brief: bool = False) -> list[dict[str, Any]]:
    """PutMetricAlarm's parameters, for connectors, carriers and agents. `brief`: short descriptions.

    Raises ConfigError beyond AWS's limits.
    """
    return [
        _parameters(f"sbcwatch {name}", rule, queries, config.alarms.runbook_url, brief)
        for name, rule, queries in _alarms(config, hosts)
    ]


def alarmed_metrics(config: Config, hosts: int = 1) -> tuple[int, int, int]:
    """(alarms, metrics that they name, metrics that their Metrics Insights queries find): the latter two are
    what AWS bills.
    """
    number = named = found = 0
    of_dimension = {"Host": hosts, "VoiceConnectorId": len(scopes(config))}
    for _, _, queries in _alarms(config, hosts):
        number += 1
        named += sum("MetricStat" in query for query in queries)
        for query in queries:
            if query.get("Expression", "").startswith("SELECT"):
                found += next(
                    count for name, count in of_dimension.items() if name + ")" in query["Expression"]
                )
    return number, named, found


def is_merged(config: Config) -> bool:
    """Whether there are too many connectors for every alarm each."""
    named = "VoiceConnectorId" in config.cloudwatch.dimensions
    return named and len(scopes(config)) > config.alarms.detailed


def _alarms(config: Config, hosts: int) -> Iterator[tuple[str, AlarmRule, list[dict[str, Any]]]]:
    """(name, rule, the scope that it judges)."""
    by_key = {rule.key: rule for rule in rules(config, hosts)}
    detailed = region_scopes(config) if is_merged(config) else scopes(config)
    for scope in detailed:
        for rule in by_key.values():
            yield f"{scope.label} {rule.key}", rule, _queries(rule, scope)
    for scope in scopes(config) if is_merged(config) else ():
        for key, (what, keys) in MERGED.items():
            yield f"{scope.label} {key}", *_merged(key, what, [by_key[one] for one in keys], scope)
    if is_merged(config):
        yield from _silent(scopes(config)[0], by_key["silent"])
    for scope in carriers(config):
        for key in OF_CARRIERS:
            yield f"carrier {scope.label} {key}", by_key[key], _queries(by_key[key], scope)
    if config.cloudwatch.agent_metrics:
        for rule in agent_rules(hosts):
            yield rule.key, rule, _over_hosts(rule)


def _merged(
    key: str, what: str, rules: list[AlarmRule], scope: Scope
) -> tuple[AlarmRule, list[dict[str, Any]]]:
    """One alarm for rules that differ in their metrics alone: the worst of them is judged."""
    first = rules[0]
    assert {(rule.comparison, rule.threshold) for rule in rules} == {(first.comparison, first.threshold)}
    queries: list[dict[str, Any]] = []
    judged = []
    for n, rule in enumerate(rules):
        names = {name: f"{name}{n}" for name, _, _ in rule.inputs}
        queries += [
            _stat(names[name], figure, statistic, rule, scope) for name, figure, statistic in rule.inputs
        ]
        judged.append(rule.renamed(names))
    worst = "MAX" if first.comparison == ">" else "MIN"
    expression = f"{worst}([{', '.join(judged)}])"
    whole = AlarmRule(
        key, what, first.why, (), expression, "", "",
        first.comparison, first.threshold, first.datapoints, first.periods, first.missing, first.missing_why,
        first.period_s, first.key,
    )  # fmt: skip
    return whole, [*queries, _judged(expression, key)]


def _silent(scope: Scope, rule: AlarmRule) -> Iterator[tuple[str, AlarmRule, list[dict[str, Any]]]]:
    """The connectors that fewer hosts report than should: the fewest first."""
    schema = f'SCHEMA("{scope.namespace}", {scope.dimension})'
    query = (
        f"SELECT COUNT({metric(HOST_MINUTES)}) FROM {schema} GROUP BY {scope.dimension} "
        f"ORDER BY COUNT() ASC LIMIT {INSIGHTS_CONTRIBUTORS}"
    )
    yield "connectors silent", rule, [_insights("sent", query, rule)]


def _over_hosts(rule: AlarmRule) -> list[dict[str, Any]]:
    """All hosts in one Metrics Insights query: the template need not know their names."""
    ((name, figure, statistic),) = rule.inputs
    function = _FUNCTIONS[statistic]
    query = f'SELECT {function}({figure}) FROM SCHEMA("{AGENT_NAMESPACE}", Host)'
    if rule.key != "hosts-missing":
        order = "ASC" if rule.comparison == "<" else "DESC"
        query += f" GROUP BY Host ORDER BY {function}() {order} LIMIT {INSIGHTS_CONTRIBUTORS}"
    return [_insights(name, query, rule)]


def _insights(name: str, query: str, rule: AlarmRule) -> dict[str, Any]:
    return {
        "Id": name, "Expression": query, "Period": rule.period_s, "Label": rule.key, "ReturnData": True,
    }  # fmt: skip


def _queries(rule: AlarmRule, scope: Scope) -> list[dict[str, Any]]:
    single = rule.expression == rule.inputs[0][0]
    queries = [_stat(*one, rule, scope, shown=single) for one in rule.inputs]
    return queries if single else [*queries, _judged(rule.expression, rule.key)]


def _stat(
    name: str, figure: str, statistic: str, rule: AlarmRule, scope: Scope, shown: bool = False
) -> dict[str, Any]:
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": scope.namespace,
                "MetricName": figure,
                "Dimensions": [{"Name": scope.dimension, "Value": scope.value}],
            },
            "Period": rule.period_s,
            "Stat": statistic,
        },
        "ReturnData": shown,
    }


def _judged(expression: str, label: str) -> dict[str, Any]:
    return {"Id": "judged", "Expression": expression, "Label": label, "ReturnData": True}


def _parameters(
    name: str, rule: AlarmRule, queries: list[dict[str, Any]], url: str, brief: bool
) -> dict[str, Any]:
    within(len(name), ALARM_NAME, f"characters in the name of the alarm {name[:40]!r}...", "shorten the id")
    metrics = sum("MetricStat" in query for query in queries)
    within(metrics, ALARM_METRICS, f"metrics in the alarm {name!r}", "merge fewer rules")
    comparison = {"<": "LessThanThreshold", ">": "GreaterThanThreshold"}[rule.comparison]
    return {
        "AlarmName": name,
        "AlarmDescription": rule.description(url, brief),
        "ComparisonOperator": comparison,
        "Threshold": rule.threshold,
        "EvaluationPeriods": rule.periods,
        "DatapointsToAlarm": rule.datapoints,
        "TreatMissingData": rule.missing,
        "Metrics": queries,
    }
