"""Numbers of every section, privacy, and the host's own settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from agent.config.checks.words import Finding, address, header, twice
from agent.config.settings import Config

MOST_SECONDS = 1e9  # 30 years: a larger value is a slip, and does not fit into nanoseconds
MOST = 10**12  # of anything else: with bytes for megabytes it still fits into 64 bits


def numbers(config: Config) -> Iterator[Finding]:
    """`inf`, `nan`, seconds and counts beyond all sense, in any section."""
    for section in config.__struct_fields__:
        content = getattr(config, section)
        if isinstance(content, list):
            continue
        for field in content.__struct_fields__:
            value = getattr(content, field)
            if isinstance(value, float) and not math.isfinite(value):
                yield section, field, f"{value} is no number to reckon with: write digits"
            elif isinstance(value, float) and value > MOST_SECONDS:
                yield section, field, f"{value:g} is too much: {MOST_SECONDS:g} at most"
            elif isinstance(value, int) and value > MOST:
                yield section, field, f"{value:.0e} is too much: {MOST:.0e} at most"


def privacy(config: Config) -> Iterator[Finding]:
    for name in config.privacy.redact_headers:
        yield from header("privacy", "redact_headers", name)
    country = config.privacy.country
    if country and country not in _countries():
        short = {"UK": "GB", "EN": "GB"}.get(country.upper(), country.upper())
        example = short if short in _countries() else "DE"
        yield "privacy", "country", f'"{country}" is no country: its two letters in ISO 3166, as {example}'


def privacy_doubts(config: Config) -> Iterator[Finding]:
    if config.privacy.redact_headers and config.privacy.sip_log == "whole":
        yield "privacy", "redact_headers", 'has no effect: sip_log = "whole" removes nothing'


def prometheus(config: Config) -> Iterator[Finding]:
    named = config.prometheus.address
    if address(named) is None:
        yield "prometheus", "address", f'"{named}" is no IP address: 127.0.0.1 for this host, 0.0.0.0 for all'


def store(config: Config) -> Iterator[Finding]:
    if not config.store.directory.strip():
        yield "store", "directory", "is empty: name a folder, as /var/lib/sbcwatch"


def store_doubts(config: Config) -> Iterator[Finding]:
    folder = config.store.directory.strip()
    if folder and not folder.startswith("/"):
        yield "store", "directory", f'"{folder}" depends on where the daemon is started: begin with /'


def fleet(config: Config) -> Iterator[Finding]:
    for named in config.fleet.media_addresses:
        if address(named) is None:
            yield "fleet", "media_addresses", f'"{named}" is no IP address: write it as 192.0.2.1'


def fleet_doubts(config: Config) -> Iterator[Finding]:
    if not config.fleet.board:
        return
    if not config.fleet.key_file:
        yield "fleet", "board", "without key_file the hosts' transaction ids and tokens differ: set it"
    if not config.vc.addresses:
        yield "fleet", "board", "needs [vc] addresses: those of every proxy and relay of the fleet"


# Settings that do nothing without another one: section, key, and the one that is off.
OF_ANOTHER = (
    ("cloudwatch", "agent_metrics", "cloudwatch.enabled"),
    ("logs", "calls", "logs.enabled"),
    ("logs", "kms_key", "logs.create_groups"),
    ("logs", "deletion_protection", "logs.create_groups"),
    ("evidence", "payload", "evidence.enabled"),
)


def idle_doubts(config: Config) -> Iterator[Finding]:
    for section, key, other in OF_ANOTHER:
        needs, name = other.split(".")
        if getattr(getattr(config, section), key) and not getattr(getattr(config, needs), name):
            yield section, key, f"has no effect: {other} is false"


def ports_doubts(config: Config) -> Iterator[Finding]:
    """The daemon and `sbcwatch web` on one port of this host: the later one waits for it for ever."""
    port = config.web.listen.rpartition(":")[2]
    if config.prometheus.enabled and config.prometheus.port and port == str(config.prometheus.port):
        yield "web", "listen", f"has the port of /metrics ({port}): give the pages another"


def evidence_doubts(config: Config) -> Iterator[Finding]:
    evidence = config.evidence
    if evidence.max_call_mb > evidence.max_mb:
        yield (
            "evidence",
            "max_call_mb",
            f"is above max_mb ({evidence.max_mb}): such a file goes at once",
        )


def kinds(config: Config) -> Iterator[Finding]:
    """Archives of nothing, and kinds that stand there twice."""
    for section in ("archive", "clickhouse"):
        settings = getattr(config, section)
        if settings.url and not settings.kinds:
            yield section, "kinds", "is empty: nothing would be kept there"
        yield from twice(section, "kinds", settings.kinds)


def cost(config: Config) -> Iterator[Finding]:
    tiers = config.cost.metric_tiers
    if any(end < 0 or price < 0 for end, price in tiers):
        yield "cost", "metric_tiers", "has a number below 0: write how many metrics, and USD for each"
    ends = [end or math.inf for end, _ in tiers]
    if any(second <= first for first, second in itertools.pairwise(ends)):
        yield "cost", "metric_tiers", "must rise from tier to tier; 0 stands for no end, in the last one"


def _countries() -> set[str]:
    import phonenumbers

    return set(phonenumbers.SUPPORTED_REGIONS)
