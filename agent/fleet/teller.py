"""Claims of a host that sees SIP: for each leg of a call whose media another host relays.

A claim is told when its leg or call changes, again each minute while the call lives, and a last time when its
media is given up. The relay is whom the vc's SDP names: an address of the vc that is not of this host.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

import msgspec
from msgspec import Struct

from agent.calls.table_cy import CallTable, Report
from agent.fleet.board import Board, Elected
from agent.fleet.twice import CountedTwice
from agent.model.call_cy import MEDIA_ELSEWHERE, SEEN_TWICE, SIP_SEEN_TWICE, Call, Leg, Passage
from agent.model.claim import CallFacts, Claim
from agent.model.sides import Sides
from agent.model.unseen import Sight
from agent.summary.identity import Identity
from agent.wire.sip.quality_report import QualityReport, RtpStat

RENEW_NS = 60 * 10**9
MAX_RELAYS = 8  # of one call
MAX_KEYS = 8  # of one leg
_OF_THIS_HOST = {MEDIA_ELSEWHERE, SEEN_TWICE, SIP_SEEN_TWICE}
_encoder = msgspec.json.Encoder()


class ToldLeg(Struct):
    """A leg of which relays know, and a hash of what they were told."""

    call: Call
    digest: bytes
    relays: tuple[str, ...]
    at_ns: int


class ClaimTeller:
    """Tells the board of calls as they change. Its memory is the calls alive."""

    def __init__(self, board: Board, sides: Sides, identity: Identity, own: Iterable[str] = ()) -> None:
        """`own`: media addresses of this host, whose calls need no board."""
        self._board = board
        self._sides = sides
        self._identity = identity
        self._own = frozenset(own)
        self._sent_claims: OrderedDict[Leg, ToldLeg] = OrderedDict()  # told longest ago first
        self._asked: dict[Leg, list[str]] = {}  # the keys that were asked for
        # Keys whose election is under way, the leg whose own name it is, and when it was asked for.
        self._open: dict[str, tuple[Call, Leg | None, int]] = {}
        self._began_ns: int | None = None
        self.has_namesake = False  # another host has the name of this one
        self.twice = CountedTwice()
        self._seq = 0
        self.claims = 0

    def tell(self, table: CallTable, now_ns: int) -> None:
        """Tell what is new since the last time. `now_ns`: UTC."""
        self._began_ns = self._began_ns or now_ns
        for key, winner in self._board.answers():
            if not self.twice.answer(key, winner.host, self._identity.host):
                self._know_first(key, winner, now_ns)
        for call in table.take_changed():
            if call.claim is None:
                self._tell_call(call, table, now_ns)
        while self._sent_claims:
            leg, sent = next(iter(self._sent_claims.items()))
            if now_ns - sent.at_ns < RENEW_NS:
                break
            sent.digest = b""
            self._sent_claims.move_to_end(leg)
            self._tell_leg(leg, sent.call, table, sent.relays, now_ns)

    def _tell_call(self, call: Call, table: CallTable, now_ns: int) -> None:
        relays = self._relays(call)
        if table.call_until_ns(call) == 0:
            self._forget(call)
        elif relays or call.answer_ns is not None:
            self._ask(call, table, now_ns)
        for leg in call.legs:
            sent = self._sent_claims.get(leg)
            if sent is not None and leg.call is not call:
                continue  # another call has it now
            whom = tuple(dict.fromkeys((*(sent.relays if sent else ()), *relays)))[:MAX_RELAYS]
            if whom:
                self._tell_leg(leg, call, table, whom, now_ns)

    def _tell_leg(self, leg: Leg, call: Call, table: CallTable, relays: tuple[str, ...], now_ns: int) -> None:
        until_ns = table.media_until_ns(leg)
        call_until_ns = table.call_until_ns(call)
        claim = self._claim(leg, call, call_until_ns, until_ns, table.reports.get(leg, ()))
        digest = blake2b(_encoder.encode((claim, relays)), digest_size=16).digest()
        sent = self._sent_claims.get(leg)
        if sent is not None and sent.digest == digest:
            return
        self._seq = max(self._seq + 1, now_ns)
        numbered = msgspec.structs.replace(claim, seq=self._seq, sip_ns=leg.last_ns)
        for relay in relays:
            self._board.tell(relay, numbered)
            self.claims += 1
        if call_until_ns == 0:  # the table has forgotten it
            self._sent_claims.pop(leg, None)
        else:
            self._sent_claims[leg] = ToldLeg(call, digest, relays, now_ns)
            self._sent_claims.move_to_end(leg)

    def _ask(self, call: Call, table: CallTable, now_ns: int) -> None:
        """Asks which host saw the call first, by each key that joins its legs, and each leg, by its name."""
        identity = self._identity
        for leg in call.legs:
            if leg in self._asked or not leg.whole or leg.connector is None:
                continue
            keys: list[tuple[tuple[str, ...], Leg | None]] = [
                (key, None) for key in table.keys(leg)[:MAX_KEYS]
            ]
            if leg.way != "internal":  # between two of our own each sees it, and neither counts it
                keys.append((("leg", self._name(leg, "leg")), leg))
            asked = self._asked[leg] = []
            for key, whose in keys:
                text = "\0".join((leg.connector.id, *key))
                asked.append(text)
                self._open[text] = call, whose, now_ns
                own = Elected(identity.transaction_id(call, leg.connector), identity.host, now_ns)
                self._board.ask(text, own)

    def _forget(self, call: Call) -> None:
        """The table has forgotten the call: nobody waits for its elections."""
        self.twice.end(call)
        for leg in call.legs:
            for key in self._asked.pop(leg, ()):
                self._open.pop(key, None)

    def _know_first(self, key: str, winner: Elected, now_ns: int) -> None:
        """Another host that saw the call first has named it; the first key that says so decides.

        Where it has the very same leg, one of the two hosts counts too much.
        """
        call, leg, asked_ns = self._open.pop(key, (None, None, 0))
        if call is None:
            return
        if winner.host == self._identity.host:
            # A leg's name is asked for once: since our start nobody of our name was first but we.
            is_ours = leg is None or winner.at_ns == asked_ns or winner.at_ns < (self._began_ns or 0)
            self.has_namesake |= not is_ours
            return
        connector = key.partition("\0")[0]
        own = (call.who or ((), {}))[1].get(connector)
        if winner.transaction_id != own and (call.elected is None or connector not in call.elected):
            call.elected = {**(call.elected or {}), connector: winner.transaction_id}
            call.who = None
        if leg is not None and leg.connector is not None:
            # Media that ends on this host no other relays.
            passes_by = bool(self._relays(call))
            call.flags.add(SEEN_TWICE if passes_by else SIP_SEEN_TWICE)
            hosts = self._identity.host, winner.host
            pair = self.twice.lose(leg, Sight.ALL if passes_by else Sight.SIP, hosts)
            self._board.ask(pair, Elected(winner.transaction_id, winner.host, now_ns))
        call.saved = None

    def _relays(self, call: Call) -> list[str]:
        """Addresses of the vc on other hosts, where the SDPs that it sent on a call ask for media."""
        found = dict.fromkeys(
            self._sides.public.get(address, address)
            for leg in call.legs
            for _, address, port, *_ in leg.described.get("away", ())
            if port
        )
        return [address for address in found if self._sides.is_vc(address) and address not in self._own]

    def _claim(
        self,
        leg: Leg,
        call: Call,
        call_until_ns: int | None,
        until_ns: int | None,
        reports: tuple[tuple[int, Report], ...],
    ) -> Claim:
        """The claim of a leg without `seq` and `sip_ns`, whose change alone is no news."""
        identity = self._identity
        connector = leg.connector or self._sides.fallback
        facts = CallFacts(
            identity.of_call(call),
            call.answer_ns,
            call.end_ns if call.end_reason == "bye" else None,
            call_until_ns,
            tuple(sorted(call.flags - _OF_THIS_HOST)),
        )
        first = call.legs[0]
        return Claim(
            identity.transaction_id(call, connector),
            self._name(first, "call"),
            self._name(leg, "leg"),
            identity.host,
            0,
            leg.invite_ns,
            until_ns,
            number=call.legs.index(leg),
            way=leg.way,
            role=leg.role,
            side=leg.side,
            peer=leg.peer,
            connector=leg.connector.id if leg.connector else "",
            carrier=leg.carrier,
            ours=_said(leg, "away"),
            far=_said(leg, "towards"),
            described_ns=leg.described_ns,
            session_ns=leg.session_ns,
            is_up=leg.up,
            was_up=leg.was_up,
            is_whole=leg.whole,
            is_recording=leg.recording,
            quality=tuple(
                (at, _anonymous(report)) for at, report in reports if isinstance(report, QualityReport)
            ),
            statistics=tuple((at, report) for at, report in reports if isinstance(report, RtpStat)),
            facts=facts,
            key_id=identity.key_id or "",
        )

    def _name(self, leg: Leg, what: str) -> str:
        """The name of a leg, or of the call that it is the first of: the same on each host that sees it."""
        from_tag, cseq = leg.initial
        parts = what, leg.call_id, from_tag, str(cseq), leg.way, leg.peer
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._identity.key[:64], digest_size=12).hexdigest()

    def __len__(self) -> int:
        return len(self._sent_claims)


def _anonymous(report: QualityReport) -> QualityReport:
    """A report without the names of its call."""
    return msgspec.structs.replace(report, call_id="", dialog=None)


def _said(leg: Leg, passage: Passage) -> str:
    """The last SDP that passed so, condensed; "" for none."""
    return leg.said(passage).decode()
