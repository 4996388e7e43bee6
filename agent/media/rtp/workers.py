"""Several loops as one: a worker for each thread that reads frames from a ring.

A thread holds its worker's lock while it processes a batch: RTP is finished in the worker's own loop, all
other frames go to the engine. The engine takes the lock for work that must not meet a half-counted packet (a
harvest, a rebase), and never for long; single words of a row are read without it. The kernel gives both ways
of a flow to one worker, so a stream always belongs to one loop: its id is its row there times the number of
workers, plus the worker's number.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from threading import Condition

from agent.media.rtp.loop_cy import STOP_DUE, STOP_END, Loop
from agent.model.stream_minute_cy import StreamMinute
from agent.wire.frame import Batch

Lock = Condition
OPEN_MINUTES = 2  # a loop has counters for so many: what comes later waits for a close


class NamedOfAll:
    """Passes the sockets that SDPs name to each worker's loop."""

    def __init__(self, each: Callable[[], Iterator[tuple[int, Loop]]]) -> None:
        self._each = each

    def add(self, host: str, port: int, types: int = 0) -> None:
        for _, loop in self._each():
            loop.named.add(host, port, types)

    def discard(self, host: str, port: int) -> None:
        for _, loop in self._each():
            loop.named.discard(host, port)

    def clear(self) -> None:
        for _, loop in self._each():
            loop.named.clear()

    def peers(self) -> list[bytes]:
        return [loop.named.peers() for _, loop in self._each()]

    def recall(self, before: list[bytes]) -> None:
        for (_, loop), own in zip(self._each(), before, strict=True):
            loop.named.recall(own)


