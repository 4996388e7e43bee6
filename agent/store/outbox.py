"""The rows that each sink still has to deliver, and the exact content of each batch under way.

A row is *due* for a sink from its commit until the sink plans it into batches. A batch is the content of one
request, kept word for word:

    due row --plan--> ready --mark_sent--> sent --mark_done--> gone
                        ^                   |
                        +----mark_refused---+   the answer said that nothing was taken

A batch found `sent` (lost answer, time-out, kill) may have been taken. It is sent again unchanged, and that
is counted as `maybe_duplicate`. Each step is one transaction, so a kill between any two leaves one of these
states.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.store.codec import pack, unpack
from agent.store.database import Unwritable
from agent.store.gaps import Gap, add_gap
from agent.store.volume import ADD_TO_TOTAL, Volume

_BATCH_LEVEL = 1  # a batch lives for seconds
_IN_ONE_QUERY = 500  # SQLite's old limit of variables in one statement is 999


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One stored blob: `records` records of one kind, of one connector (`*`: all) and minute part."""

    id: int
    connector: str
    minute_ns: int
    part: int
    kind: str
    key: str
    records: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of one future request: JSON-ready `items` of one `target`.

    `lane` is the connector (or `*`) that they came from. `first_ns` and `last_ns`: the time of the oldest and
    the newest item.
    """

    lane: str
    target: str
    items: list[dict[str, Any]]
    first_ns: int
    last_ns: int
    is_packed: bool = False  # the items are compressed already

    @property
    def level(self) -> int:
        """The compression level of its content in the store."""
        return 0 if self.is_packed else _BATCH_LEVEL

    @classmethod
    def of(
        cls, items: list[dict[str, Any]], lane: str, target: str, item_ns: Callable[[dict[str, Any]], int]
    ) -> Draft:
        """A draft whose times are those of its items; there is at least one."""
        times = [item_ns(item) for item in items]
        return cls(lane, target, items, min(times), max(times))


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """A draft that the store holds. `sent`: it was sent before, and its answer is not known."""

    id: int
    sink: str
    lane: str
    target: str
    sent: bool
    item_count: int
    first_ns: int
    last_ns: int
    body: bytes

    @property
    def items(self) -> list[dict[str, Any]]:
        return unpack(self.body)


class Outbox:
    """Safe to use from any thread; each sink is worked by one thread at a time.

    Raises: Unwritable, where a step cannot be written to the disk. Nothing may be sent then.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        # The sink took them while the disk was full: they are never sent again
        self._done_unmarked: dict[int, str] = {}

    def register(self, sinks: Mapping[str, Sequence[str]]) -> None:
        """Sets the sinks and the kinds of rows that each takes. All stored rows are due to a new sink.

        A sink that is not named any more keeps its due rows, but they do not hold back retention.
        """

        def work(connection: sqlite3.Connection) -> None:
            known = {name for (name,) in connection.execute("SELECT name FROM sinks")}
            connection.execute("UPDATE sinks SET active = 0")
            for name, kinds in sinks.items():
                connection.execute(
                    "INSERT INTO sinks VALUES (?,?,1) ON CONFLICT (name) DO UPDATE SET "
                    "kinds = excluded.kinds, active = 1",
                    (name, " ".join(kinds)),
                )
                if name not in known:
                    connection.executemany(
                        "INSERT INTO due SELECT ?, id FROM rows WHERE kind = ?",
                        [(name, kind) for kind in kinds],
                    )

        # The new rows of a file begun anew are due to the same sinks.
        self._volume.on_new_file = work
        self._volume.write(work)

    def due(
        self,
        sink: str,
        *,
        before_ns: int,
        newest_first: bool = False,
        limit: int = 64,
        max_bytes: int = 1 << 20,
        skip: Sequence[str] = (),
    ) -> list[OutboxRow]:
        """Rows of minutes before `before_ns`: at least one if any, then as many as fit the limits."""
        order = "DESC" if newest_first else "ASC"
        marks = ",".join("?" * len(skip))
        # In the order of commits, which an index has: reading the head of a day's backlog sorts nothing.
        query = (
            "SELECT id, connector, minute_ns, part, kind, key, records, body FROM due "
            f"CROSS JOIN rows ON id = row_id WHERE sink=? AND minute_ns < ? AND connector NOT IN ({marks}) "
            f"ORDER BY row_id {order} LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> list[OutboxRow]:
            taken: list[OutboxRow] = []
            size = 0
            for values in connection.execute(query, (sink, before_ns, *skip, limit)):
                row = OutboxRow(*values)
                size += len(row.body)
                if taken and size > max_bytes:
                    break
                taken.append(row)
            return taken

        return self._volume.read(work, newest_only=True)[0]

    def plan(
        self,
        sink: str,
        rows: Sequence[OutboxRow],
        drafts: Sequence[Draft],
        gaps: Sequence[Gap] = (),
        totals: Mapping[str, int] | None = None,
    ) -> None:
        """Replaces due rows by drafts. Rows without any content need no draft."""
        packed = [(draft, pack(draft.items, draft.level)) for draft in drafts]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM due WHERE sink=? AND row_id=?", [(sink, row.id) for row in rows]
            )
            for draft, body in packed:
                self._insert(connection, sink, draft, body, "ready")
            self._add_gaps(connection, gaps)
            self._add_totals(connection, sink, totals or {})

        if rows:
            self._volume.change("rows", rows[0].id, work)

    def next_batch(
        self, sink: str, *, newest_first: bool = False, skip: Sequence[str] = ()
    ) -> OutboxBatch | None:
        """The next batch to send; lanes in `skip` wait."""
        self._mark_the_unmarked()
        order = "last_ns DESC, id DESC" if newest_first else "id"
        lanes = ",".join("?" * len(skip))
        known = list(self._done_unmarked)[:_IN_ONE_QUERY]
        ids = ",".join("?" * len(known))
        query = (
            "SELECT id, sink, lane, target, state = 'sent', items, first_ns, last_ns, body FROM batches "
            f"WHERE sink=? AND lane NOT IN ({lanes}) AND id NOT IN ({ids}) ORDER BY {order} LIMIT 1"
        )

        def work(connection: sqlite3.Connection) -> OutboxBatch | None:
            found = connection.execute(query, (sink, *skip, *known)).fetchone()
            if found is None:
                return None
            batch_id, name, lane, target, sent, count, first_ns, last_ns, body = found
            return OutboxBatch(batch_id, name, lane, target, bool(sent), count, first_ns, last_ns, body)

        return self._volume.read(work, newest_only=True)[0]

    def mark_sent(self, batch: OutboxBatch) -> bool:
        """Marks a batch before its request. Counts `maybe_duplicate` where it was sent before.

        False: the store has lost the batch (a damaged file was moved aside), so it may not be sent.
        """

        def work(connection: sqlite3.Connection) -> bool:
            connection.execute("UPDATE batches SET state='sent' WHERE id=?", (batch.id,))
            if batch.sent:
                connection.execute(ADD_TO_TOTAL, (batch.sink, "maybe_duplicate", 1))
            return True

        return self._volume.change("batches", batch.id, work) is not None

    def mark_done(self, batch: OutboxBatch) -> None:
        """The sink took it. Raises no `Unwritable`: a mark that cannot be written now is kept in memory."""
        try:
            self._finish(batch.id, batch.sink)
        except Unwritable:
            self._done_unmarked[batch.id] = batch.sink

    def mark_refused(self, batch: OutboxBatch) -> None:
        """The answer said that nothing was taken: the next request is no duplicate."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE batches SET state='ready' WHERE id=?", (batch.id,))

        self._volume.change("batches", batch.id, work)

    def replace(
        self,
        batch: OutboxBatch,
        drafts: Sequence[Draft],
        *,
        gaps: Sequence[Gap] = (),
        totals: Mapping[str, int] | None = None,
        sent: bool = False,
    ) -> None:
        """Puts `drafts` in the batch's place: its halves, its rest, or nothing."""
        packed = [(draft, pack(draft.items, draft.level)) for draft in drafts]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM batches WHERE id=?", (batch.id,))
            for draft, body in packed:
                self._insert(connection, batch.sink, draft, body, "sent" if sent else "ready")
            self._add_gaps(connection, gaps)
            self._add_totals(connection, batch.sink, totals or {})

        self._volume.change("batches", batch.id, work)

    def totals(self, sink: str) -> dict[str, int]:
        """Counts since the store was made: `maybe_duplicate`, `quarantined`, `dropped`, `sent_batches` ..."""
        total: dict[str, int] = {}

        def work(connection: sqlite3.Connection) -> list[tuple[str, int]]:
            return connection.execute("SELECT name, value FROM totals WHERE sink=?", (sink,)).fetchall()

        for found in self._volume.read(work):
            for name, value in found:
                total[name] = total.get(name, 0) + value
        return total

    def depth(self, sink: str) -> tuple[int, int | None]:
        """How many rows and batches wait, and the time (UTC ns) of the one committed first."""

        def work(connection: sqlite3.Connection) -> tuple[int, int | None]:
            rows = connection.execute(
                "SELECT count(*), (SELECT minute_ns FROM due CROSS JOIN rows ON id = row_id WHERE sink=? "
                "ORDER BY row_id LIMIT 1) FROM due WHERE sink=?",
                (sink, sink),
            ).fetchone()
            batches = connection.execute(
                "SELECT count(*), min(first_ns) FROM batches WHERE sink=?", (sink,)
            ).fetchone()
            times = [time for time in (rows[1], batches[1]) if time is not None]
            return rows[0] + batches[0], min(times, default=None)

        answers = self._volume.read(work)
        times = [oldest for _, oldest in answers if oldest is not None]
        return sum(count for count, _ in answers), min(times, default=None)

    def _insert(
        self, connection: sqlite3.Connection, sink: str, draft: Draft, body: bytes, state: str
    ) -> None:
        connection.execute(
            "INSERT INTO batches VALUES (?,?,?,?,?,?,?,?,?)",
            (
                self._volume.next_id(),
                sink,
                draft.lane,
                draft.target,
                state,
                len(draft.items),
                draft.first_ns,
                draft.last_ns,
                body,
            ),
        )

    def _add_gaps(self, connection: sqlite3.Connection, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            add_gap(connection, self._volume.next_id(), gap)

    def _add_totals(self, connection: sqlite3.Connection, sink: str, totals: Mapping[str, int]) -> None:
        connection.executemany(ADD_TO_TOTAL, [(sink, name, value) for name, value in totals.items()])

    def _finish(self, batch_id: int, sink: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM batches WHERE id=?", (batch_id,))
            connection.execute(ADD_TO_TOTAL, (sink, "sent_batches", 1))

        self._volume.change("batches", batch_id, work)

    def _mark_the_unmarked(self) -> None:
        for batch_id, sink in list(self._done_unmarked.items()):
            try:
                self._finish(batch_id, sink)
            except Unwritable:
                return
            self._done_unmarked.pop(batch_id, None)
