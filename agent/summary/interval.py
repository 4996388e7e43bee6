"""Intervals: events in, one-minute summaries out.

A leg's connector may be decided as late as the close of its minute, so counts are kept by leg until then and
added up by connector at the close.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from agent.calls.rfc6076 import MAX_SAMPLES
from agent.gc_pause import held_off
from agent.model.call_cy import MEDIA_ELSEWHERE, CountedAttempt, Leg
from agent.model.events import (
    Attempted,
    CallOver,
    CallsUp,
    Concluded,
    Event,
    FarEnd,
    FarEndFlag,
    Measured,
    MediaHeard,
    MessageSeen,
    MinuteClosed,
    MinutesSkipped,
    RoundTrip,
    Tallied,
    Throttled,
    Unseen,
)
from agent.model.handover import Handover
from agent.model.sides import Connector, Sides, is_group
from agent.model.stream_minute_cy import SoFar, StreamMinute
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.summary.call_minute_cy import CallMinute, share_out
from agent.summary.call_row_cy import call_row, media_of
from agent.summary.connector_minute import MinuteTotals, connector_minute, figures, no_totals, traffic
from agent.summary.identity import Identity
from agent.summary.media_elsewhere import calls_elsewhere
from agent.summary.media_flags_cy import OF_SILENCE
from agent.summary.media_record_cy import records
from agent.summary.open_minute import OpenMinute, connector_of, count, owner_of
from agent.summary.records import ConnectorMinute, Summary
from agent.summary.redaction import Redaction
from agent.summary.sip_log import SipLog
from agent.summary.so_far import minutes_so_far
from agent.summary.split_host import SplitHost
from agent.summary.timeline_cy import watched_slots
from agent.summary.unseen import CountedTraffic, UnseenTotals, mark, spread

SIP_CODES = tuple(f"Sip{hundreds}xxCodes" for hundreds in range(7))  # by a status's hundreds; 0 has none
MAX_MISSED = 64  # times in a minute when nobody watched; more of them are watched in part at best
MAX_CALL_ROWS = 100_000  # of one minute: a scan that is answered call by call must not fill the memory
MAX_NEWS = 2_000  # calls handed over at once before their minute closes: some 17 ms of the main thread


class Intervals:
    """`record` takes every event; `closed` gives the minutes completed since the last call."""

    def __init__(
        self,
        sides: Sides,
        *,
        identity: Identity,
        observer: str = "vc",
        redaction: Redaction | None = None,
        on_stream: Callable[[StreamMinute], None] | None = None,
        sip_rate: int = 0,
    ) -> None:
        """`redaction`: what is removed from logged messages. `on_stream` gets every stream minute, orphans
        too.

        `sip_rate`: messages logged a second, 0: all.
        """
        self._sides = sides
        self.identity = identity
        self._observer = observer
        self._on_stream = on_stream
        self._minutes: defaultdict[int, OpenMinute] = defaultdict(OpenMinute)
        self._host = SplitHost()
        self._oldest_ns = 0
        self._newest = OpenMinute()  # that of the last fact, which is mostly the next one's too ...
        self._start_ns = self._end_ns = 0  # ... where it is between these
        self.sip_log = SipLog(sip_rate, identity, redaction)
        self.unseen = UnseenTotals()
        self.call_rows_dropped = 0
        self._closed: list[Summary] = []
        self._record = {
            MessageSeen: self._message,
            Attempted: self._attempted,
            Concluded: self._concluded,
            Throttled: self._throttled,
            Tallied: self._tallied,
            Measured: self._measured,
            MediaHeard: self._media,
            RoundTrip: self._round_trip,
            FarEnd: self._far_end,
            FarEndFlag: self._far_end_flag,
            CallsUp: self._up,
            CallOver: self._over,
            MinuteClosed: self._close,
            MinutesSkipped: self._skipped,
            Unseen: self._unseen,
        }

    def record(self, event: Event) -> None:
        self._record[type(event)](event)  # type: ignore[operator]

    def closed(self) -> list[Summary]:
        """Minutes closed since the last call, in order."""
        summaries, self._closed = self._closed, []
        return summaries

    def nothing(self) -> list[ConnectorMinute]:
        """Each connector's figures of a minute without events: 0 for everything that can be known."""
        return [self._connector(connector, no_totals(), OpenMinute()) for connector in self._sides.connectors]

    def messages(self) -> list[dict[str, Any]]:
        """SIP log rows whose connector is decided, drained."""
        return self.sip_log.rows()

    def news(self) -> list[dict[str, Any]]:
        """Records of calls that began, were answered or ended since the last call of this, drained.

        So that a call can be found before its minute closes. The close tells the rest where there are too
        many, and calls whose connector is decided there.
        """
        rows: list[dict[str, Any]] = []
        for minute in self._minutes.values():
            decided = (call for call in minute.begun if call.counted.connector is not None)
            for call in list(islice(decided, MAX_NEWS - len(rows))):
                del minute.begun[call]
                if not call.reported:
                    rows.append(call_row(call, self._sides.fallback, self.identity))
            over = minute.over[minute.told : minute.told + MAX_NEWS - len(rows)]
            minute.told += len(over)
            rows += over
        return rows

    def give(self, handover: Handover) -> None:
        """The open minutes, and the SIP messages that wait for their connector."""
        handover.intervals = self._oldest_ns, dict(self._minutes), self.sip_log.kept(), self._host

    def take(self, handover: Handover) -> None:
        """Goes on with the state of `give`. Only before any event."""
        oldest_ns, minutes, self.sip_log.messages, self._host = handover.intervals
        self._minutes = defaultdict(OpenMinute, minutes)
        self._go_on(oldest_ns)

    def discard(self, until_ns: int) -> int:
        """Drops restored counts of minutes that were committed before. Returns how many minutes had any."""
        closed = [minute for minute in self._minutes if minute < until_ns]
        for minute in closed:
            del self._minutes[minute]
        self._go_on(max(self._oldest_ns, until_ns))
        return len(closed)

    def _go_on(self, oldest_ns: int) -> None:
        """No event counts before `oldest_ns` any more: older ones count in the minute that begins there."""
        self._oldest_ns = oldest_ns
        self._start_ns = self._end_ns = 0

    def _minute(self, stamp_ns: int) -> OpenMinute:
        if not self._start_ns <= stamp_ns < self._end_ns:
            self._start_ns = max(self._oldest_ns, stamp_ns // MINUTE_NS * MINUTE_NS)
            self._end_ns = self._start_ns + MINUTE_NS
            self._newest = self._minutes[self._start_ns]
        return self._newest

    # -- events

    def _message(self, event: MessageSeen) -> None:
        self.sip_log.add(event)
        host = self._host
        if not (host.took and host.replied):
            from_vc = self._sides.is_vc(event.src)
            host.note_message(event.status, from_vc=from_vc)
            if not self._sides.has_vc:
                host.has_signalling = True
        if 100 <= event.status < 700 and event.counts:
            owner = owner_of(event.leg, event.connector)
            count(self._minute(event.stamp_ns).counts, owner, SIP_CODES[event.status // 100])

    def _attempted(self, event: Attempted) -> None:
        self._call_count(event, "CallAttempts")
        # Found now and kept: at the close 5,000 calls would ask for their names all at once.
        self.identity.of_call(event.account.leg.call)
        self._begun(event)

    def _concluded(self, event: Concluded) -> None:
        if event.outcome == "answered":
            self._call_count(event, "CallsAnswered", by_carrier=True)
            self._begun(event)
        elif event.outcome == "failed" and event.failure:
            self._call_count(event, "CallFailures", by_carrier=True)

    def _begun(self, event: Attempted | Concluded) -> None:
        """Notes a call whose record is needed while it is up."""
        begun = self._minute(event.stamp_ns).begun
        if len(begun) < MAX_CALL_ROWS:
            begun[event.account.leg.call] = None

    def _call_count(self, event: Attempted | Concluded, what: str, *, by_carrier: bool = False) -> None:
        direction = event.account.direction
        if direction is None:
            return
        owner, name = owner_of(event.account.leg), direction.capitalize() + what
        minute = self._minute(event.stamp_ns)
        count(minute.counts, owner, name)
        if by_carrier and self._sides.carriers:
            key = owner, name, event.account.leg.call.carrier()
            minute.carried[key] = minute.carried.get(key, 0) + 1

    def _throttled(self, event: Throttled) -> None:
        count(self._minute(event.stamp_ns).counts, owner_of(event.account.leg), "Throttles")

    def _tallied(self, event: Tallied) -> None:
        owner = owner_of(event.leg, event.connector)
        count(self._minute(event.stamp_ns).tallies, owner, event.name, event.times)

    def _measured(self, event: Measured) -> None:
        key = (owner_of(event.leg, event.connector), event.name)
        delays = self._minute(event.stamp_ns).delays
        samples = delays.get(key)
        if samples is None:
            samples = delays[key] = []
        if len(samples) < MAX_SAMPLES:
            samples.append(event.value)

    def _media(self, event: MediaHeard) -> None:
        if self._on_stream is not None:
            for stream in event.streams:
                self._on_stream(stream)
        for orphan in share_out(lambda stamp_ns: self._minute(stamp_ns).calls, event.streams, event.reports):
            if orphan.packets and not orphan.is_over:
                self._orphan(orphan)

    def _orphan(self, stream: StreamMinute) -> None:
        """Counts RTP without an owner: where the vc is at one end, that direction is not wholly known."""
        from_vc, to_vc = self._sides.is_vc(stream.src[0]), self._sides.is_vc(stream.dst[0])
        if from_vc == to_vc:
            self._host.unsignalled |= not self._sides.has_vc
            return
        minute = self._minute(stream.stamp_ns)
        if not stream.named:  # a stranger's, on a socket with an answered source
            minute.intruder_packets += stream.packets
            return
        minute.orphan_packets += stream.packets
        if is_group(stream.dst[0]):
            return  # paging, music for many: neither a customer's nor the remote end's
        self._host.unsignalled |= from_vc  # the vc sends nothing without a call
        side, connector = self._sides.place((stream.dst if from_vc else stream.src)[0])
        end = "cust" if side == "customer" else "rem"
        self._unseen(
            Unseen(
                stream.stamp_ns,
                stream.stamp_ns,
                Sight.MEDIA,
                Cause.ORPHAN_MEDIA,
                stream.packets,
                connector,
                f"{end}2vc" if to_vc else f"vc2{end}",
            )
        )

    def _round_trip(self, event: RoundTrip) -> None:
        self._call(event.stamp_ns, event.leg).rtts.append(event)

    def _far_end(self, event: FarEnd) -> None:
        self._call(event.stamp_ns, event.leg).far_ends.append(event)

    def _far_end_flag(self, event: FarEndFlag) -> None:
        self._call(event.stamp_ns, event.leg).flag(event)

    def _call(self, stamp_ns: int, leg: Leg) -> CallMinute:
        return self._minute(stamp_ns).of_call(leg.call)

    def _up(self, event: CallsUp) -> None:
        self._minute(event.stamp_ns).up = event

    def _over(self, event: CallOver) -> None:
        minute = self._minute(event.stamp_ns)
        if len(minute.over) < MAX_CALL_ROWS:
            minute.over.append(call_row(event.call, self._sides.fallback, self.identity))
            minute.ended.append(event.call)
        else:
            self.call_rows_dropped += 1

    def _unseen(self, event: Unseen) -> None:
        """Mark the open minutes that the interval touches."""
        self.unseen.note(event)
        key = event.sight.value, event.cause.value, event.connector, event.direction
        for at_ns, frames, length_ns in spread(event, self._oldest_ns):
            minute = self._minute(at_ns)
            mark(minute.marks, key, None if event.count is None else frames, length_ns)
            if event.sight is Sight.ALL and event.count is None and len(minute.missed) < MAX_MISSED:
                minute.missed.append((event.stamp_ns, event.until_ns))

    def so_far(self, media: SoFar, up: list[CountedAttempt]) -> list[ConnectorMinute]:
        """The open minutes: counts, and active calls. Nothing is taken."""
        return minutes_so_far(self._minutes.values(), media, up, self._sides, self._observer, self._host)

    # -- closing

    @held_off()
    def _close(self, event: MinuteClosed) -> None:
        start_ns = event.stamp_ns
        minute = self._minutes.pop(start_ns, None) or OpenMinute()
        # A part that ends inside its minute is followed by another of the same label.
        self._go_on(start_ns + MINUTE_NS if event.complete else start_ns)
        if event.until_ns is not None and minute.calls:
            self._minutes[start_ns] = OpenMinute(from_ns=event.until_ns)
        fallback = self._sides.fallback
        totals = no_totals()
        totals.complete = event.complete and minute.up is not None
        totals.figures = figures(minute, fallback)
        for (owner, name), number in minute.counts.items():
            totals.counts[connector_of(owner, fallback)][name] += number
        # A part that does not reach the minute's end was watched as far as media was heard.
        end_ns = start_ns + MINUTE_NS
        until_ns = end_ns if event.complete else minute.last_rtp_ns()
        for call in minute.up.calls() if minute.up else ():
            if call.last_rtp_ns:  # it had media and may have gone silent: its record says so
                minute.of_call(call)
        rows = records(
            minute.calls,
            totals.media,
            fallback,
            self.identity,
            end_ns,
            until_ns,
            vc_seen=self._observer == "vc",
            carriers=totals.carrier_media if self._sides.carriers else None,
            watched=watched_slots(
                start_ns,
                max(minute.from_ns, event.from_ns),
                end_ns if event.until_ns is None else event.until_ns,
                minute.missed,
            ),
        )
        for row, call in zip(minute.over, minute.ended, strict=True):
            row |= media_of(call, self._observer)
        up = Counter(
            (account.leg.connector or fallback, account.direction)
            for account in (minute.up.accounts if minute.up else ())
            if account.direction is not None
        )
        for (connector, direction), calls in up.items():
            totals.gauges[connector, direction.capitalize() + "CallsActive"] = calls
        if self._sides.carriers:
            self._add_carriers(minute, totals)
        totals.host = _host_traffic(totals)
        packets = totals.host.packets
        elsewhere = self._note_elsewhere(minute, end_ns, any_rtp=any(packets.values()))
        for unseen in self._host.close(minute, start_ns, packets, elsewhere=elsewhere):
            key = unseen.sight.value, unseen.cause.value, unseen.connector, unseen.direction
            mark(minute.marks, key, 1, 0)
            if unseen.cause is not Cause.MEDIA_ELSEWHERE and unseen.sight is Sight.SIP:
                self.unseen.note(unseen)
        if self._host.blind():
            for row in rows:
                row["flags"] = _without_silence(row["flags"])
                sided = {side: _without_silence(flags) for side, flags in (row["side_flags"] or {}).items()}
                row["side_flags"] = {side: flags for side, flags in sided.items() if flags} or None
        extras = {}
        if minute.up and (minute.up.unknown or not self._host.lacks_signalling()):
            extras["calls_active_unknown"] = minute.up.unknown
        for name in ("orphan_packets", "intruder_packets"):
            if getattr(minute, name):
                extras[name] = getattr(minute, name)
        if event.sip_shed:
            extras["sip_shed"] = event.sip_shed  # so much more was on the wire: counts of SIP are too low
        self._closed.append(
            Summary(
                start_ns,
                0,
                totals.complete,
                [
                    self._connector(connector, totals, minute)
                    for connector in totals.connectors(self._sides.connectors)
                ],
                rows,
                minute.over,
                self.sip_log.decided(start_ns),
                live=self._live(minute),
                extras=extras,
            )
        )

    def _live(self, minute: OpenMinute) -> list[dict[str, Any]]:
        """Records of the calls that began or were answered in a minute, and end in a later one."""
        ended = set(minute.ended)
        return [
            call_row(call, self._sides.fallback, self.identity)
            for call in minute.begun
            if call not in ended and call.claim is None
        ]

    def _add_carriers(self, minute: OpenMinute, totals: MinuteTotals) -> None:
        """Counts the outcomes and the active calls of each carrier."""
        fallback = self._sides.fallback
        for (owner, name, carrier), number in minute.carried.items():
            totals.carrier_counts[connector_of(owner, fallback), carrier][name] += number
        for account in minute.up.accounts if minute.up else ():
            if account.direction is not None:
                key = account.leg.connector or fallback, account.leg.call.carrier()
                totals.carrier_counts[key][account.direction.capitalize() + "CallsActive"] += 1

    def _note_elsewhere(self, minute: OpenMinute, end_ns: int, *, any_rtp: bool) -> bool:
        """Marks connectors whose answered calls have their media elsewhere. Returns whether there are any."""
        if not self._sides.known:
            return False
        calls = [*(minute.up.calls() if minute.up else ()), *minute.ended]
        known = {call for call in calls if call.flags and MEDIA_ELSEWHERE in call.flags}
        elsewhere = calls_elsewhere(calls, self._sides, end_ns, any_rtp=any_rtp)
        for call in elsewhere:
            for connector in {leg.connector or self._sides.fallback for leg in call.legs}:
                event = Unseen(end_ns, end_ns, Sight.MEDIA, Cause.MEDIA_ELSEWHERE, 1, connector)
                mark(minute.marks, (event.sight.value, event.cause.value, connector, ""), 1, 0)
            if call not in known:
                self.unseen.note(event)
        for row, call in zip(minute.over, minute.ended, strict=True):
            row["flags"] = sorted(call.flags)
        return bool(elsewhere)

    def _skipped(self, event: MinutesSkipped) -> None:
        until = datetime.fromtimestamp(event.until_ns / 1e9, UTC).isoformat()
        self._go_on(event.until_ns)
        self._closed.append(
            Summary(event.stamp_ns, 0, False, [], [], [], [], gap=f"not watched until {until}")
        )

    def _connector(self, connector: Connector, totals: MinuteTotals, minute: OpenMinute) -> ConnectorMinute:
        return connector_minute(connector, totals, minute, self._sides, self._observer)


def _without_silence(flags: list[str]) -> list[str]:
    """The flags that do not rest on silence."""
    return [flag for flag in flags if flag not in OF_SILENCE]


def _host_traffic(totals: MinuteTotals) -> CountedTraffic:
    """The traffic of all connectors together."""
    host = CountedTraffic()
    for connector in totals.connectors(()):
        own = traffic(totals.counts[connector], totals.media[connector])
        host.responses += own.responses
        for direction, packets in own.packets.items():
            host.packets[direction] = host.packets.get(direction, 0) + packets
    return host
