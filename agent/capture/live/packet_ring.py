"""The TPACKET_V3 ring of a packet socket: mapped memory, handed over block by block.

The kernel closes a block when it is full or, with a frame in it, when its time-out is over. So quiet traffic
takes a block each time-out, with little in it, and the ring rides out blocks times time-out: it has many
small blocks, and a batch takes as many as are ready (decision 0074).
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import socket
import struct
from array import array

from agent.capture.live import linux, ring_cy
from agent.capture.order_cy import sort_rows
from agent.errors import CaptureError
from agent.wire.frame import STRIDE, Batch

LEAST_BLOCK, MOST_BLOCK = 16 << 10, 64 << 10  # bytes; a longer frame is cut to fit, and says so
RIDDEN_OUT_MS = 60_000  # of quiet traffic, where the ring's memory allows
GATHERED = 1 << 20  # bytes of blocks that a batch has at most
_LEAST_FRAME = 64  # bytes of header before a frame, at the least: bounds the frames of a block


class PacketRing:
    """See `agent.capture.live.afpacket.Reader`. The next call gives the blocks of a batch back.

    Raises:
        CaptureError: the kernel has no memory for the ring, or no TPACKET_V3.
    """

    def __init__(self, sock: socket.socket, megabytes: int, block_timeout_ms: int) -> None:
        self.newest_ns = 0
        self.bytes = 0
        self._size = block_size(megabytes << 20, block_timeout_ms)
        self._blocks = max(2, (megabytes << 20) // self._size)
        self._block = 0  # the next to be read
        self._held = 0  # blocks before it that hold the current batch
        frame = 2048  # V3 packs frames of any length; the kernel only wants the sizes to agree
        request = struct.pack(
            "=7I",
            self._size,
            self._blocks,
            frame,
            self._size // frame * self._blocks,
            block_timeout_ms,
            0,
            0,
        )
        try:
            sock.setsockopt(linux.SOL_PACKET, linux.PACKET_VERSION, linux.TPACKET_V3)
            sock.setsockopt(linux.SOL_PACKET, linux.PACKET_RX_RING, request)
            self._map = mmap.mmap(sock.fileno(), self._size * self._blocks)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise CaptureError(
                    f"no memory for a ring of {megabytes} MB: choose a smaller capture.ring_mb"
                ) from None
            raise
        self._octets = memoryview(self._map)
        self._words = self._octets.cast("I")
        self._halves = self._octets.cast("H")
        self._index: array[int] = array("q", bytes(GATHERED // _LEAST_FRAME * STRIDE * 8))
        self._slots: array[int] = array("q", bytes(ring_cy.SLOTS * 8))
        self._registers: array[int] = array("q", bytes(ring_cy.REGISTERS * 8))

    def batch(self) -> Batch | None:
        for step in range(self._held, 0, -1):
            ring_cy.give_back(self._words, (self._block - step) % self._blocks * self._size)
        self._held = 0
        registers = self._registers
        registers[ring_cy.NEWEST] = registers[ring_cy.DISORDER] = 0
        count = 0
        most = min(self._blocks - 1, GATHERED // self._size)
        rows = memoryview(self._index)
        while self._held < most and ring_cy.is_ours(self._words, self._block * self._size):
            at = self._block * self._size
            count += ring_cy.walk_block(
                self._words, self._halves, self._octets, at, self._slots, rows[count * STRIDE :], registers
            )
            self._block = (self._block + 1) % self._blocks
            self._held += 1
        if not self._held:
            return None
        index = self._index[: count * STRIDE]
        # the number of CPUs that stamped at once, and took the ring's lock in turn
        if registers[ring_cy.DISORDER]:
            sort_rows(index)
        self.newest_ns = registers[ring_cy.NEWEST] or self.newest_ns
        self.bytes = registers[ring_cy.BYTES]
        return Batch(self._octets, index)

    @property
    def fill(self) -> float:
        """The share of the blocks that the kernel handed over and that were not given back.

        Any thread may ask.
        """
        block, waiting = self._block, self._held
        try:
            while waiting < self._blocks and ring_cy.is_ours(self._words, block * self._size):
                block = (block + 1) % self._blocks
                waiting += 1
        except ValueError:  # closed meanwhile
            return 0.0
        return waiting / self._blocks

    def frames_by_interface(self) -> dict[str, int]:
        """Of every interface that had any."""
        counts = self._registers[ring_cy.FRAMES :]
        return {linux.name_of(ifindex): n for ifindex, n in zip(self._slots, counts, strict=True) if n}

    def renumber(self, old: int, new: int) -> None:
        if old in self._slots:
            self._slots[self._slots.index(old)] = new

    def close(self) -> None:
        # A batch that is still held keeps the mapping alive.
        with contextlib.suppress(BufferError):
            self._words.release()
            self._halves.release()
            self._octets.release()
            self._map.close()


def block_size(ring: int, block_timeout_ms: int) -> int:
    """Bytes of a block, a power of two. The blocks of `ring` bytes then ride out `RIDDEN_OUT_MS`."""
    size = MOST_BLOCK
    while size > LEAST_BLOCK and ring // size * block_timeout_ms < RIDDEN_OUT_MS:
        size //= 2
    return size
