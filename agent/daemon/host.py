"""This host: its addresses, its key, its memory."""

from __future__ import annotations

import os
import re
import secrets
import socket
from pathlib import Path

from agent.errors import ConfigError

KEY_BYTES = 32
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
    for line in lines:
        found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))] = None
    return list(found)


def key(directory: Path) -> bytes:
    """This host's key for endpoint ids, made at the first start. Raises ConfigError."""
    path = directory / "endpoint.key"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return path.read_bytes()
        made = secrets.token_bytes(KEY_BYTES)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
        return made
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path}: {error.strerror}: "
            "set [store] directory to a folder that can be written"
        ) from None


def resident_bytes() -> int:
    """Resident memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _MEMORY_PAGE
    except (OSError, IndexError, ValueError):
        return 0
