"""The agent's own figures: one table of series for `/metrics`, and the eight that CloudWatch takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agent import __version__
from agent.capture.clock import Clock
from agent.daemon import host
from agent.daemon.capture_threads import CaptureThreads
from agent.daemon.endpoint import Endpoint
from agent.daemon.overload import Load
from agent.daemon.writer import Writer
from agent.pipeline import Pipeline
from agent.sinks.delivery import Delivery
from agent.store import Store
from agent.transport.rate_limit_cy import Talker
from agent.uncompiled import status

if TYPE_CHECKING:
    from agent.daemon.board_link import BoardLink
    from agent.evidence.recorder import Recorder

Sample = tuple[Mapping[str, str], float]
Row = tuple[str, Literal["counter", "gauge"], Sequence[Sample]]


Former = dict[tuple[str, tuple[tuple[str, str], ...]], float]  # (name, labels): value


class Daemon(Protocol):
    """The parts of a running daemon that give figures."""

    pipeline: Pipeline
    source: CaptureThreads
    store: Store
    writer: Writer
    clock: Clock
    load: Load
    deliveries: list[Delivery]
    board: BoardLink | None
    recorder: Recorder | None
    talkers: list[Talker]
    close_seconds: float
    checkpoint_seconds: float
    discarded: int
    endpoint: Endpoint
    config_hash: str
    config_waiting: list[str]
    reload_succeeded: bool
    reloaded_at: float
    former: Former  # the counts of earlier pipelines


class Series(NamedTuple):
    """One series: its name behind `sbcwatch_agent_`, its help text, and the source of its samples."""

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    read: Callable[[Daemon], float | Iterable[Sample] | None]  # None: not known, so no series


class Figures:
    """The agent's own figures of each minute part: the metrics in `AGENT_METRICS`, since the part before."""

    def __init__(self, monotonic: Callable[[], float], cpu: Callable[[], float] = time.process_time) -> None:
        self._monotonic = monotonic
        self._cpu = cpu
        self._before: dict[str, float] = {}
        self._measured_at = monotonic()
        self._cpu_before = cpu()

    def take(self, daemon: Daemon) -> dict[str, float]:
        """Counts since the last call; gauges as they are."""
        engine = daemon.pipeline.engine
        oldest = [d.counters(daemon.clock.now_ns())["oldest_age_seconds"] for d in daemon.deliveries]
        totals = {
            "Frames": float(daemon.source.frames),
            "CaptureDrops": float(daemon.source.drops or 0),
            "Rejects": float(engine.rejected().total()),
            "Shed": float(
                sum(count for what, count in engine.counters.items() if what.endswith("_evicted"))
                + engine.loop.refused
                + engine.loop.evicted
                + sum(shed(daemon).values())
            ),
            "SinkErrors": float(sum(sum(d.errors().values()) for d in daemon.deliveries)),
        }
        # A reload starts some counters again from zero.
        figures = {
            name: total - before if total >= (before := self._before.get(name, 0.0)) else total
            for name, total in totals.items()
        }
        now, cpu = self._monotonic(), self._cpu()
        elapsed = now - self._measured_at
        figures["UndeliveredSeconds"] = max(oldest, default=0.0)
        figures["CpuPercent"] = (cpu - self._cpu_before) / elapsed * 100.0 if elapsed > 0 else 0.0
        figures["ResidentBytes"] = float(host.resident_bytes())
        self._before, self._measured_at, self._cpu_before = totals, now, cpu
        return figures


def shed(daemon: Daemon) -> dict[str, int]:
    """Work that was left out because the host, a source's limit or the disk had no room, by its name."""
    engine, intervals = daemon.pipeline.engine, daemon.pipeline.intervals
    return {
        "sip_bodies": intervals.sip_log.bodies_left_out,
        "orphan_streams": engine.media.streams.orphans.shed,
        "sip": engine.rate_limit.shed,
        "log_records": daemon.writer.shed.total(),
    }


def labelled(label: str, counts: Mapping[str, float]) -> list[Sample]:
    """Counts by name as samples with one label, in the order of their names."""
    return [({label: name}, count) for name, count in sorted(counts.items())]


def _checkpoint_age_s(daemon: Daemon) -> float:
    saved_ns = daemon.writer.checkpoint_ns
    return (daemon.clock.now_ns() - saved_ns) / 1e9 if saved_ns else 0.0


def _links(daemon: Daemon) -> list[Sample]:
    away = daemon.source.away
    return labelled("interface", {name: float(name not in away) for name in daemon.source.interfaces()})


