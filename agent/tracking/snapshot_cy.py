# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
"""The accepted streams of a table as bytes, for checkpoints, and back.

Column by column: the least value, the width in bytes of what the greatest exceeds it by (0, 1, 2, 4 or 8),
then that difference for every stream. Most columns differ little from stream to stream, so a row of 896
bytes takes under 200. Of the window only which numbers were seen, discarded or unknown is kept; candidates
are not: a stream that begins during a restart is accepted again by its next two packets.
"""
# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import struct
from array import array

from agent.tracking.table_cy import Table

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if not cython.compiled:  # snapshot_cy.pxd holds the same values for the compiler
    from agent.tracking.table_cy import *

    # Columns: the words of a row before its window, its number, then the window as pairs of 32-bit masks.
    HEADER, ROW, SEEN, LATE, UNSEEN, COLUMNS = 80, 80, 81, 83, 85, 87

VERSION = 1
_HEAD = struct.Struct("<4sHHIqq")  # magic, version, columns, rows, minute length, end of the closed minutes
_COLUMN = struct.Struct("<qB")
_MAGIC = b"SBCW"


def save(table: Table) -> bytes:
    rows: cython.longlong[::1] = array("q", table.live_streams())
    count: cython.longlong = len(rows)
    out = bytearray(_HEAD.pack(_MAGIC, VERSION, COLUMNS, count, table.minute_ns, table.closed_ns))
    column: cython.longlong
    at: cython.longlong
    least: cython.longlong
    most: cython.longlong
    number: cython.longlong
    place: cython.longlong
    width: cython.longlong
    for column in range(COLUMNS):
        least = most = value(table, rows[0], column) if count else 0
        for at in range(count):
            number = value(table, rows[at], column)
            if number < least:
                least = number
            if number > most:
                most = number
        width = width_of((int(most) - int(least)).bit_length())
        out += _COLUMN.pack(least, width)
        if width == 0:
            continue
        body = bytearray(width * count)
        view: cython.uchar[::1] = body
        for at in range(count):
            number = value(table, rows[at], column) - least
            for place in range(width):
                view[at * width + place] = (number >> 8 * place) & 255
        view = bytearray()
        out += body
    return bytes(out)


def width_of(needed: int) -> int:
    return next(width for width in (0, 1, 2, 4, 8) if needed <= 8 * width)


def restore(table: Table, data: bytes) -> int:
    """Fill an empty table: how many bytes of `data` were read. Streams keep their ids.

    Raises:
        ValueError: not a snapshot of this version, of another minute length, or more than the table holds.
    """
    try:
        magic, version, columns, count, minute_ns, closed_ns = _HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError("snapshot too short") from error
    if (magic, version, columns, minute_ns) != (_MAGIC, VERSION, COLUMNS, table.minute_ns):
        raise ValueError("snapshot of another version")
    if table.used:
        raise ValueError("table not empty")
    # Row numbers come last but are needed first: find where each column lies.
    offset: int = _HEAD.size
    places: list[tuple[int, int, int]] = []
    for _ in range(columns):
        if offset + _COLUMN.size > len(data):
            raise ValueError("snapshot too short")
        lowest, octets = _COLUMN.unpack_from(data, offset)
        offset += _COLUMN.size
        places.append((lowest, octets, offset))
        offset += octets * count
    if offset > len(data):
        raise ValueError("snapshot too short")
    rows: cython.longlong[::1] = array("q", column_of(data, places[ROW], count))
    if count and (min(rows) < 0 or max(rows) >= table.max_streams or len(set(rows)) != count):
        raise ValueError("snapshot of a larger table")
    at: cython.longlong
    column: cython.longlong
    for column in range(COLUMNS):
        if column == ROW:
            continue
        numbers: cython.longlong[::1] = array("q", column_of(data, places[column], count))
        for at in range(count):
            put(table, rows[at], column, numbers[at])
    table.closed_ns = closed_ns
    table.rebuild(max(rows) + 1 if count else 0)
    return offset


