"""SIP: messages to legs, attempts and calls.

A tap sees half-conversations: an unexpected message is a fact, not an error. Calls are counted on the leg
that `count_at` names and nowhere else.
"""

from __future__ import annotations

import fnmatch
import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.errors import WireError
from agent.tracking.call import Account, Call, Joiner
from agent.tracking.dialog import Leg, Passage, Way, way_of
from agent.tracking.events import (
    Attempted,
    CallOver,
    CallsUp,
    Concluded,
    Event,
    MessageSeen,
    Throttled,
)
from agent.tracking.media import Media
from agent.tracking.sides import Connector, Sides
from agent.tracking.transaction import SECOND_NS, Attempt, Outcome
from agent.wire import sdp, vq
from agent.wire.sip import Message

CONNECTOR_HEADER = "X-VoiceConnector-ID"


@dataclass(frozen=True, slots=True)
class CallRules:
    """How calls are counted. Nanoseconds."""

    count_at: Literal["incoming", "outgoing"] = "incoming"
    retry_window_ns: int = 5 * SECOND_NS
    join_window_ns: int = 2 * SECOND_NS
    call_timeout_ns: int = 300 * SECOND_NS
    hold_timeout_ns: int = 7200 * SECOND_NS
    media_linger_ns: int = 5 * SECOND_NS
    correlation_headers: tuple[str, ...] = ("Session-ID", "X-Call-ID", "X-CID", "P-Charging-Vector")
    call_id_suffixes: tuple[str, ...] = ("_b2b-1",)
    not_failures: tuple[int, ...] = ()
    throttle_patterns: tuple[str, ...] = ()  # "STATUS reason", with * and ?
    max_calls: int = 100_000


