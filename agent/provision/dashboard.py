"""A CloudWatch dashboard: for each connector calls, answers, quality and media on one screen.

Where that is more than a dashboard holds, the worst ten of each kind come first, found among all by Metrics
Insights, and then one section whose connector the reader chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from agent.config.settings import Config
from agent.provision import metric
from agent.provision.alarms import TOWARDS_VC
from agent.provision.quotas import DASHBOARD_METRICS, DASHBOARD_WIDGETS, compact, within
from agent.provision.scope import Scope, carriers, scopes
from agent.summary.catalog import AGENT_METRICS, AGENT_NAMESPACE, DIRECTIONS, HOST_MINUTES, SIDES

WIDTH, HEIGHT = 24, 6  # CloudWatch's grid is 24 wide
MAX_RANKED = 100  # more would fill the dashboard's 2,500 metrics with hidden ones
Line = list[Any]


def dashboard_body(config: Config, region: str) -> dict[str, Any]:
    """The body of PutDashboard. `region` is the region of the metrics, which each widget names.

    Raises ConfigError beyond AWS's limits.
    """
    body = _body(config, region, scopes(config))
    if not fits(body):
        body = _body(config, region, scopes(config)[:1]) | _chosen(config)
    within(len(body["widgets"]), DASHBOARD_WIDGETS, "widgets in the dashboard", "publish fewer carriers")
    within(metrics_of(body), DASHBOARD_METRICS, "metrics in the dashboard", "publish fewer carriers")
    return body


def fits(body: dict[str, Any]) -> bool:
    return len(body["widgets"]) <= DASHBOARD_WIDGETS and metrics_of(body) <= DASHBOARD_METRICS


def metrics_of(body: dict[str, Any]) -> int:
    """The number of metrics that it names, hidden ones too. A query has limits of its own."""
    return sum(
        isinstance(line[0], str)
        for widget in body["widgets"]
        for line in widget["properties"].get("metrics", ())
    )


def _body(config: Config, region: str, shown: Sequence[Scope]) -> dict[str, Any]:
    """A section for each of `shown`; where others are left out, rankings of all before it."""
    widgets: list[dict[str, Any]] = []
    y = 0
    rows = [list(_ranked(config))]
    if len(shown) < len(scopes(config)):
        tops = list(_tops(scopes(config)[0]))
        rows += [tops[:4], tops[4:]]
    if len(carriers(config)) > MAX_RANKED:
        rows.append(list(_tops(carriers(config)[0], ("remote side",))))
    for row in rows:
        for place, (title, lines, extra) in enumerate(row):
            width = WIDTH // len(row)
            widgets.append(_graph(title, lines, extra, region, (place * width, y, width)))
        y += HEIGHT * bool(row)
    for scope in shown:
        widgets.append(_text(f"## {scope.dimension} {scope.value}{_pages(config, scope)}", y))
        y += 1
        for graphs in _graphs(scope):
            width = WIDTH // len(graphs)
            for place, (title, lines, extra) in enumerate(graphs):
                widgets.append(_graph(title, lines, extra, region, (place * width, y, width)))
            y += HEIGHT
    if config.cloudwatch.agent_metrics:
        widgets.append(_text("## Agents", y))
        for place, (title, lines) in enumerate(_agents()):
            at = (place % 4 * 6, y + 1 + place // 4 * HEIGHT, 6)
            widgets.append(_graph(title, lines, {}, region, at))
    return {"start": "-PT3H", "periodOverride": "inherit", "widgets": widgets}


def _chosen(config: Config) -> dict[str, Any]:
    """A variable for the reader's choice of a connector, in place of the first one in every graph."""
    first = scopes(config)[0]
    variable = {
        "type": "property",
        "property": first.dimension,
        "id": "connector",
        "label": first.dimension,
        "inputType": "select",
        "visible": True,
        "defaultValue": first.value,
        "search": f'{{{first.namespace},{first.dimension}}} MetricName="{HOST_MINUTES}"',
        "populateFrom": first.dimension,
    }
    return {"variables": [variable]}


# Title, metrics, function, order: the ranking over all values of the dimension.
_TOPS = (
    ("Call attempts", ("InboundCallAttempts", "OutboundCallAttempts"), "SUM", "DESC"),
    ("Call failures", ("InboundCallFailures", "OutboundCallFailures"), "SUM", "DESC"),
    ("Mean MOS, the lowest", ("MOSBetweenVcAndCustomer", "MOSBetweenVcAndRemote"), "AVG", "ASC"),
    ("Mean round-trip time", ("RTTBetweenVcAndCustomer", "RTTBetweenVcAndRemote"), "AVG", "DESC"),
    ("Packets lost, customer's side", ("CustomerToVcPacketsLost", "VcToCustomerPacketsLost"), "SUM", "DESC"),
    ("Packets lost, remote side", ("RemoteToVcPacketsLost", "VcToRemotePacketsLost"), "SUM", "DESC"),
    ("Throttles", ("Throttles",), "SUM", "DESC"),
    ("Hosts that report it, the fewest", (HOST_MINUTES,), "COUNT", "ASC"),
)


