"""Addresses, networks, domains and connectors: each belongs to one, and frames can carry it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network

from agent.config.checks.words import Finding, address, twice
from agent.config.settings import Config
from agent.model.sides import ipv4_of

Network = IPv4Network | IPv6Network

# RFC 5737 and RFC 3849: for documents, never on a wire.
EXAMPLES = [
    ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
BROADCAST = ip_address("255.255.255.255")
MAX_DIMENSION = 255  # characters of a dimension's value (CloudWatch)
MAX_GROUP = 512  # characters of a log group's name
GROUP_PREFIXES = ("media_group_prefix", "sip_group_prefix", "calls_group_prefix")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def vc(config: Config) -> Iterator[Finding]:
    """Addresses that no frame of an SBC carries."""
    public = config.vc.public_addresses
    for section, key, addresses in (
        ("vc", "addresses", config.vc.addresses),
        ("vc", "public_addresses", (*public, *public.values())),
        ("fleet", "media_addresses", config.fleet.media_addresses),
    ):
        for named in addresses:
            parsed, bare = address(named), named.partition("%")[0]
            if parsed is None:
                continue
            if parsed.is_unspecified or parsed.is_multicast or parsed == BROADCAST:
                yield section, key, f'"{named}" is nobody\'s: write the address of one host, as 192.0.2.1'
            elif bare != named:
                yield (
                    section,
                    key,
                    f'"{named}" has a zone: no frame carries it, write {bare}',
                )
            elif ipv4 := ipv4_of(parsed):
                yield section, key, f'"{named}" is IPv4, and so are its frames: write {ipv4}'
    for name, private in public.items():
        if address(name) is not None and address(name) == address(private):
            yield "vc", "public_addresses", f'"{name}" is mapped to itself: remove it'


def vc_doubts(config: Config) -> Iterator[Finding]:
    yield from twice("vc", "addresses", config.vc.addresses)
    if config.vc.observer == "customer" and not config.vc.addresses:
        text = 'is "customer", so vc.addresses are those of its connector: name them, or this host is the vc'
        yield "vc", "observer", text
    own = {address(named) for named in config.vc.addresses}
    for private in config.vc.public_addresses.values():
        if own and address(private) not in own:
            yield "vc", "public_addresses", f'"{private}" is none of vc.addresses: its frames are nobody\'s'
    for rows, advice in (
        (claims_of(config), "name the network that the customer calls from"),
        (carriers_of(config), "name the address that the carrier sends from"),
    ):
        for section, key, _, text in rows:
            network = _network(text)
            if network is not None and network.num_addresses == 1 and network.network_address in own:
                yield section, key, f'"{text}" is the vc itself: {advice}'


def networks(config: Config) -> Iterator[Finding]:
    """Networks with host bits, and networks that two connectors claim."""
    owners: dict[Network, str] = {}
    for section, key, owner, network in (*claims_of(config), *carriers_of(config)):
        parsed = _network(network)
        if parsed is None:
            continue
        host = _host_bits(network)
        if host is not None:
            yield section, key, f'"{network}" has host bits: write {parsed}, or {host} for that host alone'
        if ipv4 := ipv4_of(parsed):
            yield section, key, f'"{network}" is IPv4, and so are its frames: write {ipv4}'
        if owner and owners.setdefault(parsed, owner) != owner:
            yield section, key, f'"{network}" is {owners[parsed]}\'s already: a customer has one connector'


def overlaps(config: Config) -> Iterator[Finding]:
    """Networks inside another connector's: the longer prefix wins, which may be meant."""
    claims = [
        (section, key, owner, parsed)
        for section, key, owner, network in claims_of(config)
        if (parsed := _network(network)) is not None
    ]
    owners = {network: owner for _, _, owner, network in claims if owner}
    lengths = sorted({network.prefixlen for network in owners})
    for section, key, owner, inner in claims:
        if inner.prefixlen == 0:
            yield section, key, f'"{inner}" holds every address: nobody is remote'
        for length in lengths if owner else ():
            outer = inner.supernet(new_prefix=length) if length < inner.prefixlen else inner
            other = owners.get(outer, owner)
            if other != owner and outer != inner:
                yield section, key, f'"{inner}" lies in {outer} of {other}: calls from it are {owner}\'s'


def examples(config: Config) -> Iterator[Finding]:
    """Networks of documents, left in from an example: no call comes from there, so all would be remote."""
    for section, key, _, text in claims_of(config):
        network = _network(text)
        if network is not None and any(
            network.prefixlen >= one.prefixlen and network.supernet(new_prefix=one.prefixlen) == one
            for one in EXAMPLES
        ):
            yield section, key, f'"{text}" is a network for examples: name the customer\'s own'


def claims_of(config: Config) -> Iterator[tuple[str, str, str, str]]:
    """Section, key, connector ("" where none is named) and network, of all customer networks."""
    for network in config.customers.networks:
        yield "customers", "networks", "", network
    for number, connector in enumerate(config.connectors):
        for network in connector.customer_networks:
            yield f"connectors[{number}]", "customer_networks", connector.id, network


