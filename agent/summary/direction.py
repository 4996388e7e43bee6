"""One direction of one call in one minute, and the sum of many calls for a connector."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.summary.catalog import DIRECTIONS, SIDES
from agent.tracking.events import StreamMinute


class DirectionFigures(msgspec.Struct, gc=False):
    """Streams that share a direction: counts add, jitter is weighted by packets.

    `streams` counts those that ran or of which loss was told; `known` those whose loss is known.
    """

    packets: int = 0
    bytes: int = 0
    rtcp_packets: int = 0
    rtcp_bytes: int = 0
    streams: int = 0
    known: int = 0
    known_lost: int = 0
    known_packets: int = 0
    unknown: int = 0
    discarded: int = 0
    burst_packets: int = 0
    burst_lost: int = 0
    gap_packets: int = 0
    gap_lost: int = 0
    bursts: int = 0
    jitters_us: list[float] = []  # one sample a stream
    jitter_sum: float = 0.0
    jitter_packets: int = 0
    lost_source: str | None = None
    jitter_source: str | None = None
    scored: int = 0  # packets behind the scores; the sums are weighted by them
    mos_sum: float = 0.0
    r_sum: float = 0.0
    wide: int = 0
    wide_sum: float = 0.0
    first_ns: int = 0  # of its streams, not of this minute alone
    last_ns: int = 0
    codec: str = ""  # of the audio stream with most packets
    codec_packets: int = 0
    packet_ms: float = 0.0
    assumed: bool = False
    unnamed: bool = False

    @property
    def lost(self) -> int | None:
        """0 where no stream ran; None where streams ran and of none it is known."""
        return self.known_lost if self.known or not self.streams else None

    def fields(self) -> tuple[int | float | None, ...]:
        """What the media log has of a direction: RTP and RTCP packets and bytes, loss, jitter."""
        # As round() would, at a fifth of its cost: five thousand records close at once.
        packets = self.jitter_packets
        jitter_us = int(self.jitter_sum / packets * 10 + 0.5) / 10 if packets else None
        return self.packets, self.bytes, self.rtcp_packets, self.rtcp_bytes, self.lost, jitter_us

    def extras(self, total: int | None) -> tuple[int | float | str | None, ...]:
        """Sources of loss and jitter, `total`, unknown, discarded, burst and gap density, bursts."""
        return (
            self.lost_source,
            self.jitter_source,
            total,
            self.unknown,
            self.discarded,
            round(self.burst_lost / self.burst_packets, 4) if self.burst_packets else None,
            round(self.gap_lost / self.gap_packets, 4) if self.gap_packets else None,
            self.bursts,
        )

    def add(self, stream: StreamMinute) -> None:
        """One more stream of the direction."""
        one = of_stream(stream)
        self.packets += one.packets
        self.bytes += one.bytes
        self.streams += one.streams
        self.known += one.known
        self.known_lost += one.known_lost
        self.known_packets += one.known_packets
        self.unknown += one.unknown
        self.discarded += one.discarded
        self.burst_packets += one.burst_packets
        self.burst_lost += one.burst_lost
        self.gap_packets += one.gap_packets
        self.gap_lost += one.gap_lost
        self.bursts += one.bursts
        self.jitters_us += one.jitters_us
        self.jitter_sum += one.jitter_sum
        self.jitter_packets += one.jitter_packets
        self.lost_source = one.lost_source or self.lost_source
        self.jitter_source = one.jitter_source or self.jitter_source
        self.scored += one.scored
        self.mos_sum += one.mos_sum
        self.r_sum += one.r_sum
        self.wide += one.wide
        self.wide_sum += one.wide_sum
        self.last_ns = max(self.last_ns, one.last_ns)
        if one.first_ns and (not self.first_ns or one.first_ns < self.first_ns):
            self.first_ns = one.first_ns
        if one.codec_packets > self.codec_packets:
            self.codec, self.packet_ms, self.codec_packets = one.codec, one.packet_ms, one.codec_packets
        self.assumed = self.assumed or one.assumed
        self.unnamed = self.unnamed or one.unnamed


def of_stream(stream: StreamMinute) -> DirectionFigures:
    """A direction of one stream, as nearly all are."""
    packets, lost, jitter_us, score = stream.packets, stream.lost, stream.jitter_us, stream.score
    spoken = packets if stream.audio else 0
    scored = jittered = 0
    mos_sum = r_sum = wide_sum = jitter_sum = 0.0
    wide = 0
    if score is not None:
        scored = packets or int(stream.weight) or 1
        mos_sum, r_sum = score.mos * scored, score.r * scored
        if score.mos_wb is not None:
            wide, wide_sum = scored, score.mos_wb * scored
    if jitter_us is not None:
        jittered = packets or 1
        jitter_sum = jitter_us * jittered
    known = lost is not None
    return DirectionFigures(
        packets,
        stream.bytes,
        0,
        0,
        1 if packets or known else 0,
        1 if known else 0,
        lost or 0,
        packets if known else 0,
        stream.unknown,
        stream.discarded,
        stream.burst_packets,
        stream.burst_lost,
        stream.gap_packets,
        stream.gap_lost,
        stream.bursts,
        [] if jitter_us is None else [jitter_us],
        jitter_sum,
        jittered,
        stream.lost_source,
        stream.jitter_source,
        scored,
        mos_sum,
        r_sum,
        wide,
        wide_sum,
        stream.first_ns if packets else 0,
        stream.last_ns,
        stream.codec if spoken else "",
        spoken,
        stream.packet_ms if spoken else 0.0,
        stream.assumed and packets > 0,
        packets > 0 and not stream.named,
    )


_COUNTS = tuple(
    (direction, *(prefix + suffix for suffix in ("RtpPackets", "RtpBytes", "RtcpPackets", "RtcpBytes")))
    for direction, (prefix, _) in DIRECTIONS.items()
)


class MediaTotals:
    """The media metrics of one connector in one minute."""

    def __init__(self) -> None:
        self._sums = {direction: DirectionFigures() for direction in DIRECTIONS}
        self._samples: dict[str, list[tuple[float, float]]] = {}

    def add(self, directions: Iterable[tuple[str, DirectionFigures]]) -> None:
        """One call's directions, those where something happened."""
        for direction, figures in directions:
            total = self._sums[direction]
            total.packets += figures.packets
            total.bytes += figures.bytes
            total.rtcp_packets += figures.rtcp_packets
            total.rtcp_bytes += figures.rtcp_bytes
            total.streams += figures.streams
            total.known += figures.known
            total.known_lost += figures.known_lost
            total.known_packets += figures.known_packets
            total.jitters_us += figures.jitters_us

    def sample(self, metric: str, value: float) -> None:
        """One call's figure of a side: its RTT or MOS."""
        self._samples.setdefault(metric, []).append((value, 1.0))

    @property
    def values(self) -> dict[str, int | None]:
        """Counts by metric name. Loss: a sum over what is known, None where streams ran and none is."""
        values: dict[str, int | None] = {}
        for direction, packets, size, rtcp_packets, rtcp_bytes in _COUNTS:
            total = self._sums[direction]
            values[packets], values[size] = total.packets, total.bytes
            values[rtcp_packets], values[rtcp_bytes] = total.rtcp_packets, total.rtcp_bytes
            values[DIRECTIONS[direction][0] + "PacketsLost"] = total.lost
        return values

    @property
    def samples(self) -> dict[str, list[tuple[float, float]]]:
        """(value, count) pairs by metric name: jitter one a stream, RTT and MOS one a call."""
        jitters = {
            f"{prefix}Jitter": [(value, 1.0) for value in self._sums[direction].jitters_us]
            for direction, (prefix, _) in DIRECTIONS.items()
        }
        return jitters | {
            f"{name}{suffix}": self._samples.get(f"{name}{suffix}", [])
            for suffix, _, _ in SIDES.values()
            for name in ("RTTBetweenVcAnd", "MOSBetweenVcAnd")
        }

    @property
    def coverage(self) -> dict[str, float | None]:
        """By direction: packets of streams whose loss is known / packets; None where there were none."""
        return {
            direction: total.known_packets / total.packets if total.packets else None
            for direction, total in self._sums.items()
        }
