"""The live rig: `sbcwatch run` on two interfaces, real calls on one, a flood on the other, or a stall.

    python -m tests.lab.floods [KIND ...] [--rate N] [--seconds S] [--json]

As root, with a C compiler. Prints a row a flood (`tests/lab/flood_kinds.py`) and a stall (`stall-8`: SIGSTOP
for 8 s): how many calls are exact to the packet, what was dropped or left out and told, memory, CPU, and
whether the books are closed: each frame that came to an interface was read, or is told as dropped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.store import Store
from agent.store.codec import unpack
from tests.chaos import calls
from tests.kit.cgroup import bounded
from tests.kit.privileges import hindrance
from tests.kit.replayed import sidecar
from tests.lab.flood_kinds import KINDS, Pair
from tests.lab.network import inside

ROOT = Path(__file__).parents[2]
CALLS, APART_NS = 12, 200_000_000
TEMPLATES = ("short-inbound", "short-outbound")
STALLS = (1, 3, 8, 30)
AWAY_S = 2.5  # how long an interface is gone; the daemon looks for it every second
PEER_PORT = 6000  # where the lab's peers take media
USERS = (b"2079460110", b"2065550110")  # who calls whom there
# Floods of a daemon in a control group: how it is told, the flood, the bounds.
BOUNDED: dict[str, tuple[str, str, dict[str, int]]] = {
    "quota": ("INVITEs of one source, the daemon held to 20 % of a core", "one-source", {"cpu_percent": 20}),
    "memory": ("INVITEs of 59 kB, 28 m-lines, memory held to 576 MB", "large-sdp", {"memory_mb": 576}),
}
TOLD = {
    "link": "an interface goes and returns, with evidence",
    **{kind: words for kind, (words, *_) in KINDS.items()},
    **{kind: words for kind, (words, *_) in BOUNDED.items()},
}
RATE, RATE_LARGE = 20_000, 500  # frames a second of a flood, and of one whose frames are 60 kB
VC = sidecar(TEMPLATES[0])["vc"]
CONFIG = """
[vc]
addresses = ["10.10.0.1", "10.20.0.1"]
[customers]
networks = ["10.10.0.0/24"]
[capture]
interfaces = ["calls1", "flood1"]
[store]
directory = "{state}"
checkpoint = 2.0
"""


# Each call's MOS is below 5, so each is kept.
EVIDENCE = """
[evidence]
enabled = true
mos_below = 5.0
"""


@dataclass
class Run:
    """What one flood or stall came to."""

    kind: str
    calls: int = CALLS
    exact: int = 0
    wrong: list[str] = field(default_factory=list)  # calls that are not exact, and how
    flood_sent: int = 0
    flood_rate: float = 0.0  # frames a second
    sent: int = 0  # frames that came to the interfaces
    read: int = 0
    dropped: int = 0  # frames that the ring had no room for, as the minutes say
    left_out: dict[str, int] = field(default_factory=dict)  # told causes, with their frames or messages
    refused: dict[str, int] = field(default_factory=dict)  # frames by the reason of their refusal
    values: dict[str, int] = field(default_factory=dict)  # the minutes' counts
    rss_mb: float = 0.0
    cpu_percent: float = 0.0
    status: int | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    throttled: int = 0  # periods of 100 ms in which its quota of CPU time was used up
    group_mb: float = 0.0  # the most memory of its control group, with the page cache
    evidence: int = 0  # bytes of packets kept for evidence

    @property
    def is_closed(self) -> bool:
        """Whether sent = read + dropped."""
        return self.sent == self.read + self.dropped


# -- the wire


@contextlib.contextmanager
def wires() -> Iterator[tuple[str, str]]:
    """Two namespaces with a pair for the calls and one for the flood, whose frames may be 64 kB."""
    far, near = f"floods-far-{os.getpid()}", f"floods-near-{os.getpid()}"
    names = []
    try:
        for name in (far, near):
            _ip("netns", "add", name)
            names.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
            setting = "net.ipv6.conf.default.disable_ipv6=1"  # neighbour discovery is frames that nobody sent
            subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", setting], check=True)
        for pair in ("calls", "flood"):
            _connect(far, near, pair)
        # The vc is this host: what it sends leaves here. The calls' MAC addresses are no interface's, so the
        # kernel answers nothing.
        for address in (address for address in VC if ":" not in address):
            _ip("-n", near, "address", "add", f"{address}/32", "dev", "calls1")
        yield far, near
    finally:
        for name in names:
            _ip("netns", "del", name)


def _connect(far: str, near: str, pair: str) -> None:
    peer = ["peer", "name", f"{pair}1", "netns", near]
    _ip("-n", far, "link", "add", f"{pair}0", "type", "veth", *peer)
    for name, device in ((far, f"{pair}0"), (near, f"{pair}1")):
        _ip("-n", name, "link", "set", device, "mtu", "65535", "up")


def _away_and_back(far: str, near: str) -> None:
    """The flood's interface goes, and one of its name comes in its place."""
    _ip("-n", far, "link", "del", "flood0")
    time.sleep(AWAY_S)
    _connect(far, near, "flood")
    time.sleep(AWAY_S)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def frames_at(namespace: str) -> int:
    """Frames that the kernel has counted on both interfaces, in and out."""
    listed = subprocess.check_output(["ip", "-n", namespace, "-j", "-s", "link"], text=True)
    return sum(
        each["stats64"][way]["packets"]
        for each in json.loads(listed)
        if each["ifname"] in ("calls1", "flood1")
        for way in ("rx", "tx")
    )


