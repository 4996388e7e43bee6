"""Streams: what the loop counts, joined to the leg whose sockets they use.

A *stream* is one SSRC in one direction between two sockets (RFC 3550 3). The loop owns sequence numbers,
jitter and the minute's counters; here is who a stream belongs to, what its payload types mean, and what its
minute adds up to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from agent.tracking.codecs import STATIC_TYPES, Codec, codec
from agent.tracking.dialog import Leg
from agent.tracking.events import StreamMinute
from agent.tracking.loop_cy import (
    KIND_AUDIO,
    KIND_COMFORT,
    KIND_EVENT,
    KIND_REDUNDANT,
    KIND_VIDEO,
    Loop,
)
from agent.tracking.offer import Claim, Offers
from agent.tracking.quality import Score, burst_ratio, one_way_delay_ms, score
from agent.tracking.report import Away
from agent.tracking.sides import Side, Socket
from agent.tracking.table_cy import COUNTERS
from agent.wire.sdp import Media

_SPECIAL = {
    "telephone-event": KIND_EVENT,
    "tone": KIND_EVENT,
    "cn": KIND_COMFORT,
    "red": KIND_REDUNDANT,
    "ulpfec": KIND_REDUNDANT,
    "parityfec": KIND_REDUNDANT,
    "flexfec": KIND_REDUNDANT,
}
Observer = Literal["vc", "customer"]
Rows = dict[int, tuple[int, int]]  # payload type: clock rate (Hz), kind


@dataclass(frozen=True, slots=True)
class QualityRules:
    """Settings of the E-model. Milliseconds."""

    jitter_buffer_ms: float = 60.0
    default_rtt_ms: float = 100.0
    plc: bool = True


@dataclass(slots=True, eq=False)
class Stream:
    """One stream. `towards` the vc, away from it (False), or nobody knows (None)."""

    id: int
    src: Socket
    dst: Socket
    ssrc: int
    first_ns: int
    leg: Leg | None = None
    towards: bool | None = None
    arriving: bool | None = None  # measured here; what leaves is the far end's to report
    audio: bool = True
    codecs: dict[int, str] = field(default_factory=dict)  # payload type: encoding name
    away: Away = field(default_factory=Away)

    def codec_name(self, payload_type: int) -> str:
        name = self.codecs.get(payload_type)
        if name is None:
            static = STATIC_TYPES.get(payload_type)
            name = static.name if static else ""
        return name


def payload_rows(medias: Iterable[Media]) -> tuple[Rows, dict[int, str]]:
    """Clock rates and kinds by payload type, and encoding names; the first SDP that names a type wins."""
    rows: Rows = {number: (row.clock_rate, KIND_AUDIO) for number, row in STATIC_TYPES.items()}
    rows[13] = (8000, KIND_COMFORT)
    names: dict[int, str] = {}
    for media in medias:
        for number, (name, rate, _) in media.rtpmap.items():
            if number in names or rate <= 0:
                continue
            kind = _SPECIAL.get(name.lower(), KIND_AUDIO if media.kind == "audio" else KIND_VIDEO)
            rows[number] = (rate, kind)
            names[number] = name
    return rows, names


class Streams:
    """Every stream alive. Their number is the loop's cap."""

    def __init__(
        self, loop: Loop, offers: Offers, quality: QualityRules, observer: Observer = "vc"
    ) -> None:
        """`observer`: whose host captures. At the customer's, what goes towards the vc leaves here."""
        self._observer = observer
        self._loop = loop
        self._offers = offers
        self._quality = quality
        self._by_id: dict[int, Stream] = {}
        self._by_source: dict[tuple[Socket, int], list[Stream]] = {}
        self._by_socket: dict[Socket, set[Stream]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._by_id.values())

    def fresh(self, stream_id: int) -> Stream:
        """The loop accepted a stream: attach it, and tell the loop its clock rates."""
        src, src_port, dst, dst_port, ssrc = self._loop.key(stream_id)
        stream = Stream(
            stream_id, (src, src_port), (dst, dst_port), ssrc, self._loop.first_ns(stream_id)
        )
        self._by_id[stream_id] = stream
        self._by_source.setdefault((stream.src, ssrc), []).append(stream)
        for socket in (stream.src, stream.dst):
            self._by_socket.setdefault(socket, set()).add(stream)
        found = self._offers.find(stream.src, stream.dst)
        if found:
            self._attach(stream, *found)
        return stream

    def leaving(self, rtp: Socket, ssrc: int, peer: str) -> Stream | None:
        """The stream that leaves socket `rtp` with `ssrc`: towards `peer` where several do."""
        streams = self._by_source.get((rtp, ssrc))
        if not streams:
            return None
        return next((s for s in streams if s.dst[0] == peer), streams[-1])

    def claimed(self, sockets: Iterable[Socket], minutes: list[int]) -> list[StreamMinute]:
        """An SDP named `sockets`: attach what runs there. What a stream did under another leg is closed."""
        done: list[StreamMinute] = []
        for socket in sockets:
            for stream in tuple(self._by_socket.get(socket, ())):
                found = self._offers.find(stream.src, stream.dst)
                if not found:
                    continue
                claim, towards = found
                if stream.leg is not None and stream.leg is not claim.leg:
                    done += self.cut(stream, minutes)
                self._attach(stream, claim, towards)
        return done

    def cut(self, stream: Stream, minutes: list[int]) -> list[StreamMinute]:
        """Close what `stream` counted so far in the open minutes, and detach it."""
        done = [
            self._minute(stream, minute, counters)
            for minute in minutes
            if any(counters := self._loop.harvest(stream.id, minute)) or minute in stream.away.minutes
        ]
        self._detach(stream)
        return done

    def released(self, leg: Leg, minutes: list[int]) -> list[StreamMinute]:
        """The leg's media is over: later packets are orphans."""
        return [event for stream in tuple(leg.streams) for event in self.cut(stream, minutes)]

    def harvest(self, minute_ns: int) -> list[StreamMinute]:
        """What every stream did in a minute; its counters start again from zero."""
        done = []
        for stream_id, counters in self._loop.harvest_all(minute_ns):
            stream = self._by_id.get(stream_id)
            if stream is not None:
                done.append(self._minute(stream, minute_ns, counters))
        return done

    def expire(self, before_ns: int) -> None:
        """Forget streams silent since before `before_ns`."""
        for stream_id in self._loop.expire(before_ns):
            stream = self._by_id.pop(stream_id, None)
            if stream is None:
                continue
            self._detach(stream)
            same = self._by_source[stream.src, stream.ssrc]
            same.remove(stream)
            if not same:
                del self._by_source[stream.src, stream.ssrc]
            for socket in (stream.src, stream.dst):
                users = self._by_socket.get(socket)
                if users is not None:
                    users.discard(stream)
                    if not users:
                        del self._by_socket[socket]

    def last_ns(self, stream: Stream) -> int:
        return self._loop.last_ns(stream.id)

    def rebase(self, leg: Leg) -> None:
        """Media of `leg` was renegotiated: a jump in the next packet of its streams is no loss."""
        for stream in leg.streams:
            self._loop.rebase(stream.id)

    def _attach(self, stream: Stream, claim: Claim, towards: bool | None) -> None:
        if stream.leg is not claim.leg:
            self._detach(stream)
            stream.leg = claim.leg
            claim.leg.streams.add(stream)
        stream.towards = towards
        stream.arriving = None if towards is None else towards == (self._observer == "vc")
        description = self._offers.descriptions.get(claim.leg)
        # Payload types are the receiver's to define (RFC 3264 5.1): its SDP comes first.
        medias = list(claim.media)
        if description:
            first, second = description.ours, description.far
            medias += [*first, *second] if towards else [*second, *first]
            if not towards:
                medias = medias[len(claim.media) :] + list(claim.media)
        stream.audio = all(media.kind == "audio" for media in claim.media)
        same_kind = [media for media in medias if media.kind == claim.media[0].kind]
        rows, stream.codecs = payload_rows(same_kind)
        self._loop.set_map(stream.id, self._loop.payload_map(rows))

    def _detach(self, stream: Stream) -> None:
        if stream.leg is not None:
            stream.leg.streams.discard(stream)
            stream.leg = stream.towards = stream.arriving = None

    def _minute(self, stream: Stream, minute_ns: int, counters: tuple[float, ...]) -> StreamMinute:
        c = dict(zip(COUNTERS, counters, strict=True))
        payload_type = self._loop.payload_type(stream.id)
        name = stream.codec_name(payload_type)
        rate = self._loop.clock_rate(stream.id)
        jitter_us = c["jitter_sum_us"] / c["jitter_count"] if c["jitter_count"] else None
        away = stream.away.minutes.pop(minute_ns, None)
        lost: int | None = int(c["lost"])
        source: str | None = "rtp"
        ratio: float | None = None
        bursts = 1.0
        figure_us = jitter_us
        if stream.arriving is False:
            lost, figure_us, source = None, None, None
            if away is not None:
                lost, ratio, source = away.lost, away.ratio, "rtcp"
                figure_us = away.jitter_us(rate)
        elif c["judged"]:
            bad = int(c["lost"] + c["discarded"])
            ratio = min(1.0, bad / c["judged"])
            bursts = burst_ratio(bad, int(c["loss_runs"]), int(c["judged"]))
        elif c["packets"]:
            ratio = 0.0
        return StreamMinute(
            minute_ns,
            stream.leg,
            stream.towards,
            stream.src,
            stream.dst,
            stream.ssrc,
            payload_type,
            name,
            stream.first_ns,
            self._loop.last_ns(stream.id),
            int(c["packets"]),
            int(c["bytes"]),
            lost,
            int(c["unknown"]),
            int(c["duplicates"]),
            int(c["reordered"]),
            int(c["discarded"]),
            int(c["lost"]),
            figure_us,
            jitter_us,
            int(c["jitter_count"]),
            c["jitter_max_us"] if c["jitter_count"] else None,
            source,
            self._score(stream, name, rate, ratio, bursts),
            bursts,
            self._loop.assumed(stream.id),
        )

    def _score(
        self, stream: Stream, name: str, rate: int, ratio: float | None, bursts: float
    ) -> Score | None:
        if ratio is None or not stream.audio or stream.leg is None or not name:
            return None
        row: Codec = codec(name, rate)
        side: Side | None = stream.leg.side
        rtt_us = stream.leg.call.rtt_us.get(side or "", self._quality.default_rtt_ms * 1000.0)
        ticks = self._loop.packet_ticks(stream.id)
        delay_ms = one_way_delay_ms(
            rtt_us / 1000.0,
            row,
            packet_ms=ticks * 1000.0 / rate if ticks and rate else row.packet_ms,
            jitter_buffer_ms=self._quality.jitter_buffer_ms,
        )
        return score(
            row, loss_ratio=ratio, burst_ratio=bursts, one_way_delay_ms=delay_ms, plc=self._quality.plc
        )
