"""Combinations of what the world's equipment does, each with the value that its own sender would state."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cases import field_calls
from tests.cases.checks import Check, Near, flagged, nulls, stderr, total, unknown_because
from tests.cases.field_calls import NEAR_C, VC_C, Call
from tests.cases.media_calls import FAR, MEDIA, NEAR, VC, Scene, both_ways
from tests.cases.packets import Stamped
from tests.cases.variant import Variant, check, named
from tests.kit.packets import ethernet, ip, packed, udp

SIDES = ("--vc", VC, "--customer", "192.0.2.0/24")
GOOD = Near(4.341, 0.0011)  # PCMU of 20 ms, no loss, 100 ms assumed

# -- numbers that a sender leaves out


def skipping(count: int, ticks: int, pause: float = 0.0) -> list[Stamped]:
    """Ten seconds; the sender goes on `count` numbers further, its clock by `ticks`, after `pause`."""
    scene = Scene()
    scene.call(21)
    scene.rtp(range(500))
    scene.rtp(range(500 + count, 1000 + count), at=MEDIA + 10 + pause, stamp=80_000 + ticks)
    return scene.frames


def pictures(count: int) -> list[Stamped]:
    """300 packets of video a second, of which `count` in a row never come."""
    scene = Scene()
    scene.call(10, media="video", types="97", lines=("rtpmap:97 H264/90000",))
    for number in (*range(1500), *range(1500 + count, 3000)):
        scene.rtp([number], at=MEDIA + number / 300, kind=97, stamp=number // 10 * 3000, src=FAR, dst=NEAR)
    return scene.frames


SKIPPED = "DESIGN 4: a jump is no loss; neither time nor the sender's clock had room for these numbers"
DROPPED = "RFC 3550 A.3: the timestamps of what is missing passed, so it was sent"
SKIPS: tuple[Variant, ...] = (
    *(
        (
            f"skips-{count}-numbers-and-{ticks}-ticks",
            partial(skipping, count, ticks),
            (
                total("RemoteToVcPacketsLost", 0, SKIPPED),
                total("RemoteToVcRtpPackets", 1000, SKIPPED),
                total("MOSBetweenVcAndRemote", GOOD, SKIPPED),
            ),
        )
        for count, ticks in ((100, 0), (750, 0), (2900, 0), (750, 2_000_000_000), (750, -30_000))
    ),
    *(
        (
            f"{count}-numbers-never-come",
            partial(skipping, count, count * 160, count * 0.02),
            (total("RemoteToVcPacketsLost", count, DROPPED),),
        )
        for count in (10, 100, 500)
    ),
    (
        "queue-drops-its-tail",
        partial(skipping, 100, 16_000),
        (total("RemoteToVcPacketsLost", 100, DROPPED),),
    ),
    (
        "clock-stands-in-an-outage",
        partial(skipping, 100, 0, 2.0),
        (total("RemoteToVcPacketsLost", 100, DROPPED),),
    ),
    ("video-outage", partial(pictures, 100), (total("RemoteToVcPacketsLost", 100, DROPPED),)),
)


@pytest.mark.parametrize("variant", SKIPS, ids=named)
def test_skip_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- what nobody can read

ESP = 50


def hidden(packet: bytes) -> bytes:
    """What ESP makes of a packet: an SPI, a number, and noise."""
    return struct.pack(">II", 0x1234, 1) + bytes(7 * byte + 13 & 255 for byte in packet)


def inside(carry: Callable[[str, str, bytes], bytes]) -> list[Stamped]:
    """The customer's leg of a call in a tunnel between the same two hosts; the carrier's leg is plain."""
    frames = []
    for stamp, data in Call().whole(10).scene.frames:
        src, dst = (".".join(map(str, data[at : at + 4])) for at in (26, 30))
        frames.append((stamp, ethernet(carry(src, dst, data[14:])) if VC_C in (src, dst) else data))
    return frames


def in_channels() -> list[Stamped]:
    """The customer's media comes through a TURN server: ChannelData of RFC 8656 12.4."""
    near = packed(VC_C)
    frames = []
    for stamp, data in Call().whole(10).scene.frames:
        payload = data[42:]
        if near in (data[26:30], data[30:34]) and payload[0] == 0x80:
            src, dst = (("192.0.2.10", 3478), NEAR_C)[:: 1 if data[30:34] == near else -1]
            data = ethernet(udp(src, dst, struct.pack(">HH", 0x4001, len(payload)) + payload))
        frames.append((stamp, data))
    return frames


COUNTS = ("OutboundCallAttempts", "OutboundCallsAnswered", "CustomerToVcRtpPackets", "VcToCustomerRtpPackets")
IPSEC = "DESIGN 4: it was met and could not be read, so it is null"
SEEN: tuple[Check, ...] = (
    total("RemoteToVcRtpPackets", 500, "seen on the other leg"),
    total("VcToRemoteRtpPackets", 500, "seen on the other leg"),
)
UNREAD: tuple[Variant, ...] = (
    *(
        (
            name,
            partial(inside, carry),
            (*nulls(COUNTS, IPSEC), *SEEN, unknown_because(IPSEC), stderr("IPsec", why=IPSEC)),
        )
        for name, carry in (
            ("ipsec", lambda src, dst, packet: ip(src, dst, ESP, hidden(packet))),
            ("ipsec-behind-nat", lambda src, dst, packet: udp((src, 4500), (dst, 4500), hidden(packet))),
        )
    ),
    (
        "media-in-turn-channels",
        in_channels,
        (
            *nulls(COUNTS[2:], "RFC 8656: media that was met and not read"),
            total("OutboundCallsAnswered", 1, "its SIP is plain"),
            unknown_because("RFC 8656"),
            stderr("TURN", why="RFC 8656"),
        ),
    ),
)


@pytest.mark.parametrize("variant", UNREAD, ids=named)
def test_what_cannot_be_read_is_no_zero(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, field_calls.SIDES)


# -- counts and fractions


def fractions(fraction: int, lost: int) -> list[Stamped]:
    """Nine reports of 250 packets each, all with one fraction; the count rises by `lost` a report."""
    scene = both_ways(45)
    for place in range(9):
        at = 3.1 + 5 * place
        scene.receiver_report(
            at, highest=100 + round((at - MEDIA) * 50), lost=place * lost, fraction=fraction if place else 0
        )
    return scene.frames


DENIED = "RFC 3550 6.4.1: a fraction of 26 in 256 lost 25 of 250 packets, and the count says none"
REPORTS: tuple[Variant, ...] = (
    (
        "fraction-alone",
        partial(fractions, 26, 0),
        (total("VcToRemotePacketsLost", None, DENIED), flagged("rtcp_implausible", True, DENIED)),
    ),
    (
        "fraction-of-one-packet",
        partial(fractions, 1, 0),
        (total("VcToRemotePacketsLost", 0, "1 in 256 of 250 packets is not one packet"),),
    ),
    (
        "fraction-and-count",
        partial(fractions, 25, 25),
        (
            total("VcToRemotePacketsLost", 200, "RFC 3550 6.4.1: 25 a report"),
            flagged("rtcp_implausible", False, "25 * 256 / 250 is 25"),
        ),
    ),
)


@pytest.mark.parametrize("variant", REPORTS, ids=named)
def test_report_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)
