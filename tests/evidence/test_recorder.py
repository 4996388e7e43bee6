"""Which sockets are a call's, and what blanking RTCP leaves."""

from __future__ import annotations

import struct

import pytest

from agent.evidence.media_blocks import LossComments, at_hand, without_text
from agent.evidence.picker_cy import MediaPacket
from agent.evidence.tap import Tap
from agent.wire.frame import Frame, batch_of, origin
from tests.kit.conversation import frame

A, B = ("192.0.2.1", 30_000), ("198.51.100.1", 40_000)


def rtp(sequence: int) -> MediaPacket:
    return MediaPacket(sequence, origin(1, 0), 214, b"", A, B, 42, 7, sequence & 0xFFFF, False)


def comments(*sequences: int) -> list[str]:
    packets, kept = [rtp(each) for each in sequences], LossComments()
    return [kept.of(packet, at_hand(packets)) for packet in packets]


def test_a_gap_is_said_at_the_packet_behind_it_over_the_wrap_too() -> None:
    said = comments(65_534, 65_535, 2, 3)
    assert said[2].startswith("2 RTP lost before this packet: sequence numbers 0 to 1 of SSRC 0x00000007")
    assert [bool(text) for text in said] == [False, False, True, False]


@pytest.mark.parametrize("sequences", [(1, 2, 4, 3, 5), (1, 1, 2, 2), (1, 9_000), (5, 4, 3)])
def test_order_copies_and_new_starts_are_no_loss(sequences: tuple[int, ...]) -> None:
    assert not any(comments(*sequences))


def rtcp_packet(payload: bytes) -> MediaPacket:
    return MediaPacket(0, origin(1, 0), 200, bytes(42) + payload, A, B, 42, 0, -1, False)


def test_names_in_rtcp_are_blanked_and_lengths_stay() -> None:
    receiver = struct.pack("!BBHI", 0x80, 201, 1, 7)
    text = b"\x01\x05alice\x02\x03Bob\0\0\0\0"
    sdes = struct.pack("!BBHI", 0x81, 202, 1 + len(text) // 4, 7) + text
    left = without_text(rtcp_packet(receiver + sdes))
    assert left[42:] == receiver + sdes.replace(b"alice", b"xxxxx").replace(b"Bob", b"xxx")


def test_ciphertext_in_rtcp_is_cut_behind_the_clear_octets() -> None:
    encrypted = struct.pack("!BBHI", 0x81, 200, 12, 7) + b"\xaa" * 60
    assert len(without_text(rtcp_packet(encrypted))) == 42 + 8


def test_a_tap_that_nobody_wants_is_closed_and_one_that_is_wanted_picks_its_socket_alone() -> None:
    payload = bytes((0x80, 0)) + bytes(170)
    frames = [frame(A, B, payload), frame(B, A, payload), frame(("192.0.2.1", 30_002), B, payload)]
    batch = batch_of([Frame(data, at, origin(1, 0), len(data)) for at, data in enumerate(frames)])
    tap = Tap()
    assert not tap.is_open
    tap.want({A: False})
    assert tap.is_open
    tap.take(batch)
    assert [(packet.src, packet.dst, len(packet.octets)) for packet in tap.picked()] == [
        (A, B, 54),
        (B, A, 54),
    ]


def test_the_past_is_bounded_by_time_and_comes_once() -> None:
    data = frame(A, B, bytes((0x80, 0)) + bytes(170))
    tap = Tap(10, 1 << 20)
    for stamp in range(0, 40, 5):
        tap.take(batch_of([Frame(data, stamp, origin(1, 0), len(data))]))
    assert [packet.stamp_ns for packet in tap.want({A: False}, {A: False})] == [25, 30, 35]
    assert tap.picked() == []
