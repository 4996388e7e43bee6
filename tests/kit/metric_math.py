"""CloudWatch's metric math for one period: what our alarms use of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def breaches(
    expression: str,
    inputs: Mapping[str, float],
    before: Mapping[str, float],
    comparison: str,
    threshold: float,
) -> bool:
    """Whether the value of `expression` is beyond the threshold. `before`: a period ago."""
    text = re.sub(r"\bAND\b", "and", expression)

    def value(of: str, names: Mapping[str, float]) -> Any:
        functions = {"IF": lambda condition, yes, no: yes if condition else no, "MAX": max, "MIN": min}
        return eval(of, {"__builtins__": {}}, {**functions, **names})

    def change(found: re.Match[str]) -> str:
        of = found[1]
        return f"({value(of, inputs) - value(of, before)})"

    text = re.sub(r"DIFF\(([\w +]+)\)", change, text)
    # Python divides by nothing where CloudWatch has no value: its IF does not look at the other branch.
    text = re.sub(r"IF\((.+?), (.+?), ([\d.]+)\)", r"(\2 if \1 else \3)", text)
    result = value(text, inputs)
    return bool(result < threshold if comparison == "<" else result > threshold)
