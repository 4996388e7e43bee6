from __future__ import annotations

import gzip
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.files import index_cy as walk
from agent.capture.files.pcapfile import CHUNK, PcapFile, open_capture
from agent.errors import CaptureError
from agent.wire.frame import HOST, LINK_ETHERNET, LINK_RAW, OUTGOING, UNKNOWN_TYPE, CaptureDrop, Frame
from tests.kit.capture_files import (
    SECOND,
    START_NS,
    Packet,
    block,
    enhanced,
    interface,
    option,
    pcap,
    section,
    statistics,
    steady,
)
from tests.kit.examples import examples


def read(path: Path | str) -> tuple[list[Frame], str | None, PcapFile, list[CaptureDrop]]:
    """Everything a file gives, and the fault it ends with."""
    source = open_capture(str(path))
    frames: list[Frame] = []
    losses: list[CaptureDrop] = []
    fault = None
    now_ns = strays = 0
    try:
        for batch, clock_ns in source:
            assert clock_ns >= now_ns
            strays += batch.strays
            now_ns = clock_ns
            frames += batch.frames()
            losses += batch.losses
    except CaptureError as error:
        fault = str(error)
        assert "\n" not in fault
    assert source.frames == len(frames) + strays
    assert strays or source.bytes == sum(len(frame.data) for frame in frames)
    source.close()
    return frames, fault, source, losses


