"""One open minute: counts by leg or connector, calls heard, and marks of what was not seen."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.model.call_cy import Call, Leg
from agent.model.events import CallsUp
from agent.model.sides import UNASSIGNED, Connector
from agent.summary.call_minute_cy import CallMinute, Calls, of_call
from agent.summary.unseen import Marks

Owner = Leg | Connector
Counts = dict[tuple[Owner, str], int]


class OpenMinute(Struct):
    """All that happened in one open minute."""

    counts: Counts = {}
    tallies: Counts = {}
    carried: dict[tuple[Owner, str, str], int] = {}  # ... of a carrier: owner, metric, carrier
    delays: dict[tuple[Owner, str], list[float]] = {}
    calls: Calls = {}
    over: list[dict[str, Any]] = []
    ended: list[Call] = []  # the calls of those rows
    told: int = 0  # of those rows: handed over before the close
    begun: dict[Call, None] = {}  # attempted or answered here, and not handed over yet
    up: CallsUp | None = None
    marks: Marks = {}
    orphan_packets: int = 0  # RTP to or from the vc that belongs to nobody
    intruder_packets: int = 0  # ... of strangers, on sockets where somebody else is answered
    from_ns: int = 0  # where an earlier part of the minute ended
    missed: list[tuple[int, int]] = []  # from when to when nobody watched

    def of_call(self, call: Call) -> CallMinute:
        return of_call(self.calls, call)

    def last_rtp_ns(self) -> int:
        """When RTP of a call was last seen, 0 if never."""
        return max(
            (stream.last_ns for call_minute in self.calls.values() for stream in call_minute.streams),
            default=0,
        )


def owner_of(leg: Leg | None, connector: Connector | None = None) -> Owner:
    """The connector, once it is decided: a leg that a flood pushed out is not kept alive by its counts."""
    return (leg.connector or leg) if leg is not None else connector or UNASSIGNED


def count(counts: Counts, owner: Owner, name: str, times: int = 1) -> None:
    """So many more. In a plain dictionary: `+= 1` in a Counter costs twice as much."""
    key = owner, name
    counts[key] = counts.get(key, 0) + times


def connector_of(owner: Owner, fallback: Connector) -> Connector:
    """The owner of a count at the close of its minute."""
    return owner if isinstance(owner, Connector) else owner.connector or fallback
