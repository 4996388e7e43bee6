"""`sbcwatch replay`: capture files through the whole pipeline."""

from __future__ import annotations

import argparse
import os
import sys
from _blake2 import blake2b  # what hashlib has, without the 6 ms in which it loads OpenSSL
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.assembly.rules import ns
from agent.capture.files.pcapfile import open_capture
from agent.capture.merge import merge
from agent.capture.source import Source
from agent.commands.hints import sides_hint
from agent.commands.interrupt import Interruptible
from agent.commands.json_lines import JsonLines, Row, capture_row
from agent.commands.stream_totals import StreamTotals
from agent.config.load import load
from agent.config.settings import Config
from agent.daemon import host
from agent.errors import CaptureError, ConfigError
from agent.model.stream_minute_cy import StreamMinute
from agent.pipeline import MinuteSink, Pipeline, build, run
from agent.summary.records import Summary

if TYPE_CHECKING:
    from agent.evidence.recorder import Recorder
    from agent.store import Store

MAX_VERDICTS, VERDICT_COLUMNS = 5, 80
MAX_SIP = 20_000  # messages held for the verdicts, some 16 MB
MAX_ENDS = 1_000  # address pairs kept for a hint
TWICE = (
    "nearly every packet of some streams came twice: where a mirror shows each packet on both its ways,"
    " set [capture] single_span = true"
)
LARGE_BYTES = 50_000_000  # files from here on get a progress bar at a terminal


def replay_command(options: argparse.Namespace) -> int:
    """`sbcwatch replay`: tables, or JSON lines."""
    if options.json:
        lines = JsonLines(sys.stdout.buffer.write)
        with reading(options) as files:
            fault = files.through(lines)
        lines.line(capture_row(files.source, files.pipeline))
        return ended(fault)
    store = _store(options.store)
    kept = CollectedMinutes(store)
    totals = StreamTotals()
    with reading(options, totals.add) as files:
        if options.store is not None:
            from agent.assembly.evidence import recorder

            files.recorder = recorder(load(options.config), Path(options.store))
        fault = files.through(kept)
    from agent.commands.tables import address_table, call_table, minute_table, show, side_table

    # Without sides figures are by address: whose network it was nobody can say.
    known = files.pipeline.sides.known
    quality = side_table(kept.summaries) if known else address_table(totals.judged())
    show([minute_table(kept.summaries), quality, call_table(kept.summaries)])
    source = files.source
    print(f"{source.frames} frames, {source.bytes} bytes, {kept.sip_messages} SIP messages")
    for line in verdict_lines(kept):
        print(line)
    if store is not None:
        store.close()
        print(f"stored in {options.store}: `sbcwatch call ID --store {options.store}` shows one call whole")
        if files.recorder is not None and files.recorder.kept:
            print(
                f"evidence of {files.recorder.kept} calls: `sbcwatch evidence list --store {options.store}`"
            )
    return ended(fault)


def verdict_lines(kept: CollectedMinutes) -> list[str]:
    """The verdict, in words, on each call with a fault, the first `MAX_VERDICTS` of them."""
    import textwrap
    from shutil import get_terminal_size

    from agent.story.gather import gather
    from agent.story.verdict import verdict
    from agent.story.words import clock
    from agent.summary.printable import printable

    lines: list[str] = []
    bad = 0
    for records in gather(kept.summaries, kept.sip):
        said = verdict(records)
        if not any(one.kind == "bad" for one in said.statements):
            continue
        bad += 1
        if bad > MAX_VERDICTS:
            continue
        call = records.call
        begun = clock(call["invite_ns"]) if call["invite_ns"] else "before the capture"
        users = " to ".join(call[name] or "-" for name in ("from_sip_user", "to_sip_user"))
        lines += ["", printable(f"{users}, {begun}, {call['call_id'] or call['transaction_id']}")]
        lines += textwrap.wrap(printable(said.text), min(VERDICT_COLUMNS, get_terminal_size().columns))
    if bad > MAX_VERDICTS:
        lines += ["", f"... and {bad - MAX_VERDICTS} more calls that something was wrong with"]
    return lines


class Reading(Struct):
    """Files opened, and the pipeline that they go through."""

    source: Source
    watched: Source
    pipeline: Pipeline
    traffic: TrafficSeen
    recorder: Recorder | None = None

    def through(self, minute_sink: MinuteSink) -> CaptureError | None:
        """Passes everything read to `minute_sink`. Returns the error that ended the reading, if any."""
        fault: CaptureError | None = None
        try:
            replay(self.watched, self.pipeline, self.traffic.passing_to(minute_sink), self.recorder)
        except CaptureError as error:
            fault = error
        unpacked = self.pipeline.engine.tunnels()
        if unpacked:
            counts = ", ".join(f"{kind} {count}" for kind, count in sorted(unpacked.items()))
            print(f"sbcwatch: frames out of tunnels: {counts}", file=sys.stderr)
        for hint in (
            self._hint(fault),
            TWICE if self.traffic.twice else "",
            *self.pipeline.intervals.unseen.lines(),
        ):
            if hint:
                print(f"sbcwatch: {hint}", file=sys.stderr)
        return fault

    def _hint(self, fault: CaptureError | None) -> str:
        """The reason why figures are unknown, and the remedy."""
        traffic, sides = self.traffic, self.pipeline.sides
        signalling = self.pipeline.engine.signalling
        elsewhere = signalling.counters["messages_elsewhere"]
        if elsewhere and not traffic.sip and sides.has_vc:
            return (
                f"{elsewhere} SIP messages, and none to or from {', '.join(sides.vc)}:"
                " name the SBC's addresses with --vc or [vc] addresses"
            )
        if (traffic.sip or traffic.rtp) and not sides.known:
            return sides_hint(sides, signalling.suspects, signalling.ends or traffic.streams)
        if traffic.sip or fault is not None:
            return ""
        if traffic.rtp:
            return ""
        if not self.source.frames:
            return "no frames: nothing was captured, so look at the capture's interface and filter"
        return (
            f"no SIP and no RTP in {self.source.frames} frames:"
            " capture where the SBC's SIP and media pass, whole packets"
        )


