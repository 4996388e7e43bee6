# cython: language_level=3
"""Joining legs into calls: one incoming leg and any number of outgoing ones.

First that fits: same Call-ID; same From tag and CSeq of the initial INVITE (topology-hiding proxies keep
both); a correlation header; Call-ID with a configured suffix stripped; same called and calling user within
the join window. A rule that fits several calls fits none; where it leaves a leg apart that is counted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from agent.model.call_cy import Call, Leg
from agent.wire.sip.message_cy import Message

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

Key = tuple[str, ...]

MAX_SAME = 16  # calls that share a key: beyond two it is ambiguous anyway
MAX_RECENT = 10_000  # pairs of users; a flood of invented ones pushes out the oldest
MAX_SAME_USERS = 64  # calls between the same two users inside the join window
MAX_LEGS = 64  # of one call: hunting tries a handful, a flood with one From tag would try thousands


class Joiner:
    """Finds the call to which a new leg belongs. Every index is capped by the number of legs alive."""

    def __init__(self, join_window_ns: int, headers: Sequence[str], suffixes: Iterable[str]) -> None:
        self.headers = tuple(headers)
        self.ambiguous = 0
        self._window_ns = join_window_ns
        self._suffixes = tuple(suffix for suffix in suffixes if suffix)
        self._keys: dict[Key, list[Call]] = {}
        self._keys_of: dict[Leg, list[Key]] = {}
        self._recent: OrderedDict[tuple[str, str], deque[Call]] = OrderedDict()

    def join(self, leg: Leg, correlations: Iterable[str]) -> Call:
        """The call of `leg`, which takes it in; a new one where nothing fits."""
        keys = self._keys_for(leg, correlations)
        other: Leg
        call: Call | None = None
        ambiguous = False
        for key in keys:
            fitting = [one for one in self._keys.get(key, ()) if _fits(one, leg)]
            if len(fitting) > 1:  # proxies keep both, so the From tag tells calls of one Call-ID apart
                fitting = [one for one in fitting if one.lead.from_tag == leg.from_tag] or fitting
            if len(fitting) == 1:
                call = fitting[0]
                break
            ambiguous |= len(fitting) > 1
        else:
            fitting = self._same_users(leg)
            ambiguous |= len(fitting) > 1
            call = fitting[0] if len(fitting) == 1 else None
        if call is None:
            self.ambiguous += ambiguous
            call = Call()
        else:
            leg.joined = True
            for other in call.legs:
                other.joined = True
        call.adopt(leg)
        for key in keys:
            calls = self._keys.setdefault(key, [])
            if call not in calls:
                calls.append(call)
                if len(calls) > MAX_SAME:
                    del calls[0]
        self._keys_of[leg] = keys
        self._remember(leg, call)
        return call

    def keys(self, leg: Leg) -> list[Key]:
        """What `leg` was found by, for a checkpoint."""
        return self._keys_of.get(leg, [])

    def restore(self, leg: Leg, keys: list[Key]) -> None:
        """A leg that joined its call before a restart."""
        for key in keys:
            calls = self._keys.setdefault(key, [])
            if leg.call not in calls:
                calls.append(leg.call)
        self._keys_of[leg] = keys
        self._remember(leg, leg.call)

    def _keys_for(self, leg: Leg, correlations: Iterable[str]) -> list[Key]:
        keys: list[Key] = [("call-id", leg.call_id)]
        if leg.from_tag and leg.whole:  # RFC 2543 endpoints: an absent tag is nobody's mark
            keys.append(("from-tag", leg.from_tag, str(leg.cseq)))
        keys += [("header", value) for value in correlations]
        if self._suffixes:
            stripped = leg.call_id
            for suffix in self._suffixes:
                if stripped.endswith(suffix):
                    stripped = stripped[: -len(suffix)]
                    break
            keys.append(("stripped", stripped))
        return keys

    def correlations(self, message: Message) -> list[str]:
        """What the correlation headers of an INVITE say."""
        values = []
        for name in self.headers:
            value = message.header(name)
            if not value:
                continue
            if name.lower() == "p-charging-vector":  # RFC 7315 5.6: only icid-value is the call's
                value = _icid(value)
            elif name.lower() == "session-id":  # RFC 7989: the remote half changes, the local one stays
                value = value.split(";")[0].strip()
            if value.strip("0"):  # RFC 7989 5: the null identifier is nobody's
                values.append(value)
        return values

    def _same_users(self, leg: Leg) -> list[Call]:
        if not leg.from_user or leg.way == "incoming" or not leg.whole:
            return []
        fitting: list[Call] = []
        for users in _users(leg):
            for call in self._recent.get(users, ()):
                if call not in fitting and self._open_for(call, leg):
                    fitting.append(call)
        return fitting

    def _open_for(self, call: Call, leg: Leg) -> cython.bint:
        """Within the window after the incoming INVITE, or after a non-2xx final on a leg already joined."""
        other: Leg
        lead: Leg = call.find_lead()
        if not _fits(call, leg) or lead.call_id == leg.call_id:
            return False
        if 0 <= leg.invite_ns - lead.invite_ns <= self._window_ns:
            return True
        for other in call.legs:
            final_ns = other.final_ns
            if other is not lead and final_ns and 0 <= leg.invite_ns - final_ns <= self._window_ns:
                return True
        return False

    def _remember(self, leg: Leg, call: Call) -> None:
        if leg.way == "outgoing" or not leg.from_user or not leg.whole:
            return
        for users in _users(leg):
            calls = self._recent.get(users)
            if calls is None:
                calls = self._recent[users] = deque(maxlen=MAX_SAME_USERS)
            if call not in calls:
                calls.append(call)
            self._recent.move_to_end(users)
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)

    def forget(self, call: Call) -> None:
        """Drop a call that is over from every index."""
        for leg in call.legs:
            for key in self._keys_of.pop(leg, ()):
                calls = self._keys.get(key)
                if calls is not None:
                    if call in calls:
                        calls.remove(call)
                    if not calls:
                        del self._keys[key]
            for users in _users(leg):
                recent = self._recent.get(users)
                if recent is not None:
                    if call in recent:
                        recent.remove(call)
                    if not recent:
                        del self._recent[users]

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)


def _fits(call: Call, leg: Leg) -> cython.bint:
    """Whether a call can take this leg at all."""
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
        if other.call_id == leg.call_id and other.from_tag == leg.from_tag and other.way == leg.way:
            # The same key again is a later attempt and so another call, but for a fork to somebody else.
            return leg.way == "outgoing" and other.place != leg.place
    return True


def _icid(value: str) -> str:
    """The icid-value of a P-Charging-Vector; "" where there is none."""
    for part in value.split(";"):
        part = part.strip()
        if part.lower().startswith("icid-value="):
            return part[11:].strip('" ')
    return ""


def _users(leg: Leg) -> set[tuple[str, str]]:
    caller = _user(leg.from_user)
    called = _user(leg.to_user)
    users: set[tuple[str, str]] = set()
    if called:
        users.add((caller, called))
    if leg.uri_user and leg.uri_user != leg.to_user:  # it went to somebody else than it was meant for
        asked = _user(leg.uri_user)
        if asked:
            users.add((caller, asked))
    return users


def _user(user: str) -> str:
    """A user for comparison: an E.164 number with and without its plus is the same."""
    return user.removeprefix("+").lower()
