# cython: language_level=3
"""Dialogs and legs (RFC 3261 12): what a tap knows of one side of a call.

A *leg* is keyed by Call-ID, the From tag of its initial INVITE, its way, and whose peer it has: `incoming`
when that INVITE reaches the vc, `outgoing` when the vc sends it, `internal` when the vc is at both ends or
at neither (or nobody knows who the vc is). A proxy so has an incoming and an outgoing leg with the same
Call-ID; one that forks to a customer and to a carrier has an outgoing leg for each. Forks to the same peer
make several dialogs in one leg, told apart by the callee's tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agent.tracking.ledger_cy import Ledger
from agent.tracking.sides import Connector, Side

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if TYPE_CHECKING:
    from agent.tracking.call_cy import Account, Call
    from agent.tracking.stream_cy import Stream
    from agent.tracking.transaction_cy import Attempt

Way = Literal["incoming", "outgoing", "internal"]
Direction = Literal["inbound", "outbound"]
# How one message crosses the vc's edge.
Passage = Literal["towards", "away", "internal"]
# Whose a peer is: its side, and the connector whose network holds it.
Place = tuple[Side | None, Connector | None]
# What of an m-line makes its media another: kind, address, port, direction, payload types, RTP or not.
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

# The fields in the order in which a checkpoint has them; `streams` are not saved, they are attached again.
DIALOG_FIELDS = ("confirmed", "ended", "answer_ns", "bye_ns")
LEG_FIELDS = (
    "call_id", "from_tag", "way", "peer", "side", "invite_ns", "cseq", "from_user", "to_user", "uri_user",
    "place", "whole", "connector", "attempt", "account", "dialogs", "reports", "sdp", "joined", "last_ns",
    "session_ns", "held", "final_ns", "rung", "ledger", "sent", "carried", "described_ns", "described",
    "call",
)  # fmt: skip

# A forking proxy makes a handful of dialogs a leg; thousands are somebody inventing tags.
MAX_DIALOGS = 32


def way_of(passage: Passage, from_caller: bool) -> Way:
    """The leg on which a message travels: who sent it, and how it crosses the vc's edge, decide."""
    return _WAY[passage, from_caller]


class Dialog:
    """One callee tag of a leg. Times are capture time in ns."""

    def __init__(self) -> None:
        self.confirmed = False
        self.ended = False
        self.answer_ns = 0
        self.bye_ns: int | None = None  # its first BYE, until that is answered

    @property
    def up(self) -> bool:
        return self.confirmed and not self.ended


class Leg:
    """One side of a call. Times are capture time in ns; `side` is the far end's, None when unknown.

    dialog_cy.pxd has the C types. `account` and `call` have none there: their modules need this one.
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
        self.account: Account | None = None
        self.dialogs: dict[str, Dialog] = {}
        # minute: RTCP packets and bytes towards the vc, packets and bytes away from it
        self.reports: dict[int, list[int]] = {}
        self.sdp: dict[Passage, bytes] = {}  # the last SDP each way, as it was written
        self.joined = False
        self.last_ns = invite_ns
        self.session_ns: int | None = None  # when the session timer runs out (RFC 4028)
        self.held = False
        self.final_ns: int | None = None  # last non-2xx final: hunting starts from here
        self.rung = False  # a response told the caller what happens (RFC 6076 4.3)
        self.streams: set[Stream] = set()
        self.ledger = Ledger()
        self.sent: set[int] = set()  # SSRCs that left on it
        self.carried = 0  # loss away from the vc that came out negative, waiting to be made up for
        self.described_ns = 0  # when its media was last described otherwise than before
        self.described: dict[Passage, list[Section]] = {}  # by the last SDP each way
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

    @property
    def direction(self) -> Direction | None:
        """Inbound: remote to customer. Outbound: customer to remote. None when the side is unknown."""
        if self.side not in ("customer", "remote") or self.way == "internal" or not self.whole:
            return None
        from_customer = (self.side == "customer") == (self.way == "incoming")
        return "outbound" if from_customer else "inbound"

    def dialog(self, tag: str) -> Dialog:
        """The dialog of a callee's tag, made when it is new. Capped: tags come from the wire."""
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

    def callee_tag(self, from_tag: str, to_tag: str) -> str:
        return to_tag if from_tag == self.from_tag else from_tag
