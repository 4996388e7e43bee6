"""The one search box: a person's words to conditions on calls.

Digits are the last ones of a number; a time, an address, a flag, a Call-ID and `name:value` are recognised by
their form. A whole sentence works: "the call from ...0110 at 15:42 was choppy".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network

import msgspec
from msgspec.structs import replace

from agent.model.units import MINUTE_NS, SECOND_NS
from agent.store.call_index import MASKED
from agent.store.call_query import CallQuery, far_end
from agent.web.spoken import BESIDE, Times, plain_words

MAX_TEXT = 512
SHORTEST = 3  # digits of a number beside other words: "2 calls" names none
_NUMBER = re.compile(r"\+?[0-9][0-9().\-/]*")
_NO_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d?/\d\d?/\d{4}")  # no such day, or nobody knows which
_COMPARED = re.compile(r"(mos|loss)([<>])(\d+(?:\.\d+)?)%?", re.IGNORECASE)
_NAMED = re.compile(r"([a-z_\-]+):(.+)", re.IGNORECASE)
_NAME_APART = re.compile(r"(?<!\S)([a-z_\-]+):\s+(?=\S)", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[a-zA-Z']+")
_FLAG = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
_AROUND = ".,;:!?\"'()[]<>\u2026"
_QUOTES = ".,;\"'()"  # around an address, which may begin with colons
_OF_NUMBERS = frozenset({"number", "user", "from", "to", "tel", "sip", "sips"})
# `name:value` by name: the condition, from its text. Raises ValueError.
_NAMES: dict[str, Callable[[str], dict[str, object]]] = {
    "connector": lambda text: {"connector": text},
    "carrier": lambda text: {"carrier": text},
    "host": lambda text: {"host": text},
    "direction": lambda text: {"direction": text.lower()},
    "outcome": lambda text: {"outcome": text.lower()},
    "status": lambda text: {"status": int(text)},
    "codec": lambda text: {"codec": text},
    "endedby": lambda text: {"ended_by": text},
    "ended_by": lambda text: {"ended_by": text},
    "id": lambda text: {"call_id": text},
    "callid": lambda text: {"call_id": text},
    "call_id": lambda text: {"call_id": text},
    "transaction": lambda text: {"transaction_id": text},
    "address": lambda text: {"address": far_end(text)},
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
    times, numbers, flags = Times(now_ns), list[str](), list(query.flags)
    unsure: list[str] = []
    before, was_number = "", False
    for token in _joined(plain_words(text[:MAX_TEXT], now_ns)).split():
        word = token.strip(_AROUND)
        goes_on, was_number = was_number, False
        if not any(sign.isalnum() for sign in word):
            continue
        if times.take(word, before):
            if unsure and unsure[-1] == before and before.lower() in BESIDE:
                unsure.pop()
        elif (condition := _condition(word) or _condition(token.strip(_QUOTES))) is not None:
            found.query = replace(found.query, **condition)
            found.words.append(word)
        elif _NO_DATE.fullmatch(word) or _is_network(word):
            found.ignored.append(word)
        elif _NUMBER.fullmatch(word):
            digits, was_number = re.sub(r"[^0-9+]", "", word), True
            if goes_on and not digits.startswith("+"):
                numbers[-1] += digits
            else:
                numbers.append(digits)
        elif (user := _user(word)) or word.startswith(MASKED):
            numbers.append(user or word)
        elif _FLAG.fullmatch(word.lower()) or word.startswith("flag:"):
            flags.append(word.lower().removeprefix("flag:").replace("-", "_"))
            found.words.append(f"flag {flags[-1]}")
        else:
            unsure.append(token if "@" in token or not _PLAIN_WORD.fullmatch(word) else word)
        before = word
    since_ns, until_ns = times.span_ns()
    found.query = replace(found.query, flags=tuple(flags))
    if since_ns is not None or until_ns is not None:
        found.query = replace(found.query, since_ns=since_ns, until_ns=until_ns)
    _take_numbers(found, numbers, alone=not (found.words or unsure or since_ns or until_ns))
    if since_ns is not None or until_ns is not None:
        found.words.append(_span_words(found.query))
    _take_unsure(found, unsure)
    return found


def _take_numbers(found: Understood, numbers: list[str], *, alone: bool) -> None:
    """The first two are a call's two users, in either order."""
    users = [number for number in numbers if len(number) >= SHORTEST or (alone and len(numbers) == 1)]
    found.ignored += [number for number in numbers if number not in users] + users[2:]
    for field, user in zip(("number", "other_number"), users, strict=False):
        found.query = replace(found.query, **{field: user})
        found.words.append(f"number ending in {user}")


def _joined(text: str) -> str:
    """`flag: held` as `flag:held`."""
    return _NAME_APART.sub(
        lambda at: f"{at[1]}:" if _field(at[1]) in {*_NAMES, *_OF_NUMBERS, "flag"} else at[0], text
    )


def _field(name: str) -> str:
    return name.lower().replace("-", "")


def _user(word: str) -> str:
    """The user of `from:0110`, `tel:+44...`, `sip:0110@host`; "" where the word is none."""
    named = _NAMED.fullmatch(word)
    return re.split("[@;]", named[2])[0] if named and _field(named[1]) in _OF_NUMBERS else ""


def _is_network(word: str) -> bool:
    try:
        return "/" in word and bool(ip_network(word, strict=False))
    except ValueError:
        return False


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
    found.ignored += [*plain, *ids]


def others(query: CallQuery, text: str) -> list[CallQuery]:
    """Further readings of a search that finds nothing: the text as a Call-ID, whatever it looks like; and of
    a Call-ID that no call has: a user's name or number, a transaction's id.
    """
    bare = CallQuery(sort=query.sort, limit=query.limit, after=query.after)
    found = [replace(bare, call_id=text.strip())] if text.strip() not in ("", query.call_id) else []
    if query.call_id and not query.number:
        rest = replace(query, call_id="")
        found += [replace(rest, number=query.call_id), replace(rest, transaction_id=query.call_id)]
    return found


def _condition(word: str) -> dict[str, object] | None:
    if compared := _COMPARED.fullmatch(word):
        value = float(compared[3])
        if compared[1].lower() == "mos":
            return {"worse_than": value}
        return {"loss_over": value / 100}
    try:
        return {"address": far_end(word)}
    except ValueError:
        pass
    named = _NAMED.fullmatch(word)
    take = _NAMES.get(_field(named[1])) if named else None
    if named is None or take is None:
        return {"live": True} if word.lower() in ("live", "now") else None
    try:
        return take(named[2])
    except ValueError:
        return None


def _span_words(query: CallQuery) -> str:
    def words(at_ns: int) -> str:
        return datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")

    if query.since_ns is None:
        return f"up before {words(query.until_ns or 0)} UTC"
    since = words(query.since_ns)
    if query.until_ns is None:
        return f"since {since} UTC"
    if query.until_ns - query.since_ns == MINUTE_NS:
        return f"up at {since[:-3]} UTC"
    until = words(query.until_ns)
    return f"up from {since} to {until[11:] if until[:10] == since[:10] else until} UTC"
