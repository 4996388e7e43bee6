"""RTCP extended reports (RFC 3611), block by block. A value that its sender does not know is None.

Only blocks that a figure needs are read: reference times, answers to them, and VoIP metrics. Of run lengths
(4.1, 4.2) and statistics (4.6) only the size is checked. Other types are skipped by their length.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout

from msgspec import Struct

_BLOCK = Layout(">BxH")
_WORD = Layout(">I")
_TWO = Layout(">II")
_DLRR = Layout(">III")
_VOIP = Layout(">IBBBBHHHHxxxxBxBBxxxxxxxx")
_LEAST_RUNS, _LEAST_SUMMARY = 8, 36  # bytes of content


class ReceiverReference(Struct, frozen=True):
    """Receiver reference time (4.4): what DLRR answers, as a receiver report answers a sender's."""

    ntp_sec: int
    ntp_frac: int

    @property
    def middle32(self) -> int:
        return (self.ntp_sec & 0xFFFF) << 16 | self.ntp_frac >> 16


class Delay(Struct, frozen=True):
    """A DLRR sub-block (4.5): RTT is arrival - lrr - dlrr, all in 1/65536 s."""

    ssrc: int
    lrr: int
    dlrr: int


class VoipMetrics(Struct, frozen=True):
    """VoIP metrics (4.7), those of them that a record has."""

    ssrc: int
    loss_ratio: float
    discard_ratio: float
    burst_density: float
    gap_density: float
    burst_duration_ms: int
    gap_duration_ms: int
    round_trip_ms: int | None  # 0 until there is a measurement
    end_system_delay_ms: int | None
    r_factor: int | None
    mos_lq: float | None
    mos_cq: float | None


Block = ReceiverReference | Delay | VoipMetrics


class ExtendedReport(Struct, frozen=True):
    """One XR packet."""

    ssrc: int  # who reports
    blocks: list[Block]


def _receiver_reference(content: bytes) -> list[Block]:
    return [ReceiverReference(*_TWO.unpack_from(content))]


def _delays(content: bytes) -> list[Block]:
    return [Delay(*_DLRR.unpack_from(content, at)) for at in range(0, len(content) - 11, 12)]


def _voip(content: bytes) -> list[Block]:
    (
        ssrc, loss, discard, burst_density, gap_density, burst, gap, round_trip, end_system, r_factor,
        mos_lq, mos_cq,
    ) = _VOIP.unpack_from(content)  # fmt: skip
    return [
        VoipMetrics(
            ssrc,
            loss / 256,
            discard / 256,
            burst_density / 256,
            gap_density / 256,
            burst,
            gap,
            round_trip or None,
            end_system or None,
            r_factor if r_factor <= 100 else None,
            mos_lq / 10 if 10 <= mos_lq <= 50 else None,
            mos_cq / 10 if 10 <= mos_cq <= 50 else None,
        )
    ]


def _nothing(content: bytes) -> list[Block]:
    return []


# By block type: how many bytes its content has at least, and its reader.
_READERS: dict[int, tuple[int, Callable[[bytes], list[Block]]]] = {
    1: (_LEAST_RUNS, _nothing),
    2: (_LEAST_RUNS, _nothing),
    4: (_TWO.size, _receiver_reference),
    5: (0, _delays),
    6: (_LEAST_SUMMARY, _nothing),
    7: (_VOIP.size, _voip),
}


def parse(data: bytes, at: int, end: int) -> tuple[ExtendedReport, int]:
    """Read the XR packet whose SSRC is at `at` and which ends before `end` (at least 4 bytes apart).

    Returns the report and how many blocks in it were bad: too short for their type, or longer than the
    packet, after which nothing more of it can be found. Raises nothing.
    """
    report = ExtendedReport(_WORD.unpack_from(data, at)[0], [])
    at += 4
    bad = 0
    while end - at >= 4:
        kind, words = _BLOCK.unpack_from(data, at)
        stop = at + 4 + 4 * words
        if stop > end:
            return report, bad + 1
        least, read = _READERS.get(kind, (0, _nothing))
        if stop - at - 4 >= least:
            report.blocks.extend(read(data[at + 4 : stop]))
        else:
            bad += 1
        at = stop
    return report, bad
