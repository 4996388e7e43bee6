"""The engine's own bookkeeping of frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.stamps import LAST_NS
from agent.engine.engine import Engine
from agent.engine.minute_clock import Event as ClockEvent
from agent.model.events import MessageSeen
from agent.model.sides import Sides
from agent.wire.frame import Frame, batch_of
from tests.kit.loop_tap import MINUTE, MS, T0, WIRE, ethernet, rtp

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


STAMPS = [0, 30_000 * MS, 59_500 * MS, MINUTE, (2**32 - 1) * 1000 * MS, T0]


@given(st.lists(st.one_of(st.sampled_from(STAMPS), st.integers(0, LAST_NS)), min_size=1, max_size=12))
def test_frames_of_any_stamps_are_taken_in_a_bounded_number_of_steps(stamps: list[int]) -> None:
    engine = Engine(Sides(["198.51.100.9"], [], []))
    steps = 0
    happen = engine.clock.happen

    def counted(event: ClockEvent, at_ns: int = 0) -> None:
        nonlocal steps
        steps += 1
        happen(event, at_ns)

    engine.clock.happen = counted  # type: ignore[method-assign]
    packet = ethernet(OPTIONS, src_port=5060, dst_port=5060)
    seen = 0
    for stamp in stamps:
        events = engine.feed(batch_of([Frame(packet, stamp, WIRE, len(packet))])) + engine.advance(stamp)
        seen += sum(isinstance(event, MessageSeen) for event in events)
    engine.finish()
    assert seen + engine.duplicates() == len(stamps)
    assert steps <= 130 * (len(stamps) + 1)
