"""An INVITE that a flood's limit left out is given out with its answer, from either end; nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import uncompiled
from agent.model.units import SECOND_NS
from agent.transport import held_invites_cy
from agent.transport.peers_cy import is_taken_up
from agent.transport.rate_limit_cy import RateLimit
from agent.transport.sampled_sources_cy import SampledSources, keeps
from agent.wire.frame import LINK_ETHERNET, Batch, Frame, batch_of, origin
from tests.kit.generate import VC, udp

SOURCE = uncompiled.sources("agent.wire.ip.decoder_cy", "agent.transport.held_invites_cy")[1]
MODULES = (held_invites_cy, SOURCE)
TRUNK, RATE = "192.0.2.10", 40
BYTES, ENTRIES, LONGEST = uncompiled.constants(held_invites_cy.__name__, "HELD_BYTES ENTRIES LONGEST")
ANSWERS = [b"SIP/2.0 180 Ringing", b"SIP/2.0 183 Progress", b"SIP/2.0 200 OK"]
NO_ANSWERS = [b"SIP/2.0 100 Trying", b"SIP/2.0 486 Busy Here", b"SIP/2.0 503 No"]


def of_call(name: str, first: bytes = b"INVITE sip:a SIP/2.0", method: bytes = b"INVITE") -> bytes:
    return first + b"\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n\r\n" % (name.encode(), method)


def lost_name(first: str) -> str:
    """The name of a call that is not among those kept of a flood."""
    names = (f"{first}-{number}" for number in range(100_000))
    return next(name for name in names if not keeps(of_call(name), 12))


class Tap:
    """A limit in a flood with the trunk's name, batch by batch as the engine has it."""

    def __init__(self) -> None:
        self.limit = RateLimit(RATE)
        self.number = self.sent = 0
        self.parsed: list[bytes] = []
        for second in range(3):
            self.flood(second)

    def pass_on(self, *frames: tuple[bool, bytes], at_ns: int) -> list[bytes]:
        """(to the vc, message) each. What is parsed, in its order."""
        ends = {True: (TRUNK, VC), False: (VC, TRUNK)}
        data = [udp(*((end, 5060) for end in ends[to_vc]), message) for to_vc, message in frames]  # type: ignore
        batch: Batch = batch_of([Frame(one, at_ns, origin(LINK_ETHERNET, 0), len(one)) for one in data])
        self.sent += len(frames)
        self.limit.thin(batch)
        parsed = []
        for frame in batch.frames():
            to_vc = frame.data[26:30] != bytes(map(int, VC.split(".")))
            message = frame.data[42:]
            if self.limit.takes(TRUNK, to_vc, message, at_ns, VC):
                if self.limit.invite is not None:
                    parsed.append(self.limit.invite[0])
                parsed.append(message)
        self.parsed += parsed
        return parsed

    def flood(self, second: int, count: int = 2_000) -> list[bytes]:
        self.number += count
        frames = [(True, of_call(f"flood-{self.number + n}")) for n in range(count)]
        return self.pass_on(*frames, at_ns=second * SECOND_NS)


@pytest.mark.parametrize("to_vc", [True, False])
@pytest.mark.parametrize("answer", ANSWERS)
def test_invite_is_given_out_ahead_of_its_answer_and_its_call_is_kept(to_vc: bool, answer: bytes) -> None:
    tap, name = Tap(), lost_name("real")
    invite, response, ack = of_call(name), of_call(name, answer), of_call(name, b"ACK sip:a SIP/2.0")
    assert tap.pass_on((to_vc, invite), at_ns=3 * SECOND_NS) == []
    assert tap.pass_on((not to_vc, of_call(name, NO_ANSWERS[0])), at_ns=3 * SECOND_NS) == []
    tap.flood(3)
    assert tap.pass_on((not to_vc, response), (to_vc, ack), at_ns=4 * SECOND_NS) == [invite, response, ack]
    for second in range(5, 9):
        tap.flood(second)
        assert tap.pass_on((to_vc, ack), (not to_vc, response), at_ns=second * SECOND_NS) == [ack, response]


def test_invite_comes_with_its_own_stamp_and_ends_and_once() -> None:
    tap, name = Tap(), lost_name("real")
    tap.pass_on((True, of_call(name)), at_ns=3 * SECOND_NS + 7)
    assert tap.limit.takes(TRUNK, False, of_call(name, ANSWERS[0]), 4 * SECOND_NS, VC)
    assert tap.limit.invite == (of_call(name), TRUNK, VC, 3 * SECOND_NS + 7)
    assert tap.limit.takes(TRUNK, False, of_call(name, ANSWERS[2]), 4 * SECOND_NS, VC)
    assert tap.limit.invite is None


@pytest.mark.parametrize("answer", NO_ANSWERS)
def test_refused_and_merely_tried_calls_stay_left_out(answer: bytes) -> None:
    tap, name = Tap(), lost_name("forged")
    assert tap.pass_on((True, of_call(name)), (False, of_call(name, answer)), at_ns=3 * SECOND_NS) == []


