"""The daemon's HTTP face: `/metrics`, `/healthz`, `/readyz`. Its own thread, this host only by default."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from agent.errors import SinkError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 9642
_IDLE_S = 10.0  # a client that says nothing holds a thread no longer
# What a health check returns: whether all is well, and a line to say why not.
Check = Callable[[], tuple[bool, str]]


def _well() -> tuple[bool, str]:
    return True, "ok"


class HttpEndpoint:
    """Raises: SinkError (the address is taken or is not this host's)."""

    def __init__(
        self,
        collector: Collector,
        *,
        address: str = DEFAULT_ADDRESS,
        port: int = DEFAULT_PORT,
        healthy: Check = _well,
        ready: Check = _well,
    ) -> None:
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        handler = type("Handler", (_Handler,), {"registry": registry, "checks": {"/healthz": healthy}})
        handler.checks["/readyz"] = ready  # type: ignore[attr-defined]
        try:
            self._server = (_Server6 if ":" in address else _Server)((address, port), handler)
        except OSError as error:
            raise SinkError(
                f"cannot serve /metrics on {address} port {port}: {error.strerror}; set another one"
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    registry: Collector
    checks: dict[str, Check]
    timeout = _IDLE_S
    disable_nagle_algorithm = True  # head and body are two writes
    server_version = "sbcwatch"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path in self.checks:
            well, text = self.checks[path]()
            self._reply(200 if well else 503, "text/plain; charset=utf-8", f"{text}\n".encode())
        else:
            self._reply(404, "text/plain; charset=utf-8", b"/metrics /healthz /readyz\n")

    do_HEAD = do_GET

    def _metrics(self) -> None:
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._reply(200, content_type, encoder(self.registry))

    def _reply(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no news."""
