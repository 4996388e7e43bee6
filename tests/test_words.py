"""Docstrings and comments begin with the thing and a verb: a stranger reads each one once."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "agent").rglob("*.py"))
# A sentence that begins with a question word, and two phrases that nobody says aloud.
UNCLEAR = re.compile(r"(?:^|[.:;!?] |\n\n)(?:What|Who|Whose|Whom)\b(?![^.;]*\?)|\b(?:that which|of before)\b")
LIKELY = re.compile(
    r"\b(?:What|Who|Whose|Whom|that which|of before)\b"
)  # in all that is unclear; reading is dear
DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Each docstring and comment with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.lstrip("# ")


@pytest.mark.parametrize("text", ["What leaves here.", "A row: What it means.", "the one of before"])
def test_unclear_text_is_found(text: str) -> None:
    assert UNCLEAR.search(text)


def test_no_sentence_begins_with_a_question_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]}"
        for path in SOURCES
        if LIKELY.search(path.read_text(encoding="utf-8"))
        for line, text in texts(path)
        if UNCLEAR.search(text)
    ]
    assert found == []
