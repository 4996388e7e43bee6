"""The path of a call: customer, vc, remote, and each of the four directions over time.

Loss between the vc and a far end belongs to that far end's side: the network, or the equipment, between the
vc and it. Loss inside the SBC is the vc's own (`vc_lost`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agent.model.units import MINUTE_NS, SLOT_NS
from agent.story.words import NOTABLE
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import KNOWN_SHARE, CallRecords, expected, known_loss, loss_share

Network = Literal["customer", "remote", "vc"]
NETWORK_OF: dict[str, Network] = {
    "cust2vc": "customer",
    "vc2cust": "customer",
    "rem2vc": "remote",
    "vc2rem": "remote",
}
"""Whose side a direction runs through."""
OUTAGE, OUTAGE_PACKETS = 0.05, 10  # share of a span's packets, and how many, from which it is bad by itself
WAYS_OF: dict[Network, tuple[str, str]] = {
    "customer": ("cust2vc", "vc2cust"),
    "remote": ("rem2vc", "vc2rem"),
}
"""The directions of a far end: towards the vc, away from it."""


class PathSpan(msgspec.Struct):
    """A slot of 10 s, or a minute where no slots were kept, of one direction. None: unknown."""

    start_ns: int
    end_ns: int
    packets: int
    lost: int | None
    late: int | None = None
    jitter_us: float | None = None
    gap_ms: float | None = None
    mos: float | None = None


class DirectionPath(msgspec.Struct):
    """One direction over the whole call.

    `lost` of `expected`: of the minutes whose loss is known, None where none is. `source`: who measured (rtp:
    here; rtcp, xr: the far end). `unknown`: numbers that perhaps only the capture missed. `spans`: in order
    of time.
    """

    direction: str
    network: Network
    packets: int = 0
    rtcp_packets: int = 0
    expected: int = 0
    lost: int | None = None
    source: str | None = None
    unknown: int = 0
    discarded: int = 0
    mos: float | None = None  # of its worst minute ...
    mos_ns: int = 0  # ... which begins here
    jitter_us: float | None = None  # of its worst minute
    burst_density: float | None = None
    spans: list[PathSpan] = []

    @property
    def loss(self) -> float | None:
        return loss_share(self.lost, self.expected, self.packets)

    @property
    def outages(self) -> list[PathSpan]:
        """Spans that were bad by themselves: a second of them is heard, however long the call."""
        return [
            span
            for span in self.spans
            if span.lost
            and span.lost >= OUTAGE_PACKETS
            and span.lost >= expected(self.direction, span.packets, span.lost) * OUTAGE
        ]

    @property
    def is_losing(self) -> bool:
        """Whether its loss is named: a share of the whole call, or an outage."""
        return self.loss is not None and (self.loss >= NOTABLE or bool(self.outages))


class CallPath(msgspec.Struct):
    """The four directions by name, the vc's own loss (None: not observed), each side's RTT."""

    directions: dict[str, DirectionPath]
    vc_lost: int | None
    rtt_us: dict[str, float | None]  # customer, remote: the worst minute


def path_of(records: CallRecords) -> CallPath:
    """The path that a call's media records draw."""
    directions = {way: DirectionPath(way, NETWORK_OF[way]) for way in DIRECTIONS}
    vc_lost: int | None = None
    rtt_us: dict[str, float | None] = {"customer": None, "remote": None}
    for record in records.media:
        for direction in directions.values():
            _add(direction, record, records.call)
        if record.get("vc_lost") is not None:
            vc_lost = (vc_lost or 0) + record["vc_lost"]
        for side, short in (("customer", "cust"), ("remote", "rem")):
            rtt_us[side] = _most(rtt_us[side], record.get(f"rtt_btwn_vc_and_{short}"))
    return CallPath(directions, vc_lost, rtt_us)


def _add(direction: DirectionPath, record: dict[str, Any], call: dict[str, Any]) -> None:
    """Adds one minute."""
    way = direction.direction
    packets, lost = record.get(f"{way}_rtp_packets") or 0, record.get(f"{way}_packets_lost")
    direction.packets += packets
    direction.rtcp_packets += record.get(f"{way}_rtcp_packets") or 0
    direction.unknown += record.get(f"{way}_packets_unknown") or 0
    direction.discarded += record.get(f"{way}_packets_discarded") or 0
    found = known_loss(record, way)
    score = score_of(record, way)
    minute_ns = int(record["event_timestamp"]) * 1_000_000 - MINUTE_NS
    if score is not None and (direction.mos is None or score < direction.mos):
        direction.mos, direction.mos_ns = score, minute_ns
    direction.jitter_us = _most(direction.jitter_us, record.get(f"{way}_jitter"))
    direction.burst_density = _most(direction.burst_density, record.get(f"{way}_burst_density"))
    if not packets and not lost:
        return
    if found is not None:
        direction.lost = (direction.lost or 0) + found[0]
        direction.expected += found[1]
        direction.source = record.get(f"{way}_packets_lost_source") or direction.source
    spans = _slots(record, way) or [_minute(record, way, packets, lost, score)]
    direction.spans += [_within(span, call) for span in spans]


def score_of(record: dict[str, Any], way: str) -> float | None:
    """MOS of a direction's minute; None where it rests on too few of the packets."""
    found = known_loss(record, way)
    if found is not None and found[1] < (record.get(f"{way}_rtp_packets") or 0) * KNOWN_SHARE:
        return None
    score: float | None = (record.get("mos_directions") or {}).get(way)
    return score


def _minute(record: dict[str, Any], way: str, packets: int, lost: int | None, mos: float | None) -> PathSpan:
    """The minute as one span."""
    end_ns = int(record["event_timestamp"]) * 1_000_000
    jitter_us = record.get(f"{way}_jitter")
    return PathSpan(end_ns - MINUTE_NS, end_ns, packets, lost, jitter_us=jitter_us, mos=mos)


def _within(span: PathSpan, call: dict[str, Any]) -> PathSpan:
    """A span from the call's INVITE to its end, where these lie in it."""
    begun_ns, over_ns = call.get("invite_ns") or 0, call.get("end_ns") or 0
    if span.start_ns < begun_ns < span.end_ns:
        span.start_ns = begun_ns
    if span.start_ns < over_ns < span.end_ns:
        span.end_ns = over_ns
    return span


def _slots(record: dict[str, Any], way: str) -> list[PathSpan]:
    """The slots of a minute (`<dir>_timeline`: packets, lost, late, jitter, gap), where they were kept."""
    start_ns = int(record["event_timestamp"]) * 1_000_000 - MINUTE_NS
    spans = []
    for number, slot in enumerate(record.get(f"{way}_timeline") or ()):
        if slot is not None and (slot[0] or slot[1]):
            begin_ns = start_ns + number * SLOT_NS
            packets, lost, late, jitter_us, gap_ms = slot[:5]
            spans.append(PathSpan(begin_ns, begin_ns + SLOT_NS, packets, lost, late, jitter_us, gap_ms))
    return spans


def _most(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
