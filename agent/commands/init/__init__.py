"""`sbcwatch init`: inspects this host and writes a first configuration, each line with its reason.

Known values are set (the SBC's SIP ports, the NAT that EC2 makes); choices are offered as a comment (the
customers). Sides are never guessed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from agent.assembly import sources
from agent.capture.source import Source
from agent.commands.init.imds import Instance, ask, is_ec2
from agent.commands.init.surroundings import Findings, Traffic, look
from agent.config.load import read
from agent.config.settings import Config
from agent.errors import ConfigError
from agent.wire.ip.encapsulations import TUNNELS

SHOWN = 20  # peers written down; a scan of the internet must not fill the file
SAMPLE_PORTS = 20  # media ports heard before a range is worth proposing


def init_command(options: argparse.Namespace) -> int:
    return write_first(options.output, seconds=options.seconds, imds=not options.no_imds)


def write_first(
    output: str | None,
    *,
    seconds: float = 5.0,
    imds: bool = True,
    root: Path = Path("/"),
    listen: Callable[[Config], Source] = sources.listen,
    ask_imds: Callable[[], Instance | None] = ask,
) -> int:
    """Write to `output` or stdout; 0. Raises ConfigError where the file exists or cannot be written."""
    instance = ask_imds() if imds and is_ec2(root) else None
    text = render(look(root, seconds, listen, instance))
    _, problems = read(text, {})
    if problems:  # our own mistake; better to fail here than after installation
        raise ConfigError("init made a bad file: " + "; ".join(map(str, problems)))
    if output in (None, "-"):
        sys.stdout.write(text)
        return 0
    try:
        with open(output, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{output}: {error.strerror}: name a new file, init overwrites none") from None
    print(f"wrote {output}; next: sbcwatch check-config {output}", file=sys.stderr)
    return 0


def render(found: Findings) -> str:
    """The file, for what was found."""
    parts = (_vc(found), _connectors(found), _capture(found), _tunnels(found), _aws(found))
    head = (
        "# A first configuration, from what this host looked like. Check it: sbcwatch check-config FILE",
        "# All settings with their defaults: sbcwatch config",
    )
    return "\n".join([*head, *(line for part in map(list, parts) if part for line in ("", *part))]) + "\n"


def _vc(found: Findings) -> Iterator[str]:
    yield "[vc]"
    if found.addresses:
        yield "# This host's addresses, taken to be the SBC's while none is set. Set them if the SBC runs"
        yield "# elsewhere (a mirror port), or if some of these are no addresses of the SBC."
        yield f"#addresses = [{_quoted(found.addresses)}]"
    else:
        yield "# No address was found on this host. Name those of the SBC, or no side of a call can be told."
        yield '#addresses = ["192.0.2.1"]'
    instance = found.instance
    if instance and instance.public_address and instance.private_address:
        yield "# EC2 translates: SDP may name the public address, frames carry the private one."
        yield f'public_addresses = {{ "{instance.public_address}" = "{instance.private_address}" }}'


def _connectors(found: Findings) -> Iterator[str]:
    region = found.instance.region if found.instance else "local"
    yield "# One customer trunk, which takes all that fits no other. The id becomes the VoiceConnectorId"
    yield "# dimension and the log group's name: change it before anything is published."
    yield "[[connectors]]"
    yield 'id = "default"'
    if found.instance:
        yield "# The region that EC2 names."
    yield f'region = "{region}"'
    yield "default = true"
    yield "# Who is a customer decides what is inbound and what outbound, and only you know."
    peers = found.traffic.peers.most_common(SHOWN)
    if peers:
        yield f"# Peers that spoke SIP in {found.traffic.seconds:g} s, with their messages:"
        for peer, count in peers:
            private = " (private: often a PBX)" if ip_address(peer).is_private else ""
            yield f"#   {peer}: {count}{private}"
        networks = list(dict.fromkeys(_network(peer) for peer, _ in peers))[:3]
        yield f"#customer_networks = [{_quoted(networks)}]"
    else:
        yield f"# {_silence(found.traffic)}"
        yield '#customer_networks = ["198.51.100.0/24"]'


def _network(peer: str) -> str:
    return str(ip_network(f"{peer}/{32 if '.' in peer else 128}"))


def _silence(traffic: Traffic) -> str:
    if traffic.why_not:
        return f"No traffic was heard: {' '.join(traffic.why_not.split())}"
    return f"No SIP was heard in {traffic.seconds:g} s; the peers would be listed here."


def _capture(found: Findings) -> Iterator[str]:
    yield "[capture]"
    if found.interfaces:
        states = ", ".join(f"{name} ({state})" for name, state in found.interfaces)
        yield f"# Interfaces here: {states}."
    yield "# All are watched: one process must see all legs of a call. Copies are recognised."
    yield "#interfaces = []"
    ports: dict[int, str] = {}
    for one in found.listeners:
        by = f" by {one.program}" if one.program else ""
        ports.setdefault(one.port, f"listened on ({one.protocol}){by}")
    for port, count in found.traffic.sip_ports.most_common(8):
        if count > 1:
            ports.setdefault(port, "SIP was heard on it")
    if ports:
        yield "# Each port, and why:"
        for port, why in sorted(ports.items()):
            yield f"#   {port}: {why}"
        yield f"sip_ports = [{', '.join(map(str, sorted(ports)))}]"
    else:
        yield "# Nobody listens on a port that is usual for SIP; these are the defaults."
        yield "#sip_ports = [5060, 5061, 5080]"
    media = found.traffic.rtp_ports
    if len(media) >= SAMPLE_PORTS:
        yield f"# RTP was heard on our UDP ports {min(media)} to {max(media)}. A range saves work in the"
        yield "# kernel, but must be the whole range of the media server's configuration: see there."
        yield f'#media_ports = "{min(media) & ~1}-{max(media) | 1}"'


def _tunnels(found: Findings) -> Iterator[str]:
    """Tunnels and HEP that were heard, as comments: anybody can send such packets, so none is set."""
    tunnels = found.traffic.tunnels.most_common(SHOWN)
    if not tunnels:
        return
    yield "# Packets that carry others were heard. Live, none is opened unless its sender is named here: then"
    yield "# the calls in them count as if they had passed this host. Remove the # of those that are yours."
    for (kind, sender, port), count in tunnels:
        yield f"#[[capture.tunnels]]  # {count} packets in {found.traffic.seconds:g} s"
        yield f'#kind = "{kind}"'
        yield f'#peers = ["{sender}"]'
        if port not in (0, *TUNNELS[kind].ports):
            yield f"#port = {port}"


def _aws(found: Findings) -> Iterator[str]:
    yield "# Off until you say so: `sbcwatch cost` tells the price, `sbcwatch aws policy` the rights."
    yield "[cloudwatch]"
    yield "#enabled = true"
    if found.instance:
        yield f'region = "{found.instance.region}"'
    yield ""
    yield "# Who called whom goes into these logs; see docs/privacy.md first."
    yield "[logs]"
    yield "#enabled = true"


def _quoted(texts: list[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)
