# cython: language_level=3
"""What is no plain RTP, frame by frame in capture order: put together, cleared of copies, read.

Fragments and TCP segments become datagrams and messages (`reassembly`); a copy that another interface showed
is dropped; RTCP goes to `media`, SIP within its source's budget to `signalling`.
"""

from __future__ import annotations

from collections import Counter

from agent.calls.signalling_cy import Signalling
from agent.errors import Reason, WireError
from agent.media.leg_media_cy import LegMedia
from agent.model.handover import Handover
from agent.model.sides import Sides
from agent.transport.rate_limit import RateLimit
from agent.transport.tcp import Fragments, TcpStreams
from agent.wire.ip.decoder_cy import Decoder, Packet, read
from agent.wire.sip.message_cy import Message
from agent.wire.sip.scan_cy import looks_like_sip

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if not cython.compiled:  # intake_cy.pxd has the same for the compiler
    from agent.wire.ip.decoder_cy import FRAGMENT, TCP, UDP

    COPY_NS = 20_000_000  # the same bytes between the same sockets within this time are a copy

MAX_COPIES = 8_192  # what passes within that time at 400,000 a second
UDP_PROTOCOL, UDP_HEADER = 17, 8


class Intake:
    """`frame` takes one frame. Feeds `media` and `signalling`; `rejects` counts what did not parse."""

    def __init__(
        self,
        sides: Sides,
        signalling: Signalling,
        media: LegMedia,
        budget: RateLimit,
        rejects: Counter[Reason],
        single_span: bool,
    ) -> None:
        """`single_span`: copies come through one interface too, so that RTCP met twice is one packet."""
        self.duplicates = 0
        self.budget = budget
        self._sides = sides
        self._signalling = signalling
        self._media = media
        self._rejects = rejects
        self._single_span = single_span
        self._fragments = Fragments()
        self._tcp = TcpStreams()
        self._decoder = Decoder()
        # Packets met since `_since_ns`, at most 20 ms ago, and those of as long before; the last of each key
        self._recent: dict[Packet, Packet] = {}
        self._before: dict[Packet, Packet] = {}
        self._since_ns = 0

    def give(self, handover: Handover) -> None:
        """What is half assembled, and what was met within the last 20 ms."""
        live = handover.live
        if live is not None:
            live.transport = self._fragments, self._tcp
            live.copies = self._recent, self._before, self._since_ns
            live.budget = self.budget

    def take_over(self, handover: Handover) -> None:
        """Where the clock was set, what was stamped by it stays behind."""
        live = handover.live
        if live is None:
            return
        self._fragments, self._tcp = live.transport
        if not handover.shift_ns:
            self._recent, self._before, self._since_ns = live.copies
            live.budget.rate = self.budget.rate  # what may be parsed is the new configuration's to say
            self.budget = live.budget

    def tables(self) -> dict[str, int]:
        """Sizes of the tables that the wire fills."""
        return {
            "fragments": len(self._fragments),
            "tcp_streams": len(self._tcp),
            "sip_sources": len(self.budget),
            "digests": len(self._recent) + len(self._before),
        }

    def hold(self, data: bytes | bytearray | memoryview) -> None:
        """The frames that come are in `data`; `b""` lets go of it."""
        self._decoder.attach(data)

    def frame(
        self,
        offset: cython.longlong,
        captured: cython.longlong,
        stamp_ns: cython.longlong,
        origin: cython.longlong,
    ) -> None:
        """The frame of `captured` bytes at `offset` in what is held."""
        try:
            packet = read(self._decoder, offset, captured, stamp_ns, origin)
        except WireError as error:
            self._rejects[error.reason] += 1
            return
        self.take(packet)

    def take(self, packet: Packet) -> None:
        if packet.kind == UDP:
            self._datagram(packet)
        elif packet.kind == FRAGMENT:
            whole = self._fragments.add(
                (packet.src, packet.dst, packet.protocol),
                packet.identification,
                packet.fragment_offset,
                packet.more_fragments,
                packet.payload,
                packet.stamp_ns,
            )
            if whole is not None:
                rejoined = _rejoined(packet, whole)
                if rejoined is not None:
                    self.take(rejoined)
        elif packet.kind == TCP:
            for message in self._tcp.add(
                packet.src,
                packet.src_port,
                packet.dst,
                packet.dst_port,
                packet.seq,
                packet.flags,
                packet.payload,
                packet.stamp_ns,
            ):
                self._sip(packet, message)

    def _datagram(self, packet: Packet) -> None:
        payload: bytes = packet.payload
        is_rtcp: cython.bint = len(payload) > 1 and payload[0] >> 6 == 2 and 192 <= payload[1] <= 223
        if self._is_copy(packet, is_rtcp and not self._single_span):
            self.duplicates += 1
        elif is_rtcp:
            self._media.rtcp(
                (packet.src, packet.src_port),
                (packet.dst, packet.dst_port),
                payload,
                packet.length,
                packet.stamp_ns,
            )
        elif looks_like_sip(payload):
            self._sip(packet, payload)

    def _is_copy(self, packet: Packet, by_path: cython.bint) -> cython.bint:
        """Whether the same bytes passed between the same sockets within 20 ms; `by_path`: by another path.

        SIP through the same path too: its shortest retransmission comes after 500 ms (RFC 3261 T1).
        """
        seen: Packet | None = self._recent.get(packet)
        if seen is None:
            seen = self._before.get(packet)
        if (
            seen is not None
            and -COPY_NS <= packet.stamp_ns - seen.stamp_ns <= COPY_NS
            and not (by_path and packet.path == seen.path)
        ):
            return True
        full: cython.bint = len(self._recent) >= MAX_COPIES
        if full or not -COPY_NS <= packet.stamp_ns - self._since_ns <= COPY_NS:
            self._before, self._recent, self._since_ns = self._recent, {}, packet.stamp_ns
        self._recent[packet] = packet
        return False

    def _sip(self, packet: Packet, data: bytes) -> None:
        if self.budget.rate:
            to_vc = not self._sides.is_vc(packet.src)
            peer = packet.src if to_vc else packet.dst
            if not self.budget.takes(peer, to_vc, data, packet.stamp_ns):
                return
        try:
            message = Message(data)
        except WireError as error:
            self._rejects[error.reason] += 1
            return
        self._signalling.take(message, packet.src, packet.dst, packet.stamp_ns)


def _rejoined(fragment: Packet, whole: bytes) -> Packet | None:
    """The UDP datagram of reassembled fragments; None for other protocols and short ones (RFC 768)."""
    if fragment.protocol != UDP_PROTOCOL or len(whole) < UDP_HEADER:
        return None
    packet: Packet = Packet()
    packet.kind = UDP
    packet.src = fragment.src
    packet.src_port = int.from_bytes(whole[:2], "big")
    packet.dst = fragment.dst
    packet.dst_port = int.from_bytes(whole[2:4], "big")
    packet.payload = whole[UDP_HEADER:]
    packet.length = len(packet.payload)
    packet.stamp_ns = fragment.stamp_ns
    packet.path = fragment.path
    packet.protocol = fragment.protocol
    return packet
