"""Keeps the packets of calls that go bad, or that an order selects, as one pcapng a call.

    MessageSeen      a call's SIP and the media sockets that the vc names in it: a `CallTrace`, for a while
    Summary          judged once a minute: a bad media record triggers
    an order         triggers at the call's next message, or where it is read
    the tap          media packets of recorded calls, from any thread

A recording begins with the SIP so far and with the packets in the tap's ring, and ends a while after the
call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from agent.errors import WireError
from agent.evidence import pcap_writer
from agent.evidence.files import EvidenceFiles, EvidenceNote
from agent.evidence.media_blocks import LossComments, at_hand, without_text
from agent.evidence.orders import Order
from agent.evidence.picker_cy import MediaPacket, Socket
from agent.evidence.tap import Tap
from agent.model.call_cy import Call
from agent.model.events import CallOver, Event, MessageSeen
from agent.model.units import SECOND_NS
from agent.summary.records import Summary
from agent.summary.sip_log import SipLog
from agent.wire import sdp

HOLD_NS = 2 * SECOND_NS  # packets wait this long for earlier ones that arrive later
LINGER_NS = 5 * SECOND_NS  # a recording goes on after the call
FORGET_NS = 130 * SECOND_NS  # a call's last minute closes before
MAX_SOCKETS = 32  # of one Call-ID
MAX_TRACES = 50_000  # Call-IDs
SIP_SHARE = 0.1  # part of a file's bytes for SIP alone: media must not push the BYE out
MESSAGE_ROOM = 400  # bytes of a message's objects
DIRECTIONS = ("cust2vc", "vc2cust", "rem2vc", "vc2rem")
ORDER_NS = (
    2 * SECOND_NS
)  # while an order stands this much of the past is kept: a call's first packets come before its SIP


class Triggers(Struct, frozen=True):
    """The conditions that make a minute of a call bad. 0 or none: that condition is off."""

    mos_below: float = 3.0
    loss_above: float = 0.01  # share of the packets of one direction
    flags: tuple[str, ...] = ("one_way_audio", "dead_air")
    least_packets: int = 100  # of a direction; fewer packets give no share

    def reason(self, row: Mapping[str, Any]) -> str:
        """The reason in words, "" where the minute was good."""
        for flag in self.flags:
            if flag in row["flags"]:
                return flag
        for way in DIRECTIONS:
            packets, lost = row.get(f"{way}_rtp_packets") or 0, row.get(f"{way}_packets_lost") or 0
            expected = packets + lost
            if self.loss_above and expected >= self.least_packets and lost > self.loss_above * expected:
                return f"{way} lost {100 * lost / expected:.1f} %"
        for way, mos in (row["mos_directions"] or {}).items():
            if mos is not None and mos < self.mos_below:
                return f"{way} MOS {mos:.2f}"
        return ""


class RecordingBounds(Struct, frozen=True):
    """The resources that recordings may use."""

    at_once: int = 20
    call_bytes: int = 16 << 20
    sip_bytes: int = 16 << 20  # of traces, in memory
    with_payload: bool = False  # of calls that an order selects


class CallTrace(Struct):
    """The SIP of one Call-ID so far."""

    call_id: str
    messages: list[MessageSeen] = field(default_factory=list)
    sockets: dict[Socket, None] = field(default_factory=dict)  # in their order; the vc named them
    bytes: int = 0
    over_ns: int = 0
    recording: Recording | None = None


class Recording(Struct):
    """A file that is being written."""

    note: EvidenceNote
    with_payload: bool
    begins_ns: int
    sockets: dict[Socket, None] = field(default_factory=dict)
    media: list[MediaPacket] = field(default_factory=list)  # not yet written
    sip: list[MessageSeen] = field(default_factory=list)
    links: dict[int, int] = field(default_factory=dict)  # interface number by link type
    comments: LossComments = field(default_factory=LossComments)
    over_ns: int = 0


class Recorder:
    """Used by the engine's thread; any thread may use the tap.

    `do` runs work on the disk, in order: live in a thread of its own.
    """

    def __init__(
        self,
        files: EvidenceFiles,
        tap: Tap,
        triggers: Triggers | None = None,
        bounds: RecordingBounds | None = None,
        *,
        orders: Callable[[int], list[Order]] = lambda now_ns: [],
        wall_s: Callable[[], float],
        nat: Mapping[str, str] | None = None,
        do: Callable[..., object] = lambda work, *arguments: work(*arguments),
    ) -> None:
        """`nat`: addresses that SDP names, each with the one that frames carry.

        `wall_s`: the host's clock.
        """
        self.tap = tap
        self.files = files
        self._triggers = triggers or Triggers()
        self._bounds = bounds or RecordingBounds()
        self._read_orders = orders
        self._orders: list[Order] = []
        self._asked_ns = 0
        self._wall_s = wall_s
        self._nat = dict(nat or {})
        self._do = do
        self._before_ns = tap.before_ns
        self._traces: OrderedDict[str, CallTrace] = OrderedDict()
        self._trace_bytes = 0
        self._recordings: list[Recording] = []
        self._by_socket: dict[Socket, list[Recording]] = {}
        self.kept = 0  # recordings begun
        self.refused = self.traces_dropped = 0

    # -- events

    def take(self, events: Iterable[Event], summaries: Iterable[Summary], log: SipLog) -> None:
        """Takes the events of a batch, and the minutes that it closed."""
        for event in events:
            if isinstance(event, MessageSeen):
                if not self._asked_ns:  # orders may be older than the first message
                    self._asked_ns = event.stamp_ns
                    self._ask(event.stamp_ns, log)
                self._message(event, log)
            elif isinstance(event, CallOver):
                self._over(event.call, event.stamp_ns)
        for summary in summaries:
            self._judge(summary, log)

    def step(self, now_ns: int, log: SipLog) -> None:
        """Lets time pass: reads orders, writes picked packets, ends recordings."""
        if now_ns - self._asked_ns >= SECOND_NS:
            self._asked_ns = now_ns
            self._ask(now_ns, log)
            self._forget(now_ns)
        for packet in self.tap.picked():
            for recording in self._of(packet):
                recording.media.append(packet)
        for recording in self._recordings[:]:
            is_over = 0 < recording.over_ns <= now_ns - LINGER_NS
            self._write(recording, now_ns if is_over else now_ns - HOLD_NS, log)
            if is_over:
                self._end(recording, now_ns)

    def finish(self, now_ns: int, log: SipLog) -> None:
        """Ends every recording: the capture is over."""
        self.step(now_ns, log)
        for recording in self._recordings[:]:
            self._write(recording, now_ns + HOLD_NS, log)
            self._end(recording, now_ns)

    def counters(self) -> dict[str, int]:
        """Files and bytes kept; since the start recordings begun, files removed, refusals by cause."""
        files, size = self.files.kept()
        return {
            "files": files,
            "bytes": size,
            "recording": len(self._recordings),
            "begun": self.kept,
            "removed": self.files.removed,
            **self.missing(),
        }

    def missing(self) -> dict[str, int]:
        """Evidence that was not kept since the start, by cause."""
        return {
            "refused_at_once": self.refused,
            "packets_dropped": self.tap.dropped,
            "write_errors": self.files.failed,
            "sip_forgotten": self.traces_dropped,
        }

    # -- traces

    def _message(self, seen: MessageSeen, log: SipLog) -> None:
        if seen.leg is None:
            return
        trace = self._traces.get(seen.call_id)
        if trace is None:
            trace = self._traces[seen.call_id] = CallTrace(seen.call_id)
        trace.over_ns = 0
        sockets = self._sockets(seen)
        trace.sockets.update(dict.fromkeys(sockets[: MAX_SOCKETS - len(trace.sockets)]))
        trace.messages.append(seen)
        size = len(seen.data) + MESSAGE_ROOM
        trace.bytes += size
        self._trace_bytes += size
        recording = trace.recording or self._recorded(seen)
        if recording is None:
            order = next((each for each in self._orders if each.fits(seen.leg, seen.call_id)), None)
            if order is not None:
                self._begin(trace, f"asked for: {order.text}", seen.stamp_ns, log, asked=True)
        elif trace.recording is None:
            self._join(recording, [trace])
        else:
            recording.sip.append(seen)
            if sockets:
                self._attend(recording, sockets)
        while self._trace_bytes > self._bounds.sip_bytes or len(self._traces) > MAX_TRACES:
            self._drop(next(iter(self._traces)))
            self.traces_dropped += 1

    def _sockets(self, seen: MessageSeen) -> list[Socket]:
        """Media sockets that a message describes: the vc's own. A far end may name any address."""
        at = seen.data.find(b"\nv=0")
        if at < 0 or seen.to_vc is True:
            return []
        try:
            described = sdp.parse(seen.data[at + 1 :])
        except WireError:
            return []
        found = []
        for media in described.media:
            if media.is_rtp and media.port:
                found += media.sockets
                found.append((media.rtcp_address or media.address, media.rtcp_port))
        return [(self._nat.get(host, host), port) for host, port in found if host and port]

    def _recorded(self, seen: MessageSeen) -> Recording | None:
        """The recording of another leg of the same call."""
        call = seen.leg.call if seen.leg else None
        for leg in call.legs if call is not None else ():
            other = self._traces.get(leg.call_id)
            if other is not None and other.recording is not None:
                return other.recording
        return None

    def _over(self, call: Call, stamp_ns: int) -> None:
        for leg in call.legs:
            trace = self._traces.get(leg.call_id)
            if trace is not None:
                trace.over_ns = stamp_ns
                if trace.recording is not None:
                    trace.recording.over_ns = max(trace.recording.over_ns, stamp_ns)

    def _forget(self, now_ns: int) -> None:
        for call_id in [
            trace.call_id for trace in self._traces.values() if 0 < trace.over_ns < now_ns - FORGET_NS
        ]:
            self._drop(call_id)

    def _drop(self, call_id: str) -> None:
        self._trace_bytes -= self._traces.pop(call_id).bytes

    # -- triggers

    def _judge(self, summary: Summary, log: SipLog) -> None:
        bad = [(row, why) for row in summary.media if (why := self._triggers.reason(row))]
        if not bad:
            return
        shown = {name: trace for trace in self._traces.values() for name in _shown(trace, log)}
        for row, why in bad:
            trace = next((shown[name] for name in row["call_ids"] or () if name in shown), None)
            if trace is not None and trace.recording is None:
                self._begin(trace, why, summary.start_ns, log, asked=False)

    def _ask(self, now_ns: int, log: SipLog) -> None:
        orders = self._read_orders(now_ns)
        if orders == self._orders:
            return
        self._orders = orders
        self.tap.keep(max(self._before_ns, ORDER_NS if orders else 0))
        for trace in [*self._traces.values()] if orders else ():
            leg = trace.messages[-1].leg
            order = next((each for each in orders if leg and each.fits(leg, trace.call_id)), None)
            if order is not None and trace.recording is None and not trace.over_ns:
                self._begin(trace, f"asked for: {order.text}", now_ns, log, asked=True)

    # -- recordings

    def _begin(self, trace: CallTrace, reason: str, stamp_ns: int, log: SipLog, *, asked: bool) -> None:
        leg = trace.messages[-1].leg
        assert leg is not None, "messages of no leg have no trace"
        connector = leg.connector
        if connector is not None and not connector.log_media:
            return
        if len(self._recordings) >= self._bounds.at_once:
            self.refused += 1
            return
        legs = leg.call.legs if leg.call is not None else [leg]
        traces = [found for each in legs if (found := self._traces.get(each.call_id)) is not None]
        traces = [trace, *(other for other in traces if other is not trace and other.recording is None)]
        begins_ns = min(each.messages[0].stamp_ns for each in traces)
        self.kept += 1
        note = EvidenceNote(
            name=f"{int(self._wall_s()):010d}-{begins_ns % (1 << 40):010x}{self.kept % 0x10000:04x}",
            call_ids=_shown(trace, log),
            reason=reason,
            asked_for=asked,
            begins_ns=begins_ns,
            kept_at=self._wall_s(),
            from_user=log.user(leg.from_user),
            to_user=log.user(leg.to_user),
            with_payload=asked and self._bounds.with_payload,
        )
        recording = Recording(note, note.with_payload, stamp_ns)
        self._recordings.append(recording)
        head = pcap_writer.section(_head(note), "sbcwatch")
        note.bytes = len(head)
        self._do(self.files.begin, replace(note), head)
        self._join(recording, traces)

    def _join(self, recording: Recording, traces: list[CallTrace]) -> None:
        """Adds the traces of these Call-IDs to the recording."""
        sockets: dict[Socket, None] = {}
        for trace in traces:
            trace.recording = recording
            recording.sip += trace.messages
            sockets |= trace.sockets
            recording.over_ns = max(recording.over_ns, trace.over_ns)
        self._attend(recording, sockets)

    def _attend(self, recording: Recording, sockets: Iterable[Socket]) -> None:
        """Picks the packets of these sockets too, first those in the ring."""
        added = {socket: recording.with_payload for socket in sockets if socket not in recording.sockets}
        if not added:
            return
        recording.sockets.update(dict.fromkeys(added))
        recording.media += [
            packet
            for packet in self._want(added)
            if not {packet.src, packet.dst} & (recording.sockets.keys() - added)
        ]

    def _want(self, added: dict[Socket, bool] | None = None) -> list[MediaPacket]:
        wanted: dict[Socket, bool] = {}
        self._by_socket = {}
        for recording in self._recordings:
            for socket in recording.sockets:
                wanted[socket] = recording.with_payload or wanted.get(socket, False)
                self._by_socket.setdefault(socket, []).append(recording)
        return self.tap.want(wanted, added)

    def _of(self, packet: MediaPacket) -> Iterator[Recording]:
        """The recordings that a packet belongs to, each once."""
        first = self._by_socket.get(packet.src, [])
        yield from first
        yield from (trace for trace in self._by_socket.get(packet.dst, ()) if trace not in first)

    def _write(self, recording: Recording, until_ns: int, log: SipLog) -> None:
        """Writes packets older than `until_ns`, in the order of time."""
        media = [packet for packet in recording.media if packet.stamp_ns <= until_ns]
        sip = [packet for packet in recording.sip if packet.stamp_ns <= until_ns]
        if not media and not sip:
            return
        known = at_hand(recording.media)
        recording.media = [packet for packet in recording.media if packet.stamp_ns > until_ns]
        recording.sip = [packet for packet in recording.sip if packet.stamp_ns > until_ns]
        blocks: list[bytes] = []
        ready: list[MediaPacket | MessageSeen] = [*media, *sip]
        for packet in sorted(ready, key=lambda packet: packet.stamp_ns):
            if isinstance(packet, MessageSeen):
                block, share = self._sip_block(recording, packet, log), 1.0
            else:
                comment = recording.comments.of(packet, known)
                block, share = self._media_block(recording, packet, comment), 1.0 - SIP_SHARE
            if recording.note.bytes + len(block) > share * self._bounds.call_bytes:
                recording.note.left_out += 1
            elif block:
                blocks.append(block)
                recording.note.packets += 1
                recording.note.bytes += len(block)
        if blocks:
            self._do(self.files.add, recording.note.name, b"".join(blocks))

    def _sip_block(self, recording: Recording, seen: MessageSeen, log: SipLog) -> bytes:
        connector = seen.connector or (seen.leg.connector if seen.leg else None)
        if connector is not None and not connector.log_sip:
            return b""
        text = log.shown(seen)[0].encode()
        try:
            octets = pcap_writer.sip_datagram(seen.src, seen.dst, text)
        except ValueError:
            return b""
        return self._packet(recording, pcap_writer.LINK_RAW, seen.stamp_ns, octets, len(octets), "")

    def _media_block(self, recording: Recording, packet: MediaPacket, comment: str) -> bytes:
        octets = packet.octets
        if not (recording.with_payload and packet.is_whole):
            if packet.sequence < 0:
                octets = without_text(packet)
            else:  # another recording of this socket may have asked for the payload
                octets = octets[: packet.payload_at + 12 + 4 * (octets[packet.payload_at] & 15)]
        link_type = packet.origin >> 32
        return self._packet(recording, link_type, packet.stamp_ns, octets, packet.wire_length, comment)

    def _packet(
        self, recording: Recording, link_type: int, stamp_ns: int, octets: bytes, length: int, comment: str
    ) -> bytes:
        """A packet block; before the first of its link type, the interface's block."""
        number = recording.links.get(link_type)
        head = b""
        if number is None:
            number = recording.links[link_type] = len(recording.links)
            head = pcap_writer.interface(link_type)
        return head + pcap_writer.packet(number, stamp_ns, octets, length, comment)

    def _end(self, recording: Recording, now_ns: int) -> None:
        self._recordings.remove(recording)
        for call_id in [trace.call_id for trace in self._traces.values() if trace.recording is recording]:
            self._drop(call_id)
        recording.note.ends_ns = recording.over_ns or now_ns
        recording.note.comments = recording.comments.count
        self._do(self.files.end, replace(recording.note))
        self._want()


def _shown(trace: CallTrace, log: SipLog) -> list[str]:
    """The Call-IDs of a trace's call, as in records."""
    leg = trace.messages[-1].leg
    return [trace.call_id] if leg is None or leg.call is None else log.call_ids(leg.call) or [trace.call_id]


def _head(note: EvidenceNote) -> str:
    media = "RTP and RTCP whole" if note.with_payload else "RTP headers, RTCP without names; no payload"
    return (
        f"sbcwatch evidence of call {', '.join(note.call_ids)}: {note.reason}. {media}."
        " SIP as the log has it: redacted, in UDP packets that were built for it, ports 5060."
    )
