"""Impossible stamps: a frame without a time, a frame years away from the rest, a clock that was set back.

A pcapng Simple Packet Block has no stamp, and takes its neighbour's. A device whose clock was not set for a
moment stamps a frame of 2024 with 1970; one such frame would end the minute of every other. A few frames more
than a year from the rest are rejected; many of them are a capture of another time, and stay.
"""

from __future__ import annotations

import itertools
from array import array

from agent.capture.order_cy import first_fall, sort_rows
from agent.wire.frame import (
    CAPTURED,
    LINK_ETHERNET,
    LINK_RAW,
    LINK_SLL,
    LINK_SLL2,
    OFFSET,
    ORIGIN,
    STAMP,
    STRIDE,
)

NO_STAMP = -1  # in an index row until `fill_in`
FAR_NS = 365 * 86_400 * 10**9
LAST_NS = (1 << 62) - 1  # the year 2116: later stamps are rejected, and so are those before 1970
BACK_NS = 500_000_000  # a NIC's queues do not differ by so much
MOST_STEPS = 4  # looked for in a batch: the file chooses how many there are
SEEN_BEFORE, SEEN_BEHIND = 256, 64  # frames on both sides of one that are looked at
AHEAD_MOST = 3_000  # numbers, as RFC 3550 A.1 MAX_DROPOUT
HEADERS = 128
IP_AT = {LINK_ETHERNET: 14, LINK_SLL: 16, LINK_SLL2: 20, LINK_RAW: 0}
VLAN, UDP = b"\x81\x00", b"\x11"
FEW = 8  # at most so many frames, years from all others, are strays


def fill_in(index: array[int], before_ns: int | None) -> None:
    """Gives rows without a stamp that of the row before, in file order; the first ones that of the next.

    `before_ns` is the last stamp of the batch before, None where there is none. Where no row at all has a
    stamp, all are of the first moment of 1970.
    """
    if before_ns is None:
        before_ns = next((stamp for stamp in index[STAMP::STRIDE] if stamp != NO_STAMP), 0)
    for at in range(STAMP, len(index), STRIDE):
        if index[at] == NO_STAMP:
            index[at] = before_ns
        before_ns = index[at]


def put_in_order(data: bytes | bytearray | memoryview, index: array[int]) -> array[int]:
    """The rows by their stamps: each part between two steps back of the clock by itself."""
    bounds = [0, *steps_back(data, index), len(index) // STRIDE]
    parts = [index[first * STRIDE : end * STRIDE] for first, end in itertools.pairwise(bounds)]
    for part in parts:
        sort_rows(part)
    return sum(parts[1:], parts[0])


def steps_back(data: bytes | bytearray | memoryview, index: array[int]) -> list[int]:
    """The row numbers, in file order, at which the clock of the capture was set back.

    There the RTP numbers of the same sockets go on. In captures that were appended to each other they do not.
    """
    steps: list[int] = []
    first = 0
    for _ in range(MOST_STEPS):
        fall = first_fall(index, first, BACK_NS)
        if fall < 0:
            break
        before = _numbers(data, index, max(first, fall - SEEN_BEFORE), fall)
        behind = _numbers(data, index, fall, min(fall + SEEN_BEHIND, len(index) // STRIDE))
        went = [(number - before[flow]) & 0xFFFF for flow, number in behind.items() if flow in before]
        first = fall
        if went and all(0 < ahead < AHEAD_MOST for ahead in went):
            steps.append(fall)
    return steps


def _numbers(
    data: bytes | bytearray | memoryview, index: array[int], first: int, end: int
) -> dict[bytes, int]:
    """The last RTP number of each flow, by addresses, ports and SSRC, of frames of a plain form."""
    found: dict[bytes, int] = {}
    for row in range(first * STRIDE, end * STRIDE, STRIDE):
        at, link = index[row + OFFSET], index[row + ORIGIN] >> 32
        octets = bytes(data[at : at + min(index[row + CAPTURED], HEADERS)])
        start = IP_AT.get(link, HEADERS)
        ip = octets[start + 4 if octets[12:14] == VLAN and link == LINK_ETHERNET else start :]
        if ip[:1] == b"\x45":
            is_udp, addresses, rtp = ip[9:10] == UDP, 12, 28
        else:
            is_udp, addresses, rtp = ip[:1] == b"\x60" and ip[6:7] == UDP, 8, 48
        if is_udp and len(ip) >= rtp + 12 and ip[rtp] >> 6 == 2:
            found[ip[addresses : rtp - 4] + ip[rtp + 8 : rtp + 12]] = int.from_bytes(
                ip[rtp + 2 : rtp + 4], "big"
            )
    return found


class StampCheck:
    """Drops stray frames of the batches of one source. `newest_ns` is the newest stamp believed so far."""

    def __init__(self) -> None:
        self.newest_ns: int | None = None
        self._believed = 0  # frames since time last jumped by years
        self._stray_ns: int | None = None  # the newest of the strays that came in a row
        self._strays = 0

    def keep(self, index: array[int]) -> array[int]:
        """The rows that stay, of rows in order of time. Nothing is copied where all are near each other."""
        if not index:
            return index
        if self._is_near(index[STAMP], self.newest_ns) and self._is_near(index[STAMP - STRIDE], index[STAMP]):
            self._believe(index[STAMP - STRIDE], len(index) // STRIDE)
            return index
        kept: array[int] = array("q")
        groups = [group for group in _groups(index) if 0 <= group[STAMP] <= LAST_NS]
        largest = max((len(group) // STRIDE for group in groups), default=0)
        for group in groups:
            if self._takes(group, largest):
                kept += group
        return kept

    def _is_near(self, stamp_ns: int, other_ns: int | None) -> bool:
        return 0 <= stamp_ns <= LAST_NS and (other_ns is None or abs(stamp_ns - other_ns) <= FAR_NS)

    def _takes(self, group: array[int], largest: int) -> bool:
        """Whether these frames, all of one time, are believed.

        `largest`: the size of the largest other group.
        """
        first_ns, last_ns, count = group[STAMP], group[STAMP - STRIDE], len(group) // STRIDE
        if self.newest_ns is not None and self._is_near(first_ns, self.newest_ns):
            self._believe(last_ns, count)
            return True
        in_a_row = self._strays if self._is_near(first_ns, self._stray_ns) else 0
        if count + in_a_row > min(FEW, max(largest, self._believed) - 1):
            self._believed = 0
            self.newest_ns = last_ns
            self._believe(last_ns, count)
            return True
        self._stray_ns, self._strays = last_ns, in_a_row + count
        return False

    def _believe(self, newest_ns: int, count: int) -> None:
        self.newest_ns = newest_ns if self.newest_ns is None else max(self.newest_ns, newest_ns)
        self._believed += count
        self._stray_ns, self._strays = None, 0


def _groups(index: array[int]) -> list[array[int]]:
    """Rows in order of time, split where a year or more lies between two."""
    groups, first = [], 0
    for at in range(STRIDE, len(index), STRIDE):
        before_ns, stamp_ns = index[at - STRIDE + STAMP], index[at + STAMP]
        if stamp_ns - before_ns > FAR_NS or before_ns < 0 <= stamp_ns or before_ns <= LAST_NS < stamp_ns:
            groups.append(index[first:at])
            first = at
    groups.append(index[first:])
    return groups
