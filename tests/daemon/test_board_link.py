"""The daemon's end of the board, with a board and a clock of the test's own."""

from __future__ import annotations

import itertools
from typing import Any, cast

from agent.config.settings import Config, Fleet, Vc
from agent.daemon.board_link import BoardLink, board_link, media_addresses
from agent.fleet.board import Elected
from agent.fleet.valkey import WAIT_NS, ValkeyBoard
from agent.model.claim import CallFacts, Claim, RemoteClaim
from agent.model.events import Unseen
from agent.model.unseen import Cause
from agent.pipeline import Pipeline, build
from tests.kit.halves import frames_of
from tests.kit.replayed import sidecar
from tests.kit.two_hosts import KEY, Hosts

SECOND_NS = 10**9
T0 = 1_795_996_440 * SECOND_NS
RELAY = "192.0.2.1"


class FakeBoard:
    """What a link needs of a board, filled by the test."""

    def __init__(self) -> None:
        self.missed = self.gaps = self.errors = 0
        self.is_up, self.fault, self.answer_s = True, "", 0.0
        self.waiting: list[RemoteClaim] = []
        self.told: list[tuple[str, Claim]] = []

    def tell(self, relay: str, claim: Claim) -> None:
        self.told.append((relay, claim))

    def ask(self, key: str, leg: Elected) -> None:
        pass

    def answers(self) -> list[tuple[str, Elected]]:
        return []

    def hear(self) -> list[RemoteClaim]:
        heard, self.waiting = self.waiting, []
        return heard


class Bench:
    def __init__(self) -> None:
        self.now_ns = T0
        self.board = FakeBoard()
        self.lines: list[str] = []
        self.pipeline = pipeline()
        board = cast(ValkeyBoard, self.board)
        self.link = BoardLink(board, [RELAY], lambda: self.now_ns, self.lines.append)
        self.link.follow(self.pipeline)

    def step(self, seconds: float = 0.0) -> list[Unseen]:
        """Time passes; what the engine was told to be missing."""
        self.now_ns += round(seconds * SECOND_NS)
        self.link.step(self.pipeline)
        events = self.pipeline.engine.advance(self.now_ns)
        return [each for each in events if isinstance(each, Unseen) and each.cause is Cause.CLAIMS_MISSED]

    def hear(self, host: str, delay_s: float, leg: str = "leg") -> None:
        told_ns = self.now_ns - round(delay_s * SECOND_NS)
        claim = Claim("t", "call", leg, host, told_ns, told_ns)
        self.board.waiting.append(RemoteClaim(claim, self.now_ns, RELAY, "1-0", told_ns))


def pipeline(**more: Any) -> Pipeline:
    return build(Config(**more), vc=[RELAY], customers=["10.0.0.0/8"], key=KEY, host="h")


def test_claims_thrown_away_unread_leave_the_time_since_the_last_look_unknown() -> None:
    bench = Bench()
    assert bench.step(1) == []
    bench.board.gaps = 1
    (missed,) = bench.step(30)
    assert missed.stamp_ns == T0 + SECOND_NS
    assert missed.until_ns >= bench.now_ns + 60 * SECOND_NS  # claims come anew each minute
    assert bench.step(1) == []
    assert any("thrown away" in line for line in bench.lines)


def test_board_away_for_less_than_claims_wait_leaves_nothing_unknown() -> None:
    bench = Bench()
    bench.step(1)
    bench.board.is_up = False
    assert bench.step(WAIT_NS / SECOND_NS - 1) == []
    bench.board.is_up = True
    assert bench.step(1) == []


def test_board_away_for_longer_leaves_all_of_it_unknown_and_says_so_once() -> None:
    bench = Bench()
    bench.step(1)
    bench.board.is_up, bench.board.fault = False, "does not answer: timed out"
    missed = [each for _ in range(20) for each in bench.step(10)]
    spans = [(each.stamp_ns, each.until_ns) for each in missed]
    assert spans[0][0] == T0 + SECOND_NS
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(spans))
    assert bench.now_ns - spans[-1][1] <= WAIT_NS
    assert bench.lines == ["the board answers", "the board does not answer: timed out: local joins only"]


def test_board_that_refuses_says_what_in_one_line() -> None:
    bench = Bench()
    bench.step(1)
    bench.board.is_up = False
    for number in range(20):
        bench.board.fault = f"refuses: OOM command not allowed, {number} times"
        bench.step(1)
    bench.board.fault = "does not answer: connection refused"
    bench.step(1)
    bench.board.is_up, bench.board.fault = True, ""
    bench.step(1)
    assert bench.lines == [
        "the board answers",
        "the board refuses: OOM command not allowed, 2 times: local joins only",
        "the board does not answer: connection refused: local joins only",
        "the board answers",
    ]


def test_slow_board_is_called_slow_and_no_clock_wrong() -> None:
    bench = Bench()
    bench.board.answer_s = 1.0
    for _ in range(70):
        bench.hear("proxy", 2.5)
        bench.step(1)
    assert bench.lines[1:] == ["the board is slow: an answer takes 1.0 s, so claims come late"]
    assert bench.link.skew_ns == 0.5 * SECOND_NS


