"""Limits how many SIP messages a second of one address are parsed. Above the limit whole calls are sampled.

Of an address above its limit one Call-ID in 2**n is kept, with n such that the kept messages fit the limit. A
kept call has all its messages and so exact numbers; the other calls have none. n rises at once and falls a
minute later, because each change cuts the calls under way in two. While the host cannot follow (`strained`),
sources above their limit are cut down to a quarter of it. Dropped messages leave their batch in compiled code
(`rate_limit_cy`), because a flood comes faster than Python can look at a message.

Strangers, with whom the vc does not deal (`peers`), have one limit together as well: a
flood of many forged sources is sampled like one source.

Counted by whole seconds of capture time, for the far address in both directions: the vc's answers to a flood
belong to the flood. Sources come from the wire, so the table is bounded: the source that was silent longest
goes.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct, field

from agent.transport.peers_cy import Peers, is_taken_up
from agent.transport.rate_limit_cy import SampledSources, keeps
from agent.wire.frame import STAMP, Batch

SECOND_NS = 1_000_000_000
MAX_SOURCES = 16_384
# seconds of average messages that give a source's byte limit; a longer message counts as several
MESSAGE_BYTES = 2048
MESSAGE_LINES = 64  # ... and so does one of more lines
SOURCES_AT_ONCE = 4  # sources that may be at their limits together; strangers have so much in all
PACKET_COST = 256  # bytes whose reassembly takes as long as one packet's fixed work
STEP_COST = 128  # ... as one more line, frame or message in a packet
TOP = 5  # talkers reported a minute
ANSWERED_S = 4 * 3600  # a call that the vc took up is kept at least this long
CALM_S = 60  # seconds for which less must be shed before more is kept
MAX_BITS = 12  # at least one call in 4,096 is kept
STRAINED_BITS = 2  # the part of its limit that a source keeps while the host cannot follow
# User-Agents of well-known scanners. Only these words are ever repeated.
SCANNERS = (
    "friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sipcli", "sip-scan", "sipsak", "sipp",
    "vaxsipuseragent", "pplsip", "iwar", "smap", "eyebeam release 3006o",
)  # fmt: skip


class SourceTraffic(Struct):
    """This second's messages in one direction: come, kept, and allowed before fewer calls are kept."""

    offered: int = 0
    taken: int = 0
    room: int = 0
    answered: int = 0  # of calls that the vc took up


class SampledSource(Struct):
    """One far address. One of its calls in 2**`bits` is kept; `held` is that from the second's start."""

    second: int = -1
    ways: tuple[SourceTraffic, SourceTraffic] = field(
        default_factory=lambda: (SourceTraffic(), SourceTraffic())
    )  # to the source, from it
    bits: int = 0
    held: int = 0
    busy: int = 0  # the last second that needed this many bits
    messages: int = 0  # from the source in this minute, and how many of those were shed
    shed: int = 0
    scanner: str | None = None
    heard: bool = False  # its User-Agent was looked at


class Talker(Struct, frozen=True):
    """A source that was above its limit, or whose User-Agent is a scanner's, in the last minute."""

    address: str
    messages: int
    shed: int
    scanner: str | None


class ByteLimit:
    """Bytes a second that may be reassembled: `each` of one far address, `total` of all; 0: no bound.

    Asked before reassembly. Each packet has a cost beside its bytes, so the limit bounds CPU time too. Half
    of `total` is kept for addresses that the vc answers. Counted by whole seconds of capture time; the table
    begins anew with each, and holds `MAX_SOURCES`, and peers.
    """

    def __init__(self, each: int, total: int) -> None:
        self.each = each
        self.total = total
        self.refused = 0  # packets
        self._second = -1
        self._spent: dict[str, int] = {}
        self._strangers = self._peers = 0

    def takes(self, peer: str, is_answered: bool, size: int, now_ns: int) -> bool:
        """Whether a packet of `size` bytes from or to `peer` is within the limits. If so, it is counted."""
        if not self.total:
            return True
        if now_ns // SECOND_NS != self._second:
            self._second, self._spent = now_ns // SECOND_NS, {}
            self._strangers = self._peers = 0
        cost = size + PACKET_COST
        spent = self._spent.get(peer, 0) + cost
        half = self.total // 2
        room = half - self._strangers
        if is_answered:
            room = self.total - self._peers - min(self._strangers, half)
        if (
            spent > self.each
            or cost > room
            or (spent == cost and len(self._spent) >= MAX_SOURCES and not is_answered)
        ):
            self.refused += 1
            return False
        self._spent[peer] = spent
        self._add(is_answered, cost)
        return True

    def charge(self, peer: str, is_answered: bool, steps: int) -> None:
        """Adds the cost of a packet beyond its bytes, which lowers the rest of the second's limit.

        A source takes no more of what all have than its own limit.
        """
        spent, cost = self._spent.get(peer, 0), steps * STEP_COST
        self._spent[peer] = spent + cost
        self._add(is_answered, max(0, min(cost, self.each - spent)))

    def _add(self, is_answered: bool, cost: int) -> None:
        if is_answered:
            self._peers += cost
        else:
            self._strangers += cost


