# cython: language_level=3
"""SIP messages (RFC 3261) as a listener reads them: five headers at once, the rest when asked.

A listener is lenient: it accepts what a tolerant stack would, in any case, with compact names (7.3.3), folded
lines (7.3.1), bare LF, blanks around anything. It rejects only what cannot be tracked: no start line, or no
Call-ID, From, To, CSeq or Via (8.1.1). Of a header that should be single the first counts.

Text is UTF-8 (7.1); a byte that is not becomes `\\xNN`, so that two identifiers which differ stay different.
Hosts are in lower case and IPv6 addresses without their brackets; users are unescaped and without password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar, overload
from urllib.parse import unquote

from agent.errors import Reason, WireError

T = TypeVar("T")

_ERRORS = "backslashreplace"
_CSEQ_MAX = 0xFFFF_FFFF  # 8.1.1.5: a 32-bit unsigned integer
_NESTING_MAX = 3  # multipart in multipart in ...: the depth is the sender's choice, the stack is ours

# 7.3.3 and the IANA registry of compact forms
_COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to",
    "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip

# What `parse` needs, numbered; 0 is a frequent name that it does not need. Other spellings go the slow way.
_VIA, _FROM, _TO, _CALL_ID, _CSEQ = range(1, 6)
_NEEDED: dict[str, int] = {
    name: number
    for number, names in enumerate(
        ("Via v V", "From f F", "To t T", "Call-ID Call-Id i I", "CSeq Cseq"), start=_VIA
    )
    for spelling in names.split()
    for name in (spelling, spelling.lower(), spelling.upper())
}
_FREQUENT = """
Accept Allow Allow-Events Authorization Contact Content-Disposition Content-Length Content-Type Date
Diversion Event Expires History-Info Max-Forwards Min-SE Organization P-Asserted-Identity P-Charging-Vector
P-Early-Media Privacy Proxy-Authenticate Proxy-Authorization RAck RSeq Reason Record-Route Remote-Party-ID
Require Route Server Session-Expires Session-ID Subject Supported User-Agent WWW-Authenticate Warning
X-VoiceConnector-ID
"""
_NEEDED.update(dict.fromkeys(_FREQUENT.split(), 0))

# As they are usually written, and asked for: to the long name in lower case.
_LONG = {
    spelling: _COMPACT.get(name.lower(), name.lower())
    for name in (*_NEEDED, *_FREQUENT.split(), *_COMPACT)
    for spelling in (name, name.lower())
}

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\n[ \t]+")  # 7.3.1: the line break and the blanks after it are one SP
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")  # 25.1 token
_VERSION = re.compile(r"SIP/[0-9]{1,3}\.[0-9]{1,3}", re.IGNORECASE)
# Patterns meet hostile text of 64 KiB, so none may scan one stretch twice: no two neighbouring repeats that
# match the same characters, none that is tried again from each character of what it failed on.
# 25.1: quoted-string = DQUOTE *(qdtext / quoted-pair) DQUOTE
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_NAME_ADDR = re.compile(rf'(?:\s*{_QUOTED}\s*|[^<"]*+)<([^>]*)>(.*)', re.DOTALL)
_PARAMETER = re.compile(rf';\s*([^\s;=,"]+)\s*(?:=\s*({_QUOTED}|[^\s;,]*))?')
_LIST_STOP = re.compile(r'[",<]')
_QUOTE_REST = re.compile(r'(?:[^"\\]|\\.)*+"', re.DOTALL)
_SENT_BY = re.compile(r"\s*SIP\s*/\s*[\w.]+\s*/\s*[\w-]+\s+([^;,]*)", re.IGNORECASE)
_URI = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)\s*:(.*)", re.DOTALL)
_HOST = re.compile(r"\s*(?:\[([^\]]*)\]?|([^\s:;?>]*))\s*(?::\s*(\d{1,5}))?")
_NUMBER = re.compile(r"\s*[+\d*#(%][\d().*#A-Fa-f%-]*(?=;)")
_DIGITS = re.compile(r"\s*([0-9]{1,10})(?![0-9])")
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;,"]+))', re.IGNORECASE)
_LOOKS = re.compile(
    rb"[\r\n]*+(?:SIP/[0-9]\.[0-9] ++[1-6][0-9]{2}(?![0-9])|[A-Za-z0-9.!%*_+`'~-]{1,64}(?= )[^\n]* SIP/)",
    re.IGNORECASE,
)


class Uri(NamedTuple):
    """A SIP, SIPS or tel URI: `user` unescaped, `host` bare, in lower case; `port` None where not given."""

    scheme: str
    user: str
    host: str
    port: int | None


def parse_uri(text: str) -> Uri:
    """The parts of a URI (RFC 3261 19.1, RFC 3966); empty strings for what is not there."""
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
    else:
        # A raw "@" in the user is illegal but seen (user@domain@sbc): the host follows the last one.
        more, again, last = re.split(r"[;?]", host, maxsplit=1)[0].rpartition("@")
        if again:
            user, host = f"{user}@{more}", last + host[len(more) + 1 + len(last) :]
    user = user.partition(":")[0]
    if ";" in user and (number_only := _NUMBER.match(user)):
        user = number_only[0]  # 19.1.6 telephone-subscriber: its parameters are no part of the number
    found = _HOST.match(host)
    assert found  # every part of the pattern may be empty
    port = int(found[3]) if found[3] else None
    return Uri(scheme, _unescaped(user.strip()), (found[1] or found[2] or "").lower(), port)


def looks_like_sip(data: bytes) -> bool:
    """Whether a datagram or stream position begins with a SIP start line (leading CRLFs allowed, 7.5)."""
    return _LOOKS.match(data, 0, 4096) is not None


class _Lazy(Generic[T]):
    """An attribute computed when first read, then kept in the instance (no lock, unlike cached_property)."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> _Lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | _Lazy[T]:
        if instance is None:
            return self
        value = self._compute(instance)
        instance.__dict__[self._name] = value
        return value


