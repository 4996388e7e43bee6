"""SIP conversations as scripts: named parties, explicit times, pushed through a real engine.

    talk = Conversation()
    call = talk.proxied(ALICE, BOB)
    call.invite(0), call.ringing(1), call.ok(4), call.ack(4.1), call.bye(30)
    heard = talk.play(until=60)
    assert heard.total("OutboundCallsAnswered") == 1

Times are seconds after the start of a minute. Nothing answers by itself: a script says every message.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from agent.config.settings import Config
from agent.pipeline import Pipeline, build
from agent.summary.records import ConnectorMinute, Samples, Summary
from agent.wire.frame import Frame, batch_of, origin
from tests.kit.packets import Socket, ethernet, udp

VC = "10.0.0.1"
VC_MEDIA = "10.0.0.2"  # an address of the vc too: its media server
ALICE = "192.0.2.10"  # a customer
CAROL = "203.0.113.30"  # another customer
BOB = "198.51.100.20"  # remote
BOB2 = "198.51.100.21"  # remote: a second carrier

BEGIN_NS = 1_700_000_040 * 10**9  # a minute's start
SECOND_NS = 10**9
HOP_S = 0.005  # what a proxy takes
NAMES = {ALICE: "alice", BOB: "bob", BOB2: "bob", CAROL: "carol", VC: "vc"}


@dataclass
class Heard:
    """What the pipeline made of it."""

    summaries: list[Summary]
    sip: list[dict[str, Any]]
    pipeline: Pipeline

    def connector(self, minute: int = 0, connector: str | None = None) -> ConnectorMinute:
        rows = self.summaries[minute].connectors
        return rows[0] if connector is None else next(r for r in rows if r.voice_connector_id == connector)

    def value(self, name: str, minute: int = 0, connector: str | None = None) -> int | Samples | None:
        return self.connector(minute, connector).values[name]

    def total(self, name: str, connector: str | None = None) -> int | None:
        """A count over all minutes; None where no minute knew it."""
        values = [
            value
            for summary in self.summaries
            for row in summary.connectors
            if connector in (None, row.voice_connector_id) and (value := row.values[name]) is not None
        ]
        return sum(value for value in values if isinstance(value, int)) if values else None

    def active(self, direction: str = "Outbound", connector: str | None = None) -> list[int | None]:
        """The gauge, minute by minute; None for a part without one."""
        values = []
        for summary in self.summaries:
            rows = [r for r in summary.connectors if connector in (None, r.voice_connector_id)]
            known = [v for r in rows if isinstance(v := r.values[f"{direction}CallsActive"], int)]
            values.append(sum(known) if known else None)
        return values

    def unknown(self) -> list[int | None]:
        return [summary.extras.get("calls_active_unknown") for summary in self.summaries]

    def extra(self, name: str, connector: str | None = None) -> list[Any]:
        """An extra figure of every minute that has it."""
        return [
            row.extras[name]
            for summary in self.summaries
            for row in summary.connectors
            if connector in (None, row.voice_connector_id) and row.extras.get(name) is not None
        ]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [row for summary in self.summaries for row in summary.calls]

    @property
    def call(self) -> dict[str, Any]:
        (row,) = self.calls
        return row

    @property
    def media(self) -> list[dict[str, Any]]:
        return [row for summary in self.summaries for row in summary.media]

    @property
    def counters(self) -> Counter[str]:
        return self.pipeline.engine.counters

    def counts(self, direction: str = "Outbound", connector: str | None = None) -> tuple[int | None, ...]:
        """(attempts, answered, failures)"""
        return tuple(
            self.total(f"{direction}{what}", connector)
            for what in ("CallAttempts", "CallsAnswered", "CallFailures")
        )


class Conversation:
    """Messages and packets by time; `play` pushes them through the pipeline in that order."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        vc: tuple[str, ...] = (VC, VC_MEDIA),
        customers: tuple[str, ...] = ("192.0.2.0/24",),
    ) -> None:
        self.frames: list[tuple[int, int, Frame]] = []
        self._config = config or Config()
        self._vc = vc
        self._customers = customers
        self._branches = 0

    def branch(self) -> str:
        self._branches += 1
        return f"z9hG4bK{self._branches}"

    def datagram(
        self, at: float, src: tuple[str, int], dst: tuple[str, int], payload: bytes, interface: int = 0
    ) -> None:
        stamp_ns = BEGIN_NS + round(at * SECOND_NS)
        data = frame(src, dst, payload)
        one = Frame(data, stamp_ns, origin(1, interface), len(data))
        self.frames.append((stamp_ns, len(self.frames), one))

    def sip(self, at: float, src: str, dst: str, text: str, interface: int = 0) -> None:
        self.datagram(at, (src, 5060), (dst, 5060), text.encode(), interface)

    def rtp(
        self,
        at: float,
        src: tuple[str, int],
        dst: tuple[str, int],
        *,
        seconds: float = 1.0,
        ssrc: int = 7,
        sequence: int = 0,
    ) -> int:
        """G.711 in 20 ms packets; how many."""
        count = round(seconds * 50)
        for number in range(count):
            head = struct.pack(">BBHII", 0x80, 0, (sequence + number) & 0xFFFF, number * 160, ssrc)
            self.datagram(at + number * 0.02, src, dst, head + bytes(160))
        return count

    def leg(self, caller: str, callee: str, **names: Any) -> Script:
        return Script(self, caller, callee, **names)

    def proxied(self, caller: str, callee: str, **names: Any) -> Proxied:
        """A call through a proxy: the same Call-ID and tags on both legs."""
        return Proxied(Script(self, caller, VC, **names), Script(self, VC, callee, **names))

    def play(
        self, until: float | None = None, *, finish: bool = True, key: bytes = b"", host: str = ""
    ) -> Heard:
        """Feed everything, let time pass up to `until`, and end the capture. `key`, `host`: as records do."""
        pipeline = build(self._config, vc=self._vc, customers=self._customers, key=key, host=host)
        engine, intervals = pipeline.engine, pipeline.intervals
        summaries: list[Summary] = []
        sip: list[dict[str, Any]] = []

        def take(events: list[Any]) -> None:
            for event in events:
                intervals.record(event)
            sip.extend(intervals.messages())
            summaries.extend(intervals.closed())

        ordered = [frame for _, _, frame in sorted(self.frames, key=lambda row: row[:2])]
        for start in range(0, len(ordered), 64):
            take(engine.feed(batch_of(ordered[start : start + 64])))
        if until is not None:
            take(engine.advance(BEGIN_NS + round(until * SECOND_NS)))
        if finish:
            take(engine.finish())
        for summary in summaries:
            sip += summary.sip
        return Heard(summaries, sip, pipeline)


