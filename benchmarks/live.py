"""Live capture under a flood of RTP: ours beside tcpdump and beside an empty consumer of the same ring.

    python -m benchmarks.live [--streams 1000] [--seconds 4] [--rates 100000,300000,0] [--rounds 3] [--json]

As root, on Linux, with a C compiler: flood.c sends over a veth pair between two namespaces that are made here
and removed. At each rate (0: as many as go) each consumer sees a flood of its own:

    sbcwatch   the daemon's path: its filter, ring, capture thread, clock, engine and intervals
    two        the same with two capture threads, a ring each (PACKET_FANOUT_HASH)
    empty      the same filter and ring; blocks are given back unread
    tcpdump    -w /dev/null, a buffer of the ring's size

CPU is nanoseconds a packet sent: `own` of the consumer, `all` of the consumer, the flooder (who pays for the
tap, as it delivers to it) and the kernel's softirq threads: what the whole machine spends on the packet, told
apart from what it does besides. Figures are medians over the rounds, counts are sums.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.privileges import hindrance

RING_MB = 64
VC = "192.168.0.1"
FAR, NEAR = "flood0", "flood1"
ROUNDS, RATES = 3, (100_000, 300_000, 0)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rates", type=lambda text: [int(word) for word in text.split(",")], default=RATES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--consume", choices=("sbcwatch", "two", "empty"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.consume:
        print(json.dumps(consume(options.consume)))
        return 0
    reason = hindrance()
    if reason:
        print(f"no flood here: {reason}", file=sys.stderr)
        return 0
    rows = measure(options.streams, options.seconds, options.rates, options.rounds)
    if options.json:
        print(json.dumps(rows))
        return 0
    print("    rate/s  consumer        sent        seen   dropped  own ns  all ns  all is x empty")
    for row in rows:
        print(
            f"{row['rate']:>10,.0f}  {row['consumer']:<9} {row['sent']:>10,}  {row['seen']:>10,}"
            f"  {row['dropped']:>8,}  {row['own_ns']:>6.0f}  {row['all_ns']:>6.0f}  {row['ratio']:>6.2f}"
        )
    return 0


def measure(streams: int, seconds: float, rates: list[int], rounds: int) -> list[dict[str, float | str]]:
    """One row a rate and consumer."""
    consumers = ["empty", "sbcwatch", "two"] + (["tcpdump"] if shutil.which("tcpdump") else [])
    rows: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory(prefix="sbcwatch-bench-") as folder, namespaces() as (far, near):
        flooder = compiled(Path(folder))
        for rate in rates:
            taken: dict[str, list[dict[str, float]]] = {name: [] for name in consumers}
            for _ in range(rounds):
                for name in consumers:
                    taken[name].append(flooded(name, far, near, [flooder, FAR, streams, seconds, rate]))
            for name in consumers:
                row: dict[str, float | str] = {"consumer": name}
                for key in ("sent", "seen", "dropped"):
                    row[key] = sum(one[key] for one in taken[name])
                for key in ("rate", "own_ns", "all_ns"):
                    row[key] = statistics.median(one[key] for one in taken[name])
                rows.append(row)
                row["ratio"] = float(row["all_ns"]) / float(rows[-1 - consumers.index(name)]["all_ns"])
    return rows


def compiled(folder: Path) -> str:
    target = str(folder / "flood")
    subprocess.run(["cc", "-O2", "-o", target, str(Path(__file__).with_name("flood.c"))], check=True)
    return target


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two namespaces with a veth pair between them; named after this process, removed at the end."""
    far, near = f"bench-far-{os.getpid()}", f"bench-near-{os.getpid()}"
    made: list[str] = []
    try:
        for name in (far, near):
            ip("netns", "add", name)
            made.append(name)
        ip("-n", far, "link", "add", FAR, "type", "veth", "peer", "name", NEAR, "netns", near)
        for name, device in ((far, FAR), (near, NEAR)):
            # No IPv6: its neighbour discovery would be frames that nobody sent.
            subprocess.run(
                ["ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1"]
            )
            ip("-n", name, "link", "set", device, "up")
        yield far, near
    finally:
        for name in made:
            ip("netns", "del", name)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def flooded(consumer: str, far: str, near: str, flooder: list[object]) -> dict[str, float]:
    """One consumer under one flood."""
    if consumer == "tcpdump":
        command = ["tcpdump", "-i", NEAR, "-n", "-B", str(RING_MB * 1024), "-w", "/dev/null"]
    else:
        command = [sys.executable, "-m", "benchmarks.live", "--consume", consumer]
    process = subprocess.Popen(
        ["ip", "netns", "exec", near, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    process.stderr.readline()  # it listens
    time.sleep(0.3)
    kernel_s = softirq_s()
    words = ["ip", "netns", "exec", far, *map(str, flooder)]
    sent, took, flood_s = map(float, subprocess.check_output(words, text=True).split())
    kernel_s = softirq_s() - kernel_s
    time.sleep(0.5)
    before_s = children_s()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate()
    if consumer == "tcpdump":
        seen, dropped = (
            int(re.findall(rf"(\d+) packets {word}", errors)[0]) for word in ("captured", "dropped")
        )
        told = {"seen": seen, "dropped": dropped, "cpu_s": children_s() - before_s}
    else:
        told = json.loads(out)
    return {
        "rate": sent / took,
        "sent": int(sent),
        "seen": told["seen"],
        "dropped": told["dropped"],
        "own_ns": told["cpu_s"] / sent * 1e9,
        "all_ns": (told["cpu_s"] + flood_s + kernel_s) / sent * 1e9,
    }


def children_s() -> float:
    """CPU seconds of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def softirq_s() -> float:
    """CPU seconds so far of the kernel's softirq threads."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        name, _, rest = text.partition(") ")
        if "(ksoftirqd" in name:
            fields = rest.split()
            total += int(fields[11]) + int(fields[12])
    return total * TICK_S


def consume(kind: str) -> dict[str, float]:
    """Take frames until SIGINT; how many, how many were lost, CPU seconds."""
    threads = 2 if kind == "two" else 1
    stop = False

    def stopped(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGINT, stopped)
    from agent.assembly import sources
    from agent.capture.clock import Clock
    from agent.capture.live import ring_cy
    from agent.cli import _collect_seldom
    from agent.config.settings import Config
    from agent.daemon.capture_threads import CaptureThreads
    from agent.pipeline import build, pass_on

    class Nothing:
        def commit(self, summary: object) -> None: ...

        def messages(self, rows: object) -> None: ...

    config = Config()
    config.capture.interfaces = (NEAR,)
    config.capture.ring_mb = RING_MB
    config.capture.threads = threads
    rings = sources.rings(config)
    source = CaptureThreads(rings, Clock())
    pipeline = build(config, vc=[VC], live=True, locks=source.locks)
    pipeline.engine.resume(time.time_ns())
    source.serve(pipeline.engine.workers)
    keeper = Nothing()
    _collect_seldom()
    seen = 0
    if kind == "empty":

        def unread(words: memoryview, *rest: object) -> int:
            nonlocal seen
            seen += words[rest[2] // 4 + 3]  # type: ignore[operator]  # num_pkts of the block
            return 0

        vars(ring_cy)["walk_block"] = unread
    print("listening", file=sys.stderr, flush=True)
    began = time.process_time()
    for batch, now_ns in source:
        if kind != "empty":
            events = pipeline.engine.feed(batch) + pipeline.engine.advance(now_ns)
            pass_on(events, pipeline.intervals, keeper)
        if stop:
            break
    spent = time.process_time() - began
    return {"seen": seen or source.frames, "dropped": source.drops or 0, "cpu_s": spent}


if __name__ == "__main__":
    sys.exit(main())
