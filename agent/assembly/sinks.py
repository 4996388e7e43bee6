"""The sinks that a configuration switches on: one row each. To add a sink: one file and one row here."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from agent.config.settings import Config
from agent.errors import ConfigError
from agent.sinks.aws.sessions import shared_sessions
from agent.sinks.delivery import Delivery, Sink
from agent.store import Outbox

if TYPE_CHECKING:
    from agent.sinks.aws.clients import AwsRoute
    from agent.sinks.clickhouse import ClickHouse

Maker = Callable[[Config, str], Sink]


def deliveries(config: Config, outbox: Outbox, host: str = "") -> list[Delivery]:
    """A delivery for each sink that `config` switches on. `host`: this host's name in records.

    Clients are made here, so call it in the main thread. Raises SinkError.
    """
    with shared_sessions():
        sinks = [make(config, host) for make in _switched_on(config)]
    outbox.register({sink.name: sink.kinds for sink in sinks})
    return [
        Delivery(
            outbox,
            sink,
            host=host_of_streams(config),
            random=random.random,
            monotonic=time.monotonic,
            interval_s=config.cloudwatch.interval,
            newest_first=config.cloudwatch.newest_first,
        )
        for sink in sinks
    ]


def host_of_streams(config: Config) -> str:
    """This host's name in log streams and in the dimension `Host`."""
    return config.fleet.host or socket.gethostname()


def archive_folder(config: Config) -> Path | None:
    """The archive's folder, where the archive is one."""
    place = urlsplit(config.archive.url)
    return Path(place.path) if place.scheme == "file" else None


def _switched_on(config: Config) -> Iterator[Maker]:
    for is_on, make in _SINKS:
        if is_on(config):
            yield make


def _route(config: Config) -> AwsRoute:
    from agent.sinks.aws.clients import AwsRoute

    aws = config.aws
    return AwsRoute(
        role_arn=aws.role_arn,
        external_id=aws.external_id,
        session_name=host_of_streams(config),
        proxy=aws.proxy,
        fips=aws.fips,
        dual_stack=aws.dual_stack,
    )


def _group(config: Config) -> dict[str, Any]:
    """The parameters of CreateLogGroup that the operator set, beside the name."""
    logs = config.logs
    wanted = {
        "logGroupClass": logs.group_class if logs.group_class != "STANDARD" else "",
        "kmsKeyId": logs.kms_key,
        "tags": config.aws.tags,
        "deletionProtectionEnabled": logs.deletion_protection,
    }
    return {name: value for name, value in wanted.items() if value}


def _cloudwatch(config: Config, host: str) -> Sink:
    from agent.sinks.aws.clients import cloudwatch_client
    from agent.sinks.aws.cloudwatch import CloudWatchSink

    return CloudWatchSink(
        cloudwatch_client(config.cloudwatch.region, route=_route(config)),
        namespace=config.cloudwatch.namespace,
        dimension_sets=[(dimension,) for dimension in config.cloudwatch.dimensions],
    )


def _agent(config: Config, host: str) -> Sink:
    from agent.sinks.aws.clients import cloudwatch_client
    from agent.sinks.aws.cloudwatch import AgentSink

    client = cloudwatch_client(config.cloudwatch.region, route=_route(config))
    return AgentSink(client, host=host_of_streams(config))


def _logs(kind: Literal["media", "sip", "calls"]) -> Maker:
    def make(config: Config, host: str) -> Sink:
        from agent.sinks.aws.clients import logs_client
        from agent.sinks.aws.logs import LogsSink

        logs = config.logs
        return LogsSink(
            logs_client(config.cloudwatch.region, route=_route(config)),
            kind,
            host=host_of_streams(config),
            group_prefix=getattr(logs, f"{kind}_group_prefix"),
            stream=logs.stream,
            create=logs.create_groups,
            retention_days=logs.retention_days,
            timeline=logs.timeline,
            group=_group(config),
        )

    return make


def _archive(config: Config, host: str) -> Sink:
    from agent.sinks.archive import ArchiveSink, Folder

    settings, folder = config.archive, archive_folder(config)
    if folder is not None:
        return ArchiveSink(Folder(folder), host=host, kinds=settings.kinds)
    from agent.sinks.aws.clients import s3_client
    from agent.sinks.aws.s3 import Bucket

    place = urlsplit(settings.url)
    client = s3_client(config.cloudwatch.region, route=_route(config))
    shelf = Bucket(client, place.netloc, kms_key=settings.kms_key)
    return ArchiveSink(shelf, host=host, prefix=place.path, kinds=settings.kinds)


def clickhouse_server(config: Config) -> ClickHouse:
    """The server of the settings. Raises SinkError, ConfigError."""
    from agent.sinks.clickhouse import ClickHouse

    settings = config.clickhouse
    password = _secret("clickhouse.password_file", settings.password_file).strip()
    return ClickHouse(settings.url, settings.database, settings.user, password)


def _secret(setting: str, path: str) -> str:
    """The text of a file that a setting names, "" where it names none. Raises ConfigError."""
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error.strerror}") from None


def _clickhouse(config: Config, host: str) -> Sink:
    from agent.sinks.clickhouse import ClickHouseSink

    return ClickHouseSink(clickhouse_server(config), host=host, kinds=config.clickhouse.kinds)


def _otlp(config: Config, host: str) -> Sink:
    from agent.sinks.aws.sigv4 import region_of, signer
    from agent.sinks.otlp import OtlpSink, headers_in

    settings = config.otlp
    headers = headers_in(_secret("otlp.headers_file", settings.headers_file))
    region = region_of(settings.url)
    sign = signer("monitoring", region) if region else None
    return OtlpSink(settings.url, host=host, headers=headers, sign=sign)


# The setting that switches it on, and the function that makes it.
_SINKS: tuple[tuple[Callable[[Config], bool], Maker], ...] = (
    (lambda config: config.cloudwatch.enabled, _cloudwatch),
    (lambda config: config.cloudwatch.enabled and config.cloudwatch.agent_metrics, _agent),
    (lambda config: config.logs.enabled, _logs("media")),
    (lambda config: config.logs.enabled, _logs("sip")),
    (lambda config: config.logs.enabled and config.logs.calls, _logs("calls")),
    (lambda config: bool(config.archive.url), _archive),
    (lambda config: bool(config.clickhouse.url), _clickhouse),
    (lambda config: bool(config.otlp.url), _otlp),
)
