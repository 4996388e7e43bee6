"""The store for readers: a search for calls, one whole call, and an overview of the last hours.

Read-only, on a connection of its own: the writer never waits for it, nor it for the writer (WAL). Times are
UTC ns.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import ConfigError
from agent.model.names import UNSIGNALLED
from agent.model.units import MINUTE_NS
from agent.store.call_index import NEWS, SEPARATORS, by_id, call_key, row_of
from agent.store.call_query import CallQuery, page_of
from agent.store.codec import unpack, unpack_connectors
from agent.store.database import Corrupt, Database
from agent.store.gaps import Gap, read_gaps
from agent.store.overview import By, OverviewSeries, read_overview
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import (
    CallRecords,
    ConnectorMinute,
    UnseenSpan,
    is_unsignalled,
    loss_share,
)
from agent.summary.unseen import missed_spans

COMPARED = 9  # last digits that a number has in every network (agent/calls/users)
MAX_MINUTES = 10_000  # of metrics read at once
NEAR_NS = MINUTE_NS  # frames missed this near a call may have been its own


class DirectionSum(msgspec.Struct):
    """One direction of a call so far.

    `lost` of `expected`: of the packets known to be lost or not; None: unknown.
    """

    packets: int = 0
    expected: int = 0
    lost: int | None = None
    mos: float | None = None  # of its worst minute

    @property
    def loss(self) -> float | None:
        return loss_share(self.lost, self.expected, self.packets)


class IndexedCall(msgspec.Struct):
    """A call in a list. `end_ns` None: in progress, or its end was not seen; `seen_ns`: its newest record."""

    id: int
    start_ns: int
    answer_ns: int | None
    end_ns: int | None
    seen_ns: int
    connector: str
    carrier: str | None
    host: str | None
    direction: str | None
    from_user: str | None
    to_user: str | None
    outcome: str
    status: int | None
    end_reason: str | None
    ended_by: str | None
    setup_ms: int | None
    ring_ms: int | None
    customer_peer: str | None
    remote_peer: str | None
    codec: str | None
    transaction_id: str | None
    call_ids: list[str]
    flags: list[str]
    mos_worst: float | None
    loss_worst: float | None
    directions: dict[str, DirectionSum]

    @property
    def call_id(self) -> str:
        return self.call_ids[0] if self.call_ids else ""


class CallPage(msgspec.Struct):
    """Calls, and the mark with which `CallQuery.after` asks for the next ones; "" at the end.

    `number`: the digits of the search, fewer than given where those found nothing.
    """

    calls: list[IndexedCall]
    next: str
    number: str = ""


class StoredCall(msgspec.Struct):
    """One whole call: its line in the list, and the records from which the verdict is made."""

    index: IndexedCall
    records: CallRecords


class StoreReader:
    """Raises: ConfigError where there is no store, or where it is damaged or of another version."""

    def __init__(self, path: str | Path) -> None:
        if not Path(path).exists():
            raise ConfigError(f"no store at {path}: start `sbcwatch run`, or `sbcwatch replay --store`")
        self._database = Database(Path(path), read_only=True)
        try:
            with self._database.read() as connection:
                connection.execute("SELECT 1 FROM call_index LIMIT 1")
        except (sqlite3.OperationalError, Corrupt) as error:
            raise ConfigError(
                f"{path}: {error}: `sbcwatch run` of this version makes the call index"
            ) from None

    def search(self, query: CallQuery) -> CallPage:
        """Calls that meet the query. Raises: ValueError where `query.after` is no mark of a page."""
        with self._database.read() as connection:
            rows, mark = page_of(connection, query)
            if not rows and (shorter := _shorter(query)) and not (query.after and _any(connection, query)):
                # One network writes +44 20 ..., the next 020 ...: search for the digits that both have.
                query = shorter
                rows, mark = page_of(connection, query)
        calls = [_indexed(row_of(row)) for row in rows]
        return CallPage(calls, mark, query.number)

    def call(self, number: int) -> StoredCall | None:
        """The call of an id, with all its records."""
        with self._database.read() as connection:
            row = by_id(connection, number)
            if row is None:
                return None
            index = _indexed(row)
            found = _records_of(connection, index)
            gaps = read_gaps(connection, index.start_ns - NEAR_NS, (index.end_ns or index.seen_ns) + NEAR_NS)
            minutes = _connector_minutes(
                connection, index.start_ns - MINUTE_NS, index.end_ns or index.seen_ns
            )
        unseen = [UnseenSpan(gap.first_ns, gap.last_ns, gap.kind, gap.why) for gap in gaps if not gap.sink]
        for start_ns, _, minute in minutes:
            if minute.voice_connector_id == index.connector:
                unseen += missed_spans(start_ns, minute)
        call = found["calls"][-1] if found["calls"] else _as_record(index)
        records = CallRecords(call, found["media"], found["sip"], unseen, self.newest_ns() or 0)
        records.forgotten = _forgotten(index, found["any_media"])
        return StoredCall(index, records)

    def overview(
        self, since_ns: int, until_ns: int, by: By = "connector", minutes: int = 1
    ) -> list[OverviewSeries]:
        """Points of so many minutes each, of every connector, every carrier, or the host."""
        with self._database.read() as connection:
            return read_overview(connection, since_ns, until_ns, by, minutes)

    def gaps(self, since_ns: int, until_ns: int) -> list[Gap]:
        """The gap records between two times."""
        with self._database.read() as connection:
            return read_gaps(connection, since_ns, until_ns)

    def newest_ns(self) -> int | None:
        """End of the last closed minute: the store knows nothing later."""
        with self._database.read() as connection:
            found = connection.execute("SELECT max(minute_ns) FROM parts").fetchone()[0]
        return None if found is None else int(found) + MINUTE_NS

    def known_ns(self) -> int | None:
        """The newest time that the store knows anything of: news of a call, or the last closed minute."""
        with self._database.read() as connection:
            found = connection.execute("SELECT value FROM marks WHERE name=?", (NEWS,)).fetchone()
        times = [at_ns for at_ns in (self.newest_ns(), found and found[0]) if at_ns is not None]
        return max(times, default=None)

    def close(self) -> None:
        self._database.close()


def _shorter(query: CallQuery) -> CallQuery | None:
    """The query with the last digits of each number that has more; None where there is no such number."""
    names = {}
    for name in ("number", "other_number"):
        digits = getattr(query, name).translate(SEPARATORS)
        if digits.isdigit() and len(digits) > COMPARED:
            names[name] = digits[-COMPARED:]
    return msgspec.structs.replace(query, **names) if names else None


def _any(connection: sqlite3.Connection, query: CallQuery) -> bool:
    """Whether the query finds a call on its first page: then a later page is empty by itself."""
    return bool(page_of(connection, msgspec.structs.replace(query, after="", limit=1))[0])


def _connector_minutes(
    connection: sqlite3.Connection, since_ns: int, until_ns: int
) -> list[tuple[int, int, ConnectorMinute]]:
    """At most `MAX_MINUTES`, the first: a call may last for days."""
    rows = connection.execute(
        "SELECT minute_ns, part, body FROM rows WHERE kind='metrics' AND minute_ns > ? AND minute_ns < ? "
        "ORDER BY minute_ns, part LIMIT ?",
        (since_ns - 1, until_ns, MAX_MINUTES),
    )
    return [
        (minute_ns, part, connector_minute)
        for minute_ns, part, body in rows
        for connector_minute in unpack_connectors(body)
    ]


def _indexed(row: dict[str, Any]) -> IndexedCall:
    plain = {name: row[name] for name in IndexedCall.__struct_fields__ if name in row}
    plain["directions"] = {
        way: DirectionSum(
            row[f"{way}_packets"] or 0, row[f"{way}_expected"] or 0, row[f"{way}_lost"], row[f"{way}_mos"]
        )
        for way in DIRECTIONS
    }
    return IndexedCall(**plain)


def _records_of(connection: sqlite3.Connection, call: IndexedCall) -> dict[str, list[dict[str, Any]]]:
    """The records of a call by kind and time. Time tells two calls with one Call-ID apart."""
    first_ns, last_ns = call.start_ns - NEAR_NS, (call.end_ns or call.seen_ns) + 2 * MINUTE_NS
    noted = "SELECT row_id FROM row_calls WHERE call_key=?"
    names = call.call_ids or [call.transaction_id or ""]
    keys = [call_key(name) for name in names]
    ids = {row_id for key in keys for (row_id,) in connection.execute(noted, (key,))}
    found: dict[str, list[dict[str, Any]]] = {"media": [], "calls": [], "sip": []}
    ours = set(names)
    stored = "SELECT kind, minute_ns, part, body FROM rows WHERE id=?"
    for row_id in sorted(ids):
        row = connection.execute(stored, (row_id,)).fetchone()
        if row is None or not first_ns - MINUTE_NS <= row[1] <= last_ns:
            continue
        kind, _, part, body = row
        for record in unpack(body):
            if ours.intersection(record.get("call_ids") or (_name_of(record),)):
                found[kind].append(record | {"part": part} if kind == "media" else record)
    found["any_media"] = found["media"]
    own = [record for record in found["media"] if record["voice_connector_id"] == call.connector]
    found["media"] = own or found["media"]
    for kind in ("media", "sip"):
        found[kind].sort(key=lambda row: int(row["event_timestamp"]))
    return found


def _forgotten(call: IndexedCall, media: list[dict[str, Any]]) -> dict[str, int]:
    """The index's packets that no media record has: retention takes media before calls."""
    counted = {
        way: (direction.packets or 0) - sum(record.get(f"{way}_rtp_packets") or 0 for record in media)
        for way, direction in call.directions.items()
    }
    return {way: packets for way, packets in counted.items() if packets > 0}


def _name_of(record: dict[str, Any]) -> str | None:
    """The name of a record's call where it has no Call-IDs."""
    return record.get("transaction_id") if is_unsignalled(record) else record.get("call_id")


def _as_record(call: IndexedCall) -> dict[str, Any]:
    """The `call` record of a call in progress, from the index."""
    names = (
        "call_id", "call_ids", "direction", "answer_ns", "end_ns", "status", "outcome", "end_reason", "flags",
        "ended_by", "customer_peer", "remote_peer", "setup_ms", "ring_ms", "carrier", "host", "codec",
        "transaction_id",
    )  # fmt: skip
    return {name: getattr(call, name) for name in names} | {
        "voice_connector_id": call.connector,
        "from_sip_user": call.from_user,
        "to_sip_user": call.to_user,
        "invite_ns": None if call.outcome == UNSIGNALLED else call.start_ns,
    }
