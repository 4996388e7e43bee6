# cython: language_level=3, wraparound=False
# optimize: -O3
"""Scans the octets of a SIP message (RFC 3261): the places of its parts, and the known words in them.

All places are offsets into one `bytes`; an end is behind the last octet. The place of a missing part is the
end.
"""

from __future__ import annotations

import cython

if not cython.compiled:  # scan_cy.pxd has these for the compiler
    from agent.uncompiled import constants

    TAB, LF, CR, SPACE, QUOTE, COMMA, DOT, SLASH, COLON, SEMICOLON, LESS, GREATER, BACKSLASH = constants(
        __name__, "TAB LF CR SPACE QUOTE COMMA DOT SLASH COLON SEMICOLON LESS GREATER BACKSLASH"
    )
    VIA, FROM, TO, CALL_ID, CSEQ = constants(__name__, "VIA FROM TO CALL_ID CSEQ")
    LOWER, LOOKED_AT, METHOD_MAX, IDENTIFIER_MAX = constants(
        __name__, "LOWER LOOKED_AT METHOD_MAX IDENTIFIER_MAX"
    )

    def find(data: bytes, octet: int, at: int, end: int) -> int:
        """The first place of `octet` in `data[at:end]`, `end` where it is not there."""
        found = data.find(octet, at, end)
        return end if found < 0 else found

    def begins(data: bytes, what: bytes, at: int, end: int) -> bool:
        """Whether `data[at:end]` begins with `what`, letter for letter."""
        return data.startswith(what, at, end)


# The methods that start lines and CSeqs name, the frequent ones first.
_METHODS = (
    "INVITE", "ACK", "BYE", "OPTIONS", "REGISTER", "CANCEL", "PRACK", "UPDATE", "INFO", "SUBSCRIBE", "NOTIFY",
    "MESSAGE", "PUBLISH", "REFER",
)  # fmt: skip
_NAMED = tuple((method.encode(), method) for method in _METHODS)


def looks_like_sip(data: bytes) -> cython.bint:
    """Whether a datagram or stream position begins with a SIP start line (leading CRLFs allowed, 7.5)."""
    slash: cython.Py_ssize_t
    end: cython.Py_ssize_t = min(len(data), LOOKED_AT)
    at: cython.Py_ssize_t = start_of(data, end)
    if end - at > 4 and same(data, at, at + 4, b"sip/"):
        return _looks_like_status(data, at + 4, end)
    space: cython.Py_ssize_t = _token_end(data, at, min(end, at + METHOD_MAX + 1))
    if not 0 < space - at <= METHOD_MAX or space >= end or data[space] != SPACE:
        return False
    end = find(data, LF, space, end)
    slash = find(data, SLASH, space, end)
    while slash < end:  # a version somewhere in the line
        if slash - space >= 4 and same(data, slash - 4, slash, b" sip"):
            return True
        slash = find(data, SLASH, slash + 1, end)
    return False


def _looks_like_status(data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether at `at` are a version, blanks and a status."""
    if end - at < 4 or not (_is_digit(data[at]) and data[at + 1] == DOT and _is_digit(data[at + 2])):
        return False
    at += 3
    if data[at] != SPACE:
        return False
    while at < end and data[at] == SPACE:
        at += 1
    return status_at(data, at, end) != 0


def status_at(data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """The three digits at `at`, from 100 to 699; 0 where there is something else, or a fourth."""
    if end - at < 3 or not (_is_digit(data[at]) and _is_digit(data[at + 1]) and _is_digit(data[at + 2])):
        return 0
    if end - at > 3 and _is_digit(data[at + 3]):
        return 0
    status: cython.int = 100 * data[at] + 10 * data[at + 1] + data[at + 2] - 111 * 48
    return status if 100 <= status < 700 else 0


def _is_digit(octet: cython.int) -> cython.bint:
    return 48 <= octet <= 57


def start_of(data: bytes, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
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


def method_at(head: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
    """The usual method that `head[at:end]` is; None for any other."""
    word: bytes
    method: str
    for word, method in _NAMED:
        if end - at == len(word) and begins(head, word, at, end):
            return method
    return None


def needed(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
    """The number of the identifying header whose name is `head[at:stop]`; 0: none of the five."""
    first: cython.int = head[at] | LOWER
    length: cython.Py_ssize_t = stop - at
    if first == ord("c"):
        if length == 7 and same(head, at, stop, b"call-id"):
            return CALL_ID
        return CSEQ if length == 4 and same(head, at, stop, b"cseq") else 0
    if first == ord("v"):
        return VIA if length == 1 or (length == 3 and same(head, at, stop, b"via")) else 0
    if first == ord("f"):
        return FROM if length == 1 or (length == 4 and same(head, at, stop, b"from")) else 0
    if first == ord("t"):
        return TO if length == 1 or (length == 2 and same(head, at, stop, b"to")) else 0
    return CALL_ID if first == ord("i") and length == 1 else 0


def mark(first: cython.int, length: cython.Py_ssize_t) -> cython.ulonglong:
    """The bit of `_names` that names of that first letter and length share."""
    bit: cython.ulonglong = 1
    return bit << (((first | LOWER) + 7 * length) & 63)


def name_end(head: bytes, at: cython.Py_ssize_t, colon: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where a header's name ends: 25.1 allows blanks before the colon, and we allow any such octet."""
    while colon > at and head[colon - 1] <= SPACE:
        colon -= 1
    return colon


def same(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t, name: bytes) -> cython.bint:
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


def parameter_at(head: bytes, name: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
    """The value of parameter `name` (as `;...=`) in `head[at:end]`; None: parse the text instead."""
    if find(head, QUOTE, at, end) < end:
        return None
    at = find(head, SEMICOLON, at, end)
    while at < end:
        if begins(head, name, at, end):
            at += len(name)
            return text_at(head, at, find(head, SEMICOLON, at, end))
        at = find(head, SEMICOLON, at + 1, end)
    return None


def bounded(text: str) -> str:
    """A text to keep: of a long one the beginning and a hash, so that different ones stay different."""
    if len(text) <= IDENTIFIER_MAX:
        return text
    from hashlib import blake2b  # only hostile messages need it

    rest = blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    return f"{text[: IDENTIFIER_MAX - 17]}#{rest}"


def is_blank(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.bint:
    """Whether the value that begins at `at` is empty."""
    return at >= stop or (not 33 <= head[at] <= 126 and not text_at(head, at, stop))


def text_at(head: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> str:
    """The text of `head[at:stop]`, in the form in which identifiers are compared."""
    while at < stop and head[at] == SPACE:
        at += 1
    if at < stop and head[stop - 1] == CR:
        stop -= 1
    text = head[at:stop].decode("utf-8", "backslashreplace")
    # Most text has nothing to strip, which its ends show.
    return text if at < stop and 33 <= head[at] <= 126 and 33 <= head[stop - 1] <= 126 else text.strip()
