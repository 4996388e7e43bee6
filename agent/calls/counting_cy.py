# cython: language_level=3
"""Counts calls: attempts, their one outcome, throttles; only on the leg that `count_at` names.

Where both legs are customers', each leg counts in its own connector: Outbound for the caller's, Inbound for
the callee's. With `count_at = "either"` (the observer is a customer's host, which sees one leg of each call)
every leg counts.

An account may have several legs: a vc that hunts asks one carrier after the other, each perhaps in a dialog
of its own. It fails only when the last of them has failed and none began within the join window. It is
answered by the first 2xx of any. A leg that counts nowhere keeps an account without direction, for its call's
record.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Literal

import cython
from msgspec import Struct

from agent.calls import rfc6076
from agent.calls.joining_cy import Joiner
from agent.calls.timers_cy import Timers
from agent.model.attempt_cy import Attempt, Outcome
from agent.model.call_cy import Call, CountedAttempt, Dialog, Direction, Leg
from agent.model.events import Attempted, Concluded, Event, Measured, Tallied, Throttled
from agent.model.sides import Sides
from agent.model.units import SECOND_NS
from agent.wire.sip.message_cy import Message

Due = Leg | CountedAttempt | Call
MAX_PEERS = 65_536  # addresses that had a call: those that had one longest ago make room


CALL_BYTES = (
    9 << 10
)  # that a call takes, with its messages and its part of a checkpoint; one of more is several


class CallRules(Struct, frozen=True):
    """How calls are counted. Nanoseconds."""

    count_at: Literal["incoming", "outgoing", "either"] = "incoming"
    retry_window_ns: int = 5 * SECOND_NS
    join_window_ns: int = 2 * SECOND_NS
    call_timeout_ns: int = 300 * SECOND_NS
    hold_timeout_ns: int = 7200 * SECOND_NS
    media_linger_ns: int = 5 * SECOND_NS
    correlation_headers: tuple[str, ...] = ("Session-ID", "X-Call-ID", "X-CID", "P-Charging-Vector")
    call_id_suffixes: tuple[str, ...] = ("_b2b-1", "_pbx-1")
    not_failures: tuple[int, ...] = ()
    throttle_patterns: tuple[str, ...] = ()  # "STATUS reason", with * and ?
    max_calls: int = 100_000


class Counting:
    """Accounts of calls. It adds events to `out`, and calls `decided` when a call has all its outcomes."""

    def __init__(
        self,
        rules: CallRules,
        sides: Sides,
        timers: Timers,
        joiner: Joiner,
        out: list[Event],
        counters: Counter[str],
        decided: Callable[[Call, int], None],
    ) -> None:
        self._rules = rules
        self._sides = sides
        self._timers = timers
        self._joiner = joiner
        self._peers: OrderedDict[str, None] = OrderedDict()  # that had a call
        self._out = out
        self._counters = counters
        self._decided = decided
        self._patterns = tuple(pattern.lower() for pattern in rules.throttle_patterns)

    # -- peers

    def had_call(self, leg: Leg) -> None:
        """A dialog of `leg` is confirmed: its peer is not a stranger any more."""
        if leg.peer in self._peers:
            self._peers.move_to_end(leg.peer)
            return
        self._peers[leg.peer] = None
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)

    def _is_unanswered_stranger(self, leg: Leg) -> cython.bint:
        """Whether a peer in no connector never had a call, and the vc never answered its INVITE."""
        if leg.attempt is None or leg.attempt.responded or leg.way != "incoming" or leg.side != "remote":
            return False
        return leg.place[1] is None and leg.peer not in self._peers

    # -- attempts

    def begin(self, leg: Leg, now_ns: cython.longlong) -> None:
        """A leg with an attempt has joined its call: opens its accounts."""
        call: Call = leg.call
        incoming: Leg | None = call.find_incoming()
        counts = self._rules.count_at in (leg.way, "either")
        if not self._sides.known or leg.direction is None:
            counts = False
        elif (
            leg.way == "outgoing"
            and leg.side == "customer"
            and incoming is not None
            and incoming.side == "customer"
            and incoming.attempt is not None
        ):
            counts = True
            if incoming.account is None or incoming.account.direction is None:
                self._open(incoming, incoming.direction, now_ns)
        if counts:
            self._open(leg, leg.direction, now_ns)
        elif not call.accounts or (leg.way == "outgoing" and call.accounts[0].leg.way == "outgoing"):
            self._open(leg, None, now_ns)

    def _open(self, leg: Leg, direction: Direction | None, now_ns: cython.longlong) -> None:
        account: CountedAttempt
        call: Call = leg.call
        for account in call.accounts:
            first = account.leg
            if account.direction == direction and first.way == leg.way and first.place == leg.place:
                break
        else:
            account = CountedAttempt(leg, direction)
            call.accounts.append(account)
            if direction is not None:
                call.accounts = [a for a in call.accounts if a.direction is not None]
                # Those on the leg that `count_at` names first, each part in the order in which they came.
                first_ones = [a for a in call.accounts if self._rules.count_at in (a.leg.way, "either")]
                call.accounts = first_ones + [a for a in call.accounts if a not in first_ones]
                self._out.append(Attempted(now_ns, account))
        account.legs.append(leg)
        leg.account = account
        if leg.attempt is not None:
            leg.attempt.counted = account.outcome is not None
        if account.outcome is None:
            self._timers.drop(account)
        self.watch(leg)

    def watch(self, leg: Leg) -> None:
        """Takes over the attempt's deadline, where time may decide it."""
        attempt: Attempt | None = leg.attempt
        if attempt is None or leg.account is None:
            return
        if attempt.deadline is None:
            self._timers.drop(leg)
        else:
            self._timers.set(leg, attempt.deadline[0], attempt.deadline[1])

    def again(self, leg: Leg) -> None:
        """A retry or a further branch came: the attempt is open again."""
        if leg.account is not None and leg.account.outcome is None:
            self._timers.drop(leg.account)
        self.watch(leg)

    # -- outcomes

    def close(self, leg: Leg, outcome: Outcome, now_ns: cython.longlong) -> None:
        """The attempt of a leg has its outcome, which is its account's unless others may still answer."""
        account: CountedAttempt | None = leg.account
        self._timers.drop(leg)
        if account is not None and account.outcome is None:
            account.decided_by = leg
            if outcome == "answered":
                self._conclude(account, outcome, now_ns)
            elif _all_closed(account):
                if leg.way == "outgoing" and _is_hunting(leg.call):
                    self._timers.set(account, now_ns, self._rules.join_window_ns)
                else:
                    self._conclude(account, outcome, now_ns)
        other_account: CountedAttempt
        if leg.way == "incoming" and outcome != "answered":
            for other_account in leg.call.accounts:
                if other_account.outcome is None and other_account in self._timers:
                    self.give_up(other_account, now_ns)

    def give_up(self, account: CountedAttempt, now_ns: cython.longlong) -> None:
        """No further leg will be tried."""
        last = account.decided_by
        if account.outcome is None and last is not None and last.attempt and last.attempt.outcome:
            self._conclude(account, last.attempt.outcome, now_ns)

    def _conclude(self, account: CountedAttempt, outcome: Outcome, now_ns: cython.longlong) -> None:
        other: Leg
        leg: Leg = account.decided_by or account.leg
        call: Call = leg.call
        self._timers.drop(account)
        account.outcome = outcome
        for other in account.legs:
            if other.attempt is not None:
                other.attempt.counted = True
        status = leg.attempt.status if leg.attempt else None
        if account.direction is not None and outcome == "failed" and self._is_unanswered_stranger(leg):
            self._out.append(Concluded(now_ns, account, outcome, False))
            self._out.append(Tallied(now_ns, account.leg, None, "attempts_unanswered_strangers"))
        elif account.direction is not None:
            failure = outcome == "failed" and (status is None or status not in self._rules.not_failures)
            self._out.append(Concluded(now_ns, account, outcome, failure))
            if outcome == "failed" and leg.attempt and leg.attempt.refused:
                self._throttle(account, leg, leg.attempt, now_ns)
            for name in rfc6076.tallies(outcome, status):
                self._out.append(Tallied(now_ns, account.leg, None, name))
            if outcome == "failed" and status is not None and not leg.rung and leg.attempt:
                self._measure(account, rfc6076.SRD_FAILED, now_ns, leg.attempt.started_ns)
        if outcome == "answered":
            account.answered = True
            call.flags.discard("answer_unseen")  # it was stamped, or sent, after its ACK
            if account is call.accounts[0]:
                call.answer_ns = now_ns
        if call.decided:
            self._decided(call, now_ns)

    def _throttle(self, account: CountedAttempt, leg: Leg, attempt: Attempt, now_ns: cython.longlong) -> None:
        """The vc's own refusal, unless an outgoing leg that joined nothing may have brought it."""
        if self._joiner.has_apart(attempt.started_ns, leg.final_ns or now_ns):
            self._out.append(Tallied(now_ns, account.leg, None, "throttles_unknown"))
        else:
            self._out.append(Throttled(now_ns, account))

    def late_answer(self, leg: Leg, now_ns: cython.longlong) -> cython.bint:
        """A 2xx after a counted outcome: the call is up, but not Answered. True where it is."""
        account: CountedAttempt | None = leg.account
        if account is None:
            return False
        call: Call = leg.call
        account.answered = True
        call.flags.add("late_answer")
        call.answer_ns = now_ns
        call.end_ns = call.end_reason = None
        call.reported = call.released = call.completed = False
        return True

    def answer_unseen(self, leg: Leg, now_ns: cython.longlong) -> None:
        """The dialog is up, though its 2xx was not captured: no outcome, and active only as unknown."""
        self._timers.drop(leg)
        leg.call.flags.add("answer_unseen")
        if leg.call.answer_ns is None:
            leg.call.answer_ns = now_ns

    def refused(self, leg: Leg, message: Message) -> cython.bint:
        """Whether a final response is the vc's own limit: no INVITE left it (a carrier's 503 is not ours)."""
        if message.status < 400 or _has_outgoing(leg.call):
            return False
        if message.status == 503 and message.header("Retry-After") is not None:
            return True
        if not self._patterns:
            return False
        import fnmatch

        text = f"{message.status} {message.reason}".lower()
        for pattern in self._patterns:
            if fnmatch.fnmatchcase(text, pattern):
                return True
        return False

    # -- RFC 6076

    def rung(self, leg: Leg, now_ns: cython.longlong) -> None:
        """The first response that shows the caller the state of the call: Session Request Delay (4.3.1)."""
        leg.rung = True
        if leg.account is not None and leg.call.ring_ns is None:
            leg.call.ring_ns = now_ns
        if leg.account is not None and leg.attempt is not None and not leg.attempt.is_closed():
            self._measure(leg.account, rfc6076.SRD, now_ns, leg.attempt.started_ns)

    def disconnected(
        self, leg: Leg, dialog: Dialog, status: cython.longlong, now_ns: cython.longlong
    ) -> None:
        """A final response to a BYE: Session Disconnect Delay (4.4)."""
        if dialog.bye_ns is None or leg.account is None:
            return
        if 200 <= status < 300:
            self._measure(leg.account, rfc6076.SDD, now_ns, dialog.bye_ns)
        dialog.bye_ns = None

    def ended(self, call: Call, now_ns: cython.longlong) -> None:
        """An answered call is over: Session Duration Time (4.5), Session Completion Ratio (4.9). Once."""
        account: CountedAttempt
        if call.completed or call.end_ns is None:
            return
        call.completed = True
        for account in call.accounts:
            if account.direction is None or not account.answered:
                continue
            name = rfc6076.COMPLETED if call.end_reason == "bye" else rfc6076.ABANDONED
            self._out.append(Tallied(now_ns, account.leg, None, name))
            if call.end_reason == "bye" and call.answer_ns is not None:
                self._measure(account, rfc6076.SDT, call.end_ns, call.answer_ns)

    def _measure(
        self, account: CountedAttempt, name: str, now_ns: cython.longlong, since_ns: cython.longlong
    ) -> None:
        if account.direction is not None:
            self._out.append(Measured(now_ns, account.leg, None, name, (now_ns - since_ns) / 1e6))

    def unjoined(self, leg: Leg) -> None:
        """The minute of a leg closes: reports one that counts nowhere and joined no other."""
        if leg.joined or leg.attempt is None:
            return
        counts = leg.account is not None and leg.account.direction is not None
        if not counts and leg.direction is not None:
            self._counters["legs_unjoined"] += 1
            self._out.append(Tallied(leg.invite_ns, leg, None, "legs_unjoined"))


def _has_outgoing(call: Call) -> cython.bint:
    leg: Leg
    for leg in call.legs:
        if leg.way == "outgoing":
            return True
    return False


def _all_closed(account: CountedAttempt) -> cython.bint:
    """Whether no leg of it may still be answered."""
    leg: Leg
    for leg in account.legs:
        if leg.attempt is None or not leg.attempt.is_closed():
            return False
    return True


def _is_hunting(call: Call) -> cython.bint:
    """Whether the vc may try another leg: no final response went to the caller."""
    incoming: Leg | None = call.find_incoming()
    return incoming is None or incoming.attempt is None or not incoming.attempt.is_closed()
