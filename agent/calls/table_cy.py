# cython: language_level=3
"""Living calls: which are up, when they end, and which are saved.

The wire fills these tables, so they are capped: calls that are not up are evicted first, the oldest before
all, in O(1).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from operator import attrgetter

import cython

from agent.calls.connector_cy import ConnectorResolver
from agent.calls.counting_cy import CALL_BYTES, CallRules, Counting, Due
from agent.calls.joining_cy import Joiner, Key
from agent.calls.rfc6076 import Exchanges
from agent.calls.timers_cy import Timers
from agent.media.leg_media_cy import LegMedia
from agent.model.call_cy import Call, CountedAttempt, Dialog, Leg, Passage
from agent.model.events import CallOver, CallsUp, Event, Tallied
from agent.model.handover import Handover
from agent.model.missed import Missed
from agent.model.sides import Sides
from agent.model.units import SECOND_NS
from agent.wire.sip.quality_report import QualityReport, RtpStat

if not cython.compiled:  # table_cy.pxd has them, typed
    from agent import uncompiled

    SOCKET_BYTES, TEXT_TIMES, MESSAGE_BYTES = uncompiled.constants(
        __name__, "SOCKET_BYTES TEXT_TIMES MESSAGE_BYTES"
    )

Report = QualityReport | RtpStat
# Deadlines, the keys of its legs, open attempts; a leg's place and a row of `MediaSockets.earlier`.
State = tuple[
    list[tuple[int, int] | None], list[list[Key]], list[bool], list[tuple[int, Passage, bytes, int]]
]

MAX_REPORTS = 4  # of a leg's far end, the newest
LAPSE_NS = 300 * SECOND_NS  # of a claimed call: claims are told anew each minute
MAX_UNHEARD = 1_000  # one is enough to say that media is not seen here
RETRANSMITTED_NS = 32 * SECOND_NS  # 64 * T1: how long a message of a finished call may come again


class CallTable:
    """Every living leg and call. It adds events to `out`; `advance` and each minute's end give it time."""

    def __init__(
        self, rules: CallRules, sides: Sides, media: LegMedia, out: list[Event], missed: Missed | None = None
    ) -> None:
        """`missed`: the unwatched spans; silence in them decides nothing."""
        self._missed = missed or Missed()
        self.counters: Counter[str] = Counter(joins_ambiguous=0)
        self._rules = rules
        self._sides = sides
        self._media = media
        self._out = out
        # Calls of which there may be news to tell other hosts; None: nobody asks.
        self.changed: dict[Call, None] | None = None
        self.reports: dict[Leg, tuple[tuple[int, Report], ...]] = {}  # of far ends, for other hosts
        self._claimed: dict[str, Call] = {}  # calls whose SIP another host sees, by their name
        self._unheard: list[Call] = []  # ... that ended in the open minute without any RTP
        self._legs: dict[str, list[Leg]] = {}  # by Call-ID
        # Oldest first. Calls that are not up make room for others first.
        self._up: OrderedDict[Call, None] = OrderedDict()
        self._down: OrderedDict[Call, None] = OrderedDict()
        self._replacing: dict[
            Leg, Leg
        ] = {}  # legs of third addresses, until the vc puts them in another's place
        self._weights: dict[Call, int] = {}  # bytes that SDPs of a call take beyond what a call may
        self._weight = 0
        self._timers: Timers = Timers()
        self._connectors = ConnectorResolver(sides, self.counters)
        self._joiner = Joiner(rules.join_window_ns, rules.correlation_headers, rules.call_id_suffixes)
        self._counting = Counting(rules, sides, self._timers, self._joiner, out, self.counters, self._decided)
        self._exchanges = Exchanges()

    # -- time

    @property
    def due_ns(self) -> int:
        """When `advance` has something to do next; it may turn out to be nothing."""
        return self.due()

    def due(self) -> cython.longlong:
        return self._timers.due_ns

    def advance(self, now_ns: cython.longlong) -> None:
        due = self._timers.pop(now_ns)
        while due is not None:
            what, due_ns = due
            call = _call_of(what)
            self._touch(call)
            if isinstance(what, Leg):
                self._waited(what, due_ns)
            elif isinstance(what, CountedAttempt):
                if self._missed.touches(due_ns - self._rules.join_window_ns, due_ns):
                    self._leave_undecided(call, due_ns)  # the next leg may have begun unseen
                else:
                    self._counting.give_up(what, due_ns)
            elif call.released:
                self._forget(call)
            else:
                self._release(call, due_ns)
            due = self._timers.pop(now_ns)

    def _waited(self, leg: Leg, now_ns: cython.longlong) -> None:
        attempt = leg.attempt
        if attempt is None or attempt.deadline is None:
            if leg.has_been_up() and not leg.is_up():
                self._release_leg(leg)
            elif leg.is_up():
                self._confirm_gone(leg, now_ns)
            return
        since_ns, after_ns = attempt.deadline
        watched = not self._missed.touches(since_ns, since_ns + after_ns)
        outcome = attempt.due(now_ns, watched)
        if outcome:
            if leg.final_ns is None:
                leg.final_ns = now_ns  # hunting goes on from here
            self._counting.close(leg, outcome, now_ns)
            return
        self._counting.watch(leg)
        if attempt.is_closed():
            self._leave_undecided(leg.call, now_ns)

    def _confirm_gone(self, leg: Leg, now_ns: cython.longlong) -> None:
        """Ends a leg whose BYE got 481 (RFC 3261 15.1.1) `media.linger` ago, if its media is silent."""
        call: Call = leg.call
        dialog: Dialog
        linger_ns: cython.longlong = self._rules.media_linger_ns
        has_media: cython.bint = self._media.leg_last_rtp_ns(leg) > now_ns - linger_ns // 2
        alive: cython.bint = has_media or self._missed.touches(now_ns - linger_ns, now_ns)
        for dialog in leg.dialogs.values():
            if alive:
                dialog.bye_tag = ""
            elif dialog.bye_tag:
                dialog.ended = True
        if not leg.is_up():
            call.flags.add("bye_refused")
            self._release_leg(leg)
            self._check_over(call, now_ns - linger_ns)

    def _leave_undecided(self, call: Call, now_ns: cython.longlong) -> None:
        """The time of the outcome was not watched: the outcome stays unknown."""
        self.counters["outcomes_unseen"] += 1
        if call.answer_ns is None:
            self._over(call, now_ns)

    # -- tables

    def _register(self, leg: Leg) -> None:
        self._legs.setdefault(leg.call_id, []).append(leg)
        self._connectors.add(leg)
        self._sort(leg.call)
        self._make_room()

    def _make_room(self) -> None:
        while len(self) + self._weight // CALL_BYTES > self._rules.max_calls:
            # Calls come from the wire: 100,000 invented Call-IDs a second push each other out, O(1) each.
            self.counters["calls_evicted"] += 1
            self._forget(next(iter(self._down or self._up)))

    def _weigh(self, call: Call) -> None:
        """Weighs a call by its SDPs: above the size of one call it counts as several."""
        leg: Leg
        length: cython.Py_ssize_t
        size: cython.Py_ssize_t = 0
        for leg in call.legs:
            for _, length, _ in leg.sdp.values():
                size += TEXT_TIMES * length
            size += SOCKET_BYTES * self._media.sockets.count(leg)
        more: cython.Py_ssize_t = max(0, size - MESSAGE_BYTES)
        self._weight += more - self._weights.pop(call, 0)
        if more:
            self._weights[call] = more

    def _sort(self, call: Call) -> None:
        """Keep a call among those that are up, or among those that go first when room is needed."""
        own, other = (self._up, self._down) if call.is_up() else (self._down, self._up)
        other.pop(call, None)
        if call not in own:
            own[call] = None

    # -- ends

    def _decided(self, call: Call, now_ns: cython.longlong) -> None:
        """Every outcome is known. A call that never came up is over."""
        if call.answer_ns is None:
            self._over(call, now_ns)

    def _check_over(self, call: Call, now_ns: cython.longlong) -> None:
        if call.check_over(now_ns):
            self._sort(call)
            self._over(call, now_ns)

    def _over(self, call: Call, now_ns: cython.longlong) -> None:
        """Expects nothing more than late media and retransmissions."""
        self._note_media(call)
        self._timers.set(call, now_ns, self._rules.media_linger_ns)

    def _release(self, call: Call, now_ns: cython.longlong) -> None:
        """Gives up the media of a call that is over.

        A leg that is still up, bridged to another call's by an attended transfer, keeps its own until its
        BYE, or until `call_timeout` of silence.
        """
        leg: Leg
        self._note_media(call)  # what still came after the BYE
        self._report(call, now_ns)
        last_ns: cython.longlong = max(call.last_rtp_ns, call.last_sip_ns())
        timeout_ns: cython.longlong = self._rules.call_timeout_ns
        kept: cython.bint = False
        for leg in call.legs:
            if leg.is_up() and now_ns - last_ns < timeout_ns:
                kept = True
            else:
                self._release_leg(leg)
        if kept:
            self._timers.set(call, now_ns, timeout_ns)
            return
        call.released = True
        self._timers.set(call, now_ns, RETRANSMITTED_NS)

    def _release_leg(self, leg: Leg) -> None:
        self._media.release(leg)
        leg.sdp.clear()
        if leg.call in self._weights:
            self._weigh(leg.call)

    def _report(self, call: Call, now_ns: cython.longlong) -> None:
        if not call.reported:
            call.reported = True
            if call.end_reason is not None:
                self._counting.ended(call, now_ns)
            if not call.legs[0].recording:
                self._out.append(CallOver(now_ns, call))

    def _forget(self, call: Call) -> None:
        leg: Leg
        self._up.pop(call, None)
        self._down.pop(call, None)
        self._touch(call)
        if call.claim is not None:
            self._claimed.pop(call.claim.name, None)
            if call.answer_ns is not None and not call.last_rtp_ns and len(self._unheard) < MAX_UNHEARD:
                self._unheard.append(call)
        if call.answer_ns is not None or call.decided:
            self._report(call, call.last_sip_ns())
        # A call pushed out before it was decided is counted as evicted and has no record: a flood would
        # fill the minute with them.
        self._weight -= self._weights.pop(call, 0)
        self._timers.drop(call)
        for account in call.accounts:
            self._timers.drop(account)
        self._joiner.forget(call)
        for leg in call.legs:
            self.reports.pop(leg, None)
            self._replacing.pop(leg, None)
            self._timers.drop(leg)
            self._connectors.drop(leg, self._counting.unjoined)
            self._media.release(leg)
            legs = self._legs.get(leg.call_id)
            if legs is not None:
                if leg in legs:
                    legs.remove(leg)
                if not legs:
                    del self._legs[leg.call_id]

    # -- minutes

    def _note_media(self, call: Call) -> None:
        last_ns: cython.longlong = self._media.last_rtp_ns(call)
        call.last_rtp_ns = max(call.last_rtp_ns, last_ns)

    def minute_end(self, minute_ns: cython.longlong, end_ns: cython.longlong) -> None:
        """The gauges: calls up at the end of a minute. Ends by silence and timer are found here."""
        call: Call
        up: list[CountedAttempt] = []
        claimed, self._unheard = self._unheard, []
        unknown = 0
        call_timeout_ns: cython.longlong = self._rules.call_timeout_ns
        hold_timeout_ns: cython.longlong = self._rules.hold_timeout_ns
        for call in (*self._up, *self._down):
            if call.claim is not None and self._has_lapsed(call, call.claim.heard_ns, end_ns):
                self._forget(call)
                continue
            if call.answer_ns is None or call.end_reason == "bye":
                continue
            was_up, was_ended = call.is_up(), call.end_ns
            self._note_media(call)
            call.check_silence(end_ns, call_timeout_ns, hold_timeout_ns, self._missed)
            if call.end_ns != was_ended:
                self._touch(call)
            if call.is_up() != was_up:
                self._sort(call)
            if call.is_up():
                if call.claim is not None:
                    claimed.append(call)
                unknown += _add_up(call, up)
            elif call.end_ns is not None and end_ns - call.end_ns > hold_timeout_ns:
                self._forget(call)  # long enough that nothing re-opens it
        self._out.append(CallsUp(minute_ns, up, unknown, claimed))
        for connector, tally in self._exchanges.expired(end_ns):
            self._out.append(Tallied(minute_ns, None, connector, tally))

    def up_now(self) -> tuple[list[CountedAttempt], int]:
        """The attempts whose calls are up now, and the number of calls up without an attempt."""
        call: Call
        up: list[CountedAttempt] = []
        unknown = 0
        for call in self._up:
            if call.answer_ns is not None and call.end_reason != "bye" and call.is_up():
                unknown += _add_up(call, up)
        return up, unknown

    def settle(self, end_ns: cython.longlong) -> None:
        """Legs undecided when the minute of their INVITE closes go to the default connector for good."""
        self._connectors.settle(end_ns, self._counting.unjoined)

    def finish(self, now_ns: cython.longlong) -> None:
        """The capture is over: attempts that wait for a retry are decided; the rest stays pending."""
        call: Call
        for call in (*self._up, *self._down):
            for account in tuple(call.accounts):
                for leg in account.legs:
                    outcome = leg.attempt.give_up() if leg.attempt else None
                    if outcome:
                        self._counting.close(leg, outcome, now_ns)
                if account in self._timers:
                    self._counting.give_up(account, now_ns)
            self._note_media(call)
            call.check_silence(now_ns, self._rules.call_timeout_ns, self._rules.hold_timeout_ns, self._missed)
            self._report(call, now_ns)

    # -- what other hosts are told, and tell

    def _touch(self, call: Call) -> None:
        """Something happened to a call: its saved form is old."""
        call.saved = None
        if self.changed is not None:
            self.changed[call] = None

    def _pass_on(self, leg: Leg, now_ns: cython.longlong, report: Report) -> None:
        """The far end's view of its reception is for the host that relays its media."""
        self._touch(leg.call)
        self.reports[leg] = (*self.reports.get(leg, ()), (now_ns, report))[-MAX_REPORTS:]

    def take_changed(self) -> list[Call]:
        """Calls to which something happened since the last time, from which on they are kept."""
        changed = list(self.changed or ()) if self.changed is not None else self.calls()
        self.changed = {}
        return changed

    def media_until_ns(self, leg: Leg) -> int | None:
        """When the media of `leg` is, or was, given up; None while that is not known, 0: long ago."""
        until_ns = self.call_until_ns(leg.call)
        if leg.is_up() and until_ns != 0:
            return None
        due = self._timers.of(leg) if leg.has_been_up() else None
        if due is not None:
            return due[0] if until_ns is None else min(due[0], until_ns)
        return 0 if until_ns is None and leg.has_been_up() and not leg.sdp else until_ns

    def call_until_ns(self, call: Call) -> int | None:
        """The same of a whole call, but for legs that are up."""
        if call not in self._up and call not in self._down:
            return 0
        due = self._timers.of(call)
        is_over: cython.bint = call.end_reason == "bye" or (call.answer_ns is None and call.decided)
        if call.released:
            return 0 if due is None else due[0] - RETRANSMITTED_NS
        if due is None or not is_over:
            return None
        return due[0] if due[1] == self._rules.media_linger_ns else due[0] - due[1]

    def keys(self, leg: Leg) -> list[Key]:
        """The keys by which `leg` joins legs of its call that other hosts see."""
        return self._joiner.keys(leg)

    def claimed(self, name: str) -> Call | None:
        """The call that claims call so."""
        return self._claimed.get(name)

    def enter(self, call: Call) -> None:
        """A claimed call is new, or came up, or ended: keep it in its place."""
        claim = call.claim
        assert claim is not None
        self._claimed[claim.name] = call
        call.saved = None
        self._weigh(call)
        self._sort(call)
        self._make_room()

    def expect_end(self, what: Due, until_ns: int | None) -> None:
        """The media of a claimed call or leg is given up then; None: nobody knows when."""
        if until_ns is None:
            self._timers.drop(what)
        else:
            self._timers.set(what, until_ns, 0)

    def give_up_leg(self, leg: Leg) -> None:
        """A claimed leg is none of its call's."""
        self._timers.drop(leg)
        self._release_leg(leg)
        leg.call.legs.remove(leg)
        if not leg.call.legs:
            self._forget(leg.call)

    def _has_lapsed(self, call: Call, claimed_ns: cython.longlong, now_ns: cython.longlong) -> cython.bint:
        """Whether nobody has spoken of a claimed call for long, and nobody on it."""
        self._note_media(call)
        last_ns: cython.longlong = max(call.last_rtp_ns, claimed_ns)
        return now_ns - last_ns >= max(LAPSE_NS, self._rules.call_timeout_ns)

    # -- checkpoints

    def calls(self) -> list[Call]:
        """Every living call, oldest first, those that are up before the others."""
        return [*self._up, *self._down]

    def state(self, call: Call) -> State:
        """A call's state outside its object."""
        timers = [self._timers.of(what) for what in _waiting(call)]
        keys = [self._joiner.keys(leg) for leg in call.legs]
        earlier = [
            (place, *row) for place, leg in enumerate(call.legs) for row in self._media.sockets.earlier(leg)
        ]
        return timers, keys, [leg in self._connectors for leg in call.legs], earlier

    def give(self, handover: Handover) -> None:
        """Every call with its state outside the object; None where it is encoded already."""
        handover.calls = [(call, self.state(call) if call.saved is None else None) for call in self.calls()]

    def take_over(self, handover: Handover) -> None:
        """Takes over calls from `give`. Only before any message."""
        leg: Leg
        due: list[tuple[int, int, Due]] = []
        for call, (timers, keys, undecided, _) in handover.calls:
            for leg, leg_keys, open_ in zip(call.legs, keys, undecided, strict=True):
                if call.claim is not None:
                    self._claimed[call.claim.name] = call
                    continue
                self._legs.setdefault(leg.call_id, []).append(leg)
                if leg_keys:  # a recording session, or a leg in another's place, is nobody's to join
                    self._joiner.restore(leg, leg_keys)
                if open_:
                    self._connectors.add(leg)
                if leg.has_been_up():
                    self._counting.had_call(leg)
            due += [
                (*when, what) for what, when in zip(_waiting(call), timers, strict=True) if when is not None
            ]
            self._sort(call)
        self._joiner.restored()
        for legs in self._legs.values():
            if len(legs) > 1:  # their calls came in the order in which they go
                legs.sort(key=attrgetter("invite_ns"))
        # Each length of wait has a queue, oldest first.
        for due_ns, after_ns, what in sorted(due, key=lambda row: row[0]):
            self._timers.set(what, due_ns - after_ns, after_ns)

    def __len__(self) -> int:
        return len(self._up) + len(self._down)


def _call_of(what: Due) -> Call:
    if isinstance(what, Call):
        return what
    return what.leg.call if isinstance(what, CountedAttempt) else what.call


def _waiting(call: Call) -> list[Due]:
    """The objects of a call that may have a deadline."""
    return [call, *call.accounts, *call.legs]


def _add_up(call: Call, up: list[CountedAttempt]) -> cython.bint:
    """Add the attempts that a call which is up counts as; true where it counts as none."""
    account: CountedAttempt
    answered: cython.bint = False
    for account in call.accounts:
        if account.answered:
            answered = True
            if account.direction is not None and call.is_kept_by(account.legs):
                up.append(account)
    return not (answered or call.legs[0].recording or call.claim is not None)
