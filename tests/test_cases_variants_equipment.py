"""Equipment of the field: codecs that fall silent, paging, clocks that drift, fax and back, glare."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cases.checks import Check, Near, flagged, no_extra, record, total
from tests.cases.field_calls import (
    CUSTOMER,
    DOWN,
    FAR,
    NEAR_C,
    NEAR_R,
    PHONE,
    REMOTE,
    SIDES,
    TALK,
    UP,
    VC_C,
    VC_R,
    Call,
    report,
    sdp,
)
from tests.cases.packets import Stamped
from tests.cases.variant import Variant, check, named
from tests.kit.packets import Socket

WAYS = ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote")
SENT: tuple[tuple[Socket, Socket, int], ...] = (
    (PHONE, NEAR_C, UP),
    (NEAR_R, FAR, UP),
    (FAR, NEAR_R, DOWN),
    (NEAR_C, PHONE, DOWN),
)


def each_way(packets: int, why: str, mos: float | None = None) -> tuple[Check, ...]:
    """So many packets each way, none lost, no jitter."""
    return (
        *(total(f"{way}RtpPackets", packets, why) for way in WAYS),
        *(total(f"{way}PacketsLost", 0, why) for way in WAYS[::2]),
        *(total(f"{way}Jitter", Near(0, 5), why) for way in WAYS[::2]),
        *(() if mos is None else (total("MOSBetweenVcAndCustomer", Near(mos, 0.0011), why),)),
        no_extra("intruder_packets", why),
    )


def coded(name: str, rate: str, fmtp: str = "") -> Call:
    lines = (f"rtpmap:97 {name}/{rate}", *((f"fmtp:97 {fmtp}",) if fmtp else ()))
    return Call(types="97 101", lines=(*lines, "rtpmap:101 telephone-event/8000")).begin()


# -- codecs that fall silent


def discontinuous(name: str, rate: str, ticks: int, apart: int, size: int, fmtp: str = "") -> list[Stamped]:
    """Six times a second of speech and two of silence, with a short packet every `apart` packet times."""
    call = coded(name, rate, fmtp)
    quiet = 100 // apart
    for src, dst, ssrc in SENT:
        number = 0
        for turn in range(6):
            at, stamp = TALK + 3 * turn, 150 * ticks * turn
            to: dict[str, Any] = {"src": src, "dst": dst, "ssrc": ssrc, "kind": 97}
            call.scene.rtp(range(number, number + 50), at=at, stamp=stamp, ticks=ticks, size=size, **to)
            number += 50
            for place in range(quiet):
                passed = 50 + place * apart
                call.scene.rtp(
                    [number], at=at + passed * 0.02, stamp=stamp + passed * ticks, size=size // 12, **to
                )
                number += 1
    return call.end(TALK + 18.2).scene.frames


QUIET = "a silence descriptor is no packet length (RFC 7587 3.1.3, TS 26.093): MOS is that of the speech"
SILENT: tuple[Variant, ...] = (
    ("opus", partial(discontinuous, "opus", "48000/2", 960, 20, 80, "usedtx=1"), each_way(330, QUIET, 4.337)),
    ("amr", partial(discontinuous, "AMR", "8000", 160, 8, 32, "octet-align=1"), each_way(372, QUIET, 4.2)),
    ("amr-wb", partial(discontinuous, "AMR-WB", "16000", 320, 8, 61), each_way(372, QUIET, 4.337)),
    ("evs", partial(discontinuous, "EVS", "16000", 320, 8, 33), each_way(372, QUIET, 4.334)),
)


# -- groups


def paged(group: str, port: int = 5004) -> list[Stamped]:
    """The vc plays to many at once beside a call."""
    call = Call().whole(10)
    call.scene.rtp(range(400), at=3, src=(VC_C, 40_004), dst=(group, port), ssrc=0x77)
    return call.scene.frames


NOBODYS = "a multicast group (RFC 5771) is neither a customer nor the remote end"


# -- clocks, and sessions that change


def drifting(parts_per_million: float) -> list[Stamped]:
    call = Call().begin()
    for src, dst, ssrc in SENT:
        sign = 1 if ssrc == UP else -1
        step = 0.02 * (1 + sign * parts_per_million * 1e-6)
        call.scene.rtp(range(100, 9100), at=TALK, src=src, dst=dst, ssrc=ssrc, step=step)
    return call.end(TALK + 180.3).scene.frames


def repacked() -> list[Stamped]:
    """20 ms a packet, then 40 ms."""
    call = Call().begin()
    for src, dst, ssrc in SENT:
        call.scene.rtp(range(500), at=TALK, src=src, dst=dst, ssrc=ssrc)
        later: dict[str, Any] = {"stamp": 80_000, "ticks": 320, "step": 0.04, "size": 320}
        call.scene.rtp(range(500, 750), at=TALK + 10, src=src, dst=dst, ssrc=ssrc, **later)
    return call.end(TALK + 20.3).scene.frames


def held_with_port_0() -> list[Stamped]:
    call = Call().begin().relay(5)
    for at, phone, near_c, near_r, far, version in (
        (8, (CUSTOMER, 0), (VC_C, 0), (VC_R, 0), (REMOTE, 0), 2),
        (13, PHONE, NEAR_C, NEAR_R, FAR, 3),
    ):
        call.incoming.re_invite(at, sdp(phone, version=version), sdp(near_c, version=version))
        call.outgoing.re_invite(at + 0.02, sdp(near_r, version=version), sdp(far, version=version))
    return call.relay(5, at=14, first=350).end(20).scene.frames


def image(at: Socket) -> str:
    return (
        f"v=0\r\no=- 1 2 IN IP4 {at[0]}\r\ns=-\r\nc=IN IP4 {at[0]}\r\nt=0 0\r\nm=image {at[1]} udptl t38\r\n"
    )


def faxed() -> list[Stamped]:
    """Speech, T.38 whose numbers pass through what looks like RTP, speech."""
    call = Call().begin().relay(5)
    call.outgoing.re_invite(8, image(FAR), image(NEAR_R), by="b")
    call.incoming.re_invite(8.02, image(NEAR_C), image(PHONE), by="b")
    for place in range(200):
        for src, dst, _ in SENT:
            number = struct.pack(">H", 0x7FC0 + place)
            call.scene.put(8.2 + place * 0.02, src, dst, number + b"\x06\x00\x80" + bytes(30))
    call.outgoing.re_invite(15, sdp(FAR, version=3), sdp(NEAR_R, version=3), by="b")
    call.incoming.re_invite(15.02, sdp(NEAR_C, version=3), sdp(PHONE, version=3), by="b")
    return call.relay(5, at=15.2, first=350).end(22).scene.frames


def glare() -> list[Stamped]:
    """Both ends of the outgoing leg send a re-INVITE at once: 491 to each, then one again (RFC 3261 14.1)."""
    call = Call().begin().relay(10)
    leg = call.outgoing
    leg.re_invite(5, sdp(FAR, version=2), "", by="b", status=491)
    leg.re_invite(5.005, sdp(NEAR_R, version=2), "", status=491)
    leg.re_invite(6.5, sdp(NEAR_R, version=2), sdp(FAR, version=2))
    return call.end(12.5).scene.frames


def numbered_each_way(pairs: Iterable[int]) -> list[Stamped]:
    """Opus under another payload type in each SDP: what is sent has the receiver's (RFC 3264 5.1)."""
    call, types = Call(), tuple(pairs)
    sdps = tuple(
        sdp(at, f"{kind}", (f"rtpmap:{kind} opus/48000/2",))
        for at, kind in zip((PHONE, NEAR_R, FAR, NEAR_C), types, strict=True)
    )
    call.sdps = lambda: sdps  # type: ignore[method-assign, assignment, return-value]
    call.begin()
    for (src, dst, ssrc), kind in zip(SENT, (types[3], types[2], types[1], types[0]), strict=True):
        call.scene.rtp(range(500), at=TALK, src=src, dst=dst, ssrc=ssrc, kind=kind, ticks=960, size=80)
    return call.end(13).scene.frames


