"""The agent's own health and figures: is the ring read, do minutes close, what was dropped and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from agent.daemon import host

if TYPE_CHECKING:
    from agent.daemon.service import Service

SILENT_S = 10.0  # the ring is read several times a second, traffic or not
OVERDUE_NS = 120_000_000_000  # a minute close may wait behind a stopped machine, not for ever
Row = tuple[str, Literal["counter", "gauge"], Sequence[tuple[Mapping[str, str], float]]]


class Health:
    """Alive: the ring is read and minutes close. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._passed_at: float | None = None
        self._overdue_ns = 0

    def passed(self, overdue_ns: int) -> None:
        """The loop went round; `overdue_ns` is how late a due minute close is."""
        self._passed_at = self._monotonic()
        self._overdue_ns = overdue_ns

    def well(self) -> tuple[bool, str]:
        if self._passed_at is None:
            return True, "starting"
        silent = self._monotonic() - self._passed_at
        if silent > SILENT_S:
            return False, f"the ring was last read {silent:.0f} s ago"
        if self._overdue_ns > OVERDUE_NS:
            return False, f"a minute close is {self._overdue_ns / 1e9:.0f} s overdue"
        return True, "ok"

    def ready(self) -> tuple[bool, str]:
        if self._passed_at is None:
            return False, "not watching yet"
        return self.well()


class Figures:
    """The agent's own figures of each minute part: what `AGENT_METRICS` lists, since the part before."""

    def __init__(self, monotonic: Callable[[], float], cpu: Callable[[], float] = time.process_time) -> None:
        self._monotonic = monotonic
        self._cpu = cpu
        self._before: dict[str, float] = {}
        self._measured_at = monotonic()
        self._cpu_before = cpu()

    def take(self, service: Service) -> dict[str, float]:
        """Counts since the last call; gauges as they are."""
        engine = service.pipeline.engine
        oldest = [d.counters(service.clock.now_ns())["oldest_age_seconds"] for d in service.deliveries]
        totals = {
            "Frames": float(service.source.frames),
            "CaptureDrops": float(service.source.drops or 0),
            "Rejects": float(engine.rejected().total()),
            "Shed": float(
                sum(count for what, count in engine.counters.items() if what.endswith("_evicted"))
                + engine.loop.refused
                + engine.loop.evicted
                + sum(shed(service).values())
            ),
            "SinkErrors": float(sum(sum(d.errors().values()) for d in service.deliveries)),
        }
        # A reload starts some of them again from zero.
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


def shed(service: Service) -> dict[str, int]:
    """What was done without because the host, a source's budget or the disk left no room, by its name."""
    engine, intervals = service.pipeline.engine, service.pipeline.intervals
    return {
        "sip_bodies": intervals.sip_log.cut,
        "orphan_streams": engine.media.streams.unexplained.shed,
        "sip": engine.budget.shed,
        "log_records": service.writer.shed.total(),
    }


