"""Capture files: pcap and pcapng, plain or gzip, from a path or standard input.

A file is read in chunks into one buffer that is used again and again; nothing is mapped (a walked mapping
stays in the resident set) and no frame is copied. The walk over the records is `index_cy`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator

from agent.capture.files import index_cy as walk
from agent.capture.files.inflate import Damaged, Gzip, Octets, foreign, open_octets
from agent.capture.files.link_types import READERS, unwrapped
from agent.capture.files.pcapng import SECTION, Blocks, Fault
from agent.capture.stamps import NO_STAMP, StampCheck, fill_in, put_in_order
from agent.errors import CaptureError
from agent.wire import frame

CHUNK = 1 << 20  # bytes; chunk and index stay in the CPU's cache
_ROWS = 16384  # frames a batch at most
_RECORD = 16  # bytes of the shortest record in a file
_LOSSES = 1024  # dropcounts a batch at most

READABLE = frozenset(
    {
        frame.LINK_NULL,
        frame.LINK_ETHERNET,
        frame.LINK_RAW,
        frame.LINK_LOOP,
        frame.LINK_SLL,
        frame.LINK_IPV4,
        frame.LINK_IPV6,
        frame.LINK_SLL2,
        *READERS,
    }
)
# Numbers that BSDs wrote for raw IP before LINKTYPE values were fixed (libpcap savefile.c).
_OLD_RAW = {12: frame.LINK_RAW, 14: frame.LINK_RAW}
# Names of tcpdump.org/linktypes.html that people meet.
_LINK_NAMES = {
    6: "IEEE 802.5 Token Ring",
    147: "USER0",
    149: "USER2",
    189: "USB Linux",
    195: "IEEE 802.15.4",
    201: "Bluetooth HCI",
    220: "USB Linux mmapped",
    252: "Wireshark upper PDU",
    253: "Netlink",
}

# First four bytes: (big endian, nanoseconds, Kuznetzov's modified record header).
_MAGICS = {
    b"\xa1\xb2\xc3\xd4": (True, False, False),
    b"\xd4\xc3\xb2\xa1": (False, False, False),
    b"\xa1\xb2\x3c\x4d": (True, True, False),
    b"\x4d\x3c\xb2\xa1": (False, True, False),
    b"\xa1\xb2\xcd\x34": (True, False, True),
    b"\x34\xcd\xb2\xa1": (False, False, True),
}
_FAULTS = {
    walk.TOO_LONG: "says a length of {} bytes",
    walk.BAD_LENGTH: "says a block length of {}",
    walk.BAD_TRAILER: "has two block lengths that differ",
    walk.NO_INTERFACE: "names interface {}, which the file does not describe",
    walk.BAD_TIME: "has a time past the year 2116",
}


def open_capture(path: str) -> PcapFile:
    """Opens a capture file ("-": standard input). Its contents are read when iterating.

    Raises:
        CaptureError: it cannot be opened.
    """
    octets, size = open_octets(path)
    return PcapFile(octets, "standard input" if path == "-" else path, size, path)


class PcapFile:
    """One capture file as a `Source`.

    `drops` is the sum of the statistics blocks of a pcapng. It is known from the first batch on where the
    file is seekable and has totals at its end; a loss without a place then spans the whole file. `size` is
    the file's bytes (None: unknown), `taken` how many of them were read, for a progress bar.
    """

    def __init__(self, octets: Octets, name: str, size: int | None = None, path: str = "") -> None:
        self.frames = 0
        self.bytes = 0
        self.name = name
        self.size = size
        self._path = path
        self._octets = octets
        self._blocks: Blocks | None = None
        self._noted_drops: int | None = None
        self._buffer = bytearray(CHUNK)
        self._start = 0  # of what was not taken yet
        self._end = 0
        self._base = 0  # byte of the (inflated) file that the buffer begins with
        self._skip = 0
        self._damage = ""
        # A short file has few frames, so its index is short: each record has a header at least.
        most = _ROWS if size is None or octets.compressed else min(_ROWS, size // _RECORD + 1)
        self._index: array[int] = array("q", bytes(most * frame.STRIDE * 8))
        self._losses: array[int] = array("q", bytes(_LOSSES * walk.LOSS_STRIDE * 8))
        self._registers: array[int] = array("q", bytes(walk.REGISTERS * 8))
        self._classic = (False, False, False, 0)
        self._last_ns: int | None = None  # of the last record, in file order
        self._check = StampCheck()

    @property
    def taken(self) -> int:
        return self._octets.taken

    @property
    def drops(self) -> int | None:
        drops = self._blocks.drops if self._blocks else None
        if drops is None or self._noted_drops is None:
            return self._noted_drops if drops is None else drops
        return max(drops, self._noted_drops)

    def close(self) -> None:
        self._octets.close()

    def __iter__(self) -> Iterator[tuple[frame.Batch, int]]:
        try:
            self._header()
            more = True
            while more:
                more = self._fill()
                yield from self._walk()
            self._ended()
        except Fault as fault:
            raise self._error(str(fault)) from None

    def _header(self) -> None:
        while self._end < 24 and self._fill():
            pass
        start = bytes(self._buffer[: min(self._end, 24)])
        if not start:
            if self._damage:
                raise Fault(f"{self._damage}, and nothing could be read: copy the file again")
            raise Fault("is empty: nothing was captured into it, or the copy failed")
        if start[:4] == SECTION.to_bytes(4, "big"):
            self._blocks = Blocks()
            self._look_ahead(self._blocks)
            return
        if start[:4] not in _MAGICS:
            raise Fault(foreign(start))
        if len(start) < 24:
            raise Fault(f"is cut short inside its header, at byte {len(start)}: copy it again")
        big, nanoseconds, modified = _MAGICS[start[:4]]
        # Above the link type's 16 bits are the length of a frame check sequence and whether it is known.
        link = int.from_bytes(start[20:24], "big" if big else "little") & 0xFFFF
        link = _OLD_RAW.get(link, link)
        if link not in READABLE:
            raise Fault(_unreadable(link))
        self._classic = (big, nanoseconds, modified, frame.origin(link, 0))
        self._start = 24

    def _look_ahead(self, blocks: Blocks) -> None:
        """Reads the drop totals at the end of a seekable file."""
        if self.size is None or isinstance(self._octets, Gzip):
            return
        # The interfaces come first; their clocks are needed to read the totals' times.
        at, end = 0, self._end
        while at < end:
            kind = self._buffer[at : at + 4]
            order = "big" if blocks.big else "little"
            if at and int.from_bytes(kind, order) not in (1, 4, 10):  # type: ignore[arg-type]
                break
            try:
                following = blocks.take(self._buffer, at, end)
            except Fault:
                break  # the walk will reach it and report it
            if following is None or following > end:
                break
            at = following
        self._start = at
        try:
            with open(self._path, "rb") as file:
                blocks.announce(file, os.fstat(file.fileno()).st_size)
        except OSError:
            return  # the file changed meanwhile: the totals will be read at its end

    def _fill(self) -> bool:
        """Reads on behind the rest in the buffer. False: the file ended."""
        left = self._end - self._start
        self._buffer[:left] = self._buffer[self._start : self._end]
        self._base += self._start
        self._start, self._end = 0, left
        try:
            got = self._octets.readinto(memoryview(self._buffer)[left:])
        except Damaged as damage:
            self._damage = str(damage)
            return False
        except OSError as error:
            self._damage = f"reading failed ({error.strerror})"
            return False
        self._end += got
        return got > 0

    def _walk(self) -> Iterator[tuple[frame.Batch, int]]:
        """Yield every whole record in the buffer."""
        registers = self._registers
        status = walk.FULL
        while status == walk.FULL:
            registers[walk.ROWS] = registers[walk.DISORDER] = registers[walk.LOSSES] = 0
            fault = ""
            try:
                status = self._walk_blocks(self._blocks) if self._blocks else self._walk_records()
            except Fault as found:
                fault = str(found)
            if registers[walk.ROWS] or (self._blocks and self._blocks.losses):
                yield self._batch()
            if fault:
                raise Fault(self._where(fault))
            if status == walk.FAULT:
                fault = _FAULTS[registers[walk.FAULT_CODE]].format(registers[walk.FAULT_VALUE])
                raise Fault(self._where(fault))

    def _walk_records(self) -> int:
        self._registers[walk.POSITION] = self._start
        status: int = walk.walk_pcap(self._buffer, self._end, self._index, self._registers, *self._classic)
        self._start = self._registers[walk.POSITION]
        return status

    def _walk_blocks(self, blocks: Blocks) -> int:
        registers = self._registers
        while True:
            step = min(self._skip, self._end - self._start)
            self._skip -= step
            self._start += step
            registers[walk.POSITION] = self._start
            status: int = walk.walk_pcapng(
                self._buffer, self._end, self._index, registers, blocks.big, blocks.interfaces, self._losses
            )
            self._start = registers[walk.POSITION]
            if status != walk.BLOCK:
                return status
            if registers[walk.ROWS] and blocks.first_ns is None:
                blocks.first_ns = self._index[frame.STAMP]
            following = blocks.take(self._buffer, self._start, self._end)
            if following is None:
                return walk.MORE
            self._skip = max(0, following - self._end)
            self._start = following - self._skip

    def _batch(self) -> tuple[frame.Batch, int]:
        registers = self._registers
        index = self._index[: registers[walk.ROWS] * frame.STRIDE]
        if registers[walk.DISORDER] and NO_STAMP in index[frame.STAMP :: frame.STRIDE]:
            fill_in(index, self._last_ns)
        if index:
            self._last_ns = index[frame.STAMP - frame.STRIDE]
        if registers[walk.DISORDER]:
            index = put_in_order(self._buffer, index)
        kept = self._check.keep(index)
        strays = (len(index) - len(kept)) // frame.STRIDE
        index = kept
        registers[walk.NEWEST] = self._check.newest_ns or 0
        links = self._blocks.links.values() if self._blocks else (self._classic[3] >> 32,)
        if any(link in READERS for link in links):
            index = unwrapped(self._buffer, index)
        losses = []
        for at in range(0, registers[walk.LOSSES] * walk.LOSS_STRIDE, walk.LOSS_STRIDE):
            start_ns, end_ns, count = self._losses[at : at + walk.LOSS_STRIDE]
            losses.append(frame.CaptureDrop(min(start_ns, end_ns), end_ns, count))
            self._noted_drops = (self._noted_drops or 0) + count
        if self._blocks:
            if not self.frames and index:
                self._blocks.first_ns = index[frame.STAMP]
                losses += self._blocks.announced_loss(index[frame.STAMP])
            losses += self._blocks.losses
            self._blocks.losses = []
        self.frames += registers[walk.ROWS]
        self.bytes = registers[walk.BYTES]
        return frame.Batch(self._buffer, index, losses, strays), registers[walk.NEWEST]

    def _ended(self) -> None:
        """Judges the rest at the end of the file."""
        if self._damage:
            raise Fault(f"{self._damage}; the {self.frames} records before it were read: copy the file again")
        if self._start < self._end or self._skip:
            raise Fault(self._where("is cut short by the file's end", at_end=True))
        for number, link in self._blocks.links.items() if self._blocks else ():
            if link not in READABLE:
                raise Fault(f"interface {number} {_unreadable(link)}")

    def _where(self, wrong: str, at_end: bool = False) -> str:
        at = self._base + (self._end if at_end else self._start)
        inflated = " of the inflated data" if self._octets.compressed else ""
        fix = "copy the file again, or " if at_end else ""
        return (
            f"record {self.frames + 1} {wrong}, at byte {at}{inflated}; "
            f"the {self.frames} records before it were read: {fix}repair it with `pcapfix`"
        )

    def _error(self, text: str) -> CaptureError:
        return CaptureError(f"{self.name}: {text}")


def _unreadable(link: int) -> str:
    name = _LINK_NAMES.get(link, "")
    name = f" ({name})" if name else ""
    return (
        f"has link type {link}{name}, which is not read: "
        f"capture on another interface, or, if the frames are Ethernet, `editcap -T ether IN OUT`"
    )
