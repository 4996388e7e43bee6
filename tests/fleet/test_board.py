"""Claims between hosts: against Debian's redis-server on loopback, and without any."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.calls.claimed import NewestClaims
from agent.errors import ConfigError
from agent.fleet.board import Elected, LocalBoard, claim_key, leg_key
from agent.fleet.valkey import WAIT_NS, ValkeyBoard
from agent.model.claim import CallFacts, Claim, RemoteClaim
from tests.kit.board_server import PASSWORD, Server, Slow, free_port, has_server
from tests.kit.halves import frames_of
from tests.kit.replayed import sidecar
from tests.kit.two_hosts import Hosts, alone, comparable

redis = pytest.importorskip("redis")
T0 = 1_795_996_440 * 10**9
RELAY = "192.0.2.1"


def claim(seq: int, leg: str = "leg-1", **more: Any) -> Claim:
    given = {"valid_from_ns": T0, "side": "customer", "connector": "vc-1", "ours": "v=0\n", **more}
    return Claim("t-1", "call-1", leg, "proxy-1", seq, **given)


class Clock:
    def __init__(self) -> None:
        self.now_ns = T0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if not has_server():
        pytest.skip("no redis-server")
    made = Server(tmp_path)
    yield made
    made.stop()


def board(server: Server, *relays: str, clock: Clock | None = None, **more: Any) -> ValkeyBoard:
    given = {"url": server.url, "user": "host", "password_file": str(server.folder / "password"), **more}
    return ValkeyBoard(given.pop("url"), relays, clock or Clock(), **given)


def heard(at: ValkeyBoard, steps: int = 3) -> list[Claim]:
    for _ in range(steps):
        at.step(1)
    return [each.claim for each in at.hear()]


def test_claim_reaches_the_host_of_its_relay_and_no_other(server: Server) -> None:
    proxy, relay, other = board(server), board(server, RELAY, "2001:db8::1"), board(server, "192.0.2.9")
    first, second = claim(1), claim(2, leg="leg-2")
    proxy.tell(RELAY, first)
    proxy.tell("2001:db8::1", second)
    proxy.step(1)
    assert heard(relay) == [first, second]
    assert heard(relay) == []  # once
    assert heard(other) == []
    assert (proxy.missed, proxy.errors, relay.errors) == (0, 0, 0)


def test_restart_reads_on_from_the_id_that_was_kept(server: Server) -> None:
    proxy, relay = board(server), board(server, RELAY)
    proxy.tell(RELAY, claim(1))
    proxy.step(1)
    assert len(heard(relay)) == 1
    proxy.tell(RELAY, claim(2))
    proxy.step(1)
    again = board(server, RELAY, last=relay.last_ids)
    assert [each.seq for each in heard(again)] == [2]
    assert again.gaps == 0


def test_time_of_sending_is_known_of_claims_that_were_read_at_once_alone(server: Server) -> None:
    """One that waited in the stream says nothing of two clocks."""
    clock, ours = Clock(), Clock()
    proxy, relay = board(server, clock=clock), board(server, RELAY, clock=ours)
    proxy.tell(RELAY, claim(1))
    proxy.step(1)
    ours.now_ns = T0 + 600 * 10**9
    relay.step(1)
    proxy.tell(RELAY, claim(2))
    clock.now_ns = T0 + 605 * 10**9  # it waited here before it was sent
    proxy.step(1)
    relay.step(1)
    assert [each.sent_ns for each in relay.hear()] == [0, T0 + 605 * 10**9]


def test_claims_thrown_away_before_they_were_read_are_a_gap(server: Server) -> None:
    proxy, relay = board(server), board(server, RELAY)
    for seq in range(4):
        proxy.tell(RELAY, claim(seq))
    proxy.step(1)
    assert len(heard(relay)) == 4
    for seq in range(4, 8):
        proxy.tell(RELAY, claim(seq))
    proxy.step(1)
    server.admin().xtrim(claim_key(RELAY), maxlen=2, approximate=False)
    again = board(server, RELAY, last=relay.last_ids)
    assert [each.seq for each in heard(again)] == [6, 7]
    assert again.gaps == 1


def test_first_to_ask_is_elected_for_all(server: Server) -> None:
    one, two = Elected("t-1", "one", T0), Elected("t-2", "two", T0 + 1)
    assert board(server).elect("call-id", one) == one
    assert board(server).elect("call-id", two) == one
    assert board(server).elect("another", two) == two
    assert 0 < server.admin().ttl(leg_key("call-id")) <= 3_600


def test_elections_asked_for_are_answered_by_a_later_step(server: Server) -> None:
    first, second = board(server), board(server)
    one, two = Elected("t-1", "one", T0), Elected("t-2", "two", T0 + 1)
    first.ask("call-id", one)
    assert first.answers() == []
    first.step(1)
    assert first.answers() == [("call-id", one)]
    for key in ("call-id", "another"):
        second.ask(key, two)
    second.step(1)
    assert second.answers() == [("call-id", one), ("another", two)]
    assert second.answers() == []


def test_server_restarted_empty_is_a_gap_and_waiting_claims_arrive(server: Server) -> None:
    clock = Clock()
    proxy, relay = board(server, clock=clock), board(server, RELAY)
    proxy.tell(RELAY, claim(1))
    proxy.step(1)
    assert len(heard(relay)) == 1
    server.stop()
    proxy.tell(RELAY, claim(2))
    proxy.step(1)
    relay.step(1)
    assert not proxy.is_up
    assert proxy.elect("x", Elected("t", "h", T0)) is None
    clock.now_ns += WAIT_NS // 2
    server.start()
    proxy.step(1)
    assert [each.seq for each in heard(relay)] == [2]
    assert (proxy.missed, relay.gaps) == (0, 1)


def test_claims_that_waited_a_minute_are_missed(server: Server) -> None:
    clock = Clock()
    proxy = board(server, clock=clock)
    server.stop()
    proxy.tell(RELAY, claim(1))
    clock.now_ns += WAIT_NS - 1
    proxy.step(1)
    assert proxy.missed == 0
    clock.now_ns += 2
    proxy.step(1)
    assert proxy.missed == 1


def test_user_of_a_host_may_do_nothing_else(server: Server) -> None:
    client = board(server)._client
    for command in (("GET", "leg:{x}"), ("DEL", "claim:{x}"), ("KEYS", "*"), ("SET", "other", "1")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)


def test_entry_that_is_no_claim_counts_and_stops_nothing(server: Server) -> None:
    relay = board(server, RELAY)
    for fields in ({"c": "{"}, {"d": "1"}, {"c": '{"transaction_id":1}'}):
        server.admin().xadd(claim_key(RELAY), fields)
    proxy = board(server)
    proxy.tell(RELAY, claim(1))
    proxy.step(1)
    assert [each.seq for each in heard(relay)] == [1]
    assert relay.missed == 3


def test_server_takes_50_000_claims_a_cpu_second(server: Server) -> None:
    admin, proxy = server.admin(), board(server)
    before = admin.info("cpu")
    said = "v=0\n" + "a=rtpmap:96 opus/48000/2\n" * 12  # as long as a phone's, condensed
    who = (["6f3e0c7a@192.0.2.1", "8a11"], "+4930123456", "DE", "+442079460000", "GB", "0" * 32)
    facts = CallFacts(who, T0, None, None)
    for seq in range(20_000):
        proxy.tell(RELAY, claim(seq, ours=said, far=said, facts=facts))
    proxy.step(1)
    after = admin.info("cpu")
    spent = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
    print(f"{20_000 / spent:,.0f} claims a CPU-second")
    assert admin.xlen(claim_key(RELAY)) == 20_000
    assert 20_000 / spent >= 50_000


def test_claim_of_a_clock_that_is_ahead_holds_from_its_arrival() -> None:
    assert RemoteClaim(claim(1, valid_from_ns=T0 + 5), T0).from_ns == T0
    assert RemoteClaim(claim(1, valid_from_ns=T0 - 5), T0).from_ns == T0 - 5


def test_claim_before_the_newest_is_no_news_however_often_it_comes() -> None:
    newest = NewestClaims()
    assert newest.take(claim(2, until_ns=T0 + 1))
    assert not newest.take(claim(2))
    assert not newest.take(claim(1))
    assert newest.take(claim(3))


def test_newest_claims_are_bounded_and_the_oldest_goes_first() -> None:
    newest = NewestClaims(cap=2)
    for number in range(3):
        newest.take(claim(1, leg=f"leg-{number}"))
    assert (len(newest), newest.evicted, newest.of("leg-0")) == (2, 1, None)


def test_one_host_alone_hears_itself_by_the_same_verbs() -> None:
    local = LocalBoard()
    local.tell(RELAY, claim(1))
    assert [each.claim for each in local.hear()] == [claim(1)]
    assert local.hear() == []
    one, two = Elected("t-1", "h", T0), Elected("t-2", "h", T0)
    assert local.elect("k", one) == local.elect("k", two) == one


def test_keys_stand_on_one_slot_and_name_nobody() -> None:
    assert claim_key(RELAY) == "claim:{192.0.2.1}"
    assert "1234" not in leg_key("+431234")


def test_password_that_cannot_be_read_or_url_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        ValkeyBoard("redis://h", (), Clock(), password_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no board"):
        ValkeyBoard("http://h", (), Clock())


def test_slow_server_is_late_and_loses_nothing(server: Server) -> None:
    way = Slow(server.port, 0.2)
    proxy, relay = board(server, url=way.url), board(server, RELAY)
    proxy.tell(RELAY, claim(1))
    proxy.step(1)
    assert proxy.is_up
    assert proxy.answer_s >= 0.2
    assert [each.seq for each in heard(relay)] == [1]
    assert relay.answer_s < 0.2
    assert (proxy.missed, proxy.errors) == (0, 0)
    way.close()


def test_full_server_refuses_and_is_still_read(server: Server) -> None:
    admin = server.admin()
    other, host = board(server), board(server, RELAY)
    other.tell(RELAY, claim(1))
    other.step(1)
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", 1)
    host.tell("192.0.2.9", claim(2))
    host.step(1)
    assert not host.is_up
    assert host.fault == "refuses: command not allowed when used memory > 'maxmemory'"
    assert [each.claim.seq for each in host.hear()] == [1]
    admin.config_set("maxmemory", 0)
    host.step(1)
    assert (host.is_up, host.fault, host.missed) == (True, "", 0)
    assert [each.seq for each in heard(board(server, "192.0.2.9"))] == [2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "nobody"}, "refuses: invalid username-password pair"),
        ({"user": "reader"}, "refuses: this user has no permissions to run the 'xadd' command"),
    ],
)
def test_user_without_the_right_is_told_what_was_refused(
    server: Server, options: dict[str, Any], words: str
) -> None:
    server.admin().acl_setuser(
        "reader", enabled=True, passwords=["+" + PASSWORD], keys=["claim:*"], commands=["+xread"]
    )
    host = board(server, **options)
    host.tell(RELAY, claim(1))
    host.step(1)
    assert not host.is_up
    assert host.fault.lower().startswith(words)
    assert PASSWORD not in host.fault


def test_server_that_is_gone_is_waited_for_once_a_step(server: Server) -> None:
    host = board(server, RELAY)
    server.stop()
    host.tell(RELAY, claim(1))
    host.step(1)
    assert host.fault.startswith("does not answer: ")
    assert host.errors == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_server_with_tls_is_believed_by_its_ca_alone(tmp_path: Path, is_known: bool) -> None:
    if not has_server():
        pytest.skip("no redis-server")
    for name in ("own", "other"):
        certificate(tmp_path, name)
    own = str(tmp_path / "own")
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-cert-file", own + ".crt", "--tls-key-file", own + ".key"]
    server = Server(tmp_path, *tls, "--tls-auth-clients", "no")
    ca = str(tmp_path / ("own.crt" if is_known else "other.crt"))
    host = board(server, RELAY, url=f"rediss://127.0.0.1:{port}", ca_file=ca)
    host.tell(RELAY, claim(1))
    host.step(1)
    assert host.is_up == is_known
    assert is_known or "CERTIFICATE_VERIFY_FAILED" in host.fault
    server.stop()


def certificate(folder: Path, name: str) -> None:
    """A self-signed one for 127.0.0.1."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
        check=True,
        capture_output=True,
    )  # fmt: skip