def reported_beside_media() -> list[Stamped]:
    """RTCP to the RTP ports without a=rtcp-mux: three packets lost on the way to each far end."""
    call = Call().begin().relay(10)
    for turn in (1, 2):
        for src, dst, ssrc, about in ((PHONE, NEAR_C, UP, DOWN), (FAR, NEAR_R, DOWN, UP)):
            highest, lost = 99 + 245 * turn, 3 * (turn - 1)
            at = TALK + 4.9 * turn
            report(call.scene, at, src, dst, about, ssrc=ssrc, highest=highest, lost=lost)
    return call.end(12.3).scene.frames


FORK_A, FORK_B = ("198.51.100.11", 52_000), ("198.51.100.12", 53_000)


def early_from_two_forks() -> list[Stamped]:
    """Two forks of the remote end play early media to the vc's one socket; the second one answers."""
    call = Call()
    offer, to_callee, _, to_caller = call.sdps()
    into, out, scene = call.incoming, call.outgoing, call.scene
    into.invite(0, offer)
    into.answer(0.01, 100)
    out.invite(0.03, to_callee)
    for tag, at, far in (("A", 0.5, FORK_A), ("B", 0.7, FORK_B)):
        out.to_tag = tag
        out.answer(at, 183, body=sdp(far))
    into.answer(0.72, 183, body=to_caller)
    out.answer(3, 200, body=sdp(FORK_B))
    out.request(3.01, "ACK")
    into.answer(3.02, 200, body=to_caller)
    into.request(3.03, "ACK")
    scene.rtp(range(100), at=0.6, src=FORK_A, dst=NEAR_R, ssrc=0xA1)
    scene.rtp(range(90), at=0.8, src=FORK_B, dst=NEAR_R, ssrc=DOWN)
    call.far = FORK_B
    call.relay(10, at=3.1, first=90)
    return call.end(14).scene.frames