def _tops(scope: Scope, words: Sequence[str] = ("",)) -> Iterator[tuple[str, list[Line], dict[str, Any]]]:
    """The ten highest of all, by Metrics Insights: absolute figures, because a query cannot divide.

    `words`: only rankings with one of them in the title.
    """
    for title, names, function, order in _TOPS:
        if not any(word in title for word in words):
            continue
        lines: list[Line] = [
            [
                {
                    "expression": f'SELECT {function}({metric(name)}) FROM SCHEMA("{scope.namespace}", '
                    f"{scope.dimension}) GROUP BY {scope.dimension} ORDER BY {function}() {order} LIMIT 10",
                    "id": f"q{n}",
                    "period": 60,
                }
            ]
            for n, name in enumerate(names)
        ]
        yield f"{title}: ten of all by {scope.dimension}", lines, {}


def _ranked(config: Config) -> Iterator[tuple[str, list[Line], dict[str, Any]]]:
    """The first row: the greatest loss now, by carrier and by customer, ten of each."""
    named = (("carrier", carriers(config), "remote"), ("customer", scopes(config), "customer"))
    for who, found, side in named:
        if not found or (len(found) == 1 and who == "customer"):
            continue
        if len(found) <= MAX_RANKED:
            title = f"Packets lost, share, by {who}: the ten worst"
            yield title, list(_worst(found, side)), {"view": "bar", **_share()}


def _worst(found: Sequence[Scope], side: str) -> Iterator[Line]:
    """A hidden share for each, then the ten greatest. A graph takes 500 metrics, four for each."""
    away, to_vc = ("VcToRemote", "RemoteToVc") if side == "remote" else ("VcToCustomer", "CustomerToVc")
    names = (f"{to_vc}PacketsLost", f"{away}PacketsLost", f"{to_vc}RtpPackets", f"{away}RtpPackets")
    for n, scope in enumerate(found):
        for letter, name in zip("abcd", names, strict=True):
            options = {"stat": "Sum", "id": f"{letter}{n}", "visible": False}
            yield [scope.namespace, metric(name), scope.dimension, scope.value, options]
        lost, sent = f"(a{n} + b{n})", f"(a{n} + c{n} + d{n})"
        share = {"expression": f"IF({sent} > 0, {lost} / {sent}, 0)", "id": f"e{n}"}
        yield [{**share, "label": scope.label, "visible": False}]
    yield [{"expression": f"SORT([{', '.join(f'e{n}' for n in range(len(found)))}], MAX, DESC, 10)"}]


def _graphs(scope: Scope) -> Iterator[list[tuple[str, list[Line], dict[str, Any]]]]:
    def line(name: str, statistic: str, label: str, **more: Any) -> Line:
        options = {"stat": statistic, "label": label, **more}
        return [scope.namespace, metric(name), scope.dimension, scope.value, options]

    def by_direction(suffix: str, statistic: str = "Sum") -> list[Line]:
        return [line(prefix + suffix, statistic, d) for d, (prefix, _) in DIRECTIONS.items()]

    ways = ("Inbound", "Outbound")
    latency = {"yAxis": _axis(0, None, "us")}
    yield [
        (
            "Call attempts a minute",
            [line(f"{way}CallAttempts", "Sum", way.lower()) for way in ways],
            _count(),
        ),
        ("Calls active", [line(f"{way}CallsActive", "Sum", way.lower()) for way in ways], _count()),
        ("Outcomes a minute", _outcomes(line), _count()),
    ]
    yield [
        ("Call failures, share of attempts", _failures(line), _share()),
        (
            "SIP responses a minute",
            [line(f"Sip{n}xxCodes", "Sum", f"{n}xx") for n in range(1, 7)],
            {"stacked": True, **_count()},
        ),
        ("Throttles a minute", [line("Throttles", "Sum", "throttled")], _count()),
    ]
    yield [
        ("MOS, mean and worst tenth", list(_quality(line, "MOS", "p10")), {"yAxis": _axis(1, 4.5, "MOS")}),
        ("Round-trip time, mean and worst tenth", list(_quality(line, "RTT", "p90")), latency),
        ("Jitter, mean", by_direction("Jitter", "Average"), latency),
    ]  # fmt: skip
    yield [
        ("Packets lost, share", _loss(line), _share()),
        ("RTP packets a minute", by_direction("RtpPackets"), _count()),
        ("RTP bits a second", _bits(line), _count()),
        ("RTCP packets a minute", by_direction("RtcpPackets"), _count()),
    ]  # fmt: skip


