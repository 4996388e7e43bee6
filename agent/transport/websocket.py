"""SIP over WebSocket (RFC 7118): a handshake over HTTP, then a SIP message a WebSocket message.

Each direction is read by itself. A capture that begins after the handshake is read from the first frame whose
payload is SIP. Compressed messages (permessage-deflate, RFC 7692) are not read and count as unread.
"""

from __future__ import annotations

import re

from agent.model.unseen import Cause
from agent.transport.messages import MESSAGE_MAX, Found
from agent.transport.sip_framing import SKIP_MAX
from agent.wire.sip import looks_like_sip
from agent.wire.sip.message_cy import BLANK_LINE
from agent.wire.websocket import BINARY, HEADER_MAX, TEXT, FrameHeader, frame_header, unmasked

HEAD_MAX = 16 << 10  # bytes of an HTTP head
PEEK = 16  # bytes of a payload that show whether it is SIP in mid-stream
MISSES_MAX = 1024  # places that look like a frame and are none, before a lost stream is given up

_UPGRADE = re.compile(rb"^upgrade[ \t]*:[^\r\n]*websocket", re.IGNORECASE | re.MULTILINE)
_FOR_SIP = re.compile(rb"^sec-websocket-protocol[ \t]*:[^\r\n]*\bsip\b", re.IGNORECASE | re.MULTILINE)
_DATA_FRAME = re.compile(rb"[\x01\x02\x81\x82]")
_BEGINS_SIP = re.compile(rb"SIP/[0-9]\.|[A-Z]{3,16} (?:sips?|tel|urn):", re.IGNORECASE)


