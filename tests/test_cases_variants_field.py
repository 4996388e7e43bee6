"""Calls as field equipment makes them, with media on both legs: transfers, hunting, NAT, hold music."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.checks import Check, Near, counted, flagged, minutes, no_extra, record, total
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
    Dialog,
    idle,
    report,
    sdp,
    sender_report,
)
from tests.cases.media_calls import Scene
from tests.cases.packets import Stamped
from tests.cases.variant import Variant, check, named
from tests.kit.packets import Socket

WAYS = ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote")
SECOND_CARRIER = "198.51.100.20"
MUSIC = ("198.51.100.99", 24_000)
NO_INTRUDER = no_extra("intruder_packets", "DESIGN 3: named, answered or of the peer's own address")


def media(packets: int, why: str) -> tuple[Check, ...]:
    """So many packets each way, none lost, none an intruder's."""
    counts = (total(f"{way}RtpPackets", packets, why) for way in WAYS)
    return (*counts, *(total(f"{way}PacketsLost", 0, why) for way in WAYS[::2]), NO_INTRUDER)


def one(why: str, direction: str = "Outbound", calls: int = 1) -> tuple[Check, ...]:
    return (
        total(f"{direction}CallAttempts", 1, why),
        total(f"{direction}CallsAnswered", 1, why),
        total(f"{direction}CallFailures", 0, why),
        counted("call", calls, why),
        no_extra("legs_unjoined", why),
    )


# -- one call taken on by others


def attended_transfer() -> list[Stamped]:
    """A calls B, B calls C; after B's REFER with Replaces the B2BUA bridges A and C and ends B's legs."""
    scene = Scene()
    near, far = (VC_R, 40_002), (SECOND_CARRIER, 51_000)
    first = Call(scene, inbound=True).begin().relay(10)
    consult = Call(scene, 14, "2", near_c=(VC_C, 30_002), near_r=near, far=far, called="+12065550177")
    consult.calling = first.called
    consult.begin().relay(10, ssrcs=(0x31, 0x32))
    refer = "Refer-To: <sip:+12065550177@b.example?Replaces=c2%3Bto-tag%3Dtc2%3Bfrom-tag%3Dfc2>\r\n"
    first.outgoing.request(27, "REFER", by="b", headers=refer)
    first.outgoing.answer(27.01, 202, "REFER", by="b")
    first.outgoing.bye(27.5)
    consult.incoming.bye(27.6, by="b")
    for src, dst, ssrc in ((FAR, NEAR_R, DOWN), (near, far, DOWN), (far, near, 0x32), (NEAR_R, FAR, 0x32)):
        scene.rtp(range(600, 5100), at=28, src=src, dst=dst, ssrc=ssrc, stamp=112_000)
    first.incoming.bye(118.1)
    consult.outgoing.bye(118.12)
    idle(scene, 125)
    return scene.frames


def rings_in_vain(*, late_answer: bool) -> list[Stamped]:
    """Carrier A rings for 8 s; the vc cancels it and calls B at once. A's 487, or its 200, comes later."""
    scene = Scene()
    call = Call(scene)
    offer, to_carrier, answer, to_caller = call.sdps()
    into, first = call.incoming, call.outgoing
    second = Dialog(scene, VC_R, SECOND_CARRIER, "rB", call.called, call.calling)
    into.invite(0, offer)
    into.answer(0.01, 100)
    first.invite(0.03, to_carrier)
    first.answer(1, 180)
    into.answer(1.01, 180)
    first.request(8, "CANCEL", tag=False, same=True)
    first.answer(8.01, 200, "CANCEL")
    second.invite(8.02, to_carrier)
    if late_answer:
        first.answer(8.06, 200, body=answer)
        first.request(8.07, "ACK")
        first.bye(8.08)
    else:
        first.answer(8.06, 487)
        first.request(8.07, "ACK", same=True)
    second.answer(9, 200, body=sdp((SECOND_CARRIER, 52_000)))
    second.request(9.01, "ACK")
    into.answer(9.02, 200, body=to_caller)
    into.request(9.03, "ACK")
    scene.rtp(range(2900), at=9.1, src=(SECOND_CARRIER, 52_000), dst=NEAR_R, ssrc=9)
    into.bye(68)
    second.bye(68.02)
    idle(scene, 75)
    return scene.frames