@dataclass
class Script:
    """One leg: a dialog as one hop sees it. Every method says when; all else has a usual value."""

    talk: Conversation
    caller: str
    callee: str
    call_id: str = "call-1"
    from_tag: str = "a"
    from_user: str = "+15550001"
    to_user: str = "+15550002"
    uri_host: str = "example.org"
    from_host: str = "example.org"
    cseq: int = 1
    invite_branch: str = ""
    to_tag: str = "b"  # of requests inside the dialog
    counter: dict[str, int] = field(default_factory=lambda: {"caller": 1, "callee": 0})
    last_branch: str = ""

    # -- requests

    def invite(
        self,
        at: float,
        *,
        cseq: int | None = None,
        branch: str | None = None,
        sdp: str = "",
        headers: str = "",
        to: str | None = None,
    ) -> str:
        """The initial INVITE, or one more of it; its branch."""
        if cseq is not None:
            self.cseq = self.counter["caller"] = cseq
        self.invite_branch = branch or self.talk.branch()
        self._send(at, "INVITE", self.cseq, self.invite_branch, "caller", "", sdp, headers, to)
        return self.invite_branch

    def ack(self, at: float, *, tag: str | None = None, failed: bool = False, sdp: str = "") -> None:
        branch = self.invite_branch if failed else self.talk.branch()
        self._send(at, "ACK", self.cseq, branch, "caller", self.to_tag if tag is None else tag, sdp, "")

    def cancel(self, at: float, *, branch: str | None = None) -> None:
        self._send(at, "CANCEL", self.cseq, branch or self.invite_branch, "caller", "", "", "")

    def request(
        self,
        at: float,
        method: str,
        *,
        by: str = "caller",
        tag: str | None = None,
        sdp: str = "",
        headers: str = "",
    ) -> None:
        """A request inside the dialog, with the next CSeq of its sender."""
        self.counter[by] += 1
        self.last_branch = self.talk.branch()
        tag = self.to_tag if tag is None else tag
        self._send(at, method, self.counter[by], self.last_branch, by, tag, sdp, headers)

    def bye(self, at: float, *, by: str = "caller", tag: str | None = None, answered: bool = True) -> None:
        self.request(at, "BYE", by=by, tag=tag)
        if answered:
            self.reply(at + 0.01, 200, "BYE", by=by, tag=tag)

    # -- responses

    def respond(
        self,
        at: float,
        status: int,
        reason: str = "Reason",
        *,
        tag: str | None = None,
        cseq: int | None = None,
        branch: str | None = None,
        sdp: str = "",
        headers: str = "",
    ) -> None:
        """A response to the INVITE."""
        tag = "" if status == 100 else self.to_tag if tag is None else tag
        lines = self._lines(
            cseq or self.cseq, "INVITE", branch or self.invite_branch, self.caller, "caller", tag
        )
        text = f"SIP/2.0 {status} {reason}\r\n" + lines + headers + _body(sdp)
        self.talk.sip(at, self.callee, self.caller, text)

    def trying(self, at: float) -> None:
        self.respond(at, 100, "Trying")

    def ringing(self, at: float, **more: Any) -> None:
        self.respond(at, 180, "Ringing", **more)

    def ok(self, at: float, **more: Any) -> None:
        self.respond(at, 200, "OK", **more)

    def reply(
        self,
        at: float,
        status: int,
        method: str,
        *,
        by: str = "caller",
        tag: str | None = None,
        sdp: str = "",
        headers: str = "",
    ) -> None:
        """A response to the last `request` that `by` sent."""
        src, dst = (self.callee, self.caller) if by == "caller" else (self.caller, self.callee)
        tag = self.to_tag if tag is None else tag
        lines = self._lines(self.counter[by], method, self.last_branch, dst, by, tag)
        self.talk.sip(at, src, dst, f"SIP/2.0 {status} Reason\r\n" + lines + headers + _body(sdp))

    # -- text

    def _send(
        self,
        at: float,
        method: str,
        cseq: int,
        branch: str,
        by: str,
        tag: str,
        sdp: str,
        headers: str,
        to: str | None = None,
    ) -> None:
        src, dst = (self.caller, self.callee) if by == "caller" else (self.callee, self.caller)
        lines = self._lines(cseq, method, branch, src, by, tag)
        uri = f"sip:{self.to_user}@{self.uri_host}"
        self.talk.sip(at, src, to or dst, f"{method} {uri} SIP/2.0\r\n" + lines + headers + _body(sdp))

    def _lines(self, cseq: int, method: str, branch: str, via: str, by: str, tag: str) -> str:
        caller = f"<sip:{self.from_user}@{self.from_host}>;tag={self.from_tag}"
        callee = f"<sip:{self.to_user}@example.org>" + (f";tag={tag}" if tag else "")
        source, target = (caller, callee) if by == "caller" else (callee, caller)
        return (
            f"Via: SIP/2.0/UDP {via}:5060;branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: {source}\r\nTo: {target}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
        )


