"""The settings that a running daemon takes over, and those that wait for a restart.

Every section stands in `TAKEN`. A setting that only a start can apply (rings, the store's file, privileges)
stands in `WAITS`, and keeps its old value until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from agent.config.settings import Config, EvidenceSettings, Fleet
from agent.daemon.confine.landlock import ports

# The part that takes a section's settings in a running daemon, except those that wait.
TAKEN: Mapping[str, str] = {
    "vc": "pipeline",
    "customers": "pipeline",
    "connectors": "pipeline",
    "carriers": "pipeline",
    "fleet": "nobody",
    "capture": "pipeline",
    "calls": "pipeline",
    "media": "pipeline",
    "quality": "pipeline",
    "privacy": "pipeline",
    "limits": "pipeline",
    "aws": "sinks",
    "cloudwatch": "sinks",
    "logs": "sinks",
    "archive": "sinks",
    "clickhouse": "sinks",
    "otlp": "sinks",
    "prometheus": "endpoint",
    "store": "store",
    "evidence": "nobody",
    "confine": "nobody",
    "cost": "nobody",  # the daemon only checks its bounds
    "alarms": "nobody",  # commands print them
    "web": "pipeline",  # for links in records; the pages are a process of their own
}
WAITS = (
    *(f"fleet.{name}" for name in Fleet.__struct_fields__),
    "capture.method",
    "capture.interfaces",
    "capture.sip_ports",
    "capture.media_ports",
    "capture.filter",
    "capture.tunnels",
    "capture.snap_length",
    "capture.threads",
    "capture.ring_mb",
    "capture.block_timeout_ms",
    "capture.promiscuous",
    "capture.lateness",
    "store.directory",
    "archive.url",  # a folder: the daemon has locked itself out of all other folders
    "confine.enabled",
    *(f"evidence.{name}" for name in EvidenceSettings.__struct_fields__),
)
# These wait where a confined daemon may not connect to their TCP port: it was none of its start's.
ADDRESSES = ("aws.proxy", "clickhouse.url", "otlp.url")


def taken(old: Config, new: Config, connects: frozenset[int] | None = None) -> tuple[Config, list[str]]:
    """`new` with the old values of settings that wait for a restart, and the names of changed ones.

    `connects`: the TCP ports that this process may connect to; None: all.
    """
    waiting = []
    sections: dict[str, msgspec.Struct] = {}
    for name in (*WAITS, *ADDRESSES):
        section, key = name.split(".")
        before, after = getattr(getattr(old, section), key), getattr(getattr(new, section), key)
        if name in ADDRESSES and (connects is None or ports([after], {}) <= connects):
            continue
        if before != after:
            waiting.append(name)
            kept = sections.get(section, getattr(new, section))
            sections[section] = msgspec.structs.replace(kept, **{key: before})
    return msgspec.structs.replace(new, **sections), waiting


def changed(old: Config, new: Config, by: str) -> bool:
    """Whether a section that `by` takes differs."""
    return any(getattr(old, name) != getattr(new, name) for name, taker in TAKEN.items() if taker == by)


def digest(config: Config) -> str:
    """16 hex digits that are equal on each host with this configuration: file and variables together."""
    return blake2b(msgspec.json.encode(config), digest_size=8).hexdigest()
