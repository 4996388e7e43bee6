"""How much a month of records is: how many of each kind, and the bytes of one wherever it is kept.

Bytes in CloudWatch Logs are settings (`cost.media_bytes` ...). All are measured on the bundled captures;
tests hold them within a tenth.
"""

from __future__ import annotations

from agent.config.settings import Config
from agent.provision.scope import connectors

MINUTES = 730 * 60  # a month as AWS bills it: 730 hours
SECONDS = MINUTES * 60
DAYS = 730 / 24
EVENT_OVERHEAD = 26  # bytes that CloudWatch Logs adds to each event
TIMELINE_BYTES = 680  # of a media record of a whole minute with four directions, where the log has them
# Of one record in an object of the archive that holds 20, gzipped.
ARCHIVED_BYTES = {"media": 420, "calls": 153, "sip": 211, "metrics": 275}
# Of one record on ClickHouse's disk, one replica, merged.
CLICKHOUSE_BYTES = {"media": 115, "calls": 88, "sip": 95}


def records(config: Config) -> dict[str, float]:
    """Records of each kind that all hosts make in a month. Metrics: one a connector, host and minute."""
    cost = config.cost
    media, sip = shares(config)
    attempts = cost.expected_cps * SECONDS * cost.hosts
    return {
        "media": cost.expected_calls * MINUTES * cost.hosts * media,
        "calls": attempts,
        "sip": attempts * cost.messages_per_call * sip,
        "metrics": float(len(connectors(config)) * MINUTES * cost.hosts),
    }


def shares(config: Config) -> tuple[float, float]:
    """Shares of the traffic whose media records and SIP messages are kept: connectors count alike."""
    if not config.connectors:
        return 1.0, 1.0
    number = len(config.connectors)
    return (
        sum(connector.log_media for connector in config.connectors) / number,
        sum(connector.log_sip for connector in config.connectors) / number,
    )


def logged_bytes(config: Config) -> dict[str, float]:
    """Bytes that CloudWatch Logs bills for one record."""
    cost = config.cost
    timeline = TIMELINE_BYTES * config.logs.timeline
    sizes = {"media": cost.media_bytes + timeline, "calls": cost.calls_bytes, "sip": cost.sip_bytes}
    return {kind: size + EVENT_OVERHEAD for kind, size in sizes.items()}
