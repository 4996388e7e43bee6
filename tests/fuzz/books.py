"""What must hold of everything that is published, whatever the file: `Books` collects it and checks.

- Each number is possible: counts from 0, MOS 1 to 5, a share of loss 0 to 100 %, RTT at most 10 s, no NaN.
- The books are closed: what the engine counted is published, in a count, or beside it where the count is
  unknown. Nothing is published that it did not count.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from agent.model.events import Attempted, Event, MessageSeen
from agent.model.stream_minute_cy import StreamMinute
from agent.model.units import MINUTE_NS
from agent.summary.records import ConnectorMinute, Samples, Summary
from agent.summary.timeline_cy import plain
from tests.kit.scene import VC_C, VC_R

VC = (VC_C, VC_R)
MAX_RTT_US = 10_000_000
MAX_MOS = 5.0
# The bounds of a record's field, by its name; any other number of a record is at least 0.
BOUNDS: tuple[tuple[re.Pattern[str], float, float], ...] = (
    (re.compile(r"^mos_(?!directions)|_mos$"), 1.0, MAX_MOS),
    (re.compile(r"^r_(worst_)?btwn"), -100.0, 130.0),
    (re.compile(r"loss_(pct|percent)"), 0.0, 100.0),
    (re.compile(r"^rtt_"), 0.0, MAX_RTT_US),
    (re.compile(r"_density$"), 0.0, 100.0),
)
OF_RESTART = re.compile("rtt_|mos_|r_|worst|RTT|MOS")  # a restart may change these: their report left before


class Books:
    """Takes events and what is published of them: a keeper of minutes."""

    def __init__(self) -> None:
        self.minutes = 0
        self.events: Counter[str] = Counter()
        self.published: Counter[str] = Counter()
        self._streams: list[StreamMinute] = []  # of minutes that are open
        self.minute_rows: list[list[bytes]] = []
        self.message_rows: list[bytes] = []

    # -- what was counted

    def see(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, MessageSeen):
                self.events["messages"] += 1
                if 100 <= event.status < 700 and event.counts:
                    self.events["responses"] += 1
            elif isinstance(event, Attempted) and event.account.direction is not None:
                self.events["attempts"] += 1

    def stream(self, minute: StreamMinute) -> None:
        self._streams.append(minute)

    def _count_streams(self, end_ns: int) -> None:
        """Counts the packets of minutes that end by `end_ns`, as often as their call is published."""
        for minute in self._streams:
            if minute.stamp_ns < end_ns:
                self.events["rtp"] += minute.packets * times_published(minute)
        self._streams = [minute for minute in self._streams if minute.stamp_ns >= end_ns]

    # -- what is published

    def messages(self, rows: list[dict[str, Any]]) -> None:
        self.published["messages"] += len(rows)
        self.message_rows += map(encode, rows)

    def commit(self, summary: Summary) -> None:
        self.minutes += 1
        self._count_streams(summary.start_ns + MINUTE_NS)
        self.messages(summary.sip)
        for connector in summary.connectors:
            self._connector(connector)
        for name in ("orphan_packets", "intruder_packets"):
            self.published["rtp"] += summary.extras.get(name, 0)
        media = list(summary.media)
        for row in (*media, *summary.calls, *summary.live):
            check_record(row)
        whole = summary.start_ns, summary.complete, summary.connectors, summary.extras
        rows = sorted(map(encode, media + summary.calls))  # in any order
        self.minute_rows.append([encode(whole), *rows])

    def _connector(self, connector: ConnectorMinute) -> None:
        known = {**connector.values, **connector.seen}
        for name, value in known.items():
            check_value(name, value)
            if isinstance(value, int):
                if name.endswith("RtpPackets"):
                    self.published["rtp"] += value
                elif name.startswith("Sip"):
                    self.published["responses"] += value
                elif name.endswith("CallAttempts"):
                    self.published["attempts"] += value
        for share in connector.coverage.values():
            assert share is None or 0.0 <= share <= 1.0, connector.coverage
        for because in connector.unknown_because:
            assert because["count"] is None or because["count"] >= 0, because

    def close(self) -> None:
        """Everything was taken: what was counted and what was published are the same."""
        assert self.published == self.events, (self.published, self.events)


def without(names: re.Pattern[str], minute_rows: list[list[bytes]]) -> list[list[Any]]:
    """Published minutes without the fields of `names`."""

    def left(thing: Any) -> Any:
        if isinstance(thing, list):
            return [left(each) for each in thing]
        if not isinstance(thing, dict):
            return thing
        return {name: left(its) for name, its in thing.items() if not names.match(name)}

    return [[left(msgspec.json.decode(row)) for row in rows] for rows in minute_rows]


encode = msgspec.json.Encoder(enc_hook=plain).encode


def times_published(minute: StreamMinute) -> int:
    """In how many views a stream counts: in both of a call between two customers (`Call.views`).

    Of no call it is an orphan or an intruder, unless it goes on behind its call or passes by the vc.
    """
    leg = minute.leg
    if leg is None:
        return (minute.src[0] in VC) != (minute.dst[0] in VC) and not minute.is_over
    if minute.to_vc is None:
        return 0
    return sum(leg in customers or leg in remotes for _, customers, remotes in leg.call.views())


def check_value(name: str, value: object) -> None:
    """One metric."""
    if not isinstance(value, Samples):
        assert value is None or (isinstance(value, int) and value >= 0), (name, value)
    elif value.count:
        found = value.summary()
        assert 0 <= found["min"] <= found["max"] < float("inf"), (name, found)
        if name.startswith("RTT"):
            assert found["max"] <= MAX_RTT_US, (name, found)
        if name.startswith("MOS"):
            assert 1.0 <= found["min"] <= found["max"] <= MAX_MOS, (name, found)


def check_record(record: dict[str, Any]) -> None:
    """One media or call record."""
    for name, value in record.items():
        if type(value) is int or type(value) is float:
            low, high = bounds(name)
            assert low <= value <= high, (name, value)


_BOUNDS: dict[str, tuple[float, float]] = {}


def bounds(name: str) -> tuple[float, float]:
    """The least and the greatest value of a record's field."""
    if name not in _BOUNDS:
        found = [(low, high) for pattern, low, high in BOUNDS if pattern.search(name)]
        _BOUNDS[name] = found[0] if found else (0.0, float("inf"))
    return _BOUNDS[name]
