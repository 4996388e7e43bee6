# cython: language_level=3
"""SDP (RFC 8866) as a listener reads it: where media will flow, how it is encoded, whether it is held.

Unknown, repeated or broken lines are dropped one by one. Only a text with neither `v=` nor `m=` is no SDP.
Encoding names are as written: compare them without regard to case (RFC 8866 6.6).

Lines are read in place, and become text only where it is kept. Lists of formats and encodings, which the
calls of a host share, are read once.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

import cython

from agent.errors import Reason, WireError
from agent.wire.rtp.payload_types import USUAL_MEANINGS
from agent.wire.sip.message_cy import digits
from agent.wire.sip.scan_cy import text_at

if not cython.compiled:  # session_cy.pxd has these for the compiler
    from agent.uncompiled import constants
    from agent.wire.sip.scan_cy import COLON, CR, LF, find

    EQUALS, ATTRIBUTE, CONNECTION, MEDIA, VERSION = constants(
        __name__, "EQUALS ATTRIBUTE CONNECTION MEDIA VERSION"
    )

# One 64 KiB body could name thousands of sockets, each an entry in the table that attaches streams to calls.
MEDIA_MAX = 32
SOCKETS_MAX = 8  # of one m= line with a port count
SSRCS_MAX = 64  # of one description
FORMATS_MAX = 128
RTPMAPS_MAX = 128  # of one description
CANDIDATES_MAX = 64  # of one description
GROUPS_MAX = 8
WORD_MAX = 64  # characters of a name; what is longer is cut
HOST_MAX = 255  # characters of an address or a host name
KEPT_MAX = 64  # characters of a value that may be kept read

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
CANDIDATE_TYPES = {kind: kind for kind in ("host", "srflx", "prflx", "relay")}
_KEYS = ("crypto", "fingerprint", "zrtp-hash")  # RFC 4568, RFC 8122, RFC 6189
_DISCARD_PORT = 9  # RFC 8840 4.1.3: trickled ICE says c=0.0.0.0 and port 9, and holds nothing


class Candidate(NamedTuple):
    """An ICE candidate over UDP (RFC 8839 5.1); component 1 is RTP, 2 is RTCP."""

    address: str
    port: int
    component: int
    typ: str


@cython.no_gc
@cython.cclass
class MediaDescription:
    """One m= section with what it inherits from the session."""

    def __init__(self, kind: str, port: int, formats: tuple[Any, ...], session: Session) -> None:
        self.kind = kind  # "audio", "video", "image", ... in lower case
        self.port = port  # 0: rejected or switched off (RFC 3264 5.1)
        # Protocol as written ("RTP/AVP", "udptl"); `encrypted`: a secure profile (RFC 3711, 5124, 5764), and
        # `RTP/AVP` with `crypto` may be: the packets will tell; payload types in order of preference.
        self.protocol, self.is_rtp, self.encrypted, self.payload_types = formats
        self.port_count = 1
        self.rtpmap: dict[int, tuple[str, int, int]] = {}  # name, clock rate, channels by payload type
        self.address = session.connection  # "" where neither the section nor the session has a c= line
        self.direction = session.direction
        self.rtcp_address = ""
        self.rtcp_port = 0  # a=rtcp (RFC 3605), else port + 1; 0 where the port is 0
        self.rtcp_mux = False  # offered or accepted (RFC 5761); both must have said so for it to hold
        self.ssrcs: list[int] = []  # a=ssrc (RFC 5576)
        self.candidates: list[Candidate] = []
        self.mid = ""
        self.crypto = session.crypto

    @property
    def held(self) -> bool:
        """inactive, sendonly (RFC 3264 8.4) or an address of zero (RFC 2543 B.5)."""
        if self.direction == "inactive" or self.direction == "sendonly":
            return True
        return (self.address == "0.0.0.0" or self.address == "::") and self.port != _DISCARD_PORT

    @property
    def sockets(self) -> list[tuple[str, int]]:
        """Where RTP is expected: `m=audio 49170/2` is 49170 and 49172 (RFC 8866 5.14). Empty if port is 0."""
        if not self.port:
            return []
        ports = range(self.port, min(self.port + 2 * self.port_count, 65536), 2)
        return [(self.address, port) for port in ports]


@cython.no_gc
@cython.cclass
class Session:
    """A session description. `connection` (an address) and `direction` are the session-level ones."""

    def __init__(self) -> None:
        self.connection = ""  # "" if there is no session-level c= line
        self.direction = "sendrecv"
        self.crypto = False  # keys are offered: SDES, DTLS or ZRTP, whatever the profile
        self.media: list[MediaDescription] = []
        self.bundles: list[tuple[str, ...]] = []  # mids that share a socket, the first m= names it (RFC 9143)
        self.rtpmaps_left = RTPMAPS_MAX
        self.candidates_left = CANDIDATES_MAX
        self.ssrcs_left = SSRCS_MAX


def parse(data: bytes) -> Session:
    """Read a session description.

    Raises:
        WireError: SDP_MALFORMED, if no `v=` and no usable `m=` line is there.
    """
    session = Session()
    version: cython.bint = False
    current: MediaDescription | None = None
    skipping: cython.bint = False  # the lines of a section that is not read
    kind: cython.int
    at: cython.Py_ssize_t = 0
    stop: cython.Py_ssize_t
    while at < len(data):
        stop = find(data, LF, at, len(data))
        if find(data, CR, at, stop) < stop - 1:  # a CR alone ends a line too
            return parse(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        if stop - at >= 2 and data[at + 1] == EQUALS:
            kind = data[at]
            if kind == ATTRIBUTE:
                if not skipping:
                    _attribute(data, at + 2, stop, current, session)
            elif kind == MEDIA:
                current = None
                if len(session.media) < MEDIA_MAX:
                    current = _media(text_at(data, at + 2, stop), session)
                skipping = current is None
                if current is not None:
                    session.media.append(current)
            elif kind == CONNECTION:
                address = "" if skipping else _connection(text_at(data, at + 2, stop))
                if address and current is not None:
                    current.address = address
                elif address:
                    session.connection = address
            elif kind == VERSION:
                version = True
        at = stop + 1
    if not version and not session.media:
        raise WireError(Reason.SDP_MALFORMED)
    for current in session.media:
        _place_rtcp(current)
    return session


def condensed(session: Session) -> bytes:
    """A description with all that `parse` reads of `session`, and nothing else: what is kept of an SDP.

    Parsing it gives `session` again. A few hundred bytes, whatever the length of what was sent.
    """
    lines = ["v=0"]
    if session.connection:
        lines.append(_connection_line(session.connection))
    lines.append(f"a={session.direction}")
    if session.crypto:
        lines.append("a=crypto")
    lines += [f"a=group:BUNDLE {' '.join(mids)}" for mids in session.bundles]
    for media in session.media:
        count = f"/{media.port_count}" if media.port_count > 1 else ""
        types = " ".join(map(str, media.payload_types)) or "-"
        lines.append(f"m={media.kind} {media.port}{count} {media.protocol} {types}")
        if media.address and media.address != session.connection:
            lines.append(_connection_line(media.address))
        lines.append(f"a={media.direction}")
        for number, (name, rate, channels) in media.rtpmap.items():
            lines.append(f"a=rtpmap:{number} {name}/{rate}/{channels}")
        if media.port:
            where = f" IN IP4 {media.rtcp_address}" if media.rtcp_address else ""
            lines.append(f"a=rtcp:{media.rtcp_port}{where}")
        if media.rtcp_mux:
            lines.append("a=rtcp-mux")
        lines += [f"a=ssrc:{ssrc}" for ssrc in media.ssrcs]
        for address, port, component, kind in media.candidates:
            lines.append(f"a=candidate:- {component} udp - {address} {port} typ {kind}")
        if media.mid:
            lines.append(f"a=mid:{media.mid}")
        if media.crypto:
            lines.append("a=crypto")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def condensed_size(session: Session) -> cython.Py_ssize_t:
    """The length of `condensed` without making it; in characters, so short of it where they are not ASCII."""
    media: MediaDescription
    mids: tuple[str, ...]
    encoding: tuple[str, int, int]
    number: cython.Py_ssize_t
    rate: cython.Py_ssize_t
    channels: cython.Py_ssize_t
    port: cython.Py_ssize_t
    component: cython.Py_ssize_t
    size: cython.Py_ssize_t = len("v=0\n") + len("a=\n") + len(session.direction)
    if session.connection:
        size += len("c=IN IP4 \n") + len(session.connection)
    if session.crypto:
        size += len("a=crypto\n")
    for mids in session.bundles:
        size += len("a=group:BUNDLE\n") + max(1, sum([len(mid) + 1 for mid in mids]))
    for media in session.media:
        size += len("m=  \n") + len(media.kind) + _digits(media.port) + len(media.protocol)
        if media.port_count > 1:
            size += 1 + _digits(media.port_count)
        for number in media.payload_types:
            size += 1 + _digits(number)
        size += 0 if media.payload_types else 2
        if media.address and media.address != session.connection:
            size += len("c=IN IP4 \n") + len(media.address)
        size += len("a=\n") + len(media.direction)
        for number, encoding in media.rtpmap.items():
            rate, channels = encoding[1], encoding[2]
            size += len("a=rtpmap: //\n") + len(encoding[0])
            size += _digits(number) + _digits(rate) + _digits(channels)
        if media.port:
            size += len("a=rtcp:\n") + _digits(media.rtcp_port)
            if media.rtcp_address:
                size += len(" IN IP4 ") + len(media.rtcp_address)
        if media.rtcp_mux:
            size += len("a=rtcp-mux\n")
        for number in media.ssrcs:
            size += len("a=ssrc:\n") + _digits(number)
        for address, port, component, kind in media.candidates:
            size += len("a=candidate:-  udp -   typ \n") + len(address) + len(kind)
            size += _digits(port) + _digits(component)
        if media.mid:
            size += len("a=mid:\n") + len(media.mid)
        if media.crypto:
            size += len("a=crypto\n")
    return size


def _digits(number: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The length of a number, 0 or more, in decimal."""
    length: cython.Py_ssize_t = 1
    bound: cython.Py_ssize_t = 10
    while number >= bound and length < 18:  # without a division
        bound *= 10
        length += 1
    return length


