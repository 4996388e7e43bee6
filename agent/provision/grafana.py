"""A Grafana dashboard over `/metrics`: names and labels as `agent.sinks.prometheus` exposes the catalog."""

from __future__ import annotations

import json
from typing import Any

from agent.provision.alarms import TOWARDS_VC
from agent.summary.catalog import BY_NAME, DIRECTIONS, SIDES

SAMPLED = "3m"  # jitter, RTT and MOS come once a minute: shorter windows would have none at times
_PICK = 'voice_connector_id=~"$connector"'
_HOST = 'instance=~"$instance"'
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def series(name: str, suffix: str = "") -> str:
    """The catalog metric `name` as a Prometheus selector, for the chosen connectors. Raises KeyError."""
    metric = BY_NAME[name]
    if metric.kind == "count":
        suffix = "_total"
    labels = [_PICK, *(f'{label}="{value}"' for label, value in metric.labels)]
    return f"{metric.prometheus}{suffix}{{{','.join(labels)}}}"


def per_minute(name: str) -> str:
    return f"60 * sum(rate({series(name)}[$__rate_interval]))"


def mean(name: str) -> str:
    sums, counts = series(name, "_sum"), series(name, "_count")
    return f"sum(rate({sums}[{SAMPLED}])) / sum(rate({counts}[{SAMPLED}]))"


def quantile(q: float, name: str) -> str:
    return f"histogram_quantile({q}, sum by (le) (rate({series(name, '_bucket')}[{SAMPLED}])))"


def share(part: str, whole: str) -> str:
    return f"sum(rate({part}[$__rate_interval])) / {whole}"


def _rate(what: str) -> str:
    """The rate of one of the agent's own counters."""
    return f"rate(sbcwatch_agent_{what}_total{{{_HOST}}}[$__rate_interval])"


def _loss(direction: str, prefix: str) -> str:
    lost, packets = series(f"{prefix}PacketsLost"), series(f"{prefix}RtpPackets")
    sent = f"sum(rate({packets}[$__rate_interval]))"
    if direction in TOWARDS_VC:
        sent = f"({sent} + sum(rate({lost}[$__rate_interval])))"
    return share(lost, sent)


def _mos_by_carrier() -> str:
    sums, counts = (
        f'sum by (carrier) (rate(sbcwatch_carrier_mos_{what}{{side="remote"}}[{SAMPLED}]))'
        for what in ("sum", "count")
    )
    return f"bottomk(10, {sums} / {counts})"


def _worst(side: str, by: str, prefix: str = "") -> str:
    """The ten values of label `by` with the greatest share lost now: both directions of a side together."""
    ways = "cust2vc|vc2cust" if side == "customer" else "rem2vc|vc2rem"
    to_vc = ways.split("|")[0]
    pick = _PICK + "," if by == "voice_connector_id" else ""
    lost, packets = (
        f'sbcwatch_{prefix}{name}_total{{{pick}direction=~"%s"}}' for name in ("packets_lost", "rtp_packets")
    )
    both, own = (f"sum by ({by}) (rate({lost % of}[{SAMPLED}]))" for of in (ways, to_vc))
    sent = f"(sum by ({by}) (rate({packets % ways}[{SAMPLED}])) + {own})"
    return f"topk(10, {both} / ({sent} > 0))"  # a side that sent nothing has no share