def _outcomes(line: Any) -> list[Line]:
    return [
        line(f"{way}{suffix}", "Sum", f"{way.lower()} {word}")
        for way in ("Inbound", "Outbound")
        for suffix, word in (("CallsAnswered", "answered"), ("CallFailures", "failed"))
    ]


def _failures(line: Any) -> list[Line]:
    lines = []
    for n, way in enumerate(("Inbound", "Outbound")):
        failed = line(f"{way}CallFailures", "Sum", "", id=f"f{n}", visible=False)
        attempts = line(f"{way}CallAttempts", "Sum", "", id=f"a{n}", visible=False)
        share = {"expression": f"IF(a{n} > 0, f{n} / a{n}, 0)", "label": way.lower()}
        lines += [failed, attempts, [share]]
    return lines


def _loss(line: Any) -> list[Line]:
    lines = []
    for n, (direction, (prefix, _)) in enumerate(DIRECTIONS.items()):
        lost = line(f"{prefix}PacketsLost", "Sum", "", id=f"l{n}", visible=False)
        packets = line(f"{prefix}RtpPackets", "Sum", "", id=f"p{n}", visible=False)
        sent = f"(p{n} + l{n})" if direction in TOWARDS_VC else f"p{n}"
        lines += [lost, packets, [{"expression": f"IF(p{n} > 0, l{n} / {sent}, 0)", "label": direction}]]
    return lines


def _bits(line: Any) -> list[Line]:
    lines = []
    for n, (direction, (prefix, _)) in enumerate(DIRECTIONS.items()):
        lines.append(line(f"{prefix}RtpBytes", "Sum", "", id=f"b{n}", visible=False))
        lines.append([{"expression": f"b{n} * 8 / PERIOD(b{n})", "label": direction}])
    return lines


def _quality(line: Any, what: str, percentile: str) -> Iterator[Line]:
    for side, (suffix, _, _) in SIDES.items():
        yield line(f"{what}BetweenVcAnd{suffix}", "Average", side)
        yield line(f"{what}BetweenVcAnd{suffix}", percentile, f"{side} {percentile}")


def _agents() -> Iterator[tuple[str, list[Line]]]:
    for one in AGENT_METRICS:
        statistic = "Sum" if one.unit == "Count" else "Maximum"
        search = f"SEARCH('{{{AGENT_NAMESPACE},Host}} MetricName=\"{one.name}\"', '{statistic}', 60)"
        yield one.help, [[{"expression": search, "label": ""}]]


def _graph(
    title: str, lines: list[Line], extra: dict[str, Any], region: str, at: tuple[int, int, int]
) -> dict[str, Any]:
    x, y, width = at
    properties = {
        "title": title,
        "view": "timeSeries",
        "region": region,
        "period": 60,
        "metrics": lines,
        **extra,
    }
    return {"type": "metric", "x": x, "y": y, "width": width, "height": HEIGHT, "properties": properties}


def _pages(config: Config, scope: Scope) -> str:
    """A link to the worst calls of a connector or carrier, where its pages have an address."""
    if not config.web.public_url:
        return ""
    kind = "carrier" if "arrier" in scope.dimension else "connector"
    query = urlencode({"q": f"{kind}:{scope.value}", "sort": "mos"})
    return f" [worst calls]({config.web.public_url.rstrip('/')}/calls?{query})"


def _text(markdown: str, y: int) -> dict[str, Any]:
    return {
        "type": "text", "x": 0, "y": y, "width": WIDTH, "height": 1, "properties": {"markdown": markdown},
    }  # fmt: skip


def _axis(least: float, greatest: float | None, label: str) -> dict[str, Any]:
    left = {"min": least, "label": label, "showUnits": False}
    return {"left": left if greatest is None else {**left, "max": greatest}}


def _count() -> dict[str, Any]:
    return {"yAxis": {"left": {"min": 0, "showUnits": False}}}


def _share() -> dict[str, Any]:
    return {"yAxis": {"left": {"min": 0, "showUnits": False, "label": "1 = all"}}}


def dashboard_text(config: Config, region: str) -> str:
    return compact(dashboard_body(config, region))
