"""First bytes tell the framing: PROXY headers are passed over, TLS is told, HEP is cut by length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.unseen import Cause
from agent.transport.framings import PROXY_V2, OpeningFraming
from agent.transport.messages import Found
from tests.kit.examples import examples
from tests.kit.framing import by_bytes, in_pieces, message, whole

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 5060 5060\r\n"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
V2_4 = PROXY_V2 + b"\x21\x11\x00\x0c" + bytes(12)
V2_6 = PROXY_V2 + b"\x21\x21\x00\x24" + bytes(36)
V2_LOCAL = PROXY_V2 + b"\x20\x00\x00\x00"
V2_TLV = PROXY_V2 + b"\x21\x11\x00\x13" + bytes(12) + b"\xea\x00\x04\x01vpc"
PROXIED = [V1, V1_UNKNOWN, V2_4, V2_6, V2_LOCAL, V2_TLV]
TLS = b"\x16\x03\x01\x00\x04abcd" + b"\x14\x03\x03\x00\x01\x01" + b"\x17\x03\x03\x00\x05hello"
HEP = b"HEP3\x00\x0cabcdef"
UNREAD = Found(b"", Cause.TLS, is_sip=False)  # its port must say whether it was SIP


@pytest.mark.parametrize("header", PROXIED)
@pytest.mark.parametrize("lost", [True, False])
def test_proxy_header_before_the_first_message_is_passed_over(header: bytes, lost: bool) -> None:
    def make() -> OpeningFraming:
        return OpeningFraming(lost)

    assert whole(make, header + message(1)) == [Found(message(1))]
    assert by_bytes(make, header + message(1)) == [Found(message(1))]
    assert in_pieces(make, header + message(1), [len(header)]) == [Found(message(1))]


def test_proxy_header_is_passed_over_before_tls_too() -> None:
    assert whole(OpeningFraming, V2_4 + TLS) == [UNREAD]


def test_line_ends_before_the_first_message_are_no_proxy_header() -> None:
    assert by_bytes(OpeningFraming, b"\r\n\r\n" + message(1)) == [Found(message(1))]


def test_method_that_begins_as_proxy_does_is_sip() -> None:
    text = message(1).replace(b"INFO", b"PROXYING", 1)
    assert whole(OpeningFraming, text) == [Found(text)]


def test_tls_tells_each_record_of_application_data() -> None:
    assert whole(OpeningFraming, TLS + TLS[-10:] * 2) == [UNREAD] * 3


def test_tls_begun_midway_is_told_from_its_next_record() -> None:
    framing = OpeningFraming()
    framing.feed(TLS)
    framing.gap(0, Cause.FRAMING)
    assert framing.feed(b"cipher" + TLS[-10:]) == [UNREAD]


def test_hep_over_tcp_is_cut_by_its_length() -> None:
    assert whole(OpeningFraming, HEP * 2) == [Found(HEP)] * 2


def test_hep_that_lost_its_place_goes_on_at_the_next_packet() -> None:
    assert whole(OpeningFraming, HEP + b"junk" + HEP) == [Found(HEP)] * 2


PART = st.sampled_from(
    [*PROXIED, TLS, HEP, message(1), b"\r\n", b"GET ", b"PROXY ", b"\x81", b"\x16\x03\x01"]
)


@given(
    st.lists(PART | st.binary(max_size=30), max_size=8),
    st.lists(st.integers(0, 800), max_size=20),
    st.booleans(),
)
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_cut_anywhere_give_the_same(parts: list[bytes], cuts: list[int], lost: bool) -> None:
    data = b"".join(parts)

    def make() -> OpeningFraming:
        return OpeningFraming(lost)

    found = whole(make, data)
    assert in_pieces(make, data, cuts) == found
    assert by_bytes(make, data) == found