class WebSocketFraming:
    """`Framing` of one direction. `upgraded`: the handshake is over, frames may begin anywhere."""

    def __init__(self, upgraded: bool = False) -> None:
        self._buffer = bytearray()
        self._in_http = not upgraded
        self._is_lost = upgraded  # the start of a frame is a guess
        self._is_sip = False  # the handshake or a message showed SIP
        self._header: FrameHeader | None = None
        self._skip = 0  # payload bytes still to skip
        self._parts = bytearray()  # of a fragmented message
        self._unread: Cause | None = None  # why the current message is not read
        self._searched = 0
        self._misses = 0  # since the last frame; the attack: a hole, then bytes that each might begin a frame
        self.steps = 0
        self.dropped = False

    @property
    def held(self) -> int:
        return len(self._buffer) + len(self._parts)

    def feed(self, data: bytes) -> list[Found]:
        found: list[Found] = []
        if self.dropped:
            return found
        self._buffer += data
        while self._step(found):
            pass
        return found

    def gap(self, missing: int, cause: Cause) -> list[Found]:
        if self._in_http or self.dropped:
            self._buffer.clear()
            self._searched = 0
            return []
        header = self._header
        left = self._skip or (header.length - len(self._buffer) if header else 0)
        if header is not None and 0 < missing <= left:  # within a frame: the place is not lost
            found: list[Found] = []
            start = bytes(self._parts) + unmasked(bytes(self._buffer), header.mask)
            if not self._skip and not header.is_control and looks_like_sip(start):
                self._is_sip = True
                found.append(Found(start, cause))
            self._unread = self._unread or cause
            self._buffer.clear()
            self._skip = left - missing
            if not self._skip:
                self._end_frame(found, b"")
            return found
        self._lose_place()
        return [Found(b"", cause)] if self._is_sip else []

    def _lose_place(self) -> None:
        self._buffer.clear()
        self._parts, self._skip = bytearray(), 0
        self._header = self._unread = None
        self._is_lost = True

    def _step(self, found: list[Found]) -> bool:
        """Takes one step; False where more bytes are needed."""
        self.steps += 1
        if self.dropped or not (self._buffer or (self._header and not self._header.length)):
            return False
        if self._in_http:
            return self._handshake()
        if self._header is not None:
            return self._payload(found)
        if self._is_lost and not self._resync():
            return False
        try:
            header = frame_header(self._buffer)
        except ValueError:
            self._lose_place()
            self.dropped = True  # 7.1.7: both ends close the connection
            if self._is_sip:
                found.append(Found(b"", Cause.FRAMING))
            return False
        if header is None:
            return False
        del self._buffer[: header.size]
        self._begin_frame(header)
        return True

    def _handshake(self) -> bool:
        """Skips HTTP up to the head that turns the connection into a WebSocket (RFC 6455 4)."""
        buffer = self._buffer
        blank_line = BLANK_LINE.search(buffer, max(self._searched - 3, 0))
        if blank_line is None:
            self._searched = len(buffer)
            if len(buffer) > HEAD_MAX:
                self.dropped = True
                buffer.clear()
            return False
        head = bytes(buffer[: blank_line.start()])
        del buffer[: blank_line.end()]
        self._searched = 0
        is_accepted = b" 101" in head[:16] or not head.startswith(b"HTTP/")
        if is_accepted and _UPGRADE.search(head):
            self._in_http = False
            self._is_sip = _FOR_SIP.search(head) is not None
        return True

    def _resync(self) -> bool:
        """Skips bytes until a frame begins whose payload is SIP."""
        buffer = self._buffer
        while (first := _DATA_FRAME.search(buffer)) is not None:
            del buffer[: first.start()]
            if len(buffer) < HEADER_MAX + PEEK:
                return False
            if begins_frame(buffer, (0x01, 0x02, 0x81, 0x82)):
                self._is_lost = False
                self._misses = 0
                return True
            del buffer[:1]
            self.steps += 1
            self._misses += 1
            if self._misses > MISSES_MAX:
                self.dropped = True
                break
        buffer.clear()
        return False

    def _begin_frame(self, header: FrameHeader) -> None:
        self._header = header
        if header.is_control:
            return
        if header.opcode in (TEXT, BINARY):
            self._parts, self._unread = bytearray(), None
            if header.is_compressed:
                self._unread = Cause.FRAMING
        if len(self._parts) + header.length > MESSAGE_MAX:
            self._unread = Cause.OVERSIZED
            self._parts = bytearray()
        if self._unread is not None:
            self._skip = header.length
            if self._skip > SKIP_MAX:
                self.dropped = True

    def _payload(self, found: list[Found]) -> bool:
        buffer, header = self._buffer, self._header
        assert header is not None
        if self._skip:
            count = min(self._skip, len(buffer))
            del buffer[:count]
            self._skip -= count
            if not self._skip:
                self._end_frame(found, b"")
            return not self._skip
        if len(buffer) < header.length:
            return False
        payload = unmasked(bytes(buffer[: header.length]), header.mask)
        del buffer[: header.length]
        self._end_frame(found, payload)
        return True

    def _end_frame(self, found: list[Found], payload: bytes) -> None:
        header, self._header = self._header, None
        assert header is not None
        if header.is_control:
            return
        self._parts += payload
        if not header.is_last:
            return
        message = bytes(self._parts)
        if self._unread is not None:
            if self._is_sip:
                found.append(Found(b"", self._unread))
        elif looks_like_sip(message):
            self._is_sip = True
            found.append(Found(message))
        self._parts, self._unread = bytearray(), None


def begins_frame(data: bytes | bytearray, first: tuple[int, ...] = (0x81, 0x82)) -> bool | None:
    """Whether a frame that carries SIP begins at this place in mid-stream; None: more bytes are needed.

    `first`: the first bytes that are tried, which are data frames without a reserved bit.
    """
    if not data[:1] or data[0] not in first:
        return False
    if len(data) < HEADER_MAX + PEEK:
        return None
    try:
        header = frame_header(data)
    except ValueError:
        return False
    assert header is not None
    start = unmasked(bytes(data[header.size : header.size + PEEK]), header.mask)
    return header.length <= MESSAGE_MAX and _BEGINS_SIP.match(start) is not None
