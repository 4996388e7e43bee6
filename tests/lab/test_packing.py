"""Cutting, tagging and containers of recorded captures; the delay box's line of frames."""

from __future__ import annotations

import argparse
import gzip
import shutil
import struct
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from tests.kit.packets import ethernet, udp

from . import packing
from .delaybox import Line

ETHERNET_HEADER = bytes(12) + b"\x08\x00"


def frame(payload: bytes, source_port: int = 30000, target_port: int = 12000) -> bytes:
    """An IPv4 UDP packet on Ethernet, checksums left out."""
    return ethernet(udp(("10.10.0.1", source_port), ("10.10.0.10", target_port), payload))


def rtp(payload_type: int = 8, octets: int = 160) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, 1, 2, 3) + bytes(octets)


def test_rtp_is_cut_behind_header_and_one_event() -> None:
    assert packing.kept_octets(frame(rtp()), packing.ETHERNET) == 14 + 20 + 8 + 12 + 4


def test_telephone_event_stays_whole() -> None:
    event = frame(rtp(101, octets=4))
    assert packing.kept_octets(event, packing.ETHERNET) == len(event)


@pytest.mark.parametrize("payload", [rtp(200), b"INVITE sip:x SIP/2.0\r\n\r\n", b"", b"\x00\x01"])
def test_all_but_rtp_stays_whole(payload: bytes) -> None:
    assert packing.kept_octets(frame(payload), packing.ETHERNET) == len(frame(payload))


@pytest.mark.parametrize("container", get_args(packing.Container))
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_container_keeps_times_and_lengths(tmp_path: Path, container: packing.Container) -> None:
    frames = [packing.Frame(1_700_000_000_123_456_789 + n, frame(rtp()), 500 + n) for n in range(3)]
    path = tmp_path / "capture"
    packing.write(path, packing.ETHERNET, frames, container)
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len"]
    read = subprocess.run(["tshark", "-r", str(path), *fields], capture_output=True, text=True, check=True)
    for line, each in zip(read.stdout.splitlines(), frames, strict=True):
        at, length, captured = line.split("\t")
        nanoseconds = int(at.replace(".", ""))
        assert nanoseconds == (each.at_ns // 1000 * 1000 if container.startswith("pcap-us") else each.at_ns)
        assert (int(length), int(captured)) == (each.length, len(each.data))


def test_written_pcap_is_read_back(tmp_path: Path) -> None:
    frames = [packing.Frame(1_700_000_000_000_000_001, frame(rtp()), 214)]
    packing.write(tmp_path / "capture", packing.SLL2, frames, "pcap-ns")
    link, read = packing.read(tmp_path / "capture")
    assert (link, list(read)) == (packing.SLL2, frames)


def test_compressed_container_is_the_same_inside(tmp_path: Path) -> None:
    frames = [packing.Frame(1, frame(rtp()), 214)]
    packing.write(tmp_path / "plain", packing.ETHERNET, frames, "pcapng")
    packing.write(tmp_path / "packed", packing.ETHERNET, frames, "pcapng.gz")
    assert gzip.decompress((tmp_path / "packed").read_bytes()) == (tmp_path / "plain").read_bytes()


def test_tag_lies_behind_the_addresses() -> None:
    (tagged,) = packing.tagged([packing.Frame(1, frame(b"x"), 43)], 100)
    assert tagged.data[12:18] == b"\x81\x00\x00\x64\x08\x00"
    assert tagged.length == 47


def line(*, reorder: bool, jitter_ms: float = 50.0, duplicate: float = 0.0) -> Line:
    return Line(
        argparse.Namespace(delay_ms=10.0, jitter_ms=jitter_ms, reorder=reorder, duplicate=duplicate), seed=1
    )


def test_delay_box_keeps_order_unless_told_otherwise() -> None:
    frames = [frame(rtp() + bytes([n])) for n in range(50)]
    for reorder in (False, True):
        delayed = line(reorder=reorder)
        for n, each in enumerate(frames):
            delayed.put(each, n * 0.02)
        assert (delayed.due(10.0) == frames) is not reorder


def test_delay_box_holds_udp_back_and_lets_arp_pass() -> None:
    delayed = line(reorder=False, jitter_ms=0)
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    delayed.put(frame(rtp()), 0.0)
    delayed.put(arp, 0.0)
    assert delayed.due(0.0) == [arp]
    assert delayed.due(0.009) == []
    assert delayed.due(0.011) == [frame(rtp())]


def test_delay_box_doubles_media_only() -> None:
    delayed = line(reorder=False, duplicate=1.1)
    delayed.put(frame(rtp()), 0.0)
    delayed.put(frame(b"BYE sip:x SIP/2.0\r\n\r\n"), 0.0)
    assert len(delayed.due(1.0)) == 3
