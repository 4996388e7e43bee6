"""Evidence of bundled calls: every packet of the call, no payload, no secret, and it opens in Wireshark."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import subprocess
import time
from functools import cache
from pathlib import Path

import pytest

from agent.cli import main
from agent.evidence.files import EvidenceNote, notes_of, packets_of, path_of_note, read_notes
from tests.kit.replayed import PCAPS, sidecar

tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")


def replay(tmp_path: Path, name: str, evidence: str = "", more: str = "") -> Path:
    """The store of a bundled scenario, replayed with `[evidence]` on."""
    side = sidecar(name)
    config = tmp_path / "sbcwatch.toml"
    config.write_text(
        f"[vc]\naddresses = {json.dumps(side['vc'])}\n"
        f"[customers]\nnetworks = {json.dumps(side['customer_networks'])}\n"
        f"[evidence]\nenabled = true\n{evidence}\n{more}\n"
    )
    store = tmp_path / "store"
    files = [str(PCAPS / file) for file in side["files"]]
    assert main(["replay", *files, "--config", str(config), "--store", str(store)]) == 0
    return store


def only(store: Path) -> tuple[EvidenceNote, Path]:
    (note,) = read_notes(store)
    return note, path_of_note(store, note)


FIELDS = (
    "frame.number",
    "frame.protocols",
    "frame.time_epoch",
    "frame.len",
    "frame.comment",
    "ip.src",
    "ip.dst",
    "udp.srcport",
    "rtp.seq",
    "rtp.ssrc",
    "rtcp.sdes.text",
    "sip.CSeq",
    "_ws.malformed",
    "_ws.expert.severity",
)
ERROR = "8388608"  # a severity of Wireshark's
Dissected = dict[str, str]  # of one packet, by field


@cache
def dissected(path: Path) -> list[Dissected]:
    """What tshark says of each packet, all in one start. It warns of nothing."""
    words = [word for name in FIELDS for word in ("-e", name)]
    done = subprocess.run(["tshark", "-r", str(path), "-T", "fields", *words], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "root" not in line]
    assert (done.returncode, said) == (0, [])
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]


def captured(name: str) -> list[Dissected]:
    return [packet for file in sidecar(name)["files"] for packet in dissected(PCAPS / file)]


def of(packets: list[Dissected], protocol: str, *keys: str) -> list[tuple[str, ...]]:
    """These fields of the packets of a protocol, sorted. An ICMP error quotes one, and is none."""
    found = []
    for packet in packets:
        protocols = packet["frame.protocols"].split(":")
        if protocol in protocols and "icmp" not in protocols:
            found.append(tuple(packet[key] for key in keys))
    return sorted(found)


def broken(packets: list[Dissected]) -> list[Dissected]:
    return [p for p in packets if p["_ws.malformed"] or ERROR in p["_ws.expert.severity"].split(",")]


@tshark
def test_a_call_with_loss_is_kept_whole_and_opens_without_a_malformed_packet(tmp_path: Path) -> None:
    note, path = only(replay(tmp_path, "loss-vc2cust"))
    assert note.reason.startswith("vc2cust lost 2")
    assert not note.asked_for
    assert note.left_out == 0
    packets = dissected(path)
    assert not broken(packets)
    for protocol, keys in {
        "rtp": ("frame.time_epoch", "ip.src", "udp.srcport", "rtp.seq", "rtp.ssrc", "frame.len"),
        "rtcp": ("frame.time_epoch", "ip.src", "ip.dst", "frame.len"),
        "sip": ("frame.time_epoch", "ip.src", "ip.dst", "sip.CSeq"),
    }.items():
        found = of(packets, protocol, *keys)
        assert found == of(captured("loss-vc2cust"), protocol, *keys)
        assert found
    assert note.packets == len(packets)


@tshark
def test_the_far_ends_reports_of_loss_carry_comments(tmp_path: Path) -> None:
    note, path = only(replay(tmp_path, "loss-vc2cust"))
    commented = [packet for packet in dissected(path) if packet["frame.comment"]]
    comments = [packet["frame.comment"] for packet in commented if packet["ip.src"] == "10.10.0.10"]
    assert "10.10.0.10 port 11265 reports loss: 4 more RTP of SSRC 0xC7030E83 lost" in comments[0]
    assert "23 since it began" in comments[-1]
    assert note.comments == len(commented)


@tshark
def test_each_gap_on_the_way_in_carries_a_comment_at_the_packet_behind_it(tmp_path: Path) -> None:
    _, path = only(replay(tmp_path, "loss-cust2vc"))
    rtp = of(dissected(path), "rtp", "ip.src", "frame.comment")
    comments = [comment for src, comment in rtp if comment and src == "10.10.0.10"]
    lost = sum(int(comment.split()[0]) for comment in comments)
    rtp = of(captured("loss-cust2vc"), "rtp", "ip.src", "rtp.seq")
    numbers = [int(number) for src, number in rtp if src == "10.10.0.10"]
    assert lost == max(numbers) - min(numbers) + 1 - len(numbers) > 0
    assert all("lost before this packet: sequence number" in comment for comment in comments)


@tshark
@pytest.mark.parametrize("name", ["loss-vc2cust", "loss-cust2vc", "loss-rem2vc"])
def test_tshark_reads_it_without_a_warning(tmp_path: Path, name: str) -> None:
    _, path = only(replay(tmp_path, name, "loss_above = 0.1"))
    assert not broken(dissected(path))


def octets_kept(path: Path) -> list[tuple[int, int]]:
    """(captured, on the wire) of each packet block."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert data[at + length - 4 : at + length] == data[at + 4 : at + 8]
        if kind == 6:
            found.append(struct.unpack_from("<II", data, at + 20))
        at += length
    return found


