# cython: language_level=3, wraparound=False
# optimize: -O3
"""A first look at a SIP message: whether it is plain, so that `secret_removal` would change nothing.

Most messages are: they are in a usual form, which leaves little room for a secret, and have none of the words
that go with one. Whatever is unusual is not plain. Letters count in either case.
"""

from __future__ import annotations

from collections.abc import Iterable

import cython

from agent.summary.secret_names import SDP_WORDS, WORDS
from agent.wire.sip.scan_cy import mark, same

if not cython.compiled:  # first_look_cy.pxd has these for the compiler
    from agent.uncompiled import constants
    from agent.wire.sip.scan_cy import COLON, CR, LF, LOWER, SPACE, TAB, find

    BEGINNING, FIRSTS, LASTS = constants(__name__, "BEGINNING FIRSTS LASTS")


class Words:
    """Words of octets in lower case, which are found in whatever case.

    All beginnings of words are looked for at once. `_places` has a bit for each place where an octet may
    stand in one: bit 0 in a beginning of one octet, bits 1 and 2 in one of two, and so on.
    """

    def __init__(self, words: Iterable[bytes]) -> None:
        self._by_last: dict[int, list[tuple[int, bytes]]] = {}
        if not cython.compiled:
            self._places = [0] * 256
        for word in words:
            size = min(len(word), BEGINNING)
            place = size * (size - 1) // 2
            for octet in word[:size]:
                for either in {octet, bytes([octet]).upper()[0]}:
                    self._places[either] |= 1 << place
                place += 1
            for last in {word[size - 1], word.upper()[size - 1]}:
                self._by_last.setdefault(last, []).append((size, word))

    def are_in(self, data: bytes) -> cython.bint:
        """Whether any of the words stands in `data`."""
        at: cython.Py_ssize_t
        octet: cython.uchar  # as an int it would be negative from 128 on
        reached: cython.int = 0
        for at, octet in enumerate(data):
            reached = (reached << 1 | FIRSTS) & self._places[octet]
            if reached & LASTS and self._is_begun(data, at + 1, octet):
                return True
        return False

    def _is_begun(self, data: bytes, at: cython.Py_ssize_t, octet: cython.int) -> cython.bint:
        """Whether a word stands in `data` whose beginning ends with `octet` before `at`."""
        begin: cython.Py_ssize_t
        size: cython.Py_ssize_t
        word: bytes
        for size, word in self._by_last[octet]:
            begin = at - size
            if begin >= 0 and same(data, begin, min(len(data), begin + len(word)), word):
                return True
        return False


