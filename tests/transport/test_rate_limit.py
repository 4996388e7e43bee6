"""What a loud source sends beyond its budget leaves the batch: the same calls that the budget gives up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.units import SECOND_NS
from agent.transport.byte_limit import PACKET_COST, ByteLimit
from agent.transport.rate_limit_cy import MAX_SOURCES, RateLimit
from agent.transport.sampled_sources_cy import MOST, SampledSources, keeps
from agent.wire.frame import LINK_ETHERNET, Batch, Frame, batch_of, origin
from tests.kit.generate import VC, udp

LOUD, QUIET = "203.0.113.9", "203.0.113.10"
NAMES = ["Call-ID: %d", "CALL-ID\t : %d", "call-id:%d   ", "i: %d", "I :%d"]


def message(number: int, name: str = NAMES[0]) -> bytes:
    line = name % number
    return f"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nContact: i\r\n{line}\r\nCSeq: 1 OPTIONS\r\n\r\n".encode()


def batch(*frames: bytes) -> Batch:
    return batch_of([Frame(data, at, origin(LINK_ETHERNET, 0), len(data)) for at, data in enumerate(frames)])


def thinned(sieve: SampledSources, frames: list[bytes]) -> list[bytes]:
    its = batch(*frames)
    its.index = sieve.thin(its.data, its.index)
    return [frame.data for frame in its.frames()]


@pytest.mark.parametrize("name", NAMES)
def test_call_id_is_found_in_every_form_and_without_its_blanks(name: str) -> None:
    for number in range(64):
        assert keeps(message(number, name), 3) == keeps(message(number), 3)


def test_share_of_calls_is_about_that_of_its_bits_and_each_share_is_part_of_the_one_before() -> None:
    kept = [{n for n in range(8_000) if keeps(message(n), bits)} for bits in range(6)]
    for bits, its in enumerate(kept):
        assert len(its) == pytest.approx(8_000 / 2**bits, rel=0.15)
        assert bits == 0 or its < kept[bits - 1]


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"OPTIONS sip:a SIP/2.0\r\n\r\nCall-ID: 9\r\n", b"x\r\nCall-ID"]
)
def test_message_without_call_id_is_always_of_the_same_call(data: bytes) -> None:
    assert keeps(data, 12)


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert keeps(data, 0)
    keeps(data, 4)


def test_calls_of_a_loud_source_leave_both_ways_and_nothing_else_does() -> None:
    sieve = SampledSources()
    sieve.share(LOUD, 2)
    rtp = b"\x80\x00" + bytes(170)
    frames = []
    for number in range(200):
        frames += [
            udp((LOUD, 5060), (VC, 5060), message(number)),
            udp((VC, 5060), (LOUD, 5060), message(number)),
            udp((QUIET, 5060), (VC, 5060), message(number)),
            udp((LOUD, 4000), (VC, 4000), rtp),
            b"no frame",
        ]
    kept = {number for number in range(200) if keeps(message(number), 2)}
    assert 20 < len(kept) < 90
    expected = [data for at, data in enumerate(frames) if at % 5 > 1 or at // 5 in kept]
    assert thinned(sieve, frames) == expected
    assert sieve.taken_out(LOUD) == (200 - len(kept), 200 - len(kept))
    assert sieve.taken_out(LOUD) == (0, 0)


def test_source_that_is_loud_no_more_leaves_the_others_as_they_are() -> None:
    sieve = SampledSources()
    addresses = [f"198.51.100.{n}" for n in range(5)] + ["2001:db8::1"]
    for address in addresses:
        sieve.share(address, 12)
    lost = next(n for n in range(100) if not keeps(message(n), 12))
    frames = [udp((address, 5060), (VC, 5060), message(lost)) for address in addresses[:5]]
    sieve.share(addresses[1], 0)
    assert thinned(sieve, frames) == [frames[1]]
    assert [sieve.taken_out(address) for address in addresses[:5]] == [(0, 1), (0, 0), (0, 1), (0, 1), (0, 1)]
    assert sieve.used == 5


def test_table_of_loud_sources_is_bounded() -> None:
    sieve = SampledSources()
    for number in range(MOST + 10):
        sieve.share(f"198.51.{number}.1", 3)
    assert sieve.used == MOST == len(sieve.sources())


def test_uncompiled_twin_keeps_the_same_calls() -> None:
    from agent import uncompiled

    _, twin = uncompiled.sources("agent.wire.ip.decoder_cy", "agent.transport.rate_limit_cy")
    assert [twin.keeps(message(n), 5) for n in range(500)] == [keeps(message(n), 5) for n in range(500)]
    one, other = SampledSources(), twin.SampledSources()
    frames = [udp((LOUD, 5060), (VC, 5060), message(n)) for n in range(100)]
    for sieve in (one, other):
        sieve.share(LOUD, 3)
    assert thinned(one, frames) == thinned(other, frames)
    assert one.taken_out(LOUD) == other.taken_out(LOUD)


def test_bytes_of_one_source_are_bounded_by_second() -> None:
    limit = ByteLimit(each=10 * PACKET_COST, total=1000 * PACKET_COST)
    taken = sum(limit.takes("a", False, 0, 0) for _ in range(20))
    assert (taken, limit.refused) == (10, 10)
    assert limit.takes("b", False, 0, 0)
    assert limit.takes("a", False, 0, SECOND_NS)


def test_half_of_all_bytes_is_kept_for_sources_that_are_answered() -> None:
    limit = ByteLimit(each=100 * PACKET_COST, total=10 * PACKET_COST)
    strangers = sum(limit.takes(f"s{number}", False, 0, 0) for number in range(20))
    answered = sum(limit.takes("trunk", True, 0, 0) for _ in range(20))
    assert (strangers, answered) == (5, 5)


def test_dear_packets_of_strangers_leave_the_half_of_peers() -> None:
    """A packet's cost beyond its bytes is known once it is read: it may be more than all have."""
    limit = ByteLimit(each=4 * PACKET_COST, total=20 * PACKET_COST)
    for number in range(10):
        if limit.takes(f"s{number}", False, 0, 0):
            limit.charge(f"s{number}", False, 1 << 20)
    assert sum(limit.takes("trunk", True, 0, 0) for _ in range(9)) == 4
    assert sum(limit.takes("other", True, 0, 0) for _ in range(9)) == 4
    limit.charge("other", True, 1 << 20)
    assert limit.takes("third", True, 0, 0)


