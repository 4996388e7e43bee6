"""`sbcwatch calls`, `sbcwatch minutes`: searches the store by number, time, quality or flag."""

from __future__ import annotations

import argparse
import csv
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from agent.commands.json_lines import print_json
from agent.commands.sheet import Sheet
from agent.commands.tables import UNKNOWN, add, clock, percent, show, text
from agent.config.load import load
from agent.errors import ConfigError
from agent.model.units import FOREVER_NS, MINUTE_NS, SECONDS
from agent.store.call_query import CallQuery, far_end
from agent.store.overview import OverviewPoint
from agent.store.reader import CallPage, IndexedCall, StoreReader
from agent.summary.catalog import DIRECTIONS
from agent.summary.printable import printable

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_FORMULA = ("=", "+", "-", "@")  # a cell that begins so is one in a spreadsheet
_START = "%Y-%m-%d %H:%M:%S"
_DAY_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
WAYS = {"cust2vc": "cust→vc", "vc2cust": "vc→cust", "rem2vc": "rem→vc", "vc2rem": "vc→rem"}


def calls_command(options: argparse.Namespace) -> int:
    """One line a call, the newest first. Exit status 1 where there is none."""
    with_store = opened(options)
    query = query_of(options)
    try:
        found = list(_pages(with_store, query, options.limit))
        hint = "" if found else left_out_by_time(query, with_store.search)
    finally:
        with_store.close()
    if options.json:
        for call in found:
            print_json(call)
    elif options.csv:
        write_csv(map(_flat, found))
    elif found:
        show([call_list(found)])
        if len(found) == options.limit:
            print(f"the first {options.limit}: --limit shows more")
    return _answer(bool(found), "no call", hint)


def minutes_command(options: argparse.Namespace) -> int:
    """One line a connector and minute, or with a condition on calls one line a call and minute."""
    with_store = opened(options)
    try:
        if _asks_for_calls(options):
            rows = list(_call_minutes(with_store, query_of(options), options))
        else:
            rows = list(_connector_minutes(with_store, options))
    finally:
        with_store.close()
    rows = rows[: options.limit]
    if options.json:
        for row in rows:
            print_json(row)
    elif options.csv:
        write_csv(rows)
    elif rows:
        show([_minute_sheet(rows)])
    return _answer(bool(rows), "no minute")


def opened(options: argparse.Namespace) -> StoreReader:
    """The store that the options name. Raises ConfigError."""
    directory = options.store or load(options.config).store.directory
    return StoreReader(Path(directory, "sbcwatch.sqlite"))


def query_of(options: argparse.Namespace, now_ns: int | None = None) -> CallQuery:
    """The conditions that the options name. Raises ConfigError."""
    since_ns, until_ns = span_ns(options, time.time_ns() if now_ns is None else now_ns)
    return CallQuery(
        since_ns=since_ns,
        until_ns=until_ns,
        number=options.number or "",
        connector=options.connector or "",
        carrier=options.carrier or "",
        address=_address(options.address or ""),
        outcome=options.outcome or "",
        status=options.status,
        flags=tuple(re.sub("[ -]", "_", flag.lower()) for flag in options.flag),
        worse_than=options.worse_than,
        loss_over=None if options.loss_over is None else options.loss_over / 100,
        sort=options.sort,
    )


def named(reader: StoreReader, query: CallQuery, said: str) -> CallPage:
    """Calls by a Call-ID, else by a number, else by a transaction id: media without SIP has nothing else."""
    page = CallPage([], "")
    for field in ("call_id", "number", "transaction_id"):
        page = reader.search(msgspec.structs.replace(query, **{field: said}))
        if page.calls:
            break
    return page


def left_out_by_time(query: CallQuery, search: Callable[[CallQuery], CallPage]) -> str:
    """The end of a line of none: the times asked for, and the newest call that only they left out."""
    times = {"from": query.since_ns, "to": query.until_ns}
    asked = [f" {word} {clock(at_ns, _START)}" for word, at_ns in times.items() if at_ns is not None]
    if not asked:
        return ""
    others = search(msgspec.structs.replace(query, since_ns=None, until_ns=None, sort="start", limit=1)).calls
    newest = f"; the newest at another time began {clock(others[0].start_ns, _START)}" if others else ""
    return f"{''.join(asked)} UTC{newest}"


