"""How many SIP messages a second one address may have parsed: what a flood sends beyond is shed unread.

Counted by whole seconds of capture time, for the far address whichever way a message goes: what the vc
answers to a flood is the flood's too. Sources come from the wire, so the table is bounded: the one silent
longest goes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

SECOND_NS = 1_000_000_000
MAX_SOURCES = 16_384
TOP = 5  # talkers named a minute
# What the scanners that everybody meets call themselves. Only these words are ever repeated.
SCANNERS = (
    "friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sipcli", "sip-scan", "sipsak", "sipp",
    "vaxsipuseragent", "pplsip", "iwar", "smap", "eyebeam release 3006o",
)  # fmt: skip


@dataclass(slots=True)
class Source:
    """One far address: `taken` and `shed` are of this second, the totals of this minute."""

    second: int = 0
    taken: int = 0
    messages: int = 0
    shed: int = 0
    scanner: str | None = None


@dataclass(frozen=True, slots=True)
class Talker:
    """A source that was above its budget, or says that it is a scanner, in the last minute."""

    address: str
    messages: int
    shed: int
    scanner: str | None


class Budget:
    """`rate` messages a second each; 0: no bound. Time comes with each message."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.shed = self.evicted = 0
        self._sources: OrderedDict[tuple[str, bool], Source] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sources)

    def takes(self, peer: str, towards: bool, data: bytes, now_ns: int) -> bool:
        """Whether this message is to be parsed. `towards`: `peer` sent it, else it was sent to it."""
        if not self.rate:
            return True
        key = peer, towards
        source = self._sources.get(key)
        if source is None:
            source = self._begin(key, data)
        second = now_ns // SECOND_NS
        if source.second != second:
            source.second, source.taken = second, 0
            self._sources.move_to_end(key)
        source.messages += 1
        source.taken += 1
        if source.taken <= self.rate:
            return True
        source.shed += 1
        self.shed += 1
        return False

    def _begin(self, key: tuple[str, bool], data: bytes) -> Source:
        if len(self._sources) >= MAX_SOURCES:
            self._sources.popitem(last=False)
            self.evicted += 1
        source = self._sources[key] = Source(scanner=_scanner(data) if key[1] else None)
        return source

    def talkers(self) -> list[Talker]:
        """The loudest of those worth a word since the last call; counts start again."""
        found = [
            Talker(address, source.messages, source.shed, source.scanner)
            for (address, towards), source in self._sources.items()
            if towards and source.messages and (source.shed or source.scanner)
        ]
        for source in self._sources.values():
            source.messages = source.shed = 0
        return sorted(found, key=lambda talker: (-talker.shed, -talker.messages, talker.address))[:TOP]


def _scanner(data: bytes) -> str | None:
    """The scanner that a message's User-Agent names. Looked at once a source, not once a message."""
    at = data.find(b"\nUser-Agent:")
    if at < 0:
        return None
    agent = data[at + 12 : at + 80].split(b"\r", 1)[0].strip().lower().decode("latin-1")
    return next((name for name in SCANNERS if agent.startswith(name)), None)