def test_peers_are_taken_whatever_number_of_strangers_came_first() -> None:
    limit = ByteLimit(each=1 << 40, total=1 << 50)
    for number in range(MAX_SOURCES + 10):
        limit.takes(str(number), False, 0, 0)
    assert limit.takes("trunk", True, 0, 0)


def test_bytes_without_a_bound_are_all_taken() -> None:
    limit = ByteLimit(0, 0)
    assert all(limit.takes("a", False, 1 << 30, 0) for _ in range(10))


def test_sources_whose_bytes_are_counted_are_bounded() -> None:
    limit = ByteLimit(each=1 << 40, total=1 << 50)
    taken = sum(limit.takes(str(number), False, 0, 0) for number in range(MAX_SOURCES + 10))
    assert taken == MAX_SOURCES


# -- a flood in a trunk's name


def of_call(number: int, first: bytes = b"INVITE sip:a SIP/2.0") -> bytes:
    return first + b"\r\nCall-ID: call-%d\r\nCSeq: 1 INVITE\r\n\r\n" % number


def test_calls_that_the_vc_answered_are_kept_in_a_flood_of_their_trunks_name() -> None:
    limit, peer = RateLimit(100), "192.0.2.10"
    real = range(20)
    for number in real:
        assert limit.takes(peer, True, of_call(number), 0)
        assert limit.takes(peer, False, of_call(number, b"SIP/2.0 200 OK"), 0)
    for now in range(1, 5):
        flood = [limit.takes(peer, True, of_call(1_000 + n), now * SECOND_NS) for n in range(2_000)]
        assert sum(flood) <= 300  # ... of 2,000
        for number in real:
            assert limit.takes(peer, True, of_call(number, b"BYE sip:a SIP/2.0"), now * SECOND_NS)
            assert limit.takes(peer, False, of_call(number, b"SIP/2.0 200 OK"), now * SECOND_NS)


def test_an_answered_calls_name_is_no_way_around_the_limit() -> None:
    limit, peer = RateLimit(100), "192.0.2.10"
    limit.takes(peer, True, of_call(1), 0)
    limit.takes(peer, False, of_call(1, b"SIP/2.0 200 OK"), 0)
    for now in range(1, 4):
        taken = [limit.takes(peer, True, of_call(1), now * SECOND_NS) for _ in range(5_000)]
        assert sum(taken) <= 3 * limit.rate
