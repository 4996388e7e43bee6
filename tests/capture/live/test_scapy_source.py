"""The slow portable way, in a network namespace of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("scapy")

SCRIPT = """
import socket, time
import pytest
from agent.capture.live.scapy_source import ScapySource
from agent.errors import CaptureError
from tests.kit.live_capture import Sender, ethernet, veth

with pytest.raises(CaptureError, match="there is no interface nosuch0"):
    ScapySource(["nosuch0"])
veth("sbc", "two")
source = ScapySource(["sbc", "two"], "udp port 40000", snap_length=100)
assert source.drops is None
frames = [ethernet(number.to_bytes(4, "big") * (number + 1)) for number in range(100)]
senders = [Sender("sbc-far"), Sender("two-far")]
before_ns = time.time_ns()
for number, frame in enumerate(frames):
    senders[number % 2](frame)
    senders[0](ethernet(b"other", 50000, 50000))
seen = []
end = time.monotonic() + 5
for batch, now_ns in source:
    seen += batch.frames()
    assert abs(now_ns - time.time_ns()) < 3_000_000_000
    if len(seen) >= 100 or time.monotonic() > end:
        break
assert sorted(each.data for each in seen) == sorted(frame[:100] for frame in frames)
assert sorted(each.wire_length for each in seen) == sorted(len(frame) for frame in frames)
assert {each.origin & 0xFFFF for each in seen} == {0, 1}
assert {each.origin >> 32 for each in seen} == {1}
assert all(before_ns - 1000 <= each.stamp_ns <= time.time_ns() for each in seen)
assert (source.frames, source.bytes) == (100, sum(len(each.data) for each in seen))
batch, now_ns = next(iter(source))
assert len(batch) == 0
source.close()
"""


def test_scapy_sees_the_frames_of_two_interfaces() -> None:
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("needs root and network namespaces")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60
    )
    assert not done.returncode, done.stdout + done.stderr
    assert done.stderr.count("slow") == 1
