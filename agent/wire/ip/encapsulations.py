"""Every encapsulation that carries calls past a capture: one row each.

The decoder's dispatch, the kernel's filter, the libpcap expression and the settings are made from these rows.
To add one: a row in the table, its name in the enum of `decoder_cy.pxd` in the same place, and a method of
`Decoder` that `ethernet`, `generic` or `datagram` calls. HEP carries messages and no packets, over TCP too:
the engine's intake opens it, once a message is whole.

Framing of the link (VLAN and other tags, MPLS, PPPoE, LLC) is always read: only the link's own stations can
send it. A tunnel comes in an IP packet from anywhere, so a live capture opens only the configured tunnels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

GRE = 47  # the IP protocol number
V4_IN_V6 = 96  # bits before an IPv4 address in its IPv6 form (RFC 4291 2.5.5.2)


class Encapsulation(Struct, frozen=True):
    """How to recognise one encapsulation. A GRE type means IP protocol 47; ports are UDP destinations."""

    kind: str
    source: str
    ether_types: tuple[int, ...] = ()
    protocols: tuple[int, ...] = ()
    gre_types: tuple[int, ...] = ()
    ports: tuple[int, ...] = ()
    either_port: bool = False  # the source port counts too
    over_tcp: bool = False  # it carries messages, over UDP and TCP: no work of the decoder
    identifier: str = ""  # the header field that `vni` means
    bits: int = 32  # of it

    @property
    def is_tunnel(self) -> bool:
        return not self.ether_types


ROWS = (
    Encapsulation("vlan", "IEEE 802.1Q, 802.1ad", ether_types=(0x8100, 0x88A8, 0x9100)),
    Encapsulation("vntag", "Cisco VN-Tag", ether_types=(0x8926,)),
    Encapsulation("etag", "IEEE 802.1BR", ether_types=(0x893F,)),
    Encapsulation("cmd", "Cisco metadata, TrustSec", ether_types=(0x8909,)),
    Encapsulation("nsh", "RFC 8300", ether_types=(0x894F,)),
    Encapsulation("mpls", "RFC 3032", ether_types=(0x8847, 0x8848)),
    Encapsulation("pppoe", "RFC 2516", ether_types=(0x8864,)),
    Encapsulation("ipip", "RFC 2003", protocols=(4,)),
    Encapsulation("6in4", "RFC 4213", protocols=(41,)),
    Encapsulation("gre", "RFC 2784, 2890", gre_types=(0x0800, 0x86DD, 0x8847, 0x8848), identifier="the key"),
    Encapsulation("nvgre", "RFC 7637", gre_types=(0x6558,), identifier="the virtual subnet", bits=24),
    Encapsulation("erspan", "draft-foschiano-erspan", gre_types=(0x88BE,), identifier="the session", bits=10),
    Encapsulation(
        "erspan3", "draft-foschiano-erspan", gre_types=(0x22EB,), identifier="the session", bits=10
    ),
    Encapsulation("pptp", "RFC 2637", gre_types=(0x880B,), identifier="the call", bits=16),
    Encapsulation("etherip", "RFC 3378", protocols=(97,)),
    Encapsulation("l2tpv3", "RFC 3931", protocols=(115,), identifier="the session"),
    Encapsulation("vxlan", "RFC 7348", ports=(4789,), identifier="the network", bits=24),
    Encapsulation("vxlangpe", "draft-ietf-nvo3-vxlan-gpe", ports=(4790,), identifier="the network", bits=24),
    Encapsulation("geneve", "RFC 8926", ports=(6081,), identifier="the network", bits=24),
    Encapsulation("gtpu", "3GPP TS 29.281", ports=(2152,), identifier="the tunnel endpoint"),
    Encapsulation("l2tp", "RFC 2661", ports=(1701,), either_port=True, identifier="the session"),
    Encapsulation("mplsudp", "RFC 7510", ports=(6635,)),
    Encapsulation("tzsp", "TaZmen Sniffer Protocol", ports=(37008,)),
    Encapsulation("hep", "HEP3 (EEP)", ports=(9060,), over_tcp=True),
)
KINDS = ("", *(row.kind for row in ROWS))  # by the number that decoder_cy.pxd gives a row
TUNNELS = {row.kind: row for row in ROWS if row.is_tunnel}


class Tunnel(Struct, frozen=True):
    """A believed tunnel: packets of `kind` whose outer source is in one of `peers` (empty: any).

    `vni` None: any; `port` 0: the kind's own. A tunnel with traffic both ways has both its ends as peers.
    """

    kind: str
    peers: tuple[str, ...] = ()
    vni: int | None = None
    port: int = 0

    @property
    def row(self) -> Encapsulation:
        return TUNNELS[self.kind]

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,) if self.port else self.row.ports

    def networks(self) -> Iterator[IPv4Network | IPv6Network]:
        """`peers`, parsed. Raises ValueError."""
        return (ip_network(peer, strict=False) for peer in self.peers)

    def __str__(self) -> str:
        port = f" on port {self.port}" if self.port else ""
        vni = "" if self.vni is None else f", {self.row.identifier} {self.vni}"
        return f"{self.kind}{port} from {', '.join(self.peers) or 'anybody'}{vni}"


EVERY = tuple(Tunnel(kind) for kind in TUNNELS)


def numbered(field: str, size: int = 65536) -> bytes:
    """A row's number for each value of `field` (`ether_types`, `protocols`, `gre_types`); 0: no row."""
    table = bytearray(size)
    for number, row in enumerate(ROWS, 1):
        for value in getattr(row, field):
            table[value] = number
    return bytes(table)


@lru_cache(maxsize=8)
def numbered_ports(tunnels: tuple[Tunnel, ...], *, source: bool = False) -> bytes:
    """A row's number for each UDP destination port, or `source` port, of `tunnels`; 0: no row.

    Every decoder of an engine has the same tables of 64 kB.
    """
    table = bytearray(65536)
    for tunnel in tunnels:
        for port in tunnel.ports:
            if tunnel.row.either_port or not source:
                table[port] = KINDS.index(tunnel.kind)
    return bytes(table)


@lru_cache(maxsize=8)
def rules(tunnels: tuple[Tunnel, ...]) -> tuple[int, ...]:
    """The rules that the decoder compares with an outer packet, 7 numbers for each peer of each tunnel.

    The row's number, UDP port (0: no UDP), identifier plus one (0: any), network and mask (two halves each).
    """
    found: list[int] = []
    for tunnel in tunnels:
        vni = 0 if tunnel.vni is None else tunnel.vni + 1  # 0: any
        for port in tunnel.ports or (0,):
            for network, mask in _halves(tunnel):
                found += [KINDS.index(tunnel.kind), port, vni, *network, *mask]
    return tuple(found)


def _halves(tunnel: Tunnel) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Network and mask of each peer in 128 bits, as halves."""
    if not tunnel.peers:
        yield (0, 0), (0, 0)
    for network in tunnel.networks():
        address, bits = int(network.network_address), network.prefixlen
        if network.version == 4:
            address, bits = 0xFFFF << 32 | address, bits + V4_IN_V6
        mask = (1 << 128) - (1 << 128 - bits)
        yield divmod(address, 1 << 64), divmod(mask, 1 << 64)
