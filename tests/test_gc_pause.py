"""The collector, held off."""

from __future__ import annotations

import gc

import pytest

from agent.gc_pause import held_off


@pytest.mark.parametrize("before", [True, False])
def test_collector_is_off_inside_and_afterwards_as_before(before: bool) -> None:
    was = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        assert not held_off()(gc.isenabled)()
        assert gc.isenabled() is before
        with pytest.raises(ZeroDivisionError):
            held_off()(lambda: 1 / 0)()
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()
