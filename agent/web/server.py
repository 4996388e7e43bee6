"""The daemon's HTTP server: `/metrics`, `/healthz`, `/readyz`. Its own thread, this host only by default.

One thread serves all connections, each a request and its answer. A connection has `REQUEST_S` in all, and
there are at most `MAX_CONNECTIONS`: a new one takes the place of the oldest. So slow clients, however many,
do not delay a client that sends its request at once.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from agent.errors import SinkError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 9642
MAX_CONNECTIONS = 128
REQUEST_S = 5.0  # from the connection to the last octet of the answer
MAX_HEAD = 8_192
_BACKLOG = 1_024
STARTED_S = time.time()  # of the process: a new endpoint does not start it anew
_TEXT = "text/plain; charset=utf-8"
# The result of a health check: whether all is well, and a line with the reason if not.
Check = Callable[[], tuple[bool, str]]
Answer = tuple[int, str, bytes]  # status, content type, body


def _well() -> tuple[bool, str]:
    return True, "ok"


def _silent(text: str) -> None:
    pass


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    until: float  # monotonic seconds
    head: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class HttpEndpoint:
    """`say` writes one line where an answer could not be made.

    Raises: SinkError (the address is taken or is not this host's).
    """

    def __init__(
        self,
        collector: Collector,
        *,
        address: str = DEFAULT_ADDRESS,
        port: int = DEFAULT_PORT,
        healthy: Check = _well,
        ready: Check = _well,
        say: Callable[[str], object] = _silent,
    ) -> None:
        from prometheus_client import CollectorRegistry, Gauge

        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        start = Gauge("process_start_time_seconds", "Start of the process, UTC.", registry=self._registry)
        start.set(STARTED_S)
        self._checks = {"/healthz": healthy, "/readyz": ready}
        self._say = say
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise SinkError(
                f"cannot serve /metrics on {address} port {port}: {error.strerror}; set another one"
            ) from None
        self.port = int(self._listener.getsockname()[1])
        self._listener.setblocking(False)
        self._woken, self._wake = os.pipe()  # a confined daemon may make one, but no pair of sockets
        self._connections: dict[_Connection, None] = {}  # the oldest first
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        os.close(self._wake)  # which the loop reads as its end
        if self._thread.is_alive():
            self._thread.join()
        for connection in list(self._connections):
            self._close(connection)
        self._selector.close()
        self._listener.close()
        os.close(self._woken)

    def _serve(self) -> None:
        while True:
            oldest = next(iter(self._connections), None)
            wait = None if oldest is None else max(0.0, oldest.until - time.monotonic())
            for key, _ in self._selector.select(wait):
                if key.fileobj == self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._connections:
                    self._step(key.data)
            now = time.monotonic()
            while (oldest := next(iter(self._connections), None)) is not None and oldest.until <= now:
                self._close(oldest)

    def _accept(self) -> None:
        """Takes one connection in, in place of the oldest one where there is no room."""
        if len(self._connections) >= MAX_CONNECTIONS:
            self._close(next(iter(self._connections)))
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # gone again, or no descriptor is left: that of the oldest is next
            if self._connections:
                self._close(next(iter(self._connections)))
            return
        accepted.setblocking(False)
        connection = _Connection(accepted, time.monotonic() + REQUEST_S)
        self._connections[connection] = None
        self._selector.register(accepted, selectors.EVENT_READ, connection)
        self._step(connection)  # the request has mostly arrived already

    def _close(self, connection: _Connection) -> None:
        del self._connections[connection]
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _step(self, connection: _Connection) -> None:
        """Reads or writes the next piece."""
        try:
            if connection.answer is None:
                received = connection.socket.recv(MAX_HEAD)
                connection.head += received
                if not received:
                    self._close(connection)
                    return
                if not _is_whole(connection.head):
                    return
                connection.answer = memoryview(self._answer(bytes(connection.head)))
                self._selector.modify(connection.socket, selectors.EVENT_WRITE, connection)
            connection.answer = connection.answer[connection.socket.send(connection.answer) :]
            if not connection.answer:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_WR)
                self._close(connection)
        except BlockingIOError:
            return
        except OSError:  # the client closed it
            self._close(connection)

    # Answers

    def _answer(self, request: bytes) -> bytes:
        """The whole answer to a request's head."""
        method, path, accept = _read(request)
        if len(request) > MAX_HEAD:
            status, content_type, body = 431, _TEXT, b"too large\n"
        elif method not in ("GET", "HEAD"):
            status, content_type, body = (501 if method else 400), _TEXT, b"GET or HEAD\n"
        else:
            try:
                status, content_type, body = self._content(path, accept)
            # a collector may raise any error: one line, and the next scrape may work
            except Exception as error:
                self._say(f"{path} could not be answered: {type(error).__name__}: {error}")
                status, content_type, body = 500, _TEXT, b"see the log\n"
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: sbcwatch\r\nConnection: close\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + (b"" if method == "HEAD" else body)

    def _content(self, path: str, accept: str) -> Answer:
        if path == "/metrics":
            from prometheus_client.exposition import choose_encoder

            try:
                encoder, content_type = choose_encoder(accept)
            except (TypeError, ValueError):  # a version that is none
                encoder, content_type = choose_encoder("")
            return 200, content_type, encoder(self._registry)
        if path in self._checks:
            well, text = self._checks[path]()
            return (200 if well else 503), _TEXT, f"{text}\n".encode()
        return 404, _TEXT, b"/metrics /healthz /readyz\n"


def _is_whole(head: bytearray) -> bool:
    return b"\r\n\r\n" in head or b"\n\n" in head or len(head) > MAX_HEAD


def _read(request: bytes) -> tuple[str, str, str]:
    """(method, path, Accept) of a request's head; "" for a missing part."""
    first, *lines = request.decode("latin-1").replace("\r\n", "\n").split("\n")
    words = first.split()
    if len(words) not in (2, 3):
        return "", "", ""
    named = (line.partition(":") for line in lines)
    accept = next((value.strip() for name, _, value in named if name.lower() == "accept"), "")
    # The answer's head says the version that it names: nothing but a line of text may come back.
    return words[0], words[1].partition("?")[0], accept if accept.isprintable() else ""
