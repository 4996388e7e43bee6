"""The call index: one row a call, written in the transaction of the minute that tells of it.

A `call` record says what a call is, a media record what its minute was like. Either may come first, so both
go the same way: the row is found by a Call-ID, or made, then brought up to date. The index holds nothing that
the records do not say, so a masked number is found by its token alone.

An id is the call's start in ms and a running number: ids are in order of time, and so is every index.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from agent.store.codec import printable_text, unpack
from agent.summary.catalog import DIRECTIONS

Row = dict[str, Any]
INDEXED = ("media", "calls", "sip")  # kinds of rows that name calls
PER_MS = 64  # ids of one millisecond
MAX_TEXT = 128  # characters kept of a user, an address: the wire writes them
MAX_CALL_ID = 256
MAX_CALL_IDS = 32  # of one call: forks and hunting
MAX_FLAGS = 64
LINGER_NS = 120 * 1_000_000_000  # a media record may come so long after its call's end
MASKED = "n-"  # how a token begins (summary/masking)
_SEPARATORS = str.maketrans("", "", "+-.() \u00a0")
LONGEST = (
    "longest_call_ns"  # mark: the longest that any call ran, so that a search for a time looks back so far
)
_FACTS = (
    "answer_ns", "end_ns", "carrier", "host", "direction", "from_user", "to_user", "outcome", "status",
    "end_reason", "ended_by", "setup_ms", "ring_ms", "customer_peer", "remote_peer", "codec",
    "transaction_id",
)  # fmt: skip
"""Columns that a `call` record has under the same name."""
_FIGURES = tuple(f"{way}_{name}" for way in DIRECTIONS for name in ("mos", "packets", "expected", "lost"))
COLUMNS = (
    "id", "start_ns", "answer_ns", "end_ns", "seen_ns", "connector", "carrier", "host", "direction",
    "from_user", "to_user", "outcome", "status", "end_reason", "ended_by", "setup_ms", "ring_ms",
    "customer_peer", "remote_peer", "codec", "transaction_id", "call_ids", "flags",
    "mos_worst", "loss_worst", *_FIGURES,
)  # fmt: skip
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM call_index WHERE id=?"
_INSERT = f"INSERT INTO call_index ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def call_key(call_id: str) -> int:
    """A Call-ID as 64 bits: Call-IDs are long, and an index of them would be larger than the calls."""
    digest = blake2b(call_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def first_id(stamp_ns: int) -> int:
    """The least id that a call which starts at `stamp_ns` may have."""
    return stamp_ns // 1_000_000 * PER_MS


def user_key(user: str) -> str:
    """How a user is looked for: from its last character on, so that last digits are a range of keys.

    A masked user has no digits to look for: its token stands as it is.
    """
    bare = user.split(";")[0].translate(_SEPARATORS).lower()[:MAX_TEXT]
    return f"t{user}" if user.startswith(MASKED) else f"u{bare[::-1]}"


def keys_of(row: Row) -> set[str]:
    """Every key under which a call is found."""
    keys = {user_key(row[name]) for name in ("from_user", "to_user") if row[name]}
    keys.update(f"i{call_key(call_id) & (1 << 64) - 1:016x}" for call_id in _listed(row["call_ids"]))
    keys.update(f"a{row[name]}" for name in ("customer_peer", "remote_peer") if row[name])
    keys.update(f"f{flag}" for flag in _listed(row["flags"]))
    if row["transaction_id"]:
        keys.add(f"x{row['transaction_id']}")
    return keys


def record_minute(
    connection: sqlite3.Connection,
    minute_ns: int,
    calls: Iterable[Row],
    live: Iterable[Row],
    media: Iterable[Row],
) -> None:
    """Bring the index up to date with a minute's `call` records, those of calls in progress, and media."""
    seen_ns = minute_ns + 60_000_000_000
    longest = 0
    for call in sorted([*live, *calls], key=_start_of):
        if not call.get("call_ids"):
            continue
        start_ns = _start_of(call) or minute_ns
        before = _find(connection, call["call_ids"], start_ns)
        after = dict(before) if before else _blank(connection, start_ns, call, seen_ns)
        _take_call(after, call, seen_ns)
        _write(connection, before, after)
        longest = max(longest, (after["end_ns"] or seen_ns) - after["start_ns"])
    for records in _by_call(media):
        call_ids = records[0]["call_ids"]
        before = _find(connection, call_ids, minute_ns)
        after = dict(before) if before else _blank(connection, minute_ns, records[0], seen_ns)
        ours = [record for record in records if record["voice_connector_id"] == after["connector"]]
        _take_media(after, (ours or records)[0], seen_ns)
        _write(connection, before, after)
        longest = max(longest, seen_ns - after["start_ns"])
    connection.execute(
        "INSERT INTO marks VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (LONGEST, longest),
    )


