"""A question to the call index, and the page of calls that answers it.

Of the conditions one leads: its index is walked, and the others are looked at row by row. Which one is found
by counting each up to `MANY` entries: the rarest leads; where all are common the calls are walked by time,
for a page fills soon then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from agent.store.call_index import COLUMNS, LONGEST, MASKED, call_key, first_id, user_key

MANY = 20_000  # index entries that are walked at most where fewer calls match than that
MAX_PAGE = 1_000
Sort = Literal["start", "mos", "loss"]
_EQUAL = ("connector", "carrier", "host", "direction", "outcome", "status", "ended_by", "codec")
_LED = {"connector": "", "carrier": "", "host": "", "outcome": "answered", "status": 200}
"""Columns with an index, each with the value that its index leaves out."""


class CallQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that meet all conditions given.

    `since_ns`, `until_ns`: up at any time between them. `number`: last digits of either user, or a token, or
    a name's end. `call_id`: any of its Call-IDs. `worse_than`: MOS of its worst direction and minute.
    `loss_over`: share of packets, of its worst direction. `live`: in progress. `after`: the `next` of the
    page before.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    number: str = ""
    call_id: str = ""
    address: str = ""
    transaction_id: str = ""
    connector: str = ""
    carrier: str = ""
    host: str = ""
    direction: str = ""
    outcome: str = ""
    status: int | None = None
    ended_by: str = ""
    codec: str = ""
    flags: Sequence[str] = ()
    worse_than: float | None = None
    loss_over: float | None = None
    live: bool | None = None
    sort: Sort = "start"
    limit: int = 50
    after: str = ""


def page_of(connection: sqlite3.Connection, query: CallQuery) -> tuple[list[tuple[Any, ...]], str]:
    """Rows of `COLUMNS`, newest (or worst) first, and the mark of the next page, "" where there is none.

    Raises: ValueError where `after` is no mark of a page.
    """
    limit = max(1, min(query.limit, MAX_PAGE))
    keys = _keys(query)
    where, values = _conditions(connection, query)
    order, mark, mark_values = _order(query)
    if mark:
        where.append(mark)
        values += mark_values
    lead = _lead(connection, query, keys)
    source = "call_index NOT INDEXED"
    if isinstance(lead, int):
        source = (
            "(SELECT DISTINCT call FROM call_keys WHERE key >= ? AND key < ?) JOIN call_index ON id = call"
        )
        values = [*keys[lead], *values]
        keys = [*keys[:lead], *keys[lead + 1 :]]
    elif lead:
        source = f"call_index INDEXED BY {lead}"
    for low, high in keys:
        where.append("EXISTS (SELECT 1 FROM call_keys WHERE key >= ? AND key < ? AND call = id)")
        values += [low, high]
    condition = " AND ".join(where) or "1"
    statement = f"SELECT {', '.join(COLUMNS)} FROM {source} WHERE {condition} ORDER BY {order} LIMIT ?"
    rows = connection.execute(statement, [*values, limit + 1]).fetchall()
    return rows[:limit], _mark_of(rows[limit - 1], query.sort) if len(rows) > limit else ""


def _keys(query: CallQuery) -> list[tuple[str, str]]:
    """Ranges of `call_keys`, one for each condition that is there."""
    keys = []
    if query.number:
        key = user_key(query.number)
        keys.append((key, key + ("\0" if query.number.startswith(MASKED) else "\U0010ffff")))
    exact = [f"f{flag}" for flag in query.flags]
    if query.call_id:
        exact.append(f"i{call_key(query.call_id) & (1 << 64) - 1:016x}")
    if query.address:
        exact.append(f"a{query.address}")
    if query.transaction_id:
        exact.append(f"x{query.transaction_id}")
    return keys + [(key, key + "\0") for key in exact]


def _conditions(connection: sqlite3.Connection, query: CallQuery) -> tuple[list[str], list[Any]]:
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
        value = getattr(query, name)
        if value not in ("", None):
            add(f"{name} = ?", value)
            if value != _LED.get(name, value):
                add(f"{name} <> {_LED[name]!r}" if _LED[name] else f"{name} IS NOT NULL")
    if query.worse_than is not None or query.sort == "mos":
        add("mos_worst < ?", 10 if query.worse_than is None else query.worse_than)
    if query.loss_over is not None or query.sort == "loss":
        add("loss_worst > 0 AND loss_worst > ?", query.loss_over or 0)
    if query.live is not None:
        add("end_ns IS NULL" if query.live else "end_ns IS NOT NULL")
    return where, values


_SORTS = {"start": ("id", "DESC"), "mos": ("mos_worst", "ASC"), "loss": ("loss_worst", "DESC")}


def _order(query: CallQuery) -> tuple[str, str, list[Any]]:
    """ORDER BY, and the condition that begins after the page before."""
    column, way = _SORTS[query.sort]
    order = "id DESC" if column == "id" else f"{column} {way}, id DESC"
    if not query.after:
        return order, "", []
    value, _, number = query.after.rpartition(":")
    if column == "id":
        return order, "id < ?", [int(number)]
    sign = ">" if way == "ASC" else "<"
    at = float(value)
    return order, f"({column} {sign} ? OR ({column} = ? AND id < ?))", [at, at, int(number)]


def _mark_of(row: tuple[Any, ...], sort: Sort) -> str:
    values = dict(zip(COLUMNS, row, strict=True))
    column = _SORTS[sort][0]
    return f"{'' if column == 'id' else values[column]!r}:{values['id']}".replace("''", "")


def _lead(connection: sqlite3.Connection, query: CallQuery, keys: list[tuple[str, str]]) -> int | str:
    """The rarest condition: the number of a key range, the name of an index; "" to walk by time."""
    best: int | str = {"mos": "calls_by_mos", "loss": "calls_by_loss"}.get(query.sort, "")
    least = MANY
    for number, (low, high) in enumerate(keys):
        count = _count(connection, "call_keys WHERE key >= ? AND key < ?", low, high)
        if count < least:
            best, least = number, count
    for name, left_out in _LED.items():
        value = getattr(query, name)
        if value not in ("", None, left_out):
            extra = f" AND {name} <> {left_out!r}" if left_out else f" AND {name} IS NOT NULL"
            count = _count(
                connection, f"call_index INDEXED BY calls_by_{name} WHERE {name} = ?{extra}", value
            )
            if count < least:
                best, least = f"calls_by_{name}", count
    if query.worse_than is not None:
        count = _count(connection, "call_index INDEXED BY calls_by_mos WHERE mos_worst < ?", query.worse_than)
        if count < least:
            best, least = "calls_by_mos", count
    if query.loss_over:
        over = "call_index INDEXED BY calls_by_loss WHERE loss_worst > 0 AND loss_worst > ?"
        count = _count(connection, over, query.loss_over)
        if count < least:
            best, least = "calls_by_loss", count
    if query.live:
        count = _count(connection, "call_index INDEXED BY calls_live WHERE end_ns IS NULL")
        if count < least:
            best, least = "calls_live", count
    return best


def _count(connection: sqlite3.Connection, source: str, *values: Any) -> int:
    """How many, as far as `MANY`."""
    return int(
        connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT ?)", (*values, MANY)
        ).fetchone()[0]
    )
