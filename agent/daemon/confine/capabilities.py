"""Drops every capability for good; no program that is executed can gain a privilege.

The packet sockets are open by then and need none: the same socket is bound again when a NIC comes back.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.daemon.confine.report import ConfineReport

DAC = 1 << 1 | 1 << 2  # DAC_OVERRIDE, DAC_READ_SEARCH: root's way past the owners of files
_SETPCAP = 1 << 8
# linux/prctl.h, linux/capability.h
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    """One 32-bit half of the three sets."""

    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> int:
    """Raises OSError."""
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    result: int = _libc().prctl(ctypes.c_int(option), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")
    return result


def _capset(effective: int, permitted: int, inheritable: int) -> None:
    """Raises OSError."""
    sets = (effective, permitted, inheritable)
    halves = (_Sets * 2)(*(_Sets(*(bits >> at & 0xFFFF_FFFF for bits in sets)) for at in (0, 32)))
    if _libc().capset(ctypes.byref(_Header(_VERSION_3, 0)), halves) < 0:
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


def held() -> dict[str, int]:
    """The calling thread's sets, by their names in /proc: CapInh, CapPrm, CapEff, CapBnd, CapAmb."""
    text = Path("/proc/thread-self/status").read_text()
    return {name: int(bits, 16) for name, bits in re.findall(r"(?m)^(Cap\w+):\s+([0-9a-f]+)$", text)}


def drop_capabilities(
    state: Path, config: Path | None, report: ConfineReport, secrets: Iterable[Path] = ()
) -> None:
    now = held()
    keep = 0
    if now["CapPrm"] & DAC & now["CapEff"]:
        # Root may need it to reach state or configuration of another user: try without, then decide.
        _capset(now["CapEff"] & ~DAC, now["CapPrm"], now["CapInh"])
        refused = _refused(state, config, *secrets)
        _capset(now["CapEff"], now["CapPrm"], now["CapInh"])
        if refused is not None:
            keep |= DAC & now["CapPrm"]
            report.left_out.append(
                f"root keeps its way past the owners of files: {refused} belongs to another user (chown it)"
            )
    if now["CapEff"] & _SETPCAP:
        number = 0
        while True:
            try:
                if not _prctl(_PR_CAPBSET_READ, number):
                    pass
                elif not keep >> number & 1:
                    _prctl(_PR_CAPBSET_DROP, number)
            except OSError:  # past the last that this kernel knows
                break
            number += 1
    if now["CapAmb"]:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    # Where the unit gave no more than this there is nothing to drop, and its filter may refuse the call.
    if (now["CapPrm"], now["CapEff"]) != (keep, keep):
        _capset(keep, keep, 0)
    report.done.append(f"capabilities {keep:#x}" if keep else "no capability")


def _refused(state: Path, *read: Path | None) -> Path | None:
    """Our own files that this thread cannot use now."""
    for path in (state, *state.glob("*")):
        if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True):
            return path
    return next((file for file in read if file and not os.access(file, os.R_OK, effective_ids=True)), None)


def no_core_dump(report: ConfineReport) -> None:
    """Protects keys and messages in memory: no core file, no ptrace by the same user."""
    _prctl(_PR_SET_DUMPABLE, 0)
    report.done.append("no core dump")


def no_new_privileges(report: ConfineReport) -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    report.done.append("no new privileges")
