"""Every panel of the Grafana dashboard asked of a real Prometheus that scrapes a real daemon with calls.

A captured call is played in real time onto a NIC of a namespace of its own, where the daemon watches; Grafana
does no more than ask Prometheus for what each panel says. AWS is not there, so its errors have a series too.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import RawPcapReader

from agent.provision.grafana import dashboard
from tests.deploy.machine import ROOT, needs
from tests.kit.replayed import PCAPS, sidecar
from tests.lab.network import inside
from tests.lab.truth import total

NETWORK = f"sbcwatch-panels-{os.getpid()}"
NIC, PEER = "cust0", "cust1"
# Two of each kind: a series is first seen with what the first one left, and rises with the second.
CALLS = ("busy-inbound", "answered-outbound", "transcoded-outbound", "declined-inbound")
VC = ("10.10.0.1", "10.20.0.1")
METRICS, PROMETHEUS = 9642, 9090
REPORTS = range(200, 208)  # packet types of RTCP

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[Any]]]:
    """A PromQL expression to its result, after the calls."""
    needs("ip", "prometheus")
    folder = tmp_path_factory.mktemp("panels")
    with ExitStack() as stack:
        run("ip", "netns", "add", NETWORK)
        stack.callback(run, "ip", "netns", "del", NETWORK)
        run("ip", "-n", NETWORK, "link", "add", NIC, "type", "veth", "peer", "name", PEER)
        for link in ("lo", NIC, PEER):
            run("ip", "-n", NETWORK, "link", "set", link, "up")
        daemon = started(stack, folder / "daemon.log", daemon_command(folder))
        stack.enter_context(inside(NETWORK))
        wait(lambda: get(METRICS, "/readyz"), folder)
        started(stack, folder / "prometheus.log", prometheus_command(folder))
        wait(lambda: get(PROMETHEUS, "/-/ready"), folder)
        for name in CALLS:
            play(frames_of(name))
            publish(daemon, folder)
        play(GARBAGE)
        run("ip", "-n", NETWORK, "link", "set", PEER, "down")  # the cable is pulled, and put in again
        wait(lambda: "interface" in unready(), folder)
        run("ip", "-n", NETWORK, "link", "set", PEER, "up")
        wait(lambda: get(METRICS, "/readyz"), folder)
        publish(daemon, folder)
        # Calls that are up are told by a minute that ends by itself only.
        wait(lambda: query("sbcwatch_calls_active") and query("sbcwatch_agent_sink_errors_total"), folder, 90)
        time.sleep(2)
        yield query


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def daemon_command(folder: Path) -> list[str]:
    truth = sidecar("answered-outbound")
    (folder / "sbcwatch.toml").write_text(
        f"[vc]\naddresses = {json.dumps(truth['vc'])}\n"
        f"[customers]\nnetworks = {json.dumps(truth['customer_networks'])}\n"
        '[[carriers]]\nid = "north"\nnetworks = ["10.20.0.0/24", "fd00:20::/64"]\n'
        f'[store]\ndirectory = "{folder / "state"}"\n[prometheus]\nport = {METRICS}\n'
        '[cloudwatch]\nenabled = true\nregion = "eu-west-1"\ninterval = 0.5\n'
    )
    return [
        sys.executable, "-m", "agent", "run", "--config", str(folder / "sbcwatch.toml"), "--interface", NIC,
    ]  # fmt: skip


def prometheus_command(folder: Path) -> list[str]:
    job = {"job_name": "sbcwatch", "static_configs": [{"targets": [f"127.0.0.1:{METRICS}"]}]}
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "500ms"}, "scrape_configs": [job]})
    )
    return [
        shutil.which("prometheus") or "", f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
    ]  # fmt: skip


def started(stack: ExitStack, path: Path, command: list[str]) -> subprocess.Popen[bytes]:
    log = stack.enter_context(path.open("wb"))
    process = subprocess.Popen(
        ["ip", "netns", "exec", NETWORK, *command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
        env=os.environ | {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/nonexistent",
        },
    )  # fmt: skip
    stack.callback(process.wait, 10)
    stack.callback(process.kill)
    return process


def wait(what: Callable[[], object], folder: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(log.read_text()[-2000:] for log in folder.glob("*.log")))
        time.sleep(0.2)


def publish(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    """A reload ends the open minute as a part: what was counted until now is in `/metrics`."""
    reloads = said(folder, "configuration taken")
    daemon.send_signal(signal.SIGHUP)
    wait(lambda: said(folder, "configuration taken") > reloads, folder)
    time.sleep(2)  # it is written, and scraped


def said(folder: Path, text: str) -> int:
    return (folder / "daemon.log").read_text().count(text)


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def unready() -> str:
    """What /readyz says against being ready."""
    try:
        get(METRICS, "/readyz")
    except urllib.error.HTTPError as refused:
        return f"interface: {refused.read().decode()}" if refused.code == 503 else ""
    return ""


def query(expression: str) -> list[Any]:
    for variable, value in (
        ("$__rate_interval", "2m"),
        ("$connector", ".*"),
        ("$instance", ".*"),
    ):
        expression = expression.replace(variable, value)
    answer = json.loads(get(PROMETHEUS, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
    assert answer["status"] == "success", answer
    found: list[Any] = answer["data"]["result"]
    return found


# --- traffic

Frames = list[tuple[float, bytes]]  # when (seconds), what


def frames_of(name: str) -> Frames:
    """A scenario's two captures; what they cut off is zeros.

    Reports to the vc come 20 ms later than they did: the lab's round trips of 15 us are less than a sleep is
    off by.
    """
    found = []
    for file in sidecar(name)["files"]:
        for data, stamp in RawPcapReader(str(PCAPS / file)):
            report = (
                data[12:14] == b"\x08\x00" and data[23] == 17 and data[42] >> 6 == 2 and data[43] in REPORTS
            )
            late = 0.02 if report and socket.inet_ntoa(data[30:34]) in VC else 0.0
            found.append((stamp.sec + stamp.usec / 1e9 + late, data.ljust(stamp.wirelen, b"\0")))
    return sorted(found)


def play(frames: Frames) -> None:
    """To the NIC, in real time."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((PEER, 0))
        first, began = frames[0][0], time.monotonic()
        for stamp, frame in frames:
            time.sleep(max(0.0, began + stamp - first - time.monotonic()))
            out.send(frame)


