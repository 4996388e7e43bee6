"""A request to AWS ends, whatever the other end does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.loaders import JSONFileLoader

from agent.sinks.aws import clients
from agent.sinks.aws.sessions import shared_sessions
from tests.kit.strict_aws import StrictAws

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 100000\r\n"


@contextmanager
def dripping(first: bytes, then: bytes) -> Iterator[str]:
    """A server on loopback that answers `first` at once, then `then`, an octet at a time, for ever."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(first)
            while not over.wait(0.05):
                try:
                    connection.sendall(then)
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("first", "then"),
    [(b"", b"H"), (HEAD, b"x"), (HEAD + b"\r\n", b"x")],
    ids=["status line", "headers", "body"],
)
def test_answer_that_drips_ends_at_the_deadline(
    first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clients, "ANSWER_S", 0.4)
    with dripping(first, then) as url:
        client = clients.cloudwatch_client("eu-west-1", url)
        began = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            client.put_metric_data(Namespace="x", MetricData=[{"MetricName": "x", "Value": 1.0}])
        assert time.monotonic() - began < 5


def test_connection_serves_further_requests_after_one(
    aws: StrictAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients._config()
    client = aws.client("cloudwatch")
    for _ in range(3):
        client.put_metric_data(Namespace="x", MetricData=[{"MetricName": "x", "Value": 1.0}])


def test_route_is_the_clients_endpoints_proxy_and_role(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(name, value)
    far = clients.AwsRoute(proxy="http://192.0.2.1:3128", fips=True, dual_stack=True)
    for make, host in (
        (clients.cloudwatch_client, "monitoring-fips.us-east-1."),
        (clients.logs_client, "logs-fips.us-east-1."),
        (clients.s3_client, "s3-fips.dualstack.us-east-1."),
    ):
        client = make("us-east-1", route=far)
        assert client.meta.endpoint_url.startswith(f"https://{host}")
        assert vars(client.meta.config)["proxies"] == dict.fromkeys(
            ("http", "https"), "http://192.0.2.1:3128"
        )
    plain = clients.logs_client("us-east-1")
    assert plain.meta.endpoint_url == "https://logs.us-east-1.amazonaws.com"
    assert vars(plain.meta.config)["proxies"] is None


def test_route_with_a_role_sends_with_the_roles_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "own"), ("AWS_SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(name, value)
    moto = pytest.importorskip("moto", reason="moto is not installed")
    role = "arn:aws:iam::210987654321:role/sbcwatch"
    with moto.mock_aws():
        route = clients.AwsRoute(role_arn=role, external_id="customer-7", session_name="sbc 1")
        client = clients.logs_client("us-east-1", route=route)
        client.create_log_group(logGroupName="/x")
        (group,) = client.describe_log_groups()["logGroups"]
        assert ":210987654321:" in group["arn"]
        credentials = client._request_signer._credentials  # type: ignore[attr-defined]
        assert credentials.access_key != "own"
        assert credentials.method == "assume-role"


@pytest.mark.parametrize(
    ("setting", "variables", "region"),
    [
        ("", {"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ("", {"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ("", {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-1"),
        ("eu-west-3", {"AWS_REGION": "eu-west-1"}, "eu-west-3"),
    ],
)
def test_region_is_the_settings_then_the_variables(
    setting: str, variables: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for make in (clients.cloudwatch_client, clients.logs_client, clients.s3_client):
        assert make(setting).meta.region_name == region


def test_second_client_reads_no_table_that_the_first_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = JSONFileLoader.load_file

    def noted(self: JSONFileLoader, path: str) -> object:
        read.append(path)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", noted)
    with shared_sessions():
        for make in (clients.cloudwatch_client, clients.logs_client):
            make("us-east-1", "http://127.0.0.1:9")
    assert read
    assert len(read) == len(set(read))


def test_clients_share_a_session_by_region_and_route(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")

    def credentials(client: Any) -> object:
        return client._request_signer._credentials

    with shared_sessions():
        one, same = clients.logs_client("us-east-1"), clients.cloudwatch_client("us-east-1")
        other = clients.logs_client("us-east-2")
    later = clients.logs_client("us-east-1")
    assert credentials(one) is credentials(same)
    assert len({id(credentials(each)) for each in (one, other, later)}) == 3


def test_client_works_on_without_the_tables_of_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with StrictAws() as server:
        with shared_sessions():
            client = clients.logs_client("us-east-1", server.endpoint_url)
            assert client._loader._cache  # type: ignore[attr-defined]
        assert not client._loader._cache  # type: ignore[attr-defined]
        client.create_log_group(logGroupName="/x")
        assert [group["logGroupName"] for group in client.describe_log_groups()["logGroups"]] == ["/x"]
