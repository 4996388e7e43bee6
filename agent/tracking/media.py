"""Media of the legs: sockets claimed, streams attached, RTCP read.

RTCP of the far end carries what only it knows: loss and jitter of what left the vc, and the round trip. It is
found by packet type, on any port (RFC 5761), and belongs to the leg whose socket it uses.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from agent.errors import Reason, WireError
from agent.tracking.call import Call
from agent.tracking.dialog import Leg, Passage
from agent.tracking.events import Event, ReportsMinute, RoundTrip
from agent.tracking.loop_cy import Loop
from agent.tracking.offer import Offers
from agent.tracking.report import MINUTE_NS, Departures
from agent.tracking.sides import Sides, Socket
from agent.tracking.stream import Observer, QualityRules, Streams
from agent.wire import rtcp, sdp

MAX_EARLY = 10_000  # socket pairs whose RTCP came before any SDP; a flood pushes out the oldest


class Media:
    """What runs on the media sockets. Feeds `out` with facts; `open_minutes` are those not closed yet."""

    def __init__(
        self,
        loop: Loop,
        sides: Sides,
        out: list[Event],
        *,
        quality: QualityRules,
        observer: Observer = "vc",
    ) -> None:
        self.offers = Offers(sides)
        self.streams = Streams(loop, self.offers, quality, observer)
        self.rejects: Counter[Reason] = Counter()
        self.missed_ns = 0  # when the capture last missed frames
        self.open_minutes: list[int] = []
        self._loop = loop
        self._out = out
        self._observer = observer
        self._departures = Departures()
        self._reporting: set[Leg] = set()
        self._early: OrderedDict[tuple[Socket, Socket], dict[int, list[int]]] = OrderedDict()

    def describe(self, leg: Leg, session: sdp.Session, passage: Passage) -> None:
        """An SDP passed on `leg`."""
        was_held = leg.held
        sockets = self.offers.describe(leg, session, passage)
        if leg.held != was_held:
            self.streams.rebase(leg)
        self._out += self.streams.claimed(sockets, self.open_minutes)
        self._claim_early(set(sockets))

    def release(self, leg: Leg) -> None:
        """The leg is over and its last reports are in."""
        self._out += self.streams.released(leg, self.open_minutes)
        self.offers.release(leg)

    def heard_ns(self, call: Call) -> int:
        """When RTP of `call` was last seen, 0 if never."""
        return max(
            (self.streams.last_ns(stream) for leg in call.legs for stream in leg.streams), default=0
        )

    def rtcp(self, src: Socket, dst: Socket, payload: bytes, length: int, stamp_ns: int) -> None:
        """An RTCP packet of `length` bytes on the wire, of which `payload` was captured."""
        found = self.offers.find(src, dst)
        minute = stamp_ns // MINUTE_NS * MINUTE_NS
        if found is None:
            self._keep_early(src, dst, minute, length)
        else:
            self._count(found[0].leg, found[1], minute, 1, length)
        if found is not None and found[0].encrypted or rtcp.looks_encrypted(payload):
            self.rejects[Reason.RTCP_ENCRYPTED] += 1
            return
        try:
            compound = rtcp.parse(payload)
        except WireError as error:
            self.rejects[error.reason] += 1
            return
        self.rejects.update(compound.rejects)
        arriving = found is not None and found[1] is not None and found[1] == (self._observer == "vc")
        for report in compound.reports:
            if isinstance(report, rtcp.SenderReport):
                self._departures.sent(src, dst[0], report.ssrc, report.middle32, stamp_ns)
            for block in report.blocks:
                self._block(src, dst, block, stamp_ns)
                if found is not None and arriving:
                    self._round_trip(found[0].leg, src, dst, block, stamp_ns)

    def _block(self, src: Socket, dst: Socket, block: rtcp.Block, stamp_ns: int) -> None:
        """The reporter at `src` says how what left `dst` reached it."""
        claim = self.offers.ours(dst)
        sockets = [claim.rtp] if claim else []
        sockets += [dst, (dst[0], dst[1] - 1)]  # RFC 5761: one port; RFC 3550 11: the next higher odd one
        for socket in sockets:
            stream = self.streams.leaving(socket, block.ssrc, src[0])
            if stream is not None:
                break
        else:
            return
        leg = stream.leg
        stream.away.block(
            stamp_ns,
            block.cumulative_lost,
            block.highest,
            block.jitter,
            self._loop.counted(stream.id, block.highest & 0xFFFF),
            whole=leg is not None and leg.whole and self.missed_ns < leg.invite_ns,
            missed_ns=self.missed_ns,
        )

    def _round_trip(self, leg: Leg, src: Socket, dst: Socket, block: rtcp.Block, stamp_ns: int) -> None:
        rtt_us = self._departures.round_trip_us(dst, src[0], block.ssrc, block.lsr, block.dlsr, stamp_ns)
        if rtt_us is not None and leg.side is not None:
            leg.call.rtt_us[leg.side] = rtt_us
            self._out.append(RoundTrip(stamp_ns, leg, rtt_us))

    def _count(self, leg: Leg, towards: bool | None, minute: int, packets: int, length: int) -> None:
        if towards is None:
            return
        self._reporting.add(leg)
        counts = leg.reports.setdefault((minute, towards), [0, 0])
        counts[0] += packets
        counts[1] += length

    def _keep_early(self, src: Socket, dst: Socket, minute: int, length: int) -> None:
        """RTCP may come before the SDP that explains it: it counts once its socket is claimed."""
        if len(self._early) >= MAX_EARLY:
            self._early.popitem(last=False)
        counts = self._early.setdefault((src, dst), {}).setdefault(minute, [0, 0])
        counts[0] += 1
        counts[1] += length

    def _claim_early(self, sockets: set[Socket]) -> None:
        for pair in [pair for pair in self._early if not sockets.isdisjoint(pair)]:
            found = self.offers.find(*pair)
            if found is None:
                continue
            for minute, (packets, length) in self._early.pop(pair).items():
                if minute in self.open_minutes:
                    self._count(found[0].leg, found[1], minute, packets, length)

    def harvest(self, minute_ns: int) -> None:
        """Give out what every stream and leg did in a minute."""
        for leg in tuple(self._reporting):
            for (minute, towards), (packets, length) in tuple(leg.reports.items()):
                if minute <= minute_ns:
                    del leg.reports[minute, towards]
                    self._out.append(ReportsMinute(minute_ns, leg, towards, packets, length))
            if not leg.reports:
                self._reporting.discard(leg)
        for pair, minutes in tuple(self._early.items()):
            minutes.pop(minute_ns, None)
            if not minutes:
                del self._early[pair]
        self._out += self.streams.harvest(minute_ns)
