# cython: language_level=3
"""Joins legs into calls: one incoming leg and any number of outgoing ones.

The first of these that fits: the same Call-ID; the same From tag and CSeq of the initial INVITE
(topology-hiding proxies keep both); a correlation header with an equal value, or with another leg's Call-ID;
a second Via with the incoming leg's branch; Call-ID with a configured suffix stripped; the same called and
calling user within the join window, or of a call that waits at the vc. REFER goes before all these.

Evidence that fits several calls fits none; where that leaves a leg apart it is counted. Of several calls
between the same users it is the one without an outgoing leg. Of several such calls it is the newest, if it is
much newer than the next one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

import cython

from agent.calls.correlation import branch_of, icid, session_ids
from agent.calls.users import agreement, is_hidden, user_of
from agent.model.attempt_cy import TIMER_B_NS, Attempt
from agent.model.call_cy import Call, Leg
from agent.wire.sip.message_cy import Message
from agent.wire.sip.scan_cy import bounded

Key = tuple[str, ...]
Transfer = tuple[int, str, Leg]  # when a REFER came, whom it names, the transferor's leg

MAX_SAME = 16  # calls that share a key: beyond two it is ambiguous anyway
MAX_RECENT = 10_000  # pairs of users; a flood of invented ones pushes out the oldest
MAX_SAME_USERS = 64  # calls between the same two users inside the join window
MAX_LEGS = 64  # of one call: hunting tries a handful, a flood with one From tag would try thousands
MAX_USERS = 6  # of one leg and role: names of one INVITE are the sender's to invent
MAX_VIAS = 16
MAX_APART = 1_024  # outgoing legs without a call, for `has_apart`
MAX_TRANSFERS = 256  # newest blind transfers: each is looked for within the join window alone
CLEARLY_NS = 250_000_000  # a B2BUA sends its INVITE some ms after the one that it got, a busy one some tens
CLEARLY_TIMES = 3  # and the next candidate's INVITE must be so many times as old


class Joiner:
    """Finds the call of a new leg. Every index is capped by the number of living legs."""

    def __init__(self, join_window_ns: int, headers: Sequence[str], suffixes: Iterable[str]) -> None:
        self.headers = tuple(headers)
        self.ambiguous = 0
        self._window_ns = join_window_ns
        self._suffixes = tuple(suffix for suffix in suffixes if suffix)
        self._keys: dict[Key, list[Call]] = {}
        self._keys_of: dict[Leg, list[Key]] = {}
        self._recent: OrderedDict[tuple[str, str], deque[Call]] = OrderedDict()
        self._apart: OrderedDict[Leg, None] = OrderedDict()  # outgoing legs that joined nothing, newest last
        self._transfers: deque[Transfer] = deque(maxlen=MAX_TRANSFERS)
        self._doubt = False  # evidence met for the leg in hand fitted several calls

    def join(self, leg: Leg, message: Message | None) -> Call:
        """The call of `leg`; a new one where none fits. The leg is added to it.

        `message`: its initial INVITE; None where that was not seen.
        """
        values: list[str] = [] if message is None else self.correlations(message)
        self._doubt = False
        call: Call | None = self._by_evidence(leg, message, values)
        if call is None:
            call = self._same_users(leg)
        if call is None:
            self.ambiguous += self._doubt
            call = Call()
            if leg.way == "outgoing":
                self._apart[leg] = None
                if len(self._apart) > MAX_APART:
                    self._apart.popitem(last=False)
        else:
            self._mark_joined(leg, call)
        call.adopt(leg)
        keys = self._keys_for(leg, message, values)
        self._keys_of[leg] = keys
        for key in keys:
            self._index(key, call)
        self._remember(leg, call)
        return call

    def _mark_joined(self, leg: Leg, call: Call) -> None:
        other: Leg
        leg.joined = True
        for other in call.legs:
            if not other.joined:
                other.joined = True
                self._apart.pop(other, None)
        self._apart.pop(leg, None)

    def _by_evidence(self, leg: Leg, message: Message | None, values: list[str]) -> Call | None:
        call: Call | None = self._by_key(("call-id", leg.call_id), leg)
        if call is None and leg.from_tag and leg.whole:  # RFC 2543: an absent tag identifies no call
            call = self._by_key(("from-tag", leg.from_tag, str(leg.cseq)), leg)
        if call is None:
            call = self._named(leg, values)
        if call is None and message is not None and leg.way != "incoming":
            for via in message.values("via")[1:MAX_VIAS]:
                branch = branch_of(via)
                call = self._by_key(("branch", branch), leg) if branch else None
                if call is not None:
                    break
        if call is None and self._suffixes:
            stripped = self._stripped(leg.call_id)
            if stripped != leg.call_id:
                call = self._by_key(("call-id", stripped), leg) or self._by_key(("header", stripped), leg)
        return call

    def _named(self, leg: Leg, values: list[str]) -> Call | None:
        """The call with an equal correlation value, or whose value or Call-ID names the other's."""
        call: Call | None = self._by_key(("header", leg.call_id), leg)
        for value in values:
            if call is None:
                call = self._by_key(("header", value), leg) or self._by_key(("call-id", value), leg)
        return call

    def _by_key(self, key: Key, leg: Leg) -> Call | None:
        """The one call with that key that can take the leg."""
        one: Call
        calls: list[Call] | None = self._keys.get(key)
        if calls is None:
            return None
        fitting: list[Call] = []
        for one in calls:
            if one is not leg.call and _fits(one, leg):
                fitting.append(one)
        if len(fitting) > 1:  # proxies keep both, so the From tag tells calls of one Call-ID apart
            fitting = [one for one in fitting if one.lead.from_tag == leg.from_tag] or fitting
        if len(fitting) == 1:
            return fitting[0]
        self._doubt = self._doubt or len(fitting) > 1
        return None

    def _index(self, key: Key, call: Call) -> None:
        calls: list[Call] | None = self._keys.get(key)
        if calls is None:
            self._keys[key] = [call]
        elif call not in calls:
            calls.append(call)
            if len(calls) > MAX_SAME:
                del calls[0]

    def named_in(self, leg: Leg, message: Message) -> Call | None:
        """The call that a response on an unjoined leg names."""
        values = self.correlations(message)
        self._doubt = False
        if not values:
            return None
        call: Call | None = self._named(leg, values)
        if call is None:  # it may come to be named later, by the other leg
            keys: list[Key] = self._keys_of.get(leg, [])
            for value in values:
                key = ("header", value)
                if key not in keys and len(keys) < MAX_SAME:
                    keys.append(key)
                    self._index(key, leg.call)
        return call

    def again(self, leg: Leg) -> None:
        """The leg's INVITE came again with another CSeq or From tag: both become its keys too."""
        keys: list[Key] | None = self._keys_of.get(leg)
        key = ("from-tag", leg.from_tag, str(leg.cseq))
        if keys is not None and leg.from_tag and key not in keys and len(keys) < MAX_SAME:
            keys.append(key)
            self._index(key, leg.call)

    def retarget(self, leg: Leg, users: Sequence[str]) -> None:
        """The call of `leg` is for these users too (RFC 3261 8.1.3.4)."""
        call: Call = leg.call
        lead: Leg = call.find_lead()
        known = _called(lead)
        added = [user for user in users if user and user not in known]
        if added and len(lead.targets) < MAX_USERS:
            lead.targets += tuple(added[:MAX_USERS])
            self._remember(lead, call)

    def redial(self, leg: Leg, message: Message) -> None:
        """The caller's INVITE came again: to whom the 3xx named, or with more digits (RFC 3578)."""
        before = leg.to_user, leg.uri_user
        if before != (message.to_user, message.uri_user) and len(leg.targets) < MAX_USERS:
            leg.to_user, leg.uri_user = message.to_user, message.uri_user
            self.retarget(leg, before)

    def move(self, leg: Leg, call: Call) -> None:
        """Moves a leg that was a call of its own to `call`."""
        keys = self._keys_of.get(leg, [])
        self.forget(leg.call)
        self._mark_joined(leg, call)
        call.adopt(leg)
        self.restore(leg, keys)

    def keys(self, leg: Leg) -> list[Key]:
        """The keys of `leg`, for a checkpoint."""
        return self._keys_of.get(leg, [])

    def restore(self, leg: Leg, keys: list[Key]) -> None:
        """Takes over a leg that joined its call before a restart."""
        for key in keys:
            self._index(key, leg.call)
        self._keys_of[leg] = keys
        self._remember(leg, leg.call)
        if leg.way == "outgoing" and not leg.joined:
            self._apart[leg] = None

    def restored(self) -> None:
        """All legs are taken over: puts those that joined nothing in the order in which they began."""
        self._apart = OrderedDict.fromkeys(sorted(self._apart, key=attrgetter("invite_ns"))[-MAX_APART:])

    def _keys_for(self, leg: Leg, message: Message | None, values: list[str]) -> list[Key]:
        keys: list[Key] = [("call-id", leg.call_id)]
        if leg.from_tag and leg.whole:
            keys.append(("from-tag", leg.from_tag, str(leg.cseq)))
        for value in values:
            keys.append(("header", value))
        if message is not None and message.branch and leg.way != "outgoing":
            keys.append(("branch", message.branch))
        if self._suffixes:
            stripped = self._stripped(leg.call_id)
            if stripped != leg.call_id:
                keys.append(("header", stripped))
        return keys

    def _stripped(self, call_id: str) -> str:
        suffix: str
        for suffix in self._suffixes:
            if call_id.endswith(suffix):
                return call_id[: len(call_id) - len(suffix)]
        return call_id

    def correlations(self, message: Message) -> list[str]:
        """The values of the correlation headers of a message."""
        values: list[str] = []
        name: str
        for name in self.headers:
            text: str | None = message.header(name)
            if not text:
                continue
            found = [text]
            if name.lower() == "p-charging-vector":  # RFC 7315 5.6: only icid-value is the call's
                found = [icid(text)]
            elif name.lower() == "session-id":  # RFC 7989: the remote half is the other end's, once known
                found = session_ids(text, message.is_request)
            elif message.is_request:
                found = [value.strip() for value in message.headers(name)[:MAX_SAME]]
            for value in found:
                if value.strip("0") and len(values) < MAX_SAME:  # RFC 7989 5: the null identifier is nobody's
                    values.append(bounded(value))
        return values

    # -- users

    def _same_users(self, leg: Leg) -> Call | None:
        """The call between the same two users to which a leg may belong."""
        if leg.way == "incoming" or not leg.whole:
            return None
        call: Call
        calls: dict[Call, int] = {}
        for pair in _pairs(leg):
            for call in self._recent.get(pair, ()):
                if call not in calls and self._open_for(call, leg):
                    level = _agreement(call.find_lead(), leg)
                    if level:
                        calls[call] = level
        if not calls:
            return self._waiting(leg)
        if len(calls) == 1:
            return next(iter(calls))
        free = [call for call in calls if not _is_tried(call)] or list(calls)
        best = max([calls[call] for call in free])
        free = [call for call in free if calls[call] == best]
        if len(free) == 1:
            return free[0]
        free.sort(key=_began_ns)
        newest: Call = free[len(free) - 1]
        before: Call = free[len(free) - 2]
        newest_ns: cython.longlong = leg.invite_ns - _began_ns(newest)
        before_ns: cython.longlong = leg.invite_ns - _began_ns(before)
        if before_ns - newest_ns >= CLEARLY_NS and before_ns >= CLEARLY_TIMES * newest_ns:
            return newest
        self._doubt = True
        return None

    def _open_for(self, call: Call, leg: Leg) -> cython.bint:
        """Within the window after the incoming INVITE, after a non-2xx final or the vc's CANCEL on a leg
        already joined, or while such a leg has had no response: the vc may try the next carrier."""
        other: Leg
        attempt: Attempt | None
        lead: Leg = call.find_lead()
        if not _fits(call, leg) or lead.call_id == leg.call_id:
            return False
        if 0 <= leg.invite_ns - lead.invite_ns <= self._window_ns:
            return True
        for other in call.legs:
            if other is lead:
                continue
            final_ns = other.final_ns
            if final_ns and 0 <= leg.invite_ns - final_ns <= self._window_ns:
                return True
            attempt = other.attempt
            if attempt is None:
                continue
            if attempt.is_silent() and leg.invite_ns - other.invite_ns <= TIMER_B_NS:
                return True
            if attempt.was_cancelled_within(leg.invite_ns, self._window_ns):
                return True  # it rang in vain: the vc turns to the next before the 487 comes
        return False

    def _waiting(self, leg: Leg) -> Call | None:
        """The one call between the leg's users that the vc itself answered and bridges to nobody now.

        A menu or a queue calls somebody after any time. Where a leg that joined nothing began before the
        answer, that leg may have been the one that answered: then nobody knows.
        """
        call: Call
        found: Call | None = None
        for pair in _pairs(leg):
            for call in self._recent.get(pair, ()):
                if call is found or not _is_alone(call) or not _fits(call, leg):
                    continue
                if not _agreement(call.find_lead(), leg):
                    continue
                if found is not None:
                    self._doubt = True
                    return None
                found = call
        if found is None or self.has_apart(_began_ns(found), found.answer_ns or 0):
            return None
        return found

    # -- transfers

    def refer(self, leg: Leg, user: str, now_ns: cython.longlong) -> None:
        """A party of the leg asks the vc to send the other one on to `user` (RFC 5589 6.1)."""
        if user:
            self._transfers.append((now_ns, user, leg))

    def transferor(self, leg: Leg, message: Message) -> Leg | None:
        """The leg whose REFER, shortly before, asked for this one. `message`: its initial INVITE.

        It goes to the user whom Refer-To names, and it is from a user of that call or says that call's name.
        """
        other: Leg
        call: Call
        at_ns: cython.longlong
        asked: list[Leg] = []
        if leg.way == "incoming":
            return None
        for at_ns, user, other in reversed(self._transfers):
            if leg.invite_ns - at_ns > self._window_ns:
                break
            call = other.call
            if call.is_up() and _fits(call, leg) and _best(_called(leg), [user]):
                asked.append(other)
        if not asked:
            return None
        named: Call | None = self._by_evidence(leg, message, self.correlations(message))
        if named is not None:
            asked = [other for other in asked if other.call is named]
        else:
            asked = [other for other in asked if _is_from_a_party(leg, other.call)]
        if len({other.call for other in asked}) > 1:
            self.ambiguous += 1
            return None
        return asked[0] if asked else None

    def _remember(self, leg: Leg, call: Call) -> None:
        if leg.way == "outgoing" or not leg.whole:
            return
        for users in _pairs(leg):
            calls = self._recent.get(users)
            if calls is None:
                calls = self._recent[users] = deque(maxlen=MAX_SAME_USERS)
            # Of a call with one leg nothing was remembered before, unless that leg has further targets.
            if (len(call.legs) == 1 and not leg.targets) or call not in calls:
                calls.append(call)
            self._recent.move_to_end(users)
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)

    def has_apart(self, since_ns: cython.longlong, until_ns: cython.longlong) -> cython.bint:
        """Whether an outgoing leg began in that time and joined no call."""
        leg: Leg
        for leg in reversed(self._apart):
            if leg.invite_ns < since_ns:
                return False
            if leg.invite_ns <= until_ns and not leg.joined:
                return True
        return len(self._apart) >= MAX_APART  # it may have been pushed out

    def forget(self, call: Call) -> None:
        """Drops an ended call from every index."""
        leg: Leg
        for leg in call.legs:
            self._apart.pop(leg, None)
            for key in self._keys_of.pop(leg, ()):
                calls = self._keys.get(key)
                if calls is not None:
                    if call in calls:
                        calls.remove(call)
                    if not calls:
                        del self._keys[key]
            if leg.way == "outgoing":
                continue  # never remembered
            for users in _pairs(leg):
                recent = self._recent.get(users)
                if recent is not None:
                    if call in recent:
                        recent.remove(call)
                    if not recent:
                        del self._recent[users]

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)