def column_of(data: bytes, place: tuple[int, int, int], count: int) -> list[int]:
    least, width, offset = place
    if width == 0:
        return [least] * count
    codes = {1: "B", 2: "H", 4: "I", 8: "Q"}
    raw = struct.unpack_from(f"<{count}{codes[width]}", data, offset)
    return [least + number for number in raw]


def value(table: Table, row: cython.longlong, column: cython.longlong) -> cython.longlong:
    """What one column holds of one stream: times and counts relative to others, so that they are small."""
    word: cython.longlong = row * WORDS
    if column == ROW:
        return row
    if column >= SEEN:
        if column < LATE:
            return bits(table, word, 32 * (column - SEEN), 7)
        if column < UNSEEN:
            return bits(table, word, 32 * (column - LATE), 8)
        return bits(table, word, 32 * (column - UNSEEN), 16)
    number: cython.longlong = table.rows[word + column]
    if column in (RATE, US_PER_TICK, QUEUE, BAD_PATH):
        return 0
    if column == JUDGED:
        return table.rows[word + TOP] - number
    if column == RECEIVED:
        return table.rows[word + TOP] - table.rows[word + BASE] - number
    if column == REF_NS:
        return table.rows[word + LAST] - number
    if column == BAD_NS:
        return table.rows[word + LAST] - number if table.rows[word + BAD] >= 0 else 0
    if column == INFER_NS:
        return table.rows[word + LAST] - number if table.rows[word + INFER_COUNT] > 0 else 0
    return number


def put(table: Table, row: cython.longlong, column: cython.longlong, number: cython.longlong) -> cython.int:
    """The reverse of `value`; columns come in order, so that what a value is relative to may come later."""
    word: cython.longlong = row * WORDS
    if column < HEADER:
        table.rows[word + column] = number
    elif column < LATE:
        set_bits(table, word, 32 * (column - SEEN), 1, number)
    elif column < UNSEEN:
        set_bits(table, word, 32 * (column - LATE), 8, number)
    else:
        set_bits(table, word, 32 * (column - UNSEEN), 16, number)
    if column == HEADER - 1:
        table.rows[word + JUDGED] = table.rows[word + TOP] - table.rows[word + JUDGED]
        table.rows[word + RECEIVED] = (
            table.rows[word + TOP] - table.rows[word + BASE] - table.rows[word + RECEIVED]
        )
        table.rows[word + REF_NS] = table.rows[word + LAST] - table.rows[word + REF_NS]
        table.rows[word + BAD_NS] = table.rows[word + LAST] - table.rows[word + BAD_NS]
        table.rows[word + INFER_NS] = table.rows[word + LAST] - table.rows[word + INFER_NS]
        rate: cython.double = table.rows[word + CODEC] >> 8
        if rate > 0.0:
            table.reals[word + RATE] = rate
            table.reals[word + US_PER_TICK] = 1e6 / rate
    return 0


def bits(table: Table, word: cython.longlong, first: cython.longlong, which: cython.uint) -> cython.longlong:
    """A mask of the cells of 32 numbers, from TOP - first downwards, that have any of the bits `which`."""
    mask: cython.longlong = 0
    bit: cython.longlong = 1
    back: cython.longlong
    top: cython.longlong = table.rows[word + TOP] - first + WINDOW
    for back in range(32):
        if table.cells[2 * word + WINDOW_AT + ((top - back) & (WINDOW - 1))] & which:
            mask |= bit << back
    return mask


def set_bits(
    table: Table, word: cython.longlong, first: cython.longlong, which: cython.uint, mask: cython.longlong
) -> cython.int:
    back: cython.longlong
    top: cython.longlong = table.rows[word + TOP] - first + WINDOW
    for back in range(32):
        if (mask >> back) & 1:
            table.cells[2 * word + WINDOW_AT + ((top - back) & (WINDOW - 1))] |= which
    return 0
