"""Engine time: a clock that goes on evenly when the host's clock is set.

    engine time = CLOCK_BOOTTIME + offset

The kernel stamps frames with CLOCK_REALTIME, which NTP or an operator may set at any moment. The difference
between the two clocks ("skew") shows when. Stamps are moved back by it, so timers and jitter never see the
step. When the skew passes a second, engine time is wrong as UTC: the offset is changed once, and `Step` says
so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from agent.capture.order_cy import shift_stamps
from agent.wire.frame import STAMP, Batch, CaptureDrop

STEP_NS = 1_000_000_000
_LATE_NS = 100_000_000  # a frame may have waited this long before it is read


def _realtime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Step(Struct, frozen=True):
    """Engine time was set: the instant `before_ns` is now called `after_ns`."""

    before_ns: int
    after_ns: int


class Clock:
    """Moves CLOCK_REALTIME stamps onto engine time. It reads time only by the two functions given."""

    def __init__(
        self,
        realtime_ns: Callable[[], int] = _realtime_ns,
        boottime_ns: Callable[[], int] = _boottime_ns,
    ) -> None:
        self._realtime_ns = realtime_ns
        self._boottime_ns = boottime_ns
        self.offset_ns = realtime_ns() - boottime_ns()
        self.skew_ns = 0
        self.steps = 0
        self._skew_before_ns = 0
        self._looked_ns = self.now_ns()

    def now_ns(self) -> int:
        """Engine time, nanoseconds since the epoch."""
        return self._boottime_ns() + self.offset_ns

    def look(self) -> Step | None:
        """Compares the clocks. Call it before the stamps of a batch are moved. A `Step` sets engine time."""
        boottime_ns = self._boottime_ns()
        skew_ns = self._realtime_ns() - boottime_ns - self.offset_ns
        now_ns = boottime_ns + self.offset_ns
        if abs(skew_ns) > STEP_NS:
            self.offset_ns += skew_ns
            # Frames from before the step, still to be read, are now this far from engine time.
            self._skew_before_ns, self.skew_ns = self.skew_ns - skew_ns, 0
            self._looked_ns = now_ns + skew_ns
            self.steps += 1
            return Step(now_ns, now_ns + skew_ns)
        # Two clocks cannot be read at one instant: less than a millisecond is reading time.
        if abs(skew_ns - self.skew_ns) > 1_000_000:
            self._skew_before_ns, self.skew_ns = self.skew_ns, skew_ns
        self._looked_ns = now_ns
        return None

    def stamp(self, realtime_ns: int) -> int:
        """A frame's stamp on engine time.

        A frame stamped before the clock was set may be read after it. Moved by the present skew it would lie
        in the future or the past; the skew before the step is right for it.
        """
        moved_ns = realtime_ns - self.skew_ns
        if self._skew_before_ns != self.skew_ns:
            before_ns = realtime_ns - self._skew_before_ns
            if not self._fits(moved_ns) and self._fits(before_ns):
                return before_ns
        return moved_ns

    def _fits(self, stamp_ns: int) -> bool:
        return self._looked_ns - _LATE_NS <= stamp_ns <= self._looked_ns + _LATE_NS


def moved(batch: Batch, now_ns: int, clock: Clock) -> int:
    """Moves a live batch onto engine time, in place. Returns `now_ns` on it. Call `Clock.look` first."""
    first_ns = batch.index[STAMP] if batch.index else now_ns
    shift_ns = clock.stamp(first_ns) - first_ns
    if shift_ns:
        shift_stamps(batch.index, shift_ns)
        batch.losses = [
            CaptureDrop(loss.start_ns + shift_ns, loss.end_ns + shift_ns, loss.count) for loss in batch.losses
        ]
    return now_ns + shift_ns
