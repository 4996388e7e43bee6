"""What is kept of an SDP: all that was read of it, in few bytes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.uncompiled import constants
from agent.wire.sdp import Session, condensed, condensed_size, parse
from agent.wire.sip import Message

(IDENTIFIER_MAX,) = constants("agent.wire.sip.scan_cy", "IDENTIFIER_MAX")
HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
PLAIN = (
    HEAD + b"c=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
)
BROWSER = (
    HEAD + b"a=group:BUNDLE 0 1\r\na=fingerprint:sha-256 AA\r\n"
    b"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n"
    b"a=rtcp:9 IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\n"
    b"a=rtpmap:111 opus/48000/2\r\na=ssrc:7 cname:x\r\na=candidate:1 1 udp 9 192.0.2.7 5000 typ host\r\n"
    b"a=candidate:1 2 UDP 9 2001:DB8::1 5001 typ srflx raddr 1\r\n"
    b"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
)
OTHERS = (
    HEAD + b"a=sendonly\r\nm=audio 4000/2 RTP/AVP\r\nm=image 5000 udptl t38\r\nc=IN IP6 2001:db8::2\r\n"
    b"m=audio 0 RTP/AVP 0\r\nc=IN IP4 host.example\r\na=inactive\r\n"
    b"m=audio 4002 RTP/AVP 0\r\na=crypto:1 A inline:b\r\na=rtcp:4100\r\n"
)


def fields(session: Session) -> Any:
    names = [
        "kind", "port", "protocol", "is_rtp", "encrypted", "payload_types", "port_count", "rtpmap", "address",
        "direction", "rtcp_address", "rtcp_port", "rtcp_mux", "ssrcs", "candidates", "mid", "crypto", "held",
    ]  # fmt: skip
    medias = [[getattr(media, name) for name in names] for media in session.media]
    return session.connection, session.direction, session.crypto, session.bundles, medias


@pytest.mark.parametrize("text", [PLAIN, BROWSER, OTHERS])
def test_condensed_description_reads_the_same(text: bytes) -> None:
    session = parse(text)
    assert fields(parse(condensed(session))) == fields(session)


LONG = [
        b"m=audio 4000 RTP/AVP 0\r\n", b"m=" + b"a" * 900 + b" 4 RTP/AVP 0\r\n",
        b"a=mid:" + b"m" * 900 + b"\r\n", b"c=IN IP4 " + b"h" * 900 + b"\r\n",
        b"a=candidate:1 1 udp 9 192.0.2.7 5000 typ " + b"t" * 900 + b"\r\n",
        b"a=rtpmap:5 " + b"n" * 900 + b"/8000\r\n", b"a=fmtp:5 " + b"x" * 900 + b"\r\n", b"a=ssrc:%d a\r\n",
        b"a=group:BUNDLE " + b"b " * 450 + b"\r\n", b"m=audio 4 " + b"P" * 900 + b" 0\r\n",
]  # fmt: skip


@pytest.mark.parametrize("line", LONG)
def test_description_of_60_kb_keeps_a_few_kb(line: bytes) -> None:
    session = parse(PLAIN + line * (60_000 // len(line)))
    assert len(condensed(session)) < 9_000


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        BROWSER,
        OTHERS,
        *(PLAIN + line * 9 for line in LONG),
        PLAIN + b"a=ssrc:4294967295 a\r\n",
        b"v=0\r\n",
    ],
)
def test_size_is_known_before_it_is_condensed(text: bytes) -> None:
    session = parse(text)
    assert condensed_size(session) == len(condensed(session))


def message(call_id: str, tag: str, user: str) -> Message:
    return Message(
        f"INVITE sip:{user}@x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{tag}\r\n"
        f"From: <sip:{user}@x>;tag={tag}\r\nTo: <sip:{user}@y>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\r\n".encode()
    )


def test_identifiers_that_are_kept_are_bounded_and_stay_different() -> None:
    long = "x" * 50_000
    one, other = (message(long + end, long + end, long + end) for end in "ab")
    for name in ("call_id", "from_tag", "branch", "from_user", "to_user", "uri_user"):
        texts = [getattr(each, name) for each in (one, other)]
        assert [len(text) for text in texts] == [IDENTIFIER_MAX] * 2
        assert texts[0] != texts[1]


def test_identifiers_of_the_usual_length_stay_as_they_are() -> None:
    assert message("c" * IDENTIFIER_MAX, "t", "u").call_id == "c" * IDENTIFIER_MAX
