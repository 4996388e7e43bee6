# cython: language_level=3
"""The classes that point at each other: a call, its legs, their dialogs, and the streams that they carry.

A *leg* is keyed by Call-ID, the From tag of its initial INVITE, its way, and the owner of its peer's address.
Its way is `incoming` where that INVITE reaches the vc, `outgoing` where the vc sends it, and `internal` where
the vc is at both ends or at neither (or is not known). A proxy so has an incoming and an outgoing leg with
the same Call-ID. One that forks to a customer and to a carrier has an outgoing leg for each. Forks to the
same peer make several dialogs in one leg (RFC 3261 12), told apart by the callee's tag.
"""

from __future__ import annotations

from typing import Any, Literal

import cython

from agent.model.attempt_cy import Attempt, Outcome
from agent.model.claim import ClaimedCall
from agent.model.far_end_cy import FarEndLoss
from agent.model.missed import Missed
from agent.model.sides import Connector, Side, Socket
from agent.wire.rtp.payload_types import STATIC_TYPES
from agent.wire.sdp.session_cy import Session, condensed

Gaps = dict[int, int]  # sequence numbers never seen, by SSRC
MAX_RELAYS = 256  # streams remembered a leg, because a sender may change SSRCs without end
MEDIA_TOTALS_FIELDS = ("lost", "arrived", "left", "vc_lost", "first_ns", "histograms", "heard")
"""A `LegMediaTotals`'s fields, in the order in which a checkpoint has them."""


@cython.no_gc
@cython.cclass
class LegMediaTotals:
    """Media totals of one leg over the whole call.

    `lost`: direction to cumulative loss as the leg's connector sees it, None where streams ran and loss is
    unknown. `arrived` and `left`: gaps by SSRC. `vc_lost`: published so far as the vc's own loss. `first_ns`:
    the first RTP packet towards the vc, and away from it. `histograms`: direction to runs of lost packets and
    late packets; None: neither. `heard`: direction to codecs, packets scored, their MOS summed, and packets
    whose loss is known; None: nothing yet.
    """

    def __init__(self) -> None:
        self.lost: dict[str, int | None] = {}
        self.arrived: dict[int, int] = {}
        self.left: dict[int, int] = {}
        self.vc_lost: dict[int, int] = {}
        self.first_ns: dict[bool, int] = {}
        self.histograms: dict[str, tuple[list[int], list[int]]] | None = None
        self.heard: dict[str, tuple[tuple[str, ...], int, float, int]] | None = None

    def gap(self, ssrc: cython.longlong, gaps: cython.longlong, arrived: cython.bint) -> None:
        """Adds `gaps` numbers of a stream that were never seen."""
        table: Gaps = self.arrived if arrived else self.left
        number: object = ssrc  # one object for both look-ups
        before = table.get(number)  # type: ignore[call-overload]
        if before is not None:
            gaps += before
        elif len(table) >= MAX_RELAYS:
            return
        table[number] = gaps  # type: ignore[index]


Way = Literal["incoming", "outgoing", "internal"]
Direction = Literal["inbound", "outbound"]
# How one message crosses the vc's edge.
Passage = Literal["towards", "away", "internal"]
# The owner of a peer's address: its side, and the connector whose network holds it.
Place = tuple[Side | None, Connector | None]
# The parts of an m-line whose change makes other media: kind, address, port, direction, payload types, RTP or
# not.
Section = tuple[str, str, int, str, tuple[int, ...], bool]

# (passage, sent by the caller)
_WAY: dict[tuple[Passage, bool], Way] = {
    ("towards", True): "incoming",
    ("away", True): "outgoing",
    ("towards", False): "outgoing",
    ("away", False): "incoming",
    ("internal", True): "internal",
    ("internal", False): "internal",
}

MAX_OTHERS = 8  # addresses of one leg beside its peer's

# The fields in the order in which a checkpoint has them. `streams` are not saved; they are attached again.
DIALOG_FIELDS = ("confirmed", "ended", "answer_ns", "bye_ns", "bye_tag", "both_left")
LEG_FIELDS = (
    "call_id", "from_tag", "way", "peer", "side", "invite_ns", "cseq", "from_user", "to_user", "uri_user",
    "place", "whole", "connector", "attempt", "account", "dialogs", "reports", "sdp", "joined", "last_ns",
    "session_ns", "held", "final_ns", "rung", "media_totals", "sent", "carried", "described_ns", "described",
    "source", "role", "asserted", "diverted", "targets", "recording", "retagged",
    "others", "initial", "carrier", "asked", "call",
)  # fmt: skip