def _address(said: str) -> str:
    """An address as the store has it; a token stands as it is."""
    try:
        return far_end(said)
    except ValueError:
        return said


def span_ns(options: argparse.Namespace, now_ns: int) -> tuple[int | None, int | None]:
    """`--since` and `--until`; a time of day that would come before `--since` is its next one after.

    Raises ConfigError where the span ends before it begins.
    """
    since_ns = moment_ns(options.since, now_ns) if options.since else None
    until_ns = moment_ns(options.until, now_ns) if options.until else None
    if since_ns is None or until_ns is None:
        return since_ns, until_ns
    if until_ns < since_ns and _DAY_TIME.fullmatch(options.until):
        until_ns = moment_ns(options.until, since_ns + SECONDS["d"] * 1_000_000_000)
    if until_ns <= since_ns:
        raise ConfigError(f"--until {options.until} is not after --since {options.since}")
    return since_ns, until_ns


def moment_ns(said: str, now_ns: int) -> int:
    """`90m` ago, `15:42` (its last occurrence), or a date with or without a time; UTC without a zone. A time
    that no store can hold (before 1823, after 2116) is the nearest that it can.

    Raises ConfigError.
    """
    return max(-FOREVER_NS, min(_moment_ns(said, now_ns), FOREVER_NS))


def _moment_ns(said: str, now_ns: int) -> int:
    ago = _AGO.fullmatch(said.strip())
    if ago:
        return now_ns - round(float(ago[1]) * SECONDS[ago[2]] * 1e9)
    now = datetime.fromtimestamp(now_ns / 1e9, UTC)
    try:
        if _DAY_TIME.fullmatch(said):
            at = datetime.fromisoformat(f"{now:%Y-%m-%d}T{said.zfill(5)}+00:00")
            at -= timedelta(days=at > now)
        else:
            at = datetime.fromisoformat(said)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"{said!a} is no time: give 90m, 15:42 or 2026-11-29T15:42") from None
    return round(at.timestamp()) * 1_000_000_000


def call_list(calls: Iterable[IndexedCall]) -> Sheet:
    """One row a call: the loss of each direction, the worst score, and its flags."""
    sheet = Sheet(
        "Calls",
        ["start (UTC)", "from", "to"],
        ["s", "outcome", *(f"{words} %" for words in WAYS.values()), "MOS", "flags", "connector", "Call-ID"],
        words=["flags"],
    )
    for call in calls:
        add(
            sheet,
            clock(call.start_ns, _START),
            call.from_user or UNKNOWN,
            call.to_user or UNKNOWN,
            seconds(call),
            outcome(call),
            *(percent(call.directions[way].loss) for way in DIRECTIONS),
            UNKNOWN if call.mos_worst is None else f"{call.mos_worst:.2f}",
            " ".join(call.flags) or UNKNOWN,
            call.connector,
            call.call_id or call.transaction_id or UNKNOWN,
        )
    return sheet


def outcome(call: IndexedCall) -> str:
    """The outcome in a word or three."""
    if call.end_ns is None and call.outcome in ("pending", "answered"):
        return "up" if call.answer_ns else "in progress"
    return call.outcome + (f" {call.status}" if call.status and call.outcome != "answered" else "")


def write_csv(rows: Iterable[dict[str, Any]]) -> None:
    """Printable rows as RFC 4180 with a header; cells that a spreadsheet takes for formulas are quoted."""
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row))
            writer.writeheader()
        writer.writerow({name: _safe(value) for name, value in row.items()})


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # A number in E.164 begins with + as well, so numbers are not quoted.
    is_formula = value.lstrip().startswith(_FORMULA) and not value[1:].isdigit()
    return f"'{printable(value)}" if is_formula else printable(value)


def _pages(reader: StoreReader, query: CallQuery, limit: int) -> Iterator[IndexedCall]:
    left = limit
    while left > 0:
        page = reader.search(msgspec.structs.replace(query, limit=min(left, 500)))
        yield from page.calls
        left -= len(page.calls)
        if not page.next:
            return
        query = msgspec.structs.replace(query, after=page.next, number=page.number)


