# cython: language_level=3
"""A direction's minute in six slots of 10 s, as the record has it (`<dir>_timeline`).

A slot is a list, `catalog.TIMELINE` names its places:

    packets        RTP packets in it
    lost           of those that should have come in it; away from the vc the far end's reports say so, of
                   which each spreads its loss evenly over the time since the one before
    late           too late for the modelled jitter buffer; None away from the vc
    jitter_max_us  the largest RFC 3550 jitter; away from the vc the far end's, by the report's time
    gap_ms         the longest time without a packet in the slot that a later packet ended

A figure is None where it is unknown, and a slot where it was not watched, or no room was left for it.
Streams that share the direction merge: packets, lost and late add up, of jitter and gap the greatest stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cython

from agent.model.events import RoundTrip
from agent.model.far_end_cy import MAX_JITTER_S
from agent.model.stream_minute_cy import StreamMinute
from agent.model.units import MINUTE_NS, SLOT_NS

if not cython.compiled:  # timeline_cy.pxd has them, typed
    from agent import uncompiled

    SLOTS, SLOT_BYTES, MOST = uncompiled.constants("agent.media.rtp.stream_table_cy", "SLOTS SLOT_BYTES MOST")
    (JITTER_UNIT_US,) = uncompiled.constants("agent.media.rtp.timeline_cy", "JITTER_UNIT_US")

Slot = list[int | None]
Span = tuple[int, int]
ALL_WATCHED = 0b111111


def watched_slots(start_ns: int, from_ns: int, until_ns: int, missed: list[Span]) -> int:
    """The watched slots of the minute at `start_ns`, a bit each.

    It was watched from `from_ns` to `until_ns`, but for the times in `missed`.
    """
    watched = 0
    length_ns = MINUTE_NS // SLOTS
    for number in range(SLOTS):
        begin_ns = start_ns + number * length_ns
        end_ns = begin_ns + length_ns
        seen_ns = min(until_ns, end_ns) - max(from_ns, begin_ns)
        seen_ns -= sum(
            max(0, min(end, until_ns, end_ns) - max(begin, from_ns, begin_ns)) for begin, end in missed
        )
        watched |= (seen_ns > 0) << number
    return watched


@cython.no_gc
@cython.cclass
class Timeline:
    """The slots of a direction, as a sequence. They are worked out when they are asked for: a minute's close
    has tens of thousands, and they are read where they are written down (`plain`).

    One stream's, and in `other` those of the streams that share its direction. timeline_cy.pxd has the types.
    """

    def __init__(self, stream_minute: StreamMinute, watched: cython.int, other: Timeline | None) -> None:
        self.octets: bytes = stream_minute.slots
        self.reported: list[int] | None = stream_minute.reported_slots
        self.clock_rate = (
            0 if stream_minute.clock_rate_mismatch else stream_minute.clock_rate
        )  # it may have measured by either
        self.measured = stream_minute.lost_source == "rtp"
        self.audio = stream_minute.audio
        self.watched = watched
        self.other = other

    def slots(self) -> list[Slot | None]:
        """Each is made anew."""
        return [self.slot(number) if self.watched >> number & 1 else None for number in range(SLOTS)]

    def slot(self, number: cython.int) -> Slot | None:
        line: Timeline | None = self
        octets: bytes
        at: cython.longlong
        jitter_us: cython.longlong
        packets: cython.longlong = 0
        lost: cython.longlong = -1
        late: cython.longlong = -1
        jitter_max_us: cython.longlong = -1
        gap: cython.longlong = 0
        while line is not None:
            octets = line.octets
            at = len(octets) - (SLOTS - number) * SLOT_BYTES
            jitter_us = -1
            if octets:
                if at < 0 or word(octets, at) == MOST:
                    return None
                packets += word(octets, at)
                gap = max(gap, word(octets, at + 8))
            if line.measured:
                lost = max(lost, 0) + (word(octets, at + 2) if octets else 0)
                late = max(late, 0) + (word(octets, at + 4) if octets else 0)
                if octets and line.audio:
                    jitter_us = (word(octets, at + 6) - 1) * JITTER_UNIT_US
            elif line.reported is not None:
                reported: list[int] = line.reported
                if reported[number] >= 0:
                    lost = max(lost, 0) + reported[number]
                jitter_us = ticks_us(reported[SLOTS + number], line.clock_rate)
            jitter_max_us = max(jitter_max_us, jitter_us)
            line = line.other
        return [
            packets,
            lost if lost >= 0 else None,
            late if late >= 0 else None,
            jitter_max_us if jitter_max_us >= 0 else None,
            gap - 1 if gap > 0 else None,
        ]

    def __len__(self) -> int:
        return int(SLOTS)

    def __getitem__(self, at: Any) -> Any:
        return self.slots()[at]

    def __iter__(self) -> Iterator[Slot | None]:
        return iter(self.slots())

    def __eq__(self, other: object) -> bool:
        return self.slots() == (other.slots() if isinstance(other, Timeline) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.slots())

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is the list."""
        return list, (self.slots(),)


def ticks_us(ticks: cython.longlong, clock_rate: cython.longlong) -> cython.longlong:
    """Microseconds, rounded half to even; -1 where they are unknown, or too many to be a jitter."""
    if ticks < 0 or clock_rate <= 0 or ticks > MAX_JITTER_S * clock_rate:
        return -1
    whole: cython.longlong = ticks * 1_000_000 // clock_rate
    rest: cython.longlong = 2 * (ticks * 1_000_000 % clock_rate)
    return whole + (rest > clock_rate or (rest == clock_rate and whole & 1))


def timeline(streams: list[StreamMinute], watched: cython.int) -> Timeline:
    """The slots of a direction in which `streams` ran, at least one; `watched`: a bit for each that was."""
    stream_minute: StreamMinute
    found: Timeline | None = None
    for stream_minute in streams:
        found = Timeline(stream_minute, watched, found)
    assert found is not None
    return found


def plain(value: object) -> object:
    """For msgspec's `enc_hook`: what it writes in place of a `Timeline`. Raises NotImplementedError."""
    if isinstance(value, Timeline):
        return value.slots()
    raise NotImplementedError(type(value))


def trips_by_slot(trips: list[RoundTrip]) -> list[float | None]:
    """The mean of the round trips that each slot's reports gave, microseconds; None where none gave one."""
    slots: list[list[RoundTrip]] = [[] for _ in range(SLOTS)]
    for trip in trips:
        slots[trip.stamp_ns % MINUTE_NS // SLOT_NS].append(trip)
    return [round(mean_us(slot), 1) if slot else None for slot in slots]


def mean_us(trips: list[RoundTrip]) -> float:
    """The mean round trip, microseconds, of one or more."""
    return sum([trip.rtt_us for trip in trips]) / len(trips)


def word(octets: bytes, at: cython.longlong) -> cython.longlong:
    """A counter of 16 bits, as the host has them in memory (every host that runs this is little-endian)."""
    low: cython.longlong = octets[at]
    high: cython.longlong = octets[at + 1]
    return high << 8 | low
