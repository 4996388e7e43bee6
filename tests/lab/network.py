"""Namespaces, links and addresses.

    customer ---- [delay] ---- sbc ---- remote

With a relay apart, rtpengine has a namespace of its own, linked to all three: each side reaches its address
by a link beside the one to the sbc (IPv4 only). An observer is a namespace to which the kernel copies each
frame of sbc and relay, as a mirror port does: `OBSERVED` are its interfaces.

No interface is ever made in the namespace we run in, so two labs, or a lab and the machine's own network,
cannot meet: all labs use the same addresses.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .processes import alive, end_all, run

Side = Literal["customer", "remote"]
SIDES: tuple[Side, Side] = ("customer", "remote")

PREFIX = "sbclab"
INTERFACES: dict[Side, str] = {"customer": "cust0", "remote": "rem0"}
NET4: dict[Side, str] = {"customer": "10.10.0.", "remote": "10.20.0."}
NET6: dict[Side, str] = {"customer": "fd00:10::", "remote": "fd00:20::"}
NG_SBC, NG_RELAY = "10.30.0.1", "10.30.0.2"  # between sbc and relay
OBSERVED = tuple(f"{name}-{INTERFACES[side]}" for name in ("sbc", "relay") for side in SIDES)
FIRST_HOST, LAST_HOST = 10, 99  # two decimal digits: the end of a called number

_FIRST_UID = 5000
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


def vc_address(side: Side, version: int = 4) -> str:
    """The sbc's address towards `side`."""
    return (NET4 if version == 4 else NET6)[side] + "1"


def relay_address(side: Side) -> str:
    """The address of a relay that is apart from the sbc."""
    return NET4[side] + "2"


def host_address(side: Side, host: int, version: int = 4) -> str:
    """The address of endpoint number `host` on `side`; in IPv6 the decimal digits are written as hex."""
    return (NET4 if version == 4 else NET6)[side] + str(host)