def carriers_of(config: Config) -> Iterator[tuple[str, str, str, str]]:
    """The same of carriers, whose owners `load` compares."""
    for number, carrier in enumerate(config.carriers):
        for network in carrier.networks:
            yield f"carriers[{number}]", "networks", "", network


def carriers(config: Config) -> Iterator[Finding]:
    """Carriers that no call can have: without an address, or at a customer's."""
    claimed = {network for *_, text in claims_of(config) if (network := _network(text)) is not None}
    for section, key, _, text in carriers_of(config):
        if (network := _network(text)) is None:
            continue
        wider = (network.supernet(new_prefix=length) for length in range(network.prefixlen + 1))
        for outer in claimed.intersection(wider):
            yield section, key, f'"{text}" lies in {outer}, a customer\'s: no carrier is there'
    trunks = {domain.lower(): one.id for one in config.connectors for domain in one.domains}
    for number, carrier in enumerate(config.carriers):
        for domain in carrier.domains:
            if owner := trunks.get(domain.lower()):
                yield (
                    f"carriers[{number}]",
                    "domains",
                    f'"{domain}" is a host of {owner}, a customer\'s trunk',
                )
        if not carrier.networks and not carrier.domains:
            yield f"carriers[{number}]", "id", f"{carrier.id} fits nothing: add networks or domains"


def domains(config: Config) -> Iterator[Finding]:
    """Domains that no SIP URI's host can equal, and domains that two connectors claim."""
    owners: dict[str, str] = {}
    rows = [(f"carriers[{n}]", "", carrier.domains) for n, carrier in enumerate(config.carriers)]
    rows += [(f"connectors[{n}]", one.id, one.domains) for n, one in enumerate(config.connectors)]
    for where, owner, named in rows:
        for domain in named:
            host = re.sub(r"^\w+:(//)?", "", domain).split("/")[0].rpartition("@")[2].partition(":")[0]
            if domain.startswith("*"):
                said = f'"{domain}": no wildcard is known here: write each host'
            elif not _HOST.fullmatch(domain) and address(domain.strip("[]")) is None:
                said = f'"{domain}" is no host name: write {_on_the_wire(host)}'
            elif owner and owners.setdefault(domain.lower(), owner) != owner:
                said = f'"{domain}" is {owners[domain.lower()]}\'s already: a host names one connector'
            else:
                continue
            yield where, "domains", said


def repeated(config: Config) -> Iterator[Finding]:
    yield from twice("customers", "networks", config.customers.networks)
    for number, connector in enumerate(config.connectors):
        for key in ("customer_networks", "domains"):
            yield from twice(f"connectors[{number}]", key, getattr(connector, key))
    for number, carrier in enumerate(config.carriers):
        for key in ("networks", "domains"):
            yield from twice(f"carriers[{number}]", key, getattr(carrier, key))


def connectors(config: Config) -> Iterator[Finding]:
    """Ids that differ by case only, and names that AWS refuses as a dimension or a log group."""
    seen: dict[str, str] = {}
    for number, connector in enumerate(config.connectors):
        where = f"connectors[{number}]"
        first = seen.setdefault(connector.id.lower(), connector.id)
        if first != connector.id:
            yield (
                where,
                "id",
                f'"{connector.id}" is "{first}" in another case: X-VoiceConnector-ID has no case',
            )
        if len(connector.id) > MAX_DIMENSION:
            yield where, "id", f"has {len(connector.id)} characters: {MAX_DIMENSION} at most"
        if not _is_dimension(connector.region):
            text = (
                f"1 to {MAX_DIMENSION} printable ASCII characters, no colon first: CloudWatch refuses others"
            )
            yield where, "region", f'"{connector.region}" will not do: {text}'
        for key in GROUP_PREFIXES:
            if len(getattr(config.logs, key)) + len(connector.id) > MAX_GROUP:
                yield where, "id", f"is too long behind logs.{key}: {MAX_GROUP} characters together at most"


def _is_dimension(text: str) -> bool:
    return bool(re.fullmatch(r"[!-9;-~][ -~]*", text)) and len(text) <= MAX_DIMENSION


def nobody(config: Config) -> Iterator[Finding]:
    """AWS is on, and every side is unknown."""
    sided = any(c.customer_networks or c.domains for c in config.connectors) or config.customers.networks
    if not sided and (config.cloudwatch.enabled or config.logs.enabled):
        yield (
            "customers",
            "networks",
            "nobody is a customer: every sided figure is null, and AWS gets none of them",
        )


def _on_the_wire(host: str) -> str:
    """A host as a SIP URI carries it (IDNA), or an example where it is none."""
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    return name if _HOST.fullmatch(name) else "sip.example.com"


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _host_bits(text: str) -> str | None:
    """The host's own network, where `text` names a host of a larger one."""
    interface = ip_interface(text)
    if interface.ip == interface.network.network_address:
        return None
    return f"{interface.ip}/{interface.ip.max_prefixlen}"
