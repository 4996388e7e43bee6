"""A call on paper: SIP, RTP and RTCP packets by hand, put through the whole pipeline.

One SBC between a customer and a remote end, a socket on each of its two sides. Times are seconds after T0,
which is the start of a minute; `Scene.play` sorts what was put down and gives minutes back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.config.settings import Config
from agent.daemon import checkpoint
from agent.model.stream_minute_cy import StreamMinute
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.records import Samples, Summary
from agent.wire.frame import HOST, LINK_ETHERNET, UNKNOWN_TYPE, CaptureDrop, Frame, batch_of, origin
from tests.kit import packets
from tests.kit.packets import Socket

T0 = 1_800_000_000
SECOND = 1_000_000_000
CUSTOMER, REMOTE = "192.0.2.10", "198.51.100.20"
VC_C, VC_R = "10.0.0.1", "10.0.0.2"
# RTP sockets: of the customer, of the vc towards it, of the vc towards the remote end, of the remote end.
CUST, VC2CUST, VC2REM, REM = (CUSTOMER, 4000), (VC_C, 5000), (VC_R, 6000), (REMOTE, 7000)
A, B, PHONE = 0xAAAA, 0xBBBB, 0xCCCC  # SSRCs: of one stream, of another, of a phone that reports
RTP_HEAD = struct.Struct(">BBHII")


def ns(seconds: float) -> int:
    return T0 * SECOND + round(seconds * SECOND)


def odd(socket: Socket) -> Socket:
    """The RTCP socket of an RTP one (RFC 3550 11)."""
    return socket[0], socket[1] + 1


def udp(src: Socket, dst: Socket, payload: bytes) -> bytes:
    """An Ethernet frame."""
    return packets.ethernet(packets.udp(src, dst, payload))


def block(
    ssrc: int,
    lost: int = 0,
    highest: int = 0,
    *,
    fraction: int = 0,
    jitter: int = 0,
    lsr: int = 0,
    dlsr: int = 0,
) -> bytes:
    return struct.pack(">IIIIII", ssrc, fraction << 24 | lost & 0xFF_FFFF, highest, jitter, lsr, dlsr)


def receiver_report(reporter: int, *blocks: bytes) -> bytes:
    return struct.pack(">BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), reporter) + b"".join(blocks)


def sender_report(ssrc: int, middle: int, *blocks: bytes) -> bytes:
    """`middle`: the middle 32 bits of its NTP stamp, which blocks return as LSR."""
    head = struct.pack(">BBHI", 0x80 | len(blocks), 200, 6 + 6 * len(blocks), ssrc)
    return head + struct.pack(">QIII", middle << 16, 0, 0, 0) + b"".join(blocks)


def extended_report(reporter: int, kind: int, content: bytes) -> bytes:
    """RFC 3611: one block."""
    words = len(content) // 4
    return struct.pack(">BBHIBBH", 0x80, 207, words + 2, reporter, kind, 0, words) + content


def sdp(socket: Socket, *, types: str = "8", direction: str = "sendrecv", more: Iterable[str] = ()) -> str:
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {socket[0]}",
        "s=-",
        f"c=IN IP4 {socket[0]}",
        "t=0 0",
        f"m=audio {socket[1]} RTP/AVP {types}",
        f"a={direction}",
        *more,
    ]
    return "\r\n".join(lines) + "\r\n"


@dataclass
class Played:
    """What a scene came to."""

    summaries: list[Summary]
    streams: list[StreamMinute]
    rejects: dict[str, int]
    sip: list[dict[str, Any]] = field(default_factory=list)  # beside what the summaries have

    @property
    def media(self) -> list[dict[str, Any]]:
        return [row for summary in self.summaries for row in summary.media]

    @property
    def row(self) -> dict[str, Any]:
        """The only media record."""
        (row,) = self.media
        return row

    def field(self, name: str) -> list[Any]:
        """One field of every media record, minute by minute."""
        return [row[name] for row in self.media]

    def metric(self, name: str) -> list[Any]:
        """One metric of the default connector, minute by minute; distributions as their mean."""
        values = [summary.connectors[0].values[name] for summary in self.summaries]
        return [value.sum / value.count if isinstance(value, Samples) else value for value in values]


@dataclass
class Scene:
    config: Config = field(default_factory=Config)
    vc: tuple[str, ...] = (VC_C, VC_R)
    customers: tuple[str, ...] = ("192.0.2.0/24",)
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)
    losses: list[CaptureDrop] = field(default_factory=list)
    own: tuple[str, ...] = ()  # addresses of the host that captures
    received: range = range(0)  # places in `frames` of those that a NIC received; of the others nobody knows

    def send(self, at: float, src: Socket, dst: Socket, payload: bytes, *, interface: int = 0) -> None:
        self.frames.append((ns(at), interface, udp(src, dst, payload)))

    def missed(self, start: float, end: float, count: int | None = None) -> None:
        """The capture itself missed frames between these times."""
        self.losses.append(CaptureDrop(ns(start), ns(end), count))

    # -- SIP

    def sip(
        self,
        at: float,
        src: str,
        dst: str,
        first: str,
        *,
        call_id: str,
        cseq: str = "1 INVITE",
        to_tag: str = "",
        body: str = "",
        headers: Iterable[str] = (),
        content: str = "application/sdp",
        swapped: bool = False,
    ) -> None:
        """One message; `swapped`: a request of the callee."""
        tag = f";tag={to_tag}" if to_tag else ""
        caller, callee = f"<sip:alice@a.example>;tag=from-{call_id}", f"<sip:bob@b.example>{tag}"
        if swapped:
            caller, callee = callee, caller
        lines = [
            first,
            f"Via: SIP/2.0/UDP {src}:5060;branch=z9hG4bK-{call_id}-{cseq.replace(' ', '')}",
            f"From: {caller}",
            f"To: {callee}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq}",
            *headers,
            *([f"Content-Type: {content}"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self.send(at, (src, 5060), (dst, 5060), "\r\n".join(lines).encode())

    def call(
        self,
        at: float = 0.0,
        *,
        name: str = "",
        customer: str | None = None,
        remote: str | None = None,
        ours: tuple[str, str] | None = None,
        cust: Socket = CUST,
        rem: Socket = REM,
        vc2cust: Socket = VC2CUST,
        vc2rem: Socket = VC2REM,
    ) -> None:
        """An outbound call, answered 100 ms later. SDP of the customer, the remote end, the vc (to both)."""
        offer, answer = customer or sdp(cust), remote or sdp(rem)
        to_customer, to_remote = ours or (sdp(vc2cust), sdp(vc2rem))
        invite, ok, ack = (
            "INVITE sip:bob@b.example SIP/2.0",
            "SIP/2.0 200 OK",
            "ACK sip:bob@b.example SIP/2.0",
        )
        a, b = f"a{name}", f"b{name}"
        link = [f"X-Call-ID: call{name}"]
        self.sip(at, cust[0], VC_C, invite, call_id=a, body=offer, headers=link)
        self.sip(at + 0.01, VC_R, rem[0], invite, call_id=b, body=to_remote, headers=link)
        self.sip(at + 0.09, rem[0], VC_R, ok, call_id=b, to_tag="r", body=answer)
        self.sip(at + 0.10, VC_C, cust[0], ok, call_id=a, to_tag="c", body=to_customer)
        self.sip(at + 0.11, cust[0], VC_C, ack, call_id=a, to_tag="c", cseq="1 ACK")
        self.sip(at + 0.12, VC_R, rem[0], ack, call_id=b, to_tag="r", cseq="1 ACK")

    def again(
        self, at: float, offer: str, answer: str, *, away: str, cseq: int = 2, refused: bool = False
    ) -> None:
        """The customer's re-INVITE, which the SBC passes on: its offer, the vc's answer, the vc's offer."""
        self.sip(
            at,
            CUSTOMER,
            VC_C,
            "INVITE sip:bob@b.example SIP/2.0",
            call_id="a",
            to_tag="c",
            cseq=f"{cseq} INVITE",
            body=offer,
        )
        self.sip(
            at + 0.01,
            VC_R,
            REMOTE,
            "INVITE sip:bob@b.example SIP/2.0",
            call_id="b",
            to_tag="r",
            cseq=f"{cseq} INVITE",
            body=away,
        )
        first = "SIP/2.0 488 Not Acceptable Here" if refused else "SIP/2.0 200 OK"
        self.sip(
            at + 0.02,
            REMOTE,
            VC_R,
            first,
            call_id="b",
            to_tag="r",
            cseq=f"{cseq} INVITE",
            body="" if refused else sdp(REM) if "image" not in offer else fax(REM),
        )
        self.sip(
            at + 0.03,
            VC_C,
            CUSTOMER,
            first,
            call_id="a",
            to_tag="c",
            cseq=f"{cseq} INVITE",
            body="" if refused else answer,
        )

    def bye(self, at: float, *, name: str = "", headers: Iterable[str] = ()) -> None:
        """The customer hangs up; `headers` are its BYE's."""
        bye, ok = "BYE sip:bob@b.example SIP/2.0", "SIP/2.0 200 OK"
        a, b = f"a{name}", f"b{name}"
        self.sip(at, CUSTOMER, VC_C, bye, call_id=a, to_tag="c", cseq="9 BYE", headers=headers)
        self.sip(at + 0.01, VC_R, REMOTE, bye, call_id=b, to_tag="r", cseq="9 BYE")
        self.sip(at + 0.02, REMOTE, VC_R, ok, call_id=b, to_tag="r", cseq="9 BYE")
        self.sip(at + 0.03, VC_C, CUSTOMER, ok, call_id=a, to_tag="c", cseq="9 BYE")

    # -- media

    def rtp(
        self,
        at: float,
        src: Socket,
        dst: Socket,
        ssrc: int,
        numbers: Iterable[int],
        *,
        step: float = 0.02,
        payload_type: int = 8,
        ticks: int = 160,
        size: int = 160,
        marker: bool = False,
        first: int = 0,
    ) -> None:
        """A packet for each of `numbers`: its time and timestamp are those of its place in the sequence.

        `first`: the place of the first of them in the timestamps.
        """
        base: int | None = None
        content = bytes(size)
        headers = udp(src, dst, bytes(RTP_HEAD.size) + content)[: -RTP_HEAD.size - size]  # of every packet
        for number in numbers:
            base = number if base is None else base
            place = number - base
            second = payload_type | (0x80 if marker and not place else 0)
            stamp = (first + place) * ticks & 0xFFFF_FFFF
            head = RTP_HEAD.pack(0x80, second, number & 0xFFFF, stamp, ssrc)
            self.frames.append((ns(at + place * step), 0, headers + head + content))

    def relayed(
        self,
        at: float,
        src: Socket,
        through: tuple[Socket, Socket],
        dst: Socket,
        ssrc: int,
        numbers: Iterable[int],
        *,
        dropped: Iterable[int] = (),
        **how: Any,
    ) -> None:
        """A stream through the SBC, which takes 1 ms; `dropped` numbers come in and do not go out."""
        numbers, dropped = list(numbers), set(dropped)
        self.rtp(at, src, through[0], ssrc, numbers, **how)
        base = numbers[0]
        gone = [number for number in numbers if number not in dropped]
        shift = (gone[0] - base) * how.get("step", 0.02)
        self.rtp(at + 0.001 + shift, through[1], dst, ssrc, gone, **how)

    def _pipeline(self, streams: list[StreamMinute], level: int) -> Pipeline:
        pipeline = build(
            self.config, vc=self.vc, customers=self.customers, own=self.own, on_stream=streams.append
        )
        pipeline.shed(level)
        return pipeline

    def play(self, *, until: float | None = None, level: int = 0, restarts: Iterable[float] = ()) -> Played:
        """Everything in order of time.

        `until`: how long the capture goes on, `level`: of overload, `restarts`: times at which the state is
        saved and a new process takes it up, without a frame missed.
        """
        streams: list[StreamMinute] = []
        pipeline, kept = self._pipeline(streams, level), _Kept()
        types = [HOST if place in self.received else UNKNOWN_TYPE for place in range(len(self.frames))]
        frames = sorted(zip(self.frames, types, strict=True), key=lambda row: row[0][0])
        stops: list[tuple[int, CaptureDrop | None]] = [
            *((loss.end_ns, loss) for loss in self.losses),
            *((ns(at), None) for at in restarts),
        ]
        stops.sort(key=lambda stop: stop[0])
        while frames or stops:
            stop_ns, loss = stops.pop(0) if stops else (None, None)
            now = [row for row in frames if stop_ns is None or row[0][0] < stop_ns]
            frames = frames[len(now) :]
            batch = batch_of(
                [
                    Frame(data, stamp, origin(LINK_ETHERNET, interface, packet_type), len(data))
                    for (stamp, interface, data), packet_type in now
                ]
            )
            pass_on(pipeline.engine.feed(batch), pipeline.intervals, kept)
            if loss is not None:
                batch = batch_of([])
                batch.losses.append(loss)
                pass_on(pipeline.engine.feed(batch), pipeline.intervals, kept)
            elif stop_ns is not None:
                image = checkpoint.packed(checkpoint.save(pipeline.engine, pipeline.intervals))
                pipeline = self._pipeline(streams, level)
                checkpoint.restore(image, pipeline.engine, pipeline.intervals)
        engine = pipeline.engine
        if until is not None:
            pass_on(engine.advance(ns(until)), pipeline.intervals, kept)
        pass_on(engine.finish(), pipeline.intervals, kept)
        rejects = {reason: count for reason, count in engine.rejected().items() if count}
        return Played(kept.summaries, streams, rejects, kept.sip)


