"""The configurations of docs/otlp.md are well formed and name our own port, path and metrics."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.config.settings import Config, PrometheusSettings
from agent.summary.catalog import METRICS

yaml = pytest.importorskip("yaml")
TEXT = (Path(__file__).parents[2] / "docs/otlp.md").read_text()
TARGET = f"127.0.0.1:{PrometheusSettings().port}"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def scrapes(text: str) -> list[dict[str, Any]]:
    parsed = yaml.safe_load(text)
    inner = parsed.get("receivers", {}).get("prometheus", {}).get("config", parsed)
    found: list[dict[str, Any]] = inner.get("scrape_configs", [])
    return found


def test_scrape_configurations_name_our_port() -> None:
    found = [scrape for block in blocks("yaml") for scrape in scrapes(block)]
    assert len(found) == 2
    assert all(scrape["static_configs"] == [{"targets": [TARGET]}] for scrape in found)
    (alloy,) = blocks("alloy")
    assert f'"__address__" = "{TARGET}"' in alloy
    assert alloy.count("{") == alloy.count("}")


def test_pipelines_of_the_collector_use_what_stands_there() -> None:
    for block in blocks("yaml"):
        parsed = yaml.safe_load(block)
        for pipeline in parsed.get("service", {}).get("pipelines", {}).values():
            assert set(pipeline["receivers"]) <= set(parsed["receivers"])
            assert set(pipeline["exporters"]) <= set(parsed["exporters"])


def test_vector_scrapes_our_endpoint() -> None:
    (vector,) = [yaml.safe_load(block) for block in blocks("yaml") if "sources:" in block]
    assert vector["sources"]["sbcwatch"]["endpoints"] == [f"http://{TARGET}/metrics"]
    assert vector["sinks"]["out"]["inputs"] == ["sbcwatch"]


def test_settings_of_ours_are_settings() -> None:
    ours = [tomllib.loads(block)["otlp"] for block in blocks("toml") if "[otlp]" in block]
    assert len(ours) == 2
    assert all(set(each) <= set(Config().otlp.__struct_fields__) for each in ours)


def test_cloudwatch_agent_selects_metrics_that_exist() -> None:
    (block,) = blocks("json")
    prometheus = json.loads(block)["logs"]["metrics_collected"]["prometheus"]
    (declared,) = prometheus["emf_processor"]["metric_declaration"]
    served = {f"{metric.prometheus}_total": metric for metric in METRICS if metric.kind == "count"}
    for selector in declared["metric_selectors"]:
        (name,) = [name for name in served if re.search(selector, name)]
        assert {label for label, _ in served[name].labels} == set(declared["dimensions"][0])
