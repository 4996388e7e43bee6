"""`sbcwatch verify`: compares the pipeline's figures of a capture file with tshark's.

Each file is judged alone: tshark has no notion of two sides. Judged are SIP responses by class and requests
by method, per RTP stream packets, bytes, loss, duplicates and jitter, and every round trip that both saw.
Where tshark's own sums follow other definitions (`dissected` says which), the judge is a sum over its fields
packet by packet, and its own figure stands beside it. docs/accuracy.md states each tolerance.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from agent.commands.json_lines import JsonLines
from agent.commands.replay import CollectedMinutes, open_files, prepare
from agent.commands.stream_totals import StreamTotals
from agent.commands.verify.dissected import Dissection, RtpStream, StreamKey, Trip, dissect
from agent.commands.verify.recount import jitter_us, sequence
from agent.config.load import load
from agent.config.settings import Config
from agent.errors import CaptureError, ConfigError
from agent.model.events import Event, MessageSeen, RoundTrip
from agent.pipeline import pass_on

if TYPE_CHECKING:
    from agent.commands.sheet import Sheet

Figure = int | float | None
JITTER_RATIO, JITTER_US = 0.01, 10.0  # of mean and greatest J: 1 % and 10 us
TRIP_MS = 0.02  # DLSR counts in 15 us


@dataclass(frozen=True, slots=True)
class Check:
    """One figure by both. None: that side has none. `own` is tshark's own figure by its own definition."""

    file: str
    what: str
    subject: str
    ours: Figure
    tshark: Figure
    tolerance: float = 0.0
    own: Figure = None
    note: str = ""

    @property
    def within(self) -> bool:
        if self.ours is None or self.tshark is None:
            return self.ours is self.tshark
        return abs(self.ours - self.tshark) <= self.tolerance

    def row(self) -> dict[str, Any]:
        return {
            "type": "check",
            "file": os.fsencode(self.file).decode("utf-8", "replace"),
            "what": self.what,
            "subject": self.subject,
            "sbcwatch": self.ours,
            "tshark": self.tshark,
            "tolerance": self.tolerance,
            "tshark_own": self.own,
            "within": self.within,
            "note": self.note,
        }


