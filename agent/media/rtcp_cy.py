# cython: language_level=3
"""RTCP of the legs: counted, read, and tested before it is believed (media/plausible.py).

RTCP of the far end has figures that only it knows: loss and jitter of packets that left the vc, and the round
trip. It is found by packet type, on any port (RFC 5761), and belongs to the leg whose socket it uses.
Possible SRTCP (RFC 3711) is counted and never read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from agent.errors import Reason, WireError
from agent.media.evidence import is_accepted
from agent.media.far_end_loss import charge, place, take_block
from agent.media.plausible import MAX_RTT_NS, ClaimVerdict, is_deaf
from agent.media.round_trip import NO_TRIP, RoundTrips
from agent.media.rtp.loop_cy import Loop
from agent.media.rtp.workers import RtpWorkers
from agent.media.sockets_cy import MediaSockets, SocketOwner
from agent.media.strangers import RtcpOfStrangers, Waiting
from agent.media.streams_cy import Observer, Streams
from agent.media.unsignalled import Unsignalled
from agent.model import endpoint_view
from agent.model.call_cy import Leg, Stream
from agent.model.events import Event, FarEnd, FarEndFlag, RoundTrip, Tallied
from agent.model.far_end_cy import MAX_JITTER_S, Hearing
from agent.model.handover import Handover
from agent.model.shared_table import SharedTable
from agent.model.sides import Socket
from agent.model.stream_minute_cy import (
    Reporting,
    ReportsMinute,
    SoFar,
    add_reports,
    taken_reports,
)
from agent.model.trust import Effect, takes
from agent.model.units import MINUTE_NS
from agent.wire.rtp import rtcp, rtcp_xr
from agent.wire.rtp.rtcp import ReportBlock
from agent.wire.sip.quality_report import QualityReport, RtpStat

# Socket pairs whose RTCP came before any SDP. A flood pushes out the oldest, last those with RTCP both ways.
MAX_EARLY = 10_000
DEPARTED_NS = 2 * MINUTE_NS  # a sender report that nobody has answered by then meets no block any more
OPEN_NUMBERS = 64  # the loop answers for so many of a stream's newest numbers
Pair = tuple[Socket, Socket]
IMPLAUSIBLE, DEAF = "rtcp_implausible", "far_end_deaf"
INTRUDER_RTCP = "intruder_rtcp_packets"  # an extra count: RTCP of strangers on the sockets of a leg


class LegRtcp:
    """RTCP on the media sockets, and the far end's figures in SIP. It adds events to `out`."""

    def __init__(
        self,
        loop: Loop | RtpWorkers,
        sockets: MediaSockets,
        unsignalled: Unsignalled,
        streams: Streams,
        out: list[Event],
        rejects: Counter[Reason],
        observer: Observer,
    ) -> None:
        self._loop = loop
        self._sockets = sockets
        self._unsignalled = unsignalled
        self._streams = streams
        self._out = out
        self._rejects = rejects
        self._observer = observer
        self._sender_reports = RoundTrips()
        self._reference_times = RoundTrips()
        self._reporting: dict[Leg, None] = {}  # in order, for thousands are walked at a minute's close
        self._unheard: dict[Leg, Hearing] = {}  # legs whose far end reports on no stream of ours
        self._early: SharedTable[Pair, dict[int, list[int]]] = SharedTable(MAX_EARLY)
        self._early_at: dict[Socket, set[Pair]] = {}
        self._strangers = RtcpOfStrangers()

    def give(self, handover: Handover) -> None:
        """RTCP that came before its SDP, or waits for its source; live: reports under way too."""
        handover.early = [(pair, self._early.get(pair) or {}) for pair in self._early]
        handover.waiting = self._strangers.rows()
        legs = (leg for call, _ in handover.calls for leg in call.legs)
        unanswered = {(leg.call_id, leg.way) for leg in legs if not is_accepted(leg)}
        handover.reported = [
            (pair, last_ns)
            for pair, last_ns in (self._sender_reports.departed() if unanswered else ())
            if isinstance(pair, tuple) and pair[:2] in unanswered
        ]
        live = handover.live
        if live is not None:
            live.reports = self._sender_reports, self._reference_times
            live.early = self._early, self._early_at

    def take_over(self, handover: Handover, loop: Loop | RtpWorkers) -> None:
        """Goes on with the streams of `loop` and the calls of `handover`."""
        self._loop = loop
        for call in (*(call for call, _ in handover.calls), *(call for *_, call in handover.unsignalled)):
            for leg in call.legs:
                if leg.reports:  # over or not: RTCP that was counted waits for its minute's close
                    self._reporting[leg] = None
        self._strangers.restore(handover.waiting)
        self._sender_reports.recall(handover.reported)
        live = handover.live
        for (src, dst), minutes in handover.early if live is None and not handover.shift_ns else ():
            for minute, (packets, length) in minutes.items():
                self._keep_early(src, dst, minute, packets, length)
        if live is not None:
            self._sender_reports, self._reference_times = live.reports
            self._sender_reports.shift(handover.shift_ns)
            self._reference_times.shift(handover.shift_ns)
            if not handover.shift_ns:
                self._early, self._early_at = live.early

    def judge(self, leg: Leg) -> None:
        """The media of the leg is over, and its streams are judged: so is the RTCP of their sources."""
        self._belongs(self._strangers.take(leg))

    def released(self, leg: Leg, minutes: list[int]) -> list[ReportsMinute]:
        """The leg is over and its last reports have come. Takes its RTCP counts of the open `minutes`.

        Nothing keeps them behind here: neither a checkpoint nor a reload knows the leg any more.
        """
        self._unheard.pop(leg, None)
        own: Reporting = {leg: None}
        taken = [counts for minute_ns in minutes for counts in taken_reports(own, minute_ns)]
        if leg not in own:
            self._reporting.pop(leg, None)
        return taken

    def so_far(self, totals: SoFar) -> None:
        """Adds every leg's RTCP counts of the open minutes. Nothing is taken."""
        for leg in self._reporting:
            for counts in leg.reports.values():
                add_reports(totals, leg, counts)

    def harvest(self, minute_ns: int) -> list[ReportsMinute]:
        """Takes every leg's RTCP counts up to that minute, whose streams are judged."""
        self._belongs(self._strangers.take_minute(minute_ns))
        reports = taken_reports(self._reporting, minute_ns)
        for pair in tuple(self._early):
            minutes = self._early.get(pair)
            assert minutes is not None
            minutes.pop(minute_ns, None)
            if not minutes:
                self._forget_early(pair)
        self._sender_reports.forget(minute_ns - DEPARTED_NS)
        self._reference_times.forget(minute_ns - DEPARTED_NS)
        return reports

    # -- packets

    def take(
        self, src: Socket, dst: Socket, payload: bytes, length: int, stamp_ns: int, missed_ns: int
    ) -> None:
        """An RTCP packet of `length` bytes on the wire, of which `payload` was captured.

        `missed_ns`: when the capture last missed frames.
        """
        found = self._owner(src, dst)
        leg: Leg | None = None
        measured_here: bool | None = None
        if found is None:
            self._keep_early(src, dst, stamp_ns // MINUTE_NS * MINUTE_NS, 1, length)
        else:
            claim, to_vc = found
            leg = claim.leg
            if to_vc is not None:
                measured_here = to_vc == (self._observer == "vc")
                if measured_here and not self._believes(claim, src, dst):
                    minute_ns = stamp_ns // MINUTE_NS * MINUTE_NS
                    if not is_accepted(leg):
                        self._keep_early(src, dst, minute_ns, 1, length)
                    elif not self._strangers.keep(leg, claim.rtp, src[0], minute_ns, length):
                        self._out.append(Tallied(stamp_ns, leg, None, INTRUDER_RTCP))
                    return
                self._count(leg, to_vc, stamp_ns // MINUTE_NS * MINUTE_NS, 1, length)
            if claim.encrypted:
                self._rejects[Reason.RTCP_ENCRYPTED] += 1
                return
        try:
            compound = rtcp.parse(payload, wire_length=length)
        except WireError as error:
            self._rejects[error.reason] += 1
            return
        if compound.rejects:
            self._rejects.update(compound.rejects)
            if found is not None and any(media.crypto for media in found[0].media):
                return  # RTP/AVP that offers keys, and a packet that does not add up: ciphertext
        for report in compound.reports:
            if measured_here is not True and isinstance(report, rtcp.SenderReport):
                self._sender_reports.sent(_pair(leg, src, dst), report.ssrc, report.middle32, stamp_ns)
            if measured_here is not False:
                about_ours = False
                for block in report.blocks:
                    about_ours |= self._block(leg, src, dst, report.ssrc, block, stamp_ns, missed_ns)
                if leg is not None and measured_here:
                    self._listen(leg, report, about_ours, stamp_ns)
        for extended in compound.rtcp_xr:
            self._extended(leg, measured_here, src, dst, extended, stamp_ns)

    def _block(
        self,
        leg: Leg | None,
        src: Socket,
        dst: Socket,
        reporter: int,
        block: ReportBlock,
        stamp_ns: int,
        missed_ns: int,
    ) -> bool:
        """Takes a block about the stream from `dst` as `src` received it.

        True where it is about a stream of ours.
        """
        if leg is not None and leg.side is not None and block.lsr:
            self._answer(
                self._sender_reports, leg, src, dst, block.ssrc, block.lsr, block.dlsr, stamp_ns, reporter
            )
        stream = self._stream_about(src, dst, block.ssrc)
        if stream is None or stream.measured_here:
            return False
        owner = stream.leg
        if stream.dst[0] != src[0] and not (owner is not None and self._sockets.names_host(owner, src[0])):
            return False  # it did not go there
        away = stream.away
        top, epoch, expected, _, _ = self._loop.newest(stream.id)
        back = (top - block.highest) & 0xFFFF
        counted = self._loop.counted(stream.id, block.highest & 0xFFFF)
        if counted is None and OPEN_NUMBERS < back < 0x8000:
            edge = self._loop.counted(stream.id, (top - OPEN_NUMBERS) & 0xFFFF)
            counted = place(away, expected, back, edge)
        if away.hearing is None:
            away.hearing = Hearing()
        if is_deaf(away.hearing, stamp_ns, (reporter, block.highest), (epoch << 48) + expected):
            self._flag(owner, DEAF, stamp_ns)
        since_ns = stream.first_ns if away.base is None else away.base.stamp_ns
        rate = self._loop.clock_rate(stream.id)
        has_jitter = not rate or block.jitter <= MAX_JITTER_S * rate
        span = take_block(
            away,
            stamp_ns,
            reporter,
            block,
            counted,
            first=stream.first and owner is not None and owner.whole and missed_ns < owner.invite_ns,
            missed_ns=missed_ns,
            is_ours=back < 0x8000 and back < expected,
            has_jitter=has_jitter,
        )
        self._streams.reported(stream)
        if away.counts_intervals or away.refused or not has_jitter:
            self._flag(owner, IMPLAUSIBLE, stamp_ns)
        if span is not None:
            lost = span.lost
            if owner is not None:  # what came out below 0 is made up for within the call
                owner.carried += lost
                lost = max(0, owner.carried)
                owner.carried -= lost
            charge(away, stamp_ns, max(0, lost), span.expected, since_ns)
        return True

    def _stream_about(self, src: Socket, dst: Socket, ssrc: int) -> Stream | None:
        """The stream with `ssrc` from the end at `dst` that RTCP from `src` is about."""
        leaving = self._streams.leaving
        rtp = self._sockets.serving(dst)
        return (
            (leaving(rtp, ssrc, src) if rtp is not None else None)
            or leaving(dst, ssrc, src)  # RFC 5761: one port
            or leaving((dst[0], dst[1] - 1), ssrc, src)  # RFC 3550 11: the next higher odd one
        )

    def _listen(
        self, leg: Leg, report: rtcp.SenderReport | rtcp.ReceiverReport, about_ours: bool, stamp_ns: int
    ) -> None:
        """Judges reports about no stream of ours: an empty receiver report says that nothing came.

        An empty sender report says nothing, because some stacks never make blocks.
        """
        if about_ours:
            self._unheard.pop(leg, None)
            return
        if not report.blocks and isinstance(report, rtcp.SenderReport):
            return
        left = 0
        for stream in leg.streams:
            if stream.measured_here is False:
                left += self._loop.newest(stream.id)[2]
        if not left:
            return
        hearing = self._unheard.get(leg)
        if hearing is None:
            hearing = self._unheard[leg] = Hearing()
        said = (report.ssrc, *[block.highest for block in report.blocks])
        if is_deaf(hearing, stamp_ns, said, left):
            self._flag(leg, DEAF, stamp_ns)

    # -- round trips

    def _answer(
        self,
        sent: RoundTrips,
        leg: Leg,
        src: Socket,
        dst: Socket,
        ssrc: int,
        lsr: int,
        dlsr: int,
        stamp_ns: int,
        reporter: int,
    ) -> None:
        """Takes a block from `src` as an answer to a report that left for it.

        Before its SDP, sent reports are kept by sockets.
        """
        trip = sent.met(_pair(leg, dst, src), ssrc, lsr, dlsr, stamp_ns, reporter)
        if trip == NO_TRIP:
            trip = sent.met(_pair(None, dst, src), ssrc, lsr, dlsr, stamp_ns, reporter)
        if trip.rtt_us is not None:
            self._round_trip(leg, trip.rtt_us, "rtcp" if sent is self._sender_reports else "xr", stamp_ns)
        elif trip.verdict is not ClaimVerdict.NONE:
            voids = trip.verdict is ClaimVerdict.VOID
            if voids and leg.side is not None:
                leg.call.rtt_us.pop(leg.side, None)
            self._flag(leg, IMPLAUSIBLE, stamp_ns, voids)

    def _round_trip(self, leg: Leg, rtt_us: float, source: str, stamp_ns: int) -> None:
        if leg.side is not None:
            if source == "rtcp" or leg.side not in leg.call.rtt_us:
                leg.call.rtt_us[leg.side] = rtt_us
            self._out.append(RoundTrip(stamp_ns, leg, rtt_us, source))

    def _flag(self, leg: Leg | None, flag: str, stamp_ns: int, voids_rtt: bool = False) -> None:
        if leg is not None:
            self._out.append(FarEndFlag(stamp_ns, leg, flag, voids_rtt))

    def _extended(
        self,
        leg: Leg | None,
        measured_here: bool | None,
        src: Socket,
        dst: Socket,
        report: rtcp_xr.ExtendedReport,
        stamp_ns: int,
    ) -> None:
        """RFC 3611: keeps blocks that leave the vc for their answer; reads answers and the far end's view."""
        for block in report.blocks:
            if isinstance(block, rtcp_xr.ReceiverReference):
                if measured_here is not True:
                    self._reference_times.sent(_pair(leg, src, dst), report.ssrc, block.middle32, stamp_ns)
            elif leg is None or not measured_here:
                continue
            elif isinstance(block, rtcp_xr.Delay):
                # Paired here, at the capture point, it is this side's round trip, whichever end asked.
                self._answer(
                    self._reference_times,
                    leg,
                    src,
                    dst,
                    block.ssrc,
                    block.lrr,
                    block.dlrr,
                    stamp_ns,
                    report.ssrc,
                )
            elif isinstance(block, rtcp_xr.VoipMetrics):
                self._take_view(leg, endpoint_view.of_voip_metrics(block), block.ssrc, stamp_ns)

    # -- the far end's view

    def quality_report(self, leg: Leg, report: QualityReport, now_ns: int) -> None:
        """A PUBLISH or NOTIFY about the call of `leg` (RFC 6035): its sender's own reception."""
        if report.local is not None:
            ssrc = report.remote_addr.ssrc if report.remote_addr else None
            self._take_view(leg, endpoint_view.of_metrics(report.local), ssrc, now_ns)

    def statistics(self, leg: Leg, stat: RtpStat, now_ns: int) -> None:
        """The RTP statistics header of a BYE, or of its 200, that the far end of `leg` sent."""
        self._take_view(leg, endpoint_view.of_rtp_stat(stat), None, now_ns)

    def _take_view(self, leg: Leg, view: endpoint_view.EndpointView, ssrc: int | None, now_ns: int) -> None:
        """Takes an endpoint's own round trip.

        It is this side's where the SBC makes the stream itself (`ssrc`).
        """
        first_ns = leg.media_totals.first_ns.get(False, leg.invite_ns)
        if view.drop_beyond(MAX_RTT_NS / 1e6, (now_ns - first_ns) / 1e6):
            self._flag(leg, IMPLAUSIBLE, now_ns)
        self._out.append(FarEnd(now_ns, leg, view))
        if view.round_trip_ms:
            rtt_us = view.round_trip_ms * 1000.0
            if self._streams.relayed(leg, ssrc):
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

    def _belongs(self, waiting: list[Waiting]) -> None:
        """Counts RTCP of sources whose RTP is the leg's now (0121, 0142), and the others' as intruders'."""
        for leg, ours, host, minute_ns, packets, size in waiting:
            if self._streams.evidence.has_rtp_from(leg, ours, host):
                self._count(leg, True, minute_ns, packets, size)
            else:
                self._out.append(Tallied(minute_ns, leg, None, INTRUDER_RTCP, packets))

    def _keep_early(self, src: Socket, dst: Socket, minute: int, packets: int, length: int) -> None:
        """Keeps RTCP that came before its SDP: it counts once its socket is claimed."""
        pair = src, dst
        minutes = self._early.get(pair)
        if minutes is None:
            minutes = {}
            self._early.add(pair, minutes, is_peer=False)
            for socket in pair:
                self._early_at.setdefault(socket, set()).add(pair)
            if self._early.get((dst, src)) is not None:
                self._early.promote(pair)
                self._early.promote((dst, src))
            while (oldest := self._early.crowded()) is not None:
                self._forget_early(oldest)
        counts = minutes.setdefault(minute, [0, 0])
        counts[0] += packets
        counts[1] += length

    def _forget_early(self, pair: Pair) -> dict[int, list[int]]:
        for socket in pair:
            pairs = self._early_at.get(socket)
            if pairs is not None:
                pairs.discard(pair)
                if not pairs:
                    del self._early_at[socket]
        return self._early.pop(pair) or {}

    def claim_early(self, sockets: list[Socket], open_minutes: list[int]) -> None:
        """An SDP named `sockets`: counts the RTCP that came there before, in the open minutes."""
        if not self._early_at:
            return
        for socket in sockets:
            for pair in tuple(self._early_at.get(socket, ())):
                found = self._owner(pair[0], pair[1])
                if found is None:
                    continue
                arrives = found[1] is not None and found[1] == (self._observer == "vc")
                if arrives and not self._believes(found[0], pair[0], pair[1]):
                    continue
                for minute, (packets, length) in self._forget_early(pair).items():
                    if found[1] is not None and minute in open_minutes:
                        self._count(found[0].leg, found[1], minute, packets, length)

    def claim_unsignalled(self, open_minutes: list[int]) -> None:
        """Counts RTCP that came before the streams of its sockets ran both ways."""
        for pair in tuple(self._early) if len(self._unsignalled) else ():
            if self._unsignalled.find(pair[0], pair[1]) is not None:
                self.claim_early([pair[0]], open_minutes)

    def hand_on(self, before: Leg, leg: Leg) -> None:
        """Gives the open minutes' counts of `before` to `leg`, whose SDP explains its streams now."""
        for minute, (packets, size, packets_away, size_away) in before.reports.items():
            self._count(leg, True, minute, packets, size)
            self._count(leg, False, minute, packets_away, size_away)
        before.reports.clear()
        self._reporting.pop(before, None)

    def _believes(self, claim: SocketOwner, src: Socket, dst: Socket) -> bool:
        """Whether RTCP that arrives comes from the far end of its leg."""
        trust = self._streams.evidence.rtcp(claim, src)
        return takes(Effect.RTCP, trust) or self._sender_reports.knows(_pair(claim.leg, dst, src))

    def _owner(self, src: Socket, dst: Socket) -> tuple[SocketOwner, bool | None] | None:
        """The owner of the RTCP from `src` to `dst`, and whether it goes to the vc."""
        return self._sockets.find(src, dst) or self._unsignalled.find(src, dst)


def _pair(leg: Leg | None, local: Socket, peer: Socket) -> Hashable:
    """The name of our end and a peer: the leg, for any of its ports.

    Before the leg is known it is the socket, RTP's even port or RTCP's odd one (RFC 3550 11).
    """
    if leg is not None:
        return leg.call_id, leg.way, peer[0]
    return local[0], local[1] & ~1, peer[0]
