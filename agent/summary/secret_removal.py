"""The rules by which secrets go out of a SIP message.

The structure of a message decides (RFC 3261 7.3, 7.4; RFC 2046 5.1; RFC 8866 5), not the look of its lines:

    head           each header stays; values of `SECRET_HEADERS`, of configured ones and of names with one
                   of `SECRET_WORDS` become `<removed>`
    Identity       the signature goes; header, claims and parameters stay (RFC 8224 4)
    URI            `user:password@` becomes `user:***@`, in a URI's own headers too (RFC 3261 19.1.1)
    parameter      values of names with one of `SECRET_WORDS` (`;token=...`), and answers and keys of a
                   digest (RFC 7616 3.4, RFC 3310) in whatever header, become `***`
    SDP            keys and passwords go: `k=` (RFC 8866 5.12) and the lines that `_SECRET_LINE` names
    other bodies   become `<removed TYPE, N bytes>`, but of `SIGNALLING`; multipart: part by part; so does
                   what is encoded (base64, quoted-printable, gzip): nobody looked into it

The sender's spelling changes nothing: compact names, folds (before the colon too), bare CR or LF, blanks and
octets that are no letters in a name. In doubt a value is removed. Each pass is linear in the message.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from agent.summary.secret_names import ENCODINGS, SECRET_PARAMETERS, SECRET_WORDS, WORDS
from agent.wire.sip.message_cy import COMPACT
from agent.wire.sip.values_cy import parameters

_PLAIN = ("", "identity", "7bit", "8bit", "binary")
SIGNALLING = ("application/sdp", "message/sip", "message/sipfrag", "application/vq-rtcpxr")
NESTING_MAX = 3  # multipart in sipfrag in ...: the depth is the sender's choice, the stack is ours
NAME_MAX = 40  # of names that are remembered
BOUNDARY_MAX = 256  # RFC 2046 5.1.1 allows 70
REMOVED = "<removed>"
HIDDEN = "***"  # where a URI shall stay one: these are legal in it

# Text is Latin-1 here: a character is an octet, whatever the encoding.
_BLANKS = (" ", "\t")
_TOKEN = r"A-Za-z0-9.!%*_+`'~\-"  # RFC 3261 25.1
_NO_TOKEN = re.compile(rf"[^{_TOKEN}]+")
_NAME = re.compile(rf"[{_TOKEN}][{_TOKEN}\x00-\x20\x7f-\xff]*+")  # blanks and odd octets after it
_LINE = re.compile(r"([^\r\n]*+)(\r++\n?|\n|\Z)")
_HEAD_END = re.compile(r"\n\r*+\n|\A\r*+\n")
_COLON_FIRST = re.compile(r"[\r\n][ \t\xa0]*+:")
_BEFORE_COLON = re.compile(r"(?<=[^\s])[ \t\xa0]*+(?:\r++\n?|\n)\s*+(?=:)")
# A URI's characters together: all between brackets, folds too, or up to a blank.
_RUN = re.compile(r'<(?:[^<>\r\n]++|\r++\n?[ \t]|\n[ \t])*+>|[^\s<>"]++', re.ASCII)
_SCHEME = re.compile(r"sips?[ \t]*+:(?!//)|[a-z][a-z0-9+.-]{0,31}+://", re.IGNORECASE)
_PORT = re.compile(r"\d{1,5}(?:[;?>]|\Z)")  # a colon before one is no password's
_AFTER_AUTHORITY = re.compile(r"[/?#]")  # RFC 3986 3.2
_BLANK = r"(?:[ \t]|\r++\n?[ \t]|\n[ \t])*+"  # folds too
_WORD = re.compile("|".join(SECRET_WORDS))
_CREDENTIAL = re.compile(
    rf"((?:[;?&#,]{_BLANK}|[ \t\n])(?=[\w.+-]{{1,80}}+{_BLANK}=)"
    rf"(?:[\w.+-]{{0,32}}?(?=[acpst])(?:{_WORD.pattern})[\w.+-]{{0,32}}+|{'|'.join(SECRET_PARAMETERS)}){_BLANK}={_BLANK})"
    r'(?:"(?:[^"\\\r\n]|\\[^\r\n]|\r?\n[ \t])*+"?|[^;&<>\s,"]++)*+',
    re.ASCII | re.IGNORECASE,
)
_ESCAPED_NAME = re.compile(
    rf"(?<=[;?&])([\w.+-]{{0,32}}+%[\w.+%-]{{1,64}}+)(?={_BLANK}=)", re.ASCII
)  # 19.1.1: any name may be escaped
_BEARER = re.compile(r"(:[ \t]*+bearer[ \t]++)[^\s,;]++", re.IGNORECASE)  # RFC 8898, in another header
# At the end of a message that the snap length cut: the @ did not come any more.
_CUT_PASSWORD = re.compile(
    rf"((?:{_SCHEME.pattern})[^\s<>@:\[?;]{{0,256}}+:)[^\s<>@]{{1,256}}+\Z", re.IGNORECASE
)
_ESCAPED_PASSWORD = re.compile(
    r"(sips?%3a(?:[^\s<>\"@;?&%]|%(?!40|3a)){1,256}+%3a)(?:[^\s<>\"@;?&%]|%(?!40)){1,256}+(?=%40)",
    re.IGNORECASE,
)
# RFC 8224 4.1: header.claims.signature, or two dots and the signature. RFC 4474 had the signature alone.
_PASSPORT = re.compile(rf"(\s*+[\w-]*+\.[\w-]*+\.)(?:[\w=-]*+|{REMOVED})\s*+\Z", re.ASCII)
_TYPE = re.compile(rf"\s*+([{_TOKEN}]{{1,64}}/[{_TOKEN}]{{1,64}})\s*+(?:;|\Z)")
_REMOVED_BODY = re.compile(rf"<removed (?:unknown|[{_TOKEN}]{{1,64}}/[{_TOKEN}]{{1,64}}), \d{{1,9}} bytes>")
_SDP_LINE = re.compile(r"\s*+[a-z]\s*+=", re.IGNORECASE)
# All before the secret; the rest of the line is it. A capability (RFC 3407, RFC 5939) is another line's.
_SECRET_LINE = re.compile(
    r"\s*+(?:a\s*+=\s*+cpar(?:min|max)?\s*+:\s*+)?(?:k\s*+=|a\s*+=\s*+(?:[\w.-]++:\d++\s++)?(?:"
    r"(?=[\w.-]*crypto)[\w.-]++\s*+(?::\s*+\d++\s++(?:(?:client|server|both)\s++)?[\w.-]++\s++|:|\Z)|"
    r"(?=[\w.-]*(?:key-?mgmt|key\b(?!-)|pwd|passw|passphrase|secret|mikey|token|credential)|identity\b)"
    r"[\w.-]++(?:\s*+[:=]|\s|\Z)|"
    r"(?:remote-)?candidate:\S++\s++\d++\s++(?=\S++\s++(?:udp|tcp)\b)))",  # ICE's drafts: a password
    re.IGNORECASE,
)
_ODD = re.compile(r"[^\t\x20-\x7e]+")  # octets that are no part of a name
_INLINE = re.compile(r"(\binline\s*+:\s*+)[^\s;]++", re.IGNORECASE)  # RFC 4568 6.1, in whatever line

# A look at lower case before each pass: one that begins with a literal is several times faster.
_COLON_BEHIND = re.compile(r"sips?[ \t]*+:(?:[^<>@:\r\n]++|[\r\n]++[ \t])*+:(?!\d{1,5}[;>?])")


class SecretRemoval:
    """Removes the values of `secret` headers (long names), of parameters and of SDP lines.

    `keeps_bodies`: without it each body goes.
    """

    def __init__(self, secret: set[str], *, keeps_bodies: bool = True) -> None:
        self._secret = secret
        self._keeps_bodies = keeps_bodies

    def text(self, data: bytes) -> str:
        """The message as text; octets that are no UTF-8 become U+FFFD. Twice gives the same."""
        text = data.decode("latin-1")
        begin = len(text) - len(text.lstrip("\r\n"))  # 7.5: any CRLF before the start line
        return (text[:begin] + self._message(text[begin:], 0)).encode("latin-1").decode("utf-8", "replace")

    # Heads

    def _message(self, text: str, depth: int) -> str:
        """A message, or a piece of one: message/sipfrag (RFC 3420), a part of multipart."""
        end = _HEAD_END.search(text)
        stop = end.end() if end else len(text)
        head, types, is_encoded = self._head(text[:stop])
        if end is None:
            head = _CUT_PASSWORD.sub(rf"\1{HIDDEN}", head)
        return head + self._body(text[stop:], types, NESTING_MAX if is_encoded else depth)

    def _head(self, text: str) -> tuple[str, list[str], bool]:
        """(the head that stays, the values of its Content-Type headers, whether its body is encoded)."""
        kept: list[str] = []
        types: list[str] = []
        is_encoded = False
        low = text.lower()
        may_be_secret = any(word in low for word in WORDS)
        if _COLON_FIRST.search(text):
            text = _BEFORE_COLON.sub("", text)
        for key, pieces in self._fields(text):
            field = "".join(pieces)
            bare = field.rstrip("\r\n")
            name, _, value = bare.partition(":")
            if key in self._secret or (may_be_secret and _has_secret_word(key)):
                field = f"{name}: {REMOVED}{field[len(bare) :]}"
            elif key == "identity":
                field = f"{name}:{','.join(map(_unsigned, value.split(',')))}{field[len(bare) :]}"
            elif key == "content-type":
                types.append(value)
            elif key in ENCODINGS:
                is_encoded = is_encoded or value.strip().lower() not in _PLAIN
            kept.append(field)
        return self._without_credentials("".join(kept)), types, is_encoded

    def _fields(self, text: str) -> list[tuple[str, list[str]]]:
        """(name as it is compared, lines with their folds) of each header; other lines have the name ""."""
        fields: list[tuple[str, list[str]]] = []
        is_bare = False  # a lone CR ended the line before: a new line to some readers, to others none
        for line, end in _LINE.findall(text):
            key = self._key(line)
            if not fields and "SIP/" in line.upper():
                fields.append(("", [line, end]))
            elif fields and line and key not in self._secret and (is_bare or line[0] in _BLANKS):
                pieces = fields[-1][1]
                pieces.extend((REMOVED if pieces[0] == REMOVED else line, end))
            elif line and key is None:
                fields.append(("", [REMOVED, end]))
            else:
                fields.append((key or "", [line, end]))
            is_bare = end.startswith("\r") and not end.endswith("\n")
        return fields

    def _key(self, line: str) -> str | None:
        """A header line's name, long and in lower case; None for a line that is no header."""
        name, colon, _ = line.partition(":")
        if not colon:
            return None
        key, is_name = _named(name) if len(name) <= NAME_MAX else _named.__wrapped__(name)
        return key if is_name or key in self._secret else None

    # Bodies

    def _body(self, body: str, types: list[str], depth: int) -> str:
        """A body as its Content-Type has it; two that differ are unknown."""
        kinds = {_kind(value) for value in types}
        kind = kinds.pop() if len(kinds) == 1 else ""
        if not types and body.lstrip()[:3] == "v=0":  # a type is required: believe an SDP that looks like one
            kind = SIGNALLING[0]
        if not body.strip(" \t\r\n") or _REMOVED_BODY.fullmatch(body):
            return body
        if self._keeps_bodies and depth < NESTING_MAX:
            if kind.startswith("multipart/") and (parts := self._multipart(body, types[0], depth)):
                return parts
            if kind == "application/sdp" and body.lstrip()[:2].lower() == "v=":
                return self._sdp(body)
            if kind.startswith("message/") and kind in SIGNALLING:
                return self._message(body, depth + 1)
            if kind in SIGNALLING and not kind.endswith("/sdp"):
                return self._head(body)[0]
        return f"<removed {kind or 'unknown'}, {len(body)} bytes>"

    def _multipart(self, body: str, content_type: str, depth: int) -> str:
        """Each part by its own type; text before and after them has none. "" without a delimiter."""
        named = dict(parameters(content_type)).get("boundary")
        boundary = named or body.lstrip().split("\n", 1)[0].strip().removeprefix("--")
        delimiter = re.compile(
            rf"^--{re.escape(boundary[:BOUNDARY_MAX])}(--)?[ \t]*+\r*+(?:\n|\Z)", re.MULTILINE
        )
        kept: list[str] = []
        at, is_part = 0, False
        for found in delimiter.finditer(body):
            kept += self._part(body[at : found.start()], is_part, depth), found[0]
            at, is_part = found.end(), found[1] is None
        return "".join(kept) + self._part(body[at:], is_part, depth) if at else ""

    def _part(self, text: str, is_part: bool, depth: int) -> str:
        """The text between two delimiters: the line end before a delimiter belongs to the delimiter."""
        content = text.removesuffix("\n").removesuffix("\r")
        if is_part:
            return self._message(content, depth + 1) + text[len(content) :]
        return self._body(content, [], NESTING_MAX) + text[len(content) :]

    def _sdp(self, body: str) -> str:
        """A session description without lines that do not belong to it."""
        kept: list[str] = []
        for line, end in _LINE.findall(body):
            secret = _SECRET_LINE.match(line)
            if not secret and _ODD.search(line):
                secret = _SECRET_LINE.match(_ODD.sub("", line))
            if secret:
                line = secret[0] + REMOVED
            elif line and not _SDP_LINE.match(line):
                line = REMOVED
            kept += line, end
        return self._without_credentials(_INLINE.sub(rf"\1{REMOVED}", "".join(kept)))

    # URIs and parameters

    def _without_credentials(self, text: str, depth: int = 0) -> str:
        """`text` without passwords in its URIs and values of secret parameters."""
        low = text.lower()
        if "?" in low or "%" in low or "&" in low or "://" in low or _COLON_BEHIND.search(low):
            text = _RUN.sub(lambda run: self._uris(run[0], depth), text)
        if "%" in low:
            text = _ESCAPED_NAME.sub(_plain_name, text)
            low = text.lower()
            if "%3a" in low:
                text = _ESCAPED_PASSWORD.sub(rf"\1{HIDDEN}", text)
        if any(word in low for word in WORDS):
            text = _CREDENTIAL.sub(rf"\1{HIDDEN}", _BEARER.sub(rf"\1{HIDDEN}", text))
        return text

    def _uris(self, run: str, depth: int) -> str:
        if "@" in run and ":" in run:
            run = _without_passwords(run)
        if "?" in run:
            uri, mark, headers = run.partition("?")
            run = uri + mark + "&".join(self._uri_header(header, depth) for header in headers.split("&"))
        return run

    def _uri_header(self, header: str, depth: int) -> str:
        """One `name=value` behind a URI's question mark, escaped (RFC 3261 19.1.1)."""
        name, equals, value = header.partition("=")
        key = _NO_TOKEN.split(unquote(name, "latin-1").strip().lower(), maxsplit=1)[0]
        key = COMPACT.get(key, key)
        end = ">" if header.endswith(">") else ""
        if key in self._secret or _hides(key) or key in ("identity", "body") or depth >= NESTING_MAX:
            return (name + equals if equals else "") + HIDDEN + end
        plain = unquote(value, "latin-1")
        kept = self._without_credentials(plain, depth + 1)
        if kept == plain:
            return header
        return name + equals + quote(kept[: len(kept) - len(end)], "*", "latin-1") + end


