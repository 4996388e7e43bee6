"""RTP and RTCP through the B2BUA: a pair of sockets for each dialog, bridged to another's, or music."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import struct
import time

FIRST_PORT, LAST_PORT = 30_000, 39_998
PACKET_S, TICKS = 0.02, 160  # G.711
PCMA = 8
_REPORT_EVERY = 100  # packets
_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_ports = itertools.cycle(range(FIRST_PORT, LAST_PORT, 2))


class Media:
    """A dialog's two sockets at the vc. What reaches them goes on to `other`'s far end, if there is one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.port = 0
        self.peer: tuple[str, int] | None = None  # where the far end's SDP wants RTP; RTCP is one above
        self.other: Media | None = None
        self._music: asyncio.Task[None] | None = None
        self._source = Source()
        self._sockets: list[asyncio.DatagramTransport] = []

    async def open(self) -> None:
        self.port = next(_ports)
        loop = asyncio.get_running_loop()
        for kind in (0, 1):
            socket, _ = await loop.create_datagram_endpoint(
                lambda kind=kind: _Receiver(self, kind),  # type: ignore[misc]
                local_addr=(self.address, self.port + kind),
            )
            self._sockets.append(socket)

    def close(self) -> None:
        self.silence()
        for socket in self._sockets:
            socket.close()

    def offer(self, mode: str = "sendrecv") -> str:
        """An SDP of the vc's own."""
        return (
            f"v=0\r\no=vc {self.port} 1 IN IP4 {self.address}\r\ns=-\r\nc=IN IP4 {self.address}\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP {PCMA}\r\na=rtpmap:{PCMA} PCMA/8000\r\na=ptime:20\r\na={mode}\r\n"
        )

    def hear(self, sdp: str) -> None:
        """The far end's SDP."""
        address, port = re.search(r"^c=IN IP4 (\S+)", sdp, re.M), re.search(r"^m=audio (\d+)", sdp, re.M)
        if address and port:
            self.peer = (address[1], int(port[1]))

    def relay(self, kind: int, data: bytes) -> None:
        if self.other is not None:
            self.other.send(kind, data)

    def send(self, kind: int, data: bytes) -> None:
        if self.peer is not None:
            self._sockets[kind].sendto(data, (self.peer[0], self.peer[1] + kind))

    def play(self) -> None:
        """Music from the vc itself, from now on: always the same SSRC, its numbers without a gap."""
        self.other = None
        self._music = asyncio.get_running_loop().create_task(self._plays())

    def silence(self) -> None:
        if self._music is not None:
            self._music.cancel()
            self._music = None

    async def _plays(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(began + number * PACKET_S - time.monotonic())
            self.send(0, self._source.packet())
            if number % _REPORT_EVERY == _REPORT_EVERY - 1:
                self.send(1, self._source.report())


def bridge(one: Media, other: Media) -> None:
    for each in (one, other):
        each.silence()
    one.other, other.other = other, one


class Source:
    """An RTP source of its own: PCMA, 20 ms, and sender reports (RFC 3550 6.4.1) without blocks."""

    def __init__(self) -> None:
        self._ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(15)
        self._timestamp = random.getrandbits(31)
        self._sent = 0
        self._last = time.monotonic()

    def packet(self) -> bytes:
        """The next; after a pause its timestamp is as far on as the clock, and it bears the marker."""
        now = time.monotonic()
        paused = now - self._last > 10 * PACKET_S or not self._sent
        self._timestamp += max(TICKS, TICKS * round((now - self._last) / PACKET_S)) if paused else TICKS
        self._sequence, self._sent, self._last = self._sequence + 1, self._sent + 1, now
        marker = 0x80 if paused else 0
        stamp = self._timestamp & 0xFFFFFFFF
        head = struct.pack(">BBHII", 0x80, marker | PCMA, self._sequence & 0xFFFF, stamp, self._ssrc)
        return head + bytes([0xD5]) * TICKS

    def report(self) -> bytes:
        seconds, fraction = divmod(time.time() + _NTP_EPOCH, 1)
        times = (int(seconds), int(fraction * 2**32), self._timestamp & 0xFFFFFFFF)
        counts = (self._sent, self._sent * TICKS)
        name = struct.pack(">BBHIBB4sH", 0x81, 202, 3, self._ssrc, 1, 4, b"lab0", 0)
        return struct.pack(">BBHIIIIII", 0x80, 200, 6, self._ssrc, *times, *counts) + name


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, media: Media, kind: int) -> None:
        self._media = media
        self._kind = kind

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._media.relay(self._kind, data)
