"""The board of a fleet: a host tells which media sockets its calls use, the relay's host hears it.

Three verbs. `tell` gives a claim to the host that has a media address, `hear` takes those for one's own
addresses, `elect` asks whose transaction id a call has. A claim may come twice, late or in any order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from hashlib import blake2b
from typing import Protocol

from msgspec import Struct

from agent.model.claim import Claim, RemoteClaim

MAX_WAITING = 100_000  # claims that nobody has taken yet; also what a board keeps of one address
MAX_ELECTED = 100_000


class Elected(Struct, frozen=True, array_like=True):
    """The host whose transaction id a call has: the first one that said so."""

    transaction_id: str
    host: str
    at_ns: int


class Board(Protocol):
    """The facts that hosts share. No verb raises: without the board each host knows what it sees itself."""

    def tell(self, relay: str, claim: Claim) -> None:
        """Give `claim` to the host of the media address `relay`."""

    def hear(self) -> list[RemoteClaim]:
        """Claims for this host's media addresses since the last call."""

    def elect(self, key: str, leg: Elected) -> Elected | None:
        """The first host for a correlation key, `leg` where there was none; None where unknown."""

    def ask(self, key: str, leg: Elected) -> None:
        """The same for who cannot wait: `answers` has it later, or never."""

    def answers(self) -> list[tuple[str, Elected]]:
        """The first hosts for the keys asked for, since the last call."""


class LocalBoard:
    """The board of one host alone: a call of a function."""

    def __init__(self) -> None:
        self._claims: deque[RemoteClaim] = deque(maxlen=MAX_WAITING)
        self._elected: OrderedDict[str, Elected] = OrderedDict()
        self._answers: deque[tuple[str, Elected]] = deque(maxlen=MAX_WAITING)

    def tell(self, relay: str, claim: Claim) -> None:
        self._claims.append(RemoteClaim(claim, claim.seq, relay))

    def hear(self) -> list[RemoteClaim]:
        claims = list(self._claims)
        self._claims.clear()
        return claims

    def elect(self, key: str, leg: Elected) -> Elected:
        found = self._elected.setdefault(key, leg)
        while len(self._elected) > MAX_ELECTED:
            self._elected.popitem(last=False)
        return found

    def ask(self, key: str, leg: Elected) -> None:
        self._answers.append((key, self.elect(key, leg)))

    def answers(self) -> list[tuple[str, Elected]]:
        found = list(self._answers)
        self._answers.clear()
        return found


def claim_key(relay: str) -> str:
    """Where claims for a media address stand. The braces keep one key in one slot of a cluster."""
    return f"claim:{{{relay}}}"


def leg_key(correlation: str) -> str:
    """Where a correlation key's election stands: a hash, so that no Call-ID or number leaves the host."""
    return f"leg:{{{blake2b(correlation.encode('utf-8', 'surrogateescape'), digest_size=16).hexdigest()}}}"
