"""How many SIP messages a second are logged. What is beyond is counted as ever, and has no log record.

A flood fills the log first of all, and the log costs most. Failures (final responses from 400 on) are what
people look for: they have as much room again, and the last of it is never taken by anything else.

While the host cannot follow, messages are logged by their start line alone: who asked what, and the answer.
"""

from __future__ import annotations

SECOND_NS = 1_000_000_000
MAX_WAITING = 65_536  # messages that wait for their connector to be decided: a flood of one call alone


class SipLog:
    """`rate` messages a second of capture time; 0: no bound."""

    def __init__(self, rate: int = 0) -> None:
        self.rate = rate
        self.unlogged = self.unlogged_failures = 0
        self.level = 0  # of overload (`agent.daemon.overload`)
        self.cut = 0  # messages logged without headers and body
        self._second = 0
        self._logged = self._failures = 0

    def takes(self, status: int, stamp_ns: int, waiting: int) -> bool:
        """Whether a message (`status` 0: a request) is logged; `waiting`: how many wait undecided."""
        failure = status >= 400
        most = 2 * MAX_WAITING if failure else MAX_WAITING
        if (not self.rate or self._has_room(failure, stamp_ns)) and waiting < most:
            return True
        self.unlogged += 1
        if failure:
            self.unlogged_failures += 1
        return False

    def _has_room(self, failure: bool, stamp_ns: int) -> bool:
        """Count one more of its second."""
        second = stamp_ns // SECOND_NS
        if second > self._second:
            self._second, self._logged, self._failures = second, 0, 0
        if failure:
            self._failures += 1
            return self._failures <= self.rate
        self._logged += 1
        return self._logged <= self.rate

    def text(self, data: bytes, status: int) -> bytes:
        """What is logged of a message: all of it, or its start line."""
        if self.level == 0 or (self.level == 1 and status >= 400):
            return data
        self.cut += 1
        return data[: data.find(b"\n") + 1]
