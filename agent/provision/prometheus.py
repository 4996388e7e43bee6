"""The alarms of `agent.provision.alarms` as Prometheus alert rules over `/metrics`: JSON, which is YAML too.

A rule's inputs become rates over all periods that the alarm covers, times its period; its arithmetic stays.
Rules of their own stand for alarms that CloudWatch judges by missing data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from agent.config.settings import Config
from agent.provision import metric
from agent.provision.alarms import DROPS, STUCK, AlarmRule, rules
from agent.summary.catalog import BY_NAME, CARRIER_METRICS, carrier_family

BY_CONNECTOR = "voice_connector_id, region"
BY_CARRIER = "carrier"
_NOT_ALIKE = frozenset({"silent", "active-collapse"})
_QUANTILE = re.compile(r"p(\d+)")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert rule. `since` is how long it must hold."""

    key: str
    expression: str
    since: str
    summary: str
    description: str
    runbook: str

    def row(self) -> dict[str, object]:
        name = "Sbcwatch" + "".join(word.capitalize() for word in self.key.split("-"))
        return {
            "alert": name,
            "expr": self.expression,
            "for": self.since,
            "labels": {"severity": "warning"},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": self.runbook,
            },
        }


def rules_text(config: Config, hosts: int = 1) -> str:
    """A rule file for `promtool check rules`."""
    group = {"name": "sbcwatch", "rules": [alert.row() for alert in alerts(config, hosts)]}
    return json.dumps({"groups": [group]}, indent=2)


def alerts(config: Config, hosts: int = 1) -> Iterator[Alert]:
    """The alarms, and alerts that only Prometheus can judge. `hosts`: how many are scraped."""
    url = config.alarms.runbook_url
    by_key = {rule.key: rule for rule in rules(config, hosts)}
    for rule in by_key.values():
        if rule.key not in _NOT_ALIKE:
            yield _alert(rule, judged(rule), "1m", url)
    for rule in carrier_rules(by_key) if config.carriers else ():
        yield _alert(rule, judged(rule, BY_CARRIER), "1m", url)
    up = f"sum by ({BY_CONNECTOR}) (sbcwatch_calls_active)"
    yield _alert(
        by_key["active-collapse"],
        f"{up} / {up.replace('active)', 'active offset 1m)')} < 0.5"
        f" and {up.replace('active)', 'active offset 1m)')} >= 20",
        "0m",
        url,
    )
    seen = 'count(up{job="sbcwatch"} == 1)'
    yield _alert(by_key["silent"], f"({seen} or vector(0)) < {hosts}", "5m", url)
    yield _alert(DROPS, "increase(sbcwatch_agent_drops_total[5m]) > 0", "3m", url)
    waiting = 'max by (instance, sink) (sbcwatch_agent_sink{what="oldest_age_seconds"})'
    yield _alert(STUCK, f"{waiting} > {STUCK.threshold:g}", "3m", url)
    yield _alert(INTERFACE, "sbcwatch_agent_interface_up == 0", "1m", url)


def carrier_rules(by_key: Mapping[str, AlarmRule]) -> Iterator[AlarmRule]:
    """The alarms of which each carrier has its own: the remote end's, and how calls to it and from it end.

    An attempt is nobody's before it ends: a share of failures is of the calls that were answered or failed.
    """
    known = {metric.name for metric in CARRIER_METRICS}
    for rule in by_key.values():
        if {name for _, name, _ in rule.inputs} <= known and rule.key not in _NOT_ALIKE:
            yield replace(
                rule, key=f"carrier-{rule.key}", what=f"Of one carrier: {rule.what}", section=rule.key
            )
    for way in ("Inbound", "Outbound"):
        rule = by_key[f"failures-{way.lower()}"]
        yield replace(
            rule,
            key=f"carrier-{rule.key}",
            what=f"More than {rule.threshold:.0%} of a carrier's {way.lower()} calls fail.",
            inputs=(
                ("failed", metric(f"{way}CallFailures"), "Sum"),
                ("answered", metric(f"{way}CallsAnswered"), "Sum"),
            ),
            value="failed / (failed + answered)",
            enough="failed + answered >= 20",
            section=rule.key,
        )


INTERFACE = AlarmRule(
    "interface-down",
    "An interface that is watched is down, gone or without carrier.",
    "Nothing is captured there: what it carries is unknown, and no failed call.",
    (), "", "", "", "<", 1, 1, 1, "notBreaching", "a silent agent has an alarm of its own.",
)  # fmt: skip


def _alert(rule: AlarmRule, expression: str, since: str, url: str) -> Alert:
    return Alert(rule.key, expression, since, rule.what, rule.why, rule.runbook(url))


def judged(rule: AlarmRule, by: str = BY_CONNECTOR) -> str:
    """The rule as PromQL: its value where there is enough to judge, compared. `by`: labels that it is for."""
    window_s = rule.period_s * rule.periods
    inputs = {
        name: _series(metric, statistic, rule.period_s, window_s, by)
        for name, metric, statistic in rule.inputs
    }

    def filled(text: str) -> str:
        return re.sub(r"\b[a-z][a-z0-9]*\b", lambda word: inputs[word[0]], text)

    threshold = rule.threshold
    if rule.value in inputs:  # in the metric's own unit
        threshold *= next(BY_NAME[metric].scale for name, metric, _ in rule.inputs if name == rule.value)
    enough = f" and {filled(rule.enough)}" if rule.enough else ""
    return f"{filled(rule.value)} {rule.comparison} {threshold:g}{enough}"


def _series(name: str, statistic: str, period_s: int, window_s: int, by: str) -> str:
    metric = BY_NAME[name]
    labels = ",".join(f'{label}="{value}"' for label, value in metric.labels)
    family = metric.prometheus
    if by == BY_CARRIER:
        family, labels = carrier_family(metric), f'{labels},carrier!=""'

    def per_second(suffix: str, by: str = by) -> str:
        return f"sum by ({by}) (rate({family}{suffix}{{{labels}}}[{window_s}s]))"

    if statistic == "Sum":
        return f"({period_s} * {per_second('_total')})"
    if statistic == "SampleCount":
        return f"({period_s} * {per_second('_count')})"
    if statistic == "Average":
        return f"({per_second('_sum')} / {per_second('_count')})"
    found = _QUANTILE.fullmatch(statistic)
    assert found is not None, statistic
    buckets = per_second("_bucket", f"le, {by}")
    return f"histogram_quantile({int(found[1]) / 100:g}, {buckets})"