def forked_by_call_ids() -> list[Stamped]:
    """Three phones ring, each in a dialog of its own; the second answers."""
    scene = Scene()
    call = Call(scene, inbound=True)
    offer, _, _, to_caller = call.sdps()
    into = call.incoming
    forks = [Dialog(scene, VC_C, f"192.0.2.{10 + n}", f"f{n}", call.called, call.calling) for n in range(3)]
    into.invite(0, offer)
    into.answer(0.01, 100)
    for number, fork in enumerate(forks):
        fork.invite(0.03 + number / 1000, sdp(NEAR_C))
        fork.answer(0.3 + number / 100, 180)
    into.answer(0.35, 180)
    forks[1].answer(2, 200, body=sdp(("192.0.2.11", 20_000)))
    forks[1].request(2.01, "ACK")
    into.answer(2.02, 200, body=to_caller)
    into.request(2.03, "ACK")
    for fork in forks[::2]:
        fork.request(2.02, "CANCEL", tag=False, same=True)
        fork.answer(2.03, 200, "CANCEL")
        fork.answer(2.04, 487)
        fork.request(2.05, "ACK", same=True)
    into.bye(20)
    forks[1].bye(20.1)
    return scene.frames


# -- media that moves


def behind_nat(*, vc_tries_private: int = 0) -> list[Stamped]:
    """The phone's SDP names a private address; `vc_tries_private` packets go there at first."""
    private = ("192.168.1.5", 4_000)
    call = Call()
    sdps = (sdp(private), *call.sdps()[1:])
    call.sdps = lambda: sdps  # type: ignore[method-assign]
    call.begin()
    numbers = range(100 - vc_tries_private, 100)
    call.scene.rtp(numbers, at=TALK - 0.5, src=NEAR_C, dst=private, ssrc=DOWN)
    call.phone = ("203.0.113.77", 61_234)
    return call.relay(10).end(12.3).scene.frames


def rebound() -> list[Stamped]:
    """The NAT gives the phone another port in mid-call; the vc follows half a second later."""
    call = Call().begin().relay(10)
    new, at = (CUSTOMER, 61_999), TALK + 10
    for src, dst, ssrc in ((new, NEAR_C, UP), (NEAR_R, FAR, UP), (FAR, NEAR_R, DOWN)):
        call.scene.rtp(range(600, 1100), at=at, src=src, dst=dst, ssrc=ssrc, stamp=80_000)
    call.scene.rtp(range(600, 625), at=at, src=NEAR_C, dst=PHONE, ssrc=DOWN, stamp=80_000)
    call.scene.rtp(range(625, 1100), at=at + 0.5, src=NEAR_C, dst=new, ssrc=DOWN, stamp=84_000)
    return call.end(22.3).scene.frames


def moved(*, by_vc: bool) -> list[Stamped]:
    """A re-INVITE of the far end, or of the vc, gives the remote leg another socket."""
    call = Call().begin().relay(10)
    far, near = (FAR, (VC_R, 40_100)) if by_vc else (("198.51.100.30", 6_000), NEAR_R)
    ends = [sdp(near, version=2), sdp(far, version=2)]
    offer, answer = ends if by_vc else ends[::-1]
    call.outgoing.re_invite(12, offer, answer, by="a" if by_vc else "b")
    for src, dst, ssrc in ((PHONE, NEAR_C, UP), (near, far, UP), (far, near, DOWN), (NEAR_C, PHONE, DOWN)):
        call.scene.rtp(range(600, 1100), at=TALK + 10, src=src, dst=dst, ssrc=ssrc, stamp=80_000)
    return call.end(22.3).scene.frames


def held_with_music() -> list[Stamped]:
    """The far end holds: 0.0.0.0 and inactive, then its music server's socket, sendonly; then back."""
    call = Call().begin().relay(10)
    leg, scene = call.outgoing, call.scene
    for at, far, way, back, version in (
        (12.0, ("0.0.0.0", 50_000), "inactive", "inactive", 2),
        (12.2, MUSIC, "sendonly", "recvonly", 3),
        (23.0, FAR, "sendrecv", "sendrecv", 4),
    ):
        offer, answer = sdp(far, way=way, version=version), sdp(NEAR_R, way=back, version=version)
        leg.re_invite(at, offer, answer, by="b")
    scene.rtp(range(9000, 9500), at=12.5, src=MUSIC, dst=NEAR_R, ssrc=0xABC)
    scene.rtp(range(600, 1100), at=23.2, src=FAR, dst=NEAR_R, ssrc=DOWN, stamp=168_800)
    return call.end(33.6).scene.frames


