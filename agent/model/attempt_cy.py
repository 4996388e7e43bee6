# cython: language_level=3
"""The call attempt: an INVITE, its forks and its retries, as a tap sees them. `TABLE` is the code.

An *attempt* is the Call-ID and From tag of an INVITE without To tag. It has one outcome, which counts in the
minute in which it becomes known. A pair of state and event without a row changes nothing.

RFC 3261 9.2 wants 487 after CANCEL. Many devices answer 404, 480, 486 or 603 instead, and the caller gave up
all the same. So every final response after CANCEL but 2xx and 6xx means cancelled.

A forking proxy sends the same INVITE (same CSeq) on several branches, side by side or one after the other.
Only the final response that leaves no branch open is an event. A 6xx is final for all branches (RFC 3261 16.7
step 5), so the cancelled branches that follow it do not make the attempt a cancelled one.

A retransmission has a branch that was seen before, and changes nothing. An INVITE with a higher CSeq that
finds the attempt closed is a new attempt, which the caller makes.

docs/architecture.md has the table as `table()` prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cython

from agent.model.state_table import picture
from agent.model.units import SECOND_NS

Outcome = Literal["answered", "failed", "cancelled", "redirected"]
State = Literal["calling", "proceeding", "cancelling", "waiting", "closed", "answered", "unseen", "unwatched"]
Event = Literal[
    "INVITE",  # a retry, or a further branch
    "100",
    "101-199",
    "2xx",
    "2xx too late",  # after another outcome was published
    "retryable",  # the final of the last open branch: one of `RETRIED`, or 3xx
    "final",  # the final of the last open branch: any other
    "6xx",  # no branch is open, and one of them had a 6xx before any CANCEL
    "CANCEL",
    "CANCEL refused",
    "CANCEL refused, no response yet",
    "timer",  # the deadline passed
    "timer, not watched",  # it passed, but not all of the time was captured
    "no retry",  # the capture ended
    "answer not captured",  # something shows that the call is up
]

Status = int | None  # of the final response that decides

TIMER_B_NS = 32 * SECOND_NS  # RFC 3261 17.1.1.2: 64 * T1
TIMER_C_NS = 180 * SECOND_NS  # RFC 3261 16.6 step 11

# Finals after which a client sends another INVITE of the same Call-ID and From tag (RFC 3261 8.1.3.5, 22.2;
# 422: RFC 4028 6; 421, 494: RFC 3329).
RETRIED = frozenset({401, 407, 413, 415, 416, 420, 421, 422, 484, 488, 494})
MAX_BRANCHES = 32  # branches come from the wire

OPEN = ("calling", "proceeding", "cancelling")
FIELDS = (
    "started_ns", "cseq", "state", "outcome", "status", "counted", "late_answer", "refused", "responded",
    "deadline", "_branches", "_global",
)  # fmt: skip
"""An `Attempt`'s fields, in the order in which a checkpoint has them."""


