"""Prints a state machine's table as text. The docs show it, and a test compares them."""

from __future__ import annotations

from collections.abc import Mapping


def picture(table: Mapping[tuple[str, str], tuple[str, str]]) -> str:
    """A Markdown table of (state, event): (action, next state), in the order of `table`."""
    rows = [("state", "event", "action", "next state")]
    rows += [
        (str(state), str(event), action.replace("_", " "), str(after))
        for (state, event), (action, after) in table.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
