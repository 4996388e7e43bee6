"""Frames in: capture files and live interfaces, one protocol for both.

Every source yields `(batch, now_ns)`: frames in capture-time order, and the clock of the capture. Files and
NICs differ in nothing else, so a capture file gives the figures that the daemon would have published.

    pcapfile         pcap and pcapng, plain or gzip, from a path or stdin
    link_types       PPP, PPI, NFLOG, ERF, 802.11 and others: the frame inside them
    merge            several sources as one, by capture time
    afpacket         Linux: a TPACKET_V3 ring
    scapy_source     any socket that scapy can listen on, slowly
    tls_keylog       SIP over TLS, with a key log
    clock            moves live stamps onto a clock that never steps
    kernel_filter    the kernel's filter, built from the configured ports
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agent.wire.frame import Batch

FRAMES = 256  # in a batch at most, so that timers run in time
LATENESS_NS = 3_000_000_000  # an input silent for so long does not delay the others


class Source(Protocol):
    """Yields frames.

    Iterating yields `(batch, now_ns)`. `now_ns` is capture time in nanoseconds since the epoch and never goes
    back: for a file the newest stamp read, live the present, so that a poll timeout yields an empty batch and
    timers go on. Before the first batch of a file it may be 0. The contents of a `Batch` are valid until the
    next one is asked for.

    Raises:
        CaptureError: on iterating, after everything good before the fault was yielded.
    """

    @property
    def frames(self) -> int:
        """Frames yielded so far."""

    @property
    def bytes(self) -> int:
        """Captured bytes of those frames."""

    @property
    def drops(self) -> int | None:
        """Frames that the capture itself missed, as far as known; None: the source cannot say."""

    def __iter__(self) -> Iterator[tuple[Batch, int]]: ...

    def close(self) -> None: ...


class WrappedSource:
    """A source around another one. Counts and end are the inner one's; a subclass says how batches pass."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def frames(self) -> int:
        return self._source.frames

    @property
    def bytes(self) -> int:
        return self._source.bytes

    @property
    def drops(self) -> int | None:
        return self._source.drops

    def close(self) -> None:
        self._source.close()
