"""Captures that are nearly right: whole calls by hand, bent at one layer or several.

`capture(draw)` gives the bytes of a file. Each layer has its own benders, which know its structure: lengths
that lie, fields at their bounds, lines twice or gone, pieces out of order, other protocols around them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from socket import inet_ntoa

from tests.fuzz.carriers import over_another, segments
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
    """A call or two: SIP of all kinds, media both ways, reports of every type."""
    scene = Scene()
    offer = sdp(
        CUST, types=draw.choice(("8", "0 8 96", "18 101")), more=draw.sample(LINES, draw.randrange(4))
    )
    scene.call(draw.random(), customer=offer)
    for src, dst, ssrc in ((CUST, VC2CUST, 1), (VC2CUST, CUST, 2), (REM, VC2REM, 2), (VC2REM, REM, 1)):
        first = draw.choice((0, 65_530, 1000))
        kind = draw.choice((8, 0, 18, 101, 96, 13))
        scene.rtp(2, src, dst, ssrc, range(first, first + draw.randrange(1, 12)), payload_type=kind)
    for local, peer, ssrc in ((VC2CUST, CUST, 2), (VC2REM, REM, 1)):
        scene.send(3, odd(local), odd(peer), sender_report(ssrc, 7))
        said = block(
            ssrc, draw.choice((0, 3, 0x7FFFFF, -1)), draw.choice(EDGES), lsr=7, dlsr=draw.choice(EDGES)
        )
        scene.send(3.1, odd(peer), odd(local), receiver_report(PHONE, said))
        kind = draw.randrange(9)
        scene.send(3.2, peer, local, extended_report(PHONE, kind, draw.randbytes(4 * draw.randrange(12))))
    if draw.random() < 0.4:
        scene.again(
            4, offer, sdp(VC2CUST), away=draw.choice((sdp(VC2REM), fax(VC2REM))), refused=draw.random() < 0.3
        )
    if draw.random() < 0.4:
        scene.sip(
            5, REMOTE, VC_R, "PUBLISH sip:c@b SIP/2.0", call_id="q", cseq="1 PUBLISH", body=REPORT,
            content="application/vq-rtcpxr",
        )  # fmt: skip
    if draw.random() < 0.4:
        parts = f"--x\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n--x\r\n\r\nnoise\r\n--x--\r\n"
        scene.sip(
            5.5, CUST[0], VC_C, "UPDATE sip:c@b SIP/2.0", call_id="a", to_tag="c", cseq="3 UPDATE",
            body=parts, content="multipart/mixed;boundary=x",
        )  # fmt: skip
    if draw.random() < 0.8:
        scene.bye(draw.choice((6, 70)), headers=draw.sample(HEADERS, 1))
    return scene


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
    """VLAN tags, GRE, IP in IP, VXLAN, in one another."""
    for _ in range(draw.choice((1, 1, 2, 5))):
        ends = frame[26:34] if len(frame) > 34 else bytes(8)
        how = draw.randrange(4)
        if how == 0:
            frame = frame[:12] + b"\x81\x00\x00\x07" + frame[12:]
        elif how == 1:
            frame = ipv4(47, ends, b"\x00\x00\x08\x00" + frame[14:])
        elif how == 2:
            frame = ipv4(4, ends, frame[14:])
        else:
            inner = (
                struct.pack(">HHHH", 4789, 4789, (16 + len(frame)) & 0xFFFF, 0)
                + b"\x08\0\0\0\0\0\x07\0"
                + frame
            )
            frame = ipv4(17, ends, inner)
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


def bent_stamp(stamp_ns: int, draw: random.Random) -> int:
    return draw.choice(
        (
            0,
            stamp_ns - 10 * SECOND,
            stamp_ns + 61 * SECOND,
            stamp_ns + 86_400 * SECOND,
            (2**32 - 1) * SECOND,
            stamp_ns,
        )
    )


def container(packets: list[Packet], draw: random.Random) -> bytes:
    order = draw.choice("<>")
    if draw.random() < 0.5:
        return pcap(
            packets, order, nanoseconds=draw.random() < 0.5, modified=order == "<" and draw.random() < 0.1
        )
    out = [section(order), interface(order), interface(order)]
    for packet in packets:
        out.append(enhanced(packet, order))
        if draw.random() < 0.02:
            out.append(statistics(packet.stamp_ns, draw.choice(EDGES), order=order))
    return b"".join(out)


def capture(draw: random.Random) -> bytes:
    """The bytes of one file."""
    share = draw.choice((0.0, 0.02, 0.1, 0.5))
    packets = []
    for stamp_ns, number, data in sorted(calls(draw).frames):
        pieces = [data]
        if draw.random() < share:
            pieces = draw.choice(BENDERS)(data, draw)
            if draw.random() < 0.2:
                pieces = [
                    one
                    for piece in pieces
                    for one in (bent_frame(piece, draw) if len(piece) > 42 else [piece])
                ]
        for piece in pieces:
            stamp = bent_stamp(stamp_ns, draw) if draw.random() < share / 20 else stamp_ns
            cut = piece[: draw.randrange(1, 200)] if draw.random() < share / 10 else piece
            packets.append(Packet(stamp, cut, wire=len(piece), interface=number & 1))
    data = container(packets, draw)
    return bend_octets(data, draw) if draw.random() < 0.1 else data
