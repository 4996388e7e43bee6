# cython: language_level=3
"""What one stream's minute adds up to: its figures, where they come from, and its score.

Towards the vc (that is: arriving where frames are captured) loss, jitter and burst ratio are measured here.
Of what leaves only the far end knows, so they are its reports'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent.tracking.codecs import Codec, codec
from agent.tracking.minute_cy import StreamMinute
from agent.tracking.quality import Score, burst_ratio, one_way_delay_ms, score
from agent.tracking.report import AwayMinute
from agent.tracking.stream_cy import Stream

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if TYPE_CHECKING:
    from agent.tracking.lanes import Lanes
    from agent.tracking.loop_cy import Loop

Counters = tuple[Any, ...]
MAX_SCORES = 65_536  # keys hold what the wire says, so somebody may invent them


class QualityRules(Struct, frozen=True):
    """Settings of the E-model. Milliseconds."""

    jitter_buffer_ms: float = 60.0
    default_rtt_ms: float = 100.0
    plc: bool = True


class Measure:
    """Turns a stream's counters into a `StreamMinute`. 20,000 streams close in one go, so scores are kept."""

    def __init__(self, loop: Loop | Lanes, rules: QualityRules) -> None:
        self.loop = loop
        self.rules = rules
        self.scores: dict[tuple[str, int, int, int, float, float], Score] = {}

    def minute(
        self, stream: Stream, minute_ns: cython.longlong, counters: Counters, away: AwayMinute | None
    ) -> StreamMinute:
        """`counters` in the order of `table_cy.COUNTERS`; `away`: what blocks said of it in that minute."""
        judged: cython.longlong
        runs: cython.longlong
        jitter_sum_us: cython.double
        its: StreamMinute = StreamMinute()
        (
            its.packets, its.bytes, judged, its.gap_packets, jitter_sum_us, its.jitter_count, jitter_max_us,
            its.gaps, its.unknown, its.duplicates, its.reordered, its.discarded, runs, its.burst_packets,
            its.burst_lost, its.gap_lost, its.bursts,
        ) = counters  # fmt: skip
        rate: cython.longlong
        ticks: cython.longlong
        its.last_ns, its.payload_type, rate, ticks, its.assumed = self.loop.timing(stream.id)
        its.stamp_ns, its.first_ns = minute_ns, stream.first_ns
        its.leg, its.towards, its.audio, its.named = stream.leg, stream.towards, stream.audio, stream.named
        its.src, its.dst, its.ssrc = stream.src, stream.dst, stream.ssrc
        its.codec = stream.codec_name(its.payload_type)
        if ticks and rate:
            its.packet_ms = ticks * 1000.0 / rate
        if its.jitter_count:
            its.jitter_mean_us, its.jitter_max_us = jitter_sum_us / its.jitter_count, jitter_max_us
        known = False
        ratio: cython.double = 0.0
        if stream.arriving is False:  # what left is the far end's to report
            if away is not None:
                its.lost, its.weight, its.jitter_us = away.lost, away.expected, away.jitter_us(rate)
                its.lost_source = None if its.lost is None else "rtcp"
                its.jitter_source = None if its.jitter_us is None else "rtcp"
                if away.ratio is not None:
                    known, ratio = True, away.ratio
        else:
            its.lost, its.lost_source = its.gaps, "rtp"
            its.jitter_us, its.jitter_source = its.jitter_mean_us, "rtp" if its.jitter_count else None
            if judged:
                bad: cython.longlong = its.gaps + its.discarded
                known, ratio, its.weight = True, bad / judged if bad < judged else 1.0, judged
                if bad:
                    its.burst_ratio = burst_ratio(bad, runs, judged)
        if known and its.audio and its.codec and its.leg is not None:
            its.score = self.score(stream, its.codec, rate, ticks, ratio, its.burst_ratio)
        return its

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
        rtt_us = leg.call.rtt_us.get(leg.side or "") if leg is not None else None
        rtt_us = self.rules.default_rtt_ms * 1000.0 if rtt_us is None else rtt_us
        tenths = int(rtt_us) // 100
        key = (name, rate, ticks, tenths, ratio, bursts)
        found = self.scores.get(key)
        if found is None:
            if len(self.scores) >= MAX_SCORES:
                self.scores.clear()
            row: Codec = codec(name, rate)
            delay_ms = one_way_delay_ms(
                tenths / 10.0,
                row,
                packet_ms=ticks * 1000.0 / rate if ticks and rate else row.packet_ms,
                jitter_buffer_ms=self.rules.jitter_buffer_ms,
            )
            found = self.scores[key] = score(
                row, loss_ratio=ratio, burst_ratio=bursts, one_way_delay_ms=delay_ms, plc=self.rules.plc
            )
        return found
