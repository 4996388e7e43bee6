"""`sbcwatch check-config`: every problem of a configuration, or its meaning in words."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.assembly import sources
from agent.assembly.check import looked_at
from agent.assembly.rules import believed, tables
from agent.config.load import Problem
from agent.config.settings import Config
from agent.daemon import host, keys
from agent.daemon.board_link import media_addresses
from agent.daemon.reload import digest
from agent.errors import ConfigError
from agent.pipeline import build
from agent.provision.cost import estimate
from agent.summary.identity import key_id_of

WHOLE_RTP = 1_600  # bytes of the longest frame of a network whose MTU is 1,500
SIP_LOGS = {
    "redacted": "messages without credentials, keys, passwords and texts",
    "whole": "messages as they are, with credentials and keys",
    "headers": "messages without credentials and without bodies",
}


def check_command(options: argparse.Namespace) -> int:
    """0: the configuration is good, 1: with `--strict` there are warnings.

    Raises ConfigError where it is not, with every problem; `--json` returns 2 instead.
    """
    config, problems, warnings = looked_at(options.file, elsewhere=options.elsewhere)
    status = 2 if config is None else 1 if warnings and options.strict else 0
    if options.json:
        print(json.dumps(_row(options.file, config, problems, warnings)))
        return status
    for warning in warnings:
        print(f"warning: {options.file}: {warning}")
    if config is None:
        sys.stdout.flush()
        raise ConfigError("\n".join(f"{options.file}: {problem}" for problem in problems))
    build(config)
    print(explain(config))
    print(f"hash: {digest(config)}, as the running daemon logs it and config_info shows it")
    return status


def _row(
    path: str, config: Config | None, problems: list[Problem], warnings: list[Problem]
) -> dict[str, Any]:
    """The JSON line of one file: each finding with its place, and the meaning of the configuration."""
    graded = (("error", problems), ("warning", warnings))
    return {
        "type": "config",
        "file": path,
        "valid": config is not None,
        "problems": [
            {"severity": severity, "where": found.where, "line": found.line or None, "text": found.text}
            for severity, several in graded
            for found in several
        ],
        "hash": digest(config) if config is not None else None,
        "meaning": explain(config).splitlines() if config is not None else None,
    }


def explain(config: Config) -> str:
    """The meaning of a configuration: sides, connectors, filter, sinks, cost; a line each."""
    parts = (_sides, _connectors, _carriers, _fleet, _capture, _privacy, _sinks)
    lines = [line for part in parts for line in part(config)]
    cost = f"cost: about {estimate(config).usd:,.2f} USD a month (sbcwatch cost shows the parts)"
    return "\n".join([*lines, cost])


def _sides(config: Config) -> Iterator[str]:
    own = f"the addresses of the host that it runs on (here {', '.join(host.addresses())})"
    vc = ", ".join(config.vc.addresses) or own
    if config.vc.observer == "customer":
        vc += "; this host is the customer's, so the remote side is out of its sight"
    yield f"vc: {vc}"
    for public, private in config.vc.public_addresses.items():
        yield f"vc: {public} in SDP is {private} on the wire"
    networks = [network for connector in config.connectors for network in connector.customer_networks]
    networks += config.customers.networks
    nobody = "no network is named, so sided metrics are null: set [customers] networks"
    yield f"customer: {', '.join(networks) or nobody}"
    yield "remote: every other address"


def _connectors(config: Config) -> Iterator[str]:
    if not config.connectors:
        yield "connectors: one, named default, region local"
    for connector in config.connectors:
        fits = [f"X-VoiceConnector-ID {connector.id}", *connector.domains, *connector.customer_networks]
        parts = [f"connector {connector.id}, region {connector.region}: fits {', '.join(fits)}"]
        if connector.default:
            parts.append("takes legs that fit none")
        parts += [f"no {what} log" for what, on in _logged(connector.log_media, connector.log_sip) if not on]
        yield "; ".join(parts)
    if config.connectors and not any(connector.default for connector in config.connectors):
        yield "connector unassigned: legs that fit none, kept in the local store only"


def _carriers(config: Config) -> Iterator[str]:
    for carrier in config.carriers:
        fits = (*carrier.networks, *carrier.domains)
        yield f"carrier {carrier.id}: fits {', '.join(fits) or 'nothing, add networks or domains'}"


def _fleet(config: Config) -> Iterator[str]:
    if config.fleet.host:
        yield f"records: host {config.fleet.host}"
    if config.fleet.key_file:
        path = Path(config.fleet.key_file)
        key = f"key_id {key_id_of(keys.shared_key(path))}" if path.exists() else "which is not on this host"
        yield f"records: ids by the key in {path}, {key}"
    if config.fleet.board:
        own = ", ".join(media_addresses(config, host.addresses())) or "none"
        yield f"board: {config.fleet.board}; claims for media at {own} are heard here"


def _logged(media: bool, sip: bool) -> tuple[tuple[str, bool], ...]:
    return ("media", media), ("SIP", sip)


def _capture(config: Config) -> Iterator[str]:
    capture = config.capture
    threads = "1 capture thread" if capture.threads == 1 else f"{capture.threads} capture threads"
    where = ", ".join(capture.interfaces) or "all interfaces"
    yield f"watching: {where}, {threads}, rings of {capture.ring_mb} MB"
    yield f"SIP ports: {', '.join(map(str, capture.sip_ports))}"
    yield f"media ports: {capture.media_ports or 'all of UDP'}"
    tunnels = believed(capture)
    if not tunnels:
        yield "tunnels: none is opened"
    for tunnel in tunnels:
        forged = "" if tunnel.peers else ": anybody who can send here can make up calls, name its peers"
        yield f"tunnels: believed is {tunnel}{forged}"
    program = sources.program(config)
    yield f"filter: {sources.expression(config)} ({len(program)} instructions in the kernel)"
    calls, streams = tables(config, live=True)
    yield f"memory: {config.limits.max_memory_mb} MB, for {calls:,} calls and {streams:,} streams at once"


def _privacy(config: Config) -> Iterator[str]:
    yield f"SIP log: {config.privacy.sip_log}, that is {SIP_LOGS[config.privacy.sip_log]}"
    if config.privacy.redact_headers and config.privacy.sip_log != "whole":
        yield f"SIP log: without the values of {', '.join(config.privacy.redact_headers)} too"
    yield from _evidence(config)
    if config.privacy.mask_numbers:
        yield "people: tokens instead of users, numbers, names and places"


def _evidence(config: Config) -> Iterator[str]:
    evidence = config.evidence
    if not evidence.enabled:
        return
    bounds = f"{evidence.max_mb} MB and {evidence.keep_days:g} days at most"
    yield f"evidence: packets of calls that go bad or are asked for, {bounds}; of RTP the headers"
    if sources.keeps_payload(config):
        taken = config.capture.snap_length
        whole = "whole" if taken >= WHOLE_RTP else f"up to {taken} bytes (capture.snap_length)"
        yield f"evidence: of calls that are asked for the payload too, which is speech: RTP is taken {whole}"


def _sinks(config: Config) -> Iterator[str]:
    named = [
        f"CloudWatch, namespace {config.cloudwatch.namespace}" if config.cloudwatch.enabled else "",
        f"Logs, kept {config.logs.retention_days} days" if config.logs.enabled else "",
        f"ClickHouse {config.clickhouse.url}, database {config.clickhouse.database}"
        if config.clickhouse.url
        else "",
        f"OTLP {config.otlp.url}" if config.otlp.url else "",
        f"archive {config.archive.url}, {', '.join(config.archive.kinds)}" if config.archive.url else "",
    ]
    kept = f"minutes stay in {config.store.directory} for {config.store.keep_hours:g} h"
    yield f"sinks: {'; '.join(filter(None, named)) or f'none, {kept}'}"
    if config.prometheus.enabled:
        yield f"/metrics: on {config.prometheus.address} port {config.prometheus.port}"
