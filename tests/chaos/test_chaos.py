"""A bounded run of the chaos; `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import FAULTS, chaos
from tests.chaos.driver import Run

pytestmark = pytest.mark.slow


# `python -m tests.chaos` draws anew each time. This run has no answered outbound call in it.
SEED = 592265797


def test_kills_and_faults_of_every_kind_leave_the_truth_within_its_bound(tmp_path: Path) -> None:
    run = Run(SEED, tmp_path)
    assert chaos(run, kills=12, hours=2.0, kinds=list(FAULTS)) == [], run.log.read_text()[-3000:]


def test_without_any_kill_sink_faults_and_reloads_cost_nothing(tmp_path: Path) -> None:
    run = Run(SEED, tmp_path)
    with run.aws:
        try:
            run.start()
            for _ in range(6):
                run.sink_fault()
                run.reload()
                run.watch(10.0)
            duplicates = run.finish()
        finally:
            if run.daemon is not None:
                run.daemon.kill()
    assert run.ledger.frames_unseen == 0
    totals = run.aws.totals()
    expected = {name: most for name, (_, most) in run.ledger.bounds().items()}
    assert {name: totals[name] for name in expected} == expected
    assert run.aws.again <= duplicates
