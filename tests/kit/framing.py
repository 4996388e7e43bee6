"""One property of all framings: how a stream is cut into pieces changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from agent.transport.messages import Found, Framing


def whole(make: Callable[[], Framing], data: bytes) -> list[Found]:
    """Everything found in `data` given at once."""
    return make().feed(data)


def in_pieces(make: Callable[[], Framing], data: bytes, cuts: Iterable[int]) -> list[Found]:
    """Everything found in `data` cut at these places."""
    framing = make()
    places = sorted({0, len(data), *(cut for cut in cuts if 0 < cut < len(data))})
    return [found for low, high in pairwise(places) for found in framing.feed(data[low:high])]


def by_bytes(make: Callable[[], Framing], data: bytes) -> list[Found]:
    """Everything found in `data` given byte by byte."""
    return in_pieces(make, data, range(len(data)))


def message(number: int, body: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """An INFO of a dialog."""
    lines = (
        b"INFO sip:b@example.com SIP/2.0",
        b"Via: SIP/2.0/TCP a;branch=z9hG4bK%d" % number,
        b"From: <sip:a@a>;tag=1",
        b"To: <sip:b@b>;tag=2",
        b"Call-ID: c%d" % number,
        b"CSeq: %d INFO" % number,
        b"Content-Length: %d" % len(body),
        b"",
        body,
    )
    return end.join(lines)