class TrafficSeen:
    """Whether there was any SIP of the vc, and any RTP."""

    def __init__(self, on_stream: Callable[[StreamMinute], None] | None) -> None:
        self.sip = self.rtp = self.twice = False
        self.streams: Counter[tuple[str, str]] = Counter()  # by their two addresses, some of them
        self._on_stream = on_stream
        self._minute_sink: MinuteSink = CollectedMinutes()

    def passing_to(self, minute_sink: MinuteSink) -> MinuteSink:
        self._minute_sink = minute_sink
        return self

    def stream(self, minute: StreamMinute) -> None:
        self.rtp = True
        self.twice = self.twice or minute.comes_twice()
        ends = minute.src[0], minute.dst[0]
        if ends in self.streams or len(self.streams) < MAX_ENDS:
            self.streams[ends] += 1
        if self._on_stream is not None:
            self._on_stream(minute)

    def messages(self, rows: list[Row]) -> None:
        self.sip = True
        self._minute_sink.messages(rows)

    def commit(self, summary: Summary) -> None:
        self.sip = self.sip or bool(summary.sip)
        self._minute_sink.commit(summary)


@contextmanager
def reading(
    options: argparse.Namespace, on_stream: Callable[[StreamMinute], None] | None = None
) -> Iterator[Reading]:
    config = load(options.config)
    traffic = TrafficSeen(on_stream)
    pipeline = prepare(
        config,
        vc=options.vc,
        customers=options.customer,
        on_stream=traffic.stream,
        reads_tls=options.keylog is not None,
    )
    source = open_files(options.files, config, options.keylog)
    size = sum(os.path.getsize(path) for path in options.files if os.path.isfile(path))
    if size < LARGE_BYTES or not sys.stderr.isatty():
        yield Reading(source, Interruptible(source), pipeline, traffic)
        return
    from agent.commands.progress import bar

    with bar(size) as watched:
        yield Reading(source, Interruptible(watched(source)), pipeline, traffic)


def ended(fault: CaptureError | None) -> int:
    """Reports the error that ended the reading, after all output before it."""
    if fault is None:
        return 0
    sys.stdout.flush()
    print(f"sbcwatch: {fault}", file=sys.stderr)
    return fault.exit_status


def _store(directory: str | None) -> Store | None:
    if directory is None:
        return None
    from pathlib import Path

    from agent.store import Store

    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}: name a folder that can be written") from None
    return Store(Path(directory, "sbcwatch.sqlite"))


def open_files(paths: Sequence[str], config: Config, keylog: str | None = None) -> Source:
    """Capture files as one source, merged by capture time. Raises CaptureError.

    `keylog`: TLS session keys (NSS format); tshark then reads SIP over TLS from the files.
    """
    sources: list[Source] = [open_capture(path) for path in paths]
    if keylog is not None:
        from agent.capture.feeds.tls_keylog import TsharkSource

        sources += [TsharkSource(path, keylog, tls_ports=config.capture.sip_ports) for path in paths]
    return merge(sources, ns(config.capture.lateness))


def prepare(
    config: Config,
    *,
    vc: Sequence[str],
    customers: Sequence[str],
    on_stream: Callable[[StreamMinute], None] | None = None,
    reads_tls: bool = False,
) -> Pipeline:
    """The pipeline for files: no address is this host's. Raises ConfigError."""
    key = host_key()
    if config.fleet.key_file:
        from agent.daemon.keys import shared_key

        key = shared_key(Path(config.fleet.key_file))
    return build(
        config,
        vc=vc,
        customers=customers,
        key=key,
        host=host.name(config.fleet.host),
        on_stream=on_stream,
        reads_tls=reads_tls,
    )


def replay(
    source: Source, pipeline: Pipeline, minute_sink: MinuteSink, recorder: Recorder | None = None
) -> None:
    """Runs `source` through the pipeline.

    Raises CaptureError where the source does; by then `minute_sink` has everything read before.
    """
    run(source, pipeline.engine, pipeline.intervals, minute_sink, recorder)


def host_key() -> bytes:
    """A key of this host for endpoint ids where no state directory holds one."""
    try:
        with open("/etc/machine-id", "rb") as file:
            machine = file.read()
    except OSError:
        machine = b""
    return blake2b(machine, person=b"sbcwatch-host").digest()


class CollectedMinutes:
    """A sink that holds minutes for the tables printed at the end."""

    def __init__(self, store: Store | None = None) -> None:
        self.summaries: list[Summary] = []
        self.sip_messages = 0
        self.sip: list[Row] = []  # the first of them: the messages of a failed call say who refused it
        self._store = store

    def messages(self, rows: list[Row]) -> None:
        self.sip_messages += len(rows)
        self.sip += rows[: MAX_SIP - len(self.sip)]
        if self._store is not None:
            newest_ns = max(row["event_timestamp"] for row in rows) * 1_000_000
            self._store.save_checkpoint(None, rows, now_ns=newest_ns)

    def commit(self, summary: Summary) -> None:
        self.sip_messages += len(summary.sip)
        if self._store is not None:
            summary.become_part(self._store.next_part(summary.start_ns))
            self._store.commit(summary)
        self.summaries.append(summary)
