"""Plots for the templates: SVG without a script, one time axis for all plots of a page.

The geometry is here, the markup in `templates/plots.html`, the colours in the style sheet. A plot is
stretched to the width of its place, so text stands beside the drawing and never in it. A value holds over a
span of time, so curves are steps. A span of unknown value is marked at the foot and never drawn as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

WIDTH, HEIGHT = 1000.0, 100.0  # of the drawing, in its own units
TICKS = 4  # parts of the time axis
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


class PlotStep(msgspec.Struct, frozen=True):
    """A value over a span of time. None: unknown."""

    start_ns: int
    end_ns: int
    value: float | None


class Curve(msgspec.Struct):
    """`name`: in words; `key`: the colour's name in the style sheet."""

    name: str
    key: str
    levels: Sequence[PlotStep]


class TimeMark(msgspec.Struct, frozen=True):
    """An event at one time, drawn through every plot of an axis."""

    at_ns: int
    key: str
    words: str


class TimeAxis(msgspec.Struct, frozen=True):
    """The time that plots show."""

    start_ns: int
    end_ns: int

    def x(self, at_ns: int) -> float:
        """A time in the drawing's units."""
        if at_ns <= self.start_ns:
            return 0.0
        if at_ns >= self.end_ns:
            return WIDTH
        return round((at_ns - self.start_ns) / (self.end_ns - self.start_ns) * WIDTH, 1)

    @property
    def ticks(self) -> list[int]:
        """Times at equal distances, both ends among them."""
        length = self.end_ns - self.start_ns
        return [self.start_ns + length * part // TICKS for part in range(TICKS + 1)]


class Box(msgspec.Struct):
    """A span of the drawing, and the words that a reader sees on pointing at it."""

    x: float
    width: float
    words: str


class DrawnCurve(msgspec.Struct):
    """`path`, `area`: SVG path data, "" without a known value. `points`: how many values are known."""

    name: str
    key: str
    path: str
    area: str
    points: int


class Plot(msgspec.Struct):
    """One plot, ready to be written down."""

    key: str
    title: str
    unit: str
    low: str
    high: str
    curves: list[DrawnCurve]
    boxes: list[Box]
    unknown: list[Box]
    marks: list[tuple[float, TimeMark]]
    summary: str  # the plot in words, for readers who cannot see it
    filled: bool  # whether the space below a curve is coloured: where 0 is good

    @property
    def points(self) -> int:
        return sum(curve.points for curve in self.curves)


def draw(
    key: str,
    title: str,
    unit: str,
    axis: TimeAxis,
    curves: Sequence[Curve],
    *,
    low: float = 0.0,
    high: float,
    marks: Iterable[TimeMark] = (),
    boxes: Sequence[tuple[int, int, str]] = (),
    worst_is_low: bool = False,
    filled: bool = False,
) -> Plot:
    """A plot of curves between `low` and at least `high`; a greater value makes it higher."""
    values = [step.value for curve in curves for step in curve.levels if step.value is not None]
    top = high if not values or max(values) <= high else round_up(max(values))
    worst = [
        f"{curve.name} {(min if worst_is_low else max)(known):.4g}"
        for curve in curves
        if (known := [step.value for step in curve.levels if step.value is not None])
    ]
    return Plot(
        key,
        title,
        unit,
        f"{low:g}",
        f"{top:g}",
        [_drawn(curve, axis, low, top) for curve in curves],
        [_box(axis, *box) for box in boxes],
        _unknown(curves, axis),
        [(axis.x(mark.at_ns), mark) for mark in marks],
        f"{title}, {unit}: " + (f"worst {', '.join(worst)}" if worst else "no value is known"),
        filled,
    )


def round_up(value: float) -> float:
    """The next round number for an axis."""
    power = 1e-6
    while power * 10 < value:
        power *= 10
    return next((power * part for part in _ROUND if power * part >= value), power * 10)


def _box(axis: TimeAxis, start_ns: int, end_ns: int, words: str) -> Box:
    left = axis.x(start_ns)
    return Box(left, max(1.0, round(axis.x(end_ns) - left, 1)), words)


def _drawn(curve: Curve, axis: TimeAxis, low: float, top: float) -> DrawnCurve:
    path: list[str] = []
    area: list[str] = []
    points, at, until_ns = 0, None, -1
    for step in curve.levels:
        if step.value is None:
            continue
        left = at if at is not None and step.start_ns == until_ns else axis.x(step.start_ns)
        right, until_ns = axis.x(step.end_ns), step.end_ns
        share = (min(max(step.value, low), top) - low) / ((top - low) or 1.0)
        height = round(HEIGHT - share * HEIGHT, 1)
        joined = at is not None and left - at < 0.5
        path.append(f"V{height:g}H{right:g}" if joined else f"M{left:g} {height:g}H{right:g}")
        if share > 0:
            area.append(f"M{left:g} {HEIGHT:g}V{height:g}H{right:g}V{HEIGHT:g}z")
        points, at = points + 1, right
    return DrawnCurve(curve.name, curve.key, "".join(path), "".join(area), points)


def _unknown(curves: Sequence[Curve], axis: TimeAxis) -> list[Box]:
    """Spans that are unknown to some curve, each with the curves' names; neighbours alike are one."""
    spans: dict[tuple[int, int], list[str]] = {}
    for curve in curves:
        for step in curve.levels:
            if step.value is None:
                spans.setdefault((step.start_ns, step.end_ns), []).append(curve.name)
    joined: list[tuple[int, int, list[str]]] = []
    for (start_ns, end_ns), names in sorted(spans.items()):
        if joined and joined[-1][1] == start_ns and joined[-1][2] == names:
            joined[-1] = joined[-1][0], end_ns, names
        else:
            joined.append((start_ns, end_ns, names))
    return [_box(axis, start, end, f"unknown: {', '.join(names)}") for start, end, names in joined]