@dataclass(frozen=True)
class Delay:
    """What the delay box does to every frame, each way: a constant plus a uniform random part."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    keep_order: bool = True
    duplicate_ratio: float = 0.0
    seed: int = 1


class Network:
    """The namespaces of one lab. Made by `up`, removed by `down`, together with all that runs in them."""

    def __init__(self, delayed: bool = False, relay: bool = False, observer: bool = False) -> None:
        stem = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self.namespaces: dict[str, str] = {side: f"{stem}-{side}" for side in ("customer", "sbc", "remote")}
        self._pinned: set[tuple[Side, int]] = set()
        if relay:
            self.namespaces["relay"] = f"{stem}-relay"
        if observer:
            self.namespaces["observer"] = f"{stem}-observer"
        if delayed:
            self.namespaces["delay"] = f"{stem}-delay"

    def __getitem__(self, name: str) -> str:
        return self.namespaces[name]

    def up(self) -> None:
        for name in self.namespaces.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        if "delay" in self.namespaces:
            self._link("customer", "net0", "delay", "outer")
            self._link("delay", "inner", "sbc", INTERFACES["customer"])
        else:
            self._link("customer", "net0", "sbc", INTERFACES["customer"])
        self._link("remote", "net0", "sbc", INTERFACES["remote"])
        for side in SIDES:
            self._address("sbc", INTERFACES[side], [1], side)
            self._address(side, "net0", list(range(FIRST_HOST, LAST_HOST + 1)), side)
        if "relay" in self.namespaces:
            self._relay()
        if "observer" in self.namespaces:
            self._observe()

    def _observe(self) -> None:
        """Copies what sbc and relay receive and send to the observer."""
        for name in ("sbc", "relay"):
            rules = ["add table netdev mirror"]
            for interface in INTERFACES.values():
                copy = f"to-{interface}"
                self._link(name, copy, "observer", f"{name}-{interface}")
                for hook in ("ingress", "egress"):
                    chain = f"{interface}_{hook}"
                    hooked = f"type filter hook {hook} device {interface} priority 0"
                    rules.append(f"add chain netdev mirror {chain} {{ {hooked}; }}")
                    rules.append(f'add rule netdev mirror {chain} dup to "{copy}"')
            run("ip", "netns", "exec", self[name], "nft", "-f", "-", stdin="\n".join(rules))

    def _relay(self) -> None:
        """The relay's links: it is host 2 of both sides, and talks to the sbc past them."""
        for side in SIDES:
            self._link(side, "net1", "relay", INTERFACES[side])
            self._address("relay", INTERFACES[side], [2], side)
            run("ip", "-n", self[side], "route", "add", relay_address(side) + "/32", "dev", "net1")
        self._link("sbc", "ng0", "relay", "ng0")
        for name, address in (("sbc", NG_SBC), ("relay", NG_RELAY)):
            run("ip", "-n", self[name], "address", "add", f"{address}/24", "dev", "ng0")

    def down(self) -> None:
        for name in self.namespaces.values():
            remove(name)

    def pin(self, side: Side, host: int) -> int:
        """The user id whose programs the kernel gives this host's address, where they do not bind to one.

        baresip asks the kernel for its media address, and the kernel would always name the first.
        """
        uid = _FIRST_UID + host
        if (side, host) not in self._pinned:
            self._pinned.add((side, host))
            for version, prefix in ((4, "/24"), (6, "/64")):
                net = (NET4 if version == 4 else NET6)[side] + ("0" if version == 4 else "") + prefix
                source = host_address(side, host, version)
                ip = ("ip", f"-{version}", "-n", self[side])
                run(*ip, "rule", "add", "uidrange", f"{uid}-{uid}", "lookup", str(uid))
                run(*ip, "route", "add", net, "dev", "net0", "src", source, "table", str(uid))
                if "relay" in self.namespaces and version == 4:
                    there = relay_address(side) + "/32"
                    run(*ip, "route", "add", there, "dev", "net1", "src", source, "table", str(uid))
        return uid

    def _link(self, a: str, a_if: str, b: str, b_if: str) -> None:
        run("ip", "-n", self[a], "link", "add", a_if, "type", "veth", "peer", "name", b_if, "netns", self[b])
        for name, interface in ((a, a_if), (b, b_if)):
            # Without this, frames that a delay box or a capture sees carry unfinished checksums.
            run(
                "ip",
                "netns",
                "exec",
                self[name],
                "ethtool",
                "-K",
                interface,
                "tx",
                "off",
                "rx",
                "off",
                "gro",
                "off",
            )
            run("ip", "-n", self[name], "link", "set", interface, "up")

    def _address(self, name: str, interface: str, hosts: list[int], side: Side) -> None:
        lines = []
        for host in hosts:
            lines.append(f"address add {host_address(side, host)}/24 dev {interface}")
            # nodad: duplicate address detection would hold the address back for two seconds.
            lines.append(f"address add {host_address(side, host, 6)}/64 dev {interface} nodad")
        run("ip", "-n", self[name], "-batch", "-", stdin="\n".join(lines))


def remove(namespace: str) -> None:
    """End whatever runs in `namespace` and delete it; nothing happens when it is not there."""
    if not Path("/run/netns", namespace).exists():
        return
    end_all(int(pid) for pid in run("ip", "netns", "pids", namespace).split())
    run("ip", "netns", "del", namespace)


def sweep() -> None:
    """Remove namespaces and folders whose lab was killed before it could."""
    places = (Path("/run/netns"), Path(tempfile.gettempdir()))
    for path in (path for place in places for path in place.glob(f"{PREFIX}-*")):
        match = re.match(rf"{PREFIX}-(\d+)-", path.name)
        if match and not alive(int(match[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                remove(path.name)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Move the calling thread into `namespace`: sockets and programs made meanwhile stay there.

    Raises:
        OSError: no such namespace, or no right to enter it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with (
        Path("/proc/thread-self/ns/net").open("rb") as home,
        Path("/run/netns", namespace).open("rb") as there,
    ):
        _enter(libc, there.fileno())
        try:
            yield
        finally:
            _enter(libc, home.fileno())


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def connect_in(namespace: str, address: tuple[str, int], timeout_s: float = 2.0) -> socket.socket:
    """A TCP connection made inside `namespace`.

    Raises:
        OSError: refused, or no such namespace.
    """
    with inside(namespace):
        return socket.create_connection(address, timeout_s)
