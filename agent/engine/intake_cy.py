# cython: language_level=3
"""Takes every frame that is not plain RTP, in capture order: reassembles it, drops copies, reads it.

Fragments become datagrams, TCP and SCTP become messages (`transport`). RTCP goes to `media`, SIP within its
source's limit to `signalling`. Unreadable frames are reported as `Unseen`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable

import cython
from msgspec import Struct

from agent.calls.signalling_cy import Signalling
from agent.errors import Reason, WireError
from agent.media.leg_media_cy import LegMedia
from agent.model.events import Event, MessageSeen, Unseen
from agent.model.handover import Handover
from agent.model.sides import Sides
from agent.model.units import SECOND_NS
from agent.model.unseen import Cause, Sight
from agent.transport.byte_limit import ByteLimit
from agent.transport.copies_cy import Copies
from agent.transport.fragments import Fragments
from agent.transport.messages import Found
from agent.transport.rate_limit_cy import RateLimit
from agent.transport.sctp import SctpPaths
from agent.transport.tcp import TcpStreams
from agent.wire.hep import KIND_SIP, MAGIC, hep_packet
from agent.wire.ip.decoder_cy import Decoder, read, rejoined
from agent.wire.ip.encapsulations import Tunnel
from agent.wire.ip.packet_cy import Packet, address
from agent.wire.sip.message_cy import Message
from agent.wire.sip.scan_cy import looks_like_sip, status_at

if not cython.compiled:  # intake_cy.pxd has the same for the compiler
    from agent.wire.ip.decoder_cy import ESP, FRAGMENT, HEP, NAT_T, OTHER_IP, SCTP, TCP, UDP

HEP_DELAY_NS = 3_000_000_000  # a capture agent's packet comes so late at most; else its clock is not believed
HEP_PATH = 1 << 62  # HEP is a path of its own, one a capture agent
SIP_PORTS = (5060, 5061, 5080)
TCP_PROTOCOL, UDP_PROTOCOL, SCTP_PROTOCOL = 6, 17, 132
UDP_HEADER, RTP_HEADER = 8, 12
HEADERS_CUT = frozenset({Reason.LINK_TRUNCATED, Reason.IP_TRUNCATED, Reason.UDP_TRUNCATED})
STEPS_FREE = 8  # of a segment's framing: a few messages


class IntakeRules(Struct, frozen=True):
    """`single_span`: copies come through one interface too, so RTCP seen twice is one packet.

    `tunnels`: the tunnels to open, and no others; None: every one. `sip_ports`: where TLS is taken for SIP.
    `bytes_each`, `bytes_all`: bytes a second that may be reassembled of one far address and of all; 0: no
    bound.
    """

    single_span: bool = False
    tunnels: tuple[Tunnel, ...] | None = None
    sip_ports: tuple[int, ...] = SIP_PORTS
    bytes_each: int = 0
    bytes_all: int = 0


class Intake:
    """`frame` takes one frame. It feeds `media` and `signalling`; `rejects` counts unparsable frames."""

    def __init__(
        self,
        sides: Sides,
        signalling: Signalling,
        media: LegMedia,
        rate_limit: RateLimit,
        rejects: Counter[Reason],
        out: list[Event],
        rules: IntakeRules,
        rtp: Callable[[Packet], bool],
    ) -> None:
        """`out`: events that belong to no call. `rtp`: takes RTP that came in fragments; False: it cannot."""
        self._rtp = rtp
        self.duplicates = 0
        self.counters: Counter[str] = Counter()
        self.rate_limit = rate_limit
        self._sides = sides
        self._own = sides.own  # asked for each packet
        self._signalling = signalling
        self._media = media
        self._rejects = rejects
        self._out = out
        self._rules = rules
        self._bytes = ByteLimit(rules.bytes_each, rules.bytes_all)
        self._fragments = Fragments()
        self._tcp = TcpStreams()
        self._sctp = SctpPaths()
        self._copies = Copies(rules.single_span)
        self._copies.peers = Copies(rules.single_span)
        self._decoder = Decoder(rules.tunnels)
        self._inner = Decoder(rules.tunnels)  # of what was put together
        self._captured = 0  # bytes of the frame in hand
        self._peers = rate_limit.peers

    def give(self, handover: Handover) -> None:
        """Half-assembled data, and the packets of the last 20 ms."""
        live = handover.live
        if live is not None:
            live.transport = self._fragments, self._tcp, self._sctp, self._peers
            live.copies = self._copies
            live.rate_limit = self.rate_limit

    def take_over(self, handover: Handover) -> None:
        """Takes them over. Where the clock was set, stamped data is left out."""
        live = handover.live
        if live is None:
            return
        self._fragments, self._tcp, self._sctp, self._peers = live.transport
        self.rate_limit.peers = self._peers
        if not handover.shift_ns:
            self._copies = live.copies
            # The new configuration says what may be parsed.
            live.rate_limit.rate = self.rate_limit.rate
            self.rate_limit = live.rate_limit

    def tables(self) -> dict[str, int]:
        """Sizes of the tables that the wire fills."""
        return {
            "fragments": len(self._fragments),
            "tcp_streams": len(self._tcp),
            "sctp_paths": len(self._sctp),
            "sip_sources": len(self.rate_limit),
            "sip_peers": len(self._peers),
            "digests": len(self._copies),
        }

    def expire(self, now_ns: cython.longlong) -> None:
        """Gives up fragments that waited too long.

        Called before a minute closes, so that the minute is marked.
        """
        self._fragments.expire(now_ns)
        self._report_fragments()

    def finish(self) -> None:
        """The capture is over: half-assembled data stays incomplete."""
        self._fragments.give_up_all()
        self._report_fragments()

    def hold(self, data: bytes | bytearray | memoryview) -> None:
        """Keeps `data` open for the frames to come; `b""` releases it."""
        self._decoder.attach(data)

    def frame(
        self,
        offset: cython.longlong,
        captured: cython.longlong,
        wire: cython.longlong,
        stamp_ns: cython.longlong,
        origin: cython.longlong,
    ) -> None:
        """Takes the frame of `captured` bytes, of `wire` that it had, at `offset` in the held data."""
        self._captured = captured
        try:
            packet = read(self._decoder, offset, captured, stamp_ns, origin)
        except WireError as error:
            self._rejects[error.reason] += 1
            if captured < wire and error.reason in HEADERS_CUT:
                self._headers_cut(stamp_ns)
            return
        self.take(packet)

    def _headers_cut(self, stamp_ns: cython.longlong) -> None:
        """Reports a frame that the capture cut in its headers: it may have been SIP or media."""
        packet: Packet = Packet()
        decoder = self._decoder
        packet.stamp_ns = stamp_ns
        if decoder.ip_version and decoder.protocol in (0, TCP_PROTOCOL, UDP_PROTOCOL, SCTP_PROTOCOL):
            packet.src = address(decoder.src_hi, decoder.src_lo)
            packet.dst = address(decoder.dst_hi, decoder.dst_lo)
        is_stream = bool(packet.src) and decoder.protocol in (TCP_PROTOCOL, SCTP_PROTOCOL)
        self._unseen(packet, Sight.SIP if is_stream else Sight.ALL, Cause.SNAP_LENGTH)

    def take(self, packet: Packet) -> None:
        whole: Packet | None
        while packet.kind == FRAGMENT:  # fragments in fragments: the decoder bounds how deep
            whole = self._joined(packet)
            if whole is None:
                return
            packet = whole
        if packet.kind == UDP:
            self._datagram(packet)
        elif packet.kind == TCP:
            self._segment(packet)
        elif packet.kind == SCTP:
            self._chunks(packet)
        elif packet.kind == OTHER_IP and packet.protocol == ESP:
            self._unseen(packet, Sight.ALL, Cause.IPSEC)

    def _joined(self, packet: Packet) -> Packet | None:
        """The datagram that this fragment completes."""
        if not self._within_limits(packet):
            return None
        if len(packet.payload) < packet.length:
            self._fragment_cut(packet)
            return None
        whole = self._fragments.add(
            (packet.src, packet.dst, packet.protocol),
            packet.identification,
            packet.fragment_offset,
            packet.more_fragments,
            packet.payload,
            packet.stamp_ns,
            self._is_peers(packet),
        )
        self._report_fragments()
        if whole is None:
            return None
        try:
            joined: Packet = rejoined(self._inner, packet, whole)
        except WireError as error:
            self._rejects[error.reason] += 1
            return None
        return joined

    def _fragment_cut(self, packet: Packet) -> None:
        """Takes a fragment that the capture cut: its datagram is as far as its first one goes."""
        if packet.fragment_offset:
            return
        self._fragments.leave_out(
            (packet.src, packet.dst, packet.protocol),
            packet.identification,
            packet.stamp_ns,
            self._is_peers(packet),
        )
        head = packet.payload
        numbers = [int.from_bytes(head[at : at + 2], "big") for at in (0, 2, 4)]  # ports and length
        if (
            packet.protocol != UDP_PROTOCOL
            or len(head) < UDP_HEADER
            or self._decoder.begins_tunnel(numbers[0], numbers[1])
        ):
            if packet.protocol not in (TCP_PROTOCOL, SCTP_PROTOCOL):
                packet.src = ""  # perhaps a tunnel's
            self._unseen(packet, Sight.ALL, Cause.SNAP_LENGTH)
            return
        packet.src_port, packet.dst_port, length = numbers
        packet.kind = UDP
        packet.length = length - UDP_HEADER
        packet.payload = head[UDP_HEADER:]
        self._datagram(packet)

    def _segment(self, packet: Packet) -> None:
        if not self._within_limits(packet):
            return
        if packet.payload and self._sides.is_vc(packet.src):
            self._peers.add(packet.dst)
        steps: cython.longlong = self._tcp.steps
        messages = self._tcp.add(
            packet.src,
            packet.src_port,
            packet.dst,
            packet.dst_port,
            packet.seq,
            packet.flags,
            packet.payload,
            packet.stamp_ns,
            packet.length - len(packet.payload),
        )
        if self._rules.bytes_all:
            steps = self._tcp.steps - steps
            if steps > STEPS_FREE:
                self._bytes.charge(self._peer_of(packet), self._is_peers(packet), steps - STEPS_FREE)
        for found in messages:
            self._found(packet, found)

    def _chunks(self, packet: Packet) -> None:
        """An SCTP packet."""
        if not self._within_limits(packet):
            return
        try:
            packet.src_port, packet.dst_port, messages = self._sctp.add(
                packet.src,
                packet.dst,
                packet.payload,
                packet.length - len(packet.payload),
                packet.stamp_ns,
                self._is_peers(packet),
            )
        except WireError as error:
            self._rejects[error.reason] += 1
            if len(packet.payload) < packet.length:
                self._unseen(packet, Sight.SIP, Cause.SNAP_LENGTH)
            return
        for found in messages:
            self._found(packet, found)

    def _found(self, packet: Packet, found: Found) -> None:
        """Takes a message from a stream, or the report of an unreadable one."""
        if found.cause is None:
            if found.data.startswith(MAGIC):
                self._hep(packet, found.data)
            else:
                self._sip(packet, found.data)
        elif found.data:
            self._count_cut_message(packet, found.data)
            self._unseen(packet, Sight.SIP, found.cause)
        elif found.is_sip or self._is_sip_port(packet):
            self._unseen(packet, Sight.SIP, found.cause)

    def _is_sip_port(self, packet: Packet) -> cython.bint:
        return packet.src_port in self._rules.sip_ports or packet.dst_port in self._rules.sip_ports

    def tunnels(self) -> dict[str, int]:
        """Datagrams put together that were tunnels, and messages of capture agents, by their kind."""
        found: dict[str, int] = self._inner.tunnels()
        return found

    def _datagram(self, packet: Packet) -> None:
        payload: bytes = packet.payload
        is_rtcp: cython.bint = len(payload) > 1 and payload[0] >> 6 == 2 and 192 <= payload[1] <= 223
        if len(payload) < packet.length and not is_rtcp and (sight := _too_little(payload)) is not None:
            self._unseen(packet, sight, Cause.SNAP_LENGTH)
        elif self._copies.is_copy(packet, not is_rtcp, self._is_peers(packet)):
            self.duplicates += 1
        elif is_rtcp:
            self._media.rtcp(
                (packet.src, packet.src_port),
                (packet.dst, packet.dst_port),
                payload,
                packet.length,
                packet.stamp_ns,
            )
        elif payload.startswith(MAGIC):
            self._hep(packet, payload)
        elif len(payload) >= RTP_HEADER and payload[0] >> 6 == 2:  # whole, the loop has had it
            if len(payload) < packet.length:  # a first fragment
                self._unseen(packet, Sight.MEDIA, Cause.SNAP_LENGTH)
            elif not self._rtp(packet):
                self._unseen(packet, Sight.MEDIA, Cause.FRAGMENTS)
        elif looks_like_sip(payload):
            if len(payload) < packet.length and not _has_whole_head(payload):
                self._unseen(packet, Sight.SIP_CALLS, Cause.SNAP_LENGTH)
            self._sip(packet, payload)
        elif NAT_T in (packet.src_port, packet.dst_port):
            if len(payload) >= 8 and any(payload[:4]):  # four zeros begin IKE (RFC 3948 2.2)
                self._unseen(packet, Sight.ALL, Cause.IPSEC)
        elif len(payload) >= 8 and payload[0] >> 4 == 4:  # ChannelData, as the loop found
            self._unseen(packet, Sight.MEDIA, Cause.TURN)

    def _hep(self, packet: Packet, data: bytes) -> None:
        """Takes the SIP of a believed capture agent as if it had been captured here."""
        if not self._inner.opens(packet, HEP):
            self.counters["hep_refused"] += 1
            return
        try:
            inner = hep_packet(data)
        except WireError as error:
            self._rejects[error.reason] += 1
            if packet.kind == UDP and len(data) < packet.length:
                packet.src = ""  # the agent's
                self._unseen(packet, Sight.SIP, Cause.SNAP_LENGTH)
            return
        if inner.kind != KIND_SIP or not looks_like_sip(inner.payload):
            self.counters["hep_ignored"] += 1
            return
        message: Packet = Packet()
        message.kind = UDP
        message.src, message.src_port = inner.src, inner.src_port
        message.dst, message.dst_port = inner.dst, inner.dst_port
        message.payload = inner.payload
        message.length = len(inner.payload)
        message.path = HEP_PATH | inner.capture_id
        message.stamp_ns = packet.stamp_ns
        if 0 <= packet.stamp_ns - inner.stamp_ns <= HEP_DELAY_NS:
            message.stamp_ns = inner.stamp_ns
        if self._copies.is_copy(message, True, self._is_peers(message)):
            self.duplicates += 1
        else:
            self._sip(message, inner.payload)

    def _sip(self, packet: Packet, data: bytes) -> None:
        to_vc: cython.bint = packet.src not in self._own
        peer = packet.src if to_vc else packet.dst
        if not self.rate_limit.takes(peer, to_vc, data, packet.stamp_ns, packet.dst if to_vc else packet.src):
            return
        if (invite := self.rate_limit.invite) is not None:
            with contextlib.suppress(WireError):
                self._signalling.take(Message(invite[0]), invite[1], invite[2], invite[3])
        try:
            message = Message(data)
        except WireError as error:
            self._rejects[error.reason] += 1
            if (
                error.reason in (Reason.SIP_TRUNCATED, Reason.SIP_MISSING_HEADER)
                and len(data) < packet.length
            ):
                self._count_cut_message(packet, data)
            return
        self._signalling.take(message, packet.src, packet.dst, packet.stamp_ns)

    def _count_cut_message(self, packet: Packet, data: bytes) -> None:
        """Takes a message whose headers were cut: the class of a response counts all the same."""
        if self._is_elsewhere(packet):
            return
        status = _status_of(data)
        if status:
            peer = packet.dst if self._sides.is_vc(packet.src) else packet.src
            connector = self._sides.by_peer(peer) or self._sides.fallback
            self._out.append(
                MessageSeen(packet.stamp_ns, None, connector, "", status, data, packet.src, packet.dst)
            )

    # -- unread frames

    def _is_elsewhere(self, packet: Packet) -> cython.bint:
        """Whether a packet passes between two parts of the vc, or past it."""
        sides = self._sides
        return sides.has_vc and sides.is_vc(packet.src) == sides.is_vc(packet.dst)

    def _unseen(self, packet: Packet, sight: Sight, cause: Cause) -> None:
        """Reports frames that were not understood. A stranger makes nothing unknown.

        A packet without addresses was cut before them.
        """
        self.counters[f"unseen_{cause}"] += 1
        if packet.src and self._is_elsewhere(packet):
            return
        is_stranger = (
            self._sides.has_vc and not self._sides.is_vc(packet.src) and packet.src not in self._peers
        )
        if is_stranger and cause is not Cause.SNAP_LENGTH:
            self.counters["unseen_of_strangers"] += 1
            return
        newest = self._out[-1] if self._out else None
        if (
            isinstance(newest, Unseen)
            and newest.sight == sight
            and newest.cause == cause
            and newest.count is not None
            and newest.stamp_ns // SECOND_NS == packet.stamp_ns // SECOND_NS
            and (cause is Cause.SNAP_LENGTH or newest.stamp_ns == packet.stamp_ns)
        ):
            newest.count += 1
        else:
            detail = f"at {self._captured} bytes" if cause is Cause.SNAP_LENGTH else ""
            self._out.append(Unseen(packet.stamp_ns, packet.stamp_ns, sight, cause, detail=detail))

    def _within_limits(self, packet: Packet) -> cython.bint:
        """Whether the bytes of this packet may be reassembled."""
        if not self._rules.bytes_all or not packet.payload:
            return True
        peer = self._peer_of(packet)
        if self._bytes.takes(peer, self._is_peers(packet), len(packet.payload), packet.stamp_ns):
            return True
        self._unseen(packet, Sight.SIP, Cause.SHED)
        return False

    def _is_peers(self, packet: Packet) -> cython.bint:
        """Whether the vc deals with the far end of a packet, or sent it itself."""
        return packet.src in self._own or self._peers.knows(packet.src)

    def _peer_of(self, packet: Packet) -> str:
        """The far end of a packet."""
        return packet.dst if self._sides.is_vc(packet.src) else packet.src

    def _report_fragments(self) -> None:
        """Reports datagrams with missing fragments that were SIP, or may have been."""
        packet: Packet
        for lost in self._fragments.lost():
            src, dst, protocol = lost.key
            start: bytes = lost.start
            if protocol == UDP_PROTOCOL and start:
                start = start[UDP_HEADER:]
                if not looks_like_sip(start):
                    continue
            elif protocol not in (UDP_PROTOCOL, TCP_PROTOCOL, SCTP_PROTOCOL):
                continue
            packet = Packet()
            packet.src, packet.dst, packet.stamp_ns = src, dst, lost.first_ns
            self._unseen(packet, Sight.SIP, Cause.FRAGMENTS)


def _too_little(payload: bytes) -> Sight | None:
    """The counts that a cut datagram may belong to, where too little of it is there to tell; else None.

    RTP needs 12 bytes (RFC 3550 5.1), SIP its start line.
    """
    if len(payload) < 2:
        return Sight.ALL
    if payload[0] >> 6 == 2:
        return Sight.MEDIA if len(payload) < RTP_HEADER else None
    if not payload.isascii() or b"\n" in payload or looks_like_sip(payload) or payload.startswith(MAGIC):
        return None
    return Sight.SIP if b"SIP/".startswith(payload[:4].upper()) else Sight.SIP_CALLS  # a request has no class


def _has_whole_head(data: bytes) -> cython.bint:
    return b"\r\n\r\n" in data or b"\n\n" in data


def _status_of(data: bytes) -> cython.int:
    """The status of a response whose Status-Line (RFC 3261 7.2) is there; 0 for a request."""
    start = data.lstrip(b"\r\n")[:16]
    if start[:4].upper() != b"SIP/":
        return 0
    version, _, rest = start.partition(b" ")
    rest = rest.lstrip(b" ")
    return status_at(rest, 0, len(rest)) if version else 0
