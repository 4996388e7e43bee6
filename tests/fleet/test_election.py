"""Two hosts that see legs of one call: the first names it for both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from agent.config.settings import Config
from agent.fleet.board import Elected, LocalBoard
from agent.fleet.teller import ClaimTeller
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.records import ConnectorMinute, Samples
from agent.wire.frame import Frame, batch_of
from tests.kit.conversation import ALICE, BOB, Conversation
from tests.kit.halves import frames_of
from tests.kit.replayed import Keeper, sidecar
from tests.kit.two_hosts import KEY, is_sip


class Proxy:
    """A host that sees some of the frames."""

    def __init__(
        self, name: str, board: LocalBoard, vc: list[str], customers: list[str], own: Sequence[str] = ()
    ) -> None:
        self.pipeline: Pipeline = build(Config(), vc=vc, customers=customers, key=KEY, host=name)
        self.kept = Keeper()
        self.teller = ClaimTeller(board, self.pipeline.sides, self.pipeline.intervals.identity, own)

    def see(self, frame: Frame) -> None:
        pass_on(self.pipeline.engine.feed(batch_of([frame])), self.pipeline.intervals, self.kept)
        for _ in range(3):  # ask, take the answer, and ask who counts
            self.teller.tell(self.pipeline.engine.signalling, frame.stamp_ns)
        for its in self.teller.twice.due(frame.stamp_ns):
            self.pipeline.engine.yield_counts(its.sight, its.connector, its.start_ns, its.end_ns, its.host)

    def finish(self) -> None:
        pass_on(self.pipeline.engine.finish(), self.pipeline.intervals, self.kept)

    def ids(self) -> set[str]:
        return {row["transaction_id"] for summary in self.kept.summaries for row in summary.calls}

    def minutes(self) -> list[ConnectorMinute]:
        return [each for summary in self.kept.summaries for each in summary.connectors]

    def totals(self) -> Counter[str]:
        """Counts, and the packets behind samples."""
        found: Counter[str] = Counter()
        for minute in self.minutes():
            for name, value in minute.values.items():
                found[name] += round(sum(value.counts) if isinstance(value, Samples) else value or 0)
        return +found

    def flags(self) -> list[list[str]]:
        return [row["flags"] for summary in self.kept.summaries for row in summary.calls]


def played(name: str, sees: tuple[int, int]) -> tuple[Proxy, Proxy]:
    """Two hosts on one board. `sees`: the legs (by the capture's file) of each host, 2: both."""
    side, board = sidecar(name), LocalBoard()
    hosts = tuple(Proxy(host, board, side["vc"], side["customer_networks"]) for host in ("one", "two"))
    for frame in filter(is_sip, frames_of(name)):
        leg = 0 if frame.data[26:29] == CUSTOMER or frame.data[30:33] == CUSTOMER else 1
        for host, legs in zip(hosts, sees, strict=True):
            if legs in (leg, 2):
                host.see(frame)
    for host in hosts:
        host.finish()
    return hosts[0], hosts[1]


CUSTOMER = bytes([10, 10, 0])


def test_host_that_sees_the_other_leg_takes_the_id_of_the_first() -> None:
    one, two = played("answered-outbound", (0, 1))
    assert len(one.ids()) == 1
    assert two.ids() == one.ids()
    assert two.flags() == [[]] or "seen_twice" not in two.flags()[0]


def test_hosts_that_see_the_same_legs_agree_and_the_second_says_so() -> None:
    one, two = played("answered-outbound", (2, 2))
    assert one.ids() == two.ids()
    assert "seen_twice" not in one.flags()[0]
    assert "seen_twice" in two.flags()[0]


def mirrored(name: str, order: tuple[str, ...], own: Sequence[str] = ()) -> dict[str, Proxy]:
    """Hosts that see all frames of a capture; each frame comes to them in this order."""
    side, board = sidecar(name), LocalBoard()
    hosts = {host: Proxy(host, board, side["vc"], side["customer_networks"], own) for host in order}
    for frame in frames_of(name):
        for host in hosts.values():
            host.see(frame)
    for host in hosts.values():
        host.finish()
    return hosts


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
@pytest.mark.parametrize("name", ["answered-outbound", "transcoded-inbound", "twenty-inbound"])
def test_hosts_that_see_the_same_traffic_add_up_to_one(name: str, order: tuple[str, ...]) -> None:
    hosts = mirrored(name, order)
    (alone,) = mirrored(name, ("alone",)).values()
    first, second = (hosts[host] for host in order)
    assert first.totals() == alone.totals()
    assert second.totals() == Counter()
    for minute in second.minutes():
        assert set(minute.values.values()) == {None}
        assert minute.seen == {}
        assert {because["cause"] for because in minute.unknown_because} == {"seen_twice"}


def test_each_record_of_a_call_that_two_hosts_see_is_flagged_on_one_of_them() -> None:
    hosts = mirrored("twenty-inbound", ("one", "two"))
    flagged = [
        (row["transaction_id"], row["event_timestamp"], "seen_twice" in row["flags"])
        for host in hosts.values()
        for summary in host.kept.summaries
        for row in summary.media
    ]
    assert len(flagged) == 2 * len({row[:2] for row in flagged}) == len(set(flagged))


def test_host_that_is_first_with_some_calls_and_not_with_others_is_the_one_that_counts() -> None:
    """The host that lost first yields for good: never do both count, nor neither."""
    side, board = sidecar("twenty-inbound"), LocalBoard()
    hosts = [Proxy(host, board, side["vc"], side["customer_networks"]) for host in ("one", "two")]
    draw = random.Random(1)
    for frame in frames_of("twenty-inbound"):
        draw.shuffle(order := list(hosts))
        for host in order:
            host.see(frame)
    for host in hosts:
        host.finish()
    flagged = [sum("seen_twice" in flags for flags in host.flags()) for host in hosts]
    assert all(flagged)
    (alone,) = mirrored("twenty-inbound", ("alone",)).values()
    assert sorted((host.totals() for host in hosts), key=len) == [Counter(), alone.totals()]


def test_host_that_relays_the_media_itself_leaves_only_the_calls_to_the_other() -> None:
    side = sidecar("answered-outbound")
    hosts = mirrored("answered-outbound", ("one", "two"), own=side["vc"])
    (alone,) = mirrored("answered-outbound", ("alone",)).values()
    second = hosts["two"].totals()
    assert second["CustomerToVcRtpPackets"] == alone.totals()["CustomerToVcRtpPackets"]
    assert not any("Call" in name or name.startswith("Sip") for name in second)
    assert hosts["two"].flags() == [["sip_seen_twice"]]


def test_host_counts_again_ten_minutes_after_the_last_call_that_another_saw() -> None:
    side, board = sidecar("answered-outbound"), LocalBoard()
    hosts = [Proxy(host, board, side["vc"], side["customer_networks"]) for host in ("one", "two")]
    frames = frames_of("answered-outbound")
    for frame in frames:
        for host in hosts:
            host.see(frame)
    two, marked = hosts[1], []
    for minute in range(1, 20):
        now_ns = frames[-1].stamp_ns + minute * 60 * 10**9
        pass_on(two.pipeline.engine.advance(now_ns), two.pipeline.intervals, two.kept)
        two.teller.tell(two.pipeline.engine.signalling, now_ns)
        marked += [its.end_ns for its in two.teller.twice.due(now_ns)]
    minutes = (max(marked) - frames[-1].stamp_ns) / (60 * 10**9)
    assert 10 <= minutes <= 13


def test_counters_of_the_host_that_yields_stand_still_in_the_open_minute_too() -> None:
    side, board = sidecar("answered-outbound"), LocalBoard()
    hosts = [Proxy(host, board, side["vc"], side["customer_networks"]) for host in ("one", "two")]
    frames = frames_of("answered-outbound")
    for frame in frames[: len(frames) // 2]:
        for host in hosts:
            host.see(frame)
    first, second = (host.pipeline.so_far()[0] for host in hosts)
    assert first[0].values["OutboundCallsAnswered"] == 1
    assert set(second[0].values.values()) == {None}


def test_call_from_proxy_to_proxy_is_counted_by_each_for_its_own_leg_and_not_twice() -> None:
    """Both see what passes between them, under one Call-ID."""
    board, vc = LocalBoard(), ["10.0.0.1", "10.0.0.2"]
    talk = Conversation(vc=tuple(vc))
    legs = [talk.leg(ALICE, vc[0]), talk.leg(vc[0], vc[1]), talk.leg(vc[1], BOB)]
    for hop, leg in enumerate(legs):
        leg.invite(hop * 0.01)
        leg.ok(1 + hop * 0.01)
        leg.ack(2 + hop * 0.01)
        leg.bye(8 + hop * 0.01)
    frames = [frame for _, _, frame in sorted(talk.frames, key=lambda row: row[:2])]
    hosts = {host: Proxy(host, board, vc, ["192.0.2.0/24"]) for host in ("one", "two")}
    ends = {"one": (vc[0], vc[1]), "two": (vc[1], vc[0])}
    for frame in frames:
        addresses = {str(ip_address(frame.data[at : at + 4])) for at in (26, 30)}
        for name, host in hosts.items():
            if ends[name][0] in addresses:
                host.see(frame)
    for host in hosts.values():
        host.finish()
    assert hosts["one"].ids() == hosts["two"].ids()
    assert not any(host.flags()[0] for host in hosts.values())
    totals = hosts["one"].totals() + hosts["two"].totals()
    assert totals["OutboundCallAttempts"] == totals["OutboundCallsAnswered"] == 1
    assert all(
        because["cause"] != "seen_twice"
        for host in hosts.values()
        for minute in host.minutes()
        for because in minute.unknown_because
    )


def test_hosts_of_one_name_are_found_by_the_legs_that_both_see() -> None:
    side, board = sidecar("answered-outbound"), LocalBoard()
    hosts = [Proxy("one", board, side["vc"], side["customer_networks"]) for _ in range(2)]
    for number, frame in enumerate(frames_of("answered-outbound")):
        for host in hosts[: 1 + (number > 0)]:
            host.see(Frame(frame.data, frame.stamp_ns + number, frame.origin, frame.wire_length))
    assert [host.teller.has_namesake for host in hosts] == [False, False]  # in one instant: it may be we
    for frame in frames_of("short-outbound"):
        for late, host in enumerate(hosts):
            host.see(Frame(frame.data, frame.stamp_ns + late, frame.origin, frame.wire_length))
    assert [host.teller.has_namesake for host in hosts] == [False, True]


def test_host_that_starts_again_is_no_namesake_of_its_own() -> None:
    side, board = sidecar("answered-outbound"), LocalBoard()
    first, second = (Proxy("one", board, side["vc"], side["customer_networks"]) for _ in range(2))
    frames = frames_of("answered-outbound")
    for frame in frames:
        first.see(frame)
    for frame in frames:
        later_ns = frame.stamp_ns + 60 * 10**9
        second.see(Frame(frame.data, later_ns, frame.origin, frame.wire_length))
    assert not second.teller.has_namesake


def test_board_that_never_answers_leaves_each_host_its_own_id() -> None:
    class Silent(LocalBoard):
        def answers(self) -> list[tuple[str, Elected]]:
            return []

    side = sidecar("answered-outbound")
    proxy = Proxy("one", Silent(), side["vc"], side["customer_networks"])
    for frame in filter(is_sip, frames_of("answered-outbound")):
        proxy.see(frame)
    proxy.finish()
    assert len(proxy.ids()) == 1