def test_cluster_takes_and_gives_claims_wherever_their_keys_are(tmp_path: Path) -> None:
    if not has_server():
        pytest.skip("no redis-server")
    servers: list[Server] = []
    bus: list[int] = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        bus.append(free_port())
        servers.append(
            Server(tmp_path / str(number), "--cluster-enabled", "yes", "--cluster-port", str(bus[-1]))
        )
    one, two = (server.admin() for server in servers)
    one.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
    two.execute_command("CLUSTER ADDSLOTSRANGE", 8192, 16383)
    one.execute_command("CLUSTER MEET", "127.0.0.1", servers[1].port, bus[1])
    wait_until(lambda: all(each.cluster("INFO")["cluster_state"] == "ok" for each in (one, two)))
    relays = [f"192.0.2.{number}" for number in range(6)]
    proxy, relay = board(servers[0]), board(servers[0], *relays)
    for number, address in enumerate(relays):
        proxy.tell(address, claim(number, leg=f"leg-{number}"))
        proxy.ask(f"key-{number}", Elected("t", "h", T0))
    proxy.step(1)
    assert {each.seq for each in heard(relay)} == set(range(6))
    assert len(proxy.answers()) == 6
    assert (proxy.is_up, proxy.missed, relay.missed) == (True, 0, 0)
    for server in servers:
        server.stop()


