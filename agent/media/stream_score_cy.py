# cython: language_level=3
"""The figures of one stream's minute, their sources, and its score.

Towards the vc (that is: arriving where frames are captured) loss, jitter and burst ratio are measured here.
For packets that leave only the far end knows them, so they come from its reports.
"""

from __future__ import annotations

import cython
from msgspec import Struct
from msgspec.structs import replace

from agent.model.call_cy import Call, Stream, codec_name
from agent.model.far_end_cy import AwayMinute
from agent.model.stream_minute_cy import StreamMinute
from agent.quality.codecs import Codec, codec
from agent.quality.emodel import Score, burst_ratio, one_way_delay_ms, score
from agent.wire.rtp.payload_types import KIND_AUDIO, KIND_OTHER, KIND_REDUNDANT, KIND_REPAIR, NAMED_KINDS

# The round trip where nothing was lost, as of most streams; else with loss and burst ratio.
Key = int | tuple[int, float, float]
Scores = dict[Key, Score]
MAX_SCORES = 65_536  # keys hold what the wire says, so somebody may invent them
MAX_NAMES = 1_024

REPAIR_STREAMS = frozenset({"rtx", "flexfec", "flexfec-03"})  # always of an SSRC of their own
_OTHER, _AUDIO, _REDUNDANT, _REPAIR = KIND_OTHER, KIND_AUDIO, KIND_REDUNDANT, KIND_REPAIR
_kinds: dict[str, int] = {}  # by encoding name, as written


def kind_of(name: str) -> cython.int:
    """KIND_* of an encoding name by itself: KIND_AUDIO for a codec, of pictures too; KIND_OTHER for none."""
    kind: int | None = _kinds.get(name)
    if kind is None:
        if len(_kinds) >= MAX_NAMES:
            _kinds.clear()
        kind = _kinds[name] = NAMED_KINDS.get(name.lower(), KIND_AUDIO) if name else KIND_OTHER
    return kind


class CodecFigures(Struct, frozen=True):
    """An operator's own impairment figures of a codec; None keeps the table's."""

    ie: float | None = None
    bpl: float | None = None

    def of(self, row: Codec) -> Codec:
        """The table's row with these figures in it."""
        if self.ie is not None:
            row = replace(row, ie=self.ie, source="configured")
        if self.bpl is not None:
            row = replace(row, bpl=self.bpl, bpl_no_plc=self.bpl, source="configured")
        return row


class QualityRules(Struct, frozen=True):
    """Settings of the E-model. Milliseconds; `codecs` by encoding name in upper case."""

    jitter_buffer_ms: float = 60.0
    default_rtt_ms: float = 100.0
    plc: bool = True
    buffer: str = "fixed 60 ms"  # what the record calls the jitter buffer
    codecs: dict[str, CodecFigures] = {}


def is_repair(stream: Stream, stream_minute: StreamMinute) -> cython.bint:
    """Whether a stream carries nothing but repairs of another: RTX (RFC 4588), FEC of its own SSRC."""
    if not stream_minute.by_type:  # jitter is measured of speech alone
        if kind_of(stream_minute.codec) != _REPAIR:
            return False
        return not stream_minute.jitter_count or stream_minute.codec.lower() in REPAIR_STREAMS
    for payload_type, _ in stream_minute.by_type:
        if kind_of(codec_name(stream, payload_type)) != _REPAIR:
            return False
    return True


def primary(stream: Stream) -> str:
    """The codec that RED of this stream protects: the first one that SDP lists with it (RFC 2198 3)."""
    for name in stream.codecs.values():
        if kind_of(name) == _AUDIO:
            return name
    return ""


