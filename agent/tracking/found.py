"""Streams found by their id, by source and SSRC, and by either socket.

A host has tens of thousands of streams, and a socket has mostly two of them: one each way. So few are held in
a tuple (72 bytes) and only many in a set (232 bytes), ids index a list, and equal sockets are one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.tracking.sides import Socket

if TYPE_CHECKING:
    from agent.tracking.stream import Stream

FEW = 4  # the wire decides how many there are, and to add to a tuple copies it
_Users = tuple["Stream", ...] | set["Stream"]


class Found:
    """Every stream alive, in no order."""

    def __init__(self) -> None:
        self._by_id: list[Stream | None] = []  # ids are rows of the loop's table: dense, and used again
        self._count = 0
        self._by_source: dict[tuple[Socket, int], Stream | list[Stream]] = {}
        self._by_socket: dict[Socket, _Users] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Stream]:
        return (stream for stream in self._by_id if stream is not None)

    def get(self, stream_id: int) -> Stream | None:
        return self._by_id[stream_id] if 0 <= stream_id < len(self._by_id) else None

    def leaving(self, source: Socket, ssrc: int) -> list[Stream]:
        """Those that `source` sends with `ssrc`, oldest first."""
        found = self._by_source.get((source, ssrc))
        return found if isinstance(found, list) else [found] if found is not None else []

    def at(self, socket: Socket) -> tuple[Stream, ...]:
        """Those that come from `socket` or go to it."""
        return tuple(self._by_socket.get(socket, ()))

    def add(self, stream: Stream) -> None:
        """Take up a stream whose id is free."""
        self._by_id += [None] * (stream.id + 1 - len(self._by_id))
        self._by_id[stream.id] = stream
        self._count += 1
        stream.src, stream.dst = self._join(stream.src, stream), self._join(stream.dst, stream)
        key = (stream.src, stream.ssrc)
        same = self._by_source.get(key)
        if same is None:
            self._by_source[key] = stream
        elif isinstance(same, list):
            same.append(stream)
        else:
            self._by_source[key] = [same, stream]

    def pop(self, stream_id: int) -> Stream | None:
        """Forget a stream."""
        stream = self.get(stream_id)
        if stream is None:
            return None
        self._by_id[stream_id] = None
        self._count -= 1
        key = (stream.src, stream.ssrc)
        same = self._by_source[key]
        if isinstance(same, list):
            same.remove(stream)
        if same is stream or not same:
            del self._by_source[key]
        for socket in (stream.src, stream.dst):
            self._part(socket, stream)
        return stream

    def _join(self, socket: Socket, stream: Stream) -> Socket:
        """Put `stream` to the users of `socket`; the object that stands for the socket."""
        users = self._by_socket.get(socket)
        if users is None:
            self._by_socket[socket] = (stream,)
            return socket
        other = next(iter(users))
        if isinstance(users, set):
            users.add(stream)
        elif stream not in users:  # else it sends to itself
            self._by_socket[socket] = {*users, stream} if len(users) == FEW else (*users, stream)
        return other.src if other.src == socket else other.dst

    def _part(self, socket: Socket, stream: Stream) -> None:
        users = self._by_socket.get(socket)
        if isinstance(users, set):
            users.discard(stream)
        elif users is not None:
            users = self._by_socket[socket] = tuple(each for each in users if each is not stream)
        if not users:
            self._by_socket.pop(socket, None)
