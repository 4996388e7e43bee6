# cython: language_level=3
"""Finds a stream by its id, or by its sockets and SSRC.

There are as many as in the loop, so each byte counts. Compiled, a stream's numbers and flags lie in the
object itself (call_cy.pxd): 112 bytes instead of some 250. A socket has mostly two streams, one each way. The
only stream of a socket stands for the socket; a few are a tuple, which both sockets of a pair share; many
have tables of their own. Ids index a list, and equal sockets are one object.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import cython

from agent.model.call_cy import Stream

if TYPE_CHECKING:
    from typing import TypeAlias

    from agent.model.sides import Socket

    Users: TypeAlias = "Stream | tuple[Stream, ...] | ManyStreams"

MANY = 32  # users of a socket, from there on nobody asks which of its streams take turns
FEW = 4  # the wire decides how many there are, and to look through a tuple, or to copy it, takes time


class ManyStreams:
    """The many streams of one socket: all of them, and those it sends by their SSRC."""

    def __init__(self, socket: Socket, users: Collection[Stream]) -> None:
        self.users: set[Stream] = set()
        self.sent: dict[int, list[Stream]] = {}
        for stream in users:
            self.add(socket, stream)

    def add(self, socket: Socket, stream: Stream) -> None:
        if stream in self.users:  # it sends to itself
            return
        self.users.add(stream)
        if stream.src == socket:
            self.sent.setdefault(stream.ssrc, []).append(stream)

    def discard(self, socket: Socket, stream: Stream) -> None:
        self.users.discard(stream)
        if stream.src == socket:
            same = self.sent[stream.ssrc]
            same.remove(stream)
            if not same:
                del self.sent[stream.ssrc]


class StreamIndex:
    """Every stream alive, in no order."""

    def __init__(self) -> None:
        self.by_id: list[Stream | None] = []  # ids are rows of the loop's table: dense, and used again
        self._count = 0
        self._by_socket: dict[Socket, Users] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Stream]:
        return (stream for stream in self.by_id if stream is not None)

    def get(self, stream_id: cython.longlong) -> Stream | None:
        return self.by_id[stream_id] if 0 <= stream_id < len(self.by_id) else None

    def leaving(self, source: Socket, ssrc: cython.uint) -> list[Stream]:
        """The streams that `source` sends with `ssrc`, oldest first."""
        users = self._by_socket.get(source, ())
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            return many.sent.get(ssrc, [])
        stream: Stream
        sent = []
        for stream in _few(users):
            if stream.ssrc == ssrc and stream.src == source:
                sent.append(stream)
        return sent

    def at(self, socket: Socket) -> tuple[Stream, ...]:
        """The streams that come from `socket` or go to it."""
        users = self._by_socket.get(socket)
        if users is None:
            return ()
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            return tuple(many.users)
        return _few(users)

    def count(self, socket: Socket) -> cython.Py_ssize_t:
        """The number of streams that come from `socket` or go to it."""
        users = self._by_socket.get(socket)
        if users is None:
            return 0
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            return len(many.users)
        return len(_few(users))

    def sent_by(self, socket: Socket) -> list[Stream]:
        """The streams that `socket` sends. The cost does not depend on the streams that come to it."""
        users = self._by_socket.get(socket, ())
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            return [stream for same in many.sent.values() for stream in same]
        return [stream for stream in _few(users) if stream.src == socket]

    def few_at(self, socket: Socket) -> tuple[Stream, ...]:
        """`at` where a few use the socket; none where many do."""
        users = self._by_socket.get(socket, ())
        return () if isinstance(users, ManyStreams) else _few(users)

    def between(self, src: Socket, dst: Socket) -> list[Stream]:
        """The streams from `src` to `dst`; none where more than `MANY` use each of both sockets."""
        socket = src if self.count(src) <= self.count(dst) else dst
        if self.count(socket) > MANY:
            return []
        return [stream for stream in self.at(socket) if stream.src == src and stream.dst == dst]

    def line(self, src: Socket, dst: Socket) -> list[int]:
        """Ids of the streams from `src` to `dst`, where a few use the sockets; none where many do."""
        users = self._by_socket.get(src)
        if users is None or isinstance(users, Stream):
            return [] if users is None or users.dst != dst else [users.id]
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            if len(many.users) > MANY:
                return []
            return sorted([stream.id for stream in many.users if stream.src == src and stream.dst == dst])
        return [stream.id for stream in _few(users) if stream.src == src and stream.dst == dst]

    def add(self, stream: Stream) -> None:
        """Adds a stream whose id is free."""
        if stream.id >= len(self.by_id):
            self.by_id += [None] * (stream.id + 1 - len(self.by_id))
        self.by_id[stream.id] = stream
        self._count += 1
        stream.src, src = self._join(stream.src, stream)
        stream.dst, dst = self._join(stream.dst, stream)
        if src is not dst and src == dst:
            self._by_socket[stream.dst] = src

    def pop(self, stream_id: cython.longlong) -> Stream | None:
        """Removes a stream."""
        stream = self.get(stream_id)
        if stream is None:
            return None
        self.by_id[stream_id] = None
        self._count -= 1
        self._part(stream.src, stream)
        if stream.dst != stream.src:
            self._part(stream.dst, stream)
        return stream

    def _join(self, socket: Socket, stream: Stream) -> tuple[Socket, Users]:
        """Adds `stream` to the users of `socket`.

        Returns the object that stands for the socket, and all of them.
        """
        one: Stream
        users = self._by_socket.get(socket)
        if users is None:
            self._by_socket[socket] = stream
            return socket, stream
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            one = next(iter(many.users))
            many.add(socket, stream)
        else:
            few = _few(users)
            one = few[0]
            if stream not in few:
                users = ManyStreams(socket, (*few, stream)) if len(few) == FEW else (*few, stream)
                self._by_socket[socket] = users
        return (one.src if one.src == socket else one.dst), users

    def _part(self, socket: Socket, stream: Stream) -> None:
        users = self._by_socket[socket]
        if isinstance(users, ManyStreams):
            many: ManyStreams = users
            many.discard(socket, stream)
            if not many.users:
                del self._by_socket[socket]
            return
        left = tuple([each for each in _few(users) if each is not stream])
        if left:
            self._by_socket[socket] = left
        else:
            del self._by_socket[socket]


class IdQueue:
    """Ids of streams in the order in which they came: a linked list in two arrays, for a dictionary would
    take 56 bytes an id more.
    """

    def __init__(self) -> None:
        # An id has the place behind its own number; place 0 is before the first and behind the last.
        self._next, self._before = array("i", [0]), array("i", [0])
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, stream_id: int) -> bool:
        return stream_id + 1 < len(self._next) and self._next[stream_id + 1] >= 0

    def first(self) -> int:
        """The oldest id, -1 where there is none."""
        return self._next[0] - 1

    def add(self, stream_id: cython.int) -> None:
        """Adds an id behind all others; one that is there keeps its place."""
        at: cython.int = stream_id + 1
        last: cython.int = self._before[0]
        if stream_id in self:
            return
        if at >= len(self._next):
            absent = array("i", [-1]) * (at + 1 - len(self._next))
            self._next += absent
            self._before += absent
        self._next[last] = self._before[0] = at
        self._next[at], self._before[at] = 0, last
        self._count += 1

    def discard(self, stream_id: cython.int) -> None:
        """Removes an id if it is there."""
        at: cython.int = stream_id + 1
        if stream_id not in self:
            return
        self._next[self._before[at]], self._before[self._next[at]] = self._next[at], self._before[at]
        self._next[at] = self._before[at] = -1
        self._count -= 1


def _few(users: Stream | tuple[Stream, ...]) -> tuple[Stream, ...]:
    return (users,) if isinstance(users, Stream) else users
