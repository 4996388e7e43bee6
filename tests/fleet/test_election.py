"""Two hosts that see legs of one call: the first names it for both."""

from __future__ import annotations

from agent.config.settings import Config
from agent.fleet.board import Elected, LocalBoard
from agent.fleet.teller import ClaimTeller
from agent.pipeline import Pipeline, build, pass_on
from agent.wire.frame import Frame, batch_of
from tests.kit.halves import frames_of
from tests.kit.replayed import Keeper, sidecar
from tests.kit.two_hosts import KEY, is_sip


class Proxy:
    """A host that sees some of the frames."""

    def __init__(self, name: str, board: LocalBoard, vc: list[str], customers: list[str]) -> None:
        self.pipeline: Pipeline = build(Config(), vc=vc, customers=customers, key=KEY, host=name)
        self.kept = Keeper()
        self.teller = ClaimTeller(board, self.pipeline.sides, self.pipeline.intervals.identity)

    def see(self, frame: Frame) -> None:
        pass_on(self.pipeline.engine.feed(batch_of([frame])), self.pipeline.intervals, self.kept)
        for _ in range(2):  # ask, and take the answer
            self.teller.tell(self.pipeline.engine.signalling, frame.stamp_ns)

    def finish(self) -> None:
        pass_on(self.pipeline.engine.finish(), self.pipeline.intervals, self.kept)

    def ids(self) -> set[str]:
        return {row["transaction_id"] for summary in self.kept.summaries for row in summary.calls}

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
