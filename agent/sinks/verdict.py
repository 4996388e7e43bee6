"""The meaning of a failed request for its batch, in the words in which a sink answers `Delivery`.

| rule        | the batch                                        | taken?  | waits for                |
| ----------- | ------------------------------------------------ | ------- | ------------------------ |
| BISECT      | halved down to the bad item, which is quarantined| no      | nothing                  |
| TAKEN       | done                                             | yes     | nothing                  |
| MISSING     | kept whole; its target is created                | no      | creation                 |
| THROTTLED   | kept whole                                       | no      | the account's quota      |
| CREDENTIALS | kept whole                                       | no      | the operator             |
| CLOCK       | kept whole                                       | no      | the host's clock         |
| SETTINGS    | kept whole                                       | no      | the operator             |
| REFUSED     | kept whole, in its own lane                      | no      | the operator             |
| UNREACHED   | kept whole; the request never left               | no      | the network              |
| UNKNOWN     | kept whole, next time counted `maybe_duplicate`  | perhaps | the service, the network |
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ErrorRule(enum.Enum):
    """The treatment of a batch whose request failed."""

    BISECT = "bisect"
    TAKEN = "taken"
    MISSING = "missing"
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    SETTINGS = "settings"
    REFUSED = "refused"
    UNREACHED = "unreached"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sink's reading of one error: its `code` for counters and the log, and the rule that follows."""

    code: str
    rule: ErrorRule


@dataclass(frozen=True, slots=True)
class PartlyTaken:
    """An answer that took a part of the items only, which were in order of time.

    Items before `gone` were refused for good (`why` says the reason); those from `kept` on are to be sent
    again later (`code` names the reason); the ones between are taken.
    """

    gone: int
    kept: int
    why: str
    code: str


# The least that any service takes. Two minutes of grace, for records are stamped with their minute's end.
MAX_AGE_S = 14 * 86_400
MAX_AHEAD_S = 2 * 3_600 - 120


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """The limits of a service: items no older than `max_age_s` and no further ahead than `max_ahead_s`.

    `max_rows`, `max_bytes`: of the store's rows that are planned together. `interval_s`: time between
    deliveries; None: as the setting says.
    """

    max_age_s: int
    max_ahead_s: int
    max_rows: int = 64
    max_bytes: int = 1 << 20
    interval_s: float | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds; the n-th wait is drawn from [0, min(cap, base * 2**n)]: full jitter."""

    base_s: float
    cap_s: float

    def wait_s(self, attempt: int, draw: float) -> float:
        """`attempt` from 0; `draw` from [0, 1)."""
        return draw * min(self.cap_s, self.base_s * 2.0 ** min(attempt, 32))


_SOON, _LATER = Backoff(1, 60), Backoff(5, 300)
BACKOFF = {
    ErrorRule.THROTTLED: _SOON,
    ErrorRule.UNKNOWN: _SOON,
    ErrorRule.UNREACHED: _SOON,
    ErrorRule.MISSING: _SOON,
    # These wait for the operator: a request every second would only fill the audit log.
    ErrorRule.CREDENTIALS: _LATER,
    ErrorRule.CLOCK: _LATER,
    ErrorRule.SETTINGS: _LATER,
    ErrorRule.REFUSED: _LATER,
}
# Waits of the whole sink; the other rules hold up one target only.
WHOLE_SINK = {ErrorRule.THROTTLED, ErrorRule.UNKNOWN, ErrorRule.UNREACHED, ErrorRule.CLOCK}
