"""`sbcwatch top`: present calls, the worst first, from the daemon's store or a capture file."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.commands.calls import call_list, opened
from agent.commands.tables import show
from agent.commands.top_look import TopView, connector_list, headline, look
from agent.errors import ConfigError, how_to_add
from agent.store import Store
from agent.store.reader import StoreReader


def top_command(options: argparse.Namespace) -> int:
    """The live view until `q`. With `--once`, or where the output is no terminal, one view of it."""
    with store_of(options) as (reader, view):
        if options.once or not sys.stdout.isatty():
            seen = look(reader, view, time.time_ns())
            show([connector_list(seen.connectors), call_list(seen.calls)])
            print(headline(seen, view))
            return 0
        try:
            from agent.commands.top_screen import TopScreen
        except ModuleNotFoundError as error:
            if error.name and not error.name.startswith("textual"):
                raise
            raise ConfigError(
                f"the live view needs the package textual: {how_to_add('textual')}; --once prints one look"
            ) from None
        TopScreen(reader, view).run()
    return 0


@contextmanager
def store_of(options: argparse.Namespace) -> Iterator[tuple[StoreReader, TopView]]:
    """The store, and the first view of it. Capture files go into a temporary store."""
    if not options.files:
        reader = opened(options)
        try:
            yield reader, TopView()
        finally:
            reader.close()
        return
    from agent.commands.replay import CollectedMinutes, reading

    with TemporaryDirectory(prefix="sbcwatch-") as folder:
        path = os.path.join(folder, "sbcwatch.sqlite")
        store = Store(Path(path))
        with reading(options) as files:
            fault = files.through(CollectedMinutes(store))
        store.close()
        if fault is not None:
            print(f"sbcwatch: {fault}", file=sys.stderr)
        reader = StoreReader(path)
        try:
            yield reader, TopView(minutes=0)
        finally:
            reader.close()
