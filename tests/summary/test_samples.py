"""Samples of a minute: how many each figure has, and that the metric's average is the log's."""

from __future__ import annotations

import pytest

from agent.model.stream_minute_cy import StreamMinute
from agent.quality.emodel import Score
from agent.summary.direction_totals_cy import DirectionFigures, MediaTotals
from agent.summary.records import Samples
from tests.kit.scene import CUST, PHONE, VC2CUST, A, B, answered, block, odd, receiver_report


def stream(packets: int, jitter_us: float) -> StreamMinute:
    its = StreamMinute()
    its.packets, its.jitter_us, its.jitter_source = packets, jitter_us, "rtp"
    return its


def test_average_jitter_of_the_metric_is_weighted_by_packets_as_the_logs_is() -> None:
    figures, totals = DirectionFigures(), MediaTotals()
    for its in (stream(3000, 100.0), stream(500, 4000.0), stream(500, 100.0)):
        figures.add(its)
    totals.add("rem2vc", figures)
    samples = totals.samples["RemoteToVcJitter"]
    assert samples == Samples([100.0, 4000.0], [3500.0, 500.0])
    assert samples.sum / samples.count == pytest.approx(figures.jitter_sum / figures.jitter_packets)


def test_each_known_direction_is_a_sample_of_mos_and_the_log_has_both() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301))
    scene.rtp(0.2, VC2CUST, CUST, B, range(1, 301))
    scene.send(6.1, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(B, 60, 290)))
    played = scene.play()
    row = played.row
    value = played.summaries[0].connectors[0].values["MOSBetweenVcAndCustomer"]
    assert isinstance(value, Samples)
    assert value.count == 2
    assert [round(mos, 3) for mos in value.values] == sorted(row["mos_directions"].values())
    assert row["mos_worst_btwn_vc_and_cust"] == row["mos_directions"]["vc2cust"]
    assert min(value.values) < row["mos_btwn_vc_and_cust"] < max(value.values)


def test_record_names_the_jitter_buffer_and_says_that_no_codec_figure_is_assumed() -> None:
    scene = answered()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301))
    row = scene.play().row
    assert row["jitter_buffer"] == "adaptive to 200 ms"
    assert row["mos_codec_assumed_btwn_vc_and_cust"] is False
    assert row["mos_codec_assumed_btwn_vc_and_rem"] is None
    assert set(row["mos_directions"]) == {"cust2vc"}


def test_coverage_away_from_the_vc_is_of_the_spans_that_blocks_end() -> None:
    figures, totals = DirectionFigures(), MediaTotals()
    its = stream(3000, 100.0)
    its.lost, its.lost_source, its.weight = 0, "rtcp", 1200.0
    figures.add(its)
    totals.add("vc2rem", figures)
    assert totals.coverage["vc2rem"] == 0.4


def test_score_of_a_stream_keeps_its_packets_as_weight() -> None:
    figures = DirectionFigures()
    its = stream(3000, 100.0)
    its.score = Score(90.0, 4.3, None)
    figures.add(its)
    assert figures.scored == 3000
    assert figures.mos_sum == pytest.approx(12_900)
