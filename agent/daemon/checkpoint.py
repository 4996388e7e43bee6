"""The checkpoint: the state that a restart needs to go on with active calls, and no more.

Calls are saved one by one and kept encoded until they change, so a checkpoint costs as much as changed since
the last one. Streams come from the loop's own snapshot; their calls are found again through the sockets that
SDP names. Everything unsaved costs at most a `null`: sender reports on their way, half-assembled fragments,
digests of the last 20 ms.

Only the classes listed here are unpickled: a checkpoint is data, never code.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from agent import __version__
from agent.engine.engine import Engine
from agent.gc_pause import held_off
from agent.media.strangers import Waiting
from agent.model import attempt_cy, events, stream_minute_cy
from agent.model.attempt_cy import Attempt
from agent.model.call_cy import (
    ACCOUNT_FIELDS,
    CALL_FIELDS,
    DIALOG_FIELDS,
    LEG_FIELDS,
    MEDIA_TOTALS_FIELDS,
    Call,
    CountedAttempt,
    Dialog,
    Leg,
    LegMediaTotals,
)
from agent.model.claim import ClaimedCall
from agent.model.endpoint_view import EndpointView
from agent.model.far_end_cy import AwayMinute, Baseline, Counted, FarEndLoss
from agent.model.handover import Handover, Live
from agent.model.sides import UNASSIGNED, Connector, Sides
from agent.model.stream_minute_cy import ReportsMinute, StreamMinute
from agent.model.units import MINUTE_NS
from agent.pipeline import Pipeline
from agent.quality.emodel import Score
from agent.summary import call_minute_cy
from agent.summary.call_minute_cy import CallMinute
from agent.summary.interval import Intervals
from agent.summary.open_minute import OpenMinute
from agent.summary.split_host import SplitHost

FORMAT = 8
_LEVEL = 1  # of compression: a checkpoint is written every few seconds
# Classes whose objects a checkpoint may hold. Their order is part of the format.
_KINDS: tuple[type, ...] = (
    Call,
    Leg,
    CountedAttempt,
    Attempt,
    Dialog,
    LegMediaTotals,
    OpenMinute,
    CallMinute,
    EndpointView,
    Score,
    events.MessageSeen,
    StreamMinute,
    ReportsMinute,
    events.RoundTrip,
    events.FarEnd,
    events.CallsUp,
    events.Measured,
    events.Tallied,
    SplitHost,
    ClaimedCall,
)
_KIND = {kind: number for number, kind in enumerate(_KINDS)}
_PLAIN: dict[tuple[str, str], Any] = {
    ("collections", kind.__name__): kind for kind in (Counter, OrderedDict, defaultdict, deque)
}
_PLAIN |= {("builtins", kind.__name__): kind for kind in (set, list, dict, int)}
# Compiled classes list their fields; all fields of a msgspec struct are saved.
_SAID: dict[type, tuple[str, ...]] = {
    Call: CALL_FIELDS,
    Leg: LEG_FIELDS,
    CountedAttempt: ACCOUNT_FIELDS,
    Attempt: attempt_cy.FIELDS,
    Dialog: DIALOG_FIELDS,
    LegMediaTotals: MEDIA_TOTALS_FIELDS,
    StreamMinute: stream_minute_cy.FIELDS,
    ReportsMinute: stream_minute_cy.REPORTS_FIELDS,
    CallMinute: call_minute_cy.FIELDS,
}
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: _SAID.get(kind) or kind.__struct_fields__  # type: ignore[attr-defined]
    for kind in _KINDS
}
# Classes that are in no cycle: made whole, which is faster than made first and filled later.
_WHOLE = frozenset(
    kind
    for kind in _KINDS
    if kind in (Attempt, Dialog, LegMediaTotals, StreamMinute, ReportsMinute, CallMinute)
    or (kind not in _SAID and not kind.__struct_config__.gc)  # type: ignore[attr-defined]
)
# Another version may have other fields, so its checkpoint is not read.
_STAMP = repr((FORMAT, __version__, [(kind.__name__, _FIELDS[kind]) for kind in _KINDS])).encode()
STAMP = zlib.crc32(_STAMP)


class Unreadable(Exception):
    """A checkpoint of another version, or a file that is none. The text says which."""


class _Image(NamedTuple):
    """The contents of a checkpoint, before encoding."""

    stamp: int
    now_ns: int | None
    minute_ns: int | None
    calls: list[bytes]
    unsignalled: list[tuple[Any, ...]]  # sockets and kind of media of the last of these calls
    moving: list[Any]
    away: list[tuple[Any, ...]]
    loop: bytes
    missed: list[tuple[int, int]]
    intervals: bytes
    waiting: bytes
    begun_ns: int
    claims_read: dict[str, str]
    early: list[tuple[Any, dict[int, list[int]]]]
    reported: list[tuple[Any, int]]
    asks_ns: int | None
    asked: list[tuple[str, str]]


def _blank(number: int) -> Any:
    """An empty object of a class that may be in a cycle; `_fill` fills it later."""
    kind: Any = _KINDS[number]
    if kind not in _SAID:
        return kind(*(None,) * len(kind.__struct_fields__))
    thing = kind.__new__(kind)
    if kind is Leg:
        thing.streams = set()  # they are attached again, and judged again
        thing.sources = None
    elif kind is Call:
        thing.saved = thing.who = None  # neither is part of the object itself
    return thing


def _fill(thing: Any, values: tuple[Any, ...]) -> None:
    kind = type(thing)
    fill = setattr if kind in _SAID else msgspec.structs.force_setattr  # frozen structs too
    for name, value in zip(_FIELDS[kind], values, strict=True):
        fill(thing, name, value)


def _made(number: int, values: tuple[Any, ...]) -> Any:
    kind: Any = _KINDS[number]
    if kind not in _SAID:
        return kind(*values)
    thing = kind.__new__(kind)
    _fill(thing, values)
    return thing


class _Pickler(pickle.Pickler):
    """Saves objects of the listed classes by their fields; connectors and foreign objects by name."""

    def __init__(self, file: io.BytesIO, name_of: Callable[[Any], Any]) -> None:
        super().__init__(file, protocol=5)
        self._name_of = name_of

    def persistent_id(self, thing: Any) -> Any:
        if type(thing) is Connector:
            return "connector", thing.id
        return self._name_of(thing)

    def reducer_override(self, thing: Any) -> Any:
        kind = type(thing)
        number = _KIND.get(kind)
        if number is None:
            return NotImplemented
        if kind is Leg:
            thing.condense()
        values = _values(thing)
        if kind in _WHOLE:
            return _made, (number, values)
        return _blank, (number,), values, None, None, _fill


class _Unpickler(pickle.Unpickler):
    """Raises pickle.UnpicklingError where any other class is named."""

    def __init__(self, data: bytes, find: Callable[[Any], Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._find = find

    def persistent_load(self, pid: Any) -> Any:
        return self._find(pid)

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in ("_blank", "_fill", "_made"):
            return globals()[name]
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")


def _dumps(thing: Any, name_of: Callable[[Any], Any] = lambda thing: None) -> bytes:
    file = io.BytesIO()
    _Pickler(file, name_of).dump(thing)
    return file.getvalue()


def save(engine: Engine, intervals: Intervals) -> bytes:
    """Everything that `restore` needs. Compress it with `packed` on a thread that may take its time."""
    return _image_of(_given(engine, intervals))


@held_off()
def move(before: Pipeline, after: Pipeline, shift_ns: int = 0) -> None:
    """Goes on in another pipeline of this process, whose clock was set by `shift_ns`. Raises Unreadable."""
    handover = _given(before.engine, before.intervals)
    image = _unpickled(_image_of(handover))
    _take(image, after.engine, after.intervals, shift_ns, handover.live)


def _given(engine: Engine, intervals: Intervals) -> Handover:
    handover = Handover()
    engine.give(handover)
    intervals.give(handover)
    return handover


@held_off()
def _image_of(handover: Handover) -> bytes:
    """The saved part of a handover, encoded."""
    encoded, moving = [], []
    names: dict[Any, Any] = {}
    calls = [*handover.calls, *((call, None) for *_, call in handover.unsignalled)]
    for number, (call, state) in enumerate(calls):
        names[call] = ("call", number)
        for place, leg in enumerate(call.legs):
            names[leg] = ("leg", number, place)
        for place, account in enumerate(call.accounts):
            names[account] = ("account", number, place)
        if call.saved is None:
            call.saved = _dumps((call, state))
        encoded.append(call.saved)
        moving.append(
            (
                call.last_rtp_ns,
                call.rtt_us,
                [(leg.carried, _values(leg.media_totals), leg.reports, leg.sent) for leg in call.legs],
            )
        )

    def name_of(thing: Any) -> Any:
        return names.get(thing) if type(thing) in (Call, Leg, CountedAttempt) else None

    image = _Image(
        STAMP,
        handover.now_ns,
        handover.minute_ns,
        encoded,
        [pair[:-1] for pair in handover.unsignalled],
        moving,
        [_far_end_row(*row) for row in handover.away],
        handover.loop,
        handover.missed,
        _dumps(handover.intervals, name_of),
        _dumps([tuple(row) for row in handover.waiting if row.leg in names], name_of),
        handover.begun_ns,
        handover.claims_read,
        handover.early,
        handover.reported,
        handover.asks_ns,
        handover.asked,
    )
    return pickle.dumps(tuple(image), protocol=5)


def packed(image: bytes) -> bytes:
    """A saved image in the form that is written."""
    return zlib.compress(image, _LEVEL)


def taken_ns(data: bytes) -> int | None:
    """The capture time of a `packed` image, None where it saw no frame. Raises Unreadable."""
    return _opened(data).now_ns


def restore(data: bytes, engine: Engine, intervals: Intervals, *, shift_ns: int = 0) -> None:
    """Puts a `packed` image into a new engine and intervals.

    `shift_ns` moves every time in it (the clock was set). Raises Unreadable.
    """
    _take(_opened(data), engine, intervals, shift_ns, None)


def _take(image: _Image, engine: Engine, intervals: Intervals, shift_ns: int, live: Live | None) -> None:
    try:
        handover = _read(image, engine.sides, shift_ns)
        handover.live = live
        engine.take(handover)
        intervals.take(handover)
    except Exception as error:  # pickle and our own fields may raise any error on a damaged file
        raise _unreadable(error) from None


def _opened(data: bytes) -> _Image:
    try:
        return _unpickled(zlib.decompress(data))
    except zlib.error as error:
        raise _unreadable(error) from None


def _unpickled(data: bytes) -> _Image:
    try:
        image = _Image(*_Unpickler(data, _nothing).load())
    except Exception as error:  # pickle may raise any error on a damaged file
        raise _unreadable(error) from None
    if image.stamp != STAMP:
        raise Unreadable("the checkpoint was written by another version")
    return image


def _unreadable(error: Exception) -> Unreadable:
    return Unreadable(f"the checkpoint cannot be read: {type(error).__name__}: {error}")


def _read(image: _Image, sides: Sides, shift_ns: int) -> Handover:
    """The handover that an image holds, its times moved by `shift_ns`."""

    def find(pid: Any) -> Any:
        return _connector(sides, pid[1]) if pid[0] == "connector" else _nothing(pid)

    loaded = [_Unpickler(blob, find).load() for blob in image.calls]
    calls: list[Call] = [call for call, _ in loaded]
    for (call, _), (last_rtp_ns, rtt_us, legs) in zip(loaded, image.moving, strict=True):
        call.last_rtp_ns, call.rtt_us = last_rtp_ns, rtt_us
        for leg, (carried, media_totals, reports, sent) in zip(call.legs, legs, strict=True):
            leg.carried, leg.reports, leg.sent = carried, reports, sent
            _fill(leg.media_totals, media_totals)

    def find_any(pid: Any) -> Any:
        if pid[0] == "call":
            return calls[pid[1]]
        if pid[0] == "leg":
            return calls[pid[1]].legs[pid[2]]
        if pid[0] == "account":
            return calls[pid[1]].accounts[pid[2]]
        return find(pid)

    state = _Unpickler(image.intervals, find_any).load()
    waiting = [Waiting(*row) for row in _Unpickler(image.waiting, find_any).load()]
    now_ns, minute_ns = image.now_ns, image.minute_ns
    if shift_ns:
        _shift((calls, state), shift_ns)
        now_ns = None if now_ns is None else now_ns + shift_ns
        minute_ns = None if minute_ns is None or now_ns is None else now_ns // MINUTE_NS * MINUTE_NS
        oldest_ns, minutes, messages, host = state
        minutes = {(minute + shift_ns) // MINUTE_NS * MINUTE_NS: saved for minute, saved in minutes.items()}
        state = oldest_ns if minute_ns is None else minute_ns, minutes, messages, host
        waiting = [
            row._replace(minute_ns=(row.minute_ns + shift_ns) // MINUTE_NS * MINUTE_NS) for row in waiting
        ]
    signalled = len(calls) - len(image.unsignalled)
    pairs = zip(image.unsignalled, calls[signalled:], strict=True)
    return Handover(
        now_ns,
        minute_ns,
        [(start_ns + shift_ns, end_ns + shift_ns) for start_ns, end_ns in image.missed],
        image.loop,
        [(call, _moved(saved, shift_ns)) for call, saved in loaded[:signalled]],
        [_far_end(row, shift_ns) for row in image.away],
        state,
        [(*pair, call) for pair, call in pairs],
        waiting=waiting,
        begun_ns=image.begun_ns + shift_ns,
        claims_read=image.claims_read,
        early=image.early,
        reported=[(pair, last_ns + shift_ns) for pair, last_ns in image.reported],
        asks_ns=None if image.asks_ns is None else image.asks_ns + shift_ns,
        asked=image.asked,
        shift_ns=shift_ns,
    )


def _values(thing: Any) -> tuple[Any, ...]:
    return tuple([getattr(thing, name) for name in _FIELDS[type(thing)]])


def _far_end_row(stream_id: int, first: bool, away: FarEndLoss) -> tuple[Any, ...]:
    """The far end's view of a stream that leaves, as plain numbers, because there are thousands of them."""
    base = away.base
    return (
        stream_id,
        first,
        away.baseline_used,
        None
        if base is None
        else (base.stamp_ns, base.reporter, base.cumulative, base.highest, tuple(base.counted)),
        [
            (minute, m.lost, m.expected, m.jitter_ticks, m.blocks, m.slots)
            for minute, m in away.minutes.items()
        ],
    )


