"""The daemon: sole owner of clock, threads and signals.

    capture threads ring -> loop: RTP is finished there
    main thread     the rest -> engine -> intervals
    writer thread   closed minutes, SIP rows and checkpoints -> the store
    board thread    claims to and from other hosts
    a sink thread   each sink reads on from its own cursor
    http thread     /metrics, /healthz, /readyz

The main thread never waits for a disk or for a sink's service.
"""

from __future__ import annotations

import argparse
import gc
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec

from agent.assembly import sinks, sources
from agent.assembly.check import secrets_of, usable
from agent.assembly.rules import ns
from agent.capture.clock import Clock
from agent.capture.source import Source
from agent.config.settings import Config, PrometheusSettings
from agent.daemon import checkpoint, host, keys
from agent.daemon.agent_metrics import Figures, Former, counted, former, self_metrics
from agent.daemon.capture_threads import CaptureThreads
from agent.daemon.disk_thread import DiskThread
from agent.daemon.endpoint import Endpoint, Server
from agent.daemon.health import SINK_S, Health
from agent.daemon.log import Log
from agent.daemon.overload import LEVELS, Load
from agent.daemon.reload import changed, digest, taken
from agent.daemon.systemd import Notifier
from agent.daemon.words import Account, beginning, hour, lasted
from agent.daemon.writer import SIGN_S, Writer
from agent.errors import SbcwatchError
from agent.model.events import Event
from agent.model.units import HOUR_NS
from agent.pipeline import Pipeline, build, pass_on
from agent.sinks.delivery import Delivery
from agent.sinks.prometheus import Totals
from agent.store import Store
from agent.transport.rate_limit_cy import Talker
from agent.wire.frame import Batch

if TYPE_CHECKING:
    from agent.daemon.board_link import BoardLink
    from agent.evidence.recorder import Recorder

CHECKPOINT_SHARE = 50  # the part of the time that checkpoints may take
SWITCH_S = 0.001  # how long a capture thread may wait for a busy main thread, several times a block
FLUSH_S = 10.0  # how long a stop may wait for the sinks; systemd's TimeoutStopSec is longer


def run_command(options: argparse.Namespace) -> int:
    """`sbcwatch run`: watches until SIGTERM or SIGINT. Raises SbcwatchError where it cannot start."""
    warnings: list[str] = []
    config = usable(options.config, warn=warnings.append)
    log = Log()
    for warning in warnings:
        log.warning("config", warning)
    confine = config.confine.enabled
    service = Service(config, options.config, log, interfaces=options.interface, confine=confine)
    return service.run()


