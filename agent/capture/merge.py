"""Several sources as one, by capture time: two sides of an SBC in two files, a ring of rotated files.

Each input gives a batch in order. The least of the newest stamps is "the horizon": no frame still to come can
be older, so older frames go out, and the input that set the horizon is asked for more. The bytes that go out
together are copied in one piece an input; compiled code merges the index rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from agent.capture.order_cy import merge_rows, move_rows, rows_until, span
from agent.capture.source import LATENESS_NS, Source
from agent.errors import CaptureError
from agent.wire.frame import EMPTY, STAMP, STRIDE, Batch, CaptureDrop

_INTERFACES = 65536


def merge(sources: Sequence[Source], lateness_ns: int = LATENESS_NS) -> Source:
    """`sources` (at least one) as one, by capture time; ties keep the order given.

    A single source is returned as it is. An input that has ended, or has nothing and lags `lateness_ns` of
    capture time behind the newest, does not delay the others. Interface numbers are made distinct; a source
    that begins where another ended (a capture split over files) goes on with that one's numbers.

    Raises (on iterating):
        CaptureError: of the first input that failed, when all others have ended.
    """
    if len(sources) == 1:
        return sources[0]
    return Merge(sources, lateness_ns)


class _Input:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.batches = iter(source)
        self.batch: Batch = EMPTY
        self.rows = 0
        self.next = 0  # the row that goes out next
        self.reached_ns = 0  # no older frame is still to come
        self.ended = False
        self.idle = False  # it was asked and had no frame
        self.base: int | None = None  # its interface numbers start here
        self.last_ns = 0  # of its frames that went out

    @property
    def waiting(self) -> bool:
        return self.next < self.rows


class Merge:
    """See `merge`."""

    def __init__(self, sources: Sequence[Source], lateness_ns: int) -> None:
        self._inputs = [_Input(source) for source in sources]
        self._lateness_ns = lateness_ns
        self._room = _INTERFACES // len(sources)
        self._bases = list(range(0, self._room * len(sources), self._room))
        self._left: list[tuple[int, int]] = []  # of inputs that ended: (last stamp, interface base)
        self._data = bytearray()
        self._now_ns = 0
        self._fault: CaptureError | None = None
        self._losses: list[CaptureDrop] = []
        self._strays = 0

    @property
    def frames(self) -> int:
        return sum(each.source.frames for each in self._inputs)

    @property
    def bytes(self) -> int:
        return sum(each.source.bytes for each in self._inputs)

    @property
    def drops(self) -> int | None:
        """The known drops, a lower bound; None where one input cannot say and no other has any."""
        drops = [each.source.drops for each in self._inputs]
        known = sum(count or 0 for count in drops)
        return known if known or None not in drops else None

    def close(self) -> None:
        for each in self._inputs:
            each.source.close()

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        for each in self._inputs:
            self._ask(each)
        while any(each.waiting or not each.ended for each in self._inputs):
            setter = self._horizon_setter()
            horizon_ns = setter.reached_ns
            batch = self._take(horizon_ns, setter)
            self._now_ns = max(self._now_ns, horizon_ns)
            yield batch, self._now_ns
            for each in self._inputs:
                if not each.waiting and (each is setter or each.idle):
                    self._ask(each)
        if self._losses or self._strays:
            yield Batch(b"", array("q"), self._losses, self._strays), self._now_ns
        if self._fault:
            raise self._fault

    def _ask(self, each: _Input) -> None:
        """Takes the input's next batch."""
        if each.ended:
            return
        try:
            each.batch, now_ns = next(each.batches)
        except StopIteration:
            self._end(each)
            return
        except CaptureError as fault:
            # The others are still good: the error is raised when they have been read.
            self._fault = self._fault or fault
            self._end(each)
            return
        each.rows, each.next = len(each.batch), 0
        each.idle = not each.rows
        self._losses += each.batch.losses
        self._strays += each.batch.strays
        last_ns = each.batch.index[(each.rows - 1) * STRIDE + STAMP] if each.rows else 0
        each.reached_ns = max(each.reached_ns, last_ns, now_ns)

    def _end(self, each: _Input) -> None:
        each.ended = True
        each.batch, each.rows, each.next = EMPTY, 0, 0
        if each.base is not None:
            self._left.append((each.last_ns, each.base))

    def _horizon_setter(self) -> _Input:
        """The first input whose newest stamp is the least: no frame still to come is older."""
        holding = [each for each in self._inputs if each.waiting or not each.ended]
        newest_ns = max(each.reached_ns for each in holding)
        current = [
            each for each in holding if not each.idle or each.reached_ns + self._lateness_ns >= newest_ns
        ]
        return min(current, key=lambda each: each.reached_ns)

    def _take(self, horizon_ns: int, setter: _Input) -> Batch:
        """The rows up to the horizon; at the horizon itself only those that the setter's next batch cannot
        precede.
        """
        merged: array[int] = array("q")
        size = 0
        inclusive = True
        for each in self._inputs:
            if each.waiting:
                last = rows_until(each.batch.index, each.next, horizon_ns, inclusive)
                if each is setter:
                    last = each.rows
                if last > each.next:
                    rows, size = self._copy(each, last, size)
                    if merged:
                        both = array("q", bytes((len(merged) + len(rows)) * 8))
                        merge_rows(merged, rows, both)
                        merged = both
                    else:
                        merged = rows
            if each is setter:
                inclusive = False
        losses, self._losses = self._losses, []
        strays, self._strays = self._strays, 0
        return Batch(self._data, merged, losses, strays)

    def _copy(self, each: _Input, last: int, size: int) -> tuple[array[int], int]:
        """Append the bytes of the input's rows up to `last` to the buffer from `size` on."""
        index = each.batch.index
        start, end = span(index, each.next, last)
        if size + end - start > len(self._data):
            # A new buffer, never a longer one: the consumer's compiled code may still hold views of it.
            grown = bytearray((size + end - start) * 2)
            grown[:size] = self._data[:size]
            self._data = grown
        self._data[size : size + end - start] = memoryview(each.batch.data)[start:end]
        if each.base is None:
            each.base = self._base_from(index[each.next * STRIDE + STAMP])
        rows: array[int] = array("q", bytes((last - each.next) * STRIDE * 8))
        move_rows(index, each.next, last, size - start, each.base, self._room, rows)
        each.next = last
        each.last_ns = rows[-STRIDE + STAMP]
        return rows, size + end - start

    def _base_from(self, first_ns: int) -> int:
        for place, (last_ns, base) in enumerate(self._left):
            if last_ns <= first_ns:
                del self._left[place]
                return base
        return self._bases.pop(0)