def self_metrics(service: Service) -> dict[str, Row]:
    """Name to (help, type, samples), for `/metrics`."""
    engine = service.pipeline.engine

    def one(text: str, kind: Literal["counter", "gauge"], value: float) -> Row:
        return text, kind, [({}, value)]

    rows: dict[str, Row] = {
        "sbcwatch_agent_frames": one("Frames read", "counter", service.source.frames),
        "sbcwatch_agent_bytes": one("Captured bytes read", "counter", service.source.bytes),
        "sbcwatch_agent_drops": one("Frames the capture missed", "counter", service.source.drops or 0),
        "sbcwatch_agent_late_frames": one("Frames of a minute already closed", "counter", engine.late()),
        "sbcwatch_agent_duplicate_frames": one(
            "Copies removed before counting", "counter", engine.duplicates()
        ),
        "sbcwatch_agent_rejects": (
            "Records that did not parse",
            "counter",
            [({"reason": reason}, count) for reason, count in sorted(engine.rejected().items())],
        ),
        "sbcwatch_agent_unseen": (
            "Frames missed, or met and not read, and intervals of that, by cause",
            "counter",
            [({"what": what}, n) for what, n in service.pipeline.intervals.unseen.counters().items()],
        ),
        "sbcwatch_agent_events": (
            "What tracking noticed",
            "counter",
            [({"what": what}, count) for what, count in sorted(engine.counters.items())],
        ),
        "sbcwatch_agent_call_rows_dropped": one(
            "Call records beyond what one minute holds",
            "counter",
            service.pipeline.intervals.call_rows_dropped,
        ),
        "sbcwatch_agent_table_size": (
            "Entries of the tables that the wire fills",
            "gauge",
            [({"table": table}, size) for table, size in engine.tables().items()],
        ),
        "sbcwatch_agent_load_level": one(
            "0: the host keeps up; 1 to 3: what it does without", "gauge", service.load.level
        ),
        "sbcwatch_agent_lag_seconds": one(
            "Age of the newest frame when it was taken", "gauge", service.load.lag_ns / 1e9
        ),
        "sbcwatch_agent_shed": (
            "Done without: log bodies and orphans under overload, SIP above its source's budget",
            "counter",
            [({"what": what}, count) for what, count in shed(service).items()],
        ),
        "sbcwatch_agent_sip_unlogged": one(
            "SIP messages counted and not logged: beyond logs.sip_rate",
            "counter",
            service.pipeline.intervals.sip_log.unlogged,
        ),
        "sbcwatch_agent_sip_talkers": one(
            "Sources above their budget, or scanners, in the last minute", "gauge", len(service.talkers)
        ),
        "sbcwatch_agent_clock_steps": one("Times the host's clock was set", "counter", service.clock.steps),
        "sbcwatch_agent_close_seconds": one(
            "CPU time of the last minute's close", "gauge", service.close_seconds
        ),
        "sbcwatch_agent_commit_seconds": one(
            "Time the last write took", "gauge", service.writer.commit_seconds
        ),
        "sbcwatch_agent_checkpoint_seconds": one(
            "CPU time of the last checkpoint", "gauge", service.checkpoint_seconds
        ),
        "sbcwatch_agent_checkpoint_bytes": one(
            "Size of the last checkpoint", "gauge", service.writer.checkpoint_bytes
        ),
        "sbcwatch_agent_checkpoint_age_seconds": one(
            "Age of the newest checkpoint on disk",
            "gauge",
            (service.clock.now_ns() - service.writer.checkpoint_ns) / 1e9
            if service.writer.checkpoint_ns
            else 0,
        ),
        "sbcwatch_agent_discarded_minutes": one(
            "Restored minutes that had been committed before", "counter", service.discarded
        ),
        "sbcwatch_agent_writer_queue": one("Writes waiting for the disk", "gauge", service.writer.waiting),
        "sbcwatch_agent_writer_shed": (
            "Records given up because the disk was too slow",
            "counter",
            [({"kind": kind}, count) for kind, count in sorted(service.writer.shed.items())],
        ),
        "sbcwatch_agent_cpu_seconds": one("CPU time of the process", "counter", time.process_time()),
        "sbcwatch_agent_handed_over_bytes": one(
            "Frames that wait between capture threads and engine", "gauge", service.source.waiting
        ),
        "sbcwatch_agent_resident_bytes": one("Resident memory", "gauge", host.resident_bytes()),
        "sbcwatch_agent_store": (
            "State and totals of the local store",
            "gauge",
            [({"what": what}, value) for what, value in service.store.counters().items()],
        ),
    }
    if (fill := service.source.ring_fill) is not None:
        rows["sbcwatch_agent_ring_fill_ratio"] = one("Share of the ring that waits to be read", "gauge", fill)
    if service.deliveries:
        now_ns = service.clock.now_ns()
        rows["sbcwatch_agent_sink"] = (
            "State and totals of each sink",
            "gauge",
            [
                ({"sink": delivery.sink.name, "what": what}, value)
                for delivery in service.deliveries
                for what, value in delivery.counters(now_ns).items()
            ],
        )
        rows["sbcwatch_agent_sink_errors"] = (
            "Failed requests by code",
            "counter",
            [
                ({"sink": delivery.sink.name, "code": code}, count)
                for delivery in service.deliveries
                for code, count in delivery.errors().items()
            ],
        )
    return rows
