"""Any capture file goes through the whole path and ends: container, decoder, SIP, media, minutes, JSON.

    python -m tests.fuzz.path [-max_total_time=SECONDS] [-runs=N] [-seed=N]

What must hold: nothing but `CaptureError` comes out; a file of a hundred frames has at most `BOUND_S` of CPU;
what is published is JSON without NaN, counts are not negative, RTT is at most 10 s, MOS between 1 and 4.5; a
checkpoint in the middle goes on in another process's engine. A run that fails prints its seed:
`-seed=N -runs=1` is that file again.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.commands import replay
from agent.config.settings import Config
from agent.daemon import checkpoint
from agent.errors import CaptureError
from agent.pipeline import build, pass_on
from agent.summary.records import Samples, Summary
from agent.summary.timeline_cy import plain
from tests.fuzz.captures import capture
from tests.kit.scene import VC_C, VC_R

BOUND_S = 5.0
CUSTOMERS = ["192.0.2.0/24"]


class Kept:
    """Checks what is published."""

    def __init__(self) -> None:
        self.minutes = 0

    def messages(self, rows: list[dict[str, Any]]) -> None:
        msgspec.json.encode(rows)

    def commit(self, summary: Summary) -> None:
        self.minutes += 1
        for connector in summary.connectors:
            for name, value in connector.values.items():
                check_value(name, value)
        msgspec.json.encode([list(summary.media), summary.calls, summary.extras], enc_hook=plain)


def check_value(name: str, value: object) -> None:
    if isinstance(value, Samples):
        if not value.count:
            return
        found = value.summary()
        assert 0 <= found["min"] <= found["max"] < float("inf"), (name, found)
        if name.startswith("RTT"):
            assert found["max"] <= 10_000_000, (name, found)
        if name.startswith("MOS"):
            assert 1.0 <= found["min"] <= found["max"] <= 4.5, (name, found)
    else:
        assert value is None or (isinstance(value, int) and value >= 0), (name, value)


def check(data: bytes, draw: random.Random, folder: Path) -> int:
    """Minutes that were published."""
    path = folder / "in.pcap"
    path.write_bytes(data)
    config, kept = Config(), Kept()
    pipeline = build(config, vc=[VC_C, VC_R], customers=CUSTOMERS, key=b"k")
    stop = draw.randrange(3)
    try:
        for number, (batch, now_ns) in enumerate(replay.open_files([str(path)], config)):
            pass_on(pipeline.engine.feed(batch), pipeline.intervals, kept)
            pass_on(pipeline.engine.advance(now_ns), pipeline.intervals, kept)
            if number == stop:
                saved = checkpoint.packed(checkpoint.save(pipeline.engine, pipeline.intervals))
                pipeline = build(config, vc=[VC_C, VC_R], customers=CUSTOMERS, key=b"k")
                checkpoint.restore(saved, pipeline.engine, pipeline.intervals)
    except CaptureError:
        pass
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    return kept.minutes


def late(signum: int, frame: object) -> None:
    raise TimeoutError(f"a file took more than {BOUND_S} s of CPU")


def one(seed: int, folder: Path) -> int:
    """Execute the capture of `seed`."""
    draw = random.Random(seed)
    data = capture(draw)
    signal.setitimer(signal.ITIMER_PROF, BOUND_S)
    try:
        return check(data, draw, folder)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    options = dict(option[1:].split("=", 1) for option in sys.argv[1:] if "=" in option)
    seed = int(options.get("seed", random.SystemRandom().getrandbits(40)))
    runs, seconds = int(options.get("runs", 10**9)), float(options.get("max_total_time", 1e9))
    signal.signal(signal.SIGPROF, late)
    began, done = time.monotonic(), 0
    memory = Path("/dev/shm")  # a file is written for each capture: not onto a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        while done < runs and time.monotonic() - began < seconds:
            try:
                one(seed + done, Path(folder))
            except BaseException:
                print(f"failed: -seed={seed + done} -runs=1", flush=True)
                raise
            done += 1
    print(f"{done} captures from seed {seed} in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
