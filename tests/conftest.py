"""Hypothesis tries the same examples in each run: a failure is a change's. `EXPLORE=1` tries others.

Beside each other (`-n`, pytest-xdist): a file's tests stay together, for they share fixtures, and all that
need the host itself (namespaces, fixed ports, a daemon's clock) are one group.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, database=None)
if not os.environ.get("EXPLORE"):
    settings.load_profile("fixed")

HOST = ("tests/lab/", "tests/deploy/", "tests/capture/live/", "tests/chaos/", "tests/test_live", "tests/web/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group("host" if file.startswith(HOST) else file))
