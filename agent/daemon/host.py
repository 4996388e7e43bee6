"""This host: its addresses, its name, its memory."""

from __future__ import annotations

import os
import re
import time
from _blake2 import blake2b  # what hashlib has, without the 6 ms in which it loads OpenSSL
from functools import cache
from pathlib import Path

_MEMORY_PAGE = 4096


def addresses(proc: Path = Path("/proc/net")) -> list[str]:
    """Every address of this host's network namespace, loopback too. Empty where /proc does not say."""
    found: dict[str, None] = {}
    try:
        trie = (proc / "fib_trie").read_text()
    except OSError:
        trie = ""
    for address in re.findall(r"\|-- ([\d.]+)\n\s+/32 host LOCAL", trie):
        found[address] = None
    try:
        lines = (proc / "if_inet6").read_text().splitlines()
    except OSError:
        lines = []
    import socket  # 4 ms, which a replay does without

    for line in lines:
        found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))] = None
    return list(found)


def name(setting: str = "", machine_id: Path = Path("/etc/machine-id")) -> str:
    """This host's name in records: the setting, else its name and a hash of its machine id.

    The id itself must not leave the host (machine-id(5)). A host without one has its name alone.
    """
    if setting:
        return setting
    try:
        machine = machine_id.read_bytes().strip()
    except OSError:
        machine = b""
    digest = blake2b(machine, digest_size=4, person=b"sbcwatch-name").hexdigest()
    return re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename)[:48] + (f"-{digest}" if machine else "")


def resident_bytes() -> int:
    """Resident memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _MEMORY_PAGE
    except (OSError, IndexError, ValueError):
        return 0


def give_back() -> None:
    """Gives memory that the start took and freed back to the system: 1 MB, most of it of AWS's tables."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


@cache
def started_at() -> float:
    """When this process started, seconds since 1970.

    The first answer is kept, even if the clock is set later.
    """
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        words = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(words[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): starttime, ticks since boot
    except (OSError, IndexError, ValueError):
        started = since_boot
    return round(time.time() - since_boot + started, 2)
