"""Copies frames for evidence. A batch is untouched unless packets are wanted.

Capture threads ask `is_open` once a batch, before they process it. A batch is then searched for the sockets
of recorded calls, and the headers of its media are kept for `before_ns`, in at most `most_bytes`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Lock

from agent.evidence.picker_cy import MediaPacket, Picker, Socket
from agent.wire.frame import STAMP, STRIDE, Batch
from agent.wire.ip.encapsulations import Tunnel

LEAST_BYTES = 8 << 20  # of the ring: orders keep the last seconds too
ROW_BYTES = 8 * STRIDE
# packets that wait for the recorder, some 60 MB: a stalled recorder must not fill the memory
MAX_PICKED = 200_000


class Tap:
    """Any thread may call `take`; the recorder's thread calls the rest."""

    def __init__(
        self, before_ns: int = 0, most_bytes: int = 0, tunnels: Sequence[Tunnel] | None = None
    ) -> None:
        """`before_ns`: how much of the past is kept; 0: none."""
        self.before_ns = before_ns
        self.most_bytes = max(most_bytes, LEAST_BYTES)
        self.dropped = 0
        self.is_open = before_ns > 0
        self._lock = Lock()
        self._picker = Picker(tunnels)
        self._wanted: dict[Socket, bool] = {}
        self._picked: list[MediaPacket] = []
        self._ring: deque[Batch] = deque()
        self._ring_bytes = 0

    def take(self, batch: Batch) -> None:
        """Picks the wanted packets of a batch, and keeps its headers where the past is kept."""
        if not len(batch):
            return
        with self._lock:
            if self._wanted:
                picked = self._picker.pick(batch.data, batch.index)
                room = MAX_PICKED - len(self._picked)
                self.dropped += max(0, len(picked) - room)
                self._picked += picked[:room]
            if self.before_ns:
                self._keep(Batch(*self._picker.heads(batch.data, batch.index)))

    def _keep(self, heads: Batch) -> None:
        if not len(heads):
            return
        self._ring.append(heads)
        self._ring_bytes += _bytes_of(heads)
        newest_ns = heads.index[STAMP - STRIDE]
        while self._ring and (
            self._ring_bytes > self.most_bytes
            or self._ring[0].index[STAMP - STRIDE] < newest_ns - self.before_ns
        ):
            self._ring_bytes -= _bytes_of(self._ring.popleft())

    def want(self, sockets: dict[Socket, bool], added: dict[Socket, bool] | None = None) -> list[MediaPacket]:
        """Picks packets of `sockets` from now on; True: with their payload.

        Returns the ring's packets of `added`, headers alone: no packet comes twice, and none between is lost.
        """
        found: list[MediaPacket] = []
        with self._lock:
            if added and self._ring:
                self._picker.want(dict.fromkeys(added, False))
                for heads in self._ring:
                    found += self._picker.pick(heads.data, heads.index)
            self._wanted = sockets
            self._picker.want(sockets)
            self.is_open = bool(sockets) or self.before_ns > 0
        return found

    def keep(self, before_ns: int) -> None:
        """Sets how much of the past is kept from now on; 0: none."""
        with self._lock:
            self.before_ns = before_ns
            if not before_ns:
                self._ring.clear()
                self._ring_bytes = 0
            self.is_open = bool(self._wanted) or before_ns > 0

    def picked(self) -> list[MediaPacket]:
        """The packets picked since the last call."""
        with self._lock:
            picked, self._picked = self._picked, []
        return picked


def _bytes_of(batch: Batch) -> int:
    return len(batch.data) + len(batch) * ROW_BYTES
