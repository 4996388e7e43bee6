"""The bytes of a capture file: plain, gzip by content, or standard input, read into the caller's buffer."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
import zlib
from typing import Protocol

from agent.errors import CaptureError

GZIP_MAGIC = b"\x1f\x8b"
_GZIP_INPUT = 65536  # compressed bytes a step; on damage at most so many are tried byte by byte

# Other files that people pass by mistake, by their first bytes, and how to make a capture of them.
_FOREIGN = {
    b"\xfd7zXZ\x00": "is compressed with xz: run `unxz` on it first",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: run `unzstd` on it first",
    b"BZh": "is compressed with bzip2: run `bunzip2` on it first",
    b"\x04\x22\x4d\x18": "is compressed with lz4: run `unlz4` on it first",
    b"PK\x03\x04": "is a zip archive: unpack it first",
    b"snoop\x00\x00\x00": "is a snoop capture: convert it, `editcap FILE out.pcapng`",
}


class Damaged(Exception):
    """The compressed stream breaks off or is corrupt. Everything before the damage was passed on."""


class Octets(Protocol):
    """A stream of bytes. `readinto` returns how many it wrote, 0 at the end; raises OSError or Damaged."""

    compressed: bool

    @property
    def taken(self) -> int:
        """Bytes of the file itself read so far, for a progress bar."""
        ...

    def readinto(self, into: memoryview) -> int: ...

    def close(self) -> None: ...


class Plain:
    compressed = False

    def __init__(self, file: io.RawIOBase, ahead: bytes = b"") -> None:
        self._file = file
        self._ahead = ahead
        self.taken = 0

    def readinto(self, into: memoryview) -> int:
        if self._ahead:
            part, self._ahead = self._ahead[: len(into)], self._ahead[len(into) :]
            into[: len(part)] = part
            got = len(part)
        else:
            got = self._file.readinto(into) or 0
        self.taken += got
        return got

    def close(self) -> None:
        self._file.close()


class Gzip:
    """RFC 1952: any number of members, zero padding after the last."""

    compressed = True

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._input = memoryview(bytearray(_GZIP_INPUT))
        self._inflate = zlib.decompressobj(31)
        self._rest = b""
        self._ended = False  # the input has
        self._fault: str | None = None
        self._salvaged = b""

    @property
    def taken(self) -> int:
        return self._plain.taken

    def readinto(self, into: memoryview) -> int:
        while True:
            if self._salvaged:
                out, self._salvaged = self._salvaged[: len(into)], self._salvaged[len(into) :]
            elif self._fault:
                raise Damaged(self._fault)
            else:
                out = self._next(len(into))
            if out:
                into[: len(out)] = out
                return len(out)
            if self._ended and not self._salvaged and not self._fault:
                return 0

    def _next(self, most: int) -> bytes:
        if not self._rest and not self._ended:
            got = self._plain.readinto(self._input)
            self._rest = bytes(self._input[:got])
            self._ended = not got
        if self._inflate.eof:
            self._rest = self._rest.lstrip(b"\x00")
            if not self._rest:
                return b""
            self._inflate = zlib.decompressobj(31)
        before = self._inflate.copy()
        try:
            out = self._inflate.decompress(self._rest, most)
        except zlib.error as error:
            self._fault = f"the gzip data is corrupt ({error})"
            self._salvaged = _salvage(before, self._rest)
            return b""
        self._rest = self._inflate.unused_data or self._inflate.unconsumed_tail
        if self._ended and not out and not self._rest and not self._inflate.eof:
            self._fault = "the gzip data is cut short"
        return out

    def close(self) -> None:
        self._plain.close()


def _salvage(inflate: zlib._Decompress, data: bytes) -> bytes:
    """The bytes that inflate before the corrupt byte."""
    parts = []
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            parts.append(inflate.decompress(data[at : at + 1]))
    return b"".join(parts)


def open_octets(path: str) -> tuple[Octets, int | None]:
    """Open `path` ("-": standard input). Returns the stream and the file's size (None: not a regular file).

    Raises:
        CaptureError: it cannot be opened.
    """
    try:
        if path == "-":
            file = io.FileIO(sys.stdin.fileno(), closefd=False)
        else:
            file = io.FileIO(path)
        status = os.fstat(file.fileno())
        ahead = b""
        # A pipe may give its first bytes one at a time.
        while len(ahead) < 2 and (part := file.read(4096)):
            ahead += part
    except FileNotFoundError:
        raise CaptureError(f"{path}: there is no such file: check the path") from None
    except IsADirectoryError:
        raise CaptureError(f"{path}: is a directory: name the capture files in it") from None
    except PermissionError:
        raise CaptureError(f"{path}: may not be read by this user: chmod it, or run as its owner") from None
    except (OSError, ValueError) as error:
        raise CaptureError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    plain = Plain(file, ahead)
    size = status.st_size if stat.S_ISREG(status.st_mode) and path != "-" else None
    return (Gzip(plain) if ahead[:2] == GZIP_MAGIC else plain), size


def foreign(start: bytes) -> str:
    """Why a file that begins with `start` is no capture, with the fix."""
    for magic, advice in _FOREIGN.items():
        if start.startswith(magic):
            return advice
    shown = start[:4].hex(" ")
    return f"is no capture file (it starts with {shown}): give a pcap or pcapng, plain or gzip"
