"""RTCP (RFC 3550 6, extended reports RFC 3611, feedback RFC 4585) as a listener reads it.

A datagram is a compound: packets one after the other, each with its own length. Here

- any packet type may come first (reduced size, RFC 5506), unknown types are skipped by their length;
- a bad packet is noted in `rejects` and skipped by its length where that stays inside the datagram and leads
  on; where it does not, the walk ends and what was read before stands;
- profile extensions after report blocks (6.4.3) are ignored, as is a padding bit where padding cannot be;
- SRTCP (RFC 3711) is recognised by what its trailer does to the lengths, and never read as RTCP;
- SDES, BYE, APP and feedback hold nothing that a figure needs: only their lengths are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout

from msgspec import Struct

from agent.errors import Reason, WireError
from agent.wire.rtp import rtcp_xr

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
FIRST_TYPE, LAST_TYPE = 192, 223  # RFC 5761 4: the packet types that RTP never looks like

# A 64 KiB datagram of empty packets would be 16,384 records; what real senders put into one is under ten.
PACKETS_MAX = 128

_HEADER = Layout(">BBH")
_WORD = Layout(">I")
_SENDER = Layout(">IIIIII")
_BLOCK = Layout(">IIIIII")


class ReportBlock(Struct, frozen=True):
    """A report block (6.4.1)."""

    ssrc: int  # whom it is about
    fraction_lost: int  # of 256, since the last report
    cumulative_lost: int  # 24 bits, signed: duplicates make it negative
    highest: int  # extended highest sequence number, 32 bits
    jitter: int  # RTP ticks
    lsr: int  # middle 32 bits of the NTP stamp of the last SR, 0 if there was none
    dlsr: int  # delay since that SR, 1/65536 s


class SenderReport(Struct, frozen=True):
    ssrc: int
    ntp_sec: int
    ntp_frac: int
    rtp_ts: int
    packets: int
    octets: int  # RTP payload only
    blocks: list[ReportBlock]

    @property
    def middle32(self) -> int:
        """The `lsr` of a block about this sender."""
        return middle32(self.ntp_sec << 32 | self.ntp_frac)


class ReceiverReport(Struct, frozen=True):
    ssrc: int
    blocks: list[ReportBlock]


class Compound(Struct):
    """The packets of one datagram, each list in the order of the wire."""

    reports: list[SenderReport | ReceiverReport] = []
    rtcp_xr: list[rtcp_xr.ExtendedReport] = []
    others: int = 0  # sound packets of other types; of an SDES its sound chunks
    rejects: list[Reason] = []


def middle32(ntp: int) -> int:
    """The "middle 32 bits out of 64 in the NTP timestamp" (6.4.1)."""
    return ntp >> 16 & 0xFFFF_FFFF


def is_rtcp_type(data: bytes) -> bool:
    """Whether a datagram has an RTCP header (RFC 5761 4): version 2 and packet type 192 to 223."""
    return len(data) >= 4 and data[0] & 0xC0 == 0x80 and FIRST_TYPE <= data[1] <= LAST_TYPE


def looks_encrypted(data: bytes) -> bool:
    """Whether the lengths of a whole datagram leave an SRTCP trailer (RFC 3711 3.4, RFC 7714 9).

    In SRTCP only the first 8 bytes are in clear: the walk by lengths gets past the first packet and then
    meets ciphertext or the trailer, so it does not end with the datagram. The trailer is E (1 bit) and the
    index (31 bits), then the tag of 10 bytes (E at 14 from the end, 18 with an MKI of 4 bytes, 15 with one of
    1 byte) or of 4 (E at 8); with AES-GCM the tag of 16 comes before it (E at 4). RTCP comes in words of 4
    bytes, so the datagram's length modulo 4 says which. Except for the first of these the index must also be
    below 2^24 (38 days at five packets a second).
    """
    size = len(data)
    if size < 12 or not is_rtcp_type(data):
        return False
    first = 4 * (data[2] << 8 | data[3]) + 4
    if first < 8 or _walk(data) == size:
        return False
    if size % 4 == 2 and first <= size - 14 and data[size - 14] & 0x80:
        return True
    trailers = {0: (8, 4), 2: (18,), 3: (15,)}.get(size % 4, ())
    return any(first <= size - trailer and data[size - trailer] == 0x80 for trailer in trailers)


def parse(data: bytes, *, wire_length: int | None = None) -> Compound:
    """Read one datagram (the UDP payload).

    `wire_length` is its length on the wire, where the capture cut it short: the last packet is then read as
    far as it goes.

    Raises:
        WireError: RTCP_TRUNCATED or RTCP_MALFORMED if not one packet could be read, RTCP_ENCRYPTED if it
            looks like SRTCP.
    """
    size = len(data)
    cut = wire_length is not None and wire_length > size
    if cut and wire_length is not None and wire_length % 4 == 2:  # as in looks_encrypted
        raise WireError(Reason.RTCP_ENCRYPTED)
    compound = Compound()
    rejects = compound.rejects
    at = count = 0
    while size - at >= 4 and count < PACKETS_MAX:
        first, kind, words = _HEADER.unpack_from(data, at)
        stop = at + 4 + 4 * words
        if not FIRST_TYPE <= kind <= LAST_TYPE or (stop > size and not cut):
            break
        count += 1
        if first & 0xC0 != 0x80:
            rejects.append(Reason.RTCP_MALFORMED)
            at = stop
            continue
        end = min(stop, size)
        if kind in (SR, RR):  # the count of blocks says where they end, with or without padding
            blocks_at = at + (28 if kind == SR else 8)
            blocks_end = blocks_at + 24 * (first & 0x1F)
            if blocks_end > end:
                if stop <= size or blocks_at > end:  # the count contradicts the length, or too little is here
                    rejects.append(Reason.RTCP_MALFORMED if stop <= size else Reason.RTCP_TRUNCATED)
                    at = stop
                    continue
                blocks_end = end - (end - blocks_at) % 24
                rejects.append(Reason.RTCP_TRUNCATED)
            blocks = _blocks(data, blocks_at, blocks_end) if blocks_end > blocks_at else []
            if kind == SR:
                ssrc, ntp_sec, ntp_frac, rtp_ts, packets, octets = _SENDER.unpack_from(data, at + 4)
                report = SenderReport(ssrc, ntp_sec, ntp_frac, rtp_ts, packets, octets, blocks)
                compound.reports.append(report)
            else:
                compound.reports.append(ReceiverReport(_WORD.unpack_from(data, at + 4)[0], blocks))
        else:
            if stop <= size:
                end -= _padding(data, at, end)
            if kind == XR:
                is_sound = _extended(compound, data, at, end)
            else:
                sound, is_sound = _CHECKS.get(kind, _unknown)(data, at, end)
                compound.others += sound
            if not is_sound:
                rejects.append(Reason.RTCP_TRUNCATED if stop > size else Reason.RTCP_MALFORMED)
        at = stop
    if at < size:
        short = size - at < 4 or (count < PACKETS_MAX and is_rtcp_type(data[at : at + 4]))
        if not cut and looks_encrypted(data):
            raise WireError(Reason.RTCP_ENCRYPTED)
        if cut and not short:  # damage or ciphertext? The trailer that would tell was not captured
            raise WireError(Reason.RTCP_MALFORMED)
        rejects.append(Reason.RTCP_TRUNCATED if short else Reason.RTCP_MALFORMED)
    if not size or (rejects and not (compound.reports or compound.rtcp_xr or compound.others)):
        raise WireError(rejects[0] if rejects else Reason.RTCP_TRUNCATED)
    return compound


def _walk(data: bytes) -> int:
    """How far the lengths lead, over a bad version too: the datagram's size where all of it is RTCP."""
    at = 0
    while len(data) - at >= 4 and FIRST_TYPE <= data[at + 1] <= LAST_TYPE:
        stop = at + 4 * (data[at + 2] << 8 | data[at + 3]) + 4
        if stop > len(data):
            break
        at = stop
    return at


