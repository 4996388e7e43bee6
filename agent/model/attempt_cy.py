# cython: language_level=3
"""The call attempt: an INVITE, its forks and its retries, as a tap sees them.

An *attempt* is the Call-ID and From tag of an INVITE without To tag. It has one outcome, in the minute in
which the outcome becomes known:

    state      on                                   to         outcome
    open       2xx                                  closed     answered
    open       any final but 2xx after CANCEL       closed     cancelled
    open       3xx                                  waiting    (redirected when no retry comes)
    open       401 407 413 415 416 420 421 422
               484 488 494                          waiting    (failed when no retry comes)
    open       any other final response             closed     failed
    open       no response for 32 s (Timer B)       closed     failed
    open       no final 180 s after the last
               101-199, or after the first 100
               where none came (Timer C)            closed     failed
    open       no final 32 s after CANCEL           closed     cancelled
    open       CANCEL refused                       open       -
    open       the answer itself was not seen       closed     - (flag answer_unseen)
    open,      any of these timers, after time
    waiting    without capture (restart)            closed     - (the outcome is unknown)
    waiting    INVITE within the retry window       open       -
    waiting    2xx                                  closed     answered
    waiting    the retry window passes              closed     redirected, or failed
    closed     INVITE on a further branch, outcome
               not counted yet                      open       -
    closed     2xx after anything but answered      closed     - (flag late_answer)

RFC 3261 9.2 wants 487 after CANCEL. Many answer 404, 480, 486 or 603 instead, and the caller gave up all the
same.

A forking proxy sends the same INVITE (same CSeq) on several branches, side by side or one after the other:
an attempt leaves `open` only when no branch is without a final response. A 6xx is final for all of them (RFC
3261 16.7 step 5), so the cancelled branches that follow it do not make the attempt a cancelled one.

Retransmissions carry a branch already seen and change nothing. An INVITE with a higher CSeq that finds the
attempt closed is another attempt, which is the caller's to make.
"""

from __future__ import annotations

from typing import Literal

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

Outcome = Literal["answered", "failed", "cancelled", "redirected"]
State = Literal["open", "waiting", "closed"]

SECOND_NS = 1_000_000_000
TIMER_B_NS = 32 * SECOND_NS  # RFC 3261 17.1.1.2: 64 * T1
TIMER_C_NS = 180 * SECOND_NS  # RFC 3261 16.6 step 11

# Finals that a client answers with another INVITE of the same Call-ID and From tag (RFC 3261 8.1.3.5, 22.2;
# 422: RFC 4028 6; 421, 494: RFC 3329).
RETRIED = frozenset({401, 407, 413, 415, 416, 420, 421, 422, 484, 488, 494})
MAX_BRANCHES = 32  # branches are the sender's to invent


FIELDS = (
    "started_ns", "cseq", "state", "outcome", "status", "counted", "late_answer", "answer_unseen",
    "refused", "cancelled", "responded", "deadline", "_branches", "_global",
)  # fmt: skip
"""An `Attempt`'s fields, in the order in which a checkpoint has them."""


