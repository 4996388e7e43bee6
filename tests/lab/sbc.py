"""The SBC in the middle: kamailio for SIP and rtpengine for media, or a B2BUA that does both."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .network import NET4, NET6, NG_RELAY, SIDES, Network, relay_address, vc_address
from .processes import LabError, Process, run, wait_until

Kind = Literal["proxy", "b2bua"]
HERE = Path(__file__).parent
MEDIA_PORTS = (30000, 39999)
NG = "127.0.0.1:2223"
MASK_IP = "192.0.2.99"  # stands in hidden Via and Contact headers, nobody has it
_MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules/", "/usr/lib/aarch64-linux-gnu/kamailio/modules/")


@dataclass(frozen=True)
class Logged:
    """One line of the SBC's log: `event` is invite, final, answer, cancel or bye; `at` is epoch seconds.

    A B2BUA also logs `leg`, with the Call-ID of a further dialog that it gave to the call, and `media`, whose
    status is its RTP port towards the peer.
    """

    event: str
    at: float
    call_id: str
    from_user: str
    to_user: str
    status: int
    peer: str
    leg: str = ""


def parse_log(text: str) -> list[Logged]:
    """The `LAB|...` lines in the SBC's log, in order; anything else is skipped."""
    found = []
    for match in re.finditer(r"LAB\|(.*)$", text, re.MULTILINE):
        fields = match[1].split("|")
        if len(fields) not in (7, 8):
            continue
        event, at, call_id, from_user, to_user, status, peer, *leg = fields
        found.append(Logged(event, float(at), call_id, from_user, to_user, int(status), peer, *leg))
    return found


def kamailio_config(ng: str = NG) -> str:
    """kamailio.cfg with the lab's addresses in it; `ng`: where rtpengine is asked."""
    modules = next((path for path in _MODULES if Path(path).is_dir()), _MODULES[0])
    listen = []
    for side in SIDES:
        listen.append(f"listen=udp:{vc_address(side)}:5060")
        listen.append(f"listen=udp:[{vc_address(side, 6)}]:5060")
    values = {
        "LISTEN": "\n".join(listen),
        "MODULES": modules,
        "MASK_KEY": "a lab has no secrets",
        "MASK_IP": MASK_IP,
        "NG": ng,
        "CUST4": vc_address("customer"),
        "REM4": vc_address("remote"),
        "CUST6": vc_address("customer", 6),
        "REM6": vc_address("remote", 6),
        "CUST_NET4": NET4["customer"],
        "REM_NET4": NET4["remote"],
        "CUST_NET6": NET6["customer"],
        "REM_NET6": NET6["remote"],
    }
    text = (HERE / "kamailio.cfg").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


class Sbc:
    """The SBC's programs, in the sbc namespace: kamailio and rtpengine, or the lab's own B2BUA."""

    def __init__(self, network: Network, folder: Path, kind: Kind = "proxy") -> None:
        self._network = network
        self._folder = folder
        self._kind = kind
        self._processes: list[Process] = []  # the last one logs the calls
        self.commands: list[str] = []

    def up(self) -> None:
        if self._kind == "proxy":
            self._start_proxy()
        else:
            self._start_b2bua()
        self.commands = [" ".join(process.command) for process in self._processes]
        for process in self._processes:
            if process.ended():
                raise_log(process)

    def _start_b2bua(self) -> None:
        command = [sys.executable, "-m", "tests.lab.b2bua", *(vc_address(side) for side in SIDES)]
        b2bua = Process(self._network["sbc"], command, self._folder / "b2bua.log", cwd=HERE.parents[1])
        self._processes.append(b2bua)
        wait_until(lambda: "ready" in b2bua.text() or b2bua.ended(), "the B2BUA to listen", 10)

    def _start_proxy(self) -> None:
        namespace = self._network["sbc"]
        is_apart = "relay" in self._network.namespaces
        ng = f"{NG_RELAY}:2223" if is_apart else NG
        interfaces = []
        for short, side in (("cust", SIDES[0]), ("rem", SIDES[1])):
            if is_apart:
                interfaces.append(f"--interface={short}/{relay_address(side)}")
                continue
            interfaces += [
                f"--interface={short}/{vc_address(side)}",
                f"--interface={short}/{vc_address(side, 6)}",
            ]
        rtpengine = Process(
            self._network["relay"] if is_apart else namespace,
            [
                "rtpengine",
                "--config-file=none",
                "--foreground",
                "--log-stderr",
                "--log-level=6",
                "--table=-1",  # forwarding in user space
                *interfaces,
                f"--listen-ng={ng}",
                f"--port-min={MEDIA_PORTS[0]}",
                f"--port-max={MEDIA_PORTS[1]}",
                "--num-threads=2",
            ],
            self._folder / "rtpengine.log",
        )
        self._processes.append(rtpengine)
        # rtpengine first: kamailio pings it once at start and believes it dead for a minute otherwise.
        wait_until(lambda: "Startup complete" in rtpengine.text() or rtpengine.ended(), "rtpengine", 5)
        config = self._folder / "kamailio.cfg"
        config.write_text(kamailio_config(ng), encoding="utf-8")
        kamailio = Process(
            namespace,
            ["kamailio", "-DD", "-E", "-f", str(config), "-Y", str(self._folder), "-m", "32", "-M", "4"],
            self._folder / "kamailio.log",
        )
        self._processes.append(kamailio)
        wait_until(
            lambda: f"{vc_address('remote')}:5060" in self._listening() or kamailio.ended(),
            "kamailio to listen",
            10,
        )

    def down(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def log(self) -> list[Logged]:
        """What the SBC has logged about calls so far."""
        return parse_log(self._processes[-1].text())

    def _listening(self) -> str:
        return run("ip", "netns", "exec", self._network["sbc"], "ss", "-Hlun")


def raise_log(process: Process) -> None:
    """Fail with the end of a program's log in the message."""
    raise LabError(f"{process.command[0]} ended: {process.text()[-600:].strip()}")
