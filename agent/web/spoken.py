"""Times as people say them: `15:42`, `3 pm`, `yesterday`, `between 15:40 and 15:45`, `2 hours ago`.

`plain_words` writes spoken forms as the words that the search box knows; `Times` collects the times among
them.
All times are UTC where they name no zone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agent.model.units import SECOND_NS, SECONDS
from agent.story.words import SILENT

_DAY = timedelta(days=1)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T_](\d{1,2}:\d\d.*)", re.IGNORECASE)
_AGO = re.compile(r"(\d{1,4})([smhdw])", re.IGNORECASE)
_SINCE, _UNTIL = ("since", "after", "from"), ("before", "until", "till")
BESIDE = frozenset({*_SINCE, *_UNTIL, "at", "on", "between", "and", "to", "around", "about"})
"""Words before a time that are understood with it."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNIT = r"(s|m|h|d|w)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?|ays?|eeks?)?"
_MONTH = rf"({'|'.join(_MONTHS)})(?:r?uary|ch|il|e|y|ust|ober|t?ember)?\.?"
_NTH = r"(\d\d?)(?:st|nd|rd|th)?"

Rewrite = Callable[[re.Match[str], datetime], str]


def _half_day(found: re.Match[str], now: datetime) -> str:
    hour = int(found[1])
    if not 1 <= hour <= 12:
        return found[0]
    hour = hour % 12 + (12 if found[4].lower() == "p" else 0)
    return f"{hour:02}:{found[2] or '00'}" + (f":{found[3]}" if found[3] else "")


def _day_month(day: str, month: str, year: str | None, now: datetime) -> str:
    number = _MONTHS.index(month.lower()) + 1
    last = now.year - ((number, int(day)) > (now.month, now.day))
    return f"{int(year or last):04}-{number:02}-{int(day):02}"


_SPOKEN: tuple[tuple[str, Rewrite], ...] = (
    # A bound with spaces, a decimal comma, or its % apart.
    (r"(mos|loss)\s*([<>])\s*(\d+)(?:[.,](\d+))?\s*%?", lambda m, _: f"{m[1]}{m[2]}{m[3]}.{m[4] or 0}"),
    # The trunk zero that is not dialled after a country's code.
    (r"(\+\d{1,3})[ -]?\(0\)[ -]?(\d[\d\-]*)", lambda m, _: f"{m[1]} {m[2]}"),
    (r"(\d{1,2})(?::(\d\d)(?::(\d\d))?)?\s*([ap])\.?m\.?", _half_day),
    (rf"(?:(?:last|past)\s+)?(\d{{1,4}})\s*{_UNIT}\s+ago", lambda m, _: m[1] + m[2]),
    (rf"(?:last|past)\s+(\d{{1,4}})\s*{_UNIT}", lambda m, _: m[1] + m[2]),
    (r"at\s+([01]\d|2[0-3])([0-5]\d)", lambda m, _: f"at {m[1]}:{m[2]}"),
    (r"(\d\d?)\.(\d\d?)\.(\d{4})", lambda m, _: f"{m[3]}-{int(m[2]):02}-{int(m[1]):02}"),
    (rf"{_NTH}\s+{_MONTH}(?:\s+(\d{{4}}))?", lambda m, now: _day_month(m[1], m[2], m[3], now)),
    (rf"{_MONTH}\s+{_NTH}(?:,?\s+(\d{{4}}))?", lambda m, now: _day_month(m[2], m[1], m[3], now)),
    (r"today", lambda _, now: f"{now:%Y-%m-%d}"),
    (r"yesterday", lambda _, now: f"{now - _DAY:%Y-%m-%d}"),
    (r"(\d{1,2}:\d\d(?::\d\d)?)\s*-\s*(\d{1,2}:\d\d(?::\d\d)?)", lambda m, _: f"{m[1]} to {m[2]}"),
    (r"(\d{1,2}:\d\d(?::\d\d)?)\s+(?:utc|gmt)", lambda m, _: f"{m[1]}Z"),
    *(
        (rf"(?:flag:\s*)?({name.replace('_', '[ _-]')})", lambda m, _: re.sub("[ -]", "_", m[1].lower()))
        for name in SILENT
    ),
)  # fmt: skip
# A form is a word or several of their own: nothing inside a Call-ID is rewritten.
_FORMS = [
    (re.compile(rf"(?<![^\s\"'(])(?:{form})(?![^\s,.;!?)\"'])", re.IGNORECASE | re.ASCII), rewrite)
    for form, rewrite in _SPOKEN
]
_DASHES = re.compile("(?<=[0-9])[\u2010-\u2014\u2212](?=[0-9])")  # between digits


