"""Ctrl-C while capture files are read: reading ends, and everything read so far is shown.

The signal waits until the pipeline has taken the current batch, so no count is half made. While a source
waits for bytes (a pipe) the signal ends the wait. A second Ctrl-C ends the program at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

from agent.capture.source import Source, WrappedSource
from agent.errors import CaptureError
from agent.wire.frame import Batch


class Interrupted(CaptureError):
    """Ctrl-C ended the reading. As a shell reports it: 128 + SIGINT."""

    exit_status = 130


class Interruptible(WrappedSource):
    """A source that ends with `Interrupted` at the next batch after Ctrl-C."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._is_asked = self._is_reading = False

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        if threading.current_thread() is not threading.main_thread():
            yield from self._source  # signals are the main thread's
            return
        before = signal.signal(signal.SIGINT, self._asked)
        batches = iter(self._source)
        try:
            while True:
                self._is_reading = True
                step = None if self._is_asked else next(batches, None)
                self._is_reading = False
                if self._is_asked:
                    raise KeyboardInterrupt
                if step is None:
                    return
                yield step
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped by Ctrl-C: the figures are of the first {self.frames} frames"
            ) from None
        finally:
            signal.signal(signal.SIGINT, before)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked or self._is_reading:
            raise KeyboardInterrupt
        self._is_asked = True
