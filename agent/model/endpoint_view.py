"""The far end's own view of what it received: XR VoIP metrics (RFC 3611 4.7), quality reports (RFC 6035) and
the RTP statistics of a BYE. It stands beside our figures and never in their place, except for the round trip
of streams that the SBC makes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from agent.wire.rtp.rtcp_xr import VoipMetrics
    from agent.wire.sip.quality_report import Metrics, RtpStat


class EndpointView(Struct):
    """One report; None: the report does not say.

    Ratios are of packets expected; `r` is 0 to 100 (to 120 in RFC 6035).
    """

    loss_ratio: float | None = None
    discard_ratio: float | None = None
    burst_density: float | None = None
    burst_duration_ms: float | None = None
    gap_density: float | None = None
    gap_duration_ms: float | None = None
    jitter_ms: float | None = None
    round_trip_ms: float | None = None
    end_system_ms: float | None = None
    r: float | None = None
    mos_lq: float | None = None
    mos_cq: float | None = None
    packets_received: int | None = None
    packets_lost: int | None = None

    def take(self, newer: EndpointView) -> None:
        """Replaces each field that `newer` knows."""
        for name in _NAMES:
            value = getattr(newer, name)
            if value is not None:
                setattr(self, name, value)

    def drop_beyond(self, rtt_ms: float, span_ms: float) -> bool:
        """Drops a round trip longer than `rtt_ms` and a jitter longer than the packets' whole span.

        True where one was dropped: the far end's clock or unit is wrong.
        """
        dropped = False
        if self.round_trip_ms is not None and self.round_trip_ms > rtt_ms:
            self.round_trip_ms, dropped = None, True
        if self.jitter_ms is not None and self.jitter_ms > max(0.0, span_ms):
            self.jitter_ms, dropped = None, True
        return dropped

    def row(self) -> dict[str, float]:
        """The known fields, by name."""
        return {name: value for name in _NAMES if (value := getattr(self, name)) is not None}


_NAMES = EndpointView.__struct_fields__


def of_voip_metrics(block: VoipMetrics) -> EndpointView:
    return EndpointView(
        loss_ratio=block.loss_ratio,
        discard_ratio=block.discard_ratio,
        burst_density=block.burst_density,
        burst_duration_ms=block.burst_duration_ms,
        gap_density=block.gap_density,
        gap_duration_ms=block.gap_duration_ms,
        round_trip_ms=block.round_trip_ms,
        end_system_ms=block.end_system_delay_ms,
        r=block.r_factor,
        mos_lq=block.mos_lq,
        mos_cq=block.mos_cq,
    )


def of_metrics(metrics: Metrics) -> EndpointView:
    """Reads `LocalMetrics` of an RFC 6035 report: the reception of its sender."""
    return EndpointView(
        loss_ratio=metrics.loss_ratio,
        discard_ratio=metrics.discard_ratio,
        burst_density=metrics.burst_density,
        burst_duration_ms=metrics.burst_duration_ms,
        gap_density=metrics.gap_density,
        gap_duration_ms=metrics.gap_duration_ms,
        jitter_ms=metrics.jitter_ms,
        round_trip_ms=metrics.round_trip_ms,
        end_system_ms=metrics.end_system_ms,
        r=metrics.r_cq if metrics.r_cq is not None else metrics.r_lq,
        mos_lq=metrics.mos_lq,
        mos_cq=metrics.mos_cq,
    )


def of_rtp_stat(stat: RtpStat) -> EndpointView:
    """Reads the statistics header of a BYE. Its jitter is in ticks of an unknown clock, so it is left out."""
    ratio = stat.loss_ratio
    if ratio is None and stat.packets_lost is not None and stat.packets_received:
        ratio = stat.packets_lost / (stat.packets_lost + stat.packets_received)
    return EndpointView(
        loss_ratio=ratio,
        jitter_ms=None if stat.jitter_in_ticks else stat.jitter,
        round_trip_ms=stat.round_trip_ms,
        mos_cq=stat.mos,
        packets_received=stat.packets_received,
        packets_lost=stat.packets_lost,
    )