@dataclass
class Proxied:
    """The same on two legs, `HOP_S` apart: what reaches the vc leaves it on the other side."""

    incoming: Script
    outgoing: Script

    def invite(self, at: float, **more: Any) -> None:
        self.incoming.invite(at, **more)
        self.outgoing.invite(at + HOP_S, **more)

    def respond(self, at: float, status: int, reason: str = "Reason", **more: Any) -> None:
        """From the far end, passed on; a 100 is each hop's own (RFC 3261 16.7 step 5)."""
        self.outgoing.respond(at, status, reason, **more)
        if status > 100:
            self.incoming.respond(at + HOP_S, status, reason, **more)

    def ringing(self, at: float, **more: Any) -> None:
        self.respond(at, 180, "Ringing", **more)

    def ok(self, at: float, **more: Any) -> None:
        self.respond(at, 200, "OK", **more)

    def ack(self, at: float, **more: Any) -> None:
        self.incoming.ack(at, **more)
        self.outgoing.ack(at + HOP_S, **more)

    def cancel(self, at: float) -> None:
        self.incoming.cancel(at)
        self.outgoing.cancel(at + HOP_S)

    def request(self, at: float, method: str, *, by: str = "caller", **more: Any) -> None:
        for leg, delay in self._order(by):
            leg.request(at + delay, method, by=by, **more)

    def reply(self, at: float, status: int, method: str, *, by: str = "caller", **more: Any) -> None:
        for leg, delay in reversed(self._order(by)):
            leg.reply(at + HOP_S - delay, status, method, by=by, **more)

    def bye(self, at: float, *, by: str = "caller", **more: Any) -> None:
        for leg, delay in self._order(by):
            leg.bye(at + delay, by=by, **more)

    def _order(self, by: str) -> list[tuple[Script, float]]:
        legs = [self.incoming, self.outgoing] if by == "caller" else [self.outgoing, self.incoming]
        return [(legs[0], 0.0), (legs[1], HOP_S)]


def sdp(
    address: str, port: int, *, direction: str = "sendrecv", lines: str = "", profile: str = "RTP/AVP"
) -> str:
    """One audio section; `lines` are further ones, each with its CRLF."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=audio {port} {profile} 0\r\na={direction}\r\n{lines}"
    )


def _body(sdp: str) -> str:
    if not sdp:
        return "Content-Length: 0\r\n\r\n"
    return f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"


def frame(src: Socket, dst: Socket, payload: bytes) -> bytes:
    """An Ethernet frame around a UDP datagram."""
    return ethernet(udp(src, dst, payload))
