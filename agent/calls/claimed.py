"""Calls whose SIP another host sees: its claims become calls, legs and sockets as an SDP seen here would.

They stand in the same table, under the same cap, eviction and timers, and count in nothing but media: their
attempts, their being up and their records are the other host's. Claims may come twice, late or in any order.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from agent.calls.table_cy import CallTable
from agent.errors import WireError
from agent.media.leg_media_cy import LegMedia
from agent.model.call_cy import MEDIA_ELSEWHERE, Call, Leg, Passage
from agent.model.claim import VERSION, Claim, ClaimedCall, RemoteClaim
from agent.model.sides import Connector, Sides
from agent.wire import sdp

MAX_NEWEST = 100_000  # legs whose newest claim is remembered; what came longest ago makes room
MAX_CLAIMED_LEGS = 64  # of one call
MAX_IDS = 8  # connectors of one call
_SDP_AGAIN = -1  # in place of a hash of what was on the wire


class NewestClaims:
    """The newest claim of each leg. A release stays, so that the claim before it changes nothing any more."""

    def __init__(self, cap: int = MAX_NEWEST) -> None:
        self.evicted = 0
        self._cap = cap
        self._newest: OrderedDict[str, tuple[int, str, str]] = OrderedDict()

    def take(self, claim: Claim) -> bool:
        """Whether `claim` is newer than all before it."""
        before = self._newest.get(claim.leg)
        if before is not None and before[0] >= claim.seq:
            return False
        self._newest[claim.leg] = claim.seq, claim.host, claim.call
        self._newest.move_to_end(claim.leg)
        if len(self._newest) > self._cap:
            self._newest.popitem(last=False)
            self.evicted += 1
        return True

    def of(self, leg: str) -> tuple[int, str, str] | None:
        """(seq, host, call) of the newest claim of a leg."""
        return self._newest.get(leg)

    def __len__(self) -> int:
        return len(self._newest)


class ClaimedCalls:
    """Takes claims into the table of calls. `last`: the id of the newest entry taken, by relay address."""

    def __init__(self, table: CallTable, sides: Sides, media: LegMedia, counters: Counter[str]) -> None:
        self.last: dict[str, str] = {}
        self.newest = NewestClaims()
        self._table = table
        self._sides = sides
        self._media = media
        self._counters = counters

    def take(self, received: RemoteClaim) -> None:
        """A claim has arrived. Raises nothing: another host's version may say what is not understood."""
        claim = received.claim
        if received.relay:
            self.last[received.relay] = received.entry
        if claim.version > VERSION:
            self._counters["claims_of_another_version"] += 1
            return
        before = self.newest.of(claim.leg)
        if not self.newest.take(claim):
            self._counters["claims_repeated"] += 1
            return
        if before is not None and before[2] != claim.call:  # another leg's answer joined it to another call
            self._leave(claim.leg, before[2])
        call = self._table.claimed(claim.call)
        leg = _leg_of(call, claim.leg)
        is_over = claim.until_ns is not None and claim.until_ns <= received.arrival_ns
        if leg is None and is_over:
            return
        if call is None:
            call = self._new_call(received)
        if leg is None:
            if len(call.legs) >= MAX_CLAIMED_LEGS:
                self._counters["claims_refused"] += 1
                return
            leg = self._new_leg(call, received)
        if before is not None and before[1] != claim.host:
            self._counters["claims_of_two_hosts"] += 1
        self._know_call(call, received)
        self._know_leg(leg, received)
        if not is_over:
            self._describe(leg, claim)
        self._table.enter(call)
        self._report(call, leg, claim)
        self._await_end(call, leg, claim)

    def _leave(self, name: str, call_name: str) -> None:
        call = self._table.claimed(call_name)
        leg = _leg_of(call, name)
        if leg is not None:
            self._table.give_up_leg(leg)

    def _new_call(self, received: RemoteClaim) -> Call:
        claim = received.claim
        call = Call()
        call.claim = ClaimedCall(claim.call, claim.host, -1, received.arrival_ns, claim.facts.who, {}, {})
        call.reported = call.completed = True  # its record is the other host's
        self._counters["calls_claimed"] += 1
        return call

    def _new_leg(self, call: Call, received: RemoteClaim) -> Leg:
        claim = received.claim
        connector = self._connector(claim.connector)
        call_id = next(iter(claim.facts.who[0]), "")
        leg = Leg(
            call_id, claim.leg, claim.way, claim.peer, claim.side, received.from_ns, 0,
            place=(claim.side, connector if claim.side == "customer" else None), whole=claim.is_whole,
        )  # fmt: skip
        leg.initial = claim.leg, claim.number
        leg.connector = connector
        call.adopt(leg)
        call.legs.sort(key=lambda each: each.initial[1])
        return leg

    def _connector(self, name: str) -> Connector | None:
        """The wire never makes a connector, and neither does another host."""
        found = self._sides.by_id(name) if name else None
        if name and found is None and name != self._sides.fallback.id:
            self._counters["claims_of_unknown_connectors"] += 1
        return found or (self._sides.fallback if name else None)

    def _know_call(self, call: Call, received: RemoteClaim) -> None:
        claim, known = received.claim, call.claim
        assert known is not None
        known.heard_ns = max(known.heard_ns, received.arrival_ns)
        if claim.connector in known.ids or len(known.ids) < MAX_IDS:
            known.ids[claim.connector] = claim.transaction_id
        call.who = None
        if claim.seq <= known.seq:
            return
        facts = claim.facts
        known.seq, known.host, known.who = claim.seq, claim.host, facts.who
        call.answer_ns = facts.answer_ns
        call.flags.update(flag for flag in facts.flags if flag != MEDIA_ELSEWHERE)
        if facts.bye_ns is not None:
            call.end_ns, call.end_reason = facts.bye_ns, "bye"
        elif call.end_reason == "bye":  # it was refused
            call.end_ns = call.end_reason = None

    def _know_leg(self, leg: Leg, received: RemoteClaim) -> None:
        claim = received.claim
        leg.invite_ns = received.from_ns  # a retry's, by now
        leg.role, leg.carrier, leg.recording = claim.role, claim.carrier, claim.is_recording
        leg.last_ns = max(leg.last_ns, claim.sip_ns)
        leg.session_ns = claim.session_ns
        if claim.was_up:
            dialog = leg.dialog("")
            dialog.confirmed, dialog.ended = True, not claim.is_up
        if leg.connector is None:
            leg.connector = self._connector(claim.connector)
            leg.call.share_connector(leg)

    def _describe(self, leg: Leg, claim: Claim) -> None:
        """Its present SDPs, the caller's first: the sockets are the leg's from here on."""
        said: list[tuple[Passage, str]] = [("towards", claim.far), ("away", claim.ours)]
        for passage, text in said if claim.way == "incoming" else reversed(said):
            condensed = text.encode()
            if not text or leg.said(passage) == condensed:
                continue
            try:
                session = sdp.parse(condensed)
            except WireError:
                self._counters["claims_malformed"] += 1
                continue
            leg.sdp[passage] = _SDP_AGAIN, len(condensed), condensed
            self._media.describe(leg, session, passage)
        leg.described_ns = claim.described_ns

    def _report(self, call: Call, leg: Leg, claim: Claim) -> None:
        """The far end's own view of its reception, each report once."""
        assert call.claim is not None
        known = call.claim.reported_ns
        newest_ns = before_ns = known.get(claim.leg, 0)
        for stamp_ns, report in claim.quality:
            if stamp_ns > before_ns:
                self._media.quality_report(leg, report, stamp_ns)
            newest_ns = max(newest_ns, stamp_ns)
        for stamp_ns, stat in claim.statistics:
            if stamp_ns > before_ns:
                self._media.statistics(leg, stat, stamp_ns)
            newest_ns = max(newest_ns, stamp_ns)
        if newest_ns:
            known[claim.leg] = newest_ns

    def _await_end(self, call: Call, leg: Leg, claim: Claim) -> None:
        known = call.claim
        if known is not None and known.seq == claim.seq:
            until_ns = claim.facts.until_ns
            if not call.released:
                self._table.expect_end(call, until_ns)
            elif until_ns is None:  # a late answer
                call.released = False
                self._table.expect_end(call, None)
        if leg.was_up and not leg.up and claim.until_ns is not None:
            self._table.expect_end(leg, claim.until_ns)
        else:
            self._table.expect_end(leg, None)


def _leg_of(call: Call | None, name: str) -> Leg | None:
    """The leg of a claimed call that claims call so."""
    for leg in call.legs if call is not None else ():
        if leg.from_tag == name:
            return leg
    return None
