"""`sbcwatch report`: a call as one page to mail to a carrier; of many calls the worst first."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.commands.calls import left_out_by_time, named, opened, query_of
from agent.commands.json_lines import Row
from agent.commands.replay import CollectedMinutes, ended, reading
from agent.commands.stream_totals import StreamTotals
from agent.config.load import load
from agent.errors import CaptureError, ConfigError
from agent.store import Store
from agent.store.call_query import CallQuery
from agent.store.reader import CallPage, IndexedCall, StoreReader
from agent.story.words import NOTABLE, SILENT
from agent.summary.redaction import Redaction
from agent.web.call_picture import call_picture
from agent.web.report import report_page

MAX_CALLS = 2_000  # looked at for the worst
MAX_LISTED = 300  # calls of an index
PDF_S = 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOREVER_S = 10 * 365 * 86_400  # of a store that is deleted when the report is written


class Gathered(msgspec.Struct):
    """A store with the calls to report, words about their source, and the error that ended the reading."""

    reader: StoreReader
    source: str
    fault: CaptureError | None = None
    streams: list[Row] = []  # where no side is known: whose network it was only the reader can say


def report_command(options: argparse.Namespace) -> int:
    """One page of the calls that the options name. Exit status 1 where there is none.

    Raises: ConfigError.
    """
    if not options.files and not (options.call or options.number):
        raise ConfigError("report: name a capture FILE, or --call ID or --number N of a call in the store")
    as_pdf = options.format == "pdf"
    if as_pdf and options.output == "-":
        raise ConfigError("report: a PDF is written to a file: name one with -o")
    browser = _browser() if as_pdf else ""
    with _gathered(options) as gathered:
        calls = _chosen(gathered.reader, options)
        if not calls:
            print(f"sbcwatch: no call meets that{_left_out(gathered.reader, options)}", file=sys.stderr)
            return ended(gathered.fault) or 1
        redaction = (
            None if options.unredacted else Redaction("redacted", load(options.config).privacy.redact_headers)
        )
        stored = [found for call in calls if (found := gathered.reader.call(call.id)) is not None]
        views = [call_picture(one.records, redaction) for one in stored]
        notes = [f"It could not be read to its end: {gathered.fault}"] if gathered.fault else []
        call_ids = {one.records.call["call_id"] for one in stored}
        page = report_page(
            views,
            source=gathered.source,
            streams=[row for row in gathered.streams if row["call_id"] in call_ids],
            notes=notes,
            redacted=redaction is not None,
        )
    if options.output == "-":
        print(page)
        return ended(gathered.fault)
    if as_pdf:
        _print_pdf(browser, page, options.output)
    else:
        _write(options.output, page)
    print(f"written to {options.output}")
    return ended(gathered.fault)


@contextmanager
def _gathered(options: argparse.Namespace) -> Iterator[Gathered]:
    """The daemon's store, or a temporary one for the files."""
    if not options.files:
        reader = opened(options)
        try:
            yield Gathered(reader, "from the store")
        finally:
            reader.close()
        return
    with tempfile.TemporaryDirectory(prefix="sbcwatch-report-") as folder:
        path = Path(folder, "sbcwatch.sqlite")
        store = Store(path, retention_s=FOREVER_S, max_bytes=1 << 40)
        totals = StreamTotals()
        try:
            with reading(options, totals.add) as files:
                fault = files.through(CollectedMinutes(store))
        finally:
            store.close()
        reader = StoreReader(path)
        source = ", ".join(os.path.basename(name) for name in options.files)
        streams = [] if files.pipeline.sides.known else totals.judged()
        try:
            yield Gathered(reader, source, fault, streams)
        finally:
            reader.close()


def _chosen(reader: StoreReader, options: argparse.Namespace) -> list[IndexedCall]:
    """The calls that meet the conditions, the worst first where there are many.

    `--call` names one: the newest of this name.
    """
    query = msgspec.structs.replace(query_of(options), limit=1 if options.call else 500)
    if options.call:
        return named(reader, query, options.call).calls
    found: list[IndexedCall] = []
    while len(found) < MAX_CALLS:
        page = reader.search(query)
        found += page.calls
        if not page.next:
            break
        query = msgspec.structs.replace(query, after=page.next, number=page.number or query.number)
    found.sort(key=_rank)
    return found[:MAX_LISTED]


def _left_out(reader: StoreReader, options: argparse.Namespace) -> str:
    def search(query: CallQuery) -> CallPage:
        return named(reader, query, options.call) if options.call else reader.search(query)

    return left_out_by_time(query_of(options), search)


def _rank(call: IndexedCall) -> tuple[bool, float, bool, float, int]:
    """The worst first: somebody heard nothing, loss, failure, score, the newest."""
    loss = call.loss_worst or 0.0
    notable = loss if loss >= NOTABLE else 0.0
    return (
        not {*SILENT} & {*call.flags},
        -notable,
        call.outcome != "failed",
        call.mos_worst or 5.0,
        -call.id,
    )


def _write(path: str, page: str) -> None:
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file that can be written") from None


def _browser() -> str:
    """The Chromium of this host. Raises: ConfigError where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise ConfigError("a PDF needs Chromium (Debian: chromium); without it leave --format pdf out")
    return found


def _print_pdf(browser: str, page: str, output: str) -> None:
    """The page printed by Chromium, which asks no network: the page's own policy forbids it."""
    with tempfile.TemporaryDirectory(prefix="sbcwatch-report-") as folder:
        source = Path(folder, "report.html")
        source.write_text(page, encoding="utf-8")
        command = [
            browser, "--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer", f"--print-to-pdf={os.path.abspath(output)}", source.as_uri(),
        ]  # fmt: skip
        if os.geteuid() == 0:  # Chromium's sandbox refuses root
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PDF_S)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{browser} did not print within {PDF_S} s: leave --format pdf out") from None
    if done.returncode != 0 or not os.path.exists(output):
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigError(f"{browser} wrote no PDF: {last[0]}")
