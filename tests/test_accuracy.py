"""docs/accuracy.md: its tables are what the tests measure, its numbers are all the published ones."""

from __future__ import annotations

import re
import shutil

import pytest

from agent.commands import verify
from agent.summary.catalog import METRICS
from tests.kit import endpoints
from tests.kit.accuracy import DOC, filled


@pytest.mark.slow  # 114 starts of tshark
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tables_are_what_the_tests_measure() -> None:
    text = DOC.read_text()
    assert text == filled(text), "write them anew: python -m tests.kit.accuracy"


def test_every_metric_has_its_row_once() -> None:
    section = DOC.read_text().split("## Number by number")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(metric.name for metric in METRICS)
    assert all(cell.strip() for row in rows for cell in row)
    assert {len(row) for row in rows} == {6}


def test_tolerances_are_those_of_the_code() -> None:
    text = DOC.read_text()
    assert f"{verify.JITTER_US:g} us + {100 * verify.JITTER_RATIO:g} %" in text
    assert f"{verify.TRIP_MS:g} ms against tshark" in text
    assert f"RTT {endpoints.RTT_MS:g} ms + {100 * endpoints.RTT_SHARE:g} %" in text
    assert f"jitter {endpoints.JITTER_MS:g} ms + {100 * endpoints.JITTER_SHARE:g} %" in text


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOC.read_text()):
        assert (DOC.parent / target).exists(), target
