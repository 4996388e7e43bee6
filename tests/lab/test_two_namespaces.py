"""Kamailio and rtpengine in two namespaces with a daemon each, and a third that sees all frames.

Each of the two sees only its own program's packets; between them stands a real redis-server. The third has a
copy of every frame, stamped anew some microseconds later, so the three are compared within `LIVE`. Frames
that tcpdump recorded have one stamp each: two replays joined by a board are compared with one replay of all,
field by field and without tolerance.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.commands import replay
from agent.config.settings import Config
from agent.wire.frame import LINK_ETHERNET, Frame, origin
from tests.kit.fleet_host import archived, configuration
from tests.kit.two_hosts import Hosts, Records, alike, alone, assert_minutes_alike, comparable, known, rows_of
from tests.lab.lab import Lab, why_not
from tests.lab.network import INTERFACES, NG_SBC, OBSERVED, SIDES
from tests.lab.processes import Process, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.slow]
SCENARIOS = [
    "answered-outbound",
    "short-inbound",
    "hold-outbound",
    "cancelled-outbound",
    "transcoded-inbound",
]
PORTS = {"sbc": 9643, "relay": 9644, "observer": 9645}


class Run:
    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self.status: dict[str, int] = {}
        self.log: dict[str, str] = {}
        self.metrics: dict[str, list[dict[str, Any]]] = {}
        self.alone: Records = {}  # of one pipeline that is given all recorded frames
        self.joined: Records = {}  # ... of two with a board between them


def watches(daemon: Process) -> bool:
    return "connects to TCP" in daemon.text() or daemon.ended()


def early_in_a_minute(latest_s: float) -> None:
    """Returns at once, or at the next minute's start where more than so many seconds have passed."""
    if (second := time.time() % 60) > latest_s:
        time.sleep(60 - second)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    reason = why_not()
    if reason or shutil.which("redis-server") is None:
        pytest.skip(f"the lab cannot run here: {reason or 'no redis-server'}")
    folder = tmp_path_factory.mktemp("fleet")
    key = folder / "keys" / "fleet"
    key.parent.mkdir()
    key.write_text("a key that both hosts of the lab share, and no other")
    result = Run()
    with Lab(relay=True, observer=True) as lab:
        server = lab.start_in(
            "sbc",
            ["redis-server", "--bind", NG_SBC, "--save", "", "--protected-mode", "no", "--dir", str(folder)],
            folder / "redis.log",
        )
        wait_until(lambda: "Ready to accept" in server.text(), "redis-server", 10)
        early_in_a_minute(30)  # in which all three begin to watch
        daemons, dumps = {}, []
        for name in PORTS:
            for side in SIDES if name != "observer" else ():
                dump = ["tcpdump", "-i", INTERFACES[side], "-n", "-s", "0", "-U", "-Z", "root", "-B", "8192",
                        "--immediate-mode", "--time-stamp-precision=nano",
                        "-w", str(folder / f"{name}-{side}.pcap")]  # fmt: skip
                dumps.append(lab.start_in(name, dump, folder / f"dump-{name}-{side}.log"))
            (folder / name).mkdir()
            config = folder / name / "sbcwatch.toml"
            text = configuration(
                folder / name, name, key, vc=lab.vc_addresses, customers=lab.customer_networks
            )
            text += f'board = "redis://{NG_SBC}:6379"\n' if name != "observer" else ""
            config.write_text(f"{text}[prometheus]\nport = {PORTS[name]}\n")
            command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
            for interface in OBSERVED if name == "observer" else INTERFACES.values():
                command += ["--interface", interface]
            daemons[name] = lab.start_in(name, command, folder / f"{name}.log")
        for daemon in daemons.values():
            wait_until(partial(watches, daemon), "a daemon", 20)
        time.sleep(1)
        early_in_a_minute(25)  # which has all of the traffic
        lab.run_all(SCENARIOS)
        time.sleep(7)  # the linger of the last call's media
        for daemon in daemons.values():
            os.kill(daemon.pid, signal.SIGTERM)
        for name, daemon in daemons.items():
            result.status[name] = daemon.wait(30)
            result.log[name] = daemon.text()
            result.records[name] = comparable(archived(folder / name, "media"))
            result.calls[name] = archived(folder / name, "calls")
            result.metrics[name] = archived(folder / name, "metrics")
        for process in dumps:
            os.kill(process.pid, signal.SIGINT)
            process.wait(5)
        paths = sorted(folder.glob("*.pcap"))
        result.alone, result.joined = replayed(paths, lab)
        yield result


