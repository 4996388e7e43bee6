"""`kill -9` of a daemon with a board: what is lost, what is double, and how the next one goes on.

| killed                                   | lost                                                      |
| ---------------------------------------- | --------------------------------------------------------- |
| the proxy, before its claims left        | nothing, where a checkpoint has the call                  |
| the same, before the checkpoint too      | whose media it is: `unsignalled`, all packets counted     |
| the relay, before it heard the claims    | frames that passed meanwhile                              |
| the proxy, after the claims              | nothing                                                   |
| the relay, after the claims, in a minute | frames since its last checkpoint, and until it runs again |
| either, between a minute and its object  | nothing                                                   |
| either, between an object and its mark   | nothing                                                   |

Nothing is there twice in any of them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.daemon import checkpoint
from agent.errors import ConfigError
from agent.store import Store
from agent.wire.frame import Frame
from tests.fleet.daemons import SECOND_NS, Fleet, Host, shifted
from tests.kit.board_server import Server, has_server
from tests.kit.halves import frames_of
from tests.kit.replayed import sidecar
from tests.kit.two_hosts import is_sip

pytest.importorskip("redis")
pytestmark = pytest.mark.slow
NAME = "answered-outbound"
WAYS = ("cust2vc", "vc2cust", "rem2vc", "vc2rem")
PACKETS = tuple(f"{way}_rtp_packets" for way in WAYS)
ANSWERED = b"200 Answering"


class Scene:
    """A proxy, a relay, and a call whose frames are about to pass."""

    def __init__(self, folder: Path) -> None:
        (folder / "server").mkdir()
        self.server = Server(folder / "server")
        side = sidecar(NAME)
        self.fleet = Fleet(folder, side["vc"], side["customer_networks"], self.server)
        self.proxy = self.fleet.add("proxy", is_sip, [])
        self.relay = self.fleet.add("relay", lambda frame: not is_sip(frame), side["vc"])
        frames = frames_of(NAME)
        self.frames = shifted(frames, self.fleet.now_ns + SECOND_NS - frames[0].stamp_ns)
        self.answered_ns = max(each.stamp_ns for each in self.frames if ANSWERED in each.data)
        self._at = 0

    def play(self, until_ns: int | None = None) -> None:
        """Goes on from where the last time ended."""
        rest = self.frames[self._at :]
        self.fleet.play(rest, until_ns)
        self._at += sum(until_ns is None or each.stamp_ns <= until_ns for each in rest)
        if until_ns is not None:
            self.fleet.now_ns = max(self.fleet.now_ns, until_ns)

    def rtp(self, after_ns: int = 0, until_ns: int = 1 << 62) -> int:
        """RTP packets of the capture in a time."""
        return sum(after_ns < each.stamp_ns <= until_ns and is_rtp(each) for each in self.frames)

    def packets(self) -> int:
        return sum(row[name] or 0 for row in self.relay.archived("media") for name in PACKETS)

    def lost(self) -> int:
        return sum(row[f"{way}_packets_lost"] or 0 for row in self.relay.archived("media") for way in WAYS)

    def attempts(self) -> list[int]:
        """Outbound calls: attempted, answered, failed."""
        return [
            sum(row["values"][f"Outbound{what}"] or 0 for row in self.proxy.archived("metrics"))
            for what in ("CallAttempts", "CallsAnswered", "CallFailures")
        ]

    def assert_none_twice(self) -> None:
        """No record, and no minute, is there twice."""
        for host in self.fleet.hosts.values():
            ids = [row["record_id"] for row in host.archived("media")]
            ids += [row["transaction_id"] for row in host.archived("calls")]
            ids += [repr(row) for row in host.archived("sip")]
            ids += [
                repr([row[name] for name in ("event_timestamp", "part", "voice_connector_id")])
                for row in host.archived("metrics")
            ]
            assert len(ids) == len(set(ids)), host.name


def is_rtp(frame: Frame) -> bool:
    return not is_sip(frame) and frame.data[23] == 17 and not 192 <= frame.data[43] <= 223


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    if not has_server():
        pytest.skip("no redis-server")
    made = Scene(tmp_path)
    yield made
    made.fleet.end()
    made.server.stop()


def saved_ns(host: Host) -> int:
    """The capture time of the checkpoint on disk."""
    store = Store(host.folder / "state" / "sbcwatch.sqlite", read_only=True)
    try:
        data = store.load_checkpoint()
        return (checkpoint.taken_ns(data) or 0) if data else 0
    finally:
        store.close()


def minutes(host: Host) -> int:
    """Whole minutes on disk."""
    store = Store(host.folder / "state" / "sbcwatch.sqlite", read_only=True)
    try:
        return sum(minute.complete for minute in store.minutes(0, 1 << 62))
    finally:
        store.close()


def wait_for(what: Any, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if what():
                return
        except ConfigError:  # the file is not there yet
            pass
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_proxy_killed_before_its_claims_left_tells_them_from_its_checkpoint(scene: Scene) -> None:
    scene.server.stop()
    scene.play(scene.answered_ns + 6 * SECOND_NS)
    wait_for(lambda: saved_ns(scene.proxy) > scene.answered_ns)
    scene.proxy.kill()
    scene.server.start()
    scene.proxy.start()
    scene.fleet.exchange()
    scene.play()
    scene.fleet.finish()
    assert scene.attempts() == [1, 1, 0]
    (call,) = scene.proxy.archived("calls")
    assert {row["transaction_id"] for row in scene.relay.archived("media")} == {call["transaction_id"]}
    assert (scene.packets(), scene.lost()) == (scene.rtp(), 0)
    scene.assert_none_twice()


def test_proxy_killed_before_claims_and_checkpoint_leaves_media_that_nobody_explains(scene: Scene) -> None:
    scene.server.stop()
    scene.play(scene.answered_ns)
    scene.proxy.kill()
    scene.server.start()
    scene.proxy.start()
    scene.play()
    scene.fleet.finish()
    rows = scene.relay.archived("media")
    assert {row["call_id"] for row in rows} == {None}
    assert all("unsignalled" in row["flags"] for row in rows)
    assert (scene.packets(), scene.lost()) == (scene.rtp(), 0)
    assert scene.attempts() == [0, 0, 0]
    scene.assert_none_twice()


def test_relay_killed_before_it_heard_reads_the_claims_when_it_runs_again(scene: Scene) -> None:
    began_ns = scene.frames[0].stamp_ns
    scene.play(began_ns)
    scene.relay.kill()
    again_ns = scene.answered_ns + 2 * SECOND_NS
    scene.play(again_ns)
    scene.relay.start()
    scene.fleet.exchange()
    scene.play()
    scene.fleet.finish()
    (call,) = scene.proxy.archived("calls")
    assert {row["transaction_id"] for row in scene.relay.archived("media")} == {call["transaction_id"]}
    assert (scene.packets(), scene.lost()) == (scene.rtp(again_ns), 0)
    scene.assert_none_twice()


def test_proxy_killed_in_a_call_goes_on_with_it_and_ends_it_on_the_relay(scene: Scene) -> None:
    killed_ns = scene.answered_ns + 8 * SECOND_NS
    scene.play(killed_ns)
    wait_for(lambda: saved_ns(scene.proxy) > scene.answered_ns)
    scene.proxy.kill()
    scene.play(killed_ns + SECOND_NS)
    scene.proxy.start()
    scene.play()
    scene.fleet.finish()
    (call,) = scene.proxy.archived("calls")
    assert (call["outcome"], call["end_reason"]) == ("answered", "bye")
    assert scene.attempts() == [1, 1, 0]
    (row,) = scene.relay.archived("media")
    assert row["transaction_id"] == call["transaction_id"]
    assert (scene.packets(), scene.lost()) == (scene.rtp(), 0)
    scene.assert_none_twice()


def test_relay_killed_in_a_call_lacks_the_frames_since_its_checkpoint_and_no_more(scene: Scene) -> None:
    killed_ns = scene.answered_ns + 8 * SECOND_NS
    again_ns = killed_ns + SECOND_NS
    scene.play(killed_ns)
    wait_for(lambda: saved_ns(scene.relay) > scene.answered_ns + 2 * SECOND_NS)
    scene.relay.kill()
    kept_ns = saved_ns(scene.relay)
    scene.play(again_ns)
    scene.relay.start()
    scene.fleet.exchange()
    scene.play()
    scene.fleet.finish()
    assert killed_ns - kept_ns <= 5 * SECOND_NS + 10**8
    # A capture thread may have finished RTP that the checkpoint's time does not cover yet.
    after = scene.rtp(again_ns)
    assert scene.rtp(0, kept_ns) + after <= scene.packets() <= scene.rtp(0, killed_ns) + after
    assert scene.lost() == 0  # a gap of ours is none of the network
    (call,) = scene.proxy.archived("calls")
    assert {row["transaction_id"] for row in scene.relay.archived("media")} == {call["transaction_id"]}
    scene.assert_none_twice()


@pytest.mark.parametrize("name", ["proxy", "relay"])
@pytest.mark.parametrize("is_there", [False, True], ids=["before its object", "before its object's mark"])
def test_daemon_killed_after_a_minute_archives_it_once(scene: Scene, name: str, is_there: bool) -> None:
    host = scene.fleet.hosts[name]
    blocked = host.folder / "archive"
    blocked.write_text("no folder\n")
    scene.play()
    scene.fleet.wait(150)
    wait_for(lambda: minutes(host) >= 2)
    host.kill()
    blocked.unlink()
    if is_there:  # it was put, and the mark was not written: the store is that of before
        before = host.folder / "before"
        shutil.copytree(host.folder / "state", before)
        host.start()
        wait_for(lambda: host.archived("metrics"))
        host.kill()
        shutil.rmtree(host.folder / "state")
        before.rename(host.folder / "state")
    host.start()
    scene.fleet.finish()
    kinds = ("media",) if name == "relay" else ("calls", "sip")
    assert all(host.archived(kind) for kind in kinds)
    assert (scene.packets(), scene.lost()) == (scene.rtp(), 0)
    assert scene.attempts() == [1, 1, 0]
    scene.assert_none_twice()
    (refused,) = host.lines("archive")
    assert "ENOTDIR" in refused
