"""The daemon tells of a call within seconds: who asks the store meanwhile finds it, with its messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store import CallQuery, StoreReader
from agent.store.reader import StoredCall
from tests.chaos.driver import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(1, tmp_path)
    made.placing = False
    with made.aws:
        made.start()
        yield made
        if made.daemon is not None:
            made.daemon.kill()


def stored(run: Run) -> StoredCall:
    """The only call of the store."""
    reader = StoreReader(run.state / "sbcwatch.sqlite")
    (found,) = reader.search(CallQuery()).calls
    whole = reader.call(found.id)
    reader.close()
    assert whole is not None
    return whole


def test_call_is_found_seconds_after_it_began_and_once_after_its_minute(run: Run) -> None:
    run.call("answered-inbound")
    run.watch(8.0)
    run.settle()
    now = stored(run)
    assert (now.index.outcome, now.index.end_ns) == ("answered", None)
    assert now.records.messages[0]["sip_message"].startswith("INVITE ")
    run.kill()  # what was told is of the checkpoint's own transaction
    run.start()
    run.watch(100.0)
    assert run.stop() == 0
    later = stored(run)
    assert later.index.id == now.index.id
    assert later.index.end_ns is not None
    assert later.records.media
