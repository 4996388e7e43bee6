# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""The accepted streams of a table as bytes, for checkpoints, and back.

Column by column, a column being one field of every row: the least value, the width in bytes (0, 1, 2, 4 or 8)
of the greatest difference from it, then that difference for every stream. Most columns differ little from
stream to stream, so a row of 704 bytes takes some 110. Of the window only these marks are kept: not seen,
discarded, unknown. Candidates are not kept: a stream that begins during a restart is accepted again by its
next two packets.
"""
# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import struct
from array import array
from functools import cache
from typing import Any, Literal

import cython

from agent.media.rtp.stream_table_cy import Table

if not cython.compiled:  # snapshot_cy.pxd has them, typed
    from agent.media.rtp.loss_cy import CELL_COUNT, CELL_DISCARDED, CELL_UNKNOWN
    from agent.media.rtp.stream_row import MinuteRow, StreamRow
    from agent.media.rtp.stream_table_cy import *

VERSION = 5
_HEAD = struct.Struct("<4sHIqq")  # magic, version, rows, minute length, end of the closed minutes
_COLUMN = struct.Struct("<qB")
_MAGIC = b"SBCW"
_LEFT_OUT = {
    "state",
    "scale",
    "settled",
    "queue",
    "window",
    "sibling",
}  # follow from others, or are a candidate's
# Fields kept as their distance from another one.
_BEFORE = {"ref_ns": "last_ns", "received": "top"}
# Fields that mean nothing where another one is 0: they are kept as 0.
_WHILE = {
    "anchor_at": "anchored", "anchor_ts": "anchored", "guess": "anchored", "late_from": "late_run",
    "steady_us": "late_run", "bad_seq": "stray", "bad_cell": "stray",
}  # fmt: skip
_CODES: dict[int, Literal["B", "H", "I", "q"]] = {
    1: "B",
    2: "H",
    4: "I",
    8: "q",
}  # a field by its size; doubles as their bits
_WIDTHS = {0: "", 1: "B", 2: "H", 4: "I", 8: "Q"}


@cache
def _places() -> dict[str, tuple[int, int]]:
    """Offset and size of every field that is kept, those of minutes among them."""
    from agent.media.rtp.stream_row import StreamRow

    return {
        name: place
        for name, place in _fields_of("", StreamRow, 0).items()
        if name.partition(".")[0] not in _LEFT_OUT and name.rpartition(".")[2] != "rare"
    }


@cache
def _rare_places() -> dict[str, tuple[int, int]]:
    """The same of the counts that few streams have."""
    from agent.media.rtp.stream_row import RareRow

    return _fields_of("", RareRow, 0)


def _fields_of(name: str, kind: Any, offset: int) -> dict[str, tuple[int, int]]:
    """The plain fields within a field, with their places in the row."""
    from ctypes import sizeof  # which a replay starts without

    found: dict[str, tuple[int, int]] = {}
    dot = "." if name else ""
    if hasattr(kind, "_fields_"):
        for part, part_kind, *_ in kind._fields_:
            found |= _fields_of(f"{name}{dot}{part}", part_kind, offset + getattr(kind, part).offset)
    elif hasattr(kind, "_length_"):
        each = sizeof(kind._type_)
        for at in range(kind._length_):
            found |= _fields_of(f"{name}.{at}", kind._type_, offset + at * each)
    else:
        found[name] = (offset, sizeof(kind))
    return found


# The window: three marks of two times 32 cells.
_MARKS = [(first, which) for which in (CELL_COUNT, CELL_DISCARDED, CELL_UNKNOWN) for first in (0, 32)]


def save(table: Table) -> bytes:
    rows = array("q", table.live_streams())
    numbers, others = array("q", rows), array("q", rows)
    out = bytearray(_HEAD.pack(_MAGIC, VERSION, len(rows), table.minute_ns, table.closed_ns))
    _pack(out, numbers)
    memory, places = memoryview(table.memory), _places()
    for name, place in places.items():
        _read(memory, ROW_BYTES, rows, place, numbers)
        if name in _WHILE:
            _read(memory, ROW_BYTES, rows, places[_WHILE[name]], others)
            _blank(numbers, others)
        if name in _BEFORE:
            _read(memory, ROW_BYTES, rows, places[_BEFORE[name]], others)
            _differ(numbers, others)
        _pack(out, numbers)
    for odd in (0, 1):
        _records(table, rows, odd, others)
        for place in _rare_places().values():
            _read(memoryview(table.rare), RARE_BYTES, others, place, numbers)
            _pack(out, numbers)
    for mark in _MARKS:
        _marks(table, rows, *mark, numbers)
        _pack(out, numbers)
    return bytes(out)


def restore(table: Table, data: bytes) -> int:
    """Fills an empty table. Returns how many bytes of `data` were read. Streams keep their ids.

    Raises:
        ValueError: not a snapshot of this version, of another minute length, or more than the table holds.
    """
    try:
        magic, version, count, minute_ns, closed_ns = _HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError("snapshot too short") from error
    if (magic, version, minute_ns) != (_MAGIC, VERSION, table.minute_ns):
        raise ValueError("snapshot of another version")
    if table.used:
        raise ValueError("table not empty")
    if count > table.max_streams:
        raise ValueError("snapshot of a larger table")
    rows, at = _unpack(data, _HEAD.size, count)
    if count and (min(rows) < 0 or max(rows) >= table.max_streams or len(set(rows)) != count):
        raise ValueError("snapshot of a larger table")
    used = max(rows, default=-1) + 1
    others: dict[str, list[int]] = {}
    for name, (_, size) in _places().items():
        numbers, at = _unpack(data, at, count)
        if name in _BEFORE:
            numbers = [other - number for number, other in zip(numbers, others[_BEFORE[name]], strict=True)]
        if name in _BEFORE.values():
            others[name] = numbers
        filled = array(_CODES[size], bytes(size * used))
        try:
            for place, number in zip(rows, numbers, strict=True):
                filled[place] = number
        except OverflowError as error:
            raise ValueError(f"snapshot holds no {name}") from error
        _field(table, name, used)[:] = memoryview(filled)
    for odd in (0, 1):
        for name, where in _rare_places().items():
            numbers, at = _unpack(data, at, count)
            try:
                _count(table, rows, odd, where, numbers)
            except (OverflowError, ValueError) as error:
                raise ValueError(f"snapshot holds no {name}") from error
    for first, which in _MARKS:
        numbers, at = _unpack(data, at, count)
        _mark(table, rows, numbers, first, which)
    for number in rows:
        table.revive(number)
    table.closed_ns = closed_ns
    table.rebuild(used)
    return at


def _field(table: Table, name: str, used: int) -> memoryview:
    """One field of the first `used` rows."""
    offset, size = _places()[name]
    stride = ROW_BYTES // size
    field: memoryview = memoryview(table.memory).cast(_CODES[size])[offset // size : used * stride : stride]
    return field


def _records(table: Table, rows: cython.longlong[::1], odd: int, records: cython.longlong[::1]) -> None:
    """The numbers of the `RareRow`s of one minute of these rows; 0 where there is none."""
    minute: MinuteRow
    at: cython.longlong
    for at in range(len(rows)):
        minute = half(row_of(table, rows[at]), odd)
        records[at] = minute.rare


def _count(table: Table, rows: list[int], odd: int, place: tuple[int, int], numbers: list[int]) -> None:
    """Writes one field of the `RareRow`s of one minute of these rows, where it is not 0."""
    offset, size = place
    minute: MinuteRow
    field = memoryview(table.rare).cast(_CODES[size])
    for row, number in zip(rows, numbers, strict=True):
        if number:
            minute = half(row_of(table, row), odd)
            table.rare_for(minute)
            field[(minute.rare * RARE_BYTES + offset) // size] = number


def _read(
    memory: memoryview,
    record: cython.longlong,
    rows: cython.longlong[::1],
    place: tuple[int, int],
    numbers: cython.longlong[::1],
) -> None:
    """One field of these rows of `memory`, a row being of `record` bytes."""
    offset, size = place
    at: cython.longlong
    first: cython.longlong = offset // size
    stride: cython.longlong = record // size
    if size == 8:
        words: cython.longlong[::1] = memory.cast("q")
        for at in range(len(rows)):
            numbers[at] = words[rows[at] * stride + first]
    elif size == 4:
        halves: cython.uint[::1] = memory.cast("I")
        for at in range(len(rows)):
            numbers[at] = halves[rows[at] * stride + first]
    elif size == 2:
        quarters: cython.ushort[::1] = memory.cast("H")
        for at in range(len(rows)):
            numbers[at] = quarters[rows[at] * stride + first]
    else:
        octets: cython.uchar[::1] = memory
        for at in range(len(rows)):
            numbers[at] = octets[rows[at] * stride + first]


def _blank(numbers: cython.longlong[::1], others: cython.longlong[::1]) -> None:
    at: cython.longlong
    for at in range(len(numbers)):
        if others[at] == 0:
            numbers[at] = 0


def _differ(numbers: cython.longlong[::1], others: cython.longlong[::1]) -> None:
    at: cython.longlong
    for at in range(len(numbers)):
        numbers[at] = others[at] - numbers[at]


def _pack(out: bytearray, numbers: cython.longlong[::1]) -> None:
    at: cython.longlong
    place: cython.longlong
    number: cython.longlong
    count: cython.longlong = len(numbers)
    least: cython.longlong = numbers[0] if count else 0
    most: cython.longlong = least
    for at in range(count):
        number = numbers[at]
        if number < least:
            least = number
        if number > most:
            most = number
    needed: int = (int(most) - int(least)).bit_length()
    width: cython.longlong = next(width for width in _WIDTHS if needed <= 8 * width)
    out += _COLUMN.pack(least, width)
    if width == 0:
        return
    body = bytearray(width * count)
    octets: cython.uchar[::1] = body
    # Unsigned: from the least to the most may be more than a signed number holds.
    base: cython.ulonglong = least
    above: cython.ulonglong
    for at in range(count):
        above = numbers[at]
        above -= base
        for place in range(width):
            octets[at * width + place] = (above >> 8 * place) & 255
    out += body


def _unpack(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """A column, and where the next begins."""
    if at + _COLUMN.size > len(data):
        raise ValueError("snapshot too short")
    least, width = _COLUMN.unpack_from(data, at)
    at += _COLUMN.size
    if width not in _WIDTHS or at + width * count > len(data):
        raise ValueError("snapshot too short")
    if width == 0:
        return [least] * count, at
    body = struct.unpack_from(f"<{count}{_WIDTHS[width]}", data, at)
    return [least + number for number in body], at + width * count


def _marks(
    table: Table,
    rows: cython.longlong[::1],
    first: cython.longlong,
    which: cython.uint,
    masks: cython.longlong[::1],
) -> None:
    """For each row a mask of those of its 32 cells from `first` on that have any of the bits `which`.

    Where these are receptions, of those that have none: most are received.
    """
    row: StreamRow
    at: cython.longlong
    place: cython.longlong
    mask: cython.longlong
    bit: cython.longlong = 1
    for at in range(len(rows)):
        row = row_of(table, rows[at])
        mask = 0
        for place in range(32):
            if (row.window[first + place] & which != 0) != (which == CELL_COUNT):
                mask |= bit << place
        masks[at] = mask


def _mark(
    table: Table, rows: list[int], masks: list[int], first: cython.longlong, which: cython.uint
) -> None:
    row: StreamRow
    at: cython.longlong
    mask: cython.longlong
    bit: cython.uint = 1 if which == CELL_COUNT else which
    for number, mask in zip(rows, masks, strict=True):
        row = row_of(table, number)
        for at in range(32):
            if ((mask >> at) & 1 != 0) != (which == CELL_COUNT):
                row.window[first + at] |= bit
