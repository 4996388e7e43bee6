"""kill -9 between any two transactions of the writer: SIP rows are logged once, minutes are closed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.model.units import MINUTE_NS
from agent.store import Store
from tests.kit.minutes import T0

# What waits at a checkpoint is handed over again by whoever goes on from it, as the daemon does.
WRITER = """
import os, signal, sys, zlib
from agent.sinks.prometheus import Totals
from agent.store import Store
from agent.store.database import Database
from agent.daemon.writer import Writer
from agent.model.units import MINUTE_NS
from tests.kit.minutes import T0, sip_row, summary

path, transactions = sys.argv[1], int(sys.argv[2])
store = Store(path)
saved = store.load_checkpoint()
first = int(zlib.decompress(saved)) if saved else 0
write, done = Database.write, [0]

class Counted:
    def __init__(self, inner):
        self.inner = inner
    def __enter__(self):
        return self.inner.__enter__()
    def __exit__(self, *error):
        answer = self.inner.__exit__(*error)
        done[0] += 1
        if done[0] == transactions:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

Database.write = lambda self: Counted(write(self))
writer = Writer(store, Totals(), dict, print)
writer.start()
for minute in range(first, 3):
    start = T0 + minute * MINUTE_NS
    writer.messages([sip_row(start, n) for n in range(20)])
    writer.commit(summary(minute, media=3, complete=False))
    writer.commit(summary(minute, media=3))
    writer.hand_over(b"%d" % (minute + 1), start + MINUTE_NS)
writer.stop()
store.close()
"""


def run(path: Path, transactions: int) -> int:
    command = [sys.executable, "-c", WRITER, str(path), str(transactions)]
    return subprocess.run(command, cwd=Path.cwd(), check=False).returncode


@pytest.mark.parametrize("transactions", [1, 2, 3, 4])
def test_writer_killed_after_a_transaction_rows_and_parts_are_kept_once(
    tmp_path: Path, transactions: int
) -> None:
    path = tmp_path / "s.sqlite"
    run(path, transactions)
    assert run(path, 0) == 0
    store = Store(path, read_only=True)
    minutes = list(store.minutes(T0, T0 + 10 * MINUTE_NS, ("metrics", "media", "sip")))
    rows = [row["event_timestamp"] for minute in minutes for row in minute.sip]
    assert len(rows) == len(set(rows)) == 3 * 20
    assert [(minute.start_ns - T0) // MINUTE_NS for minute in minutes] == [0, 0, 1, 1, 2, 2]
    assert [minute.part for minute in minutes] == [0, 1] * 3