@dataclass(slots=True)
class Ours:
    """The pipeline's figures of one file, in tshark's terms."""

    responses: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    streams: dict[StreamKey, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    trips_ms: list[tuple[int, float]] = field(default_factory=list)
    vc: list[str] = field(default_factory=list)
    rejects: int = 0
    fault: CaptureError | None = None


def verify_command(options: argparse.Namespace) -> int:
    """Judges the files and prints. 0: all within tolerance, 1: not, 3: a file could not be read to its end.

    Raises:
        CaptureError: a file or tshark is missing.
        ConfigError: standard input, which cannot be read twice.
    """
    if "-" in options.files:
        raise ConfigError("verify reads a file twice, and standard input comes once: name a file")
    config = load(options.config)
    checks: list[Check] = []
    faults: list[CaptureError] = []
    for path in options.files:
        found, fault = compare(path, config, vc=options.vc, customers=options.customer)
        checks += found
        if fault is not None:
            faults.append(fault)
    differences = sum(not check.within for check in checks)
    if options.json:
        lines = JsonLines(sys.stdout.buffer.write)
        for check in checks:
            lines.line(check.row())
        lines.line(
            {"type": "verify", "files": len(options.files), "checks": len(checks), "differences": differences}
        )
    else:
        _show(checks, differences, len(options.files))
    if faults:
        sys.stdout.flush()
        print(f"sbcwatch: {faults[0]}", file=sys.stderr)
        return faults[0].exit_status
    return 1 if differences else 0


def compare(
    path: str, config: Config, *, vc: Sequence[str] = (), customers: Sequence[str] = ()
) -> tuple[list[Check], CaptureError | None]:
    """Every figure of one file by both, and the error that ended the reading, if any.

    Raises:
        CaptureError: the file cannot be opened, or tshark is missing or could not read it.
    """
    ours = read(path, config, vc=vc, customers=customers)
    theirs = dissect(path, single_span=config.capture.single_span)
    fault = ours.fault
    if fault is None and theirs.fault:
        fault = CaptureError(f"{path}: tshark could not read it to its end: {theirs.fault}")
    return list(judge(path, ours, theirs)), fault


def read(path: str, config: Config, *, vc: Sequence[str] = (), customers: Sequence[str] = ()) -> Ours:
    """One file through the pipeline. Raises CaptureError where it cannot be opened."""
    ours, totals, kept = Ours(), StreamTotals(), CollectedMinutes()
    source = open_files([path], config)
    pipeline = prepare(config, vc=vc, customers=customers, on_stream=totals.add)
    engine = pipeline.engine
    try:
        for batch, now_ns in source:
            events = engine.feed(batch) + engine.advance(now_ns)
            _note(ours, events)
            pass_on(events, pipeline.intervals, kept)
    except CaptureError as fault:
        ours.fault = fault
    events = engine.finish()
    _note(ours, events)
    pass_on(events, pipeline.intervals, kept)
    for summary in kept.summaries:
        for connector in summary.connectors:
            for digit in "123456":
                count = connector.values[f"Sip{digit}xxCodes"]
                ours.responses[f"{digit}xx"] += count if isinstance(count, int) else 0
    for row in totals.rows():
        ours.streams[StreamKey(row["src"], row["src_port"], row["dst"], row["dst_port"], row["ssrc"])].append(
            row
        )
    ours.vc = pipeline.sides.vc
    ours.rejects = engine.rejected().total()
    return ours


def _note(ours: Ours, events: list[Event]) -> None:
    for event in events:
        if isinstance(event, MessageSeen) and not event.status:
            ours.requests[event.data.split(b" ", 1)[0].decode("ascii", "replace")] += 1
        elif isinstance(event, RoundTrip):
            ours.trips_ms.append((event.stamp_ns, event.rtt_us / 1000))


def judge(path: str, ours: Ours, theirs: Dissection) -> Iterator[Check]:
    """Every figure that both have, or that only one has."""
    yield from _sip(path, ours, theirs)
    for key in sorted({*ours.streams, *theirs.streams}):
        minutes = ours.streams.get(key, [])
        yield from _stream(path, key, minutes, theirs.streams.get(key), theirs.described_ns)
    measured: dict[int, list[float]] = defaultdict(list)
    for stamp_ns, trip_ms in ours.trips_ms:
        measured[stamp_ns].append(trip_ms)
    for stamp_ns, trips_ms in measured.items():
        for trip_ms, (ms, own) in _paired(trips_ms, theirs.trips.get(stamp_ns, [])):
            subject = f"at {stamp_ns / 1e9:.6f}"
            yield Check(path, "RTT ms", subject, round(trip_ms, 3), round(max(0.0, ms), 3), TRIP_MS, own)


def _paired(trips_ms: list[float], trips: list[Trip]) -> Iterator[tuple[float, Trip]]:
    """The round trips of one frame that both have, the nearest two first.

    tshark pairs with the newest sender report only, and has no figure for a block that answers an older one.
    """
    trips_ms, trips = trips_ms.copy(), trips.copy()
    while trips_ms and trips:
        # Clocks are coarse: a value just below 0 counts as 0 here.
        pair = min(product(trips_ms, trips), key=lambda pair: abs(max(0.0, pair[1].ms) - pair[0]))
        trips_ms.remove(pair[0])
        trips.remove(pair[1])
        yield pair


def _sip(path: str, ours: Ours, theirs: Dissection) -> Iterator[Check]:
    vc = set(ours.vc)
    counted: Counter[str] = Counter()
    for (src, dst, name), count in theirs.sip.items():
        # With the vc at both ends or at neither a message counts in no metric.
        if not vc or (src in vc) != (dst in vc):
            counted[f"{name[0]}xx" if name.isdigit() else name] += count
    note = f"{ours.rejects} records were rejected" if ours.rejects else ""
    for status in (f"{digit}xx" for digit in "123456"):
        yield Check(path, "SIP responses", status, ours.responses[status], counted.pop(status, 0), note=note)
    for method in sorted({*ours.requests, *counted}):
        yield Check(path, "SIP requests", method, ours.requests[method], counted[method], note=note)


def _stream(
    path: str,
    key: StreamKey,
    rows: list[dict[str, Any]],
    theirs: RtpStream | None,
    described_ns: Sequence[int],
) -> Iterator[Check]:
    subject = str(key)
    if theirs is None:
        yield Check(path, "RTP packets", subject, _sum(rows, "packets"), None, note="no RTP to tshark")
        return
    computed = sequence(theirs.packets)
    if not rows:
        if computed.accepted:
            yield Check(path, "RTP packets", subject, None, len(theirs.packets))
        return
    own = theirs.own
    yield Check(path, "RTP packets", subject, _sum(rows, "packets"), len(theirs.packets))
    yield Check(path, "RTP bytes", subject, _sum(rows, "bytes"), theirs.bytes)
    hides = "tshark's own is expected minus received" if own and own.lost != computed.lost else ""
    yield Check(
        path, "RTP lost", subject, _sum(rows, "lost"), computed.lost, own=own and own.lost, note=hides
    )
    yield Check(path, "RTP duplicates", subject, _sum(rows, "duplicates"), computed.duplicates)
    jitter = jitter_us(theirs.packets, described_ns)
    known = [row for row in rows if row["jitter_mean_us"] is not None]
    if jitter is None or not known:
        return  # one packet at a time, or a clock rate that nothing shows
    packets = sum(row["packets"] for row in known)
    mean_us = sum(row["jitter_mean_us"] * row["packets"] for row in known) / packets
    for what, mine, other, theirs_own in (
        ("jitter mean us", mean_us, jitter[0], own and own.jitter_mean_us),
        ("jitter max us", max(row["jitter_max_us"] for row in known), jitter[1], own and own.jitter_max_us),
    ):
        tolerance = round(JITTER_US + JITTER_RATIO * other, 1)
        aside = theirs_own is not None and abs(theirs_own - other) > tolerance
        note = "tshark's own takes in every packet" if aside else ""
        yield Check(path, what, subject, round(mine, 1), round(other, 1), tolerance, theirs_own, note)


def _sum(rows: list[dict[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows)


def _show(checks: list[Check], differences: int, files: int) -> None:
    from agent.commands.tables import show

    shown = [check for check in checks if check.note or not check.within]
    if shown:
        show([difference_table(shown)])
    judged = f"{len(checks)} figures of {files} file{'s' * (files != 1)} held against tshark: "
    print(judged + (f"{differences} differ" if differences else "all within tolerance"))


def difference_table(checks: list[Check]) -> Sheet:
    """One row per figure that is to be looked at."""
    from agent.commands.sheet import Sheet
    from agent.commands.tables import add, text

    table = Sheet(
        "Differences",
        ["file", "figure", "of"],
        ["sbcwatch", "tshark", "tolerance", "tshark's own", "verdict"],
        words=["verdict"],
    )
    for check in checks:
        verdict = "; ".join(filter(None, ("agree" if check.within else "DIFFER", check.note)))
        figures = (check.ours, check.tshark, check.tolerance, check.own)
        add(table, check.file, check.what, check.subject, *map(text, figures), verdict)
    return table
