"""What the media of one leg adds up to from minute to minute; it lives as long as the leg."""

from __future__ import annotations

from msgspec import Struct

MAX_RELAYS = 256  # streams remembered a leg: somebody may change SSRCs as often as he likes


class Ledger(Struct):
    """`lost` is of the whole call as the connector of this leg sees it: direction to cumulative loss, None
    where streams ran and nobody knows. `arrived` and `left`: gaps by SSRC. `vc_lost`: published so far as the
    vc's own. `first_ns`: the first RTP packet towards the vc, and away from it.
    """

    lost: dict[str, int | None] = {}
    arrived: dict[int, int] = {}
    left: dict[int, int] = {}
    vc_lost: dict[int, int] = {}
    first_ns: dict[bool, int] = {}

    def gap(self, ssrc: int, gaps: int, *, arrived: bool) -> None:
        """`gaps` numbers of a stream were never seen."""
        table = self.arrived if arrived else self.left
        if ssrc in table or len(table) < MAX_RELAYS:
            table[ssrc] = table.get(ssrc, 0) + gaps
