# cython: language_level=3
"""One direction of one call in one minute, and the sum of many calls for a connector."""

from __future__ import annotations

from collections.abc import Sequence

import cython

from agent.model.sides import Socket
from agent.model.stream_minute_cy import StreamMinute
from agent.quality.emodel import Score
from agent.summary.catalog import DIRECTIONS, SIDES
from agent.summary.records import Samples
from agent.summary.samples_cy import binned, sampled


@cython.no_gc
@cython.cclass
class DirectionFigures:
    """Streams that share a direction: counts add, jitter is weighted by packets.

    `streams` counts those that ran or whose loss was reported; `known` those whose loss is known. `runs` and
    `delays` are None where all is 0. direction_totals_cy.pxd has the C types.
    """

    def __init__(self) -> None:
        self.packets = self.bytes = self.rtcp_packets = self.rtcp_bytes = 0
        self.streams = self.known = self.known_lost = self.known_packets = 0
        self.unknown = self.discarded = 0
        self.ssrc_gap = self.timebase_changes = 0
        self.clock_rate_mismatch = False
        self.twice = False  # nearly every packet of a stream came twice
        self.burst_packets = self.burst_lost = self.gap_packets = self.gap_lost = self.bursts = 0
        self.jitters_us: list[tuple[float, float]] = []  # one sample a stream, with its packets
        self.jitter_sum = 0.0
        self.jitter_packets = 0
        self.lost_source: str | None = None
        self.jitter_source: str | None = None
        self.scored = self.wide = 0  # packets behind the scores; the sums are weighted by them
        self.mos_sum = self.r_sum = self.wide_sum = 0.0
        self.first_ns = self.last_ns = 0  # of its streams, not of this minute alone
        self.codec = ""  # of the audio stream with most packets
        self.codec_packets = 0
        self.packet_ms = 0.0
        self.assumed = self.unnamed = False
        self.codec_assumed = False  # a figure of a scored codec is our assumption
        self.buffer = ""  # the modelled jitter buffer
        self.peer: Socket | None = None  # the far end's, of the stream with most packets
        self.peer_packets = 0
        self.stream_minutes: list[StreamMinute] = []
        self.measured = False  # a stream's loss was measured here
        self.runs: list[int] | None = None
        self.delays: list[int] | None = None

    def lost(self) -> int | None:
        """0 where no stream ran; None where streams ran and the loss of none is known."""
        return self.known_lost if self.known or not self.streams else None

    def add(self, stream: StreamMinute) -> None:
        """Adds one stream of the direction."""
        packets: cython.longlong = stream.packets
        self.stream_minutes.append(stream)
        self.measured = self.measured or stream.lost_source == "rtp"
        if stream.runs or stream.delays:
            self.count_histograms(stream)
        self.packets += packets
        self.bytes += stream.bytes
        if stream.lost is not None:
            lost: cython.longlong = stream.lost
            self.streams += 1
            self.known += 1
            self.known_lost += lost
            # Away from the vc only the spans between two blocks are known.
            weight: cython.longlong = int(stream.weight)
            self.known_packets += min(packets, weight) if stream.lost_source == "rtcp" else packets
        elif packets:
            self.streams += 1
        self.unknown += stream.unknown
        self.discarded += stream.discarded
        self.ssrc_gap += stream.ssrc_gap
        self.timebase_changes += stream.timebase_changes
        self.clock_rate_mismatch = self.clock_rate_mismatch or stream.clock_rate_mismatch
        self.twice = self.twice or stream.comes_twice()
        self.burst_packets += stream.burst_packets
        self.burst_lost += stream.burst_lost
        self.gap_packets += stream.gap_packets
        self.gap_lost += stream.gap_lost
        self.bursts += stream.bursts
        if stream.jitter_us is not None:
            jitter_us: cython.double = stream.jitter_us
            behind: cython.longlong = packets or 1
            self.jitters_us.append((jitter_us, behind))
            self.jitter_sum += jitter_us * behind
            self.jitter_packets += behind
        self.lost_source = stream.lost_source or self.lost_source
        self.jitter_source = stream.jitter_source or self.jitter_source
        if stream.score is not None:
            self.judge(stream, stream.score)
        self.last_ns = max(self.last_ns, stream.last_ns)
        if packets:
            if packets > self.peer_packets:
                self.peer, self.peer_packets = (stream.src if stream.to_vc else stream.dst), packets
            if stream.first_ns and (not self.first_ns or stream.first_ns < self.first_ns):
                self.first_ns = stream.first_ns
            if stream.audio and packets > self.codec_packets:
                self.codec, self.packet_ms, self.codec_packets = stream.codec, stream.packet_ms, packets
            self.assumed = self.assumed or stream.assumed
            self.unnamed = self.unnamed or not stream.named

    def count_histograms(self, stream: StreamMinute) -> None:
        """Adds runs of losses and late packets. For packets that leave the vc only the far end knows them."""
        if stream.lost_source != "rtp":
            return
        if stream.runs:
            self.runs = added(self.runs, stream.runs)
        if stream.delays:
            self.delays = added(self.delays, stream.delays)

    def add_reports(self, packets: cython.longlong, size: cython.longlong) -> None:
        """Adds RTCP of the same direction."""
        self.rtcp_packets += packets
        self.rtcp_bytes += size

    def join(self, other: DirectionFigures) -> None:
        """Adds another call's figures for the connector's metrics."""
        self.packets += other.packets
        self.bytes += other.bytes
        self.rtcp_packets += other.rtcp_packets
        self.rtcp_bytes += other.rtcp_bytes
        self.streams += other.streams
        self.known += other.known
        self.known_lost += other.known_lost
        self.known_packets += other.known_packets
        for sample in other.jitters_us:  # mostly one: to append it takes less than to extend
            self.jitters_us.append(sample)

    def judge(self, stream: StreamMinute, score: Score) -> None:
        """Its score, weighted by the packets behind it."""
        scored: cython.longlong = stream.packets
        if not scored:
            scored = max(1, int(stream.weight))
        self.scored += scored
        mos: cython.double = score.mos
        rating: cython.double = score.r
        self.mos_sum += mos * scored
        self.r_sum += rating * scored
        self.codec_assumed = self.codec_assumed or score.assumed
        self.buffer = score.buffer
        wide = score.mos_wb
        if wide is not None:
            self.wide += scored
            self.wide_sum += wide * scored


