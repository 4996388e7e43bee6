"""Texts for the operator: nobody is told to install what is not ours by our name."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from agent.errors import how_to_add

ROOT = Path(__file__).parent.parent


def test_package_is_added_to_this_very_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert how_to_add("redis") == f"{sys.executable} -m pip install redis"


def test_installation_without_pip_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "install the wheel, and redis beside it" in how_to_add("redis")


def test_nobody_is_told_to_install_the_bare_name() -> None:
    """Nothing called sbcwatch is on an index: whoever takes that name would be root on the hosts."""
    texts = [*ROOT.glob("agent/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]
    told = re.compile(r"pip install [^\n|;]*\bsbcwatch(?![-/.\w])")
    assert [path.name for path in texts if told.search(path.read_text())] == []
