"""The alert rules: taken by promtool, named like the alarms, and going off where the alarms do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agent.cli import main
from agent.config.settings import CarrierSettings, Config
from agent.daemon.agent_metrics import SERIES
from agent.provision.alarms import rules
from agent.provision.prometheus import alerts, rules_text
from agent.sinks.prometheus import Collector, Totals
from agent.summary.catalog import CARRIER_METRICS, METRICS
from agent.summary.records import ConnectorMinute, Samples, Summary

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
ROOT = Path(__file__).parents[2]
LABELS = 'voice_connector_id="vc1",region="us-east-1"'


def test_every_alarm_is_an_alert_too() -> None:
    keys = [alert.key for alert in alerts(Config(), 3)]
    assert len(keys) == len(set(keys))
    assert {rule.key for rule in rules(Config(), 3)} <= set(keys)
    assert {"capture-drops", "stuck-delivery", "interface-down"} <= set(keys)


CARRIERS = Config(carriers=[CarrierSettings(id="one")])


def test_each_alarm_on_the_remote_end_is_an_alert_by_carrier_where_there_are_carriers() -> None:
    keys = {alert.key for alert in alerts(CARRIERS)} - {alert.key for alert in alerts(Config())}
    assert keys == {
        "carrier-mos-remote", "carrier-mos-worst-remote", "carrier-rtt-remote", "carrier-jitter-rem2vc",
        "carrier-jitter-vc2rem", "carrier-loss-rem2vc", "carrier-loss-vc2rem", "carrier-failures-inbound",
        "carrier-failures-outbound",
    }  # fmt: skip
    for alert in alerts(CARRIERS):
        if alert.key.startswith("carrier-"):
            by = set(re.findall(r"sum by \(([^)]*)\)", alert.expression))
            assert by <= {"carrier", "le, carrier"}
            assert alert.expression.count('carrier!=""') == alert.expression.count("rate(")


def test_alerts_by_carrier_name_only_series_that_metrics_shows() -> None:
    values: dict[str, Any] = {
        metric.name: Samples([2.0], [1.0]) if metric.kind == "samples" else 1 for metric in CARRIER_METRICS
    }
    totals = Totals()
    totals.add(
        Summary(0, 0, True, [ConnectorMinute("c", "local", {}, {}, carriers={"one": values})], [], [], [])
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(totals))
    text = generate_latest(registry).decode()
    for alert in alerts(CARRIERS):
        for name, labels in re.findall(r"(sbcwatch_carrier_\w+)\{([^}]*)\}", alert.expression):
            pairs = [pair for pair in labels.split(",") if "!=" not in pair]
            lines = [line for line in text.splitlines() if line.startswith(name + "{")]
            assert any(all(pair in line for pair in pairs) for line in lines), (alert.key, name, labels)


def test_command_prints_a_rule_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aws", "prometheus", "--hosts", "2"]) == 0
    assert capsys.readouterr().out.rstrip() == rules_text(Config(), 2)


def shown() -> set[str]:
    """Every series that /metrics can show, but those by carrier."""
    values: dict[str, Any] = {
        metric.name: Samples([2.0], [1.0]) if metric.kind == "samples" else 1 for metric in METRICS
    }
    totals = Totals()
    minute = ConnectorMinute("vc1", "local", values, {})
    totals.add(Summary(0, 0, True, [minute], [], [], [], extras={"calls_active_unknown": 1}))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(totals))
    names = set(re.findall(r"^(?:# HELP )?(sbcwatch_\w+)", generate_latest(registry).decode(), re.MULTILINE))
    return names | {f"sbcwatch_agent_{each.name}{'_total' * (each.kind == 'counter')}" for each in SERIES}


def test_alerts_name_only_series_that_metrics_shows() -> None:
    series = shown()
    for alert in alerts(Config()):
        assert set(re.findall(r"sbcwatch_\w+", alert.expression)) <= series, alert.key


def test_pages_name_only_series_that_metrics_shows() -> None:
    series = shown() | {"sbcwatch_carrier_", "sbcwatch_config"}  # a prefix; a variable of the Ansible role
    pages = [
        ROOT / "README.md",
        ROOT / "deploy/README.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/sbc/*.md"),
    ]
    named = {(page.name, name) for page in pages for name in re.findall(r"`(sbcwatch_\w+)", page.read_text())}
    assert {(page, name) for page, name in named if name not in series} == set()


@needs_promtool
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(rules_text(Config(), 3))
    done = subprocess.run(
        ["promtool", "check", "rules", "rules.json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(alerts(Config())))} rules found" in done.stdout


def histogram(name: str, low: int, high: int, labels: str) -> list[dict[str, str]]:
    """MOS or jitter: `low` samples a minute in the first bucket of three, `high` in the last."""
    rows = []
    for bound, count in (("3.1", low), ("4.4", low + high), ("+Inf", low + high)):
        rows.append({"series": f'{name}_bucket{{{labels},le="{bound}"}}', "values": f"0+{count}x20"})
    total = 2.0 * low + 4.3 * high
    rows.append({"series": f"{name}_sum{{{labels}}}", "values": f"0+{total:g}x20"})
    rows.append({"series": f"{name}_count{{{labels}}}", "values": f"0+{low + high}x20"})
    return rows


def counter(name: str, a_minute: float, **labels: str) -> dict[str, str]:
    pairs = "".join(f',{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}_total{{{LABELS}{pairs}}}", "values": f"0+{a_minute:g}x20"}


CASES: list[tuple[str, list[dict[str, str]], bool]] = [
    (
        "SbcwatchLossCust2vc",
        [
            counter("sbcwatch_packets_lost", 410, direction="cust2vc"),
            counter("sbcwatch_rtp_packets", 19_590, direction="cust2vc"),
        ],
        True,
    ),
    (
        "SbcwatchLossCust2vc",
        [
            counter("sbcwatch_packets_lost", 400, direction="cust2vc"),
            counter("sbcwatch_rtp_packets", 19_650, direction="cust2vc"),
        ],
        False,
    ),
    (
        "SbcwatchLossRem2vc",
        [
            counter("sbcwatch_packets_lost", 500, direction="rem2vc"),
            counter("sbcwatch_rtp_packets", 1_000, direction="rem2vc"),
        ],
        False,
    ),
    # The mean is good, a seventh of all directions is not.
    ("SbcwatchMosWorstCustomer", histogram("sbcwatch_mos", 4, 24, f'{LABELS},side="customer"'), True),
    ("SbcwatchMosCustomer", histogram("sbcwatch_mos", 4, 24, f'{LABELS},side="customer"'), False),
    ("SbcwatchMosWorstCustomer", histogram("sbcwatch_mos", 1, 24, f'{LABELS},side="customer"'), False),
    ("SbcwatchMosRemote", histogram("sbcwatch_mos", 6, 1, f'{LABELS},side="remote"'), True),
    (
        "SbcwatchFailuresInbound",
        [
            counter("sbcwatch_call_failures", 3, direction="inbound"),
            counter("sbcwatch_call_attempts", 5, direction="inbound"),
        ],
        True,
    ),
    (
        "Sbcwatch5xx",
        [
            counter("sbcwatch_sip_responses", 30 if number != 5 else 10, **{"class": f"{number}xx"})
            for number in range(2, 7)
        ],
        True,
    ),
    (
        "SbcwatchActiveCollapse",
        [
            {
                "series": f'sbcwatch_calls_active{{{LABELS},direction="inbound"}}',
                "values": "30+0x9 9+0x10",
            }
        ],
        True,
    ),
    (
        "SbcwatchCarrierLossRem2vc",
        [
            {
                "series": f'sbcwatch_carrier_{name}_total{{carrier="{carrier}",direction="rem2vc"}}',
                "values": rate,
            }
            for carrier, lost in (("one", 10), ("two", 600))  # together 1.5 %, the second alone 3 %
            for name, rate in (("packets_lost", f"0+{lost}x20"), ("rtp_packets", "0+19400x20"))
        ],
        True,
    ),
    (
        "SbcwatchCarrierLossRem2vc",  # of no carrier: nobody's alert
        [
            {"series": f'sbcwatch_carrier_{name}_total{{carrier="",direction="rem2vc"}}', "values": rate}
            for name, rate in (("packets_lost", "0+900x20"), ("rtp_packets", "0+19400x20"))
        ],
        False,
    ),
    (
        "SbcwatchCarrierFailuresOutbound",
        [
            {"series": f'sbcwatch_{name}_total{{carrier="one",direction="outbound"}}', "values": rate}
            for name, rate in (("carrier_call_failures", "0+3x20"), ("carrier_calls_answered", "0+2x20"))
        ],
        True,
    ),
    ("SbcwatchSilent", [{"series": 'up{job="sbcwatch",instance="a"}', "values": "1+0x20"}], True),
    (
        "SbcwatchSilent",
        [
            {"series": 'up{job="sbcwatch",instance="a"}', "values": "1+0x20"},
            {"series": 'up{job="sbcwatch",instance="b"}', "values": "1+0x20"},
        ],
        False,
    ),
    ("SbcwatchSilent", [], True),
    ("SbcwatchCaptureDrops", [{"series": "sbcwatch_agent_drops_total", "values": "0+1x20"}], True),
    (
        "SbcwatchStuckDelivery",
        [{"series": 'sbcwatch_agent_sink{sink="logs",what="oldest_age_seconds"}', "values": "0+120x20"}],
        True,
    ),
    (
        "SbcwatchInterfaceDown",
        [{"series": 'sbcwatch_agent_interface_up{interface="eth0"}', "values": "0+0x20"}],
        True,
    ),
]


@needs_promtool
@pytest.mark.parametrize(("name", "series", "fires"), CASES)
def test_alert_fires_where_it_should(
    tmp_path: Path, name: str, series: list[dict[str, str]], fires: bool
) -> None:
    """`promtool test rules` asks whether the expression had a value long enough."""
    group = json.loads(rules_text(CARRIERS, 2))
    (only,) = [rule for rule in group["groups"][0]["rules"] if rule["alert"] == name]
    only["annotations"] = {}
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "one", "rules": [only]}]}))
    at = "10m" if name == "SbcwatchActiveCollapse" else "15m"
    # What fires has labels of its series: count the alerts instead of naming them.
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    test = {
        "rule_files": ["rules.json"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {"expr": firing, "eval_time": at, "exp_samples": [{"labels": "{}", "value": int(fires)}]}
                ],
            }
        ],
    }
    (tmp_path / "test.json").write_text(json.dumps(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