def replayed(paths: list[Path], lab: Lab) -> tuple[Records, Records]:
    """The records of one host that is given all recorded frames, and of two with a board between them."""
    frames = [
        (Frame(frame.data, frame.stamp_ns, origin(LINK_ETHERNET, number), frame.wire_length), path.name)
        for number, path in enumerate(paths)
        for batch, _ in replay.open_files([str(path)], Config())
        for frame in batch.frames()
    ]
    frames.sort(key=lambda each: each[0].stamp_ns)
    of_proxy = {id(frame) for frame, name in frames if name.startswith("sbc-")}
    both = [frame for frame, _ in frames]
    hosts = Hosts(lab.vc_addresses, lab.customer_networks)
    hosts.play(both, lambda frame: id(frame) in of_proxy)
    hosts.finish()
    whole = alone(both, lab.vc_addresses, lab.customer_networks)
    joined = {kind: rows_of(hosts.kept["proxy"])[kind] for kind in ("calls", "sip")}
    joined |= {
        "media": rows_of(hosts.kept["relay"])["media"],
        "no media": rows_of(hosts.kept["proxy"])["media"],
    }
    joined |= {name: rows_of(kept)["metrics"] for name, kept in hosts.kept.items()}
    return rows_of(whole), joined


def test_daemons_end_well_and_media_is_the_relays_and_calls_the_proxys(run: Run) -> None:
    assert run.status == dict.fromkeys(PORTS, 0), run.log
    assert run.records["sbc"] == run.calls["relay"] == []
    assert len(run.records["relay"]) == len(run.records["observer"]) == len(SCENARIOS) - 1
    assert len(run.calls["sbc"]) == len(run.calls["observer"]) == len(SCENARIOS)


@pytest.mark.parametrize("kind", ["media", "calls", "sip"])
def test_recorded_frames_give_two_hosts_the_records_of_one_field_by_field(run: Run, kind: str) -> None:
    assert run.alone[kind]
    assert alike(kind, run.joined[kind]) == alike(kind, run.alone[kind])
    assert run.joined["no media"] == []


def test_recorded_frames_give_two_hosts_the_minutes_of_one(run: Run) -> None:
    assert_minutes_alike(run.joined["proxy"], run.joined["relay"], run.alone["metrics"])


# Live each host stamps its own copy of a frame: by so much may fields differ whose names have these words. Of
# a timeline the packets are compared: one, or a report, may fall into the next slot. All else is equal.
LIVE = {
    "_ns": 2e6,
    "_ms": 2.0,
    "start_ts": 2,
    "duration_seconds": 0.002,
    "jitter": 50.0,  # us; seen: 1
    "rtt_btwn_vc_and_cust": 1_000.0,  # us; two stamps' worth
    "rtt_btwn_vc_and_rem": 1_000.0,
    "mos": 0.02,  # of which a round trip is part
    "MOS": 0.02,
    "Jitter": 50.0,
    "RTT": 1_000.0,
}


def allowed(path: str) -> float:
    return max((most for part, most in LIVE.items() if part in path), default=0.0)


def differences(one: Any, other: Any, path: str) -> Iterator[str]:
    """The places where two values differ by more than `LIVE` allows."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {**one, **other}:
            yield from differences(one.get(name), other.get(name), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        if path.endswith("_timeline"):
            one, other = [_packets(one)], [_packets(other)]
        for left, right in zip(one, other, strict=True):
            yield from differences(left, right, path)
    elif isinstance(one, int | float) and isinstance(other, int | float):
        if abs(one - other) > allowed(path):
            yield f"{path}: {one} and {other}"
    elif one != other:
        yield f"{path}: {one!r} and {other!r}"


def _packets(slots: list[Any]) -> int:
    return sum(slot[0] for slot in slots if isinstance(slot, list))


def one_by_one(values: dict[str, Any]) -> dict[str, Any]:
    """Samples singly: two that are equal on one host may differ by a stamp on the other."""
    return {
        name: sorted(sample for sample, count in zip(*value, strict=True) for _ in range(int(count)))
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }


@pytest.mark.parametrize(("kind", "host"), [("media", "relay"), ("calls", "sbc")])
def test_live_records_are_those_of_the_daemon_that_sees_both(run: Run, kind: str, host: str) -> None:
    rows = run.records if kind == "media" else run.calls

    def by_call(name: str) -> dict[str, dict[str, Any]]:
        return {row["transaction_id"]: row for row in alike(kind, rows[name])}

    assert list(differences(by_call(host), by_call("observer"), kind)) == []


def test_live_minutes_are_those_of_the_daemon_that_sees_both(run: Run) -> None:
    proxy, relay, both = (
        {row["event_timestamp"]: row["values"] for row in run.metrics[name]} for name in PORTS
    )
    assert proxy.keys() == relay.keys() == both.keys()
    for minute, values in both.items():
        found = known(proxy[minute], relay[minute])
        assert list(differences(one_by_one(found), one_by_one(values), "values")) == []