def _connection_line(address: str) -> str:
    return f"c=IN IP{6 if ':' in address else 4} {address}"


def _place_rtcp(media: MediaDescription) -> None:
    """RTCP is on the next port unless a=rtcp says otherwise (RFC 3550 11), and nowhere without RTP."""
    if not media.port:
        media.rtcp_port, media.rtcp_address = 0, ""
        return
    media.rtcp_port = media.rtcp_port or min(media.port + 1, 65535)
    media.rtcp_address = media.rtcp_address or media.address


def _media(value: str, session: Session) -> MediaDescription | None:
    """m=<media> <port>[/<count>] <proto> <fmt> ... (RFC 8866 5.14); None if there is no port to be read."""
    words = value.split(None, 2)
    if len(words) < 3:
        return None
    first, _, count = words[1].partition("/") if "/" in words[1] else (words[1], "", "")
    port = _number(first, 65535)
    if port < 0:
        return None
    formats = _formats(words[2]) if len(words[2]) <= KEPT_MAX else _formats.__wrapped__(words[2])
    media = MediaDescription(intern(words[0][:WORD_MAX].lower()), port, formats, session)
    if count:
        media.port_count = min(max(_number(count, 65535), 0) or 1, SOCKETS_MAX)
    return media


@lru_cache(maxsize=1024)  # a host's codecs are few
def _formats(value: str) -> tuple[str, bool, bool, tuple[int, ...]]:
    """<proto> <fmt> ...: protocol, whether it is RTP, whether its profile is secure; payload types if RTP."""
    words = value.split()
    protocol = words[0].upper()
    is_rtp = "RTP/" in protocol
    numbers = [_number(word, 127) for word in words[1 : 1 + FORMATS_MAX]] if is_rtp else []
    payload_types = tuple(dict.fromkeys(number for number in numbers if number >= 0))
    return intern(words[0][:WORD_MAX]), is_rtp, "SAVP" in protocol, payload_types


