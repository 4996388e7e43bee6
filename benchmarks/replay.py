"""`sbcwatch replay` of a large capture beside tshark and sngrep: CPU seconds and peak RSS of whole processes.

    python -m benchmarks.replay [--capture FILE] [--calls 500] [--seconds 40.2] [--rounds 5]
                               [--against tshark,sngrep] [--json]

Without --capture one is generated: 2 M packets, 500 calls, 1,000 streams, 1 % lost. Programs take turns in
every round, so that a machine that gets slower does so for all; figures are medians, ratios are of medians.
CPU time is user and system time of the process and of all that it waited for. Ours runs as installed
(`benchmarks.installed`), bytecode cached. sngrep runs without its interface (-N), keeping RTP (-r).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.installed import installed
from tests.kit import generate

ROUNDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=40.2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--against", default="tshark,sngrep", help="programs, commas between")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sbcwatch-bench-") as folder:
        capture = options.capture
        if capture is None:
            capture = Path(folder, "calls.pcap")
            generate.write(capture, options.calls, options.seconds, 0.01)
        rows = measure(capture, options.rounds, Path(folder), options.against.split(","))
    if options.json:
        print(json.dumps(rows))
        return 0
    print("program                      CPU s   (least)  peak MB  sbcwatch is")
    for row in rows:
        print(
            f"{row['program']:<26} {row['cpu_s']:>7.3f}  {row['least_s']:>7.3f}  {row['rss_mb']:>7.0f}"
            f"  {row['ratio']:>6.1f} x"
        )
    return 0


def measure(capture: Path, rounds: int, folder: Path, against: list[str]) -> list[dict[str, float | str]]:
    """One row a program that is here; `ratio` is its median CPU time over ours."""
    commands = programs(capture, against, installed(folder))
    environment = cached(folder)
    spent: dict[str, list[float]] = {name: [] for name in commands}
    resident: dict[str, list[float]] = {name: [] for name in commands}
    ours = next(iter(commands))
    run(commands[ours], environment)  # bytecode, and the capture into the page cache
    for _ in range(rounds):
        for name, command in commands.items():
            cpu_s, rss_mb = run(command, environment)
            spent[name].append(cpu_s)
            resident[name].append(rss_mb)
    base = statistics.median(spent[ours])
    return [
        {
            "program": name,
            "cpu_s": statistics.median(spent[name]),
            "least_s": min(spent[name]),
            "rss_mb": statistics.median(resident[name]),
            "ratio": statistics.median(spent[name]) / base,
        }
        for name in commands
    ]


def programs(capture: Path, against: list[str], python: str) -> dict[str, list[str]]:
    """Ours first, then who is installed."""
    file = str(capture)
    ours = [python, "-m", "agent", "replay", file, "--vc", generate.VC, "--json"]
    found = {"sbcwatch replay --json": ours}
    if "tshark" in against and shutil.which("tshark"):
        found["tshark -z rtp,streams"] = ["tshark", "-q", "-n", "-r", file, "-z", "rtp,streams"]
    if "sngrep" in against and shutil.which("sngrep"):
        found["sngrep -r"] = ["sngrep", "-N", "-q", "-r", "-I", file]
    return found


def cached(folder: Path) -> dict[str, str]:
    """The environment with a place for bytecode, even where a developer's forbids to write it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """CPU seconds and peak resident MB of a command, output thrown away. Raises where it fails."""
    path = shutil.which(command[0]) or command[0]
    nothing = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, nothing, number) for number in (0, 1, 2)]
    child = os.posix_spawn(path, command, environment, file_actions=actions)
    os.close(nothing)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
