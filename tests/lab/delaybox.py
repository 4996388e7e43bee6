"""A delay box: forwards every frame between two interfaces, late. Run as a program in its own namespace.

    python delaybox.py IF_A IF_B --delay-ms 40 --jitter-ms 10 [--reorder] [--duplicate 0.01] [--seed 1]

The kernels this runs on may have no netem. The random sequence depends on the seed alone.
"""

from __future__ import annotations

import argparse
import heapq
import random
import selectors
import socket
import time

_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23  # else each socket would read back what it has just sent, for ever
_ETH_P_ALL = 3
_UDP = 17


def is_udp(frame: bytes) -> bool:
    """ARP and neighbour discovery pass untouched: only they tell the two sides where the other is."""
    if frame[12:14] == b"\x08\x00":
        return frame[23] == _UDP
    return frame[12:14] == b"\x86\xdd" and frame[20] == _UDP


def is_media(frame: bytes) -> bool:
    """RTP: version 2 behind the UDP header, and no RTCP packet type."""
    payload = frame[14 + (20 if frame[12:14] == b"\x08\x00" else 40) + 8 :]
    return len(payload) >= 12 and payload[0] >> 6 == 2 and not 192 <= payload[1] <= 223


class Line:
    """Frames on their way to one interface, ordered by when they are due (seconds, monotonic)."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self._options = options
        self._random = random.Random(seed)
        self._heap: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._last = 0.0

    def put(self, frame: bytes, now: float) -> None:
        due = now
        copies = 1
        if is_udp(frame):
            due += (self._options.delay_ms + self._random.uniform(0, self._options.jitter_ms)) / 1000
            if not self._options.reorder:
                due = self._last = max(due, self._last)
            if is_media(frame) and self._random.random() < self._options.duplicate:
                copies = 2
        for copy in range(copies):
            self._count += 1
            heapq.heappush(self._heap, (due + copy * 0.001, self._count, frame))

    def due(self, now: float) -> list[bytes]:
        ready = []
        while self._heap and self._heap[0][0] <= now:
            ready.append(heapq.heappop(self._heap)[2])
        return ready

    def next_due(self) -> float | None:
        return self._heap[0][0] if self._heap else None


def _open(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.bind((interface, 0))
    opened.setblocking(False)
    return opened


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("interfaces", nargs=2)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--reorder", action="store_true")
    parser.add_argument("--duplicate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sockets = [_open(name) for name in options.interfaces]
    lines = [
        Line(options, options.seed),
        Line(options, options.seed + 1),
    ]  # towards socket 0, towards socket 1
    selector = selectors.DefaultSelector()
    for index, each in enumerate(sockets):
        selector.register(each, selectors.EVENT_READ, 1 - index)
    print("forwarding", flush=True)
    while True:
        waiting = [due for line in lines if (due := line.next_due()) is not None]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        for key, _ in selector.select(timeout):
            source = key.fileobj
            assert isinstance(source, socket.socket)
            try:
                while True:
                    lines[key.data].put(source.recv(65535), time.monotonic())
            except BlockingIOError:
                pass
        now = time.monotonic()
        for target, line in zip(sockets, lines, strict=True):
            for frame in line.due(now):
                target.send(frame)


if __name__ == "__main__":
    main()
