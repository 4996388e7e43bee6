"""The threads that read the rings: they finish RTP, and pass everything else to the engine.

    a thread a source    ring -> engine time -> its worker's loop; frames that are not RTP are copied and
    passed on
    the engine's thread  iterates this object: the frames passed on, by capture time

No work of the engine (SIP, RTCP, a minute's close) keeps a ring waiting, unless it falls behind by more than
half a second: then the ring is the buffer, because RTCP is read against a stream's newest 64 numbers. While
the clock is set, or the daemon reloads or stops, the threads stand still until the engine has gone on.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from agent.capture.clock import Clock, Step, moved
from agent.capture.merge import merge
from agent.capture.order_cy import rows_until
from agent.capture.source import LATENESS_NS, Source
from agent.daemon.health import CAPTURE_S, Health
from agent.media.rtp.workers import Lock, RtpWorkers
from agent.wire.frame import STAMP, STRIDE, Batch, batch_of

if TYPE_CHECKING:
    from agent.evidence.tap import Tap

LEAD_NS = 500_000_000  # of capture time that a worker may be ahead of the engine
SPAN_NS = 100_000_000  # capture time processed in one piece
ROOM = 32 << 20  # bytes that may wait for the engine: SIP may be a flood
JOIN_S = 2.0

Handed = tuple[Batch, int]


class CaptureThreads:
    """`Source` of the frames of `sources` that are not RTP. First `serve` it a pipeline's workers.

    `step` is the step of the clock noticed just before the current batch, else None.

    Raises (on iterating):
        CaptureError: of the first source that failed, after the frames passed on before.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        *,
        lateness_ns: int = LATENESS_NS,
        lead_ns: int = LEAD_NS,
        health: Health | None = None,
    ) -> None:
        self.locks = [Lock() for _ in sources]
        self.step: Step | None = None
        self._sources = list(sources)
        self._clock = clock
        self._lateness_ns = lateness_ns
        self._lead_ns = lead_ns
        self._health = health or Health(time.monotonic)
        self._workers: RtpWorkers | None = None
        self.tap: Tap | None = None  # set before iterating: takes packets for evidence
        self._threads = [
            threading.Thread(target=self._take, args=(worker,), name=f"capture-{worker}", daemon=True)
            for worker in range(len(sources))
        ]
        self._looking = threading.Lock()  # one thread checks the clocks at a time
        self._seen: Step | None = None  # the engine has not taken it yet
        self._stopped = False
        self._news = threading.Condition()  # added to the stamps of all later frames
        self._handed: list[deque[Handed]] = [deque() for _ in sources]
        self._reached_ns = [0] * len(sources)
        self._waiting = 0  # bytes
        self._done_ns = 0  # the engine has everything up to this time, and asked for more
        self._asked = -1  # the worker that it waits for
        self._still = False  # there is nothing more to wait for
        self._over = [False] * len(sources)  # that source ended
        self._fault: Exception | None = None
        self._merged: Iterator[Handed] = iter(())

    def serve(self, workers: RtpWorkers) -> None:
        """Processes RTP with these workers, made with `locks`, from now on.

        Call it before iterating, or in `still`.
        """
        self._workers = workers

    # -- source figures

    @property
    def frames(self) -> int:
        return sum(source.frames for source in self._sources)

    @property
    def bytes(self) -> int:
        return sum(source.bytes for source in self._sources)

    @property
    def drops(self) -> int | None:
        drops = [source.drops for source in self._sources]
        return None if None in drops else sum(count or 0 for count in drops)

    @property
    def ring_fill(self) -> float | None:
        """The part of the fullest ring that waits to be read, 0 to 1; None where no source has a ring."""
        fills = [getattr(source, "ring_fill", None) for source in self._sources]
        return max((fill for fill in fills if fill is not None), default=None)

    @property
    def away(self) -> list[str]:
        """Interfaces that are down, removed or without carrier at present."""
        return sorted({name for source in self._sources for name in getattr(source, "away", ())})

    @property
    def outages(self) -> int:
        """How often an interface went away."""
        return max((getattr(source, "outages", 0) for source in self._sources), default=0)

    def interfaces(self) -> dict[str, int]:
        """Frames by interface: of the configured interfaces, and of every one that had frames."""
        counts: Counter[str] = Counter()
        for source in self._sources:
            counts.update(dict.fromkeys(getattr(source, "interfaces", ()), 0))
            counts.update(getattr(source, "frames_by_interface", dict)())
        return dict(counts)

    def drops_by_ring(self) -> list[tuple[str, int]]:
        """Frames that each ring dropped. The kernel counts them by ring, not by interface."""
        return [
            (",".join(getattr(source, "interfaces", ())) or "any", source.drops or 0)
            for source in self._sources
        ]

    @property
    def waiting(self) -> int:
        """Bytes that wait for the engine."""
        return self._waiting

    def close(self) -> None:
        self.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(JOIN_S)
        for source in self._sources:
            source.close()

    # -- the engine's thread

    def __iter__(self) -> Iterator[Handed]:
        for thread in self._threads:
            thread.start()
        now_ns = 0
        while not all(self._over) or any(self._handed):
            self._merged = self._merge()
            for batch, reached_ns in self._merged:
                now_ns = max(now_ns, reached_ns)
                yield batch, now_ns
                self._finished(now_ns)
            if self._fault is not None:
                raise self._fault
            if self._seen is not None:
                with self.still() as waiting:
                    for batch, reached_ns in waiting:
                        now_ns = max(now_ns, reached_ns)
                        yield batch, now_ns
                    self.step, self._seen = self._seen, None
                    now_ns = self.step.after_ns  # the one time at which it may go back
                    yield batch_of([]), now_ns
                    self.step = None
                    self._reached_ns = [0] * len(self._sources)
                    self._finished(now_ns)

    def _merge(self) -> Iterator[Handed]:
        return iter(
            merge([_WorkerFrames(self, worker) for worker in range(len(self._sources))], self._lateness_ns)
        )

    @contextmanager
    def still(self) -> Iterator[Iterator[Handed]]:
        """Stops the threads. Yields the frames that they passed on and the engine has not had yet."""
        for lock in self.locks:
            lock.acquire()
        self._still = True
        try:
            yield chain(self._merged, self._merge())
        finally:
            self._still = False
            for lock in self.locks:
                lock.notify_all()
                lock.release()

    def stop(self) -> None:
        """Takes no more frames."""
        self._stopped = True
        for lock in self.locks:
            with lock:
                lock.notify_all()
        with self._news:
            self._news.notify_all()

    def _finished(self, now_ns: int) -> None:
        with self._news:
            self._done_ns = now_ns
            self._news.notify_all()

    def _next(self, worker: int) -> Handed | None:
        """The next batch of a worker; None: there is nothing to wait for."""
        handed = self._handed[worker]
        with self._news:
            while not handed:
                if self._still or self._over[worker] or self._seen is not None or self._fault is not None:
                    return None
                self._asked = worker
                self._news.notify_all()
                self._news.wait()
            batch, now_ns = handed.popleft()
            self._waiting -= len(batch.data)
        return batch, now_ns

    # -- a worker's thread

    def _take(self, worker: int) -> None:
        with self._health.thread(f"capture-{worker}", CAPTURE_S) as sign:
            try:
                self._take_all(worker, sign)
            except Exception as fault:  # the engine's thread raises it
                self._fault = self._fault or fault
            finally:
                with self._news:
                    self._over[worker] = True
                    self._news.notify_all()

    def _take_all(self, worker: int, sign: Callable[[], None]) -> None:
        for batch, now_ns in self._sources[worker]:
            for piece, reached_ns in pieces(batch, now_ns):
                sign()
                self._process(worker, piece, reached_ns)
                self._give_time(worker)
                if self._stopped:
                    return

    def _process(self, worker: int, batch: Batch, now_ns: int) -> None:
        """Finishes the RTP of a batch and passes on the rest."""
        lock = self.locks[worker]
        with lock:
            reached_ns = self._moved(batch, now_ns)
            while reached_ns is None:
                lock.wait()
                if self._stopped:
                    return
                reached_ns = self._moved(batch, now_ns)
            if self.tap is not None and self.tap.is_open:
                self.tap.take(batch)  # before RTP is finished: the rest of the batch has none
            position = 0
            while not self._stopped:
                assert self._workers is not None, "serve comes before iterating"
                rest, position = self._workers.process(worker, batch, position)
                if position == len(batch):
                    self._hand_over(worker, rest, reached_ns)
                    return
                # Minutes lie between: the engine closes what is open, then there is room for the next.
                self._hand_over(worker, rest, batch.index[position * STRIDE + STAMP])
                lock.wait()

    def _moved(self, batch: Batch, now_ns: int) -> int | None:
        """Moves the batch onto engine time; None: the clock was set, and the engine must go first."""
        with self._looking:
            if self._seen is None:
                self._seen = self._clock.look()
            if self._seen is None:
                return moved(batch, now_ns, self._clock)
        with self._news:
            self._news.notify_all()
        return None

    def _hand_over(self, worker: int, rest: Batch, now_ns: int) -> None:
        with self._news:
            self._handed[worker].append((rest, now_ns))
            self._reached_ns[worker] = now_ns
            self._done_ns = self._done_ns or now_ns
            self._asked = -1
            self._waiting += len(rest.data)
            self._news.notify_all()

    def _give_time(self, worker: int) -> None:
        """Waits while the engine is too far behind."""
        with self._news:
            while (
                not self._stopped
                and self._asked != worker
                and (self._waiting > ROOM or self._reached_ns[worker] - self._done_ns > self._lead_ns)
            ):
                self._news.wait()


def pieces(batch: Batch, now_ns: int) -> Iterator[Handed]:
    """A batch in pieces of at most `SPAN_NS`: a ring's block is longer only where the machine stood still."""
    index, first = batch.index, 0
    while index and index[STAMP - STRIDE] - index[first * STRIDE + STAMP] > SPAN_NS:
        last = rows_until(index, first, index[first * STRIDE + STAMP] + SPAN_NS, True)
        piece = index[first * STRIDE : last * STRIDE]
        yield Batch(batch.data, piece, [] if first else batch.losses), piece[STAMP - STRIDE]
        first = last
    yield Batch(batch.data, index[first * STRIDE :]) if first else batch, now_ns


class _WorkerFrames:
    """The frames that one worker passes on, as a `Source` to merge."""

    frames = bytes = 0
    drops = None

    def __init__(self, capture: CaptureThreads, worker: int) -> None:
        self._capture, self._worker = capture, worker

    def __iter__(self) -> Iterator[Handed]:
        while (handed := self._capture._next(self._worker)) is not None:
            yield handed

    def close(self) -> None: ...
