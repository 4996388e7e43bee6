"""SDP (RFC 8866) as a listener reads it. The reader is compiled, which halves its time."""

from agent.wire.sdp.session_cy import (
    CANDIDATES_MAX,
    DIRECTIONS,
    FORMATS_MAX,
    MEDIA_MAX,
    SOCKETS_MAX,
    SSRCS_MAX,
    Candidate,
    MediaDescription,
    Session,
    condensed,
    condensed_size,
    parse,
)

__all__ = [
    "CANDIDATES_MAX",
    "DIRECTIONS",
    "FORMATS_MAX",
    "MEDIA_MAX",
    "SOCKETS_MAX",
    "SSRCS_MAX",
    "Candidate",
    "MediaDescription",
    "Session",
    "condensed",
    "condensed_size",
    "parse",
]