class RateLimit:
    """At most `rate` messages a second of each source; 0: no bound. Time comes with each message."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.strained = False
        self.shed = self.evicted = 0
        self._told = 0  # of `shed`
        self._aged = 0  # the second in which the oldest answered calls were last forgotten
        self._sieve = SampledSources()
        self._sources: OrderedDict[str, SampledSource] = OrderedDict()
        self._strangers = SampledSource()  # all of them together
        self.peers = Peers()

    def __len__(self) -> int:
        return len(self._sources)

    def thin(self, batch: Batch) -> None:
        """Removes from a batch the messages of sampled sources beyond their limit."""
        if self._sieve.loud and batch.index:
            second = batch.index[STAMP] // SECOND_NS
            for peer in self._sieve.sources():
                source = self._sources[peer]
                self._count(peer, source)
                if second > source.second:
                    self._turn(peer, source, second)
            batch.index = self._sieve.thin(batch.data, batch.index)

    def takes(self, peer: str, to_vc: bool, data: bytes, now_ns: int) -> bool:
        """Whether this message is to be parsed. `to_vc`: `peer` sent it; else it was sent to `peer`."""
        if not to_vc:
            self.peers.sent(peer, data)
        if not self.rate:
            return True
        source = self._sources.get(peer) or self._begin(peer)
        second = now_ns // SECOND_NS
        if second > source.second:
            self._turn(peer, source, second)
        if to_vc:
            source.messages += 1
            if not source.heard:
                source.heard, source.scanner = True, _scanner(data)
        if not to_vc and is_taken_up(data):
            self._answer(data, second)
        weight = _weight(data)
        bits = source.bits
        is_kept = self._admits(source, to_vc, data, weight, self.rate)
        if source.bits != bits:
            self._sieve.share(peer, source.bits)
        if is_kept and peer not in self.peers:
            rate = self.rate * SOURCES_AT_ONCE
            if second > self._strangers.second:
                self._resample(self._strangers, second, rate)
            is_kept = self._admits(self._strangers, to_vc, data, weight, rate)
        if not is_kept:
            source.shed += to_vc
            self.shed += 1
        return is_kept

    def _admits(self, source: SampledSource, to_vc: bool, data: bytes, weight: int, rate: int) -> bool:
        """Whether a message is within the limit of `source`, or of a call that is kept. It is counted."""
        way = source.ways[to_vc]
        way.offered += weight
        if source.bits and way.answered < rate and self._sieve.answers(data):
            way.answered += weight  # a flood in this address's name does not touch calls that are up
            return True
        if way.taken >= way.room and source.bits < MAX_BITS:
            source.bits += 1
            way.room += rate // 4
        if way.taken < way.room and (not source.bits or keeps(data, source.bits)):
            way.taken += weight
            return True
        return False

    def _answer(self, data: bytes, second: int) -> None:
        """Notes that the vc took a call up."""
        if second - self._aged >= ANSWERED_S:
            self._sieve.age()
            self._aged = second
        self._sieve.answer(data)

    def _begin(self, peer: str) -> SampledSource:
        if len(self._sources) >= MAX_SOURCES:
            silent, source = self._sources.popitem(last=False)
            self._count(silent, source)
            self._sieve.share(silent, 0)
            self.evicted += 1
        source = self._sources[peer] = SampledSource()
        return source

    def _count(self, peer: str, source: SampledSource) -> None:
        """Counts the messages that compiled code removed as offered and shed."""
        to_it, from_it = self._sieve.taken_out(peer)
        source.ways[0].offered += to_it
        source.ways[1].offered += from_it
        source.messages += from_it
        source.shed += from_it
        self.shed += to_it + from_it

    def _turn(self, peer: str, source: SampledSource, second: int) -> None:
        """Begins a new second of a source."""
        self._resample(source, second, self.rate)
        self._sieve.share(peer, source.bits)
        self._sources.move_to_end(peer)

    def _resample(self, source: SampledSource, second: int, rate: int) -> None:
        """The second before decides which calls of `source` are kept in this one."""
        offered = max(way.offered for way in source.ways) if source.second == second - 1 else 0
        bits, most = 0, rate
        if self.strained and offered > rate:
            most >>= STRAINED_BITS
        while offered >> bits > most and bits < MAX_BITS:
            bits += 1
        if bits >= source.held or second - source.busy >= CALM_S:
            source.held, source.busy = bits, second
        source.second, source.bits = second, source.held
        for way in source.ways:
            way.offered = way.taken = way.answered = 0
            way.room = most

    def settle(self) -> None:
        """Counts what compiled code removed since each sampled source's newest second began."""
        for peer in self._sieve.sources():
            self._count(peer, self._sources[peer])

    def taken_shed(self) -> int:
        """The messages shed since the last call."""
        told, self._told = self._told, self.shed
        return self.shed - told

    def talkers(self) -> list[Talker]:
        """The loudest sources since the last call. Their counts start again."""
        found = [
            Talker(address, source.messages, source.shed, source.scanner)
            for address, source in self._sources.items()
            if source.messages and (source.shed or source.scanner)
        ]
        for source in self._sources.values():
            source.messages = source.shed = 0
        return sorted(found, key=lambda talker: (-talker.shed, -talker.messages, talker.address))[:TOP]


def _weight(data: bytes) -> int:
    """The message's cost in messages of usual length: reading time grows with bytes and lines."""
    if len(data) < MESSAGE_LINES:
        return 1
    return max(1, len(data) // MESSAGE_BYTES, data.count(b"\n") // MESSAGE_LINES)


def _scanner(data: bytes) -> str | None:
    """The scanner that a message's User-Agent names. It is read once a source, not once a message."""
    at = data.find(b"\nUser-Agent:")
    if at < 0:
        return None
    agent = data[at + 12 : at + 80].split(b"\r", 1)[0].strip().lower().decode("latin-1")
    return next((name for name in SCANNERS if agent.startswith(name)), None)
