"""Fragments: whole equals piece by piece in any order, and nothing grows without end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.transport import fragments as module
from agent.transport.fragments import PIECES_MAX, Fragments

SECOND = 1_000_000_000
KEY = ("198.51.100.1", "198.51.100.2", 17)


def fragments_of(datagram: bytes, size: int) -> list[tuple[int, bool, bytes]]:
    return [(at, at + size < len(datagram), datagram[at : at + size]) for at in range(0, len(datagram), size)]


@given(
    st.binary(min_size=1, max_size=600), st.integers(1, 10), st.randoms(use_true_random=False), st.booleans()
)
def test_fragments_any_order_give_the_datagram_once(datagram, words, random, doubled):
    fragments = Fragments()
    pieces = fragments_of(datagram, 8 * words)[:PIECES_MAX]
    datagram = b"".join(piece for _, _, piece in pieces)
    pieces[-1] = (pieces[-1][0], False, pieces[-1][2])
    random.shuffle(pieces)
    results = []
    for position, (offset, more, payload) in enumerate(pieces):
        results.append(fragments.add(KEY, 7, offset, more, payload, position))
        if doubled and position < len(pieces) - 1:
            results.append(fragments.add(KEY, 7, offset, more, payload, position))
    assert [result for result in results if result is not None] == [datagram]
    assert results[-1] == datagram
    assert (len(fragments), fragments.held_bytes, fragments.mismatched) == (0, 0, 0)
    assert fragments.completed == 1


def test_fragments_overlap_with_same_bytes_is_tolerated():
    fragments = Fragments()
    assert fragments.add(KEY, 1, 0, True, b"0123456789abcdef", 0) is None
    assert fragments.add(KEY, 1, 8, False, b"89abcdefXYZ", 0) == b"0123456789abcdefXYZ"


def test_fragments_overlap_with_other_bytes_drops_the_datagram_and_its_late_pieces():
    fragments = Fragments()
    fragments.add(KEY, 1, 0, True, b"0123456789abcdef", 0)
    assert fragments.add(KEY, 1, 8, True, b"EVILEVIL", 0) is None
    assert fragments.add(KEY, 1, 8, False, b"89abcdefXYZ", 0) is None
    assert fragments.add(KEY, 1, 0, True, b"01234567", 0) is None
    assert (fragments.mismatched, fragments.completed, fragments.held_bytes) == (1, 0, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((16, True, b"89abcdef"), (8, False, b"x")),  # held bytes after the end
        ((8, False, b"x"), (16, True, b"89abcdef")),  # bytes after the known end
        ((8, False, b"x"), (8, False, b"xy")),  # two ends
        ((8, False, b"xy"), (8, False, b"x")),
    ],
)
def test_fragments_that_contradict_the_end_drop_the_datagram(first, second):
    fragments = Fragments()
    assert fragments.add(KEY, 1, first[0], first[1], first[2], 0) is None
    assert fragments.add(KEY, 1, second[0], second[1], second[2], 0) is None
    assert fragments.mismatched == 1


def test_fragments_of_many_datagrams_are_bounded_by_number():
    fragments = Fragments(max_datagrams=3)
    for identification in range(4):
        fragments.add(KEY, identification, 0, True, b"01234567", 0)
    assert (len(fragments), fragments.evicted) == (3, 1)
    assert fragments.add(KEY, 0, 8, False, b"x", 0) is None


@pytest.mark.parametrize(
    ("offset", "more", "payload"),
    [(8, True, b"short"), (65528, False, b"too long"), (0, False, b""), (4, False, b"x")],
)
def test_fragment_that_cannot_be_is_counted_as_malformed(offset, more, payload):
    fragments = Fragments()
    assert fragments.add(KEY, 1, offset, more, payload, 0) is None
    assert (fragments.malformed, len(fragments)) == (1, 0)


def test_fragments_expire_after_timeout_and_start_anew():
    fragments = Fragments(timeout_ns=30 * SECOND)
    fragments.add(KEY, 1, 0, True, b"01234567", 0)
    assert fragments.add(KEY, 1, 8, False, b"89", 30 * SECOND) is None
    assert fragments.expired == 1
    assert fragments.add(KEY, 1, 0, True, b"01234567", 31 * SECOND) == b"0123456789"


def test_fragments_of_same_identification_but_other_key_stay_apart():
    fragments = Fragments()
    other = (KEY[1], KEY[0], KEY[2])
    fragments.add(KEY, 1, 0, True, b"aaaaaaaa", 0)
    fragments.add(other, 1, 0, True, b"bbbbbbbb", 0)
    assert fragments.add(KEY, 1, 8, False, b"A", 0) == b"aaaaaaaaA"
    assert fragments.add(other, 1, 8, False, b"B", 0) == b"bbbbbbbbB"


def test_fragment_flood_evicts_the_oldest_and_stays_in_bounds():
    fragments = Fragments(max_datagrams=100, max_bytes=10_000)
    for identification in range(5000):
        fragments.add(KEY, identification, 0, True, bytes(800), identification)
        assert len(fragments) <= 100
        assert fragments.held_bytes <= 10_000
    assert fragments.evicted == 5000 - len(fragments)
    assert fragments.add(KEY, 4999, 800, False, b"end", 5000) == bytes(800) + b"end"


def test_fragments_of_eight_bytes_are_bounded_by_count():
    fragments = Fragments()
    for number in range(4000):
        fragments.add(KEY, 1, 16 * number, True, b"01234567", 0)
    assert fragments.mismatched == 1
    assert fragments.held_bytes == 0


def test_fragments_given_up_are_reported_with_their_start() -> None:
    fragments = Fragments(timeout_ns=SECOND)
    fragments.add(KEY, 1, 0, True, b"INVITE s", 5)
    fragments.add(KEY, 2, 8, True, b"rest of ", 6)
    fragments.expire(3 * SECOND)
    assert [(lost.first_ns, lost.start) for lost in fragments.lost()] == [(5, b"INVITE s"), (6, b"")]
    assert fragments.lost() == []


def test_fragments_at_the_capture_end_are_reported() -> None:
    fragments = Fragments()
    fragments.add(KEY, 1, 0, True, b"INVITE s", 5)
    fragments.give_up_all()
    assert len(fragments.lost()) == 1
    assert (len(fragments), fragments.held_bytes) == (0, 0)


def test_fragments_with_contradicting_bytes_are_reported_once() -> None:
    fragments = Fragments(timeout_ns=SECOND)
    fragments.add(KEY, 1, 0, True, b"01234567", 0)
    fragments.add(KEY, 1, 0, True, b"EVILEVIL", 0)
    fragments.expire(SECOND)
    assert len(fragments.lost()) == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.booleans(), st.binary(max_size=64)), max_size=60
    )
)
def test_fragments_of_any_kind_keep_the_books(parts: list[tuple[int, int, bool, bytes]]) -> None:
    fragments = Fragments(max_datagrams=3, max_bytes=900)
    for now_ns, (identification, units, more, payload) in enumerate(parts):
        fragments.add(KEY, identification, 8 * units, more, payload, now_ns)
        assert len(fragments) <= 3
        assert 0 <= fragments.held_bytes <= 900
    fragments.give_up_all()
    assert fragments.held_bytes == 0


@pytest.mark.parametrize("size", [8, 64, 512, 1480])
def test_fragments_look_at_few_pieces_each(size: int, monkeypatch: Any) -> None:
    """However many are held, a fragment is compared with those alone that it may overlap."""
    looked = 0
    touched = module._touched

    def counted(datagram: Any, offset: int, end: int) -> range:
        nonlocal looked
        places = touched(datagram, offset, end)
        looked += len(places)
        return places

    monkeypatch.setattr(module, "_touched", counted)
    fragments = Fragments()
    count = min(PIECES_MAX, 65_000 // (2 * size))
    for number in range(count):
        fragments.add(KEY, 1, 2 * size * number, True, bytes(size), 0)
    assert looked <= 4 * count
