"""The one file in which closed minutes, the checkpoint and every sink's progress live."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.model.names import UNASSIGNED
from agent.model.units import MINUTE_NS
from agent.store.call_index import call_keys, index_row, record_minute, record_news
from agent.store.codec import pack, to_json, unpack, unpack_connectors
from agent.store.gaps import Gap, add_gap, read_gaps
from agent.store.outbox import Outbox
from agent.store.overview import record_overview
from agent.store.retention import drop_old, make_room
from agent.store.volume import Volume
from agent.summary.records import Summary

KINDS = ("metrics", "agent", "media", "calls", "sip")
ALL_CONNECTORS = "*"  # the metrics row of a minute part holds every connector: {Region} is merged over them
_PRUNE_EVERY_NS = MINUTE_NS
CALLS_S = 14 * 86_400
"""How long calls, their media records and the overview are kept, seconds."""
# Records of one row at most: of a call's page only the rows that have its records are read.
PER_ROW = 256
_Part = tuple[int, int, str | None, bytes]  # part, complete, gap, extras


class _NewRow(NamedTuple):
    """A row before it has an id. `calls`: `call_key` of each call of its records."""

    connector: str
    minute_ns: int
    part: int
    kind: str
    key: str
    records: int
    body: bytes
    calls: Iterable[int] = ()


class Store:
    """One process writes (the engine's thread commits, sinks' threads use `outbox`), any number read.

    Times are arguments in UTC ns. A failing disk raises nothing here: new rows are kept in memory until it
    recovers (`counters()["degraded"]`), and `take_notices()` has the sentence for the operator.

    Raises: ConfigError at the start only (in use by another process, folder cannot be written, no such file
    to read).
    """

    def __init__(
        self,
        path: str | Path,
        *,
        retention_s: int = 86_400,
        calls_retention_s: int = CALLS_S,
        max_bytes: int = 512 << 20,
        max_memory_bytes: int = 64 << 20,
        read_only: bool = False,
    ) -> None:
        self._volume = Volume(Path(path), read_only=read_only)
        self.outbox = Outbox(self._volume)
        self.bound(retention_s=retention_s, calls_retention_s=calls_retention_s, max_bytes=max_bytes)
        self._max_memory_bytes = max_memory_bytes
        self._evicted = dict.fromkeys((*KINDS, "index"), 0)
        self._pruned_ns = 0

    def bound(self, *, retention_s: int, calls_retention_s: int, max_bytes: int) -> None:
        """Sets how long and how much of each kind is kept, from the next transaction on."""
        calls = dict.fromkeys(("media", "calls"), calls_retention_s)
        self._kept_s = calls | dict.fromkeys(("sip", "metrics", "agent"), retention_s)
        self._max_bytes = max_bytes

    def keep(
        self,
        parts: Sequence[Summary] = (),
        sip_rows: Sequence[dict[str, Any]] = (),
        checkpoint: bytes | None = None,
        gaps: Sequence[Gap] = (),
        news: Sequence[dict[str, Any]] = (),
        *,
        now_ns: int,
    ) -> int:
        """Keeps closed minute parts with their marks, SIP messages, gaps and a checkpoint: one transaction.

        `news`: `call` records for the index alone. The checkpoint was taken after all of it. `now_ns` ages
        the store. Returns how many parts are new. A
        part that was committed before is not kept again (a part is closed once, never twice); where none of
        the given parts is new nothing changes.
        """
        # Ask the file as well while memory takes the writes.
        new = [part for part in parts if not self._is_committed(part.start_ns, part.part)]
        if parts and not new:
            return 0
        rows = [row for part in new for row in _rows_of(part)]
        loose = _grouped(sip_rows)

        def work(connection: sqlite3.Connection) -> None:
            # The key comes from the ids, so two checkpoints of one minute never share one.
            sip = [row._replace(key=f"c{self._volume.next_id()}") for row in loose]
            self._bound(connection, [*sip, *rows], len(checkpoint or b""), now_ns)
            for part in new:
                self._close(connection, part, now_ns, saved=checkpoint is not None)
            self._insert(connection, [*sip, *rows])
            if not self._volume.degraded:  # memory's rows are indexed when they move to the file
                for part in new:
                    record_minute(connection, part.start_ns, part.calls, part.live, part.media)
                    record_overview(connection, part)
                if news:
                    record_news(connection, now_ns, news)
            for gap in gaps:
                add_gap(connection, self._volume.next_id(), gap)
            self._put_checkpoint(connection, checkpoint)

        self._volume.write(work)
        return len(new)

    def commit(self, summary: Summary, checkpoint: bytes | None = None, *, now_ns: int | None = None) -> bool:
        """Keep one closed minute part; without `now_ns` its end ages the store. False: it was kept before."""
        now = summary.start_ns + MINUTE_NS if now_ns is None else now_ns
        return self.keep([summary], checkpoint=checkpoint, now_ns=now) == 1

    def save_checkpoint(
        self, checkpoint: bytes | None, sip_rows: Sequence[dict[str, Any]] = (), *, now_ns: int
    ) -> None:
        """Keep a checkpoint and the SIP messages since the last one."""
        self.keep((), sip_rows, checkpoint, now_ns=now_ns)

    def load_checkpoint(self) -> bytes | None:
        """The newest checkpoint. The caller stamps a version into it and decides whether it can read it."""
        found = self._volume.read(lambda c: c.execute("SELECT body FROM checkpoint").fetchone())
        return next((bytes(row[0]) for row in reversed(found) if row is not None), None)

    def next_part(self, minute_start_ns: int) -> int:
        """The number of the next part of a minute; 0 where none was committed."""
        found = self._volume.read(
            lambda c: c.execute(
                "SELECT max(part) FROM parts WHERE minute_ns=?", (minute_start_ns,)
            ).fetchone()
        )
        return max((row[0] + 1 for row in found if row[0] is not None), default=0)

    @property
    def closed_until_ns(self) -> int | None:
        """End of the last whole closed minute. Restored counts before it were published already."""
        found = self._volume.read(
            lambda c: c.execute("SELECT value FROM marks WHERE name='closed_until_ns'").fetchone()
        )
        marks = [int(row[0]) for row in found if row is not None]
        return max([*marks, *self._volume.noted_closed()], default=None)

    @property
    def closed_unsaved_ns(self) -> int:
        """End of the minutes closed after the newest checkpoint was taken, 0 if none.

        Counts of the checkpoint before that time were published already. A clock that was set back does not
        matter: a checkpoint comes last.
        """
        (*_, marks) = self._volume.read(lambda c: dict(c.execute("SELECT name, value FROM marks").fetchall()))
        noted = [note for note in self._volume.noted_closed() if note != marks.get("void_note")]
        return max([int(marks.get("unsaved_ns", 0)), *noted])

    def add_gap(self, gap: Gap) -> None:
        self._volume.write(lambda connection: add_gap(connection, self._volume.next_id(), gap))

    def gaps(self, since_ns: int, until_ns: int) -> list[Gap]:
        found = self._volume.read(lambda connection: read_gaps(connection, since_ns, until_ns))
        return sorted((gap for gaps in found for gap in gaps), key=lambda gap: gap.first_ns)

    def minutes(
        self, since_ns: int, until_ns: int, kinds: Sequence[str] = ("metrics", "media", "calls")
    ) -> Iterator[Summary]:
        """The minute parts that start in [since, until), by time. Kinds not asked for are left empty.

        SIP messages stand in the first part of their minute, even if another part was open when they came.
        """
        for minute_ns, parts in self._parts(since_ns, until_ns):
            rows = self._rows(minute_ns, kinds)
            for position, (part, complete, gap, extras) in enumerate(parts):
                media: list[dict[str, Any]] = []
                summary = Summary(
                    minute_ns, part, bool(complete), [], media, [], [], gap, msgspec.json.decode(extras)
                )
                for row_part, kind, body in rows:
                    if kind == "sip" and position == 0:
                        summary.sip += unpack(body)
                    elif row_part == part and kind == "metrics":
                        summary.connectors += unpack_connectors(body)
                    elif row_part == part and kind == "media":
                        media += unpack(body)
                    elif row_part == part and kind == "calls":
                        summary.calls += unpack(body)
                summary.sip.sort(key=lambda record: int(record["event_timestamp"]))
                yield summary

    def counters(self) -> dict[str, int]:
        """`degraded` (0 or 1), its history, `corrupt_files`, `evicted_<kind>` rows, `bytes` in use."""
        counts = dict(self._volume.counts)
        counts["degraded"] = int(self._volume.degraded)
        counts.update({f"evicted_{kind}": count for kind, count in self._evicted.items()})
        path = self._volume.path
        counts["bytes"] = path.stat().st_size if path.exists() else 0
        return counts

    def take_notices(self) -> list[str]:
        """Sentences for the operator since the last call."""
        taken, self._volume.notices = self._volume.notices, []
        return taken

    def close(self) -> None:
        """Closes the file. Memory's rows, if any, are written to it if that is possible now."""
        self._volume.close()

    def _bound(self, connection: sqlite3.Connection, rows: Sequence[_NewRow], more: int, now_ns: int) -> None:
        if abs(now_ns - self._pruned_ns) >= _PRUNE_EVERY_NS:
            drop_old(connection, self._kept_s, now_ns, self._volume.next_id)
            self._pruned_ns = now_ns
        limit = self._max_memory_bytes if self._volume.degraded else self._max_bytes
        held = connection.execute("SELECT ifnull(sum(length(body)), 0) FROM checkpoint").fetchone()[0]
        wanted = sum(len(row.body) for row in rows) + max(0, more - held)
        deleted = make_room(connection, wanted, limit, now_ns, self._volume.next_id)
        for kind, count in deleted.items():
            self._evicted[kind] += count

    def _close(self, connection: sqlite3.Connection, part: Summary, now_ns: int, *, saved: bool) -> None:
        """Marks a part as closed. `saved`: a later checkpoint goes with it."""
        end_ns = part.start_ns + MINUTE_NS
        values = (part.start_ns, part.part, part.complete, part.gap, to_json(part.extras))
        connection.execute("INSERT INTO parts VALUES (?,?,?,?,?)", values)
        if part.gap is not None:
            gap = Gap(now_ns, "capture", part.start_ns, end_ns, 0, part.gap)
            add_gap(connection, self._volume.next_id(), gap)
        marks = [("closed_until_ns", end_ns if part.complete or part.gap is not None else part.start_ns)]
        if not saved:
            marks.append(("unsaved_ns", end_ns))
        connection.executemany(
            "INSERT INTO marks VALUES (?,?) "
            "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            marks,
        )
        self._volume.note_closed(end_ns)

    def _put_checkpoint(self, connection: sqlite3.Connection, checkpoint: bytes | None) -> None:
        """Writes a checkpoint.

        It holds no count of earlier closed parts, so the marks that say so are void.
        """
        if checkpoint is not None:
            connection.execute("INSERT OR REPLACE INTO checkpoint VALUES (0, ?)", (checkpoint,))
            void = [("unsaved_ns", 0), ("void_note", max(self._volume.noted_closed(), default=0))]
            connection.executemany("INSERT OR REPLACE INTO marks VALUES (?,?)", void)

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[_NewRow]) -> None:
        sinks = connection.execute("SELECT name, kinds FROM sinks").fetchall()
        for row in rows:
            row_id = self._volume.next_id()
            connection.execute("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?)", (row_id, *row[:7]))
            if not self._volume.degraded:
                index_row(connection, row_id, row.calls)
            due = [(name, row_id) for name, kinds in sinks if row.kind in kinds.split()]
            connection.executemany("INSERT INTO due VALUES (?,?)", due)

    def _is_committed(self, minute_ns: int, part: int) -> bool:
        query = "SELECT 1 FROM parts WHERE minute_ns=? AND part=?"
        found = self._volume.read(lambda c: c.execute(query, (minute_ns, part)).fetchone())
        return any(row is not None for row in found)

    def _parts(self, since_ns: int, until_ns: int) -> list[tuple[int, list[_Part]]]:
        query = (
            "SELECT minute_ns, part, complete, gap, extras FROM parts WHERE minute_ns >= ? AND minute_ns < ?"
        )
        minutes: dict[int, list[_Part]] = {}
        for rows in self._volume.read(lambda c: c.execute(query, (since_ns, until_ns)).fetchall()):
            for minute_ns, part, complete, gap, extras in rows:
                minutes.setdefault(minute_ns, []).append((part, complete, gap, extras))
        return [
            (minute_ns, sorted(minutes[minute_ns], key=lambda part: part[0])) for minute_ns in sorted(minutes)
        ]

    def _rows(self, minute_ns: int, kinds: Sequence[str]) -> list[tuple[int, str, bytes]]:
        marks = ",".join("?" * len(kinds))
        query = f"SELECT part, kind, body FROM rows WHERE kind IN ({marks}) AND minute_ns=? ORDER BY id"
        found = self._volume.read(lambda c: c.execute(query, (*kinds, minute_ns)).fetchall())
        return [row for rows in found for row in rows]