def test_payload_and_names_are_absent(tmp_path: Path) -> None:
    _, path = only(replay(tmp_path, "loss-vc2cust"))
    rtp = [captured for captured, wire in octets_kept(path) if wire == 214]
    assert len(rtp) > 4_000
    assert set(rtp) == {14 + 20 + 8 + 12}
    if shutil.which("tshark"):
        assert set("".join(packet["rtcp.sdes.text"] for packet in dissected(path))) <= {"x", ","}


@tshark
def test_credentials_are_absent(tmp_path: Path) -> None:
    store = replay(tmp_path, "challenged-inbound", "mos_below = 5.0")
    if not read_notes(store):
        store = asked(tmp_path / "asked", "challenged-inbound")
    _, path = only(store)
    assert b"Authorization: <removed>" in path.read_bytes()
    assert b"response=" not in path.read_bytes()


def asked(
    tmp_path: Path, name: str, evidence: str = "", what: tuple[str, str] = ("--number", "0110")
) -> Path:
    (tmp_path / "store").mkdir(parents=True)
    assert main(["evidence", "arm", *what, "--store", str(tmp_path / "store")]) == 0
    return replay(tmp_path, name, evidence)


@pytest.mark.parametrize("what", [("--number", "460110"), ("--peer", "10.10.0.10"), ("--peer", "10.20.0.10")])
def test_a_call_that_is_asked_for_is_kept_though_it_was_well(tmp_path: Path, what: tuple[str, str]) -> None:
    note, path = only(asked(tmp_path, "answered-inbound", "before_seconds = 0", what))
    assert note.asked_for
    assert note.reason.startswith("asked for: ")
    assert len(note.call_ids) == 2
    if shutil.which("tshark"):
        keys = ("frame.time_epoch", "ip.src", "rtp.seq")
        assert of(dissected(path), "rtp", *keys) == of(captured("answered-inbound"), "rtp", *keys)


def test_a_call_that_nobody_asked_for_and_was_well_leaves_nothing(tmp_path: Path) -> None:
    assert read_notes(asked(tmp_path, "answered-outbound", what=("--number", "999888"))) == []