def _attribute(
    data: bytes,
    at: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    media: MediaDescription | None,
    session: Session,
) -> None:
    """a=<name>[:<value>] of a section, or of the session (RFC 8866 5.13)."""
    colon: cython.Py_ssize_t = find(data, COLON, at, stop)
    name = text_at(data, at, colon)
    if media is None:
        _of_session(session, name, text_at(data, colon + 1, stop))
    elif name == "rtpmap":
        if session.rtpmaps_left > 0:
            value = text_at(data, colon + 1, stop)
            row = _rtpmap(value) if len(value) <= KEPT_MAX else _rtpmap.__wrapped__(value)
            if row is not None:
                session.rtpmaps_left -= 1
                media.rtpmap[row[0]] = row[1]
    elif name == "fmtp" or name == "ptime":
        pass  # frequent, and of no use here
    elif name in DIRECTIONS:
        media.direction = name
    elif name == "rtcp":
        _rtcp(media, text_at(data, colon + 1, stop))
    elif name == "rtcp-mux":
        media.rtcp_mux = True
    elif name == "mid":
        media.mid = text_at(data, colon + 1, stop)[:WORD_MAX]
    elif name == "ssrc":
        if session.ssrcs_left > 0:
            ssrc = _number(text_at(data, colon + 1, stop).split(" ", 1)[0], 0xFFFF_FFFF)
            if ssrc >= 0 and ssrc not in media.ssrcs:
                session.ssrcs_left -= 1
                media.ssrcs.append(ssrc)
    elif name == "candidate":
        if session.candidates_left > 0:
            candidate = _candidate(text_at(data, colon + 1, stop), media)
            if candidate is not None:
                session.candidates_left -= 1
                media.candidates.append(candidate)
    elif name in _KEYS:
        media.crypto = True


