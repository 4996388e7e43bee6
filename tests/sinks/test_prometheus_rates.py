"""A real Prometheus reads what scrapes at 15 and 60 s found: 20 calls a minute are 20 at any time."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.config.settings import Config
from agent.pipeline import build, pass_on
from agent.sinks.prometheus import Totals
from agent.summary.records import Summary
from agent.wire.frame import batch_of
from tests.kit.conversation import BEGIN_NS, Conversation

CUSTOMER, REMOTE, VC, VC_MEDIA = "192.0.2.10", "198.51.100.20", "10.0.0.1", "10.0.0.2"
MINUTES, A_MINUTE = 12, 20
SECOND_NS = 1_000_000_000
Points = list[tuple[float, float]]


@pytest.fixture(scope="module")
def conversation() -> Conversation:
    talk = Conversation()
    for number in range(MINUTES * A_MINUTE):
        at = number * 60.0 / A_MINUTE
        leg = talk.leg(CUSTOMER, VC, call_id=f"c{number}", from_tag=f"t{number}")
        leg.invite(at)
        leg.respond(at + 0.2, 486)
    return talk


class _Nowhere:
    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def messages(self, rows: list[dict[str, Any]]) -> None:
        pass

    def commit(self, summary: Summary) -> None:
        self._totals.add(summary)


def scraped(talk: Conversation, every_s: int) -> Points:
    """(seconds, attempts so far) as scrapes of a live daemon find them."""
    pipeline = build(Config(), vc=(VC, VC_MEDIA), customers=("192.0.2.0/24",))
    totals = Totals(live=True)
    nowhere = _Nowhere(totals)
    totals.begin(pipeline.intervals.nothing())
    totals.refresh = lambda: None  # type: ignore[method-assign]
    frames = [frame for _, _, frame in sorted(talk.frames, key=lambda row: row[:2])]
    points: Points = []
    at = 0
    for due in range(7, MINUTES * 60, every_s):
        due_ns = BEGIN_NS + due * SECOND_NS
        begun = at
        while at < len(frames) and frames[at].stamp_ns < due_ns:
            at += 1
        pass_on(
            pipeline.engine.feed(batch_of(frames[begun:at])) + pipeline.engine.advance(due_ns),
            pipeline.intervals,
            nowhere,
        )
        totals.publish(*pipeline.so_far())
        for family in totals.families():
            for sample in family.samples:
                if sample.name == "sbcwatch_call_attempts_total" and "outbound" in sample.labels.values():
                    points.append((due_ns / 1e9, sample.value))
    return points


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, conversation: Conversation) -> Iterator[Callable[..., Any]]:
    """(expression, seconds from the start) to the value that Prometheus gives."""
    if not shutil.which("promtool") or not shutil.which("prometheus"):
        pytest.skip("needs prometheus")
    folder = tmp_path_factory.mktemp("rates")
    lines = ["# TYPE attempts counter"]
    for every_s in (15, 60):
        lines += [
            f'attempts_total{{every="{every_s}"}} {value} {at}'
            for at, value in scraped(conversation, every_s)
        ]
    (folder / "scrapes.txt").write_text("\n".join([*lines, "# EOF", ""]))
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "scrapes.txt", "tsdb"]
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True, timeout=60)
    (folder / "prometheus.yml").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
        "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield lambda expression, at: asked(port, expression, at)
    finally:
        process.kill()
        process.wait(10)


def asked(port: int, expression: str, at: float) -> float:
    query = urllib.parse.urlencode({"query": expression, "time": BEGIN_NS / 1e9 + at})
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=5) as answer:
                (row,) = json.load(answer)["data"]["result"]
                return float(row["value"][1])
        except OSError:
            assert time.monotonic() < deadline, "Prometheus does not answer"
            time.sleep(0.05)


@pytest.mark.parametrize(("every_s", "window"), [(15, "1m"), (15, "5m"), (60, "4m"), (60, "5m")])
def test_the_rate_is_true_at_every_point(ask: Callable[..., float], every_s: int, window: str) -> None:
    expression = f'60 * rate(attempts_total{{every="{every_s}"}}[{window}])'
    rates = [ask(expression, at) for at in range(330, MINUTES * 60 - 30, 15)]
    assert all(rate == pytest.approx(A_MINUTE, rel=0.07) for rate in rates), rates


def test_nothing_was_taken_back(ask: Callable[..., float]) -> None:
    for every_s in (15, 60):
        assert ask(f'resets(attempts_total{{every="{every_s}"}}[{MINUTES}m])', MINUTES * 60) == 0


def test_every_call_is_counted_once(ask: Callable[..., float], conversation: Conversation) -> None:
    assert scraped(conversation, 15)[-1][1] == pytest.approx(MINUTES * A_MINUTE, abs=5)
