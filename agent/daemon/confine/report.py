"""The result of confinement: the parts done and the parts left out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ConfineReport:
    """The parts done, in words, and the parts left out with the reason."""

    done: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ports: frozenset[int] | None = None  # TCP ports that may be connected to; None: all