class Player:
    """Calls of the lab at their own pace: what peers send comes from afar, what the vc sends leaves here."""

    def __init__(self, far: str, near: str) -> None:
        begin_ns = time.monotonic_ns() + 300_000_000
        self.placed = [
            calls.place(number, calls.template(TEMPLATES[number % 2]), begin_ns + number * APART_NS)
            for number in range(CALLS)
        ]
        self._wires = []
        for namespace, name in ((far, "calls0"), (near, "calls1")):
            with inside(namespace):
                wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                wire.bind((name, 0))
                self._wires.append(wire)

    def sockets(self) -> list[Pair]:
        """Media sockets of all calls: (peer, vc)."""
        found: dict[Pair, None] = {}
        for call in self.placed:
            for one in call.template.frames:
                if one.sip or one.port_at == 34:  # where it stands first the vc is the source
                    continue
                (source, port), (target, vc_port) = _ends(one.data)
                vc_port += call.port - calls.VC_PORTS.start
                found[(source, port + 2 * call.number), (target, vc_port)] = None
        return list(found)

    def play(self) -> None:
        while under_way := [call for call in self.placed if not call.over]:
            call = min(under_way, key=lambda one: one.due_ns)
            time.sleep(max(0, call.due_ns - time.monotonic_ns()) / 1e9)
            data = _as_its_own(*call.frame(), call.number)
            away = _ends(data)[0][0] in VC
            self._wires[away].send(data.ljust(14 + int.from_bytes(data[16:18]), b"\0"))
        for wire in self._wires:
            wire.close()


def _as_its_own(data: bytes, frame: calls.Frame, number: int) -> bytes:
    """The frame with a media port and numbers of this call's own: the lab's calls share them."""
    if frame.sip:
        data = data.replace(b"m=audio %d " % PEER_PORT, b"m=audio %d " % (PEER_PORT + 2 * number))
        for user in USERS:
            data = data.replace(user, b"%s%02d" % (user[:-2], number))
        return data
    at = 70 - frame.port_at  # 34 or 36: the port that is not the vc's
    port = int.from_bytes(data[at : at + 2]) + 2 * number
    return data[:at] + port.to_bytes(2) + data[at + 2 :]


def _ends(data: bytes) -> Pair:
    source, target = (".".join(map(str, data[at : at + 4])) for at in (26, 30))
    return (source, int.from_bytes(data[34:36])), (target, int.from_bytes(data[36:38]))


# -- one run


