"""`make bench`: every benchmark, one table of what must be reached and what was.

    python -m benchmarks [--rounds 5] [--only replay,loop,live,start,minute,sip,worst]

Each runs in a process of its own, so that none inherits another's heap. The exit status is 0 whatever is
reached: a slow machine is no defect, a ratio that falls is one (tests/test_performance.py guards those).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]  # what, bar, measured


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, commas between")
    options = parser.parse_args()
    print(machine(), flush=True)
    print(f"\n| {'what':<46} | {'bar':<14} | {'measured':<22} |\n| --- | --- | --- |")
    for name in options.only.split(","):
        for what, bar, measured in PARTS[name](options.rounds):
            print(f"| {what:<46} | {bar:<14} | {measured:<22} |", flush=True)
    return 0


def machine() -> str:
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{models[0] if models else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()},"
        f" Python {platform.python_version()}, load {load}"
    )


def told(module: str, *words: str) -> Any:
    """What a benchmark says as JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    return json.loads(subprocess.check_output([*command, "--json"], text=True) or "[]")


def said(module: str) -> str:
    return subprocess.check_output([sys.executable, "-m", f"benchmarks.{module}"], text=True)


def replay(rounds: int) -> Iterator[Row]:
    rows = told("replay", "--rounds", str(rounds))
    ours, *others = rows
    yield "replay of 2 M packets", "", f"{ours['cpu_s']:.2f} CPU-s"
    for row in others:
        bar = ">= 40 x" if row["program"].startswith("tshark") else ""
        yield f"  {row['program']} takes", bar, f"{row['ratio']:.1f} x ({row['cpu_s']:.1f} CPU-s)"
    yield "  peak RSS", "<= 100 MB", ", ".join(f"{row['rss_mb']:.0f}" for row in rows) + " MB"


def loop(rounds: int) -> Iterator[Row]:
    rows = {row["streams"]: row for row in told("loop", "--rounds", str(rounds))}
    base = rows[1000]
    yield "loop alone, 1,000 streams", ">= 7 M/s", f"{1e3 / base['ns']:.1f} M/s ({base['ns']:.0f} ns)"
    if base["c_ns"]:
        yield "  against plain C", "<= 2.5 x", f"{base['ns'] / base['c_ns']:.2f} x"
    for streams in (100, 10_000, 100_000):
        bar = "<= 2 x" if streams == 100_000 else ""
        yield f"  {streams:,} streams against 1,000", bar, f"{rows[streams]['ns'] / base['ns']:.2f} x"


def live(rounds: int) -> Iterator[Row]:
    for row in told("live", "--rounds", str(min(rounds, 3))):
        at = f"  {row['consumer']} at {row['rate']:,.0f}/s"
        if row["consumer"] == "sbcwatch":
            yield (
                f"live at {row['rate']:,.0f} packets/s: dropped",
                "0",
                f"{row['dropped']:,} of {row['sent']:,}",
            )
            yield f"{at}: own CPU", "<= 350 ns", f"{row['own_ns']:.0f} ns"
            yield f"{at}: machine's CPU", "<= 1.3 x empty", f"{row['ratio']:.2f} x"
        else:
            figures = f"{row['dropped']:,}; {row['own_ns']:.0f} ns; {row['ratio']:.2f} x"
            yield f"{at}: dropped; own; machine's", "", figures


def start(rounds: int) -> Iterator[Row]:
    row = told("start", "--rounds", str(rounds))
    if "start_s" in row:
        yield "start to the ring, packets are kept", "", f"{row['ring_s']:.2f} s"
        taken = f"{row['start_s']:.2f} s ({row['start_cpu_s']:.2f} CPU-s)"
        yield "start to the first packets taken", "<= 0.7 s", taken
        yield "idle daemon with CloudWatch on, without ring", "<= 64 MB", f"{row['idle_mb']:.1f} MB"
    figures = f"{row['stream_bytes']:.0f} bytes ({row['row_bytes']:.0f} loop)"
    yield "a live stream", "<= 1,024 bytes", figures


def minute(_: int) -> Iterator[Row]:
    text = said("minute")
    yield "close of a minute, 20,000 streams, 5,000 calls", "<= 150 ms", _after("close: ", text)
    yield "RTCP packet", "", _after("RTCP: ", text)


def sip(_: int) -> Iterator[Row]:
    yield "SIP through transactions and dialogs", ">= 30,000/s", _after("best: ", said("sip"))


def worst(_: int) -> Iterator[Row]:
    rows = told("worst")
    dearest = max(rows, key=lambda row: row[1] / row[2])
    yield "worst cases: shapes beyond their bound", "0", f"{sum(bool(row[5]) for row in rows)} of {len(rows)}"
    yield f"  nearest to it: {dearest[0]}"[:46], f"<= {dearest[2]:g} us/byte", f"{dearest[1]:.3f} us/byte"
    held = max(rows, key=lambda row: row[3])
    yield f"  holds most: {held[0]}"[:46], "", f"{held[3]:.1f} bytes/byte"


def _after(word: str, text: str) -> str:
    return next(line.removeprefix(word) for line in text.splitlines() if line.startswith(word))


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "replay": replay,
    "loop": loop,
    "live": live,
    "start": start,
    "minute": minute,
    "sip": sip,
    "worst": worst,
}

if __name__ == "__main__":
    sys.exit(main())
