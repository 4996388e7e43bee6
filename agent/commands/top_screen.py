"""The live view of `sbcwatch top`: connectors, calls, and one call in full. Built on textual.

It reads the store every two seconds, and draws only where a figure changed: a slow line stays usable.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

import msgspec
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from agent.commands.call import call_lines
from agent.commands.calls import WAYS, outcome, seconds
from agent.commands.tables import UNKNOWN, clock, percent, text
from agent.commands.top_look import (
    SORTS,
    Seen,
    TopView,
    connector_rows,
    headline,
    look,
)
from agent.store.reader import IndexedCall, StoredCall, StoreReader
from agent.story.path import DirectionPath, path_of
from agent.story.words import SILENT
from agent.summary.catalog import DIRECTIONS, SIDES
from agent.summary.printable import printable
from agent.summary.records import expected

REFRESH_S = 2.0
BAD_LOSS, BAD_MOS = 0.01, 3.5  # from here on a figure is red
RED, DIM = Style(color="red", bold=True), Style(dim=True)
BARS = " ▁▂▃▄▅▆▇█"
FULL_LOSS = 0.1  # a full bar: a tenth of the packets
SHARES = {way: f"{words} %" for way, words in WAYS.items()}
CONNECTORS = (
    "connector", "active", "attempts", "failed", *SHARES.values(),
    *(f"{what} {side[:4]}" for side in SIDES for what in ("MOS p10", "RTT ms")),
)  # fmt: skip
CALLS = (
    "start",
    "from",
    "to",
    "s",
    "state",
    "MOS",
    *SHARES.values(),
    "flags",
    "connector",
)


class TopScreen(App[None]):
    """Calls in a table; the keys change `view`. `clock_ns`: the time of day."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "sbcwatch top"
    CSS = """
    #head { height: 1; background: $panel; }
    #connectors { height: auto; max-height: 7; }
    #calls { height: 1fr; }
    #search { dock: bottom; display: none; }
    #search.asked { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("s", "sort", "Sort"),
        Binding("l", "live", "In progress"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("a", "all", "All minutes"),
        Binding("escape", "clear", "Clear", show=False),
    ]

    def __init__(
        self, reader: StoreReader, view: TopView, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        super().__init__()
        self._reader, self._clock_ns = reader, clock_ns
        self._first_minutes = view.minutes
        self.view = view
        self.seen: Seen | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield DataTable(id="connectors", show_cursor=False)
        yield DataTable(id="calls", cursor_type="row")
        yield Input(id="search", placeholder="digits of a number, Call-ID, address, 15:42, flag; Enter")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#connectors", DataTable).add_columns(*CONNECTORS)
        self.query_one("#calls", DataTable).add_columns(*CALLS)
        self.query_one("#calls").focus()
        self.refresh_view()
        self.set_interval(REFRESH_S, self.refresh_view)

    def refresh_view(self) -> None:
        """Reads the store again, and draws where a figure changed."""
        seen = look(self._reader, self.view, self._clock_ns())
        self.query_one("#head", Static).update(printable(headline(seen, self.view)))
        if seen == self.seen:
            return
        self.seen = seen
        strip = self.query_one("#connectors", DataTable)
        strip.clear()
        for row in connector_rows(seen.connectors):
            strip.add_row(
                *(_cell(value, name.endswith("%")) for name, value in zip(CONNECTORS, row, strict=True))
            )
        table = self.query_one("#calls", DataTable)
        place = table.cursor_row
        table.clear()
        for call in seen.calls:
            table.add_row(*_call_cells(call), key=str(call.id))
        if seen.calls:
            table.move_cursor(row=min(place, len(seen.calls) - 1))

    def _change(self, view: TopView) -> None:
        self.view = view
        self.refresh_view()

    def action_sort(self) -> None:
        names = list(SORTS)
        after = names[(names.index(self.view.sort) + 1) % len(names)]
        self._change(msgspec.structs.replace(self.view, sort=after))

    def action_live(self) -> None:
        self._change(msgspec.structs.replace(self.view, live=not self.view.live))

    def action_all(self) -> None:
        minutes = 0 if self.view.minutes else self._first_minutes
        self._change(msgspec.structs.replace(self.view, minutes=minutes))

    def action_search(self) -> None:
        field = self.query_one("#search", Input)
        field.add_class("asked")
        field.focus()

    def action_clear(self) -> None:
        field = self.query_one("#search", Input)
        field.remove_class("asked")
        field.value = ""
        self.query_one("#calls").focus()
        self._change(msgspec.structs.replace(self.view, words=""))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.input.remove_class("asked")
        self.query_one("#calls").focus()
        self._change(msgspec.structs.replace(self.view, words=event.value.strip()))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if event.row_key.value is None:
            return
        stored = self._reader.call(int(event.row_key.value))
        if stored is not None:
            self.push_screen(CallScreen(stored))


class CallScreen(Screen[None]):
    """One call: the verdict, the four directions by 10 s, the ladder. Escape goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back"),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, stored: StoredCall) -> None:
        super().__init__()
        self._stored = stored

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="call"):
            yield Static(call_text(self._stored))
        yield Footer()


def call_text(stored: StoredCall) -> Text:
    """`sbcwatch call`'s text, with a bar for every 10 s of each direction behind the verdict."""
    lines = call_lines(stored.records, stored.index)
    gap = lines.index("") if "" in lines else len(lines)
    bars = [""]
    for way, direction in path_of(stored.records).directions.items():
        if direction.spans:
            bars.append(f"{SHARES[way]:<10} {bar(direction)}")
    if len(bars) > 1:
        bars.append(f"one bar a span, full: {FULL_LOSS:.0%} or more lost, ?: unknown")
    return Text("\n".join([*lines[:gap], *bars, *lines[gap:]]))


def bar(direction: DirectionPath) -> str:
    """The share lost, a character a span in order of time."""
    signs = []
    for span in direction.spans:
        if span.lost is None:
            signs.append("?")
            continue
        share = span.lost / max(1, expected(direction.direction, span.packets, span.lost))
        height = min(1.0, share / FULL_LOSS) * (len(BARS) - 1)
        signs.append("·" if not span.lost else BARS[max(1, round(height))])
    return "".join(signs)


def _call_cells(call: IndexedCall) -> list[Text]:
    mos = UNKNOWN if call.mos_worst is None else f"{call.mos_worst:.2f}"
    is_bad = call.mos_worst is not None and call.mos_worst < BAD_MOS
    return [
        _cell(clock(call.start_ns, "%H:%M:%S")),
        _cell(text(call.from_user)),
        _cell(text(call.to_user)),
        _cell(seconds(call)),
        _cell(outcome(call)),
        Text(mos, RED if is_bad else ""),
        *(_cell(percent(call.directions[way].loss), share=True) for way in DIRECTIONS),
        Text(printable(" ".join(call.flags)), RED if {*SILENT} & {*call.flags} else "")
        if call.flags
        else _cell(UNKNOWN),
        _cell(call.connector),
    ]


def _cell(value: str, share: bool = False) -> Text:
    """Text from the wire as text: no markup, and no escape that a terminal obeys. A bad share is red."""
    if value == UNKNOWN:
        return Text(value, DIM)
    is_bad = share and float(value) >= BAD_LOSS * 100
    return Text(printable(value), RED if is_bad else "")