def run(kind: str, folder: Path, *, seconds: float = 10.0, rate: float | None = None) -> Run:
    """The daemon under a flood of `KINDS` or `BOUNDED`, under none (`nothing`), or stopped (`stall-8`).

    `link`: an interface goes and returns, then come a few REGISTERs; the daemon keeps evidence.
    """
    if rate is None:
        rate = RATE_LARGE if BOUNDED.get(kind, ("", kind))[1].startswith("large-") else RATE
    found, state, log = Run(kind), folder / "state", folder / "log"
    flooder, config = folder / "frame_flood", folder / "sbcwatch.toml"
    subprocess.run(["cc", "-O2", "-w", "-o", flooder, ROOT / "tests" / "kit" / "frame_flood.c"], check=True)
    config.write_text(CONFIG.format(state=state) + (EVIDENCE if kind == "link" else ""))
    bounds = BOUNDED[kind][2] if kind in BOUNDED else {}
    with wires() as (far, near), log.open("wb") as output, bounded(**bounds) as group:
        before = frames_at(near)
        # Ahead of whatever else runs here: what is judged is the daemon, not its neighbours.
        command = ["nice", "-n", "-15", "ip", "netns", "exec", near]
        command += [sys.executable, "-m", "agent", "run", "--config", str(config)]
        daemon = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        flood = None
        try:
            group.take(daemon.pid)
            _wait_until_it_watches(daemon, log)
            cpu_s, began = _cpu_s(daemon.pid), time.monotonic()
            player = Player(far, near)
            if kind == "link":
                _away_and_back(far, near)
                seconds, rate = 2.0, 50.0
            source = "registers" if kind == "link" else BOUNDED.get(kind, ("", kind))[1]
            if source in KINDS:
                records = folder / "frames"
                records.write_bytes(b"".join(one.packed() for one in KINDS[source][1](player.sockets())))
                words = ["nice", "-n", "-5", "ip", "netns", "exec", far, flooder]
                words += ["flood0", records, seconds, rate]
                flood = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)
            stall_s = int(kind.removeprefix("stall-")) if kind.startswith("stall-") else 0
            if stall_s:
                daemon.send_signal(signal.SIGSTOP)
                subprocess.Popen(["sh", "-c", f"sleep {stall_s}; kill -CONT {daemon.pid}"])
            player.play()
            if flood is not None:
                sent, took = flood.communicate(timeout=seconds + 60)[0].split()
                found.flood_sent, found.flood_rate = int(sent), int(sent) / float(took)
            time.sleep(max(0.0, stall_s + 0.5 - (time.monotonic() - began)))
            found.sent = frames_at(near) - before
            figures = _wait_until_read(near, found.sent)
            refused = re.findall(r'(?m)^sbcwatch_agent_rejects_total{reason="(\w+)"} ([\d.e+]+)', figures)
            found.refused = {reason: int(float(count)) for reason, count in refused if float(count)}
            assert daemon.poll() is None, log.read_text()
            found.cpu_percent = (_cpu_s(daemon.pid) - cpu_s) / (time.monotonic() - began) * 100
            found.rss_mb = _rss_mb(daemon.pid)
            found.throttled, found.group_mb = group.throttled(), group.most_mb()
            daemon.send_signal(signal.SIGTERM)
            found.status = daemon.wait(60)
        finally:
            for process in (daemon, flood):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()
    found.evidence = sum(path.stat().st_size for path in (state / "evidence").glob("*.pcap*"))
    found.log = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    _read_back(state, player, found)
    return found


