"""Audio codecs as the E-model sees them: one frozen row each, with where its figures come from.

The impairment figures are planning values on three scales that must not be mixed:

- ``ie``, ``bpl``: narrowband, ITU-T G.113 Appendix I, for G.107 (best rating 93.2);
- ``ie_wb``, ``bpl_wb``: wideband, ITU-T G.113 Appendix IV, for G.107.1 (best rating 129);
- fullband values (G.107.2) are not used.

Where ITU-T publishes nothing the row's ``source`` begins with ``assumed`` and says by what rule. The rules:

1. *Bpl* not published: 10.0, GSM-EFR's, the least robust codec that G.113 lists with concealment.
2. *Bpl* without concealment: G.711's 4.3 for codecs that conceal nothing by themselves (PCM, ADPCM). A frame
   codec's decoder always conceals, and G.113's figure includes it: both columns are the same.
3. A wideband codec on the narrowband scale: Ie = max(0, Ie,WB - 35.8), for 35.8 = 129 - 93.2 is what G.107.1
   takes for the narrowband channel itself. Its Bpl is 19.0, G.729A's: the published figure of a frame codec
   whose decoder conceals as theirs do. Opus has 19.5, measured in wideband at 13 kbit/s under random loss
   (Alahmadi, Pocta, Melvin: ACM TOMM 17(4), 2021; 17.6 to 24.8 over its wideband rates): on another scale,
   so still assumed.
4. *Bpl,WB* not published: 4.3, the least that G.113 Table IV.4 has (12.65 kbit/s AMR-WB). That table is for
   diotic listening only; Ie,WB here is Table IV.1's for one ear, a handset.
5. A mode that was not signalled: the row named in ``source``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

BPL_ASSUMED: Final = 10.0
BPL_WIDE: Final = 19.0
BPL_OPUS: Final = 19.5
BPL_NO_PLC: Final = 4.3
BPL_WB_ASSUMED: Final = 4.3
WIDEBAND_GAIN: Final = 35.8
"""Ratings by which the wideband scale of G.107.1 tops the narrowband one: 129 - 93.2."""


class Codec(Struct, frozen=True):
    """One codec, or one mode of it.

    Attributes:
        name: encoding name as in SDP ``a=rtpmap``.
        clock_rate: RTP timestamp rate, Hz (G.722 and Opus: not the sampling rate).
        sample_rate: sampling rate of the speech, Hz.
        frame_ms: shortest unit that the coder makes, ms.
        packet_ms: packet time when SDP names none (RFC 3551 section 4.2, or the payload format's RFC), ms.
        lookahead_ms: algorithmic delay beyond the frame itself, ms.
        ie, bpl: narrowband impairment and loss robustness with concealment (G.107 7.5).
        bpl_no_plc: the same robustness at a receiver that does not conceal.
        ie_wb, bpl_wb: on the wideband scale (G.107.1 7.5), None for narrowband codecs.
        source: of the figures; begins with ``assumed`` where one of them is not published.
    """

    name: str
    clock_rate: int
    sample_rate: int
    frame_ms: float
    packet_ms: float
    lookahead_ms: float
    ie: float
    bpl: float
    bpl_no_plc: float
    ie_wb: float | None
    bpl_wb: float | None
    source: str

    @property
    def frame_ticks(self) -> int:
        """RTP timestamp ticks of one frame."""
        return round(self.frame_ms * self.clock_rate / 1000)

    @property
    def assumed(self) -> bool:
        """Whether a figure of this row is our own stated assumption."""
        return self.source.startswith("assumed")


def _narrow(
    name: str, frame_ms: float, packet_ms: float, lookahead_ms: float, ie: float, source: str,
    *, bpl: float = BPL_ASSUMED, no_plc: float | None = None,
) -> Codec:  # fmt: skip
    return Codec(
        name, 8000, 8000, frame_ms, packet_ms, lookahead_ms, ie, bpl, bpl if no_plc is None else no_plc,
        None, None, source,
    )  # fmt: skip


def _wide(
    name: str, clock_rate: int, frame_ms: float, lookahead_ms: float, ie_wb: float, source: str,
    *, bpl: float = BPL_WIDE, bpl_wb: float = BPL_WB_ASSUMED, no_plc: float | None = None,
) -> Codec:  # fmt: skip
    ie = max(0.0, ie_wb - WIDEBAND_GAIN)  # rule 3
    return Codec(
        name, clock_rate, 16000, frame_ms, 20, lookahead_ms, round(ie, 1), bpl,
        bpl if no_plc is None else no_plc, ie_wb, bpl_wb, source,
    )  # fmt: skip


_I = "G.113 Appendix I"
_BPL = "assumed: Bpl (rule 1), Ie of G.113 Appendix I"
_LINEAR = "assumed: uncompressed, so Ie,WB 0; Bpl,WB (rule 4)"
_WB = "assumed: Bpl,WB (rule 4) and narrowband figures (rule 3), Ie,WB of G.113 Table IV.1"
_WB_BPL = "assumed: narrowband figures (rule 3), Ie,WB and Bpl,WB of G.113 Tables IV.1 and IV.4"
_ILBC = "assumed: Ie of G.729A, Bpl of G.711 with PLC (RFC 3951 section 1)"
# G.113 has no row for narrowband AMR. A published table of the greatest delay that keeps R >= 70, per codec
# (Telektronikk, issue "Internet Traffic Engineering"), gives Ie back through Idd: its G.728, G.729, G.723.1
# and GSM rows return G.113's own values within 0.1, its AMR rows these, rounded.
_AMR = "assumed: Ie from published delay bounds per mode, Bpl (rule 1)"

_ROWS: Final[dict[tuple[str, str], Codec]] = {
    # Waveform codecs. G.711 with the concealment of G.711 Appendix I: 25.1, without: 4.3.
    ("PCMU", ""): _narrow("PCMU", 0.125, 20, 0, 0, _I, bpl=25.1, no_plc=BPL_NO_PLC),
    ("PCMA", ""): _narrow("PCMA", 0.125, 20, 0, 0, _I, bpl=25.1, no_plc=BPL_NO_PLC),
    ("G726-40", ""): _narrow("G726-40", 0.125, 20, 0, 2, _BPL, no_plc=BPL_NO_PLC),
    ("G726-32", ""): _narrow("G726-32", 0.125, 20, 0, 7, _BPL, no_plc=BPL_NO_PLC),
    ("G726-24", ""): _narrow("G726-24", 0.125, 20, 0, 25, _BPL, no_plc=BPL_NO_PLC),
    ("G726-16", ""): _narrow("G726-16", 0.125, 20, 0, 50, _BPL, no_plc=BPL_NO_PLC),
    ("DVI4", ""): _narrow("DVI4", 0.25, 20, 0, 7, "assumed: as G726-32", no_plc=BPL_NO_PLC),
    ("L16", ""): _narrow(
        "L16", 0.125, 20, 0, 0, "assumed: uncompressed, so G.711's figures", bpl=25.1, no_plc=BPL_NO_PLC
    ),
    # Frame codecs. SDP's G729 is G.729 and its Annexes A and B alike (RFC 3551 4.5.6): the A+VAD row, Ie 11,
    # is the only one with a published Bpl; G.729 itself has Ie 10.
    ("G729", ""): _narrow("G729", 10, 20, 5, 11, f"{_I} (G.729A+VAD)", bpl=19.0),
    ("G729D", ""): _narrow("G729D", 10, 20, 5, 20, "assumed: 6.4 kbit/s, as GSM", bpl=19.0),
    ("G729E", ""): _narrow("G729E", 10, 20, 5, 5, "assumed: 11.8 kbit/s, as GSM-EFR", bpl=19.0),
    ("G723", "6.3"): _narrow("G723", 30, 30, 7.5, 15, f"{_I} (6.3 kbit/s +VAD)", bpl=16.1),
    ("G723", "5.3"): _narrow("G723", 30, 30, 7.5, 19, f"assumed: Bpl of 6.3 kbit/s, Ie of {_I}", bpl=16.1),
    ("G728", ""): _narrow("G728", 2.5, 20, 0, 7, _BPL),
    ("GSM", ""): _narrow("GSM", 20, 20, 0, 20, _BPL),
    ("GSM-HR-08", ""): _narrow("GSM-HR-08", 20, 20, 4.4, 23, _BPL),
    ("GSM-EFR", ""): _narrow("GSM-EFR", 20, 20, 0, 5, _I, bpl=10.0),
    ("EVRC", ""): _narrow("EVRC", 20, 20, 10, 6, _BPL),
    # RFC 3951 section 1: better than G.729A without loss, and under loss like PCM with concealment.
    ("ILBC", "20"): _narrow("iLBC", 20, 20, 5, 11, _ILBC, bpl=25.1),
    ("ILBC", "30"): _narrow("iLBC", 30, 30, 10, 11, _ILBC, bpl=25.1),
    # AMR modes by frame type (RFC 4867 section 3.1 to 3.3; 3GPP TS 26.101): 12.2 is GSM-EFR's coder.
    ("AMR", "0"): _narrow("AMR", 20, 20, 5, 21, _AMR),
    ("AMR", "1"): _narrow("AMR", 20, 20, 5, 20, _AMR),
    ("AMR", "2"): _narrow("AMR", 20, 20, 5, 17, _AMR),
    ("AMR", "3"): _narrow("AMR", 20, 20, 5, 14, _AMR),
    ("AMR", "4"): _narrow("AMR", 20, 20, 5, 12, _AMR),
    ("AMR", "5"): _narrow("AMR", 20, 20, 5, 10, _AMR),
    ("AMR", "6"): _narrow("AMR", 20, 20, 5, 6, _AMR),
    ("AMR", "7"): _narrow("AMR", 20, 20, 0, 5, "assumed: as GSM-EFR, the same coder", bpl=10.0),
    ("SPEEX", ""): _narrow("speex", 20, 20, 10, 11, "assumed: as G.729A at 15 kbit/s", bpl=19.0),
    # Wideband. Ie,WB of 23.85 kbit/s above that of 23.05 is G.113's own, not a slip.
    ("AMR-WB", "0"): _wide("AMR-WB", 16000, 20, 5.94, 41, _WB),
    ("AMR-WB", "1"): _wide("AMR-WB", 16000, 20, 5.94, 26, _WB),
    ("AMR-WB", "2"): _wide("AMR-WB", 16000, 20, 5.94, 13, _WB_BPL, bpl_wb=4.3),
    ("AMR-WB", "3"): _wide("AMR-WB", 16000, 20, 5.94, 10, _WB),
    ("AMR-WB", "4"): _wide("AMR-WB", 16000, 20, 5.94, 7, _WB),
    ("AMR-WB", "5"): _wide("AMR-WB", 16000, 20, 5.94, 5, _WB),
    ("AMR-WB", "6"): _wide("AMR-WB", 16000, 20, 5.94, 3, _WB),
    ("AMR-WB", "7"): _wide("AMR-WB", 16000, 20, 5.94, 1, _WB_BPL, bpl_wb=4.6),
    ("AMR-WB", "8"): _wide("AMR-WB", 16000, 20, 5.94, 8, _WB_BPL, bpl_wb=4.9),
    # RFC 3551 4.5.2: the RTP clock of G.722 is 8,000 though it samples at 16,000.
    ("G722", "64"): _wide("G722", 8000, 0.125, 1.5, 13, _WB, no_plc=BPL_NO_PLC),
    ("G722", "56"): _wide("G722", 8000, 0.125, 1.5, 20, _WB, no_plc=BPL_NO_PLC),
    ("G722", "48"): _wide("G722", 8000, 0.125, 1.5, 31, _WB, no_plc=BPL_NO_PLC),
    ("G7221", "32"): _wide("G7221", 16000, 20, 20, 13, _WB),
    ("G7221", "24"): _wide("G7221", 16000, 20, 20, 19, _WB),
    # RFC 7587: the RTP clock of Opus is always 48,000. ITU-T has fullband figures at most for these two.
    ("OPUS", ""): _wide(
        "opus",
        48000,
        20,
        6.5,
        8,
        "assumed: as AMR-WB 23.85 kbit/s, Bpl of Opus in wideband (rule 3)",
        bpl=BPL_OPUS,
        bpl_wb=4.9,
    ),
    ("EVS", ""): _wide("EVS", 16000, 20, 12, 8, "assumed: as AMR-WB 23.85 kbit/s (rule 3)", bpl_wb=4.9),
    ("SPEEX/WB", ""): _wide("speex", 16000, 20, 14, 13, "assumed: as AMR-WB 12.65 kbit/s (rule 3)"),
    ("L16/WB", ""): _wide(
        "L16",
        16000,
        0.0625,
        0,
        0,
        _LINEAR,
        no_plc=BPL_NO_PLC,
    ),
}

# The mode that is meant where SDP names none (rule 5). RFC 3952 section 5: iLBC without `mode` is 30 ms.
_UNSTATED: Final = {"G723": "6.3", "ILBC": "30", "AMR": "7", "AMR-WB": "2", "G722": "64", "G7221": "32"}
_STANDARD: Final = {"ILBC", "G722"}  # the RFC itself names the default mode
_ALIASES: Final = {
    "G711U": "PCMU", "G711A": "PCMA", "G729A": "G729", "G729B": "G729", "G729AB": "G729", "G723.1": "G723",
    "G7231": "G723", "G721": "G726-32", "AAL2-G726-16": "G726-16", "AAL2-G726-24": "G726-24",
    "AAL2-G726-32": "G726-32", "AAL2-G726-40": "G726-40", "GSM-FR": "GSM", "GSM-HR": "GSM-HR-08",
    "EVRC0": "EVRC", "EVRC1": "EVRC",
}  # fmt: skip
_SPLIT_BY_RATE: Final = {"SPEEX", "L16"}  # one name, narrowband or wideband by clock rate


@lru_cache(maxsize=1024)  # bounded, because names come from the wire
def codec(name: str, clock_rate: int | None = None, mode: str | int | float | None = None) -> Codec:
    """The row for an encoding name as SDP writes it (any case).

    Args:
        name: encoding name, as ``PCMU`` or ``telephone-event``.
        clock_rate: RTP clock of the rtpmap, Hz; None or 0 takes the row's.
        mode: the mode of this codec: AMR, AMR-WB frame type (0-7, 0-8), iLBC 20 or 30 (ms),
            G723 5.3 or 6.3, G722 48, 56 or 64, G7221 24 or 32 (kbit/s). An unknown mode counts as not given.

    Returns:
        The row, with the clock rate asked for. An unknown name gets GSM-EFR's figures (midway between the
        best and
        the worst published codec) under its own name, ``assumed``.
    """
    key = name.upper()
    key = _ALIASES.get(key, key)
    if key in _SPLIT_BY_RATE and clock_rate is not None and clock_rate >= 16000:
        key += "/WB"
    row = _ROWS.get((key, "" if mode is None else f"{mode:g}" if isinstance(mode, float) else str(mode)))
    if row is None:
        row = _unstated(key, name)
    if clock_rate and clock_rate != row.clock_rate:
        sample_rate = clock_rate if row.sample_rate == row.clock_rate else row.sample_rate
        frame_ms = 1000 / clock_rate if row.frame_ticks == 1 else row.frame_ms
        row = replace(row, clock_rate=clock_rate, sample_rate=sample_rate, frame_ms=frame_ms)
    return row


def _unstated(key: str, name: str) -> Codec:
    if (plain := _ROWS.get((key, ""))) is not None:
        return plain
    if (usual := _UNSTATED.get(key)) is None:
        return replace(_ROWS["GSM-EFR", ""], name=name, source="assumed: unknown codec, as GSM-EFR")
    row = _ROWS[key, usual]
    if key in _STANDARD:
        return row
    return replace(row, source=f"assumed: mode not stated, taken as {usual}; {row.source}")


def table() -> list[tuple[str, Codec]]:
    """Every row with its mode ("" where the codec has only one), for the documentation and tests."""
    return [(mode, row) for (_, mode), row in _ROWS.items()]