def _plain_name(name: re.Match[str]) -> str:
    """An escaped name of a secret, in plain: what searches for such names finds it then."""
    plain = unquote(name[0], "latin-1")
    return plain if _hides(plain.lower()) else name[0]


def _hides(parameter: str) -> bool:
    """Whether the value of a parameter of this name, in lower case, is removed."""
    return parameter in SECRET_PARAMETERS or _has_secret_word(parameter)


@lru_cache(maxsize=1_024)
def _named(name: str) -> tuple[str, bool]:
    """A name, long and in lower case, without octets that no token has; and whether it is a name at all."""
    key = _NO_TOKEN.sub("", name).lower()
    return COMPACT.get(key, key), _NAME.fullmatch(name) is not None


@lru_cache(maxsize=1_024)
def _has_secret_word(key: str) -> bool:
    return _WORD.search(key) is not None


def _kind(content_type: str) -> str:
    found = _TYPE.match(content_type)
    return found[1].lower() if found else ""


def _unsigned(value: str) -> str:
    """One Identity value without its signature."""
    token, semicolon, rest = value.partition(";")
    found = _PASSPORT.match(token)
    return (found[1] if found else " ") + REMOVED + semicolon + rest


def _without_passwords(run: str) -> str:
    """Removes the text between a user's colon and the last @ of its authority: a password may have an @."""
    kept: list[str] = []
    done = at = 0
    last = run.rfind("@")
    while scheme := _SCHEME.search(run, at):
        begin, stop = scheme.end(), last
        if run.startswith("//", begin - 2):
            end = _AFTER_AUTHORITY.search(run, begin)
            stop = run.rfind("@", begin, end.start() if end else len(run))
        colon, user_end = run.find(":", begin), run.find("@", begin)
        if user_end < 0:
            break
        if 0 <= colon < user_end and _PORT.match(run, colon + 1):
            at = colon + 1
        elif 0 <= colon < user_end <= stop:
            kept += run[done : colon + 1], HIDDEN
            done = at = stop
        else:
            at = begin if stop < 0 else user_end
    return "".join(kept) + run[done:]
