"""Constants and calls of the kernel's packet sockets (linux/if_packet.h, linux/filter.h, packet(7))."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

ETH_P_ALL = 3

SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_VERSION = 10
PACKET_FANOUT = 18
TPACKET_V3 = 2
PACKET_MR_PROMISC = 1
PACKET_FANOUT_HASH = 0
PACKET_FANOUT_FLAG_UNIQUEID = 0x2000

SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35  # SO_TIMESTAMPNS_OLD: two longs

# Descriptors from this number on are never written to: the daemon's filter of system calls recognises a
# packet socket by its number alone. All other descriptors, whose number is bounded by the connections, are
# below.
SEALED = 500

TP_STATUS_VLAN_VALID = 1 << 4

SIOCGIFFLAGS = 0x8913
IFF_UP = 1
IFF_RUNNING = 1 << 6  # it has a carrier

Instruction = tuple[int, int, int, int]  # classic BPF: code, jt, jf, k

_libc = ctypes.CDLL(None, use_errno=True)


def sealed(sock: socket.socket) -> socket.socket:
    """The same socket at a descriptor from `SEALED` on; unchanged where the process may not have so many."""
    try:
        number = fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, SEALED)
    except OSError:
        return sock
    raised = socket.socket(fileno=number)
    sock.close()
    return raised


def attach_filter(sock: socket.socket, program: list[Instruction]) -> None:
    """Attach a classic BPF program; it replaces the one before in one step."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code)
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(held))
    )


def bind(sock: socket.socket, ifindex: int) -> None:
    """Begin to receive every protocol on one interface (0: on all, which `socket.bind` cannot say)."""
    address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(ETH_P_ALL), ifindex, 0, 0, 0)
    if _libc.bind(sock.fileno(), address, len(address)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def fan_out(sock: socket.socket, group: int | None) -> int:
    """Joins the bound sockets of `group` (None: a new one; returns its number): each flow goes to one.

    Both ways of a flow hash alike. Fragments hash by their addresses alone, so those of a datagram meet. The
    kernel's own defragmentation would take one datagram seen on two interfaces for one.
    """
    mode = PACKET_FANOUT_HASH | (PACKET_FANOUT_FLAG_UNIQUEID if group is None else 0)
    sock.setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("=I", mode << 16 | (group or 0)))
    return int(struct.unpack("=I", sock.getsockopt(SOL_PACKET, PACKET_FANOUT, 4))[0]) & 0xFFFF


def promiscuous(sock: socket.socket, ifindex: int) -> None:
    request = struct.pack("=iHH8x", ifindex, PACKET_MR_PROMISC, 0)
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)


def dropped(sock: socket.socket) -> int:
    """Frames without room since the last call: reading the kernel's counter resets it."""
    # One call fits the ring (three counters) and the plain socket (two).
    return int(struct.unpack_from("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))[1])


def name_of(ifindex: int) -> str:
    """The name of an interface; of a removed one, its number."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return f"if{ifindex}"


def is_up(sock: socket.socket, interface: str) -> bool:
    """Whether the interface exists, is up and has a carrier. Otherwise no frame comes."""
    request = struct.pack("16sH14x", interface.encode(), 0)
    try:
        answer = fcntl.ioctl(sock, SIOCGIFFLAGS, request)
    except OSError:
        return False
    flags: int = struct.unpack_from("16xH", answer)[0]
    return bool(flags & IFF_UP and flags & IFF_RUNNING)