def _far_end(row: tuple[Any, ...], shift_ns: int) -> tuple[int, bool, FarEndLoss]:
    stream_id, first, baseline_used, base, minutes = row
    away = FarEndLoss(
        baseline_used=baseline_used, minutes={minute: AwayMinute(*figures) for minute, *figures in minutes}
    )
    if base is not None:
        stamp_ns, reporter, cumulative, highest, counted = base
        away.base = Baseline(stamp_ns + shift_ns, reporter, cumulative, highest, Counted(*counted))
    return stream_id, first, away


def _moved(state: Any, shift_ns: int) -> Any:
    """A call's timers (due, after), and when its earlier SDPs were withdrawn, on the moved clock."""
    timers, *rest, earlier = state
    timers = [when and (when[0] + shift_ns, when[1]) for when in timers]
    return timers, *rest, [(*row, until_ns and until_ns + shift_ns) for *row, until_ns in earlier]


def _connector(sides: Sides, connector_id: str) -> Connector:
    return sides.by_id(connector_id) or (UNASSIGNED if connector_id == UNASSIGNED.id else sides.fallback)


def _nothing(pid: Any) -> Any:
    raise pickle.UnpicklingError(f"{pid} has no place here")


def _shift(thing: Any, shift_ns: int, seen: set[int] | None = None) -> None:
    """Moves the times in a graph of our objects: every integer field whose name ends in `_ns`."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    kind = type(thing)
    if kind in _KIND:
        for name in _FIELDS[kind]:
            value = getattr(thing, name)
            if name.endswith("_ns") and type(value) is int and value:
                setattr(thing, name, value + shift_ns)
            elif name == "first_ns" and isinstance(value, dict):
                setattr(thing, name, {key: stamp + shift_ns for key, stamp in value.items()})
            elif name == "deadline" and value is not None:
                setattr(thing, name, (value[0] + shift_ns, value[1]))
            else:
                _shift(value, shift_ns, seen)
    elif isinstance(thing, dict):
        for value in thing.values():
            _shift(value, shift_ns, seen)
    elif isinstance(thing, list | tuple | set):
        for value in thing:
            _shift(value, shift_ns, seen)
