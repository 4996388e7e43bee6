"""A table that never cuts a figure: where the terminal is too narrow its columns go below each other.

    wide enough     one table
    too narrow      several, each with the key columns and as many others as fit
    narrower yet    one figure a line, row by row

Nothing is left out, and a line says which of these forms it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

PIPE_COLUMNS = 220  # where the output is no terminal, so there is no edge
_LOOK: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
_BETWEEN, _EDGES = 2, 2  # columns of a screen: between two of a table's, and at both its edges


class OurConsole(Console):
    """A console that raises BrokenPipeError to `cli.main` where the reader is gone (`| head`)."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError in flight


class Sheet(Table):
    """`left` and `right`: columns by alignment; the first `keys` (0: `left`) name the row.

    `words`: columns of `right` that hold words and no figure: they wrap between two words.
    """

    def __init__(
        self,
        title: str,
        left: Sequence[str],
        right: Sequence[str],
        keys: int = 0,
        words: Sequence[str] = (),
    ) -> None:
        super().__init__(title=title, title_justify="left", **_LOOK)
        self.keys = keys or len(left)
        for name in left:
            self.add_column(name, no_wrap=True)
        for name in right:
            is_words = name in words
            self.add_column(
                name,
                justify="left" if is_words else "right",
                no_wrap=not is_words,
                overflow="fold" if is_words else "ellipsis",
            )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width
        widths = [_width(column) for column in self.columns]
        if _together(widths) <= room:
            yield from super().__rich_console__(console, options)
        elif _together([*widths[: self.keys], max(widths[self.keys :])]) <= room:
            yield from self._side_by_side(widths, room)
        else:
            yield from self._records()

    def _side_by_side(self, widths: Sequence[int], room: int) -> Iterator[Text | Table]:
        """Tables that fit, each with the keys; each column fits beside them."""
        keys = list(range(self.keys))
        parts = [keys.copy()]
        for place in range(self.keys, len(widths)):
            if _together([widths[i] for i in (*parts[-1], place)]) > room:
                parts.append(keys.copy())
            parts[-1].append(place)
        for number, places in enumerate(parts, 1):
            yield self._head(f"{number} of {len(parts)}: {room} columns are too few for one table")
            yield self._of([self.columns[place] for place in places])

    def _of(self, columns: Sequence[Column]) -> Table:
        table = Table(**_LOOK)
        for column in columns:
            table.add_column(
                column.header, justify=column.justify, no_wrap=column.no_wrap, overflow=column.overflow
            )
        for cells in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*cells)
        return table

    def _records(self) -> Iterator[Text | Table]:
        yield self._head("a figure a line: the terminal is too narrow")
        for row in zip(*(column.cells for column in self.columns), strict=True):
            record = Table(box=None, show_header=False, pad_edge=False)
            record.add_column(no_wrap=True)
            record.add_column(overflow="fold")
            for column, cell in zip(self.columns, row, strict=True):
                record.add_row(column.header, cell)
            yield Text()
            yield record

    def _head(self, why: str) -> Text:
        return Text(f"{self.title} ({why})", style="table.title")


def _width(column: Column) -> int:
    """Columns of the screen that it needs: its longest cell, or its longest word where it holds words."""
    texts = [str(cell) for cell in (column.header, *column.cells)]
    if not column.no_wrap:
        texts = [word for text in texts for word in text.split()]
    return max(map(cell_len, texts), default=0)


def _together(widths: Sequence[int]) -> int:
    """Columns of the screen that a table with columns of these widths takes."""
    return sum(widths) + _BETWEEN * (len(widths) - 1) + _EDGES