@pytest.mark.parametrize(("payload", "octets"), [("false", 54), ("true", 58)])
def test_payload_is_kept_of_calls_asked_for_alone_and_only_if_configured(
    tmp_path: Path, payload: str, octets: int
) -> None:
    note, path = only(asked(tmp_path, "answered-inbound", f"payload = {payload}\nbefore_seconds = 0"))
    assert note.with_payload == (payload == "true")
    assert {kept for kept, wire in octets_kept(path) if wire == 214} == {octets}


def test_payload_is_never_kept_of_a_call_that_went_bad(tmp_path: Path) -> None:
    note, path = only(replay(tmp_path, "loss-vc2cust", "payload = true"))
    assert not note.with_payload
    assert {kept for kept, wire in octets_kept(path) if wire == 214} == {54}


def test_without_the_section_there_is_no_folder(tmp_path: Path) -> None:
    store = replay(tmp_path, "loss-vc2cust", "", "").parent / "other"
    files = [str(PCAPS / file) for file in sidecar("loss-vc2cust")["files"]]
    assert main(["replay", *files, "--store", str(store)]) == 0
    assert not (store / "evidence").exists()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = replay(tmp_path, "loss-vc2cust")
    for path in (store / "evidence").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((store / "evidence").stat().st_mode) == 0o700


def test_a_calls_file_is_bounded_and_says_how_much_was_left_out(tmp_path: Path) -> None:
    side = "long-outbound"
    note, path = only(asked(tmp_path, side, "max_call_mb = 1"))
    assert path.stat().st_size <= 1 << 20
    assert note.left_out > 0
    assert note.bytes == path.stat().st_size
    assert b"BYE sip:" in path.read_bytes()  # media does not push the end out


def test_masked_numbers_are_masked_here_too(tmp_path: Path) -> None:
    store = replay(tmp_path, "loss-vc2cust", "", "[privacy]\nmask_numbers = true")
    note, path = only(store)
    assert b"2079460110" not in path.read_bytes()
    assert (note.from_user or "").startswith("n-")


def test_a_connector_without_media_records_has_no_evidence(tmp_path: Path) -> None:
    out = '[[connectors]]\nid = "quiet"\ndefault = true\nlog_media = false'
    assert read_notes(replay(tmp_path, "loss-vc2cust", "", out)) == []


def test_list_export_and_call_find_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = replay(tmp_path, "loss-vc2cust")
    note, path = only(store)
    capsys.readouterr()
    assert main(["evidence", "list", "--store", str(store)]) == 0
    assert note.call_ids[0] in capsys.readouterr().out
    written = tmp_path / "call.pcapng"
    assert main(["evidence", "export", note.call_ids[1], "-o", str(written), "--store", str(store)]) == 0
    assert written.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert main(["evidence", "export", "nobody", "-o", str(written), "--store", str(store)]) == 1
    assert main(["call", "0110", "--store", str(store)]) == 0
    assert f"evidence ({note.reason}): {path}" in capsys.readouterr().out
    assert packets_of(store, note.call_ids) == path
    assert notes_of(store, ["nobody"]) == []


def test_an_order_ends_by_its_time_and_by_disarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agent.evidence.orders import OrderFile

    assert main(["evidence", "arm", "--number", "0110", "--minutes", "30", "--store", str(tmp_path)]) == 0
    orders = OrderFile(tmp_path)
    assert [order.number for order in orders.read(time.time_ns())] == ["0110"]
    assert orders.read(time.time_ns() + 31 * 60 * 10**9) == []
    assert main(["evidence", "disarm", "--store", str(tmp_path)]) == 0
    assert orders.read(time.time_ns()) == []


@pytest.mark.parametrize("words", [[], ["--number", "11"], ["--number", "0110", "--peer", "192.0.2.1"]])
def test_an_order_that_asks_for_too_much_is_refused(tmp_path: Path, words: list[str]) -> None:
    assert main(["evidence", "arm", *words, "--store", str(tmp_path)]) == 2
