"""The boto3 clients, made once and in the main thread (making a client is not thread-safe; using one is).

Credentials, region and endpoints come from where every AWS tool takes them: environment, files, instance
role, `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_CLOUDWATCH` / `_CLOUDWATCH_LOGS`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.errors import SinkError

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_logs import CloudWatchLogsClient

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10


def cloudwatch_client(region: str | None = None, endpoint_url: str | None = None) -> CloudWatchClient:
    """Raises: SinkError (no region, no such profile, an endpoint that is no URL)."""
    import boto3

    with _explained():
        return boto3.client("cloudwatch", region_name=region, endpoint_url=endpoint_url, config=_config())


def logs_client(region: str | None = None, endpoint_url: str | None = None) -> CloudWatchLogsClient:
    """Raises: SinkError (no region, no such profile, an endpoint that is no URL)."""
    import boto3

    with _explained():
        return boto3.client("logs", region_name=region, endpoint_url=endpoint_url, config=_config())


def _config() -> Config:
    from botocore.config import Config

    # One attempt: the store is the only retry. botocore's own would store a request twice unseen.
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 1},
        tcp_keepalive=True,
    )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, NoRegionError

    try:
        yield
    except NoRegionError:
        raise SinkError("no AWS region: set `region` in the AWS settings or AWS_DEFAULT_REGION") from None
    except (BotoCoreError, ValueError) as error:
        raise SinkError(f"cannot set up AWS: {error}; check profile and endpoint settings") from None
