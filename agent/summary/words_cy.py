# cython: language_level=3, wraparound=False
# optimize: -O3
"""Looks for many words in one pass: a search for each alone would take most of a message's redaction."""

from __future__ import annotations

from collections.abc import Iterable

import cython

from agent.wire.sip.scan_cy import same


class Words:
    """Words of octets in lower case, which are found in whatever case."""

    def __init__(self, words: Iterable[bytes]) -> None:
        self._by_first: dict[int, list[bytes]] = {}
        if not cython.compiled:
            self._seconds = [0] * 256
        for word in words:
            for first in {word[0], word.upper()[0]}:
                self._by_first.setdefault(first, []).append(word)
                # The low five bits of a letter are the same in both cases.
                self._seconds[first] |= 1 << (word[1] & 31) if len(word) > 1 else 0xFFFF_FFFF

    def are_in(self, data: bytes) -> cython.bint:
        """Whether any of the words stands in `data`."""
        at: cython.Py_ssize_t
        first: cython.int
        second: cython.int
        size: cython.Py_ssize_t = len(data)
        word: bytes
        for at in range(size):
            first = data[at]
            if self._seconds[first] == 0:
                continue
            second = data[at + 1] if at + 1 < size else 0
            if self._seconds[first] >> (second & 31) & 1:
                for word in self._by_first[first]:
                    if same(data, at, min(size, at + len(word)), word):
                        return True
        return False
