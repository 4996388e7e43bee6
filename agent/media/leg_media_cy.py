# cython: language_level=3
"""Media of the legs: claims sockets and attaches streams. `rtcp_cy` reads RTCP."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import Any

import cython

from agent.errors import Reason, WireError
from agent.media.rtcp_cy import LegRtcp
from agent.media.rtp.loop_cy import Loop
from agent.media.rtp.workers import RtpWorkers
from agent.media.sockets_cy import MediaSockets
from agent.media.streams_cy import Observer, QualityRules, Streams
from agent.media.unsignalled import Unsignalled
from agent.model.call_cy import Call, Leg, Passage, Stream
from agent.model.events import Event, FarEndFlag, MediaHeard, Unseen
from agent.model.handover import Handover
from agent.model.sides import Sides, Socket
from agent.model.stream_minute_cy import ReportsMinute, SoFar, StreamMinute
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.wire import sdp
from agent.wire.rtp.payload_types import FIRST_DYNAMIC, USUAL_MEANINGS, redefines_static
from agent.wire.sdp.session_cy import MediaDescription, Session
from agent.wire.sip.quality_report import QualityReport, RtpStat

STATIC_REDEFINED, SSRC_FLOOD = "static_type_redefined", "ssrc_flood"
_USUAL = USUAL_MEANINGS


class LegMedia:
    """The streams and RTCP on the media sockets.

    It adds events to `out`; `open_minutes` are not closed yet.
    """

    def __init__(
        self,
        loop: Loop | RtpWorkers,
        sides: Sides,
        out: list[Event],
        *,
        quality: QualityRules,
        observer: Observer = "vc",
        count_unsignalled: bool = True,
        max_strays: int = 0,
    ) -> None:
        """`max_strays`: the greatest number of streams without a leg; 0: no bound."""
        self.sockets = MediaSockets(sides, loop.named)
        self.unsignalled = Unsignalled(sides, count=count_unsignalled)
        self.streams = Streams(loop, self.sockets, quality, observer, self.unsignalled, max_strays)
        self.streams.crowded = self._crowded
        self.streams.flooded = self._flooded
        self._evicted = self._refused = 0  # streams that were reported
        self.rejects: Counter[Reason] = Counter()
        self.missed_ns = 0  # when the capture last missed frames
        self.open_minutes: list[int] = []
        self._loop = loop
        self._out = out
        self._rtcp = LegRtcp(loop, self.sockets, self.unsignalled, self.streams, out, self.rejects, observer)
        self._other: dict[Leg, dict[Passage, list[MediaDescription]]] = {}  # m-lines that are not RTP

    # -- SDP

    def describe(self, leg: Leg, session: Session, passage: Passage) -> None:
        """Takes an SDP passed on `leg`."""
        now_ns = leg.last_ns
        sockets = self.sockets.describe(leg, session, passage)
        self._replaced(leg, session, passage)
        media: MediaDescription
        sections = []
        redefined: cython.bint = False
        for media in session.media:
            said = (media.kind, media.address, media.port, media.direction, media.payload_types, media.is_rtp)
            sections.append(said)
            for number, meaning in media.rtpmap.items():
                if number < FIRST_DYNAMIC and _USUAL.get(number) is not meaning:
                    name, rate, _ = meaning
                    redefined = redefined or redefines_static(number, name, rate)
        if redefined:
            self._out.append(FarEndFlag(now_ns, leg, STATIC_REDEFINED))
        before = leg.described.get(passage)
        leg.described[passage] = sections
        if before != sections:
            leg.described_ns = now_ns
            if before is not None:
                self.streams.renegotiated(leg.call.legs, now_ns)
        self._emit(self.streams.claimed(sockets, self.open_minutes))
        if self.streams.taken_over:
            self._take_over()
        self.streams.described(leg)
        self._rtcp.claim_early(sockets, self.open_minutes)

    def _replaced(self, leg: Leg, session: Session, passage: Passage) -> None:
        """Withdraws a socket that both ends say carries T.38 (RFC 3362): no RTP comes there any more.

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
                        self.sockets.withdraw(leg, media, leg.last_ns)

    def _crowded(self, leg: Leg, streams: list[Stream]) -> None:
        """A leg gives up some of its many streams."""
        for stream in streams:
            self._emit(self.streams.close_counts(stream, self.open_minutes))

    def _flooded(self, leg: Leg) -> None:
        """Somebody sends many invented streams from the far end's own socket."""
        self._out.append(FarEndFlag(self._loop.newest_ns, leg, SSRC_FLOOD))

    def _take_over(self) -> None:
        """Gives the RTCP of streams without signalling to their new leg, for the open minutes."""
        for before, leg in self.streams.taken_over:
            self._rtcp.hand_on(before, leg)
        self.streams.taken_over.clear()

    def give(self, handover: Handover) -> None:
        """The far end's view of each stream, early RTCP; live: reports under way, orphans."""
        streams = [stream for stream in self.streams if stream.measured_here is False]
        handover.away = [(stream.id, stream.first, stream.away) for stream in streams]
        self._rtcp.claim_unsignalled(self.open_minutes)  # where the clock is set the rest is lost
        handover.unsignalled = self.unsignalled.rows()
        self._rtcp.give(handover)
        live = handover.live
        if live is not None:
            live.orphans = [stream for stream in self.streams if stream.measured_here is None]

    def take(self, handover: Handover, loop: Loop | RtpWorkers) -> None:
        """Goes on with the streams of `loop` and the calls of `handover`, which their table has already."""
        self._loop, self._refused = loop, int(loop.refused)
        named: Any = loop.named
        peers = named.peers()
        self.sockets.tell(named)
        self.streams.go_on_with(loop)
        self.streams.evidence.end_close(handover.minute_ns or 0)  # no pauses are known of what is closed
        self._describe_earlier(handover)
        legs = [leg for call, _ in handover.calls for leg in call.legs]
        legs.sort(key=attrgetter("described_ns"))  # of two that named a socket, the last one has it
        for leg in legs:
            self._describe_again(leg)
        named.recall(peers)
        for ours, far, kind, call in handover.unsignalled:
            self.unsignalled.restore(ours, far, kind, call)
        live = handover.live
        self.streams.take(live.orphans if live is not None and not handover.shift_ns else ())
        for stream_id, first, away in handover.away:
            stream = self.streams.get(self._loop.renumber(stream_id))
            if stream is not None:
                stream.first, stream.away = first, away
                if away.minutes:
                    self.streams.reported(stream)
        self.unsignalled.prune()
        self._rtcp.take_over(handover, loop)

    def _describe_earlier(self, handover: Handover) -> None:
        """Lets earlier SDPs claim their sockets again, before the last ones of any leg do."""
        for call, (*_, earlier) in handover.calls:
            for place, passage, text, until_ns in earlier:
                leg, session = call.legs[place], sdp.parse(text)
                self.sockets.restore(leg, session, passage, until_ns)

    def _describe_again(self, leg: Leg) -> None:
        """Lets the last SDP of `leg` claim its sockets again."""
        for passage, (_, _, read) in leg.sdp.items():
            try:
                session = sdp.parse(read) if isinstance(read, bytes) else read
            except WireError:
                continue
            self.sockets.describe(leg, session, passage)
            self._replaced(leg, session, passage)

    def release(self, leg: Leg) -> None:
        """The leg is over and its last reports have come."""
        self.streams.judge(leg)
        self._rtcp.judge(leg)
        self._emit(self.streams.released(leg, self.open_minutes), self._rtcp.released(leg, self.open_minutes))
        self.sockets.release(leg)
        self._other.pop(leg, None)

    def _emit(self, streams: list[StreamMinute], reports: list[ReportsMinute] | None = None) -> None:
        """Gives out the closed counts of streams, and of RTCP, before they leave their leg."""
        if streams or reports:
            self._out.append(MediaHeard(streams, reports or []))

    def last_rtp_ns(self, call: Call) -> cython.longlong:
        """The time of the last RTP of `call`, 0 if none came."""
        leg: Leg
        newest_ns: cython.longlong = 0
        for leg in call.legs:
            newest_ns = max(newest_ns, self.leg_last_rtp_ns(leg))
        return newest_ns

    def leg_last_rtp_ns(self, leg: Leg) -> cython.longlong:
        """When RTP of `leg` was last seen, 0 if never."""
        stream: Stream
        last_ns: cython.longlong
        newest_ns: cython.longlong = 0
        self.streams.weed(leg.streams)  # a stranger's stream does not keep a call alive
        for stream in leg.streams:
            last_ns = self._loop.last_ns(stream.id)
            newest_ns = max(newest_ns, last_ns)
        return newest_ns

    # -- RTCP and what else the far end tells

    def rtcp(self, src: Socket, dst: Socket, payload: bytes, length: int, stamp_ns: int) -> None:
        """An RTCP packet of `length` bytes on the wire, of which `payload` was captured."""
        self._rtcp.take(src, dst, payload, length, stamp_ns, self.missed_ns)

    def quality_report(self, leg: Leg, report: QualityReport, now_ns: int) -> None:
        """A PUBLISH or NOTIFY about the call of `leg` (RFC 6035): its sender's own reception."""
        self._rtcp.quality_report(leg, report, now_ns)

    def statistics(self, leg: Leg, stat: RtpStat, now_ns: int) -> None:
        """The RTP statistics header of a BYE, or of its 200, that the far end of `leg` sent."""
        self._rtcp.statistics(leg, stat, now_ns)

    def so_far(self) -> SoFar:
        """The counts of streams and legs in the open minutes, by leg. Nothing is taken."""
        totals: SoFar = {}
        self.streams.so_far(totals)
        self._rtcp.so_far(totals)
        return totals

    def harvest(self, minute_ns: int, streams: list[StreamMinute]) -> None:
        """Gives out the minute of every stream and leg; `streams`: the loop's counts."""
        if len(self.streams.orphans):  # the host could not follow: their packets are unknown
            until_ns = minute_ns + MINUTE_NS
            self._out.append(Unseen(minute_ns, until_ns, Sight.MEDIA, Cause.SHED, None))
        self._report_full_table(minute_ns)
        self._rtcp.claim_unsignalled(self.open_minutes)
        stream_minutes = self.streams.harvest(minute_ns, streams)
        self._out.append(MediaHeard(stream_minutes, self._rtcp.harvest(minute_ns)))

    def _report_full_table(self, minute_ns: int) -> None:
        """Reports packets that found no row as missing. Evicted orphans count nowhere anyway."""
        until_ns = minute_ns + MINUTE_NS
        refused, evicted = int(self._loop.refused) - self._refused, int(self.streams.evicted) - self._evicted
        if refused > 0:
            self._out.append(Unseen(minute_ns, until_ns, Sight.MEDIA, Cause.REFUSED, refused))
        if evicted > 0:
            detail = f"{evicted} streams that no SDP names"
            self._out.append(Unseen(minute_ns, until_ns, Sight.MEDIA, Cause.EVICTED, 0, detail=detail))
        self._refused += refused
        self._evicted += evicted
