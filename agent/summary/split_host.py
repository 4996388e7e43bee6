"""A host that sees one part of its calls: a proxy whose relay is elsewhere, or a relay without its proxy.

A host that has never seen the other part cannot tell "none" from "elsewhere": its zeros are unknown, in idle
minutes too. A host that sees both knows its zeros, but for the minutes of a call whose SIP passed unseen.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from agent.model.call_cy import UNSIGNALLED, Call
from agent.model.events import Unseen
from agent.model.sides import Connector
from agent.model.units import MINUTE_NS
from agent.model.unseen import Cause, Sight
from agent.summary.catalog import HIDES
from agent.summary.media_elsewhere import agreed_on_audio
from agent.summary.open_minute import OpenMinute

# Calls of these minutes, the first that were watched, began before anybody watched.
MIDWAY_NS = 2 * MINUTE_NS


class SplitHost(Struct):
    """The traffic seen since the start of watching."""

    begun_ns: int = 0  # the first minute
    has_signalling: bool = False  # the vc sent a SIP message
    has_media: bool = False  # RTP of a call passed
    unsignalled: bool = False  # RTP passed that no SIP explains, and not a stranger's alone
    unheard: bool = False  # a call was answered, and its media is not seen here

    def lacks_signalling(self, *, unsignalled: bool = False) -> bool:
        """Whether SIP passes elsewhere. `unsignalled`: there is such RTP in the open minute."""
        return (self.unsignalled or unsignalled) and not self.has_signalling

    def lacks_media(self) -> bool:
        """Whether the media of calls passes elsewhere."""
        return self.unheard and not self.has_media

    def elsewhere(self, *, unsignalled: bool) -> frozenset[Sight]:
        """The parts that pass elsewhere, while a minute is open."""
        sip = HIDES[Sight.SIP] if self.lacks_signalling(unsignalled=unsignalled) else frozenset()
        return sip | HIDES[Sight.MEDIA] if self.lacks_media() else sip

    def close(self, minute: OpenMinute, start_ns: int, *, any_rtp: bool, elsewhere: bool) -> Iterator[Unseen]:
        """The unknown parts of the minute that starts at `start_ns`.

        `any_rtp`: RTP of some call passed in it; `elsewhere`: that of an answered call did not.
        """
        self.begun_ns = self.begun_ns or start_ns
        self.has_media |= any_rtp
        self.unheard |= elsewhere
        unsignalled = [call for call in minute.calls if call.flags and UNSIGNALLED in call.flags]
        self.unsignalled |= bool(unsignalled) or any(call.claim is not None for call in minute.calls)
        if not self.has_media and (self.unheard or any(map(_is_silent, minute.begun))):
            yield _of(start_ns, Sight.MEDIA, Cause.MEDIA_ELSEWHERE, None)
        if self.lacks_signalling():
            yield _of(start_ns, Sight.SIP, Cause.SIGNALLING_ELSEWHERE, None)
            return
        newer_ns = self.begun_ns + MIDWAY_NS
        for connector in {call.lead.connector for call in unsignalled if call.lead.invite_ns >= newer_ns}:
            yield _of(start_ns, Sight.SIP, Cause.SIGNALLING_ELSEWHERE, connector)


def _is_silent(call: Call) -> bool:
    return call.answer_ns is not None and not call.last_rtp_ns and agreed_on_audio(call)


def _of(start_ns: int, sight: Sight, cause: Cause, connector: Connector | None) -> Unseen:
    return Unseen(start_ns, start_ns + MINUTE_NS, sight, cause, 1, connector)
