# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type, no-any-return"
"""Index rows by capture time: sort a chunk, merge two, find a time. Rows are those of `agent.wire.frame`."""

from __future__ import annotations

from array import array

import cython

if not cython.compiled:  # order_cy.pxd has it, typed
    from agent import uncompiled
    from agent.wire.frame import CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE

    (_INTERFACE_BITS,) = uncompiled.constants(__name__, "_INTERFACE_BITS")


def sort_rows(index: array[int]) -> None:
    """Put rows in capture-time order, in place and stable.

    Disorder in real captures is slight (the NIC's queues meet), which insertion sorts in one pass. A hostile
    file could make that quadratic: past a budget, the ordinary sort does it.
    """
    if not _insertion_sort(index, len(index) // STRIDE * 16):
        positions = sorted(range(0, len(index), STRIDE), key=lambda at: index[at + STAMP])
        rows = array("q")
        for at in positions:
            rows.extend(index[at : at + STRIDE])
        index[:] = rows


def _insertion_sort(rows: cython.longlong[::1], budget: cython.longlong) -> bool:
    """False: the budget of moves ran out first (what was done stays valid)."""
    at: cython.Py_ssize_t = STRIDE
    end: cython.Py_ssize_t = len(rows)
    to: cython.Py_ssize_t
    offset: cython.longlong
    captured: cython.longlong
    wire: cython.longlong
    stamp: cython.longlong
    origin: cython.longlong
    column: cython.Py_ssize_t
    while at < end:
        stamp = rows[at + STAMP]
        if rows[at - STRIDE + STAMP] > stamp:
            offset = rows[at + OFFSET]
            captured = rows[at + CAPTURED]
            wire = rows[at + WIRE]
            origin = rows[at + ORIGIN]
            to = at
            while to > 0 and rows[to - STRIDE + STAMP] > stamp:
                for column in range(STRIDE):
                    rows[to + column] = rows[to - STRIDE + column]
                to -= STRIDE
                budget -= 1
            rows[to + OFFSET] = offset
            rows[to + CAPTURED] = captured
            rows[to + WIRE] = wire
            rows[to + STAMP] = stamp
            rows[to + ORIGIN] = origin
            if budget < 0:
                return False
        at += STRIDE
    return True


def first_fall(rows: cython.longlong[::1], first: cython.Py_ssize_t, by_ns: cython.longlong) -> int:
    """The first row whose stamp is more than `by_ns` below that of one before it, from row `first` on.

    -1: there is none.
    """
    at: cython.Py_ssize_t
    stamp: cython.longlong
    newest: cython.longlong = rows[first * STRIDE + STAMP]
    for at in range(first + 1, len(rows) // STRIDE):
        stamp = rows[at * STRIDE + STAMP]
        if stamp > newest:
            newest = stamp
        elif newest - stamp > by_ns:
            return at
    return -1


def rows_until(
    rows: cython.longlong[::1], first: cython.Py_ssize_t, limit_ns: cython.longlong, inclusive: cython.bint
) -> int:
    """The first row number from `first` on whose stamp is past `limit_ns` (at it, unless `inclusive`)."""
    low: cython.Py_ssize_t = first
    high: cython.Py_ssize_t = len(rows) // STRIDE
    middle: cython.Py_ssize_t
    stamp: cython.longlong
    while low < high:
        middle = (low + high) // 2
        stamp = rows[middle * STRIDE + STAMP]
        if stamp < limit_ns or (inclusive and stamp == limit_ns):
            low = middle + 1
        else:
            high = middle
    return low


def span(rows: cython.longlong[::1], first: cython.Py_ssize_t, last: cython.Py_ssize_t) -> tuple[int, int]:
    """The bytes that rows `first` to before `last` (at least one) cover: (start, end)."""
    at: cython.Py_ssize_t = first * STRIDE
    start: cython.longlong = rows[at + OFFSET]
    end: cython.longlong = start
    while at < last * STRIDE:
        if rows[at + OFFSET] < start:
            start = rows[at + OFFSET]
        if rows[at + OFFSET] + rows[at + CAPTURED] > end:
            end = rows[at + OFFSET] + rows[at + CAPTURED]
        at += STRIDE
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
    at: cython.Py_ssize_t = first * STRIDE
    to: cython.Py_ssize_t = 0
    number: cython.longlong
    while at < last * STRIDE:
        number = (rows[at + ORIGIN] & _INTERFACE_BITS) % room + base
        into[to + OFFSET] = rows[at + OFFSET] + shift
        into[to + CAPTURED] = rows[at + CAPTURED]
        into[to + WIRE] = rows[at + WIRE]
        into[to + STAMP] = rows[at + STAMP]
        into[to + ORIGIN] = rows[at + ORIGIN] & ~_INTERFACE_BITS | number
        at += STRIDE
        to += STRIDE


def merge_rows(first: cython.longlong[::1], second: cython.longlong[::1], into: cython.longlong[::1]) -> None:
    """Merge two ordered runs of rows; at equal stamps `first` goes first."""
    a: cython.Py_ssize_t = 0
    b: cython.Py_ssize_t = 0
    a_end: cython.Py_ssize_t = len(first)
    b_end: cython.Py_ssize_t = len(second)
    to: cython.Py_ssize_t = 0
    column: cython.Py_ssize_t
    while a < a_end and b < b_end:
        if second[b + STAMP] < first[a + STAMP]:
            for column in range(STRIDE):
                into[to + column] = second[b + column]
            b += STRIDE
        else:
            for column in range(STRIDE):
                into[to + column] = first[a + column]
            a += STRIDE
        to += STRIDE
    while a < a_end:
        into[to + OFFSET] = first[a]
        a += 1
        to += 1
    while b < b_end:
        into[to + OFFSET] = second[b]
        b += 1
        to += 1


def shift_stamps(rows: cython.longlong[::1], by_ns: cython.longlong) -> None:
    """Move every stamp by `by_ns`, in place."""
    at: cython.Py_ssize_t
    for at in range(STAMP, len(rows), STRIDE):
        rows[at + OFFSET] += by_ns
