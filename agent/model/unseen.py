"""Causes for what was not seen or not understood, in one vocabulary."""

from __future__ import annotations

import enum


class Sight(enum.StrEnum):
    """The counts that such an interval leaves unknown."""

    SIP = "sip"  # calls and SIP codes
    SIP_CALLS = "sip_calls"  # calls only: the Status-Line was read, the rest not
    MEDIA = "media"  # packets, bytes, loss, jitter
    ALL = "all"


class Cause(enum.StrEnum):
    """Why frames were missed or not understood. Each value stands in `unknown_because` and is a label."""

    SNAP_LENGTH = "snap_length"  # cut by the capture before the part that counts
    TLS = "tls"  # inside TLS without keys
    FRAMING = "framing"  # a transport framing that no reader knows, or that lost its place
    IPSEC = "ipsec"  # inside ESP, which hides everything
    TURN = "turn"  # media inside TURN's channels
    FRAGMENTS = "fragments"  # siblings that never came
    ORPHAN_MEDIA = "orphan_media"  # RTP to or from the vc that belongs to no call
    MEDIA_ELSEWHERE = "media_elsewhere"  # answered calls of which no media passes this host
    SIGNALLING_ELSEWHERE = "signalling_elsewhere"  # media of calls whose SIP does not pass this host
    ONE_DIRECTION = "one_direction"  # only what comes to the vc was captured, or only what it sends
    CLAIMS_MISSED = "claims_missed"  # other hosts' claims never arrived: nobody knows whose some media is
    SEEN_TWICE = "seen_twice"  # another host sees the very same legs, and counts them
    CAPTURE_DROPS = "capture_drops"  # the ring or the capture's own buffer was full
    INTERFACE_DOWN = "interface_down"
    NOT_WATCHED = "not_watched"  # no process captured: a restart, a suspended host
    REFUSED = "refused"  # a table was full
    EVICTED = "evicted"  # a table was full and an older entry went
    SHED = "shed"  # the host could not follow, or a source was above its limit
    OVERSIZED = "oversized"  # a stream or message above its bound was dropped whole
