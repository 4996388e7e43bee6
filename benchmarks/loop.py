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
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.media.rtp import loop_cy
from agent.uncompiled import status
from tests.kit.loop_traffic import T0, Traffic, walk

SIZES = (100, 1_000, 10_000, 100_000)


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
