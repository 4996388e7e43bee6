"""Dialogs and legs (RFC 3261 12): what a tap knows of one side of a call.

A *leg* is keyed by Call-ID, the From tag of its initial INVITE, its way, and whose peer it has: `incoming`
when that INVITE reaches the vc, `outgoing` when the vc sends it, `internal` when the vc is at both ends or
at neither (or nobody knows who the vc is). A proxy so has an incoming and an outgoing leg with the same
Call-ID; one that forks to a customer and to a carrier has an outgoing leg for each. Forks to the same peer
make several dialogs in one leg, told apart by the callee's tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from agent.tracking.ledger import Ledger
from agent.tracking.sides import Connector, Side
from agent.tracking.transaction import Attempt

if TYPE_CHECKING:
    from agent.tracking.call import Account, Call
    from agent.tracking.stream_cy import Stream

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

# A forking proxy makes a handful of dialogs a leg; thousands are somebody inventing tags.
MAX_DIALOGS = 32


def way_of(passage: Passage, from_caller: bool) -> Way:
    """The leg on which a message travels: who sent it, and how it crosses the vc's edge, decide."""
    return _WAY[passage, from_caller]


class Dialog(Struct):
    """One callee tag of a leg. Times are capture time in ns."""

    confirmed: bool = False
    ended: bool = False
    answer_ns: int = 0
    bye_ns: int | None = None  # its first BYE, until that is answered

    @property
    def up(self) -> bool:
        return self.confirmed and not self.ended


class Leg(Struct, eq=False):
    """One side of a call. Times are capture time in ns; `side` is the far end's, None when unknown."""

    call_id: str
    from_tag: str
    way: Way
    peer: str
    side: Side | None
    invite_ns: int  # the newest initial INVITE: joining counts from here
    cseq: int
    from_user: str = ""
    to_user: str = ""
    uri_user: str = ""
    place: Place = (None, None)
    whole: bool = True  # its initial INVITE was seen
    connector: Connector | None = None
    attempt: Attempt | None = None
    account: Account | None = None
    dialogs: dict[str, Dialog] = {}
    # minute: RTCP packets and bytes towards the vc, packets and bytes away from it
    reports: dict[int, list[int]] = {}
    sdp: dict[Passage, bytes] = {}  # the last SDP each way, as it was written
    joined: bool = False
    last_ns: int = 0
    session_ns: int | None = None  # when the session timer runs out (RFC 4028)
    held: bool = False
    final_ns: int | None = None  # last non-2xx final: hunting starts from here
    rung: bool = False  # a response told the caller what happens (RFC 6076 4.3)
    streams: set[Stream] = set()
    ledger: Ledger = field(default_factory=Ledger)
    sent: set[int] = set()  # SSRCs that left on it
    carried: int = 0  # loss away from the vc that came out negative, waiting to be made up for
    described_ns: int = 0  # when its media was last described otherwise than before
    described: dict[Passage, list[Section]] = {}  # by the last SDP each way
    call: Call = None  # type: ignore[assignment]  # the call that takes it in sets it

    @property
    def up(self) -> bool:
        return any(dialog.up for dialog in self.dialogs.values())

    @property
    def was_up(self) -> bool:
        return any(dialog.confirmed for dialog in self.dialogs.values())

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
