"""CONTRIBUTING's answers lead somewhere: each file is there, and holds each name that a line says it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SECTIONS = re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]
LINES = re.findall(r"^\d+\. (.+(?:\n {3}.+)*)", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_line_names_paths_that_exist_and_hold_what_it_says(line: str) -> None:
    words = re.findall(r"`([^`]+)`", line)
    paths = [ROOT / word for word in words if "/" in word and " " not in word and not word.endswith("/`")]
    for path in paths:
        assert path.exists() or (ROOT / "agent/capture" / path.name).exists(), path
    files = [path for path in paths if path.is_file()]
    names = [word.split(".")[-1] for word in words if re.fullmatch(r"\w+(\.\w+)?", word)]
    for name in names:
        assert not files or any(re.search(rf"\b{name}\b", path.read_text()) for path in files), name


@pytest.mark.parametrize("thing", ["codec", "source of frames", "tunnel", "sink", "metric", "command"])
def test_question_is_answered_once(thing: str) -> None:
    assert sum(section.startswith(f"a {thing}\n") for section in SECTIONS) == 1
