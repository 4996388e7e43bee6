"""Streams that strangers make up take no room and no time from those of calls."""

from __future__ import annotations

import random
import struct

import pytest

from agent.config.settings import Config, Limits
from agent.media.streams_cy import LEG_STREAMS, SOCKET_STREAMS
from agent.model.events import Unseen
from agent.model.unseen import Cause
from agent.pipeline import Pipeline, build
from agent.wire.frame import LINK_ETHERNET, Frame, batch_of, origin
from tests.kit.conversation import ALICE, VC
from tests.kit.conversation import frame as udp

STRANGER = "203.0.113.66"
BEGIN_NS = 1_700_000_040 * 10**9


class Wire:
    """Frames into a pipeline, a microsecond apart."""

    def __init__(self, max_streams: int = 1_000) -> None:
        config = Config()
        config.limits = Limits(max_streams=max_streams)
        self.pipeline: Pipeline = build(config, vc=[VC], customers=["192.0.2.0/24"])
        self.engine = self.pipeline.engine
        self.now_ns = BEGIN_NS

    def send(self, src: tuple[str, int], dst: tuple[str, int], payload: bytes) -> None:
        self.now_ns += 1_000
        data = udp(src, dst, payload)
        self.engine.feed(batch_of([Frame(data, self.now_ns, origin(LINK_ETHERNET, 0), len(data))]))

    def rtp(self, src: tuple[str, int], dst: tuple[str, int], ssrc: int, *sequence: int) -> None:
        for number in sequence:
            self.send(src, dst, struct.pack("!BBHII", 0x80, 8, number, 0, ssrc) + bytes(160))

    def flood(self, count: int, dst: tuple[str, int], first: int = 1 << 16) -> None:
        """Streams of two packets, each from a port of its own."""
        for number in range(count):
            self.rtp((STRANGER, 1024 + number), dst, first + number, 0, 1)

    def call(self) -> None:
        sdp = "v=0\r\nc=IN IP4 {}\r\nm=audio {} RTP/AVP 8\r\n"
        head = (
            "Via: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:1@x>;tag=a\r\nTo: <sip:2@y>{}\r\nCall-ID: 1\r\n"
        )
        head += "CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\n"
        offer = "INVITE sip:2@y SIP/2.0\r\n" + head.format("") + sdp.format(ALICE, 4000)
        answer = "SIP/2.0 200 OK\r\n" + head.format(";tag=b") + sdp.format(VC, 5000)
        self.send((ALICE, 5060), (VC, 5060), offer.encode())
        self.send((VC, 5060), (ALICE, 5060), answer.encode())

    def packets(self, ssrc: int) -> list[int]:
        """What the streams of that SSRC that belong to a leg have received."""
        streams = self.engine.media.streams
        return [self.engine.loop.newest(s.id)[2] for s in streams if s.ssrc == ssrc and s.leg is not None]


def test_streams_of_nobody_have_a_share_and_the_oldest_goes_first() -> None:
    wire = Wire(max_streams=1_000)
    for number in range(20):
        wire.flood(100, (VC, 6000 + number), first=(number + 1) << 16)
    assert wire.engine.loop.refused == 0
    assert len(wire.engine.media.streams) == 500
    assert wire.engine.media.streams.evicted == 1_500


def test_call_that_begins_in_a_flood_has_its_media() -> None:
    wire = Wire(max_streams=1_000)
    for number in range(20):
        wire.flood(100, (VC, 6000 + number), first=(number + 1) << 16)
    wire.call()
    wire.rtp((ALICE, 4000), (VC, 5000), 7, *range(50))
    assert wire.packets(7) == [50]


def test_flood_onto_a_calls_own_socket_leaves_its_stream_and_bounds_the_rest() -> None:
    wire = Wire(max_streams=2_000)
    wire.call()
    wire.rtp((ALICE, 4000), (VC, 5000), 7, *range(10))
    for round_ in range(10):
        wire.flood(100, (VC, 5000), first=(round_ + 1) << 16)
        wire.rtp((ALICE, 4000), (VC, 5000), 7, *range(10 + round_ * 5, 15 + round_ * 5))
    (leg,) = {s.leg for s in wire.engine.media.streams if s.ssrc == 7}
    assert leg is not None
    assert len(leg.streams) <= LEG_STREAMS
    assert wire.packets(7) == [60]


def test_flood_onto_a_socket_before_its_call_costs_a_bounded_look() -> None:
    wire = Wire(max_streams=4_000)
    wire.flood(1_000, (VC, 5000))
    assert len(wire.engine.media.streams) == SOCKET_STREAMS
    wire.call()
    wire.rtp((ALICE, 4000), (VC, 5000), 7, *range(10))
    assert wire.packets(7) == [10]


@pytest.mark.parametrize("seed", [5, 6, 1, 2])  # 5, 6: strays that were taken up were pushed out meanwhile
def test_floods_claims_and_closes_in_any_order_end_nothing(seed: int) -> None:
    draw, wire = random.Random(seed), Wire(max_streams=400)
    wire.call()
    streams = wire.engine.media.streams
    wire.rtp((ALICE, 4000), (VC, 5000), 7, *range(20))
    for step in range(60):
        how, first = draw.randrange(5), (step + 32) << 12
        if how == 0:
            wire.flood(draw.randrange(300), (VC, draw.choice((5000, 6000, 6002))), first=first)
        elif how == 1:  # in the far end's own name
            for number in range(draw.randrange(250)):
                wire.rtp((ALICE, 4000), (VC, 5000), first + number, 0, 1)
            wire.rtp((ALICE, 4000), (VC, 5000), 7, 20 + step)
        elif how == 2:
            streams.claimed([(VC, 5000), (VC, 6000)], wire.engine.media.open_minutes)
        elif how == 3:
            wire.now_ns += 61 * 10**9
            wire.engine.advance(wire.now_ns)
            wire.rtp((ALICE, 4000), (VC, 5000), 7, *range(20 + step, 40 + step))
        else:
            wire.flood(draw.randrange(600), (VC, 7000 + draw.randrange(9)), first=first)
    assert len(streams) <= 400
    assert wire.packets(7)


def test_streams_that_made_room_are_told_with_the_minute() -> None:
    wire = Wire(max_streams=200)
    for number in range(3):
        wire.flood(100, (VC, 6000 + number), first=(number + 1) << 16)
    told = [e for e in wire.engine.advance(BEGIN_NS + 70 * 10**9) if isinstance(e, Unseen)]
    (evicted,) = [event for event in told if event.cause is Cause.EVICTED]
    assert "200 streams" in evicted.detail
