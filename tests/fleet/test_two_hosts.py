"""One host sees SIP, another the media: what they say together is what one host says that sees both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.config.settings import Config, Privacy
from agent.daemon import checkpoint
from agent.fleet.teller import ClaimTeller
from agent.model.claim import RemoteClaim
from agent.pipeline import Pipeline, pass_on
from agent.wire.frame import batch_of
from tests.kit.halves import frames_of
from tests.kit.replayed import PCAPS, Keeper, sidecar
from tests.kit.two_hosts import Hosts, alike, alone, assert_minutes_alike, comparable, is_sip, rows_of

EVERY = sorted(path.stem for path in PCAPS.glob("*.json"))


@pytest.mark.parametrize("name", EVERY)
def test_every_capture_split_in_two_gives_the_records_and_minutes_of_one_host(name: str) -> None:
    side, frames = sidecar(name), frames_of(name)
    hosts = Hosts(side["vc"], side["customer_networks"])
    hosts.play(frames)
    hosts.finish()
    one = rows_of(alone(frames, side["vc"], side["customer_networks"]))
    proxy, relay = rows_of(hosts.kept["proxy"]), rows_of(hosts.kept["relay"])
    assert alike("media", relay["media"]) == alike("media", one["media"])
    for kind in ("calls", "sip"):
        assert alike(kind, proxy[kind]) == alike(kind, one[kind])
    assert proxy["media"] == relay["calls"] == relay["sip"] == []
    assert_minutes_alike(proxy["metrics"], relay["metrics"], one["metrics"])


def one(name: str) -> list[dict[str, Any]]:
    side = sidecar(name)
    kept = alone(frames_of(name), side["vc"], side["customer_networks"])
    return comparable(row for summary in kept.summaries for row in summary.media)


def two(name: str, **more: Any) -> Hosts:
    side = sidecar(name)
    hosts = Hosts(side["vc"], side["customer_networks"], **more)
    hosts.play(frames_of(name))
    hosts.finish()
    return hosts


@pytest.mark.parametrize("name", ["hold-outbound", "hunted-outbound", "transcoded-inbound"])
@pytest.mark.parametrize("seed", range(3))
def test_claims_doubled_and_shuffled_give_the_same_records(name: str, seed: int) -> None:
    draw = random.Random(seed)
    before: list[RemoteClaim] = []

    def deliver(heard: list[RemoteClaim]) -> list[RemoteClaim]:
        before.extend(heard)
        mixed = heard + draw.sample(before, min(3, len(before)))
        draw.shuffle(mixed)
        return mixed

    assert two(name, deliver=deliver).records("relay") == one(name)


def test_claims_that_come_after_their_media_count_it_from_the_open_minute_on() -> None:
    waiting: list[tuple[int, RemoteClaim]] = []

    def late(heard: list[RemoteClaim]) -> list[RemoteClaim]:
        """Each a second late, by the time of those that follow."""
        waiting.extend((each.claim.seq + 10**9, each) for each in heard)
        now_ns = waiting[-1][0] - 10**9 if waiting else 0
        due = [each for at_ns, each in waiting if at_ns <= now_ns]
        waiting[:] = [row for row in waiting if row[0] > now_ns]
        return due

    rows, right = two("answered-outbound", deliver=late).records("relay"), one("answered-outbound")
    for way in ("cust2vc", "vc2cust", "rem2vc", "vc2rem"):
        what = f"{way}_rtp_packets"
        assert sum(row[what] for row in rows) == sum(row[what] for row in right)
    assert {row["transaction_id"] for row in rows} == {row["transaction_id"] for row in right}


def interrupted(name: str, restart: Callable[[Hosts], None]) -> Hosts:
    """Both hosts over a capture, with a restart in its middle."""
    side, frames = sidecar(name), frames_of(name)
    hosts = Hosts(side["vc"], side["customer_networks"])
    middle = len(frames) // 2
    hosts.play(frames[:middle])
    restart(hosts)
    hosts.play(frames[middle:])
    hosts.finish()
    return hosts


def restarted(hosts: Hosts, which: str, before: Pipeline) -> Pipeline:
    """A pipeline that goes on from the checkpoint of `before`."""
    image = checkpoint.packed(checkpoint.save(before.engine, before.intervals))
    after = hosts.built(which, hosts.config)
    checkpoint.restore(image, after.engine, after.intervals)
    return after


def test_relay_that_goes_on_in_another_pipeline_keeps_the_claimed_calls() -> None:
    def restart(hosts: Hosts) -> None:
        hosts.relay = restarted(hosts, "relay", hosts.relay)

    name = "hold-outbound"
    hosts = interrupted(name, restart)
    rows, right = hosts.records("relay"), one(name)
    assert [row["transaction_id"] for row in rows] == [row["transaction_id"] for row in right]
    for way in ("cust2vc", "vc2cust", "rem2vc", "vc2rem"):
        assert [row[f"{way}_rtp_packets"] for row in rows] == [row[f"{way}_rtp_packets"] for row in right]


def test_proxy_that_comes_back_from_its_checkpoint_tells_of_its_calls_again() -> None:
    def restart(hosts: Hosts) -> None:
        hosts.proxy = restarted(hosts, "proxy", hosts.proxy)
        hosts.teller = ClaimTeller(hosts.board, hosts.proxy.sides, hosts.proxy.intervals.identity)

    name = "hold-outbound"
    assert interrupted(name, restart).records("relay") == one(name)


def test_claims_that_never_come_leave_media_without_a_call_and_no_wrong_one() -> None:
    rows = two("answered-outbound", deliver=lambda heard: []).records("relay")
    assert {row["call_id"] for row in rows} == {None}
    assert all("unsignalled" in row["flags"] for row in rows)


def test_release_that_never_comes_ends_the_call_once_nobody_speaks_of_it() -> None:
    name = "short-outbound"
    hosts = Hosts(sidecar(name)["vc"], sidecar(name)["customer_networks"])
    hosts.play(frames_of(name)[: len(frames_of(name)) // 2])
    engine = hosts.relay.engine
    assert len(engine.signalling) == 1
    now_ns = frames_of(name)[-1].stamp_ns
    for minutes in range(1, 8):
        hosts.passed("relay", engine.advance(now_ns + minutes * 60 * 10**9))
    assert len(engine.signalling) == 0
    assert engine.tables()["media_sockets"] == 0


def test_missed_claims_leave_media_unknown_and_say_so() -> None:
    name = "answered-outbound"
    hosts = Hosts(sidecar(name)["vc"], sidecar(name)["customer_networks"])
    frames = frames_of(name)
    hosts.play(frames[: len(frames) // 2])
    hosts.relay.engine.miss_claims(frames[0].stamp_ns, frames[-1].stamp_ns)
    hosts.play(frames[len(frames) // 2 :])
    hosts.finish()
    minutes = [each for summary in hosts.kept["relay"].summaries for each in summary.connectors]
    for minute in minutes:
        assert "claims_missed" in {because["cause"] for because in minute.unknown_because}
        assert minute.values["CustomerToVcRtpPackets"] is None


@pytest.mark.parametrize("messages", [9, 13], ids=["the call is up", "the call ended in the minute"])
def test_relay_that_hears_nothing_of_an_answered_call_says_null_as_one_host_does(messages: int) -> None:
    side, sip = sidecar("answered-outbound"), list(filter(is_sip, frames_of("answered-outbound")))
    began_ns, until_ns = sip[0].stamp_ns, sip[0].stamp_ns + 120 * 10**9
    hosts = Hosts(side["vc"], side["customer_networks"])
    whole, kept = hosts.built("both", hosts.config), Keeper()
    hosts.passed("relay", hosts.relay.engine.resume(began_ns))
    for frame in sip[:messages]:
        hosts.signal(frame)
        pass_on(whole.engine.feed(batch_of([frame])), whole.intervals, kept)
    hosts.time(until_ns)
    pass_on(whole.engine.advance(until_ns), whole.intervals, kept)
    for summaries in (kept.summaries, hosts.kept["relay"].summaries):
        first = summaries[0].connectors[0]
        assert first.values["CustomerToVcRtpPackets"] is None
        assert "media_elsewhere" in {because["cause"] for because in first.unknown_because}


def test_masked_users_leave_no_host_in_clear() -> None:
    config = Config(privacy=Privacy(mask_numbers=True))
    seen: list[RemoteClaim] = []

    def deliver(heard: list[RemoteClaim]) -> list[RemoteClaim]:
        seen.extend(heard)
        return heard

    hosts = two("answered-outbound", config=config, deliver=deliver)
    text = msgspec.json.encode([each.claim for each in seen]).decode()
    assert hosts.records("relay")[0]["from_sip_user"].startswith("n-")
    for user in ("12065550", "442079460"):
        assert user not in text


def test_host_alone_tells_nobody() -> None:
    side = sidecar("answered-outbound")
    hosts = Hosts(side["vc"], side["customer_networks"])
    hosts.teller = ClaimTeller(hosts.board, hosts.proxy.sides, hosts.proxy.intervals.identity, side["vc"])
    hosts.play(frames_of("answered-outbound"))
    assert hosts.teller.claims == len(hosts.teller) == 0


def test_metrics_of_two_hosts_add_up_to_those_of_one() -> None:
    name = "answered-outbound"
    side, hosts = sidecar(name), two(name)
    whole = alone(frames_of(name), side["vc"], side["customer_networks"])

    def totals(kept: Keeper) -> Counter[str]:
        found: Counter[str] = Counter()
        for summary in kept.summaries:
            for minute in summary.connectors:
                found.update({what: n for what, n in minute.values.items() if isinstance(n, int) and n})
        return found

    assert totals(hosts.kept["proxy"]) + totals(hosts.kept["relay"]) == totals(whole)


def test_far_ends_that_report_by_sip_leave_no_record_of_dead_air_on_the_proxy() -> None:
    name = "answered-outbound"
    hosts = Hosts(sidecar(name)["vc"], sidecar(name)["customer_networks"])
    hosts.play(frames_of(name))
    hosts.time(frames_of(name)[-1].stamp_ns + 120 * 10**9)  # the minute closes whole
    hosts.finish()
    assert hosts.records("proxy") == []
    assert hosts.records("relay") != []
