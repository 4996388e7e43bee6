"""RTCP extended reports (RFC 3611), block by block; what a block says it does not know is None.

Blocks of unknown type, and packet receipt times (4.3), are skipped by their length.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout

from msgspec import Struct

_BLOCK = Layout(">BBH")
_WORD = Layout(">I")
_RUNS = Layout(">IHH")
_TWO = Layout(">II")
_DLRR = Layout(">III")
_SUMMARY = Layout(">IHHIIIIIIBBBB")
_VOIP = Layout(">IBBBBHHHHbbBBBBBBBBHHH")

_UNKNOWN = 127  # 4.7: "a value of 127 indicates that this parameter is unavailable"


class RunLength(Struct, frozen=True):
    """Loss RLE (4.1) and duplicate RLE (4.2): one bit for each number of [begin, end), modulo 2^16."""

    ssrc: int
    thinning: int  # T: every 2^T-th number only
    begin: int
    end: int
    chunks: tuple[int, ...]

    @property
    def zeros(self) -> int:
        """Numbers whose bit is 0: lost packets, or numbers that were received more than once."""
        covered = -(-((self.end - self.begin) & 0xFFFF) >> self.thinning)
        zeros = 0
        for chunk in self.chunks:
            if not chunk or covered <= 0:  # a terminating null chunk
                break
            if chunk & 0x8000:  # bit vector, the first number in the highest bit
                length = min(15, covered)
                vector = (chunk & 0x7FFF) >> (15 - length)
                zeros += length - vector.bit_count()
            else:  # run of 0s or 1s
                length = min(chunk & 0x3FFF, covered)
                zeros += 0 if chunk & 0x4000 else length
            covered -= length
        return zeros


class LossRuns(RunLength, frozen=True):
    """Loss RLE (4.1)."""


class DuplicateRuns(RunLength, frozen=True):
    """Duplicate RLE (4.2)."""


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


class StatisticsSummary(Struct, frozen=True):
    """Statistics summary (4.6) of the numbers [begin, end); jitter in RTP ticks."""

    ssrc: int
    begin: int
    end: int
    lost: int | None
    duplicates: int | None
    jitter_min: int | None
    jitter_max: int | None
    jitter_mean: int | None
    jitter_deviation: int | None


class VoipMetrics(Struct, frozen=True):
    """VoIP metrics (4.7)."""

    ssrc: int
    loss_ratio: float
    discard_ratio: float
    burst_density: float
    gap_density: float
    burst_duration_ms: int
    gap_duration_ms: int
    round_trip_ms: int | None  # 0 until there is a measurement
    end_system_delay_ms: int | None
    signal_level_dbm: int | None
    noise_level_dbm: int | None
    rerl_db: int | None
    gmin: int
    r_factor: int | None
    external_r_factor: int | None
    mos_lq: float | None
    mos_cq: float | None
    rx_config: int
    jitter_buffer_nominal_ms: int
    jitter_buffer_max_ms: int
    jitter_buffer_abs_max_ms: int


Block = LossRuns | DuplicateRuns | ReceiverReference | Delay | StatisticsSummary | VoipMetrics


class ExtendedReport(Struct, frozen=True):
    """One XR packet."""

    ssrc: int  # who reports
    blocks: list[Block]


def _runs(kind: type[LossRuns] | type[DuplicateRuns]) -> Callable[[bytes, int], list[Block]]:
    def read(content: bytes, specific: int) -> list[Block]:
        ssrc, begin, end = _RUNS.unpack_from(content)
        chunks = memoryview(content)[_RUNS.size :]
        words = tuple(chunks[at] << 8 | chunks[at + 1] for at in range(0, len(chunks) - 1, 2))
        return [kind(ssrc, specific & 0x0F, begin, end, words)]

    return read


def _receiver_reference(content: bytes, specific: int) -> list[Block]:
    return [ReceiverReference(*_TWO.unpack_from(content))]


def _delays(content: bytes, specific: int) -> list[Block]:
    return [Delay(*_DLRR.unpack_from(content, at)) for at in range(0, len(content) - 11, 12)]


def _summary(content: bytes, specific: int) -> list[Block]:
    ssrc, begin, end, lost, duplicates, least, most, mean, deviation = _SUMMARY.unpack_from(content)[:9]
    jitter = bool(specific & 0x20)
    return [
        StatisticsSummary(
            ssrc,
            begin,
            end,
            lost if specific & 0x80 else None,
            duplicates if specific & 0x40 else None,
            least if jitter else None,
            most if jitter else None,
            mean if jitter else None,
            deviation if jitter else None,
        )
    ]


def _voip(content: bytes, specific: int) -> list[Block]:
    (
        ssrc, loss, discard, burst_density, gap_density, burst, gap, round_trip, end_system, signal, noise,
        rerl, gmin, r_factor, external, mos_lq, mos_cq, config, _, nominal, most, absolute,
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
            _known(signal),
            _known(noise),
            _known(rerl),
            gmin,
            r_factor if r_factor <= 100 else None,
            external if external <= 100 else None,
            mos_lq / 10 if 10 <= mos_lq <= 50 else None,
            mos_cq / 10 if 10 <= mos_cq <= 50 else None,
            config,
            nominal,
            most,
            absolute,
        )
    ]


def _known(value: int) -> int | None:
    return None if value == _UNKNOWN else value


# By block type: how many bytes its content has at least, and its reader.
_READERS: dict[int, tuple[int, Callable[[bytes, int], list[Block]]]] = {
    1: (_RUNS.size, _runs(LossRuns)),
    2: (_RUNS.size, _runs(DuplicateRuns)),
    4: (_TWO.size, _receiver_reference),
    5: (0, _delays),
    6: (_SUMMARY.size, _summary),
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
        kind, specific, words = _BLOCK.unpack_from(data, at)
        stop = at + 4 + 4 * words
        if stop > end:
            return report, bad + 1
        least, read = _READERS.get(kind, (0, None))
        if read is not None:
            if stop - at - 4 >= least:
                report.blocks.extend(read(data[at + 4 : stop], specific))
            else:
                bad += 1
        at = stop
    return report, bad
