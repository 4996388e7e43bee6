# cython: language_level=3
"""Offer and answer (RFC 3264): the leg that owns a media socket.

Media belongs to the leg whose SDP named the vc-side socket. The far end's own socket is the second choice,
because behind NAT packets come from elsewhere. A claim holds until another SDP of the vc names the socket, or
until the leg is released. An m-line with port 0 (RFC 3264 6) or without RTP claims nothing, nor does an SDP
between two parts of the vc: only the vc's outer sockets count.
"""

from __future__ import annotations

import cython

from agent.media.rtp.named_sockets_cy import NamedSockets
from agent.media.rtp.workers import NamedOfAll
from agent.model.call_cy import Leg, Passage
from agent.model.sides import Sides, Socket
from agent.wire.sdp.session_cy import MediaDescription, Session, condensed


class SocketOwner:
    """A socket that an SDP of `leg` named; `rtp` is the RTP socket that it serves (itself, or its RTCP's)."""

    __slots__ = ("leg", "media", "rtp", "until_ns")

    def __init__(self, leg: Leg, rtp: Socket, media: MediaDescription) -> None:
        self.leg = leg
        self.rtp = rtp
        self.media = [media]  # several m-lines share it under BUNDLE (RFC 8843)
        self.until_ns = 0  # when it was withdrawn

    @property
    def encrypted(self) -> bool:
        return any(media.encrypted for media in self.media)


class Description:
    """The last SDP of each end of a leg."""

    __slots__ = ("far", "ours")

    def __init__(self) -> None:
        self.ours: list[MediaDescription] = []
        self.far: list[MediaDescription] = []