def announced() -> list[Stamped]:
    """An announcement server's early media, named in the 183; then the callee's own socket in the 200."""
    call = Call()
    offer, to_callee, answer, to_caller = call.sdps()
    into, out, server = call.incoming, call.outgoing, ("203.0.113.200", 7_000)
    into.invite(0, offer)
    out.invite(0.03, to_callee)
    out.answer(0.1, 183, body=sdp(server))
    into.answer(0.11, 183, body=to_caller)
    for src, dst in ((server, NEAR_R), (NEAR_C, PHONE)):
        call.scene.rtp(range(7, 107), at=0.12, src=src, dst=dst, ssrc=0x7777)
    out.answer(2.2, 200, body=answer)
    out.request(2.21, "ACK")
    into.answer(2.22, 200, body=to_caller)
    into.request(2.23, "ACK")
    return call.relay(10, at=2.3).end(12.5).scene.frames


def next_call_a_second_later(far: Socket, first: int, ssrcs: tuple[int, int]) -> list[Stamped]:
    """The vc gives the same ports to the next call, 0.8 s after the BYE of the last."""
    scene = Scene()
    Call(scene).whole(10)
    Call(scene, 13, "2", far=far).begin().relay(10, first=first, ssrcs=ssrcs).end(25.3)
    return scene.frames


# -- reports


def reports_on_the_rtp_port() -> list[Stamped]:
    """rtcp-mux; the path there and back takes 30 ms, four packets are lost on the way to the far end."""
    call = Call(lines=("rtpmap:0 PCMU/8000", "rtcp-mux")).begin().relay(20)
    for place, lost in enumerate((0, 1, 4)):
        at, ntp = 4.0 + 5 * place, 0x20000 + place * 5 * 65_536
        sender_report(call.scene, at, NEAR_R, FAR, UP, ntp)
        highest = 98 + round((at + 1 - TALK) * 50)
        report(call.scene, at + 1.03, FAR, NEAR_R, UP, highest=highest, lost=lost, lsr=ntp, dlsr=65_536)
    return call.end(22.3).scene.frames


def relay_elsewhere() -> list[Stamped]:
    """A proxy whose relay is another host: SIP passes here, media does not."""
    near_c, near_r = ("10.0.0.99", 30_000), ("10.0.0.99", 40_000)
    call = Call(near_c=near_c, near_r=near_r, hosts=(CUSTOMER, VC_C, VC_R, REMOTE))
    return call.begin().end(12.3).scene.frames


OWN_BYE = "DESIGN 4: a BYE ends the media of its leg alone"
NEXT_CARRIER = "DESIGN 3: the vc's CANCEL opens the window for the next carrier"
NAMED = "DESIGN 3: media belongs to the leg whose SDP named the vc's socket"

