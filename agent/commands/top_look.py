"""The contents of `sbcwatch top`: one view of a store, as rows and a headline."""

from __future__ import annotations

import time

import msgspec

from agent.commands.calls import WAYS
from agent.commands.sheet import Sheet
from agent.commands.tables import UNKNOWN, add, percent, text
from agent.model.units import MINUTE_NS
from agent.store.call_query import CallQuery
from agent.store.gaps import Gap
from agent.store.overview import OverviewSeries
from agent.store.reader import IndexedCall, StoreReader
from agent.summary.catalog import DIRECTIONS, SIDES
from agent.web.overview_view import worst_calls
from agent.web.searching import understand

MINUTES = 10  # calls up within this time, and the connectors' figures of it
MAX_ROWS = 500
SORTS = {"mos": "worst first", "loss": "most loss first", "start": "newest first"}


class TopView(msgspec.Struct, frozen=True):
    """The choice: order, search words, only calls in progress, minutes (0: all)."""

    sort: str = "mos"
    words: str = ""
    live: bool = False
    minutes: int = MINUTES


class Seen(msgspec.Struct):
    """The result. `newest_ns`: the end of the last closed minute, None: there is none yet.

    `drops`: frames that the capture lost, None: unknown. `more`: there are more calls than these.
    """

    newest_ns: int | None
    connectors: list[OverviewSeries]
    calls: list[IndexedCall]
    more: bool
    drops: int | None
    gaps: list[Gap]


def look(reader: StoreReader, view: TopView, now_ns: int) -> Seen:
    """Connectors and calls of the view's minutes before `now_ns`, or of all that is stored."""
    newest_ns = reader.newest_ns()
    since_ns = now_ns - view.minutes * MINUTE_NS if view.minutes else 0
    until_ns = max(now_ns, newest_ns or 0)
    query = CallQuery(
        since_ns=since_ns or None,
        sort=view.sort,  # type: ignore[arg-type]
        live=view.live or None,
        limit=MAX_ROWS,
    )
    query = understand(view.words, query, until_ns).query
    page = reader.search(query)
    calls = page.calls
    if query.sort == "mos":
        calls = worst_calls(reader, msgspec.structs.replace(query, sort="start"))
    if query.sort != "start" and not page.next:  # those without a score or a loss come last
        known_ids = {call.id for call in calls}
        others = reader.search(msgspec.structs.replace(query, sort="start"))
        calls += [call for call in others.calls if call.id not in known_ids][: MAX_ROWS - len(calls)]
    whole = (until_ns - since_ns) // MINUTE_NS + 1
    connectors = reader.overview(since_ns, until_ns, "connector", whole)
    drops = [
        point.drops
        for one_series in reader.overview(since_ns, until_ns, "host", whole)
        for point in one_series.points
    ]
    known = [count for count in drops if count is not None]
    gaps = [gap for gap in reader.gaps(since_ns, until_ns) if not gap.sink]
    return Seen(newest_ns, connectors, calls, bool(page.next), sum(known) if known else None, gaps)


def headline(seen: Seen, view: TopView) -> str:
    """One line: the time of the figures, the missed frames, and the choice."""
    until = "no minute closed yet"
    if seen.newest_ns is not None:
        until = f"minutes until {time.strftime('%H:%M', time.gmtime(seen.newest_ns // 1_000_000_000))} UTC"
    drops = "capture drops unknown" if seen.drops is None else f"capture drops {seen.drops}"
    count = f"{len(seen.calls)}{'+' if seen.more else ''} call{'' if len(seen.calls) == 1 else 's'}"
    calls = f"{count}, {SORTS[view.sort]}"
    parts = [until, drops, calls]
    if seen.gaps:
        parts.insert(2, f"not watched {len(seen.gaps)} x")
    if view.live:
        parts.append("in progress only")
    if view.words:
        parts.append(f"search: {view.words}")
    return "; ".join(parts)


def connector_list(series: list[OverviewSeries]) -> Sheet:
    """One row a connector: calls, the share lost in each direction, the worst tenth's score, RTT."""
    ends = [f"{what} {side}" for side in SIDES for what in ("MOS p10", "RTT ms")]
    sheet = Sheet(
        "Connectors",
        ["connector"],
        ["active", "attempts", "failed", *(f"{words} %" for words in WAYS.values()), *ends],
    )
    for row in connector_rows(series):
        add(sheet, *row)
    return sheet


def connector_rows(series: list[OverviewSeries]) -> list[list[str]]:
    """The cells of `connector_list`."""
    rows = []
    for one_series in series:
        for point in one_series.points:
            row = [one_series.name, text(point.active), text(point.attempts), text(point.failures)]
            row += [percent(point.loss[way]) for way in DIRECTIONS]
            for side in SIDES:
                mos, rtt_us = point.mos_p10[side], point.rtt_us[side]
                row.append(UNKNOWN if mos is None else f"{mos:.2f}")
                row.append(UNKNOWN if rtt_us is None else f"{rtt_us / 1_000:.1f}")
            rows.append(row)
    return rows
