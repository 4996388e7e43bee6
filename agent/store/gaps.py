"""Gap records: the kind, time and cause of missing records. Nothing is dropped without one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

MAX_GAPS = 10_000  # the oldest go first: a host that fails for a year must not fill its disk with gap records
_DETAIL_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Gap:
    """`records` of `kind` between `first_ns` and `last_ns` (UTC) are missing, in `sink` or (empty) here.

    `kind` is a row kind, or `capture`. `why` is a short word for the cause, `detail` a sentence, or the
    refused item itself.
    """

    at_ns: int
    kind: str
    first_ns: int
    last_ns: int
    records: int
    why: str
    sink: str = ""
    connector: str = ""
    detail: str = ""


def add_gap(connection: sqlite3.Connection, gap_id: int, gap: Gap) -> None:
    """Writes `gap`, or widens the newest one where it says the same: an outage is one gap, not thousands."""
    newest = connection.execute(
        "SELECT id, kind, sink, connector, why, first_ns, last_ns, records FROM gaps ORDER BY id DESC LIMIT 1"
    ).fetchone()
    same = (gap.kind, gap.sink, gap.connector, gap.why)
    if newest is not None and newest[1:5] == same and not gap.detail:
        connection.execute(
            "UPDATE gaps SET first_ns=?, last_ns=?, records=?, at_ns=? WHERE id=?",
            (
                min(newest[5], gap.first_ns),
                max(newest[6], gap.last_ns),
                newest[7] + gap.records,
                gap.at_ns,
                newest[0],
            ),
        )
        return
    connection.execute(
        "INSERT INTO gaps VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            gap_id,
            gap.at_ns,
            gap.kind,
            gap.sink,
            gap.connector,
            gap.first_ns,
            gap.last_ns,
            gap.records,
            gap.why,
            gap.detail[:_DETAIL_CHARS],
        ),
    )
    connection.execute(
        "DELETE FROM gaps WHERE id <= (SELECT id FROM gaps ORDER BY id DESC LIMIT 1 OFFSET ?)", (MAX_GAPS,)
    )


def read_gaps(connection: sqlite3.Connection, since_ns: int, until_ns: int) -> list[Gap]:
    rows = connection.execute(
        "SELECT at_ns, kind, first_ns, last_ns, records, why, sink, connector, detail FROM gaps "
        "WHERE last_ns >= ? AND first_ns < ? ORDER BY first_ns, id",
        (since_ns, until_ns),
    )
    return [Gap(*row) for row in rows]
