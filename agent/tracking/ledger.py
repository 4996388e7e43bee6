"""What the media of one leg adds up to from minute to minute; it lives as long as the leg."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_RELAYS = 256  # streams remembered a leg: somebody may change SSRCs as often as he likes


@dataclass(slots=True)
class Ledger:
    """`lost` is of the whole call as the connector of this leg sees it: direction to cumulative loss, None
    where streams ran and nobody knows. `arrived` and `left`: gaps by SSRC. `vc_lost`: published so far as the
    vc's own. `first_ns`: the first RTP packet towards the vc, and away from it.
    """

    lost: dict[str, int | None] = field(default_factory=dict)
    arrived: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    vc_lost: dict[int, int] = field(default_factory=dict)
    first_ns: dict[bool, int] = field(default_factory=dict)

    def gap(self, ssrc: int, gaps: int, *, arrived: bool) -> None:
        """`gaps` numbers of a stream were never seen."""
        table = self.arrived if arrived else self.left
        if ssrc in table or len(table) < MAX_RELAYS:
            table[ssrc] = table.get(ssrc, 0) + gaps
