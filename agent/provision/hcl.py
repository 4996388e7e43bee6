"""Terraform's syntax, formatted as by `terraform fmt`: only the parts that our resources need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Raw:
    """An expression: written as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class HclBlock:
    """`name "label" { ... }`; `body` is (key, value) pairs and blocks, in order."""

    name: str
    labels: tuple[str, ...]
    body: Sequence[tuple[str, Any] | HclBlock]


def render(blocks: Sequence[HclBlock]) -> str:
    return "\n\n".join("\n".join(_block(block, 0)) for block in blocks) + "\n"


def _block(block: HclBlock, depth: int) -> list[str]:
    indent = "  " * depth
    head = " ".join([block.name, *(_text(label) for label in block.labels)])
    lines = [f"{indent}{head} {{"]
    run: list[tuple[str, list[str]]] = []
    for item in block.body:
        if isinstance(item, HclBlock):
            lines += _aligned(run, depth + 1)
            run = []
            if len(lines) > 1:
                lines.append("")
            lines += _block(item, depth + 1)
        else:
            run.append((item[0], _value(item[1], depth + 1)))
    lines += _aligned(run, depth + 1)
    return [*lines, f"{indent}}}"]


def _aligned(pairs: list[tuple[str, list[str]]], depth: int) -> list[str]:
    """`key = value` lines; neighbours whose values are one line long share a column."""
    lines: list[str] = []
    at = 0
    while at < len(pairs):
        end = at
        while end < len(pairs) and len(pairs[end][1]) == 1:
            end += 1
        group = pairs[at : end or at] if end > at else pairs[at : at + 1]
        width = max(len(key) for key, _ in group)
        for key, (first, *rest) in group:
            lines += [f"{'  ' * depth}{key.ljust(width)} = {first}", *rest]
        at += len(group)
    return lines


def _value(value: Any, depth: int) -> list[str]:
    """Lines of an expression; the first goes behind `=`."""
    indent = "  " * depth
    if isinstance(value, Raw):
        return value.text.split("\n")
    if isinstance(value, bool) or value is None:
        return [json.dumps(value)]
    if isinstance(value, int | float):
        return [repr(value)]
    if isinstance(value, str):
        return [_text(value)]
    if isinstance(value, dict):
        pairs = [(_key(key), _value(one, depth + 1)) for key, one in value.items()]
        return ["{", *_aligned(pairs, depth + 1), f"{indent}}}"] if pairs else ["{}"]
    lines = ["["]
    for one in value:
        first, *rest = _value(one, depth + 1)
        lines += [f"{indent}  {first}", *rest]
        lines[-1] += ","
    return [*lines, f"{indent}]"] if len(lines) > 1 else ["[]"]


def _key(key: str) -> str:
    return key if key.isidentifier() else _text(key)


def _text(text: str) -> str:
    """A quoted template without any interpolation."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
