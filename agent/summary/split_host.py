"""A host that sees one part of its calls: a proxy whose relay is elsewhere, a relay without its proxy, or a
capture of one direction alone (half of a mirror port).

A host that has never seen the other part cannot tell "none" from "elsewhere": its zeros are unknown, in idle
minutes too. A host that sees both knows its zeros, but for the minutes of a call whose SIP passed unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from agent.model.call_cy import Call
from agent.model.events import Unseen
from agent.model.names import UNSIGNALLED
from agent.model.sides import Connector
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.summary.catalog import HIDES
from agent.summary.media_elsewhere import agreed_on_audio
from agent.summary.open_minute import OpenMinute

# Calls of these minutes, the first that were watched, began before anybody watched.
MIDWAY_NS = 2 * MINUTE_NS
TOWARDS, AWAY = ("cust2vc", "rem2vc"), ("vc2cust", "vc2rem")


class SplitHost(Struct):
    """The traffic seen since the start of watching."""

    begun_ns: int = 0  # the first minute
    has_signalling: bool = False  # the vc sent a SIP message
    has_media: bool = False  # RTP of a call passed
    unsignalled: bool = False  # RTP passed that no SIP explains, and not a stranger's alone
    unheard: bool = False  # a call was answered, and its media is not seen here
    took: bool = False  # a SIP message came to the vc
    replied: bool = False  # the vc sent a response, so that a request must have come
    media_came: bool = False
    media_left: bool = False
    answer_unseen: bool = False  # a caller acknowledged an answer that was not seen

    def lacks_signalling(self, *, unsignalled: bool = False) -> bool:
        """Whether SIP passes elsewhere. `unsignalled`: there is such RTP in the open minute."""
        return (self.unsignalled or unsignalled) and not self.has_signalling

    def lacks_media(self) -> bool:
        """Whether the media of calls passes elsewhere."""
        return self.unheard and not self.has_media

    def note_message(self, status: int, *, from_vc: bool) -> None:
        """A SIP message passed; `status` 0: a request."""
        self.has_signalling |= from_vc
        self.replied |= from_vc and status > 0
        self.took |= not from_vc

    def blind(self) -> tuple[str, ...]:
        """The media directions that the capture has never shown though traffic of the other proves them."""
        if self.took and not self.has_signalling and not self.media_left:
            return AWAY if self.media_came or self.answer_unseen else ()
        return TOWARDS if self.replied and not self.took and not self.media_came else ()

    def elsewhere(self, *, unsignalled: bool) -> frozenset[Sight]:
        """The parts that pass elsewhere, while a minute is open."""
        lacks_sip = self.lacks_signalling(unsignalled=unsignalled) or self.blind()
        sip = HIDES[Sight.SIP] if lacks_sip else frozenset()
        return sip | HIDES[Sight.MEDIA] if self.lacks_media() else sip

    def close(
        self, minute: OpenMinute, start_ns: int, packets: Mapping[str, int], *, elsewhere: bool
    ) -> Iterator[Unseen]:
        """The unknown parts of the minute that starts at `start_ns`.

        `packets`: RTP of calls by direction; `elsewhere`: that of an answered call did not pass.
        """
        self.begun_ns = self.begun_ns or start_ns
        self.media_came |= any(packets.get(direction) for direction in TOWARDS)
        self.media_left |= any(packets.get(direction) for direction in AWAY)
        self.has_media |= any(packets.values())
        self.answer_unseen |= any("answer_unseen" in call.flags for call in (*minute.begun, *minute.ended))
        self.unheard |= elsewhere
        unsignalled = [call for call in minute.calls if call.flags and UNSIGNALLED in call.flags]
        self.unsignalled |= bool(unsignalled) or any(call.claim is not None for call in minute.calls)
        if not self.has_media and (self.unheard or any(map(_is_silent, minute.begun))):
            yield _of(start_ns, Sight.MEDIA, Cause.MEDIA_ELSEWHERE, None)
        for direction in self.blind():
            yield _of(start_ns, Sight.MEDIA, Cause.ONE_DIRECTION, None, direction)
        if self.blind():
            yield _of(start_ns, Sight.SIP, Cause.ONE_DIRECTION, None)
        if self.lacks_signalling():
            yield _of(start_ns, Sight.SIP, Cause.SIGNALLING_ELSEWHERE, None)
            return
        newer_ns = self.begun_ns + MIDWAY_NS
        for connector in {call.lead.connector for call in unsignalled if call.lead.invite_ns >= newer_ns}:
            yield _of(start_ns, Sight.SIP, Cause.SIGNALLING_ELSEWHERE, connector)


def _is_silent(call: Call) -> bool:
    return call.answer_ns is not None and not call.last_rtp_ns and agreed_on_audio(call)


def _of(
    start_ns: int, sight: Sight, cause: Cause, connector: Connector | None, direction: str = ""
) -> Unseen:
    return Unseen(start_ns, start_ns + MINUTE_NS, sight, cause, 1, connector, direction)
