"""RFC 6076: how telephony performs from end to end, per connector and minute, as extra figures.

    srd_ms          Session Request Delay (4.3.1): the attempt's first INVITE to the first 101-199 or 2xx.
                    A challenge (401, 407) is part of the wait, as it is for the caller. Also known as PDD.
    srd_failed_ms   (4.3.2) to the final response of an attempt that failed before anything rang
    sdd_ms          Session Disconnect Delay (4.4): the first BYE of a dialog to its 2xx
    sdt_ms          Session Duration Time (4.5): the 2xx to the BYE, of calls that ended by BYE
    ser_percent     Session Establishment Ratio (4.6): answered / (all - redirected)
    seer_percent    Session Establishment Effectiveness Ratio (4.7): (answered + 480, 486, 600, 603)
                    / (all - redirected)
    isa_percent     Ineffective Session Attempts (4.8): (408, 500, 503, 504, no response) / all
    scr_percent     Session Completion Ratio (4.9): calls that ended by BYE / (those, calls that ended by
                    silence or timer, and attempts that never came up)
    options_rtt_ms  OPTIONS to its final response
    rrd_ms          Registration Request Delay (4.1): REGISTER to its 2xx
    ira_percent     Ineffective Registration Attempts (4.2): finals >= 300 but 401, 402, 407, and none in
                    32 s / all that were decided

"All" are the attempts whose outcome became known in the minute, so that no ratio passes 100 %: the RFC's
"INVITE requests" of the same interval would leave answers without their questions. A ratio without a
denominator is None. Cancelled attempts are in "all": the RFC does not except them.
Delays are milliseconds; percentiles are nearest-rank over the minute's samples.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from agent.model.attempt_cy import TIMER_B_NS, Outcome
from agent.model.sides import Connector

SRD, SRD_FAILED, SDD, SDT = "srd_ms", "srd_failed_ms", "sdd_ms", "sdt_ms"
OPTIONS_RTT, RRD = "options_rtt_ms", "rrd_ms"
COMPLETED, ABANDONED = "sessions_completed", "sessions_abandoned"
DELAYS = (SRD, SRD_FAILED, SDD, SDT, OPTIONS_RTT, RRD)

EFFECTIVE = frozenset({480, 486, 600, 603})  # 4.7: the network did its part, the callee did not answer
INEFFECTIVE = frozenset({408, 500, 503, 504})  # 4.8
UNCOUNTED = frozenset({401, 402, 407})  # 4.2, 4.3.2: a challenge is no failure

TIMER_F_NS = TIMER_B_NS  # RFC 3261 17.1.2.2: 64 * T1, for anything but INVITE
MAX_PENDING = 10_000  # a scan's OPTIONS are never answered: they push each other out
PERCENTILES = (50, 90, 95, 99)
MAX_SAMPLES = 100_000  # a minute's; beyond, the percentiles are of the first so many

Method = Literal["OPTIONS", "REGISTER"]


def tallies(outcome: Outcome, status: int | None) -> list[str]:
    """The counts of an attempt's outcome. `status` None: only silence (Timer B)."""
    names = ["sessions_decided", f"sessions_{outcome}"]
    if outcome == "answered" or (outcome == "failed" and status in EFFECTIVE):
        names.append("sessions_effective")
    if outcome == "failed" and (status is None or status in INEFFECTIVE):
        names.append("sessions_ineffective")
    return names


def extras(counts: Mapping[str, int], delays: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The figures of a minute from its counts and measurements."""
    figures: dict[str, Any] = {name: distribution(delays[name]) for name in DELAYS if delays.get(name)}
    decided = counts.get("sessions_decided", 0)
    followed = decided - counts.get("sessions_redirected", 0)
    lost = decided - counts.get("sessions_answered", 0)
    completed = counts.get(COMPLETED, 0)
    figures["ser_percent"] = _percent(counts.get("sessions_answered", 0), followed)
    figures["seer_percent"] = _percent(counts.get("sessions_effective", 0), followed)
    figures["isa_percent"] = _percent(counts.get("sessions_ineffective", 0), decided)
    figures["scr_percent"] = _percent(completed, completed + counts.get(ABANDONED, 0) + lost)
    failed = counts.get("register_failed", 0) + counts.get("register_unanswered", 0)
    figures["ira_percent"] = _percent(failed, failed + counts.get("register_accepted", 0))
    return figures | dict(counts)


def distribution(values: Sequence[float]) -> dict[str, float]:
    """`{"count", "sum", "min", "max", "p50", ...}` of at least one value."""
    ordered = sorted(values)
    last = len(ordered) - 1
    figures = {"count": len(ordered), "sum": math.fsum(ordered), "min": ordered[0], "max": ordered[last]}
    for percentile in PERCENTILES:
        figures[f"p{percentile}"] = ordered[min(last, math.ceil(len(ordered) * percentile / 100) - 1)]
    return figures


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole > 0 else None


class Exchanges:
    """OPTIONS and REGISTER, request to final response. Outside of calls, so without legs."""

    def __init__(self) -> None:
        # (Call-ID, CSeq, branch) to (method, first seen, whose); oldest first
        self._pending: OrderedDict[tuple[str, int, str], tuple[Method, int, Connector]] = OrderedDict()

    def request(
        self, method: Method, key: tuple[str, int, str], connector: Connector, now_ns: int
    ) -> str | None:
        """The counts of a request: none where it is a retransmission."""
        if key in self._pending:
            return None
        self._pending[key] = (method, now_ns, connector)
        if len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
        return f"{method.lower()}_requests"

    def response(
        self, status: int, key: tuple[str, int, str], now_ns: int
    ) -> tuple[Connector, str, tuple[str, float] | None] | None:
        """(owner, counts of a final response, (name, milliseconds) that it measures)."""
        known = self._pending.pop(key, None) if status >= 200 else None
        if known is None:
            return None
        method, first_ns, connector = known
        passed_ms = (now_ns - first_ns) / 1e6
        if method == "OPTIONS":  # any final shows that the peer is there (RFC 3261 11)
            return connector, "options_answered", (OPTIONS_RTT, passed_ms)
        if status < 300:
            return connector, "register_accepted", (RRD, passed_ms)
        return connector, "register_challenged" if status in UNCOUNTED else "register_failed", None

    def expired(self, now_ns: int) -> Iterator[tuple[Connector, str]]:
        """Requests without an answer for 32 s (Timer F): (owner, counts)."""
        while self._pending:
            key = next(iter(self._pending))
            method, first_ns, connector = self._pending[key]
            if now_ns - first_ns < TIMER_F_NS:
                break
            del self._pending[key]
            yield connector, f"{method.lower()}_unanswered"

    def __len__(self) -> int:
        return len(self._pending)