class Measure:
    """Gives a stream's minute its owner and its figures. 20,000 close at once, so scores are cached."""

    def __init__(self, rules: QualityRules) -> None:
        self.rules = rules
        self.default_rtt_us = rules.default_rtt_ms * 1000.0
        # By codec and packet time, then by round trip, loss and burst ratio: most streams share the former.
        self.scores: dict[tuple[str, int, int], Scores] = {}
        self.kept = 0
        self.name = ""  # the newest codec and packet time, and its scores
        self.rate = self.ticks = 0
        self.newest_scores: Scores = {}

    def harvest(
        self,
        counted: list[StreamMinute],
        streams: list[Stream | None],
        reported: set[Stream],
        *,
        orphans: bool,
    ) -> list[StreamMinute]:
        """Finishes one minute of all streams, which `streams` has by their id; others are left out.

        `reported`: streams that the far end reported on. `orphans`: streams without a leg count too.
        """
        done: list[StreamMinute] = []
        stream_minute: StreamMinute
        stream: Stream
        for stream_minute in counted:
            known = streams[stream_minute.id] if stream_minute.id < len(streams) else None
            if known is None:
                continue
            stream = known
            if stream.leg is None and not orphans:
                continue
            away: AwayMinute | None = None
            if stream.far_end_loss is not None:
                minutes: dict[int, AwayMinute] = stream.far_end_loss.minutes
                if minutes:
                    away = minutes.pop(stream_minute.stamp_ns, None)
                    if not minutes:
                        reported.discard(stream)
            done.append(self.minute(stream, stream_minute, away))
        return done

    def minute(self, stream: Stream, stream_minute: StreamMinute, away: AwayMinute | None) -> StreamMinute:
        """Finishes the loop's counts of `stream`; `away`: the far end's blocks of that minute."""
        rate: cython.longlong = stream_minute.clock_rate
        ticks: cython.longlong = stream_minute.step
        stream_minute.first_ns = stream.first_ns
        stream_minute.leg, stream_minute.to_vc, stream_minute.audio, stream_minute.named = (
            stream.leg,
            stream.to_vc,
            stream.audio,
            stream.named,
        )
        stream_minute.is_over = stream.leg is None and stream.attached
        stream_minute.src, stream_minute.dst, stream_minute.ssrc = stream.src, stream.dst, stream.ssrc
        stream_minute.codec = codec_name(stream, stream_minute.payload_type)
        if ticks and rate:
            stream_minute.packet_ms = ticks * 1000.0 / rate
        if stream_minute.audio and stream_minute.codec and is_repair(stream, stream_minute):
            stream_minute.audio = False  # nobody's speech
        known: cython.bint = False
        ratio: cython.double = 0.0
        bad: cython.longlong = 0
        if stream.measured_here is False:  # what left is the far end's to report
            if away is not None:
                stream_minute.lost, stream_minute.weight = away.lost, away.expected
                # 0: it may have measured by either clock.
                believed: cython.longlong = 0 if stream_minute.clock_rate_mismatch else rate
                stream_minute.reported_slots = away.slots
                stream_minute.lost_source = None if stream_minute.lost is None else "rtcp"
                if stream_minute.audio:
                    stream_minute.jitter_us = away.jitter_us(believed)
                    stream_minute.jitter_source = None if stream_minute.jitter_us is None else "rtcp"
                if away.lost is not None and away.expected > 0:
                    lost: cython.longlong = away.lost
                    known, ratio = True, lost / away.expected if lost < away.expected else 1.0
        else:
            stream_minute.lost, stream_minute.lost_source = stream_minute.gaps, "rtp"
            if stream_minute.jitter_count and stream_minute.audio:
                stream_minute.jitter_us, stream_minute.jitter_source = (
                    stream_minute.jitter_sum_us / stream_minute.jitter_count,
                    "rtp",
                )
            if stream_minute.judged:
                bad = stream_minute.gaps + stream_minute.discarded
                known, ratio, stream_minute.weight = (
                    True,
                    bad / stream_minute.judged if bad < stream_minute.judged else 1.0,
                    stream_minute.judged,
                )
                if bad > stream_minute.loss_runs:  # single ones are no burst
                    stream_minute.burst_ratio = burst_ratio(
                        bad, stream_minute.loss_runs, stream_minute.judged
                    )
        if known and stream_minute.audio and stream_minute.leg is not None:
            if len(stream_minute.by_type) < 2 and kind_of(stream_minute.codec) == _AUDIO:
                stream_minute.score = self.score(
                    stream, stream_minute.codec, rate, ticks, ratio, stream_minute.burst_ratio
                )
            else:
                stream_minute.score = self.mixed(stream, stream_minute, rate, ticks, ratio, bad)
        return stream_minute

    def mixed(
        self,
        stream: Stream,
        stream_minute: StreamMinute,
        rate: cython.longlong,
        ticks: cython.longlong,
        ratio: cython.double,
        bad: cython.longlong,
    ) -> Score | None:
        """The score of a minute of several payload types: each one's own, weighted by its packets.

        Digits and comfort noise have none. RED (RFC 2198) has its primary codec's, after repair: a packet
        carries the one before it, so one loss of each run is repaired.
        """
        scores: list[tuple[Score, int]] = []
        speech = most = 0  # the type with most packets, and how many
        found: Score
        packets: cython.longlong
        weight: cython.longlong = 0
        mos: cython.double = 0.0
        rating: cython.double = 0.0
        wide: cython.double = 0.0
        wide_weight: cython.longlong = 0  # packets of codecs that have a wideband score
        assumed: cython.bint = False
        for payload_type, count in stream_minute.by_type or (
            (stream_minute.payload_type, stream_minute.packets or 1),
        ):
            name = codec_name(stream, payload_type)
            share, bursts = ratio, stream_minute.burst_ratio
            kind = kind_of(name)
            if kind == _REDUNDANT or (not stream_minute.by_type and kind == _REPAIR):
                name = primary(stream)
                kind = kind_of(name)
                if bad and stream_minute.judged:
                    left = max(0, bad - stream_minute.loss_runs)
                    share, bursts = min(1.0, left / stream_minute.judged), 1.0
                    if left:
                        bursts = burst_ratio(left, min(left, stream_minute.loss_runs), stream_minute.judged)
            if kind != _AUDIO or count <= 0:
                continue
            found = self.score(stream, name, rate, ticks, share, bursts)
            scores.append((found, count))
            if count > most:
                speech, most = payload_type, count
        if not scores:
            return None
        if kind_of(stream_minute.codec) not in (_OTHER, _AUDIO, _REDUNDANT):  # the newest type is no codec
            stream_minute.codec = codec_name(stream, speech)
        if len(scores) == 1:
            return scores[0][0]
        for found, packets in scores:
            weight += packets
            mos += found.mos * packets
            rating += found.r * packets
            assumed = assumed or found.assumed
            if found.mos_wb is not None:
                wide += found.mos_wb * packets
                wide_weight += packets
        return Score(
            rating / weight,
            mos / weight,
            wide / wide_weight if wide_weight else None,
            assumed,
            scores[0][0].buffer,
        )

    def score(
        self,
        stream: Stream,
        name: str,
        rate: cython.longlong,
        ticks: cython.longlong,
        ratio: cython.double,
        bursts: cython.double,
    ) -> Score:
        """By codec, packet time, loss, burst ratio and the round trip, which is taken to 0.1 ms."""
        leg = stream.leg
        assert leg is not None
        call: Call = leg.call
        rtt_us: cython.double = self.default_rtt_us
        known = call.rtt_us.get(leg.side or "")
        if known is not None:
            rtt_us = known
        whole_us: cython.longlong = int(rtt_us)
        tenths: cython.longlong = whole_us // 100
        if name != self.name or rate != self.rate or ticks != self.ticks:
            self.name, self.rate, self.ticks = name, rate, ticks
            self.newest_scores = self.scores.setdefault((name, rate, ticks), {})
        key: Key = tenths
        if ratio:
            key = (tenths, ratio, bursts)
        found = self.newest_scores.get(key)
        if found is None:
            if self.kept >= MAX_SCORES:
                self.scores.clear()
                self.scores[name, rate, ticks] = self.newest_scores = {}
                self.kept = 0
            row: Codec = codec(name, rate)
            own = self.rules.codecs.get(name.upper())
            if own is not None:
                row = own.of(row)
            delay_ms = one_way_delay_ms(
                tenths / 10.0,
                row,
                packet_ms=ticks * 1000.0 / rate if ticks and rate else row.packet_ms,
                jitter_buffer_ms=self.rules.jitter_buffer_ms,
            )
            found = self.newest_scores[key] = replace(
                score(
                    row, loss_ratio=ratio, burst_ratio=bursts, one_way_delay_ms=delay_ms, plc=self.rules.plc
                ),
                buffer=self.rules.buffer,
            )
            self.kept += 1
        return found
