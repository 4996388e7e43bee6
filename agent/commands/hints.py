"""The probable SBC and customers where none is configured: words and options for the operator to judge.

Sides are never guessed: no hint changes a figure. A phone is never proposed as the SBC: that needs calls that
come in at an address and go on from it, or more than two peers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from agent.model.sides import Sides

Edges = Mapping[tuple[str, str], int]  # (from, to): legs, or streams
LEAST_PEERS = 3  # a phone may have two SBCs
MAX_NAMED = 4


def sides_hint(sides: Sides, passed: Mapping[str, int], edges: Edges) -> str:
    """One line: the unknown figures, the peers seen, and the options to copy.

    `passed`: how many calls came in at an address and went on from it. `edges`: legs by their two ends.
    """
    vc = sides.vc or likely_sbc(passed, edges)
    unknown = "sides are unknown, so sided figures are null: "
    if not vc:
        seen = _most(Counter(address for edge in edges for address in edge))
        names = f" (seen: {', '.join(seen)})" if seen else ""
        return f"{unknown}name the SBC's addresses with --vc, the customer's networks with --customer{names}"
    peers = peers_of(vc, edges)
    options = " ".join(f"--vc {address}" for address in vc)
    total, own = sum(edges.values()), sum(n for edge, n in edges.items() if not set(edge).isdisjoint(vc))
    passing = f"({own} of {total} legs or streams pass it)"
    who = "" if sides.vc else f"the SBC looks like {' and '.join(vc)} {passing}. "
    if not peers:
        return f"{unknown}{who}Name the customer's networks: {options} --customer NETWORK"
    likely, others = likely_networks(peers)
    either = f" (it may be {' or '.join(others[:MAX_NAMED])})" if others else ""
    which = f"With {likely[0]} as the customer's network{either}:"
    if len(likely) > 1:
        which = "Which network is the customer's?"
    commands = ", or ".join(f"{options} --customer {network}" for network in likely[:MAX_NAMED])
    return f"{unknown}{who}Peers seen: {', '.join(_most(peers))}. {which} {commands}"


def likely_sbc(passed: Mapping[str, int], edges: Edges) -> list[str]:
    """The SBC's addresses as far as the capture shows them; empty where several would fit."""
    if passed:
        most = max(passed.values())
        return sorted(address for address, calls in passed.items() if calls * 2 >= most)[:MAX_NAMED]
    legs: Counter[str] = Counter()
    peers: defaultdict[str, set[str]] = defaultdict(set)
    for (src, dst), count in edges.items():
        for address, other in ((src, dst), (dst, src)):
            legs[address] += count
            peers[address].add(other)
    ranked = sorted(legs, key=lambda address: (legs[address], len(peers[address])), reverse=True)
    if not ranked or len(peers[ranked[0]]) < LEAST_PEERS:
        return []
    return ranked[:1]


def peers_of(vc: Iterable[str], edges: Edges) -> Counter[str]:
    """Addresses that talk with `vc`, and how often."""
    ours, found = set(vc), Counter[str]()
    for (src, dst), count in edges.items():
        if (src in ours) != (dst in ours):
            found[dst if src in ours else src] += count
    return found


def likely_networks(peers: Counter[str]) -> tuple[list[str], list[str]]:
    """The networks of the peers, /24 and IPv6 /64: those of most addresses, private ones first; the others.

    Several are likely where nothing but their traffic tells them apart.
    """
    networks: defaultdict[str, set[str]] = defaultdict(set)
    for peer in peers:
        networks[_network_of(peer)].add(peer)

    def rank(network: str) -> tuple[int, bool]:
        return len(networks[network]), ip_network(network).is_private

    ranked = sorted(sorted(networks), key=rank, reverse=True)
    likely = [network for network in ranked if rank(network) == rank(ranked[0])]
    return likely, ranked[len(likely) :]


def _network_of(address: str) -> str:
    if ":" in address:
        return str(ip_network(f"{address}/64", strict=False))
    return f"{address.rpartition('.')[0]}.0/24"


def _most(addresses: Counter[str]) -> list[str]:
    named = [address for address, _ in addresses.most_common()[:MAX_NAMED]]
    return [*named, f"{len(addresses) - MAX_NAMED} more"] if len(addresses) > MAX_NAMED else named
