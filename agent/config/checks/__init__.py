"""Settings of the right type that AWS, the kernel or sense would refuse, and doubtful ones.

Two tables of checks, each a function of the whole configuration. `REFUSED` keeps a daemon from starting;
`DOUBTFUL` is for a person to read. A check reports every case, with the value that would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.config.checks import aws, forms, rest, sides, traffic
from agent.config.checks.words import Finding
from agent.config.settings import Config

Checks = tuple[Callable[[Config], Iterator[Finding]], ...]

REFUSED: Checks = (
    forms.forms,
    sides.vc,
    sides.networks,
    sides.domains,
    sides.connectors,
    traffic.capture,
    traffic.calls,
    traffic.quality,
    rest.numbers,
    rest.privacy,
    rest.prometheus,
    rest.store,
    rest.cost,
    rest.fleet,
    rest.kinds,
    aws.cloudwatch,
    aws.logs,
    aws.tags,
)
DOUBTFUL: Checks = (
    sides.vc_doubts,
    sides.nobody,
    sides.overlaps,
    sides.repeated,
    sides.examples,
    sides.carriers,
    traffic.capture_doubts,
    traffic.call_doubts,
    traffic.codec_doubts,
    rest.privacy_doubts,
    rest.store_doubts,
    rest.fleet_doubts,
    rest.idle_doubts,
    rest.ports_doubts,
    rest.evidence_doubts,
    aws.aws_doubts,
)


def refused(config: Config) -> Iterator[Finding]:
    for check in REFUSED:
        yield from check(config)


def doubtful(config: Config) -> Iterator[Finding]:
    for check in DOUBTFUL:
        yield from check(config)
