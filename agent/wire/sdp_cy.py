# cython: language_level=3
"""SDP (RFC 8866) as a listener reads it: where media will flow, how it is encoded, whether it is held.

Unknown, repeated or broken lines are dropped one by one. Only a text with neither `v=` nor `m=` is no SDP.
Encoding names are as written: compare them without regard to case (RFC 8866 6.6).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from agent.errors import Reason, WireError
from agent.wire.sip_cy import digits, stripped

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

# One 64 KiB body could name thousands of sockets, each an entry in the table that attaches streams to calls.
MEDIA_MAX = 32
SOCKETS_MAX = 8  # of one m= line with a port count
CANDIDATES_MAX = 64
SSRCS_MAX = 64
FORMATS_MAX = 128
KEPT_MAX = 64  # characters of an attribute that may be kept read

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_DISCARD_PORT = 9  # RFC 8840 4.1.3: trickled ICE says c=0.0.0.0 and port 9, and holds nothing

# RFC 3551 6, tables 4 and 5: payload types that need no rtpmap.
STATIC: dict[int, tuple[str, int, int]] = {
    0: ("PCMU", 8000, 1), 3: ("GSM", 8000, 1), 4: ("G723", 8000, 1), 5: ("DVI4", 8000, 1),
    6: ("DVI4", 16000, 1), 7: ("LPC", 8000, 1), 8: ("PCMA", 8000, 1), 9: ("G722", 8000, 1),
    10: ("L16", 44100, 2), 11: ("L16", 44100, 1), 12: ("QCELP", 8000, 1), 13: ("CN", 8000, 1),
    14: ("MPA", 90000, 1), 15: ("G728", 8000, 1), 16: ("DVI4", 11025, 1), 17: ("DVI4", 22050, 1),
    18: ("G729", 8000, 1), 25: ("CelB", 90000, 1), 26: ("JPEG", 90000, 1), 28: ("nv", 90000, 1),
    31: ("H261", 90000, 1), 32: ("MPV", 90000, 1), 33: ("MP2T", 90000, 1), 34: ("H263", 90000, 1),
}  # fmt: skip


class Origin(NamedTuple):
    """The o= line (RFC 8866 5.2): an unchanged `session_version` means an unchanged description."""

    username: str
    session_id: str
    session_version: str
    address: str


class Candidate(NamedTuple):
    """An ICE candidate over UDP (RFC 8839 5.1); component 1 is RTP, 2 is RTCP."""

    address: str
    port: int
    component: int
    typ: str


class Media(Struct, gc=False):
    """One m= section with what it inherits from the session."""

    kind: str  # "audio", "video", "image", ... in lower case
    port: int  # 0: rejected or switched off (RFC 3264 5.1)
    protocol: str  # "RTP/AVP", "udptl", ... as written
    port_count: int = 1
    payload_types: list[int] = []  # in order of preference; RTP only
    rtpmap: dict[int, tuple[str, int, int]] = {}  # name, clock rate, channels
    fmtp: dict[int, str] = {}
    address: str = ""  # "" where neither the section nor the session has a c= line
    direction: str = "sendrecv"
    rtcp_address: str = ""
    rtcp_port: int = 0  # a=rtcp (RFC 3605), else port + 1; 0 where the port is 0
    rtcp_mux: bool = False  # offered or accepted (RFC 5761); both must have said so for it to hold
    ptime: float | None = None  # milliseconds, like maxptime
    maxptime: float | None = None
    ssrcs: list[int] = []  # a=ssrc (RFC 5576)
    candidates: list[Candidate] = []
    mid: str = ""
    crypto: bool = False  # keys are offered here or for the session: SDES, DTLS or ZRTP, whatever the profile

    @property
    def is_rtp(self) -> bool:
        return "RTP/" in self.protocol.upper()

    @property
    def encrypted(self) -> bool:
        """A secure profile (RFC 3711, 5124, 5764). `RTP/AVP` with `crypto` may be: the packets will tell."""
        return "SAVP" in self.protocol.upper()

    @property
    def held(self) -> bool:
        """inactive, sendonly (RFC 3264 8.4) or an address of zero (RFC 2543 B.5)."""
        zero = self.address in ("0.0.0.0", "::") and self.port != _DISCARD_PORT
        return zero or self.direction in ("inactive", "sendonly")

    @property
    def sockets(self) -> list[tuple[str, int]]:
        """Where RTP is expected: `m=audio 49170/2` is 49170 and 49172 (RFC 8866 5.14). Empty if port is 0."""
        if not self.port:
            return []
        if self.port_count == 1:
            return [(self.address, self.port)]
        ports = range(self.port, min(self.port + 2 * self.port_count, 65536), 2)
        return [(self.address, port) for port in ports]

    def codec(self, payload_type: int) -> tuple[str, int, int] | None:
        """(name, clock rate, channels) by rtpmap, else by RFC 3551; None if neither knows."""
        return self.rtpmap.get(payload_type) or STATIC.get(payload_type)


class Session(Struct, gc=False):
    """A session description. `connection` (an address) and `direction` are the session-level ones."""

    origin: Origin | None
    connection: str  # "" if there is no session-level c= line
    direction: str
    media: list[Media]
    bundles: list[tuple[str, ...]]  # mids that share one socket (RFC 9143); the first one's m= names it

    @property
    def held(self) -> bool:
        """Every active audio section is held, and there is one."""
        audio = [media for media in self.media if media.kind == "audio" and media.port]
        return bool(audio) and all(media.held for media in audio)


def parse(data: bytes) -> Session:
    """Read a session description.

    Raises:
        WireError: SDP_MALFORMED, if no `v=` and no usable `m=` line is there.
    """
    session = Session(None, "", "sendrecv", [], [])
    version: cython.bint = False
    keyed: cython.bint = False
    skipping: cython.bint = False
    current: Media | None = None
    explicit_rtcp: list[tuple[int, str]] = []  # by section: port (0: not given) and address
    line: str
    value: str
    colon: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    text = data.decode("utf-8", "backslashreplace")
    if text.count("\r") != text.count("\r\n"):  # a CR alone ends a line too; one before LF is stripped
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        if len(line) < 2 or line[1] != "=":
            continue
        stop = len(line) - 1 if line[len(line) - 1] == "\r" else len(line)
        value = stripped(line[2:stop])
        if line[0] == "a":
            if skipping:
                continue
            colon = value.find(":")
            name, rest = (value, "") if colon < 0 else (value[:colon], value[colon + 1 :])
            if current is not None:
                if name == "rtcp":
                    explicit_rtcp[-1] = _rtcp(rest) or explicit_rtcp[-1]
                else:
                    _media_attribute(current, name, rest)
            elif name in DIRECTIONS:
                session.direction = name
            elif name == "group" and len(mids := rest.split()) > 1 and mids[0].upper() == "BUNDLE":
                session.bundles.append(tuple(mids[1:]))
            elif name in ("fingerprint", "crypto", "zrtp-hash"):
                keyed = True
        elif line[0] == "m":
            current = _media(value, session) if len(session.media) < MEDIA_MAX else None
            skipping = current is None
            if current is not None:
                current.crypto = keyed
                session.media.append(current)
                explicit_rtcp.append((0, ""))
        elif line[0] == "c":
            address = "" if skipping else _connection(value)
            if address and current is not None:
                current.address = address
            elif address:
                session.connection = address
        elif line[0] == "v":
            version = True
        elif line[0] == "o" and session.origin is None and len(words := value.split()) == 6:
            session.origin = Origin(words[0], words[1], words[2], _canonical(words[5]))
    if not version and not session.media:
        raise WireError(Reason.SDP_MALFORMED)
    for media, (port, address) in zip(session.media, explicit_rtcp, strict=True):
        if media.port:
            media.rtcp_port = port or min(media.port + 1, 65535)
            media.rtcp_address = address or media.address
    return session


def _media(value: str, session: Session) -> Media | None:
    """m=<media> <port>[/<count>] <proto> <fmt> ... (RFC 8866 5.14); None if there is no port to be read."""
    words = value.split()
    if len(words) < 3:
        return None
    first, _, count = words[1].partition("/")
    port = _number(first, 65535)
    if port < 0:
        return None
    media = Media(words[0].lower(), port, words[2], address=session.connection, direction=session.direction)
    if count:
        media.port_count = min(max(_number(count, 65535), 0) or 1, SOCKETS_MAX)
    if media.is_rtp:
        payload_types = media.payload_types
        for word in words[3 : 3 + FORMATS_MAX]:
            payload_type = _number(word, 127)
            if payload_type >= 0 and payload_type not in payload_types:
                payload_types.append(payload_type)
    return media


def _media_attribute(media: Media, name: str, value: str) -> None:
    if name == "rtpmap":
        row = _rtpmap(value) if len(value) <= KEPT_MAX else _rtpmap.__wrapped__(value)
        if row is not None:
            media.rtpmap[row[0]] = row[1]
    elif name == "fmtp":
        first, _, rest = value.partition(" ")
        payload_type = _number(first, 127)
        if payload_type >= 0:
            media.fmtp[payload_type] = rest.strip()
    elif name in DIRECTIONS:
        media.direction = name
    elif name == "ptime":
        media.ptime = _milliseconds(value) or media.ptime
    elif name == "maxptime":
        media.maxptime = _milliseconds(value) or media.maxptime
    elif name == "rtcp-mux":
        media.rtcp_mux = True
    elif name == "mid":
        media.mid = value.strip()
    elif name == "ssrc":
        ssrc = _number(value.split(" ", 1)[0], 0xFFFF_FFFF)
        if ssrc >= 0 and ssrc not in media.ssrcs and len(media.ssrcs) < SSRCS_MAX:
            media.ssrcs.append(ssrc)
    elif name == "candidate":
        candidate = _candidate(value)
        if candidate and len(media.candidates) < CANDIDATES_MAX:
            media.candidates.append(candidate)
    elif name in ("crypto", "fingerprint", "zrtp-hash"):
        media.crypto = True


@lru_cache(maxsize=1024)  # a host's codecs are few
def _rtpmap(value: str) -> tuple[int, tuple[str, int, int]] | None:
    """a=rtpmap:<payload type> <encoding name>/<clock rate>[/<channels>]"""
    first, _, encoding = value.strip().partition(" ")
    payload_type = _number(first, 127)
    name, _, rest = encoding.strip().partition("/")
    clock, _, channels = rest.partition("/")
    rate = _number(clock, 0xFFFF_FFFF)
    if payload_type < 0 or not name or rate <= 0:  # a clock of 0 would divide jitter by it
        return None
    return payload_type, (name.strip(), rate, max(_number(channels, 255), 0) or 1)


def _rtcp(value: str) -> tuple[int, str] | None:
    """a=rtcp:<port> [IN IP4 <address>] (RFC 3605 2.1)"""
    words = value.split()
    port = _number(words[0], 65535) if words else 0
    if port <= 0:
        return None
    return port, _canonical(words[3]) if len(words) >= 4 else ""


def _candidate(value: str) -> Candidate | None:
    """<foundation> <component> <transport> <priority> <address> <port> typ <type> ... (RFC 8839 5.1)"""
    words = value.split()
    if len(words) < 8 or words[2].lower() != "udp" or words[6].lower() != "typ":
        return None
    component, port = _number(words[1], 256), _number(words[5], 65535)
    if component <= 0 or port <= 0:
        return None
    return Candidate(_canonical(words[4]), port, component, words[7].lower())


def _connection(value: str) -> str:
    """<nettype> <addrtype> <address>[/<ttl>[/<count>]] (RFC 8866 5.7); "" if unreadable."""
    words = value.split()
    return _canonical(words[2].partition("/")[0]) if len(words) >= 3 else ""


def _canonical(address: str) -> str:
    """An IPv6 address in its one short form, anything else in lower case."""
    if ":" in address:
        try:
            return str(ipaddress.IPv6Address(address.strip("[]")))
        except ValueError:
            return address.lower()
    return address.lower()


def _number(text: str, most: cython.longlong) -> cython.longlong:
    """Decimal digits as an integer of at most `most`; -1 where that is not what they are."""
    value: cython.longlong = digits(stripped(text), 10)
    return value if value <= most else -1


def _milliseconds(text: str) -> float | None:
    """`non-zero-int-or-real` (RFC 8866 6.4), up to ten seconds."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value <= 10_000 else None
