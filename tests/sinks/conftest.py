from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store import Store
from tests.kit.sink_clock import Clock
from tests.kit.strict_aws import StrictAws


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aws(clock: Clock) -> Iterator[StrictAws]:
    with StrictAws(now=lambda: clock.now_ns / 1e9) as server:
        yield server


@pytest.fixture
def store() -> Iterator[Store]:
    """In memory where the system has a place for it: what a disk does is tests/store's, and hundreds wait."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        opened = Store(Path(folder, "s.sqlite"))
        opened.outbox.register({"cloudwatch": ("metrics",), "logs_media": ("media",), "logs_sip": ("sip",)})
        yield opened
        opened.close()
