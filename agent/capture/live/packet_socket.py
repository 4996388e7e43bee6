"""A packet socket read frame by frame, where no compiled code can read the ring."""

from __future__ import annotations

import socket
import struct
from array import array
from collections import Counter

from agent.capture.live import linux
from agent.capture.live.ring_cy import SLOTS
from agent.capture.source import FRAMES
from agent.wire.frame import HOST, LINK_ETHERNET, LINK_RAW, LOOPBACK, STRIDE, Batch, origin

_LOOPBACK_TYPE = 772  # ARPHRD_LOOPBACK
_ETHERNET_TYPES = (1, _LOOPBACK_TYPE)  # 1: ARPHRD_ETHER
_AUXILIARY = struct.Struct(
    "=IIIHHHH"
)  # status, length, captured, link header, network header, VLAN, its type


class PacketSocket:
    """See `agent.capture.live.afpacket.Reader`."""

    def __init__(self, sock: socket.socket, megabytes: int) -> None:
        self.newest_ns = 0
        self.bytes = 0
        self.fill = None  # the kernel does not say
        self._socket = sock
        self._slots: dict[str, int] = {}
        self._frames: Counter[str] = Counter()
        sock.setblocking(False)
        size = min(megabytes << 20, 1 << 30)
        try:
            sock.setsockopt(socket.SOL_SOCKET, linux.SO_RCVBUFFORCE, size)
        except PermissionError:  # the process has no CAP_NET_ADMIN: net.core.rmem_max is the limit
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        sock.setsockopt(socket.SOL_SOCKET, linux.SO_TIMESTAMPNS, 1)
        sock.setsockopt(linux.SOL_PACKET, linux.PACKET_AUXDATA, 1)

    def batch(self) -> Batch | None:
        data = bytearray()
        index: array[int] = array("q")
        self.newest_ns = 0
        while len(index) < FRAMES * STRIDE:
            try:
                frame, ancillary, _, address = self._socket.recvmsg(262144, 512)
            except OSError:  # no frame, or an interface went down: poll says which
                break
            stamp_ns, wire, vlan, network = self.newest_ns, len(frame), 0, 0
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == linux.SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("@ll", value[: struct.calcsize("@ll")])
                    stamp_ns = seconds * 1_000_000_000 + nanoseconds
                elif level == linux.SOL_PACKET and kind == linux.PACKET_AUXDATA:
                    status, wire, _, link_at, network_at, tag, _ = _AUXILIARY.unpack(value[: _AUXILIARY.size])
                    vlan = tag & 0xFFF if status & linux.TP_STATUS_VLAN_VALID else 0
                    network = max(0, network_at - link_at)
            name, _, packet_type, hardware, _ = address
            if hardware in _ETHERNET_TYPES:
                link, network = LINK_ETHERNET, 0
                if hardware == _LOOPBACK_TYPE and packet_type == HOST:
                    packet_type = LOOPBACK
            else:
                link = LINK_RAW  # see ring_cy: IP from the network header on
            slot = min(self._slots.setdefault(name, len(self._slots)), SLOTS - 1)
            index.extend(
                (
                    len(data),
                    max(0, len(frame) - network),
                    max(0, wire - network, len(frame) - network),
                    stamp_ns,
                    origin(link, slot << 12 | vlan, packet_type),
                )
            )
            self._frames[name] += 1
            data += frame[network:]
            self.newest_ns = max(self.newest_ns, stamp_ns)
        if not index:
            return None
        self.bytes += len(data)
        return Batch(bytes(data), index)

    def frames_by_interface(self) -> dict[str, int]:
        return dict(self._frames)

    def renumber(self, old: int, new: int) -> None:
        pass  # slots go by name here

    def close(self) -> None:
        pass
