# cython: language_level=3
"""SIP: messages to legs, legs to calls, and what each message does to them.

A tap sees half-conversations: an unexpected message is a fact, not an error. What counts is in `counting`;
which legs make a call, in `joining`; whose a leg is, in `belonging`.
"""

from __future__ import annotations

from collections import Counter
from typing import cast

from agent.calls import quality_reports
from agent.calls.counting_cy import CallRules
from agent.calls.rfc6076 import Method
from agent.calls.table_cy import CallTable
from agent.errors import WireError
from agent.media.leg_media_cy import LegMedia
from agent.model.attempt_cy import SECOND_NS, Attempt
from agent.model.call_cy import Call, Dialog, Leg, Passage, Place, Way, way_of
from agent.model.events import Event, Measured, MessageSeen, Tallied
from agent.model.sides import Connector, Sides
from agent.wire import sdp
from agent.wire.sip.message_cy import Message

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

__all__ = ["CallRules", "Signalling"]

MIN_SESSION_S = 90  # RFC 4028 5: no session interval is shorter
MAX_LEGS_A_CALL_ID = 64  # tags come from the wire; a Call-ID is looked through leg by leg
MAX_ROUTES = 65_536
MAX_SUSPECTS = 1_000


class Route:
    """What two addresses make of a message between them. `seen`: it counts as a message of the vc.

    `by_caller` and `by_callee` are the ways of the legs on which the message travels, by who sent it.
    """

    def __init__(self, passage: Passage, peer: str, place: Place, seen: bool) -> None:
        self.passage: Passage = passage
        self.peer = peer
        self.place = place
        self.seen = seen
        self.by_caller = way_of(passage, True)
        self.by_callee = way_of(passage, False)