class Attempt:
    """One attempt. `deadline` is when `due` has something to say: (from, after) in ns, None for never."""

    def __init__(self, started_ns: cython.longlong, cseq: cython.longlong, branch: str) -> None:
        """An INVITE that begins an attempt of its own."""
        self.started_ns = started_ns
        self.cseq = cseq
        self.state: State = "open"
        self.outcome: Outcome | None = None
        self.status: int | None = None  # of the final response that decided, or would without a retry
        self.counted = False  # the outcome is published: nothing re-opens it
        self.late_answer = False
        self.answer_unseen = False
        self.refused = False  # the last final was the vc's own refusal (Throttles)
        self.cancelled = False  # a CANCEL was the last word of the caller
        self.responded = False  # any response came, be it a 100
        self.deadline: tuple[int, int] | None = (started_ns, TIMER_B_NS)
        self._branches: dict[str, int] = {branch: 0}  # branch: its final status, 0 while open
        self._global: int | None = None  # a 6xx

    def takes(self, cseq: cython.longlong) -> cython.bint:
        """Whether an INVITE with this CSeq belongs here, rather than being an attempt of its own."""
        return cseq <= self.cseq or self.state != "closed"

    def invite(self, cseq: cython.longlong, branch: str, now_ns: cython.longlong) -> cython.bint:
        """An INVITE that `takes` accepted. True: a retry or a further branch; False: a retransmission."""
        if cseq > self.cseq:
            self.cseq = cseq
            self._branches = {branch: 0}
            self._global = None
        elif cseq < self.cseq or self._is_final() or branch in self._branches or self._is_full():
            return False
        else:
            self._branches[branch] = 0
        self.state, self.outcome, self.cancelled = "open", None, False
        self.deadline = (now_ns, TIMER_B_NS)
        return True

    def retry(self, cseq: cython.longlong, branch: str, now_ns: cython.longlong) -> None:
        """An INVITE of the same caller with another From tag: its CSeq may begin anew."""
        self.cseq = cseq - 1
        self.invite(cseq, branch, now_ns)

    def is_silent(self) -> cython.bint:
        """Whether it is open and nothing has answered it."""
        return self.state == "open" and not self.responded

    def _is_final(self) -> cython.bint:
        """No further branch changes what was decided."""
        if self.state != "closed":
            return False
        return self.counted or self.answer_unseen or self.outcome == "answered"

    def _is_full(self) -> cython.bint:
        return len(self._branches) >= MAX_BRANCHES

    def knows(self, branch: str) -> cython.bint:
        """Whether an INVITE of this attempt had this branch (so has the ACK of its non-2xx, 17.1.1.3)."""
        return branch in self._branches

    def cancel(self, cseq: cython.longlong, now_ns: cython.longlong) -> None:
        """The caller gives up: CANCEL (9.1: the CSeq number is the INVITE's), or BYE of an early dialog."""
        if cseq == self.cseq and self.state == "open":
            self.cancelled = True
            self.deadline = (now_ns, TIMER_B_NS)

    def keep(self, cseq: cython.longlong, now_ns: cython.longlong) -> None:
        """The CANCEL was refused: the attempt goes on."""
        if cseq == self.cseq and self.state == "open" and self.cancelled:
            self.cancelled = False
            self.deadline = (now_ns, TIMER_C_NS if self.responded else TIMER_B_NS)

    def response(
        self,
        status: cython.longlong,
        cseq: cython.longlong,
        branch: str,
        now_ns: cython.longlong,
        retry_window_ns: cython.longlong,
    ) -> Outcome | None:
        """A response to the INVITE; the outcome where it decides one."""
        if cseq != self.cseq:
            return None  # a retransmission of what an earlier INVITE was answered
        self.responded = True
        if status < 200:
            self._provisional(status, now_ns)
            return None
        if status < 300:
            return self._answered(status)
        if branch in self._branches and not self._branches[branch]:
            self._branches[branch] = status
        if self.state != "open":
            return None
        if status >= 600 and not self.cancelled:
            self._global = status
        self.status = status
        if len(self._branches) > 1 and branch in self._branches and not all(self._branches.values()):
            return None  # another branch may still answer
        if self._global is not None:
            return self._close("failed", self._global)
        if self.cancelled:
            return self._close("cancelled", status)
        if status < 400 or status in RETRIED:
            self.state = "waiting"
            self.deadline = (now_ns, retry_window_ns)
            return None
        return self._close("failed", status)

    def _provisional(self, status: cython.longlong, now_ns: cython.longlong) -> None:
        if self.state != "open" or self.cancelled:
            return
        # A 100 is a response, so Timer B is over; but only 101-199 start Timer C anew (16.7 step 2).
        if status > 100 or self.deadline is None or self.deadline[1] != TIMER_C_NS:
            self.deadline = (now_ns, TIMER_C_NS)

    def _answered(self, status: cython.longlong) -> Outcome | None:
        if self.state != "closed":
            return self._close("answered", status)
        if self.outcome in (None, "answered"):
            return None
        if not self.counted:  # hunting: nobody was told of the failure yet
            return self._close("answered", status)
        self.late_answer = True
        return None

    def unseen(self) -> cython.bint:
        """Something shows that the attempt was answered, but its 2xx was not captured. True when news."""
        if self.state == "closed" or self.answer_unseen:
            return False
        self.state, self.deadline, self.answer_unseen = "closed", None, True
        return True

    def due(self, now_ns: cython.longlong, watched: cython.bint = True) -> Outcome | None:
        """What the passing of time decides; nothing where the wait was not `watched` throughout."""
        if self.deadline is None or now_ns < sum(self.deadline):
            return None
        if not watched:
            self.state, self.deadline = "closed", None
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
        self.state, self.outcome, self.status, self.deadline = "closed", outcome, status, None
        return outcome
