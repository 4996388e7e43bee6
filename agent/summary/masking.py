"""Tokens for people: users, numbers and names in records and messages, where `privacy.mask_numbers` is set.

A token is `n-` and 12 hex digits of a keyed hash: the same person has the same token on a host, and without
the host's key nobody can find the person by trying all numbers. `+44 20 7946 0110`, `442079460110` and
`tel:+44-20-7946-0110` are one number.

The personal parts of a message, and their treatment (RFC 3261 19.1, 20.10; RFC 3966; RFC 8866 5.2, 5.6):

    sip:USER@, im:USER@, ...   the whole user part, parameters and password too
    tel:NUMBER, sms:NUMBER     number; phone-context, isub, ext, rn, postd, otg that follow
    "NAME" <, NAME <tel:       the display name, in any header
    Geolocation: PLACE         all of it (RFC 6442): it leads to somebody's place
    Identity: h.CLAIMS.        the claims of a PASSporT, which name both numbers (RFC 8225 5)
    username="USER"            of digest credentials, where these are not redacted
    ?Name=VALUE&...            of a URI, unescaped: all of the above (RFC 3261 19.1.1)
    o=USER, e=..., p=...       of SDP
    digits of such a number    in any other place, Call-ID and other bodies included, from 6 digits on

Messages are hostile text of 64 KiB: each pass is linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote, unquote

from agent.wire.sip import parse_uri

SWEPT_DIGITS = 6  # shorter numbers (extensions) would be found in ports, codes and times
MAX_NUMBERS = 64  # of one message
_NAME_LIMIT = 256
_TOKEN = r"n-[0-9a-f]{12}"
_MASKED = re.compile(_TOKEN)
_SEPARATORS = str.maketrans("", "", "+-.() ")
_SIP = r"(?:sips?|im|pres|xmpp|mailto|h323)[ \t]{0,8}+:[ \t]{0,8}+"
# Between brackets a user may have blanks, quotes and an @ (user@domain@sbc: the host follows the last one).
_USER = re.compile(
    rf"(<\s{{0,8}}+{_SIP})([^\s<>@][^<>@\r\n]{{0,511}}+(?:@[^<>@;?\s]{{1,256}}+(?=@))*+)(?=@)"
    rf"|\b({_SIP})([^\s<>\"@]{{1,512}}+)(?=@)",
    re.IGNORECASE,
)
# Escaped, outside a URI's own headers too.
_ESCAPED = re.compile(
    r"((?:\b|(?<=%3c))sips?%3a)((?:[^\s<>\"@%;?&]|%(?!40)[0-9a-f]{2}){1,512}+)(?=%40)", re.IGNORECASE
)
_URI_HEADER = re.compile(r"([?&][\w.%-]{1,64}+=)([^\s<>\"&]{1,2048}+)")
# A number in the host's place ("sip:+4420...;user=phone"), which an address with dots is not.
_BARE = re.compile(r"\b(sips?:)(\+?\d{6,32}+)(?![\d.@]|[\w-]{0,64}\.)", re.IGNORECASE)
_TEL = re.compile(r"\b((?:tel|fax|modem|sms|callto):[ \t]{0,8}+)([+\d*#(a-f%][\w*#().%-]*)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(;[ \t]*+(?:phone-context|isub|ext|rn|postd|otg)[ \t]*+=[ \t]*+\"?)(\+?[\w.()-]*\d[\w.()-]*)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r'(\busername[ \t]*+=[ \t]*+"?)([^"\r\n,;]+)', re.IGNORECASE)
_SDP = re.compile(
    r"((?:^|\r)[ \t]*+o[ \t]*+=[ \t]*+)([^\s-]\S*|-\S+)|((?:^|\r)[ \t]*+[ep][ \t]*+=)([^\r\n]+)",
    re.MULTILINE | re.IGNORECASE,
)
_OPEN = re.compile(r"<\s{0,8}+(?:sips?|tel|fax|modem|im|pres|xmpp|mailto|urn):", re.IGNORECASE)
_QUOTED_NAME = re.compile(r'"((?:[^"\\\r\n]|\\[^\r\n]){1,1024}+)"(?=\s{0,8}(?:<|sips?:|tel:))')
_PLACE = re.compile(
    r"^(Geolocation[^\w:\r\n-]*+:[ \t]*+)((?:[^\r\n]++|\r?\n[ \t])++)", re.IGNORECASE | re.MULTILINE
)
_CLAIMS = re.compile(r"((?<![\w-])eyJ[\w-]*+\.)([\w-]++)(?=\.)", re.ASCII)
_QUOTED_END = re.compile(r'"(?:[^"\\]|\\.)*+"(?=\s*$)', re.DOTALL)
_LINE = re.compile(r"\n(?![ \t])")


class Masking:
    """Tokens under one key (at most 64 bytes of it count)."""

    def __init__(self, key: bytes) -> None:
        self._key = key[:64]

    def user(self, user: str) -> str:
        """The token of a user or a name; "" stays."""
        return _token(self._key, user) if user else ""

    def text(self, text: str, users: Iterable[str]) -> str:
        """`text` (a Call-ID) without the digits of the numbers among `users`."""
        return self._sweep(text, {digits: None for user in users if (digits := number_of(user))})

    def message(self, text: str, also: str = "", users: Iterable[str] = ()) -> tuple[str, str]:
        """A SIP message for the log, and `also` (its Call-ID): both without the numbers that the message
        names or that are among `users`."""
        numbers = {digits: None for user in users if (digits := number_of(user))}

        def met(user: str) -> str:
            digits = number_of(user)
            if digits and len(numbers) < MAX_NUMBERS:
                numbers[digits] = None
            return self.user(user)

        text = _PLACE.sub(lambda m: m[1] + self.user(m[2].strip()), text)
        text = _CLAIMS.sub(lambda m: m[1] + self.user(m[2]), text)
        text = _URI_HEADER.sub(lambda m: m[1] + self._uri_header(m[2], met), text)
        text = self._addresses(text, met)
        text = _LOGIN.sub(lambda m: m[1] + met(m[2]), text)
        text = _SDP.sub(lambda m: (m[1] or m[3]) + met(m[2] or m[4]), text)
        return self._sweep(text, numbers), self._sweep(also, numbers)

    def _addresses(self, text: str, met: Callable[[str], str]) -> str:
        """`text` without the names, users and numbers of its addresses."""

        def new(user: str) -> str:
            return user if _MASKED.fullmatch(user) else met(user)

        text = self._names(text, met)
        text = _QUOTED_NAME.sub(lambda m: f'"{new(m[1])}"', text)
        text = _USER.sub(lambda m: (m[1] or m[3]) + met(_user_of(m[2] or m[4])), text)
        text = _ESCAPED.sub(lambda m: m[1] + new(unquote(m[2])), text)
        text = _BARE.sub(lambda m: m[1] + met(m[2]), text)
        text = _TEL.sub(lambda m: m[1] + met(parse_uri(f"tel:{m[2]}").user or m[2]), text)
        return _PARAMETER.sub(lambda m: m[1] + met(m[2]), text)

    def _uri_header(self, value: str, met: Callable[[str], str]) -> str:
        """The value of a header in a URI."""
        if "%" not in value:
            return value
        plain = unquote(value, "latin-1")
        kept = self._addresses(plain, met)
        return value if kept == plain else quote(kept, "*", "latin-1")

    def _names(self, text: str, met: Callable[[str], str]) -> str:
        """Display names, found from the address that follows them."""
        parts: list[str] = []
        done = 0
        for opened in _OPEN.finditer(text):
            before = text[done : opened.start()]
            done = opened.start()
            start, name = _display_name(before)
            if name:
                bare = name.strip().strip('"')
                token = met(bare)
                before = before[:start] + (f'"{token}"' if name[0] == '"' else token) + " "
            parts.append(before)
        return "".join(parts) + text[done:]

    def _sweep(self, text: str, numbers: dict[str, None]) -> str:
        """Digits of `numbers`, the longest first; what is a token already stays."""
        if not any(digits in text for digits in numbers):
            return text
        known = sorted(numbers, key=len, reverse=True)
        pattern = re.compile(rf"{_TOKEN}|(?:\+|%2[Bb])?({'|'.join(known)})")
        return pattern.sub(lambda m: self.user(m[1]) if m[1] else m[0], text)


def number_of(user: str) -> str:
    """The digits of a number that is long enough to be looked for; "" for what is none."""
    digits = user.translate(_SEPARATORS)
    return digits if len(digits) >= SWEPT_DIGITS and digits.isascii() and digits.isdigit() else ""


def _user_of(user: str) -> str:
    return parse_uri(f"sip:{user}@h").user or user


@lru_cache(maxsize=65_536)
def _token(key: bytes, user: str) -> str:
    bare = user.translate(_SEPARATORS)
    who = bare if bare.isdigit() else user
    return "n-" + blake2b(who.encode("utf-8", "replace"), key=key, digest_size=6, person=b"user").hexdigest()


def _display_name(before: str) -> tuple[int, str]:
    """(where, text) of the display name at the end of `before`, which an address in brackets follows."""
    closed = before.rfind(">") + 1
    line = closed
    for found in _LINE.finditer(before, closed):
        line = found.end()
    start = line
    if line > closed or not closed:  # "Header: name"
        colon = before.find(":", line)
        if colon < 0:
            return 0, ""
        start = colon + 1
    segment = before[start:]
    if not segment.strip():
        return 0, ""
    if segment.rstrip().endswith('"') and len(segment) <= _NAME_LIMIT:
        quoted = _QUOTED_END.search(segment)
        if quoted:
            return start + quoted.start(), quoted[0]
    elif len(segment) <= _NAME_LIMIT:
        # A comma ends an address before; in a name without quotes it is the name's ("Smith, John <sip:...").
        comma = segment.find(",") if closed and line == closed else segment.rfind(",")
        if comma >= 0 and (closed == line or ":" in segment[:comma]):
            start += comma + 1
            segment = before[start:]
    start += len(segment) - len(segment.lstrip())
    name = before[start:].strip()
    return start, name if not name.startswith(";") else ""
