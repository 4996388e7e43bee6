"""The main path: frames in, minutes out. The daemon and `replay` use the same one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from agent.assembly.rules import rules
from agent.capture.source import Source
from agent.config.settings import Config
from agent.engine.engine import Engine
from agent.errors import ConfigError
from agent.media.rtp.workers import Lock
from agent.model.events import Event
from agent.model.sides import Carrier, Connector, Sides
from agent.model.stream_minute_cy import StreamMinute
from agent.summary.identity import Identity, key_id_of
from agent.summary.interval import Intervals
from agent.summary.records import ConnectorMinute, Summary
from agent.summary.redaction import Redaction

if TYPE_CHECKING:
    from agent.evidence.recorder import Recorder


class MinuteSink(Protocol):
    """Takes closed minutes and rows of the SIP log: the store, or a printer."""

    def commit(self, summary: Summary) -> object: ...

    def messages(self, rows: list[dict[str, Any]]) -> object: ...


class Pipeline(Struct):
    """Engine and intervals of one configuration. It does no input or output of its own."""

    sides: Sides
    engine: Engine
    intervals: Intervals

    def so_far(self) -> tuple[list[ConnectorMinute], int | None]:
        """The open minutes so far, and the number of active calls whose start was not captured.

        That number is None where SIP passes on another host.
        """
        media, up, unknown = self.engine.so_far()
        minutes = self.intervals.so_far(media, up)
        sees_sip = any(minute.values["Sip2xxCodes"] is not None for minute in minutes)
        return minutes, unknown if unknown or sees_sip else None

    def shed(self, level: int) -> None:
        """Switches off the work that `agent.daemon.overload` names for this level."""
        self.intervals.sip_log.level = level
        self.engine.shed(level)


def build(
    config: Config,
    *,
    vc: Iterable[str] = (),
    customers: Iterable[str] = (),
    key: bytes = b"",
    host: str = "",
    live: bool = False,
    own: Sequence[str] = (),
    locks: Sequence[Lock] = (),
    on_stream: Callable[[StreamMinute], None] | None = None,
    reads_tls: bool = False,
) -> Pipeline:
    """Builds engine and intervals for `config`. `vc` and `customers` add to its addresses.

    `key` is the secret of endpoint ids, transaction ids and tokens. `host` is the host's name in records.
    `own`: addresses of the host that captures; what it receives from them is forged. `locks` has one lock a
    thread that processes RTP.
    Raises ConfigError where an address does not parse.
    """
    try:
        sides = Sides(
            (*config.vc.addresses, *vc),
            (
                Connector(c.id, c.region, c.domains, c.customer_networks, c.default, c.log_media, c.log_sip)
                for c in config.connectors
            ),
            (*config.customers.networks, *customers),
            config.vc.public_addresses,
            (Carrier(c.id, c.networks, c.domains) for c in config.carriers),
        )
    except ValueError as error:
        raise ConfigError(f"{error}: give addresses like 192.0.2.1 and networks like 192.0.2.0/24") from None
    engine = Engine(sides, rules(config, live=live, own=tuple(own), reads_tls=reads_tls), locks)
    masking, id_key = None, key
    if config.privacy.mask_numbers:
        from agent.summary.masking import Masking

        # Without a host's key (a capture file) the key is random: tokens without a key could be turned back
        # into numbers.
        id_key = key or os.urandom(32)
        masking = Masking(id_key)
    intervals = Intervals(
        sides,
        identity=Identity(
            id_key,
            config.privacy.country or None,
            masking,
            host,
            key_id_of(id_key),
            config.web.public_url.rstrip("/"),
        ),
        observer=config.vc.observer,
        redaction=Redaction(config.privacy.sip_log, config.privacy.redact_headers),
        on_stream=on_stream,
        sip_rate=config.logs.sip_rate if live else 0,
    )
    return Pipeline(sides, engine, intervals)


def run(
    source: Source,
    engine: Engine,
    intervals: Intervals,
    minute_sink: MinuteSink,
    recorder: Recorder | None = None,
) -> None:
    """Takes everything from `source` to `minute_sink`, and packets of calls that went bad to `recorder`.

    Raises CaptureError where the source does, after the frames before the fault are counted.
    """
    now_ns = 0
    try:
        for batch, now_ns in source:  # a poll timeout yields an empty batch
            pass_on(engine.feed(batch) + engine.advance(now_ns), intervals, minute_sink, recorder)
            if recorder is not None:
                if recorder.tap.is_open:
                    recorder.tap.take(batch)  # a recording that was asked for may begin in this batch
                recorder.step(now_ns, intervals.sip_log)
    finally:
        pass_on(engine.finish(), intervals, minute_sink, recorder)
        if recorder is not None:
            recorder.finish(now_ns, intervals.sip_log)


def pass_on(
    events: list[Event], intervals: Intervals, minute_sink: MinuteSink, recorder: Recorder | None = None
) -> None:
    """Takes the events of one batch into minutes; closed minutes and decided SIP rows go to `minute_sink`."""
    for event in events:
        intervals.record(event)
    rows = intervals.messages()
    if rows:
        minute_sink.messages(rows)
    summaries = intervals.closed()
    for summary in summaries:
        minute_sink.commit(summary)  # committed once; each sink delivers it from its own cursor
    if recorder is not None:
        recorder.take(events, summaries, intervals.sip_log)
