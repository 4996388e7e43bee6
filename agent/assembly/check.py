"""Checks a configuration for a daemon: the file itself, and the host, AWS and memory around it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from agent.assembly import sources
from agent.assembly.rules import taken, tunnel_faults
from agent.config.checks import doubtful
from agent.config.checks.words import Finding, nearest
from agent.config.load import Problem, load, read, text_of
from agent.config.settings import Config
from agent.errors import ConfigError, how_to_add
from agent.provision.series import all_series

FOR_CALLS_MB = 16  # and streams: some 900 calls
# Settings that name a file with a key or a password. Those of [web] are checked with its access.
SECRETS = (
    ("fleet", "key_file"),
    ("fleet", "board_password_file"),
    ("fleet", "board_ca_file"),
    ("clickhouse", "password_file"),
    ("otlp", "headers_file"),
)


def usable(path: str | None, warn: Callable[[str], None]) -> Config:
    """The configuration in `path`, if a daemon may start or go on with it.

    A missing NIC may still come: capture reports it (exit 3), and a service is started again.
    Raises ConfigError with every problem.
    """

    def beyond(config: Config) -> Iterator[Finding]:
        yield from beyond_the_file(config)
        yield from region_of_this_host(config)
        yield from packages_of_this_host(config)

    return load(path, warn=warn, further=beyond, doubts=doubtful)


def looked_at(path: str, *, elsewhere: bool = False) -> tuple[Config | None, list[Problem], list[Problem]]:
    """The configuration in `path` or its problems, and its doubts.

    `elsewhere`: it is for another host. Raises ConfigError where the file cannot be read.
    """

    def beyond(config: Config) -> Iterator[Finding]:
        yield from beyond_the_file(config)
        if not elsewhere:
            yield from readers_of_pages(config)
            yield from nics_of_this_host(config)
            yield from region_of_this_host(config)
            yield from packages_of_this_host(config)
            yield from files_of_this_host(config)

    warnings: list[Problem] = []
    config, problems = read(text_of(path), os.environ, warnings, beyond, doubtful)
    return config, problems, warnings


def secrets_of(config: Config) -> list[Path]:
    """The files with keys and passwords that are set."""
    paths = (getattr(getattr(config, section), key) for section, key in SECRETS)
    return [Path(path) for path in paths if path]


def beyond_the_file(config: Config) -> Iterator[Finding]:
    """Checks that the kernel's filter can be made (a wrong expression, too many ports), that calls have
    memory, and that the cost stays in its bounds.
    """
    least_mb = (taken(config, live=True) >> 20) + FOR_CALLS_MB
    if config.limits.max_memory_mb < least_mb:
        rings = f"rings of {config.capture.ring_mb} MB"
        yield "limits", "max_memory_mb", f"leaves none for calls: at least {least_mb} with {rings}"
    cost = config.cost
    if cost.max_monthly_cost or 0 < cost.max_metrics < all_series(config):
        from agent.provision.cost import check_bound  # 0.3 MB of a daemon, which the estimate alone needs

        try:
            check_bound(config)
        except ConfigError as error:
            key = "max_metrics" if "series, and" in str(error) else "max_monthly_cost"
            yield "cost", key, str(error)
    key = "filter" if config.capture.filter else "sip_ports"
    faults = list(tunnel_faults(config.capture))
    yield from (("capture", "tunnels", fault) for fault in faults)
    if faults:
        return
    try:
        sources.program(config)
    except ConfigError as error:
        yield "capture", key, str(error).removeprefix(f"capture.{key}: ")


def readers_of_pages(config: Config) -> Iterator[Finding]:
    """Page access that `sbcwatch web` would refuse. The daemon starts all the same."""
    from agent.web.access import access  # the daemon has no pages

    web = config.web
    try:
        access(web.listen, web.token_file, web.tls_certificate, web.tls_key, web.proxies, web.public_url)
    except ConfigError as error:
        yield "web", "listen", str(error).removeprefix("web: ")


def nics_of_this_host(config: Config) -> Iterator[Finding]:
    """Missing NICs."""
    there = [name for _, name in socket.if_nameindex()]
    for name in config.capture.interfaces:
        if name not in (*there, "any"):
            names = f"here are {', '.join(there)}{nearest(name, there)}"
            yield "capture", "interfaces", f'"{name}" is not there: {names}'


def region_of_this_host(config: Config) -> Iterator[Finding]:
    """AWS sinks without a region that their clients can find here."""
    if config.cloudwatch.enabled or config.logs.enabled:
        from botocore.session import Session

        from agent.sinks.aws.clients import region_of

        if not region_of(config.cloudwatch.region) and not Session().get_config_variable("region"):
            yield "cloudwatch", "region", "no AWS region: set it, as eu-central-1, or AWS_REGION"


def files_of_this_host(config: Config) -> Iterator[Finding]:
    """Files with keys and passwords that cannot be read, and a state directory that is none."""
    for section, key in SECRETS:
        path = getattr(getattr(config, section), key)
        try:
            if path:
                open(path, "rb").close()
        except OSError as error:
            yield section, key, f"{path}: {error.strerror}: name a file that the daemon may read"
    folder = Path(config.store.directory)
    try:
        if folder.exists() and not folder.is_dir():
            yield "store", "directory", f"{folder} is no folder"
    except OSError as error:
        yield "store", "directory", f"{error.strerror}: name a folder that can be made, as /var/lib/sbcwatch"


def packages_of_this_host(config: Config) -> Iterator[Finding]:
    """Settings whose package this installation lacks."""
    needed = (
        ("fleet", "board", "redis", bool(config.fleet.board)),
        ("capture", "method", "scapy", config.capture.method == "scapy"),
    )
    for section, key, package, is_set in needed:
        if is_set and find_spec(package) is None:
            yield section, key, f"needs the package {package}: {how_to_add(package)}"
