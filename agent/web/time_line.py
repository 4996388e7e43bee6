"""The time line of a call: its plots by 10 s (by a minute where no slots were kept), its messages, its RTCP.

All of them share one axis, from the first known moment of the call to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from agent.model.units import MINUTE_NS
from agent.story.ladder import LadderStep
from agent.story.path import CallPath, PathSpan, score_of
from agent.story.words import clock
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import CallRecords, expected
from agent.web.ladder_rows import MAX_STEPS, kind_of
from agent.web.plots import Curve, Plot, PlotStep, TimeAxis, TimeMark, draw
from agent.web.rendering import ARROWS
from agent.web.rtcp_line import RtcpSpan, round_trips, trip_boxes

MAX_MARKS = 64  # through every plot


class SpanRow(msgspec.Struct):
    """All four directions in one span of time, for the table of figures."""

    start_ns: int
    end_ns: int
    spans: dict[str, PathSpan | None]

    def expected(self, way: str) -> int:
        """Packets that should have come in a direction."""
        span = self.spans[way]
        return 0 if span is None else expected_of(way, span)


def all_spans(path: CallPath) -> Iterable[PathSpan]:
    return (span for direction in path.directions.values() for span in direction.spans)


def axis_of(records: CallRecords, path: CallPath, steps: Sequence[LadderStep]) -> TimeAxis:
    """From the first known moment of the call to the last."""
    call = records.call
    times = [step.stamp_ns for step in steps]
    times += [at for at in (call.get("invite_ns"), call.get("answer_ns"), call.get("end_ns")) if at]
    times += [at for span in all_spans(path) for at in (span.start_ns, span.end_ns)]
    if not times:
        times = [int(record["event_timestamp"]) * 1_000_000 for record in records.media] or [0]
    start_ns, end_ns = min(times), max(times)
    return TimeAxis(start_ns, max(end_ns, start_ns + 1_000_000_000))


def marks_of(records: CallRecords, steps: Sequence[LadderStep]) -> list[TimeMark]:
    """The events of a call, drawn through every plot."""
    call = records.call
    marks = []
    for name, key, words in (
        ("invite_ns", "invite", "INVITE"),
        ("answer_ns", "answer", "answered"),
        ("end_ns", "end", f"ended ({call.get('end_reason') or 'why is not known'})"),
    ):
        if call.get(name):
            marks.append(TimeMark(call[name], key, f"{words} {clock(call[name])}"))
    answered_ns = call.get("answer_ns")
    for step in steps:
        if answered_ns and step.label == "INVITE" and step.stamp_ns > answered_ns and not step.repeated:
            marks.append(TimeMark(step.stamp_ns, "again", f"re-INVITE {clock(step.stamp_ns)}"))
    return marks[:MAX_MARKS]


def events_of(steps: Sequence[LadderStep]) -> list[TimeMark]:
    return [
        TimeMark(step.stamp_ns, kind_of(step.label), f"{clock(step.stamp_ns)} {step.label}")
        for step in steps[:MAX_STEPS]
    ]


def plots_of(
    records: CallRecords, path: CallPath, axis: TimeAxis, marks: Sequence[TimeMark], rtcp: list[RtcpSpan]
) -> list[Plot]:
    def of(value: Callable[[PathSpan], float | None]) -> list[Curve]:
        return [
            Curve(
                ARROWS[way],
                way,
                [PlotStep(span.start_ns, span.end_ns, value(span)) for span in direction.spans],
            )
            for way, direction in path.directions.items()
            if direction.spans
        ]

    boxes = [(row.start_ns, row.end_ns, _row_words(row)) for row in span_rows(path)]
    spans = list(all_spans(path))
    late = any(span.late for span in spans)
    plots = [
        draw(
            "loss", "Packets lost", "%", axis, _losses(path), high=1.0, marks=marks, boxes=boxes, filled=True
        ),
        draw("jitter", "Jitter", "ms", axis, of(_jitter_ms), high=5.0, marks=marks, boxes=boxes),
    ]
    if late:
        plots.insert(
            1,
            draw("late", "Packets too late", "", axis, of(lambda span: span.late), high=10.0, marks=marks,
                 boxes=boxes),
        )  # fmt: skip
    by_span = any(span.mos is not None for span in spans)
    scores = of(lambda span: span.mos) if by_span else _minute_scores(records, path, axis)
    plots.append(
        draw("mos", "MOS", "1 to 4.5", axis, scores, low=1.0, high=4.5, marks=marks, boxes=boxes,
             worst_is_low=True)
    )  # fmt: skip
    plots.append(
        draw("rtt", "Round trip", "ms", axis, round_trips(records, axis), high=10.0, marks=marks,
             boxes=trip_boxes(rtcp, axis))
    )  # fmt: skip
    return plots


def _losses(path: CallPath) -> list[Curve]:
    return [
        Curve(
            ARROWS[way],
            way,
            [PlotStep(one.start_ns, one.end_ns, _percent(way, one)) for one in direction.spans],
        )
        for way, direction in path.directions.items()
        if direction.spans
    ]


def _percent(way: str, span: PathSpan) -> float | None:
    return None if span.lost is None else 100 * span.lost / (expected_of(way, span) or 1)


def expected_of(way: str, span: PathSpan) -> int:
    """Packets that should have come: towards the vc the lost ones are not among those that came."""
    lost = span.lost or 0
    return expected(way, span.packets, lost)


def _jitter_ms(span: PathSpan) -> float | None:
    return None if span.jitter_us is None else span.jitter_us / 1000


def _minutes(records: CallRecords, axis: TimeAxis) -> Iterable[tuple[int, int, dict[str, Any]]]:
    for record in records.media:
        end_ns = int(record["event_timestamp"]) * 1_000_000
        yield max(axis.start_ns, end_ns - MINUTE_NS), min(axis.end_ns, end_ns), record


def _minute_scores(records: CallRecords, path: CallPath, axis: TimeAxis) -> list[Curve]:
    """The score of each minute, drawn over the part of it that had packets."""
    curves = []
    for way in DIRECTIONS:
        spans_of: dict[int, list[PathSpan]] = {}
        for span in path.directions[way].spans:
            spans_of.setdefault(span.start_ns // MINUTE_NS, []).append(span)
        levels = [
            PlotStep(
                max(start_ns, min(one.start_ns for one in spans)),
                min(end_ns, max(one.end_ns for one in spans)),
                score_of(record, way),
            )
            for start_ns, end_ns, record in _minutes(records, axis)
            if record.get(f"{way}_rtp_packets")
            and (spans := spans_of.get(int(record["event_timestamp"]) * 1_000_000 // MINUTE_NS - 1))
        ]
        curves.append(Curve(ARROWS[way], way, levels))
    return curves


def span_rows(path: CallPath) -> list[SpanRow]:
    rows: dict[int, SpanRow] = {}
    for way, direction in path.directions.items():
        for span in direction.spans:
            row = rows.setdefault(
                span.start_ns, SpanRow(span.start_ns, span.end_ns, dict.fromkeys(DIRECTIONS))
            )
            row.spans[way] = span
    return [rows[start_ns] for start_ns in sorted(rows)]


def _row_words(row: SpanRow) -> str:
    said = []
    for way, span in row.spans.items():
        if span is not None:
            lost = "loss unknown" if span.lost is None else f"{span.lost} lost of {expected_of(way, span)}"
            said.append(f"{ARROWS[way]}: {lost}")
    return f"{clock(row.start_ns)} to {clock(row.end_ns)}\n" + "\n".join(said)