VARIANTS: tuple[Variant, ...] = (
    ("plain", lambda: Call().whole(10).scene.frames, (*media(500, "relayed"), *one("one call"))),
    (
        "attended-transfer-bridges-two-calls",
        attended_transfer,
        (
            total("RemoteToVcRtpPackets", 10_000, OWN_BYE),
            total("VcToRemoteRtpPackets", 10_000, OWN_BYE),
            total("RemoteToVcPacketsLost", 0, OWN_BYE),
            total("InboundCallAttempts", 1, "A calls B"),
            total("OutboundCallAttempts", 1, "B calls C"),
            minutes("InboundCallsActive", [1, 0, None], "A's dialog is up until 118 s"),
        ),
    ),
    ("rings-in-vain", lambda: rings_in_vain(late_answer=False), one(NEXT_CARRIER)),
    (
        "rings-in-vain-and-answers-late",
        lambda: rings_in_vain(late_answer=True),
        (*one(NEXT_CARRIER), minutes("OutboundCallsActive", [1, None], "carrier B's call is up")),
    ),
    ("three-phones-ring", forked_by_call_ids, one("DESIGN 3: forks", "Inbound")),
    ("behind-nat", behind_nat, (*media(500, NAMED), *one("one call"))),
    (
        "behind-nat-and-the-vc-learns",
        lambda: behind_nat(vc_tries_private=25),
        (total("VcToCustomerRtpPackets", 525, "all that left"), total("CustomerToVcRtpPackets", 500, NAMED)),
    ),
    (
        "both-behind-one-nat",
        lambda: Call(far=(CUSTOMER, 20_002), near_r=(VC_C, 30_002)).whole(10).scene.frames,
        (
            total("CustomerToVcRtpPackets", 1000, "two phones of one address"),
            total("CustomerToVcPacketsLost", 0, "two phones of one address"),
            NO_INTRUDER,
        ),
    ),
    ("nat-rebinds", rebound, (*media(1000, NAMED), *one("one call"))),
    ("far-end-moves", lambda: moved(by_vc=False), (*media(1000, NAMED), *one("one call"))),
    ("vc-moves", lambda: moved(by_vc=True), (*media(1000, NAMED), *one("one call"))),
    (
        "music-of-another-server",
        held_with_music,
        (
            total("RemoteToVcRtpPackets", 1500, NAMED),
            total("RemoteToVcPacketsLost", 0, "another SSRC, another time line"),
            NO_INTRUDER,
        ),
    ),
    (
        "early-media-of-another-server",
        announced,
        (
            total("RemoteToVcRtpPackets", 600, NAMED),
            total("VcToCustomerRtpPackets", 600, NAMED),
            total("RemoteToVcPacketsLost", 0, NAMED),
            NO_INTRUDER,
        ),
    ),
    *(
        (
            f"port-reused-{name}",
            lambda far=far, first=first, ssrcs=ssrcs: next_call_a_second_later(far, first, ssrcs),
            (
                *media(1000, "DESIGN 4: the next call on the same sockets is not loss"),
                record("rem2vc_rtp_packets", 500, "its own", "c1"),
                record("rem2vc_rtp_packets", 500, "its own", "c2"),
            ),
        )
        for name, far, first, ssrcs in (
            ("by-another-far-end", (REMOTE, 50_010), 9, (0x31, 0x32)),
            ("by-the-same-phones", FAR, 40_000, (UP, DOWN)),
        )
    ),
    (
        "reports-on-the-rtp-port",
        reports_on_the_rtp_port,
        (
            total("RTTBetweenVcAndRemote", Near(30_000, 40), "RFC 5761"),
            total("VcToRemotePacketsLost", 4, "RFC 3550 A.3"),
            total("RemoteToVcRtcpPackets", 3, "RFC 5761"),
            flagged("rtcp_implausible", False, "true"),
        ),
    ),
    (
        "relay-elsewhere",
        relay_elsewhere,
        (
            *one("its SIP passes here"),
            *(total(f"{way}RtpPackets", None, "DESIGN 4: not observed") for way in WAYS),
        ),
    ),
)


@pytest.mark.parametrize("variant", VARIANTS, ids=named)
def test_field_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


def cancelled_by(status: int) -> Callable[[], list[Stamped]]:
    def make() -> list[Stamped]:
        scene = Scene()
        into, out = Dialog(scene, CUSTOMER, VC_C, "c1"), Dialog(scene, VC_R, REMOTE, "r1")
        into.invite(0, sdp(PHONE))
        out.invite(0.03, sdp(NEAR_R))
        out.answer(0.5, 180)
        into.answer(0.51, 180)
        for at, leg in ((5, into), (5.02, out)):
            leg.request(at, "CANCEL", tag=False, same=True)
            leg.answer(at + 0.01, 200, "CANCEL")
        for at, leg in ((5.04, out), (5.06, into)):
            leg.answer(at, status)
            leg.request(at + 0.01, "ACK", same=True)
        return scene.frames

    return make


@pytest.mark.parametrize("status", [408, 480, 486, 500, 603])
def test_what_answers_a_cancel_is_cancelled(status: int, tmp_path: Path) -> None:
    why = "DESIGN 4: the caller gave up, whatever the callee says"
    checks = (total("OutboundCallAttempts", 1, why), total("OutboundCallFailures", 0, why))
    check((str(status), cancelled_by(status), checks), tmp_path, SIDES)
