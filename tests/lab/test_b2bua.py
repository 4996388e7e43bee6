"""The lab's B2BUA by itself: messages, numbers, and an RTP source."""

from __future__ import annotations

import pytest

from .b2bua import media
from .b2bua.numbers import as_carrier, as_pbx
from .b2bua.sip import Message, parameter, uri, user, written
from .sbc import parse_log
from .truth import calls


def test_message_is_read_as_it_was_written() -> None:
    headers = [("via", "SIP/2.0/UDP a;branch=z9hG4bK1"), ("cseq", "7 INVITE"), ("call-id", "x@y")]
    message = Message.parse(written("INVITE sip:+1@b SIP/2.0", headers, "v=0\r\n"))
    assert message is not None
    assert (message.method, message.status, message.called) == ("INVITE", 0, "+1")
    assert (message.branch, message.call_id, message.body) == ("z9hG4bK1", "x@y", "v=0\r\n")
    answer = Message.parse(written("SIP/2.0 200 OK", headers))
    assert answer is not None
    assert (answer.method, answer.status) == ("INVITE", 200)
    assert Message.parse(b"\r\n\r\n") is None


def test_addresses_are_taken_apart() -> None:
    value = '"A" <sip:+44@h;user=phone>;tag=t1'
    assert (uri(value), user(uri(value)), parameter(value, "tag")) == ("sip:+44@h;user=phone", "+44", "t1")


@pytest.mark.parametrize("dialled", ["+442079460110", "00442079460110", "900442079460110", "9+442079460110"])
def test_what_a_pbx_dials_is_e164_for_the_carrier(dialled: str) -> None:
    assert as_carrier(dialled) == "+442079460110"
    assert as_pbx("+442079460110") == "00442079460110"


@pytest.mark.parametrize("own", ["2065550110", "12065550110", "+12065550110", "912065550110"])
def test_own_number_is_e164_for_the_carrier_and_national_for_the_pbx(own: str) -> None:
    assert as_carrier(own) == "+12065550110"
    assert as_pbx("+12065550110") == "2065550110"


def test_source_counts_on_and_reports_what_it_sent() -> None:
    source = media.Source()
    first, second = source.packet(), source.packet()
    assert (len(first), first[1], second[1]) == (172, 0x80 | media.PCMA, media.PCMA)
    numbers = [int.from_bytes(packet[2:4], "big") for packet in (first, second)]
    assert numbers[1] == numbers[0] + 1
    report = source.report()
    assert report[8 + 12 : 8 + 20] == (2).to_bytes(4, "big") + (320).to_bytes(4, "big")
    assert report[4:8] == first[8:12]


def test_dialogs_of_a_call_are_told_from_the_log() -> None:
    (call,) = calls(
        parse_log(
            "LAB|invite|1.0|in|a|b|0|10.20.0.10|\nLAB|leg|1.1|in|a|b|0|10.20.0.10|out\n"
            "LAB|answer|2.0|in|a|b|200|10.20.0.10|\nLAB|media|2.0|in|a|b|30000|10.10.0.10|\n"
            "LAB|bye|9.0|in|a|b|0|10.20.0.10|\n"
        )
    )
    assert (call["call_ids"], call["direction"]) == (["in", "out"], "inbound")
    assert (call["answered_seconds"], call["outcome"]) == (7.0, "answered")
