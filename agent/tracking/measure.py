"""What one stream's minute adds up to: its figures, where they come from, and its score.

Towards the vc (that is: arriving where frames are captured) loss, jitter and burst ratio are measured here.
Of what leaves only the far end knows, so they are its reports'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.tracking.codecs import Codec, codec
from agent.tracking.events import StreamMinute
from agent.tracking.lanes import Lanes
from agent.tracking.loop_cy import Loop
from agent.tracking.quality import Score, burst_ratio, one_way_delay_ms, score
from agent.tracking.report import AwayMinute

if TYPE_CHECKING:
    from agent.tracking.stream import Stream

MAX_SCORES = 65_536  # keys hold what the wire says, so somebody may invent them


@dataclass(frozen=True, slots=True)
class QualityRules:
    """Settings of the E-model. Milliseconds."""

    jitter_buffer_ms: float = 60.0
    default_rtt_ms: float = 100.0
    plc: bool = True


class Measure:
    """Turns a stream's counters into a `StreamMinute`. 20,000 streams close in one go, so scores are kept."""

    def __init__(self, loop: Loop | Lanes, rules: QualityRules) -> None:
        self._loop = loop
        self._rules = rules
        self._scores: dict[tuple[str, int, int, int, float, float], Score] = {}

    def minute(
        self, stream: Stream, minute_ns: int, counters: Sequence[Any], away: AwayMinute | None
    ) -> StreamMinute:
        """`counters` in the order of `table_cy.COUNTERS`; `away`: what blocks said of it in that minute."""
        (
            packets, size, judged, gap_packets, jitter_sum_us, jitter_count, jitter_max_us, gaps, unknown,
            duplicates, reordered, discarded, runs, burst_packets, burst_lost, gap_lost, bursts_seen,
        ) = counters  # fmt: skip
        loop, id = self._loop, stream.id
        payload_type = loop.payload_type(id)
        name = stream.codec_name(payload_type)
        rate = loop.clock_rate(id)
        ticks = loop.packet_ticks(id)
        measured_us = jitter_sum_us / jitter_count if jitter_count else None
        jitter_us = measured_us
        lost: int | None = gaps
        lost_source: str | None = "rtp"
        jitter_source = "rtp" if jitter_count else None
        ratio: float | None = None
        bursts = 1.0
        weight: float = 0
        if stream.arriving is False:
            lost = jitter_us = lost_source = jitter_source = None
            if away is not None:
                lost, ratio, weight = away.lost, away.ratio, away.expected
                jitter_us = away.jitter_us(rate)
                lost_source = None if lost is None else "rtcp"
                jitter_source = None if jitter_us is None else "rtcp"
        elif judged:
            bad = gaps + discarded
            weight = judged
            ratio = bad / judged if bad < judged else 1.0
            if bad:
                bursts = burst_ratio(bad, runs, judged)
        scored = None
        if ratio is not None and stream.audio and name and stream.leg is not None:
            scored = self._score(stream, name, rate, ticks, ratio, bursts)
        return StreamMinute(
            minute_ns, stream.leg, stream.towards, stream.src, stream.dst, stream.ssrc, payload_type, name,
            stream.first_ns, loop.last_ns(id), packets, size, lost, unknown, duplicates, reordered, discarded,
            gaps, jitter_us, measured_us, jitter_count, jitter_max_us if jitter_count else None, lost_source,
            jitter_source, scored, weight, bursts, loop.assumed(id), stream.audio,
            ticks * 1000.0 / rate if ticks and rate else 0.0, stream.named,
            burst_packets, burst_lost, gap_packets, gap_lost, bursts_seen,
        )  # fmt: skip

    def _score(self, stream: Stream, name: str, rate: int, ticks: int, ratio: float, bursts: float) -> Score:
        """By codec, packet time, loss, burst ratio and the round trip, which is taken to 0.1 ms."""
        leg = stream.leg
        rtt_us = leg.call.rtt_us.get(leg.side or "") if leg is not None else None
        rtt_us = self._rules.default_rtt_ms * 1000.0 if rtt_us is None else rtt_us
        tenths = int(rtt_us) // 100
        key = (name, rate, ticks, tenths, ratio, bursts)
        found = self._scores.get(key)
        if found is None:
            if len(self._scores) >= MAX_SCORES:
                self._scores.clear()
            row: Codec = codec(name, rate)
            delay_ms = one_way_delay_ms(
                tenths / 10.0,
                row,
                packet_ms=ticks * 1000.0 / rate if ticks and rate else row.packet_ms,
                jitter_buffer_ms=self._rules.jitter_buffer_ms,
            )
            found = self._scores[key] = score(
                row, loss_ratio=ratio, burst_ratio=bursts, one_way_delay_ms=delay_ms, plc=self._rules.plc
            )
        return found
