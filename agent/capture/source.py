"""Frames in: capture files and live interfaces, one protocol for both.

Every source yields `(batch, now_ns)`: frames in capture-time order, and the clock of the capture. Files and
NICs differ in nothing else, so that what a capture file shows is what the daemon would have published.

    pcapfile         pcap and pcapng, plain or gzip, from a path or stdin
    link_types       PPP, PPI, NFLOG, ERF, 802.11 and their like: where the frame in them begins
    merge            several sources as one, by capture time
    afpacket         Linux: a TPACKET_V3 ring
    scapy_source     anywhere scapy can listen, slowly
    tshark_source    SIP over TLS, with a key log
    clock            moves live stamps onto a clock that never steps
    bpf              the kernel filter, built from the configured ports
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from agent.wire.frame import Batch

LATENESS_NS = 3_000_000_000  # an input silent for so long holds the clock back no more


class Source(Protocol):
    """Where frames come from.

    Iterating yields `(batch, now_ns)`. `now_ns` is capture time in nanoseconds since the epoch and never goes
    back: for a file the newest stamp read, live the present, so that a poll timeout yields an empty batch and
    timers go on. Where the first batch is not known yet it may be 0. What a `Batch` holds is valid until the
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
        """Frames that the capture itself missed, as far as known by now; None: the source cannot say."""

    def __iter__(self) -> Iterator[tuple[Batch, int]]: ...

    def close(self) -> None: ...


class WrappedSource:
    """A source around another one: counts and end are that one's; what wraps says how batches pass."""

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
