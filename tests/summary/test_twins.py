"""A stream's minute and a media record are the same whether compiled or not, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import uncompiled
from agent.media import stream_score_cy
from agent.media.rtp import loop_cy
from agent.model import call_cy, far_end_cy, stream_minute_cy
from agent.model.call_cy import Call, Leg
from agent.model.events import RoundTrip
from agent.model.sides import ONLY
from agent.model.units import MINUTE_NS
from agent.quality.emodel import Score
from agent.summary import call_minute_cy, direction_totals_cy, media_record_cy, side_totals_cy
from agent.summary.identity import Identity
from agent.summary.media_columns import MEDIA_COLUMNS
from tests.kit.examples import examples
from tests.kit.loop_tap import T0, Tap

NAMES = (
    "media.rtp.loop_cy",
    "media.stream_score_cy",
    "model.stream_minute_cy",
    "model.call_cy",
    "summary.direction_totals_cy",
    "summary.call_minute_cy",
    "summary.side_totals_cy",
    "summary.media_record_cy",
    "model.far_end_cy",
)
COMPILED = (
    loop_cy,
    stream_score_cy,
    stream_minute_cy,
    call_cy,
    direction_totals_cy,
    call_minute_cy,
    side_totals_cy,
    media_record_cy,
    far_end_cy,
)
UNCOMPILED = tuple(uncompiled.sources(*(f"agent.{name}" for name in NAMES)))
COUNT = st.integers(0, 10**6)
FIGURE = st.one_of(st.none(), st.floats(0, 1e7))
LOSSES = st.lists(st.integers(2, 110), max_size=30)

pytestmark = pytest.mark.skipif(str(media_record_cy.__file__).endswith(".py"), reason="not compiled here")


def fields(minute: Any) -> tuple[Any, ...]:
    return tuple(getattr(minute, name) for name in stream_minute_cy.FIELDS)


def test_a_stream_minutes_fields_are_those_that_the_compiler_declares() -> None:
    assert set(vars(UNCOMPILED[2].StreamMinute())) == set(stream_minute_cy.FIELDS)
    assert fields(stream_minute_cy.StreamMinute()) == fields(UNCOMPILED[2].StreamMinute())


@settings(max_examples=25, deadline=None)
@given(
    lost=LOSSES,
    measured_here=st.sampled_from([True, False, None]),
    codec=st.sampled_from(["PCMA", "G722", "opus", ""]),
    told=st.one_of(st.none(), st.tuples(st.one_of(st.none(), COUNT), COUNT, st.floats(0, 1e6), COUNT)),
    rtt_us=st.one_of(st.none(), st.floats(0, 1e7)),
)
def test_a_streams_minute_is_the_same_in_both(
    lost: list[int],
    measured_here: bool | None,
    codec: str,
    told: tuple[int | None, int, float, int] | None,
    rtt_us: float | None,
) -> None:
    call = Call()
    call.adopt(Leg("a", "tag", "incoming", "192.0.2.1", "customer", 0, 1))
    call.rtt_us = {} if rtt_us is None else {"customer": rtt_us}
    minutes = []
    for loop, measure, _, calls, *_, far_end in (COMPILED, UNCOMPILED):
        tap = Tap(loop.Loop(max_streams=8))
        tap.run([number for number in range(1, 120) if number not in lost])
        tap.loop.finish()
        stream = calls.Stream(tap.stream, ("192.0.2.1", 4000), ("10.0.0.1", 4002), 1, T0)
        stream.leg = call.lead
        stream.to_vc = stream.measured_here = measured_here
        stream.codecs = {0: codec}
        its = tap.loop.harvest(tap.stream, T0)
        away = None if told is None else far_end.AwayMinute(*told)
        made = measure.Measure(measure.QualityRules()).minute(stream, its, away)
        made.leg = None
        minutes.append(fields(made))
    assert minutes[0] == minutes[1]


@st.composite
def stream_fields(draw: st.DrawFn) -> dict[str, Any]:
    jitter_us, lost = draw(FIGURE), draw(st.one_of(st.none(), COUNT))
    return {
        "to_vc": draw(st.sampled_from([True, False, None])),
        "ssrc": draw(st.integers(1, 3)),
        "codec": draw(st.sampled_from(["PCMA", "pcma", "G722"])),
        "first_ns": draw(st.integers(0, MINUTE_NS)),
        "last_ns": draw(st.integers(0, MINUTE_NS)),
        "packets": draw(st.sampled_from([0, 1, 49, 50, 3000])),
        "lost": lost,
        "lost_source": None if lost is None else draw(st.sampled_from(["rtp", "rtcp"])),
        "jitter_us": jitter_us,
        "jitter_source": None if jitter_us is None else "rtp",
        "score": draw(
            st.one_of(
                st.none(),
                st.builds(
                    Score, st.floats(0, 93.2), st.floats(1, 4.5), st.one_of(st.none(), st.floats(1, 4.5))
                ),
            )
        ),
        "weight": draw(st.floats(0, 1e6)),
        "packet_ms": draw(st.sampled_from([0.0, 20.0, 30.0])),
        **{name: draw(COUNT) for name in ("bytes", "unknown", "discarded", "gaps", "bursts", "burst_lost")},
        **{name: draw(COUNT) for name in ("burst_packets", "gap_lost", "gap_packets")},
        **{name: draw(st.booleans()) for name in ("assumed", "audio", "named")},
    }


@settings(max_examples=examples(100), deadline=None)
@given(
    streams=st.lists(st.tuples(st.integers(0, 1), stream_fields()), max_size=6),
    reports=st.lists(st.tuples(st.integers(0, 1), COUNT, COUNT, COUNT, COUNT), max_size=2),
    trips=st.lists(
        st.tuples(st.integers(0, 1), st.floats(0, 1e7), st.sampled_from(["rtcp", "xr"]), st.booleans()),
        max_size=5,
    ),
    answer_ns=st.one_of(st.none(), st.integers(0, MINUTE_NS)),
)
def test_a_media_record_is_the_same_in_both(
    streams: list[Any], reports: list[Any], trips: list[Any], answer_ns: int | None
) -> None:
    results = []
    for _, _, minute, _, direction, heards, _, media, _ in (COMPILED, UNCOMPILED):
        its = Call(answer_ns=answer_ns)  # one each: totals of a leg's media grow
        for call_id, way, side in (("a", "incoming", "customer"), ("b", "outgoing", "remote")):
            its.adopt(Leg(call_id, "tag", way, "192.0.2.1", side, 0, 1))  # type: ignore[arg-type]
        heard = heards.CallMinute(its)
        for leg, values in streams:
            one = minute.StreamMinute()
            one.leg = its.legs[leg]
            for name, value in values.items():
                setattr(one, name, value)
            heard.streams.append(one)
        heard.reports = [minute.ReportsMinute(0, its.legs[leg], *counts) for leg, *counts in reports]
        heard.rtts = [RoundTrip(0, its.legs[leg], *its_trip) for leg, *its_trip in trips]
        (view,) = media.views(heard)
        totals = direction.MediaTotals()
        view.add_to(totals)
        row = view.row(ONLY, MINUTE_NS, MINUTE_NS, Identity(), 0b111101)
        record = dict(zip(MEDIA_COLUMNS, row, strict=True)) if row else {}
        if record:
            media.finish(Identity(), record)
        results.append((list(record.items()), totals.values, totals.samples, totals.coverage))
    assert repr(results[0]) == repr(results[1])  # 1 and 1.0 are not the same in JSON
