"""How far the main path is behind the wire, as a level that says which work to skip. Time is an argument.

    level   skipped                                                       where
    1       headers and bodies of logged SIP messages, but of failures    summary/sip_log
    2       those of failures too; streams that no SDP explains           media/orphans
    3       of SIP sources above their limit all but a quarter of it      transport/rate_limit_cy

The least needed work is skipped first. No skipped work makes a number wrong: it is counted as shed. The level
rises with each second of being behind (or of frames lost by the ring, whose size in time depends on the
traffic), and falls after ten seconds of keeping up.
"""

from __future__ import annotations

from agent.model.units import SECOND_NS

LEVELS = ("nothing", "SIP log bodies", "orphan streams", "SIP above its source's budget")
BEHIND_NS = SECOND_NS // 2  # longer than a minute's close and a checkpoint on a full host
LEVEL_WITH_NS = SECOND_NS // 5  # below this it keeps up; between the two nothing changes
RAISE_NS = SECOND_NS
LOWER_NS = 10 * SECOND_NS


class Load:
    """`level` is 0 to 3; `lag_ns` the age of the newest frame when it was last taken."""

    def __init__(self) -> None:
        self.level = 0
        self.lag_ns = 0
        self._drops = 0
        self._dropped_ns = 0
        self._behind: bool | None = None  # None: neither behind nor keeping up
        self._since_ns = 0

    def judge(self, lag_ns: int, drops: int, now_ns: int) -> bool:
        """Whether `level` changed. `drops`: frames lost so far; `now_ns`: a clock that is never set."""
        self.lag_ns = lag_ns
        if drops > self._drops:
            self._drops, self._dropped_ns = drops, now_ns
        dropping = self._dropped_ns > 0 and now_ns - self._dropped_ns < RAISE_NS
        behind = True if dropping or lag_ns >= BEHIND_NS else False if lag_ns <= LEVEL_WITH_NS else None
        if behind is not self._behind:
            self._behind, self._since_ns = behind, now_ns
        elapsed_ns = now_ns - self._since_ns
        if behind and self.level < len(LEVELS) - 1 and elapsed_ns >= RAISE_NS:
            self.level += 1
        elif behind is False and self.level and elapsed_ns >= LOWER_NS:
            self.level -= 1
        else:
            return False
        self._since_ns = now_ns
        return True