# A forking proxy makes a handful of dialogs a leg; thousands mean invented tags.
MAX_DIALOGS = 32


def way_of(passage: Passage, from_caller: bool) -> Way:
    """The way of the leg on which a message travels, by its sender and by how it crosses the vc's edge."""
    return _WAY[passage, from_caller]


@cython.no_gc
@cython.cclass
class Dialog:
    """One callee tag of a leg. Times are capture time in ns."""

    def __init__(self) -> None:
        self.confirmed = False
        self.ended = False
        self.answer_ns = 0
        self.bye_ns: int | None = None  # its first BYE, until that is answered
        self.bye_tag = ""  # the From tag of the party that sent it
        self.both_left = False  # the other party sent a BYE too: no refusal keeps the dialog up

    @property
    def up(self) -> bool:
        return self.confirmed and not self.ended


class Leg:
    """One side of a call. Times are capture time in ns; `side` is the far end's, None when unknown.

    call_cy.pxd has the C types.
    """

    def __init__(
        self,
        call_id: str,
        from_tag: str,
        way: Way,
        peer: str,
        side: Side | None,
        invite_ns: int,
        cseq: int,
        place: Place = (None, None),
        whole: bool = True,
    ) -> None:
        self.call_id = call_id
        self.from_tag = from_tag
        self.way: Way = way
        self.peer = peer
        self.side = side
        self.invite_ns = invite_ns  # the newest initial INVITE: joining counts from here
        self.cseq = cseq
        self.from_user = ""
        self.to_user = ""
        self.uri_user = ""
        self.place = place
        self.whole = whole  # its initial INVITE was seen
        self.connector: Connector | None = None
        self.attempt: Attempt | None = None
        self.account: CountedAttempt | None = None
        self.dialogs: dict[str, Dialog] = {}
        # minute: RTCP packets and bytes towards the vc, packets and bytes away from it
        self.reports: dict[int, list[int]] = {}
        # The last SDP each way: its hash, its length condensed, and its parsed form or that text (`said`)
        self.sdp: dict[Passage, tuple[int, int, Session | bytes]] = {}
        self.joined = False
        self.last_ns = invite_ns
        self.session_ns: int | None = None  # when the session timer runs out (RFC 4028)
        self.held = False
        # the last non-2xx final: a hunting carrier's next try starts from here
        self.final_ns: int | None = None
        self.rung = False  # a response told the caller the state of the call (RFC 6076 4.3)
        self.streams: set[Stream] = set()
        self.sources: dict[Socket, int] | None = (
            None  # socket to the time at which a named or answered source began there
        )
        self.media_totals = LegMediaTotals()
        self.sent: set[int] = set()  # SSRCs that left on it
        self.carried = 0  # loss away from the vc that came out negative and is still to be made up for
        self.described_ns = 0  # when SDP last changed its media
        self.described: dict[Passage, list[Section]] = {}  # by the last SDP each way
        self.source = ""  # the address that its initial INVITE came from
        self.role: Way = (
            way  # the leg's whose place it takes: the replaced one's (RFC 3891), the transferor's
        )
        self.asserted: tuple[str, ...] = ()  # callers that P-Asserted-Identity and Remote-Party-ID name
        self.diverted: tuple[str, ...] = ()  # numbers called before, from Diversion
        # further users called: of History-Info, of a 3xx's Contact, of its INVITE when that came again
        self.targets: tuple[str, ...] = ()
        self.recording = False  # a recording session (RFC 7866), which is no leg of a call
        self.retagged = False  # its challenged INVITE comes again with another From tag
        self.asked: tuple[int, ...] = ()  # CSeqs of the vc's newest requests on it that may carry SDP
        self.others: tuple[str, ...] = ()  # addresses beside `peer` that the vc itself turned to
        self.initial = (from_tag, cseq)  # of its first INVITE; a retry has others
        self.carrier = ""  # the carrier at its far end, "" where no configured one fits
        self.call: Call = None  # type: ignore[assignment]  # the call that takes it in sets it

    @property
    def up(self) -> bool:
        """Whether one of its dialogs is confirmed and not over."""
        return bool(self.is_up())

    @property
    def was_up(self) -> bool:
        """Whether one of its dialogs was ever confirmed."""
        return bool(self.has_been_up())

    def is_up(self) -> cython.bint:
        dialog: Dialog
        for dialog in self.dialogs.values():
            if dialog.confirmed and not dialog.ended:
                return True
        return False

    def has_been_up(self) -> cython.bint:
        dialog: Dialog
        for dialog in self.dialogs.values():
            if dialog.confirmed:
                return True
        return False

    def knows(self, address: str) -> cython.bint:
        """Whether the vc deals with `address` on this leg."""
        return address == self.peer or address == self.source or address in self.others

    @property
    def direction(self) -> Direction | None:
        """Inbound: remote to customer. Outbound: customer to remote. None when the side is unknown."""
        if self.side not in ("customer", "remote") or self.way == "internal" or not self.whole:
            return None
        from_customer = (self.side == "customer") == (self.way == "incoming")
        return "outbound" if from_customer else "inbound"

    def dialog(self, tag: str) -> Dialog:
        """The dialog of a callee's tag, made when it is new. Capped, because tags come from the wire."""
        found = self.dialogs.get(tag)
        if found is None:
            if len(self.dialogs) >= MAX_DIALOGS:
                for old, dialog in self.dialogs.items():
                    if not dialog.up:
                        del self.dialogs[old]
                        break
                else:
                    return Dialog()
            found = self.dialogs[tag] = Dialog()
        return found

    def said(self, passage: Passage) -> bytes:
        """The last SDP that passed so, condensed; b"" for none. From here on it is kept in this form."""
        row = self.sdp.get(passage)
        if row is None:
            return b""
        written, size, read = row
        if isinstance(read, Session):
            read = condensed(read)
            self.sdp[passage] = written, size, read
        return read

    def condense(self) -> None:
        """Keeps every SDP in its condensed form from here on, as a checkpoint has it."""
        for passage in tuple(self.sdp):
            self.said(passage)

    def callee_tag(self, from_tag: str, to_tag: str) -> str:
        return to_tag if from_tag == self.from_tag else from_tag