def index_row(connection: sqlite3.Connection, row_id: int, kind: str, records: Iterable[Row]) -> None:
    """Note which calls a stored row has records of."""
    if kind in INDEXED:
        connection.executemany(
            "INSERT OR IGNORE INTO row_calls VALUES (?,?)", [(key, row_id) for key in _row_keys(records)]
        )


def forget_rows(connection: sqlite3.Connection, ids: Iterable[tuple[int]]) -> None:
    """Take back what `index_row` noted of rows that are about to go."""
    for (row_id,) in ids:
        found = connection.execute("SELECT kind, body FROM rows WHERE id=?", (row_id,)).fetchone()
        if found is not None and found[0] in INDEXED:
            connection.executemany(
                "DELETE FROM row_calls WHERE call_key=? AND row_id=?",
                [(key, row_id) for key in _row_keys(unpack(found[1]))],
            )


def drop_calls(connection: sqlite3.Connection, condition: str, *values: object) -> int:
    """Delete the calls that a condition on `call_index` names, with their keys; how many they were."""
    rows = connection.execute(
        f"SELECT {', '.join(COLUMNS)} FROM call_index WHERE {condition}", values
    ).fetchall()
    for values_ in rows:
        row = dict(zip(COLUMNS, values_, strict=True))
        connection.executemany(
            "DELETE FROM call_keys WHERE key=? AND call=?", [(key, row["id"]) for key in keys_of(row)]
        )
        connection.execute("DELETE FROM call_index WHERE id=?", (row["id"],))
    return len(rows)


def rebuild(connection: sqlite3.Connection) -> None:
    """Make the index out of the rows of a store that had none."""
    ids = connection.execute(
        "SELECT id FROM rows WHERE kind IN ('media', 'calls', 'sip') ORDER BY minute_ns, id"
    )
    index_rows(connection, [row[0] for row in ids])


