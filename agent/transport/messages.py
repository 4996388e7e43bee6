"""Messages out of TCP and SCTP, and what cuts them out of a stream of bytes.

`Framing` is the contract of everything over TCP: its results do not depend on how the stream is cut into
pieces, and its cost is linear in bytes.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from agent.model.unseen import Cause

MESSAGE_MAX = 128 << 10  # bytes of a message that are held


class Found(Struct, frozen=True):
    """A message, or the beginning of an unreadable one.

    `cause` None: `data` is a message, or its headers and as much of its body as came. Else `data` is the
    beginning of a message whose headers were cut, b"" where not even that is known. `is_sip` False: nothing
    but its port can say whether it was SIP.
    """

    data: bytes
    cause: Cause | None = None
    is_sip: bool = True


class Framing(Protocol):
    """Cuts messages out of the bytes of one direction of a connection."""

    @property
    def steps(self) -> int:
        """Lines, frames and messages looked at so far: the part of the cost that does not go by bytes."""

    @property
    def held(self) -> int:
        """Bytes kept."""

    def feed(self, data: bytes) -> list[Found]:
        """Takes the next bytes. Returns the messages that they complete."""

    def gap(self, missing: int, cause: Cause) -> list[Found]:
        """Notes that `missing` bytes will not come; 0: an unknown number."""
