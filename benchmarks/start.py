"""The daemon at rest: time from its start to the first packet, resident memory, bytes a live stream.

    python -m benchmarks.start [--rounds 5] [--json]

The daemon runs as it does in production, from its own command with CloudWatch, Logs and Prometheus on, a
store of its own and AWS at a closed port of this host. As root it watches a veth pair in namespaces made
here, over which packets flow already; otherwise nothing is measured of it.

    ring       from exec to the packet socket: from here on every packet is kept
    start      from exec to the first packets taken by the engine (its first WATCHDOG=1), wall clock
    idle       resident memory 10 s later, without the ring's mapping
    stream     memory that 100,000 streams add to a process: the loop's rows and tables, and Python's objects
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.installed import installed
from benchmarks.live import FAR, NEAR, TICK_S, VC, compiled, namespaces
from benchmarks.replay import cached
from tests.kit.privileges import hindrance

SETTLE_S = 10.0
STREAMS = 40_000  # the table keeps some 57,000 that no SDP explains


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--streams", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.streams is not None:
        print(json.dumps(stream_bytes(options.streams)))
        return 0
    row = measure(options.rounds)
    if options.json:
        print(json.dumps(row))
        return 0
    if "start_s" in row:
        print(f"start to ring {row['ring_s']:.2f} s, to the first packets taken {row['start_s']:.2f} s")
        print(f"CPU until then {row['start_cpu_s']:.2f} s")
        print(f"idle with CloudWatch on: {row['idle_mb']:.1f} MB besides the ring")
    print(f"a live stream: {row['stream_bytes']:.0f} bytes, of them {row['row_bytes']:.0f} in the loop")
    return 0


def measure(rounds: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.start", "--streams", str(STREAMS)]
    row: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    reason = hindrance()
    if reason:
        print(f"no daemon here: {reason}", file=sys.stderr)
        return row
    with tempfile.TemporaryDirectory(prefix="sbcwatch-bench-") as folder, namespaces() as (far, near):
        flooder = [compiled(Path(folder)), FAR, "100", "3600", "2000"]
        flood = subprocess.Popen(["ip", "netns", "exec", far, *flooder], stdout=subprocess.DEVNULL)
        try:
            python = installed(Path(folder))
            started = [start(near, python, Path(folder), settle=number == 0) for number in range(-1, rounds)]
        finally:
            flood.kill()
            flood.wait()
    started = started[1:]  # the first wrote the bytecode
    row["idle_mb"] = started[0]["idle_mb"]
    for name in ("start_s", "ring_s", "start_cpu_s"):
        row[name] = statistics.median(one[name] for one in started)
    return row


def start(near: str, python: str, folder: Path, *, settle: bool) -> dict[str, float]:
    """One life of the daemon in namespace `near`."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        config = Path(home, "sbcwatch.toml")
        config.write_text(
            f'[capture]\ninterfaces = ["{NEAR}"]\n[vc]\naddresses = ["{VC}"]\n[store]\ndirectory = "{home}"\n'
            '[cloudwatch]\nenabled = true\nregion = "us-east-1"\n[logs]\nenabled = true\n'
            "[prometheus]\nenabled = true\nport = 9109\n"
        )
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        heard.bind(f"{home}/notify")
        heard.settimeout(30)
        environment = cached(folder) | {
            "NOTIFY_SOCKET": f"{home}/notify",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
        }
        began = time.monotonic()
        with Path(home, "log").open("w") as log:
            daemon = subprocess.Popen(
                ["ip", "netns", "exec", near, python, "-m", "agent", "run", "--config", str(config)],
                env=environment,
                stderr=log,
            )
        try:
            ring_s = 0.0
            while not ring_s:
                if daemon.poll() is not None:
                    raise SystemExit(Path(home, "log").read_text())
                # The only packet socket of that namespace, once the process is in it.
                inside = os.readlink(f"/proc/{daemon.pid}/ns/net") != os.readlink("/proc/self/ns/net")
                if inside and len(Path(f"/proc/{daemon.pid}/net/packet").read_text().splitlines()) > 1:
                    ring_s = time.monotonic() - began
                time.sleep(0.002)
            while b"WATCHDOG=1" not in heard.recv(4096):
                pass
            told = {
                "start_s": time.monotonic() - began,
                "ring_s": ring_s,
                "start_cpu_s": cpu_s(daemon.pid),
            }
            if settle:
                time.sleep(SETTLE_S)
                told["idle_mb"] = resident_mb(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
            heard.close()
    return told


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far: what a start takes where nothing else wants the CPU."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_mb(pid: int) -> float:
    """Resident memory without the ring, whose mapping is of a socket."""
    total, ring = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            ring = "socket:" in line
        elif words[0] == "Rss:" and not ring:
            total += int(words[1])
    return total / 1024


def stream_bytes(count: int) -> dict[str, float]:
    """Resident bytes that a stream adds, in all and in the loop alone."""
    from agent.config.settings import Config
    from agent.media.rtp.loop_cy import STOP_END, Loop
    from agent.pipeline import build
    from agent.wire.frame import Batch
    from tests.kit.loop_traffic import FOREVER, Traffic

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    traffic = Traffic(count, 3 * count, 0.0)
    pipeline = build(Config(), vc=["192.168.0.1"])
    before = resident()
    pipeline.engine.feed(Batch(traffic.data, traffic.index))
    whole = resident() - before
    assert len(pipeline.engine.media.streams) == count
    loop = Loop()
    before, position = resident(), 0
    while position < len(traffic):
        position = loop.walk(traffic.data, traffic.index, position, FOREVER)
        if loop.stopped == STOP_END:
            break
    return {"stream_bytes": whole / count, "row_bytes": (resident() - before) / count}


if __name__ == "__main__":
    sys.exit(main())
