"""The intake: every transport gives the same messages, and what could not be read is told."""

from __future__ import annotations

import struct
from collections import Counter
from socket import AF_INET, inet_pton
from typing import Any, cast

import pytest

from agent.calls.signalling_cy import CallRules, Signalling
from agent.engine.intake_cy import Intake, IntakeRules
from agent.errors import Reason
from agent.media.leg_media_cy import LegMedia
from agent.media.rtp.loop_cy import Loop
from agent.media.streams_cy import QualityRules
from agent.model.events import Event, MessageSeen, Unseen
from agent.model.sides import Sides
from agent.model.unseen import Cause, Sight
from agent.transport.rate_limit_cy import RateLimit
from agent.wire.frame import LINK_ETHERNET, origin
from agent.wire.ip.encapsulations import Tunnel
from tests.kit import packets
from tests.kit.framing import message
from tests.kit.packets import datagram, ethernet, tcp
from tests.kit.tunnelled import PEER as ROUTER
from tests.kit.tunnelled import TUNNELLED, VOICE, ip

MS, SECOND = 1_000_000, 1_000_000_000
VC, PEER, STRANGER, AGENT = "10.0.0.1", "192.0.2.10", "203.0.113.9", "198.51.100.60"
RINGING = (
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\n"
    b"To: <sip:b@b>;tag=2\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)
TLS = b"\x17\x03\x03\x00\x05hello"


class Media:
    """Takes RTCP and makes nothing of it."""

    def __init__(self) -> None:
        self.reports = 0

    def rtcp(self, *seen: Any) -> None:
        self.reports += 1


class Tap:
    """An intake, and frames for it."""

    def __init__(self, rules: IntakeRules | None = None, *, vc: bool = True) -> None:
        sides, self.media = Sides([VC]) if vc else Sides(), Media()
        self.out: list[Event] = []
        self.rejects: Counter[Reason] = Counter()
        media = LegMedia(Loop(), sides, self.out, quality=QualityRules())
        signalling = Signalling(CallRules(), sides, media, self.out)
        self.intake = Intake(
            sides,
            signalling,
            cast(Any, self.media),
            RateLimit(0),
            self.rejects,
            self.out,
            rules or IntakeRules(),
            lambda packet: True,
        )
        self.identification = 0

    def ip(
        self,
        src: str,
        dst: str,
        protocol: int,
        payload: bytes,
        at_ns: int = 0,
        *,
        flags: int = 0,
        cut: int = 0,
    ) -> None:
        self.identification += 1 if not flags else 0
        data = ethernet(packets.ip(src, dst, protocol, payload, self.identification, flags))
        self.intake.hold(data)
        self.intake.frame(0, len(data) - cut, len(data), at_ns, origin(LINK_ETHERNET, 0))
        self.intake.hold(b"")

    def udp(self, src: str, dst: str, payload: bytes, at_ns: int = 0, port: int = 5060, cut: int = 0) -> None:
        self.ip(src, dst, 17, datagram(5060, port, payload), at_ns, cut=cut)

    def tcp(self, src: str, dst: str, payload: bytes, sequence: int, port: int = 5060, cut: int = 0) -> None:
        self.ip(src, dst, 6, tcp((src, 5060), (dst, port), sequence, payload), cut=cut)

    @property
    def messages(self) -> list[MessageSeen]:
        return [event for event in self.out if isinstance(event, MessageSeen)]

    @property
    def unseen(self) -> list[tuple[Sight, Cause]]:
        return [(event.sight, event.cause) for event in self.out if isinstance(event, Unseen)]


def hep(payload: bytes, kind: int = 1, stamp_ns: int = 0) -> bytes:
    values = {
        3: inet_pton(AF_INET, PEER),
        4: inet_pton(AF_INET, VC),
        7: b"\x13\xc4",
        8: b"\x13\xc4",
        9: (stamp_ns // SECOND).to_bytes(4, "big"),
        10: (stamp_ns % SECOND // 1000).to_bytes(4, "big"),
        11: bytes([kind]),
        15: payload,
    }
    body = b"".join(struct.pack(">HHH", 0, kind, 6 + len(value)) + value for kind, value in values.items())
    return b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body


def test_sip_over_every_transport_is_a_message() -> None:
    tap = Tap()
    tap.udp(PEER, VC, message(1))
    tap.tcp(PEER, VC, message(2), 1)
    data = struct.pack(">BBHIHHI", 0, 3, 16 + len(message(3)), 1, 0, 0, 0) + message(3)
    tap.ip(PEER, VC, 132, struct.pack(">HHII", 5060, 5060, 0, 0) + data)
    tap.udp(STRANGER, VC, hep(message(4)), port=9060)
    tap.tcp(STRANGER, VC, hep(message(5)), 1, port=9061)
    assert [seen.call_id for seen in tap.messages] == ["c1", "c2", "c3", "c4", "c5"]
    assert tap.unseen == []


def test_copy_is_dropped_and_a_retransmission_is_not() -> None:
    tap = Tap()
    tap.udp(VC, PEER, RINGING)
    tap.udp(VC, PEER, RINGING, 15 * MS)
    tap.identification -= 1
    tap.udp(VC, PEER, RINGING, 16 * MS)
    assert (len(tap.messages), tap.intake.duplicates) == (2, 1)


def test_live_hep_is_believed_of_named_senders_on_their_port_only() -> None:
    tap = Tap(IntakeRules(tunnels=(Tunnel("hep", (AGENT,)), Tunnel("hep", (STRANGER,), port=9062))))
    sent = [(AGENT, 9060), (AGENT, 9062), (STRANGER, 9060), (STRANGER, 9062)]
    for number, (source, port) in enumerate(sent):
        tap.udp(source, VC, hep(message(2 * number)), port=port)
        tap.tcp(source, VC, hep(message(2 * number + 1)), 1, port=port)
    assert [seen.call_id for seen in tap.messages] == ["c0", "c1", "c6", "c7"]
    assert (tap.intake.counters["hep_refused"], tap.intake.tunnels()) == (4, {"hep": 4})


def test_live_hep_of_strangers_is_refused_where_nobody_is_named() -> None:
    tap = Tap(IntakeRules(tunnels=()))
    tap.udp(STRANGER, VC, hep(message(1)), port=9060)
    tap.tcp(STRANGER, VC, hep(message(2)), 1, port=5060)
    assert (tap.messages, tap.intake.counters["hep_refused"]) == ([], 2)


def test_hep_of_a_file_is_read_from_anybody_and_told() -> None:
    tap = Tap()
    tap.udp(STRANGER, VC, hep(message(1)), port=9999)
    assert (len(tap.messages), tap.intake.tunnels()) == (1, {"hep": 1})


def test_hep_of_no_sip_is_counted_and_ignored() -> None:
    tap = Tap()
    tap.udp(STRANGER, VC, hep(b'{"rtcp": 1}', kind=5), port=9060)
    assert (tap.messages, tap.intake.counters["hep_ignored"]) == ([], 1)


def test_hep_stamp_is_believed_within_the_delay_of_a_packet() -> None:
    tap = Tap()
    now_ns = 1_700_000_040 * SECOND
    for number, stamp_ns in enumerate((now_ns - SECOND, now_ns - 9 * SECOND, now_ns + SECOND)):
        tap.udp(STRANGER, VC, hep(message(number), stamp_ns=stamp_ns), now_ns, port=9060)
    assert [seen.stamp_ns for seen in tap.messages] == [now_ns - SECOND, now_ns, now_ns]


def test_hep_of_a_message_that_was_captured_too_is_a_copy() -> None:
    tap = Tap()
    tap.identification = -1  # this host's stack sends without one
    tap.udp(PEER, VC, message(1))
    tap.udp(STRANGER, VC, hep(message(1)), MS, port=9060)
    assert (len(tap.messages), tap.intake.duplicates) == (1, 1)


def test_response_cut_in_its_headers_counts_by_its_status_line() -> None:
    tap = Tap()
    tap.udp(VC, PEER, RINGING, cut=len(RINGING) - 40)
    assert [(seen.leg, seen.status) for seen in tap.messages] == [(None, 180)]
    assert tap.unseen == [(Sight.SIP_CALLS, Cause.SNAP_LENGTH)]


def test_request_cut_in_its_headers_leaves_calls_unknown() -> None:
    tap = Tap()
    tap.udp(STRANGER, VC, message(1), cut=len(message(1)) - 40)
    assert [seen.status for seen in tap.messages] == [0] * len(tap.messages)
    assert tap.unseen == [(Sight.SIP_CALLS, Cause.SNAP_LENGTH)]


def test_message_cut_in_its_body_leaves_nothing_unknown() -> None:
    tap = Tap()
    tap.udp(PEER, VC, message(1, bytes(300)), cut=200)
    assert (len(tap.messages), tap.unseen) == (1, [])


def test_tcp_cut_in_its_headers_leaves_codes_unknown_too() -> None:
    tap = Tap()
    tap.tcp(VC, PEER, RINGING + RINGING, 1, cut=len(RINGING) + 100)
    assert [seen.status for seen in tap.messages] == [180]
    assert tap.unseen == [(Sight.SIP, Cause.SNAP_LENGTH)]


def test_tls_of_the_vc_on_a_sip_port_is_unseen() -> None:
    tap = Tap()
    tap.tcp(VC, PEER, TLS, 1, port=5061)
    assert tap.unseen == [(Sight.SIP, Cause.TLS)]


def test_tls_on_other_ports_is_nobodys() -> None:
    tap = Tap(IntakeRules(sip_ports=(5061,)))
    tap.tcp(VC, PEER, TLS, 1, port=443)
    assert tap.unseen == []


def test_tls_of_a_stranger_makes_nothing_unknown_until_the_vc_answers() -> None:
    tap = Tap()
    tap.tcp(STRANGER, VC, TLS, 1, port=5061)
    assert tap.unseen == []
    tap.tcp(VC, STRANGER, b"\x16\x03\x03\x00\x01a", 1, port=5061)
    tap.tcp(STRANGER, VC, TLS, 1 + len(TLS), port=5061)
    assert tap.unseen == [(Sight.SIP, Cause.TLS)]


def test_what_passes_the_vc_by_is_not_unseen() -> None:
    tap = Tap()
    tap.tcp(PEER, STRANGER, TLS, 1, port=5061)
    tap.udp(PEER, STRANGER, RINGING, cut=len(RINGING) - 40)
    assert (tap.unseen, tap.messages) == ([], [])


@pytest.mark.parametrize("first", [True, False])
def test_fragments_of_sip_whose_siblings_never_came_are_unseen(first: bool) -> None:
    tap = Tap()
    tap.udp(VC, PEER, RINGING)
    piece = (struct.pack(">HHHH", 5060, 5060, 2000, 0) + message(1, bytes(900)))[:800]
    tap.identification = 99
    tap.ip(PEER, VC, 17, piece, flags=0x2000 if first else 0x2064)
    assert tap.unseen == []
    tap.intake.expire(10 * SECOND)
    assert tap.unseen == [(Sight.SIP, Cause.FRAGMENTS)]


def test_fragments_of_a_stranger_make_nothing_unknown() -> None:
    tap = Tap()
    tap.ip(STRANGER, VC, 17, bytes(800), flags=0x2064)
    tap.intake.finish()
    assert (tap.unseen, tap.intake.counters["unseen_of_strangers"]) == ([], 1)


def test_bytes_beyond_the_limit_are_not_put_together_and_told_for_peers() -> None:
    tap = Tap(IntakeRules(bytes_each=4000, bytes_all=8000))
    for number in range(50):
        tap.tcp(STRANGER, VC, b"x" * 22, 1 + 22 * number)
    assert tap.unseen == []
    tap.tcp(VC, PEER, message(1), 1)
    assert len(tap.messages) == 1
    for number in range(50):
        tap.tcp(PEER, VC, b"x" * 22, 1 + 22 * number)
    assert set(tap.unseen) == {(Sight.SIP, Cause.SHED)}


def test_tables_stay_bounded_whatever_comes() -> None:
    tap = Tap()
    for number in range(300):
        tap.tcp(VC, f"10.9.{number >> 8}.{number & 255}", b"x", 1)
    assert tap.intake.tables()["sip_peers"] == 300


def pieces(packet: bytes, size: int) -> list[bytes]:
    """An IPv4 packet without options in Ethernet frames of one fragment each."""
    body, frames = packet[20:], []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        more = 0x2000 if at + size < len(body) else 0
        head = packet[:2] + struct.pack(">H", 20 + len(part)) + packet[4:6]
        frames.append(ethernet(head + struct.pack(">H", at >> 3 | more) + packet[8:20] + part))
    return frames


def give_frames(to: Intake, frames: list[bytes]) -> None:
    for at_ns, data in enumerate(frames):
        to.hold(data)
        to.frame(0, len(data), len(data), at_ns, origin(LINK_ETHERNET, 0))
        to.hold(b"")


def test_outer_datagram_in_fragments_is_opened_once_it_is_whole() -> None:
    outer = ip(*TUNNELLED["vxlan"], ROUTER)
    first, *rest = pieces(outer, 40)
    it = Tap().intake
    give_frames(it, [first])
    assert it.tunnels() == {}
    give_frames(it, rest)
    assert it.tunnels() == {"vxlan": 1}


def test_fragments_in_fragments_end() -> None:
    packet = ip(4, VOICE)
    for _ in range(6):  # each tunnel's packet in two fragments, which come in tunnels of their own
        half = len(packet[20:]) // 16 * 8
        packet = ip(4, pieces(packet, half)[0][14:])
    it = Tap().intake
    give_frames(it, [ethernet(packet)])
    assert it.tables()["fragments"] <= 1
