"""Signs requests that no boto3 client sends: OTLP to CloudWatch's own endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.errors import SinkError

_METRICS = re.compile(
    r"https://monitoring(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.[a-z.]+|api\.aws)(?::443)?(?:/|$)"
)


def region_of(url: str) -> str:
    """The region of CloudWatch's own OTLP endpoint, whose requests are signed; "" of any other URL."""
    found = _METRICS.match(url)
    return found[1] if found else ""


def signer(service: str, region: str) -> Callable[[str, bytes, dict[str, str]], None]:
    """A function that adds the signature of `service` (SigV4) to the headers of a POST, with boto3's
    credentials.

    Call it in the main thread. Raises SinkError where there are no credentials; the function raises
    botocore's errors where they cannot be renewed.
    """
    import boto3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError

    try:
        credentials = boto3.Session().get_credentials()
    except BotoCoreError as error:
        raise SinkError(f"cannot set up AWS: {error}") from None
    if credentials is None:
        raise SinkError("no AWS credentials to sign OTLP with")

    def sign(url: str, body: bytes, headers: dict[str, str]) -> None:
        request = AWSRequest(method="POST", url=url, data=body, headers=headers)
        SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
        headers.update(request.headers.items())

    return sign
