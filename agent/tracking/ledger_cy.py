# cython: language_level=3
"""What the media of one leg adds up to from minute to minute; it lives as long as the leg."""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

Gaps = dict[int, int]  # numbers never seen, by SSRC
MAX_RELAYS = 256  # streams remembered a leg: somebody may change SSRCs as often as he likes
FIELDS = ("lost", "arrived", "left", "vc_lost", "first_ns")
"""A `Ledger`'s fields, in the order in which a checkpoint has them."""


class Ledger:
    """`lost` is of the whole call as the connector of this leg sees it: direction to cumulative loss, None
    where streams ran and nobody knows. `arrived` and `left`: gaps by SSRC. `vc_lost`: published so far as the
    vc's own. `first_ns`: the first RTP packet towards the vc, and away from it.
    """

    def __init__(self) -> None:
        self.lost: dict[str, int | None] = {}
        self.arrived: dict[int, int] = {}
        self.left: dict[int, int] = {}
        self.vc_lost: dict[int, int] = {}
        self.first_ns: dict[bool, int] = {}

    def gap(self, ssrc: cython.longlong, gaps: cython.longlong, arrived: cython.bint) -> None:
        """`gaps` numbers of a stream were never seen."""
        table: Gaps = self.arrived if arrived else self.left
        if ssrc in table or len(table) < MAX_RELAYS:
            table[ssrc] = table.get(ssrc, 0) + gaps
