"""Headers of WebSocket frames (RFC 6455 5.2) and their masking (5.3)."""

from __future__ import annotations

from msgspec import Struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
FIN, RSV1, RSV_OTHER, MASKED = 0x80, 0x40, 0x30, 0x80
CONTROL_MAX = 125  # bytes of a control frame's payload (5.5)
HEADER_MAX = 14


class FrameHeader(Struct, frozen=True):
    """`size` bytes of header, then `length` bytes of payload under `mask` (b"": not masked)."""

    size: int
    length: int
    opcode: int
    is_last: bool
    is_compressed: bool  # RSV1: permessage-deflate (RFC 7692 6)
    mask: bytes

    @property
    def is_control(self) -> bool:
        return self.opcode >= CLOSE


def frame_header(data: bytes | bytearray) -> FrameHeader | None:
    """The header at the start of `data`; None where more bytes are needed.

    Raises:
        ValueError: no frame of RFC 6455 begins so.
    """
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    opcode, length, size = first & 15, second & 0x7F, 2
    if first & RSV_OTHER or opcode not in OPCODES:
        raise ValueError("a reserved bit or opcode")
    if opcode >= CLOSE and (length > CONTROL_MAX or not first & FIN or first & RSV1):
        raise ValueError("a control frame is short, whole and not compressed")
    extended = {126: 2, 127: 8}.get(length, 0)
    masked = 4 if second & MASKED else 0
    if len(data) < size + extended + masked:
        return None
    if extended:
        length = int.from_bytes(data[size : size + extended], "big")
        size += extended
    if length >> 63:
        raise ValueError("the most significant bit of a length is 0")
    mask = bytes(data[size : size + masked])
    return FrameHeader(size + masked, length, opcode, bool(first & FIN), bool(first & RSV1), mask)


def unmasked(data: bytes, mask: bytes) -> bytes:
    """`data` with the four bytes of `mask` removed; an empty mask changes nothing."""
    if not mask or not data:
        return data
    pad = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")
