"""RTCP from sources without evidence, until it is known whose it is.

Music on hold comes from a server that no SDP names, and so do its reports. Its RTP is judged at the minute's
close and when the leg's media ends (`evidence`); its RTCP waits until then and goes the same way.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.model.call_cy import Leg
from agent.model.sides import Socket

MAX_WAITING = 4_096  # sources come from the wire: beyond so many their packets are an intruder's at once


class Waiting(NamedTuple):
    """The RTCP of one source in one minute. `ours`: the RTP socket that it belongs to."""

    leg: Leg
    ours: Socket
    host: str
    minute_ns: int
    packets: int
    size: int  # bytes


class RtcpOfStrangers:
    """Packets and bytes by leg, socket, source address and minute."""

    def __init__(self) -> None:
        self._counts: dict[Leg, dict[tuple[Socket, str, int], list[int]]] = {}
        self._size = 0

    def keep(self, leg: Leg, ours: Socket, host: str, minute_ns: int, length: int) -> bool:
        """Keeps a packet; False where there is no room."""
        key = ours, host, minute_ns
        counts = self._counts.get(leg, {}).get(key)
        if counts is None:
            if self._size >= MAX_WAITING:
                return False
            self._size += 1
            counts = self._counts.setdefault(leg, {})[key] = [0, 0]
        counts[0] += 1
        counts[1] += length
        return True

    def take(self, leg: Leg, until_ns: int | None = None) -> list[Waiting]:
        """Takes what waits on `leg`, up to the minute `until_ns`."""
        rows = self._counts.get(leg)
        if rows is None:
            return []
        due = [key for key in rows if until_ns is None or key[2] <= until_ns]
        found = [Waiting(leg, *key, *rows.pop(key)) for key in due]
        self._size -= len(found)
        if not rows:
            del self._counts[leg]
        return found

    def take_minute(self, minute_ns: int) -> list[Waiting]:
        """Takes what waits on any leg, up to that minute."""
        return [waiting for leg in tuple(self._counts) for waiting in self.take(leg, minute_ns)]

    def rows(self) -> list[Waiting]:
        """Everything that waits. Nothing is taken."""
        return [
            Waiting(leg, *key, *count) for leg, rows in self._counts.items() for key, count in rows.items()
        ]

    def restore(self, rows: list[Waiting]) -> None:
        """Goes on with what waited before."""
        for leg, ours, host, minute_ns, packets, size in rows:
            self._counts.setdefault(leg, {})[ours, host, minute_ns] = [packets, size]
        self._size += len(rows)

    def __len__(self) -> int:
        return self._size
