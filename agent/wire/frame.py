"""Frames as capture hands them over: one buffer, one flat index, no copy per frame.

A `Batch` is a ring block or a chunk of a capture file. Its `index` is a flat `array('q')` of `STRIDE`
integers a frame, in capture-time order, so that a compiled loop can walk it:

    OFFSET    where the link-layer header starts in `data`
    CAPTURED  bytes present
    WIRE      bytes the frame had on the wire (>= CAPTURED)
    STAMP     capture time, integer nanoseconds since the epoch (UTC)
    ORIGIN    packed by `origin()`: link type, packet type, interface number
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from msgspec import Struct

STRIDE, OFFSET, CAPTURED, WIRE, STAMP, ORIGIN = 5, 0, 1, 2, 3, 4  # frame.pxd has the same for the compiler

# Packet types as AF_PACKET and Linux cooked captures number them (linux/if_packet.h).
# A frame that a loopback interface gives back is LOOPBACK here: its source is this host's own.
HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING, LOOPBACK = range(6)
UNKNOWN_TYPE = 255  # the file does not say

# Link types (https://www.tcpdump.org/linktypes.html) that the decoder reads.
LINK_NULL, LINK_ETHERNET, LINK_RAW, LINK_LOOP = 0, 1, 101, 108
LINK_SLL, LINK_IPV4, LINK_IPV6, LINK_SLL2 = 113, 228, 229, 276


def origin(link_type: int, interface: int, packet_type: int = UNKNOWN_TYPE) -> int:
    """Where a frame came from: link type << 32 | packet type << 16 | interface number (0..65535)."""
    return link_type << 32 | packet_type << 16 | interface


class CaptureDrop(Struct, frozen=True):
    """The capture itself missed `count` frames (None: it cannot say how many) in (start_ns, end_ns)."""

    start_ns: int
    end_ns: int
    count: int | None


class Frame(Struct):
    """One frame on its own: what leaves the loop for the slow path."""

    data: bytes
    stamp_ns: int
    origin: int
    wire_length: int


class Batch(Struct):
    """Frames in capture-time order, and the frames that the capture missed since the last batch.

    Its source may use `data` again once the next batch is asked for: keep no view of it.
    """

    data: bytes | bytearray | memoryview
    index: array[int]
    losses: list[CaptureDrop] = []
    strays: int = 0  # frames left out, for their stamps are years away from the rest

    def __len__(self) -> int:
        return len(self.index) // STRIDE

    def frame(self, position: int) -> Frame:
        """A copy of the frame at `position` (0 is the first)."""
        at = position * STRIDE
        offset, captured, wire, stamp_ns, source = self.index[at : at + STRIDE]
        return Frame(bytes(self.data[offset : offset + captured]), stamp_ns, source, wire)

    def frames(self) -> Iterator[Frame]:
        return (self.frame(position) for position in range(len(self)))

    def copy(self, count: int) -> Batch:
        """A batch of its own of the first `count` frames: its bytes outlive the source's buffer."""
        index, data = self.index[: count * STRIDE], bytearray()
        for at in range(0, len(index), STRIDE):
            offset, captured = index[at], index[at + CAPTURED]
            index[at] = len(data)
            data += self.data[offset : offset + captured]
        return Batch(bytes(data), index)


EMPTY = Batch(b"", array("q"))


def batch_of(frames: list[Frame]) -> Batch:
    """A batch that holds copies of `frames`, in their order."""
    index = array("q")
    data = bytearray()
    for frame in frames:
        index.extend((len(data), len(frame.data), frame.wire_length, frame.stamp_ns, frame.origin))
        data += frame.data
    return Batch(bytes(data), index)
