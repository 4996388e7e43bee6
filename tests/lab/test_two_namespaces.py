"""Kamailio and rtpengine in two namespaces with a daemon each, and the frames of both through one pipeline.

Each daemon sees only its own program's packets. Between them stands a real redis-server.
"""

from __future__ import annotations

import gzip
import json
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

from agent.config.settings import Config, Fleet
from tests.kit.two_hosts import comparable
from tests.lab.lab import Lab, why_not
from tests.lab.network import INTERFACES, NG_SBC, SIDES
from tests.lab.processes import Process, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.slow]
SCENARIOS = [
    "answered-outbound",
    "short-inbound",
    "hold-outbound",
    "cancelled-outbound",
    "transcoded-inbound",
]
CONFIG = """
[vc]
addresses = {vc}
[customers]
networks = {customers}
[store]
directory = "{folder}/state"
[archive]
url = "file://{folder}/archive"
kinds = ["media", "calls"]
[fleet]
host = "{host}"
key_file = "{key}"
board = "redis://{board}:6379"
[prometheus]
port = {port}
"""
PORTS = {"sbc": 9643, "relay": 9644}


class Run:
    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self.status: dict[str, int] = {}
        self.log: dict[str, str] = {}
        self.alone: list[dict[str, Any]] = []


def archived(folder: Path, kind: str) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(folder.glob(f"archive/kind={kind}/**/*.jsonl.gz")):
        rows += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return rows


def watches(daemon: Process) -> bool:
    return "connects to TCP" in daemon.text() or daemon.ended()


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
    with Lab(relay=True) as lab:
        server = lab.start_in(
            "sbc",
            ["redis-server", "--bind", NG_SBC, "--save", "", "--protected-mode", "no", "--dir", str(folder)],
            folder / "redis.log",
        )
        wait_until(lambda: "Ready to accept" in server.text(), "redis-server", 10)
        daemons, dumps = {}, []
        for name in PORTS:
            for side in SIDES:
                dump = ["tcpdump", "-i", INTERFACES[side], "-n", "-s", "0", "-U", "-Z", "root", "-B", "8192",
                        "--immediate-mode", "--time-stamp-precision=nano",
                        "-w", str(folder / f"{name}-{side}.pcap")]  # fmt: skip
                dumps.append(lab.start_in(name, dump, folder / f"dump-{name}-{side}.log"))
            (folder / name).mkdir()
            config = folder / name / "sbcwatch.toml"
            config.write_text(
                CONFIG.format(
                    vc=json.dumps(lab.vc_addresses),
                    customers=json.dumps(lab.customer_networks),
                    folder=folder / name,
                    host=name,
                    key=key,
                    board=NG_SBC,
                    port=PORTS[name],
                )
            )
            command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
            for side in SIDES:
                command += ["--interface", INTERFACES[side]]
            daemons[name] = lab.start_in(name, command, folder / f"{name}.log")
        for daemon in daemons.values():
            wait_until(partial(watches, daemon), "a daemon", 20)
        time.sleep(1)
        lab.run_all(SCENARIOS)
        time.sleep(7)  # the linger of the last call's media
        for daemon in daemons.values():
            os.kill(daemon.pid, signal.SIGTERM)
        for name, daemon in daemons.items():
            result.status[name] = daemon.wait(30)
            result.log[name] = daemon.text()
            result.records[name] = comparable(archived(folder / name, "media"))
            result.calls[name] = archived(folder / name, "calls")
        for process in dumps:
            os.kill(process.pid, signal.SIGINT)
            process.wait(5)
        result.alone = comparable(replayed(sorted(folder.glob("*.pcap")), lab, key))
        yield result


def replayed(paths: list[Path], lab: Lab, key: Path) -> list[dict[str, Any]]:
    """What one host says that sees the frames of both."""
    from agent.commands import replay
    from tests.kit.replayed import Keeper

    config = Config(fleet=Fleet(host="both", key_file=str(key)))
    keeper = Keeper()
    pipeline = replay.prepare(config, vc=lab.vc_addresses, customers=lab.customer_networks, on_stream=None)
    replay.replay(replay.open_files([str(path) for path in paths], config), pipeline, keeper)
    return [row for summary in keeper.summaries for row in summary.media]


def test_both_daemons_end_well_and_only_the_relay_has_media_records(run: Run) -> None:
    assert run.status == {"sbc": 0, "relay": 0}, run.log
    assert run.records["sbc"] == []
    assert len(run.records["relay"]) >= len(run.alone) > 0


def test_media_records_are_those_of_one_host_but_for_parts(run: Run) -> None:
    """Times differ by a clock's offset of some us, so figures in us may differ in their last digit."""
    assert summed(run.records["relay"]) == summed(run.alone)


def test_calls_are_the_proxys_alone(run: Run) -> None:
    assert len(run.calls["sbc"]) == len(SCENARIOS)
    assert run.calls["relay"] == []


WORDS = (
    "voice_connector_id", "transaction_id", "call_id", "call_ids", "from_sip_user", "to_sip_user",
    "from_country", "to_country", "endpoint_id", "start_ts", "carrier", "codec", "peer_media", "key_id",
    "aws_region",
)  # fmt: skip
COUNTS = tuple(
    f"{way}_{what}"
    for way in ("cust2vc", "vc2cust", "rem2vc", "vc2rem")
    for what in ("rtp_packets", "rtp_bytes", "rtcp_packets", "rtcp_bytes", "packets_lost")
)


def summed(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By call and minute: its words, its counts, and the figures that are known."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = f"{row['transaction_id']} {row['event_timestamp']}"
        its = found.setdefault(key, {name: row[name] for name in WORDS} | dict.fromkeys(COUNTS, 0))
        for name in COUNTS:
            its[name] += row[name] or 0
    return found