FORKED = "each fork's SDP names its source"
EQUIPMENT: tuple[Variant, ...] = (
    (
        "early-media-of-two-forks",
        early_from_two_forks,
        (
            total("RemoteToVcRtpPackets", 690, FORKED),
            total("RemoteToVcPacketsLost", 0, FORKED),
            total("OutboundCallAttempts", 1, FORKED),
            flagged("unexpected_source", False, FORKED),
            no_extra("intruder_packets", FORKED),
        ),
    ),
    ("paging", partial(paged, "239.1.1.7"), each_way(500, NOBODYS)),
    ("music-for-many", partial(paged, "224.0.1.75"), each_way(500, NOBODYS)),
    ("clocks-drift-by-200-ppm", partial(drifting, 200), each_way(9000, "4 us a packet", 4.341)),
    ("packets-become-longer", repacked, each_way(750, "20 ms, then 40 ms", 4.328)),
    ("hold-with-port-0", held_with_port_0, each_way(500, "DESIGN 3: port 0 has no media", 4.341)),
    ("fax-and-back", faxed, each_way(500, "DESIGN 3: never for udptl", 4.341)),
    ("glare", glare, each_way(500, "RFC 3261 14.1: 491 changes nothing", 4.341)),
    (
        "payload-types-of-each-receiver",
        partial(numbered_each_way, (96, 107, 111, 98)),
        each_way(500, "RFC 3264 5.1", 4.337),
    ),
    (
        "reports-on-the-media-port",
        reported_beside_media,
        (
            total("VcToCustomerPacketsLost", 3, "RFC 5761 4: told by the packet type"),
            total("VcToRemotePacketsLost", 3, "RFC 5761 4"),
            record("cust2vc_packets_lost", 0, "no report is a packet of media"),
        ),
    ),
)


@pytest.mark.parametrize("variant", SILENT, ids=named)
def test_codec_that_falls_silent_is_scored_as_speech(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


@pytest.mark.parametrize("variant", EQUIPMENT, ids=named)
def test_equipment_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)
