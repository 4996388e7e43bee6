"""The store's bounds: by age, and by size with the least needed rows first.

By size, rows that no sink waits for go before rows that one waits for, SIP before media records, and metrics
last: they are a hundredth of the rest, and the alarms need them. A row that goes before its time leaves a gap
record.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent.store.call_index import drop_calls, first_id, forget_rows
from agent.store.database import used_bytes
from agent.store.gaps import Gap, add_gap

CLOUDWATCH_WINDOW_S = 14 * 86_400  # the outbox keeps nothing older: CloudWatch takes none
# The order of deletion: (kind, whether a sink waits for it).
_ORDER = (
    ("sip", False),
    ("media", False),
    ("calls", False),
    ("index", False),
    ("sip", True),
    ("media", True),
    ("calls", True),
    ("agent", False),
    ("metrics", False),
    ("agent", True),
    ("metrics", True),
)
_KINDS = ("sip", "media", "calls", "agent", "metrics")
_WAITING = "EXISTS (SELECT 1 FROM due JOIN sinks ON name = sink WHERE row_id = rows.id AND active)"
_OLDEST_CALLS = "id IN (SELECT id FROM call_index ORDER BY id LIMIT ?)"
_CALL_BYTES = 640  # of a call in the index, its keys included
_ROW_OVERHEAD = 200  # bytes of a row beside its body: columns and three indexes


@dataclass(slots=True)
class DroppedRows:
    """The rows of one kind that one sweep deleted."""

    rows: int = 0
    records: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, minute_ns: int, records: int) -> None:
        self.first_ns = min(self.first_ns, minute_ns) if self.rows else minute_ns
        self.last_ns = max(self.last_ns, minute_ns)
        self.rows += 1
        self.records += records


def make_room(
    connection: sqlite3.Connection, wanted: int, max_bytes: int, now_ns: int, next_id: Callable[[], int]
) -> dict[str, int]:
    """Deletes the least needed rows until `wanted` more bytes fit. Returns rows deleted by kind."""
    excess = used_bytes(connection) + wanted - max_bytes
    deleted: dict[str, int] = {}
    for kind, waited_for in _ORDER:
        if excess <= 0:
            break
        if kind == "index":
            gone = drop_calls(connection, _OLDEST_CALLS, math.ceil(excess / _CALL_BYTES))
            deleted[kind] = len(gone)
            excess -= len(gone) * _CALL_BYTES
            continue
        loss = DroppedRows()
        ids = []
        for row_id, minute_ns, records, size in _oldest(connection, kind, waited_for):
            ids.append((row_id,))
            loss.add(minute_ns, records)
            excess -= size + _ROW_OVERHEAD
            if excess <= 0:
                break
        delete_rows(connection, ids)
        if ids:
            deleted[kind] = deleted.get(kind, 0) + loss.rows
            why = "size, not delivered" if waited_for else "size"
            gap = Gap(now_ns, kind, loss.first_ns, loss.last_ns, loss.records, why)
            add_gap(connection, next_id(), gap)
    return deleted


def drop_old(
    connection: sqlite3.Connection, kept_s: Mapping[str, int], now_ns: int, next_id: Callable[[], int]
) -> None:
    """Deletes rows past their kind's retention that no sink waits for, and rows too old for every sink.

    The call index and the overview are kept as long as the calls.
    """
    horizon = now_ns - CLOUDWATCH_WINDOW_S * 1_000_000_000
    for kind in _KINDS:  # one by one: the index is by kind, then age
        kept_from = now_ns - kept_s[kind] * 1_000_000_000
        old = connection.execute(
            f"SELECT id FROM rows WHERE kind=? AND minute_ns < ? AND NOT {_WAITING}", (kind, kept_from)
        )
        delete_rows(connection, old.fetchall())
        loss = DroppedRows()
        ids = []
        for row_id, minute_ns, records in connection.execute(
            "SELECT id, minute_ns, records FROM rows WHERE kind=? AND minute_ns < ?", (kind, horizon)
        ):
            ids.append((row_id,))
            loss.add(minute_ns, records)
        delete_rows(connection, ids)
        if ids:
            gap = Gap(now_ns, kind, loss.first_ns, loss.last_ns, loss.records, "age, not delivered")
            add_gap(connection, next_id(), gap)
    connection.execute("DELETE FROM parts WHERE minute_ns < ?", (horizon,))
    calls_from = now_ns - kept_s["calls"] * 1_000_000_000
    drop_calls(connection, "id < ?", first_id(calls_from))
    connection.execute("DELETE FROM minute_index WHERE minute_ns < ?", (calls_from,))


def delete_rows(connection: sqlite3.Connection, ids: list[tuple[int]]) -> None:
    forget_rows(connection, ids)
    connection.executemany("DELETE FROM due WHERE row_id=?", ids)
    connection.executemany("DELETE FROM rows WHERE id=?", ids)


def _oldest(
    connection: sqlite3.Connection, kind: str, waited_for: bool
) -> Iterator[tuple[int, int, int, int]]:
    condition = _WAITING if waited_for else f"NOT {_WAITING}"
    yield from connection.execute(
        f"SELECT id, minute_ns, records, length(body) FROM rows WHERE kind=? AND {condition} "
        "ORDER BY minute_ns, id",
        (kind,),
    )
