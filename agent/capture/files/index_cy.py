# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type, no-any-return"
"""Finds the records in a chunk of a capture file: no copy, one index row a frame.

Both walkers read `data[registers[POSITION]:end]` and append rows to `index`, until they stop with a reason:

    MORE     the next record is not whole in the chunk
    FULL     the index has no room left
    FAULT    registers[FAULT_CODE] says what is wrong with the record at POSITION
    BLOCK    pcapng: a section, interface or statistics block at POSITION, or one too large for the chunk

POSITION is always the first byte that was not taken.
"""

from __future__ import annotations

import cython

MORE, FULL, FAULT, BLOCK = range(4)

# Registers, in an array('q'): a walk leaves them for the next call.
POSITION, ROWS, NEWEST, BYTES, DISORDER, FAULT_CODE, FAULT_VALUE, LOSSES, REGISTERS = range(9)

# Faults of a record.
TOO_LONG, BAD_LENGTH, BAD_TRAILER, NO_INTERFACE, BAD_TIME = range(1, 6)

# A row of the interface table of a pcapng section.
ORIGIN, UNIT, FACTOR, SHIFT_NS, SNAP, LAST, SEEN, INTERFACE_STRIDE = range(8)
BINARY = 2

LOSS_STRIDE = 3  # start_ns, end_ns, count

if not cython.compiled:  # index_cy.pxd has these, typed: a module's own names are Python objects there
    from agent import uncompiled
    from agent.wire.frame import CAPTURED, OFFSET, STAMP, STRIDE, WIRE
    from agent.wire.frame import ORIGIN as FRAME_ORIGIN

    _MULTIPLY, _DIVIDE, _MAX_CAPTURED, _SECTION_TYPE = uncompiled.constants(
        __name__, "_MULTIPLY _DIVIDE _MAX_CAPTURED _SECTION_TYPE"
    )
    _INTERFACE_BITS, _TYPE_BITS, TIME_LIMIT, SECONDS_LIMIT = uncompiled.constants(
        __name__, "_INTERFACE_BITS _TYPE_BITS TIME_LIMIT SECONDS_LIMIT"
    )
    _NO_STAMP, _BEFORE_1970 = uncompiled.constants(__name__, "_NO_STAMP _BEFORE_1970")

    Octets = memoryview
    Row = memoryview

    def octets_of(data: memoryview, at: int, count: int) -> Octets:
        return data[at : at + count]

    def row_of(index: cython.longlong[::1], at: int) -> Row:
        return memoryview(index)[at : at + STRIDE]

    def load16(octets: Octets, at: int, big: bool) -> int:
        return octets[at] << 8 | octets[at + 1] if big else octets[at + 1] << 8 | octets[at]

    def load32(octets: Octets, at: int, big: bool) -> int:
        first, second = load16(octets, at, big), load16(octets, at + 2, big)
        return first << 16 | second if big else second << 16 | first


# Names for callers in Python.
MULTIPLY, DIVIDE, MAX_CAPTURED = _MULTIPLY, _DIVIDE, _MAX_CAPTURED


def _u16(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t, big: cython.bint) -> cython.longlong:
    return load16(octets_of(data, at, 2), 0, big)


def _u32(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t, big: cython.bint) -> cython.longlong:
    return load32(octets_of(data, at, 4), 0, big)