def test_clock_that_differs_is_found_beside_a_slow_board() -> None:
    bench = Bench()
    bench.board.answer_s = 1.0
    for _ in range(70):
        bench.hear("proxy", 7.5)
        bench.step(1)
    assert "claims of proxy arrive 5.5 s after they were sent: a clock is wrong" in bench.lines


def test_claim_of_a_clock_that_differs_is_moved_to_ours_and_no_other() -> None:
    bench = Bench()
    taken: list[Claim] = []
    bench.pipeline.engine.claim = lambda received: taken.append(received.claim)  # type: ignore[method-assign]
    told_ns = T0 - 5 * SECOND_NS
    facts = CallFacts(answer_ns=told_ns - 2, bye_ns=None, until_ns=told_ns + 9)
    claims = [
        Claim("t", "c", "leg", "behind", told_ns, told_ns - 3, told_ns + 7, facts=facts, session_ns=None),
        Claim("t", "c", "leg", "right", T0 - 10**8, T0 - 3, T0 + 7),
        Claim("t", "c", "leg", "right", T0 - 30 * SECOND_NS, T0 - 30 * SECOND_NS),  # it waited for the server
    ]
    sent_ns = (claims[0].seq, claims[1].seq, claims[1].seq)
    bench.board.waiting += [
        RemoteClaim(claim, T0, RELAY, "1-0", at_ns) for claim, at_ns in zip(claims, sent_ns, strict=True)
    ]
    bench.step()
    behind, right, late = taken
    assert (behind.valid_from_ns, behind.until_ns, behind.session_ns) == (T0 - 3, T0 + 7, None)
    assert behind.facts == CallFacts(answer_ns=T0 - 2, until_ns=T0 + 9)
    assert behind.seq == told_ns
    assert (right, late) == tuple(claims[1:])


def test_host_of_our_own_name_and_one_with_another_key_are_told_once_each() -> None:
    bench = Bench()
    for _ in range(3):
        for host, key in (("h", ""), ("other", "0badc0de"), ("old", "")):
            claim = Claim("t", "call", "leg", host, bench.now_ns, bench.now_ns, key_id=key)
            bench.board.waiting.append(RemoteClaim(claim, bench.now_ns, RELAY, "1-0"))
        bench.step(1)
    assert bench.lines[:2] == [
        "another host is called h too: give each its own [fleet] host",
        "other has another key (0badc0de): give all hosts one [fleet] key_file",
    ]
    assert len(bench.lines) == 3  # and that the board answers


def test_clock_that_is_ahead_is_a_gauge_and_a_line_and_a_slow_claim_is_neither() -> None:
    bench = Bench()
    bench.hear("late", 30.0, "a")
    bench.hear("late", 0.2, "b")
    bench.hear("ahead", -7.5, "c")
    bench.step(1)
    bench.step(61)
    assert bench.link.skew_ns == -7.5 * SECOND_NS
    assert [line for line in bench.lines if "clock" in line] == [
        "claims of ahead arrive -7.5 s after they were sent: a clock is wrong"
    ]
    bench.step(61)
    assert bench.link.skew_ns == 0


def test_taken_claims_are_remembered_by_the_id_of_their_entry() -> None:
    bench = Bench()
    bench.hear("proxy", 0.0)
    bench.step()
    assert bench.pipeline.engine.claims.last == {RELAY: "1-0"}
    assert bench.link.counters()["heard"] == 1


def test_link_that_follows_another_pipeline_tells_of_all_its_calls() -> None:
    name = "hold-outbound"
    side, frames = sidecar(name), frames_of(name)
    hosts = Hosts(side["vc"], side["customer_networks"])
    hosts.play(frames[: len(frames) // 2])
    board = FakeBoard()
    link = BoardLink(cast(ValkeyBoard, board), [], lambda: T0, str)
    link.follow(hosts.proxy)
    link.step(hosts.proxy)
    first = {claim.leg for _, claim in board.told}
    board.told.clear()
    link.step(hosts.proxy)
    assert board.told == []
    link.follow(hosts.proxy)
    link.step(hosts.proxy)
    assert {claim.leg for _, claim in board.told} == first != set()


def test_media_addresses_are_those_that_others_can_reach_and_their_public_names() -> None:
    config = Config(vc=Vc(public_addresses={"198.51.100.7": "192.0.2.1", "198.51.100.8": "192.0.2.99"}))
    own = ["127.0.0.1", "192.0.2.1", "::1", "fe80::1", "2001:db8::1"]
    assert media_addresses(config, own) == ["192.0.2.1", "2001:db8::1", "198.51.100.7"]
    named = Config(fleet=Fleet(media_addresses=("192.0.2.50",)))
    assert media_addresses(named, own) == ["192.0.2.50"]


def test_without_a_board_there_is_no_link() -> None:
    assert board_link(Config(), [RELAY], lambda: T0, str) is None
