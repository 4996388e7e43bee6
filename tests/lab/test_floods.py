"""The live rig at a short length: real calls stay exact, and the books are closed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.settings import Limits
from agent.wire.ip import decoder_cy
from tests.kit.privileges import hindrance
from tests.lab.floods import CALLS, Run, run

pytestmark = [pytest.mark.lab, pytest.mark.slow]
SECONDS = 6.0


@pytest.fixture(autouse=True)
def _rig() -> None:
    reason = hindrance()
    if not reason and decoder_cy.__file__.endswith(".py"):
        reason = "the loop is not compiled"
    if reason:
        pytest.skip(f"no floods here: {reason}")


def test_real_calls_are_exact_beside_a_flood_of_one_source_which_is_shed(tmp_path: Path) -> None:
    found = run("one-source", tmp_path, seconds=SECONDS)
    assert found.wrong == []
    assert found.is_closed
    assert found.flood_rate > 2 * Limits().sip_budget
    invites = found.values["InboundCallAttempts"] + found.values["OutboundCallAttempts"] - CALLS
    assert invites + found.left_out["shed"] == found.flood_sent
    (line, *_) = [line for line in found.log if line["cause"] == "flood"] or [{}]
    assert line.get("source", "203.0.113.9") == "203.0.113.9"
    assert found.rss_mb < Limits().max_memory_mb
    assert found.status == 0


def test_real_calls_are_exact_over_a_stall_that_the_ring_rides_out(tmp_path: Path) -> None:
    found = run("stall-8", tmp_path)
    assert found.wrong == []
    assert found.is_closed
    assert found.dropped == 0


def test_daemon_with_a_fifth_of_a_core_survives_a_flood_and_closes_its_books(tmp_path: Path) -> None:
    found = run_in_a_group("quota", tmp_path)
    assert found.throttled  # it had less than it would have taken
    assert found.is_closed
    assert found.left_out.get("capture_drops", 0) == found.dropped
    assert found.wrong == [] or found.dropped  # what is not exact was told
    assert found.status == 0


def test_daemon_in_a_group_of_little_more_than_its_memory_is_not_killed(tmp_path: Path) -> None:
    found = run_in_a_group("memory", tmp_path)
    assert found.rss_mb < Limits().max_memory_mb
    assert found.is_closed
    assert found.left_out.get("capture_drops", 0) == found.dropped
    assert found.status == 0


def run_in_a_group(kind: str, folder: Path) -> Run:
    try:
        return run(kind, folder, seconds=SECONDS)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")


def test_confined_daemon_keeps_evidence_and_captures_on_an_interface_that_returned(tmp_path: Path) -> None:
    found = run("link", tmp_path)
    said = {line["cause"]: line["text"] for line in found.log}
    assert "makes no system call but its own" in "".join(
        line["text"] for line in found.log if line["cause"] == "confine"
    )
    assert said["interface"] == "flood1 is back"
    assert found.is_closed  # the frames that came after its return were read
    assert found.flood_sent > 50
    assert found.wrong == []
    assert found.evidence > 1_000_000
    assert found.status == 0


def test_invented_streams_from_the_far_ends_own_sockets_add_no_more_than_eight_to_a_call(
    tmp_path: Path,
) -> None:
    found = run("forged-pairs", tmp_path, seconds=SECONDS)
    for _, counted, sent in re.findall(r"(\w+)RtpPackets (\d+) of (\d+)", " ".join(found.wrong)):
        assert int(sent) <= int(counted) <= int(sent) + 8 * 2
    assert len(found.wrong) <= 2  # calls that began when the flood was nearly over
    assert found.is_closed


def test_what_is_sent_in_the_vcs_name_from_afar_is_refused_and_told(tmp_path: Path) -> None:
    found = run("own-address", tmp_path, seconds=SECONDS)
    assert found.wrong == []
    assert found.is_closed
    assert found.refused["own_source"] == found.flood_sent
