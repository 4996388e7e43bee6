"""Frames over a sequenced-packet socket: one message a batch. What has no room is dropped, as by a ring."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Iterator

from agent.wire.frame import EMPTY, STRIDE, Batch, CaptureDrop, Frame, batch_of
from tests.chaos.simtime import SimTime

_HEAD = struct.Struct("<qIqqq")
MAX_MESSAGE = 1 << 17
_QUEUED = 4 << 20
NO_LOSS, NOT_COUNTED = -2, -1


def pair() -> tuple[socket.socket, socket.socket]:
    """(the driver's end, the daemon's end)."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _QUEUED)
    near.setblocking(False)
    return near, far


def encode(now_ns: int, frames: list[tuple[int, bytes, int]], loss: CaptureDrop | None = None) -> bytes:
    """`frames`: (stamp, bytes, origin) in order, all stamped at most `now_ns`."""
    # The lab keeps the heads of its frames.
    whole = [
        Frame(data, stamp_ns, origin, max(len(data), 14 + int.from_bytes(data[16:18])))
        for stamp_ns, data, origin in frames
    ]
    return message(now_ns, batch_of(whole), loss)


def message(now_ns: int, batch: Batch, loss: CaptureDrop | None = None) -> bytes:
    """A batch, and the capture's time after it."""
    told = (0, 0, NO_LOSS)
    if loss is not None:
        told = loss.start_ns, loss.end_ns, NOT_COUNTED if loss.count is None else loss.count
    return _HEAD.pack(now_ns, len(batch), *told) + batch.index.tobytes() + bytes(batch.data)


def decode(message: bytes) -> tuple[Batch, int]:
    now_ns, count, start_ns, end_ns, lost = _HEAD.unpack_from(message)
    begin = _HEAD.size
    end = begin + count * STRIDE * 8
    index = array("q")
    index.frombytes(message[begin:end])
    losses = []
    if lost != NO_LOSS:
        losses = [CaptureDrop(start_ns, end_ns, None if lost == NOT_COUNTED else lost)]
    return Batch(message[end:], index, losses), now_ns


class FedSource:
    """The daemon's end, as a live `Source`. Time passes here only as the driver says."""

    def __init__(self, end: socket.socket, sim: SimTime, timeout_s: float = 0.05) -> None:
        self._end = end
        self._end.settimeout(timeout_s)
        self._sim = sim
        self.frames = 0
        self.bytes = 0
        self.drops: int | None = 0

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        starts, done = self._sim.starts + 1, 0
        now_ns = self._sim.boottime_ns() + self._sim.step_ns
        self._sim.say(done=0, starts=starts)
        while True:
            try:
                message = self._end.recv(MAX_MESSAGE)
            except TimeoutError:
                yield EMPTY, now_ns
                continue
            if not message:
                return  # the driver is gone
            batch, now_ns = decode(message)
            self.frames += len(batch)
            self.bytes += len(batch.data)
            self.drops = (self.drops or 0) + sum(loss.count or 0 for loss in batch.losses)
            yield batch, now_ns
            done += 1
            self._sim.say(done=done, starts=starts)

    def close(self) -> None:
        self._end.close()