def _fits(call: Call, leg: Leg) -> cython.bint:
    """Whether a call can take this leg."""
    if len(call.legs) >= MAX_LEGS:
        return False
    if call.end_ns is not None and call.end_reason != "silence":
        return False  # a Call-ID met again after its call is over is another call's (or an attacker's)
    if call.answer_ns is None and call.decided:
        return False
    other: Leg
    if leg.way == "incoming" and call.find_incoming() is not None:
        return False  # a call has one incoming leg: a Call-ID used again is another call
    for other in call.legs:
        if leg.way == "internal" and other.source == leg.source != leg.peer == other.peer:
            return False  # from one host to the other: the next call, not the next leg
        if other.call_id == leg.call_id and other.from_tag == leg.from_tag and other.way == leg.way:
            # The same key again is a later attempt and so another call, but for a fork to somebody else.
            return leg.way == "outgoing" and other.place != leg.place
    return True


def _is_tried(call: Call) -> cython.bint:
    """Whether another leg already carries the call on, or will soon."""
    leg: Leg
    lead: Leg = call.find_lead()
    for leg in call.legs:
        if leg is lead or leg.attempt is None or leg.final_ns:
            continue
        if not leg.attempt.is_silent() and leg.attempt.state != "cancelling":
            return True
    return False


