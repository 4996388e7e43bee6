"""Sides: which addresses are the vc's, the customers' and the remote end's, and which connector owns them.

Where networks overlap `vc` wins, then the longest customer prefix; everything else is `remote`. Without a vc
address, or without any customer network or domain, sides are unknown (None): they are never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from msgspec import Struct

from agent.model import names

Side = Literal["vc", "customer", "remote"]
Socket = tuple[str, int]  # address, UDP port
Network = IPv4Network | IPv6Network

MAX_CACHED = 65_536  # addresses come from the wire, so the cache is bounded
CLOUD_DOMAIN = ".voiceconnector.chime.aws"


def is_group(address: str) -> bool:
    """Whether it is a multicast address (RFC 5771 3, RFC 4291 2.7): nobody's, so of no side."""
    return address.startswith("ff") if ":" in address else 224 <= int(address.partition(".")[0]) <= 239


def ipv4_of(parsed: IPv4Address | IPv6Address | Network) -> str:
    """An IPv4 address or network written as IPv6 (RFC 4291 2.5.5.2), as its frames have it; else ""."""
    if isinstance(parsed, IPv6Network):
        mapped = parsed[0].ipv4_mapped if parsed.prefixlen >= 96 else None
        return f"{mapped}/{parsed.prefixlen - 96}" if mapped else ""
    return str((parsed.ipv4_mapped or "") if isinstance(parsed, IPv6Address) else "")


def as_address(text: str) -> str:
    """An address in its usual form. Raises ValueError: it is none, or IPv4 written as IPv6."""
    parsed = ip_address(text)
    if ipv4_of(parsed):
        raise ValueError(f"{text!r} is IPv4, and so are its frames")
    return str(parsed)


def as_network(text: str) -> Network:
    """A network, host bits cleared. Raises ValueError as `as_address`."""
    parsed = ip_network(text, strict=False)
    if ipv4_of(parsed):
        raise ValueError(f"{text!r} is IPv4, and so are its frames")
    return parsed


class Connector(Struct, frozen=True, cache_hash=True):
    """One customer trunk. A SIP host in `domains` names it; the managed service's domain always does."""

    id: str
    region: str = "local"
    domains: tuple[str, ...] = ()
    customer_networks: tuple[str, ...] = ()
    default: bool = False
    log_media: bool = True
    log_sip: bool = True


class Carrier(Struct, frozen=True):
    """A carrier at the remote end. A SIP host in `domains` names it."""

    id: str
    networks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


# The connector of a leg that fits no configured one: kept in JSON and the local store only.
UNASSIGNED = Connector(names.UNASSIGNED)
# The connector of a host without configured connectors.
ONLY = Connector("default", default=True)


