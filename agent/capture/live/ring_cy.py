# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type, no-any-return, name-defined"
"""TPACKET_V3: the owner of a block, and an index row for each frame in it (linux/if_packet.h).

The ring is read as 32-bit words, 16-bit halves and bytes: its fields are in the host's own byte order.
"""

from __future__ import annotations

import cython

if not cython.compiled:  # ring_cy.pxd has these for the compiler
    from agent.wire.frame import CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE

# Uncompiled Python cannot order memory accesses: the ring is then for tests only.
COMPILED = bool(cython.compiled)

SLOTS = 16  # interfaces told apart: 4 of the 16 bits of an interface number, the other 12 are the VLAN

# Registers, in an array('q'); the last ones count the frames of each slot.
NEWEST, BYTES, DISORDER, FRAMES = range(4)
REGISTERS = FRAMES + SLOTS


def is_ours(words: cython.uint[::1], block: cython.Py_ssize_t) -> bool:
    """Whether the kernel has handed over the block at byte `block`."""
    if cython.compiled:
        return load_acquire(cython.address(words[block // 4 + 2])) & 1 != 0  # noqa: F821
    return words[block // 4 + 2] & 1 != 0


def give_back(words: cython.uint[::1], block: cython.Py_ssize_t) -> None:
    """Lets the kernel write the block again."""
    if cython.compiled:
        store_release(cython.address(words[block // 4 + 2]), 0)  # noqa: F821
    else:
        words[block // 4 + 2] = 0


def walk_block(
    words: cython.const[cython.uint][::1],
    halves: cython.const[cython.ushort][::1],
    octets: cython.const[cython.uchar][::1],
    block: cython.Py_ssize_t,
    slots: cython.longlong[::1],
    index: cython.longlong[::1],
    registers: cython.longlong[::1],
) -> int:
    """Index the frames of a block into `index`; returns how many.

    `slots` holds the ifindex of each slot (0: free); an interface number is slot << 12 | VLAN id (0:
    untagged, or the tag is still in the frame).
    """
    count: cython.Py_ssize_t = words[block // 4 + 3]
    at: cython.Py_ssize_t = block + words[block // 4 + 4]
    row: cython.Py_ssize_t = 0
    newest: cython.longlong = registers[0]
    total: cython.longlong = registers[1]
    _frame: cython.Py_ssize_t
    word: cython.Py_ssize_t
    slot: cython.Py_ssize_t
    start: cython.longlong
    captured: cython.longlong
    wire: cython.longlong
    stamp: cython.longlong
    network: cython.longlong
    hardware: cython.longlong
    link: cython.longlong
    ifindex: cython.longlong
    vlan: cython.longlong
    packet_type: cython.longlong
    for _frame in range(count):
        word = at // 4
        stamp = words[word + 1]
        stamp = stamp * 1000000000 + words[word + 2]
        captured = words[word + 3]
        wire = words[word + 4]
        start = halves[at // 2 + 12]
        vlan = words[word + 8] & 0xFFF if words[word + 5] & 16 else 0  # TP_STATUS_VLAN_VALID
        # A sockaddr_ll follows the header's 48 bytes.
        ifindex = words[word + 13]
        hardware = halves[at // 2 + 28]
        packet_type = octets[at + 58]
        if hardware == 1 or hardware == 772:
            link = 1
            if hardware == 772 and packet_type == 0:
                packet_type = 5  # LOOPBACK
        else:
            # No Ethernet (tun, PPP, GRE): every such link carries IP, from the network header on.
            link = 101
            network = halves[at // 2 + 13]
            if network > start:
                captured -= network - start
                wire -= network - start
                start = network
                if captured < 0:
                    captured = 0
        slot = 0
        while slot < 15 and slots[slot] != ifindex and slots[slot] != 0:
            slot += 1
        if slots[slot] == 0:
            slots[slot] = ifindex
        registers[3 + slot] += 1
        if stamp < newest:
            registers[2] = 1
        else:
            newest = stamp
        index[row + OFFSET] = at + start
        index[row + CAPTURED] = captured
        index[row + WIRE] = wire if wire > captured else captured
        index[row + STAMP] = stamp
        index[row + ORIGIN] = link << 32 | packet_type << 16 | slot << 12 | vlan
        row += STRIDE
        total += captured
        at += words[word]
    registers[0] = newest
    registers[1] = total
    return count
