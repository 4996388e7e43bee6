"""One variant: frames made by a function, and what must be true of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cases import packets
from tests.cases.checks import Case, Check, hold
from tests.cases.packets import Stamped

Variant = tuple[str, Callable[[], list[Stamped]], tuple[Check, ...]]  # name, frames, checks


def check(
    variant: Variant, tmp_path: Path, sides: tuple[str, ...], *, apart: bool = False, snap: int = 262_144
) -> None:
    name, make, checks = variant
    path = packets.write(tmp_path / "in.pcap", make(), snap=snap)
    hold(Case(name, checks, sides, apart=apart), path)


def named(variant: Variant) -> str:
    return variant[0]
