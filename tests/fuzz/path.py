"""Any capture file goes through the whole path and ends: container, decoder, SIP, media, minutes, JSON.

    python -m tests.fuzz.path [-max_total_time=SECONDS] [-runs=N] [-seed=N] [-keep_going=1] [-verbosity=0]

What must hold: nothing but `CaptureError` comes out; a file has at most `BOUND_S` of CPU and `WALL_S` of
the clock; what is published is possible and the books are closed (`tests.fuzz.books`). Of sixteen files one
changes its pipeline in the middle by a checkpoint (a restart), and one by a move (a reload). A move changes
nothing that is published; a checkpoint of a file that is not bent changes only `OF_RESTART`. A run that fails
prints its seed: `-seed=N -runs=1` is that file again; with `-keep_going=1` a run goes on behind a failure and
ends with status 77.
"""

from __future__ import annotations

import gc
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from array import array
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from agent.commands import replay
from agent.config.settings import (
    CallSettings,
    Capture,
    CarrierSettings,
    Config,
    ConnectorSettings,
    Limits,
    MediaSettings,
    Privacy,
    Quality,
    Vc,
)
from agent.daemon import checkpoint
from agent.engine.engine import Engine
from agent.errors import CaptureError
from agent.media.rtp.loop_cy import Loop
from agent.model.call_cy import Leg
from agent.model.events import Event
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.interval import Intervals
from agent.summary.redaction import Redaction
from agent.wire.frame import STRIDE, Batch
from tests.fuzz.books import OF_RESTART, Books, without
from tests.fuzz.captures import capture
from tests.kit.scene import CUSTOMER, VC_C, VC_R

BOUND_S, WALL_S = 5.0, 120.0  # of CPU, and of the clock: a machine may be busy
TIMERS = ((signal.ITIMER_PROF, BOUND_S), (signal.ITIMER_REAL, WALL_S))
REPORT_EVERY = 10_000
FAILED = 77  # the exit status, as libFuzzer's
CUSTOMERS = ["192.0.2.0/24"]
MIDDLE = 30  # a change comes before one of the first frames of a file
SHARES = (1 / 16, 1 / 16)  # of files: with a checkpoint, with a move
SETTINGS = (
    *(Config(),) * 6,
    Config(limits=Limits(max_calls=100, max_streams=100), capture=Capture(single_span=True)),
    Config(quality=Quality(jitter_buffer="adaptive"), media=MediaSettings(unsignalled="null")),
    Config(privacy=Privacy(mask_numbers=True, sip_log="headers", country="49"), vc=Vc(observer="customer")),
    Config(
        connectors=[
            ConnectorSettings(id="a", domains=("a.example",), customer_networks=("192.0.2.10/32",)),
            ConnectorSettings(id="b", domains=("b.example",), default=True),
        ],
        carriers=[CarrierSettings(id="c", networks=("198.51.100.0/24",))],
        calls=CallSettings(count_at="outgoing"),
    ),
)
GC = 20_000, 10, 10
LIVE = 1 / 8  # of files are read as a live capture is: with limits, tunnels closed


@lru_cache
def built(settings: int, live: bool) -> Pipeline:
    config = SETTINGS[settings]
    return build(config, vc=[VC_C, VC_R], customers=CUSTOMERS, key=b"k", live=live)


redaction = lru_cache(Redaction)
OF_CALL = re.compile(rb'"transaction_id":"[^"]*",')
Change = Callable[[Pipeline, Books], Pipeline]


