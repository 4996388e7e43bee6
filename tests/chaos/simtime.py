"""One clock in a shared file: the driver sets how fast it runs, the daemon reads it as its own clocks.

CLOCK_BOOTTIME is simulated time; CLOCK_REALTIME is that plus `step_ns`, which the driver may change at any
moment, as NTP or an operator would. The machine's own clock is only read.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time
from pathlib import Path

from agent.capture.clock import Clock

# version (odd while it is being written), monotonic ns and simulated ns of one instant, speed, step
_FIELDS = struct.Struct("<Qqqdq")
_COUNTS = struct.Struct("<QQ")  # batches the daemon is done with, starts of its source
BEGIN_NS = 1_800_000_000 * 1_000_000_000


class SimTime:
    """`speed` simulated seconds a second; 0 stops it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_FIELDS.size + _COUNTS.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._said = threading.local()
        if create:
            self._write(time.monotonic_ns(), BEGIN_NS, 0.0, 0)

    def _read(self) -> tuple[int, int, float, int]:
        while True:
            version, mono_ns, sim_ns, speed, step_ns = _FIELDS.unpack_from(self._map)
            if not version & 1 and _FIELDS.unpack_from(self._map)[0] == version:
                return mono_ns, sim_ns, speed, step_ns

    def _write(self, mono_ns: int, sim_ns: int, speed: float, step_ns: int) -> None:
        version = _FIELDS.unpack_from(self._map)[0]
        struct.pack_into("<Q", self._map, 0, version + 1)
        struct.pack_into("<qqdq", self._map, 8, mono_ns, sim_ns, speed, step_ns)
        struct.pack_into("<Q", self._map, 0, version + 2)

    # -- the clocks

    def boottime_ns(self) -> int:
        mono_ns, sim_ns, speed, _ = self._read()
        now_ns = sim_ns + int((time.monotonic_ns() - mono_ns) * speed)
        self._said.ns = now_ns
        return now_ns

    def realtime_ns(self) -> int:
        """At the instant that this thread last read the other: between two readings much may be simulated."""
        return int(getattr(self._said, "ns", None) or self.boottime_ns()) + self.step_ns

    def clock(self) -> Clock:
        self.boottime_ns()
        return Clock(self.realtime_ns, self.boottime_ns)

    # -- the driver's

    @property
    def step_ns(self) -> int:
        return self._read()[3]

    @property
    def speed(self) -> float:
        return self._read()[2]

    def run(self, speed: float) -> None:
        self._write(time.monotonic_ns(), self.boottime_ns(), speed, self.step_ns)

    def advance(self, ns: int) -> int:
        """While stopped: let so much pass at once; the new time."""
        self._write(time.monotonic_ns(), self.boottime_ns() + ns, self.speed, self.step_ns)
        return self.boottime_ns()

    def set_step(self, step_ns: int) -> None:
        """Set the wall clock."""
        mono_ns, sim_ns, speed, _ = self._read()
        self._write(mono_ns, sim_ns, speed, step_ns)

    # -- what the daemon says

    @property
    def done(self) -> int:
        return int(_COUNTS.unpack_from(self._map, _FIELDS.size)[0])

    @property
    def starts(self) -> int:
        return int(_COUNTS.unpack_from(self._map, _FIELDS.size)[1])

    def say(self, *, done: int, starts: int) -> None:
        _COUNTS.pack_into(self._map, _FIELDS.size, done, starts)
