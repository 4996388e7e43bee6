"""IP packets made here: of what another program dissected, and of fragments put together."""

from __future__ import annotations

import struct

UDP = 17
HOPS = 64
MAX_PAYLOAD = 65_507  # of UDP over IPv4 (RFC 768, RFC 791)


def datagram(
    source: bytes, destination: bytes, ports: bytes, payload: bytes, identification: int = 0
) -> bytes:
    """An IP packet with `payload` in UDP, of raw addresses and ports; no checksums, as with offload.

    `identification`: of IPv4. `payload` has MAX_PAYLOAD bytes at most.
    """
    udp = ports + struct.pack("!HH", 8 + len(payload), 0) + payload
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(udp), UDP, HOPS) + source + destination + udp
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), identification & 0xFFFF, 0, HOPS, UDP, 0)
    return head + source + destination + udp
