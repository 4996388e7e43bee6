from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from botocore.loaders import JSONFileLoader

from agent.store import Store
from tests.kit.sink_clock import Clock
from tests.kit.strict_aws import StrictAws


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """Each session of botocore reads the same files, which describe AWS's services in megabytes of JSON."""
    load = JSONFileLoader.load_file

    @cache
    def loaded(path: str) -> object:
        return load(JSONFileLoader(), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: loaded(path))
        yield


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
