"""Records that become dictionaries when they are read."""

from __future__ import annotations

from typing import Any

from agent.summary.rows import Rows


def rows(seen: list[dict[str, Any]] | None = None) -> Rows:
    finished = [] if seen is None else seen

    def finish(row: dict[str, Any]) -> None:
        row["b"] *= 10
        finished.append(row)

    return Rows(("a", "b"), [[1, 2], [3, 4]], finish)


def test_rows_are_read_in_the_order_of_their_columns() -> None:
    assert list(rows()) == [{"a": 1, "b": 20}, {"a": 3, "b": 40}]
    assert [list(row) for row in rows()] == [["a", "b"]] * 2
    assert rows() == rows() == [{"a": 1, "b": 20}, {"a": 3, "b": 40}]
    assert rows()[1:] == [{"a": 3, "b": 40}]
    assert repr(rows()) == "[{'a': 1, 'b': 20}, {'a': 3, 'b': 40}]"


def test_counting_rows_reads_none() -> None:
    seen: list[dict[str, Any]] = []
    assert len(rows(seen)) == 2
    assert seen == []


def test_each_row_is_finished_once_and_stays_as_it_was_changed() -> None:
    seen: list[dict[str, Any]] = []
    some = rows(seen)
    some[0]["part"] = 3
    assert [some[0], *some] == [seen[0], *seen]
    assert (len(seen), len(some), some[0]["part"]) == (2, 2, 3)
