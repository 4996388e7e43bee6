# cython: language_level=3
"""The connector that owns a leg.

The first of these that fits: `X-VoiceConnector-ID` naming a configured connector, from the vc or from that
connector's own networks; a Request-URI or To host that is one of its domains; a From or Contact host that is,
from the vc or from its own networks, if it has any (a tenant's trunk of a hosted PBX is named in Contact
alone); the customer peer's address; the other legs of the call. A leg still undecided when the minute of its
INVITE closes goes to the connector marked `default`, else to `unassigned`, for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import cython

from agent.model.call_cy import Leg
from agent.model.sides import Connector, Side, Sides
from agent.model.trust import Effect, Trust, takes
from agent.wire.sip.message_cy import Message
from agent.wire.sip.values_cy import parse_uri

CONNECTOR_HEADER = "X-VoiceConnector-ID"


class ConnectorResolver:
    """Legs of open minutes, and their connectors."""

    def __init__(self, sides: Sides, counters: Counter[str]) -> None:
        self._sides = sides
        self._counters = counters
        self._open: dict[Leg, None] = {}  # legs whose INVITE's minute is not closed

    def connector(self, message: Message, peer: str, side: Side | None, from_vc: bool) -> Connector | None:
        """The connector that a message names, else the one of the customer peer's address."""
        named = message.header(CONNECTOR_HEADER)
        if named is not None:
            connector = self._sides.by_id(named)
            if connector is not None and takes(
                Effect.CONNECTOR_HEADER, self._trust(connector, peer, from_vc)
            ):
                return connector
            # Ignored and counted: the wire never creates a series or a log group.
            self._counters["unknown_connector_header"] += 1
        if self._sides.sole is not None:
            return self._sides.sole
        connector = self._by_host(message, peer, from_vc)
        if connector is not None:
            return connector
        return self._sides.by_peer(peer) if side == "customer" else None

    def _by_host(self, message: Message, peer: str, from_vc: bool) -> Connector | None:
        """The connector whose domain a message names: as the called host, or as its sender's own.

        A response has the From of the request that it answers.
        """
        connector: Connector | None
        asked_by_vc = from_vc if message.is_request else not from_vc
        for host in (message.uri_host if message.is_request else "", message.to_host):
            connector = self._sides.by_host(host) if host else None
            if connector is not None:
                return connector
        connector = self._sides.by_host(message.from_host)
        if connector is not None and self._speaks_for(connector, peer, asked_by_vc):
            return connector
        if self._sides.has_domains and (contact := message.contact):
            connector = self._sides.by_host(parse_uri(contact).host)
            if connector is not None and self._speaks_for(connector, peer, from_vc):
                return connector
        return None

    def _trust(self, connector: Connector, peer: str, from_vc: bool) -> Trust:
        """The trust class of a sender that names `connector`."""
        if from_vc or not self._sides.has_vc or self._sides.is_vc(peer):
            return Trust.VC
        return Trust.CONNECTOR if self._sides.serves(connector, peer) else Trust.UNKNOWN

    def _speaks_for(self, connector: Connector, peer: str, from_vc: bool) -> bool:
        """Whether a message is believed about its own sender.

        A connector without networks of its own has customers anywhere: their word is the only evidence,
        unless the address is another connector's.
        """
        if takes(Effect.CONNECTOR_HOST, self._trust(connector, peer, from_vc)):
            return True
        return not connector.customer_networks and self._sides.by_peer(peer) is None

    def add(self, leg: Leg) -> None:
        """Takes a new leg, joined to its call."""
        self._open[leg] = None

    def update(self, leg: Leg, message: Message, from_vc: bool) -> None:
        """Takes another message of an undecided leg."""
        leg.connector = self.connector(message, leg.peer, leg.side, from_vc)
        if leg.connector is not None:
            leg.call.share_connector(leg)

    def drop(self, leg: Leg, settled: Callable[[Leg], None]) -> None:
        """The leg is forgotten, perhaps before its minute closed."""
        if leg in self._open:
            del self._open[leg]
            if leg.connector is None:
                leg.connector = self._sides.fallback
            settled(leg)

    def settle(self, end_ns: cython.longlong, settled: Callable[[Leg], None]) -> None:
        """Closes the minutes up to `end_ns`: decides the undecided legs, and reports each leg once."""
        leg: Leg
        closed: list[Leg] = []
        for leg in self._open:
            if leg.invite_ns < end_ns:
                closed.append(leg)
        for leg in closed:
            del self._open[leg]
            if leg.connector is None:
                leg.connector = self._sides.fallback
            settled(leg)

    def __contains__(self, leg: object) -> bool:
        return leg in self._open

    def __len__(self) -> int:
        return len(self._open)
