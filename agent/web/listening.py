"""The server of the pages: uvicorn on a socket of ours, with bounds on connections and waits."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.errors import SinkError
from agent.web.access import Access
from agent.web.app import Site

MAX_CONNECTIONS = 64
REQUEST_S = 10.0  # for a client to send its request, or to read some of the answer
IDLE_S = 10  # between two requests
STOP_S = 3  # for requests under way
MAX_HEAD = 16_384


def server_of(site: Site, granted: Access) -> tuple[uvicorn.Server, socket.socket]:
    """A server, and the socket for its `run`; the port that was taken stands in `granted`.

    Raises: SinkError (the address is taken or is not this host's).
    """
    family = socket.AF_INET6 if ":" in granted.address else socket.AF_INET
    try:
        listener = socket.create_server((granted.address, granted.port), family=family, backlog=128)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SinkError(
            f"cannot listen on {granted.address} port {granted.port}: {why}: set [web] listen"
        ) from None
    # Connections inherit it: without it the body waits 40 ms for the acknowledgement of the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    granted.port = listener.getsockname()[1]
    config = uvicorn.Config(
        site.app(),
        http=_Impatient,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="error",  # requests of strangers are not worth a log line
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the source is the connecting address: anybody can write a header
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=granted.certificate or None,
        ssl_keyfile=granted.key or None,
    )
    return uvicorn.Server(config), listener


class _Impatient(H11Protocol):
    """Closes a connection that waits for its client too long: uvicorn alone waits for ever, and it takes 64.

    until its request is whole, body too    `REQUEST_S` from the connection, or from the answer before
    while we work on the answer             as long as that takes
    while the answer is on its way          as long as some of it leaves in each `REQUEST_S`
    """

    _timer: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def on_response_complete(self) -> None:
        self._watch()  # before `super`, which may begin with the next request at once
        super().on_response_complete()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._unsent = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(REQUEST_S, self._look)

    def _look(self) -> None:
        cycle: Any = self.cycle  # None until the first request's head is whole
        is_whole = cycle is not None and not cycle.response_complete and self.conn.their_state is h11.DONE
        is_ours = is_whole and not self.flow.write_paused
        if is_ours or self.transport.get_write_buffer_size() < self._unsent:
            self._watch()
        else:
            self.transport.abort()
