"""SIP over WebSocket: however the stream is cut, masked, fragmented, compressed, begun midway or broken."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.unseen import Cause
from agent.transport.framings import OpeningFraming
from agent.transport.messages import MESSAGE_MAX, Found
from agent.transport.websocket import WebSocketFraming
from agent.wire.websocket import frame_header, unmasked
from tests.kit.examples import examples
from tests.kit.framing import by_bytes, in_pieces, message, whole

REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: sbc.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Protocol: chat, sip\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade:  WebSocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Protocol: sip\r\n\r\n"
)
MASK = b"\x01\xfe\x80\x7f"


def frame(payload: bytes, first: int = 0x81, mask: bytes = b"") -> bytes:
    """RFC 6455 5.2. `first`: FIN, reserved bits and opcode."""
    flag, size = 0x80 if mask else 0, len(payload)
    if size < 126:
        length = bytes([flag | size])
    elif size < 1 << 16:
        length = bytes([flag | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([flag | 127]) + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload
    return bytes([first]) + length + mask + masked


def one() -> WebSocketFraming:
    return WebSocketFraming()


def test_messages_after_the_handshake_are_found() -> None:
    assert whole(one, REQUEST + frame(message(1), mask=MASK)) == [Found(message(1))]
    assert whole(one, ANSWER + frame(message(2), 0x82)) == [Found(message(2))]


def test_fragments_with_a_ping_in_between_are_one_message() -> None:
    text = message(1, b"v=0\r\n" * 60)
    data = frame(text[:50], 0x01, MASK) + frame(b"ping", 0x89) + frame(text[50:90], 0x00) + frame(b"", 0x8A)
    assert whole(one, ANSWER + data + frame(text[90:], 0x80) + frame(message(2))) == [
        Found(text),
        Found(message(2)),
    ]


def test_message_that_ends_with_an_empty_fragment_is_whole_at_once() -> None:
    assert whole(one, ANSWER + frame(message(1), 0x01) + frame(b"", 0x80)) == [Found(message(1))]


def test_keepalive_of_two_line_ends_is_no_message() -> None:
    assert whole(one, ANSWER + frame(b"\r\n\r\n") + frame(b"\r\n")) == []


def test_long_message_has_a_length_of_16_bits() -> None:
    text = message(1, b"x" * 70_000)
    assert whole(one, ANSWER + frame(text)) == [Found(text)]


def test_compressed_message_is_told_as_unread() -> None:
    data = ANSWER + frame(b"\xca\x48", 0xC1) + frame(message(2))
    assert whole(one, data) == [Found(b"", Cause.FRAMING), Found(message(2))]


def test_compressed_message_of_another_protocol_is_nobodys() -> None:
    assert whole(one, ANSWER.replace(b": sip", b": chat") + frame(b"\xca\x48", 0xC1)) == []


def test_message_beyond_the_bound_is_passed_over() -> None:
    data = ANSWER + frame(b"x" * (MESSAGE_MAX + 1)) + frame(message(2))
    assert whole(one, data) == [Found(b"", Cause.OVERSIZED), Found(message(2))]


def test_reserved_opcode_ends_the_stream() -> None:
    framing = WebSocketFraming()
    assert framing.feed(ANSWER + frame(b"x", 0x83)) == [Found(b"", Cause.FRAMING)]
    assert (framing.dropped, framing.held) == (True, 0)


def test_refused_handshake_is_followed_by_the_next() -> None:
    refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nsorr"
    assert whole(one, refused + b"\r\n\r\n" + ANSWER + frame(message(1))) == [Found(message(1))]


def test_plain_http_is_no_websocket() -> None:
    framing = WebSocketFraming()
    assert framing.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100 + b"y" * 40_000) == []
    assert framing.held == 0


@pytest.mark.parametrize("mask", [b"", MASK])
def test_begun_midway_is_read_from_the_first_frame_of_sip(mask: bytes) -> None:
    data = frame(message(1), mask=mask) + frame(message(2), mask=mask)
    assert whole(OpeningFraming, data) == [Found(message(1)), Found(message(2))]
    framing = WebSocketFraming(upgraded=True)
    assert framing.feed(data[100:]) == [Found(message(2))]


def test_gap_within_a_frame_keeps_the_place() -> None:
    framing = WebSocketFraming()
    data = frame(message(1), mask=MASK)
    framing.feed(REQUEST + data[:80])
    assert framing.gap(len(data) - 80, Cause.SNAP_LENGTH) == [
        Found(message(1)[:74], Cause.SNAP_LENGTH)
        if len(message(1)) < 126
        else Found(message(1)[:72], Cause.SNAP_LENGTH),
        Found(b"", Cause.SNAP_LENGTH),
    ]
    assert framing.feed(frame(message(2), mask=MASK)) == [Found(message(2))]


def test_gap_across_frames_resyncs() -> None:
    framing = WebSocketFraming()
    framing.feed(ANSWER + frame(message(1))[:80])
    assert framing.gap(0, Cause.FRAMING) == [Found(b"", Cause.FRAMING)]
    assert framing.feed(b"\x81\x05rest." + frame(message(2))) == [Found(message(2))]


PART = st.one_of(
    st.sampled_from(
        [
            REQUEST,
            ANSWER,
            frame(message(1), mask=MASK),
            frame(message(2)),
            frame(message(3)[:40], 0x01),
            frame(message(3)[40:], 0x80),
            frame(b"", 0x80),
            frame(b"p", 0x89),
            frame(b"\xca\x48", 0xC1),
            frame(b"x" * 300),
        ]
    ),
    st.binary(max_size=20),
)


@given(st.booleans(), st.lists(PART, max_size=10), st.lists(st.integers(0, 3000), max_size=20))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_cut_anywhere_give_the_same(upgraded: bool, parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)

    def make() -> WebSocketFraming:
        return WebSocketFraming(upgraded)

    found = whole(make, data)
    assert in_pieces(make, data, cuts) == found
    assert by_bytes(make, data) == found


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_unmasked_takes_the_mask_off(payload: bytes, mask: bytes) -> None:
    data = frame(payload, mask=mask)
    header = frame_header(data)
    assert header is not None
    assert unmasked(data[header.size :], header.mask) == payload


@pytest.mark.parametrize("fill", [b"\x81", b"\x81\x82", b"\x82\x7f"])
def test_bytes_that_each_might_begin_a_frame_are_counted_and_given_up(fill: bytes) -> None:
    framing = WebSocketFraming(upgraded=True)
    framing.feed(fill * 400)
    assert framing.steps >= 300
    for _ in range(100):
        framing.feed(fill * 700)
        framing.gap(0, Cause.FRAMING)
    assert framing.dropped
    assert framing.steps < 2_000


def test_message_behind_bytes_that_might_begin_frames_is_found() -> None:
    framing = WebSocketFraming(upgraded=True)
    for number in range(30):
        framing.gap(0, Cause.FRAMING)
        framing.feed(b"\x81" * 100)
        assert framing.feed(frame(message(number))) == [Found(message(number))]
