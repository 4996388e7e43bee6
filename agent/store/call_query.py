"""A query to the call index, and its page of calls.

One condition leads: its index is walked, and the other conditions are checked row by row. Each condition's
entries are counted, up to `MANY`; the rarest leads. Where all are common the calls are walked by time,
because a page then fills soon.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any, Literal

import msgspec

from agent.store.call_index import COLUMNS, LONGEST, call_id_key, first_id, user_key

MANY = 5_000
MAX_PAGE = 1_000
GREATEST = (1 << 63) - 1
_WITH_PORT = re.compile(r"\[?([0-9a-fA-F:.]+)\]:\d{1,5}|(\d+(?:\.\d+){3}):\d{1,5}")
Sort = Literal["start", "mos", "loss"]
_EQUAL = (
    "connector", "carrier", "host", "direction", "outcome", "status", "end_reason", "ended_by", "codec",
)  # fmt: skip
_LED = {
    "connector": "", "carrier": "", "host": "", "codec": "", "ended_by": "", "outcome": "answered",
    "status": 200, "end_reason": "bye",
}  # fmt: skip
"""Columns with an index, each with the value that its index leaves out ("": none)."""
_OVER = {"worse_than": "mos_worst <", "loss_over": "loss_worst >", "setup_over_ms": "setup_ms >"}
"""Bounds, and the column of each, which has an index."""
_INDEX = {"mos_worst": "calls_by_mos", "loss_worst": "calls_by_loss", "setup_ms": "calls_by_setup"}
_SORTS = {"start": ("id", "DESC"), "mos": ("mos_worst", "ASC"), "loss": ("loss_worst", "DESC")}


class CallQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that meet all conditions given.

    `since_ns`, `until_ns`: up at any time between them. `number`: last digits of either user, or a token, or
    a name's end. `other_number`: of the other user, beside `number`. `call_id`: any of its Call-IDs.
    `worse_than`: MOS of its worst direction and minute.
    `loss_over`: share of packets, of its worst direction. `setup_over_ms`: from the INVITE to the answer.
    `live`: in progress. `after`: the `next` of the page before.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    number: str = ""
    other_number: str = ""
    call_id: str = ""
    address: str = ""
    transaction_id: str = ""
    connector: str = ""
    carrier: str = ""
    host: str = ""
    direction: str = ""
    outcome: str = ""
    status: int | None = None
    end_reason: str = ""
    ended_by: str = ""
    codec: str = ""
    flags: Sequence[str] = ()
    worse_than: float | None = None
    loss_over: float | None = None
    setup_over_ms: float | None = None
    live: bool | None = None
    sort: Sort = "start"
    limit: int = 50
    after: str = ""


def far_end(text: str) -> str:
    """An address, with or without its port, as the store has it. Raises ValueError."""
    with_port = _WITH_PORT.fullmatch(text)
    address = (with_port[1] or with_port[2]) if with_port else text.strip("[]").partition("%")[0]
    found = ip_address(address)
    return str((found.version == 6 and found.ipv4_mapped) or found)


def page_of(connection: sqlite3.Connection, query: CallQuery) -> tuple[list[tuple[Any, ...]], str]:
    """Rows of `COLUMNS`, newest (or worst) first, and the mark of the next page, "" where there is none.

    Raises: ValueError where `after` is no mark of a page.
    """
    limit = max(1, min(query.limit, MAX_PAGE))
    connection.create_function("number_fits", 3, _number_fits, deterministic=True)
    connection.create_function("pair_fits", 4, _pair_fits, deterministic=True)
    where, values = _conditions(connection, query)
    source, more, more_values, left = _lead(connection, query)
    if query.number and query.other_number:
        where.append("pair_fits(from_user, to_user, ?, ?)")
        values += [user_key(query.number), user_key(query.other_number)]
    elif left.number:
        where.append("number_fits(from_user, to_user, ?)")
        values.append(user_key(left.number))
    for key in _keys(left):
        where.append("EXISTS (SELECT 1 FROM call_keys AS other WHERE other.key = ? AND other.call = id)")
        values.append(key)
    condition = " AND ".join([*more, *where]) or "1"
    order = _order(query)
    if source.startswith(_BY_KEY) and order == "id DESC":
        order = "call DESC"  # the key's own order: nothing is sorted
    statement = f"SELECT {', '.join(COLUMNS)} FROM {source} WHERE {condition} ORDER BY {order} LIMIT ?"
    rows = connection.execute(statement, _storable([*more_values, *values, limit + 1])).fetchall()
    return rows[:limit], _mark_of(rows[limit - 1], query.sort) if len(rows) > limit else ""


def _storable(values: list[Any]) -> list[Any]:
    """Values for SQLite, whose integers have 64 bits: beyond them the greatest compares the same."""
    return [max(-GREATEST, min(value, GREATEST)) if isinstance(value, int) else value for value in values]


def _number_fits(from_user: str | None, to_user: str | None, key: str) -> bool:
    """Whether one of the two users has these last digits."""
    return any(user and user_key(user).startswith(key) for user in (from_user, to_user))


def _pair_fits(from_user: str | None, to_user: str | None, one: str, other: str) -> bool:
    """Whether one user has the one's last digits, and the other user the other's."""
    ends = user_key(from_user or ""), user_key(to_user or "")
    return any(a.startswith(one) and b.startswith(other) for a, b in (ends, ends[::-1]))


def _keys(query: CallQuery) -> list[str]:
    """Keys that a call must have, besides a number."""
    keys = [f"f{flag}" for flag in query.flags]
    if query.call_id:
        keys.append(call_id_key(query.call_id))
    if query.address:
        keys.append(f"a{query.address}")
    if query.transaction_id:
        keys.append(f"x{query.transaction_id}")
    return keys


def _conditions(connection: sqlite3.Connection, query: CallQuery) -> tuple[list[str], list[Any]]:
    """The conditions on columns."""
    where: list[str] = []
    values: list[Any] = []

    def add(condition: str, *more: Any) -> None:
        where.append(condition)
        values.extend(more)

    if query.until_ns is not None:
        add("id < ?", first_id(query.until_ns))
    if query.since_ns is not None:
        found = connection.execute("SELECT value FROM marks WHERE name=?", (LONGEST,)).fetchone()
        add("id >= ?", first_id(query.since_ns - (found[0] if found else 0)))
        add("ifnull(end_ns, seen_ns) >= ?", query.since_ns)
    for name in _EQUAL:
        if getattr(query, name) not in ("", None):
            add(f"{name} = ?", getattr(query, name))
    for name, bound in _OVER.items():
        if getattr(query, name) is not None:
            add(f"{bound} ?", getattr(query, name))
    if query.live is not None:
        in_progress = "(end_ns IS NULL AND outcome IN ('pending', 'answered'))"  # a failed call has no end
        add(in_progress if query.live else f"NOT {in_progress}")
    if query.after:
        _add_after(query, add)
    return where, values


def _add_after(query: CallQuery, add: Callable[..., None]) -> None:
    """Adds the condition that begins after the page before."""
    value, _, number = query.after.rpartition(":")
    column, way = _SORTS[query.sort]
    if column == "id":
        add("id < ?", int(number))
        return
    at, sign = float(value), ">" if way == "ASC" else "<"
    add(f"({column} {sign} ? OR ({column} = ? AND id < ?))", at, at, int(number))


def _order(query: CallQuery) -> str:
    column, way = _SORTS[query.sort]
    return "id DESC" if column == "id" else f"{column} {way}, id DESC"


def _mark_of(row: tuple[Any, ...], sort: Sort) -> str:
    values = dict(zip(COLUMNS, row, strict=True))
    column = _SORTS[sort][0]
    return f":{values['id']}" if column == "id" else f"{values[column]!r}:{values['id']}"


def _lead(connection: sqlite3.Connection, query: CallQuery) -> tuple[str, list[str], list[Any], CallQuery]:
    """The condition to walk, its values, and the query without it.

    The rarest condition; of common ones the first whose index is in order of time; else the calls by time.
    """
    sorted_by = _SORTS[query.sort][0]
    best: tuple[str, list[str], list[Any], CallQuery] | None = None
    least = MANY
    for source, conditions, values, left, in_order in _candidates(query):
        statement = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {' AND '.join(conditions)} LIMIT ?)"
        count = connection.execute(statement, _storable([*values, MANY])).fetchone()[0]
        usable = count < MANY or (in_order and sorted_by == "id")
        if usable and (best is None or count < least):
            best, least = (source, conditions, values, left), count
    if best is None:
        index = _INDEX.get(sorted_by)
        best = (f"call_index INDEXED BY {index}" if index else "call_index NOT INDEXED", [], [], query)
        if index:
            best = (
                best[0],
                [f"{sorted_by} IS NOT NULL" if query.sort == "mos" else f"{sorted_by} > 0"],
                [],
                query,
            )
        return best
    source, conditions, values, left = best
    if source == _BY_KEY:
        if conditions[0].startswith("key >="):
            source = (
                f"(SELECT DISTINCT call FROM call_keys WHERE {conditions[0]}) JOIN call_index ON id = call"
            )
            conditions = []
        else:
            source = "call_keys CROSS JOIN call_index ON id = call"
    return source, conditions, values, left


_BY_KEY = "call_keys"


def _candidates(query: CallQuery) -> Iterator[tuple[str, list[str], list[Any], CallQuery, bool]]:
    """Each condition with an index: source, conditions, values, the query without it, in order of time."""
    replace = msgspec.structs.replace
    for name in ("number", "other_number"):
        if number := getattr(query, name):
            key = user_key(number)
            bounds = [key, key + "\U0010ffff"]
            yield _BY_KEY, ["key >= ? AND key < ?"], bounds, replace(query, **{name: ""}), False
    for key in _keys(query):
        left = replace(
            query,
            flags=tuple(flag for flag in query.flags if f"f{flag}" != key),
            call_id="" if key[0] == "i" else query.call_id,
            address="" if key[0] == "a" else query.address,
            transaction_id="" if key[0] == "x" else query.transaction_id,
        )
        yield _BY_KEY, ["key = ?"], [key], left, True
    for name, left_out in _LED.items():
        value = getattr(query, name)
        if value not in ("", None, left_out):
            partial = [f"{name} <> {left_out!r}"] if left_out else [f"{name} IS NOT NULL"]
            yield f"call_index INDEXED BY calls_by_{name}", [f"{name} = ?", *partial], [value], query, True
    for name, bound in _OVER.items():
        if getattr(query, name) is not None:
            column = bound.split()[0]
            conditions = [f"{bound} ?", f"{column} > 0"]
            yield f"call_index INDEXED BY {_INDEX[column]}", conditions, [getattr(query, name)], query, False
    if query.live:
        yield "call_index INDEXED BY calls_live", ["end_ns IS NULL"], [], query, False