def _is_from_a_party(leg: Leg, call: Call) -> cython.bint:
    """Whether a leg's caller is a user of the call's first leg, in whatever role."""
    lead: Leg = call.find_lead()
    return _best(_callers(leg), _callers(lead) + _called(lead)) > 0


def _is_alone(call: Call) -> cython.bint:
    """Whether of an answered call the incoming leg is up and no other."""
    leg: Leg
    lead: Leg = call.find_lead()
    if not call.is_up() or lead.way != "incoming" or not lead.is_up():
        return False
    for leg in call.legs:
        if leg is not lead and leg.is_up():
            return False
    return True


def _began_ns(call: Call) -> int:
    return call.find_lead().invite_ns


def _callers(leg: Leg) -> list[str]:
    return [leg.from_user, *leg.asserted] if leg.from_user else list(leg.asserted)


def _called(leg: Leg) -> list[str]:
    called = [leg.to_user] if leg.to_user else []
    if leg.uri_user and leg.uri_user != leg.to_user:  # it went to somebody else than it was meant for
        called.append(leg.uri_user)
    called += leg.diverted
    called += leg.targets
    return called


def _pairs(leg: Leg) -> set[tuple[str, str]]:
    """The keys of a leg's users."""
    callers = {user_of(caller).key for caller in _callers(leg)[:MAX_USERS]}
    called = {user_of(callee).key for callee in _called(leg)[:MAX_USERS]}
    return {(caller, callee) for caller in callers for callee in called}


def _agreement(one: Leg, other: Leg) -> cython.int:
    """How well the users of two legs agree; 0: not at all."""
    calling = _calling(one, other)
    return min(calling, _best(_called(one), _called(other))) if calling else 0


def _calling(one: Leg, other: Leg) -> cython.int:
    """How well the callers of two legs agree.

    Two that hide agree where one is asserted by nobody. An account in both Froms is weak evidence beside two
    asserted callers who differ.
    """
    best = _best(_known_callers(one), _known_callers(other))
    if one.asserted and other.asserted:
        return best if _best(list(one.asserted), list(other.asserted)) else min(best, 1)
    return best or int(is_hidden(one.from_user) and is_hidden(other.from_user))


def _known_callers(leg: Leg) -> list[str]:
    """Its callers but for a From that hides who it is."""
    return list(leg.asserted) if is_hidden(leg.from_user) else _callers(leg)


def _best(ones: list[str], others: list[str]) -> cython.int:
    best: cython.int = 0
    for one in ones[:MAX_USERS]:
        for other in others[:MAX_USERS]:
            best = max(best, agreement(one, other))
    return best
