"""`/metrics` and the health pages through the life of a daemon: a port in use is tried again.

Capture waits for no port. Until it is free a line in the log says so, and `http_bind_failures` counts the
tries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.config.settings import PrometheusSettings
from agent.errors import SinkError

RETRY_S = 2.0


class Server(Protocol):
    port: int

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Endpoint:
    """`make` binds a server for settings, or raises SinkError; `say` writes one line."""

    def __init__(
        self,
        make: Callable[[PrometheusSettings], Server],
        say: Callable[[str], object],
        monotonic: Callable[[], float],
    ) -> None:
        self._make = make
        self._say = say
        self._monotonic = monotonic
        self._settings: PrometheusSettings | None = None
        self._server: Server | None = None
        self._is_started = False
        self._again_at = 0.0
        self.failures = 0

    @property
    def port(self) -> int | None:
        """The served port, None while none is."""
        return self._server.port if self._server is not None else None

    def bind(self, settings: PrometheusSettings) -> None:
        """Binds the port of `settings`, or none where they switch it off. Ends the server before."""
        if self._server is not None:
            self._server.stop()
        self._server = None
        self._settings = settings if settings.enabled else None
        self._try()

    def start(self) -> None:
        """Serves from now on: threads may be started."""
        self._is_started = True
        if self._server is not None:
            self._server.start()

    def look(self) -> None:
        """Tries again when it is time. Costs nothing while the port is bound."""
        if self._settings is not None and self._server is None and self._monotonic() >= self._again_at:
            self._try()

    def stop(self) -> None:
        self._settings = None
        if self._server is not None:
            self._server.stop()

    def _try(self) -> None:
        if self._settings is None:
            return
        try:
            self._server = self._make(self._settings)
        except SinkError as error:
            self.failures += 1
            self._again_at = self._monotonic() + RETRY_S
            self._say(f"{error}. Capture goes on; the next try is in {RETRY_S:g} s")
            return
        if self.failures:
            self._say(f"/metrics is served on port {self._server.port} now")
        if self._is_started:
            self._server.start()
