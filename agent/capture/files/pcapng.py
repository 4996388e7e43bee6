"""pcapng blocks that are not packets: sections, interfaces, statistics (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import BinaryIO

from agent.capture.files import index_cy as walk
from agent.wire.frame import CaptureDrop, origin

SECTION, INTERFACE, STATISTICS = 0x0A0D0D0A, 1, 5
_PACKET_BLOCKS = (2, 3, 6)
# an interface number is 16 bits; this also bounds the memory that a hostile file can take
_MAX_INTERFACES = 65536
_TAIL = 65536  # bytes at the file's end looked through for statistics
_NO_TIME = -1


class Fault(Exception):
    """A malformed block. The text continues "FILE: record N ... "."""


class Blocks:
    """The state from the blocks so far: byte order, interfaces, drops."""

    def __init__(self) -> None:
        self.big = False
        self.interfaces: array[int] = array("q")
        self.links: dict[int, int] = {}  # interface number of the source: link type
        self.losses: list[CaptureDrop] = []
        self.first_ns: int | None = None
        self._numbers: dict[tuple[int, int, bytes], int] = {}
        self._section = 0
        self._statistics: dict[tuple[int, int], tuple[int, int]] = {}  # (section, interface): (drops, at ns)
        self._announced: int | None = None
        self._announced_until = 0

    @property
    def drops(self) -> int | None:
        """Drops by the statistics blocks; None: there are none."""
        if not self._statistics:
            return self._announced
        return max(self._announced or 0, sum(drops for drops, _ in self._statistics.values()))

    def take(self, data: bytearray, at: int, end: int) -> int | None:
        """Reads the block at `at`, which is no packet.

        Returns where the next block starts (perhaps past `end`: the block is to be skipped), or None when it
        is not whole in the chunk.
        Raises:
            Fault: the block is malformed.
        """
        if end - at < 12:
            return None
        kind = int.from_bytes(data[at : at + 4], "big" if self.big else "little")
        if kind == SECTION:
            self._byte_order(data[at + 8 : at + 12])
        length = self._number(data[at + 4 : at + 8])
        if length < 12 or length % 4:
            raise Fault(f"says a block length of {length}")
        if kind not in (SECTION, INTERFACE, STATISTICS):
            return at + length
        if length > len(data) // 2:
            raise Fault(f"says a block length of {length}")
        if at + length > end:
            return None
        if self._number(data[at + length - 4 : at + length]) != length:
            raise Fault("has two block lengths that differ")
        body = bytes(data[at + 8 : at + length - 4])
        if kind == SECTION:
            if len(body) < 16:
                raise Fault("is a section header that is too short")
            if (major := self._number(body[4:6])) != 1:
                raise Fault(f"says pcapng version {major}, and only version 1 is known")
            self.interfaces = array("q")
            self._section += 1
        elif kind == INTERFACE:
            self._interface(body)
        else:
            self._interface_statistics(body)
        return at + length

    def announce(self, file: BinaryIO, size: int) -> None:
        """Reads the statistics at the file's end: drops must be known before the first frame is judged."""
        start = max(0, size - _TAIL)
        file.seek(start)
        tail = file.read(_TAIL)
        at = len(tail)
        seen: dict[int, int] = {}
        until = 0
        while at >= 12:
            length = self._number(tail[at - 4 : at])
            if length < 12 or length % 4 or length > at or self._number(tail[at - length :][4:8]) != length:
                break
            at -= length
            kind = self._number(tail[at : at + 4])
            if kind in (*_PACKET_BLOCKS, INTERFACE, SECTION):
                break
            if kind == STATISTICS and length >= 24:
                body = tail[at + 8 : at + length - 4]
                number, drops = self._number(body[:4]), self._drops(body)
                if drops is not None and number not in seen:
                    seen[number] = drops
                    until = max(until, self._time(number, body[4:12]))
        if seen:
            self._announced = sum(seen.values())
            self._announced_until = until

    def announced_loss(self, first_ns: int) -> list[CaptureDrop]:
        """The loss in the statistics at the file's end: somewhere between its first frame and there."""
        if not self._announced:
            return []
        return [CaptureDrop(first_ns, max(first_ns, self._announced_until), self._announced)]

    def _byte_order(self, magic: bytes | bytearray) -> None:
        if magic == b"\x1a\x2b\x3c\x4d":
            self.big = True
        elif magic == b"\x4d\x3c\x2b\x1a":
            self.big = False
        else:
            raise Fault("is a section header without the byte-order magic")

    def _number(self, octets: bytes | bytearray) -> int:
        return int.from_bytes(octets, "big" if self.big else "little")

    def _options(self, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        while at + 4 <= len(body):
            code, length = self._number(body[at : at + 2]), self._number(body[at + 2 : at + 4])
            if code == 0 or at + 4 + length > len(body):
                return
            yield code, body[at + 4 : at + 4 + length]
            at += 4 + (length + 3 & ~3)

    def _interface(self, body: bytes) -> None:
        if len(body) < 8:
            raise Fault("is an interface description that is too short")
        place = len(self.interfaces) // walk.INTERFACE_STRIDE
        link, snap = self._number(body[:2]), self._number(body[4:8])
        name, resolution, seconds = b"", 6, 0
        for code, value in self._options(body, 8):
            if code == 2:
                name = value
            elif code == 9 and len(value) == 1:
                resolution = value[0]
            elif code == 14 and len(value) == 8:
                seconds = self._number(value)
                seconds -= (seconds >> 63) << 64
        if abs(seconds) > 4_000_000_000:
            raise Fault(f"says an if_tsoffset of {seconds} s")
        # The same interface described again by the next section (files that were concatenated) is the same.
        number = self._numbers.setdefault((place, link, name), len(self._numbers))
        if number >= _MAX_INTERFACES:
            raise Fault(f"is one interface more than the {_MAX_INTERFACES} that can be told apart")
        self.links[number] = link
        unit, factor = _time_unit(resolution)
        self.interfaces.extend(
            (
                origin(link, number, 0),
                unit,
                factor,
                seconds * 1_000_000_000,
                min(snap, walk.MAX_CAPTURED),
                0,
                0,
            )
        )

    def _interface_statistics(self, body: bytes) -> None:
        if len(body) < 12:
            raise Fault("is an interface statistics block that is too short")
        number, drops = self._number(body[:4]), self._drops(body)
        if drops is None:
            return
        at_ns = self._time(number, body[4:12])
        before, since_ns = self._statistics.get((self._section, number), (0, _NO_TIME))
        self._statistics[self._section, number] = (drops, at_ns)
        if drops > before and self._announced is None and self.first_ns is not None:
            start = since_ns if since_ns != _NO_TIME else self.first_ns
            self.losses.append(CaptureDrop(min(start, at_ns), at_ns, drops - before))

    def _drops(self, body: bytes) -> int | None:
        found = [self._number(value) for code, value in self._options(body, 12) if code in (5, 7)]
        return sum(found) if found else None

    def _time(self, number: int, stamp: bytes) -> int:
        """Nanoseconds of a block's stamp in the units of its interface."""
        raw = self._number(stamp[:4]) << 32 | self._number(stamp[4:8])
        at = number * walk.INTERFACE_STRIDE
        if at >= len(self.interfaces):
            return 0
        row = self.interfaces[at : at + walk.INTERFACE_STRIDE]
        if row[walk.UNIT] == walk.MULTIPLY:
            stamp_ns = raw * row[walk.FACTOR]
        elif row[walk.UNIT] == walk.DIVIDE:
            stamp_ns = raw // row[walk.FACTOR]
        else:
            stamp_ns = raw * 1_000_000_000 >> row[walk.FACTOR]
        return min(stamp_ns, 1 << 62) + row[walk.SHIFT_NS]


def _time_unit(resolution: int) -> tuple[int, int]:
    """if_tsresol: a negative power of 10, or with the top bit set of 2."""
    if resolution & 0x80:
        return walk.BINARY, resolution & 0x7F
    if resolution <= 9:
        return walk.MULTIPLY, 10 ** (9 - resolution)
    return walk.DIVIDE, 10 ** min(resolution - 9, 18)
