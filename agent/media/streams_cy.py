# cython: language_level=3
"""Streams: joins the loop's counts to the leg whose sockets they use.

A *stream* is one SSRC in one direction between two sockets (RFC 3550 3). The loop owns sequence numbers,
jitter and the minute's counters; this module knows the owner of a stream and the meaning of its payload
types. A stream that no SDP explains yet waits, and is attached when its SDP comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import cython

from agent.media.evidence import ALONE, PASSING_PACKETS, PASSING_STREAMS, UNKNOWN, SourceEvidence
from agent.media.orphans import Orphans
from agent.media.rtp.loop_cy import Loop
from agent.media.rtp.workers import RtpWorkers
from agent.media.sockets_cy import Description, MediaSockets, SocketOwner
from agent.media.stream_index_cy import IdQueue, StreamIndex
from agent.media.stream_score_cy import Measure, QualityRules
from agent.media.unsignalled import Unsignalled
from agent.model.call_cy import Leg, Stream
from agent.model.names import UNSIGNALLED
from agent.model.sides import Socket
from agent.model.stream_minute_cy import SoFar, StreamMinute, add_to
from agent.model.units import MINUTE_NS
from agent.wire.rtp.payload_types import (
    KIND_AUDIO,
    KIND_VIDEO,
    LEGAL_CLOCKS,
    NAMED_KINDS,
    STATIC_ROWS,
    redefines_static,
)
from agent.wire.sdp.session_cy import MediaDescription

if not cython.compiled:  # streams_cy.pxd has it, typed
    from agent.media.rtp.loss_cy import SILENCE_NS

__all__ = ["Observer", "QualityRules", "Stream", "Streams", "payload_rows"]

Observer = Literal["vc", "customer"]
Known = bool | None  # None: it is not
Rows = dict[int, tuple[int, int]]  # payload type: clock rate (Hz), kind
Said = tuple[str, tuple[tuple[tuple[int, tuple[str, int, int]], ...], ...]]  # kind, each m-line's rtpmap

PAUSE_NS = 500_000_000  # a stream silent for so long when its media is renegotiated may begin anywhere
LEG_STREAMS = 256  # streams of a leg; of more, half are given up: the unnamed first, the idlest before all
SOCKET_STREAMS = 256  # streams of a socket that are looked at when an SDP names it
MAX_SENT = 1024  # SSRCs remembered a leg: a sender that changes it with every packet stays unknown from there
_MAX_CODECS = 1024  # different lists of codecs kept to be shared; the wire makes them


def payload_rows(medias: Iterable[MediaDescription]) -> tuple[Rows, dict[int, str]]:
    """Clock rates and kinds by payload type, and encoding names; the first SDP that names a type wins."""
    rows: Rows = dict(STATIC_ROWS)
    names: dict[int, str] = {}
    for media in medias:
        for number, (name, rate, _) in media.rtpmap.items():
            if redefines_static(number, name, rate):
                continue
            rate = LEGAL_CLOCKS.get(name.upper(), rate)
            if number in names or rate <= 0:
                continue
            kind = NAMED_KINDS.get(name.lower(), KIND_AUDIO if media.kind == "audio" else KIND_VIDEO)
            rows[number] = (rate, kind)
            names[number] = name
    return rows, names


class Streams:
    """Every living stream. Their number is bounded by the loop."""

    def __init__(
        self,
        loop: Loop | RtpWorkers,
        sockets: MediaSockets,
        quality: QualityRules,
        observer: Observer = "vc",
        unsignalled: Unsignalled | None = None,
        share: int = 0,
    ) -> None:
        """`observer`: the side that captures. At the customer's, packets towards the vc leave here.

        `unsignalled`: takes streams that no SDP explains. `share`: the greatest number of streams without an
        owner; beyond it the oldest makes room; 0: no bound.
        """
        self._observer = observer
        self._loop = loop
        self._sockets = sockets
        self._measure = Measure(quality)
        self._found = StreamIndex()
        self.evidence = SourceEvidence(sockets, self._found, self._times, self._paused)
        self._strangers: dict[Stream, None] = {}  # that began beside a source with evidence
        self._news: set[Socket] = set()  # sockets about whose sources more is known since the last harvest
        self._codecs: dict[Said, tuple[dict[int, str], int]] = {}
        self._reported: set[Stream] = set()  # the far end spoke of them in a minute that is still open
        self._map_sweeps = 0
        self.shedding = False  # the host cannot follow: what no SDP explains is left alone
        self.orphans = Orphans()
        self.surplus = Orphans()  # beyond `SOCKET_STREAMS` of a socket, or `LEG_STREAMS` of a leg
        self.evicted = 0  # streams of nobody that made room
        self.crowded: Callable[[Leg, list[Stream]], None] = _keep  # told of streams that a leg gives up
        self.flooded: Callable[[Leg], None] = _ignore  # told of legs with many passing streams
        self._share = share
        self._strays = IdQueue()  # streams that belong to nobody, the oldest first
        self.unsignalled = unsignalled
        self.taken_over: list[tuple[Leg, Leg]] = []  # (leg without signalling, the one that an SDP gave)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._found)

    def get(self, stream_id: cython.longlong) -> Stream | None:
        return self._found.get(stream_id)

    def accepted(self, stream_id: cython.longlong, clean: Known = None) -> Stream | None:
        """The loop accepted a stream: attaches it, and gives the loop its clock rates. None: left to the
        loop.

        `clean`: its second packet followed its first; None: the second is not counted yet.
        """
        src_host, src_port, dst_host, dst_port, ssrc = self._loop.key(stream_id)
        src, dst = (src_host, src_port), (dst_host, dst_port)
        first_ns = self._loop.first_ns(stream_id)
        found = self._sockets.find(src, dst) or self._sockets.find_withdrawn(src, dst, first_ns)
        if found is None and self._is_left_alone(stream_id, src, dst):
            self._stray(stream_id)
            return None
        stream = Stream(stream_id, src, dst, ssrc, first_ns)
        # A receiver without probation counts from the very first packet; we, from the first two in sequence.
        stream.clean = self._loop.last_ns(stream_id) == first_ns if clean is None else clean
        self._found.add(stream)
        self._link(stream)
        if found is not None and not self._is_of_another(stream, found[0], found[1]):
            self._admit(stream, found[0], found[1])
            if stream.trust == UNKNOWN and self._found.count(dst) > SOCKET_STREAMS:
                self._leave_alone(stream)
                return None
        elif self.unsignalled is not None:
            for each, owner, to_vc in self.unsignalled.meet(stream, self._loop.payload_type(stream_id)):
                self._admit(each, owner, to_vc)
        if stream.leg is None:
            self._stray(stream_id)
        return stream

    def _is_left_alone(self, stream_id: cython.longlong, src: Socket, dst: Socket) -> cython.bint:
        """Whether only the loop counts a stream that no SDP explains: no time for it, or too many like it."""
        if self.shedding:
            self.orphans.leave(stream_id, src, dst)
            return True
        if self._found.count(src) < SOCKET_STREAMS and self._found.count(dst) < SOCKET_STREAMS:
            return False
        self.surplus.leave(stream_id, src, dst)
        return True

    def _stray(self, stream_id: cython.longlong) -> None:
        """Notes a stream without an owner.

        Anybody can invent them, so their share of the table is bounded.
        """
        self._strays.add(stream_id)
        if self._share and len(self._strays) > self._share:
            oldest = self._strays.first()
            stream = self._forget(oldest)
            self._loop.drop(oldest)
            if stream is not None:
                self._link(stream)
            self.evicted += 1

    def _forget(self, stream_id: cython.longlong) -> Stream | None:
        """Drops everything about a stream that the loop drops. The caller links its line."""
        self._strays.discard(stream_id)
        stream = self._found.pop(stream_id)
        if stream is None:
            self.orphans.forget(stream_id)
            self.surplus.forget(stream_id)
            return None
        if self.unsignalled is not None:
            self.unsignalled.leave(stream)
        self._detach(stream)
        self._strays.discard(stream_id)
        self._strangers.pop(stream, None)
        self._reported.discard(stream)
        return stream

    def _thin(self, leg: Leg) -> None:
        """Drops half of the streams of a leg that has too many: only the loop counts them from now on."""
        stream: Stream
        passing = self._weed_passing(leg)
        if passing:
            self.crowded(leg, passing)  # their counts are an intruder's
            for stream in passing:
                self._leave_alone(stream)
        if len(leg.streams) < LEG_STREAMS:
            return
        ages = {stream: (stream.named, self._loop.last_ns(stream.id), stream.id) for stream in leg.streams}
        left = sorted(ages, key=ages.__getitem__)[: LEG_STREAMS // 2]
        self.crowded(leg, left)
        for stream in left:
            self._leave_alone(stream)

    def _leave_alone(self, stream: Stream) -> None:
        """Leaves a stream to the loop alone. One that made room meanwhile is gone already."""
        if self.get(stream.id) is not stream:
            return
        self._forget(stream.id)
        self._link(stream)
        self.surplus.leave(stream.id, stream.src, stream.dst)
        self._stray(stream.id)

    def _link(self, stream: Stream) -> None:
        """Tells the loop which streams run between the same two sockets: they may replace each other."""
        line = self._found.line(stream.src, stream.dst)
        if line:
            self._loop.link(line)

    def _is_of_another(self, stream: Stream, claim: SocketOwner, to_vc: Known) -> cython.bint:
        """Whether a stream on an old socket still belongs to its old call, which is over.

        It has not fallen silent since, and the SDP of the socket's new owner does not name its source. A
        stream that begins anew, or that is named, is the new call's (behind NAT no SDP names it).
        """
        other: Stream
        far = stream.src if to_vc else stream.dst
        if to_vc is None or self._sockets.names(claim.leg, far):
            return False
        for other in (stream, *self._found.between(stream.src, stream.dst)):
            leg = other.leg
            if not other.attached or (
                leg is not None and (leg.call is claim.leg.call or UNSIGNALLED in leg.call.flags)
            ):
                continue
            is_over = (leg is None or not leg.up) and claim.leg.invite_ns > other.first_ns
            if is_over and self._loop.newest_ns - self._loop.last_ns(other.id) < PAUSE_NS:
                return True
        return False

    def go_on_with(self, loop: Loop | RtpWorkers) -> None:
        """Takes over streams. Only before any stream."""
        self._loop = loop

    def take(self, orphans: Iterable[Stream]) -> None:
        """Takes up the streams of the loop, the `orphans` of the engine before among them.

        A stream of a call that is over, or of an intruder, was judged and stays as it is.
        """
        before = {old.id: old for old in orphans}
        for stream_id in self._loop.live_streams():
            old: Stream | None = before.get(stream_id)
            if old is not None and (old.attached or old.trust == UNKNOWN):
                self._found.add(old)
                self._link(old)
                self._stray(stream_id)
                if old.trust == UNKNOWN:
                    self._strangers[old] = None
                continue
            stream = self.accepted(stream_id)
            if old is not None and stream is not None and stream.measured_here is None:
                stream.clean, stream.far_end_loss = old.clean, old.far_end_loss

    def leaving(self, rtp: Socket, ssrc: int, peer: Socket) -> Stream | None:
        """The stream that leaves socket `rtp` with `ssrc`.

        Where there are several: the one towards `peer`, from which its RTCP comes; else to its address; else
        the newest.
        """
        streams = self._found.leaving(rtp, ssrc)
        if len(streams) < 2:
            return streams[0] if streams else None
        ports = (peer[1], peer[1] - 1)
        return max(
            streams,
            key=lambda s: (s.dst[0] == peer[0], s.dst[1] in ports, self._loop.last_ns(s.id)),
        )

    def relayed(self, leg: Leg, ssrc: int | None) -> bool:
        """Whether the SBC passes on a stream that leaves on `leg` (with `ssrc`, or any) as it comes in
        elsewhere.

        A relayed stream keeps its SSRC (RFC 3550 7.1); one that the SBC makes itself has its own.
        """
        for stream in leg.streams:
            if stream.measured_here is False and ssrc in (None, stream.ssrc):
                for other in leg.call.legs:
                    if other is not leg and any(
                        s.ssrc == stream.ssrc and s.measured_here for s in other.streams
                    ):
                        return True
        return False

    def reported(self, stream: Stream) -> None:
        """Notes that a block was about `stream`: it has a record of this minute even if it sends nothing."""
        self._reported.add(stream)

    def claimed(self, sockets: list[Socket], minutes: Sequence[int]) -> list[StreamMinute]:
        """An SDP named `sockets`: attaches their streams, and explains them anew.

        Their counts under another leg are closed.
        """
        stream: Stream
        claim: SocketOwner
        done: list[StreamMinute] = []
        waiting: list[int] = self.orphans.take(sockets) if self.orphans.sockets else []
        for socket in sockets if self.surplus.sockets else ():
            waiting += self.surplus.take((socket,), max(0, SOCKET_STREAMS - self._found.count(socket)))
        for stream_id in waiting:  # all, before the first: one that is taken up may make another stray go
            self._strays.discard(stream_id)
        for stream_id in waiting:
            self.accepted(stream_id)
        for socket in sockets:
            for stream in self._found.at(socket):
                found = self._sockets.find(stream.src, stream.dst)
                if not found or self.get(stream.id) is not stream:  # given up meanwhile
                    continue
                claim, to_vc = found
                if stream.leg is not claim.leg and self._is_of_another(stream, claim, to_vc):
                    continue
                before = self.unsignalled.leave(stream) if self.unsignalled is not None else None
                if before is not None and before is stream.leg:
                    # Its counts of the open minutes go along.
                    self.taken_over.append((before, claim.leg))
                    stream.attached = False
                elif stream.leg is not None and stream.leg is not claim.leg:
                    done += self.close_counts(stream, minutes)
                self._admit(stream, claim, to_vc)
        return done

    # -- evidence

    def _times(self, stream: Stream) -> tuple[int, int]:
        """The time of its newest packet, and the number of its packets."""
        return self._loop.last_ns(stream.id), self._loop.newest(stream.id)[3]

    def _paused(self, stream: Stream, from_ns: int, until_ns: int) -> bool:
        return self._loop.paused(stream.id, from_ns, until_ns)

    def _admit(self, stream: Stream, claim: SocketOwner, to_vc: Known) -> None:
        """Attaches a stream to the leg whose socket it uses, unless it is an intruder's."""
        arrives: cython.bint = to_vc is not None and to_vc == (self._observer == "vc")
        if arrives and self.evidence.meet(stream, claim.leg):
            self._expel(stream)
            return
        if stream.trust == ALONE and stream.dst in (claim.leg.sources or ()):
            self._strangers[stream] = None  # a stand-in, which a restart met so
        self._attach(stream, claim, to_vc)
        if to_vc is None or arrives:
            return
        # The vc answers somebody: what came from there is no intruder's.
        other: Stream
        self._news.add(stream.src)
        for other in self._found.few_at(stream.src):
            is_answered = other.dst == stream.src and other.src[0] == stream.dst[0]
            if is_answered and other.trust == UNKNOWN and other.leg is None:
                self._readmit(other)

    def _readmit(self, stream: Stream) -> None:
        """Judges an intruder's stream again: there may be new evidence."""
        found = self._sockets.find(stream.src, stream.dst)
        if found is not None:
            self._admit(stream, found[0], found[1])

    def _expel(self, stream: Stream) -> None:
        """Takes a stream from its leg. Its counts from the open minute on belong to no call."""
        self._detach(stream)
        self._strangers[stream] = None
        stream.trust = UNKNOWN
        stream.named = stream.attached = False

    def weed(self, streams: Iterable[Stream]) -> None:
        """Takes the intruders among `streams` from their legs."""
        stream: Stream
        doubtful = [stream for stream in streams if stream.trust == ALONE and stream.leg is not None]
        if doubtful:
            doubtful.sort(key=_id_of)
            for stream in self.evidence.intruders(doubtful):
                self._expel(stream)

    def _weed_passing(self, leg: Leg) -> list[Stream]:
        """Takes from `leg` what only passes beside its media; many are told as a flood."""
        stream: Stream
        passing: list[Stream] = self.evidence.passing(leg)
        for stream in passing:
            self._expel(stream)
        if len(passing) > PASSING_STREAMS:
            self.flooded(leg)
        return passing

    def before_close(self) -> None:
        """A minute is about to close: what the loop knows of its pauses goes with it."""
        self.evidence.begin_close(self._strangers)

    def _judge(self, counted: list[StreamMinute]) -> None:
        """At a minute's close: finds new intruders, and streams that were none."""
        stream_minute: StreamMinute
        stream: Stream
        doubtful: list[Stream] = []
        brief: dict[Leg, bool] = {}  # legs with streams of a few packets
        by_id = self._found.by_id
        for stream_minute in counted:
            known = by_id[stream_minute.id] if stream_minute.id < len(by_id) else None
            if known is None:
                continue
            stream = known
            if (
                stream.trust == UNKNOWN
                and stream.leg is None
                and (stream.dst in self._news or self.evidence.stands_in(stream))
            ):
                self._readmit(stream)
            if stream.trust == ALONE:
                doubtful.append(stream)
            if stream_minute.packets < PASSING_PACKETS and stream.leg is not None and stream.measured_here:
                brief[stream.leg] = True
        self.weed(doubtful)
        for leg in brief:
            if len(leg.streams) > 1:
                self._weed_passing(leg)
        self._news.clear()

    def close_counts(self, stream: Stream, minutes: Sequence[int]) -> list[StreamMinute]:
        """Closes the counts of `stream` in the open minutes, and detaches it."""
        minutes_away = stream.far_end_loss.minutes if stream.far_end_loss is not None else {}
        done = [
            self._measure.minute(stream, stream_minute, minutes_away.pop(stream_minute.stamp_ns, None))
            for stream_minute in [self._loop.harvest(stream.id, minute) for minute in minutes]
            if stream_minute.counted() or stream_minute.stamp_ns in minutes_away
        ]
        self._reported.discard(stream)
        self._detach(stream)
        return done

    def judge(self, leg: Leg) -> None:
        """The leg's media is over: finds its intruders, and who stood in for a silent source."""
        for socket in leg.sources or ():
            for stream in self._found.few_at(socket) if self._strangers else ():
                if stream in self._strangers and stream.leg is None:
                    self._readmit(stream)
        if leg.streams:
            self.weed(leg.streams)
            if len(leg.streams) > 1:
                self._weed_passing(leg)

    def released(self, leg: Leg, minutes: list[int]) -> list[StreamMinute]:
        """The leg's media is over and judged: later packets are orphans."""
        if leg.streams:
            # The last 64 numbers wait for latecomers until 2 s of silence; then they are this leg's still.
            due_ns = max([self._loop.last_ns(stream.id) for stream in leg.streams]) + SILENCE_NS
            for stream in leg.streams:
                self._loop.flush_stream(stream.id, due_ns)
        return [
            event
            for stream in sorted(leg.streams, key=_id_of)
            for event in self.close_counts(stream, minutes)
        ]

    def harvest(self, minute_ns: int, counted: list[StreamMinute]) -> list[StreamMinute]:
        """The minute of every stream, from the loop's counts in `counted`."""
        self._judge(counted)
        self.evidence.end_close(minute_ns + MINUTE_NS)
        done = self._measure.harvest(counted, self._found.by_id, self._reported, orphans=not self.shedding)
        for stream in sorted(self._reported, key=_id_of):
            # Its last report may come a minute after its last packet.
            if minute_ns in stream.away.minutes:
                stream_minute = self._loop.silent(stream.id, minute_ns)
                done.append(self._measure.minute(stream, stream_minute, stream.away.minutes.pop(minute_ns)))
            if not stream.away.minutes:
                self._reported.discard(stream)
        return done

    def so_far(self, totals: SoFar) -> None:
        """Adds every stream's counts of the open minutes to its leg. Nothing is taken."""
        stream: Stream | None
        packets: cython.longlong
        size: cython.longlong
        lost: cython.longlong
        for stream_id, packets, size, lost in self._loop.so_far():
            stream = self._found.get(stream_id)
            if stream is None or stream.leg is None or stream.to_vc is None:
                continue
            if stream.measured_here is False:  # what left is the far end's to report
                lost = 0
            add_to(totals, stream.leg, stream.to_vc, packets, size, lost)
        for stream in self._reported:
            if stream.leg is not None and stream.to_vc is not None:
                lost = sum([away.lost or 0 for away in stream.away.minutes.values()])
                add_to(totals, stream.leg, stream.to_vc, 0, 0, lost)

    def expire(self, before_ns: int) -> None:
        """Forget streams silent since before `before_ns`."""
        gone: list[Stream] = []
        for stream_id in self._loop.expire(before_ns):
            stream = self._forget(stream_id)
            if stream is not None:
                gone.append(stream)
        for stream in gone:  # once all are forgotten: a line names no stream that the loop has given up
            self._link(stream)

    def last_ns(self, stream: Stream) -> int:
        return self._loop.last_ns(stream.id)

    def renegotiated(self, legs: Iterable[Leg], now_ns: int) -> None:
        """Media was renegotiated at `now_ns`: a silent stream may go on with any number without loss.

        A stream that flows is left alone: were its next packet to begin a new count, losses around the
        re-INVITE would be hidden. If its source does start again, RFC 3550 A.1 finds that.
        """
        for leg in legs:
            for stream in leg.streams:
                if now_ns - self._loop.last_ns(stream.id) >= PAUSE_NS:
                    self._loop.resume(stream.id)

    def described(self, leg: Leg) -> None:
        """An SDP passed on `leg`: the addresses of its streams may be explained now."""
        stream: Stream
        description: Description | None = self._sockets.descriptions.get(leg)
        for stream in leg.streams:
            stream.named = self._is_named(stream, description)
        if leg.sources:
            self._news.update(leg.sources)

    def _is_named(self, stream: Stream, description: Description | None) -> cython.bint:
        if description is None or stream.to_vc is None:
            return True
        said = description.far if stream.to_vc else description.ours
        if self._sockets.may_send(said, stream.src[0]):
            return True
        # Each fork has an SDP of its own, and an UPDATE comes after early media: an earlier one named it.
        return stream.leg is not None and self._sockets.names_host(stream.leg, stream.src[0])

    def _attach(self, stream: Stream, claim: SocketOwner, to_vc: Known) -> None:
        leg = claim.leg
        measured_here = None if to_vc is None else to_vc == (self._observer == "vc")
        if stream.leg is not leg:
            before = stream.leg
            if stream.attached and (
                before is None
                or before.call is not leg.call
                or self._loop.newest_ns - self._loop.last_ns(stream.id) >= PAUSE_NS
            ):
                self._loop.rebase(stream.id)  # another call's numbers are no gap in this one's
            self._detach(stream)
            self._strays.discard(stream.id)  # first: what the leg gives up may make a stray go
            if len(leg.streams) >= LEG_STREAMS:
                self._thin(leg)
            stream.leg = leg
            leg.streams.add(stream)
            stream.first = False
            sent = leg.sent
            if len(sent) < MAX_SENT:
                ssrc, invite_ns = stream.ssrc, leg.invite_ns
                # A receiver counts on over a pause in which we forgot the stream, and new sockets.
                stream.first = (
                    stream.clean and not stream.attached and ssrc not in sent and stream.first_ns >= invite_ns
                )
                # A stream that fell silent before the leg began, on a socket that the leg names too, was
                # another leg's.
                if measured_here is False and self._loop.last_ns(stream.id) >= invite_ns:
                    sent.add(ssrc)
            stream.attached = True
        stream.to_vc, stream.measured_here = to_vc, measured_here
        stream.named = self._is_named(stream, self._sockets.descriptions.get(leg))
        media = claim.media
        section = media[0] if len(media) == 1 else self._section(stream, media)
        # Payload types are the receiver's to define (RFC 3264 5.1): its SDP comes first.
        ours, far = self._sockets.codecs_of(leg, True), self._sockets.codecs_of(leg, False)
        said = [media, ours, far] if to_vc else [far, ours, media]
        kind = section.kind
        stream.audio = kind == "audio"
        medias = [media for medias in said for media in medias if media.kind == kind]
        stream.codecs, map_id = self._codecs_of(kind, medias)
        self._loop.set_map(stream.id, map_id)

    def _section(self, stream: Stream, medias: list[MediaDescription]) -> MediaDescription:
        """The m-line of a stream where several share a socket (RFC 9143 9.2): by its SSRC, else its type."""
        for media in medias:
            if stream.ssrc in media.ssrcs:
                return media
        payload_type = self._loop.payload_type(stream.id)
        for media in medias:
            if payload_type in media.payload_types:
                return media
        return medias[0]

    def _codecs_of(self, kind: str, medias: list[MediaDescription]) -> tuple[dict[int, str], int]:
        """Encoding names and the loop's map for `medias`; streams with the same SDP share them."""
        said = (kind, tuple([tuple(media.rtpmap.items()) for media in medias if media.rtpmap]))
        if self._loop.map_sweeps != self._map_sweeps:  # the loop gave up maps that no stream has
            self._map_sweeps = self._loop.map_sweeps
            self._codecs.clear()
        known = self._codecs.get(said)
        if known is None:
            rows, names = payload_rows(medias)
            known = names, self._loop.payload_map(rows)
            if len(self._codecs) < _MAX_CODECS:
                self._codecs[said] = known
        return known

    def _detach(self, stream: Stream) -> None:
        if stream.leg is not None:
            stream.leg.streams.discard(stream)
            stream.leg = stream.to_vc = stream.measured_here = None
            self._strays.add(stream.id)


def _id_of(stream: Stream) -> int:
    """An order that is the same each time a capture is read: of equals the first one counts."""
    return int(stream.id)


def _ignore(leg: Leg) -> None:
    """Says nothing."""


def _keep(leg: Leg, streams: list[Stream]) -> None:
    """Drops the counts of streams that their leg gives up."""