def _of_session(session: Session, name: str, value: str) -> None:
    if name in DIRECTIONS:
        session.direction = name
    elif name == "group":
        mids = [mid[:WORD_MAX] for mid in value.split(None, MEDIA_MAX + 1)[: MEDIA_MAX + 1]]
        if len(mids) > 1 and mids[0].upper() == "BUNDLE" and len(session.bundles) < GROUPS_MAX:
            session.bundles.append(tuple(mids[1:]))
    elif name in _KEYS:
        session.crypto = True


@lru_cache(maxsize=1024)
def _rtpmap(value: str) -> tuple[int, tuple[str, int, int]] | None:
    """a=rtpmap:<payload type> <encoding name>/<clock rate>[/<channels>]"""
    first, _, encoding = value.partition(" ")
    payload_type = _number(first, 127)
    name, _, rest = encoding.strip().partition("/")
    clock, _, channels = rest.partition("/")
    rate = _number(clock, 0xFFFF_FFFF)
    if payload_type < 0 or not name or rate <= 0:  # a clock of 0 would divide jitter by it
        return None
    meaning = (name.strip()[:WORD_MAX], rate, max(_number(channels, 255), 0) or 1)
    usual = USUAL_MEANINGS.get(payload_type)  # the very object, where it says the same
    return payload_type, usual if usual == meaning else meaning


def _rtcp(media: MediaDescription, value: str) -> None:
    """a=rtcp:<port> [IN IP4 <address>] (RFC 3605 2.1)"""
    words = value.split()
    port = _number(words[0], 65535) if words else 0
    if port > 0:
        media.rtcp_port, media.rtcp_address = port, _canonical(words[3]) if len(words) >= 4 else ""


def _candidate(value: str, media: MediaDescription) -> Candidate | None:
    """<foundation> <component> <transport> <priority> <address> <port> typ <type> ... (RFC 8839 5.1)

    Addresses of a section are few, and so are types: each text is kept once.
    """
    words = value.split()
    if len(words) < 8 or words[2].lower() != "udp" or words[6].lower() != "typ":
        return None
    component, port = _number(words[1], 256), _number(words[5], 65535)
    if component <= 0 or port <= 0:
        return None
    address, kind = _canonical(words[4]), words[7][:WORD_MAX].lower()
    if address == media.address:
        address = media.address
    elif media.candidates and address == media.candidates[-1].address:
        address = media.candidates[-1].address
    return Candidate(address, port, component, CANDIDATE_TYPES.get(kind, kind))


def _connection(value: str) -> str:
    """c=<nettype> <addrtype> <address>[/<ttl>[/<count>]] (RFC 8866 5.7); "" if unreadable."""
    words = value.split()
    if len(words) < 3:
        return ""
    return _canonical(words[2].partition("/")[0] if "/" in words[2] else words[2])


def _canonical(address: str) -> str:
    """An IPv6 address in its one short form, anything else in lower case; "" for what is no address."""
    if len(address) > HOST_MAX:
        return ""
    if ":" in address:
        import socket  # few hosts have IPv6: decoder_cy

        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address.strip("[]")))
        except (OSError, ValueError):  # ValueError: a null character
            pass
    return address.lower()


def _number(text: str, most: cython.longlong) -> cython.longlong:
    """Decimal digits as an integer of at most `most`; -1 where that is not what they are."""
    value: cython.longlong = digits(text.strip(), 10)
    return value if value <= most else -1