GARBAGE: Frames = [
    (
        0.0,
        bytes(Ether() / IP(src="10.10.0.10", dst="10.10.0.1") / UDP(sport=5060, dport=5060) / Raw(load=text)),
    )
    for text in (b"INVITE sip:a@10.10.0.1 SIP/2.0\r\nno header\r\n\r\n",)
]


# --- panels


def test_prometheus_finds_the_daemon_well(ask: Callable[[str], list[Any]]) -> None:
    assert [row["value"][1] for row in ask('up{job="sbcwatch"}')] == ["1"]


@pytest.mark.parametrize("panel", dashboard()["panels"], ids=lambda panel: panel["title"])
def test_every_expression_of_the_panel_has_figures(
    ask: Callable[[str], list[Any]], panel: dict[str, Any]
) -> None:
    for target in panel["targets"]:
        rows = ask(target["expr"])
        assert rows, target["expr"]
        values = [float(row["value"][1]) for row in rows]
        assert all(math.isfinite(value) and value >= 0 for value in values), (target["expr"], values)


@pytest.mark.parametrize("variable", dashboard()["templating"]["list"][1:], ids=lambda one: one["name"])
def test_every_variable_has_something_to_pick(
    ask: Callable[[str], list[Any]], variable: dict[str, Any]
) -> None:
    selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
    assert {row["metric"][label] for row in ask(selector)} - {""}


def test_figures_are_those_of_the_calls(ask: Callable[[str], list[Any]]) -> None:
    truth = total(sidecar(name)["truth"] for name in CALLS)
    for name, expected in (
        ('sbcwatch_call_attempts_total{direction="outbound"}', truth["attempts"]["outbound"]),
        ('sbcwatch_call_attempts_total{direction="inbound"}', truth["attempts"]["inbound"]),
        ('sbcwatch_call_failures_total{direction="inbound"}', truth["failed"]["inbound"]),
        ('sbcwatch_rtp_packets_total{direction="cust2vc"}', truth["rtp"]["cust2vc"]["packets"]),
    ):
        assert sum(float(row["value"][1]) for row in ask(name)) == expected, name


def test_promtool_finds_nothing_against_the_metrics(ask: Callable[[str], list[Any]]) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=get(METRICS, "/metrics"), capture_output=True, text=True
    )
    assert not done.returncode, done.stdout + done.stderr


def test_counters_moved_while_the_calls_ran(ask: Callable[[str], list[Any]]) -> None:
    """Scraped twice a second: a call of seconds is a rise over seconds, not one step at a minute's close."""
    (steps,) = ask('changes(sbcwatch_rtp_packets_total{direction="cust2vc"}[5m])')
    assert int(steps["value"][1]) > 8
    assert not ask("resets(sbcwatch_rtp_packets_total[5m]) > 0"), "reloads took nothing back"


def test_an_interface_that_was_down_is_told_everywhere(
    ask: Callable[[str], list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert ask(f'min_over_time(sbcwatch_agent_interface_up{{interface="{NIC}"}}[5m])')[0]["value"][1] == "0"
    assert ask(f'sbcwatch_agent_interface_up{{interface="{NIC}"}}')[0]["value"][1] == "1"
    assert ask("sbcwatch_agent_interface_outages_total")[0]["value"][1] == "1"
    assert ask(f'sbcwatch_agent_interface_frames_total{{interface="{NIC}"}} > 0')
    assert ask('sbcwatch_unknown_intervals_total{cause="interface_down"} > 0')
    log = "".join(each.read_text() for each in tmp_path_factory.getbasetemp().glob("panels*/daemon.log"))
    assert f"nothing is captured on {NIC}" in log
    assert f"{NIC} is back" in log


def test_the_start_of_the_process_is_known(ask: Callable[[str], list[Any]]) -> None:
    (age,) = ask("time() - process_start_time_seconds")
    assert 0 < float(age["value"][1]) < 600
