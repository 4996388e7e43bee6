# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type, no-any-return"
"""Index rows by capture time: sort a chunk, merge two, find a time. Rows are those of `agent.wire.frame`."""

from __future__ import annotations

from array import array

import cython

if not cython.compiled:  # order_cy.pxd has it, typed
    from agent import uncompiled

    (_INTERFACE_BITS,) = uncompiled.constants(__name__, "_INTERFACE_BITS")


def sort_rows(index: array[int]) -> None:
    """Put rows in capture-time order, in place and stable.

    Disorder in real captures is slight (the NIC's queues meet), which insertion sorts in one pass. A hostile
    file could make that quadratic: past a budget, the ordinary sort does it.
    """
    if not _insertion_sort(index, len(index) // 5 * 16):
        positions = sorted(range(0, len(index), 5), key=lambda at: index[at + 3])
        rows = array("q")
        for at in positions:
            rows.extend(index[at : at + 5])
        index[:] = rows


def _insertion_sort(rows: cython.longlong[::1], budget: cython.longlong) -> bool:
    """False: the budget of moves ran out first (what was done stays valid)."""
    at: cython.Py_ssize_t = 5
    end: cython.Py_ssize_t = len(rows)
    to: cython.Py_ssize_t
    offset: cython.longlong
    captured: cython.longlong
    wire: cython.longlong
    stamp: cython.longlong
    origin: cython.longlong
    column: cython.Py_ssize_t
    while at < end:
        stamp = rows[at + 3]
        if rows[at - 2] > stamp:
            offset = rows[at]
            captured = rows[at + 1]
            wire = rows[at + 2]
            origin = rows[at + 4]
            to = at
            while to > 0 and rows[to - 2] > stamp:
                for column in range(5):
                    rows[to + column] = rows[to - 5 + column]
                to -= 5
                budget -= 1
            rows[to] = offset
            rows[to + 1] = captured
            rows[to + 2] = wire
            rows[to + 3] = stamp
            rows[to + 4] = origin
            if budget < 0:
                return False
        at += 5
    return True


def rows_until(
    rows: cython.longlong[::1], first: cython.Py_ssize_t, limit_ns: cython.longlong, inclusive: cython.bint
) -> int:
    """The first row number from `first` on whose stamp is past `limit_ns` (at it, unless `inclusive`)."""
    low: cython.Py_ssize_t = first
    high: cython.Py_ssize_t = len(rows) // 5
    middle: cython.Py_ssize_t
    stamp: cython.longlong
    while low < high:
        middle = (low + high) // 2
        stamp = rows[middle * 5 + 3]
        if stamp < limit_ns or (inclusive and stamp == limit_ns):
            low = middle + 1
        else:
            high = middle
    return low


def span(rows: cython.longlong[::1], first: cython.Py_ssize_t, last: cython.Py_ssize_t) -> tuple[int, int]:
    """The bytes that rows `first` to before `last` (at least one) cover: (start, end)."""
    at: cython.Py_ssize_t = first * 5
    start: cython.longlong = rows[at]
    end: cython.longlong = start
    while at < last * 5:
        if rows[at] < start:
            start = rows[at]
        if rows[at] + rows[at + 1] > end:
            end = rows[at] + rows[at + 1]
        at += 5
    return start, end


def move_rows(
    rows: cython.longlong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    shift: cython.longlong,
    base: cython.longlong,
    room: cython.longlong,
    into: cython.longlong[::1],
) -> None:
    """Copy rows, with `shift` added to offsets and interface numbers folded into base..base+room-1."""
    at: cython.Py_ssize_t = first * 5
    to: cython.Py_ssize_t = 0
    number: cython.longlong
    while at < last * 5:
        number = (rows[at + 4] & _INTERFACE_BITS) % room + base
        into[to] = rows[at] + shift
        into[to + 1] = rows[at + 1]
        into[to + 2] = rows[at + 2]
        into[to + 3] = rows[at + 3]
        into[to + 4] = rows[at + 4] & ~_INTERFACE_BITS | number
        at += 5
        to += 5


def merge_rows(first: cython.longlong[::1], second: cython.longlong[::1], into: cython.longlong[::1]) -> None:
    """Merge two ordered runs of rows; at equal stamps `first` goes first."""
    a: cython.Py_ssize_t = 0
    b: cython.Py_ssize_t = 0
    a_end: cython.Py_ssize_t = len(first)
    b_end: cython.Py_ssize_t = len(second)
    to: cython.Py_ssize_t = 0
    column: cython.Py_ssize_t
    while a < a_end and b < b_end:
        if second[b + 3] < first[a + 3]:
            for column in range(5):
                into[to + column] = second[b + column]
            b += 5
        else:
            for column in range(5):
                into[to + column] = first[a + column]
            a += 5
        to += 5
    while a < a_end:
        into[to] = first[a]
        a += 1
        to += 1
    while b < b_end:
        into[to] = second[b]
        b += 1
        to += 1


def shift_stamps(rows: cython.longlong[::1], by_ns: cython.longlong) -> None:
    """Move every stamp by `by_ns`, in place."""
    at: cython.Py_ssize_t
    for at in range(3, len(rows), 5):
        rows[at] += by_ns
