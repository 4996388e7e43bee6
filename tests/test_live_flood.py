"""The daemon on a real interface under INVITEs as fast as this machine sends them, beside real calls.

Two namespaces made here and removed; no SBC: the calls are those of the lab, sent again frame by frame.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.config.settings import Limits
from agent.daemon import checkpoint
from agent.store import Store
from agent.store.codec import unpack
from agent.wire.ip import decoder_cy
from benchmarks.live import FAR, NEAR, hindrance, namespaces
from tests.chaos import calls
from tests.lab.network import inside

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ROOT = Path(__file__).parent.parent
FLOODER, TARGET = "203.0.113.9", "10.20.0.1"
SECONDS = 12.0
CALLS = 12
CONFIG = """
[vc]
addresses = ["10.10.0.1", "10.20.0.1"]
[customers]
networks = ["10.10.0.0/24"]
[capture]
interfaces = ["{interface}"]
ring_mb = 256
[store]
directory = "{state}"
checkpoint = 2.0
[prometheus]
enabled = false
"""


class Seen:
    def __init__(self) -> None:
        self.sent = 0  # messages of the flood
        self.rate = 0.0
        self.truth: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.shed = self.drops = 0
        self.rss_mb = self.cpu_s = 0.0
        self.log: list[dict[str, Any]] = []
        self.status: int | None = None


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    reason = hindrance()
    if not reason and decoder_cy.__file__.endswith(".py"):
        reason = "the loop is not compiled"
    if reason:
        pytest.skip(f"no flood here: {reason}")
    folder, found = tmp_path_factory.mktemp("flood"), Seen()
    flooder = folder / "sip_flood"
    subprocess.run(["cc", "-O2", "-o", flooder, ROOT / "tests" / "kit" / "sip_flood.c"], check=True)
    config, log = folder / "sbcwatch.toml", folder / "log"
    config.write_text(CONFIG.format(interface=NEAR, state=folder / "state"))
    with namespaces() as (far, near), log.open("wb") as output:
        # Ahead of whatever else runs here: what is judged is the daemon, not its neighbours.
        command = ["nice", "-n", "-15", "ip", "netns", "exec", near]
        command += [sys.executable, "-m", "agent", "run", "--config", str(config)]
        daemon = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        deadline = time.monotonic() + 60
        while "watching" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            assert daemon.poll() is None, log.read_text()
            time.sleep(0.02)
        words = ["nice", "-n", "-5", "ip", "netns", "exec", far, flooder, FAR, FLOODER, TARGET, str(SECONDS)]
        flood = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)
        found.truth = _play(far)
        out, _ = flood.communicate(timeout=60)
        sent, took = out.split()
        found.sent, found.rate = int(sent), int(sent) / float(took)
        _wait_for_checkpoint(folder / "state", time.time_ns())
        assert daemon.poll() is None, log.read_text()
        found.rss_mb = _rss_mb(daemon.pid)
        times = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        found.cpu_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        daemon.send_signal(signal.SIGTERM)
        found.status = daemon.wait(60)
    found.log = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    store = Store(folder / "state" / "sbcwatch.sqlite", read_only=True)
    for minute in store.minutes(0, 1 << 62):
        found.shed += minute.extras.get("sip_shed", 0)
        for connector in minute.connectors:
            found.totals.update({k: v for k, v in connector.values.items() if isinstance(v, int)})
    store.close()
    found.drops = round(sum(figures["CaptureDrops"] for figures in _own_figures(folder / "state")))
    shutil.rmtree(folder / "state")
    print(
        f"{found.rate:,.0f} messages/s, {found.shed:,} of {found.sent:,} shed, {found.drops:,} dropped,"
        f" {found.rss_mb:.0f} MB, {found.cpu_s:.1f} s of CPU"
    )
    return found


def _play(namespace: str) -> Counter[str]:
    """Calls of the lab at their own pace, from within the flood; what they add up to."""
    truth: Counter[str] = Counter()
    names = ("short-inbound", "short-outbound")
    began_ns = time.monotonic_ns()
    placed = [
        calls.place(number, calls.template(names[number % 2]), began_ns + (number + 3) * 200_000_000)
        for number in range(CALLS)
    ]

    with inside(namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind((FAR, 0))
    while under_way := [call for call in placed if not call.over]:
        call = min(under_way, key=lambda one: one.due_ns)
        time.sleep(max(0, call.due_ns - time.monotonic_ns()) / 1e9)
        data, frame = call.frame()
        wire.send(data.ljust(14 + int.from_bytes(data[16:18]), b"\0"))
        truth.update(dict(frame.adds))
    wire.close()
    for call in placed:
        truth.update(call.template.totals)
    return truth


def _wait_for_checkpoint(state: Path, after_ns: int) -> None:
    """Until what was on the wire by then has been read."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        store = Store(state / "sbcwatch.sqlite", read_only=True)
        saved = store.load_checkpoint()
        store.close()
        if saved is not None and (checkpoint.taken_ns(saved) or 0) > after_ns:
            return
        time.sleep(0.1)
    raise AssertionError("the ring is not read up")


def _own_figures(state: Path) -> list[dict[str, float]]:
    with contextlib.closing(sqlite3.connect(state / "sbcwatch.sqlite")) as connection:
        bodies = connection.execute("SELECT body FROM rows WHERE kind='agent'").fetchall()
    return [figures for (body,) in bodies for figures in unpack(body)]


def _rss_mb(pid: int) -> float:
    """Of the daemon, which `ip netns exec` has become."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def test_flood_is_sent_faster_than_any_budget_and_shed(seen: Seen) -> None:
    assert seen.rate > 5 * Limits().sip_budget
    assert seen.sent - 6 * Limits().sip_budget * (SECONDS + 2) < seen.shed < seen.sent
    (line, *_) = [line for line in seen.log if line["cause"] == "flood"] or [{}]
    assert line.get("source", FLOODER) == FLOODER


def test_real_calls_keep_exact_numbers(seen: Seen) -> None:
    """Of attempts and answers the flood has its own: inbound ones of a remote address, never answered."""
    truth = dict(seen.truth)
    attempts = truth.pop("InboundCallAttempts")
    assert seen.totals["InboundCallAttempts"] >= attempts
    truth.pop("InboundCallFailures", None)
    assert {name: seen.totals[name] for name in truth} == truth


def test_memory_stays_within_its_bound_and_the_daemon_stops_well(seen: Seen) -> None:
    assert seen.rss_mb < Limits().max_memory_mb
    assert seen.status == 0
