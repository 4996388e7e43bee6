"""A fleet of daemons: processes of their own in simulated time, with a real board between them.

`python -m tests.fleet.daemons CONFIG CLOCK FD SIGNS` is one of them. Time stands still while claims travel,
so what each daemon sees, and when, is the same in every run.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config.load import load
from agent.daemon.board_link import BoardLink
from agent.pipeline import Pipeline
from agent.wire.frame import EMPTY, Frame, batch_of
from tests.chaos import daemon as chaos
from tests.chaos import feed
from tests.chaos.simtime import BEGIN_NS, SimTime
from tests.kit.board_server import Server
from tests.kit.fleet_host import archived, configuration

SECOND_NS = 10**9
KINDS = ("media", "calls", "sip", "metrics")
BOARD = """
media_addresses = {media}
board = "{url}"
board_user = "host"
board_password_file = "{password}"
"""


class Told(BoardLink):
    """A link that writes down where it is, after each step of the main thread."""

    signs = Path()

    def step(self, pipeline: Pipeline) -> None:
        super().step(pipeline)
        said = {
            "waiting": len(self.board._out) + len(self.board._asked) + len(self.board._answers),
            "last": dict(pipeline.engine.claims.last),
            "missed": self.board.missed,
            "gaps": self.board.gaps,
            "now_ns": pipeline.engine.clock.now_ns or 0,
        }
        fresh = self.signs.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        fresh.rename(self.signs)


@dataclass
class Host:
    """One host of the fleet. `sees`: whether a frame passes there."""

    name: str
    folder: Path
    sees: Callable[[Frame], bool]
    now_ns: Callable[[], int]
    media: list[str] | None = None  # its own addresses for media; None: it has no board
    ahead_ns: int = 0  # of its clock
    environment: dict[str, str] = field(default_factory=dict)
    daemon: chaos.Daemon | None = None
    fed_ns: int = 0  # the time that this daemon was told last, by its clock

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.config = self.folder / "sbcwatch.toml"
        self.signs = self.folder / "signs"
        self._sim_path = self.folder / "clock"
        self.sim = SimTime(self._sim_path, create=True)
        self.sim.set_step(self.ahead_ns)

    def start(self) -> None:
        starts, self.fed_ns = self.sim.starts, 0
        self.signs.unlink(missing_ok=True)
        self.sim.advance(self.now_ns() - self.sim.boottime_ns())
        self.daemon = chaos.Daemon(
            self.config,
            self._sim_path,
            self.folder / "log",
            self.environment,
            module=("tests.fleet.daemons", str(self.signs)),
        )
        try:
            self.daemon.wait_ready(self.sim, starts)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.log()[-3000:]}") from None

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon = None

    def stop(self) -> None:
        assert self.daemon is not None
        assert self.daemon.stop() == 0, self.log()[-3000:]
        self.daemon = None

    def feed(self, now_ns: int, frames: list[Frame]) -> None:
        """Frames pass, and time: they are nobody's where no daemon runs."""
        if self.daemon is None:
            return
        self.sim.advance(now_ns - self.sim.boottime_ns())
        self.fed_ns = now_ns + self.ahead_ns
        seen = shifted(filter(self.sees, frames), self.ahead_ns)
        while not self.daemon.send(feed.message(self.fed_ns, batch_of(seen) if seen else EMPTY)):
            self.settle()

    def settle(self) -> None:
        if self.daemon is not None and not self.daemon.wait_done(self.sim):
            raise RuntimeError(f"{self.name} ended by itself:\n{self.log()[-3000:]}")

    def said(self) -> dict[str, Any]:
        """What the link wrote last; empty before its first step, and without a board."""
        try:
            found: dict[str, Any] = json.loads(self.signs.read_text())
        except FileNotFoundError:
            return {}
        return found

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def lines(self, cause: str) -> list[str]:
        """The texts of the log's lines of one cause."""
        found = []
        for line in self.log().splitlines():
            text = line[3:] if line.startswith("<") else line
            if text.startswith("{") and (row := json.loads(text))["cause"] == cause:
                found.append(row["text"])
        return found

    def archived(self, kind: str) -> list[dict[str, Any]]:
        return archived(self.folder, kind)


