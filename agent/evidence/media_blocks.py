"""A media packet in the form that evidence keeps: no payload, no text, a comment at each loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, field

from agent.errors import WireError
from agent.evidence.picker_cy import MediaPacket, Socket
from agent.wire.rtp import rtcp

BLANK = b"x"
SRTCP_CLEAR = 8  # octets: RFC 3711 3.4 leaves these unencrypted
LEAST_RTCP = 4
MAX_GAP = 3_000  # RFC 3550 A.1 MAX_DROPOUT: a jump beyond is a new start
HALF = 0x8000
MAX_STREAMS = 64  # of one call: SSRCs come from the wire
MAX_PAIRS = 256  # of report blocks


def without_text(packet: MediaPacket) -> bytes:
    """The octets of an RTCP packet whose names, reasons and application data are blanked.

    Lengths stay, so the packets are read as before. Ciphertext and damage are cut behind the clear octets.
    """
    octets = bytearray(packet.octets)
    at, end = packet.payload_at, len(octets)
    changed = False
    while at + LEAST_RTCP <= end:
        stop = at + 4 + 4 * (octets[at + 2] << 8 | octets[at + 3])
        if octets[at] & 0xC0 != 0x80 or stop > end:
            break
        texts = _TEXTS.get(octets[at + 1], _unknown)(octets, at, stop)
        for begin, end_of_text in texts:
            octets[begin:end_of_text] = BLANK * (end_of_text - begin)
            changed = True
        at = stop
    if at != end:
        return bytes(octets[: packet.payload_at + SRTCP_CLEAR])
    if changed and "." in packet.src[0]:
        octets[packet.payload_at - 2 : packet.payload_at] = b"\0\0"  # RFC 768: no checksum
    return bytes(octets)


Texts = list[tuple[int, int]]


def _sdes(octets: bytearray, at: int, stop: int) -> Texts:
    """The values of all items (RFC 3550 6.5): names, telephone numbers, mail addresses, places."""
    texts = []
    chunk = at + 4
    for _ in range(octets[at] & 31):
        item = chunk + 4
        while item + 2 <= stop and octets[item]:
            end = min(item + 2 + octets[item + 1], stop)
            texts.append((item + 2, end))
            item = end
        chunk = item + 4 - (item - chunk) % 4  # a null ends the chunk, and more up to its word's end
    return [*texts, *_behind(chunk, stop)]


def _behind(at: int, stop: int) -> Texts:
    """Octets of a packet behind all that its definition names."""
    return [(at, stop)] if at < stop else []


def _bye(octets: bytearray, at: int, stop: int) -> Texts:
    """The reason for leaving (RFC 3550 6.6)."""
    length = at + 4 + 4 * (octets[at] & 31)
    return [(length + 1, min(length + 1 + octets[length], stop))] if length < stop else []


def _app(octets: bytearray, at: int, stop: int) -> Texts:
    """Data behind the name (RFC 3550 6.7)."""
    return _behind(at + 12, stop)


def _sender(octets: bytearray, at: int, stop: int) -> Texts:
    """A profile's extension behind sender info and blocks (RFC 3550 6.4.1): whatever its maker put there."""
    return _behind(at + 28 + 24 * (octets[at] & 31), stop)


def _receiver(octets: bytearray, at: int, stop: int) -> Texts:
    """A profile's extension behind the blocks (RFC 3550 6.4.2)."""
    return _behind(at + 8 + 24 * (octets[at] & 31), stop)


def _feedback(octets: bytearray, at: int, stop: int) -> Texts:
    """The request itself, but in formats that hold numbers alone (RFC 4585 6.2)."""
    return [] if octets[at] & 31 in NUMBERED_FORMATS else _behind(at + 12, stop)


