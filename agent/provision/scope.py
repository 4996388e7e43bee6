"""The published dimensions of a configuration: alarms and graphs are made for each."""

from __future__ import annotations

from dataclasses import dataclass

from agent.config.settings import Config
from agent.summary.catalog import log_group


@dataclass(frozen=True, slots=True)
class Scope:
    """One dimension set of one namespace."""

    namespace: str
    dimension: str
    value: str

    @property
    def label(self) -> str:
        return self.value


def connectors(config: Config) -> list[tuple[str, str]]:
    """(id, region) of each connector; without any there is one, as the daemon has it."""
    return [(c.id, c.region) for c in config.connectors] or [("default", "local")]


def regions(config: Config) -> list[str]:
    return list(dict.fromkeys(region for _, region in connectors(config)))


def scopes(config: Config) -> list[Scope]:
    """One a connector, or one a region where connectors are not published."""
    namespace = config.cloudwatch.namespace
    if "VoiceConnectorId" in config.cloudwatch.dimensions:
        return [Scope(namespace, "VoiceConnectorId", name) for name, _ in connectors(config)]
    return region_scopes(config)


def region_scopes(config: Config) -> list[Scope]:
    """One a region, where regions are published."""
    if "Region" not in config.cloudwatch.dimensions:
        return []
    return [Scope(config.cloudwatch.namespace, "Region", region) for region in regions(config)]


def carriers(config: Config) -> list[Scope]:
    """One a carrier, where they are published."""
    if "Carrier" not in config.cloudwatch.dimensions:
        return []
    return [Scope(config.cloudwatch.namespace, "Carrier", carrier.id) for carrier in config.carriers]


def groups(config: Config) -> dict[str, list[str]]:
    """Names of the log groups that the daemon writes to: `media`, `sip`, and `calls` where switched on."""
    logs = config.logs
    media = [c.id for c in config.connectors if c.log_media] if config.connectors else ["default"]
    sip = [c.id for c in config.connectors if c.log_sip] if config.connectors else ["default"]
    every = [c.id for c in config.connectors] or ["default"]
    kinds = {"media": (logs.media_group_prefix, media), "sip": (logs.sip_group_prefix, sip)}
    if logs.calls:
        kinds["calls"] = (logs.calls_group_prefix, every)
    return {
        kind: list(dict.fromkeys(log_group(prefix, name) for name in names))
        for kind, (prefix, names) in kinds.items()
    }


def prefixes(config: Config) -> dict[str, str]:
    """The longest common prefix of all groups of a kind; a kind without any group has none.

    With one connector it is that group's whole name.
    """
    return {kind: _beginning(names) for kind, names in groups(config).items() if names}


def _beginning(names: list[str]) -> str:
    """The common prefix, letter by letter: no two differ earlier than the least and the greatest."""
    least, greatest = min(names), max(names)
    at = next((n for n, pair in enumerate(zip(least, greatest, strict=False)) if pair[0] != pair[1]), None)
    return least[:at]


# The prefix of a region's name, where its partition is not `aws`.
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "eusc-": "aws-eusc",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
}


def home(config: Config) -> str:
    """The region of the sinks: the setting, else the first of a connector; "" where none is set."""
    known = [config.cloudwatch.region, *(c.region for c in config.connectors if c.region != "local")]
    return next(filter(None, known), "")


def partition(config: Config) -> str:
    """The partition of that region, as an ARN has it."""
    region = home(config)
    return next((name for begin, name in _PARTITIONS.items() if region.startswith(begin)), "aws")
