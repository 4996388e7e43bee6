"""The TPACKET_V3 ring of a packet socket: mapped memory, a block at a time."""

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

_BLOCK = 1 << 20  # bytes
_LEAST_FRAME = 64  # bytes of header before a frame, at the least: bounds the frames of a block


class PacketRing:
    """See `agent.capture.live.afpacket.Reader`. The block of a batch is given back by the next call.

    Raises:
        CaptureError: the kernel has no memory for the ring, or no TPACKET_V3.
    """

    def __init__(self, sock: socket.socket, megabytes: int, block_timeout_ms: int) -> None:
        self.newest_ns = 0
        self.bytes = 0
        self._blocks = max(2, megabytes * (1 << 20) // _BLOCK)
        self._block = 0
        self._held = False
        frame = 2048  # V3 packs frames of any length; the kernel only wants the sizes to agree
        request = struct.pack(
            "=7I", _BLOCK, self._blocks, frame, _BLOCK // frame * self._blocks, block_timeout_ms, 0, 0
        )
        try:
            sock.setsockopt(linux.SOL_PACKET, linux.PACKET_VERSION, linux.TPACKET_V3)
            sock.setsockopt(linux.SOL_PACKET, linux.PACKET_RX_RING, request)
            self._map = mmap.mmap(sock.fileno(), _BLOCK * self._blocks)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise CaptureError(
                    f"no memory for a ring of {self._blocks} MB: choose a smaller capture.ring_mb"
                ) from None
            raise
        self._octets = memoryview(self._map)
        self._words = self._octets.cast("I")
        self._halves = self._octets.cast("H")
        self._index: array[int] = array("q", bytes(_BLOCK // _LEAST_FRAME * STRIDE * 8))
        self._slots: array[int] = array("q", bytes(ring_cy.SLOTS * 8))
        self._registers: array[int] = array("q", bytes(ring_cy.REGISTERS * 8))

    def batch(self) -> Batch | None:
        at = self._block * _BLOCK
        if self._held:
            ring_cy.give_back(self._words, at)
            self._held = False
            self._block = (self._block + 1) % self._blocks
            at = self._block * _BLOCK
        if not ring_cy.is_ours(self._words, at):
            return None
        self._held = True
        registers = self._registers
        registers[ring_cy.NEWEST] = registers[ring_cy.DISORDER] = 0
        count = ring_cy.walk_block(
            self._words, self._halves, self._octets, at, self._slots, self._index, registers
        )
        index = self._index[: count * STRIDE]
        if registers[ring_cy.DISORDER]:  # CPUs that stamped at once, and took the ring's lock in turn
            sort_rows(index)
        self.newest_ns = registers[ring_cy.NEWEST] or self.newest_ns
        self.bytes = registers[ring_cy.BYTES]
        return Batch(self._octets, index)

    @property
    def fill(self) -> float:
        """Share of the blocks that the kernel has handed over and nobody gave back. Any thread may ask."""
        try:
            waiting = sum(ring_cy.is_ours(self._words, block * _BLOCK) for block in range(self._blocks))
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
        # A batch that somebody still holds keeps the mapping until it goes.
        with contextlib.suppress(BufferError):
            self._words.release()
            self._halves.release()
            self._octets.release()
            self._map.close()
