"""What the collector never walks: compiled objects that are in no cycle and come by the ten thousand."""

from __future__ import annotations

import gc

import pytest

from agent.model.call_cy import Dialog, LegMediaTotals
from agent.model.far_end_cy import AwayMinute
from agent.model.stream_minute_cy import StreamMinute
from agent.summary.direction_totals_cy import DirectionFigures
from agent.uncompiled import status
from agent.wire import sdp, sip
from tests.kit.framing import message

SDP = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n"


@pytest.mark.skipif(not all(status().values()), reason="uncompiled classes are all the collector's")
def test_messages_and_sessions_are_not_walked() -> None:
    session = sdp.parse(SDP)
    assert not gc.is_tracked(session)
    assert not gc.is_tracked(session.media[0])
    assert not gc.is_tracked(sip.parse(message(1)))


@pytest.mark.skipif(not all(status().values()), reason="uncompiled classes are all the collector's")
@pytest.mark.parametrize("kind", [AwayMinute, Dialog, DirectionFigures, LegMediaTotals, StreamMinute])
def test_what_is_in_no_cycle_is_not_walked(kind: type) -> None:
    assert not gc.is_tracked(kind())
