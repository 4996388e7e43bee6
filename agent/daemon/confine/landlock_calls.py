"""The three system calls of Landlock (linux/landlock.h), with the same numbers on every processor.

The package of that name has only a preliminary release, and these calls are all that is needed.
"""

from __future__ import annotations

import ctypes
import os
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION = 1
PATH_BENEATH, NET_PORT = 1, 2  # kinds of rules
CONNECT_TCP = 2  # since version 4
NO_ABSTRACT_SOCKET, NO_SIGNAL = 1, 2  # of others; since version 6
PR_SET_NO_NEW_PRIVS = 38

# Rights, in the kernel's order.
(
    EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG,
    MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE,
) = (1 << bit for bit in range(15))  # fmt: skip
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE  # a rule on a file may give no others
_RIGHTS_BY_ABI = {1: MAKE_SYM, 2: REFER, 3: TRUNCATE}  # the newest right that each version knows

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def abi() -> int:
    """The kernel's version of Landlock. Raises OSError: it has none, or a filter refuses the call."""
    return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))


class Ruleset:
    """Refuses all rights that the kernel knows, except those given by `allow`, once `apply` is called."""

    def __init__(self) -> None:
        """Raises OSError, as `abi` does."""
        version = abi()
        newest = _RIGHTS_BY_ABI[min(version, max(_RIGHTS_BY_ABI))]
        self.rights = newest * 2 - 1
        self.guards_ports, self.guards_others = version >= 4, version >= 6
        words = [self.rights]
        if self.guards_ports:
            words.append(CONNECT_TCP)
        if self.guards_others:
            words.append(NO_ABSTRACT_SOCKET | NO_SIGNAL)
        attributes = struct.pack(f"={len(words)}Q", *words)
        size = ctypes.c_size_t(len(attributes))
        self._fd = _call(CREATE_RULESET, attributes, size, ctypes.c_uint32(0))

    def allow(self, path: str, rights: int) -> None:
        """Gives `rights` to `path` and everything below it. Raises OSError where it is missing."""
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights & self.rights, place)
            _call(ADD_RULE, ctypes.c_int(self._fd), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0))
        finally:
            os.close(place)

    def allow_port(self, port: int) -> None:
        """Let TCP connect to `port`, where `guards_ports`. Raises OSError."""
        rule = struct.pack("=QQ", CONNECT_TCP, port)
        _call(ADD_RULE, ctypes.c_int(self._fd), ctypes.c_int(NET_PORT), rule, ctypes.c_uint32(0))

    def apply(self) -> None:
        """Confines this thread and every thread it starts, for good. Raises OSError."""
        zero = ctypes.c_ulong(0)
        if _libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _call(RESTRICT_SELF, ctypes.c_int(self._fd), ctypes.c_uint32(0))
        os.close(self._fd)
