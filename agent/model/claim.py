"""A claim, which one host sends another: a leg whose SIP it sees, and the call of the leg.

The host that relays the leg's media makes of it the leg and the call that an SDP of its own would have given.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from agent.model.sides import Side
from agent.wire.sip.quality_report import QualityReport, RtpStat

VERSION = 1
Way = Literal["incoming", "outgoing", "internal"]
# A call's Call-IDs, from user and country, to user and country, endpoint id: as records may show them.
Who = tuple[list[str], str | None, str | None, str | None, str | None, str]
NOBODY: Who = ([], None, None, None, None, "")


class CallFacts(Struct, frozen=True, omit_defaults=True):
    """The facts that the legs of a call share. UTC ns; `until_ns`: when its media is given up, once known."""

    who: Who = NOBODY
    answer_ns: int | None = None
    bye_ns: int | None = None  # when a BYE ended it
    until_ns: int | None = None
    flags: tuple[str, ...] = ()


class Claim(Struct, frozen=True, omit_defaults=True):
    """A leg as the host that sees its SIP knows it. Each claim stands for all before it.

    `call`, `leg`: names that every host with the fleet's key finds. `seq`: greater in each claim of `host`,
    also after a restart. `until_ns`: when the leg's media is given up, None while it is not known. UTC ns.
    """

    transaction_id: str
    call: str
    leg: str
    host: str
    seq: int
    valid_from_ns: int
    until_ns: int | None = None
    number: int = 0  # its place among the legs of the call
    way: Way = "incoming"
    role: Way = "incoming"
    side: Side | None = None
    peer: str = ""
    connector: str = ""
    carrier: str = ""
    ours: str = ""  # the last SDP that the vc sent, condensed (`agent.wire.sdp.condensed`)
    far: str = ""  # ... and that the far end sent
    described_ns: int = 0
    sip_ns: int = 0  # its newest message
    session_ns: int | None = None  # when the session timer runs out (RFC 4028)
    is_up: bool = False
    was_up: bool = False
    is_whole: bool = True  # its initial INVITE was seen
    is_recording: bool = False
    quality: tuple[tuple[int, QualityReport], ...] = ()  # reports of its far end (RFC 6035), and when
    statistics: tuple[tuple[int, RtpStat], ...] = ()  # ... and headers of its BYE
    facts: CallFacts = CallFacts()
    key_id: str = ""  # the key of its host, behind names and ids
    version: int = VERSION


def in_our_time(claim: Claim, by_ns: int) -> Claim:
    """A claim of a host whose clock is `by_ns` behind ours, its times moved."""

    def moved(stamp_ns: int | None) -> int | None:
        return stamp_ns + by_ns if stamp_ns else stamp_ns

    facts = claim.facts
    return replace(
        claim,
        **{name: moved(getattr(claim, name)) for name in _TIMES},
        quality=tuple((stamp_ns + by_ns, report) for stamp_ns, report in claim.quality),
        statistics=tuple((stamp_ns + by_ns, report) for stamp_ns, report in claim.statistics),
        facts=replace(facts, **{name: moved(getattr(facts, name)) for name in _TIMES_OF_CALL}),
    )


_TIMES = ("valid_from_ns", "until_ns", "described_ns", "sip_ns", "session_ns")
_TIMES_OF_CALL = ("answer_ns", "bye_ns", "until_ns")


class RemoteClaim(Struct, frozen=True):
    """A claim of another host, when it arrived (UTC ns), and the entry that had it: relay's address, id.

    `sent_ns`: when it was sent, by the other's clock; 0 where that is not known, or it was not read at once.
    """

    claim: Claim
    arrival_ns: int
    relay: str = ""
    entry: str = ""
    sent_ns: int = 0

    @property
    def from_ns(self) -> int:
        """From when it holds: a host whose clock is ahead tells nothing of the future."""
        return min(self.claim.valid_from_ns, self.arrival_ns)


class ClaimedCall(Struct):
    """Of a call whose SIP another host sees: who it is, by the newest claim, and when that arrived."""

    name: str
    host: str
    seq: int
    heard_ns: int
    who: Who
    ids: dict[str, str]  # transaction id by connector
    reported_ns: dict[str, int]  # the newest report of a far end that was taken, by leg
