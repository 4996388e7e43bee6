"""Which sockets are a call's, and what blanking RTCP leaves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from agent.evidence.files import EvidenceFiles, FileBounds
from agent.evidence.media_blocks import LossComments, at_hand, without_text
from agent.evidence.picker_cy import MediaPacket
from agent.evidence.recorder import MAX_SOCKETS, Recorder
from agent.evidence.tap import Tap
from agent.model.events import MessageSeen
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


@pytest.mark.parametrize(
    ("flags", "kind", "before", "stays"),
    [
        (0, 200, bytes(20), 28),  # behind sender info
        (1, 200, bytes(44), 52),
        (0, 201, b"", 8),
        (1, 201, bytes(24), 32),
        (0, 202, b"", 4),  # behind no chunk at all
        (1, 202, b"\0\0\0\0", 12),  # behind the last one
        (9, 205, bytes(4), 12),
        (0, 207, struct.pack("!BBH", 99, 0, 4), 12),
    ],
)
def test_octets_of_rtcp_that_no_definition_names_are_blanked(
    flags: int, kind: int, before: bytes, stays: int
) -> None:
    payload = (
        struct.pack("!BBHI", 0x80 | flags, kind, 1 + len(before) // 4 + 4, 7) + before + b"A name, a place "
    )
    left = without_text(rtcp_packet(payload))[42:]
    assert left == payload[:stays] + b"x" * (len(payload) - stays)


@pytest.mark.parametrize(
    "payload",
    [
        struct.pack("!BBHI", 0x81, 201, 7, 7) + bytes(range(24)),
        struct.pack("!BBHI", 0x81, 200, 12, 7) + bytes(range(44)),
        struct.pack("!BBHI", 0x8F, 205, 4, 7) + bytes(range(12)),
        struct.pack("!BBHI", 0x80, 207, 10, 7) + struct.pack("!BBH", 7, 0, 8) + bytes(range(32)),
    ],
)
def test_numbers_of_rtcp_stay(payload: bytes) -> None:
    assert without_text(rtcp_packet(payload))[42:] == payload


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


HEAD = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"


def named(tmp_path: Path, body: bytes, *, to_vc: bool | None = False) -> list[tuple[str, int]]:
    """The sockets that a message makes a recording pick."""
    kept = Recorder(EvidenceFiles(tmp_path, FileBounds()), Tap(), wall_s=lambda: 0.0)
    return kept._sockets(MessageSeen(1, None, None, "x", 0, HEAD + body, to_vc=to_vc))


def test_sdp_of_the_vc_names_media_and_rtcp_sockets(tmp_path: Path) -> None:
    found = named(tmp_path, b"c=IN IP4 192.0.2.1\r\nm=audio 30000 RTP/AVP 0\r\n")
    assert set(found) == {("192.0.2.1", 30_000), ("192.0.2.1", 30_001)}


def test_sdp_of_a_far_end_names_nobodys_sockets(tmp_path: Path) -> None:
    assert named(tmp_path, b"c=IN IP4 192.0.2.1\r\nm=audio 30000 RTP/AVP 0\r\n", to_vc=True) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"m=audio",
        b"m=audio 99999999999999999999 RTP/AVP 0\r\n",
        b"m=audio -1 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n",
        b"c=IN IP4 ../../etc/passwd\r\nm=audio 30000 RTP/AVP 0\r\n",
        b"c=IN IP4 " + b"1" * 70_000 + b"\r\nm=audio 30000 RTP/AVP 0\r\n",
        b"c=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\n",
        b"c=IN IP4 192.0.2.1\r\nm=audio 30000/65535 RTP/AVP 0\r\n",
        b"c=IN IP6 ::1%eth0\r\nm=audio 30000 RTP/AVP 0\r\n",
        b"c=IN IP4 192.0.2.1\r\n" + b"m=audio 30000 RTP/AVP 0\r\n" * 5_000,
        b"\xff\xfe\x00" * 1_000,
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_hostile_sdp_names_few_sockets_and_never_stops_the_recorder(tmp_path: Path, body: bytes) -> None:
    kept = Recorder(EvidenceFiles(tmp_path, FileBounds()), Tap(), wall_s=lambda: 0.0)
    seen = MessageSeen(1, None, None, "x", 0, HEAD + body, to_vc=False)
    found = kept._sockets(seen)
    assert all(0 < port < 65_536 for _, port in found)
    kept.tap.want(dict.fromkeys(found[:MAX_SOCKETS], False))  # what the picker gets it takes
