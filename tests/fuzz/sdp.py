"""Any bytes are a session description or a WireError, and nothing else.

A description names a bounded number of sockets, with ports and payload types in their ranges.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["agent.wire"]):
    from agent.wire import sdp

from agent.errors import WireError


def check(data: bytes) -> None:
    try:
        session = sdp.parse(data)
    except WireError:
        return
    assert len(session.media) <= sdp.MEDIA_MAX
    for media in session.media:
        assert 0 <= media.port <= 65535
        assert 0 <= media.rtcp_port <= 65535
        assert bool(media.port) == bool(media.rtcp_port)
        assert media.direction in sdp.DIRECTIONS
        assert len(media.sockets) <= sdp.SOCKETS_MAX
        assert all(0 < port <= 65535 for _, port in media.sockets)
        assert all(0 <= payload_type <= 127 for payload_type in (*media.payload_types, *media.rtpmap))
        assert all(rate > 0 and channels > 0 for _, rate, channels in media.rtpmap.values())
        assert (media.is_rtp, media.encrypted, media.held) is not None
    assert sum(len(media.candidates) for media in session.media) <= sdp.CANDIDATES_MAX
    assert sum(len(media.ssrcs) for media in session.media) <= sdp.SSRCS_MAX


if __name__ == "__main__":
    from tests.fuzz.run import run

    run("sdp", check)
