"""Calls: the legs joined, and how long a call is up.

Legs join, first that fits: same Call-ID; same From tag and CSeq of the initial INVITE (topology-hiding
proxies keep both); a correlation header; Call-ID with a configured suffix stripped; same called and calling
user within the join window, where exactly one call fits. Ambiguity leaves legs apart and is counted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.tracking.dialog import Direction, Leg
from agent.tracking.transaction import Outcome

EndReason = Literal["bye", "timer", "silence"]


@dataclass(slots=True, eq=False)
class Account:
    """One place where a call counts: a leg (its connector may be decided later) and a direction."""

    leg: Leg
    direction: Direction | None


@dataclass(slots=True, eq=False)
class Call:
    """Legs joined. `answer_ns` is the first 2xx on the counting leg, `end_ns` when it was found to be over."""

    legs: list[Leg] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    answer_ns: int | None = None
    end_ns: int | None = None
    end_reason: EndReason | None = None
    last_rtp_ns: int = 0
    flags: set[str] = field(default_factory=set)
    rtt_us: dict[str, float] = field(default_factory=dict)  # side: the last known
    reported: bool = False  # its `call` record is out

    @property
    def incoming(self) -> Leg | None:
        return next((leg for leg in self.legs if leg.way == "incoming" and not leg.replaced_by), None)

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
        return self.accounts[0].leg if self.accounts else self.lead

    @property
    def outcome(self) -> Outcome | Literal["pending"]:
        attempt = self.counted.attempt
        return (attempt.outcome if attempt else None) or "pending"

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
        customers = [leg for leg in self.legs if leg.side == "customer" and leg.way != "internal"]
        remotes = [leg for leg in self.legs if leg.side == "remote" and leg.way != "internal"]
        callers = [leg for leg in customers if leg.way == "incoming"]
        callees = [leg for leg in customers if leg.way == "outgoing"]
        if callers and callees:
            return [(callers[0], callers, callees + remotes), (callees[0], callees, callers + remotes)]
        if customers:
            return [(customers[0], customers, remotes)]
        return [(remotes[0], [], remotes)] if remotes else [(self.lead, [], [])]

    def adopt(self, leg: Leg) -> None:
        """Take a leg in, with what each leg can tell the others: the connector."""
        leg.call = self
        self.legs.append(leg)
        known = leg.connector or next((other.connector for other in self.legs if other.connector), None)
        if known is not None:
            for other in self.legs:
                if other.connector is None:
                    other.connector = known

    def check_over(self, now_ns: int) -> None:
        """A call ends when one of its sides has no confirmed dialog left (RFC 3261 15)."""
        if self.end_ns is not None:
            return
        for way in ("incoming", "outgoing", "internal"):
            legs = [leg for leg in self.legs if leg.way == way]
            if any(leg.was_up for leg in legs) and not any(leg.up for leg in legs):
                self.end_ns, self.end_reason = now_ns, "bye"
                return

    def check_silence(self, now_ns: int, call_timeout_ns: int, hold_timeout_ns: int) -> None:
        """End by session timer or silence, or re-open where traffic came back. Call at a minute's end."""
        if self.end_reason == "bye":
            return
        heard_ns = max(self.last_sip_ns, self.last_rtp_ns)
        if self.end_ns is not None:
            if heard_ns <= self.end_ns:
                return
            self.end_ns = self.end_reason = None
        timers = [leg.session_ns for leg in self.legs if leg.session_ns is not None and leg.up]
        if timers and min(timers) <= now_ns and heard_ns <= min(timers):
            self.end_ns, self.end_reason = min(timers), "timer"
            return
        silence_ns = hold_timeout_ns if self.held else call_timeout_ns
        if now_ns - heard_ns >= silence_ns:
            self.end_ns, self.end_reason = heard_ns + silence_ns, "silence"


def _user(user: str) -> str:
    """A user for comparison: an E.164 number with and without its plus is the same."""
    return user.removeprefix("+").lower()


