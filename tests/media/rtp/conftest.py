"""`make` and `tap`: the loop in both twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.media.rtp import loop_cy
from tests.kit.loop_tap import UNCOMPILED, Tap


@pytest.fixture(params=["compiled", "uncompiled"])
def make(request: pytest.FixtureRequest) -> Callable[..., Tap]:
    if request.param == "compiled" and str(loop_cy.__file__).endswith(".py"):
        pytest.skip("not compiled here")
    module = loop_cy if request.param == "compiled" else UNCOMPILED
    return lambda **settings: Tap(module.Loop(**settings))


@pytest.fixture
def tap(make: Any) -> Tap:
    result: Tap = make()
    return result
