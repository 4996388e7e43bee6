"""`sbcwatch verify`: what it finds, what it passes over, how it ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.commands import verify
from agent.commands.verify import Check, Ours, compare
from agent.config.settings import Config
from tests.kit import traffic
from tests.kit.replayed import PCAPS

pytestmark = [
    pytest.mark.slow,  # two dozen starts of tshark
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

CAPTURE = str(PCAPS / "short-inbound-customer.pcap")
SIDES = ["--vc", "10.10.0.1", "--customer", "10.10.0.0/24"]
STEADY = traffic.Planned(
    ssrc=0x11223344,
    payload_type=0,
    first=65_500,
    timestamp=0,
    count=60,
    dropped=frozenset({20, 21}),
    repeated=frozenset({30}),
    late=(),
    jitter_ms=(0, 2),
    restart=0,
)


@pytest.fixture
def miscount(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Ours], None]], None]:
    """Have our own reading changed before it is judged."""

    def install(change: Callable[[Ours], None]) -> None:
        honest = verify.read

        def wrong(*args: Any, **kwargs: Any) -> Ours:
            ours = honest(*args, **kwargs)
            change(ours)
            return ours

        monkeypatch.setattr(verify, "read", wrong)

    return install


def steady(path: Path) -> list[Any]:
    """Frames of a small capture, written to `path` and read back."""
    from scapy.utils import rdpcap

    traffic.write(traffic.Plan((STEADY,), (200,), ("OPTIONS",), False, False), path)
    return list(rdpcap(str(path)))


def write(path: Path, frames: list[Any]) -> str:
    from scapy.utils import wrpcap

    wrpcap(str(path), sorted(frames, key=lambda frame: frame.time))
    return str(path)


def differing(found: list[Check]) -> list[Check]:
    return [check for check in found if not check.within]


def test_capture_that_agrees_exits_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", CAPTURE, *SIDES]) == 0
    out, err = capfd.readouterr()
    assert "all within tolerance" in out
    assert err == ""


def test_json_gives_one_line_a_figure_and_the_verdict_last(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", CAPTURE, *SIDES, "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert rows[-1] == {"type": "verify", "files": 1, "checks": len(rows) - 1, "differences": 0}
    assert len(rows) > 20
    keys = [
        "type",
        "file",
        "what",
        "subject",
        "sbcwatch",
        "tshark",
        "tolerance",
        "tshark_own",
        "within",
        "note",
    ]
    assert all(list(row) == keys for row in rows[:-1])


def _more_lost(ours: Ours) -> None:
    next(iter(ours.streams.values()))[0]["lost"] += 1


def _fewer_responses(ours: Ours) -> None:
    ours.responses["2xx"] -= 1


def _no_bye(ours: Ours) -> None:
    del ours.requests["BYE"]


def _stream_missed(ours: Ours) -> None:
    del ours.streams[next(iter(ours.streams))]


def _stream_invented(ours: Ours) -> None:
    key, rows = next(iter(ours.streams.items()))
    ours.streams[key._replace(ssrc=1)] = rows


def _jitter_off(ours: Ours) -> None:
    next(iter(ours.streams.values()))[0]["jitter_mean_us"] *= 1.1


def test_json_names_a_file_whose_name_is_no_utf8(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"\xff.pcap")
    shutil.copy(CAPTURE, path)
    assert main(["verify", str(path), *SIDES, "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[0])["file"].endswith("/\ufffd.pcap")


@pytest.mark.parametrize(
    "change",
    [_more_lost, _fewer_responses, _no_bye, _stream_missed, _stream_invented, _jitter_off],
    ids=lambda change: change.__name__.strip("_"),
)
def test_miscount_is_shown_and_exits_1(
    change: Callable[[Ours], None],
    miscount: Callable[[Callable[[Ours], None]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    miscount(change)
    assert main(["verify", CAPTURE, *SIDES]) == 1
    out = capfd.readouterr().out
    assert out.count("DIFFER") == 1
    assert "1 differ" in out


def test_wrong_round_trip_is_shown(miscount: Callable[[Callable[[Ours], None]], None]) -> None:
    def slower(ours: Ours) -> None:
        ours.trips_ms = [(stamp_ns, ms + 1) for stamp_ns, ms in ours.trips_ms]

    miscount(slower)
    path = str(PCAPS / "delay-inbound-customer.pcap")
    found, _ = compare(path, Config(), vc=["10.10.0.1"], customers=["10.10.0.0/24"])
    assert {check.what for check in differing(found)} == {"RTT ms"}


def test_frame_that_answers_two_reports_is_judged_by_the_one_that_tshark_knows() -> None:
    path = str(PCAPS / "queue-inbound-remote.pcap.gz")  # a phone reports on the music and on the agent
    found, _ = compare(path, Config(), vc=["10.20.0.1"], customers=["10.10.0.0/24"])
    assert any(check.what == "RTT ms" for check in found)
    assert differing(found) == []


def test_generated_loss_is_told_apart_from_tsharks_own_sum(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    steady(path)
    found, _ = compare(str(path), Config())
    lost = next(check for check in found if check.what == "RTP lost")
    assert (lost.ours, lost.tshark, lost.own, lost.within) == (2, 2, 1, True)
    assert "expected minus received" in lost.note


def test_packets_quoted_by_icmp_count_for_nobody(tmp_path: Path) -> None:
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.l2 import Ether

    frames = steady(tmp_path / "a.pcap")
    for frame in frames[5:15]:
        quote = Ether() / IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=3) / frame[IP].copy()
        quote.time = frame.time + 0.001
        frames.append(quote)
    found, fault = compare(write(tmp_path / "b.pcap", frames), Config())
    assert fault is None
    assert differing(found) == []
    packets = [check.ours for check in found if check.what == "RTP packets"]
    assert packets == [STEADY.count - len(STEADY.dropped) + len(STEADY.repeated)]


def test_copies_through_a_vlan_are_one_packet_for_both(tmp_path: Path) -> None:
    from scapy.layers.l2 import Dot1Q, Ether

    frames = steady(tmp_path / "a.pcap")
    for frame in list(frames):
        copy = Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=9) / frame[Ether].payload.copy()
        copy.time = frame.time + 0.0002
        frames.append(copy)
    found, _ = compare(write(tmp_path / "b.pcap", frames), Config())
    assert differing(found) == []
    assert {check.ours for check in found if check.what == "RTP packets"} == {59}
    assert {check.ours for check in found if check.subject in ("2xx", "OPTIONS")} == {1}


def test_rtp_without_sdp_is_seen_by_both(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    steady(path)
    found, _ = compare(str(path), Config())
    assert [check.tshark for check in found if check.what == "RTP packets"] == [59]


def test_truncated_file_is_judged_up_to_its_fault_and_exits_3(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = Path(CAPTURE).read_bytes()
    path = tmp_path / "cut.pcap"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert main(["verify", str(path), *SIDES]) == 3
    out, err = capfd.readouterr()
    assert "all within tolerance" in out
    assert err.count("\n") == 1
    assert "cut short" in err


def test_standard_input_is_refused_with_the_fix(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "-"]) == 2
    assert "name a file" in capfd.readouterr().err


def test_missing_file_exits_3(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "/nowhere/to/be/found.pcap"]) == 3
    assert capfd.readouterr().err.count("\n") == 1


def test_missing_tshark_is_named_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["verify", CAPTURE, *SIDES]) == 3
    assert "apt install tshark" in capfd.readouterr().err


def test_rejects_of_the_loop_are_noted_beside_the_messages(tmp_path: Path) -> None:
    from scapy.utils import wrpcap

    path = tmp_path / "cut.pcap"
    frames = [bytes(frame) for frame in steady(path)]
    wrpcap(str(path), [*frames, frames[-1][:30]], linktype=1)
    checks, _ = compare(str(path), Config())
    assert {check.note for check in checks if check.what.startswith("SIP")} == {"1 records were rejected"}
