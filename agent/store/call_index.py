"""The call index: one row a call, written in the transaction of the minute that changes it.

A `call` record describes a call, a media record its minute. Either may come first, so both go the same way:
the row is found by a Call-ID, or made, then updated. The index holds nothing that the records do not have, so
a masked number is found by its token alone.

An id is the call's start in ms and a running number. So ids are in order of time, and each index too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from agent.model.units import MINUTE_NS
from agent.store.codec import printable_text, to_json, unpack
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import call_without_sip, is_unsignalled, known_loss, loss_share

Row = dict[str, Any]
INDEXED = ("media", "calls", "sip")  # kinds of rows that name calls
PER_MS = 64  # ids of one millisecond
MAX_TEXT = 128  # longest user or address that is kept: they come from the wire
MAX_CALL_ID = 256
MAX_CALL_IDS = 32  # of one call: forks and hunting
MAX_FLAGS = 64
LINGER_NS = 2 * MINUTE_NS  # a media record may come this long after its call's end
MASKED = "n-"  # how a token begins (summary/masking)
SEPARATORS = str.maketrans("", "", "+-.() \u00a0")
LONGEST = (
    # mark: the longest duration of any call, so that a search by time looks back far enough
    "longest_call_ns"
)
NEWS = "news_ns"  # mark: when the index last heard of a call before its minute closed
_PLAIN = (
    "answer_ns", "end_ns", "carrier", "host", "direction", "outcome", "status", "end_reason", "ended_by",
    "setup_ms", "ring_ms", "customer_peer", "remote_peer", "codec", "transaction_id",
)  # fmt: skip
_FACTS = (*((name, name) for name in _PLAIN), ("from_user", "from_sip_user"), ("to_user", "to_sip_user"))
"""Columns that a `call` record fills, and its names for them."""
_OF_PEOPLE = frozenset({"from_user", "to_user", "customer_peer", "remote_peer"})
"""Left out for connectors that log no media: their calls are found by Call-ID, time and outcome."""
_FIGURES = {way: (f"{way}_mos", f"{way}_packets", f"{way}_expected", f"{way}_lost") for way in DIRECTIONS}
_COLUMNS_OF_MEDIA = tuple(name for names in _FIGURES.values() for name in names)
_KNOWN = ("connector", *(name for name, _ in _FACTS), "call_ids", "flags")
_KEYED = ("from_user", "to_user", "call_ids", "flags", "customer_peer", "remote_peer", "transaction_id")
COLUMNS = ("id", "start_ns", "seen_ns", *_KNOWN, "mos_worst", "loss_worst", *_COLUMNS_OF_MEDIA)
_COUNTED = ("seen_ns", "mos_worst", "loss_worst", *_COLUMNS_OF_MEDIA, "id")
_CHANGED = (*COLUMNS[1:], "id")
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM call_index WHERE id=?"
_INSERT = f"INSERT INTO call_index ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
# Two statements: a call that goes on has new figures only, so the other indexes need no update.
_UPDATE = f"UPDATE call_index SET {', '.join(f'{name}=?' for name in _CHANGED[:-1])} WHERE id=?"
_UPDATE_COUNTED = f"UPDATE call_index SET {', '.join(f'{name}=?' for name in _COUNTED[:-1])} WHERE id=?"
_NOTE_GREATEST = (
    "INSERT INTO marks VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
)
_decode = msgspec.json.Decoder(list[str]).decode


@lru_cache(maxsize=65_536)
def call_key(call_id: str) -> int:
    """A Call-ID as 64 bits. An index of whole Call-IDs would be larger than the calls."""
    digest = blake2b(call_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def call_id_key(call_id: str) -> str:
    """The key of a Call-ID."""
    return f"i{call_key(call_id) & (1 << 64) - 1:016x}"


def first_id(stamp_ns: int) -> int:
    """The least id that a call which starts at `stamp_ns` may have."""
    return stamp_ns // 1_000_000 * PER_MS


def user_key(user: str) -> str:
    """The key of a user: its characters from the last one on, so that last digits are a range of keys.

    A masked user has no digits to search by: its token is the key.
    """
    bare = user.split(";")[0].translate(SEPARATORS).lower()[:MAX_TEXT]
    return f"t{user}" if user.startswith(MASKED) else f"u{bare[::-1]}"


def keys_of(row: Row) -> set[str]:
    """All keys of a call."""
    keys = {user_key(row[name]) for name in ("from_user", "to_user") if row[name]}
    keys.update(call_id_key(call_id) for call_id in row["call_ids"])
    keys.update(f"a{row[name]}" for name in ("customer_peer", "remote_peer") if row[name])
    keys.update(f"f{flag}" for flag in row["flags"])
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
    """Updates the index with a minute's `call` records, those of calls in progress, and media."""
    minute = _Touched(connection, minute_ns + MINUTE_NS)
    for call in sorted([*live, *calls], key=_start_of):
        if call.get("call_ids"):
            _take_call(minute.row_of(call, _start_of(call) or minute_ns), call)
    for records in _by_call(media):
        row = minute.row_of(records[0], minute_ns)
        if is_unsignalled(records[0]):
            _take_call(row, call_without_sip(records[0]))
        ours = [record for record in records if record["voice_connector_id"] == row["connector"]]
        _take_media(row, (ours or records)[0])
    minute.write()


