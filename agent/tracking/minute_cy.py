# cython: language_level=3
"""What one stream did in one minute: the fact that a minute's close gives out tens of thousands of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.tracking.dialog import Leg
    from agent.tracking.quality import Score
    from agent.tracking.sides import Socket

FIELDS = (
    "stamp_ns", "leg", "towards", "src", "dst", "ssrc", "payload_type", "codec", "first_ns", "last_ns",
    "packets", "bytes", "lost", "unknown", "duplicates", "reordered", "discarded", "gaps", "jitter_us",
    "jitter_mean_us", "jitter_count", "jitter_max_us", "lost_source", "jitter_source", "score", "weight",
    "burst_ratio", "assumed", "audio", "packet_ms", "named", "burst_packets", "burst_lost", "gap_packets",
    "gap_lost", "bursts",
)  # fmt: skip
"""A `StreamMinute`'s fields, in the order in which a checkpoint has them."""


class StreamMinute:
    """One stream in one minute. `lost` and `jitter_us` are None where nobody knows.

    Towards the vc they are measured here; away from it they are the far end's reports (the sources say so).
    `gaps` counts numbers never seen here, whichever way the stream goes; `weight` is the packets that `score`
    judges. Burst and gap figures are RFC 3611 4.7.2's with a Gmin of 16. minute_cy.pxd has the C types.
    """

    def __init__(self) -> None:
        self.stamp_ns = 0
        self.leg: Leg | None = None
        self.towards: bool | None = None
        self.src: Socket = ("", 0)
        self.dst: Socket = ("", 0)
        self.ssrc = 0
        self.payload_type = 0
        self.codec = ""
        self.first_ns = 0
        self.last_ns = 0
        self.packets = 0
        self.bytes = 0
        self.lost: int | None = None
        self.unknown = 0  # numbers never seen, perhaps because the capture missed them
        self.duplicates = 0
        self.reordered = 0
        self.discarded = 0  # too late for the modelled jitter buffer
        self.gaps = 0
        self.jitter_us: float | None = None
        self.jitter_mean_us: float | None = None
        self.jitter_count = 0
        self.jitter_max_us: float | None = None
        self.lost_source: str | None = None
        self.jitter_source: str | None = None
        self.score: Score | None = None
        self.weight = 0.0
        self.burst_ratio = 1.0
        self.assumed = False  # the clock rate was inferred
        self.audio = True
        self.packet_ms = 0.0  # 0: not known yet
        self.named = True  # its source address is one that the far end's SDP names
        self.burst_packets = 0
        self.burst_lost = 0
        self.gap_packets = 0
        self.gap_lost = 0
        self.bursts = 0
