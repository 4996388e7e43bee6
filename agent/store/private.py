"""Files of the state directory: for their owner alone, by mode and not by umask, and never through a link.

Other users are not expected in that directory, but it may be a shared one (`replay --store /tmp`).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from agent.errors import ConfigError, SbcwatchError, StateError

FILE_MODE = 0o600
FOLDER_MODE = 0o700
# The disk may have these errors for a while; a wrong configuration has the others for good.
_PASSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)


def open_private(path: str | Path, flags: int) -> int:
    """A descriptor of `path`, made where `flags` say so, with mode 0600 whatever it had.

    Raises: OSError; ELOOP where it is a symbolic link.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def make_folder(path: Path) -> None:
    """Makes `path` with mode 0700; an existing folder keeps its mode. Raises OSError."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        path.chmod(FOLDER_MODE)


def close_folder(path: Path) -> None:
    """Removes the rights of group and others from our folder. Raises OSError."""
    found = path.stat()
    is_shared = found.st_mode & stat.S_ISVTX  # /tmp and the like
    if found.st_uid == os.geteuid() and not is_shared and found.st_mode & 0o077:
        path.chmod(FOLDER_MODE)


def replace_file(path: Path, content: bytes) -> None:
    """Writes a whole file or none of it. Raises OSError."""
    unfinished = path.with_name(f"{path.name}.new")
    descriptor = open_private(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refused(error: OSError, path: Path) -> SbcwatchError:
    """The error of a start: StateError where `error` may pass, ConfigError where it will not."""
    where = error.filename or path
    if error.errno == errno.ELOOP:
        return ConfigError(f"{where}: a symbolic link in the state directory is not followed: remove it")
    if error.errno in _PASSES:
        return StateError(f"{where}: {error.strerror}: free the disk, or make it writable again")
    return ConfigError(f"{where}: {error.strerror}: set [store] directory to a folder that can be written")
