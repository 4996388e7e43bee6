"""The floods of the live rig: a few frames each, with places that change every time they are sent again.

`KINDS` names them. Each takes the media sockets of the real calls beside it, (peer, vc) pairs, and gives the
records that `tests/kit/frame_flood.c` sends.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kit.flooding import fat_sdp
from tests.kit.packets import TCP, UDP, Socket, ethernet, ip, udp

Pair = tuple[Socket, Socket]  # a peer, and the vc's socket that it sends to

VC, TRUNK, STRANGER = "10.20.0.1", "10.20.0.10", "203.0.113.9"
SOURCES = 10_000
HEAD = 14 + 20 + 8  # Ethernet, IPv4, UDP
MARK = b"@@@@@@@@"  # where a number stands in a text


@dataclass
class Record:
    """A frame. `places`: (offset, is text, first value, what each round adds)."""

    data: bytes
    places: list[tuple[int, bool, int, int]] = field(default_factory=list)

    def packed(self) -> bytes:
        places = b"".join(struct.pack("=4I", *place) for place in self.places)
        return struct.pack("=2I", len(self.data), len(self.places)) + places + self.data


def ipv4(source: str, protocol: int, payload: bytes, flags: int = 0) -> bytes:
    """A frame to the vc; its identification is 7."""
    return ethernet(ip(source, VC, protocol, payload, 7, flags))


def datagram(source: Socket, target: Socket, payload: bytes) -> bytes:
    return ethernet(udp(source, target, payload, 7))


def sip(method: str, source: str, first: int, *, more: str = "", body: str = "", name: str = "") -> Record:
    """A request with identifiers that no other has. `first`: their number in the first round."""
    mark = name + MARK.decode()
    kind = "Content-Type: application/sdp\r\n" if body else ""
    text = (
        f"{method} sip:100@{VC} SIP/2.0\r\nVia: SIP/2.0/UDP {source}:5060;branch=z9hG4bK{mark}\r\n"
        f"From: <sip:flood@example.net>;tag={mark}\r\nTo: <sip:100@example.net>\r\nCall-ID: {mark}@flood\r\n"
        f"CSeq: 1 {method}\r\n{more}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    data = datagram((source, 5060), (VC, 5060), text)
    places, at = [], data.find(MARK)
    while at >= 0:
        places.append((at, True, first, SOURCES))
        at = data.find(MARK, at + len(MARK))
    return Record(data, places)


def rtp(pair: Pair, ssrc: int, step: int, sequence: int = 0) -> Record:
    head = struct.pack(">BBHII", 0x80, 8, sequence, 160 * sequence, ssrc)
    return Record(datagram(*pair, head + bytes(160)), [(HEAD + 8, False, ssrc, step)])


def segment(source: str, port: int, payload: bytes, seq: int, step: int) -> Record:
    head = struct.pack(">HHIIBBHHH", port, 5060, seq, 1, 0x50, 0x10, 999, 0, 0)
    return Record(ipv4(source, TCP, head + payload), [(34 + 4, False, seq, step)])


# -- the kinds


def one_source(sockets: list[Pair]) -> list[Record]:
    return [sip("INVITE", STRANGER, 0, more="User-Agent: friendly-scanner\r\n")]


def spoofed_sources(sockets: list[Pair]) -> list[Record]:
    return [sip("INVITE", f"203.{number >> 8}.{number & 255}.9", number) for number in range(SOURCES)]


def trunks_address(sockets: list[Pair]) -> list[Record]:
    return [sip("INVITE", TRUNK, 0)]


def ssrcs(sockets: list[Pair]) -> list[Record]:
    """A new SSRC each packet, from a stranger onto the vc's sockets of real calls."""
    pairs = [((STRANGER, 40_000), vc) for _, vc in sockets]
    return [rtp(pair, 0x40000000 + number, len(pairs)) for number, pair in enumerate(pairs)]


def forged_ssrcs(sockets: list[Pair]) -> list[Record]:
    """The same with the peers' own addresses and ports."""
    return [rtp(pair, 0x40000000 + number, len(sockets)) for number, pair in enumerate(sockets)]


def own_address(sockets: list[Pair]) -> list[Record]:
    """Media and INVITEs from afar in the vc's own name, to whom it deals with."""
    media = [rtp((vc, peer), 0x60000000 + number, len(sockets)) for number, (peer, vc) in enumerate(sockets)]
    records = [*media, sip("INVITE", VC, 0)]
    for record in records:  # to all, for the kernel to take it
        record.data = b"\xff" * 6 + record.data[6:]
    return records


