"""Captures that are nearly right: whole calls by hand, bent at one layer or several.

`capture(draw)` gives a file. Each layer has its own benders, which know its structure: lengths that lie,
fields at their bounds, lines twice or gone, pieces out of order, other protocols around them. Calls are
written once and come from a pool (`POOL`): to build a frame here costs more than the agent takes to read it.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from socket import inet_ntoa
from typing import NamedTuple

from agent.wire.frame import LINK_ETHERNET, LINK_RAW
from tests.fuzz.carriers import FRAMED, TUNNELLED, over_another, segments
from tests.kit.capture_files import Packet, enhanced, interface, pcap, section, statistics
from tests.kit.packets import ethernet, ip
from tests.kit.scene import (
    CUST,
    PHONE,
    REM,
    REMOTE,
    VC2CUST,
    VC2REM,
    VC_C,
    VC_R,
    Scene,
    block,
    extended_report,
    fax,
    odd,
    receiver_report,
    sdp,
    sender_report,
)

SECOND = 10**9
EDGES = (0, 1, 2, 7, 8, 20, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 1 << 31, (1 << 32) - 1)
POOL = 4096  # calls
PARTS = 0.6  # of files begin and end in the middle of a call
REPORT = (
    "VQSessionReport: CallTerm\r\nCallID: b\r\nLocalAddr: IP=198.51.100.20 PORT=7000 SSRC=0x2\r\n"
    "RemoteAddr: IP=10.0.0.2 PORT=6000 SSRC=0x1\r\nLocalMetrics:\r\nPacketLoss: NLR=1.5 JDR=0.1\r\n"
    "Delay: RTD=120 ESD=40 IAJ=3\r\nQualityEst: MOSLQ=4.1 MOSCQ=4.0\r\n"
)
LINES = (
    "a=rtpmap:96 opus/48000/2", "a=rtpmap:0 telephone-event/8000", "a=rtcp:1", "a=rtcp-mux", "a=ptime:0",
    "a=candidate:1 1 UDP 1 10.0.0.1 9 typ host", "a=ssrc:1 cname:x", "a=group:BUNDLE 0 1", "a=mid:0",
    "m=audio 0 RTP/AVP 0", "m=video 9000/4 RTP/SAVP 31 96", "c=IN IP6 ::1", "c=IN IP4 0.0.0.0/127/3",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", "a=rtpmap:-1 x/0", "a=rtpmap:96 x/99999999999",
)  # fmt: skip
HEADERS = (
    "Session-Expires: 90", "Session-Expires: -1", "Replaces: b;to-tag=r;from-tag=from-b", "Require: siprec",
    "X-VoiceConnector-ID: default", "Retry-After: 1e9", "X-RTP-Stat: PS=1;OS=1;PR=1;OR=1;PL=1;JI=1",
    "Contact: <sip:\x1b[31m@x>", "Via: SIP/2.0/UDP a;branch=z9hG4bK", "CSeq: 99999999999 INVITE", "i: other",
)  # fmt: skip


def calls(draw: random.Random) -> Scene:
    """A call: SIP of all kinds, media both ways, reports of every type. Two of three are short."""
    scene = Scene()
    whole = draw.random() < 0.3
    often, most = (0.8, 12) if whole else (0.3, 5)
    offer = sdp(
        CUST, types=draw.choice(("8", "0 8 96", "18 101")), more=draw.sample(LINES, draw.randrange(4))
    )
    scene.call(draw.random(), customer=offer)
    if not whole and draw.random() < 0.5:  # some messages were never captured
        scene.frames = [frame for frame in scene.frames if draw.random() < 0.7]
    for src, dst, ssrc in ((CUST, VC2CUST, 1), (VC2CUST, CUST, 2), (REM, VC2REM, 2), (VC2REM, REM, 1)):
        if draw.random() < often:
            first = draw.choice((0, 65_530, 1000))
            kind = draw.choice((8, 0, 18, 101, 96, 13))
            numbers = range(first, first + draw.randrange(1, most))
            scene.rtp(2, src, dst, ssrc, numbers, payload_type=kind)
    for local, peer, ssrc in ((VC2CUST, CUST, 2), (VC2REM, REM, 1)):
        if draw.random() < often:
            scene.send(3, odd(local), odd(peer), sender_report(ssrc, 7))
            said = block(
                ssrc, draw.choice((0, 3, 0x7FFFFF, -1)), draw.choice(EDGES), lsr=7, dlsr=draw.choice(EDGES)
            )
            scene.send(3.1, odd(peer), odd(local), receiver_report(PHONE, said))
        if draw.random() < often:
            kind = draw.randrange(9)
            scene.send(3.2, peer, local, extended_report(PHONE, kind, draw.randbytes(4 * draw.randrange(12))))
    if draw.random() < often / 2:
        renegotiate(scene, draw, offer)
    if draw.random() < often / 3:
        scene.sip(
            5, REMOTE, VC_R, "PUBLISH sip:c@b SIP/2.0", call_id="q", cseq="1 PUBLISH", body=REPORT,
            content="application/vq-rtcpxr",
        )  # fmt: skip
    if draw.random() < often / 3:
        parts = f"--x\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n--x\r\n\r\nnoise\r\n--x--\r\n"
        scene.sip(
            5.5, CUST[0], VC_C, "UPDATE sip:c@b SIP/2.0", call_id="a", to_tag="c", cseq="3 UPDATE",
            body=parts, content="multipart/mixed;boundary=x",
        )  # fmt: skip
    if draw.random() < 0.3 + often / 2:
        scene.bye(draw.choice((6, 6, 70)), headers=draw.sample(HEADERS, 1))
    return scene


def renegotiate(scene: Scene, draw: random.Random, offer: str) -> None:
    """A re-INVITE, before or after the media of before: the same media, a hold, other ports, or a fax."""
    at = draw.choice((2.03, 4))
    cust, vc = (CUST[0], 4400), (VC2CUST[0], 5500)
    kind = draw.randrange(4)
    offered, answered = (
        (offer, sdp(VC2CUST)),
        (sdp(("0.0.0.0", CUST[1]), more=draw.sample(LINES, 2)), sdp(VC2CUST)),
        (sdp(cust), sdp(vc)),
        (fax(CUST), fax(VC2CUST)),
    )[kind]
    away = draw.choice((sdp(VC2REM), fax(VC2REM), sdp((VC2REM[0], 6600))))
    scene.again(at, offered, answered, away=away, refused=draw.random() < 0.3)
    ends = (cust, vc) if kind == 2 else (CUST, VC2CUST)
    for src, dst, ssrc in ((*ends, draw.choice((1, 3))), (*ends[::-1], 2)):
        if draw.random() < 0.5:
            scene.rtp(at + 0.5, src, dst, ssrc, range(100, draw.randrange(101, 106)))


@lru_cache(POOL)
def pooled(number: int) -> list[tuple[int, int, bytes]]:
    """The frames of one call of the pool by time: stamp, interface, Ethernet frame."""
    return sorted(calls(random.Random(number)).frames)


# -- payloads


def bend_text(data: bytes, draw: random.Random) -> bytes:
    """Lines of a SIP message: twice, gone, swapped, added, without end; numbers at their bounds."""
    lines = data.split(b"\r\n")
    at = draw.randrange(len(lines))
    how = draw.randrange(8)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, lines[draw.randrange(len(lines))])
    elif how == 2:
        lines.insert(at, draw.choice(HEADERS).encode())
    elif how == 3:
        lines.insert(at, draw.choice(LINES).encode())
    elif how == 4:
        lines[at] = lines[at] * draw.choice((2, 3, 200))
    elif how == 5:
        lines[at] = lines[at].replace(b":", b" :\r\n\t", 1)
    elif how == 6:
        lines[at] = bytes(
            draw.choice(b'0123456789;=<>@:"\\ \xff') if draw.random() < 0.2 else c for c in lines[at]
        )
    return draw.choice((b"\r\n", b"\r\n", b"\n", b"\r")).join(lines)


def bend_octets(data: bytes, draw: random.Random) -> bytes:
    """Octets: flipped, at their bounds, cut, doubled."""
    out = bytearray(data)
    if not out:
        return draw.randbytes(draw.randrange(20))
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(out))
        out[at] = draw.choice((0, 255, 0x80, 0x7F, out[at] ^ 1 << draw.randrange(8)))
    how = draw.randrange(5)
    if how == 0:
        del out[draw.randrange(len(out)) :]
    elif how == 1:
        at = draw.randrange(len(out))
        out[at:at] = out[: draw.randrange(len(out))]
    elif how == 2 and len(out) > 3:
        struct.pack_into(">H", out, draw.randrange(len(out) - 1), draw.choice(EDGES) & 0xFFFF)
    return bytes(out)


# -- frames: an Ethernet header of 14, an IPv4 header of 20, a UDP header of 8


def ipv4(protocol: int, addresses: bytes, payload: bytes, identification: int = 0, flags: int = 0) -> bytes:
    src, dst = inet_ntoa(addresses[:4]), inet_ntoa(addresses[4:])
    return ethernet(ip(src, dst, protocol, payload, identification, flags))


def as_tcp(frame: bytes, draw: random.Random) -> list[bytes]:
    """The datagram as segments of a connection."""
    return [ipv4(6, frame[26:34], piece) for piece in segments(frame[42:], frame[34:38], draw)]


def elsewhere(frame: bytes, draw: random.Random) -> list[bytes]:
    """The datagram over WebSocket, SCTP or HEP."""
    return over_another(frame, draw, ipv4, bend_octets)


def as_fragments(frame: bytes, draw: random.Random) -> list[bytes]:
    """The datagram as IP fragments: overlapping, missing, the last one first."""
    datagram, number = frame[34:], draw.randrange(65_536)
    size = draw.choice((8, 24, 104, 504))
    out = []
    for at in range(0, len(datagram), size):
        more = 0x2000 if at + size < len(datagram) else 0
        out.append(
            ipv4(17, frame[26:34], datagram[at : at + size + draw.choice((0, 0, 8))], number, more | at >> 3)
        )
    if draw.random() < 0.3:
        draw.shuffle(out)
    if draw.random() < 0.2:
        del out[draw.randrange(len(out))]
    return out[:60]


def in_tunnel(frame: bytes, draw: random.Random) -> list[bytes]:
    """The packet in tunnels and tags of every kind, in one another, over IPv4 and IPv6."""
    for _ in range(draw.choice((1, 1, 2, 5))):
        packet = frame[14:]
        if not packet or len(packet) > 60_000:
            break
        if draw.random() < 0.3:
            ether_type, body = draw.choice(FRAMED)(packet)
            frame = ethernet(body, ether_type)
            continue
        protocol, body = draw.choice(TUNNELLED)(packet)
        ends = ("2001:db8::1", "2001:db8::2") if draw.random() < 0.1 else ("203.0.113.1", "203.0.113.2")
        frame = ethernet(ip(*ends, protocol, body))
    return [frame]


def bent_payload(frame: bytes, draw: random.Random) -> list[bytes]:
    """The UDP payload bent, the lengths around it true."""
    payload = frame[42:]
    is_text = payload[:1].isalpha()
    payload = (bend_text if is_text and draw.random() < 0.8 else bend_octets)(payload, draw)[:60_000]
    udp = frame[34:38] + struct.pack(">HH", (8 + len(payload)) & 0xFFFF, 0) + payload
    return [ipv4(17, frame[26:34], udp)]


def bent_frame(frame: bytes, draw: random.Random) -> list[bytes]:
    return [bend_octets(frame[:42], draw) + frame[42:]]


BENDERS: tuple[Callable[[bytes, random.Random], list[bytes]], ...] = (
    bent_payload, bent_payload, bent_payload, bent_frame, as_tcp, as_fragments,
    in_tunnel, elsewhere,
)  # fmt: skip


# -- stamps and container


STEPS_S = (-10, 3, 3, 61, 61, 61, 3_700)


def bent_stamp(stamp_ns: int, draw: random.Random) -> int:
    """Set back or ahead: some seconds, over a minute's end, an hour; rarely by years or a day."""
    if draw.random() < 0.1:
        return draw.choice((0, stamp_ns + 86_400 * SECOND, (2**32 - 1) * SECOND))
    return stamp_ns + draw.choice(STEPS_S) * SECOND


