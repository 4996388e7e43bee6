"""Landlock: writes the state directory only, reads what `readable` lists."""

from __future__ import annotations

import errno
import os
import re
import site
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.daemon.confine.landlock_calls import (
    EXECUTE,
    MAKE_BLOCK,
    MAKE_CHAR,
    OF_FILES,
    READ_DIR,
    READ_FILE,
    WRITE_FILE,
    Ruleset,
)
from agent.daemon.confine.report import ConfineReport

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


def fence_files(
    state: Path,
    config: Path | None,
    environment: Mapping[str, str],
    report: ConfineReport,
    key: Path | None = None,
    archive: Path | None = None,
) -> None:
    reason = runs_programs(environment)
    if reason is not None:
        report.left_out.append(f"Landlock: {reason}")
        return
    try:
        rules = Ruleset()
    except OSError as error:
        reason = "a filter around the process refuses it" if error.errno == errno.EPERM else error.strerror
        report.left_out.append(f"Landlock: {reason}")
        return
    written = [folder for folder in (state, archive) if folder is not None]
    for folder in written:
        folder.mkdir(parents=True, exist_ok=True)
        _allow(rules, folder, rules.rights & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK))
    for path in dict.fromkeys(readable(config, environment, key)):
        _allow(rules, path, READ_FILE | READ_DIR)
    _allow(rules, Path("/dev/null"), READ_FILE | WRITE_FILE)
    rules.apply()
    report.done.append(f"writes {' and '.join(map(str, written))} only")


def _allow(rules: Ruleset, path: Path, rights: int) -> None:
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
        rules.allow(str(path), rights if folder else rights & OF_FILES)
    except OSError:
        pass  # it is not there, or not for us: nothing to allow


def runs_programs(environment: Mapping[str, str]) -> str | None:
    """Why programs have to run, and None where they do not.

    AWS's SDK may have one for credentials; it reads who knows what, so files cannot be fenced either.
    """
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


def readable(config: Path | None, environment: Mapping[str, str], key: Path | None = None) -> Iterator[Path]:
    """What the process may read.

    A rule is on the file itself, not on its name, so what gets replaced (configuration, tokens) is allowed by
    its directory.
    """
    root = Path("/")
    package = Path(__file__).resolve().parents[2]
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
    for file in filter(None, (config, key)):
        yield from (
            path.parent if path.parent != root else path for path in (file.absolute(), file.resolve())
        )
    if environment.get("HOME"):
        yield Path(environment["HOME"]) / ".aws"
    for variable in VARIABLES:
        if value := environment.get(variable):
            path = Path(value).absolute()
            yield path.parent if variable in RENEWED and path.parent != root else path
