"""The main path: frames in, minutes out. The daemon and a replayed file take the same one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from agent.calls.signalling_cy import CallRules
from agent.capture.source import Source
from agent.config.settings import Config
from agent.engine.engine import Engine, Rules
from agent.errors import ConfigError
from agent.media.rtp.workers import Lock
from agent.media.streams_cy import QualityRules
from agent.model.events import Event
from agent.model.sides import Connector, Sides
from agent.model.stream_minute_cy import StreamMinute
from agent.summary.identity import Identity
from agent.summary.interval import Intervals
from agent.summary.records import Summary

# Without a frame or a word of the clock for so long nobody can say that capture ran. A file of one quiet
# trunk may be silent for long; a live source speaks several times a second unless the host was suspended.
FILE_IDLE_NS = 3600 * 10**9
LIVE_IDLE_NS = 65 * 10**9
# Resident memory, measured by tests/flooding: the idle daemon with boto3, a call that a flood made up (with
# its messages and its part of a checkpoint), a stream of two packets.
BASE_BYTES, CALL_BYTES, STREAM_BYTES = 64 << 20, 9 << 10, 2 << 10
LEAST = 100  # calls, and streams: what the settings of either must be as well
WAITING_BYTES = 96 << 20  # for the engine (sifting.ROOM) and for the disk (writer.MAX_WAITING), at most


class MinuteSink(Protocol):
    """What takes closed minutes and SIP log rows: the store, or what prints them."""

    def commit(self, summary: Summary) -> object: ...

    def messages(self, rows: list[dict[str, Any]]) -> object: ...


class Pipeline(Struct):
    """The sans-IO middle, assembled from a configuration."""

    sides: Sides
    engine: Engine
    intervals: Intervals

    def shed(self, level: int) -> None:
        """Do without what `agent.daemon.overload` says at this level, and no more."""
        self.intervals.sip_log.level = level
        self.engine.shed(level)


def build(
    config: Config,
    *,
    vc: Iterable[str] = (),
    customers: Iterable[str] = (),
    key: bytes = b"",
    live: bool = False,
    turns: Sequence[Lock] = (),
    on_stream: Callable[[StreamMinute], None] | None = None,
    before: Pipeline | None = None,
) -> Pipeline:
    """Engine and intervals for `config`; `vc` and `customers` add to what it names.

    `key` makes endpoint ids this host's own; `turns`: one a thread that sifts RTP out of the frames;
    `before` is what it will go on from in this process. Raises ConfigError where an address does not parse.
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
        )
    except ValueError as error:
        raise ConfigError(f"{error}: give addresses like 192.0.2.1 and networks like 192.0.2.0/24") from None
    engine = Engine(sides, rules(config, live=live), turns, before.engine if before else None)
    masking = None
    if config.privacy.mask_numbers:
        from agent.summary.masking import Masking

        # Without a host's key (a capture file) tokens are of this run only: unkeyed could be turned back.
        masking = Masking(key or os.urandom(32))
    intervals = Intervals(
        sides,
        identity=Identity(key, config.privacy.country or None, masking),
        observer=config.vc.observer,
        redact=tuple(header.lower() for header in config.privacy.redact_headers),
        on_stream=on_stream,
        sip_rate=config.logs.sip_rate if live else 0,
    )
    return Pipeline(sides, engine, intervals)


def rules(config: Config, *, live: bool = False) -> Rules:
    """Configuration in the engine's units: nanoseconds."""
    calls = config.calls
    max_calls, max_streams = tables(config, live=live)
    return Rules(
        calls=CallRules(
            # A customer's host sees one leg of each call: the one that there is counts.
            count_at="either" if config.vc.observer == "customer" else calls.count_at,
            retry_window_ns=ns(calls.retry_window),
            join_window_ns=ns(calls.join_window),
            call_timeout_ns=ns(calls.call_timeout),
            hold_timeout_ns=ns(calls.hold_timeout),
            media_linger_ns=ns(config.media.linger),
            correlation_headers=calls.correlation_headers,
            call_id_suffixes=calls.call_id_suffixes,
            not_failures=calls.not_failures,
            throttle_patterns=calls.throttle_patterns,
            max_calls=max_calls,
        ),
        quality=QualityRules(
            config.quality.jitter_buffer_ms, config.quality.default_rtt_ms, config.quality.plc
        ),
        observer=config.vc.observer,
        count_unsignalled=config.media.unsignalled == "count",
        lateness_ns=ns(config.capture.lateness),
        single_span=config.capture.single_span,
        adaptive_buffer=config.quality.jitter_buffer == "adaptive",
        max_buffer_ms=config.quality.jitter_buffer_max_ms,
        max_streams=max_streams,
        sip_budget=config.limits.sip_budget if live else 0,
        idle_ns=LIVE_IDLE_NS if live else FILE_IDLE_NS,
    )


def tables(config: Config, *, live: bool = False) -> tuple[int, int]:
    """Calls and streams that may be followed at once: what is configured, or what fits in the memory."""
    limits = config.limits
    half = max(0, (limits.max_memory_mb << 20) - taken(config, live=live)) // 2
    return (
        max(LEAST, min(limits.max_calls, half // CALL_BYTES)),
        max(LEAST, min(limits.max_streams, half // STREAM_BYTES)),
    )


def taken(config: Config, *, live: bool = False) -> int:
    """Bytes of memory that are not for calls and streams. Live, the rings are most of it."""
    return BASE_BYTES + (WAITING_BYTES + (config.capture.ring_mb << 20) if live else 0)


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


def run(source: Source, engine: Engine, intervals: Intervals, keeper: MinuteSink) -> None:
    """Everything from `source` to `keeper`.

    Raises CaptureError where the source does, after what was read before the fault is accounted for.
    """
    try:
        for batch, now_ns in source:  # a poll timeout yields an empty batch
            pass_on(engine.feed(batch) + engine.advance(now_ns), intervals, keeper)
    finally:
        pass_on(engine.finish(), intervals, keeper)


def pass_on(events: list[Event], intervals: Intervals, keeper: MinuteSink) -> None:
    """Events of one batch into minutes; closed minutes and decided SIP rows to the keeper."""
    for event in events:
        intervals.record(event)
    rows = intervals.messages()
    if rows:
        keeper.messages(rows)
    for summary in intervals.closed():
        keeper.commit(summary)  # once; every sink delivers it from its own cursor
