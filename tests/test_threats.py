"""docs/threats.md names a test in each row, and each of them exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "threats.md").read_text()
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| position", "| ---"))
]


@cache
def every_test() -> set[str]:
    """Every test function of the tree."""
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_row_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(test_\w+)`", row.split("|")[5])
    assert named
    assert set(named) <= every_test()


def test_every_point_of_the_defence_has_a_row() -> None:
    points = {
        int(point)
        for row in ROWS
        for found in re.findall(r"\(([\d, ]+)\)", row.split("|")[1])
        for point in found.split(",")
    }
    assert points >= set(range(1, 17))
