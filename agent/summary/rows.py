"""Records that are lists of values until somebody reads them (decision 0137)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

Row = dict[str, Any]


class Rows(Sequence[Row]):
    """Records of one minute. Each is a list of its values, in the order of `columns`, until the first reading
    makes dictionaries of all of them: at a minute's close the ring waits, and no reader does.
    """

    def __init__(
        self, columns: tuple[str, ...], values: list[list[Any]], finish: Callable[[Row], None]
    ) -> None:
        """`finish` is given each new dictionary."""
        self._columns = columns
        self._values = values
        self._finish = finish
        self._rows: list[Row] | None = None

    def _read(self) -> list[Row]:
        if self._rows is None:
            self._rows = [dict(zip(self._columns, values, strict=True)) for values in self._values]
            self._values = []
            for row in self._rows:
                self._finish(row)
        return self._rows

    def __len__(self) -> int:
        return len(self._values if self._rows is None else self._rows)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return self._read()[at]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._read())

    def __eq__(self, other: object) -> bool:
        return self._read() == (other._read() if isinstance(other, Rows) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._read())
