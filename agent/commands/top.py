"""`sbcwatch top`: the daemon's last minutes and calls, from its store, beside it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live

from agent.commands.tables import call_table, minute_table, show, side_table
from agent.config.load import load
from agent.config.settings import Config
from agent.errors import ConfigError
from agent.store import Store
from agent.summary.records import MINUTE_NS

MINUTES = 10
REFRESH_S = 2.0


def top_command(options: argparse.Namespace) -> int:
    """Minutes and calls of the last ten minutes, refreshed until Ctrl-C; with `--once` printed once."""
    store = _open(load(options.config))
    try:
        if options.once:
            show(_tables(store).renderables)  # type: ignore[arg-type]
            return 0
        with Live(_tables(store), console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(_tables(store), refresh=True)
    finally:
        store.close()


def _open(config: Config) -> Store:
    path = Path(config.store.directory) / "sbcwatch.sqlite"
    if not path.exists():
        raise ConfigError(f"{path}: there is no store: is the daemon running with this configuration?")
    return Store(path, read_only=True)


def _tables(store: Store) -> Group:
    now_ns = time.time_ns()
    summaries = list(store.minutes(now_ns - MINUTES * MINUTE_NS, now_ns, ("metrics", "calls")))
    return Group(minute_table(summaries), side_table(summaries), call_table(summaries))
