"""The live rig at a short length: real calls stay exact, and the books are closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.settings import Limits
from agent.wire.ip import decoder_cy
from benchmarks.live import hindrance
from tests.lab.floods import CALLS, run

pytestmark = [pytest.mark.lab, pytest.mark.slow]
SECONDS = 6.0


@pytest.fixture(autouse=True)
def _rig() -> None:
    reason = hindrance()
    if not reason and decoder_cy.__file__.endswith(".py"):
        reason = "the loop is not compiled"
    if reason:
        pytest.skip(f"no floods here: {reason}")


def test_real_calls_are_exact_beside_a_flood_of_one_source_which_is_shed(tmp_path: Path) -> None:
    found = run("one-source", tmp_path, seconds=SECONDS)
    assert found.wrong == []
    assert found.is_closed
    assert found.flood_rate > 2 * Limits().sip_budget
    invites = found.values["InboundCallAttempts"] + found.values["OutboundCallAttempts"] - CALLS
    assert invites + found.left_out["shed"] == found.flood_sent
    (line, *_) = [line for line in found.log if line["cause"] == "flood"] or [{}]
    assert line.get("source", "203.0.113.9") == "203.0.113.9"
    assert found.rss_mb < Limits().max_memory_mb
    assert found.status == 0


def test_real_calls_are_exact_over_a_stall_that_the_ring_rides_out(tmp_path: Path) -> None:
    found = run("stall-8", tmp_path)
    assert found.wrong == []
    assert found.is_closed
    assert found.dropped == 0
