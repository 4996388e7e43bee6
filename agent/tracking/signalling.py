"""SIP: messages to legs, legs to calls, and what each message does to them.

A tap sees half-conversations: an unexpected message is a fact, not an error. What counts is in `counting`;
which legs make a call, in `joining`; whose a leg is, in `belonging`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import NamedTuple, cast

from agent.errors import WireError
from agent.tracking import hearsay
from agent.tracking.belonging import Belonging
from agent.tracking.call import Account, Call
from agent.tracking.counting import CallRules, Counting, Due
from agent.tracking.deadlines import Deadlines
from agent.tracking.dialog import Leg, Passage, Place, Way, way_of
from agent.tracking.events import CallOver, CallsUp, Event, Measured, MessageSeen, Tallied
from agent.tracking.joining import Joiner, Key
from agent.tracking.media import Media
from agent.tracking.performance import Exchanges, Method
from agent.tracking.sides import Connector, Sides
from agent.tracking.transaction import SECOND_NS, Attempt
from agent.wire import sdp
from agent.wire.sip import Message

__all__ = ["CallRules", "Signalling"]

RETRANSMITTED_NS = 32 * SECOND_NS  # 64 * T1: how long a message of a finished call may come again
MIN_SESSION_S = 90  # RFC 4028 5: no session interval is shorter
MAX_LEGS_A_CALL_ID = 64  # tags come from the wire; a Call-ID is looked through leg by leg
MAX_ROUTES = 65_536
MAX_SUSPECTS = 1_000


class Route(NamedTuple):
    """What two addresses make of a message between them. `seen`: it counts as a message of the vc.

    `by_caller` and `by_callee` are the ways of the legs on which the message travels, by who sent it.
    """

    passage: Passage
    peer: str
    place: Place
    seen: bool
    by_caller: Way
    by_callee: Way


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
        # Oldest first. Calls that are not up make room for others first.
        self._up: OrderedDict[Call, None] = OrderedDict()
        self._down: OrderedDict[Call, None] = OrderedDict()
        self._deadlines: Deadlines[Due] = Deadlines()
        self._belonging = Belonging(sides, self.counters)
        self._joiner = Joiner(rules.join_window_ns, rules.correlation_headers, rules.call_id_suffixes)
        self._counting = Counting(rules, sides, self._deadlines, out, self.counters, self._decided)
        self._exchanges = Exchanges()
        self._routes: dict[tuple[str, str], Route] = {}

    # -- time

    @property
    def due_ns(self) -> int:
        """When `advance` has something to do next; it may turn out to be nothing."""
        return self._deadlines.due_ns

    def advance(self, now_ns: int) -> None:
        while (due := self._deadlines.pop(now_ns)) is not None:
            what, due_ns = due
            _call_of(what).saved = None
            if isinstance(what, Leg):
                self._waited(what, due_ns)
            elif isinstance(what, Account):
                self._counting.give_up(what, due_ns)
            elif what.released:
                self._forget(what)
            else:
                self._release(what, due_ns)

    def _waited(self, leg: Leg, now_ns: int) -> None:
        attempt = leg.attempt
        outcome = attempt.due(now_ns) if attempt else None
        if outcome:
            self._counting.close(leg, outcome, now_ns)
            return
        self._counting.watch(leg)
        if attempt and attempt.interrupted and attempt.state == "closed" and leg.call.answer_ns is None:
            self._over(leg.call, now_ns)

    # -- messages

    def take(self, message: Message, src: str, dst: str, now_ns: int) -> None:
        route = self._routes.get((src, dst)) or self._route(src, dst)
        leg = self._leg_of(message, route, src, now_ns)
        if leg is not None:
            leg.call.saved = None
            if now_ns > leg.last_ns:
                leg.last_ns = now_ns
            if leg.connector is None:
                self._belonging.hear(leg, message)
            if message.is_request:
                self._request(leg, message, now_ns)
            else:
                self._response(leg, message, now_ns)
            if route.seen:
                self._describe(leg, message, route.passage)
        if not route.seen:
            self.counters["messages_elsewhere"] += 1
            return
        if message.method in hearsay.TELLING and route.passage == "towards":
            hearsay.take(message, leg, self._legs, route.peer, route.place, self._media, now_ns)
        connector = None
        if leg is None:
            place = route.place
            customer = route.peer if place[0] == "customer" else None
            connector = self._belonging.connector(message, customer) or self._sides.fallback
            if message.method in ("OPTIONS", "REGISTER") and route.passage != "internal":
                self._exchange(message, connector, now_ns)
        self._out.append(
            MessageSeen(now_ns, leg, connector, message.call_id, message.status, message.data)
        )

    def _route(self, src: str, dst: str) -> Route:
        passage: Passage = "internal"
        seen, peer = True, dst
        if self._sides.known:
            from_vc, to_vc = self._sides.is_vc(src), self._sides.is_vc(dst)
            if from_vc == to_vc:  # between two parts of the vc, or past it: serves joining only
                seen = False
            elif from_vc:
                passage = "away"
            else:
                passage, peer = "towards", src
        place: Place = (None, None) if passage == "internal" else self._sides.place(peer)
        route = Route(passage, peer, place, seen, way_of(passage, True), way_of(passage, False))
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        self._routes[src, dst] = route
        return route

    def _leg_of(self, message: Message, route: Route, src: str, now_ns: int) -> Leg | None:
        """The leg on which a message travels; made where it begins one."""
        initial = message.is_request and message.method == "INVITE" and not message.to_tag
        legs = self._legs.get(message.call_id)
        if legs is not None:
            from_tag, to_tag, request = message.from_tag, message.to_tag, message.is_request
            elsewhere: Leg | None = None
            for leg in reversed(legs):
                if leg.from_tag == from_tag:
                    way = route.by_caller if request else route.by_callee
                elif leg.from_tag == to_tag:
                    way = route.by_callee if request else route.by_caller
                else:
                    continue
                if leg.way != way:
                    continue
                if leg.place != route.place:
                    if not initial:  # an in-dialog message may take another way (12.2.1.1); a fork to
                        elsewhere = elsewhere or leg  # somebody else is a leg of its own
                elif initial and _is_another(leg, message):
                    break
                else:
                    return leg
            if elsewhere is not None:
                return elsewhere
            if len(legs) >= MAX_LEGS_A_CALL_ID:
                self.counters["legs_refused"] += 1
                return None
        if initial:
            return self._begin(message, route, src, now_ns)
        if _in_dialog(message):
            return self._resume(message, route, now_ns)
        return None

    # -- legs

    def _begin(self, message: Message, route: Route, src: str, now_ns: int) -> Leg:
        """An initial INVITE."""
        leg = self._new_leg(message, message.from_tag, route.by_caller, route, now_ns)
        replaced = self._replaced(message)
        if replaced is not None:
            replaced.call.adopt(leg)  # RFC 3891: it goes on with another party, and is no attempt
            leg.joined = True
            self._register(leg)
            return leg
        leg.attempt = Attempt(now_ns, message.cseq, message.branch)
        self._joiner.join(leg, self._joiner.correlations(message))
        self.counters["joins_ambiguous"] = self._joiner.ambiguous
        self._counting.begin(leg, now_ns)
        self._register(leg)
        if not self._sides.known:
            self._suspect(leg.call.legs[0].peer, 1)
            if leg.joined:
                self._suspect(src, 2)
        return leg

    def _resume(self, message: Message, route: Route, now_ns: int) -> Leg:
        """A dialog whose beginning was not seen: it is up, is no attempt and has no direction."""
        # Which tag is the caller's cannot be told; one choice must hold for both ways of the dialog.
        caller = min(message.from_tag, message.to_tag)
        from_caller = (message.from_tag == caller) == message.is_request
        way = route.by_caller if from_caller else route.by_callee
        leg = self._new_leg(message, caller, way, route, now_ns)
        leg.whole = False
        dialog = leg.dialog(max(message.from_tag, message.to_tag))
        dialog.confirmed, dialog.answer_ns = True, now_ns
        call = self._joiner.join(leg, ())
        if call.answer_ns is None and call.lead is leg:
            call.answer_ns = now_ns
        self._register(leg)
        return leg

    def _new_leg(self, message: Message, from_tag: str, way: Way, route: Route, now_ns: int) -> Leg:
        side = route.place[0]
        self.counters["legs"] += 1
        return Leg(
            message.call_id,
            from_tag,
            way,
            route.peer,
            side,
            now_ns,
            message.cseq,
            message.from_user,
            message.to_user,
            message.uri_user if message.is_request else "",
            route.place,
            connector=self._belonging.connector(message, route.peer if side == "customer" else None),
            last_ns=now_ns,
        )

    def _register(self, leg: Leg) -> None:
        self._legs.setdefault(leg.call_id, []).append(leg)
        self._belonging.add(leg)
        self._sort(leg.call)
        if len(self) > self._rules.max_calls:
            # Calls come from the wire: 100,000 invented Call-IDs a second push each other out, O(1) each.
            self.counters["calls_evicted"] += 1
            self._forget(next(iter(self._down or self._up)))

    def _sort(self, call: Call) -> None:
        """Keep a call among those that are up, or among those that go first when room is needed."""
        here, there = (self._up, self._down) if call.up else (self._down, self._up)
        there.pop(call, None)
        if call not in here:
            here[call] = None

    def _replaced(self, message: Message) -> Leg | None:
        """The leg whose dialog an INVITE takes over (RFC 3891 3), where its call is up."""
        replaces = message.replaces
        if replaces is None:
            return None
        call_id, to_tag, from_tag = replaces
        for leg in self._legs.get(call_id, ()):
            if leg.from_tag in (to_tag, from_tag) and leg.call.up:
                dialog = leg.dialogs.get(leg.callee_tag(from_tag, to_tag))
                if dialog is not None and dialog.up:
                    return leg
        return None

    def _suspect(self, address: str, weight: int) -> None:
        """The SBC is where the first INVITE of a call went to, and where the next one came from."""
        if address in self.suspects or len(self.suspects) < MAX_SUSPECTS:
            self.suspects[address] += weight

    # -- what a message does to its leg

    def _request(self, leg: Leg, message: Message, now_ns: int) -> None:
        method, attempt = message.method, leg.attempt
        if method == "INVITE":
            if message.to_tag:
                self._proves_answer(leg, message, now_ns)
            elif attempt is not None and attempt.invite(message.cseq, message.branch, now_ns):
                leg.invite_ns = now_ns
                leg.cseq = message.cseq
                attempt.refused = False
                self._counting.again(leg)
        elif method == "ACK":
            # 17.1.1.3: the ACK of a non-2xx has its INVITE's branch; that of a 2xx has its own (13.2.2.4).
            if attempt and message.to_tag and message.branch and not attempt.knows(message.branch):
                self._proves_answer(leg, message, now_ns)
        elif method == "CANCEL":
            if attempt is not None:
                attempt.cancel(message.cseq, now_ns)
                self._counting.watch(leg)
        elif method == "BYE":
            self._bye(leg, message, now_ns)

    def _bye(self, leg: Leg, message: Message, now_ns: int) -> None:
        dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        attempt = leg.attempt
        if attempt is not None and attempt.state == "open":
            if message.from_tag == leg.from_tag:  # 15: the caller may end an early dialog so
                attempt.cancel(attempt.cseq, now_ns)
                self._counting.watch(leg)
            else:  # 15: the callee may not, so this dialog was answered
                self._proves_answer(leg, message, now_ns)
        if dialog.bye_ns is None and not dialog.ended:
            dialog.bye_ns = now_ns
        dialog.ended = True
        if not leg.up:
            leg.session_ns = None
        self._check_over(leg.call, now_ns)

    def _proves_answer(self, leg: Leg, message: Message, now_ns: int) -> None:
        """Only an answered dialog has this request: where the attempt is open its 2xx was not captured."""
        dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        if leg.attempt is not None and not dialog.confirmed and leg.attempt.unseen():
            dialog.confirmed, dialog.answer_ns = True, now_ns
            self._counting.answer_unseen(leg, now_ns)
            self._sort(leg.call)

    def _response(self, leg: Leg, message: Message, now_ns: int) -> None:
        method, status = message.method, message.status
        if method == "INVITE":
            if 200 <= status < 300:
                dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
                if not dialog.confirmed:
                    dialog.confirmed, dialog.answer_ns = True, now_ns
                self._session(leg, message, now_ns)
            if leg.attempt is not None and message.from_tag == leg.from_tag:
                self._attempted(leg, leg.attempt, message, now_ns)
        elif method == "BYE":
            if status >= 200:
                dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
                self._counting.disconnected(leg, dialog, status, now_ns)
        elif method == "UPDATE" and 200 <= status < 300:
            self._session(leg, message, now_ns)

    def _session(self, leg: Leg, message: Message, now_ns: int) -> None:
        """RFC 4028 7.2: each 2xx starts the session timer anew, or says that there is none."""
        expires = message.session_expires
        leg.session_ns = now_ns + max(expires[0], MIN_SESSION_S) * SECOND_NS if expires else None

    def _attempted(self, leg: Leg, attempt: Attempt, message: Message, now_ns: int) -> None:
        """A response to an INVITE of the caller's; those to a re-INVITE have a CSeq of their own."""
        if message.cseq != attempt.cseq:
            return
        status, was_late, deadline = message.status, attempt.late_answer, attempt.deadline
        if 100 < status < 300 and not leg.rung:
            self._counting.rung(leg, now_ns)
        if status >= 300 and attempt.state == "open":
            leg.final_ns = now_ns
            attempt.refused = self._counting.refused(leg, message)
        outcome = attempt.response(status, message.cseq, message.branch, now_ns, self._rules.retry_window_ns)
        if outcome:
            self._counting.close(leg, outcome, now_ns)
            if outcome == "answered":
                self._sort(leg.call)
                self._check_over(leg.call, now_ns)  # a BYE crossed the answer
        elif attempt.late_answer and not was_late:
            if self._counting.late_answer(leg, now_ns):
                self._deadlines.drop(leg.call)
                self._sort(leg.call)
        elif attempt.deadline is not deadline:
            self._counting.watch(leg)

    def _describe(self, leg: Leg, message: Message, passage: Passage) -> None:
        """Offers and answers (RFC 3264); what OPTIONS or a 488 describes are capabilities, not media."""
        if message.method not in _OFFERING or message.status >= 300 or message.data.endswith(_NO_BODY):
            return
        body = message.sdp
        if body is None or leg.sdp.get(passage) == body:
            return
        try:
            session = sdp.parse(body)
        except WireError as error:
            self._media.rejects[error.reason] += 1
            return
        leg.sdp[passage] = body
        self._media.describe(leg, session, passage)

    def _exchange(self, message: Message, connector: Connector, now_ns: int) -> None:
        key = (message.call_id, message.cseq, message.branch)
        if message.is_request:
            tally = self._exchanges.request(cast(Method, message.method), key, connector, now_ns)
            if tally:
                self._out.append(Tallied(now_ns, None, connector, tally))
        elif (done := self._exchanges.response(message.status, key, now_ns)) is not None:
            connector, tally, measured = done
            self._out.append(Tallied(now_ns, None, connector, tally))
            if measured is not None:
                self._out.append(Measured(now_ns, None, connector, *measured))

    # -- ends

    def _decided(self, call: Call, now_ns: int) -> None:
        """Every outcome is known; a call that never came up is over."""
        if call.answer_ns is None:
            self._over(call, now_ns)

    def _check_over(self, call: Call, now_ns: int) -> None:
        if call.check_over(now_ns):
            self._counting.ended(call, now_ns)
            self._sort(call)
            self._over(call, now_ns)

    def _over(self, call: Call, now_ns: int) -> None:
        """Nothing more is expected but late media and retransmissions."""
        self._heard(call)
        self._deadlines.set(call, now_ns, self._rules.media_linger_ns)

    def _release(self, call: Call, now_ns: int) -> None:
        call.released = True
        for leg in call.legs:
            self._media.release(leg)
            leg.sdp.clear()
        self._report(call, now_ns)
        self._deadlines.set(call, now_ns, RETRANSMITTED_NS)

    def _report(self, call: Call, now_ns: int) -> None:
        if not call.reported:
            call.reported = True
            if call.end_reason in ("timer", "silence"):
                self._counting.ended(call, now_ns)
            self._out.append(CallOver(now_ns, call))

    def _forget(self, call: Call) -> None:
        self._up.pop(call, None)
        self._down.pop(call, None)
        if call.answer_ns is not None or call.decided:
            self._report(call, call.last_sip_ns)
        # A call pushed out before it was decided is counted as evicted and has no record: a flood would
        # fill the minute with them.
        self._deadlines.drop(call)
        for account in call.accounts:
            self._deadlines.drop(account)
        self._joiner.forget(call)
        for leg in call.legs:
            self._deadlines.drop(leg)
            self._belonging.drop(leg, self._counting.unjoined)
            self._media.release(leg)
            legs = self._legs.get(leg.call_id)
            if legs is not None:
                if leg in legs:
                    legs.remove(leg)
                if not legs:
                    del self._legs[leg.call_id]

    # -- minutes

    def _heard(self, call: Call) -> None:
        call.last_rtp_ns = max(call.last_rtp_ns, self._media.heard_ns(call))

    def minute_end(self, minute_ns: int, end_ns: int) -> None:
        """The gauges: calls up when a minute ends. Ends by silence and timer are found here."""
        up: list[Account] = []
        unknown = 0
        rules = self._rules
        for call in (*self._up, *self._down):
            if call.answer_ns is None or call.end_reason == "bye":
                continue
            was_up, was_ended = call.up, call.end_ns
            self._heard(call)
            call.check_silence(end_ns, rules.call_timeout_ns, rules.hold_timeout_ns)
            if call.end_ns != was_ended:
                call.saved = None
            if call.up != was_up:
                self._sort(call)
            if call.up:
                answered = [account for account in call.accounts if account.answered]
                up += [account for account in answered if account.direction is not None]
                unknown += not answered
            elif call.end_ns is not None and end_ns - call.end_ns > rules.hold_timeout_ns:
                self._forget(call)  # long enough that nothing re-opens it
        self._out.append(CallsUp(minute_ns, up, unknown))
        for connector, tally in self._exchanges.expired(end_ns):
            self._out.append(Tallied(minute_ns, None, connector, tally))

    def settle(self, end_ns: int) -> None:
        """Legs undecided when the minute of their INVITE closes go to the default connector for good."""
        self._belonging.settle(end_ns, self._counting.unjoined)

    def finish(self, now_ns: int) -> None:
        """The capture is over: what waits for a retry is decided; the rest stays pending."""
        for call in (*self._up, *self._down):
            for account in tuple(call.accounts):
                for leg in account.legs:
                    outcome = leg.attempt.give_up() if leg.attempt else None
                    if outcome:
                        self._counting.close(leg, outcome, now_ns)
                if account in self._deadlines:
                    self._counting.give_up(account, now_ns)
            self._heard(call)
            call.check_silence(now_ns, self._rules.call_timeout_ns, self._rules.hold_timeout_ns)
            self._report(call, now_ns)

    # -- checkpoints

    def calls(self) -> list[Call]:
        """Every call alive, oldest first, those that are up before the others."""
        return [*self._up, *self._down]

    def state(self, call: Call) -> tuple[list[tuple[int, int] | None], list[list[Key]], list[bool]]:
        """What is known of a call beside itself: deadlines, the keys of its legs, which are still open."""
        deadlines = [self._deadlines.of(what) for what in _waiting(call)]
        keys = [self._joiner.keys(leg) for leg in call.legs]
        return deadlines, keys, [leg in self._belonging for leg in call.legs]

    def restore(
        self, saved: list[tuple[Call, tuple[list[tuple[int, int] | None], list[list[Key]], list[bool]]]]
    ) -> None:
        """Take up calls as `calls` and `state` gave them. Only before any message."""
        due: list[tuple[int, int, Due]] = []
        for call, (deadlines, keys, undecided) in saved:
            for leg, its, open_ in zip(call.legs, keys, undecided, strict=True):
                self._legs.setdefault(leg.call_id, []).append(leg)
                self._joiner.restore(leg, its)
                if open_:
                    self._belonging.add(leg)
            due += [
                (*when, what)
                for what, when in zip(_waiting(call), deadlines, strict=True)
                if when is not None
            ]
            self._sort(call)
        # Each length of wait has a queue, oldest first.
        for due_ns, after_ns, what in sorted(due, key=lambda row: row[0]):
            self._deadlines.set(what, due_ns - after_ns, after_ns)

    def interrupted(self) -> None:
        """Nobody captured for a while: what was awaited may have come and gone."""
        for call in self.calls():
            for leg in call.legs:
                if leg.attempt is not None and leg.attempt.state != "closed":
                    leg.attempt.interrupted = True
                    call.saved = None

    def __len__(self) -> int:
        return len(self._up) + len(self._down)