def added(counts: list[int] | None, more: Sequence[int]) -> list[int]:
    """Both histograms as one; None has nothing."""
    if counts is None:
        return list(more)
    return [one + other for one, other in zip(counts, more, strict=True)]


_COUNTS = tuple(
    (direction, *(prefix + suffix for suffix in ("RtpPackets", "RtpBytes", "RtcpPackets", "RtcpBytes")))
    for direction, (prefix, _) in DIRECTIONS.items()
)


class MediaTotals:
    """The media metrics of one connector in one minute."""

    def __init__(self) -> None:
        self.sums = {direction: DirectionFigures() for direction in DIRECTIONS}
        self.sampled: dict[str, list[float]] = {}

    def add(self, direction: str, figures: DirectionFigures) -> None:
        """Adds one direction of one call."""
        total: DirectionFigures = self.sums[direction]
        total.join(figures)

    def sample(self, metric: str, value: cython.double) -> None:
        """Adds one call's figure: a side's RTT, a direction's MOS."""
        samples: list[float] | None = self.sampled.get(metric)
        if samples is None:
            samples = self.sampled[metric] = []
        samples.append(value)

    @property
    def values(self) -> dict[str, int | None]:
        """Counts by metric name. Loss: a sum over what is known, None where streams ran and none is."""
        values: dict[str, int | None] = {}
        for direction, packets, size, rtcp_packets, rtcp_bytes in _COUNTS:
            total = self.sums[direction]
            values[packets], values[size] = total.packets, total.bytes
            values[rtcp_packets], values[rtcp_bytes] = total.rtcp_packets, total.rtcp_bytes
            values[DIRECTIONS[direction][0] + "PacketsLost"] = total.lost()
        return values

    @property
    def samples(self) -> dict[str, Samples | None]:
        """Samples by metric name: jitter one a stream, which counts its packets (the metric's average is so
        the log's); RTT one a call and side, MOS one a call and direction."""
        samples = {
            prefix + "Jitter": binned(self.sums[way].jitters_us) for way, (prefix, _) in DIRECTIONS.items()
        }
        for suffix, _, _ in SIDES.values():
            for name in ("RTTBetweenVcAnd" + suffix, "MOSBetweenVcAnd" + suffix):
                samples[name] = sampled(self.sampled.get(name, []))
        return samples

    @property
    def packets(self) -> dict[str, int]:
        """RTP packets by direction."""
        return {direction: total.packets for direction, total in self.sums.items()}

    def has_streams(self, direction: str) -> bool:
        """Whether streams ran in that direction: their loss is known, or unknown for a reason of its own."""
        return bool(self.sums[direction].streams)

    @property
    def coverage(self) -> dict[str, float | None]:
        """By direction: packets of spans whose loss is known / packets; None where there were none."""
        return {
            direction: total.known_packets / total.packets if total.packets else None
            for direction, total in self.sums.items()
        }
