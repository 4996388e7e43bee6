"""Calls as field equipment makes them: dialogs with SDP of their own, and media on both legs."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.cases.media_calls import Scene
from tests.kit.packets import Socket

CUSTOMER, VC_C, VC_R, REMOTE = "192.0.2.10", "10.0.0.1", "10.1.0.1", "198.51.100.10"
SIDES = ("--vc", VC_C, "--vc", VC_R, "--customer", "192.0.2.0/24")
PHONE, NEAR_C, NEAR_R, FAR = (CUSTOMER, 20_000), (VC_C, 30_000), (VC_R, 40_000), (REMOTE, 50_000)
UP, DOWN = 0x1111, 0x2222  # SSRCs from the customer and from the remote side
PCMU = "0 101"
LINES = ("rtpmap:0 PCMU/8000", "rtpmap:101 telephone-event/8000")
TALK = 2.1  # s after the INVITE: media runs


def sdp(
    at: Socket, types: str = PCMU, lines: Iterable[str] = LINES, *, way: str = "sendrecv", version: int = 1
) -> str:
    """One audio section."""
    rows = "".join(f"a={line}\r\n" for line in lines)
    return (
        f"v=0\r\no=- 1 {version} IN IP4 {at[0]}\r\ns=-\r\nc=IN IP4 {at[0]}\r\nt=0 0\r\n"
        f"m=audio {at[1]} RTP/AVP {types}\r\n{rows}a={way}\r\n"
    )


@dataclass
class Dialog:
    """One leg; `a` began it. Every method puts one message onto the wire."""

    scene: Scene
    a: str
    b: str
    call_id: str
    called: str = "+12065550110"
    calling: str = "+12065550100"
    from_tag: str = ""
    to_tag: str = ""
    ports: tuple[int, int] = (5060, 5060)
    numbers: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    branches: dict[tuple[str, str], str] = field(default_factory=dict)

    def request(
        self,
        at: float,
        method: str,
        *,
        by: str = "a",
        body: str = "",
        headers: str = "",
        tag: bool = True,
        uri: str = "",
        same: bool = False,
    ) -> None:
        """`same`: the CSeq and branch of its last INVITE (CANCEL, ACK of a failure, a repetition)."""
        if not same and method != "ACK":
            self.numbers[by] += 1
        if not same:
            self.branches[by, method] = f"z9hG4bK{self.call_id}{by}{method}{self.numbers[by]}"
        branch = self.branches[by, "INVITE" if same else method]
        target = uri or f"sip:{self.called}@{self.b if by == 'a' else self.a}"
        first = f"{method} {target} SIP/2.0"
        self._put(at, by, first, branch, f"{self.numbers[by]} {method}", by, tag, headers, body)

    def answer(
        self,
        at: float,
        status: int,
        method: str = "INVITE",
        *,
        by: str = "a",
        body: str = "",
        headers: str = "",
        number: int = 0,
    ) -> None:
        """To the last request of that method which side `by` sent."""
        other = "b" if by == "a" else "a"
        cseq = f"{number or self.numbers[by]} {method}"
        kept = self.branches.get((by, method)) or self.branches[by, "INVITE"]
        self._put(at, other, f"SIP/2.0 {status} X", kept, cseq, by, status > 100, headers, body)

    def invite(self, at: float, body: str = "", headers: str = "") -> None:
        self.request(at, "INVITE", body=body, headers=headers, tag=False)

    def bye(self, at: float, *, by: str = "a", status: int = 200) -> None:
        self.request(at, "BYE", by=by)
        self.answer(at + 0.01, status, "BYE", by=by)

    def re_invite(self, at: float, offer: str, answer: str, *, by: str = "a", status: int = 200) -> None:
        self.request(at, "INVITE", by=by, body=offer)
        self.answer(at + 0.01, 100, by=by)
        self.answer(at + 0.05, status, by=by, body=answer if status == 200 else "")
        self.request(at + 0.06, "ACK", by=by, same=status != 200)

    def _put(
        self,
        at: float,
        src: str,
        first: str,
        branch: str,
        cseq: str,
        by: str,
        tag: bool,
        more: str,
        body: str,
    ) -> None:
        hosts, ports = {"a": self.a, "b": self.b}, dict(zip("ab", self.ports, strict=True))
        dst = "b" if src == "a" else "a"
        a = f"<sip:{self.calling}@a.example>;tag={self.from_tag or 'f' + self.call_id}"
        b = f"<sip:{self.called}@b.example>" + (f";tag={self.to_tag or 't' + self.call_id}" if tag else "")
        ends = (a, b) if by == "a" else (b, a)
        content = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{first}\r\nVia: SIP/2.0/UDP {hosts[by]}:{ports[by]};branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: {ends[0]}\r\nTo: {ends[1]}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq}\r\n"
            f"Contact: <sip:x@{hosts[src]}:{ports[src]}>\r\n{more}{content}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.scene.put(at, (hosts[src], ports[src]), (hosts[dst], ports[dst]), text.encode())


@dataclass
class Call:
    """A B2BUA's outbound call: the customer's leg and the remote one, each with sockets of its own."""

    scene: Scene = field(default_factory=Scene)
    at: float = 0.0
    name: str = "1"
    phone: Socket = PHONE
    near_c: Socket = NEAR_C
    near_r: Socket = NEAR_R
    far: Socket = FAR
    inbound: bool = False
    types: str = PCMU
    lines: Iterable[str] = LINES
    called: str = "+12065550110"
    calling: str = "+12065550100"
    hosts: tuple[str, ...] = ()  # that speak SIP: of the phone, of the vc twice, of the far end

    def __post_init__(self) -> None:
        hosts = self.hosts or (self.phone[0], self.near_c[0], self.near_r[0], self.far[0])
        customer = Dialog(self.scene, hosts[0], hosts[1], f"c{self.name}", self.called, self.calling)
        remote = Dialog(self.scene, hosts[2], hosts[3], f"r{self.name}", self.called, self.calling)
        if self.inbound:
            customer.a, customer.b, remote.a, remote.b = customer.b, customer.a, remote.b, remote.a
        self.incoming, self.outgoing = (remote, customer) if self.inbound else (customer, remote)

    def sdps(self) -> tuple[str, str, str, str]:
        """Of the caller, of the vc to the callee, of the callee, of the vc to the caller."""
        caller, to_caller, to_callee, callee = self.phone, self.near_c, self.near_r, self.far
        if self.inbound:
            caller, to_caller, to_callee, callee = callee, to_callee, to_caller, caller
        one, two, three, four = (
            sdp(s, self.types, self.lines) for s in (caller, to_callee, callee, to_caller)
        )
        return one, two, three, four

    def begin(self, *, headers: str = "", answer_headers: str = "") -> Call:
        """INVITE to ACK: two seconds."""
        one, two, three, four = self.sdps()
        into, out, at = self.incoming, self.outgoing, self.at
        into.invite(at, one, headers)
        into.answer(at + 0.01, 100)
        out.invite(at + 0.03, two)
        out.answer(at + 0.04, 100)
        out.answer(at + 0.5, 180)
        into.answer(at + 0.51, 180)
        out.answer(at + 2, 200, body=three)
        out.request(at + 2.01, "ACK")
        into.answer(at + 2.02, 200, body=four, headers=answer_headers)
        into.request(at + 2.03, "ACK")
        return self

    def end(self, at: float) -> Call:
        self.incoming.bye(at)
        self.outgoing.bye(at + 0.02)
        return self

    def relay(
        self, seconds: float, *, at: float = TALK, first: int = 100, ssrcs: tuple[int, int] = (UP, DOWN)
    ) -> Call:
        """PCMU both ways through the vc, which keeps SSRC and numbers; four streams."""
        numbers = range(first, first + round(seconds * 50))
        start = self.at + at
        for src, dst, ssrc, later in (
            (self.phone, self.near_c, ssrcs[0], 0.0),
            (self.near_r, self.far, ssrcs[0], 0.001),
            (self.far, self.near_r, ssrcs[1], 0.002),
            (self.near_c, self.phone, ssrcs[1], 0.003),
        ):
            self.scene.rtp(numbers, at=start + later, src=src, dst=dst, ssrc=ssrc)
        return self

    def whole(self, seconds: float) -> Call:
        return self.begin().relay(seconds).end(self.at + TALK + seconds + 0.1)


def idle(scene: Scene, at: float) -> None:
    """An OPTIONS of the customer and its 200: the capture goes on so far."""
    probe = Dialog(scene, CUSTOMER, VC_C, f"probe{at:g}")
    probe.request(at, "OPTIONS", tag=False)
    probe.answer(at + 0.01, 200, "OPTIONS")


def report(
    scene: Scene,
    at: float,
    src: Socket,
    dst: Socket,
    about: int,
    *,
    ssrc: int = 0x9999,
    highest: int = 0,
    lost: int = 0,
    jitter: int = 8,
    lsr: int = 0,
    dlsr: int = 0,
) -> None:
    """A receiver report with one block."""
    block = struct.pack(">IIIIII", about, lost & 0xFFFFFF, highest, jitter, lsr, dlsr)
    scene.put(at, src, dst, struct.pack(">BBHI", 0x81, 201, 7, ssrc) + block)


def sender_report(scene: Scene, at: float, src: Socket, dst: Socket, ssrc: int, ntp: int) -> None:
    """`ntp` is the middle of its stamp."""
    scene.put(at, src, dst, struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp << 16, 0, 0, 0))