def wait_until(what: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_hosts_with_a_server_between_them_write_the_records_of_one(server: Server) -> None:
    """Claims as the daemon's thread takes them over the wire; the server is restarted in the middle."""
    name = "short-outbound"
    side, frames = sidecar(name), frames_of(name)
    proxy, relay = board(server), board(server, *side["vc"])

    class Between:
        def tell(self, address: str, claim: Claim) -> None:
            proxy.tell(address, claim)

        def hear(self) -> list[RemoteClaim]:
            proxy.step(1)
            relay.step(1)
            return relay.hear()

        def elect(self, key: str, leg: Elected) -> Elected | None:
            return proxy.elect(key, leg)

        def ask(self, key: str, leg: Elected) -> None:
            proxy.ask(key, leg)

        def answers(self) -> list[tuple[str, Elected]]:
            return proxy.answers()

    hosts = Hosts(side["vc"], side["customer_networks"], board=Between())
    hosts.play(frames[: len(frames) // 2])
    server.stop()
    hosts.play(frames[len(frames) // 2 : -200])
    server.start()
    hosts.play(frames[-200:])
    hosts.finish()
    kept = alone(frames, side["vc"], side["customer_networks"])
    assert hosts.records("relay") == comparable(row for summary in kept.summaries for row in summary.media)
    assert (proxy.missed, relay.missed) == (0, 0)