def plain_words(text: str, now_ns: int) -> str:
    """`text` in the search box's own words. Marks of direction, which come with a copied number, go."""
    now = datetime.fromtimestamp(now_ns / SECOND_NS, UTC)
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    text = _DASHES.sub("-", text)
    for form, rewrite in _FORMS:
        text = form.sub(lambda found, rewrite=rewrite: rewrite(found, now), text)  # type: ignore[misc]
    return text


class Times:
    """The times of one search, word by word, and the span that they name.

    A time of day is of the date beside it, else its last one before `now_ns`. The second of two ends the
    span.
    """

    def __init__(self, now_ns: int) -> None:
        self._now = datetime.fromtimestamp(now_ns / SECOND_NS, UTC)
        self._dates: list[datetime] = []
        self._clocks: list[tuple[re.Match[str], datetime | None]] = []
        self._ago: timedelta | None = None
        self._open = ""

    def take(self, word: str, before: str) -> bool:
        """Whether the word is a time, which is noted; `before`: the word before it."""
        try:
            if ago := _AGO.fullmatch(word):
                self._ago = timedelta(seconds=int(ago[1]) * SECONDS[ago[2].lower()])
            elif (moment := _MOMENT.fullmatch(word)) and (clock := _CLOCK.fullmatch(moment[1])):
                self._note(clock, datetime.fromisoformat(word[:10]).replace(tzinfo=UTC))
            elif _DATE.fullmatch(word):
                date = datetime.fromisoformat(word).replace(tzinfo=UTC)
                self._dates.append(date + _DAY - _DAY)
            elif clock := _CLOCK.fullmatch(word):
                self._note(clock, self._dates[-1] if self._dates else None)
            else:
                return False
        except (ValueError, OverflowError):
            return False
        if before.lower() in (*_SINCE, *_UNTIL):
            self._open = before.lower()
        return True

    def _note(self, clock: re.Match[str], date: datetime | None) -> None:
        _on(date or self._now, clock)
        self._clocks.append((clock, date))

    def span_ns(self) -> tuple[int | None, int | None]:
        """[from, until): a minute for `15:42`, a second for `15:42:20`, a day for a date."""
        try:
            spans = self._spans()
            if self._ago is not None:
                spans.append((self._now - self._ago, None))
        except OverflowError:
            return None, None
        if not spans:
            return None, None
        since = min(start for start, _ in spans)
        ends = [end for _, end in spans if end is not None]
        until = max(ends) if ends and (self._ago is None or self._clocks or self._dates) else None
        if len(spans) == 1 and self._open in _SINCE:
            return _ns(since), None
        if len(spans) == 1 and self._open in _UNTIL:
            return None, _ns(since)
        return _ns(since), None if until is None else _ns(until)

    def _spans(self) -> list[tuple[datetime, datetime | None]]:
        if not self._clocks:
            return [(date, date + _DAY) for date in self._dates]
        spans: list[tuple[datetime, datetime | None]] = []
        for clock, own in self._clocks:
            date = own or (self._dates[0] if self._dates else None)
            start = _on(date or self._now, clock)
            if date is None and start > self._now:
                start -= _DAY
            if own is None and spans and start < spans[0][0]:
                start += _DAY  # 23:50 to 00:10
            spans.append((start, start + timedelta(seconds=1 if clock[3] else 60)))
        return spans


def _on(day: datetime, clock: re.Match[str]) -> datetime:
    """A time of day on a date, UTC. Raises ValueError where there is no such time."""
    start = day.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0)
    if clock[4] and clock[4].upper() != "Z":
        sign, hours, minutes = clock[4][0], int(clock[4][1:3]), int(clock[4][-2:])
        east = timedelta(hours=hours, minutes=minutes)
        start -= east if sign == "+" else -east
    return start


def _ns(at: datetime) -> int:
    return round(at.timestamp()) * SECOND_NS