def _padding(data: bytes, at: int, end: int) -> int:
    """Padding bytes (6.4.1): in the last packet only, whole words counted by the last byte."""
    if not data[at] & 0x20 or end < len(data):
        return 0
    count = data[-1]
    return count if count and count % 4 == 0 and count <= end - at - 4 else 0


def _blocks(data: bytes, at: int, end: int) -> list[ReportBlock]:
    return [
        ReportBlock(
            ssrc,
            lost >> 24,
            (lost & 0x7F_FFFF) - (lost & 0x80_0000),  # two's complement of 24 bits
            highest,
            jitter,
            lsr,
            dlsr,
        )
        for ssrc, lost, highest, jitter, lsr, dlsr in _BLOCK.iter_unpack(data[at:end])
    ]


def _extended(compound: Compound, data: bytes, at: int, end: int) -> bool:
    """Whether the packet was sound; its blocks before the first fault are kept."""
    if end - at < 8:
        return False
    report, bad = rtcp_xr.parse(data, at + 4, end)
    compound.rtcp_xr.append(report)
    return not bad


# Checks of the packets that are not read. Each looks at [at, end), and returns how many sound parts the
# packet has and whether all of it is sound.


def _sdes(data: bytes, at: int, end: int) -> tuple[int, bool]:
    """Chunks (6.5): an SSRC, then items, then nulls up to the next word, one at least."""
    count = data[at] & 0x1F
    at += 4
    for chunk in range(count):
        if end - at < 5:  # an SSRC and at least the null item that ends the list
            return chunk, False
        item = at + 4
        while item < end and data[item]:
            if item + 2 > end or item + 2 + data[item + 1] > end:
                return chunk, False
            item += 2 + data[item + 1]
        at += (item - at) // 4 * 4 + 4
    return count, True


def _bye(data: bytes, at: int, end: int) -> tuple[int, bool]:
    """SSRCs (6.6) as many as the header counts, and perhaps a reason."""
    count = data[at] & 0x1F
    is_sound = end - at >= 4 + 4 * count
    return int(is_sound or end - at >= 8), is_sound


def _with_12_bytes(data: bytes, at: int, end: int) -> tuple[int, bool]:
    """APP (6.7), and feedback (RFC 4585 6.1)."""
    is_sound = end - at >= 12
    return int(is_sound), is_sound


def _unknown(data: bytes, at: int, end: int) -> tuple[int, bool]:
    return 1, True


_CHECKS: dict[int, Callable[[bytes, int, int], tuple[int, bool]]] = {
    SDES: _sdes,
    BYE: _bye,
    APP: _with_12_bytes,
    RTPFB: _with_12_bytes,
    PSFB: _with_12_bytes,
}