class MediaSockets:
    """Sockets to claims. Bounded by the legs alive, each with at most `MAX_SOCKETS`."""

    def __init__(self, sides: Sides, named: NamedSockets | NamedOfAll | None = None) -> None:
        """`named`: gets every socket that is claimed or released."""
        self._sides = sides
        self.tell(named)
        self._public = sides.public
        self._ours: dict[Socket, SocketOwner] = {}
        self._far: dict[Socket, SocketOwner] = {}
        self._by_leg: dict[Leg, dict[Socket, None]] = {}  # oldest first
        # Claims that ended while streams ran there, by socket as above; their sockets by leg.
        self._ours_before: dict[Socket, SocketOwner] = {}
        self._far_before: dict[Socket, SocketOwner] = {}
        self._withdrawn_of: dict[Leg, dict[Socket, None]] = {}
        self.descriptions: dict[Leg, Description] = {}
        self._codecs_before: dict[Leg, Description] = {}  # where the last SDP of an end has no RTP

    def tell(self, named: NamedSockets | NamedOfAll | None) -> None:
        """Sets the object that gets every claimed socket. Only before any is claimed."""
        self._named = named
        if named is not None:
            named.clear()

    def describe(self, leg: Leg, session: Session, passage: Passage) -> list[Socket]:
        """Takes an SDP passed on `leg`. Returns the sockets that it claims now."""
        ours = passage == "away"
        one: MediaDescription
        media: list[MediaDescription] = []
        for one in session.media:
            if one.is_rtp and one.port:
                media.append(one)
        description: Description | None = self.descriptions.get(leg)
        if description is None:
            description = self.descriptions[leg] = Description()
        if not media and (description.ours if ours else description.far):
            self._keep_codecs(leg, description.ours if ours else description.far, ours)
        if ours:
            description.ours = media
        else:
            description.far = media
        leg.held = _is_held(description.ours) or _is_held(description.far)
        if passage == "internal" and self._sides.has_vc:
            return []
        return self._take(leg, self._claims(leg, media, session), ours)

    def _take(self, leg: Leg, claims: dict[Socket, SocketOwner], ours: cython.bint) -> list[Socket]:
        table = self._ours if ours else self._far
        held: dict[Socket, None] | None = self._by_leg.get(leg)
        if held is None:
            held = self._by_leg[leg] = {}
        taken = []
        is_claimed: cython.bint = leg.call.claim is not None
        for socket, claim in claims.items():
            if ours and self._is_far_end_of(socket, leg):
                continue  # a proxy that left the SDP alone: the socket is an endpoint's, not the vc's
            if is_claimed and _is_taken(table.get(socket), leg):
                continue
            if socket not in held and len(held) >= MAX_SOCKETS:
                self._withdraw(next(iter(held)), leg)  # a re-INVITE that moves ports leaves the old ones
            table[socket] = claim
            held[socket] = None
            if self._named is not None:
                self._named.add(socket[0], socket[1], _rtcp_like(claim.media))
            taken.append(socket)
        return taken

    def _claims(
        self, leg: Leg, medias: list[MediaDescription], session: Session
    ) -> dict[Socket, SocketOwner]:
        """Sockets to their claims. RTP before RTCP: a port that one m-line names is not another's RTCP."""
        claims: dict[Socket, SocketOwner] = {}
        others: list[tuple[Socket, Socket, MediaDescription]] = []
        media: MediaDescription
        socket: Socket
        rtp: Socket
        for media in medias:
            for socket, rtp in self._sockets(media):
                if socket is rtp or socket == rtp:
                    _claim(claims, leg, socket, rtp, media)
                else:
                    others.append((socket, rtp, media))
        for socket, rtp, media in others:
            _claim(claims, leg, socket, rtp, media)
        for media in session.media if session.bundles else ():
            # RFC 8843 6: an m-line of port 0 in a group is bundle-only, its media uses the group's socket.
            if media.port or not media.is_rtp or not media.mid:
                continue
            group = _group_of(media, session)
            for claim in claims.values():
                for other in claim.media:
                    if other.mid in group:
                        claim.media.append(media)
                        break
        return claims

    def _withdraw(self, socket: Socket, leg: Leg) -> None:
        self._by_leg.get(leg, {}).pop(socket, None)
        for table in (self._ours, self._far):
            claim = table.get(socket)
            if claim is not None and claim.leg is leg:
                del table[socket]
        self._forget(socket)

    def _forget(self, socket: Socket) -> None:
        """Drops a socket, and tells the loop where no SDP names it any more."""
        if self._named is not None and socket not in self._ours and socket not in self._far:
            self._named.discard(socket[0], socket[1])

    def names(self, leg: Leg, socket: Socket) -> cython.bint:
        """Whether the last SDP of an end of `leg` names this very socket."""
        media: MediaDescription
        description: Description | None = self.descriptions.get(leg)
        if description is None:
            return False
        for media in description.far + description.ours:
            for row in self._sockets(media):
                if socket in row:
                    return True
        return False

    def _is_far_end_of(self, socket: Socket, leg: Leg) -> cython.bint:
        claim: SocketOwner | None = self._far.get(socket)
        if claim is None or claim.leg is leg:
            return False
        return claim.leg.call is leg.call or not self._sides.is_vc(socket[0])

    def _sockets(self, media: MediaDescription) -> list[tuple[Socket, Socket]]:
        """(socket, RTP socket that it serves) of an m-line: RTP, RTCP (RFC 3605, 5761), ICE candidates."""
        address = self._on_wire(media.address)
        rtp = (address, media.port)
        rows = [(rtp, rtp)]
        if media.port_count > 1 or not media.port:
            rows = [((address, port), (address, port)) for _, port in media.sockets]
        if not media.rtcp_mux or media.rtcp_port != media.port:
            rtcp_address = self._on_wire(media.rtcp_address) if media.rtcp_address else address
            rows.append(((rtcp_address, media.rtcp_port), rtp))
        for candidate_address, port, component, _ in media.candidates:
            socket = (self._on_wire(candidate_address), port)
            if component == 1:
                rows.append((socket, socket))
            else:
                rows.append((socket, rtp))
        return rows

    def _on_wire(self, address: str) -> str:
        """The address that frames carry where SDP names `address`."""
        return self._public.get(address, address)

    def serving(self, socket: Socket) -> Socket | None:
        """The RTP socket whose RTCP uses `socket`, of any SDP; None where no SDP says."""
        claim = self._ours.get(socket) or self._far.get(socket)
        return claim.rtp if claim else None

    def names_host(self, leg: Leg, host: str) -> cython.bint:
        """Whether an SDP of `leg`, the last or one before, names a socket of `host`; before a fax too."""
        socket: Socket
        held: dict[Socket, None] | None = self._by_leg.get(leg)
        if held is not None:
            for socket in held:
                if socket[0] == host:
                    return True
        if self._withdrawn_of:
            for socket in self._withdrawn_of.get(leg, ()):
                if socket[0] == host:
                    return True
        return False

    def may_send(self, medias: list[MediaDescription], address: str) -> cython.bint:
        """Whether media with this description may come from `address`."""
        media: MediaDescription
        for media in medias:
            if self._may_be(media.address, address):
                return True
            for candidate in media.candidates:
                if self._may_be(candidate.address, address):
                    return True
        return not medias

    def _may_be(self, named: str, address: str) -> cython.bint:
        """Whether an SDP that names `named` may mean `address`.

        A host name (RFC 8866 5.7), 0.0.0.0 (hold) and a missing address exclude nothing.
        """
        named = self._on_wire(named)
        if named == address or named in ("0.0.0.0", "::"):
            return True
        return ":" not in named and not named.replace(".", "").isdigit()

    def withdraw(self, leg: Leg, media: MediaDescription, now_ns: cython.longlong) -> None:
        """Ends the claim of `leg` to the sockets of `media`: they carry no RTP any more (T.38).

        Streams that began there before stay the leg's (`find_withdrawn`).
        """
        claim: SocketOwner
        for socket in dict.fromkeys([socket for row in self._sockets(media) for socket in row]):
            for passage, claim in self._claims_to(socket, leg, self._ours, self._far):
                claim.until_ns = now_ns
                self._keep_withdrawn(claim, socket, passage)
            self._withdraw(socket, leg)

    def restore(self, leg: Leg, session: Session, passage: Passage, until_ns: int) -> None:
        """Takes over a row of `earlier`, before any other SDP of the leg."""
        claim: SocketOwner
        claims = self._claims(leg, session.media, session)
        self._keep_codecs(leg, session.media, passage == "away")
        if not until_ns:
            self._take(leg, claims, passage == "away")
            return
        for socket, claim in claims.items():
            claim.until_ns = until_ns
            self._keep_withdrawn(claim, socket, passage)

    def _keep_codecs(self, leg: Leg, medias: list[MediaDescription], ours: cython.bint) -> None:
        """Keeps the m-lines by which an end described its media, the newest first."""
        before: Description | None = self._codecs_before.get(leg)
        if before is None:
            before = self._codecs_before[leg] = Description()
        if ours:
            before.ours = (medias + before.ours)[:MAX_SOCKETS]
        else:
            before.far = (medias + before.far)[:MAX_SOCKETS]

    def _keep_withdrawn(self, claim: SocketOwner, socket: Socket, passage: Passage) -> None:
        held = self._withdrawn_of.setdefault(claim.leg, {})
        held[socket] = None
        if len(held) > MAX_WITHDRAWN:
            self._forget_withdrawn(claim.leg, next(iter(held)))
            del held[next(iter(held))]
        (self._ours_before if passage == "away" else self._far_before)[socket] = claim

    def _forget_withdrawn(self, leg: Leg, socket: Socket) -> None:
        for table in (self._ours_before, self._far_before):
            claim = table.get(socket)
            if claim is not None and claim.leg is leg:
                del table[socket]

    def find_withdrawn(
        self, src: Socket, dst: Socket, first_ns: cython.longlong
    ) -> tuple[SocketOwner, bool | None] | None:
        """As `find`, by claims that were withdrawn after a stream had begun."""
        claim: SocketOwner
        if not self._withdrawn_of:
            return None
        found = self._find(src, dst, self._ours_before, self._far_before)
        if found is None:
            return None
        claim = found[0]
        return found if first_ns <= claim.until_ns else None

    def codecs_of(self, leg: Leg, ours: cython.bint) -> list[MediaDescription]:
        """The m-lines by which an end of `leg` describes its media, or did before its SDP without RTP."""
        description: Description | None = self.descriptions.get(leg)
        medias: list[MediaDescription] = []
        if description is not None:
            medias = description.ours if ours else description.far
        if not medias and self._codecs_before:
            description = self._codecs_before.get(leg)
            if description is not None:
                medias = description.ours if ours else description.far
        return medias

    def _claims_to(
        self, socket: Socket, leg: Leg, ours: dict[Socket, SocketOwner], far: dict[Socket, SocketOwner]
    ) -> list[tuple[Passage, SocketOwner]]:
        """The claims of `leg` to a socket, with the passage of the SDP that made each."""
        claim: SocketOwner | None
        found: list[tuple[Passage, SocketOwner]] = []
        claim = far.get(socket)
        if claim is not None and claim.leg is leg:
            found.append(("towards", claim))
        claim = ours.get(socket)
        if claim is not None and claim.leg is leg:
            found.append(("away", claim))
        return found

    def earlier(self, leg: Leg) -> list[tuple[Passage, bytes, int]]:
        """M-lines of SDPs before the last by which `leg` has media.

        Passage, condensed SDP, and the time at which they were withdrawn; 0: they hold sockets still. Oldest
        first. Of many the newest, at most `EARLIER_BYTES`.
        """
        claim: SocketOwner
        description: Description | None = self.descriptions.get(leg)
        if description is None:
            return []
        held = self._by_leg.get(leg, {})
        claims: list[tuple[Passage, SocketOwner]] = []
        for socket in self._withdrawn_of.get(leg, ()) if self._withdrawn_of else ():
            if socket not in held:
                claims += self._claims_to(socket, leg, self._ours_before, self._far_before)
        for socket in held:
            claims += self._claims_to(socket, leg, self._ours, self._far)
        seen = description.ours + description.far
        rows = []
        for passage, claim in claims:
            if claim.media[0] not in seen:
                seen.append(claim.media[0])
                rows.append((passage, claim))
        size = 0
        found: list[tuple[Passage, bytes, int]] = []
        for passage, claim in reversed(rows):
            text = condensed(_session_of(claim.media))
            size += len(text)
            if size > EARLIER_BYTES:
                break
            found.append((passage, text, claim.until_ns))
        found.reverse()
        return found

    def find(self, src: Socket, dst: Socket) -> tuple[SocketOwner, bool | None] | None:
        """The claim for packets from src to dst, and whether they go towards the vc.

        None where no SDP named either end, or where the vc is at both.
        """
        return self._find(src, dst, self._ours, self._far)

    def _find(
        self,
        src: Socket,
        dst: Socket,
        ours: dict[Socket, SocketOwner],
        far: dict[Socket, SocketOwner],
    ) -> tuple[SocketOwner, bool | None] | None:
        claim: SocketOwner | None
        at_dst: SocketOwner | None = ours.get(dst)
        at_src: SocketOwner | None = ours.get(src)
        if at_dst and at_src:
            return None
        if (at_dst or at_src) and self._sides.is_vc(src[0]) and self._sides.is_vc(dst[0]):
            return None  # from one part of the vc to another, which need not have named its socket
        if at_dst:
            return at_dst, True
        if at_src:
            return at_src, False
        if self._sides.has_vc:
            if self._sides.is_vc(src[0]) == self._sides.is_vc(dst[0]):
                return None  # the vc at both ends, or at neither: counts nowhere
            to_vc = self._sides.is_vc(dst[0])
            claim = far.get(src if to_vc else dst)
            return (claim, to_vc) if claim and claim.leg.way != "internal" else None
        claim = far.get(src) or far.get(dst)
        return (claim, None) if claim else None

    def held(self, leg: Leg) -> list[Socket]:
        """The sockets that a leg claims, oldest first."""
        held: dict[Socket, None] | None = self._by_leg.get(leg)
        return [] if held is None else [socket for socket in held]  # noqa: C416 -- a third of what list() takes

    def count(self, leg: Leg) -> cython.Py_ssize_t:
        """How many sockets a leg claims."""
        held: dict[Socket, None] | None = self._by_leg.get(leg)
        return 0 if held is None else len(held)

    def release(self, leg: Leg) -> list[Socket]:
        """Ends all claims of a leg. Returns the sockets without any claim left."""
        self.descriptions.pop(leg, None)
        self._codecs_before.pop(leg, None)
        for socket in self._withdrawn_of.pop(leg, ()):
            self._forget_withdrawn(leg, socket)
        freed = []
        for socket in self._by_leg.pop(leg, ()):
            for table in (self._ours, self._far):
                claim = table.get(socket)
                if claim is not None and claim.leg is leg:
                    del table[socket]
                    freed.append(socket)
            self._forget(socket)
        return freed

    def __len__(self) -> int:
        return len(self._ours) + len(self._far)