def _sinks(daemon: Daemon) -> list[Sample] | None:
    now_ns = daemon.clock.now_ns()
    return [
        ({"sink": delivery.sink.name, "what": what}, value)
        for delivery in daemon.deliveries
        for what, value in delivery.counters(now_ns).items()
    ] or None


def _sink_errors(daemon: Daemon) -> list[Sample] | None:
    if not daemon.deliveries:
        return None
    return [
        ({"sink": delivery.sink.name, "code": code}, count)
        for delivery in daemon.deliveries
        for code, count in delivery.errors().items()
    ]


def _evidence(daemon: Daemon) -> list[Sample] | None:
    return None if daemon.recorder is None else labelled("what", daemon.recorder.counters())


def _build(daemon: Daemon) -> list[Sample]:
    compiled = str(all(status().values())).lower()
    python = sys.version.split()[0]
    return [({"version": __version__, "python": python, "compiled": compiled}, 1)]


SERIES: tuple[Series, ...] = (
    Series("frames", "counter", "Frames read", lambda d: d.source.frames),
    Series("bytes", "counter", "Captured bytes read", lambda d: d.source.bytes),
    Series("drops", "counter", "Frames the capture missed", lambda d: d.source.drops or 0),
    Series(
        "ring_drops",
        "counter",
        "Frames that a ring had no room for; the kernel counts a ring, not an interface",
        lambda d: [
            ({"ring": str(ring), "interfaces": names}, count)
            for ring, (names, count) in enumerate(d.source.drops_by_ring())
        ],
    ),
    Series(
        "interface_frames",
        "counter",
        "Frames read, by interface",
        lambda d: labelled("interface", d.source.interfaces()),
    ),
    Series("interface_up", "gauge", "1: the interface is up and has a carrier", _links),
    Series("interface_outages", "counter", "Times an interface went away", lambda d: d.source.outages),
    Series("late_frames", "counter", "Frames of a minute already closed", lambda d: d.pipeline.engine.late()),
    Series(
        "duplicate_frames",
        "counter",
        "Copies removed before counting",
        lambda d: d.pipeline.engine.duplicates(),
    ),
    Series(
        "rejects",
        "counter",
        "Records that did not parse",
        lambda d: labelled("reason", d.pipeline.engine.rejected()),
    ),
    Series(
        "unseen",
        "counter",
        "Frames missed, or met and not read, and intervals of that, by cause",
        lambda d: labelled("what", d.pipeline.intervals.unseen.counters()),
    ),
    Series(
        "events",
        "counter",
        "Facts noticed that no other series counts",
        lambda d: labelled("what", d.pipeline.engine.counters),
    ),
    Series(
        "call_rows_dropped",
        "counter",
        "Call records beyond what one minute holds",
        lambda d: d.pipeline.intervals.call_rows_dropped,
    ),
    Series(
        "table_size",
        "gauge",
        "Entries of the tables that the wire fills",
        lambda d: labelled("table", d.pipeline.engine.tables()),
    ),
    Series(
        "load_level", "gauge", "0: the host keeps up; 1 to 3: what it does without", lambda d: d.load.level
    ),
    Series(
        "lag_seconds", "gauge", "Age of the newest frame when it was taken", lambda d: d.load.lag_ns / 1e9
    ),
    Series(
        "shed",
        "counter",
        "Done without: log bodies and orphans under overload, SIP above its source's limit",
        lambda d: labelled("what", shed(d)),
    ),
    Series(
        "sip_unlogged",
        "counter",
        "SIP messages counted and not logged: beyond logs.sip_rate",
        lambda d: d.pipeline.intervals.sip_log.unlogged,
    ),
    Series(
        "sip_unlogged_bytes",
        "counter",
        "Bytes of those messages",
        lambda d: d.pipeline.intervals.sip_log.unlogged_bytes,
    ),
    Series(
        "streams_evicted",
        "counter",
        "Streams that no SDP names, given up for newer ones",
        lambda d: d.pipeline.engine.media.streams.evicted,
    ),
    Series(
        "sip_talkers",
        "gauge",
        "Sources above their limit, or scanners, in the last minute",
        lambda d: len(d.talkers),
    ),
    Series("clock_steps", "counter", "Times the host's clock was set", lambda d: d.clock.steps),
    Series("close_seconds", "gauge", "CPU time of the last minute's close", lambda d: d.close_seconds),
    Series("commit_seconds", "gauge", "Time the last write took", lambda d: d.writer.commit_seconds),
    Series("checkpoint_seconds", "gauge", "CPU time of the last checkpoint", lambda d: d.checkpoint_seconds),
    Series("checkpoint_bytes", "gauge", "Size of the last checkpoint", lambda d: d.writer.checkpoint_bytes),
    Series("checkpoint_age_seconds", "gauge", "Age of the newest checkpoint on disk", _checkpoint_age_s),
    Series(
        "discarded_intervals",
        "counter",
        "Restored minutes that had been committed before",
        lambda d: d.discarded,
    ),
    Series("writer_queue", "gauge", "Writes waiting for the disk", lambda d: d.writer.waiting),
    Series(
        "writer_shed",
        "counter",
        "Records given up because the disk was too slow",
        lambda d: labelled("kind", d.writer.shed),
    ),
    Series("cpu_seconds", "counter", "CPU time of the process", lambda d: time.process_time()),
    Series(
        "handed_over_bytes",
        "gauge",
        "Frames that wait between capture threads and engine",
        lambda d: d.source.waiting,
    ),
    Series("resident_bytes", "gauge", "Resident memory", lambda d: host.resident_bytes()),
    Series(
        "store",
        "gauge",
        "State and totals of the local store",
        lambda d: labelled("what", d.store.counters()),
    ),
    Series("evidence", "gauge", "State and totals of evidence, where it is kept", _evidence),
    Series(
        "ring_fill_ratio", "gauge", "Share of the ring that waits to be read", lambda d: d.source.ring_fill
    ),
    Series(
        "claims",
        "counter",
        "Claims told to other hosts and heard of them, missed ones, and faults of the board",
        lambda d: labelled("what", d.board.counters()) if d.board else None,
    ),
    Series("board_up", "gauge", "1: the board answers", lambda d: d.board.board.is_up if d.board else None),
    Series(
        "clock_skew_seconds",
        "gauge",
        "From a claim's telling to its arrival, of the host whose clock differs most, in the last minute",
        lambda d: d.board.skew_ns / 1e9 if d.board else None,
    ),
    Series("sink", "gauge", "State and totals of each sink", _sinks),
    Series("sink_errors", "counter", "Failed requests by code", _sink_errors),
    Series("build_info", "gauge", "Always 1: what runs here", _build),
    Series(
        "config_info",
        "gauge",
        "Always 1: the hash of the configuration last taken",
        lambda d: [({"hash": d.config_hash}, 1)],
    ),
    Series(
        "config_last_reload_successful",
        "gauge",
        "1: the last configuration was taken; 0: it was refused, and the one before stays",
        lambda d: d.reload_succeeded,
    ),
    Series(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        "When a configuration was last taken",
        lambda d: d.reloaded_at,
    ),
    Series(
        "config_waiting",
        "gauge",
        "Settings that were reloaded and wait for a restart",
        lambda d: len(d.config_waiting),
    ),
    Series(
        "http_bind_failures", "counter", "Tries to take the port of /metrics", lambda d: d.endpoint.failures
    ),
)


