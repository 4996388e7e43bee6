"""The daemon's own words for its log: its start, each hour, and its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from agent import __version__
from agent.config.settings import Config
from agent.uncompiled import status

SHOWN = 8  # connectors named in one line


class Account(NamedTuple):
    """The daemon's work since its start."""

    frames: int
    drops: int | None  # None: the source does not say
    counts: Mapping[str, float]  # closed minutes, by metric, over all connectors
    sent: Mapping[str, tuple[int, int]]  # by sink: items sent, batches that wait


def beginning(
    config: Config, path: str | None, hash_: str, vc: Sequence[str], sinks: Sequence[str]
) -> Iterator[str]:
    """The lines at start: version, configuration, captured interfaces, connectors, and sinks."""
    compiled = "compiled" if all(status().values()) else "NOT COMPILED, slow"
    yield f"sbcwatch {__version__} ({compiled}), Python {sys.version.split()[0]}"
    yield f"configuration {path or 'of defaults and variables'}, hash {hash_}"
    where = ", ".join(config.capture.interfaces) or "all interfaces"
    yield f"watching {where}; the vc is {', '.join(vc)}"
    names = [connector.id for connector in config.connectors] or ["default"]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    yield f"connectors: {', '.join(names[:SHOWN])}{more}"
    if sinks:
        yield f"sending to {', '.join(sinks)}"
    else:
        kept = f"{config.store.directory} for {config.store.keep_hours:g} h"
        yield f"no AWS sink is enabled: minutes stay in {kept}"


def hour(now: Account, before: Account) -> str:
    """The frames, calls and deliveries between two accounts."""
    return f"{_seen(now, before)}; {_counted(now, before)}; {_delivered(now, before)}"


def _seen(now: Account, before: Account) -> str:
    frames = f"{now.frames - before.frames:,} frames"
    if now.drops is None or before.drops is None:
        return f"{frames}, missed: not known"
    return f"{frames}, {now.drops - before.drops:,} missed"


def _counted(now: Account, before: Account) -> str:
    def of(*ends: str) -> int:
        return round(
            sum(
                value - before.counts.get(name, 0.0)
                for name, value in now.counts.items()
                if name.endswith(ends)
            )
        )

    calls = (
        f"{of('CallAttempts'):,} calls tried, {of('CallsAnswered'):,} answered, {of('CallFailures'):,} failed"
    )
    return f"{calls}; {of('RtpPackets'):,} RTP packets, {of('PacketsLost'):,} lost"


def _delivered(now: Account, before: Account) -> str:
    if not now.sent:
        return "no sink to deliver to"
    parts = []
    for sink, (sent, waits) in now.sent.items():
        taken = sent - before.sent.get(sink, (0, 0))[0]
        # A reload makes new sinks, which count from zero.
        parts.append(
            f"{sink} took {taken if taken >= 0 else sent:,} items" + (f", {waits:,} wait" if waits else "")
        )
    return ", ".join(parts)


def lasted(seconds: float) -> str:
    """`3 h 12 min` of seconds, `40 s` of a short time."""
    minutes = int(seconds) // 60
    if not minutes:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