_NO_CODECS: dict[int, str] = {}  # `trust` of every stream that no SDP has explained


class Stream:
    """One stream. `to_vc`: True towards the vc, False away from it, None: unknown. `trust`: model/trust."""

    def __init__(self, id: int, src: Socket, dst: Socket, ssrc: int, first_ns: int) -> None:
        self.id = id
        self.src = src
        self.dst = dst
        self.ssrc = ssrc
        self.first_ns = first_ns
        self.leg: Leg | None = None
        self.to_vc: bool | None = None
        # loss is measured here; of a stream that leaves the vc the far end reports it
        self.measured_here: bool | None = None
        self.clean = False  # its second packet followed its first (RFC 3550 A.1: probation dropped none)
        self.attached = False  # it has belonged to a leg
        self.first = False  # its first packet is the first of its SSRC that leaves on its leg
        self.audio = True
        self.named = True  # it comes from an address that its sender's SDP names
        self.trust = 0  # of one that leaves, the vc's own
        self.codecs: dict[int, str] = _NO_CODECS  # payload type: encoding name
        self.far_end_loss: FarEndLoss | None = None  # the far end's view, None until its first report

    @property
    def away(self) -> FarEndLoss:
        if self.far_end_loss is None:
            self.far_end_loss = FarEndLoss()
        return self.far_end_loss

    @away.setter
    def away(self, away: FarEndLoss) -> None:
        self.far_end_loss = away


def codec_name(stream: Stream, payload_type: cython.int) -> str:
    """The encoding name of a payload type of a stream; "" where it is unknown. A method would cost each
    stream the eight bytes of a table of methods.
    """
    name = stream.codecs.get(payload_type)
    if name is None:
        static = STATIC_TYPES.get(payload_type)
        name = static.name if static else ""
    return name


"""The flag of a call that is known by its media alone."""
MEDIA_ELSEWHERE = "media_elsewhere"
# Another host sees the same leg and was first: all of the call, or, where its media ends here, its SIP alone.
SEEN_TWICE, SIP_SEEN_TWICE = "seen_twice", "sip_seen_twice"
"""The flag of an answered call whose media does not pass this host."""
EndReason = Literal["bye", "timer", "silence"]
# The fields in the order in which a checkpoint has them. The encoding cache and the parties of the records
# are made again.
ACCOUNT_FIELDS = ("leg", "direction", "legs", "outcome", "answered", "decided_by")
CALL_FIELDS = (
    "legs", "accounts", "answer_ns", "end_ns", "end_reason", "last_rtp_ns", "flags", "rtt_us", "reported",
    "released", "completed", "ring_ns", "claim", "elected",
)  # fmt: skip


