# cython: language_level=3, wraparound=False
"""SIP messages (RFC 3261) as a listener reads them: five headers at once, the rest when asked.

A listener is lenient: it accepts what a tolerant stack would, in any case, with compact names (7.3.3), folded
lines (7.3.1), bare LF, blanks around anything. It rejects only what cannot be tracked: no start line, or no
Call-ID, From, To, CSeq or Via (8.1.1). Of a header that should be single the first counts.

Text is UTF-8 (7.1); a byte that is not becomes `\\xNN`, so that two identifiers which differ stay different.
Hosts are in lower case and IPv6 addresses without their brackets; users are unescaped and without password.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from agent.errors import Reason, WireError

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if not cython.compiled:  # sip_cy.pxd holds the same values for the compiler
    TAB, LF, CR, SPACE, QUOTE, COMMA, DOT, SLASH, COLON, SEMICOLON, LESS, GREATER, BACKSLASH = (
        b'\t\n\r ",./:;<>\\'
    )
    LOWER = 32  # the bit by which a letter differs from its capital
    VIA, FROM, TO, CALL_ID, CSEQ = range(1, 6)
    DIGITS_END = 10_000_000_000  # what `digits` reads is less
    CSEQ_MAX = 0xFFFF_FFFF  # 8.1.1.5: a 32-bit unsigned integer
    LOOKED_AT = 4096  # octets in which a start line is looked for
    METHOD_MAX = 64  # characters of the method in what looks like SIP

_ERRORS = "backslashreplace"
_URI_KEPT = 64  # characters of a URI that may be kept read
_URIS_KEPT = 1024
_NESTING_MAX = 3  # multipart in multipart in ...: the depth is the sender's choice, the stack is ours

# 7.3.3 and the IANA registry of compact forms
_COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to",
    "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
_SHORT = {long: short for short, long in _COMPACT.items()}

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
# As text: few messages need them, so `re` compiles them when one does, and keeps them.
_TOKEN = r"[A-Za-z0-9.!%*_+`'~-]+"  # 25.1 token
_VERSION = r"(?i:SIP/[0-9]{1,3}\.[0-9]{1,3})"
_SENT_BY = r"(?i:\s*SIP\s*/\s*[\w.]+\s*/\s*[\w-]+\s+([^;,]*))"
_NUMBER = r"\s*[+\d*#(%][\d().*#A-Fa-f%-]*(?=;)"
_BOUNDARY = r'(?i:boundary\s*=\s*(?:"([^"]+)"|([^\s;,"]+)))'
_FOLD = rb"\n[ \t]+"  # 7.3.1: the line break and the blanks after it are one SP
# Patterns meet hostile text of 64 KiB, so none may scan one stretch twice: no two neighbouring repeats that
# match the same characters, none that is tried again from each character of what it failed on.
# 25.1: quoted-string = DQUOTE *(qdtext / quoted-pair) DQUOTE
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_NAME_ADDR = re.compile(rf'(?:\s*{_QUOTED}\s*|[^<"]*+)<([^>]*)>(.*)', re.DOTALL)
_PARAMETER = re.compile(rf';\s*([^\s;=,"]+)\s*(?:=\s*({_QUOTED}|[^\s;,]*))?')
_LIST_STOP = re.compile(r'[",<]')
_QUOTE_REST = re.compile(r'(?:[^"\\]|\\.)*+"', re.DOTALL)
_URI = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)\s*:(.*)", re.DOTALL)
_HOST = re.compile(r"\s*(?:\[([^\]]*)\]?|([^\s:;?>]*))\s*(?::\s*(\d{1,5}))?")

# What start lines and CSeqs name, the frequent first.
_METHODS = (
    "INVITE", "ACK", "BYE", "OPTIONS", "REGISTER", "CANCEL", "PRACK", "UPDATE", "INFO", "SUBSCRIBE", "NOTIFY",
    "MESSAGE", "PUBLISH", "REFER",
)  # fmt: skip
_NAMED = tuple((method.encode(), method) for method in _METHODS)
_SPELLINGS_MAX = 1024


class Uri(NamedTuple):
    """A SIP, SIPS or tel URI: `user` unescaped, `host` bare, in lower case; `port` None where not given."""

    scheme: str
    user: str
    host: str
    port: int | None


def parse_uri(text: str) -> Uri:
    """The parts of a URI (RFC 3261 19.1, RFC 3966); empty strings for what is not there."""
    known: Uri | None = _known_uris.get(text)
    if known is None:
        known = _read_uri(text)
        if len(text) <= _URI_KEPT:
            if len(_known_uris) >= _URIS_KEPT:
                _known_uris.clear()
            _known_uris[text] = known
    return known


# Both legs of a call have the same users, and so have its retransmissions.
_known_uris: dict[str, Uri] = {}


def _read_uri(text: str) -> Uri:
    if text.startswith("sip:"):
        scheme, rest = "sip", text[4:].strip()
    else:
        matched = _URI.match(text)
        if not matched:
            return Uri("", "", "", None)
        scheme, rest = matched[1].lower(), matched[2].strip()
    if scheme == "tel":
        number, _, parameters = rest.partition(";")
        context = dict(_parameters(";" + parameters)).get("phone-context", "")
        return Uri(scheme, _unescaped(number), "" if context.startswith("+") else context.lower(), None)
    user, at, host = rest.partition("@")
    if not at:
        user, host = "", rest
    elif "@" in host:
        # A raw "@" in the user is illegal but seen (user@domain@sbc): the host follows the last one.
        more, again, last = re.split(r"[;?]", host, maxsplit=1)[0].rpartition("@")
        if again:
            user, host = f"{user}@{more}", last + host[len(more) + 1 + len(last) :]
    user = user.partition(":")[0]
    if ";" in user and (number_only := re.match(_NUMBER, user)):
        user = number_only[0]  # 19.1.6 telephone-subscriber: its parameters are no part of the number
    found = _HOST.match(host)
    assert found  # every part of the pattern may be empty
    port = int(found[3]) if found[3] else None
    return Uri(scheme, _unescaped(user.strip()), (found[1] or found[2] or "").lower(), port)


def looks_like_sip(data: bytes) -> cython.bint:
    """Whether a datagram or stream position begins with a SIP start line (leading CRLFs allowed, 7.5)."""
    slash: cython.Py_ssize_t
    end: cython.Py_ssize_t = min(len(data), LOOKED_AT)
    at: cython.Py_ssize_t = _start(data, end)
    if end - at > 4 and _is(data, at, at + 4, b"sip/"):
        return _looks_like_status(data, at + 4, end)
    space: cython.Py_ssize_t = _token_end(data, at, min(end, at + METHOD_MAX + 1))
    if not 0 < space - at <= METHOD_MAX or space >= end or data[space] != SPACE:
        return False
    end = _find(data, LF, space, end)
    slash = _find(data, SLASH, space, end)
    while slash < end:  # a version somewhere in the line
        if slash - space >= 4 and _is(data, slash - 4, slash, b" sip"):
            return True
        slash = _find(data, SLASH, slash + 1, end)
    return False


class Message:
    """One SIP message. What identifies it is read at once, everything else when it is asked for.

    Of a message only offsets are kept: a header that nobody asks for is never made a string.
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
        # Places in `_head`: the start line, the headers behind it, values of those that identify
        self._head = data
        self._line = self._line_end = self._at = self._end = 0
        self._uri_at = self._uri_end = 0
        self._via_at = self._via_end = self._from_at = self._from_end = 0
        self._to_at = self._to_end = self._cseq_at = self._cseq_end = 0
        self._names = 0  # a `_mark` of each header's name
        self._body_at = 0  # in `data`
        self._whole = True  # the blank line after the headers was captured
        self._read()

    def __repr__(self) -> str:
        what = self.uri if self.is_request else f"{self.status} {self.reason}"
        return f"<Message {self.method} {what} call_id={self.call_id!r} cseq={self.cseq}>"

    # Reading

    def _read(self) -> None:
        """The start line, and the five headers without which nothing can be tracked."""
        self._line = _start(self.data, len(self.data))  # 7.5: ignore any CRLF before the start line
        if not self._walk_in_place():
            self._unfold(self._line)
            self._walk()
        self._start_line()
        if not (self._via_end and self._from_end and self._to_end and self.call_id and self._cseq_end):
            raise WireError(Reason.SIP_MISSING_HEADER if self._whole else Reason.SIP_TRUNCATED)
        self.from_tag = _tag_at(self._head, self._from_at, self._from_end)
        self.to_tag = _tag_at(self._head, self._to_at, self._to_end)
        self.branch = _branch_at(self._head, self._via_at, self._via_end)
        self._sequence(self._cseq_at, self._cseq_end)

    def _walk_in_place(self) -> cython.bint:
        """Note the headers of lines that need no unfolding. False where a line is folded, does not end with
        CRLF, or none is blank."""
        head = self._head
        size: cython.Py_ssize_t = len(head)
        at: cython.Py_ssize_t = self._line
        stop: cython.Py_ssize_t
        following: cython.int
        while True:
            stop = _find(head, LF, at, size)
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
        blank = _BLANK_LINE.search(data, start)
        if blank:
            end, self._body_at = blank.start(), blank.end()
        else:
            # Cut by the snap length: the last line counts only if its end was captured.
            end, self._body_at, self._whole = data.rfind(b"\n") + 1, len(data), False
        self._head = re.sub(_FOLD, b" ", data[start:end].replace(b"\r\n", b"\n").rstrip(b"\n"))
        self._line, self._end = 0, len(self._head)
        self._via_end = self._from_end = self._to_end = self._cseq_end = self._names = 0
        self.call_id = ""

    def _walk(self) -> None:
        """Note the headers of the unfolded head."""
        stop: cython.Py_ssize_t = _find(self._head, LF, 0, self._end)
        self._line_end = stop - 1 if stop and self._head[stop - 1] == CR else stop
        at: cython.Py_ssize_t = stop + 1
        self._at = at
        while at < self._end:
            stop = _find(self._head, LF, at, self._end)
            self._note(at, stop)
            at = stop + 1

    def _note(self, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> None:
        """Take the line at `at` into `_names`, and its value where it is the first of a needed header."""
        head = self._head
        colon: cython.Py_ssize_t = _find(head, COLON, at, stop)
        if colon >= stop:
            return
        name_end: cython.Py_ssize_t = _name_end(head, at, colon)
        self._names |= _mark(head[at], name_end - at)
        number: cython.int = _needed(head, at, name_end)
        if not number:
            return
        at = colon + 1
        while at < stop and head[at] == SPACE:
            at += 1
        if number == CALL_ID:
            self.call_id = self.call_id or _text(head, at, stop)
        elif _is_blank(head, at, stop):
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
        space: cython.Py_ssize_t = _find(head, SPACE, at, stop)
        method: str | None = _method(head, space + 1, stop)
        self.cseq = -1 if method is None else digits(_text(head, at, space), 20)
        if method is None or self.cseq < 0:
            words = _text(head, at, stop).split()
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
        if _begins(head, b"SIP/2.0 ", at, stop):
            self.status = _status(head, at + 8, stop)
            if self.status and (stop - at == 11 or head[at + 11] == SPACE):
                return
        elif stop - at > 8 and _begins(head, b" SIP/2.0", stop - 8, stop):
            space = _find(head, SPACE, at, stop)
            method = _method(head, at, space)
            if method is not None and space + 1 < stop - 8 == _find(head, SPACE, space + 1, stop):
                self.is_request, self.method = True, method
                self._uri_at, self._uri_end = space + 1, stop - 8
                return
        self._odd_start_line(self._start_text())

    def _odd_start_line(self, line: str) -> None:
        """A start line that is written otherwise than most."""
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

    # What was found, as text

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

    @property
    def from_text(self) -> str:
        """The header's whole value."""
        return _text(self._head, self._from_at, self._from_end)

    @property
    def to_text(self) -> str:
        return _text(self._head, self._to_at, self._to_end)

    @property
    def top_via(self) -> str:
        """The first Via value."""
        return _split_list(_text(self._head, self._via_at, self._via_end))[0]

    # Headers at large

    def header(self, name: str) -> str | None:
        """The first value line of a header, unfolded; `name` in any case, long or compact."""
        long, short = _spellings(name)
        at: cython.Py_ssize_t = self._seek(long, short, self._at)
        return None if at < 0 else self._value(at)

    def headers(self, name: str) -> list[str]:
        """Each value line of a header, in order."""
        long, short = _spellings(name)
        found: list[str] = []
        at: cython.Py_ssize_t = self._seek(long, short, self._at)
        while at >= 0:
            found.append(self._value(at))
            at = self._seek(long, short, _find(self._head, LF, at, self._end) + 1)
        return found

    def values(self, name: str) -> list[str]:
        """The values of a header that may be a comma-separated list (7.3.1): Via, Contact, Route."""
        return [value for line in self.headers(name) for value in _split_list(line)]

    def _seek(self, long: bytes, short: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the value of the next header of that name begins, from the line at `at` on; -1: none."""
        stop: cython.Py_ssize_t
        colon: cython.Py_ssize_t
        name_end: cython.Py_ssize_t
        octet: cython.int
        first: cython.int = long[0] if long else COLON
        only: cython.int = short[0] if short else first
        if not self._names & (_mark(first, len(long)) | _mark(only, len(short))):
            return -1
        while at < self._end:
            stop = _find(self._head, LF, at, self._end)
            octet = self._head[at] | LOWER  # most names differ in their first letter
            colon = _find(self._head, COLON, at, stop) if octet in (first, only) else stop
            if colon < stop:
                name_end = _name_end(self._head, at, colon)
                if _is(self._head, at, name_end, long) or (short and _is(self._head, at, name_end, short)):
                    return colon + 1
            at = stop + 1
        return -1

    def _value(self, at: cython.Py_ssize_t) -> str:
        return _text(self._head, at, _find(self._head, LF, at, self._end))

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
            self._from = parse_uri(_address_at(self._head, self._from_at, self._from_end))
        return self._from

    def _to_uri(self) -> Uri:
        if self._to is None:
            self._to = parse_uri(_address_at(self._head, self._to_at, self._to_end))
        return self._to

    def _request_uri(self) -> Uri:
        if self._request is None:
            self._request = parse_uri(self.uri)
        return self._request

    @property
    def via_sent_by(self) -> str:
        """`host[:port]` of the top Via as written, "" if it cannot be read."""
        matched = re.match(_SENT_BY, self.top_via)
        return matched[1].strip() if matched else ""

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
        return _address(_split_list(text)[0])[0] if text else None

    # Single values

    @property
    def user_agent(self) -> str | None:
        """User-Agent, or Server of a response that has none."""
        return self.header("user-agent") or self.header("server")

    @property
    def session_expires(self) -> tuple[int, str | None] | None:
        """RFC 4028: (seconds, "uac" or "uas" or None where the refresher is not named)."""
        seconds = self.session_seconds
        if seconds is None:
            return None
        refresher = dict(_parameters(self.header("session-expires") or "")).get("refresher", "").lower()
        return seconds, refresher if refresher in ("uac", "uas") else None

    @property
    def session_seconds(self) -> int | None:
        """RFC 4028: the session's interval, whoever refreshes it."""
        return _seconds(self.header("session-expires"))

    @property
    def retry_after(self) -> int | None:
        """Seconds of Retry-After (20.33)."""
        return _seconds(self.header("retry-after"))

    @property
    def replaces(self) -> tuple[str, str, str] | None:
        """RFC 3891: (Call-ID, to-tag, from-tag) of the dialog to replace; None unless all three are there."""
        text = self.header("replaces")
        if text is None:
            return None
        call_id, semicolon, rest = text.partition(";")
        found = dict(_parameters(semicolon + rest))
        if not call_id.strip() or "to-tag" not in found or "from-tag" not in found:
            return None
        return call_id.strip(), found["to-tag"], found["from-tag"]

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
        """What follows the headers, as far as captured and no farther than Content-Length (18.3)."""
        length = self.content_length
        return self.data[self._body_at : None if length is None else self._body_at + length]

    @property
    def truncated(self) -> bool:
        """Cut short by the capture or the sender: headers without end, or less body than Content-Length."""
        return not self._whole or (self.content_length or 0) > len(self.data) - self._body_at

    @property
    def sdp(self) -> bytes | None:
        """The session description: the body, or the first such part of a multipart one."""
        body = self.body
        if not body:
            return None
        kind = self.header("content-type") or ""
        return body if kind == "application/sdp" else _find_part(body, kind, b"application/sdp", 0)


def parse(data: bytes) -> Message:
    """Read one message; bytes beyond its Content-Length are ignored.

    Raises:
        WireError: SIP_START_LINE, SIP_HEADER (CSeq unreadable), SIP_MISSING_HEADER, or SIP_TRUNCATED (a
            header is missing and the headers have no end).
    """
    return Message(data)


# Bytes of the head


def _find(data: bytes, octet: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The first place of `octet` in `data[at:end]`, `end` where it is not there."""
    found: cython.Py_ssize_t
    if cython.compiled:
        found = find_octet(data, octet, at, end)  # type: ignore[name-defined] # noqa: F821
    else:
        found = data.find(octet, at, end)
    return end if found < 0 else found


def _begins(data: bytes, what: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether `data[at:end]` begins with `what`, letter for letter."""
    if cython.compiled:
        return begins_with(data, what, at, end)  # type: ignore[name-defined] # noqa: F821
    return data.startswith(what, at, end)


def _start(data: bytes, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where a start line may begin: behind any line ends."""
    at: cython.Py_ssize_t = 0
    while at < end and (data[at] == CR or data[at] == LF):
        at += 1
    return at


def _token_end(data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the token (25.1) at `at` ends."""
    octet: cython.int
    while at < end:
        octet = data[at]
        if not (97 <= octet | LOWER <= 122 or 48 <= octet <= 57 or octet in b".!%*_+`'~-"):
            break
        at += 1
    return at


def _looks_like_status(data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether at `at` are a version, blanks and a status."""
    if end - at < 4 or not (_is_digit(data[at]) and data[at + 1] == DOT and _is_digit(data[at + 2])):
        return False
    at += 3
    if data[at] != SPACE:
        return False
    while at < end and data[at] == SPACE:
        at += 1
    return _status(data, at, end) != 0


def _status(data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """The three digits at `at`, from 100 to 699; 0 where there is something else, or a fourth."""
    if end - at < 3 or not (_is_digit(data[at]) and _is_digit(data[at + 1]) and _is_digit(data[at + 2])):
        return 0
    if end - at > 3 and _is_digit(data[at + 3]):
        return 0
    status: cython.int = 100 * data[at] + 10 * data[at + 1] + data[at + 2] - 111 * 48
    return status if 100 <= status < 700 else 0


def _is_digit(octet: cython.int) -> cython.bint:
    return 48 <= octet <= 57


def _method(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
    """Which of the usual methods `head[at:end]` is; None for any other."""
    word: bytes
    method: str
    for word, method in _NAMED:
        if end - at == len(word) and _begins(head, word, at, end):
            return method
    return None


def _needed(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
    """Which of the five that identify a message is the name `head[at:stop]`; 0: none of them."""
    first: cython.int = head[at] | LOWER
    length: cython.Py_ssize_t = stop - at
    if first == ord("c"):
        if length == 7 and _is(head, at, stop, b"call-id"):
            return CALL_ID
        return CSEQ if length == 4 and _is(head, at, stop, b"cseq") else 0
    if first == ord("v"):
        return VIA if length == 1 or (length == 3 and _is(head, at, stop, b"via")) else 0
    if first == ord("f"):
        return FROM if length == 1 or (length == 4 and _is(head, at, stop, b"from")) else 0
    if first == ord("t"):
        return TO if length == 1 or (length == 2 and _is(head, at, stop, b"to")) else 0
    return CALL_ID if first == ord("i") and length == 1 else 0


def _mark(first: cython.int, length: cython.Py_ssize_t) -> cython.ulonglong:
    """The bit of `_names` that names of that first letter and length share."""
    bit: cython.ulonglong = 1
    return bit << (((first | LOWER) + 7 * length) & 63)


def _is_blank(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.bint:
    """Whether nothing is left of a value that begins at `at`."""
    return at >= stop or (not 33 <= head[at] <= 126 and not _text(head, at, stop))


def _name_end(head: bytes, at: cython.Py_ssize_t, colon: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where a header's name ends: 25.1 allows blanks before the colon, and we any such octet."""
    while colon > at and head[colon - 1] <= SPACE:
        colon -= 1
    return colon


def _is(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t, name: bytes) -> cython.bint:
    """Whether `head[at:stop]` is `name`, which is in lower case (7.3.1: names are case-insensitive)."""
    place: cython.Py_ssize_t
    octet: cython.int
    if stop - at != len(name):
        return False
    for place in range(stop - at):
        octet = head[at + place]
        if 65 <= octet <= 90:
            octet += 32
        if octet != name[place]:
            return False
    return True


def _text(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> str:
    """The text of `head[at:stop]`, as identifiers are compared."""
    while at < stop and head[at] == SPACE:
        at += 1
    if at < stop and head[stop - 1] == CR:
        stop -= 1
    text = head[at:stop].decode("utf-8", "backslashreplace")
    # Most text has nothing to strip, which its ends show.
    return text if at < stop and 33 <= head[at] <= 126 and 33 <= head[stop - 1] <= 126 else text.strip()


def stripped(text: str) -> str:
    """`text.strip()`; most text has nothing to strip, which its ends show."""
    if text and "!" <= text[0] <= "~" and "!" <= text[len(text) - 1] <= "~":
        return text
    return text.strip()


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
        if len(_spelled) >= _SPELLINGS_MAX:  # what is asked for comes from our code and configuration
            _spelled.clear()
        lowered = name.strip().lower()
        long = _COMPACT.get(lowered, lowered)
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


# Values


def _tag_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The tag of the From or To value `head[at:end]`; "" if there is none."""
    # 20.10: parameters after the bracket are the header's; without brackets all of them are.
    close: cython.Py_ssize_t = end
    while close > at and head[close - 1] != GREATER:
        close -= 1
    if close == end == _find(head, GREATER, at, end) + 1 and _find(head, LESS, at, end) < end:
        return ""  # one bracket closes, and nothing follows
    tag = _parameter_at(head, b";tag=", close, end)
    if tag is not None:
        return tag
    value = _text(head, at, end)
    return dict(_parameters(_address(value)[1])).get("tag", "") if "tag" in value.lower() else ""


def _address_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The URI of the From or To value `head[at:end]`."""
    opened: cython.Py_ssize_t = _find(head, LESS, at, end)
    closed: cython.Py_ssize_t = _find(head, GREATER, opened, end)
    quote: cython.Py_ssize_t = _find(head, QUOTE, at, opened)
    if quote < opened:  # a display name; with two quotes before the bracket and no escape they are its own
        quote = _find(head, QUOTE, quote + 1, opened)
        if (
            quote == opened
            or _find(head, QUOTE, quote + 1, opened) < opened
            or _find(head, BACKSLASH, at, opened) < opened
        ):
            closed = end
    if closed < end:
        return _text(head, opened + 1, closed)
    return str(_address(_text(head, at, end))[0])


def _branch_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The branch parameter of the first of the Via values `head[at:end]`; "" if there is none."""
    if _find(head, COMMA, at, end) < end:
        head = _split_list(_text(head, at, end))[0].encode()
        at, end = 0, len(head)
    branch = _parameter_at(head, b";branch=", at, end)
    return dict(_parameters(_text(head, at, end))).get("branch", "") if branch is None else branch


def _parameter_at(head: bytes, name: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
    """What follows `name`, which is `;...=`, in `head[at:end]`; None where a closer look must decide."""
    if _find(head, QUOTE, at, end) < end:
        return None
    at = _find(head, SEMICOLON, at, end)
    while at < end:
        if _begins(head, name, at, end):
            at += len(name)
            return _text(head, at, _find(head, SEMICOLON, at, end))
        at = _find(head, SEMICOLON, at + 1, end)
    return None


def _seconds(text: str | None) -> int | None:
    """The number with which a value begins; None where there is none, or one of more than ten digits."""
    length: cython.Py_ssize_t = 0
    if text is None:
        return None
    while length < len(text) and "0" <= text[length] <= "9":
        length += 1
    seconds: cython.longlong = digits(text[:length], 10)
    return seconds if seconds >= 0 else None


def _address(value: str) -> tuple[str, str]:
    """(URI, header parameters) of `name-addr / addr-spec` (20.10)."""
    opened: cython.Py_ssize_t = value.find("<")
    closed: cython.Py_ssize_t = value.find(">", opened) if opened >= 0 else -1
    if closed >= 0 and value.find('"', 0, opened) < 0:  # no display name, or one without quotes
        return stripped(value[opened + 1 : closed]), value[closed + 1 :]
    matched = _NAME_ADDR.match(value)
    if matched:
        return matched[1].strip(), matched[2]
    if "<" in value:  # an unbalanced quote before it
        uri, _, rest = value.partition("<")[2].partition(">")
        return uri.strip(), rest
    uri, semicolon, rest = value.partition(";")
    return uri.strip(), semicolon + rest


def _parameters(text: str) -> list[tuple[str, str]]:
    """`;name=value` pairs, names in lower case, quotes removed, last first: `dict` of it keeps the first."""
    pairs = [(name.lower(), _unquoted(value)) for name, value in _PARAMETER.findall(text)]
    pairs.reverse()
    return pairs


def _unquoted(value: str) -> str:
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1 : len(value) - 1])
    return value


def _unescaped(user: str) -> str:
    """19.1.2: %HH decoded, unless that makes a character nobody can print (RFC 4475 3.1.1.5: %00)."""
    if "%" not in user:
        return user
    from urllib.parse import unquote  # seldom needed: 2 ms a start

    plain = unquote(user, errors=_ERRORS)
    return plain if plain.isprintable() else user


def _split_list(line: str) -> list[str]:
    """Split at the commas outside quotes and angle brackets; after an unbalanced one nothing is split."""
    if "," not in line:
        return [line]
    values = []
    start = at = 0
    while stop := _LIST_STOP.search(line, at):
        at = stop.end()
        if stop[0] == ",":
            values.append(line[start : at - 1].strip())
            start = at
        elif stop[0] == "<":
            at = line.find(">", at) + 1
        else:
            rest = _QUOTE_REST.match(line, at)
            at = rest.end() if rest else 0
        if not at:
            break
    values.append(line[start:].strip())
    return [value for value in values if value] or [""]


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
        blank = _BLANK_LINE.search(b"\n" + part)
        if not blank:
            continue
        head, inner = part[: max(blank.start() - 1, 0)], part[blank.end() - 1 :].removesuffix(b"\r")
        text = str(re.sub(_FOLD, b" ", head.replace(b"\r\n", b"\n")), "utf-8", _ERRORS)
        fields = {
            name.strip().lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in text.split("\n"))
            if colon
        }
        found = _find_part(inner, fields.get("content-type") or fields.get("c") or "", wanted, depth + 1)
        if found is not None:
            return found
    return None


# Every message is logged, most have nothing to hide: look before the text is searched.
@lru_cache(maxsize=8)
def _redaction(headers: tuple[str, ...]) -> tuple[list[bytes], re.Pattern[str]]:
    names = "|".join(re.escape(name) for name in sorted(headers, key=len, reverse=True))
    pattern = rf"^({names})([ \t]*:)[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*|\r(?!\n)[^\r\n]*)*"
    flags = re.ASCII | re.IGNORECASE | re.MULTILINE  # names are tokens, and those are ASCII (25.1)
    return [name.lower().encode() for name in headers], re.compile(pattern, flags)


def _has_line(data: bytes, names: list[bytes]) -> cython.bint:
    """Whether a line of `data` begins with one of `names`, which are in lower case."""
    name: bytes
    first: cython.int
    at: cython.Py_ssize_t = 0
    end: cython.Py_ssize_t = len(data)
    while at < end:
        first = data[at] | LOWER
        for name in names:
            if (not name or name[0] == first) and _is(data, at, min(at + len(name), end), name):
                return True
        at = _find(data, LF, at, end) + 1
    return False


def redacted(data: bytes, headers: tuple[str, ...] = ("authorization", "proxy-authorization")) -> str:
    """The message as text for the log, each value of `headers`, folds included, replaced by `<removed>`.

    Bytes that are no UTF-8 become U+FFFD; all else is unchanged. A message quoted in the body
    (message/sipfrag) is treated alike.
    """
    text = data.decode("utf-8", "replace")
    if headers:
        names, pattern = _redaction(headers)
        if _has_line(data, names):
            return pattern.sub(r"\1\2 <removed>", text)
    return text
