# cython: language_level=3
"""Limits how many SIP messages a second of one address are parsed. Above the limit whole calls are sampled.

Of an address above its limit one Call-ID in 2**n is kept, with n such that the kept messages fit the limit. A
kept call has all its messages and so exact numbers; the other calls have none. n rises at once and falls a
minute later, because each change cuts the calls under way in two. While the host cannot follow (`strained`),
sources above their limit are cut down to a quarter of it. Dropped messages leave their batch in compiled code
(`sampled_sources_cy`), because a flood comes faster than Python can look at a message.

A call that is taken up (18x, 2xx) is kept, whoever floods in its trunk's name: its INVITE is held meanwhile,
and is given out before the answer (`invite`). Such calls have room of their own, as much as the limit.

Strangers, with whom the vc does not deal (`peers`), have one limit together as well: a flood of many forged
sources is sampled like one source.

Counted by whole seconds of capture time, for the far address in both directions: the vc's answers to a flood
belong to the flood. Sources come from the wire, so the table is bounded: the source that was silent longest
goes.
"""

from __future__ import annotations

from collections import OrderedDict

import cython
from msgspec import Struct

from agent.model.scanners import scanner_of
from agent.model.units import SECOND_NS
from agent.transport.held_invites_cy import Invite
from agent.transport.peers_cy import Peers, is_taken_up
from agent.transport.sampled_sources_cy import SampledSources, keeps
from agent.wire.frame import STAMP, Batch

MAX_SOURCES = 16_384
# seconds of average messages that give a source's byte limit; a longer message counts as several
MESSAGE_BYTES = 2048
MESSAGE_LINES = 32  # ... and so does one of more lines
SOURCES_AT_ONCE = 4  # sources that may be at their limits together; strangers have so much in all
NOBODY = "0.0.0.0"
TOP = 5  # talkers reported a minute
ANSWERED_S = 4 * 3600  # a call that the vc took up is kept at least this long
CALM_S = 60  # seconds for which less must be shed before more is kept
MAX_BITS = 12  # at least one call in 4,096 is kept
STRAINED_BITS = 2  # the part of its limit that a source keeps while the host cannot follow


@cython.no_gc
@cython.cclass
class SourceTraffic:
    """This second's messages in one direction: come, kept, and allowed before fewer calls are kept."""

    def __init__(self) -> None:
        self.offered = self.taken = self.room = 0
        self.answered = 0  # of calls that were taken up


@cython.no_gc
@cython.cclass
class SampledSource:
    """One far address. One of its calls in 2**`bits` is kept; `held` is that from the second's start."""

    def __init__(self) -> None:
        self.second = -1
        self.to_it = SourceTraffic()
        self.from_it = SourceTraffic()
        self.bits = self.held = 0
        self.busy = 0  # the last second that needed this many bits
        self.messages = self.shed = 0  # from the source in this minute, and how many of those were shed
        self.scanner: str | None = None
        self.agent_read = False  # its User-Agent was looked at


class Talker(Struct, frozen=True):
    """A source that was above its limit, or whose User-Agent is a scanner's, in the last minute."""

    address: str
    messages: int
    shed: int
    scanner: str | None