def record_news(connection: sqlite3.Connection, now_ns: int, calls: Iterable[Row]) -> None:
    """Updates the index with `call` records ahead of their minute, as they were at `now_ns`."""
    news = _Touched(connection, now_ns)
    for call in sorted(calls, key=_start_of):
        if call.get("call_ids"):
            _take_call(news.row_of(call, _start_of(call) or now_ns), call)
    news.write()
    connection.execute(_NOTE_GREATEST, (NEWS, now_ns))


class _Touched:
    """The rows that a minute touches, or news of calls: each is read once and written once."""

    def __init__(self, connection: sqlite3.Connection, seen_ns: int) -> None:
        self._connection = connection
        self._seen_ns = seen_ns
        self._rows: dict[str, Row] = {}  # by the key of each Call-ID; of media without SIP, by its id's
        self._before: dict[int, Row | None] = {}  # by id: as it was read
        self._last: dict[int, int] = {}  # the greatest id taken, by the first of its millisecond
        self._free: dict[int, int] = {}  # of a full millisecond: the first id of the next that has room

    def row_of(self, record: Row, at_ns: int) -> Row:
        """The row of a record's call; a new one where there is none."""
        call_ids = record["call_ids"][:MAX_CALL_IDS]
        keys = [call_id_key(call_id) for call_id in call_ids] or [f"x{record['transaction_id']}"]
        for key in keys:
            row = self._rows.get(key)
            if row is not None and _fits(row, at_ns):
                break
        else:
            before = _find(self._connection, keys, at_ns)
            row = dict(before) if before else self._blank(at_ns, record)
            row["call_ids"], row["flags"] = row["call_ids"].copy(), row["flags"].copy()
            self._before[row["id"]] = before
        row["seen_ns"] = max(row["seen_ns"], self._seen_ns)
        _add(row["call_ids"], call_ids, MAX_CALL_IDS)
        _add(row["flags"], record.get("flags") or (), MAX_FLAGS)
        for key in keys:
            self._rows[key] = row
        return row

    def _blank(self, start_ns: int, source: Row) -> Row:
        """A new call: only its owner and its start are known."""
        row: Row = dict.fromkeys(COLUMNS)
        return row | {
            "id": self._next_id(first_id(start_ns)),
            "start_ns": start_ns,
            "seen_ns": 0,
            "connector": _text(source.get("voice_connector_id")) or "unassigned",
            "outcome": "pending",
            "call_ids": [],
            "flags": [],
        }

    def _next_id(self, wanted: int) -> int:
        """A free id of the millisecond whose first one is `wanted`; of a later one where that is full."""
        first = self._free.get(wanted, wanted)
        while (last := self._last_id(first)) + 1 >= first + PER_MS:
            first += PER_MS
        self._free[wanted] = first
        self._last[first] = last + 1
        return last + 1

    def _last_id(self, first: int) -> int:
        """The greatest id taken of a millisecond; the one before its first where none is."""
        last = self._last.get(first)
        if last is not None:
            return last
        query = "SELECT max(id) FROM call_index WHERE id >= ? AND id < ?"
        found = self._connection.execute(query, (first, first + PER_MS)).fetchone()[0]
        return first - 1 if found is None else int(found)

    def write(self) -> None:
        """Inserts new rows and updates changed ones, with their keys."""
        rows = {row["id"]: row for row in self._rows.values()}
        added: list[tuple[str, int]] = []
        gone: list[tuple[str, int]] = []
        new, changed, counted = [], [], []
        for number, row in rows.items():
            before = self._before[number]
            if before is None:
                new.append(_stored(row, COLUMNS))
                added += [(key, number) for key in keys_of(row)]
            elif all(row[name] == before[name] for name in _KNOWN):
                counted.append(_stored(row, _COUNTED))
            else:
                changed.append(_stored(row, _CHANGED))
                if any(row[name] != before[name] for name in _KEYED):
                    keys, old = keys_of(row), keys_of(before)
                    added += [(key, number) for key in keys - old]
                    gone += [(key, number) for key in old - keys]
        many = self._connection.executemany
        many(_INSERT, new)
        many(_UPDATE_COUNTED, counted)
        many(_UPDATE, changed)
        many("DELETE FROM call_keys WHERE key=? AND call=?", gone)
        many("INSERT OR IGNORE INTO call_keys VALUES (?,?)", added)
        longest = max(
            ((row["end_ns"] or row["seen_ns"]) - row["start_ns"] for row in rows.values()), default=0
        )
        self._connection.execute(_NOTE_GREATEST, (LONGEST, longest))


