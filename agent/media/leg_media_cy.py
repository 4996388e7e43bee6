# cython: language_level=3
"""Media of the legs: sockets claimed, streams attached, RTCP read.

RTCP of the far end carries what only it knows: loss and jitter of what left the vc, and the round trip. It is
found by packet type, on any port (RFC 5761), and belongs to the leg whose socket it uses. What may be SRTCP
(RFC 3711) is counted and never read.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from agent.errors import Reason, WireError
from agent.media.far_end_loss import charge, take_block
from agent.media.round_trip import RoundTrips
from agent.media.rtp.loop_cy import Loop
from agent.media.rtp.workers import RtpWorkers
from agent.media.sockets_cy import MediaSockets
from agent.media.streams_cy import Observer, QualityRules, Streams
from agent.media.unsignalled import Unsignalled
from agent.model import endpoint_view
from agent.model.call_cy import Call, Leg, Passage, Stream
from agent.model.events import Event, FarEnd, MediaHeard, RoundTrip, Unseen
from agent.model.far_end_cy import FarEndLoss
from agent.model.sides import Sides, Socket
from agent.model.stream_minute_cy import StreamMinute, taken_reports
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.wire.rtp import rtcp, rtcp_xr
from agent.wire.rtp.rtcp import ReportBlock
from agent.wire.sdp.session_cy import MediaDescription, Session
from agent.wire.sip import quality_report as vq

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

MAX_EARLY = 10_000  # socket pairs whose RTCP came before any SDP; a flood pushes out the oldest
DEPARTED_NS = 2 * MINUTE_NS  # a sender report that nobody has answered by then meets no block any more
Pair = tuple[Socket, Socket]


class LegMedia:
    """What runs on the media sockets. Feeds `out` with facts; `open_minutes` are those not closed yet."""

    def __init__(
        self,
        loop: Loop | RtpWorkers,
        sides: Sides,
        out: list[Event],
        *,
        quality: QualityRules,
        observer: Observer = "vc",
        count_unsignalled: bool = True,
    ) -> None:
        self.offers = MediaSockets(sides)
        self.unsignalled = Unsignalled(sides, count=count_unsignalled)
        self.streams = Streams(loop, self.offers, quality, observer, self.unsignalled)
        self.rejects: Counter[Reason] = Counter()
        self.missed_ns = 0  # when the capture last missed frames
        self.open_minutes: list[int] = []
        self._loop = loop
        self._out = out
        self._observer = observer
        self._sender_reports = RoundTrips()
        self._reference_times = RoundTrips()
        self._reporting: dict[Leg, None] = {}  # in order, for thousands are walked at a minute's close
        self._early: OrderedDict[Pair, dict[int, list[int]]] = OrderedDict()
        self._early_at: dict[Socket, set[Pair]] = {}
        self._other: dict[Leg, dict[Passage, list[MediaDescription]]] = {}  # m-lines that are not RTP

    # -- SDP

    def describe(self, leg: Leg, session: Session, passage: Passage) -> None:
        """An SDP passed on `leg`."""
        now_ns = leg.last_ns
        sockets = self.offers.describe(leg, session, passage)
        self._replaced(leg, session, passage)
        media: MediaDescription
        sections = []
        for media in session.media:
            said = (media.kind, media.address, media.port, media.direction, media.payload_types, media.is_rtp)
            sections.append(said)
        before = leg.described.get(passage)
        leg.described[passage] = sections
        if before != sections:
            leg.described_ns = now_ns
            if before is not None:
                self.streams.rebase(leg.call.legs, now_ns)
        self._cut(self.streams.claimed(sockets, self.open_minutes))
        self._take_over()
        self.streams.described(leg)
        self._claim_early(sockets)

    def _replaced(self, leg: Leg, session: Session, passage: Passage) -> None:
        """Once both ends have said that a socket carries T.38 (RFC 3362), nothing there is RTP any more.

        An offer alone changes nothing: it may be refused.
        """
        media: MediaDescription
        other: list[MediaDescription] = []
        for media in session.media:
            if media.port and not media.is_rtp:
                other.append(media)
        if not other and leg not in self._other:
            return
        both = self._other.setdefault(leg, {})
        both[passage] = other
        if len(both) == 2 and all(both.values()):
            in_use = {s for m in session.media if m.is_rtp for s in m.sockets}
            for medias in both.values():
                for media in medias:
                    if in_use.isdisjoint(media.sockets):
                        self.offers.withdraw(leg, media)

    def _take_over(self) -> None:
        """RTCP that counted for streams without signalling is their new leg's, as far as minutes are open."""
        for before, leg in self.streams.taken_over:
            for minute, (packets, size, packets_away, size_away) in before.reports.items():
                self._count(leg, True, minute, packets, size)
                self._count(leg, False, minute, packets_away, size_away)
            before.reports.clear()
            self._reporting.pop(before, None)
        self.streams.taken_over.clear()

    def restore(self, leg: Leg, session: Session, passage: Passage) -> None:
        """An SDP that passed on `leg` before a restart."""
        self.offers.describe(leg, session, passage)
        self._replaced(leg, session, passage)

    def count_on(self, legs: Iterable[Leg]) -> None:
        """Legs of before a restart, over or not: RTCP that was counted waits for its minute's close."""
        self._reporting |= {leg: None for leg in legs if leg.reports}

    def attach(self, told: Iterable[tuple[int, bool, FarEndLoss]]) -> None:
        """Take over the streams of a restored loop: (id, seen from its first packet, the far end's view)."""
        for stream_id in self._loop.live_streams():
            self.streams.fresh(stream_id)
        for stream_id, first, away in told:
            stream = self.streams.get(self._loop.renumber(stream_id))
            if stream is not None:
                stream.first, stream.away = first, away
                if away.minutes:
                    self.streams.told(stream)
        self.unsignalled.prune()

    def follow(self, before: LegMedia, shift_ns: int) -> None:
        """Take over from the engine before what no checkpoint holds: reports under way, early media."""
        self._sender_reports, self._reference_times = before._sender_reports, before._reference_times
        self._sender_reports.shift(shift_ns)
        self._reference_times.shift(shift_ns)
        if not shift_ns:
            self._early, self._early_at = before._early, before._early_at
            self.streams.follow(before.streams)

    def release(self, leg: Leg) -> None:
        """The leg is over and its last reports are in."""
        self._cut(self.streams.released(leg, self.open_minutes))
        self.offers.release(leg)
        self._other.pop(leg, None)

    def _cut(self, streams: list[StreamMinute]) -> None:
        """What streams did before they left their leg."""
        if streams:
            self._out.append(MediaHeard(streams, []))

    def heard_ns(self, call: Call) -> cython.longlong:
        """When RTP of `call` was last seen, 0 if never."""
        leg: Leg
        stream: Stream
        last_ns: cython.longlong
        newest_ns: cython.longlong = 0
        loop = self._loop
        for leg in call.legs:
            for stream in leg.streams:
                last_ns = loop.last_ns(stream.id)
                newest_ns = max(newest_ns, last_ns)
        return newest_ns

    # -- RTCP

    def rtcp(self, src: Socket, dst: Socket, payload: bytes, length: int, stamp_ns: int) -> None:
        """An RTCP packet of `length` bytes on the wire, of which `payload` was captured."""
        found = self.offers.find(src, dst) or self.unsignalled.find(src, dst)
        leg: Leg | None = None
        measured_here: bool | None = None
        if found is None:
            self._keep_early(src, dst, stamp_ns // MINUTE_NS * MINUTE_NS, length)
        else:
            claim, to_vc = found
            leg = claim.leg
            if to_vc is not None:
                self._count(leg, to_vc, stamp_ns // MINUTE_NS * MINUTE_NS, 1, length)
                measured_here = to_vc == (self._observer == "vc")
            if claim.encrypted:
                self.rejects[Reason.RTCP_ENCRYPTED] += 1
                return
        try:
            compound = rtcp.parse(payload, wire_length=length)
        except WireError as error:
            self.rejects[error.reason] += 1
            return
        if compound.rejects:
            self.rejects.update(compound.rejects)
            if found is not None and any(media.crypto for media in found[0].media):
                return  # RTP/AVP that offers keys, and a packet that does not add up: ciphertext
        for report in compound.reports:
            if measured_here is not True and isinstance(report, rtcp.SenderReport):
                self._sender_reports.sent(src, dst[0], report.ssrc, report.middle32, stamp_ns)
            if measured_here is not False:
                for block in report.blocks:
                    self._block(leg, src, dst, report.ssrc, block, stamp_ns)
        for extended in compound.rtcp_xr:
            self._extended(leg, measured_here, src, dst, extended, stamp_ns)

    def _block(
        self, leg: Leg | None, src: Socket, dst: Socket, reporter: int, block: ReportBlock, stamp_ns: int
    ) -> None:
        """The reporter at `src` says how what left `dst` reached it."""
        if leg is not None and leg.side is not None and block.lsr:
            rtt_us = self._sender_reports.round_trip_us(
                dst, src[0], block.ssrc, block.lsr, block.dlsr, stamp_ns
            )
            if rtt_us is not None:
                self._round_trip(leg, rtt_us, "rtcp", stamp_ns)
        leaving = self.streams.leaving
        rtp = self.offers.serving(dst)
        stream = (
            (leaving(rtp, block.ssrc, src) if rtp is not None else None)
            or leaving(dst, block.ssrc, src)  # RFC 5761: one port
            or leaving((dst[0], dst[1] - 1), block.ssrc, src)  # RFC 3550 11: the next higher odd one
        )
        if stream is None or stream.measured_here:
            return
        its = stream.leg
        span = take_block(
            stream.away,
            stamp_ns,
            reporter,
            block,
            self._loop.counted(stream.id, block.highest & 0xFFFF),
            first=stream.first and its is not None and its.whole and self.missed_ns < its.invite_ns,
            missed_ns=self.missed_ns,
        )
        self.streams.told(stream)
        if span is not None:
            lost = span.lost
            if its is not None:  # what came out below 0 is made up for within the call
                its.carried += lost
                lost = max(0, its.carried)
                its.carried -= lost
            charge(stream.away, stamp_ns, max(0, lost), span.expected)

    def _round_trip(self, leg: Leg, rtt_us: float, source: str, stamp_ns: int) -> None:
        if leg.side is not None:
            if source == "rtcp" or leg.side not in leg.call.rtt_us:
                leg.call.rtt_us[leg.side] = rtt_us
            self._out.append(RoundTrip(stamp_ns, leg, rtt_us, source))

    def _extended(
        self,
        leg: Leg | None,
        measured_here: bool | None,
        src: Socket,
        dst: Socket,
        report: rtcp_xr.ExtendedReport,
        stamp_ns: int,
    ) -> None:
        """RFC 3611: what left the vc is kept to be answered; what comes in answers, or tells the far view."""
        for block in report.blocks:
            if isinstance(block, rtcp_xr.ReceiverReference):
                if measured_here is not True:
                    self._reference_times.sent(src, dst[0], report.ssrc, block.middle32, stamp_ns)
            elif leg is None or not measured_here:
                continue
            elif isinstance(block, rtcp_xr.Delay):
                # Paired here, at the capture point, it is this side's round trip whoever asked.
                rtt_us = self._reference_times.round_trip_us(
                    dst, src[0], block.ssrc, block.lrr, block.dlrr, stamp_ns
                )
                if rtt_us is not None:
                    self._round_trip(leg, rtt_us, "xr", stamp_ns)
            elif isinstance(block, rtcp_xr.VoipMetrics):
                self._told(leg, endpoint_view.of_voip_metrics(block), block.ssrc, stamp_ns)

    # -- the far end's view

    def quality_report(self, leg: Leg, report: vq.Report, now_ns: int) -> None:
        """A PUBLISH or NOTIFY about the call of `leg` (RFC 6035): its sender's own reception."""
        if report.local is not None:
            ssrc = report.remote_addr.ssrc if report.remote_addr else None
            self._told(leg, endpoint_view.of_metrics(report.local), ssrc, now_ns)

    def statistics(self, leg: Leg, stat: vq.RtpStat, now_ns: int) -> None:
        """The RTP statistics header of a BYE, or of its 200, that the far end of `leg` sent."""
        self._told(leg, endpoint_view.of_rtp_stat(stat), None, now_ns)

    def _told(self, leg: Leg, view: endpoint_view.EndpointView, ssrc: int | None, now_ns: int) -> None:
        """An endpoint's own round trip is this side's where the SBC makes the stream itself (`ssrc`)."""
        self._out.append(FarEnd(now_ns, leg, view))
        if view.round_trip_ms:
            rtt_us = view.round_trip_ms * 1000.0
            if self.streams.relayed(leg, ssrc):
                self._out.append(RoundTrip(now_ns, leg, rtt_us, "xr", end_to_end=True))
            else:
                self._round_trip(leg, rtt_us, "xr", now_ns)

    # -- counts

    def _count(self, leg: Leg, to_vc: bool, minute: int, packets: int, length: int) -> None:
        counts = leg.reports.get(minute)
        if counts is None:
            self._reporting[leg] = None
            counts = leg.reports[minute] = [0, 0, 0, 0]
        at = 0 if to_vc else 2
        counts[at] += packets
        counts[at + 1] += length

    def _keep_early(self, src: Socket, dst: Socket, minute: int, length: int) -> None:
        """RTCP may come before the SDP that explains it: it counts once its socket is claimed."""
        pair = src, dst
        minutes = self._early.get(pair)
        if minutes is None:
            if len(self._early) >= MAX_EARLY:
                self._forget_early(next(iter(self._early)))
            minutes = self._early[pair] = {}
            for socket in pair:
                self._early_at.setdefault(socket, set()).add(pair)
        counts = minutes.setdefault(minute, [0, 0])
        counts[0] += 1
        counts[1] += length

    def _forget_early(self, pair: Pair) -> dict[int, list[int]]:
        for socket in pair:
            pairs = self._early_at.get(socket)
            if pairs is not None:
                pairs.discard(pair)
                if not pairs:
                    del self._early_at[socket]
        return self._early.pop(pair)

    def _claim_early(self, sockets: list[Socket]) -> None:
        for socket in sockets:
            for pair in tuple(self._early_at.get(socket, ())):
                found = self.offers.find(pair[0], pair[1]) or self.unsignalled.find(pair[0], pair[1])
                if found is None:
                    continue
                for minute, (packets, length) in self._forget_early(pair).items():
                    if found[1] is not None and minute in self.open_minutes:
                        self._count(found[0].leg, found[1], minute, packets, length)

    def claim_unsignalled(self) -> None:
        """Count RTCP that came before the streams of its sockets ran both ways."""
        for pair in tuple(self._early) if len(self.unsignalled) else ():
            if self.unsignalled.find(pair[0], pair[1]) is not None:
                self._claim_early([pair[0]])

    def harvest(self, minute_ns: int, streams: list[StreamMinute]) -> None:
        """Give out what every stream and leg did in a minute; `streams`: what the loop counted of it."""
        self.claim_unsignalled()
        if len(self.streams.unexplained):  # the host could not follow: nobody knows how much they sent
            until_ns = minute_ns + MINUTE_NS
            self._out.append(Unseen(minute_ns, until_ns, Sight.MEDIA, Cause.SHED, None))
        reports = taken_reports(self._reporting, minute_ns)
        for pair, minutes in tuple(self._early.items()):
            minutes.pop(minute_ns, None)
            if not minutes:
                self._forget_early(pair)
        self._out.append(MediaHeard(self.streams.harvest(minute_ns, streams), reports))
        self._sender_reports.forget(minute_ns - DEPARTED_NS)
        self._reference_times.forget(minute_ns - DEPARTED_NS)