def _wait_until_it_watches(daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while "watching" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        assert daemon.poll() is None, log.read_text()
        time.sleep(0.02)


def _wait_until_read(namespace: str, sent: int) -> str:
    """The daemon's metrics once it has read what was on the wire, or told it as dropped."""
    deadline = time.monotonic() + 60
    with inside(namespace):
        while time.monotonic() < deadline:
            text = urllib.request.urlopen("http://127.0.0.1:9642/metrics", timeout=30).read().decode()
            counts = re.findall(r"(?m)^sbcwatch_agent_(?:frames|drops)_total ([\d.e+]+)", text)
            if sum(map(float, counts)) >= sent:
                return text
            time.sleep(0.5)
    raise AssertionError("the ring is not read up")


def _cpu_s(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    """The most that the daemon had, which `ip netns exec` has become."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


# -- what it came to


def _read_back(state: Path, player: Player, found: Run) -> None:
    store = Store(state / "sbcwatch.sqlite", read_only=True)
    minutes = list(store.minutes(0, 1 << 62))
    store.close()
    values: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for minute in minutes:
        told.update({k: v for k, v in minute.extras.items() if k.endswith("_packets") and isinstance(v, int)})
        for row in minute.connectors[0].unknown_because if minute.connectors else ():
            told[row["cause"]] += row["count"] or 0
        for connector in minute.connectors:
            values.update({k: v for k, v in connector.values.items() if isinstance(v, int)})
    with contextlib.closing(sqlite3.connect(state / "sbcwatch.sqlite")) as connection:
        bodies = connection.execute("SELECT body FROM rows WHERE kind='agent'").fetchall()
    figures = [one for (body,) in bodies for one in unpack(body)]
    found.read = round(sum(one["Frames"] for one in figures))
    found.dropped = round(sum(one["CaptureDrops"] for one in figures))
    found.left_out, found.values = dict(told), dict(values)
    media = [row for minute in minutes for row in minute.media]
    for call in player.placed:
        wrong = _difference(call, media)
        found.exact += not wrong
        found.wrong += [f"call {call.number}: {wrong}"] if wrong else []
    answered = values["InboundCallsAnswered"] + values["OutboundCallsAnswered"]
    if answered != found.calls:
        found.exact = min(found.exact, answered)
        found.wrong.append(f"{answered} answered")


def _difference(call: calls.Placed, media: list[dict[str, Any]]) -> str:
    """What is stored of a call and is not as it was played; empty: it is exact."""
    names = {name.decode(errors="replace") for name in call.names.values()}
    truth: Counter[str] = Counter()
    for one in call.template.frames:
        truth.update({name: n for name, n in one.adds if "Rt" in name})
    stored: Counter[str] = Counter()
    for row in media:
        if names.intersection(row["call_ids"]):
            for way, metric in calls.DIRECTIONS.items():
                for kind in ("rtp", "rtcp"):
                    for what in ("packets", "bytes"):
                        stored[f"{metric}{kind.capitalize()}{what.capitalize()}"] += row[
                            f"{way}_{kind}_{what}"
                        ]
                stored["lost"] += row[f"{way}_packets_lost"] or 0
    faults = [f"{name} {stored[name]} of {truth[name]}" for name in truth if stored[name] != truth[name]]
    faults += [f"{stored['lost']} lost"] if stored["lost"] else []
    return ", ".join(faults)


HEADS = "flood", "frames/s", "frames", "calls exact", "drops told", "left out, told", "RSS", "CPU", "books"


def row(one: Run) -> str:
    """A row of Markdown below `HEADS`."""
    words = TOLD.get(one.kind) or one.kind.replace("stall-", "SIGSTOP, seconds: ")
    causes = {**one.left_out, **one.refused}
    told = ", ".join(f"{cause} {count:,}" for cause, count in sorted(causes.items()) if count)
    books = "closed" if one.is_closed else f"{one.sent - one.read - one.dropped:,} missing"
    exact, dropped = f"{one.exact} of {one.calls}", f"{one.dropped:,}"
    cells = (
        words, f"{one.flood_rate:,.0f}", f"{one.sent:,}", exact, dropped,
        told, f"{one.rss_mb:.0f} MB", f"{one.cpu_percent:.0f} %", books,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = ["nothing", "link", *KINDS, *BOUNDED, *(f"stall-{seconds}" for seconds in STALLS)]
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(every)} (all)")
    parser.add_argument(
        "--rate", type=float, help=f"frames a second (0: all that go; {RATE:,}, large ones {RATE_LARGE})"
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [kind for kind in options.kinds if kind not in every]
    if unknown:
        parser.error(f"no such flood: {', '.join(unknown)}")
    reason = hindrance()
    if reason:
        print(f"no floods here: {reason}", file=sys.stderr)
        return 1
    is_closed = True
    if not options.json:
        print(f"| {' | '.join(HEADS)} |", "| --- " * len(HEADS) + "|", sep="\n", flush=True)
    for kind in options.kinds or every:
        with tempfile.TemporaryDirectory(prefix="sbcwatch-floods-") as folder:
            one = run(kind, Path(folder), seconds=options.seconds, rate=options.rate)
        print(json.dumps(asdict(one)) if options.json else row(one), flush=True)
        for wrong in one.wrong:
            print(f"  {wrong}", file=sys.stderr, flush=True)
        is_closed = is_closed and one.is_closed
    return 0 if is_closed else 1


if __name__ == "__main__":
    sys.exit(main())
