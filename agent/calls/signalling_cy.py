# cython: language_level=3
"""SIP: messages to legs, legs to calls, and the effect of each message.

A tap sees half-conversations: an unexpected message is an event, not an error. `counting` counts, `joining`
makes calls from legs, and `connector` finds the owner of a leg.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import cast

import cython

from agent.calls import quality_reports
from agent.calls.correlation import branch_of
from agent.calls.counting_cy import CallRules
from agent.calls.joining_cy import MAX_LEGS, MAX_VIAS
from agent.calls.rfc6076 import Method
from agent.calls.table_cy import CallTable
from agent.calls.unproven import Unproven
from agent.errors import WireError
from agent.media.leg_media_cy import LegMedia
from agent.model.attempt_cy import TIMER_B_NS, TIMER_C_NS, Attempt
from agent.model.call_cy import MAX_OTHERS, Call, CountedAttempt, Dialog, Leg, Passage, Place, Way, way_of
from agent.model.events import Event, Measured, MessageSeen, Tallied
from agent.model.handover import Handover
from agent.model.missed import Missed
from agent.model.sides import Connector, Sides
from agent.model.trust import Effect, Trust, takes
from agent.model.units import SECOND_NS
from agent.wire.sdp.session_cy import condensed_size, parse
from agent.wire.sip.message_cy import Message
from agent.wire.sip.quality_report import HEADERS
from agent.wire.sip.values_cy import address_of, parse_uri

__all__ = ["CallRules", "Signalling"]

MIN_SESSION_S = 90  # RFC 4028 5: no session interval is shorter
MAX_LEGS_A_CALL_ID = 64  # tags come from the wire; a Call-ID is looked through leg by leg
MAX_ROUTES = 65_536
MAX_SUSPECTS = 1_000
MAX_EARLY_ANSWERS = 256  # finals without an INVITE that may still come
EARLY_BYTES = 8192  # of such a final; a longer one is not kept
EARLY_NS = 100_000_000  # the clocks of two capture points differ by some ms
MAX_ASKED = 4  # of the vc's newest requests on a leg that may carry SDP
MAX_NAMED = 4  # users that one header of one INVITE names


@cython.no_gc
@cython.cclass
class Route:
    """The route between two addresses. `seen`: a message on it counts as the vc's.

    `by_caller` and `by_callee` are the ways of the legs on which a message of each travels.
    """

    def __init__(self, passage: Passage, peer: str, place: Place, seen: bool) -> None:
        self.passage: Passage = passage
        self.to_vc = passage == "towards"
        self.away = passage == "away"
        self.internal = passage == "internal"
        self.peer = peer
        self.place = place
        self.seen = seen
        self.asked = False  # the vc has sent its peer a request
        self.by_caller = way_of(passage, True)
        self.by_callee = way_of(passage, False)


class Signalling(CallTable):
    """Takes the messages of all living calls, in capture order."""

    def __init__(
        self, rules: CallRules, sides: Sides, media: LegMedia, out: list[Event], missed: Missed | None = None
    ) -> None:
        super().__init__(rules, sides, media, out, missed)
        self.suspects: Counter[str] = Counter()  # who may be the vc, where nobody said
        self.ends: Counter[tuple[str, str]] = Counter()  # who called whom, where sides are unknown
        self._routes: dict[tuple[str, str], Route] = {}
        self._vc_asks_ns: int | None = None  # when the first request of the vc was seen
        self._unproven = Unproven()
        # Call-ID to the last final that came before any INVITE, and when
        self._early: OrderedDict[str, tuple[Message, int]] = OrderedDict()

    def give(self, handover: Handover) -> None:
        """Calls, and whom the vc asked; live: messages that wait for another."""
        super().give(handover)
        handover.asks_ns = self._vc_asks_ns
        handover.asked = [ends for ends, route in self._routes.items() if route.asked and route.away]
        if handover.live is not None:
            handover.live.answers = self._unproven, self._early

    def take_over(self, handover: Handover) -> None:
        """Takes them over. Where the clock was set, stamped messages are left out."""
        super().take_over(handover)
        self._vc_asks_ns = handover.asks_ns
        for src, dst in handover.asked:
            self._route(src, dst).asked = True
        if handover.live is not None and not handover.shift_ns:
            self._unproven, self._early = handover.live.answers

    # -- messages

    def take(self, message: Message, src: str, dst: str, now_ns: cython.longlong) -> None:
        call: Call
        route: Route | None = self._routes.get((src, dst))
        if route is None:
            route = self._route(src, dst)
        if route.away and message.is_request and not route.asked:
            self._ask(route, src, dst, now_ns)
        leg = self._leg_of(message, route, src, now_ns)
        if leg is not None:
            call = leg.call
            self._touch(call)
            trusted: cython.bint = _MAY_CHANGE_DIALOG[self._trust(leg, route, src)]
            believed: cython.bint = trusted or route.internal
            if not believed:
                self.counters["messages_of_third_addresses"] += 1
            elif now_ns > leg.last_ns:
                leg.last_ns = now_ns
            if leg.connector is None:
                self._connectors.update(leg, message, not route.to_vc)
            if route.away:
                self._take_up(leg, message, route, now_ns)
            if message.is_request:
                self._request(leg, message, trusted, now_ns)
                if not believed and message.method in _OFFERING:
                    self._unproven.hold(message, src)
            elif not route.to_vc or self._is_asked(leg, message, src, believed, now_ns):
                self._response(leg, message, now_ns)
            else:
                believed = False
            if route.seen and believed:
                self._describe(leg, message, route.passage)
        if not route.seen:
            self.counters["messages_elsewhere"] += 1
            return
        if route.to_vc and message.method in _TELLING and _may_tell(message):
            passed_on = quality_reports.take(message, leg, self._legs, route.peer, self._media, now_ns)
            if passed_on is not None and self.changed is not None:
                self._pass_on(passed_on[0], now_ns, passed_on[1])
        connector = None
        if leg is None:
            connector = self._connectors.connector(message, route.peer, route.place[0], not route.to_vc)
            connector = connector or self._sides.fallback
            if message.method in ("OPTIONS", "REGISTER") and not route.internal:
                self._exchange(message, connector, now_ns)
        counts: cython.bint = True
        if not message.is_request and not _MAY_COUNT[self._responder(message, leg, route, src, now_ns)]:
            counts = False
            self.counters["responses_of_strangers"] += 1
        to_vc = None if route.internal else bool(route.to_vc)
        self._out.append(
            MessageSeen(
                now_ns, leg, connector, message.call_id, message.status, message.data, src, dst, to_vc, counts
            )
        )

    def _ask(self, route: Route, src: str, dst: str, now_ns: cython.longlong) -> None:
        """The vc sends this peer its first request."""
        route.asked = True
        if self._vc_asks_ns is None:
            self._vc_asks_ns = now_ns
        back: Route | None = self._routes.get((dst, src))
        if back is not None:
            back.asked = True

    def _responder(
        self, message: Message, leg: Leg | None, route: Route, src: str, now_ns: cython.longlong
    ) -> cython.int:
        """The trust class of a response, by whom the vc asked and by what only they were told.

        Where no request of the vc is seen, every source may be one that it asked; so it may as long as a
        request from before the first that was seen, or a missed one, may wait for its answer.
        """
        if not route.to_vc:
            return _VC
        begun_ns = self._vc_asks_ns
        if route.asked or begun_ns is None:
            return _ANSWERED
        if leg is None:
            patience_ns = TIMER_C_NS if message.method == "INVITE" else TIMER_B_NS
            since_ns = now_ns - patience_ns
            unseen: cython.bint = since_ns < begun_ns or self._missed.touches(since_ns, now_ns)
            return _ANSWERED if unseen else _UNKNOWN
        if leg.knows(src) or (leg.attempt is not None and leg.attempt.knows(message.branch)):
            return _ANSWERED
        return _UNKNOWN

    def _trust(self, leg: Leg, route: Route, src: str) -> cython.int:
        """The trust class of a message of `leg`."""
        if route.away:
            return _VC
        if leg.knows(src):
            return _ANSWERED
        if leg.connector is not None and self._sides.serves(leg.connector, src):
            return _CONNECTOR
        return _UNKNOWN

    def _take_up(self, leg: Leg, message: Message, route: Route, now_ns: cython.longlong) -> None:
        """Takes a message of the vc: its targets, its requests, and the third addresses that it accepts."""
        if message.is_request:
            if route.peer != leg.peer:
                _turn_to(leg, route.peer)
            if message.method in _OFFERING and message.cseq not in leg.asked:
                leg.asked = (*leg.asked, message.cseq)[-MAX_ASKED:]
        if not self._unproven.held:
            return
        held = self._unproven.taken_up(message)
        if held is not None:
            _turn_to(leg, held[1])
            if not held[0].is_request:
                self._response(leg, held[0], now_ns)
            if route.seen:
                self._describe(leg, held[0], "towards")

    def _is_asked(
        self, leg: Leg, message: Message, src: str, believed: cython.bint, now_ns: cython.longlong
    ) -> cython.bint:
        """Whether a response to the vc may decide: it answers a request of the vc, and comes from its target.

        That is unknown where requests were not seen: in a dialog found in progress, or where frames were
        missed.
        """
        attempt: Attempt | None = leg.attempt
        dialog: Dialog | None = None
        asked: cython.bint = True
        if message.method == "BYE":
            dialog = leg.dialogs.get(leg.callee_tag(message.from_tag, message.to_tag))
            asked = dialog is not None and (dialog.both_left or dialog.bye_tag == message.from_tag)
        elif message.method in _OFFERING and leg.asked:
            asked = message.cseq in leg.asked
        if not asked and leg.whole and not self._missed.touches(leg.invite_ns, now_ns):
            self.counters["responses_unasked"] += 1
            return False
        if believed:
            return True
        if message.method != "INVITE":
            return False
        if message.status >= 200:
            self._unproven.hold(message, src)
            return False
        return attempt is not None and attempt.knows(message.branch)

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
        back: Route | None = self._routes.get((dst, src))
        route.asked = back is not None and back.asked
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        self._routes[src, dst] = route
        return route

    def _leg_of(self, message: Message, route: Route, src: str, now_ns: cython.longlong) -> Leg | None:
        """The leg of a message; a new one where the message begins one."""
        leg: Leg
        initial: cython.bint = message.is_request and message.method == "INVITE" and not message.to_tag
        legs: list[Leg] | None = self._legs.get(message.call_id)
        if legs is not None:
            from_tag, to_tag = message.from_tag, message.to_tag
            request: cython.bint = message.is_request
            elsewhere: Leg | None = None
            alike: Leg | None = None
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
                elif leg.peer == route.peer or leg.knows(src):
                    if initial and not self._sides.known:
                        self._note_ends(leg, route, src)
                    return leg
                elif not initial or self._may_repeat(leg, route, src):
                    alike = alike or leg
            if alike is not None or elsewhere is not None:
                return alike or elsewhere
            if len(legs) >= MAX_LEGS_A_CALL_ID:
                self.counters["legs_refused"] += 1
                return None
        if initial:
            return self._begin(message, route, src, now_ns)
        is_final = not message.is_request and message.status >= 200
        if is_final and message.method == "INVITE" and len(message.data) <= EARLY_BYTES:
            self._early[message.call_id] = message, now_ns
            if len(self._early) > MAX_EARLY_ANSWERS:
                self._early.popitem(last=False)
        # Anybody can say that a dialog is up; the vc's 2xx says it too, if it is.
        is_ours: cython.bint = not route.to_vc and (route.seen or self._sides.is_vc(src))
        is_believed: cython.bint = is_ours or route.asked or self._vc_asks_ns is None
        if is_believed and _is_in_dialog(message):
            return self._resume(message, route, now_ns)
        return None

    def _may_repeat(self, leg: Leg, route: Route, src: str) -> cython.bint:
        """Whether an INVITE to or from another address is a retry or a fork of what is there."""
        if not route.to_vc or _MAY_REPEAT[self._trust(leg, route, src)]:
            return True
        return (
            leg.attempt is None or leg.attempt.state == "waiting"
        )  # a farm answers a challenge from any host

    # -- legs

    def _begin(self, message: Message, route: Route, src: str, now_ns: cython.longlong) -> Leg:
        """Takes an initial INVITE."""
        early: Message | None = self._early_answer(message, now_ns) if self._early else None
        leg = self._retried(message, route)
        if leg is not None:
            return leg
        leg = self._new_leg(message, message.from_tag, route.by_caller, route, now_ns)
        leg.source = src
        if _is_recording(message):
            return self._record(leg, now_ns)
        leg.asserted = (*_named(message, "p-asserted-identity"), *_named(message, "remote-party-id"))
        leg.diverted = _named(message, "diversion")
        leg.targets = _named(message, "history-info")
        replaced = self._replaced(message) or self._joiner.transferor(leg, message)
        if replaced is not None:  # RFC 3891, RFC 5589: it goes on with another party, and is no attempt
            if route.to_vc and not _MAY_REPLACE[_newcomer(replaced.call, leg, src)]:
                self._apart(leg, now_ns)
                leg.call.reported = True
                self._replacing[leg] = replaced
                return leg
            self._take_place(leg, replaced)
            self._register(leg)
            return leg
        passed = self._passed_before(leg, message, src)
        if passed is not None:
            passed.adopt(leg)
            leg.joined, leg.role = True, "internal"
            self._register(leg)
            return leg
        leg.attempt = Attempt(now_ns, message.cseq, message.branch)
        self._joiner.join(leg, message)
        if self._joiner.ambiguous:
            self.counters["joins_ambiguous"] = self._joiner.ambiguous
        self._counting.begin(leg, now_ns)
        self._register(leg)
        if not self._sides.known:
            self._note_ends(leg, route, src)
        if early is not None:
            self._response(leg, early, now_ns)
            if route.seen:
                self._describe(leg, early, "away" if route.to_vc else "towards")
        return leg

    def _early_answer(self, message: Message, now_ns: cython.longlong) -> Message | None:
        """The final response to this INVITE that another capture point's clock stamped earlier."""
        leg: Leg
        found = self._early.pop(message.call_id, None)
        if found is None:
            return None
        answer: Message = found[0]
        stamp_ns: cython.longlong = found[1]
        if answer.from_tag != message.from_tag or answer.cseq != message.cseq:
            return None
        if now_ns - stamp_ns > EARLY_NS:
            return None
        for leg in tuple(self._legs.get(message.call_id, ())):
            if not leg.whole and leg.invite_ns == stamp_ns:  # it was taken for a dialog met midway
                leg.call.reported = True
                self._forget(leg.call)
        return answer

    def _retried(self, message: Message, route: Route) -> Leg | None:
        """The leg whose challenged or redirected INVITE its sender repeats with another From tag."""
        leg: Leg
        for leg in self._legs.get(message.call_id, ()):
            if leg.attempt is None or leg.attempt.state != "waiting" or leg.way != route.by_caller:
                continue
            if leg.peer == route.peer and leg.from_user == message.from_user:
                leg.from_tag, leg.retagged = message.from_tag, True
                return leg
        return None

    def _record(self, leg: Leg, now_ns: cython.longlong) -> Leg:
        """Notes a recording session (RFC 7866): no leg of a call, and its media belongs to no side."""
        leg.recording, leg.side = True, None
        self._apart(leg, now_ns)
        self._out.append(Tallied(now_ns, leg, None, "recording_sessions"))
        return leg

    def _apart(self, leg: Leg, now_ns: cython.longlong) -> None:
        """Keeps a leg in a call of its own that counts in nothing."""
        Call().adopt(leg)
        self._register(leg)
        self._timers.set(leg.call, now_ns, TIMER_B_NS)

    def _take_place(self, leg: Leg, replaced: Leg) -> None:
        """Adds `leg` to the call of the leg whose place it takes."""
        replaced.call.adopt(leg)
        leg.joined, leg.role = True, replaced.role

    def _replace(self, leg: Leg) -> None:
        """The vc has accepted a third address in the place of another leg."""
        replaced: Leg = self._replacing.pop(leg)
        own: Call = leg.call
        if replaced.call not in self._up and replaced.call not in self._down:
            return
        self._up.pop(own, None)
        self._down.pop(own, None)
        self._timers.drop(own)
        self._weight -= self._weights.pop(own, 0)
        self._take_place(leg, replaced)
        self._touch(own)
        self._touch(leg.call)
        self._weigh(leg.call)

    def _resume(self, message: Message, route: Route, now_ns: cython.longlong) -> Leg:
        """A dialog whose beginning was not seen: it is up, has no attempt and no direction."""
        # Which tag is the caller's cannot be told; one choice must hold for both ways of the dialog.
        caller = min(message.from_tag, message.to_tag)
        from_caller = (message.from_tag == caller) == message.is_request
        way = route.by_caller if from_caller else route.by_callee
        leg = self._new_leg(message, caller, way, route, now_ns)
        leg.whole = False
        dialog = leg.dialog(max(message.from_tag, message.to_tag))
        dialog.confirmed, dialog.answer_ns = True, now_ns
        call = self._joiner.join(leg, None)
        self._counting.had_call(leg)
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
        leg.connector = self._connectors.connector(message, route.peer, side, not route.to_vc)
        if self._sides.carriers and side != "customer" and way != "internal":
            leg.carrier = self._sides.carrier(route.peer, _far_hosts(message, way))
        return leg

    def _replaced(self, message: Message) -> Leg | None:
        """The leg whose dialog an INVITE takes over (RFC 3891 3): confirmed, or one that still rings."""
        replaces = message.replaces
        if replaces is None:
            return None
        call_id, to_tag, from_tag = replaces
        for leg in self._legs.get(call_id, ()):
            if leg.from_tag not in (to_tag, from_tag) or leg.recording:
                continue
            dialog = leg.dialogs.get(leg.callee_tag(from_tag, to_tag))
            if dialog is not None and dialog.up and leg.call.up:
                return leg
            if leg.attempt is not None and leg.attempt.is_open() and leg.attempt.responded:
                return leg
        return None

    def _passed_before(self, leg: Leg, message: Message, src: str) -> Call | None:
        """The call whose INVITE the vc sent on and now gets again: a spiral (RFC 3261 6).

        It comes from where the vc sent it, or has the Via of the vc. A customer's host that sends on what was
        not this customer's begins a call of its own.
        """
        other: Leg
        legs: list[Leg] | None = self._legs.get(message.call_id)
        if legs is None or leg.way != "incoming" or not leg.from_tag:
            return None
        vias = [branch_of(via) for via in message.values("via")[1:MAX_VIAS]]
        for other in legs:
            attempt: Attempt | None = other.attempt
            if other.way != "outgoing" or other.from_tag != leg.from_tag or attempt is None:
                continue
            call: Call = other.call
            lead: Leg | None = call.find_incoming()
            if lead is None or attempt.is_closed() or len(call.legs) >= MAX_LEGS:
                continue
            if not (other.knows(src) or _has_one_of(attempt, vias)):
                continue
            if leg.side != "customer" or (lead.side == "customer" and lead.connector is leg.connector):
                return call
        return None

    def _note_ends(self, leg: Leg, route: Route, src: str) -> None:
        """Notes caller and callee addresses.

        The SBC is where a call's first INVITE went, and its next one came from.
        """
        ends = (src, route.peer) if route.peer != src else (src, self._sides.vc[0])
        if ends in self.ends or len(self.ends) < MAX_SUSPECTS:
            self.ends[ends] += 1
        if not self._sides.has_vc:
            passed = (leg.call.legs[0].peer, src) if leg.joined else (src,) if src == leg.peer else ()
            for address in passed:
                if address in self.suspects or len(self.suspects) < MAX_SUSPECTS:
                    self.suspects[address] += 1

    # -- the effects of a message on its leg

    def _request(self, leg: Leg, message: Message, known: cython.bint, now_ns: cython.longlong) -> None:
        """Takes a request.

        `known`: it comes from the vc or from an address that the vc deals with on this leg.
        """
        attempt: Attempt | None = leg.attempt
        method = message.method
        if method == "INVITE":
            if message.to_tag:
                if known:
                    self._proves_answer(leg, message, now_ns)
            elif attempt is not None and self._is_repeated(leg, attempt, message, now_ns):
                leg.invite_ns = now_ns
                leg.final_ns = None
                attempt.refused = False
                self._counting.again(leg)
        elif method == "ACK":
            # 17.1.1.3: the ACK of a non-2xx has its INVITE's branch; that of a 2xx has its own (13.2.2.4).
            if (
                attempt is not None
                and known
                and message.to_tag
                and message.branch
                and not attempt.knows(message.branch)
            ):
                self._proves_answer(leg, message, now_ns)
        elif method == "CANCEL":
            if attempt is not None and known:  # a third address must be believed by the vc first
                attempt.cancel(message.cseq, now_ns)
                self._counting.watch(leg)
        elif method == "BYE":
            self._bye(leg, message, known, now_ns)
        elif method == "REFER" and known and leg.is_up():
            target = message.refer_to
            if target and "?" not in target:  # one with Replaces brings two calls together, without a leg
                self._joiner.refer(leg, parse_uri(target).user, now_ns)

    def _is_repeated(
        self, leg: Leg, attempt: Attempt, message: Message, now_ns: cython.longlong
    ) -> cython.bint:
        """An initial INVITE of a leg: True for a retry or a further branch, False for a retransmission."""
        was_refused: cython.bint = attempt.state == "waiting"
        if was_refused and message.cseq <= attempt.cseq and leg.retagged:
            attempt.retry(message.cseq, message.branch, now_ns)
        elif not attempt.invite(message.cseq, message.branch, now_ns):
            return False
        leg.retagged = False
        leg.cseq = message.cseq
        self._joiner.again(leg)
        if was_refused and leg.way == "incoming":
            self._joiner.redial(leg, message)
        return True

    def _bye(self, leg: Leg, message: Message, known: cython.bint, now_ns: cython.longlong) -> None:
        """RFC 3261 15. One from a third address ends nothing before the vc accepts it."""
        dialog: Dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        if dialog.bye_ns is None and not dialog.ended:
            dialog.bye_ns = now_ns
        if not known:
            return
        if not dialog.bye_tag:
            dialog.bye_tag = message.from_tag
        elif dialog.bye_tag != message.from_tag:
            dialog.both_left = True
        attempt: Attempt | None = leg.attempt
        if attempt is not None and attempt.is_open():
            if message.from_tag == leg.from_tag:  # 15: the caller may end an early dialog so
                attempt.cancel(attempt.cseq, now_ns)
                self._counting.watch(leg)
            else:  # 15: the callee may not, so this dialog was answered
                self._proves_answer(leg, message, now_ns)
        self._end_dialog(leg, dialog, now_ns)

    def _end_dialog(self, leg: Leg, dialog: Dialog, now_ns: cython.longlong) -> None:
        """Ends the dialog, and after `media.linger` the media of its leg."""
        if dialog.ended:
            return
        dialog.ended = True
        if leg.has_been_up() and not leg.is_up():
            self._timers.set(leg, now_ns, self._rules.media_linger_ns)
        self._check_over(leg.call, now_ns)

    def _bye_answered(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        """A final to a BYE. A refused one ends nothing; 408 says only that nobody answered (15.1.1).

        481 says that the dialog is gone. Anybody may send a BYE that earns one, so silence must confirm it.
        """
        dialog: Dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        call: Call = leg.call
        status: cython.longlong = message.status
        self._counting.disconnected(leg, dialog, status, now_ns)
        if status < 300:
            self._end_dialog(leg, dialog, now_ns)
            if call.end_reason == "bye":
                self._counting.ended(call, now_ns)
        elif status != 408 and dialog.ended and not dialog.both_left and not call.released:
            dialog.ended, dialog.bye_tag = False, ""
            if leg.attempt is not None:
                leg.attempt.keep(leg.attempt.cseq, now_ns)
                self._counting.watch(leg)
            if not leg.is_up():
                return
            if leg.attempt is None or leg.attempt.is_closed():
                self._timers.drop(leg)  # its media stays
                if status == 481 and dialog.confirmed:
                    dialog.bye_tag = message.from_tag
                    self._timers.set(leg, now_ns, self._rules.media_linger_ns)
            if call.end_reason == "bye":
                call.end_ns = call.end_reason = None
                self._timers.drop(call)
                self._sort(call)

    def _proves_answer(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        """This request exists in an answered dialog only: the 2xx of an open attempt was not captured."""
        dialog: Dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
        if leg.attempt is not None and not dialog.confirmed and leg.attempt.answer_unseen():
            dialog.confirmed, dialog.answer_ns = True, now_ns
            self._counting.answer_unseen(leg, now_ns)
            self._sort(leg.call)

    def _response(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        dialog: Dialog
        method = message.method
        status: cython.longlong = message.status
        if method == "INVITE":
            if not leg.joined and status > 100 and leg.attempt is not None:
                self._join_by(leg, message, now_ns)
            if 200 <= status < 300:
                dialog = leg.dialog(leg.callee_tag(message.from_tag, message.to_tag))
                if not dialog.confirmed:
                    dialog.confirmed, dialog.answer_ns = True, now_ns
                    self._counting.had_call(leg)
                self._session(leg, message, now_ns)
                if leg in self._replacing:
                    self._replace(leg)
            if leg.recording:
                self._recording_answered(leg, status, now_ns)
            if leg.attempt is not None and message.from_tag == leg.from_tag:
                self._attempted(leg, leg.attempt, message, now_ns)
        elif method == "BYE":
            if status >= 200:
                self._bye_answered(leg, message, now_ns)
        elif method == "CANCEL":
            if leg.attempt is not None and status >= 200:
                if status < 300:
                    leg.attempt.cancel(message.cseq, now_ns)
                else:
                    leg.attempt.keep(message.cseq, now_ns)
                self._counting.watch(leg)
        elif method == "UPDATE" and 200 <= status < 300:
            self._session(leg, message, now_ns)

    def _recording_answered(self, leg: Leg, status: cython.longlong, now_ns: cython.longlong) -> None:
        call: Call = leg.call
        if 200 <= status < 300 and call.answer_ns is None:
            call.answer_ns = now_ns
            self._timers.drop(call)
            self._sort(call)
        elif status >= 300 and call.answer_ns is None:
            self._over(call, now_ns)

    def _join_by(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        """A response may name the call that its leg belongs to, where the INVITE did not.

        Of the two calls the one that counts nowhere goes into the other: nothing was published of it.
        """
        call: Call | None = self._joiner.named_in(leg, message)
        if call is None:
            return
        moved: Call = leg.call
        if _is_counted(moved):
            moved, call = call, moved
        if _is_counted(moved) or len(moved.legs) != 1 or moved.answer_ns is not None:
            return
        other: Leg = moved.legs[0]
        if other.way == "incoming" and call.find_incoming() is not None:
            return
        self._up.pop(moved, None)
        self._down.pop(moved, None)
        self._timers.drop(moved)
        for account in moved.accounts:
            self._timers.drop(account)
        self._timers.drop(other)
        other.account = None
        self._joiner.move(other, call)
        self._touch(call)
        self._touch(moved)
        self._counting.begin(other, now_ns)

    def _session(self, leg: Leg, message: Message, now_ns: cython.longlong) -> None:
        """RFC 4028 7.2: each 2xx starts the session timer anew, or says that there is none."""
        seconds = message.session_seconds
        leg.session_ns = None if seconds is None else now_ns + max(seconds, MIN_SESSION_S) * SECOND_NS

    def _attempted(self, leg: Leg, attempt: Attempt, message: Message, now_ns: cython.longlong) -> None:
        """Takes a response to an INVITE of the caller; responses to a re-INVITE have another CSeq."""
        if message.cseq != attempt.cseq:
            return
        status: cython.longlong = message.status
        was_late: cython.bint = attempt.late_answer
        deadline = attempt.deadline
        if 100 < status < 300 and not leg.rung:
            self._counting.rung(leg, now_ns)
        if status >= 300 and attempt.is_open():
            leg.final_ns = now_ns
            attempt.refused = self._counting.refused(leg, message)
            if status < 400:
                self._joiner.retarget(leg, _named(message, "contact"))
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
        if body is None:
            return
        written = hash(body)
        before = leg.sdp.get(passage)
        if before is not None and before[0] == written:
            return
        try:
            session = parse(body)
        except WireError as error:
            self._media.rejects[error.reason] += 1
            return
        leg.sdp[passage] = written, condensed_size(session), session
        self._media.describe(leg, session, passage)
        self._weigh(leg.call)

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


# Every message asks: numbers, for an enum's members are looked up and hashed by Python code.
_VC, _ANSWERED, _CONNECTOR, _UNKNOWN = Trust.VC, Trust.ANSWERED, Trust.CONNECTOR, Trust.UNKNOWN
_MAY_CHANGE_DIALOG = tuple(takes(Effect.DIALOG, trust) for trust in Trust)
_MAY_REPEAT = tuple(takes(Effect.REPEAT, trust) for trust in Trust)
_MAY_COUNT = tuple(takes(Effect.SIP_CODE, trust) for trust in Trust)
_MAY_REPLACE = tuple(takes(Effect.REPLACES, trust) for trust in Trust)
_NO_BODY = b"\r\n\r\n"  # most messages end with their headers: no need to look for a description
_TELLING = quality_reports.TELLING
_OFFERING = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})  # RFC 3261 13.2.1, RFC 3262 5, RFC 3311
_DIALOG_METHODS = frozenset({"INVITE", "INFO"})


def _may_tell(message: Message) -> cython.bint:
    """Whether the far end may report its reception in this message; nearly no BYE has a header that does."""
    return message.method != "BYE" or message.has_one_of(HEADERS)


def _newcomer(call: Call, leg: Leg, src: str) -> cython.int:
    """The trust class that the source of a new leg has in a call."""
    other: Leg
    trust: cython.int = _UNKNOWN
    for other in call.legs:
        if other.knows(src):
            return _ANSWERED
        if leg.side == "customer" and other.place == leg.place:
            trust = _CONNECTOR
    return trust


def _turn_to(leg: Leg, address: str) -> None:
    """Notes that the vc sends a request of the leg to another address than its peer's."""
    if address not in leg.others:
        leg.others = (*leg.others, address)[-MAX_OTHERS:]


def _is_counted(call: Call) -> cython.bint:
    account: CountedAttempt
    for account in call.accounts:
        if account.direction is not None:
            return True
    return False


def _named(message: Message, header: str) -> tuple[str, ...]:
    """The users that a header names, which may come several times."""
    values = message.values(header)
    if not values:
        return ()
    users = [parse_uri(address_of(value)[0]).user for value in values[:MAX_NAMED]]
    return tuple([user for user in users if user])


def _far_hosts(message: Message, way: Way) -> tuple[str, ...]:
    """SIP hosts that may name the carrier of a leg: the one that the vc asks, or that asks the vc."""
    if way == "outgoing":
        return (message.uri_host if message.is_request else "", message.to_host)
    contact = message.contact if message.is_request else None
    return (message.from_host, parse_uri(contact).host if contact else "")


def _is_recording(message: Message) -> cython.bint:
    """RFC 7866 6.1.1: a recording client says so in Require and Contact, and some in one of them alone."""
    contact = message.header("contact")
    if contact is not None and "+sip.src" in contact.lower():
        return True
    require = message.header("require")
    return require is not None and "siprec" in [option.lower() for option in message.values("require")]


def _is_another(leg: Leg, message: Message) -> cython.bint:
    """Whether an initial INVITE with the Call-ID and From tag of a leg is an attempt of its own."""
    call: Call = leg.call
    attempt: Attempt | None = leg.attempt
    if attempt is None:
        return not leg.whole
    if not attempt.takes(message.cseq, message.branch):
        return True  # all was decided before
    return call.end_reason == "bye" and not attempt.knows(message.branch)


def _has_one_of(attempt: Attempt, branches: list[str]) -> cython.bint:
    for branch in branches:
        if attempt.knows(branch):
            return True
    return False


def _is_in_dialog(message: Message) -> cython.bint:
    """Whether a message shows that a dialog is up which we have not seen begin.

    A BYE shows one that is over; an ACK or a response may be the tail of a failed INVITE; PRACK belongs to
    dialogs that are not answered yet (RFC 3262), and UPDATE may (RFC 3311 5.1), unless it refreshes a session
    without offering anything (RFC 4028).
    """
    if not (message.from_tag and message.to_tag):
        return False
    if not message.is_request and not 200 <= message.status < 300:
        return False
    if message.method == "UPDATE":
        return message.header("session-expires") is not None and message.data.endswith(_NO_BODY)
    return message.method in _DIALOG_METHODS
