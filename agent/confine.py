"""Locked in from inside: once sockets and files are open the process gives up what it no longer needs.

    capabilities    CAP_NET_RAW stays (hot-plug and a rebound NIC open new sockets), all others go, for good
    no_new_privs    nothing that is executed gains a privilege
    Landlock        writes the state directory only; reads what `readable` lists (package `landlock`)

All three are a thread's, and of those that it starts: to be called before there are others. Where something
cannot be had, or would break what is configured, that part is left out and the report says why.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import site
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NET_RAW = 1 << 13
DAC = 1 << 1 | 1 << 2  # DAC_OVERRIDE, DAC_READ_SEARCH: root's way past the owners of files
_SETPCAP = 1 << 8
# linux/prctl.h, linux/capability.h
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522

RESOLVER = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
    "/etc/services", "/etc/passwd", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf",
    "/run/nscd",
)  # fmt: skip
TRUST = (
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)  # fmt: skip
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
SYSTEM = (
    "/proc/self", "/proc/net", "/proc/stat", "/proc/meminfo", "/proc/uptime", "/proc/loadavg",
    "/proc/cpuinfo", "/sys/class/net", "/sys/devices", "/sys/fs/cgroup", "/dev/null", "/dev/urandom",
    "/etc/localtime", "/usr/share/zoneinfo",
)  # fmt: skip
# Files that AWS's SDK and TLS are pointed to.
RENEWED = (
    "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)  # fmt: skip
VARIABLES = (
    *RENEWED, "AWS_CA_BUNDLE", "AWS_DATA_PATH", "BOTO_CONFIG", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
# Mounted by Kubernetes and EKS; tokens in them are renewed by swapping links within.
TOKENS = ("/var/run/secrets/eks.amazonaws.com", "/var/run/secrets/pods.eks.amazonaws.com")


@dataclass(slots=True)
class Report:
    """What was done, in words, and what was not and why."""

    done: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    """One 32-bit half of the three sets."""

    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def confine(state: Path, config: Path | None = None, environment: Mapping[str, str] = os.environ) -> Report:
    """Lock this thread, and all that it starts, in. Raises nothing."""
    report = Report()
    if sys.platform != "linux":
        report.left_out.append(f"{sys.platform} has neither capabilities nor Landlock")
        return report
    others = len(os.listdir("/proc/self/task")) - 1
    if others:
        report.left_out.append(f"{others} threads that run already keep what they have")
    parts: tuple[Callable[[], None], ...] = (
        lambda: _drop_capabilities(state, config, report),
        lambda: _no_new_privileges(report),
        lambda: _landlock(state, config, environment, report),
    )
    for part in parts:
        try:
            part()
        except Exception as error:  # a daemon that watches unconfined is better than none
            report.left_out.append(f"{type(error).__name__}: {error}")
    return report


# -- capabilities


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


def _drop_capabilities(state: Path, config: Path | None, report: Report) -> None:
    now = held()
    keep = NET_RAW & now["CapPrm"]
    if now["CapPrm"] & DAC & now["CapEff"]:
        # Root gets at state or configuration of another user by this alone: try without, then decide.
        _capset(now["CapEff"] & ~DAC, now["CapPrm"], now["CapInh"])
        refused = _refused(state, config)
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
    # Where a unit gave us this and no more there is nothing to do, and its filter may refuse the call.
    if (now["CapPrm"], now["CapEff"]) != (keep, keep):
        _capset(keep, keep, 0)
    report.done.append("no capability but NET_RAW" if keep == NET_RAW else f"capabilities {keep:#x}")


def _refused(state: Path, config: Path | None) -> Path | None:
    """What of our own files this thread may not use as it is now."""
    for path in (state, *state.glob("*")):
        if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True):
            return path
    if config is not None and not os.access(config, os.R_OK, effective_ids=True):
        return config
    return None


def _no_new_privileges(report: Report) -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    report.done.append("no new privileges")


# -- files


def _landlock(state: Path, config: Path | None, environment: Mapping[str, str], report: Report) -> None:
    reason = _runs_programs(environment)
    if reason is not None:
        report.left_out.append(f"Landlock: {reason}")
        return
    ctypes.set_errno(0)  # the package takes any errno that is set for its own
    try:
        from landlock import FSAccess, Ruleset
    except ImportError:
        report.left_out.append(
            "Landlock: package landlock is not installed (pip install 'sbcwatch[confine]')"
        )
        return
    try:
        rules = Ruleset()
    except OSError as error:
        reason = "a filter around the process refuses it" if error.errno == errno.EPERM else error.strerror
        report.left_out.append(f"Landlock: {reason}")
        return
    read = FSAccess.READ_FILE | FSAccess.READ_DIR
    special = FSAccess.EXECUTE | FSAccess.MAKE_CHAR | FSAccess.MAKE_BLOCK
    state.mkdir(parents=True, exist_ok=True)
    _allow(rules, state, rules.restrict_rules & ~special, FSAccess.all_file())
    for path in dict.fromkeys(readable(config, environment)):
        _allow(rules, path, read, FSAccess.all_file())
    _allow(rules, Path("/dev/null"), FSAccess.READ_FILE | FSAccess.WRITE_FILE, FSAccess.all_file())
    ctypes.set_errno(0)
    rules.apply()
    os.close(rules._fd)
    report.done.append(f"writes {state} only")


def _allow(rules: Any, path: Path, access: Any, of_file: Any) -> None:
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
        ctypes.set_errno(0)
        rules.allow(str(path), rules=access if folder else access & of_file)
    except OSError:
        pass  # it is not there, or not for us: nothing to allow


def _runs_programs(environment: Mapping[str, str]) -> str | None:
    """Why files cannot be fenced: a program that AWS's SDK runs for credentials reads who knows what."""
    for path in _aws_files(environment):
        try:
            if re.search(r"(?m)^\s*credential_process\s*=", path.read_text(errors="replace")):
                return f"{path} has credential_process: that program's files are not known"
        except OSError:
            continue
    return None


def _aws_files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or "/")
    for variable, name in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        yield Path(environment.get(variable) or home / ".aws" / name)


def readable(config: Path | None, environment: Mapping[str, str]) -> Iterator[Path]:
    """What the process may read.

    A rule is on the file itself, not on its name, so what gets replaced (configuration, tokens) is allowed by
    its directory.
    """
    root = Path("/")
    package = Path(__file__).resolve().parent
    installed: list[str | Path] = [package, sys.prefix, sys.base_prefix, sys.exec_prefix]
    installed += [*sysconfig.get_paths().values(), *site.getsitepackages()]
    # Where a launcher put the packages. The working directory of `python -m` is no installation.
    installed += [entry for entry in sys.path if entry and entry != os.getcwd()]
    for entry in map(Path, (*installed, *LIBRARIES, *TRUST, *RESOLVER, *SYSTEM, *TOKENS)):
        if entry.is_absolute() and entry != root:
            yield entry
    # Programs that set a regular resolv.conf rename a new one into its place, so its directory is needed;
    # where it is a link (systemd-resolved), the directory that it leads into is listed above.
    resolver = Path("/etc/resolv.conf")
    yield resolver.parent if not resolver.is_symlink() else resolver.resolve().parent
    if config is not None:
        yield from (
            path.parent if path.parent != root else path for path in (config.absolute(), config.resolve())
        )
    if environment.get("HOME"):
        yield Path(environment["HOME"]) / ".aws"
    for variable in VARIABLES:
        if value := environment.get(variable):
            path = Path(value).absolute()
            yield path.parent if variable in RENEWED and path.parent != root else path
