"""What the collector never walks: compiled objects that are in no cycle and come by the ten thousand."""

from __future__ import annotations

import gc

import pytest

from agent.model.call_cy import Dialog, LegMediaTotals
from agent.model.far_end_cy import AwayMinute
from agent.model.stream_minute_cy import StreamMinute
from agent.summary.direction_totals_cy import DirectionFigures
from agent.uncompiled import status


@pytest.mark.skipif(not all(status().values()), reason="uncompiled classes are all the collector's")
@pytest.mark.parametrize("kind", [AwayMinute, Dialog, DirectionFigures, LegMediaTotals, StreamMinute])
def test_what_is_in_no_cycle_is_not_walked(kind: type) -> None:
    assert not gc.is_tracked(kind())
