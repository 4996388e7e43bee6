"""README says what is so: its metric table is the catalog's, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.summary.catalog import METRICS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BEGIN = "<!-- metrics: written from agent/summary/catalog.py, checked by tests/test_readme.py -->\n"
END = "<!-- /metrics -->"


def metric_table() -> str:
    """The table as it has to stand in README."""
    rows = ["| metric | unit | what it counts | Prometheus |", "| --- | --- | --- | --- |"]
    for metric in METRICS:
        labels = ",".join(f'{name}="{value}"' for name, value in metric.labels)
        suffix = "_total" if metric.kind == "count" else ""
        shown = f"`{metric.prometheus}{suffix}" + (f"{{{labels}}}`" if labels else "`")
        rows.append(f"| `{metric.name}` | {metric.unit} | {metric.help} | {shown} |")
    return "\n".join(rows) + "\n"


def test_metric_table_is_the_catalogs() -> None:
    shown = README.split(BEGIN)[1].split(END)[0]
    assert shown == metric_table(), "run: python -m tests.test_readme"


def test_every_command_of_the_table_exists() -> None:
    rows = re.findall(r"(?m)^\| (`.+?`) \|", README.split("| command |")[1].split("Exit status")[0])
    names = {word.split()[0] for row in rows for word in re.findall(r"`([^`]+)`", row)}
    usage = subprocess.run(
        [sys.executable, "-m", "agent", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    offered = set(re.findall(r"(?m)^    ([a-z-]+)(?: |$)", usage))
    assert names == offered


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_demo_prints_what_the_readme_shows() -> None:
    command = [sys.executable, "-m", "agent", "replay"]
    command += [f"pcaps/loss-vc2cust-{side}.pcap" for side in ("customer", "remote")]
    command += ["--vc", "10.10.0.1", "--vc", "10.20.0.1", "--customer", "10.10.0.0/24"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shown = {line.rstrip() for line in README.splitlines()}
    tables = [line.rstrip() for line in printed.splitlines() if "frames" not in line]
    assert [line for line in tables if line and line not in shown] == []


if __name__ == "__main__":
    before, rest = README.split(BEGIN)
    (ROOT / "README.md").write_text(before + BEGIN + metric_table() + END + rest.split(END)[1])
