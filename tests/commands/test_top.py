"""`sbcwatch top`: one look, and the live view as keys drive it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from agent.cli import main
from agent.commands.top_look import TopView
from agent.commands.top_screen import CallScreen, TopScreen, bar
from agent.store.reader import StoreReader
from agent.story.path import DirectionPath, PathSpan
from tests.kit.replayed import PCAPS, sidecar

NAMES = ("loss-vc2cust", "busy-inbound", "answered-outbound")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three calls of the lab."""
    folder = tmp_path_factory.mktemp("top")
    for name in NAMES:
        assert main(["replay", *arguments(name), "--store", str(folder)]) == 0
    return folder


def arguments(name: str) -> list[str]:
    side = sidecar(name)
    words = [str(PCAPS / file) for file in side["files"]]
    for option, values in (("--vc", side["vc"]), ("--customer", side["customer_networks"])):
        words += [word for value in values for word in (option, value)]
    return words


@pytest.fixture
def reader(store: Path) -> Iterator[StoreReader]:
    reader = StoreReader(store / "sbcwatch.sqlite")
    yield reader
    reader.close()


def drive(reader: StoreReader, walk: Callable[[TopScreen, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    """Start the view on a terminal of 80 columns, and let `walk` press keys."""
    newest_ns = reader.newest_ns()
    assert newest_ns is not None
    app = TopScreen(reader, TopView(minutes=0), lambda: newest_ns)

    async def all_of_it() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await walk(app, pilot)

    asyncio.run(all_of_it())


def shown(app: TopScreen) -> list[str]:
    """The callers in the table, from above."""
    table = app.query_one("#calls", DataTable)
    return [str(table.get_row_at(place)[1]) for place in range(table.row_count)]


def head(app: TopScreen) -> str:
    return str(app.query_one("#head", Static).render())


def test_worst_call_stands_first_and_s_sorts_anew(reader: StoreReader) -> None:
    async def walk(app: TopScreen, pilot: Pilot[None]) -> None:
        assert app.seen is not None
        assert len(app.seen.calls) == 3
        scores = [call.mos_worst for call in app.seen.calls]
        assert scores[0] is not None
        assert scores[0] == min(score for score in scores if score is not None)
        assert scores[-1] is None  # nobody answered: it comes last
        assert "worst first" in head(app)
        await pilot.press("s")
        assert "most loss first" in head(app)
        await pilot.press("s")
        assert "newest first" in head(app)
        starts = [call.start_ns for call in app.seen.calls]
        assert starts == sorted(starts, reverse=True)

    drive(reader, walk)


def test_search_box_takes_the_last_digits_and_escape_clears_it(reader: StoreReader) -> None:
    async def walk(app: TopScreen, pilot: Pilot[None]) -> None:
        assert app.seen is not None
        digits = shown(app)[0][-4:]
        await pilot.press("slash", *digits, "enter")
        assert app.seen.calls
        for call in app.seen.calls:
            assert any(str(user).endswith(digits) for user in (call.from_user, call.to_user))
        assert f"search: {digits}" in head(app)
        await pilot.press("slash", *"999999999", "enter")
        assert shown(app) == []
        await pilot.press("escape")
        assert len(shown(app)) == 3

    drive(reader, walk)


def test_enter_opens_the_call_verdict_first_and_escape_goes_back(reader: StoreReader) -> None:
    async def walk(app: TopScreen, pilot: Pilot[None]) -> None:
        assert app.seen is not None
        await pilot.press("enter")
        assert isinstance(app.screen, CallScreen)
        text = str(app.screen.query_one(Static).render())
        assert "of packets lost between the vc and the customer" in " ".join(text.split())[:200]
        assert "vc→cust %" in text
        assert "INVITE" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, CallScreen)

    drive(reader, walk)


def test_only_calls_in_progress_are_left_after_l(reader: StoreReader) -> None:
    async def walk(app: TopScreen, pilot: Pilot[None]) -> None:
        await pilot.press("l")
        assert shown(app) == []
        assert "in progress only" in head(app)

    drive(reader, walk)


def test_q_ends_it_with_the_terminal_as_it_was(reader: StoreReader) -> None:
    async def walk(app: TopScreen, pilot: Pilot[None]) -> None:
        await pilot.press("q")
        assert app.return_code == 0
        assert not app.is_running

    drive(reader, walk)


def test_nothing_is_drawn_again_while_nothing_is_new(reader: StoreReader) -> None:
    async def walk(app: TopScreen, pilot: Pilot[None]) -> None:
        before = app.seen
        app.refresh_view()
        assert app.seen is before

    drive(reader, walk)


def test_piped_it_prints_one_look_and_ends(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "Connectors" in printed
    assert "capture drops" in printed
    assert "0 calls" in printed  # these ended days ago


def test_capture_file_is_looked_at_like_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", *arguments("loss-vc2cust")]) == 0
    printed = capsys.readouterr().out
    assert "2.1" in printed
    assert "1 calls" in printed or "1 call" in printed


def test_a_bar_tells_lost_unlost_and_unknown_spans_apart() -> None:
    spans = [PathSpan(0, 1, 100, 0), PathSpan(1, 2, 90, 10), PathSpan(2, 3, 99, 1), PathSpan(3, 4, 0, None)]
    assert bar(DirectionPath("vc2cust", "customer", spans=spans)) == "·█▁?"