class Signalling:
    """Every leg and call alive. Feeds `out`; time comes with each message and through `advance`."""

    def __init__(self, rules: CallRules, sides: Sides, media: Media, out: list[Event]) -> None:
        self.counters: Counter[str] = Counter()
        self.suspects: Counter[str] = Counter()  # who may be the vc, where nobody said
        self._rules = rules
        self._sides = sides
        self._media = media
        self._out = out
        self._legs: dict[str, list[Leg]] = {}  # by Call-ID
        self._calls: dict[Call, None] = {}  # oldest first
        self._undecided: list[Leg] = []
        self._joiner = Joiner(rules.join_window_ns, rules.correlation_headers, rules.call_id_suffixes)
        self._timers: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = itertools.count()

    # -- time

    @property
    def due_ns(self) -> int | None:
        """When `advance` has something to do next."""
        return self._timers[0][0] if self._timers else None

    def advance(self, now_ns: int) -> None:
        while self._timers and self._timers[0][0] <= now_ns:
            due_ns, _, action = heapq.heappop(self._timers)
            action(due_ns)

    def _at(self, due_ns: int, action: Callable[[int], None]) -> None:
        heapq.heappush(self._timers, (due_ns, next(self._order), action))

    # -- messages

    def take(self, message: Message, src: str, dst: str, now_ns: int) -> None:
        passage = self._passage(src, dst)
        if passage is None:
            self.counters["messages_elsewhere"] += 1
            return
        peer = src if passage == "towards" else dst
        leg = self._leg_of(message, passage, peer, now_ns)
        if leg is not None and not self._sides.known and leg.invite_ns == now_ns:
            self._suspect(leg, src)
        if leg is not None:
            leg.last_ns = now_ns
            self._follow(leg, message, passage, now_ns)
        if passage == "towards" and message.method in _TELLING:
            self._far_view(message, leg, src, now_ns)
        if passage != "internal" or not self._sides.known:
            self._out.append(
                MessageSeen(
                    now_ns,
                    leg,
                    None if leg else self._connector(message, peer) or self._sides.fallback,
                    message.call_id,
                    message.status,
                    message.data,
                )
            )

    def _passage(self, src: str, dst: str) -> Passage | None:
        """How a message crosses the vc's edge; None where the vc is at neither end."""
        if not self._sides.known:
            return "internal"
        from_vc, to_vc = self._sides.is_vc(src), self._sides.is_vc(dst)
        if from_vc and to_vc:
            return "internal"
        return "away" if from_vc else "towards" if to_vc else None

    def _leg_of(self, message: Message, passage: Passage, peer: str, now_ns: int) -> Leg | None:
        """The leg on which a message travels; made where it begins one."""
        legs = self._legs.get(message.call_id, ())
        initial = message.is_request and message.method == "INVITE" and not message.to_tag
        for leg in reversed(legs):
            if leg.from_tag == message.from_tag:
                from_caller = message.is_request
            elif leg.from_tag == message.to_tag:
                from_caller = not message.is_request
            else:
                continue
            if leg.way == way_of(passage, from_caller):
                if initial and leg.attempt is not None and not leg.attempt.takes(message.cseq):
                    break  # the same Call-ID and From tag again, after all was decided: another attempt
                return leg
        if initial:
            return self._begin(message, way_of(passage, True), peer, now_ns)
        if _in_dialog(message):
            return self._resume(message, passage, peer, now_ns)
        return None

    def _suspect(self, leg: Leg, src: str) -> None:
        """The SBC is where the first INVITE of a joined call went, and where the next one came from."""
        if len(self.suspects) > 1000:
            return
        self.suspects[leg.call.legs[0].peer] += 1
        if leg.joined:
            self.suspects[src] += 2

    # -- legs

    def _begin(self, message: Message, way: Way, peer: str, now_ns: int) -> Leg:
        """An initial INVITE."""
        leg = self._new_leg(message, message.from_tag, way, peer, now_ns)
        replaced = self._replaced(message)
        if replaced is not None:
            replaced.call.adopt(leg)
            if replaced.way == leg.way:
                replaced.replaced_by = leg
            self._register(leg)
            return leg
        leg.attempt = Attempt(now_ns, message.cseq)
        leg.call = self._joiner.join(leg, self._correlations(message))
        self._register(leg)
        self._count_attempt(leg, now_ns)
        self._watch(leg)
        return leg

    def _resume(self, message: Message, passage: Passage, peer: str, now_ns: int) -> Leg:
        """A dialog whose beginning was not seen: it is up, is no attempt and has no direction."""
        # Which tag is the caller's cannot be told; one choice must hold for both ways of the dialog.
        caller = min(message.from_tag, message.to_tag)
        from_caller = (message.from_tag == caller) == message.is_request
        way = way_of(passage, from_caller)
        leg = self._new_leg(message, caller, way, peer, now_ns)
        leg.whole = False
        leg.dialog(max(message.from_tag, message.to_tag)).confirmed = True
        leg.call = self._joiner.join(leg, ())
        if leg.call.answer_ns is None:
            leg.call.answer_ns = now_ns
        self._register(leg)
        return leg

    def _new_leg(self, message: Message, from_tag: str, way: Way, peer: str, now_ns: int) -> Leg:
        side = None if way == "internal" else self._sides.side(peer)
        leg = Leg(
            message.call_id,
            from_tag,
            way,
            peer,
            side,
            now_ns,
            message.cseq,
            message.from_user,
            message.to_user,
            message.uri_user if message.is_request else "",
            connector=self._connector(message, peer if side == "customer" else None),
        )
        self.counters["legs"] += 1
        return leg

    def _register(self, leg: Leg) -> None:
        self._legs.setdefault(leg.call_id, []).append(leg)
        self._calls[leg.call] = None
        if leg.connector is None:
            self._undecided.append(leg)
        if len(self._calls) > self._rules.max_calls:
            self._evict()

    def _evict(self) -> None:
        """The table is full: the oldest call that never came up goes first."""
        victim = next(
            (call for call in itertools.islice(self._calls, 64) if call.answer_ns is None),
            next(iter(self._calls)),
        )
        self.counters["calls_evicted"] += 1
        self._forget(victim)

    def _replaced(self, message: Message) -> Leg | None:
        """The leg whose call an INVITE takes over (RFC 3891)."""
        replaces = message.replaces
        if replaces is None:
            return None
        call_id, to_tag, from_tag = replaces
        for leg in self._legs.get(call_id, ()):
            if leg.from_tag in (to_tag, from_tag) and leg.call.answer_ns and leg.call.end_ns is None:
                return leg
        return None

    def _connector(self, message: Message, peer: str | None) -> Connector | None:
        named = message.header(CONNECTOR_HEADER)
        if named is not None:
            connector = self._sides.by_id(named)
            if connector is not None:
                return connector
            self.counters["unknown_connector_header"] += 1
        for host in (message.uri_host if message.is_request else "", message.to_host, message.from_host):
            connector = self._sides.by_host(host) if host else None
            if connector is not None:
                return connector
        return self._sides.by_peer(peer) if peer else None

    def _correlations(self, message: Message) -> list[str]:
        values = []
        for name in self._joiner.headers:
            value = message.header(name)
            if not value:
                continue
            if name.lower() == "p-charging-vector":  # RFC 7315 5.6: only icid-value is the call's
                parts = (part.strip() for part in value.split(";"))
                value = next((p[11:].strip('"') for p in parts if p.lower().startswith("icid-value=")), "")
            elif name.lower() == "session-id":  # RFC 7989: the remote half changes, the local one is the call's
                value = value.split(";")[0].strip()
            if value.strip("0"):  # RFC 7989 5: the null identifier is nobody's
                values.append(value)
        return values

    # -- attempts

    def _count_attempt(self, leg: Leg, now_ns: int) -> None:
        """Open the accounts that this leg gives its call."""
        call = leg.call
        if not self._sides.known or leg.direction is None:
            return
        incoming = call.incoming
        both_customers = (
            leg.way == "outgoing"
            and leg.side == "customer"
            and incoming is not None
            and incoming.side == "customer"
        )
        if leg.way != self._rules.count_at and not both_customers:
            if not leg.joined:
                self.counters["legs_unjoined"] += 1
            return
        if any(account.direction == leg.direction for account in call.accounts):
            return  # a fork: the call counts once in each direction
        account = Account(leg, leg.direction)
        call.accounts.append(account)
        self._out.append(Attempted(now_ns, account))

    def _watch(self, leg: Leg) -> None:
        """Look again when time alone decides the attempt."""
        attempt = leg.attempt
        if attempt is None or attempt.deadline_ns is None:
            return

        def look(due_ns: int) -> None:
            if attempt.deadline_ns is None:
                return
            outcome = attempt.due(due_ns)
            if outcome:
                self._conclude(leg, outcome, due_ns)
            else:
                self._at(attempt.deadline_ns, look)

        self._at(attempt.deadline_ns, look)

    def _conclude(self, leg: Leg, outcome: Outcome, now_ns: int) -> None:
        call = leg.call
        if call.counted is not leg:
            return
        attempt = leg.attempt
        status = attempt.status if attempt else None
        failure = outcome == "failed" and (status is None or status not in self._rules.not_failures)
        for account in call.accounts:
            self._out.append(Concluded(now_ns, account, outcome, failure))
        if outcome == "answered":
            call.answer_ns = now_ns
            if call.end_ns is not None:  # a BYE crossed the answer
                self._over(call, now_ns)
        else:
            self._over(call, now_ns)

    def _throttled(self, leg: Leg, message: Message, now_ns: int) -> None:
        """An attempt that the vc itself refused: no INVITE left it (a carrier's 503 is not ours)."""
        call = leg.call
        if call.counted is not leg or any(other.way == "outgoing" for other in call.legs):
            return
        text = f"{message.status} {message.reason}"
        refused = message.status == 503 and message.header("Retry-After") is not None
        if refused or any(fnmatch.fnmatchcase(text, pattern) for pattern in self._rules.throttle_patterns):
            for account in call.accounts:
                self._out.append(Throttled(now_ns, account))

    def _far_view(self, message: Message, leg: Leg | None, src: str, now_ns: int) -> None:
        """What the far end says of its own reception: statistics in BYE, a report in PUBLISH or NOTIFY."""
        if message.method == "BYE":
            if leg is None:
                return
            for name in vq.HEADERS:
                value = message.header(name)
                stat = vq.rtp_stat(value) if value else None
                if stat is not None:
                    self._media.statistics(leg, stat, now_ns)
                    return
        elif message.content_type == vq.CONTENT_TYPE:
            report = vq.parse(message.body)
            legs = self._legs.get(report.call_id, ()) if report else ()
            # A proxy's two legs share their Call-ID: the one whose far end speaks is meant.
            mine = [one for one in legs if one.peer == src] or [
                one for one in legs if one.side == self._sides.side(src)
            ]
            if report is not None and mine:
                self._media.quality_report(mine[0], report, now_ns)

    # -- what a message does to its leg

    def _follow(self, leg: Leg, message: Message, passage: Passage, now_ns: int) -> None:
        if message.is_request:
            self._request(leg, message, now_ns)
        else:
            self._response(leg, message, now_ns)
        if message.sdp is not None:
            try:
                session = sdp.parse(message.sdp)
            except WireError as error:
                self._media.rejects[error.reason] += 1
            else:
                self._media.describe(leg, session, passage)

    def _request(self, leg: Leg, message: Message, now_ns: int) -> None:
        if message.method == "INVITE" and not message.to_tag:
            if leg.attempt is not None:
                leg.attempt.invite(message.cseq, now_ns)
                leg.cseq = max(leg.cseq, message.cseq)
        elif message.method == "CANCEL":
            if leg.attempt is not None:
                leg.attempt.cancel(message.cseq, now_ns)
        elif message.method == "BYE":
            tag = leg.callee_tag(message.from_tag, message.to_tag)
            leg.dialog(tag).ended = True
            leg.session_ns = None if not leg.up else leg.session_ns
            self._ended(leg.call, now_ns)

    def _response(self, leg: Leg, message: Message, now_ns: int) -> None:
        status = message.status
        if message.method in ("INVITE", "UPDATE") and 200 <= status < 300:
            expires = message.session_expires
            leg.session_ns = now_ns + expires[0] * SECOND_NS if expires else None
        if message.method != "INVITE":
            return
        if 200 <= status < 300:
            leg.dialog(leg.callee_tag(message.from_tag, message.to_tag)).confirmed = True
        elif status >= 300:
            leg.final_ns = now_ns
        attempt = leg.attempt
        if attempt is None:
            return
        was_late = attempt.late_answer
        if status >= 300 and attempt.state == "open" and message.cseq == attempt.cseq:
            self._throttled(leg, message, now_ns)
        outcome = attempt.response(status, message.cseq, now_ns, self._rules.retry_window_ns)
        if outcome:
            self._conclude(leg, outcome, now_ns)
        elif attempt.late_answer and not was_late and leg.call.counted is leg:
            call = leg.call
            call.flags.add("late_answer")
            call.answer_ns, call.end_ns, call.end_reason, call.reported = now_ns, None, None, False

    # -- ends

    def _ended(self, call: Call, now_ns: int) -> None:
        was = call.end_ns
        call.check_over(now_ns)
        if was is None and call.end_ns is not None and call.answer_ns is not None:
            self._over(call, now_ns)

    def _over(self, call: Call, now_ns: int) -> None:
        """Nothing more is expected but late media and retransmissions."""
        linger_ns = self._rules.media_linger_ns

        def release(due_ns: int) -> None:
            if call.end_ns is None and call.answer_ns is not None:
                return  # a late answer brought it up
            for leg in call.legs:
                self._media.release(leg)
            self._report(call, due_ns)
            self._at(due_ns + 32 * SECOND_NS, lambda _: self._forget(call))

        call.last_rtp_ns = max(call.last_rtp_ns, self._media.heard_ns(call))
        self._at(now_ns + linger_ns, release)

    def _report(self, call: Call, now_ns: int) -> None:
        if not call.reported:
            call.reported = True
            self._out.append(CallOver(now_ns, call))

    def _forget(self, call: Call) -> None:
        if call not in self._calls:
            return
        del self._calls[call]
        self._report(call, call.last_sip_ns)
        self._joiner.forget(call)
        for leg in call.legs:
            self._media.release(leg)
            legs = self._legs.get(leg.call_id)
            if legs is not None:
                if leg in legs:
                    legs.remove(leg)
                if not legs:
                    del self._legs[leg.call_id]

    # -- minutes

    def minute_end(self, minute_ns: int, end_ns: int) -> None:
        """The gauges: calls up when a minute ends. Ends by silence and timer are found here."""
        up: list[Account] = []
        unknown = 0
        for call in tuple(self._calls):
            if call.answer_ns is None:
                continue
            call.last_rtp_ns = max(call.last_rtp_ns, self._media.heard_ns(call))
            call.check_silence(end_ns, self._rules.call_timeout_ns, self._rules.hold_timeout_ns)
            if call.end_ns is None:
                if call.accounts:
                    up += call.accounts
                elif not call.whole:
                    unknown += 1
            elif call.end_reason != "bye":
                silent_ns = self._rules.hold_timeout_ns if call.held else self._rules.call_timeout_ns
                if end_ns - call.end_ns > silent_ns:  # long enough that nothing re-opens it
                    self._forget(call)
        self._out.append(CallsUp(minute_ns, up, unknown))

    def settle(self, end_ns: int) -> None:
        """Legs undecided when the minute of their INVITE closes go to the default connector for good."""
        waiting = []
        for leg in self._undecided:
            if leg.connector is None:
                if leg.invite_ns < end_ns:
                    leg.connector = self._sides.fallback
                else:
                    waiting.append(leg)
        self._undecided = waiting

    def finish(self, now_ns: int) -> None:
        """The capture is over: what waits for a retry is decided; the rest stays pending."""
        for call in tuple(self._calls):
            leg = call.counted
            outcome = leg.attempt.give_up() if leg.attempt else None
            if outcome:
                self._conclude(leg, outcome, now_ns)
            call.last_rtp_ns = max(call.last_rtp_ns, self._media.heard_ns(call))
            if call.answer_ns is not None:
                call.check_silence(now_ns, self._rules.call_timeout_ns, self._rules.hold_timeout_ns)
            self._report(call, now_ns)

    def __len__(self) -> int:
        return len(self._calls)


_TELLING = frozenset({"BYE", "PUBLISH", "NOTIFY"})
_DIALOG_METHODS = frozenset({"INVITE", "UPDATE", "INFO", "PRACK"})


def _in_dialog(message: Message) -> bool:
    """Whether a message shows that a dialog is up which we have not seen begin.

    A BYE shows one that is over; an ACK or a response may be the tail of a failed INVITE.
    """
    if not (message.from_tag and message.to_tag):
        return False
    if message.is_request:
        return message.method in _DIALOG_METHODS
    return message.method == "INVITE" and 200 <= message.status < 300

