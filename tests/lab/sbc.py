"""The SBC in the middle: kamailio for SIP and rtpengine for media."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .network import NET4, NET6, NG_RELAY, SIDES, Network, relay_address, vc_address
from .processes import LabError, Process, run, wait_until

HERE = Path(__file__).parent
MEDIA_PORTS = (30000, 39999)
NG = "127.0.0.1:2223"
MASK_IP = "192.0.2.99"  # stands in hidden Via and Contact headers, nobody has it
_MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules/", "/usr/lib/aarch64-linux-gnu/kamailio/modules/")


@dataclass(frozen=True)
class Logged:
    """One line of kamailio's log: `event` is invite, final, answer, cancel or bye; `at` is epoch seconds."""

    event: str
    at: float
    call_id: str
    from_user: str
    to_user: str
    status: int
    peer: str


def parse_log(text: str) -> list[Logged]:
    """The `LAB|...` lines in kamailio's log, in order; anything else is skipped."""
    found = []
    for match in re.finditer(r"LAB\|(.*)$", text, re.MULTILINE):
        fields = match[1].split("|")
        if len(fields) != 7:
            continue
        event, at, call_id, from_user, to_user, status, peer = fields
        found.append(Logged(event, float(at), call_id, from_user, to_user, int(status), peer))
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
    """Both programs, in the sbc namespace."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._folder = folder
        self._processes: list[Process] = []
        self.commands: list[str] = []

    def up(self) -> None:
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
        self.commands = [" ".join(process.command) for process in self._processes]
        for process in self._processes:
            if process.ended():
                raise_log(process)

    def down(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def log(self) -> list[Logged]:
        """What kamailio has logged about calls so far."""
        return parse_log((self._folder / "kamailio.log").read_text(encoding="utf-8", errors="replace"))

    def _listening(self) -> str:
        return run("ip", "netns", "exec", self._network["sbc"], "ss", "-Hlun")


def raise_log(process: Process) -> None:
    """Fail with the end of a program's log in the message."""
    raise LabError(f"{process.command[0]} ended: {process.text()[-600:].strip()}")