class RateLimit:
    """At most `rate` messages a second of each source; 0: no bound. Time comes with each message."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.strained = False
        self.shed = self.evicted = 0
        self.invite: Invite | None = None  # of the message taken last, where it had been left out
        self._taken_shed = 0  # of `shed`
        self._returned = 0  # messages counted as shed that were given out after all, not yet taken off
        self._second = -1
        self._aged = 0  # the second in which the oldest answered calls were last forgotten
        self._sampled = SampledSources()
        self._sources: OrderedDict[str, SampledSource] = OrderedDict()
        self._strangers = SampledSource()  # all of them together
        self.peers = Peers()

    def __len__(self) -> int:
        return len(self._sources)

    def thin(self, batch: Batch) -> None:
        """Removes from a batch the messages of sampled sources beyond their limit."""
        source: SampledSource
        if self._sampled.used and batch.index:
            second = batch.index[STAMP] // SECOND_NS
            if second > self._second:
                self._second, self._sampled.room = second, self.rate
            for peer in self._sampled.sources():
                source = self._sources[peer]
                self._count(peer, source)
                if second > source.second:
                    self._begin_second(peer, source, second)
            batch.index = self._sampled.thin(batch.data, batch.index)

    def takes(
        self, peer: str, to_vc: cython.bint, data: bytes, now_ns: cython.longlong, vc: str = NOBODY
    ) -> cython.bint:
        """Whether this message is to be parsed. `to_vc`: `peer` sent it to `vc`; else the other way.

        Then `invite` is to be parsed before it, where it is not None.
        """
        if not to_vc:
            self.peers.sent(peer, data)
        if not self.rate:
            return True
        found: SampledSource | None = self._sources.get(peer)
        source: SampledSource = self._begin(peer) if found is None else found
        second: cython.longlong = now_ns // _SECOND_NS
        if second > source.second:
            self._begin_second(peer, source, second)
        if to_vc:
            source.messages += 1
            if not source.agent_read:
                source.agent_read, source.scanner = True, _scanner(data)
        src, dst = (peer, vc) if to_vc else (vc, peer)
        if is_taken_up(data) and (not to_vc or self._sampled.is_answer(data, src, dst)):
            self._answer(data, second)
        weight = _weight(data)
        bits = source.bits
        is_kept: cython.bint = self._admits(source, to_vc, data, weight, self.rate)
        if source.bits != bits:
            self._sampled.share(peer, source.bits)
        if is_kept and not self.peers.knows(peer):
            rate = self.rate * SOURCES_AT_ONCE
            if second > self._strangers.second:
                self._resample(self._strangers, second, rate)
            is_kept = self._admits(self._strangers, to_vc, data, weight, rate)
        if not is_kept:
            source.shed += to_vc
            self._leave_out(1)
        if data.startswith(b"INVITE "):
            self._sampled.hold(data, src, dst, now_ns, is_kept)
        self.invite = None
        if is_kept and (source.bits or self._strangers.bits) and self._sampled.answers(data):
            self.invite = self._sampled.release(data, src, dst)
            self._returned += self.invite is not None
        return is_kept

    def _leave_out(self, count: cython.longlong) -> None:
        returned = min(count, self._returned)
        self._returned -= returned
        self.shed += count - returned

    def _admits(
        self,
        source: SampledSource,
        to_vc: cython.bint,
        data: bytes,
        weight: cython.longlong,
        rate: cython.longlong,
    ) -> cython.bint:
        """Whether a message is within the limit of `source`, or of a call that is kept. It is counted."""
        way = source.from_it if to_vc else source.to_it
        way.offered += weight
        if source.bits and way.answered < rate and self._sampled.answers(data):
            way.answered += weight  # a flood in this address's name does not touch calls that are up
            return True
        if way.taken >= way.room and source.bits < _MAX_BITS:
            source.bits += 1
            way.room += rate // 4
        if way.taken < way.room and (not source.bits or keeps(data, source.bits)):
            way.taken += weight
            return True
        return False

    def _answer(self, data: bytes, second: cython.longlong) -> None:
        """Notes that a call was taken up."""
        if second - self._aged >= ANSWERED_S:
            self._sampled.age()
            self._aged = second
        self._sampled.answer(data)

    def _begin(self, peer: str) -> SampledSource:
        if len(self._sources) >= MAX_SOURCES:
            silent, source = self._sources.popitem(last=False)
            self._count(silent, source)
            self._sampled.share(silent, 0)
            self.evicted += 1
        source = self._sources[peer] = SampledSource()
        return source

    def _count(self, peer: str, source: SampledSource) -> None:
        """Counts the messages that compiled code removed as offered and shed."""
        to_it, from_it = self._sampled.taken_out(peer)
        source.to_it.offered += to_it
        source.from_it.offered += from_it
        source.messages += from_it
        source.shed += from_it
        self._leave_out(to_it + from_it)

    def _begin_second(self, peer: str, source: SampledSource, second: cython.longlong) -> None:
        """Begins a new second of a source."""
        self._resample(source, second, self.rate)
        self._sampled.share(peer, source.bits)
        self._sources.move_to_end(peer)

    def _resample(self, source: SampledSource, second: cython.longlong, rate: cython.longlong) -> None:
        """The second before decides which calls of `source` are kept in this one."""
        way: SourceTraffic
        offered: cython.longlong = 0
        bits: cython.longlong = 0
        most: cython.longlong = rate
        if source.second == second - 1:
            offered = max(source.to_it.offered, source.from_it.offered)
        if self.strained and offered > rate:
            most >>= STRAINED_BITS
        while offered >> bits > most and bits < _MAX_BITS:
            bits += 1
        if bits >= source.held or second - source.busy >= CALM_S:
            source.held, source.busy = bits, second
        source.second, source.bits = second, source.held
        for way in (source.to_it, source.from_it):
            way.offered = way.taken = way.answered = 0
            way.room = most

    def settle(self) -> None:
        """Counts what compiled code removed since each sampled source's newest second began."""
        for peer in self._sampled.sources():
            self._count(peer, self._sources[peer])

    def taken_shed(self) -> int:
        """The messages shed since the last call."""
        taken_before, self._taken_shed = self._taken_shed, self.shed
        return self.shed - taken_before

    def talkers(self) -> list[Talker]:
        """The loudest sources since the last call. Their counts start again."""
        source: SampledSource
        found: list[Talker] = []
        for address, source in self._sources.items():
            if source.messages and (source.shed or source.scanner):
                found.append(Talker(address, source.messages, source.shed, source.scanner))
            source.messages = source.shed = 0
        return sorted(found, key=lambda talker: (-talker.shed, -talker.messages, talker.address))[:TOP]


def _weight(data: bytes) -> cython.longlong:
    """The message's cost in messages of usual length: reading time grows with bytes and lines."""
    if len(data) < MESSAGE_LINES:
        return 1
    return max(1, len(data) // MESSAGE_BYTES, data.count(b"\n") // MESSAGE_LINES)


def _scanner(data: bytes) -> str | None:
    """The scanner that a message's User-Agent names. It is read once a source, not once a message."""
    at = data.find(b"\nUser-Agent:")
    if at < 0:
        return None
    return scanner_of(data[at + 12 : at + 80].split(b"\r", 1)[0].decode("latin-1"))


_SECOND_NS, _MAX_BITS = SECOND_NS, MAX_BITS