def walk_pcap(
    data: cython.const[cython.uchar][::1],
    end: cython.Py_ssize_t,
    index: cython.longlong[::1],
    registers: cython.longlong[::1],
    big: cython.bint,
    nanoseconds: cython.bint,
    modified: cython.bint,
    origin: cython.longlong,
) -> int:
    """Index the records of a classic pcap. `modified` is Kuznetzov's, with 8 more bytes a record header."""
    position: cython.Py_ssize_t = registers[0]
    row: cython.Py_ssize_t = registers[1] * 5
    newest: cython.longlong = registers[2]
    total: cython.longlong = registers[3]
    header: cython.Py_ssize_t = 24 if modified else 16
    unit: cython.longlong = 1 if nanoseconds else 1000
    room: cython.Py_ssize_t = len(index) - 5
    status: cython.int = 0
    captured: cython.longlong
    wire: cython.longlong
    stamp: cython.longlong
    record: Octets
    found: Row
    while True:
        if row > room:
            status = 1
            break
        if position + header > end:
            break
        record = octets_of(data, position, header)
        captured = load32(record, 8, big)
        if captured > _MAX_CAPTURED:
            registers[5] = TOO_LONG
            registers[6] = captured
            status = 2
            break
        if position + header + captured > end:
            break
        wire = load32(record, 12, big)
        stamp = load32(record, 0, big)
        stamp = stamp * 1000000000 + load32(record, 4, big) * unit
        if modified:
            origin = (
                origin & ~(_INTERFACE_BITS | _TYPE_BITS)
                | load32(record, 16, big) & _INTERFACE_BITS
                | (record[22] & 7) << 16
            )
        if stamp < newest:
            registers[4] = 1
        else:
            newest = stamp
        found = row_of(index, row)
        found[OFFSET] = position + header
        found[CAPTURED] = captured
        found[WIRE] = wire if wire > captured else captured
        found[STAMP] = stamp
        found[FRAME_ORIGIN] = origin
        row += STRIDE
        total += captured
        position += header + captured
    registers[0] = position
    registers[1] = row // STRIDE
    registers[2] = newest
    registers[3] = total
    return status


def _stamp(
    high: cython.longlong, low: cython.longlong, unit: cython.longlong, factor: cython.longlong
) -> cython.longlong:
    """pcapng time to nanoseconds, or -1 where it would be past 2116."""
    raw: cython.ulonglong = high
    divisor: cython.ulonglong = factor
    limit: cython.ulonglong
    seconds: cython.ulonglong
    fraction: cython.ulonglong
    raw = raw << 32 | low
    if unit == _MULTIPLY:
        limit = TIME_LIMIT
        if raw > limit // divisor:
            return -1
        return raw * divisor
    if unit == _DIVIDE:
        return raw // divisor
    # Units of 2**-factor s: whole seconds, then at most 32 bits of fraction so that * 10**9 fits.
    seconds = 0
    fraction = raw
    limit = SECONDS_LIMIT
    if factor < 64:
        seconds = raw >> factor
        fraction = raw - (seconds << factor)
    if seconds >= limit:
        return -1
    if factor >= 96:
        return 0
    if factor > 32:
        fraction = fraction >> (factor - 32)
        factor = 32
    return seconds * 1000000000 + ((fraction * 1000000000) >> factor)


