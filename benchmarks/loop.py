"""The RTP loop alone: nanoseconds a packet at 100 to 100,000 streams, beside plain C on the same frames.

    python -m benchmarks.loop [--packets N] [--rounds N] [--json]

Frames are plain Ethernet/IPv4/UDP/RTP, snapped as live capture snaps them, all streams taking turns, 0.5 %
lost. The first walk over the frames accepts the streams; the walks timed after it, over the same frames with
later times and numbers, are the steady state. `first` is the first walk. The C version (ceiling.c) does the
counting part only and no bounds check; ratios are of medians within this run.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path

from agent.media.rtp import loop_cy
from agent.uncompiled import status
from agent.wire.frame import STAMP, STRIDE, origin

SIZES = (100, 1_000, 10_000, 100_000)
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


def compile_ceiling(folder: str) -> ctypes.CDLL | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = Path(folder, "ceiling.so")
    source = Path(__file__).with_name("ceiling.c")
    subprocess.run([compiler, "-O3", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.ceiling.restype = ctypes.c_int64
    return loaded


def ceiling(library: ctypes.CDLL, traffic: Traffic) -> float:
    lost, jitter = ctypes.c_int64(0), ctypes.c_double(0)
    data = (ctypes.c_uint8 * len(traffic.data)).from_buffer(traffic.data)
    index = (ctypes.c_int64 * len(traffic.index)).from_buffer(traffic.index)
    began = time.process_time()
    counted = library.ceiling(
        data,
        index,
        ctypes.c_int64(len(traffic)),
        ctypes.c_int64(traffic.streams),
        ctypes.byref(lost),
        ctypes.byref(jitter),
    )
    took = time.process_time() - began
    assert counted == len(traffic), counted
    return took


def measure(streams: int, packets: int, rounds: int, library: ctypes.CDLL | None) -> dict[str, float | None]:
    traffic = Traffic(streams, packets)
    loop = loop_cy.Loop(max_streams=max(200_000, streams))
    first = walk(loop, traffic)
    assert loop.streams == streams, loop.streams
    ours, plain = [], []
    for _ in range(rounds):
        traffic.lap()
        ours.append(walk(loop, traffic))
        if library is not None:
            plain.append(ceiling(library, traffic))
    per_packet = 1e9 / len(traffic)
    counted = sum(its.packets for its in loop.harvest_all(T0))
    counted += sum(its.packets for its in loop.harvest_all(T0 + 60_000_000_000))
    assert counted == len(traffic) * (rounds + 1), counted
    return {
        "streams": streams,
        "packets": len(traffic),
        "first_ns": first * per_packet,
        "ns": statistics.median(ours) * per_packet,
        "c_ns": statistics.median(plain) * per_packet if plain else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not status()["agent.media.rtp.loop_cy"]:
        print("the loop is not compiled: these figures are of uncompiled Python", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        library = compile_ceiling(folder)
        rows = [measure(streams, options.packets, options.rounds, library) for streams in SIZES]
    if options.json:
        print(json.dumps(rows))
        return 0
    print("streams  first ns  ns/packet  M packets/s  plain C ns  ratio to C  ratio to 1,000 streams")
    base = next(row["ns"] for row in rows if row["streams"] == 1_000)
    for row in rows:
        ns, c_ns = row["ns"], row["c_ns"]
        assert ns is not None
        assert base is not None
        plain = f"{c_ns:10.1f}  {ns / c_ns:10.2f}" if c_ns else f"{'-':>10}  {'-':>10}"
        print(
            f"{row['streams']:>7}  {row['first_ns']:8.1f}  {ns:9.1f}  {1e3 / ns:11.2f}  {plain}"
            f"  {ns / base:10.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