class Service:
    """One running daemon."""

    def __init__(
        self,
        config: Config,
        config_path: str | None = None,
        log: Log | None = None,
        *,
        live: Source | None = None,
        clock: Clock | None = None,
        interfaces: Sequence[str] = (),
        confine: bool = False,
    ) -> None:
        """`live` and `clock`: frames from another source than this host's NICs, at another time.

        `interfaces`: in place of the configuration's. `confine`: the process is ours alone, so it may give up
        its privileges for good.
        """
        self.config_hash = digest(config)
        self._interfaces = tuple(interfaces)
        self.config = config = self._with_interfaces(config)
        self._confine = confine
        self._config_path = config_path
        self._log = log or Log()
        self._stop = threading.Event()
        self._why = "its source came to an end"
        self._reload = False
        self.reload_succeeded = True
        self.reloaded_at = time.time()
        self._connects: frozenset[int] | None = None  # the TCP ports that confinement leaves; None: all
        self.config_waiting: list[str] = []  # settings of the last reload that wait for a restart
        directory = Path(config.store.directory)
        # Read once, while every file may be read: records keep their host's name through each reload.
        key_file = config.fleet.key_file
        self._key = keys.shared_key(Path(key_file)) if key_file else keys.key(directory)
        self._host = host.name(config.fleet.host)
        self.clock = clock or Clock()
        self.health = Health(time.monotonic, lambda text: self._log.error("thread", text))
        # The first step that may be refused: before any thread.
        rings = [live] if live else sources.rings(config)
        self.source = CaptureThreads(
            rings, self.clock, lateness_ns=ns(config.capture.lateness), health=self.health
        )
        self.totals = Totals(live=True)
        self.pipeline = self._built(config)
        self.totals.begin(self.pipeline.intervals.nothing())
        self.store = Store(directory / "sbcwatch.sqlite", **_bounds(config))
        self._disk = DiskThread("evidence")
        self._evidence_missing: dict[str, int] = {}
        self.recorder: Recorder | None = None
        if config.evidence.enabled:  # a start's to say, as `board` is: 0.4 MB that most hosts do without
            from agent.assembly.evidence import recorder

            self.recorder = recorder(config, directory, live=True, do=self._disk.do)
        if self.recorder is not None:
            self.source.tap = self.recorder.tap
        figures = Figures(time.monotonic)
        host.started_at()  # while /proc may be read
        self.writer = Writer(
            self.store, self.totals, lambda: figures.take(self), self._stored, health=self.health
        )
        self.deliveries = sinks.deliveries(config, self.store.outbox, host.name(config.fleet.host))
        self._sink_threads: list[threading.Thread] = []
        self._sinks_over = threading.Event()
        self.endpoint = Endpoint(self._server, lambda text: self._log.warning("http", text), time.monotonic)
        self.board: BoardLink | None = None
        if config.fleet.board:
            from agent.daemon.board_link import board_link

            self.board = board_link(
                config, host.addresses(), self.clock.now_ns, lambda text: self._log.warning("board", text)
            )
        self.load = Load()
        self.checkpoint_seconds = 0.0
        self.close_seconds = 0.0
        self.former: Former = {}
        self.discarded = 0  # restored minutes that were committed before
        self.talkers: list[Talker] = []  # of the last minute
        self._save_at_ns = 0
        self._notifier = Notifier()
        self._begun = time.monotonic()
        self._hour = self.account()
        self._hour_ends_ns = 0

    def _with_interfaces(self, config: Config) -> Config:
        if not self._interfaces:
            return config
        capture = msgspec.structs.replace(config.capture, interfaces=self._interfaces)
        return msgspec.structs.replace(config, capture=capture)

    def _built(self, config: Config) -> Pipeline:
        own = host.addresses()
        return build(
            config,
            vc=() if config.vc.addresses else own,  # without configured addresses the vc is this host
            key=self._key,
            host=self._host,
            live=True,
            own=own,
            locks=self.source.locks,
        )

    # -- running

    def run(self) -> int:
        # All imports are done. No full collection should walk botocore's models (35 ms).
        gc.freeze()
        host.give_back()
        sys.setswitchinterval(SWITCH_S)
        self._catch_signals()
        self._take_up()
        if self.board is not None:
            self.board.board.read_on(self.pipeline.engine.claims.last)
            self.board.follow(self.pipeline)
        self.endpoint.bind(self.config.prometheus)
        if self._confine:
            self._lock_in()  # for this thread and those that it starts: before there are others
        self.endpoint.start()
        if self.recorder is not None:
            self._disk.start()
        self.writer.start()
        if self.board is not None:
            self.board.start(self.health)
        self._start_sinks()
        self._announce()
        try:
            self._watch()
        except SbcwatchError as error:
            self._why = str(error)
            raise
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._notifier.send("STOPPING=1")
            self._log.info("stop", f"stopping after {lasted(self._ran_s)}: {self._why}")
            self._close()
            self.endpoint.stop()
        return 0

    @property
    def _ran_s(self) -> float:
        return time.monotonic() - self._begun

    def _lock_in(self) -> None:
        from agent.daemon.confine import confine

        config_path = Path(self._config_path) if self._config_path else None
        report = confine(
            Path(self.config.store.directory),
            config_path,
            secrets=secrets_of(self.config),
            archive=sinks.archive_folder(self.config),
            urls=re.findall(r'\w+://[^"\s]+', msgspec.json.encode(self.config).decode()),
            notifier=self._notifier.fileno(),
        )
        self._connects = report.ports
        if report.done:
            self._log.info("confine", "; ".join(report.done))
        for reason in report.left_out:
            self._log.info("confine", f"left out: {reason}")

    def _take_up(self) -> None:
        """Goes on with the calls of the process before, where its checkpoint can be read."""
        data = self.store.load_checkpoint()
        now_ns = self.clock.now_ns()
        if data is not None:
            try:
                saved_ns = checkpoint.taken_ns(data)
                saved_ns = now_ns if saved_ns is None else saved_ns
                # A host that starts with its clock behind: the length of the gap is unknown.
                shift_ns = min(0, now_ns - saved_ns)
                checkpoint.restore(data, self.pipeline.engine, self.pipeline.intervals, shift_ns=shift_ns)
            except checkpoint.Unreadable as error:
                self._log.warning("checkpoint", f"starting clean: {error}")
                self.pipeline = self._built(self.config)
            else:
                closed_ns = self.store.closed_unsaved_ns
                self.discarded = self.pipeline.intervals.discard(closed_ns)
                self.pipeline.engine.discard(closed_ns)
                calls, missed = len(self.pipeline.engine.signalling), max(0, now_ns - saved_ns) / 1e9
                self._log.info(
                    "checkpoint", "going on", calls=calls, seconds_without_capture=round(missed, 1)
                )
        self._pass_on(self.pipeline.engine.resume(now_ns))

    def _watch(self) -> None:
        """The main path, live."""
        self.source.serve(self.pipeline.engine.workers)
        self._notifier.send("READY=1")
        for batch, now_ns in self.source:
            if self.source.step is not None:
                self._step(self.source.step.after_ns - self.source.step.before_ns)
            if self.load.judge(self.clock.now_ns() - now_ns, self.source.drops or 0, time.monotonic_ns()):
                self._shed()
            engine, intervals = self.pipeline.engine, self.pipeline.intervals
            begun = time.thread_time()
            self._pass_on(engine.feed(batch) + engine.advance(now_ns))
            if self.board is not None:
                self.board.step(self.pipeline)
            if self.recorder is not None:
                self.recorder.step(now_ns, intervals.sip_log)
            if self.writer.has_minutes:
                self.close_seconds = time.thread_time() - begun
                self._name_talkers()
                for line in intervals.unseen.lines():
                    self._log.warning("unseen", line)
                self._tell_evidence()
                self._tell_the_hour(now_ns)
            if self.writer.has_minutes or self.totals.asked:
                self.totals.publish(*self.pipeline.so_far())
            if self.writer.has_minutes or now_ns >= self._save_at_ns:
                self._save(now_ns)
            if self.source.away != self.health.away:
                self._note_links(self.source.away)
            self.health.passed(overdue_ns=engine.overdue_ns(now_ns))
            if self.health.well()[0]:
                self._notifier.send("WATCHDOG=1")
            self.endpoint.look()
            if self._reload:
                self._reload = False
                self._reconfigure()
            if self._stop.is_set():
                return

    def _shed(self) -> None:
        """Applies a new level of overload."""
        level = self.load.level
        self.pipeline.shed(level)
        done_without = " and ".join(LEVELS[1 : level + 1]) or LEVELS[0]
        lag_s = round(self.load.lag_ns / 1e9, 2)
        self._log.warning("overload", f"shedding {done_without}", load_level=level, lag_s=lag_s)

    def _tell_evidence(self) -> None:
        """Once a minute: reports evidence that was not kept, by cause, with the total since the start."""
        if self.recorder is None:
            return
        missing = {name: count for name, count in self.recorder.missing().items() if count}
        if self._disk.dropped:
            missing["disk_behind"] = self._disk.dropped
        if missing != self._evidence_missing:
            self._evidence_missing = missing
            self._log.warning("evidence", "evidence was not kept, or not whole", **missing)

    def _note_links(self, away: list[str]) -> None:
        """An interface went down or came back: one line each, and not ready while one is down."""
        for name in sorted({*away} - {*self.health.away}):
            self._log.warning("interface", f"nothing is captured on {name}: down, gone or without carrier")
        for name in sorted({*self.health.away} - {*away}):
            self._log.info("interface", f"{name} is back")
        self.health.away = away

    def _name_talkers(self) -> None:
        """Once a minute: names the sources that flood or scan."""
        self.talkers = self.pipeline.engine.rate_limit.talkers()
        for talker in self.talkers:
            self._log.warning(
                "flood",
                "a source is above its SIP budget" if talker.shed else "a SIP scanner",
                source=talker.address,
                messages=talker.messages,
                shed=talker.shed,
                scanner=talker.scanner,
            )

    def _save(self, now_ns: int) -> None:
        """Hands everything over with a checkpoint. An expensive one comes less often, and says so."""
        begun = time.thread_time()
        news = self.pipeline.intervals.news()  # before the image, which is taken after all that is kept
        image = checkpoint.save(self.pipeline.engine, self.pipeline.intervals)
        self.checkpoint_seconds = time.thread_time() - begun
        self.writer.hand_over(image, now_ns, news)
        wait = max(self.config.store.checkpoint, self.checkpoint_seconds * CHECKPOINT_SHARE)
        self._save_at_ns = now_ns + ns(wait)

    def _close(self) -> None:
        """Commits the counts of the open minute as a part, then gives the sinks a moment."""
        with self.source.still() as waiting:
            self._suspend(waiting)
            self._save(self.clock.now_ns())
            self.source.stop()
        self.source.close()
        self._stop.set()
        if self.board is not None:
            self.board.stop()
        self._sinks_over.set()
        if self.recorder is not None:
            self.recorder.finish(self.clock.now_ns(), self.pipeline.intervals.sip_log)
        self._disk.stop()
        self.writer.stop()
        for thread in self._sink_threads:
            thread.join(FLUSH_S)
        deadline = time.monotonic() + FLUSH_S
        for delivery in self.deliveries:
            if not delivery.flush(deadline - time.monotonic(), self.clock.now_ns(), time.sleep):
                self._log.warning(
                    delivery.sink.name, "not all sent: it stays in the store for the next start"
                )
        self.store.close()

    def _start_sinks(self) -> None:
        """Starts a thread for each delivery, once the earlier threads have ended."""
        self._sinks_over.set()
        self._sinks_over, before = threading.Event(), self._sink_threads
        self._sink_threads = [
            _start(f"sink-{delivery.sink.name}", self._deliver, delivery, self._sinks_over, before)
            for delivery in self.deliveries
        ]

    def _deliver(self, delivery: Delivery, over: threading.Event, before: Iterable[threading.Thread]) -> None:
        for thread in before:
            thread.join()
        with self.health.thread(f"sink-{delivery.sink.name}", SINK_S) as sign:
            delay = delivery.first_delay(self.clock.now_ns())
            while not over.wait(min(delay, SIGN_S)):
                sign()
                delay -= SIGN_S
                if delay <= 0:
                    delay = delivery.deliver_once(self.clock.now_ns())
                for notice in delivery.take_notices():
                    self._log.warning(delivery.sink.name, notice)

    # -- changes in a running daemon

    def _step(self, shift_ns: int) -> None:
        """The host's clock was set: the open minute ends as a part, and all state moves with the clock."""
        seconds = round(shift_ns / 1e9, 1)
        self._log.warning("clock", "the clock was set: the open minute ends here as a part", seconds=seconds)
        self._move_into(self._built(self.config), shift_ns)

    def _reconfigure(self) -> None:
        """SIGHUP: takes the new configuration, but the settings that wait for a restart, or none of it."""
        try:
            read = usable(self._config_path, lambda warning: self._log.warning("config", warning))
            config, waiting = taken(self.config, self._with_interfaces(read), self._connects)
            pipeline = self._built(config)
            sinks_changed = changed(self.config, config, "sinks")
            deliveries = (
                sinks.deliveries(config, self.store.outbox, host.name(config.fleet.host))
                if sinks_changed
                else self.deliveries
            )
        except SbcwatchError as error:
            self.reload_succeeded = False
            stays = "configuration not taken, the old one stays: "
            self._log.error("reload", *(stays + line for line in str(error).splitlines()))
            return
        self.totals.begin(pipeline.intervals.nothing())
        self._move_into(pipeline, 0)
        self.store.bound(**_bounds(config))
        endpoint_changed = changed(self.config, config, "endpoint")
        self.config, self.config_hash, self.config_waiting = config, digest(read), waiting
        self.deliveries = deliveries
        if sinks_changed:
            self._start_sinks()
        if endpoint_changed:
            self.endpoint.bind(config.prometheus)
        self.reload_succeeded, self.reloaded_at = True, time.time()
        later = f"; at the next start only: {', '.join(waiting)}" if waiting else ""
        self._log.info("reload", f"configuration taken, hash {self.config_hash}{later}")
        self._warn_of_sides()

    def _move_into(self, pipeline: Pipeline, shift_ns: int) -> None:
        """Goes on in another pipeline with all state. The open minute ends as a part."""
        with self.source.still() as waiting:
            self._suspend(waiting)
            counts = counted(self)
            checkpoint.move(self.pipeline, pipeline, shift_ns)
            pipeline.shed(self.load.level)
            self.pipeline = pipeline
            if self.board is not None:
                self.board.follow(pipeline)
            for key, value in former(self, counts).items():
                self.former[key] = self.former.get(key, 0.0) + value
            self.source.serve(pipeline.engine.workers)

    def _suspend(self, waiting: Iterable[tuple[Batch, int]]) -> None:
        """Takes the frames that the capture threads passed on; the open minute ends here as a part."""
        engine = self.pipeline.engine
        for batch, now_ns in waiting:
            self._pass_on(engine.feed(batch) + engine.advance(now_ns))
        self._pass_on(engine.suspend())

    def _pass_on(self, events: list[Event]) -> None:
        pass_on(events, self.pipeline.intervals, self.writer, self.recorder)

    def _catch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # a test runs the loop

        def stop(number: int, frame: FrameType | None) -> None:
            self._why = f"asked to by {signal.Signals(number).name}"
            self._stop.set()

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)

    def stop(self) -> None:
        self._why = "asked to"
        self._stop.set()

    # -- reports

    def _server(self, settings: PrometheusSettings) -> Server:
        from agent.sinks.prometheus import Collector
        from agent.web.server import HttpEndpoint

        return HttpEndpoint(
            Collector(self.totals, lambda: self_metrics(self)),
            address=settings.address,
            port=settings.port,
            healthy=self.health.well,
            ready=self.health.ready,
            say=lambda text: self._log.warning("http", text),
        )

    def account(self) -> Account:
        """The daemon's work since its start."""
        now_ns = self.clock.now_ns()
        sent = {}
        for delivery in self.deliveries:
            counters = delivery.counters(now_ns)
            sent[delivery.sink.name] = int(counters["sent_items"]), int(counters["depth"])
        return Account(self.source.frames, self.source.drops, self.totals.closed(), sent)

    def _tell_the_hour(self, now_ns: int) -> None:
        if now_ns < self._hour_ends_ns:
            return
        if self._hour_ends_ns:
            account = self.account()
            self._log.info("hour", hour(account, self._hour))
            self._hour = account
        self._hour_ends_ns = now_ns + HOUR_NS

    def _stored(self, notice: str) -> None:
        self._log.warning("store", notice)

    def _announce(self) -> None:
        info = self._log.info
        names = [delivery.sink.name for delivery in self.deliveries]
        vc = self.pipeline.sides.vc
        info("start", "; ".join(beginning(self.config, self._config_path, self.config_hash, vc, names)))
        self._warn_of_sides()
        if self.endpoint.port is not None:
            address = self.config.prometheus.address
            info("start", f"/metrics, /healthz, /readyz on {address} port {self.endpoint.port}")

    def _warn_of_sides(self) -> None:
        if not self.pipeline.sides.known:
            self._log.warning(
                "sides",
                "no customer network, connector network or domain is named: sided metrics are null."
                " Set [customers] networks",
            )


def _bounds(config: Config) -> dict[str, Any]:
    """The store's bounds of age and size."""
    return {
        "retention_s": round(config.store.keep_hours * 3_600),
        "calls_retention_s": round(config.store.keep_calls_days * 86_400),
        "max_bytes": config.store.max_mb << 20,
    }


def _start(name: str, target: Callable[..., object], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    thread.start()
    return thread
