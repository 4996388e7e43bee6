# cython: language_level=3
"""Calls: the legs joined, where they count, and how long they are up."""

from __future__ import annotations

from typing import Any, Literal

from agent.tracking.dialog_cy import Direction, Leg, Way
from agent.tracking.transaction_cy import Outcome

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

EndReason = Literal["bye", "timer", "silence"]
# The fields in the order in which a checkpoint has them. A call's own encoding is not part of itself, and who
# its records name is found again.
ACCOUNT_FIELDS = ("leg", "direction", "legs", "outcome", "answered", "decided_by")
CALL_FIELDS = (
    "legs", "accounts", "answer_ns", "end_ns", "end_reason", "last_rtp_ns", "flags", "rtt_us", "reported",
    "released",
)  # fmt: skip


class Account:
    """One place where a call counts: a direction, and the legs whose attempts decide it together.

    `leg` is the first of them: the account's connector is that leg's, which may be decided later.
    """

    def __init__(self, leg: Leg, direction: Direction | None) -> None:
        self.leg = leg
        self.direction: Direction | None = direction
        self.legs: list[Leg] = []
        self.outcome: Outcome | None = None
        self.answered = False  # by a 2xx, a late one too
        self.decided_by: Leg | None = None


class Call:
    """Legs joined. `answer_ns`: the first 2xx on the counting leg; `end_ns`: when it was found to be over."""

    def __init__(self, answer_ns: int | None = None) -> None:
        self.legs: list[Leg] = []
        self.accounts: list[Account] = []  # the one on the leg that `count_at` names first
        self.answer_ns = answer_ns
        self.end_ns: int | None = None
        self.end_reason: EndReason | None = None
        self.last_rtp_ns = 0
        self.flags: set[str] = set()
        self.rtt_us: dict[str, float] = {}  # side: the last known
        self.reported = False  # its `call` record is out
        self.released = False  # its media sockets are given up
        self.saved: bytes | None = None  # its form in a checkpoint, until something happens to it
        self.who: tuple[Any, ...] | None = None  # everybody whom its records name, until another leg joins

    @property
    def incoming(self) -> Leg | None:
        return self.find_incoming()

    def find_incoming(self) -> Leg | None:
        leg: Leg
        for leg in self.legs:
            if leg.way == "incoming":
                return leg
        return None

    @property
    def lead(self) -> Leg:
        """The leg that names the call: the incoming one, else the first."""
        return self.find_lead()

    def find_lead(self) -> Leg:
        return self.find_incoming() or self.legs[0]

    @property
    def whole(self) -> bool:
        leg: Leg
        for leg in self.legs:
            if not leg.whole:
                return False
        return True

    @property
    def counted(self) -> Leg:
        """The leg whose attempt is the call's."""
        if self.accounts:
            return self.accounts[0].decided_by or self.accounts[0].leg
        return self.lead

    @property
    def outcome(self) -> Outcome | Literal["pending"]:
        if self.accounts:
            return self.accounts[0].outcome or "pending"
        attempt = self.lead.attempt
        return (attempt.outcome if attempt else None) or "pending"

    @property
    def decided(self) -> bool:
        """Every outcome that this call can have is known."""
        if self.accounts:
            return all(account.outcome is not None for account in self.accounts)
        return self.outcome != "pending"

    @property
    def up(self) -> bool:
        """Answered and not over."""
        return bool(self.is_up())

    def is_up(self) -> cython.bint:
        return self.answer_ns is not None and self.end_ns is None

    def last_sip_ns(self) -> cython.longlong:
        leg: Leg
        newest_ns: cython.longlong = 0
        for leg in self.legs:
            newest_ns = max(newest_ns, leg.last_ns)
        return newest_ns

    def is_held(self) -> cython.bint:
        leg: Leg
        for leg in self.legs:
            if leg.held:
                return True
        return False

    def views(self) -> list[tuple[Leg, list[Leg], list[Leg]]]:
        """(owner, customer legs, remote legs) for each connector that the call belongs to.

        Where both legs are customers', each counts in its own connector with the other as its remote.
        """
        callers: list[Leg] = []
        callees: list[Leg] = []
        remotes: list[Leg] = []
        customers: list[Leg] = []
        leg: Leg
        for leg in self.legs:
            if leg.way == "internal":
                continue
            if leg.side == "customer":
                customers.append(leg)
                (callers if leg.way == "incoming" else callees).append(leg)
            elif leg.side == "remote":
                remotes.append(leg)
        if callers and callees:
            return [(callers[0], callers, callees + remotes), (callees[0], callees, callers + remotes)]
        if customers:
            return [(customers[0], customers, remotes)]
        return [(remotes[0], [], remotes)] if remotes else [(self.lead, [], [])]

    def adopt(self, leg: Leg) -> None:
        """Take a leg in, with what each leg can tell the others: the connector."""
        leg.call = self
        self.legs.append(leg)
        self.who = None
        self.share_connector(leg)

    def share_connector(self, leg: Leg) -> None:
        other: Leg
        known = leg.connector
        if known is None:
            for other in self.legs:
                if other.connector is not None:
                    leg.connector = other.connector
                    break
            return
        for other in self.legs:
            if other.connector is None:
                other.connector = known

    def check_over(self, now_ns: cython.longlong) -> cython.bint:
        """An answered call ends when one of its sides has no confirmed dialog left (RFC 3261 15).

        True where it ends now. One that silence had ended was up all the same until this BYE.
        """
        if self.answer_ns is None or self.end_reason == "bye":
            return False
        if self._has_left("incoming") or self._has_left("outgoing") or self._has_left("internal"):
            self.end_ns, self.end_reason = now_ns, "bye"
            return True
        return False

    def _has_left(self, way: Way) -> cython.bint:
        """Whether legs of one way were up, and none is any more; of internal ones, where all are internal."""
        leg: Leg
        was_up = False
        for leg in self.legs:
            if leg.way == way:
                if leg.is_up():
                    return False
                was_up = was_up or leg.has_been_up()
            elif way == "internal":
                return False
        return was_up

    def check_silence(
        self, now_ns: cython.longlong, call_timeout_ns: cython.longlong, hold_timeout_ns: cython.longlong
    ) -> None:
        """End by session timer or silence, or re-open where traffic came back. Call at a minute's end."""
        if self.end_reason == "bye" or self.answer_ns is None:
            return
        heard_ns: cython.longlong = max(self.last_sip_ns(), self.last_rtp_ns)
        if self.end_ns is not None:
            if heard_ns <= self.end_ns:
                return
            self.end_ns = self.end_reason = None
        leg: Leg
        timer_ns: int | None = None  # the first that runs out
        for leg in self.legs:
            its_ns = leg.session_ns
            if its_ns is not None and leg.is_up() and (timer_ns is None or its_ns < timer_ns):
                timer_ns = its_ns
        if timer_ns is not None and timer_ns <= now_ns and self.last_rtp_ns <= timer_ns:
            self.end_ns, self.end_reason = timer_ns, "timer"
            return
        silence_ns: cython.longlong = hold_timeout_ns if self.is_held() else call_timeout_ns
        if now_ns - heard_ns >= silence_ns:
            self.end_ns, self.end_reason = heard_ns + silence_ns, "silence"
