"""The lab: a running SBC between two networks, and a stage in it for every scenario."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from . import counters
from .network import (
    FIRST_HOST,
    INTERFACES,
    LAST_HOST,
    NET4,
    NET6,
    PREFIX,
    SIDES,
    Delay,
    Network,
    inside,
    relay_address,
    sweep,
    vc_address,
)
from .processes import LabError, Process, run, search_path, wait_until
from .sbc import Kind, Sbc
from .stage import Stage
from .truth import Truth

if TYPE_CHECKING:
    from .scenarios import Scenario

PROGRAMS = ("ip", "ethtool", "nft", "setpriv", "ss", "kamailio", "rtpengine", "sipp", "baresip", "tcpdump")
_SLOTS = (LAST_HOST - FIRST_HOST + 1) // 2  # a scenario may need two hosts a side (hunting, forking)


def why_not() -> str | None:
    """One line that says why the lab cannot run on this machine; None when it can."""
    if os.name != "posix" or not Path("/proc/self/ns/net").exists():
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if missing:
        return f"missing programs: {', '.join(missing)} (packages: tests/lab/packages.txt)"
    probe = Network()
    try:
        probe.up()
    except LabError as error:
        return f"no network namespaces or veth pairs here: {error}"
    finally:
        probe.down()
    return None


class Lab:
    """An SBC with kamailio and rtpengine, up between `with` and its end.

    Attributes: `sbc_namespace` (where sbcwatch has to run), `interfaces` there (customer side first),
    `vc_addresses`, `customer_networks`. Scenarios run one after another or, by `run_all`,
    at once.

    Raises:
        LabError: something did not start; `why_not` tells beforehand whether it can.
    """

    def __init__(
        self,
        delay: Delay | None = None,
        keep: Path | None = None,
        *,
        relay: bool = False,
        observer: bool = False,
        sbc: Kind = "proxy",
    ) -> None:
        """`relay`: rtpengine has a namespace of its own. `observer`: a namespace sees the frames of both."""
        self.delay = delay
        self._kind: Kind = sbc
        self.network = Network(delayed=delay is not None, relay=relay, observer=observer)
        self.interfaces = [INTERFACES[side] for side in SIDES]
        self.vc_addresses = [vc_address(side, version) for side in SIDES for version in (4, 6)]
        if relay:
            self.vc_addresses += [relay_address(side) for side in SIDES]
        self.customer_networks = [NET4["customer"] + "0/24", NET6["customer"] + "/64"]
        self.folder = keep or Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
        self._keep = keep is not None
        self._sbc: Sbc | None = None
        self._delay_box: Process | None = None
        self._slots = 0
        self._endpoint_commands: list[str] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ending = threading.Lock()  # close() may come from a second thread

    @property
    def sbc_namespace(self) -> str:
        return self.network["sbc"]

    def __enter__(self) -> Lab:
        sweep()
        # Endpoints run under user ids of their own and must reach their files here.
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        try:
            self.network.up()
            counters.set_up(self.network)
            if self.delay:
                self._delay_box = self._start_delay(self.delay)
            self._sbc = Sbc(self.network, self.folder, self._kind)
            self._sbc.up()
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything now; scenarios still playing in other threads fail. May be called again."""
        self._stopping.set()
        self._down()

    def inside_sbc(self) -> AbstractContextManager[None]:
        """Within it the calling thread is in the sbc namespace: its 127.0.0.1 is the sbc's."""
        return inside(self.sbc_namespace)

    def start_in_sbc(self, command: Sequence[str], log: Path) -> Process:
        """A program of the caller's in the sbc namespace; ends with the lab or with the calling thread."""
        return self.start_in("sbc", command, log)

    def start_in(self, name: str, command: Sequence[str], log: Path) -> Process:
        """The same in another namespace: `relay`, `customer`, `remote`."""
        return Process(self.network[name], command, log)

    def run(self, scenario: Scenario | str) -> Truth:
        """Play one scenario to its end and tell the truth about it.

        Raises:
            LabError: it did not go as meant, or needs another delay box or SBC than this lab has.
        """
        from .scenarios import SCENARIOS

        chosen = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        if (chosen.delay, chosen.sbc) != (self.delay, self._kind):
            raise LabError(f"{chosen.name} needs Lab(delay={chosen.delay}, sbc={chosen.sbc!r})")
        assert self._sbc is not None
        with self._lock:
            slot = self._slots % _SLOTS
            use = self._slots
            self._slots += 1
        with Stage(
            self.network, self._sbc, self.folder / f"{use}-{chosen.name}", slot, use, chosen, self._stopping
        ) as stage:
            try:
                chosen.play(stage)
            finally:
                self._endpoint_commands += stage.commands
            # The last RTCP packet and the last response follow the end of a call.
            stage.sleep(0.7)
            return stage.truth()

    def run_all(self, scenarios: Sequence[Scenario | str], at_once: int = 8) -> list[Truth]:
        """Play scenarios at once, each with its own endpoints and counters; truths in the order given."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self.run, scenarios))

    def commands(self) -> list[str]:
        """How the SBC's programs and the endpoints were started."""
        return (self._sbc.commands if self._sbc else []) + self._endpoint_commands

    def _start_delay(self, delay: Delay) -> Process:
        command = [sys.executable, str(Path(__file__).with_name("delaybox.py")), "outer", "inner"]
        command += [
            "--delay-ms",
            str(delay.delay_ms),
            "--jitter-ms",
            str(delay.jitter_ms),
            "--seed",
            str(delay.seed),
        ]
        command += ["--duplicate", str(delay.duplicate_ratio)] + ([] if delay.keep_order else ["--reorder"])
        box = Process(self.network["delay"], command, self.folder / "delaybox.log")
        wait_until(lambda: "forwarding" in box.text() or box.ended(), "the delay box", 5)
        return box

    def _down(self) -> None:
        with self._ending:
            self._end()

    def _end(self) -> None:
        if self._sbc:
            self._sbc.down()
        if self._delay_box:
            self._delay_box.stop()
        self.network.down()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def versions() -> dict[str, str]:
    """The Debian packages that this lab runs, with their versions."""
    names = ("kamailio", "rtpengine-daemon", "sip-tester", "baresip-core", "nftables", "tcpdump", "iproute2")
    listed = run("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names)
    found = dict(line.split(" ", 1) for line in listed.splitlines())
    return {**found, "python": platform.python_version(), "linux": os.uname().release}
