"""RTP payload types: the static ones of RFC 3551 section 6, and the kinds of media."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

# How a packet of a payload type is treated: only audio is a sample of jitter and of the score.
KIND_OTHER, KIND_AUDIO, KIND_EVENT, KIND_COMFORT, KIND_VIDEO, KIND_REDUNDANT, KIND_REPAIR = range(7)


class StaticType(NamedTuple):
    """A payload type's meaning without any SDP. `clock_rate` in Hz; `kind` is one of KIND_*."""

    name: str
    clock_rate: int
    channels: int
    kind: int = KIND_AUDIO


STATIC_TYPES: Final[dict[int, StaticType]] = {
    # RFC 3551 Table 4 (audio; channels are 1 where the RFC leaves them open).
    0: StaticType("PCMU", 8000, 1),
    2: StaticType("G726-32", 8000, 1),  # reserved: was G721, and gateways still send G726-32 so
    3: StaticType("GSM", 8000, 1),
    4: StaticType("G723", 8000, 1),
    5: StaticType("DVI4", 8000, 1),
    6: StaticType("DVI4", 16000, 1),
    7: StaticType("LPC", 8000, 1),
    8: StaticType("PCMA", 8000, 1),
    9: StaticType("G722", 8000, 1),
    10: StaticType("L16", 44100, 2),
    11: StaticType("L16", 44100, 1),
    12: StaticType("QCELP", 8000, 1),
    13: StaticType("CN", 8000, 1, KIND_COMFORT),
    14: StaticType("MPA", 90000, 1),
    15: StaticType("G728", 8000, 1),
    16: StaticType("DVI4", 11025, 1),
    17: StaticType("DVI4", 22050, 1),
    18: StaticType("G729", 8000, 1),
    19: StaticType("CN", 8000, 1, KIND_COMFORT),  # reserved: was comfort noise before RFC 3389
    # RFC 3551 Table 5 (video).
    25: StaticType("CelB", 90000, 1, KIND_VIDEO),
    26: StaticType("JPEG", 90000, 1, KIND_VIDEO),
    28: StaticType("nv", 90000, 1, KIND_VIDEO),
    31: StaticType("H261", 90000, 1, KIND_VIDEO),
    32: StaticType("MPV", 90000, 1, KIND_VIDEO),
    33: StaticType("MP2T", 90000, 1, KIND_VIDEO),
    34: StaticType("H263", 90000, 1, KIND_VIDEO),
}

FIRST_DYNAMIC: Final = 96  # RFC 3551 3: from here on a payload type means what an SDP says

LEGAL_CLOCKS: Final = {
    "PCMU": 8000, "PCMA": 8000, "GSM": 8000, "G722": 8000, "G729": 8000,  # RFC 3551 4.5
    "AMR": 8000, "AMR-WB": 16000,  # RFC 4867 8.1, 8.2
    "ILBC": 8000,  # RFC 3952 4.1
    "OPUS": 48000,  # RFC 7587 4.1
}  # fmt: skip
"""The clock rate of codecs that have one only, by encoding name in capitals: whatever an rtpmap says."""

NAMED_KINDS: Final = {
    # Signals in packets of their own: digits, and what gateways tell each other of tones, fax and modems.
    "telephone-event": KIND_EVENT, "tone": KIND_EVENT,  # RFC 4733
    "x-nse": KIND_EVENT, "nse": KIND_EVENT,  # named signalling events
    "cisco-rtp-dtmf": KIND_EVENT, "frf-dialed-digit": KIND_EVENT,
    "v150fw": KIND_EVENT,  # state signalling of V.150.1
    "t38": KIND_EVENT,  # RFC 4612: a fax, as packets of audio
    "cn": KIND_COMFORT,  # RFC 3389
    "no-op": KIND_COMFORT,  # keeps a path open
    "red": KIND_REDUNDANT,  # RFC 2198
    "rtx": KIND_REPAIR,  # RFC 4588
    "ulpfec": KIND_REPAIR,  # RFC 5109
    "parityfec": KIND_REPAIR,  # RFC 2733
    "1d-interleaved-parityfec": KIND_REPAIR,  # RFC 6015
    "flexfec": KIND_REPAIR, "flexfec-03": KIND_REPAIR,  # RFC 8627
}  # fmt: skip
"""Encoding names in small letters that are no speech or picture of their own."""

# Payload type -> (name, clock rate in Hz, channels), as nearly every SDP has it.
USUAL_MEANINGS: Final = {number: row[:3] for number, row in STATIC_TYPES.items()}

# Payload type -> (clock rate in Hz, kind), as the loop keeps it.
STATIC_ROWS: Final = {number: (row.clock_rate, row.kind) for number, row in STATIC_TYPES.items()}

_RESERVED: Final = frozenset({2, 19})  # RFC 3551 table 4: they have no meaning of their own any more
_FAMILIES: Final = ("G729", "G723", "H263")  # one payload type, for every annex or revision


@lru_cache(maxsize=512)
def redefines_static(number: int, name: str, rate: int) -> bool:
    """Whether an rtpmap gives a static payload type another meaning than RFC 3551. No SDP may do so."""
    static = STATIC_TYPES.get(number)
    if static is None or number in _RESERVED:
        return False
    said = "".join(letter for letter in name.upper() if letter.isalnum())
    if static.name in _FAMILIES:
        return not said.startswith(static.name)
    if said != static.name.upper():
        return True
    return static.name not in LEGAL_CLOCKS and rate != static.clock_rate
