"""SIP calls as messages, and what may carry them: datagrams, tunnels, streams, WebSocket, SCTP, HEP3."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from tests.cases.packets import SECOND, Stamped
from tests.kit.packets import SCTP, TCP, Socket, ethernet, fragments, ip, is_ipv6, packed, tcp, udp

START = 1_700_000_000 * SECOND
CUSTOMER, VC_C, VC_R, REMOTE = "192.0.2.10", "10.0.0.1", "10.1.0.1", "198.51.100.10"
CUSTOMER6, VC_C6, VC_R6, REMOTE6 = "2001:db8:c::10", "2001:db8:a::1", "2001:db8:b::1", "2001:db8:f::10"


@dataclass(frozen=True)
class Message:
    at: float  # seconds after START
    src: str
    dst: str
    text: bytes

    @property
    def ns(self) -> int:
        return START + round(self.at * SECOND)


@dataclass(frozen=True)
class Leg:
    """One dialog, from its INVITE on; every method gives one message."""

    src: str
    dst: str
    call_id: str
    called: str = "+12065550110"
    calling: str = "+12065550100"
    headers: str = ""  # further ones of the INVITE
    answer_headers: str = ""  # further ones of responses
    via: str = ""  # further Via lines of the INVITE
    uri: str = ""  # Request-URI, default: of `called`
    contact: str = ""  # parameters of Contact

    def request(
        self, at: float, method: str, cseq: int = 1, headers: str = "", tag: bool = True, body: str = ""
    ) -> Message:
        return Message(
            at,
            self.src,
            self.dst,
            self._text(f"{method} {self._uri()} SIP/2.0", cseq, method, headers, tag, body),
        )

    def invite(self, at: float, headers: str = "") -> Message:
        return self.request(at, "INVITE", 1, self.headers + headers, tag=False, body=sdp(self.src))

    def answer(
        self, at: float, status: int, method: str = "INVITE", cseq: int = 1, headers: str = ""
    ) -> Message:
        body = sdp(self.dst) if status == 200 and method == "INVITE" else ""
        first = f"SIP/2.0 {status} X"
        text = self._text(first, cseq, method, self.answer_headers + headers, status > 100, body)
        return Message(at, self.dst, self.src, text)

    def hung_up_by_callee(self, at: float) -> list[Message]:
        """BYE of the side that was called, and its 200."""
        ends = (
            f"From: <sip:{self.called}@b.example>;tag=t{self.call_id}\r\n"
            f"To: <sip:{self.calling}@a.example>;tag=f{self.call_id}\r\n"
        )
        rest = (
            f"\r\nVia: SIP/2.0/UDP {bracketed(self.dst)}:5060;branch=z9hG4bK{self.call_id}back\r\n{ends}"
            f"Call-ID: {self.call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        )
        bye = f"BYE sip:x@{bracketed(self.src)} SIP/2.0{rest}"
        return [
            Message(at, self.dst, self.src, bye.encode()),
            Message(at + 0.01, self.src, self.dst, f"SIP/2.0 200 OK{rest}".encode()),
        ]

    def _uri(self) -> str:
        return self.uri or f"sip:{self.called}@{bracketed(self.dst)}"

    def _text(self, first: str, cseq: int, method: str, headers: str, tag: bool, body: str) -> bytes:
        branch = (
            f"z9hG4bK{self.call_id}{cseq}{'INVITE' if method in ('ACK', 'CANCEL') and cseq == 1 else method}"
        )
        content = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{first}\r\nVia: SIP/2.0/UDP {bracketed(self.src)}:5060;branch={branch}\r\n{self.via}"
            f"Max-Forwards: 70\r\nFrom: <sip:{self.calling}@a.example>;tag=f{self.call_id}\r\n"
            f"To: <sip:{self.called}@b.example>{';tag=t' + self.call_id if tag else ''}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:x@{bracketed(self.src)}>{self.contact}\r\n{headers}{content}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def bracketed(address: str) -> str:
    return f"[{address}]" if is_ipv6(address) else address


def sdp(address: str, port: int = 20_000) -> str:
    kind = "IP6" if is_ipv6(address) else "IP4"
    return (
        f"v=0\r\no=- 1 1 IN {kind} {address}\r\ns=-\r\nc=IN {kind} {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )


def answered(incoming: Leg, outgoing: Leg, at: float = 0.0, seconds: float = 5.0) -> list[Message]:
    """A B2BUA's call: 14 messages, four 1xx, four 2xx."""
    end = at + 2 + seconds
    return [
        incoming.invite(at),
        incoming.answer(at + 0.01, 100),
        outgoing.invite(at + 0.03),
        outgoing.answer(at + 0.04, 100),
        outgoing.answer(at + 0.5, 180),
        incoming.answer(at + 0.51, 180),
        outgoing.answer(at + 2, 200),
        outgoing.request(at + 2.01, "ACK"),
        incoming.answer(at + 2.02, 200),
        incoming.request(at + 2.03, "ACK"),
        incoming.request(end, "BYE", 2),
        incoming.answer(end + 0.01, 200, "BYE", 2),
        outgoing.request(end + 0.02, "BYE", 2),
        outgoing.answer(end + 0.03, 200, "BYE", 2),
    ]


