"""Some captures of the whole path's fuzzer, always the same, and proof that it finds each kind of fault."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.daemon import checkpoint
from agent.engine.engine import Engine
from agent.model.handover import Handover
from agent.summary import interval
from agent.summary.interval import Intervals
from agent.summary.records import Samples
from agent.summary.sip_log import SipLog
from tests.fuzz import path as whole_path
from tests.fuzz.books import check_record, check_value

SEEDS = range(100_000, 100_100)
SHAPES = (
    b"m=audio", b"multipart/mixed", b"VQSessionReport", b"X-RTP-Stat", b"udptl",
    b"Upgrade: websocket", b"HEP3",
)  # fmt: skip
TRIED = range(200)  # a fault of each kind is found by then


@pytest.fixture(autouse=True)
def timers() -> Iterator[None]:
    """The handlers that `main` sets."""
    before = {number: signal.signal(number, whole_path.late) for number in (signal.SIGPROF, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(seeds: range, folder: Path) -> None:
    for seed in seeds:
        whole_path.one(seed, folder / "in.pcap")


def test_captures_go_through_the_whole_path(tmp_path: Path) -> None:
    run(SEEDS, tmp_path)


def test_captures_have_every_shape() -> None:
    cases = [whole_path.Case(seed) for seed in range(3000)]
    data = b"".join(case.data for case in cases)
    magics = {case.data[:4] for case in cases}
    assert {b"\n\r\r\n", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1"} <= magics
    assert b"\x1f\x8b" in {magic[:2] for magic in magics}
    assert {case.settings for case in cases} == set(range(len(whole_path.SETTINGS)))
    assert sum(not case.is_bent for case in cases) > len(cases) / 5
    for shape in SHAPES:
        assert data.count(shape) > 10, shape


def endless(*args: Any) -> Any:
    while True:
        pass


def asleep(*args: Any) -> Any:
    time.sleep(1000)


def crash(*args: Any, **how: Any) -> Any:
    raise IndexError("of the agent's own")


def lose_every_message(log: SipLog, messages: list[Any]) -> list[Any]:
    return []


def forget_open_minutes(handover: Handover) -> Any:
    oldest_ns, _, *rest = handover.intervals
    handover.intervals = (oldest_ns, {}, *rest)
    return WRITE(handover)


WRITE = checkpoint._image_of
# (the object, the name of its code, the code with a fault): one of each kind.
FAULTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "an exception": (Engine, "_joined_rtp", crash),
    "an exception at the close": (interval, "records", crash),
    "a loop without end": (Intervals, "_tallied", endless),
    "a wait without end": (Intervals, "_concluded", asleep),
    "a message that is not logged": (SipLog, "_rows", lose_every_message),
    "a call that is not counted": (Intervals, "_call_count", lambda *args, **how: None),
    "a response that is not counted": (interval, "count", lambda *args: None),
    "packets that are not counted": (interval, "share_out", lambda calls_of, streams, reports: []),
    "orphans that are not told": (Intervals, "_orphan", lambda *args: None),
    "a minute that is never closed": (Intervals, "closed", lambda self: []),
    "a checkpoint without its counts": (checkpoint, "_image_of", forget_open_minutes),
    "a checkpoint that cannot be read": (checkpoint, "_opened", crash),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_fault_of_the_agent_is_found(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_path, "TIMERS", ((signal.ITIMER_PROF, 0.3), (signal.ITIMER_REAL, 2.0)))
    monkeypatch.setattr(*FAULTS[kind])
    with pytest.raises((AssertionError, IndexError, TimeoutError)):
        run(TRIED, tmp_path)


@pytest.mark.parametrize("value", [5.5, 0.2, float("nan"), float("inf")])
def test_impossible_figure_is_found(value: float) -> None:
    with pytest.raises(AssertionError):
        check_value("MOSBetweenVcAndCustomer", Samples([value], [1.0]))
    with pytest.raises(AssertionError):
        check_record({"mos_btwn_vc_and_cust": value})


@pytest.mark.parametrize("name", ["InboundCallAttempts", "CustomerToVcPacketsLost"])
def test_negative_count_is_found(name: str) -> None:
    with pytest.raises(AssertionError):
        check_value(name, -1)