def _extended(octets: bytearray, at: int, stop: int) -> Texts:
    """The content of blocks that hold other things than numbers, or nobody knows what (RFC 3611 3)."""
    texts: Texts = []
    at += 8
    while at + 4 <= stop:
        end = min(at + 4 + 4 * (octets[at + 2] << 8 | octets[at + 3]), stop)
        if octets[at] not in NUMBERED_BLOCKS:
            texts += _behind(at + 4, end)
        at = end
    return texts


def _unknown(octets: bytearray, at: int, stop: int) -> Texts:
    return _behind(at + SRTCP_CLEAR, stop)


NUMBERED_FORMATS = frozenset({1, 3, 4, 8, 11, 15})  # NACK, TMMBR, TMMBN, ECN, CCFB, TWCC
NUMBERED_BLOCKS = frozenset(range(1, 8))  # RFC 3611 4
_TEXTS = {
    200: _sender,
    201: _receiver,
    202: _sdes,
    203: _bye,
    204: _app,
    205: _feedback,
    207: _extended,
}


class LossComments(Struct):
    """Comments on the losses between one call's packets, which come in order. One object a call."""

    newest: dict[tuple[Socket, Socket, int], int] = field(default_factory=dict)
    lost: dict[tuple[Socket, int, int], int] = field(default_factory=dict)
    count: int = 0

    def of(self, packet: MediaPacket, known: Counter[tuple[Socket, Socket, int, int]]) -> str:
        """The comment on `packet`, or "". `known`: numbers of this time, of `packet` and of later packets."""
        found = self._of_rtcp(packet) if packet.sequence < 0 else self._of_rtp(packet, known)
        self.count += bool(found)
        return found

    def _of_rtp(self, packet: MediaPacket, known: Counter[tuple[Socket, Socket, int, int]]) -> str:
        key = packet.src, packet.dst, packet.ssrc
        before = self.newest.get(key)
        if before is None:
            if len(self.newest) < MAX_STREAMS:
                self.newest[key] = packet.sequence
            return ""
        ahead = (packet.sequence - before) & 0xFFFF
        if ahead >= HALF or ahead == 0:
            return ""  # late or a copy
        self.newest[key] = packet.sequence
        if ahead >= MAX_GAP:
            return ""
        missing = [
            number
            for number in ((before + step) & 0xFFFF for step in range(1, ahead))
            if (*key, number) not in known
        ]
        if not missing:
            return ""
        numbers = f"number {missing[0]}" if len(missing) == 1 else f"numbers {missing[0]} to {missing[-1]}"
        return (
            f"{len(missing)} RTP lost before this packet: sequence {numbers} of SSRC 0x{packet.ssrc:08X}"
            " did not come to this host, or its capture missed them"
        )

    def _of_rtcp(self, packet: MediaPacket) -> str:
        try:
            reports = rtcp.parse(packet.octets[packet.payload_at :]).reports
        except WireError:
            return ""
        return "; ".join(
            text for report in reports for block in report.blocks if (text := self._of_block(packet, block))
        )

    def _of_block(self, packet: MediaPacket, block: rtcp.ReportBlock) -> str:
        key = packet.src, packet.ssrc, block.ssrc
        before = self.lost.get(key, 0)
        if key not in self.lost and len(self.lost) >= MAX_PAIRS:
            return ""
        self.lost[key] = block.cumulative_lost
        more = block.cumulative_lost - before
        if more <= 0:
            return ""
        host, port = packet.src
        return (
            f"{host} port {port} reports loss: {more} more RTP of SSRC 0x{block.ssrc:08X} lost,"
            f" {block.cumulative_lost} since it began; fraction {100 * block.fraction_lost / 256:.1f} %"
        )


def at_hand(packets: Iterable[MediaPacket]) -> Counter[tuple[Socket, Socket, int, int]]:
    """The sequence numbers of these packets by stream: a number among them is late, not lost."""
    return Counter(
        (packet.src, packet.dst, packet.ssrc, packet.sequence) for packet in packets if packet.sequence >= 0
    )
