"""HEP3 (EEP), the packet in which capture agents send SIP to a collector: chunks of vendor, type and length.

Each chunk: vendor (16 bits, 0 is generic), type (16), length with these six bytes (16), value.
"""

from __future__ import annotations

from msgspec import Struct

from agent.errors import Reason, WireError
from agent.wire.ip.packet_cy import address

MAGIC = b"HEP3"
HEADER, CHUNK_HEADER = 6, 6
CHUNKS_MAX = 64
# Types of generic chunks.
FAMILY, IP_PROTOCOL, SRC4, DST4, SRC6, DST6, SRC_PORT, DST_PORT = range(1, 9)
SECONDS, MICROSECONDS, PAYLOAD_KIND, CAPTURE_ID = range(9, 13)
PAYLOAD, COMPRESSED_PAYLOAD = 15, 16
KIND_SIP = 1  # values of PAYLOAD_KIND; all others (5: RTCP as JSON, 100: a log) are not SIP
_NUMBERS = {
    IP_PROTOCOL: 1,
    SRC_PORT: 2,
    DST_PORT: 2,
    SECONDS: 4,
    MICROSECONDS: 4,
    PAYLOAD_KIND: 1,
    CAPTURE_ID: 4,
}


class HepPacket(Struct, frozen=True):
    """Addresses, ports and time (ns since the epoch) as the capture agent saw them. `kind`: PAYLOAD_KIND."""

    src: str
    src_port: int
    dst: str
    dst_port: int
    protocol: int
    stamp_ns: int
    kind: int
    capture_id: int
    payload: bytes


def hep_packet(data: bytes) -> HepPacket:
    """Parses one HEP3 packet.

    Raises:
        WireError: it is not HEP3, is cut, or has no addresses; its payload is compressed.
    """
    if len(data) < HEADER or not data.startswith(MAGIC):
        raise WireError(Reason.HEP_MALFORMED, "no HEP3")
    end = int.from_bytes(data[4:6], "big")
    if not HEADER <= end <= len(data):
        raise WireError(Reason.HEP_MALFORMED, "cut")
    chunks: dict[int, bytes] = {}
    at = HEADER
    for _ in range(CHUNKS_MAX):
        if at + CHUNK_HEADER > end:
            break
        vendor, kind, length = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (0, 2, 4))
        if length < CHUNK_HEADER or at + length > end:
            raise WireError(Reason.HEP_MALFORMED, "a chunk's length")
        if vendor == 0:
            chunks.setdefault(kind, data[at + CHUNK_HEADER : at + length])
        at += length
    numbers = {
        kind: int.from_bytes(chunks[kind], "big")
        for kind, size in _NUMBERS.items()
        if len(chunks.get(kind, b"")) == size
    }
    if COMPRESSED_PAYLOAD in chunks and PAYLOAD not in chunks:
        raise WireError(Reason.HEP_MALFORMED, "compressed")
    return HepPacket(
        _address(chunks, SRC4, SRC6),
        numbers.get(SRC_PORT, 0),
        _address(chunks, DST4, DST6),
        numbers.get(DST_PORT, 0),
        numbers.get(IP_PROTOCOL, 0),
        numbers.get(SECONDS, 0) * 1_000_000_000 + numbers.get(MICROSECONDS, 0) * 1000,
        numbers.get(PAYLOAD_KIND, 0),
        numbers.get(CAPTURE_ID, 0),
        chunks.get(PAYLOAD, b""),
    )


def _address(chunks: dict[int, bytes], four: int, six: int) -> str:
    """The text of the IPv4 or the IPv6 address, whichever the packet has."""
    value = chunks.get(four, b"")
    if len(value) == 4:
        return address(0, 0xFFFF << 32 | int.from_bytes(value, "big"))
    value = chunks.get(six, b"")
    if len(value) != 16:
        raise WireError(Reason.HEP_MALFORMED, "no address")
    return address(int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big"))
