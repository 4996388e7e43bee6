# cython: language_level=3, wraparound=False
# optimize: -O3
"""SIP messages (RFC 3261) as a listener reads them: five headers at once, the rest when asked.

A listener is lenient: it accepts what a tolerant stack would, in any case, with compact names (7.3.3), folded
lines (7.3.1), bare LF, blanks around anything. It rejects only what cannot be tracked: no start line, or no
Call-ID, From, To, CSeq or Via (8.1.1). Of a header that should be single the first counts.

Text is UTF-8 (7.1); a byte that is not becomes `\\xNN`, so that two identifiers which differ stay different.
Hosts are in lower case and IPv6 addresses without their brackets; users are unescaped and without password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import cython

from agent.errors import Reason, WireError
from agent.wire.sip.scan_cy import (
    bounded,
    is_blank,
    mark,
    method_at,
    name_end,
    needed,
    same,
    start_of,
    status_at,
    text_at,
)
from agent.wire.sip.values_cy import (
    Uri,
    address_at,
    address_of,
    branch_at,
    parameters,
    parse_uri,
    split_list,
    tag_at,
)

if not cython.compiled:  # message_cy.pxd has the same for the compiler
    from agent import uncompiled
    from agent.wire.sip.scan_cy import (
        CALL_ID,
        COLON,
        CR,
        FROM,
        LF,
        LOWER,
        SPACE,
        TAB,
        TO,
        VIA,
        begins,
        find,
    )

    (LINES_NOTED,) = uncompiled.constants(__name__, "LINES_NOTED")
    DIGITS_END = 10_000_000_000  # what `digits` reads is less
    CSEQ_MAX = 0xFFFF_FFFF  # 8.1.1.5: a 32-bit unsigned integer

_NESTING_MAX = 3  # multipart in multipart in ...: the depth is the sender's choice, the stack is ours

# 7.3.3 and the IANA registry of compact forms
COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to",
    "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
_SHORT = {long: short for short, long in COMPACT.items()}

BLANK_LINE = re.compile(rb"\r?\n\r?\n")
# As text: few messages need them, so `re` compiles them when one does, and keeps them.
_TOKEN = r"[A-Za-z0-9.!%*_+`'~-]+"  # 25.1 token
_VERSION = r"(?i:SIP/[0-9]{1,3}\.[0-9]{1,3})"
_BOUNDARY = r'(?i:boundary\s*=\s*(?:"([^"]+)"|([^\s;,"]+)))'
_FOLD = rb"\n[ \t]+"  # 7.3.1: the line break and the blanks after it are one SP

_SPELLINGS_MAX = 1024


@cython.no_gc
@cython.cclass
class Message:
    """One SIP message. Its identifying headers are read at once, all others when asked for.

    Only offsets are kept: a header that nobody asks for never becomes a string.
    """

    def __init__(self, data: bytes) -> None:
        """Raises WireError as `parse` does."""
        self.data = data  # the whole message as captured
        self.is_request = False
        self.method = ""  # of a response: from CSeq
        self.status = 0  # 0 for requests
        self.call_id = ""
        self.from_tag = ""  # "" if there is none
        self.to_tag = ""
        self.cseq = 0
        self.cseq_method = ""
        self.branch = ""  # of the top Via; "" from an RFC 2543 sender
        self._from: Uri | None = None
        self._to: Uri | None = None
        self._request: Uri | None = None
        # Places in `_head`: the start line, the headers behind it, the values of the identifying headers
        self._head = data
        self._line = self._line_end = self._at = self._end = 0
        self._uri_at = self._uri_end = 0
        self._via_at = self._via_end = self._from_at = self._from_end = 0
        self._to_at = self._to_end = self._cseq_at = self._cseq_end = 0
        self._names = 0  # a `mark` of each header's name
        self._noted = 0  # so many of the lines have their place in `_lines`
        if not cython.compiled:
            self._lines = [0] * LINES_NOTED
        self._body_at = 0  # in `data`
        self._whole = True  # the blank line after the headers was captured
        self._read()

    def __repr__(self) -> str:
        what = self.uri if self.is_request else f"{self.status} {self.reason}"
        return f"<Message {self.method} {what} call_id={self.call_id!r} cseq={self.cseq}>"

    # Reading

    def _read(self) -> None:
        """The start line, and the five headers without which nothing can be tracked."""
        self._line = start_of(self.data, len(self.data))  # 7.5: ignore any CRLF before the start line
        if not self._walk_in_place():
            self._unfold(self._line)
            self._walk()
        self._start_line()
        if not (self._via_end and self._from_end and self._to_end and self.call_id and self._cseq_end):
            raise WireError(Reason.SIP_MISSING_HEADER if self._whole else Reason.SIP_TRUNCATED)
        self.call_id = bounded(self.call_id)
        self.from_tag = bounded(tag_at(self._head, self._from_at, self._from_end))
        self.to_tag = bounded(tag_at(self._head, self._to_at, self._to_end))
        self.branch = bounded(branch_at(self._head, self._via_at, self._via_end))
        self._sequence(self._cseq_at, self._cseq_end)

    def _walk_in_place(self) -> cython.bint:
        """Notes the headers of lines that need no unfolding.

        False where a line is folded or does not end with CRLF, or where no line is blank.
        """
        head = self._head
        size: cython.Py_ssize_t = len(head)
        at: cython.Py_ssize_t = self._line
        stop: cython.Py_ssize_t
        following: cython.int
        while True:
            stop = find(head, LF, at, size)
            if stop + 2 >= size or head[stop - 1] != CR:
                return False
            following = head[stop + 1]
            if following in (SPACE, TAB):
                return False
            if self._at:
                self._note(at, stop - 1)
            else:
                self._line_end, self._at = stop - 1, stop + 1
            at = stop + 1
            if following == CR and head[stop + 2] == LF:
                self._end, self._body_at = stop - 1, stop + 3
                return True

    def _unfold(self, start: cython.Py_ssize_t) -> None:
        """The head on its own, each header in one line."""
        data = self.data
        blank = BLANK_LINE.search(data, start)
        if blank:
            end, self._body_at = blank.start(), blank.end()
        else:
            # Cut by the snap length: the last line counts only if its end was captured.
            end, self._body_at, self._whole = data.rfind(b"\n") + 1, len(data), False
            if end <= start:
                raise WireError(Reason.SIP_TRUNCATED)
        self._head = re.sub(_FOLD, b" ", data[start:end].replace(b"\r\n", b"\n").rstrip(b"\n"))
        self._line, self._end = 0, len(self._head)
        self._via_end = self._from_end = self._to_end = self._cseq_end = self._names = self._noted = 0
        self.call_id = ""

    def _walk(self) -> None:
        """Note the headers of the unfolded head."""
        stop: cython.Py_ssize_t = find(self._head, LF, 0, self._end)
        self._line_end = stop - 1 if stop and self._head[stop - 1] == CR else stop
        at: cython.Py_ssize_t = stop + 1
        self._at = at
        while at < self._end:
            stop = find(self._head, LF, at, self._end)
            self._note(at, stop)
            at = stop + 1

    def _note(self, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> None:
        """Notes the header in the line at `at`, and its value where it is the first of a needed one."""
        head = self._head
        colon: cython.Py_ssize_t = find(head, COLON, at, stop)
        if colon >= stop:
            return
        end: cython.Py_ssize_t = name_end(head, at, colon)
        self._names |= mark(head[at], end - at)
        if self._noted < LINES_NOTED:
            self._lines[self._noted] = at
            self._noted += 1
        number: cython.int = needed(head, at, end)
        if not number:
            return
        at = colon + 1
        while at < stop and head[at] == SPACE:
            at += 1
        if number == CALL_ID:
            self.call_id = self.call_id or text_at(head, at, stop)
        elif is_blank(head, at, stop):
            return
        elif number == VIA:
            if not self._via_end:
                self._via_at, self._via_end = at, stop
        elif number == FROM:
            if not self._from_end:
                self._from_at, self._from_end = at, stop
        elif number == TO:
            if not self._to_end:
                self._to_at, self._to_end = at, stop
        elif not self._cseq_end:
            self._cseq_at, self._cseq_end = at, stop

    def _sequence(self, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> None:
        """CSeq: number and method (20.16)."""
        head = self._head
        space: cython.Py_ssize_t = find(head, SPACE, at, stop)
        method: str | None = method_at(head, space + 1, stop)
        self.cseq = -1 if method is None else digits(text_at(head, at, space), 20)
        if method is None or self.cseq < 0:
            words = text_at(head, at, stop).split()
            if len(words) < 2:
                raise WireError(Reason.SIP_HEADER, "CSeq")
            self.cseq, method = digits(words[0], 20), words[1]
        if not 0 <= self.cseq <= CSEQ_MAX:
            raise WireError(Reason.SIP_HEADER, "CSeq")
        self.cseq_method = method
        if not self.is_request:
            self.method = method

    def _start_line(self) -> None:
        head = self._head
        at: cython.Py_ssize_t = self._line
        stop: cython.Py_ssize_t = self._line_end
        space: cython.Py_ssize_t
        method: str | None
        if begins(head, b"SIP/2.0 ", at, stop):
            self.status = status_at(head, at + 8, stop)
            if self.status and (stop - at == 11 or head[at + 11] == SPACE):
                return
        elif stop - at > 8 and begins(head, b" SIP/2.0", stop - 8, stop):
            space = find(head, SPACE, at, stop)
            method = method_at(head, at, space)
            if method is not None and space + 1 < stop - 8 == find(head, SPACE, space + 1, stop):
                self.is_request, self.method = True, method
                self._uri_at, self._uri_end = space + 1, stop - 8
                return
        self._odd_start_line(self._start_text())

    def _odd_start_line(self, line: str) -> None:
        """Reads a start line in an unusual form."""
        if line[:4].upper() == "SIP/":  # Status-Line (7.2); the phrase and its space are often missing
            words = line.split(None, 2)
            code = words[1] if len(words) > 1 else ""
            self.status = digits(code, 3)
            if len(code) != 3 or not 100 <= self.status < 700:
                raise WireError(Reason.SIP_START_LINE)
            if words[0] != "SIP/2.0" and not re.fullmatch(_VERSION, words[0]):
                raise WireError(Reason.SIP_START_LINE)
            return
        method, uri, version = _request_line(line)
        if version != "SIP/2.0" and not re.fullmatch(_VERSION, version):
            raise WireError(Reason.SIP_START_LINE)
        if not uri or not ((method.isascii() and method.isalpha()) or re.fullmatch(_TOKEN, method)):
            raise WireError(Reason.SIP_START_LINE)
        self.is_request = True
        self.method = method

    def _start_text(self) -> str:
        return self._head[self._line : self._line_end].decode("utf-8", "backslashreplace")

    # The values found, as text

    @property
    def reason(self) -> str:
        """The phrase of a response; "" where there is none."""
        words = [] if self.is_request else self._start_text().split(None, 2)
        return words[2] if len(words) > 2 else ""

    @property
    def uri(self) -> str:
        """The Request-URI; "" for responses."""
        if not self.is_request:
            return ""
        if self._uri_end:
            uri = self._head[self._uri_at : self._uri_end].decode("utf-8", "backslashreplace")
        else:
            uri = _request_line(self._start_text())[1]
        return uri[1 : len(uri) - 1] if uri.startswith("<") and uri.endswith(">") else uri

    # Headers at large

    def header(self, name: str) -> str | None:
        """The first value line of a header, unfolded; `name` in any case, long or compact."""
        long, short = _spellings(name)
        at: cython.Py_ssize_t = self._seek(long, short, self._at)
        return None if at < 0 else self._value(at)

    def has_one_of(self, names: Iterable[str]) -> cython.bint:
        """Whether there is a header with one of these names."""
        for name in names:
            long, short = _spellings(name)
            if self._seek(long, short, self._at) >= 0:
                return True
        return False

    def headers(self, name: str) -> list[str]:
        """Each value line of a header, in order."""
        long, short = _spellings(name)
        found: list[str] = []
        at: cython.Py_ssize_t = self._seek(long, short, self._at)
        while at >= 0:
            found.append(self._value(at))
            at = self._seek(long, short, find(self._head, LF, at, self._end) + 1)
        return found

    def values(self, name: str) -> list[str]:
        """The values of a header that may be a comma-separated list (7.3.1): Via, Contact, Route."""
        return [value for line in self.headers(name) for value in split_list(line)]

    def _seek(self, long: bytes, short: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the value of the next header of that name begins, from the line at `at` on; -1: none."""
        head = self._head
        stop: cython.Py_ssize_t
        colon: cython.Py_ssize_t
        number: cython.int
        first: cython.int = long[0] if long else COLON
        only: cython.int = short[0] if short else first
        if not self._names & (mark(first, len(long)) | mark(only, len(short))):
            return -1
        for number in range(self._noted):
            if self._lines[number] >= at and head[self._lines[number]] | LOWER in (first, only):
                colon = self._named(long, short, self._lines[number], self._end)
                if colon >= 0:
                    return colon + 1
        if self._noted < LINES_NOTED:
            return -1
        if at <= self._lines[LINES_NOTED - 1]:
            at = find(head, LF, self._lines[LINES_NOTED - 1], self._end) + 1
        while at < self._end:
            stop = find(head, LF, at, self._end)
            colon = self._named(long, short, at, stop)
            if colon >= 0:
                return colon + 1
            at = stop + 1
        return -1

    def _named(
        self, long: bytes, short: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Where the colon of the line at `at` is, if it has that name; else -1."""
        head = self._head
        colon: cython.Py_ssize_t = find(head, COLON, at, stop)
        if colon >= stop:
            return -1
        end: cython.Py_ssize_t = name_end(head, at, colon)
        if same(head, at, end, long) or (short and same(head, at, end, short)):
            return colon
        return -1

    def _value(self, at: cython.Py_ssize_t) -> str:
        return text_at(self._head, at, find(self._head, LF, at, self._end))

    # Addresses

    @property
    def from_user(self) -> str:
        return self._from_uri().user

    @property
    def from_host(self) -> str:
        return self._from_uri().host

    @property
    def to_user(self) -> str:
        return self._to_uri().user

    @property
    def to_host(self) -> str:
        return self._to_uri().host

    @property
    def uri_user(self) -> str:
        return self._request_uri().user

    @property
    def uri_host(self) -> str:
        return self._request_uri().host

    def _from_uri(self) -> Uri:
        if self._from is None:
            self._from = parse_uri(address_at(self._head, self._from_at, self._from_end))
        return self._from

    def _to_uri(self) -> Uri:
        if self._to is None:
            self._to = parse_uri(address_at(self._head, self._to_at, self._to_end))
        return self._to

    def _request_uri(self) -> Uri:
        if self._request is None:
            self._request = parse_uri(self.uri)
        return self._request

    @property
    def contact(self) -> str | None:
        """The URI of the first Contact."""
        return self._address_header("contact")

    @property
    def refer_to(self) -> str | None:
        """The URI of Refer-To (RFC 3515)."""
        return self._address_header("refer-to")

    def _address_header(self, name: str) -> str | None:
        text = self.header(name)
        return address_of(split_list(text)[0])[0] if text else None

    # Single values

    @property
    def session_seconds(self) -> int | None:
        """RFC 4028: the session's interval, whichever side refreshes it."""
        return _seconds(self.header("session-expires"))

    @property
    def replaces(self) -> tuple[str, str, str] | None:
        """RFC 3891: (Call-ID, to-tag, from-tag) of the dialog to replace; None unless all three are there."""
        text = self.header("replaces")
        if text is None:
            return None
        call_id, semicolon, rest = text.partition(";")
        found = dict(parameters(semicolon + rest))
        if not call_id.strip() or "to-tag" not in found or "from-tag" not in found:
            return None
        return bounded(call_id.strip()), bounded(found["to-tag"]), bounded(found["from-tag"])

    # Body

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters; "" if there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """None where absent or not a number."""
        text = self.header("content-length")
        length = digits(text, 10) if text else -1
        return length if length >= 0 else None

    @property
    def body(self) -> bytes:
        """The bytes behind the headers, as far as captured and no farther than Content-Length (18.3)."""
        length = self.content_length
        return self.data[self._body_at : None if length is None else self._body_at + length]

    @property
    def sdp(self) -> bytes | None:
        """The session description: the body, or the first such part of a multipart one."""
        body = self.body
        if not body:
            return None
        kind = self.header("content-type") or ""
        return body if kind == "application/sdp" else _find_part(body, kind, b"application/sdp", 0)


def parse(data: bytes) -> Message:
    """Parses one message; bytes beyond its Content-Length are ignored.

    Raises:
        WireError: SIP_START_LINE, SIP_HEADER (CSeq unreadable), SIP_MISSING_HEADER, or SIP_TRUNCATED (a
            header is missing and the headers have no end).
    """
    return Message(data)


# Texts


def digits(text: str, most: cython.Py_ssize_t) -> cython.longlong:
    """1 to `most` (of 20) decimal digits as a number; -1 for anything else, and from 10 ** 10 on."""
    value: cython.longlong = 0
    digit: cython.Py_UCS4
    if not 0 < len(text) <= most:
        return -1
    for digit in text:
        if not "0" <= digit <= "9":
            return -1
        value = 10 * value + (ord(digit) - 48)
        if value >= DIGITS_END:
            return -1
    return value


_spelled: dict[str, tuple[bytes, bytes]] = {}


def _spellings(name: str) -> tuple[bytes, bytes]:
    """(long name, compact form or b"") of a header, both in lower case."""
    known: tuple[bytes, bytes] | None = _spelled.get(name)
    if known is None:
        if len(_spelled) >= _SPELLINGS_MAX:  # names come from our code and configuration only
            _spelled.clear()
        lowered = name.strip().lower()
        long = COMPACT.get(lowered, lowered)
        known = _spelled[name] = long.encode(), _SHORT.get(long, "").encode()
    return known


def _request_line(line: str) -> list[str]:
    """Method, Request-URI and version of a Request-Line (7.1)."""
    words = line.split(" ")
    if len(words) == 3:
        return words
    # Blanks doubled, trailing or in the URI: method first, version last, URI between.
    method, _, rest = line.strip().partition(" ")
    uri, _, version = rest.strip().rpartition(" ")
    return [method, uri.strip(), version]


def _seconds(text: str | None) -> int | None:
    """The number with which a value begins; None where there is none, or one of more than ten digits."""
    length: cython.Py_ssize_t = 0
    if text is None:
        return None
    while length < len(text) and "0" <= text[length] <= "9":
        length += 1
    seconds: cython.longlong = digits(text[:length], 10)
    return seconds if seconds >= 0 else None


def _find_part(body: bytes, content_type: str, wanted: bytes, depth: int) -> bytes | None:
    """The first part of type `wanted` (RFC 2046 5.1)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == wanted.decode():
        return body
    if not kind:  # no Content-Type, though one is required with a body: believe an SDP that looks like one
        return body if body.lstrip()[:3] == b"v=0" else None
    if not kind.startswith("multipart/") or depth >= _NESTING_MAX:
        return None
    named = re.search(_BOUNDARY, content_type)
    if named:
        delimiter = b"--" + (named[1] or named[2]).encode("utf-8", "replace")
    else:
        delimiter = body.lstrip().split(b"\n", 1)[0].strip()
        if not delimiter.startswith(b"--"):
            return None
    for part in (b"\n" + body).split(b"\n" + delimiter)[1:]:
        if part.startswith(b"--"):  # the close delimiter
            break
        part = part.lstrip(b" \t").removeprefix(b"\r").removeprefix(b"\n")
        blank = BLANK_LINE.search(b"\n" + part)
        if not blank:
            continue
        head, inner = part[: max(blank.start() - 1, 0)], part[blank.end() - 1 :].removesuffix(b"\r")
        text = str(re.sub(_FOLD, b" ", head.replace(b"\r\n", b"\n")), "utf-8", "backslashreplace")
        fields = {
            name.strip().lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in text.split("\n"))
            if colon
        }
        found = _find_part(inner, fields.get("content-type") or fields.get("c") or "", wanted, depth + 1)
        if found is not None:
            return found
    return None
