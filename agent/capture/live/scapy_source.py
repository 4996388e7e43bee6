"""Live capture where there is no AF_PACKET ring: any socket that scapy can listen on (BSD, macOS, Windows).

Slow (every frame is a Python object). Dropped frames are unknown (`drops` is None), and so is whether a frame
came or went. Stamps are as good as a float of seconds: a quarter of a microsecond.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from agent.capture.live import kernel_filter
from agent.capture.order_cy import sort_rows
from agent.capture.source import FRAMES
from agent.errors import CaptureError, how_to_add
from agent.wire import frame

_LINKS = {12: frame.LINK_RAW, 14: frame.LINK_RAW, 65534: frame.LINK_RAW, 772: frame.LINK_ETHERNET}


class ScapySource:
    """`Source` over interfaces ("any": all) by scapy's own listening sockets.

    `filter_expression` is tcpdump's language, "" for everything; `snap_length` (bytes) cuts frames.

    Raises:
        CaptureError: no scapy, no such interface, no permission, or a filter that does not compile.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        filter_expression: str = "",
        snap_length: int = kernel_filter.WHOLE,
        poll_ms: int = 200,
    ) -> None:
        self.frames = 0
        self.bytes = 0
        self.drops: int | None = None
        self._snap_length = snap_length
        self._poll_s = poll_ms / 1000
        self._sockets: list[Any] = []
        try:
            from scapy.config import conf
            from scapy.interfaces import get_if_list
            from scapy.layers import inet, inet6, l2  # noqa: F401  (they register the link types)
        except ImportError as error:
            raise CaptureError(f"scapy cannot be imported ({error}): {how_to_add('scapy')}") from None
        self._select = conf.L2listen.select
        self._numbers = conf.l2types.layer2num
        conf.ifaces.reload()  # scapy keeps what it saw when it was imported
        there = get_if_list()
        names = there if "any" in interfaces else list(dict.fromkeys(interfaces))
        for name in names:
            if name not in there:
                raise CaptureError(f"there is no interface {name}: name one of {', '.join(there)}, or any")
        try:
            for name in names:
                self._sockets.append(conf.L2listen(iface=name, filter=filter_expression or None))
        except PermissionError:
            self.close()
            raise CaptureError("capturing needs privileges: run as root or by the systemd unit") from None
        except Exception as error:  # scapy raises its own, OSError and ValueError, by platform
            self.close()
            raise CaptureError(f"scapy cannot capture on {', '.join(names)}: {error}") from None
        print(
            "sbcwatch: capturing through scapy: slow, and what the capture drops is not known",
            file=sys.stderr,
        )

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets = []

    def __iter__(self) -> Iterator[tuple[frame.Batch, int]]:
        while self._sockets:
            data = bytearray()
            index: array[int] = array("q")
            ready = self._select(self._sockets, self._poll_s)
            while ready and len(index) < FRAMES * frame.STRIDE:
                for sock in ready:
                    self._receive(sock, data, index)
                ready = self._select(self._sockets, 0)
            sort_rows(index)
            count = len(index) // frame.STRIDE
            self.frames += count
            self.bytes += len(data)
            now_ns = index[-frame.STRIDE + frame.STAMP] if count else time.time_ns()
            yield frame.Batch(bytes(data), index), now_ns

    def _receive(self, sock: Any, data: bytearray, index: array[int]) -> None:
        try:
            layer, packet, stamp = sock.recv_raw(kernel_filter.WHOLE)
        except OSError:  # an interface that went away: the others go on
            self._sockets.remove(sock)
            if not self._sockets:
                raise CaptureError("every interface went away: start again when they are back") from None
            return
        if packet is None:
            return
        stamp_ns = int(float(stamp) * 1e9) if stamp else time.time_ns()
        link = self._numbers.get(layer, frame.LINK_ETHERNET)
        captured = packet[: self._snap_length]
        number = self._sockets.index(sock)
        index.extend(
            (len(data), len(captured), len(packet), stamp_ns, frame.origin(_LINKS.get(link, link), number))
        )
        data += captured