def _panels() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(title, unit, [(expression, legend)])"""
    ways = ("Inbound", "Outbound")
    media = DIRECTIONS.items()
    sides = [(side, suffix) for side, (suffix, _, _) in SIDES.items()]
    return [
        (
            "Packets lost, share, by carrier: the ten worst",
            "percentunit",
            [(_worst("remote", "carrier", "carrier_"), "{{carrier}}")],
        ),
        (
            "Packets lost, share, by customer: the ten worst",
            "percentunit",
            [(_worst("customer", "voice_connector_id"), "{{voice_connector_id}}")],
        ),
        (
            "MOS at the remote end, mean, by carrier: the ten worst",
            "none",
            [(_mos_by_carrier(), "{{carrier}}")],
        ),
        ("Call attempts a minute", "short", [(per_minute(f"{w}CallAttempts"), w.lower()) for w in ways]),
        ("Calls active", "short", [(f"sum({series(f'{w}CallsActive')})", w.lower()) for w in ways]),
        (
            "Call failures, share of attempts",
            "percentunit",
            [
                (
                    share(
                        series(f"{w}CallFailures"),
                        f"sum(rate({series(f'{w}CallAttempts')}[$__rate_interval]))",
                    ),
                    w.lower(),
                )
                for w in ways
            ],
        ),
        (
            "SIP responses a minute",
            "short",
            [(per_minute(f"Sip{n}xxCodes"), f"{n}xx") for n in range(1, 7)]
            + [(per_minute("Throttles"), "throttled")],
        ),
        (
            "MOS, mean and worst tenth",
            "none",
            [(mean(f"MOSBetweenVcAnd{s}"), side) for side, s in sides]
            + [(quantile(0.1, f"MOSBetweenVcAnd{s}"), f"{side} p10") for side, s in sides],
        ),
        (
            "Round-trip time, mean and worst tenth",
            "s",
            [(mean(f"RTTBetweenVcAnd{s}"), side) for side, s in sides]
            + [(quantile(0.9, f"RTTBetweenVcAnd{s}"), f"{side} p90") for side, s in sides],
        ),
        ("Jitter, mean", "s", [(mean(f"{prefix}Jitter"), d) for d, (prefix, _) in media]),
        ("Packets lost, share", "percentunit", [(_loss(d, prefix), d) for d, (prefix, _) in media]),
        ("RTP packets a minute", "short", [(per_minute(f"{p}RtpPackets"), d) for d, (p, _) in media]),
        (
            "RTP bits a second",
            "bps",
            [(f"8 * sum(rate({series(f'{p}RtpBytes')}[$__rate_interval]))", d) for d, (p, _) in media],
        ),
        (
            "RTCP packets and bytes a minute",
            "short",
            [(per_minute(f"{p}RtcpPackets"), d) for d, (p, _) in media]
            + [(per_minute(f"{p}RtcpBytes"), f"{d} bytes") for d, (p, _) in media],
        ),
        ("Calls answered a minute", "short", [(per_minute(f"{w}CallsAnswered"), w.lower()) for w in ways]),
        (
            "Frames and drops a second",
            "short",
            [
                (f"sum by (instance) ({_rate(what)})", legend)
                for what, legend in (("frames", "{{instance}} frames"), ("drops", "{{instance}} drops"))
            ],
        ),
        (
            "Ring waiting to be read",
            "percentunit",
            [(f"sbcwatch_agent_ring_fill_ratio{{{_HOST}}}", "{{instance}}")],
        ),
        (
            "Rejects a minute",
            "short",
            [(f"60 * sum by (reason) ({_rate('rejects')})", "{{reason}}")],
        ),
        (
            "CPU, share of a core, and memory",
            "short",
            [
                (_rate("cpu_seconds"), "{{instance}} CPU"),
                (f"sbcwatch_agent_resident_bytes{{{_HOST}}} / 1e9", "{{instance}} GB"),
            ],
        ),
        (
            "Requests to AWS that failed, a minute",
            "short",
            [
                (
                    f"60 * sum by (sink, code) ({_rate('sink_errors')})",
                    "{{sink}} {{code}}",
                )
            ],
        ),
    ]  # fmt: skip


def place(number: int) -> dict[str, int]:
    """The place of panel `number`: three in a row."""
    return {"x": number % 3 * 8, "y": number // 3 * 8, "w": 8, "h": 8}


def field_config(unit: str) -> dict[str, Any]:
    """A panel's values in `unit`, from 0."""
    return {"defaults": {"unit": unit, "min": 0}, "overrides": []}


def framed(
    title: str,
    uid: str,
    timezone: str,
    source: str,
    variables: list[dict[str, Any]],
    panels: list[dict[str, Any]],
) -> dict[str, Any]:
    """A dashboard of `panels`. `source`: the kind of data source, which the reader picks one of."""
    picked = {"name": "source", "type": "datasource", "query": source, "label": "Data source"}
    return {
        "title": title,
        "uid": uid,
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "tags": ["sip", "rtp", "voice"],
        "time": {"from": "now-3h", "to": "now"},
        "timezone": timezone,
        "templating": {"list": [picked, *variables]},
        "panels": panels,
    }


def dashboard(public_url: str = "") -> dict[str, Any]:
    """`public_url`: of the pages, for a link to the worst calls."""
    panels = []
    for number, (title, unit, targets) in enumerate(_panels()):
        panels.append(
            {
                "id": number + 1,
                "type": "timeseries",
                "title": title,
                "datasource": _SOURCE,
                "gridPos": place(number),
                "fieldConfig": field_config(unit),
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
                "targets": [
                    {"refId": chr(65 + n), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
                    for n, (expression, legend) in enumerate(targets)
                ],
            }
        )
    variables = [
        _variable(
            "connector",
            f"label_values({BY_NAME['Sip2xxCodes'].prometheus}_total, voice_connector_id)",
        ),
        _variable("instance", "label_values(sbcwatch_agent_frames_total, instance)"),
    ]
    whole = framed("sbcwatch", "sbcwatch", "browser", _SOURCE["type"], variables, panels)
    return {**whole, "links": [_worst_calls(public_url)] if public_url else []}


def _worst_calls(public_url: str) -> dict[str, Any]:
    url = f"{public_url.rstrip('/')}/calls?sort=mos"
    same = {"asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": True}
    return {"title": "Worst calls", "type": "link", "url": url, "icon": "external link", "tags": [],
            "tooltip": "The pages of sbcwatch", **same}  # fmt: skip


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def grafana_text(public_url: str = "") -> str:
    return json.dumps(dashboard(public_url), indent=2)