class Joiner:
    """Finds the call to which a new leg belongs. Every index is capped by the number of legs alive."""

    def __init__(
        self, join_window_ns: int, headers: Sequence[str], suffixes: Iterable[str], max_recent: int = 10_000
    ) -> None:
        self.headers = tuple(headers)
        self._window_ns = join_window_ns
        self._suffixes = tuple(suffixes)
        self._keys: dict[tuple[str, ...], Call] = {}
        self._keys_of: dict[Leg, list[tuple[str, ...]]] = {}
        # Calls by their users, newest last: only those inside the window can fit. A flood of invented
        # INVITEs pushes out the oldest, never grows it.
        self._recent: OrderedDict[tuple[str, str], deque[Call]] = OrderedDict()
        self._max_recent = max_recent
        self.ambiguous = 0

    def _strip(self, call_id: str) -> str:
        for suffix in self._suffixes:
            if call_id.endswith(suffix):
                return call_id[: -len(suffix)]
        return call_id

    def join(self, leg: Leg, correlations: Iterable[str]) -> Call:
        """The call of `leg`, which takes it in; a new one where nothing fits."""
        keys: list[tuple[str, ...]] = [
            ("call-id", leg.call_id),
            ("from-tag", leg.from_tag, str(leg.cseq)),
            *(("header", value) for value in correlations),
            ("stripped", self._strip(leg.call_id)),
        ]
        if not leg.from_tag:  # RFC 2543 endpoints: an absent tag is nobody's mark
            del keys[1]
        call = next((found for key in keys if (found := self._fits(key, leg))), None)
        call = call or self._same_users(leg)
        leg.joined = call is not None
        if call is None:
            call = Call()
        else:
            for other in call.legs:
                other.joined = True
        call.adopt(leg)
        for key in keys:
            self._keys[key] = call
        self._keys_of[leg] = keys
        self._remember(leg, call)
        return call

    def _fits(self, key: tuple[str, ...], leg: Leg) -> Call | None:
        call = self._keys.get(key)
        # A Call-ID met again after its call is over is another call's (or an attacker's).
        if call is None or call.end_ns is not None:
            return None
        if leg.way == "incoming" and call.incoming is not None:
            return None  # a call has one incoming leg: a Call-ID used again is another call
        if any(other.way == leg.way and _same_dialog(other, leg) for other in call.legs):
            return None
        return call

    def _same_users(self, leg: Leg) -> Call | None:
        if not leg.from_user or leg.way == "incoming":
            return None
        fitting: list[Call] = []
        for called in {_user(leg.to_user), _user(leg.uri_user)} - {""}:
            for call in self._recent.get((_user(leg.from_user), called), ()):
                if call not in fitting and self._open_for(call, leg):
                    fitting.append(call)
        if len(fitting) > 1:
            self.ambiguous += 1
        return fitting[0] if len(fitting) == 1 else None

    def _open_for(self, call: Call, leg: Leg) -> bool:
        incoming = call.incoming or call.legs[0]
        if call.end_ns is not None or call.answer_ns is not None or incoming.call_id == leg.call_id:
            return False
        if incoming.attempt is not None and incoming.attempt.outcome is not None:
            return False
        starts = [incoming.invite_ns] + [other.final_ns for other in call.legs if other.final_ns]
        return any(0 <= leg.invite_ns - start <= self._window_ns for start in starts if start is not None)

    def _remember(self, leg: Leg, call: Call) -> None:
        if leg.way == "outgoing" or not leg.from_user:
            return
        for called in {_user(leg.to_user), _user(leg.uri_user)} - {""}:
            users = (_user(leg.from_user), called)
            calls = self._recent.setdefault(users, deque(maxlen=256))
            calls.append(call)
            self._recent.move_to_end(users)
        while len(self._recent) > self._max_recent:
            self._recent.popitem(last=False)

    def forget(self, call: Call) -> None:
        """Drop a call that is over from every index."""
        for leg in call.legs:
            for key in self._keys_of.pop(leg, ()):
                if self._keys.get(key) is call:
                    del self._keys[key]
            for called in {_user(leg.to_user), _user(leg.uri_user)}:
                users = (_user(leg.from_user), called)
                calls = self._recent.get(users)
                if calls is not None:
                    if call in calls:
                        calls.remove(call)
                    if not calls:
                        del self._recent[users]


def _same_dialog(one: Leg, other: Leg) -> bool:
    """The same key again: a later attempt with a used Call-ID is a call of its own."""
    return one.call_id == other.call_id and one.from_tag == other.from_tag