@cython.no_gc
@cython.cclass
class Attempt:
    """One attempt. `deadline` says when to call `due`: (from, after) in ns, None for never."""

    def __init__(self, started_ns: cython.longlong, cseq: cython.longlong, branch: str) -> None:
        """Begins with an INVITE that no earlier attempt takes."""
        self.started_ns = started_ns
        self.cseq = cseq
        self.state: State = "calling"
        self.outcome: Outcome | None = None
        self.status: int | None = None  # of the final response that decides, unless a retry comes
        self.counted = False  # the outcome is published: nothing opens the attempt again
        self.late_answer = False
        self.refused = False  # the last final was the vc's own refusal (Throttles)
        self.responded = False  # any response came, a 100 included
        self.deadline: tuple[int, int] | None = (started_ns, TIMER_B_NS)
        self._branches: dict[str, int] = {branch: 0}  # branch: its final status, 0 while open
        self._global: int | None = None  # a 6xx

    def is_open(self) -> cython.bint:
        """Whether no final response has come, not even one that a retry may follow."""
        return self.state in OPEN

    def is_closed(self) -> cython.bint:
        """Whether it waits for nothing more: its outcome is known, or never will be."""
        return self.state != "waiting" and self.state not in OPEN

    def is_silent(self) -> cython.bint:
        """Whether it is open and nothing has answered it."""
        return not self.responded and self.state in OPEN

    def was_cancelled_within(self, now_ns: cython.longlong, window_ns: cython.longlong) -> cython.bint:
        """Whether it waits for the final response to a CANCEL that is at most `window_ns` old."""
        if self.state != "cancelling" or self.deadline is None:
            return False
        since_ns: cython.longlong = self.deadline[0]
        return 0 <= now_ns - since_ns <= window_ns

    def takes(self, cseq: cython.longlong, branch: str) -> cython.bint:
        """Whether an INVITE with these belongs to this attempt and does not begin a new one.

        After a failure the caller may ask another server, or a proxy its next target, with the same CSeq and
        a new branch (RFC 3263 4.3, RFC 3261 16.6): where the failure is counted that is a new attempt.
        """
        if not self.is_closed() or cseq < self.cseq or branch in self._branches:
            return True
        return cseq == self.cseq and (not self.counted or self.outcome == "answered" or self.outcome is None)

    def knows(self, branch: str) -> cython.bint:
        """Whether an INVITE of this attempt had this branch (the ACK of its non-2xx has it too, 17.1.1.3)."""
        return branch in self._branches

    # Requests

    def invite(self, cseq: cython.longlong, branch: str, now_ns: cython.longlong) -> cython.bint:
        """Takes an INVITE that `takes` accepted. True: a retry or further branch; False: a retransmission."""
        if cseq > self.cseq:
            self._branches = {branch: 0}
            self._global = None
        elif cseq < self.cseq or branch in self._branches or len(self._branches) >= MAX_BRANCHES:
            return False
        else:
            if self.is_closed() and (self.counted or (self.state, "INVITE") not in TABLE):
                return False
            self._branches[branch] = 0
        self.cseq = cseq
        self._on("INVITE", now_ns)
        return True

    def retry(self, cseq: cython.longlong, branch: str, now_ns: cython.longlong) -> None:
        """Takes an INVITE of the same caller with another From tag, whose CSeq may begin anew."""
        self.cseq = cseq - 1
        self.invite(cseq, branch, now_ns)

    def cancel(self, cseq: cython.longlong, now_ns: cython.longlong) -> None:
        """The caller gives up: CANCEL (9.1: its CSeq number is the INVITE's), or BYE of an early dialog."""
        if cseq == self.cseq:
            self._on("CANCEL", now_ns)

    def keep(self, cseq: cython.longlong, now_ns: cython.longlong) -> None:
        """Takes the refusal of the CANCEL: the attempt goes on."""
        if cseq == self.cseq:
            self._on("CANCEL refused" if self.responded else "CANCEL refused, no response yet", now_ns)

    # Responses

    def response(
        self,
        status: cython.longlong,
        cseq: cython.longlong,
        branch: str,
        now_ns: cython.longlong,
        retry_window_ns: cython.longlong,
    ) -> Outcome | None:
        """Takes a response to the INVITE. Returns the outcome where it decides one."""
        if cseq != self.cseq:
            return None  # a retransmitted response to an earlier INVITE
        self.responded = True
        if status < 200:
            return self._on("100" if status == 100 else "101-199", now_ns)
        if status < 300:
            is_late = self.counted and self.state == "closed"
            return self._on("2xx too late" if is_late else "2xx", now_ns, status)
        if branch in self._branches and not self._branches[branch]:
            self._branches[branch] = status
        if not self.is_open():
            return None
        if status >= 600 and self.state != "cancelling":
            self._global = status
        self.status = status
        if len(self._branches) > 1 and branch in self._branches and not all(self._branches.values()):
            return None  # another branch may still answer
        if self._global is not None:
            return self._on("6xx", now_ns, self._global)
        if status < 400 or status in RETRIED:
            return self._on("retryable", now_ns, status, retry_window_ns)
        return self._on("final", now_ns, status)

    def answer_unseen(self) -> cython.bint:
        """Notes that the attempt was answered though its 2xx was not captured. True where that is new."""
        if self.is_closed():
            return False
        self._on("answer not captured", 0)
        return True

    # Time

    def due(self, now_ns: cython.longlong, watched: cython.bint = True) -> Outcome | None:
        """The outcome that the passing of time decides. None where the wait was not `watched` throughout."""
        if self.deadline is None or now_ns < sum(self.deadline):
            return None
        return self._on("timer" if watched else "timer, not watched", now_ns, self.status)

    def give_up(self) -> Outcome | None:
        """Stops waiting for a retry: the window passed, or the capture file ended."""
        return self._on("no retry", 0, self.status)

    def _on(
        self,
        event: Event,
        now_ns: cython.longlong,
        status: Status = None,
        retry_window_ns: cython.longlong = 0,
    ) -> Outcome | None:
        row = _TABLE.get((self.state, event))
        if row is None:
            return None
        action, self.state = row
        return action(self, now_ns, status, retry_window_ns)


# Actions: (attempt, now in ns, deciding status, retry window in ns) -> outcome.


