"""Captures against tshark: every bundled one, and ones that hypothesis thinks up and scapy writes.

Loss is judged by tshark's rtp.seq packet by packet, not by tshark's own sum: that is expected minus received,
where a duplicate hides a lost packet.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agent.commands.verify import Check, compare
from agent.config.settings import Config
from tests.kit import traffic
from tests.kit.second_opinion import KINDS, captures, checks, every_check, ours, table, theirs

pytestmark = [
    pytest.mark.slow,  # 114 starts of tshark
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

each = pytest.mark.parametrize(("name", "file"), captures(), ids=[file for _, file in captures()])


def differing(found: tuple[Check, ...] | list[Check]) -> list[dict[str, Any]]:
    return [check.row() for check in found if not check.within]


@each
def test_capture_gives_what_tshark_reads(name: str, file: str) -> None:
    assert differing(checks(name, file)) == []


@each
def test_capture_has_every_stream_that_tshark_found(name: str, file: str) -> None:
    assert ours(name, file).streams.keys() == theirs(file).streams.keys()


def test_every_kind_of_figure_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    found = every_check()
    with capsys.disabled():
        print("\n" + table(found))
    judged = {kind: sum(check.what == kind for check in found) for kind in KINDS}
    assert all(judged.values()), judged
    delays = [check for check in found if check.what == "RTT ms" and check.file.startswith("delay-")]
    assert len(delays) >= 8
    # A delay of 40 ms each way lies between one side and the sbc.
    assert any(check.ours is not None and check.ours > 80 for check in delays)


def test_tsharks_own_sum_hides_loss_behind_duplicates_and_restarts() -> None:
    own = [check for check in every_check() if check.what == "RTP lost" and check.own != check.ours]
    # Packets sent twice by the delay box; a caller that starts its numbers over after a hold.
    assert {check.file.rpartition("-")[0] for check in own} == {"reordered-outbound", "hold-inbound"}
    for check in own:
        assert check.own is not None
        assert check.own < 0
        assert check.ours == 0


@settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(plan=traffic.plans())
def test_generated_capture_reads_alike(plan: traffic.Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("generated") / "capture.pcap"
    traffic.write(plan, path)
    found, fault = compare(str(path), Config())
    assert fault is None
    assert differing(found) == []
    truth = {f"0x{stream.ssrc:08x}": stream for stream in plan.streams}
    lost = {check.subject.split()[-1]: check.ours for check in found if check.what == "RTP lost"}
    assert lost == {ssrc: len(stream.dropped) for ssrc, stream in truth.items()}
    copies = {check.subject.split()[-1]: check.ours for check in found if check.what == "RTP duplicates"}
    assert copies == {ssrc: len(stream.repeated) for ssrc, stream in truth.items()}
    told = {check.subject: check.ours for check in found if check.what == "SIP responses"}
    for digit in "123456":
        assert told[f"{digit}xx"] == sum(str(status)[0] == digit for status in plan.statuses)


def test_generated_plans_cover_what_they_promise() -> None:
    """A wrap, a loss beside a duplicate, a swap and a restart all occur in what hypothesis draws."""
    seen: set[str] = set()

    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    @given(plan=traffic.plans())
    def draw(plan: traffic.Plan) -> None:
        for stream in plan.streams:
            seen.update(stream.features())

    draw()
    assert seen >= {"loss", "duplicate", "swap", "wrap", "restart"}
