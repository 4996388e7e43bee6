"""No figure is cut, however narrow the terminal; tables go on below themselves and say so."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agent.cli import main
from agent.commands.sheet import Sheet, _together, _width

ROOT = Path(__file__).parents[2]

VC = ["--vc", "10.10.0.1", "--vc", "10.20.0.1", "--customer", "10.10.0.0/24"]


def printed(sheet: Sheet, width: int) -> str:
    out = io.StringIO()
    Console(width=width, file=out).print(sheet)
    return out.getvalue()


def sheet_of(columns: int) -> Sheet:
    sheet = Sheet("Rows", ["key"], [f"column {n}" for n in range(columns)])
    for row in range(3):
        sheet.add_row(Text(f"ключ {row}"), *(Text(str(10**n + row)) for n in range(columns)))
    return sheet


@pytest.mark.parametrize("columns", [1, 2, 7])
def test_width_is_what_is_printed(columns: int) -> None:
    sheet = sheet_of(columns)
    width = _together([_width(column) for column in sheet.columns])
    assert max(map(cell_len, printed(sheet, 500).splitlines())) == width
    assert "Rows (" not in printed(sheet, width)
    assert "Rows (" in printed(sheet, width - 1)


@pytest.mark.parametrize("width", [200, 80, 40, 24, 20])
def test_every_figure_is_printed_whole_at_any_width(width: int) -> None:
    shown = printed(sheet_of(9), width)
    assert "…" not in shown
    assert all(re.search(rf"\b{10**n + row}\b", shown) for n in range(9) for row in range(3))
    assert all(cell_len(line) <= width for line in shown.splitlines())


def test_columns_below_each_other_repeat_the_key_and_say_so() -> None:
    shown = printed(sheet_of(4), 40).replace("\n", " ")
    assert shown.count("ключ 0") == shown.count("40 columns are too few for one table") > 1


def test_key_that_leaves_no_room_makes_a_figure_a_line() -> None:
    sheet = Sheet("Rows", ["key"], ["count"])
    sheet.add_row(Text("x" * 90), Text("123"))
    shown = printed(sheet, 60)
    assert "Rows (a figure a line: the terminal is too narrow)" in shown
    assert "count  123" in shown
    assert "".join(re.findall("x+", shown)) == "x" * 90


@pytest.mark.parametrize("width", [None, 120, 80, 60])
@pytest.mark.parametrize(
    "name", ["loss-vc2cust", "ipv6-inbound", "hold-inbound", "any-inbound", "forked-inbound"]
)
@pytest.mark.parametrize("command", ["replay", "streams"])
def test_bundled_captures_are_shown_without_a_cut(
    command: str,
    name: str,
    width: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    files = [str(path) for path in sorted((ROOT / "pcaps").glob(f"{name}-*.pcap*"))]
    if width is not None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
    assert main([command, *files, *VC]) == 0
    shown = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in shown
    if width is not None:
        assert max(map(cell_len, shown.splitlines())) <= width
        assert width > 80 or "columns are too few" in shown
