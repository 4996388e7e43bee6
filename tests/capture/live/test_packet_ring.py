"""The ring's blocks: so many that quiet traffic is ridden out for a minute."""

from __future__ import annotations

import pytest

from agent.capture.live.packet_ring import LEAST_BLOCK, MOST_BLOCK, RIDDEN_OUT_MS, block_size


@pytest.mark.parametrize("megabytes", [64, 128, 256, 1_024])
def test_ring_rides_out_a_minute_of_quiet_traffic(megabytes: int) -> None:
    ring = megabytes << 20
    assert ring // block_size(ring, 20) * 20 >= RIDDEN_OUT_MS


@pytest.mark.parametrize(("megabytes", "size"), [(1, LEAST_BLOCK), (64, LEAST_BLOCK), (1_024, MOST_BLOCK)])
def test_block_is_a_power_of_two_within_its_bounds(megabytes: int, size: int) -> None:
    assert block_size(megabytes << 20, 20) == size
