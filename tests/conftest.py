"""Hypothesis tries the same examples in each run: a failure is a change's. `EXPLORE=1` tries others.
Where slow tests are left out, it tries half as many.

Beside each other (`-n`, pytest-xdist) the tests of a group run in one process, one after the other. A file is
a group, for its tests share fixtures, with these exceptions:

    lab       all that call in the lab, whose namespaces are its own
    HOST      all that need the host itself otherwise: fixed names and ports, a browser, a clock
    TSHARK    files that ask the same of tshark, which answers once in a process
    ALONE     long tests that share nothing: each is a group of its own

Tests of the lab and of the host mostly wait, but keep real time. All others give way to them, so that two
processes more than processors can run.

Groups begin in the order of `_place`, the longest first, so that no processor waits long for the last one.
"""

from __future__ import annotations

import gc
import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import WorkerController

# No deadline: a busy machine is no fault.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile("quick", settings.get_profile("fixed"), max_examples=50)
if not os.environ.get("EXPLORE"):
    settings.load_profile("fixed")

ROOT = Path(__file__).parents[1]
HOST = (
    "tests/capture/live/",
    "tests/deploy/test_container",
    "tests/deploy/test_grafana_live",
    "tests/deploy/test_machine",
    "tests/evidence/test_live",
    "tests/web/test_browser",
)
TSHARK = ("tests/test_accuracy", "tests/test_differential", "tests/test_endpoints")
ALONE = (
    "tests/chaos/",
    "tests/sinks/test_delivery.py::test_24_hours_without_cloudwatch",
    "tests/test_worst_cases.py",
)
REAL_TIME = ("lab", "host")
GIVING_WAY = 10  # nice: one of the lab's programs gets ten times the processor of one that gives way


def pytest_configure(config: pytest.Config) -> None:
    if "not slow" in config.option.markexpr and not os.environ.get("EXPLORE"):
        settings.load_profile("quick")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay for good: no garbage collection walks them, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out a file whose `pytestmark` deselects all of it: what it imports is often heavy."""
    expression = config.option.markexpr
    if collection_path.suffix != ".py" or " or " in expression:
        return None
    text = collection_path.read_text(encoding="utf-8")
    marks = re.search(r"^pytestmark = (\[.*?^\]|.*?$)", text, re.DOTALL | re.MULTILINE)
    unwanted = re.findall(r"not (\w+)", expression)
    return True if marks and any(f"pytest.mark.{name}" in marks[1] for name in unwanted) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Sets the priority, which programs of the test inherit. Root alone may raise it, and run the lab."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0 if group(item.nodeid) in REAL_TIME else GIVING_WAY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """xdist's own groups are by a mark, which it writes to where pytest 9.2 does not read it any more."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

        def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
            """Forgets a group that is done: xdist counts through all groups at every message of a test."""
            name = self._split_scope(self.registered_collections[node][item_index])
            super().mark_test_complete(node, item_index, duration)
            if all(self.assigned_work[node][name].values()):
                del self.assigned_work[node][name]

    config.option.loadscopereorder = False  # the order is ours
    return ByGroup(config, log)


def group(nodeid: str) -> str:
    """The name of the group in which a test runs."""
    file = nodeid.partition("::")[0]
    if _needs_lab(file):
        return "lab"
    if nodeid.startswith(HOST):
        return "host"
    if nodeid.startswith(TSHARK):
        return "tshark"
    return nodeid if nodeid.startswith(ALONE) else file


@cache
def _needs_lab(file: str) -> bool:
    """By its text: the process that deals out the tests knows their names and no marks."""
    return "pytest.mark.lab" in (ROOT / file).read_text(encoding="utf-8")


def _place(item: pytest.Item) -> int:
    """Those that wait, for they take the longest; then slow tests; then the rest as it was found."""
    name = group(item.nodeid)
    if name in REAL_TIME:
        return 0
    return 1 if name == "tshark" or item.get_closest_marker("slow") else 2
