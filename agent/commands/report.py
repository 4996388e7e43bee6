"""`sbcwatch report`: a capture file as one HTML page, to hand to a carrier."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.commands.replay import CollectedMinutes, ended, reading
from agent.commands.streams import StreamTotals
from agent.commands.tables import call_table, media_table, minute_table, side_table, stream_table
from agent.errors import ConfigError
from agent.summary.printable import printable

WIDTH = 220  # columns: wide enough that no table is folded


def report_command(options: argparse.Namespace) -> int:
    """Minutes, calls, media records and streams of capture files, in one page without scripts."""
    totals, kept = StreamTotals(), CollectedMinutes()
    with reading(options, totals.add) as files:
        fault = files.through(kept)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text(printable(f"sbcwatch report of {', '.join(options.files)}"), style="bold"))
    tables = (
        minute_table(kept.summaries),
        side_table(kept.summaries),
        call_table(kept.summaries),
        media_table(kept.summaries),
        stream_table(totals.rows()),
    )
    for table in tables:
        console.print(table)
    if fault is not None:
        console.print(Text(printable(f"The capture could not be read to its end: {fault}")))
    if options.output == "-":
        print(console.export_html())
        return ended(fault)
    try:
        Path(options.output).write_text(console.export_html(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{options.output}: {error.strerror}: name a file that can be written") from None
    print(f"written to {options.output}")
    return ended(fault)
