"""A control group of this process's own, below the one it is in: a quota of CPU time, a bound of memory.

Both hierarchies are known: version 1 (a tree a controller) and version 2 (one tree).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


class Bounds:
    """Folders of a group, one a controller."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def take(self, pid: int) -> None:
        """Moves a process with all its threads into the group."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def throttled(self) -> int:
        """Periods of 100 ms in which the quota was used up."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                for line in (folder / "cpu.stat").read_text().splitlines():
                    if line.startswith("nr_throttled "):
                        return int(line.split()[1])
        return 0

    def most_mb(self) -> float:
        """The most memory that was charged to the group, its page cache with it."""
        for folder in self._folders:
            for name in ("memory.max_usage_in_bytes", "memory.peak"):
                with contextlib.suppress(OSError):
                    return int((folder / name).read_text()) / (1 << 20)
        return 0.0


@contextlib.contextmanager
def bounded(*, cpu_percent: int = 0, memory_mb: int = 0) -> Iterator[Bounds]:
    """A group with these bounds; 0: none. Raises OSError where this host lets us make no such group."""
    folders: list[Path] = []
    try:
        if cpu_percent:
            folder = _made("cpu", folders)
            quota = PERIOD_US * cpu_percent // 100
            if (folder / "cpu.cfs_quota_us").exists():
                (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (folder / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (folder / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        if memory_mb:
            folder = _made("memory", folders)
            name = "memory.limit_in_bytes" if (folder / "memory.limit_in_bytes").exists() else "memory.max"
            (folder / name).write_text(str(memory_mb << 20))
        yield Bounds(folders)
    finally:
        for folder in folders:
            folder.rmdir()


def _made(controller: str, folders: list[Path]) -> Path:
    """A new folder for the controller; the one of version 2 serves both."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            folder = ROOT / controllers / path.lstrip("/") / f"sbcwatch-{os.getpid()}"
            break
    else:
        (above,) = (line for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:2] == "0:")
        folder = ROOT / above[3:].lstrip("/") / f"sbcwatch-{os.getpid()}"
    if folder not in folders:
        folder.mkdir()
        folders.append(folder)
    return folder