def index_row(connection: sqlite3.Connection, row_id: int, calls: Iterable[int]) -> None:
    """Notes the calls that a stored row has records of."""
    pairs = [(key, row_id) for key in calls]
    connection.executemany("INSERT OR IGNORE INTO row_calls VALUES (?,?)", pairs)


def forget_rows(connection: sqlite3.Connection, ids: Iterable[tuple[int]]) -> None:
    """Removes the notes of `index_row` for rows that will be deleted."""
    for (row_id,) in ids:
        found = connection.execute("SELECT kind, body FROM rows WHERE id=?", (row_id,)).fetchone()
        if found is not None and found[0] in INDEXED:
            connection.executemany(
                "DELETE FROM row_calls WHERE call_key=? AND row_id=?",
                [(key, row_id) for key in call_keys(unpack(found[1]))],
            )


def drop_calls(connection: sqlite3.Connection, condition: str, *values: object) -> list[int]:
    """Deletes the calls that meet a condition on `call_index`, with their keys. Returns their ids."""
    rows = connection.execute(
        f"SELECT {', '.join(COLUMNS)} FROM call_index WHERE {condition}", values
    ).fetchall()
    for values_ in rows:
        row = row_of(values_)
        connection.executemany(
            "DELETE FROM call_keys WHERE key=? AND call=?", [(key, row["id"]) for key in keys_of(row)]
        )
        connection.execute("DELETE FROM call_index WHERE id=?", (row["id"],))
    return [row[0] for row in rows]


def rebuild(connection: sqlite3.Connection) -> None:
    """Makes the index from the rows of a store that had none."""
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
        index_row(connection, row_id, call_keys(records))
        calls, media = (records if kind == name else () for name in ("calls", "media"))
        record_minute(connection, minute_ns, calls, (), media)


def _start_of(call: Row) -> int:
    return int(call.get("start_ns") or call.get("invite_ns") or call.get("answer_ns") or 0)


def _by_call(media: Iterable[Row]) -> Iterator[list[Row]]:
    """The media records of each call: one, or one for each of its connectors."""
    grouped: dict[str, list[Row]] = {}
    for record in media:
        name = record["call_ids"][0] if record.get("call_ids") else _own_id(record)
        if name:
            grouped.setdefault(name, []).append(record)
    yield from grouped.values()


