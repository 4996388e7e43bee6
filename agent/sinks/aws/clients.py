"""The boto3 clients, made once and in the main thread (making a client is not thread-safe; using one is).

Credentials, region and endpoints come from the usual places of AWS tools: environment, files, instance role,
`AWS_REGION`; `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_CLOUDWATCH`, `_CLOUDWATCH_LOGS`, `_S3`; `AWS_CA_BUNDLE`
and `HTTPS_PROXY`. An `AwsRoute` holds the operator's own settings for them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from agent.errors import SinkError
from agent.sinks.aws.sessions import session_for

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10  # between two pieces of an answer, and between two pieces sent
ANSWER_S = 30.0  # for a whole answer, head and body, even if its octets drip


@dataclass(frozen=True, slots=True)
class AwsRoute:
    """The way to AWS: a role to assume, a proxy, kinds of endpoints. Empty: the environment's."""

    role_arn: str = ""
    external_id: str = ""
    session_name: str = "sbcwatch"
    proxy: str = ""
    fips: bool = False
    dual_stack: bool = False


DIRECT = AwsRoute()


def region_of(setting: str | None) -> str | None:
    """The region that a client is told. None: what boto3 itself finds, `AWS_DEFAULT_REGION` or a profile's.

    `AWS_REGION` comes before those, as in the AWS CLI and the other SDKs; boto3 alone does not read it.
    """
    return setting or os.environ.get("AWS_REGION") or None


def cloudwatch_client(
    region: str | None = None, endpoint_url: str | None = None, route: AwsRoute = DIRECT
) -> CloudWatchClient:
    """Raises: SinkError (no region, no such profile, an endpoint that is no URL)."""
    region = region_of(region)
    with _explained():
        return _session(region, route).client(
            "cloudwatch", region_name=region, endpoint_url=endpoint_url, config=_config(route)
        )


def logs_client(
    region: str | None = None, endpoint_url: str | None = None, route: AwsRoute = DIRECT
) -> CloudWatchLogsClient:
    """Raises: SinkError (no region, no such profile, an endpoint that is no URL)."""
    region = region_of(region)
    with _explained():
        return _session(region, route).client(
            "logs", region_name=region, endpoint_url=endpoint_url, config=_config(route)
        )


def s3_client(
    region: str | None = None, endpoint_url: str | None = None, route: AwsRoute = DIRECT
) -> S3Client:
    """Raises: SinkError (no such profile, an endpoint that is no URL)."""
    region = region_of(region)
    with _explained():
        return _session(region, route).client(
            "s3", region_name=region, endpoint_url=endpoint_url, config=_config(route)
        )


def _session(region: str | None, route: AwsRoute) -> Session:
    return session_for((region, route), partial(_new_session, region, route))


def _new_session(region: str | None, route: AwsRoute) -> Session:
    """A session by the environment; with a role, one whose credentials are that role's, renewed in time.

    The role is assumed at the first request, and its error is that request's.
    """
    import boto3

    if not route.role_arn:
        return boto3.Session(region_name=region)
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.session import get_session

    own, taken = get_session(), get_session()
    extra = {"RoleSessionName": re.sub(r"[^\w+=,.@-]", "-", route.session_name)[:64]}
    if route.external_id:
        extra["ExternalId"] = route.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(own.create_client, region_name=region, config=_config(route)),
        source_credentials=own.get_credentials(),
        role_arn=route.role_arn,
        extra_args=extra,
    )
    # Botocore has no public way to give a session credentials that renew themselves.
    taken._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )
    return boto3.Session(botocore_session=taken, region_name=region)


class _AnswerReader(io.RawIOBase):
    """Reads a connection's octets until a deadline.

    Raises TimeoutError, as the socket's own time-out does.
    """

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


def _config(route: AwsRoute = DIRECT) -> Config:
    from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
    from botocore.config import Config

    # For every request of this process: those for credentials (IMDS, STS) have no other deadline either.
    for connection in (AWSHTTPConnection, AWSHTTPSConnection):
        connection.response_class = TimedResponse  # type: ignore[assignment]
    # False would overrule the environment, so only True is set.
    wishes: dict[str, Any] = {}
    if route.fips:
        wishes["use_fips_endpoint"] = True
    if route.dual_stack:
        wishes["use_dualstack_endpoint"] = True
    if route.proxy:
        wishes["proxies"] = dict.fromkeys(("http", "https"), route.proxy)
    # One attempt: the store is the only retry. A retry of botocore's own could store a request twice unseen.
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 1},
        tcp_keepalive=True,
        **wishes,
    )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, NoRegionError

    try:
        yield
    except NoRegionError:
        raise SinkError("no AWS region: set `region` in the AWS settings or AWS_REGION") from None
    except (BotoCoreError, ValueError) as error:
        raise SinkError(f"cannot set up AWS: {error}; check profile and endpoint settings") from None
