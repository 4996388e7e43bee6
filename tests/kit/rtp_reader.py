"""RTP headers (RFC 3550 5.1), redundant audio (RFC 2198) and telephone events (RFC 4733), one at a time.

The compiled loop has its own reader; this one tells tests what is right.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from agent.errors import Reason, WireError

_FIXED = Struct(">BBHII")
_EVENT = Struct(">BBH")

RED_BLOCKS_MAX = 32  # one packet could hold a thousand headers; senders carry one to three generations


class Header(NamedTuple):
    """One packet: its header fields and where its payload lies in the datagram."""

    version: int
    padding: bool
    extension: bool
    csrc_count: int
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload_offset: int
    payload_length: int  # without padding


class RedBlock(NamedTuple):
    """One encoding in a RED payload: `offset` and `length` in that payload; the last is the primary one."""

    payload_type: int
    timestamp_offset: int  # ticks before the packet's timestamp; 0 for the primary
    offset: int
    length: int


class Event(NamedTuple):
    """A telephone event (RFC 4733 2.3); `duration` in ticks of the event stream's clock."""

    event: int
    end: bool
    volume: int
    duration: int


def parse(data: bytes) -> Header:
    """Read the header of one RTP packet (UDP payload).

    A padding count that cannot be is ignored, as is a missing end of the datagram (the capture cut it): then
    the payload is what is there.

    Raises:
        WireError: RTP_MALFORMED if it is too short, not version 2, or an RTCP packet type (RFC 5761 4).
    """
    if len(data) < 12 or data[0] & 0xC0 != 0x80 or 192 <= data[1] <= 223:
        raise WireError(Reason.RTP_MALFORMED)
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
    offset = 12 + 4 * (first & 0x0F)
    extension = bool(first & 0x10)
    if extension:  # 5.3.1: 16 bits defined by the profile, then the length in words without this one
        if offset + 4 > len(data):
            raise WireError(Reason.RTP_MALFORMED)
        offset += 4 + 4 * (data[offset + 2] << 8 | data[offset + 3])
    if offset > len(data):
        raise WireError(Reason.RTP_MALFORMED)
    length = len(data) - offset
    padding = bool(first & 0x20)
    if padding and length and 0 < data[-1] <= length:
        length -= data[-1]
    return Header(
        2,
        padding,
        extension,
        first & 0x0F,
        bool(second & 0x80),
        second & 0x7F,
        sequence,
        timestamp,
        ssrc,
        offset,
        length,
    )


def red(payload: bytes) -> list[RedBlock]:
    """The encodings in a RED payload (RFC 2198 3), oldest first, the primary last.

    Raises:
        WireError: RTP_MALFORMED if headers or blocks go beyond the payload.
    """
    headers: list[tuple[int, int, int]] = []
    at = 0
    while at < len(payload) and payload[at] & 0x80:  # F: another header follows
        if at + 4 > len(payload) or len(headers) >= RED_BLOCKS_MAX:
            raise WireError(Reason.RTP_MALFORMED)
        word = int.from_bytes(payload[at : at + 4], "big")
        headers.append((word >> 24 & 0x7F, word >> 10 & 0x3FFF, word & 0x3FF))
        at += 4
    if at >= len(payload):
        raise WireError(Reason.RTP_MALFORMED)
    primary = payload[at] & 0x7F
    at += 1
    blocks = []
    for payload_type, timestamp_offset, length in headers:
        blocks.append(RedBlock(payload_type, timestamp_offset, at, length))
        at += length
    if at > len(payload):
        raise WireError(Reason.RTP_MALFORMED)
    blocks.append(RedBlock(primary, 0, at, len(payload) - at))
    return blocks


def event(payload: bytes) -> Event:
    """The first event in a telephone-event payload.

    Raises:
        WireError: RTP_MALFORMED if it is shorter than 4 bytes.
    """
    if len(payload) < 4:
        raise WireError(Reason.RTP_MALFORMED)
    number, flags, duration = _EVENT.unpack_from(payload)
    return Event(number, bool(flags & 0x80), flags & 0x3F, duration)