def _flat(call: IndexedCall) -> dict[str, Any]:
    row = {name: getattr(call, name) for name in call.__struct_fields__ if name != "directions"}
    row["call_ids"], row["flags"] = " ".join(call.call_ids), " ".join(call.flags)
    for way, direction in call.directions.items():
        row |= {
            f"{way}_packets": direction.packets,
            f"{way}_lost": direction.lost,
            f"{way}_loss": direction.loss,
        }
        row[f"{way}_mos"] = direction.mos
    return row


def _asks_for_calls(options: argparse.Namespace) -> bool:
    names = ("number", "carrier", "address", "outcome", "status", "flag", "worse_than", "loss_over")
    return any(getattr(options, name) not in (None, [], "") for name in names)


def _connector_minutes(reader: StoreReader, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    since_ns, until_ns = span_ns(options, time.time_ns())
    series = reader.overview(since_ns or 0, FOREVER_NS if until_ns is None else until_ns)
    rows = [
        (point.start_ns, one_series.name, point)
        for one_series in series
        for point in one_series.points
        if options.connector in (None, one_series.name)
    ]
    for _, name, point in sorted(rows, key=lambda row: (-row[0], row[1])):
        yield {"timestamp": point.start_ns // 1_000_000, "connector": name, **_figures(point)}


def _figures(point: OverviewPoint) -> dict[str, Any]:
    return {
        "attempts": point.attempts,
        "failures": point.failures,
        "active": point.active,
        **{f"{way}_loss": point.loss[way] for way in DIRECTIONS},
        **{f"mos_p10_{side}": point.mos_p10[side] for side in ("customer", "remote")},
        **{f"rtt_us_{side}": point.rtt_us[side] for side in ("customer", "remote")},
    }


def _call_minutes(
    reader: StoreReader, query: CallQuery, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The minutes of the calls that meet the query; of those with a bound on quality, the bad ones."""
    for call in _pages(reader, query, options.limit):
        stored = reader.call(call.id)
        for record in stored.records.media if stored else ():
            scores = record.get("mos_directions") or {}
            if query.worse_than is not None and min(scores.values(), default=9) >= query.worse_than:
                continue
            row = {
                "timestamp": record["event_timestamp"] - MINUTE_NS // 1_000_000,
                "call_id": record["call_id"],
                "from": record["from_sip_user"],
                "to": record["to_sip_user"],
            }
            for way in DIRECTIONS:
                row |= {
                    f"{way}_packets": record[f"{way}_rtp_packets"],
                    f"{way}_lost": record[f"{way}_packets_lost"],
                    f"{way}_mos": scores.get(way),
                }
            yield row | {"flags": " ".join(record["flags"])}


def _minute_sheet(rows: list[dict[str, Any]]) -> Sheet:
    """Any of the two kinds of rows: shares as percent, times as times."""
    names = list(rows[0])
    keys = 2 if "connector" in names else 4
    heads = [
        name.removesuffix("_loss").replace("2", "→") + (" %" if name.endswith("_loss") else "")
        for name in names
    ]
    sheet = Sheet(
        "Minutes",
        ["minute (UTC)", *heads[1:keys]],
        [head.replace("_", " ") for head in heads[keys:]],
        words=["flags"],
    )
    for row in rows:
        add(
            sheet,
            clock(row["timestamp"] * 1_000_000, "%Y-%m-%d %H:%M"),
            *(_cell(n, row[n]) for n in names[1:]),
        )
    return sheet


def _cell(name: str, value: Any) -> str:
    if name.endswith("_loss"):
        return percent(value)
    return f"{value:.2f}" if isinstance(value, float) else text(value)


def seconds(call: IndexedCall) -> str:
    """How long it has been up, in whole seconds."""
    if call.answer_ns is None:
        return UNKNOWN
    return f"{((call.end_ns or call.seen_ns) - call.answer_ns) / 1e9:.0f}"


def _answer(found: bool, what: str, hint: str = "") -> int:
    """Exit status 1 says that the answer is no; `hint` ends its line."""
    if not found:
        print(f"sbcwatch: {what} in the store meets that{hint}", file=sys.stderr)
    return 0 if found else 1
