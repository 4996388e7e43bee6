"""A stream's score: by the packets of each payload type, repaired where RED repairs."""

from __future__ import annotations

import pytest

from agent.media.stream_score_cy import CodecFigures, Measure, QualityRules
from agent.model.call_cy import Call, Leg, Stream
from agent.model.stream_minute_cy import StreamMinute
from agent.quality.emodel import Score

NAMES = {
    0: "PCMU",
    18: "G729",
    96: "red",
    97: "rtx",
    98: "ulpfec",
    99: "opus",
    101: "telephone-event",
    13: "CN",
}
PCMU, G729 = 4.341, 3.984  # no loss, 100 ms assumed, 20 ms packets, 60 ms of buffer


def minute(
    *by_type: tuple[int, int],
    newest: int = 0,
    lost: int = 0,
    runs: int = 0,
    rules: QualityRules | None = None,
) -> StreamMinute:
    """The minute of a stream towards the vc that had those packets of each payload type."""
    call = Call()
    call.adopt(Leg("a", "tag", "incoming", "192.0.2.1", "customer", 0, 1))
    stream = Stream(0, ("192.0.2.1", 4000), ("10.0.0.1", 4002), 1, 0)
    stream.leg, stream.to_vc, stream.measured_here, stream.codecs = call.lead, True, True, NAMES
    its = StreamMinute()
    its.payload_type, its.clock_rate, its.step = newest, 8000, 160
    its.by_type = by_type
    its.packets = sum(packets for _, packets in by_type) or 1000
    its.judged, its.gaps, its.loss_runs = its.packets + lost, lost, runs
    its.jitter_sum_us, its.jitter_count = 1000.0, 10
    return Measure(rules or QualityRules()).minute(stream, its, None)


def score(*by_type: tuple[int, int], **how: object) -> Score:
    found = minute(*by_type, **how).score  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("by_type", "newest", "mos"),
    [
        ((), 0, PCMU),  # no more is known than the newest type
        (((0, 1000),), 0, PCMU),
        (((0, 2000), (18, 500)), 18, 4.269),
        (((18, 1000), (0, 1500)), 0, 4.198),
        (((0, 1000), (101, 400)), 0, PCMU),  # digits score nothing
        (((0, 10), (13, 1000)), 0, PCMU),  # nor does comfort noise
        (((0, 800), (98, 200)), 98, PCMU),  # nor do repairs within the stream
        (((96, 1000), (101, 20)), 96, PCMU),  # RED is its primary codec
        ((), 96, PCMU),
    ],
)
def test_score_is_that_of_each_payload_types_packets(
    by_type: tuple[tuple[int, int], ...], newest: int, mos: float
) -> None:
    assert score(*by_type, newest=newest).mos == pytest.approx(mos, abs=0.0011)


def test_minute_of_digits_alone_has_no_score() -> None:
    assert minute((101, 50), (13, 10)).score is None


def test_red_repairs_one_packet_of_each_run() -> None:
    plain, repaired = (
        score((0, 900), lost=100, runs=100).mos,
        score((96, 900), newest=96, lost=100, runs=100).mos,
    )
    assert repaired == pytest.approx(PCMU, abs=0.0011)
    assert plain < repaired
    half = score((96, 900), newest=96, lost=100, runs=50).mos
    assert plain < half < repaired


@pytest.mark.parametrize(("by_type", "newest"), [((), 97), (((97, 300),), 97), (((98, 300),), 98)])
def test_stream_of_repairs_is_no_sample(by_type: tuple[tuple[int, int], ...], newest: int) -> None:
    its = minute(*by_type, newest=newest)
    assert (its.score, its.jitter_us, its.audio) == (None, None, False)
    assert its.lost == 0  # its packets count


def test_assumed_figures_and_the_jitter_buffer_are_said() -> None:
    rules = QualityRules(buffer="adaptive to 200 ms")
    assert (score((0, 9), rules=rules).assumed, score((0, 9), rules=rules).buffer) == (False, rules.buffer)
    assert score((0, 9), (99, 9), rules=rules).assumed
    assert score((0, 9), (99, 9), rules=rules).buffer == rules.buffer


def test_own_figures_replace_the_tables_and_are_not_assumed() -> None:
    rules = QualityRules(codecs={"OPUS": CodecFigures(bpl=4.3), "PCMU": CodecFigures(ie=11)})
    assert not score(newest=99, rules=rules).assumed
    assert score(newest=99, lost=50, runs=50, rules=rules).mos < score(newest=99, lost=50, runs=50).mos - 0.5
    assert score(rules=rules).mos == pytest.approx(score(newest=0).mos - 0.33, abs=0.1)


@pytest.mark.parametrize("loss", [0, 10, 20, 30, 50, 100])
def test_trunk_that_moves_from_g711_to_opus_keeps_its_mos(loss: int) -> None:
    assert score(newest=99, lost=loss, runs=loss).mos == pytest.approx(
        score(lost=loss, runs=loss).mos, abs=0.3
    )