def _is_taken(owner: SocketOwner | None, leg: Leg) -> cython.bint:
    """Whether a socket is not for a claimed leg: an SDP seen here named it, or a call that began later."""
    if owner is None or owner.leg is leg:
        return False
    return owner.leg.call.claim is None or owner.leg.invite_ns > leg.invite_ns


def _session_of(medias: list[MediaDescription]) -> Session:
    """A description with the m-lines of one claim."""
    session = Session()
    session.media = medias
    mids = tuple([media.mid for media in medias if media.mid])
    session.bundles = [mids] if mids else []
    return session


def _group_of(media: MediaDescription, session: Session) -> tuple[str, ...]:
    """The mids that share a socket with `media`."""
    for mids in session.bundles:
        if media.mid in mids:
            return mids
    return ()


_NOWHERE = frozenset({"", "0.0.0.0", "::"})


def _claim(
    claims: dict[Socket, SocketOwner], leg: Leg, socket: Socket, rtp: Socket, media: MediaDescription
) -> None:
    host: str = socket[0]
    if host in _NOWHERE:  # a description without c= line, or hold as of RFC 2543
        return
    claim: SocketOwner | None = claims.get(socket)
    if claim is None:
        claims[socket] = SocketOwner(leg, rtp, media)
    elif claim.rtp == rtp and media not in claim.media:
        claim.media.append(media)


def _rtcp_like(medias: list[MediaDescription]) -> int:
    """A bit for each payload type of 64 to 95 that these declare: RTCP's own (RFC 5761 4)."""
    media: MediaDescription
    types = 0
    for media in medias:
        for number in media.payload_types:
            if 64 <= number < 96:
                types |= 1 << (number - 64)
    return types


def _is_held(medias: list[MediaDescription]) -> cython.bint:
    media: MediaDescription
    for media in medias:
        if media.kind == "audio" and media.held:
            return True
    return False


# An offer of a browser names some dozens of ICE candidates; hundreds are an attack.
MAX_SOCKETS = 64
MAX_WITHDRAWN = 8  # sockets of a leg: RTP and RTCP of its audio, each way, twice
EARLIER_BYTES = 2048  # of the earlier SDPs of a leg that a checkpoint keeps; an m-line has some 100
