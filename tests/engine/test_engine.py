"""The engine's own bookkeeping of frames."""

from __future__ import annotations

from agent.engine.engine import Engine
from agent.model.sides import Sides
from agent.wire.frame import Frame, batch_of
from tests.media.rtp.test_loop import MINUTE, MS, T0, WIRE, ethernet, rtp

OPTIONS = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
)


def test_each_late_frame_is_counted_once_as_late() -> None:
    engine = Engine(Sides(["198.51.100.9"], [], []))
    frames = [ethernet(rtp(1)), ethernet(OPTIONS, src_port=5060, dst_port=5060)]
    engine.begin(T0)
    engine.advance(T0 + MINUTE + 4000 * MS)
    engine.feed(batch_of([Frame(data, T0 + 50_000 * MS, WIRE, len(data)) for data in frames]))
    assert engine.late() == 2
