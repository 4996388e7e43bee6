"""The board of a fleet: a host tells which media sockets its calls use, the relay's host hears it.

Three verbs. `tell` gives a claim to the host that has a media address, `hear` takes those for one's own
addresses, `elect` asks whose transaction id a call has. A claim may come twice, late or in any order:
`ClaimTable` makes one end of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from hashlib import blake2b
from typing import Protocol

from msgspec import Struct

from agent.model.sides import Side, Socket

VERSION = 1
MAX_WAITING = 100_000  # claims that nobody has taken yet; also what a board keeps of one address
MAX_ELECTED = 100_000


class Claim(Struct, frozen=True, omit_defaults=True):
    """A media socket that a leg uses. `until_ns` is set once it is released. Times are UTC ns.

    `seq`: greater in each claim of `host`, also after a restart. `rtpmap`: payload type to encoding and rate.
    """

    transaction_id: str
    leg: str
    socket: Socket
    host: str
    seq: int
    valid_from_ns: int
    until_ns: int | None = None
    side: Side | None = None
    connector: str = ""
    carrier: str = ""
    call_ids: tuple[str, ...] = ()
    peer: str = ""
    rtpmap: dict[int, str] = {}
    ssrc: int | None = None
    encrypted: bool = False
    version: int = VERSION


class RemoteClaim(Struct, frozen=True):
    """A claim of another host, and when it arrived here."""

    claim: Claim
    arrival_ns: int

    @property
    def from_ns(self) -> int:
        """From when it holds: a host whose clock is ahead tells nothing of the future."""
        return min(self.claim.valid_from_ns, self.arrival_ns)


class Elected(Struct, frozen=True, array_like=True):
    """Whose transaction id a call has: the first host that said so."""

    transaction_id: str
    host: str
    at_ns: int


class Board(Protocol):
    """What hosts have in common. No verb raises: without the board each host knows what it sees itself."""

    def tell(self, relay: str, claim: Claim) -> None:
        """Give `claim` to the host of the media address `relay`."""

    def hear(self) -> list[RemoteClaim]:
        """Claims for this host's media addresses since the last call."""

    def elect(self, key: str, leg: Elected) -> Elected | None:
        """Who was first for a correlation key, `leg` where nobody was; None where nobody can say."""


class LocalBoard:
    """The board of one host alone: a call of a function."""

    def __init__(self) -> None:
        self._told: deque[RemoteClaim] = deque(maxlen=MAX_WAITING)
        self._elected: OrderedDict[str, Elected] = OrderedDict()

    def tell(self, relay: str, claim: Claim) -> None:
        self._told.append(RemoteClaim(claim, claim.valid_from_ns))

    def hear(self) -> list[RemoteClaim]:
        heard = list(self._told)
        self._told.clear()
        return heard

    def elect(self, key: str, leg: Elected) -> Elected:
        found = self._elected.setdefault(key, leg)
        while len(self._elected) > MAX_ELECTED:
            self._elected.popitem(last=False)
        return found


class ClaimTable:
    """The newest claim of each leg and socket, whatever came twice or out of order. The oldest make room."""

    def __init__(self, cap: int = MAX_WAITING) -> None:
        self.evicted = 0
        self._cap = cap
        self._newest: OrderedDict[tuple[str, str, str, Socket], RemoteClaim] = OrderedDict()

    def take(self, heard: RemoteClaim) -> bool:
        """Whether `heard` is news. A release stays, so that the claim before it changes nothing any more."""
        claim = heard.claim
        key = (claim.host, claim.transaction_id, claim.leg, claim.socket)
        before = self._newest.get(key)
        if before is not None and before.claim.seq >= claim.seq:
            return False
        self._newest[key] = heard
        self._newest.move_to_end(key)
        if len(self._newest) > self._cap:
            self._newest.popitem(last=False)
            self.evicted += 1
        return True

    def held(self, at_ns: int) -> dict[Socket, Claim]:
        """The sockets claimed at a time. Of two claims of one socket the one that began later holds."""
        found: dict[Socket, RemoteClaim] = {}
        for heard in self._newest.values():
            claim = heard.claim
            if heard.from_ns <= at_ns and (claim.until_ns is None or at_ns < claim.until_ns):
                before = found.get(claim.socket)
                if before is None or _rank(before) < _rank(heard):
                    found[claim.socket] = heard
        return {socket: heard.claim for socket, heard in found.items()}


def _rank(heard: RemoteClaim) -> tuple[int, str, str, str]:
    """An order of claims that no arrival changes."""
    claim = heard.claim
    return claim.valid_from_ns, claim.host, claim.transaction_id, claim.leg


def claim_key(relay: str) -> str:
    """Where claims for a media address stand. The braces keep one key in one slot of a cluster."""
    return f"claim:{{{relay}}}"


def leg_key(correlation: str) -> str:
    """Where a correlation key's election stands: a hash, so that no Call-ID or number leaves the host."""
    return f"leg:{{{blake2b(correlation.encode('utf-8', 'surrogateescape'), digest_size=16).hexdigest()}}}"
