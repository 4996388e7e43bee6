"""Hostile inputs of any size, and who reads them: the rows of `benchmarks.worst`.

A shape's bound is some four times what an idle machine takes, so that it fails where a cost is of another
kind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from agent.config.settings import Config
from agent.errors import WireError
from agent.pipeline import build
from agent.story.conditions import Evidence, nat
from agent.story.ladder import ladder
from agent.summary.masking import Masking
from agent.summary.records import CallRecords
from agent.summary.redaction import Redaction
from agent.transport.fragments import Fragments
from agent.transport.framings import OpeningFraming
from agent.transport.sctp import SctpPaths
from agent.transport.tcp import TcpStreams
from agent.wire import sdp
from agent.wire.frame import LINK_ETHERNET, Batch, Frame, batch_of, origin
from agent.wire.hep import hep_packet
from agent.wire.rtp import rtcp
from agent.wire.sip import quality_report
from agent.wire.sip.message_cy import Message
from tests.kit.generate import BEGIN_S, VC, udp

DATAGRAM = 65_000  # what one message over UDP may have
BEGIN_NS = BEGIN_S * 10**9
FAR = "203.0.113.9"

Run = Callable[[Any], object]


class Shape(NamedTuple):
    """`make` gives the input of a size and its wire bytes, `run` reads it and returns what it holds.

    `us`: microseconds a byte may cost, `held`: bytes that may stay of each; both where the input is large.
    """

    name: str
    make: Callable[[int], tuple[Any, int]]
    run: Run
    us: float
    held: float = 4.0
    most: int = DATAGRAM
    stage: Callable[[Any], Any] | None = None  # what is made of the input before the clock starts


# -- one message


def repeated(data: bytes, size: int) -> bytes:
    return data * (size // len(data))


def line(text: str, end: str = "", start: str = "") -> Callable[[int], bytes]:
    """`start`, `text` as often as fits, `{}` being the number of each, then `end`."""

    def fill(size: int) -> bytes:
        parts: list[str] = []
        length, number = len(end), 0
        while length < size or not parts:
            parts.append(text.replace("{}", str(number)))
            length += len(parts[-1])
            number += 1
        return (start + "".join(parts) + end).encode()

    return fill


def sip(
    before: str, fill: Callable[[int], bytes], after: str = "", body: bytes = b""
) -> Callable[[int], Any]:
    """A request whose headers have `before`, what `fill` makes, and `after`."""

    def make(size: int) -> tuple[bytes, int]:
        head = (
            b"INVITE sip:1@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK1\r\n"
            b"From: <sip:a@b>;tag=1\r\nTo: <sip:1@c>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
        )
        data = head + before.encode() + fill(size) + after.encode() + b"\r\n\r\n" + body
        return data, len(data)

    return make


def plain(fill: Callable[[int], bytes]) -> Callable[[int], Any]:
    def make(size: int) -> tuple[bytes, int]:
        data = fill(size)
        return data, len(data)

    return make


def body(kind: str, fill: Callable[[int], bytes]) -> Callable[[int], Any]:
    def make(size: int) -> tuple[bytes, int]:
        found: tuple[bytes, int] = sip(f"Content-Type: {kind}\r\n", lambda _: b"X: y", body=fill(size))(size)
        return found

    return make


def read_message(data: bytes) -> object:
    """All that anybody asks a message for."""
    try:
        message = Message(data)
    except WireError:
        return None
    names = [name for name in dir(Message) if not name.startswith("_") and name not in ("data", "header")]
    found = [getattr(message, name) for name in names]
    for name in ("via", "contact", "route", "p-asserted-identity", "require", "x-none", "diversion"):
        found += [message.header(name), message.values(name)]
    del found
    return None


def whole(read: Callable[[bytes], object]) -> Run:
    """`read`, whose WireError is an answer too."""

    def run(data: bytes) -> object:
        try:
            return read(data)
        except WireError:
            return None

    return run


def of_sdp(text: str, *, before: str = "") -> Callable[[int], Any]:
    return plain(lambda size: b"v=0\r\nc=IN IP4 203.0.113.9\r\n" + before.encode() + line(text)(size))


REDACT = Redaction()
MASK = Masking(b"k")


def redacted(data: bytes) -> object:
    return REDACT.text(data) and None


def masked(data: bytes) -> object:
    return MASK.message(data.decode("latin-1"), "1", ()) and None


def told(data: bytes) -> object:
    """As a page tells of a message."""
    message = {
        "sip_message": data.decode("latin-1"),
        "stamp_ns": 1,
        "call_id": "c",
        "src": FAR,
        "to_vc": True,
    }
    steps = ladder(cast(CallRecords, SimpleNamespace(messages=[message])))
    return nat(cast(Evidence, SimpleNamespace(steps=steps))) and None


MULTI = 'multipart/mixed;boundary="b"'
HEADS: dict[str, Callable[[int], Any]] = {
    "Via lines": sip("", line("Via: SIP/2.0/UDP h{};branch=z9hG4bK{}\r\n")),
    "commas in Via": sip("Via: ", line("SIP/2.0/UDP h{},")),
    "commas": sip("Via: ", line(",")),
    "parameters": sip("Contact: <sip:a@b>", line(";a{}=b")),
    "parameters of From": sip("From: <sip:a@b>", line(";a{}=b")),
    "quotes": sip("Contact: ", line('"a" <sip:b@c>,')),
    "open quotes": sip("Contact: ", line('"')),
    "backslashes": sip('Contact: "', line("\\")),
    "open brackets": sip("Contact: ", line("<")),
    "folds": sip("Subject: a", line("\r\n b")),
    "folded commas": sip("Contact: a", line("\r\n ,")),
    "headers": sip("", line("a{}: b\r\n")),
    "empty lines of blanks": sip("", line(" \r\n")),
    "colons": sip("", line(":")),
    "names without colon": sip("", line("a\r\n")),
    "ats in a URI": sip("Contact: <sip:", line("@"), ">"),
    "passwords": sip("Contact: ", line("<sip:a:b@c>,")),
    "schemes": sip("Contact: ", line("sip:")),
    "claims": sip("Identity: ", line("eyJ-")),
    "URI headers": sip("Refer-To: <sip:a@b?", line("a=b&"), ">"),
    "escapes": sip("Refer-To: <sip:a@b?a=", line("%25"), ">"),
    "numbers": sip("Subject: ", line("+1555000{} ")),
    "CR alone": sip("", line("a\r")),
    "blanks": sip("Subject:", line(" "), "a"),
    "tabs in From": sip("From:", line("\t"), "<sip:a@b>;tag=1"),
    "octets": sip("Subject: ", lambda size: b"\xff" * size),
    "SDP of attributes": body("application/sdp", line("a=x{}:y\r\n", "v=0\r\n")),
    "SDP of secrets": body("application/sdp", line("a=crypto:1 A inline:b\r\n")),
    "parts": body(MULTI, line("--b\r\nContent-Type: text/plain\r\n\r\na\r\n", "--b--")),
    "parts without type": body(MULTI, line("--b\r\n")),
    "near delimiters": body(MULTI, line("--b \r\n-")),
    "sipfrag": body("message/sipfrag", line("Contact: <sip:a@b>\r\n")),
    "digits as body": body("application/dtmf-relay", line("Signal=5\r\n")),
}


def _messages() -> Iterator[Shape]:
    for name, make in HEADS.items():
        yield Shape(f"SIP: {name}", make, read_message, 1.2, 0.5)
        yield Shape(f"redaction: {name}", make, redacted, 3.0, 4.0)
        yield Shape(f"masking: {name}", make, masked, 3.5, 1.5)
        yield Shape(f"story: {name}", make, told, 0.1, 4.0)
    for text in ("m=audio 1{} RTP/AVP 0\r\n", "a=candidate:1 1 udp 1 203.0.113.9 {} typ host\r\n"):
        yield Shape(
            f"SDP: {text[:11].strip()} lines",
            of_sdp(text, before="m=audio 2 RTP/AVP 0\r\n"),
            whole(sdp.parse),
            1.0,
        )
    for text in (
        "a=rtpmap:{} x/8000\r\n", "a=ssrc:{} a\r\n", "a=mid:{}\r\n", "a=group:BUNDLE a {}\r\n",
        "c=IN IP6 ::{}\r\n", "a=rtcp:{} IN IP4 a\r\n", "a\r", "\n", "a=",
    ):  # fmt: skip
        name = text.partition(":")[0].strip() or repr(text)
        yield Shape(f"SDP: {name!r}", of_sdp(text, before="m=audio 2 RTP/AVP 0\r\n"), whole(sdp.parse), 1.0)
    yield Shape("SDP: group of the session", of_sdp("a=group:BUNDLE a {}\r\n"), whole(sdp.parse), 1.0, 12.0)
    yield Shape("SDP: formats", of_sdp(" {}", before="m=audio 2 RTP/AVP"), whole(sdp.parse), 1.0)
    yield Shape("SDP: long formats", of_sdp("0", before="m=audio 2 RTP/AVP "), whole(sdp.parse), 1.0)


# -- RTCP, vq, HEP


def _small_packets(kind: int, words: int) -> Callable[[int], bytes]:
    packet = struct.pack("!BBH", 0x80, kind, words) + bytes(4 * words)
    return lambda size: packet * max(1, size // len(packet))


def _blocks(size: int) -> bytes:
    block = struct.pack("!IIIIII", 1, 0, 1, 0, 0, 0)
    packet = struct.pack("!BBHI", 0x9F, 201, 1 + 6 * 31, 1) + block * 31
    return packet * max(1, size // len(packet))


def _xr(kind: int, words: int) -> Callable[[int], bytes]:
    def fill(size: int) -> bytes:
        inner = (struct.pack("!BBH", kind, 0, words) + bytes(4 * words)) * max(1, size // (4 + 4 * words))
        inner = inner[: 4 * 65_000]
        return struct.pack("!BBHI", 0x80, 207, 1 + len(inner) // 4, 1) + inner

    return fill


def _sdes(size: int) -> bytes:
    packet = struct.pack("!BBH", 0x9F, 202, 31 * 2) + (struct.pack("!I", 1) + bytes(4)) * 31
    return packet * max(1, size // len(packet))


def _readers() -> Iterator[Shape]:
    for name, fill in {
        "receiver reports": _small_packets(201, 1),
        "unknown": _small_packets(209, 0),
        "APP": _small_packets(204, 2),
        "BYE": _small_packets(203, 0),
        "SDES": _sdes,
        "report blocks": _blocks,
        "XR of nothing": _xr(99, 0),
        "XR DLRR": _xr(5, 3),
        "XR loss RLE": _xr(1, 2),
        "XR VoIP metrics": _xr(7, 8),
    }.items():
        yield Shape(f"RTCP: {name}", plain(fill), whole(rtcp.parse), 1.0, 12.0)
    for name, text in {
        "pairs": "x=1 ",
        "lines": "JitterBuffer: JBA=3\r\n",
        "quotes": 'x="',
        "signs": "=",
    }.items():
        make = plain(line(text, start="VQSessionReport: CallTerm\r\nLocalMetrics:\r\nDelay:"))
        yield Shape(f"quality report: {name}", make, whole(quality_report.parse), 0.5)

    def hep(size: int) -> bytes:
        inner = struct.pack("!HHH", 0, 99, 6) * max(1, size // 6)
        return b"HEP3" + struct.pack("!H", min(65_535, 6 + len(inner))) + inner

    yield Shape("HEP: chunks", plain(hep), whole(hep_packet), 0.4)


# -- streams of bytes


def fed(pieces: int, fill: Callable[[int], bytes], start: bytes = b"") -> Callable[[int], Any]:
    """A connection's bytes in segments of `pieces` bytes."""

    def make(size: int) -> tuple[list[bytes], int]:
        data = start + fill(size)
        return [data[at : at + pieces] for at in range(0, len(data), pieces)], len(data)

    return make


