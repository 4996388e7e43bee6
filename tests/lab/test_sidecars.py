"""Sidecars in pcaps/: complete, and true of their captures as tshark reads them."""

from __future__ import annotations

import collections
import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .baresip import parse_summaries
from .sbc import parse_log
from .scenarios import SCENARIOS
from .truth import calls, total

PCAPS = Path(__file__).parents[2] / "pcaps"
SIDECARS = sorted(PCAPS.glob("*.json"))
WAYS = ("cust2vc", "vc2cust", "rem2vc", "vc2rem")
CLASSES = tuple(f"{digit}xx" for digit in range(1, 7))

sidecars = pytest.mark.parametrize("path", SIDECARS, ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@sidecars
def test_sidecar_has_every_key_and_file(path: Path) -> None:
    sidecar = load(path)
    assert sidecar["name"] == path.stem
    assert sidecar["name"] in SCENARIOS, "a capture that nothing can make again"
    assert sidecar["licence"] == "CC0-1.0"
    assert {"date", "command", "commands", "programs"} <= sidecar["made"].keys()
    assert sidecar["files"]
    assert all((PCAPS / name).stat().st_size for name in sidecar["files"])
    truth = sidecar["truth"]
    for key in ("attempts", "answered", "failed", "cancelled", "redirected", "throttles"):
        assert truth[key].keys() == {"inbound", "outbound"}
    assert truth["responses"].keys() == set(CLASSES)
    assert all(truth["rtp"][way].keys() == {"packets", "bytes", "dropped"} for way in WAYS)
    assert all(truth["rtcp"][way].keys() == {"packets", "bytes"} for way in WAYS)


@sidecars
def test_sidecar_outcomes_add_up_to_attempts(path: Path) -> None:
    truth = load(path)["truth"]
    for direction in ("inbound", "outbound"):
        outcomes = sum(truth[key][direction] for key in ("answered", "failed", "cancelled", "redirected"))
        assert outcomes == truth["attempts"][direction]
    assert len(truth["calls"]) == sum(truth["attempts"].values())


def test_captures_stay_small_in_all() -> None:
    assert sum(path.stat().st_size for path in PCAPS.iterdir()) < 25_000_000


def test_every_capture_has_a_sidecar() -> None:
    named = {name for path in SIDECARS for name in load(path)["files"]}
    captures = {path.name for path in PCAPS.iterdir() if path.suffix in (".pcap", ".pcapng", ".gz")}
    assert captures == named


class UdpPacket(NamedTuple):
    way: str  # a direction
    status: str  # of a SIP response, else ""
    version: int  # of RTP, if it is that
    second: int  # octet of the payload
    length: int  # of the payload


@pytest.fixture(scope="module")
def udp_packets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[UdpPacket]]:
    """By file, from one tshark: its start takes longer than its reading. One behind the other, unsorted, the
    files are interfaces of one capture.
    """
    names = [name for path in SIDECARS for name in load(path)["files"]]
    whole = tmp_path_factory.mktemp("captures") / "whole.pcapng"
    captures = [str(PCAPS / name) for name in names]
    subprocess.run(["mergecap", "-a", "-I", "none", "-w", str(whole), *captures], check=True)
    fields = (
        "frame.interface_id",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "sip.Status-Code",
        "udp.length",
    )
    command = ["tshark", "-n", "-r", str(whole), "-Y", "udp && !icmp && !icmpv6", "-T", "fields"]
    command += [part for field in (*fields, "udp.payload") for part in ("-e", field)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    packets: dict[str, list[UdpPacket]] = {name: [] for name in names}
    for line in printed.splitlines():
        number, source4, target4, source6, target6, status, length, payload, *_ = line.split("\t")
        way = _way(source4 or source6, target4 or target6)
        octets = bytes.fromhex(payload[:4])
        if way and len(octets) == 2:
            packet = UdpPacket(way, status, octets[0] >> 6, octets[1], int(length) - 8)
            packets[names[int(number)]].append(packet)
    return packets


@pytest.mark.slow  # tshark reads all captures
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
@sidecars
def test_truth_is_what_tshark_reads(path: Path, udp_packets: dict[str, list[UdpPacket]]) -> None:
    sidecar = load(path)
    truth = sidecar["truth"]
    responses: collections.Counter[str] = collections.Counter()
    media: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for name in sidecar["files"]:
        for way, status, first, second, length in udp_packets[name]:
            if status:
                responses[f"{status[0]}xx"] += 1
            elif first == 2:
                kind = "rtcp" if 192 <= second <= 223 else "rtp"
                media[kind, way, "packets"] += 1
                media[kind, way, "bytes"] += length
    assert {each: responses[each] for each in CLASSES} == truth["responses"]
    for kind in ("rtp", "rtcp"):
        for way in WAYS:
            told = truth[kind][way]
            read = {count: media[kind, way, count] for count in ("packets", "bytes")}
            assert read == {"packets": told["packets"], "bytes": told["bytes"]}, (kind, way)


def _way(source: str, target: str) -> str:
    """The lab's addressing: .1 of each net is the vc."""
    nets = {"10.10.0.": "cust", "fd00:10::": "cust", "10.20.0.": "rem", "fd00:20::": "rem"}
    for net, side in nets.items():
        if source.startswith(net):
            return f"vc2{side}" if source == net + "1" else f"{side}2vc"
    return ""


def test_summaries_are_read_from_baresip_output() -> None:
    text = "x\nEX=BareSip;CS=0;CD=14;PR=473;PS=500;PL=27,25;PD=0,25;JI=0.6,0.7;DL=0.3;IP=0.0.0.0:1;\ny"
    (summary,) = parse_summaries(text)
    assert (summary.seconds, summary.received, summary.sent) == (14, 473, 500)
    assert (summary.lost_received, summary.lost_sent) == (27, 25)
    assert (summary.jitter_received_ms, summary.jitter_sent_ms, summary.rtt_ms) == (0.6, 0.7, 0.3)


def test_summary_without_media_fields_is_skipped() -> None:
    assert parse_summaries("EX=BareSip;CS=0;CD=0;ERROR=No RTCP stats collected;") == []


def test_calls_are_told_from_kamailio_log() -> None:
    log = parse_log(
        "0(1) ALERT: LAB|invite|10.5|a@b|alice|bob|0|10.10.0.10\n"
        "0(1) ALERT: LAB|final|10.6|a@b|alice|bob|407|10.10.0.10\n"
        "0(1) ALERT: LAB|invite|10.7|a@b|alice|bob|0|10.10.0.10\n"
        "0(1) ALERT: LAB|answer|11.5|a@b|alice|bob|200|10.20.0.10\n"
        "0(1) ALERT: LAB|bye|21.5|a@b|alice|bob|0|10.10.0.10\n"
        "0(1) ALERT: LAB|invite|30.0|c@d|carol|bob|0|10.10.0.11\n"
        "0(1) ALERT: LAB|garbled\n"
    )
    answered, silent = calls(log)
    assert (answered["outcome"], answered["status"], answered["answered_seconds"]) == ("answered", 200, 10.0)
    assert (silent["outcome"], silent["status"]) == ("failed", None)


def test_totals_add_counts_and_join_calls() -> None:
    truths = [load(path)["truth"] for path in SIDECARS[:2]]
    summed = total(truths)
    assert summed["responses"]["1xx"] == sum(truth["responses"]["1xx"] for truth in truths)
    assert len(summed["calls"]) == sum(len(truth["calls"]) for truth in truths)


def test_compressed_captures_carry_no_date() -> None:
    for path in PCAPS.glob("*.gz"):
        assert path.read_bytes()[4:8] == bytes(4)
        assert gzip.decompress(path.read_bytes())
