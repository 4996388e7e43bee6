"""Limits how many bytes a second of one address, and of all, are reassembled."""

from __future__ import annotations

from agent.model.units import SECOND_NS
from agent.transport.rate_limit_cy import MAX_SOURCES

PACKET_COST = 256  # bytes whose reassembly takes as long as one packet's fixed work
STEP_COST = 128  # ... as one more line, frame or message in a packet


class ByteLimit:
    """Bytes a second that may be reassembled: `each` of one far address, `total` of all; 0: no bound.

    Asked before reassembly. Each packet has a cost beside its bytes, so the limit bounds CPU time too. Half
    of `total` is kept for addresses that the vc answers. Counted by whole seconds of capture time; the table
    begins anew with each, and holds `MAX_SOURCES`, and peers.
    """

    def __init__(self, each: int, total: int) -> None:
        self.each = each
        self.total = total
        self.refused = 0  # packets
        self._second = -1
        self._spent: dict[str, int] = {}
        self._strangers = self._peers = 0

    def takes(self, peer: str, is_answered: bool, size: int, now_ns: int) -> bool:
        """Whether a packet of `size` bytes from or to `peer` is within the limits. If so, it is counted."""
        if not self.total:
            return True
        if now_ns // SECOND_NS != self._second:
            self._second, self._spent = now_ns // SECOND_NS, {}
            self._strangers = self._peers = 0
        cost = size + PACKET_COST
        spent = self._spent.get(peer, 0) + cost
        half = self.total // 2
        room = half - self._strangers
        if is_answered:
            room = self.total - self._peers - min(self._strangers, half)
        if (
            spent > self.each
            or cost > room
            or (spent == cost and len(self._spent) >= MAX_SOURCES and not is_answered)
        ):
            self.refused += 1
            return False
        self._spent[peer] = spent
        self._add(is_answered, cost)
        return True

    def charge(self, peer: str, is_answered: bool, steps: int) -> None:
        """Adds the cost of a packet beyond its bytes, which lowers the rest of the second's limit.

        A source takes no more of what all have than its own limit.
        """
        spent, cost = self._spent.get(peer, 0), steps * STEP_COST
        self._spent[peer] = spent + cost
        self._add(is_answered, max(0, min(cost, self.each - spent)))

    def _add(self, is_answered: bool, cost: int) -> None:
        if is_answered:
            self._peers += cost
        else:
            self._strangers += cost