def framed(pieces: list[bytes]) -> object:
    framing = OpeningFraming(False)
    for piece in pieces:
        framing.feed(piece)
    return framing


def framed_late(pieces: list[bytes]) -> object:
    framing = OpeningFraming(True)
    for piece in pieces:
        framing.feed(piece)
    return framing


UPGRADE = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"


def _framings() -> Iterator[Shape]:
    request = "INVITE sip:a SIP/2.0\n"
    fills: dict[str, tuple[Callable[[int], bytes], bytes]] = {
        "start lines": (line(request), b""),
        "SIP/ lines": (line("SIP/\n"), b""),
        "SIP/ lines after text": (line("SIP/\n"), b"xx\n"),
        "SIP/ without line ends": (line("SIP/"), b""),
        "letters": (line("a\n"), b""),
        "line ends": (line("\n"), b""),
        "empty messages": (line("A b SIP/2.0\n\n"), b""),
        "bodies that quote": (line(request + "l: 30\n\n" + request), b""),
        "false lengths": (line(request + "l: 999999999\n\n"), b""),
        "WebSocket frames": (line("\x01"), UPGRADE),
        "WebSocket empty frames": (lambda size: b"\x81\x00" * (size // 2), UPGRADE),
        "WebSocket parts": (lambda size: b"\x01\x01a" + b"\x00\x01a" * (size // 3), UPGRADE),
        "HTTP without end": (line("a: b\r\n"), b"GET / HTTP/1.1\r\n"),
        "HTTP heads": (line("\r\n\r\n"), b"GET / HTTP/1.1\r\n"),
        "TLS records": (lambda size: b"\x17\x03\x03\0\0" * (size // 5), b""),
        "TLS lost": (lambda size: b"\x17\x03\x09" * (size // 3), b"\x17\x03\x03\0\0"),
        "HEP packets": (lambda size: b"HEP3\0\6" * (size // 6), b""),
        "HEP lost": (lambda size: b"HEP3\0\0" * (size // 6), b""),
        "HEP letters": (line("H"), b"HEP3\0\6"),
    }  # fmt: skip
    for name, (fill, start) in fills.items():
        yield Shape(f"framing: {name}", fed(1_400, fill, start), framed, 8.0, 3.0, 100_000)
        yield Shape(f"framing: {name}, by 22 bytes", fed(22, fill, start), framed, 8.0, 3.0, 100_000)
    for text in (b"\x81\x02", b"\x81", b"\x82\x7f"):
        places = fed(1_400, partial(repeated, text))
        yield Shape(f"framing: WebSocket met midway, {text!r}", places, framed_late, 0.6, 3.0, 100_000)

    def segments(step: int, payload: bytes) -> Callable[[int], Any]:
        def make(size: int) -> tuple[list[Any], int]:
            count = max(1, size // 10)
            return [(number * step + 1, payload) for number in range(count)], count * (40 + len(payload))

        return make

    def tcp(rows: list[Any]) -> object:
        streams = TcpStreams()
        streams.add(FAR, 1, VC, 5060, 0, 2, b"", BEGIN_NS)
        for sequence, payload in rows:
            streams.add(FAR, 1, VC, 5060, sequence, 16, payload, BEGIN_NS)
        return streams

    def connections(rows: list[Any]) -> object:
        streams = TcpStreams()
        for number, payload in rows:
            streams.add(FAR, number & 0xFFFF, VC, number >> 16, 0, 16, payload, BEGIN_NS)
        return streams

    yield Shape("TCP: segments of a byte", segments(1, b"a"), tcp, 0.4, 3.0, 100_000)
    yield Shape("TCP: holes", segments(3, b"a"), tcp, 3.0, 5.0, 100_000)
    yield Shape(
        "TCP: backwards",
        lambda size: (lambda rows, wire: (rows[::-1], wire))(*segments(2, b"ab")(size)),
        tcp,
        1.0,
        5.0,
        100_000,
    )
    yield Shape("TCP: connections", segments(1, b"INVITE sip:a SIP"), connections, 1.5, 25.0, 1_000_000)

    def chunks(flags: int, step: int) -> Callable[[int], Any]:
        def make(size: int) -> tuple[bytes, int]:
            count = max(1, size // 20)
            data = b"".join(
                struct.pack("!BBHIHHI", 0, flags, 17, 1 + number * step, 0, number & 0xFFFF, 0) + b"a\0\0\0"
                for number in range(count)
            )
            return struct.pack("!HHII", 5060, 5060, 1, 0) + data, len(data) + 12

        return make

    def sctp(data: bytes) -> object:
        paths = SctpPaths()
        paths.add(FAR, VC, data, 0, BEGIN_NS)
        return paths

    yield Shape("SCTP: whole chunks", chunks(3, 1), sctp, 2.0, 5.0)
    yield Shape("SCTP: middle parts", chunks(0, 1), sctp, 2.0, 12.0)
    yield Shape("SCTP: parts apart", chunks(0, 2), sctp, 2.0, 12.0)
    yield Shape("SCTP: first parts", chunks(2, 1), sctp, 2.0, 12.0)

    def pieces(step: int, same: bool) -> Callable[[int], Any]:
        def make(size: int) -> tuple[list[Any], int]:
            count = max(1, size // 10)
            return [(1 if same else number, number % 8_000 * step) for number in range(count)], 42 * count

        return make

    def fragments(rows: list[Any]) -> object:
        table = Fragments()
        for number, offset in rows:
            table.add((FAR, VC, 17), number, offset, True, b"12345678", BEGIN_NS)
        return table

    yield Shape("fragments of 8 bytes", pieces(8, True), fragments, 1.5, 5.0, 100_000)
    yield Shape("fragments apart", pieces(16, True), fragments, 1.5, 8.0, 60_000)
    yield Shape("fragments of many datagrams", pieces(0, False), fragments, 1.5, 25.0, 1_000_000)


# -- whole frames into an engine


class Talk(NamedTuple):
    """Frames that set the stage, and those that are measured."""

    before: list[Frame]
    frames: list[Frame]


def frame(at_ns: int, src: tuple[str, int], dst: tuple[str, int], payload: bytes) -> Frame:
    data = udp(src, dst, payload)
    return Frame(data, BEGIN_NS + at_ns, origin(LINK_ETHERNET, 0), len(data))


def request(number: int, method: str = "INVITE", *, body: str = "", to: str = "", cseq: int = 1) -> bytes:
    return (
        f"{method} sip:1@{VC} SIP/2.0\r\nVia: SIP/2.0/UDP {FAR};branch=z9hG4bK{number}{cseq}{method}\r\n"
        f"{_dialog(number, to, cseq, method, body)}"
    ).encode()


def answer(number: int, body: str, cseq: int = 1) -> bytes:
    return (
        f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {FAR};branch=z9hG4bK{number}{cseq}INVITE\r\n"
        f"{_dialog(number, ';tag=t', cseq, 'INVITE', body)}"
    ).encode()


def _dialog(number: int, to: str, cseq: int, method: str, body: str) -> str:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"From: <sip:{number}@a>;tag={number}\r\nTo: <sip:1@b>{to}\r\nCall-ID: c{number}\r\n"
        f"CSeq: {cseq} {method}\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    )


def offer(host: str, port: int, version: int = 1, more: str = "") -> str:
    return (
        f"v=0\r\no=- 1 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\n{more}"
    )


CUSTOMER, PEER, OURS = "192.0.2.10", ("192.0.2.10", 5060), (VC, 5060)


def call(number: int = 1, at_ns: int = 0, more: str = "", port: int = 5000) -> list[Frame]:
    """A call answered, whose media runs between ports 4000 and `port`."""
    return [
        frame(at_ns, PEER, OURS, request(number, body=offer(CUSTOMER, 4000, more=more))),
        frame(at_ns + 1, OURS, PEER, answer(number, offer(VC, port, more=more))),
        frame(at_ns + 2, PEER, OURS, request(number, "ACK", to=";tag=t")),
    ]


def streams(count: int, to: tuple[str, int] = (VC, 5000)) -> Iterator[Frame]:
    """Of two packets each, from one address and many ports."""
    for number in range(count):
        for sequence in (0, 1):
            rtp = struct.pack("!BBHII", 0x80, 0, sequence, 0, (1 << 20) + number) + bytes(20)
            yield frame(1_000 + number * 2 + sequence, (FAR, 1024 + number % 60_000), to, rtp)


def wire(frames: list[Frame]) -> int:
    return sum(len(each.data) for each in frames)


def reinvites(count: int) -> tuple[Talk, int]:
    """Ten re-INVITEs, each with another SDP, of a call onto whose socket `count` streams run."""
    frames = []
    for cseq in range(2, 12):
        at_ns = 10**9 + cseq * 10**8
        body = offer(CUSTOMER, 4000, cseq)
        frames.append(frame(at_ns, PEER, OURS, request(1, body=body, to=";tag=t", cseq=cseq)))
        frames.append(frame(at_ns + 1, OURS, PEER, answer(1, offer(VC, 5000, cseq), cseq)))
    return Talk(call() + list(streams(count)), frames), wire(
        frames
    ) + count  # the streams' own bytes were paid


def moved(count: int) -> tuple[Talk, int]:
    """Ten re-INVITEs by which media goes on hold and back."""
    frames = []
    for cseq in range(2, 12):
        at_ns = 10**9 + cseq * 10**8
        more = "a=sendonly\r\n" if cseq % 2 else "a=sendrecv\r\n"
        frames.append(
            frame(
                at_ns, PEER, OURS, request(1, body=offer(CUSTOMER, 4000, cseq, more), to=";tag=t", cseq=cseq)
            )
        )
        frames.append(frame(at_ns + 1, OURS, PEER, answer(1, offer(VC, 5000, cseq, more), cseq)))
    return Talk(call() + list(streams(count)), frames), wire(frames)


def ten_calls(count: int) -> tuple[Talk, int]:
    """Calls one after the other, whose SDPs name the socket onto which `count` streams run."""
    frames = [each for number in range(1, 11) for each in call(number, 10**9 + number * 10**8)]
    return Talk(list(streams(count)), frames), wire(frames)


def hang_up(count: int) -> tuple[Talk, int]:
    frames = [frame(10**9, PEER, OURS, request(1, "BYE", to=";tag=t", cseq=2))]
    return Talk(call() + list(streams(count)), frames), wire(frames)


def one_sender(count: int) -> tuple[Talk, int]:
    """Streams of two packets from one socket, onto the sockets of forty calls."""
    ports = [5000 + 2 * number for number in range(40)]
    before = [each for port in ports for each in call(port, port, port=port)]
    frames = []
    for number in range(count):
        for sequence in (0, 1):
            rtp = struct.pack("!BBHII", 0x80, 0, sequence, 0, (1 << 20) + number) + bytes(20)
            at_ns = 10**9 + number * 10**5 + sequence
            frames.append(frame(at_ns, (FAR, 1024), (VC, ports[number % len(ports)]), rtp))
    return Talk(before, frames), wire(frames)


def reports(count: int) -> tuple[Talk, int]:
    """Receiver reports of 31 blocks about nothing, onto a socket with `count` streams."""
    block = struct.pack("!IIIIII", 9, 0, 1, 0, 0, 0)
    packet = struct.pack("!BBHI", 0x9F, 201, 1 + 6 * 31, 1) + block * 31
    frames = [frame(10**9 + n * 10**7, (FAR, 4001), (VC, 5001), packet) for n in range(50)]
    return Talk(call() + list(streams(count)), frames), wire(frames)


def calls(count: int, more: str = "", step: int = 20) -> tuple[Talk, int]:
    frames = [
        frame(n * 10**6, (FAR, 5060), OURS, request(n, body=offer(FAR, 4000, more=more)))
        for n in range(max(1, count // step))
    ]
    return Talk([], frames), wire(frames)


def of_invites(text: str) -> Callable[[int], tuple[Talk, int]]:
    """Twenty INVITEs with as much SDP."""

    def make(size: int) -> tuple[Talk, int]:
        more = line(text)(min(size, 60_000)).decode()
        frames = [
            frame(n * 10**8, (FAR, 5060), OURS, request(n, body=offer(FAR, 4000, more=more)))
            for n in range(20)
        ]
        return Talk([], frames), wire(frames)

    return make


def of_headers(text: str) -> Callable[[int], tuple[Talk, int]]:
    """Twenty INVITEs with as long a header."""

    def make(size: int) -> tuple[Talk, int]:
        frames = [
            frame(
                n * 10**8,
                (FAR, 5060),
                OURS,
                request(n).replace(b"Content-L", line(text)(min(size, 60_000)) + b"\r\nContent-L"),
            )
            for n in range(20)
        ]
        return Talk([], frames), wire(frames)

    return make


class Stage(NamedTuple):
    pipeline: Any
    batches: list[Batch]


def staged(talk: Talk) -> Stage:
    pipeline = build(Config(), vc=[VC], customers=["192.0.2.0/24"], key=b"k")
    for batch in batches(talk.before):
        pipeline.engine.feed(batch)
    return Stage(pipeline, list(batches(talk.frames)))


def batches(frames: list[Frame]) -> Iterator[Batch]:
    for at in range(0, len(frames), 1_000):
        yield batch_of(frames[at : at + 1_000])


def flowed(stage: Stage) -> object:
    for batch in stage.batches:
        for event in stage.pipeline.engine.feed(batch):
            stage.pipeline.intervals.record(event)
        stage.pipeline.intervals.messages()
    return stage.pipeline


def _talks() -> Iterator[Shape]:
    for name, make in {
        "re-INVITEs on a socket of many streams": reinvites,
        "hold and back on a socket of many streams": moved,
        "calls on a socket of many streams": ten_calls,
        "BYE on a socket of many streams": hang_up,
        "reports on a socket of many streams": reports,
    }.items():
        yield Shape(name, make, flowed, 25.0, 100.0, 50_000, staged)
    yield Shape(
        "streams of one socket, onto those of forty calls", one_sender, flowed, 0.6, 100.0, 50_000, staged
    )
    yield Shape("calls that nobody answers", calls, flowed, 2.0, 30.0, 100_000, staged)
    for text in (
        "m=audio 1{} RTP/AVP 0\r\n", "a=candidate:1 1 udp 1 203.0.113.9 {} typ host\r\n",
        "a=rtpmap:{} x/8000\r\n", "a=ssrc:{} a\r\n", "a=x{}\r\n", "a=group:BUNDLE a {}\r\n",
    ):  # fmt: skip
        yield Shape(
            f"INVITEs with {text[:8].strip()} lines", of_invites(text), flowed, 2.0, 2.0, DATAGRAM, staged
        )
    for text in (
        "Via: x\r\n", "Contact: <sip:{}@a>,", "P-Asserted-Identity: <sip:{}@a>\r\n", "Diversion: <sip:{}@a>,",
        "Session-ID: {};", "X-Call-ID: {}\r\n", "User-Agent: {}", "Reason: {}",
    ):  # fmt: skip
        yield Shape(f"INVITEs with {text[:10].strip()}", of_headers(text), flowed, 2.0, 2.0, DATAGRAM, staged)


def shapes() -> Iterator[Shape]:
    yield from _messages()
    yield from _readers()
    yield from _framings()
    yield from _talks()
