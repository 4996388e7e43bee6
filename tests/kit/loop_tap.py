"""RTP packets for the loop, and the small chores of its caller."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from agent import uncompiled
from agent.media.rtp import loop_cy
from agent.model.stream_minute_cy import COUNTERS
from agent.wire.frame import Frame, batch_of, origin
from tests.kit import packets as by_hand

T0 = 1_700_000_040_000_000_000  # the start of a UTC minute
MS = 1_000_000
MINUTE = 60_000 * MS
WIRE = origin(1, 0)
FOREVER = 1 << 62


def rtp(
    seq: int,
    ts: int | None = None,
    *,
    ssrc: int = 0x1234,
    payload_type: int = 0,
    marker: bool = False,
    size: int = 160,
) -> bytes:
    timestamp = seq * 160 if ts is None else ts
    return struct.pack(
        ">BBHII", 0x80, marker << 7 | payload_type, seq & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
    ) + bytes(size)


def ethernet(
    payload: bytes,
    *,
    src: str = "192.0.2.1",
    dst: str = "198.51.100.9",
    src_port: int = 40000,
    dst_port: int = 30000,
    vlan: int | None = None,
    identification: int = 0,
) -> bytes:
    tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
    return by_hand.ethernet(by_hand.udp((src, src_port), (dst, dst_port), payload, identification), tags=tag)


def counts_of(minute: Any) -> dict[str, float]:
    """What the loop counted of a stream's minute, by name."""
    return {name: getattr(minute, name) for name in COUNTERS}


class Slot(NamedTuple):
    """A stream's 10 s. None: none was measured."""

    packets: int
    lost: int
    late: int
    jitter_us: int | None
    gap_ms: int | None


def slots_of(minute: Any) -> list[Slot]:
    """The slots of a stream's minute, without the oldest where these were not kept."""
    found = []
    for packets, lost, late, jitter, gap in struct.iter_unpack("<5H", minute.slots):
        found.append(
            Slot(packets, lost, late, (jitter - 1) * 10 if jitter else None, gap - 1 if gap else None)
        )
    return found


class Tap:
    """A loop with the small chores of its caller."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.stream = -1
        self.slow = 0
        self.map = 0

    def frames(self, frames: list[Frame]) -> None:
        batch = batch_of(frames)
        position = 0
        while True:
            position = self.loop.walk(batch.data, batch.index, position, FOREVER)
            if self.loop.stopped == loop_cy.STOP_STREAM:
                self.stream = self.loop.new_stream
                self.loop.set_map(self.stream, self.map)
            elif self.loop.stopped == loop_cy.STOP_SLOW:
                self.slow += 1
                position += 1
            else:
                return

    def send(self, at_ms: float, payload: bytes, where: int = WIRE, **addressing: Any) -> None:
        data = ethernet(payload, **addressing)
        self.frames([Frame(data, T0 + round(at_ms * MS), where, len(data))])

    def run(self, numbers: list[int], start_ms: float = 0.0, step_ms: float = 20.0) -> None:
        """Packets with these sequence numbers, one every `step_ms`; timestamps follow the numbers."""
        for position, seq in enumerate(numbers):
            self.send(start_ms + position * step_ms, rtp(seq))

    def counters(self, minute: int = 0, stream: int | None = None) -> dict[str, float]:
        chosen = self.stream if stream is None else stream
        return counts_of(self.loop.harvest(chosen, T0 + minute * MINUTE))

    def finished(self) -> dict[str, float]:
        self.loop.finish()
        return self.counters()


UNCOMPILED = uncompiled.sources("agent.media.rtp.loop_cy")[0]
