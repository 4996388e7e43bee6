"""Connectors whose figures a host leaves to another one that sees the very same legs.

Two hosts that capture the same traffic would add up to twice its calls and packets. A host that learns from
the board that another was first with a leg asks who of the two counts: the first to ask names the other one,
for an hour. The host that does not count publishes no figures of that connector: they are null, and the
other's are whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from agent.model.call_cy import Call, Leg
from agent.model.sides import Connector
from agent.model.unseen import Sight

HOLD_NS = 600 * 10**9  # after the last such call
AHEAD_NS = 60 * 10**9  # that minutes are marked ahead


class Yielded(Struct, frozen=True):
    """Figures of a time that are another host's. UTC ns."""

    sight: Sight
    connector: Connector
    start_ns: int
    end_ns: int
    host: str


class _Lost(Struct, frozen=True):
    """A leg with which another host was first."""

    call: Call
    connector: Connector
    sight: Sight
    since_ns: int


class _Standing(Struct):
    """A connector's state: the host that counts, its calls alive, up to when minutes are marked."""

    host: str
    marked_ns: int
    newest_ns: int = 0
    calls: set[Call] = field(default_factory=set)


class CountedTwice:
    """Bounded by the calls alive."""

    def __init__(self) -> None:
        self._asked: dict[str, list[_Lost]] = {}  # by the key that was asked for
        self._standing: dict[tuple[Connector, Sight], _Standing] = {}

    def lose(self, leg: Leg, sight: Sight, hosts: tuple[str, str]) -> str:
        """The other one of `hosts` was first with a leg. Returns the key to ask for who of them counts."""
        assert leg.connector is not None
        key = "\0".join((leg.connector.id, "counts", *sorted(hosts)))
        self._asked.setdefault(key, []).append(_Lost(leg.call, leg.connector, sight, leg.invite_ns))
        return key

    def answer(self, key: str, host: str, own: str) -> bool:
        """`host` counts. Whether that was asked here."""
        lost = self._asked.pop(key, None)
        for each in lost or () if host != own else ():
            place = each.connector, each.sight
            standing = self._standing.setdefault(place, _Standing(host, each.since_ns))
            standing.calls.add(each.call)
        return lost is not None

    def end(self, call: Call) -> None:
        """The call is forgotten."""
        for standing in self._standing.values():
            standing.calls.discard(call)
        for lost in self._asked.values():
            lost[:] = [each for each in lost if each.call is not call]

    def due(self, now_ns: int) -> Iterator[Yielded]:
        """The time to mark that is not marked yet."""
        for key, standing in list(self._standing.items()):
            if standing.calls:
                standing.newest_ns = now_ns
            if now_ns - standing.newest_ns >= HOLD_NS:
                del self._standing[key]
            elif now_ns + AHEAD_NS // 2 > standing.marked_ns:
                connector, sight = key
                yield Yielded(sight, connector, standing.marked_ns, now_ns + AHEAD_NS, standing.host)
                standing.marked_ns = now_ns + AHEAD_NS