class Fleet:
    """Hosts with one clock, and the server of their board."""

    def __init__(self, folder: Path, vc: list[str], customers: list[str], server: Server) -> None:
        self.now_ns = BEGIN_NS
        self.hosts: dict[str, Host] = {}
        self._folder, self._vc, self._customers, self._server = folder, vc, customers, server
        self._key = folder / "keys" / "fleet"
        self._key.parent.mkdir(exist_ok=True)
        self._key.write_text("a key that all hosts of the fleet share, and no other")

    def add(
        self,
        name: str,
        sees: Callable[[Frame], bool],
        media: list[str] | None = None,
        more: str = "",
        ahead_s: int = 0,
    ) -> Host:
        """A host, started. `more`: lines of its configuration."""
        ahead_ns = ahead_s * SECOND_NS
        host = Host(name, self._folder / name, sees, lambda: self.now_ns, media, ahead_ns)
        self.hosts[name] = host
        text = configuration(host.folder, name, self._key, vc=self._vc, customers=self._customers)
        if media is not None:
            password = self._server.folder / "password"
            text += BOARD.format(media=json.dumps(media), url=self._server.url, password=password)
        host.config.write_text(f"{text}[prometheus]\nenabled = false\n{more}")
        host.start()
        return host

    def play(self, frames: Iterable[Frame], until_ns: int | None = None) -> None:
        """Frames pass at their stamps, up to `until_ns`; claims have arrived before the next one passes."""
        run: list[Frame] = []
        for frame in frames:
            if until_ns is not None and frame.stamp_ns > until_ns:
                break
            run.append(frame)
            if b"SIP/2.0" in frame.data or len(run) >= 50:
                self.pass_on(run)
                run = []
        self.pass_on(run)

    def pass_on(self, run: list[Frame]) -> None:
        if run:
            self.now_ns = max(self.now_ns, run[-1].stamp_ns)
            self._feed(run)

    def wait(self, seconds: float, step_s: float = 5.0) -> None:
        """So much time passes without a frame."""
        for _ in range(round(seconds / step_s)):
            self.now_ns += round(step_s * SECOND_NS)
            self._feed([])

    def _feed(self, frames: list[Frame]) -> None:
        for host in self.hosts.values():
            host.feed(self.now_ns, frames)
        for host in self.hosts.values():
            host.settle()
        self.exchange()

    def exchange(self, timeout_s: float = 20.0) -> None:
        """Until all that is to be told is told and taken, where the server is there."""
        deadline = time.monotonic() + timeout_s
        while not self._is_quiet():
            assert time.monotonic() < deadline, {name: host.said() for name, host in self.hosts.items()}
            time.sleep(0.004)

    def _is_quiet(self) -> bool:
        if not self._server.is_up:
            return True
        entries = self._server.entries()
        for host in self.hosts.values():
            if host.daemon is None or host.media is None:
                continue
            said = host.said()
            if not said or said["waiting"] or said["now_ns"] < host.fed_ns:
                return False
            if any(said["last"].get(relay) != id_ for relay, id_ in entries.items() if relay in host.media):
                return False
        return True

    def finish(self) -> None:
        """Calls lapse, minutes close, sinks deliver."""
        self.wait(240.0)
        for host in self.hosts.values():
            if host.daemon is not None:
                host.stop()

    def end(self) -> None:
        for host in self.hosts.values():
            if host.daemon is not None:
                host.kill()


def shifted(frames: Iterable[Frame], by_ns: int) -> list[Frame]:
    return [Frame(each.data, each.stamp_ns + by_ns, each.origin, each.wire_length) for each in frames]


def main() -> int:
    config_path, sim_path, descriptor, signs = sys.argv[1:5]
    sim = SimTime(Path(sim_path))
    chaos.Hurried.hurry = 10_000.0  # sinks deliver at once
    source = feed.FedSource(socket.socket(fileno=int(descriptor)), sim, timeout_s=0.01)
    service = chaos.Hurried(load(config_path), config_path, live=source, clock=sim.clock())
    if service.board is not None:
        Told.signs = Path(signs)
        service.board.__class__ = Told
    return service.run()


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
