"""SIP messages from a byte stream: RFC 3261 18.3, Content-Length says where each ends.

A stream may begin anywhere: lines are skipped until one is a SIP start line. CRLF keepalives (RFC 5626 4.4.1)
and the blank lines of 7.5 are skipped too.
"""

from __future__ import annotations

import re

from agent.model.unseen import Cause
from agent.transport.messages import MESSAGE_MAX, Found
from agent.wire.sip import looks_like_sip
from agent.wire.sip.message_cy import BLANK_LINE

HEAD_MAX = 64 << 10  # bytes in which the headers must end
SKIP_MAX = 16 << 20  # a longer body is skipped; a longer Content-Length is a false one
LINE_MAX = 4096  # the longest start line
STRAY_MIN = 16  # so few bytes between two messages are a keepalive

_CONTENT_LENGTH = re.compile(
    rb"^(?:content-length|l)[ \t]*:(?:[ \t]|\r?\n[ \t])*([0-9]{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_START_LINE = re.compile(
    rb"\n(?:SIP/[0-9]\.[0-9] [1-6][0-9]{2}[ \r]|[A-Za-z]+ [^\s:]\S* SIP/[0-9]\.[0-9]\r?\n)", re.IGNORECASE
)
_VERSION = re.compile(rb"[Ss][Ii][Pp]/")
_TEXT = re.compile(rb"[^\r\n]")


class SipFraming:
    """`Framing` of plain SIP.

    `lost`: the start of a message is a guess until one message was whole. A message longer than `max_bytes`
    is passed on as its headers, and its body is skipped. A stream whose headers never end, or whose
    Content-Length is beyond `SKIP_MAX`, is dropped whole: no more of it is read.
    """

    def __init__(self, lost: bool = True, max_bytes: int = MESSAGE_MAX) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()  # from the start line of a message, once `_scanned`
        self._scanned = 0  # bytes searched for the end of the headers; 0: no start line yet
        self._need = 0  # length of the message at hand, once its headers are whole
        self._skip = 0  # bytes of a body still to skip
        self._looked = 0  # bytes searched for a start line
        self._strayed = 0  # bytes skipped in search of it
        self._midline = False  # the buffer begins inside a line too long to be a start line
        self._lost = lost
        self._known = False  # a message was found: this is SIP
        self.dropped = False
        self.steps = 0
        self.work = 0  # bytes looked at; a test bounds the cost by them

    @property
    def held(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Found]:
        found: list[Found] = []
        if self.dropped:
            return found
        buffer = self._buffer
        buffer += data
        while buffer:
            if self._skip:
                count = min(self._skip, len(buffer))
                del buffer[:count]
                self._skip -= count
                continue
            if not self._need and not self._find_end(found):
                break
            if not self._need:  # a body to skip
                continue
            if len(buffer) < self._need:
                break
            found.append(Found(bytes(buffer[: self._need])))
            del buffer[: self._need]
            self._begin(lost=False)
        return found

    def gap(self, missing: int, cause: Cause) -> list[Found]:
        if self.dropped:
            return []
        found: list[Found] = []
        left = self._skip or self._need - len(self._buffer)
        is_cut = bool(self._need)
        if is_cut:
            found.append(Found(bytes(self._buffer)))
        if (is_cut or self._skip) and 0 < missing <= left:  # in a body: the place is not lost
            self._buffer.clear()
            self._begin(lost=False)
            self._skip = left - missing
            return found
        if self._scanned and not is_cut:
            found.append(Found(bytes(self._buffer), cause))
        elif self._known or is_cut:
            found.append(Found(b"", cause))
        elif cause is Cause.SNAP_LENGTH:
            found.append(Found(b"", cause, is_sip=False))
        self._buffer.clear()
        self._begin(lost=True)
        self._strayed = 0
        return found

    def _begin(self, *, lost: bool) -> None:
        """Look for the next start line."""
        self._scanned = self._need = self._skip = self._looked = 0
        self._midline = False
        self._lost = lost
        self._known = self._known or not lost

    def _find_end(self, found: list[Found]) -> bool:
        """Set `_need` or `_skip` for the message at the buffer's start. False: more bytes are needed."""
        buffer = self._buffer
        while self._scanned or self._find_start(found):
            self.steps += 1
            begin = max(self._scanned - 3, 0)
            blank_line = BLANK_LINE.search(buffer, begin)
            self.work += (blank_line.end() if blank_line else len(buffer)) - begin
            if (blank_line.start() if blank_line else len(buffer)) > min(HEAD_MAX, self._max_bytes):
                self._drop(found)
                return False
            if blank_line is None:
                self._scanned = len(buffer)
                return False
            head, end = blank_line.span()
            if self._lost:
                # Begun in a body that quotes a start line (message/sipfrag): the last one counts.
                self.work += head
                quoted = [again.start() + 1 for again in _START_LINE.finditer(buffer, 0, head)]
                restart = quoted[-1] if quoted else 0
                del buffer[:restart]
                head, end = head - restart, end - restart
            need = end + _content_length(buffer, head)
            if need <= self._max_bytes:
                self._need = need
                return True
            if need > SKIP_MAX and not self._lost:
                self._drop(found)
                return False
            if need <= SKIP_MAX:
                found.append(Found(bytes(buffer[:end])))
            else:  # the guess was wrong
                need = end
                found.append(Found(b"", Cause.OVERSIZED))
            del buffer[:end]
            self._begin(lost=need == end)
            self._skip = need - end
            if self._skip:
                return True
        return False

    def _find_start(self, found: list[Found]) -> bool:
        """Skips lines until the buffer starts with a start line; `_scanned` is then its length."""
        buffer = self._buffer
        while buffer:
            self.steps += 1
            begin = max(self._looked - 3, 0)
            version = _VERSION.search(buffer, begin)
            stop = version.end() if version else len(buffer)
            self.work += stop - begin
            at = buffer.rfind(b"\n", 0, stop) + 1  # where the current line begins
            if at:
                self._pass_over(at)
                stop -= at
            end = buffer.find(b"\n", stop) + 1 if version else 0
            if end and not self._midline and end <= LINE_MAX and looks_like_sip(bytes(buffer[:end])):
                if self._strayed >= STRAY_MIN:
                    found.append(Found(b"", Cause.FRAMING))
                    self._lost = True
                self._strayed = self._looked = 0
                self._scanned = end
                return True
            if end:
                self._pass_over(end)
                continue
            self._looked = max(stop - 4, 0) if version else len(buffer)
            if len(buffer) > LINE_MAX:
                self._pass_over(len(buffer) - 3)
                self._midline = True
                self._looked = 0
            return False
        return False

    def _pass_over(self, count: int) -> None:
        """Drops other bytes from the buffer's start; line ends alone are a keepalive."""
        buffer = self._buffer
        self.work += count
        if self._strayed or self._midline or _TEXT.search(buffer, 0, count):
            self._strayed += count
        del buffer[:count]
        self._midline = False
        self._looked = 0

    def _drop(self, found: list[Found]) -> None:
        found.append(Found(b"", Cause.OVERSIZED))
        self._buffer.clear()
        self._begin(lost=True)
        self.dropped = True


def _content_length(buffer: bytearray, head_end: int) -> int:
    """18.3: it is required over a stream. Without it the length is 0, and a body is skipped line by line."""
    at = buffer.find(b"\nContent-Length: ", 0, head_end)
    if at >= 0:
        plain = buffer[at + 17 : at + 27].partition(b"\r\n")[0]
        if plain.isdigit():
            return int(plain)
    found = _CONTENT_LENGTH.search(buffer, 0, head_end)
    return int(found[1]) if found else 0