def container(packets: list[Packet], draw: random.Random) -> bytes:
    order, link = draw.choice("<>"), LINK_ETHERNET
    if draw.random() < 0.1:  # without their Ethernet headers
        link = LINK_RAW
        packets = [
            replace(packet, data=packet.data[14:], wire=max(0, packet.wire_length - 14)) for packet in packets
        ]
    if draw.random() < 0.5:
        return pcap(
            packets,
            order,
            nanoseconds=draw.random() < 0.5,
            link=link,
            modified=order == "<" and draw.random() < 0.1,
        )
    out = [section(order), interface(order, link), interface(order, link)]
    for packet in packets:
        out.append(enhanced(packet, order))
        if draw.random() < 0.02:
            out.append(statistics(packet.stamp_ns, draw.choice(EDGES), order=order))
    return b"".join(out)


class Capture(NamedTuple):
    """A file. `is_bent`: a frame, a stamp or the file itself was changed."""

    data: bytes
    is_bent: bool


def capture(draw: random.Random) -> Capture:
    """A file with a call of the pool, or with some frames of it; rarely with two that have the same names."""
    share = draw.choice((0.0, 0.05, 0.2, 0.5))
    frames = pooled(draw.randrange(POOL))
    if draw.random() < PARTS:
        first = draw.randrange(len(frames) or 1)
        frames = frames[first : first + draw.randrange(1, 13)]
    elif draw.random() < 0.02:
        frames = sorted(frames + pooled(draw.randrange(POOL)))
    packets = []
    for stamp_ns, number, data in frames:
        if not share or draw.random() >= share:
            packets.append(Packet(stamp_ns, data, interface=number & 1))
            continue
        pieces = draw.choice(BENDERS)(data, draw)
        if draw.random() < 0.2:
            pieces = [
                one for piece in pieces for one in (bent_frame(piece, draw) if len(piece) > 42 else [piece])
            ]
        for piece in pieces:
            stamp = bent_stamp(stamp_ns, draw) if draw.random() < 0.04 else stamp_ns
            cut = piece[: draw.randrange(1, 200)] if draw.random() < 0.1 else piece
            packets.append(Packet(stamp, cut, wire=len(piece), interface=number & 1))
    data = container(packets, draw)
    if draw.random() < 0.03:
        data = gzip.compress(data, 1)
    if is_bent := bool(share) and draw.random() < 0.15:
        data = bend_octets(data, draw)
    return Capture(data, is_bent or bool(share))
