"""The engine: frames and time in, events out. No socket, system clock, thread or logger.

RTP is finished inside the loop. All other frames (SIP, RTCP, fragments, TCP) leave it one by one, in capture
order, and are handled here. Minutes are UTC-aligned: a minute's gauges are taken at its end, and it closes
when the clock passes its end by `lateness`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from struct import pack
from typing import Any

from msgspec import Struct

from agent.calls.claimed import ClaimedCalls
from agent.calls.signalling_cy import CallRules, Signalling
from agent.engine.intake_cy import SIP_PORTS, Intake, IntakeRules
from agent.engine.minute_clock import Event as ClockEvent
from agent.engine.minute_clock import MinuteClock
from agent.engine.refusals import Refusals
from agent.engine.walk_cy import Walk
from agent.errors import Reason
from agent.gc_pause import held_off
from agent.media.leg_media_cy import LegMedia
from agent.media.rtp.loop_cy import STOP_STREAM, Loop
from agent.media.rtp.workers import Lock, RtpWorkers
from agent.media.streams_cy import Observer, QualityRules
from agent.model.call_cy import CountedAttempt
from agent.model.claim import RemoteClaim
from agent.model.events import Event, MinuteClosed, MinutesSkipped, Unseen
from agent.model.handover import Handover, Live
from agent.model.missed import Missed
from agent.model.sides import Connector, Sides
from agent.model.stream_minute_cy import SoFar
from agent.model.units import FOREVER_NS, MINUTE_NS, SECOND_NS
from agent.model.unseen import Cause, Sight
from agent.transport.rate_limit_cy import MESSAGE_BYTES, SOURCES_AT_ONCE, RateLimit
from agent.wire.frame import LINK_RAW, STAMP, STRIDE, Batch, CaptureDrop, Frame, batch_of, origin
from agent.wire.ip.datagram import MAX_PAYLOAD, datagram
from agent.wire.ip.encapsulations import Tunnel
from agent.wire.ip.packet_cy import Packet

STRAYS_SHARE = 2  # one half of the stream table is for streams that belong to nobody
STREAM_IDLE_NS = 120 * SECOND_NS  # silent streams are forgotten: two minutes, so that none is half counted


class Rules(Struct, frozen=True):
    """The configuration of the engine and its rooms. Nanoseconds unless the name says otherwise."""

    calls: CallRules = CallRules()
    quality: QualityRules = QualityRules()
    observer: Observer = "vc"
    count_unsignalled: bool = True
    lateness_ns: int = 3 * SECOND_NS
    single_span: bool = False
    adaptive_buffer: bool = False
    max_buffer_ms: float = 200.0
    max_streams: int = 200_000
    sip_budget: int = 0  # messages a second from one far address, 0: no bound
    tunnels: tuple[Tunnel, ...] | None = None  # that are opened, and no others; None: every one
    sip_ports: tuple[int, ...] = SIP_PORTS  # where TLS is taken for SIP
    own: tuple[str, ...] = ()  # this host's addresses: a frame that it received from one is forged
    idle_ns: int = 3600 * SECOND_NS  # after so long without a frame, or a word of the clock, there is a gap


class Engine:
    """`feed` takes a batch, `advance` a time; both return the events so far, in order."""

    def __init__(self, sides: Sides, rules: Rules | None = None, locks: Sequence[Lock] = ()) -> None:
        """`locks`: one for each thread that processes RTP before this engine; none: `feed` does."""
        self.rules = rules = rules or Rules()
        self.sides = sides
        self.loop: Loop | RtpWorkers = RtpWorkers(self._new_loop, locks) if locks else self._new_loop()
        self.missed = Missed()
        self._out: list[Event] = []
        self.media = LegMedia(
            self.loop,
            sides,
            self._out,
            quality=rules.quality,
            observer=rules.observer,
            count_unsignalled=rules.count_unsignalled,
            max_strays=rules.max_streams // STRAYS_SHARE,
        )
        self.signalling = Signalling(rules.calls, sides, self.media, self._out, self.missed)
        self.rejects: Counter[Reason] = self.media.rejects
        self.counters: Counter[str] = self.signalling.counters
        self.claims = ClaimedCalls(self.signalling, sides, self.media, self.counters)
        self.intake = Intake(
            sides,
            self.signalling,
            self.media,
            RateLimit(rules.sip_budget),
            self.rejects,
            self._out,
            _intake_rules(rules),
            self._joined_rtp,
        )
        self.refusals = Refusals(self._left_out)
        self.clock = MinuteClock(self, rules.lateness_ns, rules.idle_ns)
        self.walk = Walk(self.clock, self.signalling, self.media.streams, self.intake)
        self._begun_ns = 0  # when watching began, where it did here

    @property
    def rate_limit(self) -> RateLimit:
        """The SIP limit of one source."""
        return self.intake.rate_limit

    @property
    def workers(self) -> RtpWorkers:
        """The RTP workers of the capture threads; only with `locks`."""
        assert isinstance(self.loop, RtpWorkers)
        return self.loop

    def _new_loop(self) -> Loop:
        return Loop(**_loop_settings(self.rules))

    # -- time

    def advance(self, now_ns: int) -> list[Event]:
        """Lets time pass up to `now_ns`: timers, gauges, closed minutes."""
        self._meet(now_ns)
        self.clock.pass_to(now_ns)
        return self._taken()

    def begin(self, now_ns: int) -> None:
        """Live: watching starts now, even without traffic. A file starts with its first frame."""
        if not self.clock.is_running:
            self._begun_ns = now_ns
        self.clock.begin(now_ns)

    def overdue_ns(self, now_ns: int) -> int:
        """The delay of the oldest open minute's close; at most 0 when it is in time."""
        return now_ns - self.clock.closes_ns if self.clock.is_running else 0

    def suspend(self) -> list[Event]:
        """Closes the counts of the open minutes as parts of them. All state of calls stays."""
        self._meet(FOREVER_NS)
        if self.clock.is_running and self.clock.now_ns is not None:
            self.clock.pass_to(self.clock.now_ns)
            self.clock.part()
        return self._taken()

    def finish(self) -> list[Event]:
        """The capture is over. Closes what is open; its last minute is a part without gauges."""
        self._meet(FOREVER_NS)
        now_ns = self.clock.now_ns
        if self.clock.is_running and now_ns is not None:
            self.clock.pass_to(now_ns)
            self.intake.finish()
            self.signalling.finish(now_ns)
            self.loop.finish()
            self.clock.cut_to(now_ns)
        self.clock.happen(ClockEvent.FINISH)
        return self._taken()

    # -- the work of the minute clock (`MinuteWork`)

    @property
    def due_ns(self) -> int:
        return int(self.signalling.due_ns)

    def advance_timers(self, now_ns: int) -> None:
        self.signalling.advance(now_ns)

    def open_minute(self, minute_ns: int) -> None:
        if self.loop.closed_ns != minute_ns:
            self.loop.closed_ns = minute_ns
        self.media.open_minutes = [minute_ns, minute_ns + MINUTE_NS]

    def take_gauges(self, minute_ns: int) -> None:
        self.signalling.minute_end(minute_ns, minute_ns + MINUTE_NS)

    @held_off()
    def close_minute(self, minute_ns: int, *, complete: bool) -> None:
        end_ns = minute_ns + MINUTE_NS
        if self.clock.now_ns is not None:
            self.intake.expire(self.clock.now_ns)
        self.signalling.settle(end_ns)
        self.media.streams.before_close()
        self.media.harvest(minute_ns, self.loop.close(minute_ns, end_ns))
        self._out.append(self._closed(minute_ns, complete))
        self.media.open_minutes = [end_ns, end_ns + MINUTE_NS]
        self.media.streams.expire(end_ns - STREAM_IDLE_NS)

    def close_part(self, minute_ns: int) -> None:
        self.media.streams.before_close()
        self.media.harvest(minute_ns, self.loop.harvest_all(minute_ns))
        self._out.append(self._closed(minute_ns, complete=False))

    def _left_out(self) -> dict[str, int]:
        self.rate_limit.settle()
        return {**self.counters, "sip_shed": self.rate_limit.shed}

    def _closed(self, minute_ns: int, complete: bool) -> MinuteClosed:
        self._out += self.refusals.intervals(minute_ns, minute_ns + MINUTE_NS)
        until_ns = None if complete else self.clock.now_ns
        return MinuteClosed(minute_ns, complete, self.rate_limit.taken_shed(), self._begun_ns, until_ns)

    def skip_minutes(self, minute_ns: int, until_ns: int, watched_ns: int, now_ns: int) -> None:
        if until_ns > minute_ns:
            self._out.append(MinutesSkipped(minute_ns, until_ns))
        self._miss(watched_ns, now_ns, Cause.NOT_WATCHED)
        self.signalling.advance(now_ns)

    # -- unwatched time

    def _miss(self, start_ns: int, end_ns: int, cause: Cause, count: int | None = None) -> None:
        """Reports that frames between these times were not seen."""
        self.loop.lose(start_ns, end_ns)
        self._missed(start_ns, end_ns, cause, count)

    def _missed(self, start_ns: int, end_ns: int, cause: Cause, count: int | None = None) -> None:
        """As `_miss`, where the loop knows already."""
        self._know_missed(start_ns, end_ns)
        self._out.append(Unseen(start_ns, end_ns, Sight.ALL, cause, count))

    def _miss_messages(self) -> None:
        """Reports that a message of a peer was dropped: its silence proves nothing since."""
        now_ns = self.clock.now_ns
        if now_ns is not None and self.refusals.silenced(self.intake.counters):
            self.missed.add(now_ns, now_ns)

    def _know_missed(self, start_ns: int, end_ns: int) -> None:
        self.missed.add(start_ns, end_ns)
        self.media.missed_ns = max(self.media.missed_ns, end_ns)

    # -- what other hosts tell

    def claim(self, received: RemoteClaim) -> None:
        """Another host sees the SIP of media that may pass here. The facts come with the next batch."""
        self.claims.take(received)

    def miss_claims(self, start_ns: int, end_ns: int) -> None:
        """Claims of that time never arrived: which calls media here belongs to is not wholly known."""
        self._out.append(Unseen(start_ns, end_ns, Sight.MEDIA, Cause.CLAIMS_MISSED, None))

    def yield_counts(self, sight: Sight, connector: Connector, start_ns: int, end_ns: int, host: str) -> None:
        """`host` sees the same legs of a connector, and counts them: figures of that time are not ours."""
        self._out.append(Unseen(start_ns, end_ns, sight, Cause.SEEN_TWICE, None, connector, detail=host))

    def so_far(self) -> tuple[SoFar, list[CountedAttempt], int]:
        """The open minutes' media by leg; attempts whose calls are up; active calls without an attempt."""
        return self.media.so_far(), *self.signalling.up_now()

    # -- from one engine to the next

    def give(self, handover: Handover) -> None:
        """Writes down everything that the next engine needs."""
        handover.now_ns, handover.minute_ns = self.clock.now_ns, self.clock.minute_ns
        handover.missed = list(self.missed.spans)
        handover.begun_ns = self._begun_ns
        handover.loop = self.loop.save()
        handover.claims_read = dict(self.claims.last)
        handover.live = Live(
            loop=self.loop, loop_settings=_loop_settings(self.rules), claims=self.claims.newest
        )
        self.signalling.give(handover)
        self.media.give(handover)
        self.intake.give(handover)

    def take(self, handover: Handover) -> None:
        """Goes on where another engine was. Only before any frame.

        Raises ValueError where the loop's snapshot is not this loop's.
        """
        live = handover.live
        goes_on = live is not None and live.loop_settings == _loop_settings(self.rules)
        if live is not None and goes_on:
            # No snapshot holds the first packet of a stream.
            self.loop = live.loop
        else:
            self.loop.restore(handover.loop)
        if handover.shift_ns:
            self.loop.shift(handover.shift_ns)
        for start_ns, end_ns in handover.missed:
            if not goes_on:
                self.loop.lose(start_ns, end_ns)
            self._know_missed(start_ns, end_ns)
        self.clock.take(handover.minute_ns, handover.now_ns)
        self._begun_ns = handover.begun_ns
        self.signalling.take_over(handover)
        self.media.take(handover, self.loop)
        self.intake.take_over(handover)
        self.claims.last = dict(handover.claims_read)
        if live is not None:
            self.claims.newest = live.claims
        self.refusals.intervals(0, 0)  # told by the engine before

    def discard(self, until_ns: int) -> None:
        """Drops restored counts of minutes that were committed before."""
        minute_ns = self.clock.minute_ns
        if minute_ns is None or minute_ns >= until_ns:
            return
        for each_ns in (minute_ns, minute_ns + MINUTE_NS):  # a loop has counters for no more
            if each_ns < until_ns:
                before = len(self._out)
                self.media.harvest(each_ns, self.loop.harvest_all(each_ns))
                del self._out[before:]
        self.clock.reopen(until_ns)

    def resume(self, now_ns: int) -> list[Event]:
        """Frames may have passed since the restored state: gaps of that time are the capture's own.

        A minute that ended meanwhile is closed without its gauges: no process ran at its end.
        """
        clock = self.clock
        if clock.is_running and clock.now_ns is not None and now_ns > clock.now_ns:
            if now_ns >= clock.end_ns:
                clock.skip_to(now_ns)
            else:
                self._miss(clock.now_ns, now_ns, Cause.NOT_WATCHED)
        self.begin(now_ns)
        clock.see(now_ns)
        return self._taken()

    def shed(self, level: int) -> None:
        """The host cannot follow (`agent.daemon.overload`): skips the least needed work."""
        self.media.streams.shedding = level >= 2
        self.rate_limit.strained = level >= 3

    def rejected(self) -> Counter[str]:
        """Records that did not parse, by reason, the loop's and ours."""
        total = Counter({str(reason): count for reason, count in self.rejects.items()})
        total.update(self.loop.rejects())
        return total

    def tunnels(self) -> Counter[str]:
        """Frames out of tunnels, datagrams put together that were some, and HEP, by the outermost kind."""
        return Counter(self.loop.tunnels()) + Counter(self.intake.tunnels())

    def late(self) -> int:
        """Frames of a minute already closed, the loop's and ours."""
        return int(self.loop.late_frames) + self.walk.late_frames

    def duplicates(self) -> int:
        """Copies removed before counting, the loop's and ours."""
        return int(self.loop.duplicate_frames) + self.intake.duplicates

    def tables(self) -> dict[str, int]:
        """Sizes of the tables that the wire fills."""
        return {
            "calls": len(self.signalling),
            "streams": len(self.media.streams),
            "streams_unexplained": len(self.media.streams.orphans),
            "streams_crowded": len(self.media.streams.surplus),
            "media_sockets": len(self.media.sockets),
            "unsignalled_pairs": len(self.media.unsignalled),
            **self.intake.tables(),
        }

    def _taken(self) -> list[Event]:
        # The list itself is shared with those who fill it, so it is emptied, not replaced.
        events = self._out[:]
        self._out.clear()
        return events

    # -- frames

    def feed(self, batch: Batch) -> list[Event]:
        """Takes frames in capture order; of a batch that a capture thread processed, all but RTP."""
        if batch.strays:
            self.rejects[Reason.FAR_STAMP] += batch.strays
        if isinstance(self.loop, RtpWorkers):
            return self._processed(self.loop, batch)
        for drop in batch.losses:
            self._miss(drop.start_ns, drop.end_ns, _cause(drop), drop.count)
        count = len(batch)
        if count:
            self.begin(batch.index[STAMP])
        self.rate_limit.thin(batch)
        if not count:
            return self._taken()
        self.loop.hold(batch.data, batch.index)
        self.intake.hold(batch.data)
        try:
            self.walk.batch(self.loop, batch)
        finally:
            self.loop.hold(b"")
            self.intake.hold(b"")
        self.clock.see(self.loop.newest_ns)
        self._miss_messages()
        return self._taken()

    def _processed(self, workers: RtpWorkers, batch: Batch) -> list[Event]:
        """The loops had this batch before us, and know its losses."""
        clock = self.clock
        for drop in batch.losses:
            self._missed(drop.start_ns, drop.end_ns, _cause(drop), drop.count)
        self.rate_limit.thin(batch)
        self.intake.hold(batch.data)
        try:
            for position in range(len(batch)):
                stamp_ns = batch.index[position * STRIDE + STAMP]
                self._meet(stamp_ns)
                clock.pass_to(stamp_ns)
                self.walk.frame(batch.index, position * STRIDE, stamp_ns)
        finally:
            self.intake.hold(b"")
        self._miss_messages()
        return self._taken()

    def _meet(self, until_ns: int) -> None:
        """Takes the streams that capture threads accepted by then."""
        if isinstance(self.loop, RtpWorkers):
            for stream_id, clean in self.loop.begun(until_ns):
                self.media.streams.accepted(stream_id, clean)

    def _joined_rtp(self, packet: Packet) -> bool:
        """Counts RTP that came in fragments as one packet. False where no loop can take it."""
        key = packet.src, packet.src_port, packet.dst, packet.dst_port, int.from_bytes(packet.payload[8:12])
        source, destination = ip_address(packet.src).packed, ip_address(packet.dst).packed
        if len(packet.payload) > MAX_PAYLOAD or len(source) != len(destination):  # one is IPv4-mapped
            return False
        data = datagram(
            source,
            destination,
            pack("!HH", packet.src_port, packet.dst_port),
            packet.payload,
            packet.identification,
        )
        batch = batch_of([Frame(data, packet.stamp_ns, origin(LINK_RAW, 0), len(data))])
        loop = self.loop
        if isinstance(loop, RtpWorkers):
            return loop.take(batch, key)
        loop.walk(batch.data, batch.index, 0, FOREVER_NS)
        if loop.stopped == STOP_STREAM:
            self.media.streams.accepted(loop.new_stream)
            loop.walk(batch.data, batch.index, 0, FOREVER_NS)
        return True


def _intake_rules(rules: Rules) -> IntakeRules:
    each = rules.sip_budget * MESSAGE_BYTES
    return IntakeRules(
        rules.single_span,
        rules.tunnels,
        rules.sip_ports,
        each,
        each * SOURCES_AT_ONCE,
    )


def _cause(drop: CaptureDrop) -> Cause:
    """The cause of a drop.

    A ring counts its drops; only while an interface was down their number is unknown.
    """
    return Cause.INTERFACE_DOWN if drop.count is None else Cause.CAPTURE_DROPS


def _loop_settings(rules: Rules) -> dict[str, Any]:
    return {
        "max_streams": rules.max_streams,
        "jitter_buffer_ms": rules.quality.jitter_buffer_ms,
        "adaptive": rules.adaptive_buffer,
        "jitter_buffer_max_ms": rules.max_buffer_ms,
        "single_span": rules.single_span,
        "tunnels": rules.tunnels,
        "own": rules.own,
    }
