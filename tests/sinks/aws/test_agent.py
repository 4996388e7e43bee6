from __future__ import annotations

from pathlib import Path

from agent.model.units import MINUTE_NS
from agent.sinks.aws.cloudwatch import AgentSink
from agent.store import Store
from agent.summary.catalog import AGENT_METRICS, AGENT_NAMESPACE
from agent.summary.records import Summary
from tests.kit.strict_aws import StrictAws


def test_agent_figures_become_datums_with_the_host_and_their_units(tmp_path: Path) -> None:
    minute_ns = 1_700_000_040_000_000_000
    figures = {metric.name: float(number) for number, metric in enumerate(AGENT_METRICS)}
    store = Store(tmp_path / "s.sqlite")
    with StrictAws(now=lambda: minute_ns / 1e9 + 60) as aws:
        sink = AgentSink(aws.client("cloudwatch"), host="sbc-1")
        store.outbox.register({sink.name: sink.kinds})
        store.commit(Summary(minute_ns, 0, True, [], [], [], [], agent=figures))
        rows = store.outbox.due(sink.name, before_ns=minute_ns + MINUTE_NS)
        (draft,) = sink.encode(rows)
        assert draft.target == AGENT_NAMESPACE
        assert {item["MetricName"]: item["Value"] for item in draft.items} == figures
        assert {item["MetricName"]: item["Unit"] for item in draft.items} == {
            metric.name: metric.unit for metric in AGENT_METRICS
        }
        sink.send(draft.target, draft.items)
    store.close()
