"""What a reload takes, what waits for a restart and is named, and what the daemon says meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from agent.config.load import read
from agent.config.settings import Config
from agent.daemon.reload import TAKEN, WAITS, changed, digest, taken

ROOT = Path(__file__).parents[2]


def config(text: str = "") -> Config:
    made, problems = read(text, {})
    assert made is not None, problems
    return made


def test_every_section_is_taken_by_somebody_and_what_waits_is_a_setting() -> None:
    assert set(TAKEN) == {field.name for field in msgspec.structs.fields(Config)}
    for name in WAITS:
        section, key = name.split(".")
        assert hasattr(getattr(Config(), section), key)


def waiting_of(section: str) -> str:
    """The settings of a section that wait, as the page has them."""
    keys = getattr(Config(), section).__struct_fields__
    waits = [key for key in keys if f"{section}.{key}" in WAITS]
    at_once = [f"`{key}`" for key in keys if key not in waits]
    if len(waits) > len(at_once):
        return f"`[{section}]`" + (f" but {', '.join(at_once)}" if at_once else "")
    return ", ".join(f"`{section}.{key}`" for key in waits)


def test_page_names_what_waits() -> None:
    sections = dict.fromkeys(name.partition(".")[0] for name in WAITS)
    wanted = f"These wait: {', '.join(map(waiting_of, sections))}."
    assert wanted in (ROOT / "docs/configuration.md").read_text()


def test_what_waits_keeps_its_value_and_is_named_and_the_rest_is_taken() -> None:
    old = config("[capture]\nring_mb = 8\n")
    new = config('[capture]\nring_mb = 16\nsingle_span = true\n[store]\ndirectory = "/x"\nkeep_hours = 2.0\n')
    made, waiting = taken(old, new)
    assert waiting == ["capture.ring_mb", "store.directory"]
    assert (made.capture.ring_mb, made.store.directory) == (8, "/var/lib/sbcwatch")
    assert (made.capture.single_span, made.store.keep_hours) == (True, 2.0)
    assert (new.capture.ring_mb, new.store.directory) == (16, "/x")


@pytest.mark.parametrize(
    ("connects", "waiting"),
    [(None, []), (frozenset((53, 80, 443)), ["otlp.url"]), (frozenset((53, 80, 443, 4318)), [])],
)
def test_address_waits_where_the_process_may_not_connect_to_its_port(
    connects: frozenset[int] | None, waiting: list[str]
) -> None:
    new = config('[otlp]\nurl = "http://192.0.2.1:4318"\n[clickhouse]\nurl = "https://192.0.2.1"\n')
    made, names = taken(config(), new, connects)
    assert names == waiting
    assert made.otlp.url == ("" if waiting else "http://192.0.2.1:4318")
    assert made.clickhouse.url == "https://192.0.2.1"


def test_change_is_told_by_who_takes_it() -> None:
    old, new = config(), config("[logs]\nretention_days = 7\n")
    assert changed(old, new, "sinks")
    assert not changed(old, new, "endpoint")
    assert not changed(old, config(), "sinks")


def test_hash_is_of_what_is_set_and_not_of_how_it_is_written() -> None:
    assert digest(config()) == digest(config("# a comment\n[capture]\nring_mb = 64\n"))
    assert digest(config()) != digest(config("[capture]\nring_mb = 65\n"))


# -- a running daemon


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    log: Path
    config: Path
    port: int

    def lines(self, cause: str) -> list[str]:
        records = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [record["text"] for record in records if record["cause"] == cause]

    def reload(self, text: str) -> str:
        """Reload `text`; what the daemon says of it."""
        seen = len(self.lines("reload"))
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.lines("reload")) > seen)
        return self.lines("reload")[-1]

    def series(self, port: int = 0) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if x[0] != "#")}


def until(what: Callable[[], object], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def text(tmp_path: Path) -> str:
    return (
        '[vc]\naddresses = ["127.0.0.1"]\n[customers]\nnetworks = ["127.0.0.2/32"]\n'
        f"[capture]\nlateness = 2.5\nring_mb = 8\n[confine]\nenabled = false\n"
        f'[store]\ndirectory = "{tmp_path / "state"}"\n[prometheus]\nport = {free_port()}\n'
    )


@pytest.fixture
def running(text: str, tmp_path: Path) -> Iterator[Running]:
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("capture needs root on Linux")
    path, log = tmp_path / "sbcwatch.toml", tmp_path / "log"
    path.write_text(text)
    command = [sys.executable, "-m", "agent", "run", "--config", str(path), "--interface", "lo"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        port = int(text.rsplit("port = ", 1)[1])
        made = Running(process, log, path, port)
        until(lambda: made.lines("start") or process.poll() is not None)
        yield made
    finally:
        process.kill()
        process.wait()


def call_up() -> None:
    """An answered call from 127.0.0.2 to the vc on lo."""
    head = (
        "Via: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK1\r\n"
        "From: <sip:a@x>;tag=f\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
    )
    customer, vc = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    with customer, vc:
        customer.bind(("127.0.0.2", 15060))
        vc.bind(("127.0.0.1", 5060))
        invite = f"INVITE sip:b@x SIP/2.0\r\n{head}To: <sip:b@x>\r\nContent-Length: 0\r\n\r\n"
        customer.sendto(invite.encode(), ("127.0.0.1", 5060))
        answer = f"SIP/2.0 200 OK\r\n{head}To: <sip:b@x>;tag=t\r\nContent-Length: 0\r\n\r\n"
        vc.sendto(answer.encode(), ("127.0.0.2", 15060))


def test_daemon_tells_start_reload_and_stop_and_no_gauge_vanishes(running: Running, text: str) -> None:
    (start,) = [line for line in running.lines("start") if "configuration" in line]
    for part in (
        "sbcwatch ",
        str(running.config),
        "hash ",
        "watching lo",
        "connectors: default",
        "minutes stay in",
    ):
        assert part in start
    call_up()
    active = 'sbcwatch_calls_active{direction="outbound",region="local",voice_connector_id="default"}'
    until(lambda: running.series().get(active) == 1.0)
    before = running.series()
    assert before["sbcwatch_agent_config_last_reload_successful"] == 1.0
    # Taken, but for what waits.
    said = running.reload(text.replace("ring_mb = 8", "ring_mb = 16") + "[limits]\nsip_budget = 9\n")
    assert "configuration taken, hash" in said
    assert said.endswith("at the next start only: capture.ring_mb")
    after = running.series()
    assert after[active] == 1.0
    assert set(before) - set(after) == {name for name in before if "config_info" in name}
    falls = {name for name in before if name.endswith("_total") and after.get(name, 0.0) < before[name]}
    assert falls == set()
    assert after["sbcwatch_agent_config_waiting"] == 1.0
    hashes = [{name for name in each if "config_info" in name} for each in (before, after)]
    assert hashes[0] != hashes[1]
    assert (
        after["sbcwatch_agent_config_last_reload_success_timestamp_seconds"]
        > before["sbcwatch_agent_config_last_reload_success_timestamp_seconds"]
    )
    # Refused.
    assert "the old one stays" in running.reload(text + "[nonsense]\n")
    sections = [f"[nonsense{n}]" for n in range(20)]
    running.reload("\n".join((text, *sections)))
    until(lambda: all(any(f"nonsense{n}:" in line for line in running.lines("reload")) for n in range(20)))
    refused = running.series()
    assert refused["sbcwatch_agent_config_last_reload_successful"] == 0.0
    assert refused[active] == 1.0
    assert any(name.startswith("sbcwatch_agent_build_info{") for name in refused)
    # Without customers sides are unknown from now on.
    assert running.lines("sides") == []
    running.reload(text.replace('[customers]\nnetworks = ["127.0.0.2/32"]\n', ""))
    until(lambda: running.lines("sides"))
    assert "Set [customers] networks" in running.lines("sides")[0]
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    (stop,) = running.lines("stop")
    assert "asked to by SIGTERM" in stop


def test_sinks_and_endpoint_change_under_way(
    running: Running, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    other = text.replace(f"port = {running.port}", f"port = {port}")
    with socket.create_server(("127.0.0.1", port)):
        # A port that is taken stops nobody: a line, a series, and another try.
        assert "configuration taken" in running.reload(other)
        until(lambda: any("Capture goes on" in line for line in running.lines("http")))
    until(lambda: any(f"served on port {port} now" in line for line in running.lines("http")))
    assert running.series(port)["sbcwatch_agent_http_bind_failures_total"] >= 1.0
    assert running.process.poll() is None
    # A sink that is switched on is there, without a restart.
    aws = '[cloudwatch]\nenabled = true\nregion = "eu-west-1"\n'
    assert "configuration taken" in running.reload(other + aws)
    until(lambda: any('sink="cloudwatch"' in name for name in running.series(port)))
    assert "configuration taken" in running.reload(other)
    until(lambda: not any('sink="cloudwatch"' in name for name in running.series(port)))


def test_port_that_is_taken_at_start_stops_no_capture(
    text: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    port = int(text.rsplit("port = ", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        running: Running = request.getfixturevalue("running")
        assert running.process.poll() is None
        assert any("Capture goes on" in line for line in running.lines("http"))
