"""Counts RTP again, slowly and from the RFC's text: every packet is kept, and judged at the end.

For the second opinion of `sbcwatch verify`. It shares no code with the loop that counts for the metrics.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import NamedTuple

from agent.wire.rtp.payload_types import FIRST_DYNAMIC

MAX_DROPOUT, MAX_MISORDER = 3000, 100  # RFC 3550 A.1
WINDOW = 64  # a source may leave out more numbers than these; fewer are lost
REPEATS = 8  # so many old numbers in a row are a source that began again
CLOCK_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 90000)
PAUSE_US = 500_000  # a source silent for so long when its media is renegotiated may begin anew
RATE_NEAR = 0.05  # a clock further from all of these is one of its own


class RecountedPacket(NamedTuple):
    """One RTP packet. `speech` False: a telephone-event or comfort noise, which have their own clocks."""

    stamp_ns: int
    seq: int
    timestamp: int
    payload_type: int
    marker: bool
    speech: bool


class Sequenced(NamedTuple):
    """Results from sequence numbers: `lost` were never seen, `duplicates` came again."""

    lost: int
    duplicates: int
    accepted: bool  # two in a row were seen at all (RFC 3550 A.1)


def runs(packets: Iterable[RecountedPacket]) -> Iterator[list[tuple[int, RecountedPacket]]]:
    """Packets with extended numbers, split where a source began again; strays are left out.

    RFC 3550 A.1: a number 3,000 or more ahead, or 100 or more behind, counts once the next one follows it.
    Old numbers that come once more in a row, as slowly as at first, are a source that began again too. So are
    many numbers left out for which neither time nor the source's clock had room.
    """
    packets = list(packets)
    ticks, rate = _pace(packets)
    run: list[tuple[int, RecountedPacket]] = []
    first_ns: dict[int, int] = {}
    highest = repeats = 0
    stray: RecountedPacket | None = None
    for packet in packets:
        step = (packet.seq - highest + 0x8000 & 0xFFFF) - 0x8000
        if run and WINDOW < step < MAX_DROPOUT and _has_no_room(step * ticks, rate, run[-1][1], packet):
            yield run
            run, first_ns, repeats, stray = [], {}, 0, None
        if run:
            if -MAX_MISORDER < step < MAX_DROPOUT:
                number, (before, newest) = highest + step, run[-1]
                apart_ns = first_ns.get(number, 0) - first_ns.get(before, 0)
                is_next = number == before + 1 and 2 * (packet.stamp_ns - newest.stamp_ns) >= apart_ns
                repeats = repeats * is_next + 1 if number in first_ns else 0
                first_ns.setdefault(number, packet.stamp_ns)
                run.append((number, packet))
                highest, stray = max(highest, number), None
                if repeats == REPEATS:
                    yield run[:-REPEATS]
                    run, highest, repeats = run[-REPEATS:], number, 0
                    first_ns = {number: packet.stamp_ns for number, packet in run}
                continue
            if stray is None or packet.seq != (stray.seq + 1) & 0xFFFF:
                stray = packet
                continue
            yield run
            run = [(stray.seq, stray)]
            first_ns, repeats = {stray.seq: stray.stamp_ns}, 0
            highest, stray = stray.seq, None
        highest = highest + 1 if run else packet.seq
        first_ns[highest] = packet.stamp_ns
        run.append((highest, packet))
    if run:
        yield run


def _has_no_room(room: float, rate: float, before: RecountedPacket, packet: RecountedPacket) -> bool:
    """Whether less than a quarter of `room` ticks passed, and the timestamps went another way."""
    passed = (packet.timestamp - before.timestamp + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
    return 4 * abs(room - passed) > room > 4 * (packet.stamp_ns - before.stamp_ns) * rate / 1e9


def _pace(packets: Sequence[RecountedPacket]) -> tuple[float, float]:
    """Ticks a packet in the mean, many of one timestamp or not, and the clock rate; 0 where nothing shows."""
    speech = [packet for packet in packets if packet.speech]
    step, rate = _timing(speech)
    return step * len({packet.timestamp for packet in speech}) / max(1, len(speech)), rate


def sequence(packets: Iterable[RecountedPacket]) -> Sequenced:
    """Loss and duplicates by keeping every number."""
    lost = duplicates = 0
    accepted = False
    for run in runs(packets):
        numbers = [number for number, _ in run]
        distinct = set(numbers)
        lost += max(distinct) - min(distinct) + 1 - len(distinct)
        duplicates += len(numbers) - len(distinct)
        accepted = accepted or any(b == a + 1 for a, b in pairwise(numbers))
    return Sequenced(lost, duplicates, accepted)


def jitter_us(
    packets: Iterable[RecountedPacket], described_ns: Sequence[int] = ()
) -> tuple[float, float] | None:
    """Mean and greatest J of RFC 3550 A.8 over the packets that measure the network; None without two.

    `described_ns`: when SDPs passed, in order. Where one did in a pause (a hold), the next packet is a
    reference.

    Telephone-events, comfort noise, duplicates and packets of one timestamp measure nothing. The marker of a
    talk spurt after a pause and a source that begins again are new references; where the packet before has a
    marker too it says nothing. Another payload type starts J anew, but for a packet alone between others.
    """
    speech = [packet for packet in packets if packet.speech]
    speech = [packet for place, packet in enumerate(speech) if not _is_alone(speech, place)]
    step, rate = _timing(speech)
    if not rate:
        return None
    values: list[float] = []
    j = 0.0
    for place, run in enumerate(runs(speech)):
        seen: set[int] = set()
        before: RecountedPacket | None = None
        # The first packet of a restart was out of range: only the next one made it valid (RFC 3550 A.1).
        for number, packet in run[1:] if place else run:
            if number in seen or (before is not None and packet.timestamp == before.timestamp):
                continue
            seen.add(number)
            if before is not None and packet.payload_type != before.payload_type:
                j, before = 0.0, None
            if before is not None:
                ticks = (packet.timestamp - before.timestamp + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
                elapsed_us = (packet.stamp_ns - before.stamp_ns) / 1e3
                begins = packet.marker and not before.marker
                if not (begins and elapsed_us * rate / 1e6 > 2 * step) and not (
                    elapsed_us >= PAUSE_US and _has_between(described_ns, before.stamp_ns, packet.stamp_ns)
                ):
                    j += (abs(elapsed_us - ticks * 1e6 / rate) - j) / 16
                    values.append(j)
            before = packet
    return (sum(values) / len(values), max(values)) if values else None


def _has_between(stamps_ns: Sequence[int], since_ns: int, until_ns: int) -> bool:
    place = bisect_left(stamps_ns, since_ns)
    return place < len(stamps_ns) and stamps_ns[place] <= until_ns


def _is_alone(packets: list[RecountedPacket], place: int) -> bool:
    """Whether a packet keeps a path open (RFC 6263): one of a dynamic type between two of another."""
    if not 0 < place < len(packets) - 1 or packets[place].payload_type < FIRST_DYNAMIC:
        return False
    before, after = packets[place - 1].payload_type, packets[place + 1].payload_type
    return before == after != packets[place].payload_type


def _timing(packets: Sequence[RecountedPacket]) -> tuple[int, float]:
    """Ticks from one timestamp to the next, and the clock rate that they show; 0 where they don't.

    A standard one is taken where it is near the mean, which two packets at once mislead in a short stream, or
    near the median, which bursts mislead.
    """
    neighbours: list[tuple[int, int]] = []
    first = packets[0] if packets else None  # of its timestamp: a picture has many packets
    for a, b in pairwise(packets):
        if first is not None and b.seq == (a.seq + 1) & 0xFFFF:
            if b.timestamp == first.timestamp:
                continue
            neighbours.append((b.timestamp - first.timestamp & 0xFFFFFFFF, b.stamp_ns - first.stamp_ns))
        first = b
    steps = Counter(ticks for ticks, _ in neighbours if 0 < ticks < 1 << 31)
    if not steps:
        return 0, 0
    step = steps.most_common(1)[0][0]
    spent_ns = [ns for ticks, ns in neighbours if ticks == step]
    if sum(spent_ns) <= 0:
        return 0, 0
    by_mean, by_median = (step * 1e9 / max(ns, 1) for ns in (mean(spent_ns), median(spent_ns)))
    near = [
        rate for shown in (by_mean, by_median) for rate in CLOCK_RATES if abs(rate / shown - 1) <= RATE_NEAR
    ]
    return step, near[0] if near else by_mean