def test_answer_from_the_invites_own_end_or_to_a_cancel_gives_nothing_out() -> None:
    tap, name = Tap(), lost_name("forged")
    to_cancel = of_call(name, b"SIP/2.0 200 OK", b"CANCEL")
    frames = [(True, of_call(name)), (True, of_call(name, ANSWERS[2])), (False, to_cancel)]
    assert tap.pass_on(*frames, at_ns=3 * SECOND_NS) == []


def test_flood_of_which_each_call_is_answered_is_bounded_all_the_same() -> None:
    tap = Tap()
    for second in range(3, 6):
        names = [f"answered-{second}-{n}" for n in range(2_000)]
        pairs = [((True, of_call(name)), (False, of_call(name, ANSWERS[0]))) for name in names]
        parsed = tap.pass_on(*(frame for pair in pairs for frame in pair), at_ns=second * SECOND_NS)
        assert len(parsed) <= 8 * RATE


def test_what_was_given_out_after_all_is_left_out_no_more() -> None:
    tap = Tap()
    for second in range(3, 6):
        name = lost_name(f"real-{second}")
        tap.pass_on((True, of_call(name)), at_ns=second * SECOND_NS)
        tap.pass_on((False, of_call(name, ANSWERS[2])), at_ns=second * SECOND_NS)
        tap.flood(second)
    tap.limit.settle()
    assert tap.sent == len(tap.parsed) + tap.limit.shed


def test_call_that_began_before_the_flood_is_known_by_its_answer() -> None:
    limit, name = RateLimit(RATE), lost_name("vcs")
    assert limit.takes(TRUNK, False, of_call(name), 0, VC)
    for second in range(3):
        for number in range(1_000):
            limit.takes(TRUNK, True, of_call(f"flood-{second}-{number}"), second * SECOND_NS, VC)
    assert limit.takes(TRUNK, True, of_call(name, ANSWERS[0]), 2 * SECOND_NS, VC)
    assert limit.invite is None


# -- the ring by itself


def message(number: int, size: int) -> bytes:
    return (b"INVITE %d " % number).ljust(size, b"x")


def hold(held: Any, number: int, size: int, hashed: int | None = None) -> None:
    held.hold(message(number, size), number if hashed is None else hashed, TRUNK, VC, number, False)


@pytest.mark.parametrize("module", MODULES)
class TestRing:
    def test_newest_are_there_whole_and_the_oldest_are_overwritten(self, module: Any) -> None:
        held, size = module.HeldInvites(), LONGEST - 7
        count = 2 * BYTES // size + 3
        for number in range(count):
            hold(held, number, size)
        room = BYTES // size
        for number in range(count - room + 1, count):
            assert held.release(number, VC, TRUNK) == (message(number, size), TRUNK, VC, number)
        assert held.release(count - room - 1, VC, TRUNK) is None

    def test_small_ones_are_as_many_as_there_are_entries(self, module: Any) -> None:
        held = module.HeldInvites()
        for number in range(ENTRIES + 10):
            hold(held, number, 20)
        assert [held.answers(number, VC, TRUNK) for number in (9, 10)] == [False, True]

    def test_too_long_a_one_is_not_held(self, module: Any) -> None:
        held = module.HeldInvites()
        hold(held, 1, LONGEST + 1)
        assert not held.answers(1, VC, TRUNK)

    def test_repetition_keeps_the_first_and_another_takes_its_place(self, module: Any) -> None:
        held = module.HeldInvites()
        held.hold(message(1, 50), 1, TRUNK, VC, 5, False)
        held.hold(message(1, 50), 1, TRUNK, VC, 6, False)
        assert held.release(1, VC, TRUNK)[3] == 5
        held.hold(message(2, 50), 1, TRUNK, VC, 7, False)
        assert held.release(1, TRUNK, VC) == (message(2, 50), TRUNK, VC, 7)

    def test_many_in_one_bucket_cost_a_bounded_walk(self, module: Any) -> None:
        held = module.HeldInvites()
        for number in range(100):
            hold(held, number, 20, number << 16)
        assert [held.answers(number << 16, VC, TRUNK) for number in (99, 84, 83)] == [True, True, False]


@given(
    st.sampled_from([*ANSWERS, *NO_ANSWERS, b"SIP/2.0 18", b"INVITE a SIP/2.0", b"SIP/2.0 2"]),
    st.sampled_from([b"INVITE", b"CANCEL", b"INVITES"]),
)
def test_both_readings_of_an_answer_agree(first: bytes, method: bytes) -> None:
    sieve, data = SampledSources(), of_call("a", first, method)
    sieve.hold(of_call("a"), TRUNK, VC, 0, False)
    assert sieve.is_answer(data, VC, TRUNK) == is_taken_up(data)