def self_metrics(daemon: Daemon) -> dict[str, Row]:
    """Name to (help, type, samples), for `/metrics`."""
    rows: dict[str, Row] = {}
    for name, kind, text, read in SERIES:
        samples = _samples(read(daemon))
        if kind == "counter":
            samples = _with_former(name, samples, daemon.former)
        if samples is not None:
            rows[f"sbcwatch_agent_{name}"] = text, kind, samples
    return rows


def former(daemon: Daemon, before: Former) -> Former:
    """The amount to add to each counter so that it goes on from `before`: a new pipeline counts from zero.

    A part that stays has no amount: what it counted meanwhile is not taken away, and its rows go with it.
    """
    now = counted(daemon)
    return {key: lost for key, value in before.items() if (lost := value - now.get(key, 0.0)) > 0}


def counted(daemon: Daemon) -> Former:
    """Each counter as its parts have it now, without `former`."""
    return {
        (name, tuple(labels.items())): value
        for name, kind, _, read in SERIES
        if kind == "counter"
        for labels, value in _samples(read(daemon)) or ()
    }


def _samples(value: float | Iterable[Sample] | None) -> list[Sample] | None:
    if value is None:
        return None
    return [({}, float(value))] if isinstance(value, int | float) else list(value)


def _with_former(name: str, samples: list[Sample] | None, earlier: Former) -> list[Sample] | None:
    sums = {(name, tuple(labels.items())): value for labels, value in samples or ()}
    for key, value in earlier.items():
        if key[0] == name:
            sums[key] = sums.get(key, 0.0) + value
    return [(dict(labels), value) for (_, labels), value in sums.items()] or samples