class Signalling(CallTable):
    """Messages on the calls alive: `take` each, in capture order."""

    def __init__(self, rules: CallRules, sides: Sides, media: LegMedia, out: list[Event]) -> None:
        super().__init__(rules, sides, media, out)
        self.suspects: Counter[str] = Counter()  # who may be the vc, where nobody said
        self.ends: Counter[tuple[str, str]] = Counter()  # who called whom, where sides are unknown
        self._routes: dict[tuple[str, str], Route] = {}

    # -- messages

    def take(self, message: Message, src: str, dst: str, now_ns: cython.longlong) -> None:
        call: Call
        route: Route | None = self._routes.get((src, dst))
        if route is None:
            route = self._route(src, dst)
        leg = self._leg_of(message, route, src, now_ns)
        if leg is not None:
            call = leg.call
            call.saved = None
            if now_ns > leg.last_ns:
                leg.last_ns = now_ns
            if leg.connector is None:
                self._connectors.update(leg, message)
            if message.is_request:
                self._request(leg, message, now_ns)
            else:
                self._response(leg, message, now_ns)
            if route.seen:
                self._describe(leg, message, route.passage)
        if not route.seen:
            self.counters["messages_elsewhere"] += 1
            return
        if route.passage == "towards" and message.method in quality_reports.TELLING:
            quality_reports.take(message, leg, self._legs, route.peer, route.place, self._media, now_ns)
        connector = None
        if leg is None:
            place = route.place
            customer = route.peer if place[0] == "customer" else None
            connector = self._connectors.connector(message, customer) or self._sides.fallback
            if message.method in ("OPTIONS", "REGISTER") and route.passage != "internal":
                self._exchange(message, connector, now_ns)
        self._out.append(MessageSeen(now_ns, leg, connector, message.call_id, message.status, message.data))

    def _route(self, src: str, dst: str) -> Route:
        passage: Passage = "internal"
        seen, peer = True, dst
        if self._sides.has_vc:
            from_vc, to_vc = self._sides.is_vc(src), self._sides.is_vc(dst)
            if from_vc == to_vc:  # between two parts of the vc, or past it: serves joining only
                seen = False
            elif from_vc:
                passage = "away"
            else:
                passage, peer = "towards", src
        place: Place = (None, None) if passage == "internal" else self._sides.place(peer)
        route = Route(passage, peer, place, seen)
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        self._routes[src, dst] = route
        return route

    def _leg_of(self, message: Message, route: Route, src: str, now_ns: cython.longlong) -> Leg | None:
        """The leg on which a message travels; made where it begins one."""
        leg: Leg
        initial: cython.bint = message.is_request and message.method == "INVITE" and not message.to_tag
        legs: list[Leg] | None = self._legs.get(message.call_id)
        if legs is not None:
            from_tag, to_tag = message.from_tag, message.to_tag
            request: cython.bint = message.is_request
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
                if leg.place is not route.place and leg.place != route.place:
                    if not initial:  # an in-dialog message may take another way (12.2.1.1); a fork to
                        elsewhere = elsewhere or leg  # somebody else is a leg of its own
                elif initial and _is_another(leg, message):
                    break
                else:
                    if initial and not self._sides.known:
                        self._note_ends(leg, route, src)
                    return leg
            if elsewhere is not None:
                return elsewhere
            if len(legs) >= MAX_LEGS_A_CALL_ID:
                self.counters["legs_refused"] += 1
                return None
        if initial:
            return self._begin(message, route, src, now_ns)
        if _is_in_dialog(message):
            return self._resume(message, route, now_ns)
        return None

    # -- legs

    def _begin(self, message: Message, route: Route, src: str, now_ns: cython.longlong) -> Leg:
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
            self._note_ends(leg, route, src)
        return leg

    def _resume(self, message: Message, route: Route, now_ns: cython.longlong) -> Leg:
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

    def _new_leg(
        self, message: Message, from_tag: str, way: Way, route: Route, now_ns: cython.longlong
    ) -> Leg:
        side = route.place[0]
        self.counters["legs"] += 1
        leg = Leg(message.call_id, from_tag, way, route.peer, side, now_ns, message.cseq, place=route.place)
        leg.from_user, leg.to_user = message.from_user, message.to_user
        leg.uri_user = message.uri_user if message.is_request else ""
        leg.connector = self._connectors.connector(message, route.peer if side == "customer" else None)
        return leg

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

    def _note_ends(self, leg: Leg, route: Route, src: str) -> None:
        """Keep who calls whom. The SBC is where a call's first INVITE went to, and its next one came from."""
        ends = (src, route.peer) if route.peer != src else (src, self._sides.vc[0])
        if ends in self.ends or len(self.ends) < MAX_SUSPECTS:
            self.ends[ends] += 1
        if not self._sides.has_vc:
            passed = (leg.call.legs[0].peer, src) if leg.joined else (src,) if src == leg.peer else ()
            for address in passed:
                if address in self.suspects or len(self.suspects) < MAX_SUSPECTS:
                    self.suspects[address] += 1

    # -- what a message does to its leg

    def _request(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        attempt: Attempt | None = leg.attempt
        method = message.method
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
            if (
                attempt is not None
                and message.to_tag
                and message.branch
                and not attempt.knows(message.branch)
            ):
                self._proves_answer(leg, message, now_ns)
        elif method == "CANCEL":
            if attempt is not None:
                attempt.cancel(message.cseq, now_ns)
                self._counting.watch(leg)
        elif method == "BYE":
            self._bye(leg, message, now_ns)

    def _bye(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        dialog: Dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        attempt: Attempt | None = leg.attempt
        if attempt is not None and attempt.state == "open":
            if message.from_tag == leg.from_tag:  # 15: the caller may end an early dialog so
                attempt.cancel(attempt.cseq, now_ns)
                self._counting.watch(leg)
            else:  # 15: the callee may not, so this dialog was answered
                self._proves_answer(leg, message, now_ns)
        if dialog.bye_ns is None and not dialog.ended:
            dialog.bye_ns = now_ns
        dialog.ended = True
        if not leg.is_up():
            leg.session_ns = None
        self._check_over(leg.call, now_ns)

    def _proves_answer(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        """Only an answered dialog has this request: where the attempt is open its 2xx was not captured."""
        dialog: Dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        if leg.attempt is not None and not dialog.confirmed and leg.attempt.unseen():
            dialog.confirmed, dialog.answer_ns = True, now_ns
            self._counting.answer_unseen(leg, now_ns)
            self._sort(leg.call)

    def _response(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        dialog: Dialog
        method = message.method
        status: cython.longlong = message.status
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

    def _session(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        """RFC 4028 7.2: each 2xx starts the session timer anew, or says that there is none."""
        seconds = message.session_seconds
        leg.session_ns = None if seconds is None else now_ns + max(seconds, MIN_SESSION_S) * SECOND_NS

    def _attempted(self, leg: Leg, attempt: Attempt, message: Message, now_ns: cython.longlong) -> None:
        """A response to an INVITE of the caller's; those to a re-INVITE have a CSeq of their own."""
        if message.cseq != attempt.cseq:
            return
        status: cython.longlong = message.status
        was_late: cython.bint = attempt.late_answer
        deadline = attempt.deadline
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
                self._timers.drop(leg.call)
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

    def _exchange(self, message: Message, connector: Connector, now_ns: cython.longlong) -> None:
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


_NO_BODY = b"\r\n\r\n"  # most messages end with their headers: no need to look for a description
_OFFERING = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})  # RFC 3261 13.2.1, RFC 3262 5, RFC 3311
_DIALOG_METHODS = frozenset({"INVITE", "UPDATE", "INFO"})


def _is_another(leg: Leg, message: Message) -> cython.bint:
    """Whether an initial INVITE with the Call-ID and From tag of a leg is an attempt of its own."""
    call: Call = leg.call
    attempt: Attempt | None = leg.attempt
    if attempt is None:
        return not leg.whole
    if not attempt.takes(message.cseq):
        return True  # all was decided before
    return call.end_reason == "bye" and not attempt.knows(message.branch)


def _is_in_dialog(message: Message) -> cython.bint:
    """Whether a message shows that a dialog is up which we have not seen begin.

    A BYE shows one that is over; an ACK or a response may be the tail of a failed INVITE; PRACK belongs to
    dialogs that are not answered yet (RFC 3262).
    """
    if not (message.from_tag and message.to_tag):
        return False
    if message.is_request:
        return message.method in _DIALOG_METHODS
    return message.method == "INVITE" and 200 <= message.status < 300
