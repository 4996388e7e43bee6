"""SDP: the RFCs' own examples, what WebRTC and fax gateways send, and anything at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Reason, WireError
from agent.wire import sdp
from tests.kit.examples import examples

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "sdp"


def seed(name: str) -> sdp.Session:
    return sdp.parse((CORPUS / f"{name}.sdp").read_bytes())


def one(*lines: str, session: str = "c=IN IP4 192.0.2.1\r\n") -> sdp.MediaDescription:
    text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n" + session + "t=0 0\r\n" + "\r\n".join(lines) + "\r\n"
    return sdp.parse(text.encode()).media[0]


def test_rfc_8866_example_is_read():
    session = sdp.parse(
        b"v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\n"
        b"i=SDP Offer #1\r\nu=http://www.jdoe.example.com/home.html\r\ne=Jane Doe <jane@jdoe.example.com>\r\n"
        b"p=+1 617 555-6011\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n"
        b"m=audio 49180 RTP/AVP 0\r\nm=video 51372 RTP/AVP 99\r\nc=IN IP6 2001:db8::2\r\n"
        b"a=rtpmap:99 h263-1998/90000\r\n"
    )
    assert (session.connection, session.direction) == ("198.51.100.1", "sendrecv")
    assert [(media.kind, media.port, media.address) for media in session.media] == [
        ("audio", 49170, "198.51.100.1"),
        ("audio", 49180, "198.51.100.1"),
        ("video", 51372, "2001:db8::2"),
    ]
    assert session.media[2].rtpmap == {99: ("h263-1998", 90000, 1)}


def test_rtcp_defaults_to_the_next_port_of_the_media_address():
    media = one("m=audio 6000 RTP/AVP 8")
    assert (media.rtcp_address, media.rtcp_port, media.rtcp_mux) == ("192.0.2.1", 6001, False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=rtcp:53020", ("192.0.2.1", 53020)),
        ("a=rtcp:53020 IN IP4 126.16.64.4", ("126.16.64.4", 53020)),
        ("a=rtcp:53020 IN IP6 2001:0DB8:0:0:0:0:0:9", ("2001:db8::9", 53020)),
        ("a=rtcp:nonsense", ("192.0.2.1", 6001)),
    ],
)
def test_rtcp_attribute_of_rfc_3605_is_honoured(line, expected):
    media = one("m=audio 6000 RTP/AVP 8", line)
    assert (media.rtcp_address, media.rtcp_port) == expected


def test_rtcp_attribute_before_the_c_line_takes_the_media_address():
    media = one("m=audio 6000 RTP/AVP 8", "a=rtcp:7000", "c=IN IP4 192.0.2.9")
    assert (media.rtcp_address, media.rtcp_port) == ("192.0.2.9", 7000)


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        (["m=audio 6000 RTP/AVP 8"], False),
        (["m=audio 6000 RTP/AVP 8", "a=sendonly"], True),
        (["m=audio 6000 RTP/AVP 8", "a=inactive"], True),
        (["m=audio 6000 RTP/AVP 8", "a=recvonly"], False),
        (["m=audio 6000 RTP/AVP 8", "c=IN IP4 0.0.0.0"], True),
        (["m=audio 9 RTP/AVP 8", "c=IN IP4 0.0.0.0"], False),
        (["m=audio 6000 RTP/AVP 8", "c=IN IP6 ::"], True),
    ],
)
def test_media_held_by_direction_or_zero_address(lines, held):
    assert one(*lines).held is held


def test_direction_of_the_session_is_inherited_and_overridden():
    session = seed("ports")
    assert [media.direction for media in session.media] == ["sendrecv", "inactive"]


@pytest.mark.parametrize(
    ("protocol", "is_rtp", "encrypted"),
    [
        ("RTP/AVP", True, False),
        ("RTP/AVPF", True, False),
        ("rtp/savp", True, True),
        ("RTP/SAVPF", True, True),
        ("UDP/TLS/RTP/SAVP", True, True),
        ("udptl", False, False),
        ("UDP/BFCP", False, False),
        ("DTLS/SCTP", False, False),
    ],
)
def test_protocol_tells_rtp_and_encryption(protocol, is_rtp, encrypted):
    media = one(f"m=audio 6000 {protocol} 8")
    assert (media.is_rtp, media.encrypted) == (is_rtp, encrypted)


def test_rejected_section_has_no_socket():
    session = seed("t38")
    assert [media.sockets for media in session.media] == [[], [("192.0.2.1", 4000)]]
    assert (session.media[0].rtcp_port, session.media[1].is_rtp, session.media[1].payload_types) == (
        0,
        False,
        (),
    )


def test_port_count_names_every_other_port():
    assert seed("ports").media[0].sockets == [("2001:db8::1", 49170), ("2001:db8::1", 49172)]
    assert len(one("m=audio 6000/99999 RTP/AVP 0").sockets) == 1
    assert len(one("m=audio 6000/60000 RTP/AVP 0").sockets) == sdp.SOCKETS_MAX
    assert one("m=audio 65534/4 RTP/AVP 0").sockets == [("192.0.2.1", 65534)]


def test_unusable_m_line_spoils_no_neighbour():
    session = seed("ports")
    assert len(session.media) == 2
    assert session.media[1].payload_types == (8,)
    assert session.media[1].rtpmap == {}


def test_webrtc_offer_candidates_bundle_and_ssrc():
    session = seed("webrtc")
    audio, video = session.media
    assert session.bundles == [("audio", "video")]
    assert audio.candidates == [
        sdp.Candidate("192.0.2.196", 46243, 1, "host"),
        sdp.Candidate("2001:db8::1", 56280, 2, "srflx"),
    ]
    assert (audio.mid, audio.rtcp_mux, audio.ssrcs) == ("audio", True, [3570614608])
    assert audio.rtpmap[111] == ("opus", 48000, 2)
    assert audio.crypto
    assert video.crypto
    assert not video.held


def test_crypto_of_one_section_is_not_that_of_the_next():
    text = b"v=0\nm=audio 1 RTP/AVP 0\na=crypto:1 x\nm=audio 3 RTP/AVP 0\n"
    assert [media.crypto for media in sdp.parse(text).media] == [True, False]


@pytest.mark.parametrize(
    "value", ["8", "8 ", "8 PCMA", "8 PCMA/0", "8 PCMA/x", "300 PCMA/8000", "x PCMA/8000"]
)
def test_rtpmap_that_is_none_is_dropped(value):
    media = one("m=audio 6000 RTP/AVP 0", f"a=rtpmap:{value}", "a=rtpmap:96 opus/48000/2")
    assert media.rtpmap == {96: ("opus", 48000, 2)}


@pytest.mark.parametrize("data", [b"", b"hello", b"a=sendrecv\r\n", b"m=audio x RTP/AVP 0\r\n", b"\x00" * 50])
def test_text_without_version_and_media_is_malformed(data):
    with pytest.raises(WireError) as raised:
        sdp.parse(data)
    assert raised.value.reason is Reason.SDP_MALFORMED


def test_media_without_version_line_is_accepted():
    assert sdp.parse(b"m=audio 6000 RTP/AVP 0\r\n").media[0].address == ""


def test_flood_of_sections_candidates_and_ssrcs_is_bounded():
    text = "v=0\r\n" + "m=audio 6000 RTP/AVP 0\r\n" * 2000
    assert len(sdp.parse(text.encode()).media) == sdp.MEDIA_MAX
    lines = [
        f"a=ssrc:{number}\r\na=candidate:1 1 udp 1 192.0.2.1 {number + 1} typ host" for number in range(1000)
    ]
    media = one("m=audio 6000 RTP/AVP " + " ".join(map(str, range(128))) * 9, *lines)
    assert (len(media.ssrcs), len(media.candidates)) == (sdp.SSRCS_MAX, sdp.CANDIDATES_MAX)
    assert len(media.payload_types) <= sdp.FORMATS_MAX


def test_ssrcs_and_candidates_of_all_sections_together_are_bounded():
    lines = [f"a=ssrc:{n}\r\na=candidate:1 1 udp 1 192.0.2.1 {n + 1} typ host\r\n" for n in range(40)]
    text = "v=0\r\n" + ("m=audio 6000 RTP/AVP 0\r\n" + "".join(lines)) * 4
    media = sdp.parse(text.encode()).media
    assert [len(one.ssrcs) for one in media] == [len(one.candidates) for one in media] == [40, 24, 0, 0]


LINES = st.sampled_from(
    [
        *(
            b"v=0",
            b"o=- 1 1 IN IP4 h",
            b"c=IN IP4 0.0.0.0",
            b"m=audio 1/2 RTP/AVP 0 96",
            b"m=image 7 udptl t38",
        ),
        *(
            b"a=rtpmap:96 x/8000",
            b"a=rtcp:1 IN IP6 ::1",
            b"a=candidate:1 1 udp 1 ::1 2 typ host",
            b"m=",
            b"a=",
        ),
        *(b"a=group:BUNDLE a b", b"a=ptime:20", b"c=", b"a=ssrc:1 x", b"a=inactive"),
    ]
)


@given(st.lists(LINES | st.binary(max_size=20), max_size=20), st.sampled_from([b"\r\n", b"\n", b"\r"]))
@settings(max_examples=examples(300))
def test_any_bytes_are_a_session_or_a_wire_error(lines, end):
    try:
        session = sdp.parse(end.join(lines))
    except WireError:
        return
    for media in session.media:
        assert all(0 < port <= 65535 for _, port in media.sockets)
        assert 0 <= media.rtcp_port <= 65535
        assert media.direction in sdp.DIRECTIONS


def test_highest_port_payload_type_and_ssrc_are_in_range():
    media = one("m=audio 65535 RTP/AVP 127 128", "a=ssrc:4294967295 x", "a=ssrc:4294967296 x")
    assert (media.port, media.rtcp_port) == (65535, 65535)
    assert (media.payload_types, media.ssrcs) == ((127,), [4294967295])


def test_m_line_without_formats_still_names_its_socket():
    assert one("m=audio 6000 RTP/AVP").sockets == [("192.0.2.1", 6000)]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_lines_end_with_cr_lf_or_both(end):
    lines = [
        "v=0",
        "c=IN IP4 192.0.2.1",
        "m=audio 6000 RTP/AVP 8 ",
        "a=rtcp:7000",
        "",
        "a",
        "a=sendonly",
        "x",
    ]
    media = sdp.parse(end.join(lines).encode()).media[0]
    assert (media.sockets, media.rtcp_port, media.direction) == (
        [("192.0.2.1", 6000)],
        7000,
        "sendonly",
    )


def test_one_bare_cr_among_lines_that_end_with_crlf_ends_a_line_too():
    media = sdp.parse(b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 6000 RTP/AVP 8\ra=sendonly\r\n").media[0]
    assert (media.payload_types, media.direction) == ((8,), "sendonly")