class Names:
    """Names in lower case, which are found in whatever case."""

    def __init__(self, names: Iterable[bytes]) -> None:
        self._names = tuple(names)
        self._marks = 0
        for name in self._names:
            self._marks |= mark(name[0], len(name))

    def have(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether `data[at:end]`, which is not empty, is one of the names."""
        name: bytes
        if self._marks & mark(data[at], end - at):
            for name in self._names:
                if len(name) == end - at and same(data, at, end, name):
                    return True
        return False


_SUSPECT = Words(word.encode() for word in ("?", "%", "://", "inline", *WORDS))
_SUSPECT_IN_SDP = Words(word.encode() for word in SDP_WORDS)
_TYPE = Names((b"content-type", b"c"))
_ATTRIBUTES = Names(
    b"rtpmap fmtp ptime maxptime sendrecv sendonly recvonly inactive"
    b" rtcp rtcp-mux rtcp-fb rtcp-xr rtcp-rsize ssrc ssrc-group mid label".split()
)


class FirstLook:
    """Knows plain messages. `removed`: names of headers, long and compact, that none of them has."""

    def __init__(self, removed: Iterable[str], *, keeps_bodies: bool = True) -> None:
        self._removed = Names(name.encode() for name in removed)
        self._keeps_bodies = keeps_bodies

    def is_plain(self, data: bytes) -> cython.bint:
        """Whether there is nothing to remove: a message with SDP or no body, in a usual form."""
        name_end: cython.Py_ssize_t
        colon: cython.Py_ssize_t
        types: cython.int = 0
        is_sdp: cython.bint = False
        size: cython.Py_ssize_t = len(data)
        at: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t = _line_end(data, at, size)
        if end < 8 or not (same(data, 0, 8, b"sip/2.0 ") or same(data, end - 8, end, b" sip/2.0")):
            return False
        at = end + 2
        end = _line_end(data, at, size)
        while end > at:  # the head ends with an empty line
            name_end = _name_end(data, at)
            colon = name_end + 1 if data[name_end] == SPACE else name_end
            if name_end == at or data[colon] != COLON or self._removed.have(data, at, name_end):
                return False
            if _TYPE.have(data, at, name_end):
                types += 1
                is_sdp = same(data, colon + 1, end, b" application/sdp")
            at = end + 2
            end = _line_end(data, at, size)
        if end < 0:
            return False
        at = end + 2
        if at < size and not (self._keeps_bodies and types == 1 and is_sdp and _is_plain_sdp(data, at, size)):
            return False
        return not _SUSPECT.are_in(data) and not _has_password(data)


def _line_end(data: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the CRLF of the line at `at` is; -1 where a bare CR or LF comes first, or nothing."""
    end: cython.Py_ssize_t = find(data, CR, at, size)
    if end + 1 < size and data[end + 1] == LF and find(data, LF, at, end) == end:
        return end
    return -1


def _name_end(data: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the name at `at` ends, of a header or an attribute. A line's end ends it."""
    octet: cython.int = data[at]
    while 97 <= octet | LOWER <= 122 or 48 <= octet <= 57 or octet in b"._-":
        at += 1
        octet = data[at]
    return at


def _is_plain_sdp(data: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.bint:
    """Whether the SDP at `at` has no keys (`k=`), and of attributes only usual ones."""
    letter: cython.int
    end: cython.Py_ssize_t
    if data[at] | LOWER != ord("v") or _SUSPECT_IN_SDP.are_in(data[at:]):
        return False
    while at < size:
        end = _line_end(data, at, size)
        if end <= at or data[at + 1] != ord("="):
            return False
        letter = data[at] | LOWER
        if not 97 <= letter <= 122 or letter == ord("k"):
            return False
        if letter == ord("a") and not _is_plain_attribute(data, at + 2, end):
            return False
        at = end + 2
    return True


def _is_plain_attribute(data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether the attribute at `at` is a usual one, without octets that may hide another's name."""
    name_end: cython.Py_ssize_t = _name_end(data, at)
    if name_end == at or not _ATTRIBUTES.have(data, at, name_end):
        return False
    while name_end < end and (32 <= data[name_end] <= 126 or data[name_end] == TAB):
        name_end += 1
    return name_end == end


def _has_password(data: bytes) -> cython.bint:
    """Whether any sip: or sips: URI may have a password. `data` is all lines."""
    end: cython.Py_ssize_t
    size: cython.Py_ssize_t = len(data)
    colon: cython.Py_ssize_t = find(data, COLON, 0, size)
    while colon < size:
        end = colon
        while end > 0 and (data[end - 1] == SPACE or data[end - 1] == TAB):
            end -= 1
        if end > 3 and data[end - 1] | LOWER == ord("s"):
            end -= 1
        if (
            end >= 3
            and data[end - 1] | LOWER == ord("p")
            and same(data, end - 3, end, b"sip")
            and _may_have_password(data, colon + 1)
        ):
            return True
        colon = find(data, COLON, colon + 1, size)
    return False


def _may_have_password(data: bytes, at: cython.Py_ssize_t) -> cython.bint:
    """Whether the URI may have one: behind its scheme, at `at`, is a colon not of a port or an address."""
    host_end: cython.Py_ssize_t = _address_end(data, at)
    stop: cython.Py_ssize_t = _part_end(data, host_end)
    if data[stop] == COLON and _is_port(data, stop + 1):
        stop = host_end = _part_end(data, stop + 1)
    # A user without a password ends with an @; one behind a host is odd.
    return data[stop] == COLON or (data[stop] == ord("@") and host_end > at)


def _address_end(data: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the IPv6 address at `at` ends; `at` where there is none."""
    end: cython.Py_ssize_t = at + 1
    if data[at] != ord("["):
        return at
    while data[end] in b"0123456789abcdefABCDEF:.":
        end += 1
    return end + 1 if data[end] == ord("]") and data[end + 1] in b":;>\r" else at


def _is_port(data: bytes, at: cython.Py_ssize_t) -> cython.bint:
    end: cython.Py_ssize_t = at
    while 48 <= data[end] <= 57:
        end += 1
    return 1 <= end - at <= 5 and data[end] in b";>\r"


def _part_end(data: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the user, the host or the parameters at `at` end."""
    while data[at] not in b"<>@:\r":
        at += 1
    return at