def start_timer_b(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> None:
    attempt.deadline = (now_ns, TIMER_B_NS)


def start_timer_c(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> None:
    """A 100 is a response, so Timer B is over; only 101-199 start Timer C anew (RFC 3261 16.7 step 2)."""
    attempt.deadline = (now_ns, TIMER_C_NS)


def open_again(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> None:
    attempt.outcome, attempt.deadline = None, (now_ns, TIMER_B_NS)


def wait_for_a_retry(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> None:
    attempt.deadline = (now_ns, window_ns)


def answer(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> Outcome:
    return _decide(attempt, "answered", status)


def fail(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> Outcome:
    return _decide(attempt, "failed", status)


def cancel(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> Outcome:
    return _decide(attempt, "cancelled", status)


def redirect_or_fail(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> Outcome:
    """The outcome where no INVITE followed the 3xx or answered the challenge."""
    return _decide(attempt, "redirected" if status is not None and status < 400 else "failed", status)


def flag_late_answer(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> None:
    attempt.late_answer = True


def stop_timer(attempt: Attempt, now_ns: int, status: int | None, window_ns: int) -> None:
    """The outcome stays unknown."""
    attempt.deadline = None


def _decide(attempt: Attempt, outcome: Outcome, status: int | None) -> Outcome:
    attempt.outcome, attempt.status, attempt.deadline = outcome, status, None
    return outcome


Action = Callable[[Attempt, int, int | None, int], Outcome | None]
TABLE: dict[tuple[State, Event], tuple[Action, State]] = {
    ("calling", "100"): (start_timer_c, "proceeding"),
    ("calling", "101-199"): (start_timer_c, "proceeding"),
    ("calling", "2xx"): (answer, "answered"),
    ("calling", "retryable"): (wait_for_a_retry, "waiting"),
    ("calling", "final"): (fail, "closed"),
    ("calling", "6xx"): (fail, "closed"),
    ("calling", "INVITE"): (open_again, "calling"),
    ("calling", "CANCEL"): (start_timer_b, "cancelling"),
    ("calling", "timer"): (fail, "closed"),
    ("calling", "timer, not watched"): (stop_timer, "unwatched"),
    ("calling", "answer not captured"): (stop_timer, "unseen"),
    ("proceeding", "101-199"): (start_timer_c, "proceeding"),
    ("proceeding", "2xx"): (answer, "answered"),
    ("proceeding", "retryable"): (wait_for_a_retry, "waiting"),
    ("proceeding", "final"): (fail, "closed"),
    ("proceeding", "6xx"): (fail, "closed"),
    ("proceeding", "INVITE"): (open_again, "calling"),
    ("proceeding", "CANCEL"): (start_timer_b, "cancelling"),
    ("proceeding", "timer"): (fail, "closed"),
    ("proceeding", "timer, not watched"): (stop_timer, "unwatched"),
    ("proceeding", "answer not captured"): (stop_timer, "unseen"),
    ("cancelling", "2xx"): (answer, "answered"),
    ("cancelling", "retryable"): (cancel, "closed"),
    ("cancelling", "final"): (cancel, "closed"),
    ("cancelling", "6xx"): (fail, "closed"),
    ("cancelling", "INVITE"): (open_again, "calling"),
    ("cancelling", "CANCEL"): (start_timer_b, "cancelling"),
    ("cancelling", "CANCEL refused"): (start_timer_c, "proceeding"),
    ("cancelling", "CANCEL refused, no response yet"): (start_timer_b, "calling"),
    ("cancelling", "timer"): (cancel, "closed"),
    ("cancelling", "timer, not watched"): (stop_timer, "unwatched"),
    ("cancelling", "answer not captured"): (stop_timer, "unseen"),
    ("waiting", "INVITE"): (open_again, "calling"),
    ("waiting", "2xx"): (answer, "answered"),
    ("waiting", "timer"): (redirect_or_fail, "closed"),
    ("waiting", "timer, not watched"): (stop_timer, "unwatched"),
    ("waiting", "no retry"): (redirect_or_fail, "closed"),
    ("waiting", "answer not captured"): (stop_timer, "unseen"),
    ("closed", "INVITE"): (open_again, "calling"),
    ("closed", "2xx"): (answer, "answered"),
    ("closed", "2xx too late"): (flag_late_answer, "closed"),
    ("unseen", "2xx"): (answer, "answered"),
    ("unwatched", "INVITE"): (open_again, "calling"),
}
_TABLE = TABLE


def table() -> str:
    """`TABLE` as Markdown."""
    return picture({key: (action.__name__, after) for key, (action, after) in TABLE.items()})
