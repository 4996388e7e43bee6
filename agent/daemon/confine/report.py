"""What confinement did, and what it left out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ConfineReport:
    """What was done, in words, and what was not and why."""

    done: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