def forged_pairs(sockets: list[Pair]) -> list[Record]:
    """Streams of two packets from the peers' own sockets, forged."""
    return [
        rtp(pair, 0x20000000 + number, len(sockets), sequence)
        for number, pair in enumerate(sockets)
        for sequence in (0, 1)
    ]


def two_packet_ssrcs(sockets: list[Pair]) -> list[Record]:
    """Streams of two packets from a stranger, onto the vc's sockets and beside them."""
    targets = [((STRANGER, 40_000), vc) for _, vc in sockets] + [((STRANGER, 40_000), (VC, 59_000))]
    return [
        rtp(pair, 0x20000000 + number, len(targets), sequence)
        for number, pair in enumerate(targets)
        for sequence in (0, 1)
    ]


def registers(sockets: list[Pair]) -> list[Record]:
    return [sip("REGISTER", STRANGER, 0)]


def fragments(sockets: list[Pair]) -> list[Record]:
    """First fragments whose rest never comes."""
    first = struct.pack(">4H", 5060, 5060, 4000, 0) + b"INVITE sip:100@b SIP/2.0\r\n" + bytes(974)
    data = [ipv4(f"203.0.113.{number}", UDP, first, flags=0x2000) for number in range(250)]
    # Identification and flags are one place of four bytes.
    return [Record(each, [(18, False, 0x2000, 1 << 16)]) for each in data]


def tiny_tcp(sockets: list[Pair]) -> list[Record]:
    """One connection, a line a segment, no line of which is the last."""
    line = b"INVITE sip:a SIP/2.0\r\n"
    return [segment(STRANGER, 40_000, line, 1, len(line))]


def large_tcp(sockets: list[Pair]) -> list[Record]:
    """64 kB of short lines a segment, on sixteen connections."""
    payload = b"a\n" * 32_000
    return [segment(STRANGER, 40_000 + number, payload, 1, len(payload)) for number in range(16)]


def large_sip(sockets: list[Pair]) -> list[Record]:
    """INVITEs of 59 kB, whose identifiers are as long as they may be."""
    return [sip("INVITE", f"203.0.113.{number}", number, name="x" * 14_000) for number in range(16)]


def large_sdp(sockets: list[Pair]) -> list[Record]:
    """INVITEs of 59 kB with 28 m-lines, and types, candidates and SSRCs as many as fit."""
    body = fat_sdp(STRANGER, random.Random(1))
    return [sip("INVITE", f"203.0.113.{number}", number, body=body) for number in range(16)]


def rtcp(sockets: list[Pair]) -> list[Record]:
    """Sender reports of 31 blocks with BYE, in the peers' names and a stranger's, onto the vc's sockets."""
    block = struct.pack(">6I", 9, 0x20000063, 1, 99, 0, 0)
    report = struct.pack(">BBHI", 0x9F, 200, 6 + 6 * 31, 1) + bytes(20) + block * 31
    bye = struct.pack(">BBHI", 0x81, 203, 1, 1)
    pairs = [*sockets, *(((STRANGER, 40_001), vc) for _, vc in sockets)]
    pairs += [((peer, port + 1), (vc, vc_port + 1)) for (peer, port), (vc, vc_port) in sockets]
    return [
        Record(datagram(*pair, report + bye), [(HEAD + 4, False, number, len(pairs))])
        for number, pair in enumerate(pairs)
    ]


KINDS: dict[str, tuple[str, Callable[[list[Pair]], list[Record]]]] = {
    "one-source": ("INVITEs of one source", one_source),
    "spoofed-sources": ("INVITEs of 10,000 forged sources", spoofed_sources),
    "trunk": ("INVITEs with the trunk's address", trunks_address),
    "ssrcs": ("RTP of a new SSRC each packet, onto the calls' sockets", ssrcs),
    "forged-ssrcs": ("the same from the peers' own sockets, forged", forged_ssrcs),
    "pairs": ("streams of two packets, onto the calls' sockets and beside", two_packet_ssrcs),
    "forged-pairs": ("streams of two packets from the peers' own sockets, forged", forged_pairs),
    "own-address": ("RTP and INVITEs in the vc's own name, from afar", own_address),
    "registers": ("REGISTERs", registers),
    "fragments": ("fragments never finished", fragments),
    "tiny-tcp": ("TCP segments of 22 bytes, a line each", tiny_tcp),
    "large-tcp": ("TCP segments of 64 kB of short lines", large_tcp),
    "large-sip": ("INVITEs of 59 kB, long identifiers", large_sip),
    "large-sdp": ("INVITEs of 59 kB, 28 m-lines", large_sdp),
    "rtcp": ("sender reports of 31 blocks with BYE", rtcp),
}
