"""Many words are found in one pass, wherever they stand and in whatever case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.summary.words_cy import Words

WORDS = (b"?", b"://", b"auth", b"api", b"pn-prid")
SEARCH = Words(WORDS)
PIECES = [
    b"a",
    b"u",
    b"th",
    b"AUT",
    b"H",
    b":",
    b"//",
    b"ap",
    b"i",
    b"I",
    b"?",
    b"pn-",
    b"prid",
    b"\x00",
    b"\xff",
]


@pytest.mark.parametrize("data", [b"?", b"x?", b"://", b"AuTh", b"xxAPI", b"pn-prid=1"])
def test_word_at_either_end_is_found(data: bytes) -> None:
    assert SEARCH.are_in(data)


@pytest.mark.parametrize("data", [b"", b"a", b"aut", b":/", b"ap\xe9", b"\x21pi", b"pn-pri"])
def test_half_a_word_is_none(data: bytes) -> None:
    assert not SEARCH.are_in(data)


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_search_finds_what_single_searches_find(data: bytes) -> None:
    assert SEARCH.are_in(data) == any(word in data.lower() for word in WORDS)
