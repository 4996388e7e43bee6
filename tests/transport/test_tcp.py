"""TCP streams: reordering and repeats change nothing, holes are told, and nothing grows without end."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.unseen import Cause
from agent.transport.messages import Found
from agent.transport.tcp import RST, SYN, TcpStreams
from tests.kit.framing import message

SECOND = 1_000_000_000
MESSAGES = [message(number, bytes(number)) for number in range(1, 6)]
STREAM = b"\r\n".join(MESSAGES)


class Sender:
    """One direction of a connection: segments with their sequence numbers."""

    def __init__(self, streams: TcpStreams, sequence: int = 1000) -> None:
        self.streams = streams
        self.sequence = sequence
        self.now_ns = 0
        self.all: list[Found] = []

    def put(
        self, payload: bytes, sequence: int | None = None, flags: int = 0x18, missing: int = 0
    ) -> list[bytes]:
        """The messages that a segment completes; gaps are in `all` alone."""
        if sequence is None:
            sequence = self.sequence
            self.sequence = (self.sequence + len(payload) + missing) & 0xFFFF_FFFF
        found = self.streams.add(
            "198.51.100.1", 5060, "198.51.100.2", 5060, sequence, flags, payload, self.now_ns, missing
        )
        self.all += found
        return [each.data for each in found if each.cause is None]


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


def test_tcp_idle_streams_expire():
    streams = TcpStreams(timeout_ns=SECOND)
    Sender(streams).put(message(1)[:50])
    assert streams.expire(SECOND) == 1
    assert (len(streams), streams.held_bytes) == (0, 0)


def test_tcp_segment_cut_by_the_snap_length_goes_on_with_the_next() -> None:
    sender = Sender(TcpStreams())
    one, two = message(1, bytes(500)), message(2)
    assert sender.put(one[:-400], missing=400) == [one[:-400]]
    assert sender.put(two) == [two]
    assert all(found.cause is None for found in sender.all)


def test_tcp_segment_cut_in_its_headers_hands_out_the_beginning() -> None:
    sender = Sender(TcpStreams())
    one, two = message(1), message(2)
    sender.put(one[:60], missing=len(one) - 60)
    assert sender.put(two) == [two]
    assert sender.all[0] == Found(one[:60], Cause.SNAP_LENGTH)


def test_tcp_retransmission_of_a_cut_segment_is_no_second_message() -> None:
    sender = Sender(TcpStreams())
    one = message(1, bytes(500))
    sender.put(one[:-400], 1000, missing=400)
    assert sender.put(one[:-400], 1000, missing=400) == []


def test_tcp_flood_of_half_messages_evicts_the_idlest_and_stays_in_bounds() -> None:
    streams = TcpStreams(max_streams=50, max_bytes=20_000)
    for port in range(3000):
        streams.add("a", port, "b", 5060, 1, 0x18, message(1, bytes(5000))[:1000], port)
        assert len(streams) <= 50
        assert streams.held_bytes <= 20_000
    assert streams.evicted == 3000 - len(streams)


def test_tcp_flood_of_strangers_leaves_the_streams_that_are_answered() -> None:
    streams = TcpStreams(max_streams=50, max_bytes=20_000)
    half = message(1, b"x" * 100)[:-50]
    streams.add("trunk", 5060, "vc", 5060, 1, 0x18, half, 0)
    streams.add("vc", 5060, "trunk", 5060, 1, 0x18, message(2), 0)
    for port in range(3000):
        streams.add("a", port, "vc", 5060, 1, 0x18, message(1, bytes(5000))[:1000], 0)
        streams.add("b", port, "vc", 5060, 1, SYN, b"", 0)
    rest = streams.add("trunk", 5060, "vc", 5060, 1 + len(half), 0x18, b"x" * 50, 0)
    assert rest == [Found(message(1, b"x" * 100))]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 300), st.sampled_from([0x18, SYN, RST]), st.binary(max_size=60)
        ),
        max_size=60,
    )
)
@settings(deadline=None)
def test_tcp_any_segments_keep_the_books(segments: list[tuple[int, int, int, bytes]]) -> None:
    streams = TcpStreams(max_streams=3, max_bytes=500)
    for now_ns, (port, sequence, flags, payload) in enumerate(segments):
        streams.add("a", port, "b", 5060, sequence, flags, payload, now_ns, sequence % 3)
        assert len(streams) <= 3
        assert 0 <= streams.held_bytes <= 500
    streams.expire(1 << 62)
    assert (len(streams), streams.held_bytes) == (0, 0)


def test_tcp_segments_from_a_socket_to_itself_are_a_strangers_stream() -> None:
    """A forged frame: source and destination are one."""
    streams = TcpStreams()
    found = [streams.add("a", 5060, "a", 5060, 1, 0x18, message(1), now_ns) for now_ns in range(3)]
    assert found == [[Found(message(1))], [], []]
    streams.expire(1 << 62)
    assert (len(streams), streams.held_bytes) == (0, 0)


def test_tcp_cost_of_a_segment_is_that_of_its_bytes() -> None:
    """Tiny segments behind a long header block: nothing is searched again."""

    calls: list[int] = []

    class Counting:
        held = steps = 0

        def __init__(self, lost: bool) -> None:
            pass

        def feed(self, data: bytes) -> list[Found]:
            calls.append(len(data))
            return []

        def gap(self, missing: int, cause: Any) -> list[Found]:
            return []

    streams = TcpStreams(framing=Counting)
    sender = Sender(streams)
    for _ in range(1000):
        sender.put(b"x" * 22)
    assert calls == [22] * 1000
