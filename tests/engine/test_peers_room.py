"""Whatever strangers begin and never end, and however much of it: a peer's own halves meet."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from agent.config.settings import Config
from agent.model.events import MessageSeen, Unseen
from agent.pipeline import Pipeline, build
from agent.wire.frame import LINK_ETHERNET, Frame, batch_of, origin
from tests.kit import packets
from tests.kit.framing import message
from tests.kit.packets import SCTP, TCP, UDP, ethernet, ip

VC, TRUNK = "10.0.0.1", "192.0.2.10"
BEGIN_NS = 1_700_000_040 * 10**9
FLOOD = 9_000  # more than any table has
SIP = message(1, b"x" * 800)
HALF = 640


def stranger(number: int) -> str:
    return f"203.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Wire:
    """Frames into a pipeline, ten microseconds apart."""

    def __init__(self) -> None:
        self.pipeline: Pipeline = build(Config(), vc=[VC], customers=["192.0.2.0/24"])
        self.engine = self.pipeline.engine
        self.now_ns = BEGIN_NS
        self.messages: list[bytes] = []
        self.unseen: list[Unseen] = []

    def send(self, *frames: bytes, path: int = 0) -> None:
        rows = []
        for data in frames:
            self.now_ns += 10_000
            rows.append(Frame(data, self.now_ns, origin(LINK_ETHERNET, path), len(data)))
        for event in self.engine.feed(batch_of(rows)):
            if isinstance(event, MessageSeen):
                self.messages.append(event.data)
            elif isinstance(event, Unseen):
                self.unseen.append(event)

    def deal(self) -> None:
        """The vc asks the trunk whether it is there."""
        text = message(7).replace(b"INFO", b"OPTIONS")
        self.send(ethernet(packets.udp((VC, 5060), (TRUNK, 5060), text)))
        self.messages.clear()


def fragments(source: str, number: int) -> tuple[bytes, bytes]:
    whole = packets.datagram(5060, 5060, SIP)
    first = ip(source, VC, UDP, whole[:HALF], number & 0xFFFF, 0x2000)
    return ethernet(first), ethernet(ip(source, VC, UDP, whole[HALF:], number & 0xFFFF, HALF // 8))


def sctp(source: str, number: int) -> tuple[bytes, bytes]:
    def part(at: int, flags: int, data: bytes) -> bytes:
        chunk = struct.pack(">BBHIHHI", 0, flags, 16 + len(data), at, 0, 0, 0) + data
        head = struct.pack(">HHII", 1024 + number % 60_000, 5060, 0, 0)
        return ethernet(ip(source, VC, SCTP, head + chunk + bytes(-len(chunk) % 4)))

    return part(1, 2, SIP[:HALF]), part(2, 1, SIP[HALF:])


def tcp(source: str, number: int, data: bytes = SIP) -> tuple[bytes, bytes]:
    ends = (source, 1024 + number % 60_000), (VC, 5060)
    halves = (0, data[:HALF]), (HALF, data[HALF:])
    first, second = [ethernet(ip(source, VC, TCP, packets.tcp(*ends, 1 + at, part))) for at, part in halves]
    return first, second


def websocket(source: str, number: int) -> tuple[bytes, bytes]:
    return tcp(source, number, b"\x82\x7e" + len(SIP).to_bytes(2, "big") + SIP)


def hep(source: str, number: int) -> tuple[bytes, bytes]:
    def chunk(kind: int, value: bytes) -> bytes:
        return struct.pack(">HHH", 0, kind, 6 + len(value)) + value

    body = (
        chunk(1, b"\x02") + chunk(2, b"\x11") + chunk(3, packets.packed(TRUNK)) + chunk(4, packets.packed(VC))
    )
    body += chunk(7, b"\x13\xc4") + chunk(8, b"\x13\xc4") + chunk(11, b"\x01") + chunk(15, SIP)
    return tcp(source, number, b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body)


HALVES: dict[str, Callable[[str, int], tuple[bytes, bytes]]] = {
    "fragments": fragments,
    "sctp": sctp,
    "tcp": tcp,
    "websocket": websocket,
    "hep": hep,
}


@pytest.mark.parametrize("kind", HALVES)
def test_flood_of_strangers_halves_leaves_those_of_a_peer(kind: str) -> None:
    wire = Wire()
    wire.deal()
    if kind in ("tcp", "websocket", "hep"):  # the vc answers there: over TCP nobody can forge that
        wire.send(ethernet(ip(VC, TRUNK, TCP, packets.tcp((VC, 5060), (TRUNK, 1024), 1, b"SIP/2.0 "))))
    first, second = HALVES[kind](TRUNK, 0)
    wire.send(first)
    wire.send(*[HALVES[kind](stranger(number), number)[0] for number in range(1, FLOOD)])
    wire.send(second)
    assert wire.messages == [SIP]


def test_flood_of_strangers_leaves_the_copies_of_a_peer_known() -> None:
    wire = Wire()
    wire.deal()
    seen = ethernet(packets.udp((TRUNK, 5060), (VC, 5060), SIP))
    wire.now_ns -= 9_000  # the flood of a stranger is ever faster
    wire.send(seen)
    stamp_ns = wire.now_ns
    for number in range(20_000):
        wire.now_ns = stamp_ns + number * 500
        wire.now_ns -= 10_000
        wire.send(ethernet(packets.udp((stranger(number), 5060), (VC, 5060), b"SIP/2.0 x%d" % number)))
    wire.send(seen, path=1)
    assert wire.now_ns - stamp_ns < 20_000_000
    assert wire.messages == [SIP]
    assert wire.engine.duplicates() == 1


def test_flood_of_early_rtcp_leaves_what_goes_both_ways() -> None:
    wire = Wire()
    wire.deal()
    report = struct.pack(">BBHI", 0x80, 201, 1, 1)
    ends = (TRUNK, 6001), (VC, 7001)
    wire.send(ethernet(packets.udp(*ends, report)), ethernet(packets.udp(ends[1], ends[0], report, 1)))
    flood = [packets.udp((stranger(n), 6001), (VC, 8001), report) for n in range(1, 11_000)]
    wire.send(*map(ethernet, flood))
    sdp = "v=0\r\nc=IN IP4 {}\r\nm=audio {} RTP/AVP 8\r\n"
    head = "Via: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:1@x>;tag=a\r\nTo: <sip:2@y>{}\r\nCall-ID: 1\r\n"
    head += "CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\n"
    invite = "INVITE sip:2@y SIP/2.0\r\n" + head.format("") + sdp.format(TRUNK, 6000)
    answer = "SIP/2.0 200 OK\r\n" + head.format(";tag=b") + sdp.format(VC, 7000)
    wire.send(ethernet(packets.udp((TRUNK, 5060), (VC, 5060), invite.encode())))
    wire.send(ethernet(packets.udp((VC, 5060), (TRUNK, 5060), answer.encode())))
    (leg,) = wire.engine.so_far()[0]
    assert [sum(counts[at] for counts in leg.reports.values()) for at in (0, 2)] == [1, 1]


@pytest.mark.parametrize("answer", [b"401 Unauthorized", b"404 Not Found", b"200 OK"])
def test_who_is_refused_or_asks_for_options_is_a_stranger_still(answer: bytes) -> None:
    """Else one INVITE and one fragment a minute from a forged address would blank each 0."""
    wire = Wire()
    text = message(7).replace(b"INFO", b"OPTIONS" if answer == b"200 OK" else b"INVITE")
    reply = text.replace(text.split(b"\r\n")[0], b"SIP/2.0 " + answer)
    wire.send(ethernet(packets.udp((stranger(1), 5060), (VC, 5060), text)))
    wire.send(ethernet(packets.udp((VC, 5060), (stranger(1), 5060), reply)))
    wire.send(fragments(stranger(1), 1)[0])
    wire.now_ns += 5 * 10**9
    wire.send(fragments(TRUNK, 2)[0])
    assert wire.unseen == []


def test_who_is_called_answered_or_registered_is_a_peer() -> None:
    for method, reply, is_taken in (
        (b"INVITE", b"SIP/2.0 180 Ringing", True),
        (b"INVITE", b"SIP/2.0 200 OK", True),
        (b"REGISTER", b"SIP/2.0 200 OK", True),
        (b"REGISTER", b"SIP/2.0 401 Unauthorized", False),
        (b"INVITE", b"SIP/2.0 100 Trying", False),
        (b"BYE", b"BYE sip:x SIP/2.0", True),
    ):
        wire = Wire()
        text = message(7).replace(b"INFO", method)
        first = text.split(b"\r\n")[0]
        wire.send(ethernet(packets.udp((VC, 5060), (TRUNK, 5060), text.replace(first, reply))))
        assert (TRUNK in wire.engine.rate_limit.peers) == is_taken, (method, reply)


def test_flood_of_forged_sources_leaves_the_trunk_a_peer() -> None:
    wire = Wire()
    wire.deal()
    reply = message(7).replace(b"INFO sip:b@example.com SIP/2.0", b"SIP/2.0 404 Not Found")
    wire.send(*[ethernet(packets.udp((VC, 5060), (stranger(n), 5060), reply, 1)) for n in range(20_000)])
    assert TRUNK in wire.engine.rate_limit.peers
