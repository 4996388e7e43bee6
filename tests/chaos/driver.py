"""Calls are placed, faults are drawn, the daemon is killed and started again; the ledger keeps the truth."""

from __future__ import annotations

import contextlib
import heapq
import json
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from agent.daemon import checkpoint
from agent.store import Store
from agent.wire.frame import CaptureDrop
from tests.chaos import calls, feed
from tests.chaos.calls import Placed
from tests.chaos.daemon import Daemon
from tests.chaos.judge import CONNECTOR, Union
from tests.chaos.ledger import Ledger
from tests.chaos.simtime import SimTime

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
SPEED = 10.0
TICK_S = 0.01
SINK_FAULTS = (
    "throttle", "500", "503", "expired_token", "denied", "skew", "hang", "reset", "reset_mid_response",
    "lost",
)  # fmt: skip
OUTAGES = ("throttle", "500", "503", "expired_token", "denied", "skew", "reset")
SINKS = ("cloudwatch", "logs_media", "logs_sip")
CONFIG = """
[[connectors]]
id = "{connector}"
region = "eu-lab-1"
customer_networks = ["10.10.0.0/24", "fd00:10::/64"]
default = true
[vc]
addresses = ["10.10.0.1", "fd00:10::1", "10.20.0.1", "fd00:20::1"]
[store]
directory = "{state}"
[cloudwatch]
enabled = true
region = "us-east-1"
interval = 5.0
[logs]
enabled = true
[prometheus]
enabled = false
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Run:
    """One run. `rate` calls a simulated second are placed while `placing`."""

    def __init__(self, seed: int, folder: Path, *, rate: float = 0.25) -> None:
        self.draw = random.Random(seed)
        self.rate = rate
        self.templates: tuple[str, ...] = calls.SPOKEN + calls.UNSPOKEN
        self.placing = True
        self.state = folder / "state"
        self.state.mkdir()
        self.config = folder / "sbcwatch.toml"
        self.config.write_text(CONFIG.format(connector=CONNECTOR, state=self.state))
        self._sim_path = folder / "clock"
        self.sim = SimTime(self._sim_path, create=True)
        self.aws = Union(now=lambda: self.sim.boottime_ns() / 1e9)
        self.ledger = Ledger()
        self.log = folder / "daemon.log"
        self.daemon: Daemon | None = None
        self.ready = False
        self.down = False  # the interface
        self.did: Counter[str] = Counter()
        self._under_way: list[tuple[int, int, Placed]] = []
        self._next_call_ns = self.sim.boottime_ns()
        self._placed = 0
        self._unsent = 0  # frames that the queue had no room for
        self._sent_ns = self.sim.boottime_ns()
        self._starts = 0
        self.gaps: list[str] = []  # what the store itself says is missing, at the end
        self.refused = 0  # records that were sent in vain

    # -- the daemon

    def start(self, *, wait: bool = True) -> None:
        environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.aws.endpoint_url, "CHAOS_HURRY": str(SPEED)}
        self._starts = self.sim.starts
        self.daemon = Daemon(self.config, self._sim_path, self.log, environment)
        self.ready = False
        if wait:
            self.await_ready()

    def await_ready(self) -> None:
        """Time stands still meanwhile."""
        assert self.daemon is not None
        speed = self.sim.speed
        self.sim.run(0)
        try:
            self.daemon.wait_ready(self.sim, self._starts)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.log.read_text()[-3000:]}") from None
        self.ready = True
        self._unsent = 0
        self._sent_ns = self.sim.boottime_ns()
        self.sim.run(speed)

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self._gone()
        self.did["kills"] += 1

    def stop(self) -> int:
        """SIGTERM."""
        assert self.daemon is not None
        status = self.daemon.stop()
        self._gone()
        return status

    def _gone(self) -> None:
        self.ready, self.daemon = False, None
        saved_ns = self._saved_ns()
        if saved_ns is None:
            self.forget()
        else:
            self.did["frames lost by kills"] += self.ledger.killed(saved_ns)

    def _saved_ns(self) -> int | None:
        """Simulated time of the newest checkpoint on disk."""
        with tempfile.TemporaryDirectory() as copy:
            for file in self.state.glob("sbcwatch.sqlite*"):
                shutil.copy(file, copy)
            path = Path(copy) / "sbcwatch.sqlite"
            if not path.exists():
                return None
            with contextlib.closing(sqlite3.connect(path)) as connection, contextlib.suppress(sqlite3.Error):
                found = connection.execute("SELECT body FROM checkpoint").fetchone()
                if found is not None:
                    with contextlib.suppress(checkpoint.Unreadable):
                        stamp_ns = checkpoint.taken_ns(found[0])
                        return None if stamp_ns is None else self._simulated(stamp_ns)
        return None

    def _simulated(self, stamp_ns: int) -> int:
        """A stamp of the wall clock, which stood an hour off either way at most."""
        now_ns = self.sim.boottime_ns()
        return min(
            (stamp_ns - step for step in (0, HOUR_NS, -HOUR_NS)), key=lambda at_ns: abs(now_ns + 1 - at_ns)
        )

    def forget(self) -> None:
        """No checkpoint can be read: of the open minute and of calls nothing is left."""
        alive = [call for _, _, call in self._under_way]
        recent_ns = self.sim.boottime_ns() - 3 * MINUTE_NS
        ended = [call for call in self.ledger.calls[-200:] if call.begin_ns > recent_ns]
        self.ledger.forgotten(recent_ns, alive + ended)

    def truncate_checkpoint(self) -> None:
        with contextlib.closing(sqlite3.connect(self.state / "sbcwatch.sqlite")) as connection:
            connection.execute("UPDATE checkpoint SET body = substr(body, 1, length(body) / 2)")
            connection.commit()
        self.forget()

    # -- the wire

    def tick(self) -> None:
        """What is on the wire by now passes; the daemon is told the time."""
        now_ns = self.sim.boottime_ns()
        self._place(now_ns)
        stamp_ns, frames, size = self.sim.step_ns, [], 0
        passed: list[tuple[int, Placed, calls.Frame]] = []
        while self._under_way and self._under_way[0][0] <= now_ns:
            at_ns, number, call = self._under_way[0]
            data, frame = call.frame()
            if frame.sip:
                call_id = data.split(b"Call-ID: ", 1)[1].split(b"\r\n", 1)[0].strip().decode()
                self.ledger.messages[call_id] += 1
            if call.over:
                heapq.heappop(self._under_way)
            else:
                heapq.heapreplace(self._under_way, (call.due_ns, number, call))
            passed.append((at_ns, call, frame))
            frames.append((at_ns + stamp_ns, data, frame.origin))
            size += len(data) + 40
            if size > feed.MAX_MESSAGE - 5000:
                self._hand_over(at_ns, frames, passed)
                frames, passed, size = [], [], 0
        self._hand_over(now_ns, frames, passed)

    def _hand_over(
        self,
        now_ns: int,
        frames: list[tuple[int, bytes, int]],
        passed: list[tuple[int, Placed, calls.Frame]],
    ) -> None:
        seen = False
        if self.daemon is not None and self.ready:
            loss = None
            if self._unsent and not self.down:
                step_ns = self.sim.step_ns
                loss = CaptureDrop(self._sent_ns + step_ns, now_ns + step_ns, self._unsent)
            if self.down:
                seen = False
                self.daemon.send(feed.encode(now_ns + self.sim.step_ns, []))
            else:
                seen = self.daemon.send(feed.encode(now_ns + self.sim.step_ns, frames, loss))
                if seen:
                    self._unsent, self._sent_ns = 0, now_ns
                else:
                    self._unsent += len(frames)
        for at_ns, call, frame in passed:
            self.ledger.frame(at_ns, call, frame, seen)

    def _place(self, now_ns: int) -> None:
        while self.placing and self._next_call_ns <= now_ns:
            self.call(self.draw.choice(self.templates), self._next_call_ns)
            self._next_call_ns += int(self.draw.expovariate(self.rate) * SECOND_NS)

    def call(self, name: str, begin_ns: int | None = None) -> None:
        """Place a call of a lab scenario, now if not said otherwise."""
        self._placed += 1
        call = calls.place(self._placed, calls.template(name), begin_ns or self.sim.boottime_ns())
        self.ledger.calls.append(call)
        heapq.heappush(self._under_way, (call.due_ns, call.number, call))

    @property
    def calls_up(self) -> int:
        return len(self._under_way)

    # -- time

    def watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """So many simulated seconds pass, at SPEED."""
        self.sim.run(SPEED)
        end_ns = self.sim.boottime_ns() + int(seconds * SECOND_NS)
        while self.sim.boottime_ns() < end_ns and not until():
            self.tick()
            time.sleep(TICK_S)
        self.sim.run(0)

    def leap(self, seconds: float, step_s: float = 5.0) -> None:
        """So many simulated seconds pass as fast as the daemon can follow."""
        assert self.daemon is not None
        self.sim.run(0)
        for _ in range(int(seconds / step_s)):
            self.sim.advance(int(step_s * SECOND_NS))
            self.tick()
            if not self.daemon.wait_done(self.sim):
                raise RuntimeError("the daemon ended by itself:\n" + self.log.read_text()[-3000:])

    def settle(self) -> None:
        """Until the daemon is done with everything, time standing still."""
        assert self.daemon is not None
        self.sim.run(0)
        self.daemon.wait_done(self.sim)

    # -- faults

    def interface_down(self, seconds: float) -> None:
        self.did["interface down"] += 1
        began_ns = self.sim.boottime_ns()
        self.down = True
        self.watch(seconds)
        self.down = False
        if self.daemon is not None and self.ready:
            self.settle()
            now_ns, step_ns = self.sim.boottime_ns(), self.sim.step_ns
            self.daemon.send(
                feed.encode(now_ns + step_ns, [], CaptureDrop(began_ns + step_ns, now_ns + step_ns, None))
            )
            self._unsent, self._sent_ns = 0, now_ns

    def stopped(self, seconds: float) -> None:
        """SIGSTOP; what its queue cannot hold is dropped and counted, as a ring does."""
        assert self.daemon is not None
        self.did["SIGSTOP"] += 1
        self.daemon.signal(signal.SIGSTOP)
        self.watch(seconds)
        self.daemon.signal(signal.SIGCONT)

    def set_clock(self) -> None:
        self.did["clock set"] += 1
        self.settle()
        self.sim.set_step(0 if self.sim.step_ns else self.draw.choice((HOUR_NS, -HOUR_NS)))
        self.sim.advance(1_000_000)
        self.tick()
        self.settle()

    def reload(self) -> None:
        assert self.daemon is not None
        good = self.draw.random() < 0.5
        self.did["reloads"] += 1
        text = self.config.read_text()
        if not good:
            self.config.write_text(text + "\n[nonsense]\n")
        self.daemon.signal(signal.SIGHUP)
        self.watch(2.0)
        self.config.write_text(text)

    def disk_full(self, seconds: float) -> None:
        """No file of the daemon may grow beyond what they are now."""
        assert self.daemon is not None
        self.did["disk full"] += 1
        largest = max(file.stat().st_size for file in (*self.state.iterdir(), self.log))
        pid = self.daemon.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, hard))
        self.watch(seconds)
        if self.draw.random() < 0.5:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    def sink_fault(self) -> None:
        kind = self.draw.choice(SINK_FAULTS)
        self.did[f"sink {kind}"] += 1
        self.aws.fail(kind, times=self.draw.randrange(1, 4))
        if kind == "hang":
            self.aws.released.clear()
            threading.Timer(0.5, self.aws.released.set).start()

    def outage(self, hours: float) -> None:
        """AWS takes nothing for so long: each way of refusing has its share."""
        self.did["outage hours"] += round(hours)
        before, self.templates = self.templates, calls.UNSPOKEN[:4]
        rate, self.rate = self.rate, 1 / 60
        for kind in OUTAGES:
            self.aws.heal()
            self.aws.fail(kind, times=None)
            self.leap(hours * 3600 / len(OUTAGES), 15.0)
            self._written()
        self.aws.heal()
        self.templates, self.rate = before, rate

    def _written(self) -> None:
        """Until the disk has kept up: a day of minutes in seconds is more than any daemon has to write."""
        deadline = time.monotonic() + 120
        while (self._saved_ns() or 0) < self.sim.boottime_ns() - 40 * SECOND_NS:
            assert time.monotonic() < deadline, "the disk does not keep up"
            self.leap(5.0)
            time.sleep(0.05)

    # -- the end

    def finish(self) -> int:
        """Calls end, minutes close, sinks deliver; the store's `maybe_duplicate`."""
        self.placing = False
        self.aws.heal()
        if self.daemon is None:
            self.start()
        self.watch(150.0, until=lambda: not self.calls_up)
        assert not self.calls_up
        self.leap(240.0)
        depth = self._depth()
        deadline = time.monotonic() + 120
        while depth and time.monotonic() < deadline:
            self.leap(30.0)
            time.sleep(0.2)
            depth = self._depth()
        status = self.stop()
        assert status == 0, self.log.read_text()[-3000:]
        store = Store(self.state / "sbcwatch.sqlite", read_only=True)
        totals = {sink: store.outbox.totals(sink) for sink in SINKS}
        self.gaps = [
            f"{gap.kind} {gap.sink}: {gap.records} records: {gap.why}" for gap in store.gaps(0, 1 << 62)
        ]
        store.close()
        self.refused = sum(its.get("quarantined", 0) + its.get("dropped", 0) for its in totals.values())
        return sum(its.get("maybe_duplicate", 0) for its in totals.values())

    def _depth(self) -> int:
        store = Store(self.state / "sbcwatch.sqlite", read_only=True)
        try:
            return sum(store.outbox.depth(sink)[0] for sink in SINKS)
        finally:
            store.close()

    def log_lines(self) -> list[dict[str, object]]:
        lines = [line[3:] if line.startswith("<") else line for line in self.log.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]
