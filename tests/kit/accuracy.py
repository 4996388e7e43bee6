"""The generated tables of docs/accuracy.md. `python -m tests.kit.accuracy` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kit import endpoints, second_opinion

DOC = Path(__file__).parents[2] / "docs" / "accuracy.md"


def tables() -> dict[str, str]:
    """Marker: table."""
    return {
        "tshark": second_opinion.table(second_opinion.every_check()),
        "phones": endpoints.table(each for name in endpoints.told() for each in endpoints.judged(name)),
    }


def filled(text: str) -> str:
    """The page with its tables as they are now."""
    for marker, table in tables().items():
        pattern = rf"(<!-- {marker}: [^\n]*-->\n).*?(<!-- /{marker} -->)"
        escaped = table.replace("\\", r"\\")
        text, count = re.subn(pattern, rf"\g<1>{escaped}\n\g<2>", text, flags=re.S)
        assert count == 1, f"no place for the table {marker}"
    return text


if __name__ == "__main__":
    DOC.write_text(filled(DOC.read_text()))
