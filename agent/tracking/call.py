"""Calls: the legs joined, where they count, and how long they are up."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agent.tracking.dialog import Direction, Leg, Way
from agent.tracking.transaction import Outcome

EndReason = Literal["bye", "timer", "silence"]
_WAYS: tuple[Way, ...] = ("incoming", "outgoing")


class Account(Struct, eq=False):
    """One place where a call counts: a direction, and the legs whose attempts decide it together.

    `leg` is the first of them: the account's connector is that leg's, which may be decided later.
    """

    leg: Leg
    direction: Direction | None
    legs: list[Leg] = []
    outcome: Outcome | None = None
    answered: bool = False  # by a 2xx, a late one too
    decided_by: Leg | None = None


class Call(Struct, eq=False):
    """Legs joined. `answer_ns`: the first 2xx on the counting leg; `end_ns`: when it was found to be over."""

    legs: list[Leg] = []
    accounts: list[Account] = []  # the one on the leg that `count_at` names first
    answer_ns: int | None = None
    end_ns: int | None = None
    end_reason: EndReason | None = None
    last_rtp_ns: int = 0
    flags: set[str] = set()
    rtt_us: dict[str, float] = {}  # side: the last known
    reported: bool = False  # its `call` record is out
    released: bool = False  # its media sockets are given up
    saved: bytes | None = None  # its form in a checkpoint, until something happens to it

    @property
    def incoming(self) -> Leg | None:
        for leg in self.legs:
            if leg.way == "incoming":
                return leg
        return None

    @property
    def lead(self) -> Leg:
        """The leg that names the call: the incoming one, else the first."""
        return self.incoming or self.legs[0]

    @property
    def whole(self) -> bool:
        return all(leg.whole for leg in self.legs)

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
        return self.answer_ns is not None and self.end_ns is None

    @property
    def last_sip_ns(self) -> int:
        return max(leg.last_ns for leg in self.legs)

    @property
    def held(self) -> bool:
        return any(leg.held for leg in self.legs)

    def views(self) -> list[tuple[Leg, list[Leg], list[Leg]]]:
        """(owner, customer legs, remote legs) for each connector that the call belongs to.

        Where both legs are customers', each counts in its own connector with the other as its remote.
        """
        callers: list[Leg] = []
        callees: list[Leg] = []
        remotes: list[Leg] = []
        customers: list[Leg] = []
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
        self.share_connector(leg)

    def share_connector(self, leg: Leg) -> None:
        known = leg.connector
        if known is None:
            leg.connector = next((other.connector for other in self.legs if other.connector), None)
            return
        for other in self.legs:
            if other.connector is None:
                other.connector = known

    def check_over(self, now_ns: int) -> bool:
        """An answered call ends when one of its sides has no confirmed dialog left (RFC 3261 15).

        True where it ends now. One that silence had ended was up all the same until this BYE.
        """
        if self.answer_ns is None or self.end_reason == "bye":
            return False
        ways: tuple[Way, ...] = _WAYS if any(leg.way != "internal" for leg in self.legs) else ("internal",)
        for way in ways:
            legs = [leg for leg in self.legs if leg.way == way]
            if any(leg.was_up for leg in legs) and not any(leg.up for leg in legs):
                self.end_ns, self.end_reason = now_ns, "bye"
                return True
        return False

    def check_silence(self, now_ns: int, call_timeout_ns: int, hold_timeout_ns: int) -> None:
        """End by session timer or silence, or re-open where traffic came back. Call at a minute's end."""
        if self.end_reason == "bye" or self.answer_ns is None:
            return
        heard_ns = max(self.last_sip_ns, self.last_rtp_ns)
        if self.end_ns is not None:
            if heard_ns <= self.end_ns:
                return
            self.end_ns = self.end_reason = None
        timers = [leg.session_ns for leg in self.legs if leg.session_ns is not None and leg.up]
        if timers and min(timers) <= now_ns and self.last_rtp_ns <= min(timers):
            self.end_ns, self.end_reason = min(timers), "timer"
            return
        silence_ns = hold_timeout_ns if self.held else call_timeout_ns
        if now_ns - heard_ns >= silence_ns:
            self.end_ns, self.end_reason = heard_ns + silence_ns, "silence"
