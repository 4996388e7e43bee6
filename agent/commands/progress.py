"""A progress bar for large capture files, drawn on stderr only where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from agent.capture.source import Source, WrappedSource
from agent.wire.frame import Batch


class _Watched(WrappedSource):
    """A source that reports its progress as it is read."""

    def __init__(self, source: Source, advance: Callable[[int], None]) -> None:
        super().__init__(source)
        self._advance = advance

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        for step in self._source:
            self._advance(self._source.bytes)
            yield step


@contextmanager
def bar(total: int) -> Iterator[Callable[[Source], _Watched]]:
    """Makes the wrapper of a source of about `total` bytes."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replay", total=total)
        yield lambda source: _Watched(source, lambda done: progress.update(task, completed=done))
