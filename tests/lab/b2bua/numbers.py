"""How the B2BUA writes numbers on the other side: as PBXs and carriers ask for them."""

from __future__ import annotations

HOME = "+1"


def as_carrier(number: str) -> str:
    """E.164 of what a PBX dials: 9 for an outside line, 00 before a country, or a national number."""
    if len(number) > 10:
        number = number.removeprefix("9")
    if number.startswith("00"):
        return "+" + number[2:]
    return number if number.startswith("+") else HOME + number.removeprefix(HOME[1:])[-10:]


def as_pbx(number: str) -> str:
    """A national number within the PBX's own country, 00 before any other."""
    if number.startswith(HOME):
        return number.removeprefix(HOME)
    return "00" + number.removeprefix("+")
