# cython: language_level=3, wraparound=False
# optimize: -O3
"""Values of SIP headers (RFC 3261 7.3.1, 20, 25.1): lists, parameters, addresses and URIs.

The usual form is read in place, by octets; any other as text, by the grammar.
"""

from __future__ import annotations

import re

import cython
from msgspec import Struct

from agent.wire.sip.scan_cy import bounded, parameter_at, text_at

if not cython.compiled:  # sip_values_cy.pxd has the same for the compiler
    from agent.wire.sip.scan_cy import BACKSLASH, COMMA, GREATER, LESS, QUOTE, find

_URI_KEPT = 64  # the longest URI whose parsed form is cached
_URIS_KEPT = 1024
_NUMBER = r"\s*[+\d*#(%][\d().*#A-Fa-f%-]*(?=;)"
# Patterns meet hostile text of 64 KiB, so none may scan one stretch twice: no two neighbouring repeats match
# the same characters, and none is tried again from each character of a failed match.
# 25.1: quoted-string = DQUOTE *(qdtext / quoted-pair) DQUOTE
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_NAME_ADDR = re.compile(rf'(?:\s*{_QUOTED}\s*|[^<"]*+)<([^>]*)>(.*)', re.DOTALL)
_PARAMETER = re.compile(rf';\s*([^\s;=,"]+)\s*(?:=\s*({_QUOTED}|[^\s;,]*))?')
_LIST_STOP = re.compile(r'[",<]')
_QUOTE_REST = re.compile(r'(?:[^"\\]|\\.)*+"', re.DOTALL)
_URI = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)\s*:(.*)", re.DOTALL)
_HOST = re.compile(r"\s*(?:\[([^\]]*)\]?|([^\s:;?>]*))\s*(?::\s*(\d{1,5}))?")


class Uri(Struct, frozen=True):
    """A SIP, SIPS or tel URI: `user` unescaped, `host` bare, in lower case; `port` None where not given."""

    scheme: str
    user: str
    host: str
    port: int | None


def parse_uri(text: str) -> Uri:
    """The parts of a URI (RFC 3261 19.1, RFC 3966); a missing part is ""."""
    known: Uri | None = _known_uris.get(text)
    if known is None:
        known = _read_uri(text)
        if len(text) > _URI_KEPT:
            known = Uri(bounded(known.scheme), bounded(known.user), bounded(known.host), known.port)
        else:
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
        number, _, more = rest.partition(";")
        context = dict(parameters(";" + more)).get("phone-context", "")
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


def tag_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The tag of the From or To value `head[at:end]`; "" if there is none."""
    # 20.10: parameters after the bracket are the header's; without brackets all of them are.
    close: cython.Py_ssize_t = end
    while close > at and head[close - 1] != GREATER:
        close -= 1
    if close == end == find(head, GREATER, at, end) + 1 and find(head, LESS, at, end) < end:
        return ""  # one bracket closes, and nothing follows
    tag = parameter_at(head, b";tag=", close, end)
    if tag is not None:
        return tag
    value = text_at(head, at, end)
    return dict(parameters(address_of(value)[1])).get("tag", "") if "tag" in value.lower() else ""


def branch_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The branch parameter of the first of the Via values `head[at:end]`; "" if there is none."""
    if find(head, COMMA, at, end) < end:
        head = split_list(text_at(head, at, end))[0].encode()
        at, end = 0, len(head)
    branch = parameter_at(head, b";branch=", at, end)
    return dict(parameters(text_at(head, at, end))).get("branch", "") if branch is None else branch


def address_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The URI of the From or To value `head[at:end]`."""
    opened: cython.Py_ssize_t = find(head, LESS, at, end)
    closed: cython.Py_ssize_t = find(head, GREATER, opened, end)
    quote: cython.Py_ssize_t = find(head, QUOTE, at, opened)
    if quote < opened:  # a display name; with two quotes before the bracket and no escape they are its own
        quote = find(head, QUOTE, quote + 1, opened)
        if (
            quote == opened
            or find(head, QUOTE, quote + 1, opened) < opened
            or find(head, BACKSLASH, at, opened) < opened
        ):
            closed = end
    if closed < end:
        return text_at(head, opened + 1, closed)
    return str(address_of(text_at(head, at, end))[0])


def address_of(value: str) -> tuple[str, str]:
    """(URI, header parameters) of `name-addr / addr-spec` (20.10)."""
    opened: cython.Py_ssize_t = value.find("<")
    closed: cython.Py_ssize_t = value.find(">", opened) if opened >= 0 else -1
    if closed >= 0 and value.find('"', 0, opened) < 0:  # no display name, or one without quotes
        return value[opened + 1 : closed].strip(), value[closed + 1 :]
    matched = _NAME_ADDR.match(value)
    if matched:
        return matched[1].strip(), matched[2]
    if "<" in value:  # an unbalanced quote before it
        uri, _, rest = value.partition("<")[2].partition(">")
        return uri.strip(), rest
    uri, semicolon, rest = value.partition(";")
    return uri.strip(), semicolon + rest


def parameters(text: str) -> list[tuple[str, str]]:
    """`;name=value` pairs, names in lower case, quotes removed, last first: `dict` of it keeps the first."""
    pairs = [(name.lower(), _unquoted(value)) for name, value in _PARAMETER.findall(text)]
    pairs.reverse()
    return pairs


def _unquoted(value: str) -> str:
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1 : len(value) - 1])
    return value


def _unescaped(user: str) -> str:
    """19.1.2: %HH decoded, unless the result is not printable (RFC 4475 3.1.1.5: %00)."""
    if "%" not in user:
        return user
    from urllib.parse import unquote  # seldom needed: 2 ms a start

    plain = unquote(user, errors="backslashreplace")
    return plain if plain.isprintable() else user


def split_list(line: str) -> list[str]:
    """Splits at the commas outside quotes and angle brackets; after an unbalanced quote nothing is split."""
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
