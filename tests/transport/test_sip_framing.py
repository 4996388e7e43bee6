"""SIP out of a stream: however it is cut, at a cost linear in bytes, and nothing is held without end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.unseen import Cause
from agent.transport.messages import MESSAGE_MAX, Found
from agent.transport.sip_framing import HEAD_MAX, LINE_MAX, SKIP_MAX, SipFraming
from tests.kit.examples import examples
from tests.kit.framing import by_bytes, in_pieces, message, whole

STREAM = (
    b"\r\n\r\n"
    + message(1)
    + b"\r\n"
    + message(2, b"v=0\r\ns=x\r\n")
    + message(3, end=b"\n").replace(b"Content-Length", b"l ")
    + b"\r\n\r\n\r\n"
    + message(4, bytes(range(256)))
    + message(5, b"INVITE sip:quoted@example.com SIP/2.0\r\n\r\n")
)
MESSAGES = [
    Found(message(1)),
    Found(message(2, b"v=0\r\ns=x\r\n")),
    Found(message(3, end=b"\n").replace(b"Content-Length", b"l ")),
    Found(message(4, bytes(range(256)))),
    Found(message(5, b"INVITE sip:quoted@example.com SIP/2.0\r\n\r\n")),
]


def test_whole_stream_gives_each_message() -> None:
    assert whole(SipFraming, STREAM) == MESSAGES


def test_byte_by_byte_gives_the_same_messages_and_holds_nothing() -> None:
    framing = SipFraming()
    assert [found for at in range(len(STREAM)) for found in framing.feed(STREAM[at : at + 1])] == MESSAGES
    assert framing.held == 0


JUNK = st.sampled_from(
    [
        b"\r\n",
        b"\x16\x03\x01binary\nlines\n",
        b"x" * 5000,
        b"INVITE sip:a@b SIP/2.0\r\nl: 999999\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nl: 999999999\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\nl:\r\n 3\r\n\r\nabc",
        b"sip/2.0 200 OK\r\nl: 0\r\n\r\n",
        b"SIP/SIP/SIP/",
        b"\n",
        b"Header: value\r\n\r\n",
        message(7, b"y" * 7000),
        message(8, b"body"),
        message(9),
    ]
)


@given(st.lists(JUNK | st.binary(max_size=40), max_size=12), st.lists(st.integers(0, 9000), max_size=20))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_cut_anywhere_give_the_same(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)

    def make() -> SipFraming:
        return SipFraming(max_bytes=6000)

    found = whole(make, data)
    assert in_pieces(make, data, cuts) == found
    assert by_bytes(make, data) == found


def test_begun_midway_resyncs_at_the_next_start_line_and_says_so() -> None:
    found = whole(SipFraming, message(1)[40:] + message(2))
    assert found == [Found(b"", Cause.FRAMING), Found(message(2))]


def test_begun_inside_a_quoted_response_does_not_take_the_next_request_for_it() -> None:
    assert whole(SipFraming, b"SIP/2.0 200 OK\r\n" + message(2)) == [Found(message(2))]


def test_keepalives_between_messages_lose_no_place() -> None:
    assert whole(SipFraming, message(1) + b"\0\0\0\0\r\n\r\n" + message(2)) == [
        Found(message(1)),
        Found(message(2)),
    ]


def test_body_beyond_the_bound_is_passed_over_and_the_next_message_read() -> None:
    long = message(1, b"y" * 3000 + b"\r\n")
    found = whole(lambda: SipFraming(max_bytes=2000), long + message(2))
    assert found == [Found(long[: long.index(b"\r\n\r\n") + 4]), Found(message(2))]


def test_headers_that_never_end_drop_the_stream_whole() -> None:
    framing = SipFraming(lost=False)
    found = framing.feed(b"INVITE sip:a SIP/2.0\r\n" * (HEAD_MAX // 22 + 2))
    assert found == [Found(b"", Cause.OVERSIZED)]
    assert (framing.dropped, framing.held) == (True, 0)
    assert framing.feed(message(1)) == []


def test_content_length_of_no_message_drops_the_stream_whole() -> None:
    framing = SipFraming(lost=False)
    endless = message(1).replace(b"Length: 0", b"Length: %d" % (SKIP_MAX + 1))
    assert framing.feed(endless) == [Found(b"", Cause.OVERSIZED)]
    assert framing.feed(message(2)) == []


def test_content_length_of_no_message_after_a_guess_is_passed_over() -> None:
    endless = message(1).replace(b"Length: 0", b"Length: %d" % (SKIP_MAX + 1))
    assert whole(SipFraming, endless + message(2)) == [Found(b"", Cause.OVERSIZED), Found(message(2))]


def test_stream_of_binary_is_held_no_longer_than_a_line() -> None:
    framing = SipFraming()
    for _ in range(100):
        assert framing.feed(b"\x17\x03\x03" + bytes(1000)) == []
        assert framing.held <= LINE_MAX


def test_gap_in_a_body_hands_out_what_came_and_keeps_the_place() -> None:
    framing = SipFraming()
    cut = message(1, bytes(500))
    assert framing.feed(cut[:-300]) == []
    assert framing.gap(200, Cause.SNAP_LENGTH) == [Found(cut[:-300])]
    assert framing.feed(cut[-100:] + message(2)) == [Found(message(2))]


def test_gap_in_the_headers_hands_out_the_beginning_with_the_cause() -> None:
    framing = SipFraming()
    framing.feed(message(1)[:60])
    assert framing.gap(40, Cause.SNAP_LENGTH) == [Found(message(1)[:60], Cause.SNAP_LENGTH)]
    assert framing.feed(message(2)) == [Found(message(2))]


def test_gap_beyond_a_body_says_that_messages_may_be_missing() -> None:
    framing = SipFraming()
    cut = message(1, bytes(500))
    framing.feed(cut[:-300])
    assert framing.gap(301, Cause.FRAMING) == [Found(cut[:-300]), Found(b"", Cause.FRAMING)]


def test_gap_in_what_never_was_sip_says_nothing() -> None:
    framing = SipFraming()
    framing.feed(b"\0\1\2" * 50)
    assert framing.gap(100, Cause.FRAMING) == []


SHAPES: list[Callable[[int], bytes]] = [
    lambda size: b"INVITE sip:a SIP/2.0\r\n" * (size // 22),
    lambda size: b"INVITE sip:a SIP/2.0\r\n" * (size // 22) + b"\r\n",
    lambda size: b"a\n" * (size // 2),
    lambda size: b"SIP/" * (size // 4),
    lambda size: b"SIP/\n" * (size // 5),
    lambda size: b"\n" * size,
    lambda size: b"A b SIP/2.0\r\nl:999999999\r\n\r\n" * (size // 28),
    lambda size: b"A b SIP/2.0\r\nl:0\r\n\r\n" * (size // 20),
    lambda size: b"A b SIP/2.0\r\n" + b"h: v\n" * (size // 5),
    lambda size: b"x" * size,
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piece", [1, 22, 1460, 65_536])
def test_cost_is_linear_in_bytes(shape: Callable[[int], bytes], piece: int) -> None:
    for size in (10, 1_000, 20_000 if piece == 1 else 100_000):
        data = shape(size)
        framing = SipFraming()
        for at in range(0, len(data), piece):
            framing.feed(data[at : at + piece])
        # Byte by byte each search begins three bytes back.
        assert framing.work <= (12 if piece == 1 else 8) * len(data) + 1000
        assert framing.held <= MESSAGE_MAX
