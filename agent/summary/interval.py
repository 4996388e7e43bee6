"""Intervals: events in, one-minute summaries out.

A leg's connector may be decided as late as the close of its minute, so counts are kept by leg until then and
added up by connector at the close.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from agent.calls.rfc6076 import MAX_SAMPLES, extras
from agent.gc_pause import held_off
from agent.model.call_cy import Call, Leg
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
from agent.model.sides import UNASSIGNED, Connector, Sides
from agent.model.stream_minute_cy import StreamMinute
from agent.summary.call_minute_cy import CallMinute, Calls, of_call, share_out
from agent.summary.catalog import METRICS
from agent.summary.direction_totals_cy import MediaTotals
from agent.summary.identity import Identity, users_of
from agent.summary.media_record_cy import records
from agent.summary.records import MINUTE_NS, ConnectorMinute, Summary, Value
from agent.summary.redaction import Redaction
from agent.summary.sip_log import SipLog

Owner = Leg | Connector
Counts = dict[tuple[Owner, str], int]
ASK_AGAIN_NS = 1_000_000_000
SIP_CODES = tuple(f"Sip{hundreds}xxCodes" for hundreds in range(7))  # by a status's hundreds; 0 has none
MAX_CALL_ROWS = 100_000  # of one minute: a scan that is answered call by call must not fill the memory


class OpenMinute(Struct):
    """What happened in one open minute."""

    counts: Counts = {}
    tallies: Counts = {}
    delays: dict[tuple[Owner, str], list[float]] = {}
    calls: Calls = {}
    over: list[dict[str, Any]] = []
    up: CallsUp | None = None

    def of_call(self, call: Call) -> CallMinute:
        return of_call(self.calls, call)

    def heard_ns(self) -> int:
        """When RTP of a call was last heard, 0 if never."""
        return max((stream.last_ns for its in self.calls.values() for stream in its.streams), default=0)


class Intervals:
    """`record` every event; `closed` gives the minutes that are complete since it was last asked."""

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
        """`redaction`: what of logged messages stays. `on_stream` sees every stream minute, orphans too.
        `sip_rate`: messages logged a second, 0: all."""
        self._sides = sides
        self._identity = identity
        self._observer = observer
        self._redaction = redaction or Redaction()
        self._on_stream = on_stream
        self._minutes: defaultdict[int, OpenMinute] = defaultdict(OpenMinute)
        self._oldest_ns = 0
        self._newest = OpenMinute()  # that of the last fact, which is mostly the next one's too ...
        self._start_ns = self._end_ns = 0  # ... where it is between these
        self._messages: list[MessageSeen] = []
        self.sip_log = SipLog(sip_rate)
        self._waiting: list[MessageSeen] = []  # of legs whose connector is not decided
        self._asked_ns = 0
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

    def _unseen(self, event: Unseen) -> None:
        """Marks the minutes that the interval touches."""

    def record(self, event: Event) -> None:
        self._record[type(event)](event)  # type: ignore[operator]

    def closed(self) -> list[Summary]:
        """Minutes closed since the last call, in order."""
        summaries, self._closed = self._closed, []
        return summaries

    def nothing(self) -> list[ConnectorMinute]:
        """What each connector has where nothing happens: 0 of all that can be known."""
        return [
            self._connector(connector, Counter(), MediaTotals(), {}, False, {})
            for connector in self._sides.connectors
        ]

    def messages(self) -> list[dict[str, Any]]:
        """SIP log rows whose connector is decided, drained; the others are asked again once a second."""
        newest_ns = self._messages[-1].stamp_ns if self._messages else 0
        if newest_ns - self._asked_ns >= ASK_AGAIN_NS:
            return self._decided_messages(newest_ns)
        fresh, self._messages = self._messages, []
        return self._rows(fresh)

    def _decided_messages(self, now_ns: int) -> list[dict[str, Any]]:
        """The same, those that wait included."""
        self._asked_ns = now_ns
        seen, self._messages, self._waiting = self._waiting + self._messages, [], []
        return self._rows(sorted(seen, key=lambda message: message.stamp_ns))

    def _rows(self, messages: list[MessageSeen]) -> list[dict[str, Any]]:
        rows = []
        for seen in messages:
            owner = seen.connector or (seen.leg.connector if seen.leg else None)
            if owner is None:
                self._waiting.append(seen)
            elif owner.log_sip:
                rows.append(self._sip_row(seen, owner))
        return rows

    def give(self, handover: Handover) -> None:
        """The open minutes, and the SIP messages that wait for their connector."""
        handover.intervals = self._oldest_ns, dict(self._minutes), self._waiting + self._messages

    def take(self, handover: Handover) -> None:
        """Go on with what `give` wrote down. Only before any event."""
        oldest_ns, minutes, self._messages = handover.intervals
        self._minutes = defaultdict(OpenMinute, minutes)
        self._go_on(oldest_ns)

    def discard(self, until_ns: int) -> int:
        """Drop restored counts of minutes that were committed before; how many minutes had any."""
        closed = [minute for minute in self._minutes if minute < until_ns]
        for minute in closed:
            del self._minutes[minute]
        self._go_on(max(self._oldest_ns, until_ns))
        return len(closed)

    def _go_on(self, oldest_ns: int) -> None:
        """No fact counts before `oldest_ns` any more: what is older is of the minute that begins there."""
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
        if self.sip_log.takes(event.status, event.stamp_ns, len(self._waiting)):
            if event.connector is None and (event.leg is None or event.leg.connector is None):
                event.data = self._redaction.text(event.data).encode()  # it waits, and a checkpoint has it
            self._messages.append(event)
        if 100 <= event.status < 700:
            owner = _owner(event.leg, event.connector)
            _count(self._minute(event.stamp_ns).counts, owner, SIP_CODES[event.status // 100])

    def _attempted(self, event: Attempted) -> None:
        self._call_count(event, "CallAttempts")
        # Found now and kept: at the close 5,000 calls would ask for their names all at once.
        self._identity.of_call(event.account.leg.call)

    def _concluded(self, event: Concluded) -> None:
        if event.outcome == "answered":
            self._call_count(event, "CallsAnswered")
        elif event.outcome == "failed" and event.failure:
            self._call_count(event, "CallFailures")

    def _call_count(self, event: Attempted | Concluded, what: str) -> None:
        direction = event.account.direction
        if direction is not None:
            owner = _owner(event.account.leg)
            _count(self._minute(event.stamp_ns).counts, owner, direction.capitalize() + what)

    def _throttled(self, event: Throttled) -> None:
        _count(self._minute(event.stamp_ns).counts, _owner(event.account.leg), "Throttles")

    def _tallied(self, event: Tallied) -> None:
        _count(self._minute(event.stamp_ns).tallies, _owner(event.leg, event.connector), event.name)

    def _measured(self, event: Measured) -> None:
        key = (_owner(event.leg, event.connector), event.name)
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
        share_out(lambda stamp_ns: self._minute(stamp_ns).calls, event.streams, event.reports)

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
        over = self._minute(event.stamp_ns).over
        if len(over) < MAX_CALL_ROWS:
            over.append(call_row(event.call, self._sides.fallback, self._identity))
        else:
            self.call_rows_dropped += 1

    # -- closing

    @held_off()
    def _close(self, event: MinuteClosed) -> None:
        start_ns = event.stamp_ns
        minute = self._minutes.pop(start_ns, None) or OpenMinute()
        # A part that ends inside its minute is followed by another of the same label.
        self._go_on(start_ns + MINUTE_NS if event.complete else start_ns)
        counts: dict[Connector, Counter[str]] = defaultdict(Counter)
        for (owner, name), count in minute.counts.items():
            connector = owner if isinstance(owner, Connector) else owner.connector or self._sides.fallback
            counts[connector][name] += count
        figures = _figures(minute, self._sides.fallback)
        media: dict[Connector, MediaTotals] = defaultdict(MediaTotals)
        # A part that does not reach the minute's end was watched as far as media was heard.
        end_ns = start_ns + MINUTE_NS
        until_ns = end_ns if event.complete else minute.heard_ns()
        for account in minute.up.accounts if minute.up else ():
            if account.leg.call.last_rtp_ns:  # it had media and may have gone silent: its record says so
                minute.of_call(account.leg.call)
        rows = records(
            minute.calls,
            media,
            self._sides.fallback,
            self._identity,
            end_ns,
            until_ns,
            vc_seen=self._observer == "vc",
        )
        up = Counter(
            (account.leg.connector or self._sides.fallback, account.direction)
            for account in (minute.up.accounts if minute.up else ())
            if account.direction is not None
        )
        gauges = {
            (connector, direction.capitalize() + "CallsActive"): count
            for (connector, direction), count in up.items()
        }
        connectors = list(self._sides.connectors)
        for connector in (*counts, *figures, *media, *(c for c, _ in gauges)):
            if connector not in connectors:
                connectors.append(connector)
        complete = event.complete and minute.up is not None
        extras = {"calls_active_unknown": minute.up.unknown} if minute.up else {}
        if event.sip_shed:
            extras["sip_shed"] = event.sip_shed  # so much more was on the wire: counts of SIP are too low
        self._closed.append(
            Summary(
                start_ns,
                0,
                complete,
                [
                    self._connector(
                        connector,
                        counts[connector],
                        media[connector],
                        gauges,
                        complete,
                        figures.get(connector, {}),
                    )
                    for connector in connectors
                ],
                rows,
                minute.over,
                self._decided_messages(start_ns),
                extras=extras,
            )
        )

    def _skipped(self, event: MinutesSkipped) -> None:
        until = datetime.fromtimestamp(event.until_ns / 1e9, UTC).isoformat()
        self._go_on(event.until_ns)
        self._closed.append(
            Summary(event.stamp_ns, 0, False, [], [], [], [], gap=f"not watched until {until}")
        )

    def _connector(
        self,
        connector: Connector,
        counts: Counter[str],
        media: MediaTotals,
        gauges: dict[tuple[Connector, str], int],
        complete: bool,
        figures: dict[str, Any],
    ) -> ConnectorMinute:
        values: dict[str, Value] = {}
        media_values, samples = media.values, media.samples
        for metric in METRICS:
            if metric.name.startswith("Sip"):
                values[metric.name] = counts[metric.name]
            elif not self._sides.known or ("Remote" in metric.name and self._observer == "customer"):
                values[metric.name] = None
            elif metric.kind == "gauge":
                values[metric.name] = gauges.get((connector, metric.name), 0) if complete else None
            elif metric.name == "Throttles" and figures.get("throttles_unknown"):
                values[metric.name] = None  # nobody knows whose refusal it was
            elif metric.name in media_values:
                values[metric.name] = media_values[metric.name]
            elif metric.kind == "samples":
                values[metric.name] = samples[metric.name]
            else:
                values[metric.name] = counts[metric.name]
        return ConnectorMinute(connector.id, connector.region, values, media.coverage, figures)

    def _sip_row(self, seen: MessageSeen, connector: Connector) -> dict[str, Any]:
        call_id = seen.call_id
        message = self._redaction.text(self.sip_log.text(seen.data, seen.status))
        if self._identity.masking is not None:
            users = users_of(seen.leg.call) if seen.leg is not None else ()
            message, call_id = self._identity.masking.message(message, call_id, users)
        return {
            "voice_connector_id": connector.id,
            "aws_region": connector.region,
            "event_timestamp": seen.stamp_ns // 1_000_000,
            "call_id": call_id,
            "sip_message": message,
        }


def _owner(leg: Leg | None, connector: Connector | None = None) -> Owner:
    """The connector, once it is decided: a leg that a flood pushed out is not kept alive by its counts."""
    return (leg.connector or leg) if leg is not None else connector or UNASSIGNED


def _count(counts: Counts, owner: Owner, name: str) -> None:
    """One more. In a plain dictionary: `+= 1` in a Counter costs twice as much."""
    key = owner, name
    counts[key] = counts.get(key, 0) + 1


def _figures(minute: OpenMinute, fallback: Connector) -> dict[Connector, dict[str, Any]]:
    """RFC 6076 and the other extra counts, by connector."""
    tallies: dict[Connector, Counter[str]] = defaultdict(Counter)
    delays: dict[Connector, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (owner, name), count in minute.tallies.items():
        tallies[owner if isinstance(owner, Connector) else owner.connector or fallback][name] += count
    for (owner, name), values in minute.delays.items():
        delays[owner if isinstance(owner, Connector) else owner.connector or fallback][name] += values
    return {
        connector: extras(tallies[connector], delays[connector])
        for connector in dict.fromkeys((*tallies, *delays))
    }


def call_row(call: Call, fallback: Connector, identity: Identity) -> dict[str, Any]:
    """The `call` record of JSON output and the store. Nanoseconds, None where it did not happen."""
    lead, counted = call.lead, call.counted
    attempt = counted.attempt
    direction = call.accounts[0].direction if call.accounts else None
    call_ids, from_user, _, to_user, _, _ = identity.of_call(call)
    return {
        "call_id": call_ids[0],
        "call_ids": call_ids,
        "voice_connector_id": (counted.connector or lead.connector or fallback).id,
        "direction": direction,
        "from_sip_user": from_user,
        "to_sip_user": to_user,
        "diverted_from": identity.user(lead.diverted[0]) if lead.diverted else None,
        "invite_ns": lead.invite_ns if lead.whole else None,
        "answer_ns": call.answer_ns if lead.whole else None,
        "end_ns": call.end_ns,
        "status": attempt.status if attempt else None,
        "outcome": call.outcome,
        "end_reason": call.end_reason,
        "flags": sorted(call.flags),
    }
