"""Frames without a stamp, and frames whose stamp is years away from the rest."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.stamps import FEW, LAST_NS, NO_STAMP, StampCheck, fill_in
from agent.wire.frame import STAMP, STRIDE

SECOND_NS = 10**9
T0 = 1_700_000_000 * SECOND_NS
YEARS_NS = 5 * 365 * 86_400 * SECOND_NS


def rows(*stamps: int) -> array[int]:
    index: array[int] = array("q")
    for place, stamp in enumerate(stamps):
        index.extend((place * 100, 60, 60, stamp, 1 << 32))
    return index


def stamps_of(index: array[int]) -> list[int]:
    return list(index[STAMP::STRIDE])


def kept(*batches: list[int]) -> list[int]:
    check = StampCheck()
    return [stamp for batch in batches for stamp in stamps_of(check.keep(rows(*sorted(batch))))]


def steady(count: int, start_ns: int = T0) -> list[int]:
    return [start_ns + place * SECOND_NS for place in range(count)]


def test_frame_stamped_0_before_all_others_is_a_stray() -> None:
    assert kept([0, *steady(50)]) == steady(50)


def test_frame_stamped_in_2106_behind_all_others_is_a_stray() -> None:
    assert kept([*steady(50), (2**32 - 1) * SECOND_NS]) == steady(50)


def test_stray_alone_in_a_later_batch_is_a_stray() -> None:
    assert kept(steady(50), [0], steady(5, T0 + 60 * SECOND_NS)) == steady(50) + steady(
        5, T0 + 60 * SECOND_NS
    )


def test_two_of_three_frames_outvote_the_third() -> None:
    assert kept([T0, T0 + 1, T0 + YEARS_NS]) == [T0, T0 + 1]


def test_capture_that_begins_at_0_stays_whole() -> None:
    assert kept(steady(50, 0)) == steady(50, 0)


def test_two_captures_years_apart_both_stay() -> None:
    both = steady(50) + steady(50, T0 + YEARS_NS)
    assert kept(both) == both


def test_clock_set_right_under_way_is_believed_after_a_few_frames() -> None:
    later = [[stamp] for stamp in steady(50)]
    assert kept(steady(50, 0), *later) == steady(50, 0) + steady(50)[FEW:]


def test_stamps_before_1970_and_beyond_2116_are_strays_however_many() -> None:
    assert kept([-2] * 50 + steady(3) + [LAST_NS + 1] * 50) == steady(3)


def test_frame_without_a_stamp_takes_that_of_the_one_before() -> None:
    index = rows(T0, NO_STAMP, T0 + 5)
    fill_in(index, None)
    assert stamps_of(index) == [T0, T0, T0 + 5]


def test_first_frame_without_a_stamp_takes_that_of_the_next() -> None:
    index = rows(NO_STAMP, NO_STAMP, T0)
    fill_in(index, None)
    assert stamps_of(index) == [T0, T0, T0]


def test_first_frame_of_a_batch_without_a_stamp_takes_that_of_the_batch_before() -> None:
    index = rows(NO_STAMP, T0 + 5)
    fill_in(index, T0)
    assert stamps_of(index) == [T0, T0 + 5]


def test_no_frame_has_a_stamp_all_are_of_one_moment() -> None:
    index = rows(NO_STAMP, NO_STAMP)
    fill_in(index, None)
    assert stamps_of(index) == [0, 0]


@given(st.lists(st.lists(st.integers(-5, (1 << 63) - 1), max_size=20), max_size=10))
def test_what_stays_is_in_order_and_a_possible_time(batches: list[list[int]]) -> None:
    check = StampCheck()
    for batch in batches:
        left = stamps_of(check.keep(rows(*sorted(batch))))
        assert left == sorted(left)
        assert all(0 <= stamp <= LAST_NS for stamp in left)
