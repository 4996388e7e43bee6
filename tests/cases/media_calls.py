"""An inbound call with media: one SIP leg from the remote end to the vc, RTP and RTCP by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.cases.packets import SECOND, Stamped
from tests.kit.packets import Socket, ethernet, udp

START = 1_790_000_040 * SECOND  # a minute's start
REMOTE, VC = "198.51.100.20", "10.0.0.5"
FAR, NEAR = (REMOTE, 20_000), (VC, 30_000)
FAR_RTCP, NEAR_RTCP = (REMOTE, 20_001), (VC, 30_001)
MEDIA = 1.1  # s: when media begins
A, B = 0x1111, 0x2222  # SSRCs towards the vc and away from it


@dataclass
class Scene:
    """Frames by time, in seconds after `start`."""

    start: int = START
    frames: list[Stamped] = field(default_factory=list)

    def put(self, at: float, src: Socket, dst: Socket, payload: bytes, ident: int | None = None) -> None:
        number = len(self.frames) % 65_535 + 1 if ident is None else ident
        self.frames.append((self.start + round(at * SECOND), ethernet(udp(src, dst, payload, number))))

    def call(
        self,
        seconds: float,
        *,
        media: str = "audio",
        types: str = "0 101",
        lines: Iterable[str] = ("rtpmap:0 PCMU/8000", "rtpmap:101 telephone-event/8000"),
        at: float = 0.0,
        call_id: str = "call-1",
        far: Socket = FAR,
    ) -> None:
        """INVITE, 200, ACK within a second, BYE 0.1 s after `seconds` of media."""
        attributes = "".join(f"a={line}\r\n" for line in lines)
        offer, answer = (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m={media} {port} RTP/AVP {types}\r\n{attributes}"
            for host, port in (far, NEAR)
        )
        end = at + MEDIA + seconds + 0.1
        for when, src, first, cseq, body in (
            (at, REMOTE, "INVITE sip:+12065550123@10.0.0.5 SIP/2.0", "1 INVITE", offer),
            (at + 1.0, VC, "SIP/2.0 200 OK", "1 INVITE", answer),
            (at + 1.01, REMOTE, "ACK sip:+12065550123@10.0.0.5 SIP/2.0", "1 ACK", ""),
            (end, REMOTE, "BYE sip:+12065550123@10.0.0.5 SIP/2.0", "2 BYE", ""),
            (end + 0.02, VC, "SIP/2.0 200 OK", "2 BYE", ""),
        ):
            tag = "" if first.startswith("INVITE") else f";tag=t{call_id}"
            content = "Content-Type: application/sdp\r\n" if body else ""
            text = (
                f"{first}\r\n"
                f"Via: SIP/2.0/UDP {REMOTE}:5060;branch=z9hG4bK{call_id}{cseq.replace(' ', '')}\r\n"
                f"From: <sip:+14155550100@{REMOTE}>;tag=f{call_id}\r\nTo: <sip:+12065550123@{VC}>{tag}\r\n"
                f"Call-ID: {call_id}\r\nCSeq: {cseq}\r\n{content}Content-Length: {len(body)}\r\n\r\n{body}"
            )
            dst = VC if src == REMOTE else REMOTE
            self.put(when, (src, 5060), (dst, 5060), text.encode())

    def rtp(
        self,
        numbers: Iterable[int],
        *,
        at: float = MEDIA,
        src: Socket = FAR,
        dst: Socket = NEAR,
        ssrc: int = A,
        kind: int = 0,
        ticks: int = 160,
        stamp: int = 0,
        marks: Iterable[int] = (),
        step: float = 0.02,
        late: Callable[[int], float] = lambda place: 0.0,
        size: int = 160,
    ) -> None:
        """A packet for each number: its place in `numbers`, less the first, gives time and timestamp."""
        marks, first = set(marks), None
        for number in numbers:
            first = number if first is None else first
            place = number - first
            second = kind | (0x80 if number in marks else 0)
            head = struct.pack(
                ">BBHII", 0x80, second, number & 0xFFFF, (stamp + place * ticks) & 0xFFFFFFFF, ssrc
            )
            self.put(at + place * step + late(place), src, dst, head + bytes(size))

    def in_this_order(self, numbers: Iterable[int]) -> None:
        """Numbers from 0 on, one every 20 ms, timestamps those of the numbers."""
        for place, number in enumerate(numbers):
            head = struct.pack(">BBHII", 0x80, 0, number, number * 160, A)
            self.put(MEDIA + place * 0.02, FAR, NEAR, head + bytes(160))

    def sender_report(self, at: float, ntp: int) -> None:
        """Of the vc; `ntp` is the middle of its stamp."""
        body = struct.pack(">BBHIQIII", 0x80, 200, 6, B, ntp << 16, 0, 0, 0)
        self.put(at, NEAR_RTCP, FAR_RTCP, body)

    def receiver_report(
        self, at: float, *, highest: int, lost: int = 0, lsr: int = 0, dlsr: int = 0, fraction: int = 0
    ) -> None:
        """Of the far end, about what the vc sends."""
        block = struct.pack(">IIIIII", B, fraction << 24 | lost & 0xFFFFFF, highest, 8, lsr, dlsr)
        self.put(at, FAR_RTCP, NEAR_RTCP, struct.pack(">BBHI", 0x81, 201, 7, A) + block)


def both_ways(seconds: float, **how: object) -> Scene:
    """PCMU in both directions for so long."""
    scene = Scene(**how)  # type: ignore[arg-type]
    scene.call(seconds)
    count = round(seconds * 50)
    scene.rtp(range(100, 100 + count))
    scene.rtp(range(100, 100 + count), src=NEAR, dst=FAR, ssrc=B)
    return scene


def reported(
    dlsr: Callable[[float], int], *, gaps: Iterable[float] = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
) -> Scene:
    """Each SR of the vc is answered after a gap of its own, of which the far end claims `dlsr(gap)`.

    The path there and back takes 40 ms.
    """
    scene = both_ways(45)
    for place, gap in enumerate(gaps):
        at, ntp = 6.1 + 6 * place, 0x10000 * (100 + 6 * place)
        scene.sender_report(at, ntp)
        heard = at + 0.04 + gap
        highest = 100 + int((heard - 0.02 - MEDIA) * 50)
        scene.receiver_report(heard, highest=highest, lsr=ntp, dlsr=dlsr(gap))
    return scene
