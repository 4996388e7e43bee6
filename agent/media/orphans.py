"""Streams that only the loop counts, because there is no time for them, or too many use one pair of sockets.

They have no object and no minute. Their sockets are kept, so that a later SDP finds them and their open
minute is not lost. Their number is bounded by the loop's streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from agent.model.sides import Socket


class Orphans:
    """Ids of the loop's streams by either socket."""

    def __init__(self) -> None:
        self.shed = 0  # how many were left alone so far
        self.sockets: dict[int, tuple[Socket, Socket]] = {}  # by id
        self._at: dict[Socket, set[int]] = {}

    def __len__(self) -> int:
        return len(self.sockets)

    def leave(self, stream_id: int, src: Socket, dst: Socket) -> None:
        self.shed += 1
        self.sockets[stream_id] = src, dst
        for socket in (src, dst):
            self._at.setdefault(socket, set()).add(stream_id)

    def take(self, sockets: Iterable[Socket], most: int | None = None) -> list[int]:
        """Takes out those that an SDP explains now, at most `most` of a socket."""
        if not self.sockets:
            return []
        found = sorted(
            {stream_id for socket in sockets for stream_id in islice(self._at.get(socket, ()), most)}
        )
        for stream_id in found:
            self.forget(stream_id)
        return found

    def forget(self, stream_id: int) -> None:
        """The loop has dropped the stream, or it was taken."""
        for socket in self.sockets.pop(stream_id, ()):
            users = self._at.get(socket)
            if users is not None:
                users.discard(stream_id)
                if not users:
                    del self._at[socket]