class Case:
    """One file, the settings it is read with, and the place and kind of a change in the middle."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.data, self.is_bent = capture(draw)
        self.settings = draw.randrange(len(SETTINGS))
        self.config = SETTINGS[self.settings]
        self.live = draw.random() < LIVE
        self.middle = draw.randrange(1, MIDDLE)
        self.drawn = draw.random()
        self.is_alike = False  # a change of the pipeline must change nothing

    def pipeline(self, books: Books) -> Pipeline:
        """A fresh one. Whatever holds nothing of a capture is built once for each of the settings."""
        first = built(self.settings, self.live)
        engine = Engine(first.sides, first.engine.rules)
        intervals = Intervals(
            first.sides,
            identity=first.intervals.identity,
            observer=self.config.vc.observer,
            redaction=redaction(self.config.privacy.sip_log),
            on_stream=books.stream,
            sip_rate=first.intervals.sip_log.rate,
        )
        return Pipeline(first.sides, engine, intervals)

    def kept(self, before: Pipeline, books: Books) -> Pipeline:
        """As without a change, in the same two parts."""
        return before

    def restored(self, before: Pipeline, books: Books) -> Pipeline:
        """As a restart goes on."""
        after, named = self.pipeline(books), named_sockets(before.engine)
        assert isinstance(before.engine.loop, Loop)
        waits = self.is_bent or self.live or before.engine.loop.candidates
        image = checkpoint.packed(checkpoint.save(before.engine, before.intervals))
        checkpoint.restore(image, after.engine, after.intervals)
        self.is_alike = not waits and named_sockets(after.engine) == named
        return after

    def moved(self, before: Pipeline, books: Books) -> Pipeline:
        """As a reload goes on."""
        after, named = self.pipeline(books), named_sockets(before.engine)
        checkpoint.move(before, after)
        self.is_alike = named_sockets(after.engine) == named
        return after

    def play(self, path: Path, change: Change | None = None) -> Books:
        """Reads the file, with a change of the pipeline before frame `middle`."""
        books = Books()
        pipeline, left = self.pipeline(books), self.middle
        try:
            for batch, now_ns in replay.open_files([str(path)], self.config):
                if change is not None and 0 <= left < len(batch):
                    feed(pipeline, part(batch, 0, left), books)
                    pipeline, change = change(pipeline, books), None
                    batch = part(batch, left, len(batch))
                left -= len(batch)
                feed(pipeline, batch, books)
                take(pipeline, pipeline.engine.advance(now_ns), books)
        except CaptureError:
            pass
        if change is not None:
            pipeline = change(pipeline, books)
        take(pipeline, pipeline.engine.finish(), books)
        books.close()
        return books

    def check(self, path: Path) -> int:
        """Minutes that were published. Raises AssertionError."""
        restores, moves = SHARES
        if self.drawn < restores:
            parts = self.play(path, self.restored)
            if self.is_alike:
                alike(parts, self.play(path, self.kept), OF_RESTART)
            return parts.minutes
        if self.drawn < restores + moves:
            parts = self.play(path, self.moved)
            if self.is_alike:
                alike(parts, self.play(path, self.kept))
            return parts.minutes
        return self.play(path).minutes


def named_sockets(engine: Engine) -> set[tuple[object, ...]]:
    """The sockets of each leg, and whose each is. Of two calls that named one, another may have it then."""
    found: set[tuple[object, ...]] = set()
    sockets = engine.media.sockets
    for call in engine.signalling.calls():
        for leg in call.legs:
            for socket in sockets.held(leg):
                owners = [sockets.find(socket, (host, 1)) for host in (CUSTOMER, VC_C)]
                its = [(name_of(owner[0].leg) if owner else None) for owner in owners]
                found.add((name_of(leg), socket, *its))
    return found


def name_of(leg: Leg) -> tuple[object, ...]:
    return leg.call_id, leg.from_tag, leg.way, leg.invite_ns


def alike(parts: Books, whole: Books, but: re.Pattern[str] | None = None) -> None:
    """Both published the same, apart from the fields of `but`."""
    if parts.minute_rows != whole.minute_rows:
        assert but is not None
        assert without(but, parts.minute_rows) == without(but, whole.minute_rows)
    assert sorted(map(own, parts.message_rows)) == sorted(map(own, whole.message_rows))


def own(row: bytes) -> bytes:
    """A message's row without the id of its call: that is of the legs known when the row was written."""
    return OF_CALL.sub(b"", row)


def part(batch: Batch, first: int, end: int) -> Batch:
    """Some frames of a batch. What the capture missed stands with the first."""
    index = array("q", batch.index[first * STRIDE : end * STRIDE])
    return Batch(batch.data, index, [] if first else batch.losses, 0 if first else batch.strays)


def feed(pipeline: Pipeline, batch: Batch, books: Books) -> None:
    take(pipeline, pipeline.engine.feed(batch), books)


def take(pipeline: Pipeline, events: list[Event], books: Books) -> None:
    books.see(events)
    pass_on(events, pipeline.intervals, books)


def late(signum: int, frame: object) -> None:
    raise TimeoutError(f"a file took more than {BOUND_S} s of CPU, or {WALL_S} s")


def one(seed: int, path: Path) -> int:
    """Execute the capture of `seed` by way of the file `path`."""
    case = Case(seed)
    path.write_bytes(case.data)
    for timer, seconds in TIMERS:
        signal.setitimer(timer, seconds)
    try:
        return case.check(path)
    finally:
        for timer, _ in TIMERS:
            signal.setitimer(timer, 0)


def main() -> int:
    options = dict(option[1:].split("=", 1) for option in sys.argv[1:] if "=" in option)
    seed = int(options.get("seed", random.SystemRandom().getrandbits(40)))
    runs, seconds = int(options.get("runs", 10**9)), float(options.get("max_total_time", 1e9))
    every = REPORT_EVERY if int(options.get("verbosity", 1)) else runs
    goes_on = bool(int(options.get("keep_going", 0)))
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, late)
    gc.collect()
    gc.freeze()  # the modules are not walked again for each of a thousand engines
    gc.set_threshold(*GC)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    began, done, failed = time.monotonic(), 0, 0
    memory = Path("/dev/shm")  # a file is written for each capture: not onto a disk

    def report() -> None:
        print(
            f"{done} captures from seed {seed}, {failed} failed, in {time.monotonic() - began:.0f} s,"
            f" {time.process_time():.0f} s of CPU",
            flush=True,
        )

    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder, "in.pcap")
        while done < runs and time.monotonic() - began < seconds and not stopped:
            try:
                one(seed + done, path)
            except BaseException as error:
                print(f"failed: -seed={seed + done} -runs=1", flush=True)
                if not goes_on or not isinstance(error, Exception):
                    raise
                failed += 1
                traceback.print_exc()
            done += 1
            if done % every == 0:
                report()
    report()
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
