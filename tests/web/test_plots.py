"""Plots: each known value is drawn over its time, and what nobody knows is never drawn as 0."""

from __future__ import annotations

import pytest

from agent.web.plots import HEIGHT, WIDTH, Curve, Plot, PlotStep, TimeAxis, TimeMark, draw, round_up

AXIS = TimeAxis(0, 100)


def plot(*values: float | None, high: float = 10.0, low: float = 0.0) -> Plot:
    """One curve with a value for each tenth of the axis."""
    steps = [PlotStep(10 * place, 10 * place + 10, value) for place, value in enumerate(values)]
    return draw("k", "Title", "ms", AXIS, [Curve("name", "key", steps)], high=high, low=low)


def test_values_are_steps_over_their_time() -> None:
    drawn = plot(0.0, 5.0, 10.0).curves[0]
    assert drawn.path == "M0 100H100V50H200V0H300"
    assert drawn.area == "M100 100V50H200V100zM200 100V0H300V100z"
    assert drawn.points == 3


def test_unknown_value_leaves_a_gap_and_is_marked() -> None:
    made = plot(5.0, None, 5.0)
    assert made.curves[0].path == "M0 50H100M200 50H300"
    assert [(box.x, box.width, box.words) for box in made.unknown] == [(100.0, 100.0, "unknown: name")]
    assert made.points == 2


def test_time_without_a_step_leaves_a_gap() -> None:
    steps = [PlotStep(0, 10, 5.0), PlotStep(50, 60, 5.0)]
    made = draw("k", "T", "", AXIS, [Curve("n", "k", steps)], high=10.0)
    assert made.curves[0].path == "M0 50H100M500 50H600"
    assert made.unknown == []


def test_plot_without_a_known_value_says_so() -> None:
    made = plot(None, None)
    assert (made.curves[0].path, made.points, made.summary) == ("", 0, "Title, ms: no value is known")


@pytest.mark.parametrize(
    ("value", "top"), [(3.0, "10"), (10.0, "10"), (10.1, "20"), (23.0, "25"), (99.0, "100"), (4e6, "5e+06")]
)
def test_great_value_makes_the_plot_higher(value: float, top: str) -> None:
    assert plot(value).high == top


@pytest.mark.parametrize("value", [-5.0, 0.5, 1e308])
def test_value_is_never_drawn_outside(value: float) -> None:
    drawn = plot(value, low=1.0).curves[0].path
    height = float(drawn.split()[1].split("H")[0])
    assert 0 <= height <= HEIGHT


@pytest.mark.parametrize(("at", "x"), [(-10, 0.0), (0, 0.0), (50, 500.0), (100, WIDTH), (900, WIDTH)])
def test_time_is_a_place_on_the_axis(at: int, x: float) -> None:
    assert AXIS.x(at) == x


def test_axis_without_length_divides_by_nothing() -> None:
    assert TimeAxis(5, 5).x(5) == 0.0


def test_marks_stand_at_their_time() -> None:
    mark = TimeMark(25, "answer", "answered")
    assert draw("k", "T", "", AXIS, [], high=1.0, marks=[mark]).marks == [(250.0, mark)]


@pytest.mark.parametrize(("value", "rounded"), [(1.0, 1.0), (1.2, 2.0), (0.003, 0.005), (6.0, 10.0)])
def test_round_up_reads_well(value: float, rounded: float) -> None:
    assert round_up(value) == pytest.approx(rounded)
