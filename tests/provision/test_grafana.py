import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agent.daemon.agent_metrics import SERIES
from agent.provision.grafana import dashboard, grafana_text
from agent.sinks.prometheus import Collector, Totals
from agent.summary.catalog import METRICS
from agent.summary.records import ConnectorMinute, Samples, Summary, Value


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def exposed() -> dict[str, set[str]]:
    """Series of `/metrics` to their labels, with a value of every metric of the catalog."""

    def value(kind: str) -> Value:
        return Samples([2.0], [1.0]) if kind == "samples" else 1

    values = {m.name: value(m.kind) for m in METRICS}
    minute = ConnectorMinute("trunk", "local", values, {}, carriers={"carrier": values})
    totals = Totals()
    totals.add(Summary(0, 0, True, [minute], [], [], []))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(totals))
    found: dict[str, set[str]] = {}
    for line in generate_latest(registry).decode().splitlines():
        if series := re.match(r"(sbcwatch_\w+)\{(.*)\} ", line):
            found.setdefault(series[1], set()).update(re.findall(r'(\w+="[^"]*")', series[2]))
    return found


def selectors() -> Iterator[tuple[str, set[str]]]:
    for expression in expressions():
        for name, labels in re.findall(r"(sbcwatch_\w+)\{([^}]*)\}", expression):
            yield name, set(re.findall(r'(\w+="[^"]*")', labels))


def test_every_selector_is_a_series_that_metrics_shows_with_those_labels() -> None:
    series = exposed()
    ours = [(name, labels) for name, labels in selectors() if not name.startswith("sbcwatch_agent_")]
    assert len(ours) > 50
    for name, labels in ours:
        assert name in series, name
        assert labels <= series[name], (name, labels)


def test_every_agent_series_is_one_that_the_daemon_shows() -> None:
    kinds = {f"sbcwatch_agent_{series.name}": series.kind for series in SERIES}
    named = {name for name, _ in selectors() if name.startswith("sbcwatch_agent_")}
    assert named
    for name in named:
        base = name.removesuffix("_total")
        assert kinds.get(base) == ("counter" if name.endswith("_total") else "gauge"), name


def test_every_metric_of_the_catalog_is_on_a_panel() -> None:
    text = " ".join(expressions())
    for metric in METRICS:
        assert metric.prometheus in text, metric.name


def test_panels_overlap_nowhere() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


def test_text_is_the_dashboard_as_json() -> None:
    loaded: dict[str, Any] = json.loads(grafana_text())
    assert loaded == dashboard()
    assert {variable["name"] for variable in loaded["templating"]["list"]} == {
        "source",
        "connector",
        "instance",
    }


def test_expressions_are_promql(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    filled = [one.replace("$__rate_interval", "5m") for one in expressions()]
    rules = [{"record": f"checked:panel_{n}", "expr": one} for n, one in enumerate(filled)]
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    run = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(rules)} rules found" in run.stdout


def lost(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """What is not as it was."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs.get(key), f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{where}[{number}]")
    elif ours != theirs:
        yield where


def test_dashboard_passes_grafanas_own_model_unchanged() -> None:
    """Grafana Labs makes these classes from Grafana's schemas: what they do not know is not written again."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard())))
    # What the picker shows of a variable's query; Grafana writes it itself, and its schema has forgotten it.
    assert [where for where in lost(dashboard(), read) if not where.endswith(".definition")] == []
    wrong = dashboard()
    wrong["panels"][0]["gridPosition"] = wrong["panels"][0].pop("gridPos")
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(wrong)))
    assert ".panels[0].gridPosition" in list(lost(wrong, read))