def fax(socket: Socket) -> str:
    """T.38 on `socket`."""
    lines = [
        "v=0",
        f"o=- 1 2 IN IP4 {socket[0]}",
        "s=-",
        f"c=IN IP4 {socket[0]}",
        "t=0 0",
        f"m=image {socket[1]} udptl t38",
    ]
    return "\r\n".join(lines) + "\r\n"


@dataclass
class _Kept:
    summaries: list[Summary] = field(default_factory=list)
    sip: list[dict[str, Any]] = field(default_factory=list)

    def commit(self, summary: Summary) -> None:
        self.summaries.append(summary)

    def messages(self, rows: list[dict[str, Any]]) -> None:
        self.sip += rows


def answered(**how: Any) -> Scene:
    """A call that is up, without media yet; `how`: as `Scene.call`."""
    scene = Scene()
    scene.call(**how)
    return scene


def voip_metrics(ssrc: int, *, loss: int = 0, round_trip: int = 0, r: int = 127, mos: int = 127) -> bytes:
    """RFC 3611 4.7."""
    return struct.pack(
        ">IBBBBHHHHbbBBBBBBBBHHH",
        ssrc,
        loss,
        0,
        0,
        0,
        0,
        0,
        round_trip,
        0,
        127,
        127,
        127,
        16,
        r,
        127,
        mos,
        mos,
        0,
        0,
        40,
        60,
        200,
    )
