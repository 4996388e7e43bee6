"""A ring block written by hand as linux/if_packet.h lays it out; the real one: `tests.kit.live_capture`."""

from __future__ import annotations

import shutil
import struct
import subprocess
from array import array
from pathlib import Path

import pytest

from agent.capture.live import ring_cy
from agent.wire.frame import HOST, LINK_ETHERNET, LINK_RAW, OUTGOING, Batch, origin

SECOND = 1_000_000_000


def packet(
    data: bytes,
    stamp_ns: int,
    *,
    ifindex: int = 3,
    hardware: int = 1,
    kind: int = HOST,
    vlan: int | None = None,
    network: int = 14,
    wire: int = 0,
    last: bool = False,
) -> bytes:
    mac = 82
    room = mac + len(data)
    room += -room % 16
    header = struct.pack(
        "=IIIIIIHHIIHH8x",
        0 if last else room,
        stamp_ns // SECOND,
        stamp_ns % SECOND,
        len(data),
        wire or len(data),
        1 | (16 if vlan is not None else 0),
        mac,
        mac + network,
        0,
        vlan or 0,
        0,
        0,
    )
    header += struct.pack("=HHiHBB8x", 17, 8, ifindex, hardware, kind, 6)
    return (header.ljust(mac, b"\0") + data).ljust(room, b"\0")


def walk(packets: list[bytes], block: int = 4096) -> tuple[Batch, array[int]]:
    head = struct.pack("=IIIIIIQIIII", 1, 0, 1, len(packets), 48, 0, 1, 0, 0, 0, 0)
    ring = memoryview(bytearray(bytes(block) + head + b"".join(packets) + bytes(4096 - len(head) % 4)))
    ring = ring[: len(ring) // 4 * 4]
    words, halves = ring.cast("I"), ring.cast("H")
    index: array[int] = array("q", bytes(8 * 5 * 64))
    slots: array[int] = array("q", bytes(8 * ring_cy.SLOTS))
    registers: array[int] = array("q", bytes(8 * ring_cy.REGISTERS))
    assert ring_cy.is_ours(words, block)
    count = ring_cy.walk_block(words, halves, ring, block, slots, index, registers)
    ring_cy.give_back(words, block)
    assert not ring_cy.is_ours(words, block)
    return Batch(ring, index[: count * 5]), registers


def test_each_frame_of_a_block_has_its_row() -> None:
    batch, registers = walk(
        [
            packet(b"first", 7 * SECOND + 999_999_999, ifindex=3, wire=1500),
            packet(b"second", 8 * SECOND, ifindex=9, kind=OUTGOING, vlan=0x6064),
            packet(b"third!", 8 * SECOND, ifindex=3, last=True),
        ]
    )
    frames = list(batch.frames())
    assert [each.data for each in frames] == [b"first", b"second", b"third!"]
    assert [each.stamp_ns for each in frames] == [7 * SECOND + 999_999_999, 8 * SECOND, 8 * SECOND]
    assert [each.wire_length for each in frames] == [1500, 6, 6]
    assert [each.origin for each in frames] == [
        origin(LINK_ETHERNET, 0, HOST),
        origin(LINK_ETHERNET, 1 << 12 | 0x64, OUTGOING),
        origin(LINK_ETHERNET, 0, HOST),
    ]
    assert list(registers)[:5] == [8 * SECOND, 17, 0, 2, 1]  # then the frames of each slot


def test_a_link_without_ethernet_begins_at_its_network_header() -> None:
    batch, _ = walk(
        [
            packet(b"\x45raw", SECOND, hardware=0xFFFE, network=0),
            packet(b"\0\x21\x45ppp", SECOND, hardware=512, network=2),
            packet(b"ab", SECOND, hardware=512, network=14, last=True),
        ]
    )
    frames = list(batch.frames())
    assert [each.data for each in frames] == [b"\x45raw", b"\x45ppp", b""]
    assert {each.origin >> 32 for each in frames} == {LINK_RAW}


def test_disorder_in_a_block_is_noticed() -> None:
    _, registers = walk([packet(b"late", 2 * SECOND), packet(b"early", SECOND, last=True)])
    assert registers[ring_cy.DISORDER] == 1
    assert registers[ring_cy.NEWEST] == 2 * SECOND


def test_more_interfaces_than_slots_share_the_last() -> None:
    batch, _ = walk([packet(b"x", SECOND, ifindex=number + 1, last=number == 19) for number in range(20)])
    assert [each.origin >> 12 & 15 for each in batch.frames()] == [min(number, 15) for number in range(20)]


def test_blocks_are_handed_over_in_order_on_arm64_too(tmp_path: Path) -> None:
    """x86 orders these accesses by itself; there it takes the instructions that acquire and release."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("no aarch64-linux-gnu-gcc: install gcc-aarch64-linux-gnu")
    declarations = (Path(ring_cy.__file__).parent / "ring_cy.pxd").read_text().split('"""')[1]
    source = tmp_path / "ring.c"
    source.write_text(
        f"{declarations}\n"
        "uint32_t taken(const uint32_t *at) { return sbcwatch_load_acquire(at); }\n"
        "void given(uint32_t *at) { sbcwatch_store_release(at, 0); }\n"
    )
    code = subprocess.run(
        [compiler, "-O3", "-ffreestanding", "-S", "-o", "-", source],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    taken, given = code.split("given:")
    assert "ldar\t" in taken
    assert "stlr\t" in given
