"""How many examples a property is tried with: all in `make test`, half of them in `make check`."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100  # Hypothesis' own number


def examples(count: int) -> int:
    """`count` for a property that wants another number than the usual, less where fewer are asked for."""
    return count * settings().max_examples // USUAL