def call_keys(records: Iterable[Row]) -> set[int]:
    """`call_key` of each Call-ID that records have; of media without SIP, of its transaction id."""
    return {
        call_key(name)
        for record in records
        for name in record.get("call_ids") or [record.get("call_id") or _own_id(record)]
        if name
    }


def _own_id(record: Row) -> str | None:
    """The transaction id of media without SIP, which has no Call-ID."""
    return record.get("transaction_id") if is_unsignalled(record) else None


def _find(connection: sqlite3.Connection, keys: list[str], at_ns: int) -> Row | None:
    """The newest call under one of these keys that was still up, or just over, at that time."""
    newest = "SELECT call FROM call_keys WHERE key=? ORDER BY call DESC LIMIT 4"
    for key in keys:
        for (number,) in connection.execute(newest, (key,)).fetchall():
            row = by_id(connection, number)
            if row is not None and _fits(row, at_ns):
                return row
    return None


def _fits(row: Row, at_ns: int) -> bool:
    """Whether a call may have had traffic at that time."""
    return row["end_ns"] is None or at_ns <= row["end_ns"] + LINGER_NS


def by_id(connection: sqlite3.Connection, number: int) -> Row | None:
    """A call's row by column."""
    found = connection.execute(_SELECT, (number,)).fetchone()
    return row_of(found) if found is not None else None


def row_of(values: tuple[Any, ...]) -> Row:
    """The values of `COLUMNS` by name, lists as lists."""
    row = dict(zip(COLUMNS, values, strict=True))
    row["call_ids"], row["flags"] = _decode(row["call_ids"]), _decode(row["flags"])
    return row


def _stored(row: Row, names: tuple[str, ...]) -> list[Any]:
    return [to_json(value).decode() if isinstance(value := row[name], list) else value for name in names]


def _take_call(row: Row, call: Row) -> None:
    """Takes over the fields of a `call` record.

    A record from before an answer or an end changes nothing after it: while the disk is slow, news and
    minutes are written together.
    """
    if (row["end_ns"] is not None and call.get("end_ns") is None) or (
        row["outcome"] != "pending" and call.get("outcome") == "pending"
    ):
        return
    for name, said in _FACTS:
        if name in _OF_PEOPLE and call.get("unlogged"):
            continue
        value = call.get(said)
        if value is not None:
            row[name] = _text(value) if isinstance(value, str) else round(value)
    row["connector"] = _text(call.get("voice_connector_id")) or row["connector"]


def _take_media(row: Row, record: Row) -> None:
    """Adds one minute of media: packets add up, the worst score stays."""
    for column, name in (("from_user", "from_sip_user"), ("to_user", "to_sip_user")):
        if row[column] is None and record.get(name):
            row[column] = _text(record[name])
    scores = record.get("mos_directions") or {}
    worst: list[float] = []
    shares: list[float] = []
    for way, (score_name, packets_name, expected_name, lost_name) in _FIGURES.items():
        row[packets_name] = (row[packets_name] or 0) + (record.get(f"{way}_rtp_packets") or 0)
        found = known_loss(record, way)
        if found is not None:
            row[lost_name] = (row[lost_name] or 0) + found[0]
            row[expected_name] = (row[expected_name] or 0) + found[1]
        score = scores.get(way)
        if score is not None:
            row[score_name] = min(score, row[score_name] or score)
        if row[score_name] is not None:
            worst.append(row[score_name])
        share = loss_share(row[lost_name], row[expected_name] or 0, row[packets_name])
        if share is not None:
            shares.append(share)
    row["mos_worst"], row["loss_worst"] = min(worst, default=None), max(shares, default=None)


def _add(known: list[str], values: Iterable[str], most: int) -> None:
    """Appends new values to a list, each once."""
    for value in values:
        if value not in known and len(known) < most and (text := _text(value, MAX_CALL_ID)) not in known:
            known.append(text or "")


def _text(value: str | None, most: int = MAX_TEXT) -> str | None:
    return None if value is None else printable_text(value)[:most]