def legs(
    *, ipv6: bool = False, incoming: str = "in@c", outgoing: str = "out@v", **second: str
) -> tuple[Leg, Leg]:
    """An outbound call's two legs; `second` are the outgoing leg's own values."""
    customer, vc_c, vc_r, remote = (
        (CUSTOMER6, VC_C6, VC_R6, REMOTE6) if ipv6 else (CUSTOMER, VC_C, VC_R, REMOTE)
    )
    return Leg(customer, vc_c, incoming), Leg(vc_r, remote, outgoing, **second)


def plain(messages: Iterable[Message]) -> list[Stamped]:
    """Each in a datagram, with an IP identification of its own."""
    idents = count(1)
    return [(m.ns, ethernet(udp((m.src, 5060), (m.dst, 5060), m.text, next(idents)))) for m in messages]


def tunnelled(messages: Iterable[Message], tunnel: Callable[[bytes], bytes]) -> list[Stamped]:
    return [(m.ns, ethernet(tunnel(udp((m.src, 5060), (m.dst, 5060), m.text)))) for m in messages]


def in_fragments(messages: Iterable[Message], send: Callable[[bytes, int], list[bytes]]) -> list[Stamped]:
    """`send` gives the outer fragments of an IP packet."""
    return [
        (m.ns + place, ethernet(part))
        for ident, m in enumerate(messages, 1)
        for place, part in enumerate(send(udp((m.src, 5060), (m.dst, 5060), m.text), ident))
    ]


# -- streams

Framing = Callable[[bytes, bool], list[bytes]]  # (message, from the client) -> segments


class Connections:
    """TCP connections between two hosts each: the client is who sends first."""

    def __init__(
        self, port: int, framing: Framing, greeting: bytes = b"", upgrade: tuple[bytes, bytes] | None = None
    ) -> None:
        self._port, self._framing, self._greeting, self._upgrade = port, framing, greeting, upgrade
        self._next: dict[tuple[Socket, Socket], int] = {}
        self._client: dict[frozenset[str], str] = {}

    def frames(self, messages: Iterable[Message], fragment: int = 0) -> Iterator[Stamped]:
        for m in sorted(messages, key=lambda m: m.at):
            first = frozenset((m.src, m.dst)) not in self._client
            client = self._client.setdefault(frozenset((m.src, m.dst)), m.src)
            src, dst = self._sockets(m.src, m.dst, client)
            stamp = m.ns
            if first:
                yield from self._open(stamp - 100_000_000, src, dst)
            for segment in self._framing(m.text, m.src == client):
                for packet in self._packets(src, dst, segment, fragment):
                    yield stamp, ethernet(packet)
                    stamp += 1_000

    def _sockets(self, src: str, dst: str, client: str) -> tuple[Socket, Socket]:
        return (src, 40_001 if src == client else self._port), (dst, self._port if src == client else 40_001)

    def _open(self, stamp: int, src: Socket, dst: Socket) -> Iterator[Stamped]:
        yield stamp, ethernet(ip(src[0], dst[0], TCP, tcp(src, dst, 0, b"", 0x02)))
        yield stamp + 1_000, ethernet(ip(dst[0], src[0], TCP, tcp(dst, src, 0, b"", 0x12)))
        self._next[src, dst] = self._next[dst, src] = 1
        hello, reply = self._upgrade or (self._greeting, b"")
        for number, (one, other, data) in enumerate(((src, dst, hello), (dst, src, reply)), 2):
            if data:
                for packet in self._packets(one, other, data, 0):
                    yield stamp + number * 1_000, ethernet(packet)

    def _packets(self, src: Socket, dst: Socket, data: bytes, fragment: int) -> list[bytes]:
        number = self._next[src, dst]
        self._next[src, dst] = number + len(data)
        segment = tcp(src, dst, number, data)
        if fragment:
            return fragments(src[0], dst[0], TCP, segment, number, fragment)
        return [ip(src[0], dst[0], TCP, segment)]