def _call_of(what: Due) -> Call:
    if isinstance(what, Call):
        return what
    return what.leg.call if isinstance(what, Account) else what.call


def _waiting(call: Call) -> list[Due]:
    """What of a call may have a deadline."""
    return [call, *call.accounts, *call.legs]


_NO_BODY = b"\r\n\r\n"  # most messages end with their headers: no need to look for a description
_OFFERING = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})  # RFC 3261 13.2.1, RFC 3262 5, RFC 3311
_DIALOG_METHODS = frozenset({"INVITE", "UPDATE", "INFO"})


def _is_another(leg: Leg, message: Message) -> bool:
    """Whether an initial INVITE with the Call-ID and From tag of a leg is an attempt of its own."""
    attempt = leg.attempt
    if attempt is None:
        return not leg.whole
    if not attempt.takes(message.cseq):
        return True  # all was decided before
    return leg.call.end_reason == "bye" and not attempt.knows(message.branch)


def _in_dialog(message: Message) -> bool:
    """Whether a message shows that a dialog is up which we have not seen begin.

    A BYE shows one that is over; an ACK or a response may be the tail of a failed INVITE; PRACK belongs to
    dialogs that are not answered yet (RFC 3262).
    """
    if not (message.from_tag and message.to_tag):
        return False
    if message.is_request:
        return message.method in _DIALOG_METHODS
    return message.method == "INVITE" and 200 <= message.status < 300
