from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.capture.feeds.tls_keylog import TsharkSource, _stamp
from agent.capture.files.pcapfile import open_capture
from agent.capture.merge import merge
from agent.errors import CaptureError
from agent.wire.frame import LINK_RAW
from agent.wire.ip.datagram import datagram
from tests.kit import tls_call


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for program in ("tshark", "tcpdump", "unshare"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("needs root and network namespaces")
    where = tmp_path_factory.mktemp("tls")
    where.chmod(0o777)  # tcpdump gives up root before it writes
    for parent in list(where.parents)[:2]:
        parent.chmod(0o755)
    made = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.kit.tls_call", str(where)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not made.returncode, made.stderr
    return where


def test_sip_over_tls_with_its_keys_comes_out_whole(call: Path) -> None:
    source = TsharkSource(str(call / "tls.pcap"), str(call / "keys"))
    frames = [frame for batch, _ in source for frame in batch.frames()]
    assert [frame.data[28:] for frame in frames] == tls_call.REQUESTS + tls_call.ANSWERS
    assert {frame.origin >> 32 for frame in frames} == {LINK_RAW}
    assert frames[0].data[22:24] == frames[-1].data[20:22] == tls_call.PORT.to_bytes(2, "big")
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert (source.frames, source.bytes) == (6, sum(len(frame.data) for frame in frames))


def test_it_merges_with_the_frames_it_was_made_of(call: Path) -> None:
    path = str(call / "tls.pcap")
    raw = [frame for batch, _ in open_capture(path) for frame in batch.frames()]
    merged = merge([open_capture(path), TsharkSource(path, str(call / "keys"))])
    stamps = [frame.stamp_ns for batch, _ in merged for frame in batch.frames()]
    assert len(stamps) == len(raw) + 6
    assert stamps == sorted(stamps)


def test_without_the_keys_there_is_nothing(call: Path) -> None:
    (call / "none").write_text("")
    source = TsharkSource(str(call / "tls.pcap"), str(call / "none"))
    assert [batch for batch, _ in source] == []


def test_faults_are_told_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.write_text("no capture")
    if shutil.which("tshark"):
        with pytest.raises(CaptureError, match="nokeys: the key log cannot be read"):
            TsharkSource("x", str(tmp_path / "nokeys"))
        with pytest.raises(CaptureError, match="nofile: the capture file cannot be read"):
            TsharkSource(str(tmp_path / "nofile"), str(keys))
        with pytest.raises(CaptureError, match="tshark failed"):
            list(TsharkSource(str(keys), str(keys)))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CaptureError, match="needs tshark"):
        TsharkSource("x", str(keys))


def test_datagrams_of_both_versions_say_their_lengths() -> None:
    four = datagram(bytes(4), bytes(4), b"\x13\xc5\x9c\x40", b"sip")
    assert four[:4] == b"\x45\x00\x00\x1f"
    assert len(four) == 31
    six = datagram(bytes(16), bytes(16), b"\x13\xc5\x9c\x40", b"sip")
    assert six[4:7] == b"\x00\x0b\x11"
    assert len(six) == 51


def test_stamps_of_either_form_are_exact() -> None:
    assert _stamp("1700000000.123456789") == 1_700_000_000_123_456_789
    assert _stamp("2023-11-14T22:13:20.123456789Z") == 1_700_000_000_123_456_789


def test_sip_over_tls_is_read_live_beside_the_caller() -> None:
    if (
        not shutil.which("tshark")
        or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode
    ):
        pytest.skip("needs tshark, root and network namespaces")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", LIVE], capture_output=True, text=True, timeout=90
    )
    assert not done.returncode, done.stdout + done.stderr


LIVE = """
import os, subprocess, sys, tempfile, time
from pathlib import Path
from agent.capture.feeds.tls_keylog import TsharkSource
from tests.kit import tls_call
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
where = Path(tempfile.mkdtemp())
where.chmod(0o777)
(where / "keys").touch()
source = TsharkSource("lo", str(where / "keys"), live=True, poll_ms=50)
batches = iter(source)
end = time.monotonic() + 4
while time.monotonic() < end:  # tshark starts
    batch, now_ns = next(batches)
    assert len(batch) == 0
    assert abs(now_ns - time.time_ns()) < 10**9
tls_call.main(where)
seen = []
end = time.monotonic() + 15
while len(seen) < 6 and time.monotonic() < end:
    seen += next(batches)[0].frames()
source.close()
assert [frame.data[28:] for frame in seen] == tls_call.REQUESTS + tls_call.ANSWERS, seen
"""


def test_replay_with_a_key_log_counts_what_tls_carried(call: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "agent",
            "replay",
            str(call / "tls.pcap"),
            "--json",
            "--keylog",
            str(call / "keys"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(row["type"] == "sip" for row in rows) == len(tls_call.REQUESTS) + len(tls_call.ANSWERS)
    metrics = [row["values"] for row in rows if row["type"] == "metrics"]
    assert sum(values["Sip2xxCodes"] for values in metrics) == len(tls_call.ANSWERS)
