"""The call attempt: an INVITE transaction, and its retries, as a tap sees them.

An *attempt* is the Call-ID and From tag of an INVITE without To tag. It has one outcome, in the minute in
which the outcome becomes known:

    state      on                                   to         outcome
    open       2xx                                  closed     answered
    open       487 after the caller's CANCEL        closed     cancelled
    open       3xx                                  waiting    (redirected when no retry comes)
    open       401 407 413 415 416 420 421 422
               484 488 494                          waiting    (failed when no retry comes)
    open       any other final response             closed     failed
    open       no response for 32 s (Timer B)       closed     failed
    open       no final 180 s after the last
               provisional (Timer C)                closed     failed
    open       no final 32 s after CANCEL           closed     cancelled
    waiting    INVITE within the retry window       open       -
    waiting    the retry window passes              closed     redirected, or failed
    closed     2xx after failed                     closed     - (flag late_answer)

Retransmissions, forks and copies of an INVITE carry a CSeq already seen: they change nothing. An INVITE with
a higher CSeq that finds the attempt closed is another attempt, which is the caller's to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["answered", "failed", "cancelled", "redirected"]
State = Literal["open", "waiting", "closed"]

SECOND_NS = 1_000_000_000
TIMER_B_NS = 32 * SECOND_NS  # RFC 3261 17.1.1.2: 64 * T1
TIMER_C_NS = 180 * SECOND_NS  # RFC 3261 16.6 step 11

# Finals that a client answers with another INVITE of the same Call-ID and From tag (RFC 3261 8.1.3.5, 22.2;
# 422: RFC 4028 6; 421, 494: RFC 3329).
RETRIED = frozenset({401, 407, 413, 415, 416, 420, 421, 422, 484, 488, 494})


@dataclass(slots=True)
class Attempt:
    """One attempt. `deadline_ns` is when `due` has something to say, None where time changes nothing."""

    started_ns: int
    cseq: int
    state: State = "open"
    outcome: Outcome | None = None
    status: int | None = None
    cancelled: bool = False
    late_answer: bool = False
    deadline_ns: int | None = None

    def __post_init__(self) -> None:
        self.deadline_ns = self.started_ns + TIMER_B_NS

    def takes(self, cseq: int) -> bool:
        """Whether an INVITE with this CSeq belongs here, rather than being an attempt of its own."""
        return cseq <= self.cseq or self.state != "closed"

    def invite(self, cseq: int, now_ns: int) -> None:
        """An INVITE that `takes` accepted."""
        if cseq > self.cseq:
            self.cseq = cseq
            self.state = "open"
            self.cancelled = False
            self.deadline_ns = now_ns + TIMER_B_NS

    def cancel(self, cseq: int, now_ns: int) -> None:
        """The caller's CANCEL (RFC 3261 9.1: the CSeq number is the INVITE's)."""
        if cseq == self.cseq and self.state == "open":
            self.cancelled = True
            self.deadline_ns = now_ns + TIMER_B_NS

    def response(self, status: int, cseq: int, now_ns: int, retry_window_ns: int) -> Outcome | None:
        """A response to the INVITE; the outcome where it decides one."""
        if cseq != self.cseq:
            return None  # a retransmission of what an earlier INVITE was answered
        if self.state != "open":
            if 200 <= status < 300 and self.outcome not in (None, "answered"):
                self.late_answer = True
            elif 200 <= status < 300 and self.state == "waiting":
                return self._close("answered", status)
            return None
        if status < 200:
            if not self.cancelled:
                self.deadline_ns = now_ns + TIMER_C_NS
            return None
        if status < 300:
            return self._close("answered", status)
        if status < 400 or status in RETRIED:
            self.state, self.status = "waiting", status
            self.deadline_ns = now_ns + retry_window_ns
            return None
        return self._close("cancelled" if status == 487 and self.cancelled else "failed", status)

    def due(self, now_ns: int) -> Outcome | None:
        """What the passing of time decides."""
        if self.deadline_ns is None or now_ns < self.deadline_ns:
            return None
        if self.state == "waiting":
            return self.give_up()
        return self._close("cancelled" if self.cancelled else "failed", self.status)

    def give_up(self) -> Outcome | None:
        """No retry will come: the window passed, or the capture file ended."""
        if self.state != "waiting" or self.status is None:
            return None
        return self._close("redirected" if self.status < 400 else "failed", self.status)

    def _close(self, outcome: Outcome, status: int | None) -> Outcome:
        self.state, self.outcome, self.status, self.deadline_ns = "closed", outcome, status, None
        return outcome
