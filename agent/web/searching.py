"""The one search box: a person's words to conditions on calls.

Digits are the last ones of a number; a time, an address, a flag, a Call-ID and `name:value` are recognised by
their form. A whole sentence works: "the call from ...0110 at 15:42 was choppy".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import msgspec
from msgspec.structs import replace

from agent.store.call_index import MASKED
from agent.store.call_query import CallQuery
from agent.summary.records import MINUTE_NS

MAX_TEXT = 512
SECOND_NS = 1_000_000_000
_NUMBER = re.compile(r"\+?[0-9][0-9().\-/]*")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d))?Z?)?")
_AGO = re.compile(r"(\d{1,4})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_COMPARED = re.compile(r"(mos|loss)([<>])(\d+(?:\.\d+)?)%?", re.IGNORECASE)
_NAMED = re.compile(r"([a-z_]+):(.+)", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[a-zA-Z']+")
_FLAG = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
_AROUND = ".,;:!?\"'()[]<>\u2026"
# `name:value` by name: the condition, from its text. Raises ValueError.
_NAMES: dict[str, Callable[[str], dict[str, object]]] = {
    "connector": lambda text: {"connector": text},
    "carrier": lambda text: {"carrier": text},
    "host": lambda text: {"host": text},
    "direction": lambda text: {"direction": text},
    "outcome": lambda text: {"outcome": text},
    "status": lambda text: {"status": int(text)},
    "codec": lambda text: {"codec": text},
    "endedby": lambda text: {"ended_by": text},
    "ended_by": lambda text: {"ended_by": text},
    "number": lambda text: {"number": text},
    "user": lambda text: {"number": text},
    "id": lambda text: {"call_id": text},
    "callid": lambda text: {"call_id": text},
    "call_id": lambda text: {"call_id": text},
    "transaction": lambda text: {"transaction_id": text},
    "address": lambda text: {"address": str(ip_address(text))},
}


class Understood(msgspec.Struct):
    """The search in words, and the conditions; `ignored`: words that name no condition."""

    query: CallQuery
    words: list[str]
    ignored: list[str]


def understand(text: str, query: CallQuery, now_ns: int) -> Understood:
    """Conditions from a search box's text, added to those of `query`.

    `now_ns`: the newest time in the store: a time of day is that of the last day before it.
    """
    found = Understood(query, [], [])
    digits, flags = "", list(query.flags)
    unsure: list[str] = []
    for token in text[:MAX_TEXT].split():
        word = token.strip(_AROUND)
        if not word:
            continue
        if (span := _time(word, now_ns, found.query)) is not None:
            found.query = replace(found.query, since_ns=span[0], until_ns=span[1])
            continue
        if (condition := _condition(word)) is not None:
            found.query = replace(found.query, **condition)
            found.words.append(word)
        elif _NUMBER.fullmatch(word):
            digits += word
        elif _FLAG.fullmatch(word.removeprefix("flag:")) or word.startswith("flag:"):
            flags.append(word.removeprefix("flag:"))
            found.words.append(f"flag {flags[-1]}")
        elif word.startswith(MASKED):
            digits = word
        else:
            unsure.append(token if "@" in token or not _PLAIN_WORD.fullmatch(word) else word)
    if digits:
        found.query = replace(found.query, number=digits)
        found.words.append(f"number ending in {digits}")
    if found.query.since_ns is not None and found.query.since_ns != query.since_ns:
        found.words.append(_span_words(found.query))
    found.query = replace(found.query, flags=tuple(flags))
    _take_unsure(found, unsure)
    return found


def _take_unsure(found: Understood, unsure: list[str]) -> None:
    """A word with digits or signs in it is a Call-ID; plain words are a user's name where no other condition
    is.
    """
    ids = [word for word in unsure if not _PLAIN_WORD.fullmatch(word)]
    plain = [word for word in unsure if _PLAIN_WORD.fullmatch(word)]
    if ids and not found.query.call_id:
        found.query = replace(found.query, call_id=ids[0])
        found.words.append(f"Call-ID {ids[0]}")
        ids = ids[1:]
    if len(plain) == 1 and not found.words and not found.query.number:
        found.query = replace(found.query, number=plain[0])
        found.words.append(f"user {plain[0]}")
        plain = []
    found.ignored = [*plain, *ids]


def others(query: CallQuery) -> list[CallQuery]:
    """Further readings of a Call-ID that no call has: a user's name or number, a transaction's id."""
    if not query.call_id or query.number:
        return []
    bare = replace(query, call_id="")
    return [replace(bare, number=query.call_id), replace(bare, transaction_id=query.call_id)]


def _condition(word: str) -> dict[str, object] | None:
    if compared := _COMPARED.fullmatch(word):
        value = float(compared[3])
        if compared[1].lower() == "mos":
            return {"worse_than": value}
        return {"loss_over": value / 100}
    try:
        return {"address": str(ip_address(word.strip("[]")))}
    except ValueError:
        pass
    named = _NAMED.fullmatch(word)
    take = _NAMES.get(named[1].lower().replace("-", "")) if named else None
    if named is None or take is None:
        return {"live": True} if word.lower() in ("live", "now") else None
    try:
        return take(named[2])
    except ValueError:
        return None


def _time(word: str, now_ns: int, query: CallQuery) -> tuple[int, int | None] | None:
    """[from, until) of a time: a minute for `15:42`, a second for `15:42:20`, a day for a date, `1h` ago."""
    if ago := _AGO.fullmatch(word.lower()):
        return now_ns - int(ago[1]) * _SECONDS[ago[2]] * SECOND_NS, query.until_ns
    now = datetime.fromtimestamp(now_ns / SECOND_NS, UTC)
    try:
        if date := _DATE.fullmatch(word):
            parts = [int(part) for part in date.groups() if part is not None]
            hour, minute, second = [*parts[3:], 0, 0, 0][:3]
            start = datetime(parts[0], parts[1], parts[2], hour, minute, second, tzinfo=UTC)
            length = {3: timedelta(days=1), 5: timedelta(minutes=1)}.get(len(parts), timedelta(seconds=1))
        elif clock := _CLOCK.fullmatch(word):
            day = now
            if query.since_ns is not None:
                day = datetime.fromtimestamp(query.since_ns / SECOND_NS, UTC)
            start = day.replace(
                hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0
            )
            if start > now:
                start -= timedelta(days=1)
            length = timedelta(seconds=1) if clock[3] else timedelta(minutes=1)
        else:
            return None
        since_ns = int(start.timestamp()) * SECOND_NS
    except (ValueError, OverflowError):
        return None
    return since_ns, since_ns + int(length.total_seconds()) * SECOND_NS


def _span_words(query: CallQuery) -> str:
    assert query.since_ns is not None
    since = datetime.fromtimestamp(query.since_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if query.until_ns is None:
        return f"since {since} UTC"
    if query.until_ns - query.since_ns == MINUTE_NS:
        return f"up at {since[:-3]} UTC"
    until = datetime.fromtimestamp(query.until_ns // SECOND_NS, UTC).strftime("%H:%M:%S")
    return f"up from {since} to {until} UTC"
