"""Kills, stops, reloads and clock steps under lab calls: nothing counts twice, nothing counted is lost.

The daemon is a process of its own in simulated time (`tests/chaos`); the last test kills the real command
on a real interface.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.daemon import checkpoint
from agent.errors import ConfigError
from agent.store import Store
from agent.store.call_query import CallQuery
from agent.store.reader import StoredCall, StoreReader
from tests.chaos import calls
from tests.chaos.driver import HOUR_NS, Run
from tests.chaos.judge import judge

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(1, tmp_path)
    made.placing = False
    with made.aws:
        made.start()
        yield made
        if made.daemon is not None:
            made.daemon.kill()


def stored(run: Run) -> Counter[str]:
    """What CloudWatch has at the end, which is within the bounds."""
    assert judge(run.aws, run.ledger, run.finish()) == []
    return run.aws.totals()


def assert_exact(run: Run, gaps_unknown: int = 0) -> None:
    """Nothing may be missing: the truth of the lab's endpoints, to the packet.

    `gaps_unknown`: so many lost packets may be nobody's, for their gaps touch a moment without capture.
    """
    assert run.ledger.frames_unseen == 0
    totals = stored(run)
    truth = {name: most for name, (_, most) in run.ledger.bounds().items()}
    missing = {name: most - totals[name] for name, most in truth.items() if totals[name] != most}
    assert all(name.endswith("PacketsLost") for name in missing), missing
    assert all(0 < count <= gaps_unknown for count in missing.values()), missing


def test_call_up_through_a_kill_has_one_attempt_one_answer_and_no_loss(run: Run) -> None:
    run.call("answered-inbound")
    run.watch(8.0)
    run.kill()
    run.watch(2.0)  # frames pass while nobody captures
    run.start()
    totals = stored(run)
    assert totals["InboundCallAttempts"] == totals["InboundCallsAnswered"] == 1
    assert totals["InboundCallFailures"] == 0
    assert 0 < totals["CustomerToVcRtpPackets"] < 700
    assert totals["CustomerToVcPacketsLost"] == totals["RemoteToVcPacketsLost"] == 0


def test_calls_active_is_right_at_each_minutes_end_and_sent_once_through_kills(run: Run) -> None:
    run.call("long-inbound")  # 130 s
    for _ in range(5):
        run.watch(23.0)  # the third kill is 9 s after a minute's end: by then it is on disk
        run.settle()  # killed before its gauges are on disk a minute is without them, as it should be
        run.kill()
        run.start()
    stored(run)
    active = run.aws.active()
    assert {tuple(sorted(values)) for values in active.values()} <= {(0.0, 1.0), (0.0, 0.0)}
    assert sum(max(values) for values in active.values()) == 2


def test_stop_within_a_minute_and_start_parts_add_up(run: Run) -> None:
    run.call("loss-cust2vc")
    for _ in range(3):
        run.watch(5.0)
        run.settle()
        assert run.stop() == 0
        run.start()
    assert_exact(run, gaps_unknown=3)


def test_reload_with_a_good_and_with_a_bad_file_loses_nothing(run: Run) -> None:
    run.call("loss-vc2cust")
    good = run.config.read_text()
    # The last would refuse the next start: its filter is none.
    for text in (good, good + "\n[nonsense]\n", good + '\n[capture]\nfilter = "no such words"\n'):
        run.watch(4.0)
        run.config.write_text(text)
        assert run.daemon is not None
        run.daemon.signal(signal.SIGHUP)
    run.watch(4.0)
    assert_exact(run)
    causes = [line["text"] for line in run.log_lines() if line["cause"] == "reload"]
    assert len(causes) == 3
    assert ["the old one stays" in str(text) for text in causes] == [False, True, True]


@pytest.mark.parametrize("hours", [1, -1], ids=["an hour ahead", "an hour back"])
def test_clock_set_and_set_right_again_calls_go_on_to_the_packet(run: Run, hours: int) -> None:
    run.call("loss-cust2vc")
    for step_ns in (hours * HOUR_NS, 0):
        run.watch(6.0)
        run.settle()
        run.sim.set_step(step_ns)
    run.watch(6.0)
    assert_exact(run)
    assert sum(line["cause"] == "clock" for line in run.log_lines()) == 2


def test_kill_after_the_clock_was_set_back_keeps_the_open_minute(run: Run) -> None:
    run.call("answered-outbound")
    run.watch(3.0)
    run.settle()
    run.sim.set_step(-HOUR_NS)
    run.watch(7.0)
    run.settle()
    run.kill()
    run.start()
    totals = stored(run)
    assert totals["OutboundCallAttempts"] == totals["OutboundCallsAnswered"] == 1


def test_clock_behind_at_the_next_start_minutes_go_on(run: Run) -> None:
    run.call("answered-outbound")
    run.watch(20.0)
    run.settle()
    run.stop()
    run.sim.set_step(-HOUR_NS)  # the host comes up without a time server
    run.start()
    run.call("short-inbound")
    assert_exact(run)


def test_clock_set_after_a_kill_the_time_without_capture_is_no_loss(run: Run) -> None:
    run.call("answered-inbound")
    run.watch(7.0)
    run.kill()
    run.watch(1.0)
    run.start()
    run.sim.set_step(HOUR_NS)  # before any packet of the call came again
    totals = stored(run)
    assert totals["CustomerToVcPacketsLost"] == totals["RemoteToVcPacketsLost"] == 0


def test_truncated_checkpoint_starts_clean_and_says_so(run: Run) -> None:
    run.call("short-inbound")
    run.watch(70.0)  # its minute is closed
    run.kill()
    run.truncate_checkpoint()
    run.start()
    run.call("short-outbound")
    totals = stored(run)
    assert totals["OutboundCallAttempts"] == 1
    assert any("starting clean" in str(line["text"]) for line in run.log_lines())


def test_clock_set_right_after_a_clean_start_no_minute_is_of_another_age(run: Run) -> None:
    run.call("short-inbound")
    run.watch(5.0)
    run.kill()
    run.truncate_checkpoint()
    run.start()
    run.sim.set_step(-HOUR_NS)  # before the first batch
    run.call("short-outbound")
    assert stored(run)["OutboundCallAttempts"] == 1
    assert run.gaps == []
    assert run.refused == 0


def test_rtcp_of_a_call_that_ended_before_the_kill_is_counted(run: Run) -> None:
    run.call("answered-inbound")
    run.watch(30.0)
    run.settle()
    run.kill()
    run.start()
    assert stored(run)["CustomerToVcRtcpPackets"] == 4


# -- the real command on a real interface

CONFIG = """
[vc]
addresses = ["10.10.0.1", "10.20.0.1"]
[customers]
networks = ["10.10.0.0/24"]
[store]
directory = "{state}"
checkpoint = 0.3
[prometheus]
enabled = false
"""
FASTER = 4  # the call of eight seconds in two


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    ends = ("sbcw-test0", "sbcw-test1")
    made = subprocess.run(
        ["ip", "link", "add", ends[0], "type", "veth", "peer", ends[1]], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a veth pair needs root: " + made.stderr.decode().strip())
    for end in ends:
        subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1"], check=False)
        subprocess.run(["ip", "link", "set", end, "up"], check=True)
    yield ends
    subprocess.run(["ip", "link", "del", ends[0]], check=True)


def wait_for(what: Callable[[], bool], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_real_command_killed_during_a_call_goes_on_with_it(tmp_path: Path, cable: tuple[str, str]) -> None:
    config, log = tmp_path / "sbcwatch.toml", tmp_path / "log"
    config.write_text(CONFIG.format(state=tmp_path / "state"))

    def start() -> subprocess.Popen[bytes]:
        before = log.read_text().count("watching") if log.exists() else 0
        command = [sys.executable, "-m", "agent", "run", "--config", str(config), "--interface", cable[1]]
        with log.open("ab") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        wait_for(lambda: log.read_text().count("watching") > before)
        return process

    def saved_since(wall_ns: int) -> bool:
        try:
            store = Store(tmp_path / "state" / "sbcwatch.sqlite", read_only=True)
        except ConfigError:
            return False
        data = store.load_checkpoint()
        store.close()
        return data is not None and (checkpoint.taken_ns(data) or 0) > wall_ns

    call = calls.place(1, calls.template("short-inbound"), 0)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((cable[0], 0))

    def play(until_ns: int) -> None:
        began, first_ns = time.monotonic_ns(), call.due_ns
        while not call.over and call.due_ns < until_ns:
            wait_ns = (call.due_ns - first_ns) // FASTER - (time.monotonic_ns() - began)
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            data, _ = call.frame()
            total = int.from_bytes(data[16:18]) + 14
            wire.send(data.ljust(total, b"\0"))

    daemon = start()
    play(4 * 10**9)
    played_ns = time.time_ns()
    wait_for(lambda: saved_since(played_ns))
    daemon.kill()
    daemon.wait()
    play(5 * 10**9)  # nobody captures
    daemon = start()
    play(60 * 10**9)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0
    wire.close()
    store = Store(tmp_path / "state" / "sbcwatch.sqlite", read_only=True)
    totals: Counter[str] = Counter()
    for minute in store.minutes(0, 1 << 62):
        for connector in minute.connectors:
            totals.update({k: v for k, v in connector.values.items() if isinstance(v, int)})
    store.close()
    assert totals["InboundCallAttempts"] == totals["InboundCallsAnswered"] == 1
    assert totals["InboundCallFailures"] == 0
    assert totals["CustomerToVcPacketsLost"] == totals["RemoteToVcPacketsLost"] == 0
    unseen = 1000 // 30
    assert 236 - unseen - 3 <= totals["CustomerToVcRtpPackets"] <= 236 - unseen + 3


def only_call(run: Run) -> StoredCall:
    """The only call of the store."""
    reader = StoreReader(run.state / "sbcwatch.sqlite")
    (found,) = reader.search(CallQuery()).calls
    whole = reader.call(found.id)
    reader.close()
    assert whole is not None
    return whole


def test_call_is_found_seconds_after_it_began_and_once_after_its_minute(run: Run) -> None:
    run.call("answered-inbound")
    run.watch(8.0)
    run.settle()
    now = only_call(run)
    for _ in range(4):  # what is up is told every few seconds: the answer may be in the next telling
        if now.index.outcome == "answered":
            break
        run.watch(1.0)
        run.settle()
        now = only_call(run)
    assert (now.index.outcome, now.index.end_ns) == ("answered", None)
    assert now.records.messages[0]["sip_message"].startswith("INVITE ")
    run.kill()  # what was told is of the checkpoint's own transaction
    run.start()
    run.watch(100.0)
    assert run.stop() == 0
    later = only_call(run)
    assert later.index.id == now.index.id
    assert later.index.end_ns is not None
    assert later.records.media
