"""Landlock: the files to write (the state), the files to read (`readable`), the TCP ports to connect to
(`ports`).
"""

from __future__ import annotations

import errno
import os
import re
import site
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

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

RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVER = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
    "/etc/services", "/etc/passwd", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf",
    "/run/nscd",
)  # fmt: skip
# Not /etc/ssl/private and /etc/pki/tls/private: keys of other programs.
TRUST = (
    "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust", "/etc/ca-certificates", "/etc/crypto-policies",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)  # fmt: skip
PORTS = {"redis": 6379, "rediss": 6379}  # of what has one beside DNS, HTTP and HTTPS
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
SYSTEM = (
    "/proc/self", "/proc/net", "/proc/stat", "/proc/meminfo", "/proc/uptime", "/proc/loadavg",
    "/proc/cpuinfo", "/sys/class/net", "/sys/devices", "/sys/fs/cgroup", "/dev/null", "/dev/urandom",
    "/etc/localtime", "/usr/share/zoneinfo",
)  # fmt: skip
# Files that the AWS SDK and TLS use.
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
    secrets: Iterable[Path] = (),
    archive: Path | None = None,
    urls: Iterable[str] = (),
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
    for path in dict.fromkeys(readable(config, environment, secrets)):
        _allow(rules, path, READ_FILE | READ_DIR)
    _allow(rules, Path("/dev/null"), READ_FILE | WRITE_FILE)
    allowed = sorted(ports(urls, environment))
    if rules.guards_ports:
        for port in allowed:
            rules.allow_port(port)
    rules.apply()
    report.done.append(f"writes {' and '.join(map(str, written))} only")
    if rules.guards_ports:
        report.ports = frozenset(allowed)
        report.done.append(f"connects to TCP ports {', '.join(map(str, allowed))} only")
    if os.geteuid() == 0 and not _swapped_aside(RESOLV_CONF):
        report.left_out.append(
            f"root may not read all of {RESOLV_CONF.parent}: start again after {RESOLV_CONF} was replaced"
        )


def _allow(rules: Ruleset, path: Path, rights: int) -> None:
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
        rules.allow(str(path), rights if folder else rights & OF_FILES)
    except OSError:
        pass  # it is missing or not readable: nothing to allow


def runs_programs(environment: Mapping[str, str]) -> str | None:
    """The reason why programs must run; None where none must.

    The AWS SDK may run one for credentials. That program reads unknown files, so files cannot be confined
    either.
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


def readable(
    config: Path | None, environment: Mapping[str, str], secrets: Iterable[Path] = ()
) -> Iterator[Path]:
    """The files that the process may read.

    A rule is on the file itself, not on its name. A file that gets replaced (configuration, tokens) is
    allowed by its directory.
    """
    root = Path("/")
    package = Path(__file__).resolve().parents[2]
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    installed: list[str | Path] = [package, *prefixes, *site.getsitepackages()]
    # The folder of packages, if a launcher set one. The working directory of `python -m` is no installation.
    installed += [entry for entry in sys.path if entry and entry != os.getcwd()]
    for entry in map(Path, (*installed, *LIBRARIES, *TRUST, *RESOLVER, *SYSTEM, *TOKENS)):
        if entry.is_absolute() and entry != root:
            yield entry
    # Programs that set a regular resolv.conf rename a new one into its place, so its directory is needed;
    # where it is a link (systemd-resolved), the directory that it leads into is listed above. Root would read
    # /etc/shadow by that, so it has the file alone.
    if _swapped_aside(RESOLV_CONF):
        yield RESOLV_CONF.resolve() if os.path.ismount(RESOLV_CONF) else RESOLV_CONF.resolve().parent
    elif os.geteuid() != 0:
        yield RESOLV_CONF.parent
    for file in filter(None, (config, *secrets)):
        yield from (
            path.parent if path.parent not in (root, RESOLV_CONF.parent) else path
            for path in (file.absolute(), file.resolve())
        )
    if environment.get("HOME"):
        yield Path(environment["HOME"]) / ".aws"
    for variable in VARIABLES:
        if value := environment.get(variable):
            path = Path(value).absolute()
            yield path.parent if variable in RENEWED and path.parent != root else path


def _swapped_aside(path: Path) -> bool:
    """Whether a new version of `path` needs no new file in its directory: it is a link, or mounted."""
    return path.is_symlink() or os.path.ismount(path)


def ports(urls: Iterable[str], environment: Mapping[str, str]) -> set[int]:
    """TCP ports that the daemon connects to: DNS, AWS and its metadata services, and the configured
    addresses.

    Raises nothing: a malformed address gives no port.
    """
    pointed = [
        value
        for name, value in environment.items()
        if name.upper().endswith("_PROXY") or (name.startswith("AWS_") and "://" in value)
    ]
    for path in _aws_files(environment):
        try:
            pointed += re.findall(r"(?m)^\s*\w*endpoint\w*\s*=\s*(\S+)", path.read_text(errors="replace"))
        except OSError:
            continue
    found = {53, 80, 443}
    for url in (*urls, *pointed):
        try:
            place = urlsplit(url if "://" in url else f"//{url}")
            port = place.port or PORTS.get(place.scheme)
        except ValueError:
            continue
        if port is not None:
            found.add(port)
    return found