def whole(text: bytes, client: bool) -> list[bytes]:
    return [text]


def websocket(*, parts: int = 1, ping: bool = False, split: bool = False) -> Framing:
    """RFC 6455 5.2: clients mask; `parts` frames a message, pings between, a message over two segments."""

    def frame(first: int, body: bytes, client: bool) -> bytes:
        mask = 0x80 if client else 0
        size = bytes([mask | len(body)]) if len(body) < 126 else struct.pack(">BH", mask | 126, len(body))
        if client:
            key = b"\x37\xfa\x21\x3d"
            return bytes([first]) + size + key + bytes(b ^ key[i % 4] for i, b in enumerate(body))
        return bytes([first]) + size + body

    def framing(text: bytes, client: bool) -> list[bytes]:
        step = -(-len(text) // parts)
        out = b""
        for place in range(parts):
            if ping and place:
                out += frame(0x89, b"alive", client)
            final = 0x80 if place == parts - 1 else 0
            out += frame(final | (0 if place else 1), text[place * step : (place + 1) * step], client)
        return [out[:100], out[100:]] if split else [out]

    return framing


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: sbc.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
)


def proxy_v2(command: int, family: int, addresses: bytes) -> bytes:
    """The binary header of the PROXY protocol, version 2."""
    return (
        b"\r\n\r\n\x00\r\nQUIT\n"
        + bytes([0x20 | command, family])
        + struct.pack(">H", len(addresses))
        + addresses
    )


# -- SCTP (RFC 4168, RFC 9260 3.3.1)


def data_chunk(number: int, text: bytes, bits: int = 3) -> bytes:
    """A DATA chunk; bits: 2 begins a message, 1 ends it."""
    length = 16 + len(text)
    return struct.pack(">BBHIHHI", 0, bits, length, number, 0, number, 0) + text + bytes(-length % 4)


def sctp(m: Message, stamp: int, *chunks: bytes) -> Stamped:
    head = struct.pack(">HHII", 5060, 5060, 1, 0)
    return stamp, ethernet(ip(m.src, m.dst, SCTP, head + b"".join(chunks)))


# -- HEP3


def hep(m: Message, payload: bytes | None = None, kind: int = 1) -> bytes:
    """One HEP3 packet; `kind` 1 is SIP, 5 RTCP as JSON."""
    v6 = is_ipv6(m.src)
    seconds, rest = divmod(m.ns, SECOND)

    def chunk(number: int, value: bytes) -> bytes:
        return struct.pack(">HHH", 0, number, 6 + len(value)) + value

    body = b"".join(
        (
            chunk(1, b"\x0a" if v6 else b"\x02"),
            chunk(2, b"\x06"),
            chunk(5 if v6 else 3, packed(m.src)),
            chunk(6 if v6 else 4, packed(m.dst)),
            chunk(7, struct.pack(">H", 5061)),
            chunk(8, struct.pack(">H", 5061)),
            chunk(9, struct.pack(">I", seconds)),
            chunk(10, struct.pack(">I", rest // 1000)),
            chunk(11, bytes([kind])),
            chunk(12, struct.pack(">I", 2001)),
            chunk(15, m.text if payload is None else payload),
        )
    )
    return b"HEP3" + struct.pack(">H", 6 + len(body)) + body