class Message:
    """One SIP message. What identifies it is read by `parse`; everything else when first asked for."""

    __slots__ = (
        "__dict__", "_body_at", "_lines", "_whole", "branch", "call_id", "cseq", "cseq_method", "data",
        "from_tag", "from_text", "is_request", "method", "reason", "status", "to_tag", "to_text",
        "top_via", "uri",
    )  # fmt: skip

    data: bytes  # the whole message as captured
    is_request: bool
    method: str  # of a response: from CSeq
    status: int  # 0 for requests
    reason: str
    uri: str  # the Request-URI; "" for responses
    call_id: str
    from_text: str  # the header's whole value
    from_tag: str  # "" if there is none
    to_text: str
    to_tag: str
    cseq: int
    cseq_method: str
    top_via: str  # the first Via value
    branch: str  # of the top Via; "" from an RFC 2543 sender
    _lines: list[str]  # the headers, unfolded
    _body_at: int
    _whole: bool  # the blank line after the headers was captured

    def __repr__(self) -> str:
        what = self.uri if self.is_request else f"{self.status} {self.reason}"
        return f"<Message {self.method} {what} call_id={self.call_id!r} cseq={self.cseq}>"

    # Headers at large

    @_Lazy
    def _index(self) -> dict[str, list[str]]:
        """The values of each header in order, by its long name in lower case."""
        index: dict[str, list[str]] = {}
        for line in self._lines:
            name, colon, value = line.partition(":")
            if colon:
                long = _LONG.get(name) or _long(name)
                if long in index:
                    index[long].append(value.strip())
                else:
                    index[long] = [value.strip()]
        return index

    def headers(self, name: str) -> list[str]:
        """Each value line of a header, in order, unfolded; `name` in any case, long or compact."""
        return self._index.get(_LONG.get(name) or _long(name), [])

    def header(self, name: str) -> str | None:
        """The first value line of a header."""
        lines = self._index.get(_LONG.get(name) or _long(name))
        return lines[0] if lines else None

    def values(self, name: str) -> list[str]:
        """The values of a header that may be a comma-separated list (7.3.1): Via, Contact, Route."""
        return [value for line in self.headers(name) for value in _split_list(line)]

    # Addresses

    @_Lazy
    def _from(self) -> Uri:
        return parse_uri(_address(self.from_text)[0])

    @_Lazy
    def _to(self) -> Uri:
        return parse_uri(_address(self.to_text)[0])

    @_Lazy
    def _request(self) -> Uri:
        return parse_uri(self.uri)

    @property
    def from_user(self) -> str:
        return self._from.user

    @property
    def from_host(self) -> str:
        return self._from.host

    @property
    def to_user(self) -> str:
        return self._to.user

    @property
    def to_host(self) -> str:
        return self._to.host

    @property
    def uri_user(self) -> str:
        return self._request.user

    @property
    def uri_host(self) -> str:
        return self._request.host

    @_Lazy
    def via_sent_by(self) -> str:
        """`host[:port]` of the top Via as written, "" if it cannot be read."""
        matched = _SENT_BY.match(self.top_via)
        return matched[1].strip() if matched else ""

    @_Lazy
    def contact(self) -> str | None:
        """The URI of the first Contact."""
        return self._address_header("contact")

    @_Lazy
    def refer_to(self) -> str | None:
        """The URI of Refer-To (RFC 3515)."""
        return self._address_header("refer-to")

    def _address_header(self, name: str) -> str | None:
        text = self.header(name)
        return _address(_split_list(text)[0])[0] if text else None

    # Single values

    @_Lazy
    def user_agent(self) -> str | None:
        """User-Agent, or Server of a response that has none."""
        return self.header("user-agent") or self.header("server")

    @_Lazy
    def session_expires(self) -> tuple[int, str | None] | None:
        """RFC 4028: (seconds, "uac" or "uas" or None where the refresher is not named)."""
        text = self.header("session-expires")
        if not text or not (matched := _DIGITS.match(text)):
            return None
        refresher = dict(_parameters(text)).get("refresher", "").lower()
        return int(matched[1]), refresher if refresher in ("uac", "uas") else None

    @_Lazy
    def retry_after(self) -> int | None:
        """Seconds of Retry-After (20.33)."""
        matched = _DIGITS.match(self.header("retry-after") or "")
        return int(matched[1]) if matched else None

    @_Lazy
    def replaces(self) -> tuple[str, str, str] | None:
        """RFC 3891: (Call-ID, to-tag, from-tag) of the dialog to replace; None unless all three are there."""
        call_id, semicolon, rest = (self.header("replaces") or "").partition(";")
        found = dict(_parameters(semicolon + rest))
        if not call_id.strip() or "to-tag" not in found or "from-tag" not in found:
            return None
        return call_id.strip(), found["to-tag"], found["from-tag"]

    # Body

    @_Lazy
    def content_type(self) -> str:
        """Media type in lower case without parameters; "" if there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @_Lazy
    def content_length(self) -> int | None:
        """None where absent or not a number."""
        matched = _DIGITS.fullmatch(self.header("content-length") or "")
        return int(matched[1]) if matched else None

    @_Lazy
    def body(self) -> bytes:
        """What follows the headers, as far as captured and no farther than Content-Length (18.3)."""
        rest = self.data[self._body_at :]
        return rest if self.content_length is None else rest[: self.content_length]

    @_Lazy
    def truncated(self) -> bool:
        """Cut short by the capture or the sender: headers without end, or less body than Content-Length."""
        return not self._whole or (self.content_length or 0) > len(self.data) - self._body_at

    @_Lazy
    def sdp(self) -> bytes | None:
        """The session description: the body, or the first such part of a multipart one."""
        body = self.body
        if not body:
            return None
        return _find_part(body, self.header("content-type") or "", b"application/sdp", 0)


def _long(name: str) -> str:
    name = name.strip().lower()
    return _COMPACT.get(name, name)


def parse(data: bytes) -> Message:
    """Read one message; bytes beyond its Content-Length are ignored.

    Raises:
        WireError: SIP_START_LINE, SIP_HEADER (CSeq unreadable), SIP_MISSING_HEADER, or SIP_TRUNCATED (a
            header is missing and the headers have no end).
    """
    start = 0
    if data[:1] in (b"\r", b"\n"):  # 7.5: ignore any CRLF before the start line
        start = len(data) - len(data.lstrip(b"\r\n"))
    end = data.find(b"\r\n\r\n", start)
    head = str(data[start:end], "utf-8", _ERRORS) if end >= 0 else ""
    lines = head.split("\r\n")
    message = Message()
    if end >= 0 and head.count("\n") == len(lines) - 1 and "\n " not in head and "\n\t" not in head:
        message._body_at = end + 4
        message._whole = True
    else:
        head, message._body_at, message._whole = _untidy_head(data, start)
        lines = head.split("\n")
    message.data = data
    _start_line(message, lines[0])
    del lines[0]
    message._lines = lines

    found = ["", "", "", "", "", ""]
    missing = 5
    for line in lines:
        name, _, value = line.partition(":")
        number = _NEEDED.get(name)
        if number is None:
            number = _NEEDED.get(name.strip().lower(), 0)
        if number and not found[number]:
            found[number] = value = value.strip()
            if value:
                missing -= 1
                if not missing:
                    break
    if missing:
        raise WireError(Reason.SIP_MISSING_HEADER if message._whole else Reason.SIP_TRUNCATED)

    _, via, message.from_text, message.to_text, message.call_id, cseq = found
    message.from_tag = _tag(message.from_text)
    message.to_tag = _tag(message.to_text)

    if "," in via:
        via = _split_list(via)[0]
    message.top_via = via
    at = via.find(";branch=")
    if at >= 0 and '"' not in via:
        stop = via.find(";", at + 8)
        message.branch = (via[at + 8 : stop] if stop >= 0 else via[at + 8 :]).strip()
    else:
        message.branch = dict(_parameters(via)).get("branch", "")

    words = cseq.split()
    if len(words) < 2 or not (words[0].isdigit() and words[0].isascii()) or len(words[0]) > 20:
        raise WireError(Reason.SIP_HEADER, "CSeq")
    message.cseq = int(words[0])
    if message.cseq > _CSEQ_MAX:
        raise WireError(Reason.SIP_HEADER, "CSeq")
    message.cseq_method = words[1]
    if not message.is_request:
        message.method = words[1]
    return message


def _untidy_head(data: bytes, start: int) -> tuple[str, int, bool]:
    """Headers with bare LF, folds or no end: (lines joined by LF, where the body starts, whether whole)."""
    blank = _BLANK_LINE.search(data, start)
    if blank:
        head, body_at = data[start : blank.start()], blank.end()
    else:
        # Cut by the snap length: the last line counts only if its end was captured.
        head, body_at = data[start : data.rfind(b"\n") + 1], len(data)
    text = str(head, "utf-8", _ERRORS).replace("\r\n", "\n").rstrip("\n")
    return _FOLD.sub(" ", text), body_at, blank is not None


def _start_line(message: Message, line: str) -> None:
    if line[:4].upper() == "SIP/":  # Status-Line (7.2); the reason phrase and its space are often missing
        words = line.split(None, 2)
        code = words[1] if len(words) > 1 else ""
        if len(code) != 3 or not code.isascii() or not code.isdigit() or not "1" <= code[0] <= "6":
            raise WireError(Reason.SIP_START_LINE)
        if words[0] != "SIP/2.0" and not _VERSION.fullmatch(words[0]):
            raise WireError(Reason.SIP_START_LINE)
        message.is_request = False
        message.status = int(code)
        message.reason = words[2] if len(words) > 2 else ""
        message.uri = ""
        return
    words = line.split(" ")
    if len(words) != 3:  # blanks doubled, trailing or inside the URI: method first, version last, URI between
        method, _, rest = line.strip().partition(" ")
        uri, _, version = rest.strip().rpartition(" ")
        words = [method, uri.strip(), version]
    method, uri, version = words
    if version != "SIP/2.0" and not _VERSION.fullmatch(version):
        raise WireError(Reason.SIP_START_LINE)
    if not uri or not ((method.isascii() and method.isalpha()) or _TOKEN.fullmatch(method)):
        raise WireError(Reason.SIP_START_LINE)
    message.is_request = True
    message.method = method
    message.status = 0
    message.reason = ""
    message.uri = uri[1:-1] if uri[0] == "<" and uri[-1] == ">" else uri


def _tag(value: str) -> str:
    """The tag of a From or To value; "" if there is none."""
    # 20.10: parameters after the bracket are the header's; without brackets all of them are.
    close = value.rfind(">") + 1
    at = value.find(";tag=", close)
    if at >= 0 and '"' not in value[close:]:
        stop = value.find(";", at + 5)
        return (value[at + 5 : stop] if stop >= 0 else value[at + 5 :]).strip()
    if "tag" not in value and "tag" not in value.lower():
        return ""
    return dict(_parameters(_address(value)[1])).get("tag", "")


def _address(value: str) -> tuple[str, str]:
    """(URI, header parameters) of `name-addr / addr-spec` (20.10)."""
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
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _unescaped(user: str) -> str:
    """19.1.2: %HH decoded, unless that makes a character nobody can print (RFC 4475 3.1.1.5: %00)."""
    if "%" not in user:
        return user
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
    named = _BOUNDARY.search(content_type)
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
        text = _FOLD.sub(" ", str(head, "utf-8", _ERRORS).replace("\r\n", "\n"))
        fields = {
            name.strip().lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in text.split("\n"))
            if colon
        }
        found = _find_part(inner, fields.get("content-type") or fields.get("c") or "", wanted, depth + 1)
        if found is not None:
            return found
    return None


# Every message is logged, most have nothing to hide: look before decoding twice.
@lru_cache(maxsize=8)
def _redaction(headers: tuple[str, ...]) -> tuple[tuple[bytes, ...], re.Pattern[str]]:
    names = "|".join(re.escape(name) for name in sorted(headers, key=len, reverse=True))
    pattern = rf"^({names})([ \t]*:)[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*|\r(?!\n)[^\r\n]*)*"
    return tuple(name.lower().encode() for name in headers), re.compile(pattern, re.IGNORECASE | re.MULTILINE)


def redacted(data: bytes, headers: tuple[str, ...] = ("authorization", "proxy-authorization")) -> str:
    """The message as text for the log, each value of `headers`, folds included, replaced by `<removed>`.

    Bytes that are no UTF-8 become U+FFFD; all else is unchanged. A message quoted in the body
    (message/sipfrag) is treated alike.
    """
    text = str(data, "utf-8", "replace")
    if headers:
        names, pattern = _redaction(headers)
        lowered = data.lower()
        if any(name in lowered for name in names):
            return pattern.sub(r"\1\2 <removed>", text)
    return text
