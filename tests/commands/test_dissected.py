"""The second opinion drops copies by the rule of DESIGN 4, on tshark's fields alone."""

from __future__ import annotations

import pytest

from agent.commands.verify import dissected

RINGING = {"sip.Status-Code": "180", "sip.Status-Line": "SIP/2.0 180 Ringing", "sip.msg_hdr": "Via: x"}
RTP = {"rtp.ssrc": "0x7", "rtp.seq": "1", "rtp.timestamp": "160", "rtp.p_type": "0", "rtp.marker": "0"}


def line(at_ms: float, what: dict[str, str], identification: str = "0x0000", interface: str = "0") -> str:
    values = {
        "frame.time_epoch": f"{1_700_000_040 + at_ms / 1000:.9f}",
        "frame.protocols": "eth:ethertype:ip:udp",
        "ip.src": "10.0.0.1",
        "ip.dst": "192.0.2.10",
        "ip.id": identification,
        "udp.srcport": "5060",
        "udp.dstport": "5060",
        "udp.length": "180",
        "frame.interface_id": interface,
        **what,
    }
    return "\t".join(values.get(name, "") for name in dissected._FIELDS)


@pytest.mark.parametrize(
    ("what", "after_ms", "first", "second", "copies"),
    [
        (RINGING, 15, ("0x0001", "0"), ("0x0002", "0"), 0),
        (RINGING, 1, ("0x0001", "0"), ("0x0002", "1"), 0),
        (RINGING, 15, ("0x0001", "0"), ("0x0001", "0"), 1),
        (RINGING, 25, ("0x0001", "0"), ("0x0001", "0"), 0),
        (RINGING, 15, ("0x0000", "0"), ("0x0000", "1"), 1),
        (RINGING, 1, ("0x0000", "0"), ("0x0000", "0"), 1),
        (RINGING, 15, ("0x0000", "0"), ("0x0000", "0"), 0),
        (RTP, 1, ("0x0000", "0"), ("0x0000", "0"), 0),
        (RTP, 1, ("0x0001", "0"), ("0x0001", "0"), 1),
    ],
)
def test_copy_is_told_by_identification_then_by_path(
    what: dict[str, str], after_ms: float, first: tuple[str, str], second: tuple[str, str], copies: int
) -> None:
    found = dissected._read([line(0, what, *first), line(after_ms, what, *second)], False)
    assert found.copies == copies


def test_rtp_twice_on_one_path_is_a_copy_with_single_span() -> None:
    assert dissected._read([line(0, RTP), line(1, RTP)], True).copies == 1


def test_responses_that_differ_in_the_reason_phrase_alone_are_two() -> None:
    one = {**RINGING, "sip.Status-Code": "100", "sip.Status-Line": "SIP/2.0 100 Trying"}
    two = {**one, "sip.Status-Line": "SIP/2.0 100 Giving it a try"}
    found = dissected._read([line(0, one), line(1, two)], False)
    assert found.sip["10.0.0.1", "192.0.2.10", "100"] == 2