def _grouped(sip_rows: Sequence[dict[str, Any]]) -> list[_NewRow]:
    """SIP records by connector and minute, without a key."""
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for record in sip_rows:
        minute_ns = int(record["event_timestamp"]) * 1_000_000 // MINUTE_NS * MINUTE_NS
        grouped.setdefault((_connector_of(record), minute_ns), []).append(record)
    return [
        row
        for (connector, minute_ns), records in grouped.items()
        for row in _chunks(connector, minute_ns, 0, "sip", records)
    ]


def _rows_of(summary: Summary) -> Iterator[_NewRow]:
    start_ns, part = summary.start_ns, summary.part
    if summary.connectors:
        count = len(summary.connectors)
        yield _NewRow(ALL_CONNECTORS, start_ns, part, "metrics", "", count, pack(summary.connectors))
    if summary.agent:
        yield _NewRow(ALL_CONNECTORS, start_ns, part, "agent", "", len(summary.agent), pack([summary.agent]))
    for kind, records in (("media", summary.media), ("calls", summary.calls), ("sip", summary.sip)):
        grouped: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            grouped.setdefault(_connector_of(record), []).append(record)
        for connector, group in grouped.items():
            yield from _chunks(connector, start_ns, part, kind, group)


def _chunks(
    connector: str, minute_ns: int, part: int, kind: str, records: Sequence[dict[str, Any]]
) -> Iterator[_NewRow]:
    """Rows of at most `PER_ROW` records each."""
    for start in range(0, len(records), PER_ROW):
        chunk = records[start : start + PER_ROW]
        key = str(start // PER_ROW) if start else ""
        yield _NewRow(connector, minute_ns, part, kind, key, len(chunk), pack(chunk), call_keys(chunk))


def _connector_of(record: dict[str, Any]) -> str:
    return str(record.get("voice_connector_id") or UNASSIGNED)
