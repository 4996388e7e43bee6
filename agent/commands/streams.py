"""`sbcwatch streams`: one row per RTP stream of capture files."""

from __future__ import annotations

import argparse
import sys

from agent.commands.json_lines import JsonLines
from agent.commands.replay import CollectedMinutes, ended, reading
from agent.commands.stream_totals import StreamTotals


def streams_command(options: argparse.Namespace) -> int:
    """`sbcwatch streams`: one row per RTP stream."""
    totals = StreamTotals()
    with reading(options, totals.add) as files:
        fault = files.through(CollectedMinutes())
    if options.json:
        lines = JsonLines(sys.stdout.buffer.write)
        for row in totals.rows():
            lines.line(row)
    else:
        from agent.commands.tables import show, stream_table

        show([stream_table(totals.rows())])
    return ended(fault)
