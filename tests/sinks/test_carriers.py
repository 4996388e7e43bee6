"""By carrier: Prometheus families, the CloudWatch dimension, dashboards, alarms, cost."""

from __future__ import annotations

import json

from prometheus_client import CollectorRegistry, generate_latest

from agent.config.load import read
from agent.config.settings import Config
from agent.provision.dashboard import dashboard_body
from agent.provision.put_alarms import alarm_parameters
from agent.provision.series import series_of
from agent.sinks.aws.cloudwatch import datums
from agent.sinks.prometheus import Collector, Totals
from agent.summary.catalog import CARRIER_METRICS
from agent.summary.records import ConnectorMinute, Samples, Summary, Value

TEXT = """
[cloudwatch]
enabled = true
dimensions = ["VoiceConnectorId", "Carrier"]
[[connectors]]
id = "a"
[[connectors]]
id = "b"
[[carriers]]
id = "one"
networks = ["198.51.100.0/24"]
[[carriers]]
id = "two"
"""


def config(text: str = TEXT) -> Config:
    found, problems = read(text, {})
    assert found is not None, problems
    return found


def minute(connector: str, lost: int | None, mos: float = 4.0) -> ConnectorMinute:
    nothing: dict[str, Value] = {m.name: None if m.kind == "samples" else 0 for m in CARRIER_METRICS}
    one = nothing | {"RemoteToVcPacketsLost": lost, "MOSBetweenVcAndRemote": Samples([mos], [2])}
    return ConnectorMinute(connector, "r", {}, {}, carriers={"": nothing, "one": one, "two": nothing})


def summary(*minutes: ConnectorMinute, start_ns: int = 0) -> Summary:
    return Summary(start_ns, 0, True, list(minutes), [], [], [])


def shown(totals: Totals) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Collector(totals))
    return generate_latest(registry).decode().splitlines()


def test_metrics_page_adds_connectors_up_by_carrier_and_unknown_adds_nothing() -> None:
    totals = Totals()
    totals.add(summary(minute("a", 3), minute("b", 4)))
    totals.add(summary(minute("a", None), start_ns=60 * 10**9))
    lines = shown(totals)
    assert 'sbcwatch_carrier_packets_lost_total{carrier="one",direction="rem2vc"} 7.0' in lines
    assert 'sbcwatch_carrier_packets_lost_total{carrier="two",direction="rem2vc"} 0.0' in lines
    assert 'sbcwatch_carrier_mos_bucket{carrier="one",le="+Inf",side="remote"} 6.0' in lines
    assert 'sbcwatch_carrier_mos_sum{carrier="one",side="remote"} 24.0' in lines


def test_gauge_by_carrier_is_of_the_last_minute_alone() -> None:
    totals = Totals()
    first = minute("a", 0)
    first.carriers["one"] = first.carriers["one"] | {"OutboundCallsActive": 5}
    totals.add(summary(first))
    line = 'sbcwatch_carrier_calls_active{carrier="one",direction="outbound"} '
    assert line + "5.0" in shown(totals)
    totals.add(summary(minute("a", 0), start_ns=60 * 10**9))
    assert line + "0.0" in shown(totals)


def test_page_without_carriers_has_no_such_family() -> None:
    totals = Totals()
    totals.add(summary(ConnectorMinute("a", "r", {}, {})))
    assert not [line for line in shown(totals) if "carrier" in line]


def test_dimension_carrier_is_merged_over_connectors_and_never_of_none() -> None:
    made = datums([minute("a", 3), minute("b", 4), minute("unassigned", 9)], 0, [("Carrier",)])
    assert {d["Dimensions"][0]["Value"] for d in made} == {"one", "two"}
    lost = {
        d["Dimensions"][0]["Value"]: d["Value"] for d in made if d["MetricName"] == "RemoteToVcPacketsLost"
    }
    assert lost == {"one": 7, "two": 0}


def test_dimension_beside_the_connector_keeps_them_apart() -> None:
    made = datums([minute("a", 3), minute("b", 4)], 0, [("VoiceConnectorId", "Carrier")])
    lost = [d for d in made if d["MetricName"] == "RemoteToVcPacketsLost"]
    assert [[one["Value"] for one in d["Dimensions"]] + [d["Value"]] for d in lost] == [
        ["a", "one", 3],
        ["a", "two", 0],
        ["b", "one", 4],
        ["b", "two", 0],
    ]


def test_cost_counts_twenty_series_a_carrier() -> None:
    without = config(TEXT.replace(', "Carrier"', ""))
    assert series_of(config()) - series_of(without) == 2 * len(CARRIER_METRICS) == 40


def test_first_row_of_the_dashboard_ranks_carriers_and_customers() -> None:
    widgets = dashboard_body(config(), "eu-west-1")["widgets"]
    first = [widget for widget in widgets if widget["y"] == 0]
    assert [widget["properties"]["title"] for widget in first] == [
        "Packets lost, share, by carrier: the ten worst",
        "Packets lost, share, by customer: the ten worst",
    ]
    assert [sum(one["width"] for one in first), first[1]["x"]] == [24, 12]
    assert "SORT([e0, e1], MAX, DESC, 10)" in json.dumps(first[0])
    assert all(widget["y"] >= 6 for widget in widgets[2:])


def test_each_carrier_has_its_alarms_where_the_dimension_is_published() -> None:
    names = [one["AlarmName"] for one in alarm_parameters(config())]
    assert [name for name in names if "carrier" in name] == [
        "sbcwatch carrier one loss-rem2vc",
        "sbcwatch carrier one loss-vc2rem",
        "sbcwatch carrier two loss-rem2vc",
        "sbcwatch carrier two loss-vc2rem",
    ]
