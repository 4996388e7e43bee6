"""The secret of endpoint ids, transaction ids and tokens: this host's own, or one that a fleet shares."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from agent.errors import ConfigError
from agent.store.private import close_folder, make_folder, open_private, refused, replace_file

KEY_BYTES = 32


def shared_key(path: Path) -> bytes:
    """The fleet's key from a file that another tool has written. White space around it is ignored.

    Raises ConfigError.
    """
    try:
        found = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}: set fleet.key_file to a file that we may read"
        ) from None
    if len(found) < KEY_BYTES:
        raise ConfigError(
            f"{path}: {len(found)} bytes where a key has {KEY_BYTES} or more: openssl rand -hex 32 makes one"
        )
    return found


def key(directory: Path) -> bytes:
    """This host's key for endpoint ids, made at the first start. Raises ConfigError, StateError."""
    path = directory / "endpoint.key"
    try:
        make_folder(directory)
        close_folder(directory)
        if not os.path.lexists(path):
            replace_file(path, secrets.token_bytes(KEY_BYTES))
        with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
            found = file.read()
    except OSError as error:
        raise refused(error, path) from None
    if len(found) < KEY_BYTES:
        raise ConfigError(
            f"{path}: {len(found)} bytes where a key has {KEY_BYTES}: delete it, and endpoint ids begin anew"
        )
    return found