def wrote(tmp_path: Path, content: bytes, name: str = "x.pcap") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def same(frames: list[Frame], packets: list[Packet], unit_ns: int = 1) -> None:
    assert [(f.stamp_ns, f.data, f.wire_length) for f in frames] == [
        (p.stamp_ns // unit_ns * unit_ns, p.data, p.wire_length) for p in packets
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
@pytest.mark.parametrize("modified", [True, False])
def test_pcap_of_every_magic_gives_its_frames(
    tmp_path: Path, order: str, nanoseconds: bool, modified: bool
) -> None:
    packets = [Packet(START_NS + 123_456_789 + i, bytes([i]) * (i + 1), wire=1500) for i in range(50)]
    frames, fault, source, _ = read(wrote(tmp_path, pcap(packets, order, nanoseconds, modified=modified)))
    assert fault is None
    assert source.drops is None
    same(frames, packets, 1 if nanoseconds and not modified else 1000)
    assert {f.origin >> 32 for f in frames} == {LINK_ETHERNET}
    assert {f.origin >> 16 & 0xFFFF for f in frames} == {OUTGOING if modified else UNKNOWN_TYPE}


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_sections_of_both_byte_orders_follow_each_other(tmp_path: Path, order: str) -> None:
    other = ">" if order == "<" else "<"
    packets = steady(6)
    content = section(order) + interface(order)
    content += b"".join(enhanced(packet, order) for packet in packets[:3])
    content += block(0x0BAD, b"custom thing", order)
    content += section(other) + interface(other)
    content += b"".join(enhanced(packet, other) for packet in packets[3:])
    frames, fault, _, _ = read(wrote(tmp_path, content))
    assert fault is None
    same(frames, packets)
    assert len({f.origin & 0xFFFF for f in frames}) == 1  # the same interface, described again


def test_pcapng_interfaces_are_told_apart(tmp_path: Path) -> None:
    content = section() + interface() + interface(link=101)
    content += enhanced(Packet(START_NS, b"a" * 20)) + enhanced(Packet(START_NS, b"b" * 20, interface=1))
    frames, _, _, _ = read(wrote(tmp_path, content))
    assert [(f.origin >> 32, f.origin & 0xFFFF) for f in frames] == [(LINK_ETHERNET, 0), (LINK_RAW, 1)]


@pytest.mark.parametrize(
    ("resolution", "units", "offset_s", "expected_ns"),
    [
        (9, START_NS + 7, 0, START_NS + 7),
        (6, START_NS // 1000, 10, START_NS + 10 * SECOND),
        (3, START_NS // 1_000_000, -10, START_NS - 10 * SECOND),
        (0, 1_700_000_000, 0, START_NS),
        (12, 5_000_000_000_123, 0, 5_000_000_000),
        (0x80 | 10, (1_700_000_000 << 10) + 512, 0, START_NS + SECOND // 2),
        (0x80 | 30, (1_700_000_000 << 30) + 1, 0, START_NS),
        (0x80 | 40, (5 << 40) + (1 << 39), 0, 5 * SECOND + SECOND // 2),
        (0x80 | 70, 1 << 63, 0, SECOND >> 7),
        (0x80 | 127, (1 << 64) - 1, 0, 0),
        (127, (1 << 64) - 1, 0, 18),
    ],
)
def test_pcapng_time_units_become_nanoseconds(
    tmp_path: Path, resolution: int, units: int, offset_s: int, expected_ns: int
) -> None:
    options = option(9, bytes([resolution])) + option(14, struct.pack("<q", offset_s))
    content = section() + interface(options=options) + enhanced(Packet(0, b"x"), units=units)
    frames, fault, _, _ = read(wrote(tmp_path, content))
    assert fault is None
    assert [f.stamp_ns for f in frames] == [expected_ns]


def test_pcapng_flags_give_the_packet_type(tmp_path: Path) -> None:
    content = section() + interface()
    for flags in (0b01, 0b10, 0b01 | 2 << 2, 0b01 | 3 << 2, 0b01 | 4 << 2, 0):
        content += enhanced(Packet(START_NS, b"abc"), options=option(2, struct.pack("<I", flags)))
    frames, _, _, _ = read(wrote(tmp_path, content))
    assert [f.origin >> 16 & 0xFFFF for f in frames] == [HOST, OUTGOING, 2, 1, 3, UNKNOWN_TYPE]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_dropcount_is_a_loss_since_the_frame_before_it(tmp_path: Path, order: str) -> None:
    packets = steady(3)
    count = option(4, struct.pack(order + "Q", 7), order) + option(0, b"", order)
    content = section(order) + interface(order) + enhanced(packets[0], order)
    content += enhanced(packets[1], order, options=count) + enhanced(packets[2], order)
    frames, _, source, losses = read(wrote(tmp_path, content))
    assert len(frames) == 3
    assert losses == [CaptureDrop(packets[0].stamp_ns, packets[1].stamp_ns, 7)]
    assert source.drops == 7


def test_pcapng_drop_totals_at_the_end_are_known_from_the_first_batch(tmp_path: Path) -> None:
    packets = steady(40_000)
    content = section() + interface() + b"".join(enhanced(packet) for packet in packets)
    content += statistics(packets[-1].stamp_ns, 11)
    source = open_capture(str(wrote(tmp_path, content)))
    batch, _ = next(iter(source))
    assert len(batch) < len(packets)
    assert source.drops == 11
    assert batch.losses == [CaptureDrop(START_NS, packets[-1].stamp_ns, 11)]
    source.close()
    frames, _, source, losses = read(tmp_path / "x.pcap")
    assert (len(frames), source.drops, len(losses)) == (len(packets), 11, 1)
    # Inflated data cannot be sought: the same is known at the end.
    (tmp_path / "z").write_bytes(gzip.compress(content, 1))
    frames, _, source, losses = read(tmp_path / "z")
    assert (len(frames), source.drops) == (len(packets), 11)
    assert losses == [CaptureDrop(START_NS, packets[-1].stamp_ns, 11)]


def test_pcapng_without_drop_options_says_nothing_about_drops(tmp_path: Path) -> None:
    raw = START_NS // 1000
    content = section() + interface() + enhanced(Packet(START_NS, b"x"))
    content += block(5, struct.pack("<III", 0, raw >> 32, raw & 0xFFFFFFFF))
    assert read(wrote(tmp_path, content))[2].drops is None


def test_pcapng_simple_packets_have_the_time_of_the_frame_before(tmp_path: Path) -> None:
    content = section() + interface(snap=4) + enhanced(Packet(START_NS, b"abcd"))
    content += block(3, struct.pack("<I", 9) + b"wxyz")
    frames, fault, _, _ = read(wrote(tmp_path, content))
    assert fault is None
    assert frames[1] == Frame(b"wxyz", START_NS, frames[1].origin, 9)


def test_pcapng_block_larger_than_the_chunk_is_stepped_over(tmp_path: Path) -> None:
    content = section() + interface() + enhanced(Packet(START_NS, b"a"))
    content += block(10, bytes(3 * CHUNK)) + enhanced(Packet(START_NS + 1000, b"b"))
    frames, fault, _, _ = read(wrote(tmp_path, content))
    assert fault is None
    assert [f.data for f in frames] == [b"a", b"b"]


def test_frames_out_of_order_in_a_chunk_come_out_in_order_and_stable(tmp_path: Path) -> None:
    packets = [Packet(START_NS + (i // 3) * 1000, b"%d" % i) for i in range(3000)]
    shuffled = packets[:]
    for at in range(0, len(shuffled) - 3, 3):
        shuffled[at : at + 3], shuffled[at + 3 : at + 6] = shuffled[at + 3 : at + 6], shuffled[at : at + 3]
    frames, _, _, _ = read(wrote(tmp_path, pcap(shuffled)))
    same(frames, sorted(shuffled, key=lambda packet: packet.stamp_ns))
    # Far out of order: past the insertion sort's budget.
    backwards = packets[::-1]
    frames, _, _, _ = read(wrote(tmp_path, pcap(backwards)))
    same(frames, sorted(backwards, key=lambda packet: packet.stamp_ns))


def test_records_across_chunk_borders_are_whole(tmp_path: Path) -> None:
    chance = random.Random(5)
    packets = [Packet(START_NS + i * 1000, chance.randbytes(chance.randrange(1, 9000))) for i in range(1200)]
    packets += [Packet(START_NS + 10**9, chance.randbytes(262144)) for _ in range(10)]
    for content in (
        pcap(packets),
        section() + interface() + b"".join(enhanced(packet) for packet in packets),
    ):
        assert len(content) > 4 * CHUNK
        frames, fault, _, _ = read(wrote(tmp_path, content))
        assert fault is None
        same(frames, packets)


def test_gzip_is_told_by_content_also_of_several_members(tmp_path: Path) -> None:
    packets = steady(5000)
    content = pcap(packets)
    half = len(content) // 2
    packed = gzip.compress(content[:half]) + gzip.compress(content[half:]) + bytes(512)
    frames, fault, _, _ = read(wrote(tmp_path, packed, "named.pcap"))
    assert fault is None
    same(frames, packets)


def test_standard_input_byte_by_byte_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = steady(30)
    for content in (pcap(packets), gzip.compress(pcap(packets))):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            for octet in content:
                os.write(writing, bytes([octet]))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            monkeypatch.setattr("sys.stdin", file)
            frames, fault, _, _ = read("-")
        os.waitpid(child, 0)
        assert fault is None
        same(frames, packets)


def test_truncated_file_gives_what_is_whole_then_says_where_it_ends(tmp_path: Path) -> None:
    packets = steady(100)
    content = pcap(packets)
    frames, fault, _, _ = read(wrote(tmp_path, content[:-5]))
    same(frames, packets[:99])
    assert fault is not None
    assert "x.pcap: record 100 is cut short" in fault
    assert f"byte {len(content) - 5}" in fault
    frames, fault, _, _ = read(wrote(tmp_path, gzip.compress(content)[:-5]))
    same(frames, packets)
    assert "cut short" in str(fault)


def test_corrupt_gzip_gives_what_came_before(tmp_path: Path) -> None:
    chance = random.Random(3)
    packets = [Packet(START_NS + i, chance.randbytes(100)) for i in range(2000)]
    packed = bytearray(gzip.compress(pcap(packets)))
    packed[len(packed) * 3 // 4] ^= 0xFF
    frames, fault, _, _ = read(wrote(tmp_path, bytes(packed)))
    # Stored data goes on past the flipped byte: that frame is wrong, as no reader can know before the sum.
    assert len(frames) > 1490
    same(frames[:1490], packets[:1490])
    assert "gzip data is corrupt" in str(fault)


def test_absurd_record_length_ends_at_that_record(tmp_path: Path) -> None:
    packets = steady(10)
    content = bytearray(pcap(packets))
    struct.pack_into("<I", content, 24 + 4 * 76 + 8, 0x7FFFFFFF)
    frames, fault, _, _ = read(wrote(tmp_path, bytes(content)))
    same(frames, packets[:4])
    assert "record 5 says a length of 2147483647 bytes" in str(fault)
    assert f"byte {24 + 4 * 76}" in str(fault)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xd4\xc3\xb2\xa1\x02", "cut short inside its header"),
        (b"INVITE sip:x SIP/2.0\r\n", "is no capture file"),
        (b"\xfd7zXZ\x00rest", "unxz"),
        (b"\x1f\x8bnot really gzip", "gzip data is corrupt"),
        (pcap(steady(3), link=195), "link type 195 (IEEE 802.15.4)"),
        (pcap(steady(3), link=147), "editcap -T ether"),
        (section() + block(1, b"\x01\x00"), "too short"),
        (section() + enhanced(Packet(START_NS, b"x")), "names interface 0"),
    ],
)
def test_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    frames, fault, _, _ = read(wrote(tmp_path, content))
    assert frames == []
    assert says in str(fault)


def test_unknown_link_type_beside_a_known_one_is_told_after_all_was_read(tmp_path: Path) -> None:
    content = section() + interface() + interface(link=189)
    content += enhanced(Packet(START_NS, b"a")) + enhanced(Packet(START_NS, b"b", interface=1))
    content += enhanced(Packet(START_NS, b"c"))
    frames, fault, _, _ = read(wrote(tmp_path, content))
    assert [f.data for f in frames] == [b"a", b"b", b"c"]
    assert "interface 1 has link type 189" in str(fault)


def test_paths_that_cannot_be_opened_are_told_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        open_capture(str(tmp_path / "none"))
    with pytest.raises(CaptureError, match="is a directory"):
        open_capture(str(tmp_path))


_GOOD = [pcap(steady(8, 24)), section() + interface() + b"".join(enhanced(p) for p in steady(8, 24))]


@settings(max_examples=examples(400), deadline=None)
@given(which=st.integers(0, 1), at=st.integers(0, 600), octet=st.integers(0, 255), end=st.integers(0, 600))
def test_corruption_at_any_byte_leaves_the_frames_before_it(
    tmp_path_factory: pytest.TempPathFactory, which: int, at: int, octet: int, end: int
) -> None:
    content = bytearray(_GOOD[which])
    at %= len(content)
    content[at] = octet
    path = tmp_path_factory.getbasetemp() / f"corrupt-{which}"
    path.write_bytes(content[: max(at + 1, len(content) - end)])
    frames, _, _, _ = read(path)  # raises nothing but CaptureError
    start, length = (24, 40) if which == 0 else (28 + 20, 56)
    whole = max(0, (at - start) // length)
    good = steady(8, 24)[:whole]
    # A corrupt time may have put a later record before them.
    same([each for each in frames if each.data in [packet.data for packet in good]][:whole], good)
    path.write_bytes(gzip.compress(bytes(content)))
    read(path)


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", _GOOD[0][:24], _GOOD[1][:48], _GOOD[1][:28]]))
def test_any_bytes_give_frames_or_a_capture_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(start + content)
    read(path)


needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")


@needs_tshark
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "modpcap", "pcapng"])
def test_what_editcap_writes_reads_as_tshark_reads_it(tmp_path: Path, kind: str) -> None:
    chance = random.Random(1)
    packets = [
        Packet(START_NS + i * 1_234_567, chance.randbytes(chance.randrange(14, 200)), wire=1514)
        for i in range(500)
    ]
    plain = wrote(tmp_path, pcap(packets))
    path = tmp_path / kind
    subprocess.run(["editcap", "-F", kind, str(plain), str(path)], check=True)
    frames, fault, _, _ = read(path)
    told = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-T", "fields"]
        + [word for name in ("time_epoch", "cap_len", "len") for word in ("-e", f"frame.{name}")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert fault is None
    ours = [
        f"{f.stamp_ns // SECOND}.{f.stamp_ns % SECOND:09}\t{len(f.data)}\t{f.wire_length}" for f in frames
    ]
    assert ours == told


@needs_tshark
def test_a_capture_by_dumpcap_says_its_drops(tmp_path: Path) -> None:
    """A real file by a real writer: loopback traffic of our own, in a namespace of our own."""
    if os.geteuid():
        pytest.skip("needs root to capture")
    path = tmp_path / "real.pcapng"
    script = f"""
ip link set lo up
dumpcap -q -i lo -w {path} -a packets:40 2>/dev/null &
sleep 1
python3 -c "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(60):
    s.sendto(bytes(172), ('127.0.0.1', 9)); time.sleep(0.01)
"
wait
"""
    made = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    if not path.exists() or not path.stat().st_size:
        pytest.skip(f"dumpcap could not capture here: {made.stderr.strip()}")
    frames, fault, source, _ = read(path)
    counted = subprocess.run(["capinfos", "-c", "-M", "-T", "-r", str(path)], capture_output=True, text=True)
    assert fault is None
    assert len(frames) == int(counted.stdout.split("\t")[1])
    assert source.drops == 0


def test_strides_are_those_written_out_in_the_walk() -> None:
    assert (walk.INTERFACE_STRIDE, walk.LOSS_STRIDE) == (7, 3)