class RtpWorkers:
    """A loop's methods over all workers. `new_loop` makes a loop, `locks` has one a thread."""

    def __init__(self, new_loop: Callable[[], Loop], locks: Sequence[Lock]) -> None:
        self._new_loop = new_loop
        self._locks = list(locks)
        self._loops = [new_loop() for _ in locks]
        self._saved = len(locks)  # workers of the newest snapshot, taken or restored
        # A worker's new streams: (first packet, id, whether probation dropped nothing of it)
        self._begun: list[deque[tuple[int, int, bool]]] = [deque() for _ in locks]
        self._maps: list[tuple[int, ...]] = []
        self._map_ids: dict[tuple[int, ...], int] = {}
        self._swept = 0
        self.named = NamedOfAll(self._each)

    # -- the thread of a worker, its lock taken

    def process(self, worker: int, batch: Batch, position: int = 0) -> tuple[Batch, int]:
        """Finishes the RTP of `batch` from `position` on. Returns a copy of the rest, and the position
        reached.

        If not to the end, the frame there is of a minute for which an open one must close first.
        """
        loop = self._loops[worker]
        losses = [] if position else batch.losses
        for loss in losses:
            loop.lose(loss.start_ns, loss.end_ns)
        until_ns = loop.closed_ns + OPEN_MINUTES * loop.minute_ns
        kept = 0
        while True:
            kept = loop.process(batch.data, batch.index, position, kept, until_ns)
            position = int(loop.position)
            self._begun[worker].extend(
                (loop.first_ns(row), row * len(self._loops) + worker, clean) for row, clean in loop.begun()
            )
            if loop.stopped in (STOP_END, STOP_DUE):
                rest = batch.copy(kept)
                rest.losses = losses
                return rest, position

    # -- the engine: streams by their id

    def take(self, batch: Batch, key: tuple[str, int, str, int, int]) -> bool:
        """Counts a packet that the engine put together, where a worker has its stream.

        `key`: source, its port, destination, its port, SSRC. False: nobody has it.
        """
        for _, loop in self._each():
            if loop.find(*key) >= 0:
                loop.walk(batch.data, batch.index, 0, loop.closed_ns + OPEN_MINUTES * loop.minute_ns)
                return True
        return False

    def begun(self, until_ns: int) -> Iterator[tuple[int, bool]]:
        """Streams that began by then and were not returned before: (id, whether probation dropped none of
        it).

        A worker is ahead of the engine: the engine must read an SDP before a stream that came after it.
        """
        for begun in self._begun:
            while begun and begun[0][0] <= until_ns:
                _, stream, clean = begun.popleft()
                yield stream, clean

    def _at(self, stream: int) -> tuple[Loop, int]:
        row, worker = divmod(stream, len(self._loops))
        return self._loops[worker], row

    def _lock_of(self, stream: int) -> Lock:
        return self._locks[stream % len(self._loops)]

    def key(self, stream: int) -> tuple[str, int, str, int, int]:
        loop, row = self._at(stream)
        return loop.key(row)

    def first_ns(self, stream: int) -> int:
        loop, row = self._at(stream)
        return loop.first_ns(row)

    def last_ns(self, stream: int) -> int:
        loop, row = self._at(stream)
        return loop.last_ns(row)

    def paused(self, stream: int, from_ns: int, until_ns: int) -> bool:
        loop, row = self._at(stream)
        return loop.paused(row, from_ns, until_ns)

    def payload_type(self, stream: int) -> int:
        loop, row = self._at(stream)
        return loop.payload_type(row)

    def clock_rate(self, stream: int) -> int:
        loop, row = self._at(stream)
        return loop.clock_rate(row)

    def silent(self, stream: int, minute_start_ns: int) -> StreamMinute:
        loop, row = self._at(stream)
        stream_minute = loop.silent(row, minute_start_ns)
        stream_minute.id = stream
        return stream_minute

    def counted(self, stream: int, sequence: int) -> tuple[int, int, int, int] | None:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            return loop.counted(row, sequence)

    def newest(self, stream: int) -> tuple[int, int, int, int, int]:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            return loop.newest(row)

    def rebase(self, stream: int) -> None:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            loop.rebase(row)

    def resume(self, stream: int) -> None:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            loop.resume(row)

    def flush_stream(self, stream: int, before_ns: int) -> None:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            loop.flush_stream(row, before_ns)

    def drop(self, stream: int) -> None:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            loop.drop(row)

    def payload_map(self, rows: dict[int, tuple[int, int]]) -> int:
        """The number of a map over all loops. Each loop numbers its maps itself."""
        numbers = tuple(loop.payload_map(rows) for loop in self._loops)
        if self.map_sweeps != self._swept:
            self._swept = self.map_sweeps
            self._maps.clear()
            self._map_ids.clear()
        known = self._map_ids.setdefault(numbers, len(self._maps))
        if known == len(self._maps):
            self._maps.append(numbers)
        return known

    def set_map(self, stream: int, map_id: int) -> None:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            loop.set_map(row, self._maps[map_id][stream % len(self._loops)])

    @property
    def map_sweeps(self) -> int:
        return sum(int(loop.map_sweeps) for loop in self._loops)

    def link(self, streams: list[int]) -> None:
        """Links streams of one flow.

        A flow has one worker; a snapshot of more workers may spread it over several.
        """
        by_loop: dict[int, list[int]] = {}
        for stream in streams:
            row, worker = divmod(stream, len(self._loops))
            by_loop.setdefault(worker, []).append(row)
        for worker, rows in by_loop.items():
            with self._locks[worker]:
                self._loops[worker].link(rows)

    def harvest(self, stream: int, minute_start_ns: int) -> StreamMinute:
        loop, row = self._at(stream)
        with self._lock_of(stream):
            stream_minute = loop.harvest(row, minute_start_ns)
        stream_minute.id = stream
        return stream_minute

    # -- the engine: all streams, worker by worker

    def _each(self) -> Iterator[tuple[int, Loop]]:
        for worker, (lock, loop) in enumerate(zip(self._locks, self._loops, strict=True)):
            with lock:
                yield worker, loop

    def _ids(self, worker: int, rows: list[int]) -> list[int]:
        return [row * len(self._loops) + worker for row in rows]

    def live_streams(self) -> list[int]:
        return [stream for worker, loop in self._each() for stream in self._ids(worker, loop.live_streams())]

    def flush(self, before_ns: int) -> None:
        for _, loop in self._each():
            loop.flush(before_ns)

    def finish(self) -> None:
        for _, loop in self._each():
            loop.finish()

    def expire(self, before_ns: int) -> list[int]:
        return [
            stream for worker, loop in self._each() for stream in self._ids(worker, loop.expire(before_ns))
        ]

    def lose(self, start_ns: int, end_ns: int) -> None:
        for _, loop in self._each():
            loop.lose(start_ns, end_ns)

    def shift(self, shift_ns: int) -> None:
        for _, loop in self._each():
            loop.shift(shift_ns)

    def harvest_all(self, minute_start_ns: int) -> list[StreamMinute]:
        harvest: list[StreamMinute] = []
        for worker, loop in self._each():
            harvest += self._numbered(worker, loop.harvest_all(minute_start_ns))
        return harvest

    def so_far(self) -> list[tuple[int, int, int, int]]:
        """(id, packets, bytes, numbers lost) of every stream in the open minutes."""
        workers = len(self._loops)
        return [
            (row * workers + worker, packets, size, lost)
            for worker, loop in self._each()
            for row, packets, size, lost in loop.so_far()
        ]

    def close(self, minute_start_ns: int, end_ns: int) -> list[StreamMinute]:
        harvest: list[StreamMinute] = []
        for worker, loop in self._each():
            harvest += self._numbered(worker, loop.close(minute_start_ns, end_ns))
            self._locks[worker].notify_all()  # a minute is free
        return harvest

    def _numbered(self, worker: int, harvest: list[StreamMinute]) -> list[StreamMinute]:
        """A loop's rows as ids."""
        workers = len(self._loops)
        if workers > 1:
            for stream_minute in harvest:
                stream_minute.id = stream_minute.id * workers + worker
        return harvest

    # -- sums

    @property
    def closed_ns(self) -> int:
        return int(self._loops[0].closed_ns)

    @closed_ns.setter
    def closed_ns(self, closed_ns: int) -> None:
        for worker, loop in self._each():
            loop.closed_ns = closed_ns
            self._locks[worker].notify_all()

    @property
    def newest_ns(self) -> int:
        """The time up to which every worker has seen all frames."""
        return int(min(loop.newest_ns for loop in self._loops))

    @property
    def late_frames(self) -> int:
        return sum(int(loop.late_frames) for loop in self._loops)

    @property
    def duplicate_frames(self) -> int:
        return sum(int(loop.duplicate_frames) for loop in self._loops)

    @property
    def refused(self) -> int:
        return sum(int(loop.refused) for loop in self._loops)

    @property
    def evicted(self) -> int:
        return sum(int(loop.evicted) for loop in self._loops)

    def rejects(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for loop in self._loops:
            total.update(loop.rejects())
        return total

    def tunnels(self) -> Counter[str]:
        """Frames from tunnels, by the kind of the outermost."""
        total: Counter[str] = Counter()
        for loop in self._loops:
            total.update(loop.tunnels())
        return total

    # -- checkpoints

    def save(self) -> bytes:
        """Every worker's snapshot, each behind its length."""
        self._saved = len(self._loops)
        parts = [loop.save() for _, loop in self._each()]
        return struct.pack("<B", len(parts)) + b"".join(struct.pack("<I", len(part)) + part for part in parts)

    def restore(self, data: bytes) -> None:
        """Goes on where the workers of `save` were, even with more or fewer of them; before any frame.

        Streams of a worker without a thread stay until they expire. Raises ValueError.
        """
        try:
            (count,) = struct.unpack_from("<B", data)
            at = 1
            while len(self._loops) < count:
                self._loops.append(self._new_loop())
                self._locks.append(Lock())
                self._begun.append(deque())
            for loop in self._loops[:count]:
                (size,) = struct.unpack_from("<I", data, at)
                loop.restore(data[at + 4 : at + 4 + size])
                at += 4 + size
        except struct.error as error:
            raise ValueError("snapshot too short") from error
        self._saved = count

    def renumber(self, stream: int) -> int:
        """The id here of what had the id `stream` where the snapshot was taken."""
        row, worker = divmod(stream, self._saved)
        return row * len(self._loops) + worker
