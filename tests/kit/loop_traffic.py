"""RTP of many streams for the loop alone, in one buffer, without the rest of the engine."""

from __future__ import annotations

import random
import struct
import time
from array import array

from agent.media.rtp import loop_cy
from agent.wire.frame import STAMP, STRIDE, origin

T0 = 1_700_000_040_000_000_000
STEP_NS = 20_000_000
SNAP = 66  # Ethernet, IPv4, UDP and the RTP header with room to spare
FOREVER = 1 << 62


class Traffic:
    """Frames of `streams` streams taking turns, `locks` packets each, in one buffer."""

    def __init__(self, streams: int, packets: int, loss: float = 0.005) -> None:
        self.streams = streams
        self.locks = max(3, packets // streams)
        self.data = bytearray()
        self.index = array("q")
        chance = random.Random(streams)
        gap = STEP_NS // streams
        starts = [chance.randrange(65536) for _ in range(streams)]
        heads = [self.head(number) for number in range(streams)]
        for turn in range(self.locks):
            for number in range(streams):
                # The ends are kept, so that the next lap goes on in sequence.
                if 1 < turn < self.locks - 1 and chance.random() < loss:
                    continue
                seq = (starts[number] + turn) & 0xFFFF
                stamp = T0 + turn * STEP_NS + number * gap + chance.randrange(1_000_000)
                self.index.extend((len(self.data), SNAP, 214, stamp, origin(1, 0)))
                self.data += (
                    heads[number]
                    + struct.pack(">BBHII", 0x80, 0, seq, turn * 160, 0x10000 + number)
                    + bytes(12)
                )

    @staticmethod
    def head(number: int) -> bytes:
        src = 0x0A000000 + number // 20_000
        port = 10_000 + 2 * (number % 20_000)
        udp = struct.pack(">HHHH", port, port, 180, 0)  # one socket for all would be one leg, which keeps 256
        ip = struct.pack(">BBHHHBBHII", 0x45, 0, 200, 0, 0, 64, 17, 0, src, 0xC0A80001)
        return bytes(12) + b"\x08\x00" + ip + udp

    def __len__(self) -> int:
        return len(self.index) // STRIDE

    def lap(self) -> None:
        """The same frames once more, later: times, sequence numbers and timestamps go on."""
        for at in range(0, len(self.index), STRIDE):
            self.index[at + STAMP] += self.locks * STEP_NS
            rtp = self.index[at] + 42
            seq, ts = struct.unpack_from(">HI", self.data, rtp + 2)
            struct.pack_into(
                ">HI", self.data, rtp + 2, (seq + self.locks) & 0xFFFF, (ts + self.locks * 160) & 0xFFFFFFFF
            )


def walk(loop: loop_cy.Loop, traffic: Traffic) -> float:
    """CPU seconds for all frames."""
    position, began = 0, time.process_time()
    while True:
        position = loop.walk(traffic.data, traffic.index, position, FOREVER)
        if loop.stopped == loop_cy.STOP_END:
            return time.process_time() - began
