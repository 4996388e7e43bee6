"""Chooses the framing of a TCP stream by its first bytes: one row of `OPENINGS` a transport.

A stream that matches no row is read as SIP, because a capture may begin in mid-stream. A header of the PROXY
protocol (versions 1 and 2) is skipped first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from agent.model.unseen import Cause
from agent.transport.messages import Found, Framing
from agent.transport.sip_framing import SipFraming
from agent.transport.websocket import WebSocketFraming, begins_frame
from agent.wire.hep import HEADER, MAGIC

PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_V2_HEADER = 16  # signature, version and command, family, length
PROXY_V1_MAX = 107  # the longest line of version 1 with its CRLF

_TLS_RECORD = re.compile(rb"[\x14-\x18]\x03[\x00-\x04]")
TLS_HEADER = 5
TLS_APPLICATION = 23
TLS_RECORD_MAX = (1 << 14) + 2048


class TlsFraming:
    """`Framing` of TLS records (RFC 8446 5.1). A record of application data counts as unread SIP."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0
        self._is_lost = False
        self.steps = 0

    @property
    def held(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Found]:
        found: list[Found] = []
        buffer = self._buffer
        buffer += data
        while buffer:
            self.steps += 1
            count = min(self._skip, len(buffer))
            del buffer[:count]
            self._skip -= count
            if self._is_lost and not self._resync():
                break
            if len(buffer) < TLS_HEADER:
                break
            length = buffer[3] << 8 | buffer[4]
            if not _TLS_RECORD.match(buffer) or length > TLS_RECORD_MAX:
                self._is_lost = True
                del buffer[:1]
                continue
            if buffer[0] == TLS_APPLICATION:
                found.append(Found(b"", Cause.TLS, is_sip=False))
            self._skip = TLS_HEADER + length
        return found

    def _resync(self) -> bool:
        """Skips bytes that begin no record."""
        record = _TLS_RECORD.search(self._buffer)
        self._is_lost = record is None
        del self._buffer[: record.start() if record else max(len(self._buffer) - 2, 0)]
        return record is not None

    def gap(self, missing: int, cause: Cause) -> list[Found]:
        self._buffer.clear()
        self._is_lost = not 0 < missing <= self._skip
        self._skip = 0 if self._is_lost else self._skip - missing
        if self._is_lost and cause is Cause.SNAP_LENGTH:  # a record's header was cut
            return [Found(b"", cause, is_sip=False)]
        return []


class HepFraming:
    """`Framing` of HEP3 over TCP: each packet says its own length."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.steps = 0

    @property
    def held(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Found]:
        found: list[Found] = []
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER:
            self.steps += 1
            length = buffer[4] << 8 | buffer[5]
            if not buffer.startswith(MAGIC) or length < HEADER:
                at = buffer.find(MAGIC, 1)
                del buffer[: at if at > 0 else len(buffer) - len(MAGIC) + 1]
                continue
            if len(buffer) < length:
                break
            found.append(Found(bytes(buffer[:length])))
            del buffer[:length]
        return found

    def gap(self, missing: int, cause: Cause) -> list[Found]:
        self._buffer.clear()
        return [Found(b"", cause)]


class Opening(NamedTuple):
    """One row: streams that begin with one of `prefixes` are read by `framing`."""

    prefixes: tuple[bytes, ...]
    framing: Callable[[], Framing]


OPENINGS = (
    Opening(tuple(bytes((kind, 3, minor)) for kind in (22, 23) for minor in range(5)), TlsFraming),
    Opening((b"GET ", b"HTTP/1."), WebSocketFraming),
    Opening((MAGIC,), HepFraming),
)


class OpeningFraming:
    """`Framing` of a stream from its first byte: skips a PROXY header, finds the row, passes the bytes on."""

    def __init__(self, lost: bool = True) -> None:
        self._lost = lost
        self._start = bytearray()
        self._skip = 0  # of a PROXY header
        self._may_be_proxied = True
        self.inner: Framing | None = None

    @property
    def steps(self) -> int:
        return 0 if self.inner is None else self.inner.steps

    @property
    def held(self) -> int:
        return len(self._start) if self.inner is None else self.inner.held

    def feed(self, data: bytes) -> list[Found]:
        if self.inner is not None:
            return self.inner.feed(data)
        start = self._start
        start += data
        count = min(self._skip, len(start))
        del start[:count]
        self._skip -= count
        if self._skip or not start:
            return []
        if self._may_be_proxied:
            size = _proxy_header(start)
            if size is None:
                return []
            self._may_be_proxied = False
            if size:
                self._skip = size
                self._lost = False  # a connection begins with it
                return self.feed(b"")
        framing = self._row()
        if framing is None:
            return []
        self.inner = framing
        return framing.feed(bytes(start))

    def _row(self) -> Framing | None:
        """The framing for the first bytes; None: more bytes are needed."""
        start = self._start
        for opening in OPENINGS:
            for prefix in opening.prefixes:
                if start.startswith(prefix):
                    return opening.framing()
                if prefix.startswith(start):
                    return None
        if self._lost:
            in_frames = begins_frame(start)
            if in_frames is None:
                return None
            if in_frames:
                return WebSocketFraming(upgraded=True)
        return SipFraming(self._lost)

    def gap(self, missing: int, cause: Cause) -> list[Found]:
        if self.inner is not None:
            return self.inner.gap(missing, cause)
        if 0 < missing <= self._skip:
            self._skip -= missing
            return []
        framing = SipFraming(self._lost)
        found = framing.feed(bytes(self._start)) + framing.gap(missing, cause)
        self._start.clear()
        self._skip, self._lost, self._may_be_proxied = 0, True, False
        return found


def _proxy_header(start: bytearray) -> int | None:
    """The size of the PROXY protocol header at the start, 0: there is none. None: more bytes are needed."""
    if start.startswith(PROXY_V2):
        if len(start) < PROXY_V2_HEADER:
            return None
        return PROXY_V2_HEADER + int.from_bytes(start[14:16], "big")
    if start.startswith(b"PROXY "):
        end = start.find(b"\r\n", 0, PROXY_V1_MAX)
        if end < 0:
            return None if len(start) < PROXY_V1_MAX else 0
        return end + 2
    if PROXY_V2.startswith(start) or b"PROXY ".startswith(start):
        return None
    return 0