class CountedAttempt:
    """One place where a call counts: a direction, and the legs whose attempts decide it together.

    `leg` is the first of them. Its connector is the account's, and may become known later.
    """

    def __init__(self, leg: Leg, direction: Direction | None) -> None:
        self.leg = leg
        self.direction: Direction | None = direction
        self.legs: list[Leg] = []
        self.outcome: Outcome | None = None
        self.answered = False  # by a 2xx, a late one too
        self.decided_by: Leg | None = None


class Call:
    """Joined legs. `answer_ns`: the first 2xx on the counting leg; `end_ns`: when its end was found."""

    def __init__(self, answer_ns: int | None = None) -> None:
        self.legs: list[Leg] = []
        # the counting leg: the one on the leg that `count_at` names first
        self.accounts: list[CountedAttempt] = []
        self.answer_ns = answer_ns
        self.ring_ns: int | None = None  # the first 101-199 or 2xx
        self.end_ns: int | None = None
        self.end_reason: EndReason | None = None
        self.last_rtp_ns = 0
        self.flags: set[str] = set()
        self.rtt_us: dict[str, float] = {}  # side: the last known
        self.reported = False  # its `call` record is out
        self.released = False  # its media sockets are given up
        self.completed = False  # its end is counted (RFC 6076)
        # Connector to the transaction id that the host has given it which saw the call first; None: we did.
        self.elected: dict[str, str] | None = None
        self.claim: ClaimedCall | None = None  # another host sees its SIP, and counts it
        self.saved: bytes | None = None  # its encoded form in a checkpoint, until it changes
        self.who: tuple[Any, ...] | None = None  # all parties that its records name, until another leg joins

    @property
    def incoming(self) -> Leg | None:
        return self.find_incoming()

    def find_incoming(self) -> Leg | None:
        leg: Leg
        for leg in self.legs:
            if leg.role == "incoming":
                return leg
        return None

    @property
    def lead(self) -> Leg:
        """The leg that names the call: the incoming one, else the first."""
        return self.find_lead()

    def find_lead(self) -> Leg:
        return self.find_incoming() or self.legs[0]

    @property
    def whole(self) -> bool:
        leg: Leg
        for leg in self.legs:
            if not leg.whole:
                return False
        return True

    @property
    def counted(self) -> Leg:
        """The leg whose attempt is the call's."""
        if self.accounts:
            return self.accounts[0].decided_by or self.accounts[0].leg
        return self.lead

    @property
    def outcome(self) -> Outcome | Literal["pending"]:
        if self.accounts:
            return self.accounts[0].outcome or "pending"
        attempt = self.lead.attempt
        return (attempt.outcome if attempt else None) or "pending"

    @property
    def decided(self) -> bool:
        """Whether every outcome that this call can have is known."""
        if self.accounts:
            return all(account.outcome is not None for account in self.accounts)
        return self.outcome != "pending"

    @property
    def up(self) -> bool:
        """Whether it is answered and not over."""
        return bool(self.is_up())

    def is_up(self) -> cython.bint:
        return self.answer_ns is not None and self.end_ns is None

    def last_sip_ns(self) -> cython.longlong:
        leg: Leg
        newest_ns: cython.longlong = 0
        for leg in self.legs:
            newest_ns = max(newest_ns, leg.last_ns)
        return newest_ns

    def is_held(self) -> cython.bint:
        leg: Leg
        for leg in self.legs:
            if leg.held:
                return True
        return False

    def carrier(self) -> str:
        """The carrier at its remote end: of the leg that is or was up, else of the last leg tried."""
        leg: Leg
        found = ""
        for leg in self.legs:
            if leg.carrier and leg.has_been_up():
                return leg.carrier
            found = leg.carrier or found
        return found

    def owner(self) -> Leg:
        """The leg of the first connector that the call belongs to: that of the first of its `views`."""
        leg: Leg
        found: Leg | None = None
        for leg in self.legs:
            if leg.way == "internal":
                continue
            if leg.side == "customer":
                if leg.role == "incoming":
                    return leg
                if found is None or found.side != "customer":
                    found = leg
            elif leg.side == "remote" and found is None:
                found = leg
        return found or self.find_lead()

    def views(self) -> list[tuple[Leg, list[Leg], list[Leg]]]:
        """(owner, customer legs, remote legs) for each connector that the call belongs to.

        Where both legs are customers', each counts in its own connector with the other as its remote. A
        remote leg beside them (a fork, a transfer) is the caller's, and counts once.
        """
        callers: list[Leg] = []
        callees: list[Leg] = []
        remotes: list[Leg] = []
        customers: list[Leg] = []
        leg: Leg
        for leg in self.legs:
            if leg.way == "internal":
                continue
            if leg.side == "customer":
                customers.append(leg)
                (callers if leg.role == "incoming" else callees).append(leg)
            elif leg.side == "remote":
                remotes.append(leg)
        if callers and callees:
            return [(callers[0], callers, callees + remotes), (callees[0], callees, callers)]
        if customers:
            return [(customers[0], customers, remotes)]
        return [(remotes[0], [], remotes)] if remotes else [(self.lead, [], [])]

    def adopt(self, leg: Leg) -> None:
        """Adds a leg, and shares with the others the connector that it knows."""
        leg.call = self
        self.legs.append(leg)
        self.who = None
        self.share_connector(leg)

    def share_connector(self, leg: Leg) -> None:
        other: Leg
        known = leg.connector
        if known is None:
            for other in self.legs:
                if other.connector is not None:
                    leg.connector = other.connector
                    break
            return
        for other in self.legs:
            if other.connector is None:
                other.connector = known

    def check_over(self, now_ns: cython.longlong) -> cython.bint:
        """Whether an answered call ends now, because no dialog keeps it up.

        A call that silence had ended was up all the same until this BYE.
        """
        if self.answer_ns is None or self.end_reason == "bye":
            return False
        if self.is_kept_by(self.accounts[0].legs if self.accounts else [self.find_lead()]):
            return False
        self.end_ns, self.end_reason = now_ns, "bye"
        return True

    def is_kept_by(self, counting: list[Leg]) -> cython.bint:
        """Whether a dialog of `counting` keeps the call up, or two other legs do without it.

        A B2BUA bridges two other legs after a transfer, a pick-up or a queue. Where the counting leg itself
        was never up, any other leg is enough.
        """
        leg: Leg
        others: cython.int = 0
        was_up: cython.bint = False
        for leg in self.legs:
            if leg in counting:
                if leg.is_up():
                    return True
                was_up = was_up or leg.has_been_up()
            else:
                others += leg.is_up()
        return others >= (2 if was_up else 1)

    def check_silence(
        self,
        now_ns: cython.longlong,
        call_timeout_ns: cython.longlong,
        hold_timeout_ns: cython.longlong,
        missed: Missed,
    ) -> None:
        """Ends the call by session timer or silence, or opens it again where traffic came back.

        Called at a minute's end. `missed` time counts as no silence, and a session that it touches may have
        been refreshed.
        """
        if self.end_reason == "bye" or self.answer_ns is None:
            return
        last_ns: cython.longlong = max(self.last_sip_ns(), self.last_rtp_ns)
        if self.end_ns is not None:
            if last_ns <= self.end_ns:
                return
            self.end_ns = self.end_reason = None
        leg: Leg
        timer_ns: int | None = None  # the first timer to run out
        for leg in self.legs:
            session_ns = leg.session_ns
            if session_ns is not None and leg.is_up() and (timer_ns is None or session_ns < timer_ns):
                timer_ns = session_ns
        if (
            timer_ns is not None
            and timer_ns <= now_ns
            and self.last_rtp_ns <= timer_ns
            and not missed.touches(self.last_sip_ns(), timer_ns)
        ):
            self.end_ns, self.end_reason = timer_ns, "timer"
            return
        # Nobody here hears media that is elsewhere: its silence tells as little as that of a held call.
        quiet: cython.bint = self.is_held() or MEDIA_ELSEWHERE in self.flags
        silence_ns: cython.longlong = hold_timeout_ns if quiet else call_timeout_ns
        if now_ns - last_ns >= silence_ns:
            silence_ns += missed.within_ns(last_ns, now_ns)
        if now_ns - last_ns >= silence_ns:
            self.end_ns, self.end_reason = last_ns + silence_ns, "silence"