class Sides:
    """Maps an address to its side, and a peer or host to its connector. Look-ups, cached by address."""

    def __init__(
        self,
        vc: Iterable[str] = (),
        connectors: Iterable[Connector] = (),
        customer_networks: Iterable[str] = (),
        public_addresses: Mapping[str, str] | None = None,
        carriers: Iterable[Carrier] = (),
    ) -> None:
        """`customer_networks` belong to customers whose connector only other evidence can name.

        `public_addresses` maps an address that SDP names (an Elastic IP) to the one that frames carry.
        Raises ValueError where an address or network does not parse.
        """
        self.connectors = tuple(connectors) or (ONLY,)
        self.public: dict[str, str] = {
            str(ip_address(public)): str(ip_address(private))
            for public, private in (public_addresses or {}).items()
        }
        # Under 1:1 NAT frames may carry the public address too; it also names the vc.
        named = {as_address(address) for address in vc}
        self.own = frozenset(named | {private for public, private in self.public.items() if public in named})
        # Every SIP message asks; a method of Python's would take 600 instructions more.
        self.is_vc: Callable[[str], bool] = self.own.__contains__
        networks: list[tuple[Network, Connector | None]] = [
            (as_network(network), connector)
            for connector in self.connectors
            for network in connector.customer_networks
        ]
        networks += [(as_network(network), None) for network in customer_networks]
        self._networks = sorted(networks, key=lambda row: -row[0].prefixlen)
        self._domains = {
            domain.lower(): connector
            for connector in self.connectors
            for domain in (*connector.domains, connector.id + CLOUD_DOMAIN)
        }
        self.has_domains = any(connector.domains for connector in self.connectors)
        # Whether sides can be told at all: without any customer every peer would be `remote`.
        self.known = bool(self.own) and bool(networks or any(c.domains for c in self.connectors))
        self.carriers = tuple(carriers)
        self._carrier_networks = sorted(
            ((as_network(text), carrier.id) for carrier in self.carriers for text in carrier.networks),
            key=lambda row: -row[0].prefixlen,
        )
        self._carrier_domains = {
            name.lower(): carrier.id for carrier in self.carriers for name in carrier.domains
        }
        self._carrier_cache: dict[str, str] = {}
        self._ids = {connector.id.lower(): connector for connector in self.connectors}
        self._served: dict[tuple[Connector, str], bool] = {}
        self._cache: dict[str, tuple[Side, Connector | None]] = {}
        self.fallback = next((c for c in self.connectors if c.default), UNASSIGNED)
        # The only connector, where there is just one: every leg belongs to it.
        self.sole = self.fallback if len(self.connectors) == 1 and self.connectors[0].default else None

    @property
    def vc(self) -> list[str]:
        return sorted(self.own)

    @property
    def has_vc(self) -> bool:
        """Whether the direction towards the vc and away from it can be told."""
        return bool(self.own)

    def side(self, address: str) -> Side | None:
        return self.place(address)[0]

    def place(self, address: str) -> tuple[Side | None, Connector | None]:
        """The side of `address`, and the connector whose customer network holds it."""
        if self.known:
            return self._look(address)
        return ("vc" if address in self.own else None), None

    def by_peer(self, address: str) -> Connector | None:
        """The connector whose customer network holds `address`."""
        return self._look(address)[1]

    def serves(self, connector: Connector, address: str) -> bool:
        """Whether `address` is in a customer network of `connector`, perhaps in another connector's too."""
        if address in self.own:
            return False
        key = connector, address
        found = self._served.get(key)
        if found is None:
            if len(self._served) >= MAX_CACHED:
                self._served.clear()
            parsed = ip_address(address)
            found = self._served[key] = any(
                owner is connector and parsed.version == network.version and parsed in network
                for network, owner in self._networks
            )
        return found

    def by_host(self, host: str) -> Connector | None:
        """The connector that a SIP host (Request-URI, To or From) names."""
        return self._domains.get(host.lower())

    def by_id(self, connector_id: str) -> Connector | None:
        return self._ids.get(connector_id.strip().lower())

    def carrier(self, address: str, hosts: Iterable[str] = ()) -> str:
        """The id of the carrier with the longest prefix at a remote `address`, else of the one that a host in
        `hosts` names.

        "" where none fits. The address comes first, because anybody can write a host into a message.
        """
        found = self._carrier_cache.get(address)
        if found is None:
            if len(self._carrier_cache) >= MAX_CACHED:
                self._carrier_cache.clear()
            found = self._carrier_cache[address] = self._carrier_at(address)
        if found or not self._carrier_domains:
            return found
        return next((carrier for host in hosts if (carrier := self._carrier_domains.get(host.lower()))), "")

    def _carrier_at(self, address: str) -> str:
        if not self._carrier_networks:
            return ""
        parsed = ip_address(address)
        for network, carrier in self._carrier_networks:
            if parsed.version == network.version and parsed in network:
                return carrier
        return ""

    def _look(self, address: str) -> tuple[Side, Connector | None]:
        found = self._cache.get(address)
        if found is None:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            found = self._cache[address] = self._match(address)
        return found

    def _match(self, address: str) -> tuple[Side, Connector | None]:
        if address in self.own:
            return "vc", None
        if not self._networks:
            return "remote", None
        parsed = ip_address(address)
        for network, connector in self._networks:
            if parsed.version == network.version and parsed in network:
                return "customer", connector
        return "remote", None
