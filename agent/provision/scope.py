"""What a configuration publishes, and under which dimension: the unit that alarms and graphs are made for."""

from __future__ import annotations

from dataclasses import dataclass

from agent.config.settings import Config


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
    return [Scope(namespace, "Region", region) for region in regions(config)]


def carriers(config: Config) -> list[Scope]:
    """One a carrier, where they are published."""
    if "Carrier" not in config.cloudwatch.dimensions:
        return []
    return [Scope(config.cloudwatch.namespace, "Carrier", its.id) for its in config.carriers]


def groups(config: Config) -> dict[str, list[str]]:
    """Names of the log groups that the daemon writes to: `media`, `sip`, and `calls` where they are on."""
    logs = config.logs
    media = [c.id for c in config.connectors if c.log_media] if config.connectors else ["default"]
    sip = [c.id for c in config.connectors if c.log_sip] if config.connectors else ["default"]
    every = [c.id for c in config.connectors] or ["default"]
    return {
        "media": [logs.media_group_prefix + name for name in media],
        "sip": [logs.sip_group_prefix + name for name in sip],
        **({"calls": [logs.calls_group_prefix + name for name in every]} if logs.calls else {}),
    }
