"""The endpoint answers whoever asks at once, beside clients that never finish."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client.registry import Collector

from agent.web import server
from agent.web.server import HttpEndpoint

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Nothing(Collector):
    def collect(self) -> Iterator[object]:  # type: ignore[override]
        return iter(())


class Broken(Collector):
    def collect(self) -> Iterator[object]:  # type: ignore[override]
        raise RuntimeError("a table changed while it was read")


@pytest.fixture
def endpoint() -> Iterator[HttpEndpoint]:
    made = HttpEndpoint(Nothing(), port=0)
    made.start()
    yield made
    made.stop()


def connect(endpoint: HttpEndpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), timeout=5)


def asked(endpoint: HttpEndpoint, request: bytes = REQUEST) -> bytes:
    with connect(endpoint) as client:
        client.sendall(request)
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    return answer


def test_health_answers_beside_a_thousand_slow_clients(endpoint: HttpEndpoint) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_000:
        pytest.skip(f"no more than {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_000), hard))
    with contextlib.ExitStack() as slow:
        for number in range(1_000):
            client = slow.enter_context(connect(endpoint))
            client.sendall(REQUEST[: number % len(REQUEST)])
        for _ in range(20):
            began = time.monotonic()
            assert asked(endpoint).endswith(b"\r\n\r\nok\n")
            assert time.monotonic() - began < 2
        assert len(endpoint._connections) <= server.MAX_CONNECTIONS


@pytest.mark.parametrize("drip", [b"", b"G", b"GET / HTTP/1.1\r\nX: "])
def test_request_that_never_ends_is_cut_at_its_deadline(
    endpoint: HttpEndpoint, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    with connect(endpoint) as client:
        client.sendall(drip)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5:  # each octet restarts nothing
                client.sendall(b"x")
                client.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if client.recv(1) == b"":
                        break
        assert time.monotonic() - began < 4


def test_client_that_does_not_read_its_answer_is_cut_at_the_deadline(
    endpoint: HttpEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    monkeypatch.setattr(endpoint, "_content", lambda path, accept: (200, "text/plain", b"x" * (64 << 20)))
    with connect(endpoint) as client:
        client.sendall(REQUEST)
        end = time.monotonic() + 5
        while not endpoint._connections and time.monotonic() < end:
            time.sleep(0.01)
        while endpoint._connections and time.monotonic() < end:
            time.sleep(0.01)
        assert not endpoint._connections


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (REQUEST, b"200 OK"),
        (b"GET /healthz?x=y HTTP/1.0\n\n", b"200 OK"),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"501 Not Implemented"),
        (b"\x16\x03\x01\x00\n\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2_000, b"431 Request Header Fields Too Large"),
    ],
)
def test_answer_is_by_the_head(endpoint: HttpEndpoint, request_head: bytes, status: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        answer = asked(endpoint, request_head)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.endswith(b"\r\n\r\n") == request_head.startswith(b"HEAD")


@pytest.mark.parametrize(
    "accept",
    [
        b"application/openmetrics-text;version=9x",
        b"application/openmetrics-text;version=" + b"9" * 5_000,
        b"application/openmetrics-text;version=1.0.0.\rX-Mine: 1",
        b"text/plain;version=1.0.0;escaping=\x85X-Mine: 1",
        b";;,=,;version",
        bytes(range(14, 256)),
    ],
)
def test_accept_that_nobody_means_is_answered_and_not_repeated(endpoint: HttpEndpoint, accept: bytes) -> None:
    answer = asked(endpoint, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " + accept + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"X-Mine" not in answer
    assert b"process_start_time_seconds" in answer


def test_answer_that_cannot_be_made_is_one_line_and_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    made = HttpEndpoint(Nothing(), port=0, say=lines.append)
    made._registry = Broken()  # type: ignore[assignment]
    made.start()
    try:
        assert asked(made, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 500 ")
        assert asked(made).startswith(b"HTTP/1.1 200 ")
    finally:
        made.stop()
    assert lines == ["/metrics could not be answered: RuntimeError: a table changed while it was read"]
    assert capfd.readouterr() == ("", "")


def test_client_that_resets_leaves_no_trace(
    endpoint: HttpEndpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        client = connect(endpoint)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        client.close()
    assert asked(endpoint).endswith(b"ok\n")
    assert capfd.readouterr() == ("", "")
