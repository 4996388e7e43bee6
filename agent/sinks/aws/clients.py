"""The boto3 clients, made once and in the main thread (making a client is not thread-safe; using one is).

Credentials, region and endpoints come from where every AWS tool takes them: environment, files, instance
role, `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_CLOUDWATCH` / `_CLOUDWATCH_LOGS`.
"""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from agent.errors import SinkError

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10  # between two pieces of an answer, and of all that is sent
ANSWER_S = 30.0  # for an answer, head and body, however its octets drip


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


def s3_client(region: str | None = None, endpoint_url: str | None = None) -> S3Client:
    """Raises: SinkError (no such profile, an endpoint that is no URL)."""
    import boto3

    with _explained():
        return boto3.client("s3", region_name=region, endpoint_url=endpoint_url, config=_config())


class _AnswerReader(io.RawIOBase):
    """A connection's octets until a deadline. Raises TimeoutError, as the socket's own time-out does."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        self._timeout = connection.gettimeout() or READ_TIMEOUT_S
        self._deadline = time.monotonic() + ANSWER_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the answer took longer than {ANSWER_S:g} s")
        self._connection.settimeout(min(left, self._timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class TimedResponse(HTTPResponse):
    """An answer that must be whole within `ANSWER_S`: each octet restarts every other time-out."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_AnswerReader(self.fp.detach(), sock))


def _config() -> Config:
    from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
    from botocore.config import Config

    # Of every request of this process: those for credentials (IMDS, STS) have no other deadline either.
    for connection in (AWSHTTPConnection, AWSHTTPSConnection):
        connection.response_class = TimedResponse  # type: ignore[assignment]
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
