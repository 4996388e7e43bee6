"""kill -9 while minutes are committed: what was said to be kept is there, whole, with its own checkpoint."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from agent.model.units import MINUTE_NS
from agent.store import Store
from tests.kit.minutes import T0

WRITER = """
import sys
from agent.store import Store
from tests.kit.minutes import T0, sip_row, summary
from agent.model.units import MINUTE_NS
store = Store(sys.argv[1])
store.outbox.register({"cloudwatch": ("metrics",)})
first = (store.closed_until_ns or T0) - T0
for minute in range(first // MINUTE_NS, 100_000):
    start = T0 + minute * MINUTE_NS
    store.save_checkpoint(b"open %d" % minute, [sip_row(start, n) for n in range(20)], now_ns=T0)
    print("saved", minute, flush=True)
    store.commit(summary(minute, media=30), b"open %d" % (minute + 1))
    print("closed", minute, flush=True)
"""


def test_killed_writer_leaves_whole_minutes_and_the_checkpoint_of_its_last_word(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(draw.randrange(1, 40))]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        whole = [line.split() for line in said if line.endswith("\n")]
        closed = [int(number) for word, number in whole if word == "closed"]
        saved = [int(number) for word, number in whole if word == "saved"]
        store = Store(path)
        assert store.take_notices() == []
        mark = ((store.closed_until_ns or T0) - T0) // MINUTE_NS
        assert mark in ({closed[-1] + 1, closed[-1] + 2} if closed else {saved[-1], saved[-1] + 1})
        minutes = list(store.minutes(T0, T0 + 10**6 * MINUTE_NS, ("metrics", "media", "sip")))
        assert [(minute.start_ns - T0) // MINUTE_NS for minute in minutes] == list(range(mark))
        assert {len(minute.media) for minute in minutes} <= {30}
        assert store.load_checkpoint() == b"open %d" % mark
        assert len(store.outbox.due("cloudwatch", before_ns=2 * T0, limit=10**6)) == mark
        store.close()
