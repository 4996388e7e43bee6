"""The daemon's own counters go on where its pipeline is a new one, and end with the part that counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.daemon import agent_metrics
from agent.daemon.agent_metrics import Series, counted, former, self_metrics


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two counters: messages of the pipeline, and errors of a sink that a reload leaves as it is."""
    series = (
        Series("messages", "counter", "SIP messages", lambda d: cast(Any, d).messages),
        Series("sink_errors", "counter", "Failed requests", lambda d: cast(Any, d).errors),
    )
    monkeypatch.setattr(agent_metrics, "SERIES", series)
    return SimpleNamespace(messages=7.0, errors=[({"sink": "cloudwatch"}, 2.0)], former={})


def shown(daemon: Any) -> dict[str, Any]:
    return {name: samples for name, (_, _, samples) in self_metrics(daemon).items()}


def test_counter_of_a_new_pipeline_goes_on_from_the_old_one(daemon: Any) -> None:
    before = counted(daemon)
    daemon.messages = 0.0
    daemon.former = former(daemon, before)
    daemon.messages = 3.0
    assert shown(daemon)["sbcwatch_agent_messages"] == [({}, 10.0)]


def test_counter_of_a_part_that_stays_keeps_what_it_counts_under_way(daemon: Any) -> None:
    before = counted(daemon)
    daemon.errors = [({"sink": "cloudwatch"}, 3.0)]
    daemon.former = former(daemon, before)
    assert shown(daemon)["sbcwatch_agent_sink_errors"] == [({"sink": "cloudwatch"}, 3.0)]


def test_series_of_a_sink_that_was_switched_off_is_gone(daemon: Any) -> None:
    daemon.former = former(daemon, counted(daemon))
    daemon.errors = None
    assert "sbcwatch_agent_sink_errors" not in shown(daemon)
