"""Fragments and TCP streams: whole equals piece by piece in any order, and nothing grows without end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.transport.tcp import PIECES_MAX, RST, SYN, Fragments, TcpStreams

SECOND = 1_000_000_000
KEY = ("198.51.100.1", "198.51.100.2", 17)


def message(number: int, body: bytes = b"") -> bytes:
    return (
        b"INFO sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK%d\r\nFrom: <sip:a@a>;tag=1\r\n"
        b"To: <sip:b@b>;tag=2\r\nCall-ID: c%d\r\nCSeq: %d INFO\r\nContent-Length: %d\r\n\r\n%s"
        % (number, number, number, len(body), body)
    )


class Sender:
    """One direction of a connection: segments with their sequence numbers."""

    def __init__(self, streams: TcpStreams, sequence: int = 1000) -> None:
        self.streams = streams
        self.sequence = sequence
        self.now_ns = 0

    def put(self, payload: bytes, sequence: int | None = None, flags: int = 0x18) -> list[bytes]:
        if sequence is None:
            sequence = self.sequence
            self.sequence = (self.sequence + len(payload)) & 0xFFFF_FFFF
        return self.streams.add(
            "198.51.100.1", 5060, "198.51.100.2", 5060, sequence, flags, payload, self.now_ns
        )


# Fragments


def fragments_of(datagram: bytes, size: int) -> list[tuple[int, bool, bytes]]:
    return [(at, at + size < len(datagram), datagram[at : at + size]) for at in range(0, len(datagram), size)]


@given(
    st.binary(min_size=1, max_size=600), st.integers(1, 10), st.randoms(use_true_random=False), st.booleans()
)
def test_fragments_any_order_give_the_datagram_once(datagram, words, random, doubled):
    fragments = Fragments()
    pieces = fragments_of(datagram, 8 * words)[:PIECES_MAX]
    datagram = b"".join(piece for _, _, piece in pieces)
    pieces[-1] = (pieces[-1][0], False, pieces[-1][2])
    random.shuffle(pieces)
    results = []
    for position, (offset, more, payload) in enumerate(pieces):
        results.append(fragments.add(KEY, 7, offset, more, payload, position))
        if doubled and position < len(pieces) - 1:
            results.append(fragments.add(KEY, 7, offset, more, payload, position))
    assert [result for result in results if result is not None] == [datagram]
    assert results[-1] == datagram
    assert (len(fragments), fragments.held_bytes, fragments.mismatched) == (0, 0, 0)
    assert fragments.completed == 1


def test_fragments_overlap_with_same_bytes_is_tolerated():
    fragments = Fragments()
    assert fragments.add(KEY, 1, 0, True, b"0123456789abcdef", 0) is None
    assert fragments.add(KEY, 1, 8, False, b"89abcdefXYZ", 0) == b"0123456789abcdefXYZ"


def test_fragments_overlap_with_other_bytes_drops_the_datagram_and_its_late_pieces():
    fragments = Fragments()
    fragments.add(KEY, 1, 0, True, b"0123456789abcdef", 0)
    assert fragments.add(KEY, 1, 8, True, b"EVILEVIL", 0) is None
    assert fragments.add(KEY, 1, 8, False, b"89abcdefXYZ", 0) is None
    assert fragments.add(KEY, 1, 0, True, b"01234567", 0) is None
    assert (fragments.mismatched, fragments.completed, fragments.held_bytes) == (1, 0, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((16, True, b"89abcdef"), (8, False, b"x")),  # held bytes after the end
        ((8, False, b"x"), (16, True, b"89abcdef")),  # bytes after the known end
        ((8, False, b"x"), (8, False, b"xy")),  # two ends
        ((8, False, b"xy"), (8, False, b"x")),
    ],
)
def test_fragments_that_contradict_the_end_drop_the_datagram(first, second):
    fragments = Fragments()
    assert fragments.add(KEY, 1, *first, 0) is None
    assert fragments.add(KEY, 1, *second, 0) is None
    assert fragments.mismatched == 1


def test_fragments_of_many_datagrams_are_bounded_by_number():
    fragments = Fragments(max_datagrams=3)
    for identification in range(4):
        fragments.add(KEY, identification, 0, True, b"01234567", 0)
    assert (len(fragments), fragments.evicted) == (3, 1)
    assert fragments.add(KEY, 0, 8, False, b"x", 0) is None


@pytest.mark.parametrize(
    ("offset", "more", "payload"),
    [(8, True, b"short"), (65528, False, b"too long"), (0, False, b""), (4, False, b"x")],
)
def test_fragment_that_cannot_be_is_counted_as_malformed(offset, more, payload):
    fragments = Fragments()
    assert fragments.add(KEY, 1, offset, more, payload, 0) is None
    assert (fragments.malformed, len(fragments)) == (1, 0)


def test_fragments_expire_after_timeout_and_start_anew():
    fragments = Fragments(timeout_ns=30 * SECOND)
    fragments.add(KEY, 1, 0, True, b"01234567", 0)
    assert fragments.add(KEY, 1, 8, False, b"89", 30 * SECOND) is None
    assert fragments.expired == 1
    assert fragments.add(KEY, 1, 0, True, b"01234567", 31 * SECOND) == b"0123456789"


def test_fragments_of_same_identification_but_other_key_stay_apart():
    fragments = Fragments()
    fragments.add("a", 1, 0, True, b"aaaaaaaa", 0)
    fragments.add("b", 1, 0, True, b"bbbbbbbb", 0)
    assert fragments.add("a", 1, 8, False, b"A", 0) == b"aaaaaaaaA"
    assert fragments.add("b", 1, 8, False, b"B", 0) == b"bbbbbbbbB"


def test_fragment_flood_evicts_the_oldest_and_stays_in_bounds():
    fragments = Fragments(max_datagrams=100, max_bytes=10_000)
    for identification in range(5000):
        fragments.add(KEY, identification, 0, True, bytes(800), identification)
        assert len(fragments) <= 100
        assert fragments.held_bytes <= 10_000
    assert fragments.evicted == 5000 - len(fragments)
    assert fragments.add(KEY, 4999, 800, False, b"end", 5000) == bytes(800) + b"end"


def test_fragments_of_eight_bytes_are_bounded_by_count():
    fragments = Fragments()
    for number in range(4000):
        fragments.add(KEY, 1, 16 * number, True, b"01234567", 0)
    assert fragments.mismatched == 1
    assert fragments.held_bytes == 0


# TCP

STREAM = (
    b"\r\n\r\n"
    + message(1)
    + b"\r\n"
    + message(2, b"v=0\r\ns=x\r\n")
    + message(3).replace(b"\r\n", b"\n").replace(b"Content-Length", b"l ")
    + b"\r\n\r\n\r\n"
    + message(4, bytes(range(256)))
    + message(5, b"INVITE sip:quoted@example.com SIP/2.0\r\n\r\n")
)
MESSAGES = [
    message(1),
    message(2, b"v=0\r\ns=x\r\n"),
    message(3).replace(b"\r\n", b"\n").replace(b"Content-Length", b"l "),
    message(4, bytes(range(256))),
    message(5, b"INVITE sip:quoted@example.com SIP/2.0\r\n\r\n"),
]


def test_tcp_whole_stream_gives_each_message():
    assert Sender(TcpStreams()).put(STREAM) == MESSAGES


def test_tcp_byte_at_a_time_gives_the_same_messages():
    sender = Sender(TcpStreams())
    assert [found for at in range(len(STREAM)) for found in sender.put(STREAM[at : at + 1])] == MESSAGES
    assert sender.streams.held_bytes == 0


JUNK = st.sampled_from(
    [
        b"\r\n",
        b"\x16\x03\x01binary\nlines\n",
        b"x" * 5000,
        b"INVITE sip:a@b SIP/2.0\r\nl: 999999\r\n\r\n",
        b"SIP/2.0 200 OK\r\nl:\r\n 3\r\n\r\nabc",
        b"\n",
        b"Header: value\r\n\r\n",
        message(8, b"body"),
        message(9),
    ]
)


@given(st.lists(JUNK | st.binary(max_size=40), max_size=12), st.data())
@settings(max_examples=300, deadline=None)
def test_tcp_any_bytes_cut_anywhere_give_the_same_as_whole(parts, data):
    text = b"".join(parts)
    limits = {"max_bytes_each": 6000}
    whole = Sender(TcpStreams(**limits)).put(text) if text else []
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=20))})
    sender = Sender(TcpStreams(**limits))
    assert [found for low, high in pairwise(cuts) for found in sender.put(text[low:high])] == whole
    single = Sender(TcpStreams(**limits))
    assert [found for at in range(len(text)) for found in single.put(text[at : at + 1])] == whole


@given(
    st.integers(0, 0xFFFF_FFFF), st.integers(40, 400), st.randoms(use_true_random=False), st.integers(0, 3)
)
@settings(deadline=None)
def test_tcp_reorder_duplicates_and_wrap_change_nothing(start, size, random, repeats):
    streams = TcpStreams()
    sender = Sender(streams, start)
    sender.put(b"", start, SYN)
    first = (start + 1) & 0xFFFF_FFFF
    segments = [((first + at) & 0xFFFF_FFFF, STREAM[at : at + size]) for at in range(0, len(STREAM), size)]
    segments += [random.choice(segments) for _ in range(repeats)]
    # Swap within a window: the small buffer for what comes early holds it.
    for at in range(0, len(segments) - 3, 3):
        window = segments[at : at + 3]
        random.shuffle(window)
        segments[at : at + 3] = window
    found = [found for sequence, payload in segments for found in sender.put(payload, sequence)]
    assert found == MESSAGES
    assert (streams.holes, streams.held_bytes, streams.messages) == (0, 0, len(MESSAGES))


def test_tcp_begun_mid_stream_resyncs_at_the_next_start_line():
    streams = TcpStreams()
    assert Sender(streams).put(message(1)[40:] + message(2)) == [message(2)]
    assert streams.resyncs > 0


def test_tcp_begun_inside_a_quoted_response_does_not_take_the_next_request_for_it():
    rest_of_sipfrag = b"SIP/2.0 200 OK\r\n"
    assert Sender(TcpStreams()).put(rest_of_sipfrag + message(2)) == [message(2)]


def test_tcp_retransmission_larger_than_the_original_adds_only_what_is_new():
    sender = Sender(TcpStreams())
    one, two = message(1), message(2)
    assert sender.put(one, 1000) == [one]
    assert sender.put(one + two, 1000) == [two]


def test_tcp_keepalive_probe_with_one_old_byte_is_ignored():
    sender = Sender(TcpStreams())
    sender.put(message(1))
    assert sender.put(b"\x00", sender.sequence - 1) == []
    assert sender.put(message(2)) == [message(2)]
    assert sender.streams.retransmitted == 1


def test_tcp_retransmission_after_fin_is_no_second_message():
    sender = Sender(TcpStreams())
    assert sender.put(message(1), 1000, flags=0x19) == [message(1)]
    assert sender.put(message(1), 1000, flags=0x19) == []


def test_tcp_syn_retransmitted_late_keeps_the_stream():
    sender = Sender(TcpStreams(), 999)
    sender.put(b"", 999, SYN)
    half = len(message(1)) // 2
    sender.put(message(1)[:half], 1000)
    sender.put(b"", 999, SYN)
    assert sender.put(message(1)[half:], 1000 + half) == [message(1)]


def test_tcp_new_connection_on_the_same_ports_starts_anew():
    sender = Sender(TcpStreams(), 999)
    sender.put(message(1)[:100], 1000)
    sender.put(b"", 5_000_000, SYN)
    assert sender.put(message(2), 5_000_001) == [message(2)]


def test_tcp_reset_forgets_the_stream():
    sender = Sender(TcpStreams())
    sender.put(message(1)[:100])
    assert sender.put(b"", flags=RST) == []
    assert (len(sender.streams), sender.streams.held_bytes) == (0, 0)


def test_tcp_segment_before_its_turn_is_counted_and_waits():
    sender = Sender(TcpStreams())
    sender.put(b"\r\n")
    assert sender.put(message(2), sender.sequence + len(message(1))) == []
    assert sender.put(message(1)) == [message(1), message(2)]
    assert (sender.streams.reordered, sender.streams.holes, sender.streams.held_bytes) == (1, 0, 0)


def test_tcp_hole_never_filled_is_given_up_after_the_timeout():
    streams = TcpStreams(hole_timeout_ns=SECOND)
    sender = Sender(streams)
    sender.put(message(1))
    lost = message(2)
    sender.sequence += len(lost)
    assert sender.put(message(3)) == []
    sender.now_ns = SECOND
    assert sender.put(message(4)) == [message(3), message(4)]
    assert streams.holes == 1
    assert sender.put(lost, sender.sequence - len(lost) - len(message(3)) - len(message(4))) == []


def test_tcp_hole_in_a_body_hands_out_the_message_as_far_as_it_came():
    streams = TcpStreams(hole_timeout_ns=SECOND)
    sender = Sender(streams)
    cut = message(1, bytes(500))
    sender.put(cut[:-300])
    sender.sequence += 300
    sender.put(message(2))
    sender.now_ns = SECOND
    assert sender.put(message(3)) == [cut[:-300], message(2), message(3)]


def test_tcp_segments_beyond_a_hole_are_bounded():
    streams = TcpStreams()
    sender = Sender(streams)
    sender.put(message(0))
    sender.sequence += 10
    found = [found for number in range(200) for found in sender.put(message(number))]
    assert streams.holes == 1
    assert found == [message(number) for number in range(200)]


def test_tcp_message_larger_than_the_cap_is_dropped_and_the_next_one_read():
    streams = TcpStreams(max_bytes_each=2000)
    sender = Sender(streams)
    assert sender.put(message(1, b"y" * 3000 + b"\r\n")) == []
    assert sender.put(message(2)) == [message(2)]
    assert streams.oversized == 1


def test_tcp_many_oversized_headers_in_one_segment_end():
    streams = TcpStreams()
    assert Sender(streams).put(b"A b SIP/2.0\r\nl:999999999\r\n\r\n" * 5000) == []
    assert streams.oversized == 5000


def test_tcp_flood_of_half_messages_evicts_the_idlest_and_stays_in_bounds():
    streams = TcpStreams(max_streams=50, max_bytes=20_000)
    for port in range(3000):
        streams.add("a", port, "b", 5060, 1, 0x18, message(1, bytes(5000))[:1000], port)
        assert len(streams) <= 50
        assert streams.held_bytes <= 20_000
    assert streams.evicted == 3000 - len(streams)


def test_tcp_idle_streams_expire():
    streams = TcpStreams(timeout_ns=SECOND)
    Sender(streams).put(message(1)[:50])
    assert streams.expire(SECOND) == 1
    assert (len(streams), streams.held_bytes) == (0, 0)


def test_tcp_stream_of_binary_is_held_no_longer_than_a_line():
    sender = Sender(TcpStreams())
    for _ in range(100):
        assert sender.put(b"\x17\x03\x03" + bytes(1000)) == []
        assert sender.streams.held_bytes <= TcpStreams.LINE_MAX


def test_tcp_large_header_block_byte_by_byte_is_linear():
    sender = Sender(TcpStreams())
    text = message(1).replace(b"\r\n\r\n", b"\r\nX: " + b"z" * 30_000 + b"\r\n\r\n")
    assert [found for at in range(len(text)) for found in sender.put(text[at : at + 1])] == [text]
