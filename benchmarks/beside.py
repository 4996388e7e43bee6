"""A flood of RTP while somebody reads the pages: `python -m benchmarks.beside FOLDER`.

FOLDER: a store that `benchmarks.call_index` filled. As root, with a C compiler: `benchmarks.live`'s flood and
its consumer, once alone and once beside `sbcwatch web` that answers 20 requests a second (overview, lists,
searches, calls), at the weight that its unit gives it. Prints what the ring dropped, and how long answers
took.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from pathlib import Path

from benchmarks.live import FAR, compiled, flooded, namespaces
from benchmarks.web import ask, served
from tests.kit.privileges import hindrance

REQUESTS = 20  # a second
STREAMS = 1_000
NICE = 7  # weighs what CPUWeight=20 of the unit weighs


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--rates", default="100000", help="packets/s, joined by commas")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    if reason := hindrance():
        print(f"no flood here: {reason}", file=sys.stderr)
        return 0
    print("    rate/s        sent        seen   dropped  own ns  answers/s  median ms  slowest ms   load")
    with tempfile.TemporaryDirectory(prefix="sbcwatch-bench-") as made, namespaces() as (far, near):
        flooder = compiled(Path(made))
        for rate in map(int, options.rates.split(",")):
            for beside in (False, True):
                taken: list[float] = []
                with readers(options.folder, taken) if beside else nullcontext():
                    row = flooded("sbcwatch", far, near, [flooder, FAR, STREAMS, options.seconds, rate])
                ordered = sorted(taken) or [0.0]
                print(
                    f"{row['rate']:>10,.0f}  {row['sent']:>10,}  {row['seen']:>10,}  {row['dropped']:>8,}"
                    f"  {row['own_ns']:>6.0f}  {len(taken) / options.seconds:>9.1f}"
                    f"  {ordered[len(ordered) // 2]:>9.1f}  {ordered[-1]:>10.1f}  {os.getloadavg()[0]:>5.1f}"
                )
    return 0


@contextmanager
def readers(folder: str, taken: list[float]) -> Iterator[None]:
    """Pages asked for at a steady pace until the end; milliseconds of each answer go to `taken`."""
    stop = threading.Event()
    with served(folder, NICE) as (address, _):
        thread = threading.Thread(target=_read, args=(address, taken, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _read(address: str, taken: list[float], stop: threading.Event) -> None:
    connection = http.client.HTTPConnection(address)
    found = re.findall(r'href="(/call/\d+)"', ask(connection, "/calls?q=0110"))
    targets = ["/", "/calls", "/calls?q=0110", "/?hours=4", "/calls?q=mos%3C3.5", "/calls?sort=loss"]
    due = time.perf_counter()
    for target in cycle([*targets, *found[:6]]):
        due += 1 / REQUESTS
        if stop.wait(max(0.0, due - time.perf_counter())):
            return
        begun = time.perf_counter()
        ask(connection, target)
        taken.append((time.perf_counter() - begun) * 1e3)


if __name__ == "__main__":
    sys.exit(main())
