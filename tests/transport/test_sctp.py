"""SIP over SCTP: bundled, fragmented, repeated, out of order, on several streams; bounded whatever comes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.model.unseen import Cause
from agent.transport.messages import Found
from agent.transport.sctp import BEGIN, DATA, END, INIT, PARTS_MAX, SctpPaths
from tests.kit.framing import message

UNORDERED = 4


def chunk(number: int, payload: bytes, flags: int = BEGIN | END, stream: int = 0) -> bytes:
    """A DATA chunk (RFC 9260 3.3.1), padded."""
    head = number.to_bytes(4, "big") + stream.to_bytes(2, "big") + bytes(6)
    length = 4 + len(head) + len(payload)
    return bytes([DATA, flags]) + length.to_bytes(2, "big") + head + payload + bytes(-length % 4)


def packet(*chunks: bytes) -> bytes:
    """The common header (3.1) and chunks."""
    return (5060).to_bytes(2, "big") + (5062).to_bytes(2, "big") + bytes(8) + b"".join(chunks)


def give(paths: SctpPaths, *chunks: bytes, missing: int = 0, at_ns: int = 0) -> list[Found]:
    data = packet(*chunks)
    src_port, dst_port, found = paths.add("a", "b", data[: len(data) - missing], missing, at_ns)
    assert (src_port, dst_port) == (5060, 5062)
    return found


def test_bundled_chunks_of_several_streams_are_messages() -> None:
    sack = bytes([3, 0, 0, 16]) + bytes(12)
    found = give(SctpPaths(), sack, chunk(1, message(1)), chunk(2, message(2), BEGIN | END | UNORDERED, 7))
    assert found == [Found(message(1)), Found(message(2))]


@given(st.integers(0, 0xFFFF_FFFF), st.integers(1, 60), st.randoms(use_true_random=False))
def test_fragments_in_any_order_are_one_message(first: int, size: int, random: Any) -> None:
    text = message(1, b"v=0\r\n" * 20)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    chunks = [
        chunk(
            (first + at) & 0xFFFF_FFFF,
            piece,
            (BEGIN if not at else 0) | (END if at == len(pieces) - 1 else 0),
        )
        for at, piece in enumerate(pieces)
    ]
    random.shuffle(chunks)
    paths = SctpPaths()
    found = [each for one in chunks for each in give(paths, one)]
    if len(chunks) <= PARTS_MAX:
        assert found == [Found(text)]
        assert paths.held_bytes == 0


def test_fragments_of_two_messages_in_between_stay_apart() -> None:
    paths = SctpPaths()
    one, two = message(1), message(2)
    assert give(paths, chunk(1, one[:50], BEGIN), chunk(3, two[:50], BEGIN)) == []
    assert give(paths, chunk(4, two[50:], END)) == [Found(two)]
    assert give(paths, chunk(2, one[50:], END)) == [Found(one)]


def test_retransmitted_chunk_is_no_second_message() -> None:
    paths = SctpPaths()
    assert give(paths, chunk(7, message(1)), chunk(9, message(2))) != []
    assert give(paths, chunk(7, message(1))) == []
    assert give(paths, chunk(8, message(3))) == [Found(message(3))]
    assert paths.retransmitted == 1


def test_new_association_between_the_same_sockets_starts_anew() -> None:
    paths = SctpPaths()
    give(paths, chunk(7, message(1)))
    give(paths, bytes([INIT, 0, 0, 20]) + bytes(16))
    assert give(paths, chunk(7, message(2))) == [Found(message(2))]


def test_chunk_cut_by_the_snap_length_hands_out_its_beginning() -> None:
    found = give(SctpPaths(), chunk(1, message(1)), missing=60)
    assert [(each.cause, message(1).startswith(each.data)) for each in found] == [(Cause.SNAP_LENGTH, True)]


def test_other_protocols_over_sctp_are_nobodys() -> None:
    assert give(SctpPaths(), chunk(1, b"\x01\x00\x02\x05" + bytes(40))) == []


def test_message_that_never_ends_is_given_up_and_told() -> None:
    paths = SctpPaths()
    found = give(paths, chunk(1, message(1), BEGIN))
    for number in range(2, PARTS_MAX + 2):
        found += give(paths, chunk(number, b"x" * 20, 0))
    assert found == [Found(b"", Cause.FRAGMENTS)]


@pytest.mark.parametrize(
    "data", [b"", bytes(11), packet(bytes([DATA, 3, 0, 3])), packet(bytes([DATA, 3, 0, 99]))]
)
def test_packet_with_false_lengths_is_malformed(data: bytes) -> None:
    with pytest.raises(WireError):
        SctpPaths().add("a", "b", data, 0, 0)


def test_flood_of_beginnings_is_bounded() -> None:
    paths = SctpPaths(max_paths=50, max_bytes=20_000)
    for port in range(2000):
        data = port.to_bytes(2, "big") + bytes(10) + chunk(1, message(1) * 3, BEGIN)
        paths.add("a", "b", data, 0, port)
        assert len(paths) <= 50
        assert paths.held_bytes <= 20_000
    assert paths.evicted == 2000 - len(paths)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda number, flags, payload: packet(chunk(number, payload, flags)),
                st.integers(0, 12),
                st.integers(0, 7),
                st.binary(min_size=1, max_size=30),
            ),
        ),
        max_size=40,
    )
)
def test_any_packets_keep_the_books(packets: list[bytes]) -> None:
    paths = SctpPaths(max_paths=4, max_bytes=400)
    for now_ns, data in enumerate(packets):
        with contextlib.suppress(WireError):
            paths.add("a", "b", data, now_ns % 3, now_ns)
        assert 0 <= paths.held_bytes <= 400
        assert len(paths) <= 4
