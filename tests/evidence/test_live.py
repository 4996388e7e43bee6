"""The daemon keeps evidence of a call that went bad under its eyes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.evidence.files import packets_of, read_notes
from tests.chaos.driver import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(1, tmp_path)
    made.placing = False
    made.config.write_text(made.config.read_text() + "\n[evidence]\nenabled = true\n")
    with made.aws:
        made.start()
        yield made
        if made.daemon is not None:
            made.daemon.kill()


@pytest.mark.slow  # 100 s of a daemon of its own in hurried time
def test_a_call_with_loss_is_kept_from_before_its_trigger(run: Run) -> None:
    run.call("loss-vc2cust")
    run.watch(100.0)
    assert run.stop() == 0
    notes = read_notes(run.state)
    assert notes
    assert sum(note.packets for note in notes) > 4_400
    path = packets_of(run.state, notes[0].call_ids)
    assert path is not None
    assert b"reports loss" in path.read_bytes()
