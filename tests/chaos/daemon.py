"""The daemon under test: `python -m tests.chaos.daemon CONFIG CLOCK FD`, and the driver's handle on it.

It is the whole `Service`; only where frames and time come from is another, and its sinks wait in simulated
time.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from agent.config.load import load
from agent.daemon.service import Service
from agent.sinks.delivery import Delivery
from tests.chaos import feed
from tests.chaos.simtime import SimTime

ROOT = Path(__file__).parent.parent.parent


class Hurried(Service):
    """Sinks wait `hurry` times shorter than they say."""

    hurry = 1.0

    def _deliver(self, delivery: Delivery, over: threading.Event, before: Iterable[threading.Thread]) -> None:
        for thread in before:
            thread.join()
        delay = 0.0
        while not over.wait(min(1.0, max(0.002, delay / self.hurry)) if delay else 0):
            delay = delivery.deliver_once(self.clock.now_ns())
            for notice in delivery.take_notices():
                self._log.warning(delivery.sink.name, notice)


class Daemon:
    """A running daemon: frames go into `socket`, and it may be killed at any instant."""

    def __init__(
        self,
        config: Path,
        sim_path: Path,
        log: Path,
        environment: dict[str, str],
        module: tuple[str, ...] = ("tests.chaos.daemon",),
    ) -> None:
        """`module`: the program, and what it takes after the three arguments."""
        self.socket, far = feed.pair()
        program, *more = module
        command = [sys.executable, "-m", program, str(config), str(sim_path), str(far.fileno()), *more]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                pass_fds=[far.fileno()],
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        far.close()
        self.sent = 0  # messages

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.socket.close()

    def stop(self, timeout: float = 60.0) -> int:
        """SIGTERM; its exit status."""
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(timeout)
        self.socket.close()
        return status

    def send(self, message: bytes) -> bool:
        """False: its queue is full, or it is gone."""
        try:
            self.socket.send(message)
        except (BlockingIOError, ConnectionError, BrokenPipeError):
            return False
        self.sent += 1
        return True

    def wait_ready(self, sim: SimTime, starts: int, timeout: float = 300.0) -> None:
        """Until its source is read, after `starts` starts before."""
        deadline = time.monotonic() + timeout
        while sim.starts <= starts:
            if not self.alive or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon did not start: status {self._process.poll()}")
            time.sleep(0.005)

    def wait_done(self, sim: SimTime, timeout: float = 60.0) -> bool:
        """Until it is done with all that was sent. False: it died first."""
        deadline = time.monotonic() + timeout
        while sim.done < self.sent:
            if not self.alive:
                return False
            if time.monotonic() > deadline:
                raise RuntimeError("the daemon reads no more")
            time.sleep(0.0005)
        return True


def main() -> int:
    config_path, sim_path, descriptor = sys.argv[1:4]
    sim = SimTime(Path(sim_path))
    Hurried.hurry = float(os.environ.get("CHAOS_HURRY", "1"))
    source = feed.FedSource(socket.socket(fileno=int(descriptor)), sim)
    return Hurried(load(config_path), config_path, live=source, clock=sim.clock()).run()


if __name__ == "__main__":
    sys.exit(main())
