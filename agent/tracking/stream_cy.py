# cython: language_level=3
"""One stream as the rest of tracking knows it; there are as many as in the loop, so each byte counts.

Compiled, numbers and flags lie in the object itself (stream_cy.pxd): 128 bytes instead of some 250.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.tracking.codecs import STATIC_TYPES
from agent.tracking.report import Away

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if TYPE_CHECKING:
    from agent.tracking.dialog_cy import Leg
    from agent.tracking.sides import Socket

_NO_CODECS: dict[int, str] = {}  # of every stream that no SDP has explained


class Stream:
    """One stream. `towards` the vc, away from it (False), or nobody knows (None)."""

    def __init__(self, id: int, src: Socket, dst: Socket, ssrc: int, first_ns: int) -> None:
        self.id = id
        self.src = src
        self.dst = dst
        self.ssrc = ssrc
        self.first_ns = first_ns
        self.leg: Leg | None = None
        self.towards: bool | None = None
        self.arriving: bool | None = None  # measured here; what leaves is the far end's to report
        self.clean = False  # its second packet followed its first (RFC 3550 A.1 probation dropped nothing)
        self.attached = False  # it has belonged to a leg
        self.first = False  # its first packet is the first of its SSRC that leaves on its leg
        self.audio = True
        self.named = True  # it comes from an address that its sender's SDP names
        self.codecs: dict[int, str] = _NO_CODECS  # payload type: encoding name
        self.heard: Away | None = None  # what the far end said of it, if it did: of most it never does

    @property
    def away(self) -> Away:
        if self.heard is None:
            self.heard = Away()
        return self.heard

    @away.setter
    def away(self, away: Away) -> None:
        self.heard = away

    def codec_name(self, payload_type: cython.int) -> str:
        name = self.codecs.get(payload_type)
        if name is None:
            static = STATIC_TYPES.get(payload_type)
            name = static.name if static else ""
        return name
