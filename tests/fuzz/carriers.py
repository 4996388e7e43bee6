"""A frame in a tunnel of each kind, and a SIP datagram over another carrier: WebSocket, SCTP and HEP.

Their framing lies here and there.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.kit.packets import GRE, SCTP, TCP, UDP, datagram, ethernet, ip_type

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n"
)
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: sip\r\n"
Bend = Callable[[bytes, random.Random], bytes]
Ip = Callable[[int, bytes, bytes], bytes]  # protocol, addresses, payload -> frame


# Of a packet: the EtherType of a frame around it, or the IP protocol of a packet, and the body.
FRAMED: tuple[Callable[[bytes], tuple[int, bytes]], ...] = (
    lambda packet: (0x8100, b"\0\7" + struct.pack(">H", ip_type(packet)) + packet),
    lambda packet: (0x88A8, b"\0\7\x81\0\0\1" + struct.pack(">H", ip_type(packet)) + packet),
    lambda packet: (0x8926, b"\x80\2\3\xe8" + struct.pack(">H", ip_type(packet)) + packet),
    lambda packet: (0x8847, b"\0\1\0\x40\0\2\1\x40" + packet),
    lambda packet: (0x8864, b"\x11\0\0\7" + struct.pack(">H", 2 + len(packet) & 0xFFFF) + b"\0\x21" + packet),
)
TUNNELLED: tuple[Callable[[bytes], tuple[int, bytes]], ...] = (
    lambda packet: (4, packet),
    lambda packet: (41, packet),
    lambda packet: (GRE, b"\x20\0" + struct.pack(">H", ip_type(packet)) + b"\0\0\0\7" + packet),
    lambda packet: (GRE, b"\x20\0\x65\x58\0\0\7\0" + ethernet(packet)),
    lambda packet: (GRE, b"\x10\0\x88\xbe\0\0\0\1\x10\0\0\7" + bytes(4) + ethernet(packet)),
    lambda packet: (GRE, b"\x10\0\x22\xeb\0\0\0\1\x20\0\0\7" + bytes(8) + ethernet(packet)),
    lambda packet: (
        GRE,
        b"\x30\1\x88\x0b" + struct.pack(">HHI", 4 + len(packet) & 0xFFFF, 7, 1) + b"\xff\3\0\x21" + packet,
    ),
    lambda packet: (UDP, datagram(33333, 4789, b"\x08\0\0\0\0\0\7\0" + ethernet(packet))),
    lambda packet: (UDP, datagram(33333, 6081, b"\2\0\x65\x58\0\0\7\0" + bytes(8) + ethernet(packet))),
    lambda packet: (UDP, datagram(2152, 2152, b"\x30\xff" + struct.pack(">HI", len(packet), 7) + packet)),
    lambda packet: (UDP, datagram(1701, 1701, b"\0\2\0\1\0\7\xff\3\0\x21" + packet)),
)


def web_socket_frame(payload: bytes, first: int, draw: random.Random) -> bytes:
    """One frame (RFC 6455 5.2), masked or not, whose length is longer than needed now and then."""
    mask = draw.choice((b"", draw.randbytes(4)))
    masked = bytes(octet ^ mask[at & 3] for at, octet in enumerate(payload)) if mask else payload
    form, bit = draw.random(), 0x80 if mask else 0
    if len(payload) < 126 and form < 0.9:
        head = bytes((first, bit | len(payload)))
    elif len(payload) < 1 << 16 and form < 0.97:
        head = bytes((first, bit | 126)) + struct.pack(">H", len(payload))
    else:
        head = bytes((first, bit | 127)) + struct.pack(">Q", draw.choice((len(payload), 1 << 63, 1 << 40)))
    return head + mask + masked


def web_socket(message: bytes, draw: random.Random) -> bytes:
    """A stream: the handshake, then the message in one frame or in several with a ping between."""
    out = [
        draw.choice((UPGRADE, UPGRADED)) + draw.choice((b"\r\n", b"Sec-WebSocket-Extensions: x\r\n\r\n", b""))
    ]
    pieces = [message[at : at + 300] for at in range(0, len(message), 300)] or [b""]
    for number, piece in enumerate(pieces):
        first = (
            (0x81 if len(pieces) == 1 else 0x01) if not number else (0x80 if number == len(pieces) - 1 else 0)
        )
        if draw.random() < 0.1:
            first = draw.choice((0x88, 0x8A, 0x83, 0xC1, 0x00, 0x91))
        out.append(web_socket_frame(piece, first, draw))
        if draw.random() < 0.2:
            out.append(web_socket_frame(b"ping", 0x89, draw))
    return b"".join(out)


def sctp_packet(message: bytes, ports: bytes, draw: random.Random) -> bytes:
    """DATA chunks (RFC 9260 3.3.1) of a message, whole or fragmented, beside chunks of other kinds."""
    number, size = draw.choice((1, 0xFFFFFFFE, 7)), draw.choice((60_000, 400, 100))
    pieces = [message[at : at + size] for at in range(0, len(message), size)] or [b""]
    chunks = []
    for at, piece in enumerate(pieces):
        flags = (2 if not at else 0) | (1 if at == len(pieces) - 1 else 0) | draw.choice((0, 0, 4))
        length = 16 + len(piece)
        value = struct.pack(
            ">IHHI", (number + at) & 0xFFFFFFFF, draw.choice((0, 0, 5)), 0, draw.choice((0, 0, 60))
        )
        said = length if draw.random() < 0.95 else draw.choice((0, 3, 4, 15, 16, 65_535))
        chunks.append(struct.pack(">BBH", 0, flags, said & 0xFFFF) + value + piece + bytes(-length % 4))
    for kind in draw.sample((1, 3, 4, 6, 14, 192), draw.choice((0, 0, 2))):
        chunks.insert(draw.randrange(len(chunks) + 1), struct.pack(">BBH", kind, 0, 20) + bytes(16))
    if draw.random() < 0.3:
        draw.shuffle(chunks)
    return ports + draw.randbytes(8) + b"".join(chunks)


def hep_chunk(kind: int, value: bytes, draw: random.Random) -> bytes:
    length = 6 + len(value) if draw.random() < 0.97 else draw.choice((0, 5, 6, 65_535))
    vendor = 0 if draw.random() < 0.97 else 7
    return struct.pack(">HHH", vendor, kind, length & 0xFFFF) + value


def hep(frame: bytes, message: bytes, draw: random.Random) -> bytes:
    """A HEP3 packet that says it saw `frame`, some chunks twice, gone or of another size."""
    chunks = [
        (1, b"\x02"), (2, b"\x11"), (3, frame[26:30]), (4, frame[30:34]), (7, frame[34:36]),
        (8, frame[36:38]), (9, struct.pack(">I", draw.choice((0, 1_700_000_000, 0xFFFFFFFF)))),
        (10, struct.pack(">I", 999_999)),
        (11, draw.choice((b"\x01", b"\x01", b"\x05", b"\x64"))), (12, b"\0\0\0\7"),
        (draw.choice((15, 15, 15, 16)), message),
    ]  # fmt: skip
    if draw.random() < 0.3:
        del chunks[draw.randrange(len(chunks))]
    if draw.random() < 0.2:
        chunks.insert(draw.randrange(len(chunks)), draw.choice(chunks))
    if draw.random() < 0.2:
        at = draw.randrange(len(chunks))
        chunks[at] = chunks[at][0], chunks[at][1] + draw.randbytes(3)
    body = b"".join(hep_chunk(kind, value, draw) for kind, value in chunks)
    said = 6 + len(body) if draw.random() < 0.9 else draw.choice((0, 6, 65_535))
    return b"HEP3" + struct.pack(">H", said & 0xFFFF) + body


def segments(stream: bytes, ports: bytes, draw: random.Random) -> list[bytes]:
    """A byte stream as TCP segments, some of them again or out of order; at most forty."""
    seq, out = draw.choice((0, 1000, 0xFFFFFF00)), []
    while stream:
        size = draw.choice((1, 7, 100, 1400))
        head = struct.pack(
            ">IIBBHHH", seq & 0xFFFFFFFF, 0, 0x50, draw.choice((0x10, 0x18, 0x02, 0x11)), 999, 0, 0
        )
        out.append(ports + head + stream[:size])
        seq, stream = seq + size, stream[size:]
    if len(out) > 1 and draw.random() < 0.3:
        draw.shuffle(out)
    if len(out) > 1 and draw.random() < 0.2:
        out.append(out[draw.randrange(len(out))])
    return out[:40]


def over_another(frame: bytes, draw: random.Random, ip: Ip, bend: Bend) -> list[bytes]:
    """The datagram of an Ethernet frame over a carrier drawn: frames."""
    addresses, ports, message = frame[26:34], frame[34:38], frame[42:]
    how, bent = draw.randrange(4), draw.random() < 0.5
    if how == 0:
        stream = web_socket(message, draw)
        pieces = segments(bend(stream, draw) if bent else stream, ports, draw)
        return [ip(TCP, addresses, piece) for piece in pieces]
    if how == 1:
        packet = sctp_packet(message, ports, draw)
        return [ip(SCTP, addresses, bend(packet, draw) if bent else packet)]
    said = hep(frame, message, draw)
    said = bend(said, draw) if bent else said
    if how == 2:
        return [ip(TCP, addresses, piece) for piece in segments(said, ports, draw)]
    datagram = ports[:2] + struct.pack(">HHH", 9060, (8 + len(said)) & 0xFFFF, 0) + said
    return [ip(UDP, addresses, datagram)]