def index_rows(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Index stored rows that were not indexed when they were written."""
    for row_id in ids:
        kind, minute_ns, body = connection.execute(
            "SELECT kind, minute_ns, body FROM rows WHERE id=?", (row_id,)
        ).fetchone()
        if kind not in INDEXED:
            continue
        records = unpack(body)
        index_row(connection, row_id, kind, records)
        calls, media = (records if kind == name else () for name in ("calls", "media"))
        record_minute(connection, minute_ns, calls, (), media)


def _start_of(call: Row) -> int:
    return int(call.get("start_ns") or call.get("invite_ns") or call.get("answer_ns") or 0)


def _by_call(media: Iterable[Row]) -> Iterator[list[Row]]:
    """The media records of each call: one, or one for each of its connectors."""
    grouped: dict[str, list[Row]] = {}
    for record in media:
        if record.get("call_ids"):
            grouped.setdefault(record["call_ids"][0], []).append(record)
    yield from grouped.values()


def _row_keys(records: Iterable[Row]) -> set[int]:
    return {
        call_key(call_id)
        for record in records
        for call_id in record.get("call_ids") or [record.get("call_id")]
        if call_id
    }


def _find(connection: sqlite3.Connection, call_ids: list[str], at_ns: int) -> Row | None:
    """The newest call with one of these Call-IDs that was not over for long at that time."""
    for call_id in call_ids[:MAX_CALL_IDS]:
        key = f"i{call_key(call_id) & (1 << 64) - 1:016x}"
        for (number,) in connection.execute(
            "SELECT call FROM call_keys WHERE key=? ORDER BY call DESC LIMIT 4", (key,)
        ).fetchall():
            row = by_id(connection, number)
            if row is not None and (row["end_ns"] is None or at_ns <= row["end_ns"] + LINGER_NS):
                return row
    return None


def by_id(connection: sqlite3.Connection, number: int) -> Row | None:
    """A call's row by column."""
    found = connection.execute(_SELECT, (number,)).fetchone()
    return dict(zip(COLUMNS, found, strict=True)) if found is not None else None


def _blank(connection: sqlite3.Connection, start_ns: int, source: Row, seen_ns: int) -> Row:
    """A call of which nothing is known yet but where it belongs and when it began."""
    number = first_id(start_ns)
    taken = connection.execute(
        "SELECT max(id) FROM call_index WHERE id >= ? AND id < ?", (number, number + PER_MS)
    ).fetchone()[0]
    row: Row = dict.fromkeys(COLUMNS)
    return row | {
        "id": number if taken is None else taken + 1,
        "start_ns": start_ns,
        "seen_ns": seen_ns,
        "connector": _text(source.get("voice_connector_id")) or "unassigned",
        "outcome": "pending",
        "call_ids": "[]",
        "flags": "[]",
    }


def _take_call(row: Row, call: Row, seen_ns: int) -> None:
    """What a `call` record says."""
    said = call | {"from_user": call.get("from_sip_user"), "to_user": call.get("to_sip_user")}
    for name in _FACTS:
        if said.get(name) is not None:
            value = said[name]
            row[name] = _text(value) if isinstance(value, str) else round(value)
    row["connector"] = _text(call.get("voice_connector_id")) or row["connector"]
    row["seen_ns"] = max(row["seen_ns"], seen_ns)
    _add(row, "call_ids", call["call_ids"], MAX_CALL_IDS)
    _add(row, "flags", call.get("flags") or (), MAX_FLAGS)


def _take_media(row: Row, record: Row, seen_ns: int) -> None:
    """What one minute of media adds: packets add up, the worst score stays."""
    for column, name in (("from_user", "from_sip_user"), ("to_user", "to_sip_user")):
        if row[column] is None and record.get(name):
            row[column] = _text(record[name])
    row["seen_ns"] = max(row["seen_ns"], seen_ns)
    scores = record.get("mos_directions") or {}
    for way in DIRECTIONS:
        packets, lost = record.get(f"{way}_rtp_packets") or 0, record.get(f"{way}_packets_lost")
        row[f"{way}_packets"] = (row[f"{way}_packets"] or 0) + packets
        if lost is not None and (packets or lost):
            # Towards the vc what was lost is not among the packets; away from it all of them left.
            expected = packets + lost if way.endswith("2vc") else max(packets, lost)
            row[f"{way}_lost"] = (row[f"{way}_lost"] or 0) + lost
            row[f"{way}_expected"] = (row[f"{way}_expected"] or 0) + expected
        score = scores.get(way)
        if score is not None:
            row[f"{way}_mos"] = min(score, row[f"{way}_mos"] or score)
    known = [row[f"{way}_mos"] for way in DIRECTIONS if row[f"{way}_mos"] is not None]
    row["mos_worst"] = min(known, default=None)
    shares = [row[f"{way}_lost"] / row[f"{way}_expected"] for way in DIRECTIONS if row[f"{way}_expected"]]
    row["loss_worst"] = max(shares, default=None)
    _add(row, "call_ids", record["call_ids"], MAX_CALL_IDS)
    _add(row, "flags", record.get("flags") or (), MAX_FLAGS)


def _write(connection: sqlite3.Connection, before: Row | None, after: Row) -> None:
    """Insert a row, or change what is not as before; its keys with it."""
    if before is None:
        connection.execute(_INSERT, [after[name] for name in COLUMNS])
        added = keys_of(after)
    else:
        changed = [name for name in COLUMNS if after[name] != before[name]]
        if not changed:
            return
        assignments = ", ".join(f"{name}=?" for name in changed)
        connection.execute(
            f"UPDATE call_index SET {assignments} WHERE id=?",
            [*(after[name] for name in changed), after["id"]],
        )
        added, gone = keys_of(after), keys_of(before)
        added, gone = added - gone, gone - added
        connection.executemany(
            "DELETE FROM call_keys WHERE key=? AND call=?", [(key, after["id"]) for key in gone]
        )
    connection.executemany(
        "INSERT OR IGNORE INTO call_keys VALUES (?,?)", [(key, after["id"]) for key in added]
    )


def _add(row: Row, column: str, values: Iterable[str], most: int) -> None:
    """More of a list, each value once."""
    known = _listed(row[column])
    more = [text for value in values if (text := _text(value, MAX_CALL_ID)) and text not in known]
    if more:
        row[column] = msgspec.json.encode([*known, *more][:most]).decode()


def _listed(text: str) -> list[str]:
    return msgspec.json.decode(text, type=list[str])


def _text(value: object, most: int = MAX_TEXT) -> str | None:
    return None if value is None else printable_text(str(value))[:most]
