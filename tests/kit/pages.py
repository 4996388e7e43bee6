"""The pages of a store that a bundled capture made: a site in this process, and requests to it without a
network.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from starlette.types import ASGIApp, Message

from agent.cli import main
from agent.summary.redaction import Redaction
from agent.web.access import Access
from agent.web.app import Site
from tests.kit.replayed import PCAPS

VC = ("--vc", "10.10.0.1", "--vc", "10.20.0.1", "--customer", "10.10.0.0/24")
LOSS = ("loss-vc2cust-customer.pcap", "loss-vc2cust-remote.pcap")


class Answer(msgspec.Struct):
    """Status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def stored(folder: Path, *captures: str, options: tuple[str, ...] = VC) -> Path:
    """A store in `folder` with what bundled captures show."""
    with contextlib.redirect_stdout(io.StringIO()):
        paths = [str(PCAPS / name) for name in captures or LOSS]
        assert main(["replay", *paths, *options, "--store", str(folder)]) == 0
    return folder


def site_of(folder: Path, access: Access | None = None, **more: Any) -> Site:
    """The pages of the store in a folder, for this host alone unless told otherwise."""
    granted = access or Access(address="127.0.0.1", port=9643)
    return Site(folder / "sbcwatch.sqlite", granted, Redaction(), **more)


def ask(
    app: ASGIApp,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    peer: str = "127.0.0.1",
) -> Answer:
    """One request and its whole answer."""
    parts = urlsplit(target)
    sent = {"host": "localhost:9643", "accept": "text/html"} | (headers or {})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": quote(parts.path).encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": (peer, 40_000),
        "server": ("127.0.0.1", 9643),
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    async def answer() -> None:
        await app(scope, receive, send)

    asyncio.run(answer())
    start = next(message for message in messages if message["type"] == "http.response.start")
    whole = b"".join(message.get("body", b"") for message in messages)
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, whole)