def walk_pcapng(
    data: cython.const[cython.uchar][::1],
    end: cython.Py_ssize_t,
    index: cython.longlong[::1],
    registers: cython.longlong[::1],
    big: cython.bint,
    interfaces: cython.longlong[::1],
    losses: cython.longlong[::1],
) -> int:
    """Index the packet blocks of a pcapng section; blocks of no interest are stepped over."""
    position: cython.Py_ssize_t = registers[0]
    row: cython.Py_ssize_t = registers[1] * 5
    newest: cython.longlong = registers[2]
    total: cython.longlong = registers[3]
    lost: cython.Py_ssize_t = registers[7] * 3
    room: cython.Py_ssize_t = len(index) - 5
    loss_room: cython.Py_ssize_t = len(losses) - 3
    known: cython.Py_ssize_t = len(interfaces) // 7
    size: cython.Py_ssize_t = len(data)
    status: cython.int = 0
    fault: cython.int = 0
    kind: cython.longlong
    length: cython.longlong
    number: cython.longlong
    captured: cython.longlong
    wire: cython.longlong
    stamp: cython.longlong
    packet_type: cython.longlong
    dropped: cython.longlong
    options: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    code: cython.longlong
    width: cython.longlong
    start: cython.Py_ssize_t
    entry: cython.Py_ssize_t
    while True:
        if row > room or lost > loss_room:
            status = 1
            break
        if position + 12 > end:
            break
        kind = _u32(data, position, big)
        if kind == _SECTION_TYPE or kind == 1 or kind == 5:
            status = 3
            break
        length = _u32(data, position + 4, big)
        if length < 12 or length & 3:
            fault = BAD_LENGTH
            registers[6] = length
            break
        if kind != 6 and kind != 3 and kind != 2:
            if length > size:
                status = 3
                break
            if position + length > end:
                break
            if _u32(data, position + length - 4, big) != length:
                fault = BAD_TRAILER
                break
            position += length
            continue
        if length > size:
            fault = TOO_LONG
            registers[6] = length
            break
        if position + length > end:
            break
        if _u32(data, position + length - 4, big) != length:
            fault = BAD_TRAILER
            break
        start = position + (12 if kind == 3 else 28)
        stop = position + length - 4
        if start > stop:
            fault = BAD_LENGTH
            registers[6] = length
            break
        number = 0
        if kind == 6:
            number = _u32(data, position + 8, big)
        elif kind == 2:
            number = _u16(data, position + 8, big)
        if number >= known:
            fault = NO_INTERFACE
            registers[6] = number
            break
        entry = number * 7
        dropped = 0
        packet_type = 255
        if kind == 3:
            wire = _u32(data, position + 8, big)
            captured = stop - start
            if wire < captured:
                captured = wire
            if interfaces[entry + 4] and interfaces[entry + 4] < captured:
                captured = interfaces[entry + 4]
            stamp = _NO_STAMP  # a simple packet block has no time: `agent.capture.stamps` finds one
        else:
            captured = _u32(data, position + 20, big)
            wire = _u32(data, position + 24, big)
            if captured > stop - start:
                fault = TOO_LONG
                registers[6] = captured
                break
            if captured > _MAX_CAPTURED:
                fault = TOO_LONG
                registers[6] = captured
                break
            stamp = _stamp(
                _u32(data, position + 12, big),
                _u32(data, position + 16, big),
                interfaces[entry + 1],
                interfaces[entry + 2],
            )
            if stamp < 0:
                fault = BAD_TIME
                break
            stamp += interfaces[entry + 3]
            if stamp < 0:  # before 1970, which no clock says
                stamp = _BEFORE_1970
            if kind == 2:
                dropped = _u16(data, position + 10, big)
                if dropped == 0xFFFF:  # "not known", which says nothing about a loss either
                    dropped = 0
            options = start + ((captured + 3) & ~3)
            while options + 4 <= stop:
                code = _u16(data, options, big)
                width = _u16(data, options + 2, big)
                if code == 0 or options + 4 + width > stop:
                    break
                if code == 2 and width == 4:  # epb_flags: 1 is inbound, 2 outbound; then how it was addressed
                    code = _u32(data, options + 4, big)
                    if code & 3 == 2:
                        packet_type = 4
                    elif code & 3 == 1:
                        packet_type = code >> 2 & 7
                        # epb_flags: 1 unicast, 2 multicast, 3 broadcast, 4 promiscuous; ours: wire.frame
                        packet_type = (
                            2 if packet_type == 2 else 1 if packet_type == 3 else 3 if packet_type == 4 else 0
                        )
                elif code == 4 and width == 8:  # epb_dropcount
                    dropped = _u32(data, options + (8 if big else 4), big)
                    dropped |= (_u32(data, options + (4 if big else 8), big) & 0x7FFFFFFF) << 32
                options += 4 + ((width + 3) & ~3)
        if dropped:
            losses[lost] = interfaces[entry + 5] if interfaces[entry + 6] else stamp
            losses[lost + 1] = stamp
            losses[lost + 2] = dropped
            lost += 3
        if stamp == _NO_STAMP:
            registers[4] = 1
        else:
            interfaces[entry + 5] = stamp
            interfaces[entry + 6] += 1
            if stamp < newest:
                registers[4] = 1
            else:
                newest = stamp
        index[row + OFFSET] = start
        index[row + CAPTURED] = captured
        index[row + WIRE] = wire if wire > captured else captured
        index[row + STAMP] = stamp
        index[row + FRAME_ORIGIN] = interfaces[entry] | packet_type << 16
        row += STRIDE
        total += captured
        position += length
    if fault:
        registers[5] = fault
        status = 2
    registers[0] = position
    registers[1] = row // STRIDE
    registers[2] = newest
    registers[3] = total
    registers[7] = lost // 3
    return status
