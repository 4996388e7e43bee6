"""The readers of the pages: this host's own browsers, holders of the token, a proxy that knows its users.

    listen address     token_file  TLS files  proxies   allowed
    loopback           -           -          -         yes
    any                yes         yes        -         yes
    any                -           -          named     yes, from these addresses alone

Every other mixture is refused before anything listens. On loopback without a token the Host header must name
this host (or `public_url`'s), so that no foreign page can read ours by a name that points here.
"""

from __future__ import annotations

import hmac
import os
import stat
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.errors import ConfigError

LEAST_TOKEN = 16  # characters: too many to guess over a network
COOKIE = "sbcwatch"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Access(msgspec.Struct, kw_only=True):
    """The address to listen on, and the permitted readers. Raises: ConfigError, from `access` below."""

    address: str
    port: int
    token: str = ""
    certificate: str = ""
    key: str = ""
    proxies: tuple[str, ...] = ()
    public_url: str = ""

    @property
    def is_local(self) -> bool:
        return ip_address(self.address).is_loopback

    @property
    def root(self) -> str:
        """The path that `public_url` has before ours, without a slash at its end."""
        return urlsplit(self.public_url).path.rstrip("/")

    @property
    def is_https(self) -> bool:
        return bool(self.certificate) or self.public_url.startswith("https:")

    @property
    def url(self) -> str:
        """Where a browser on this host finds it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}{self.root}/"

    def lets_connect(self, peer: str) -> bool:
        """Whether a connection from this address gets an answer at all."""
        if not self.proxies:
            return True
        try:
            from_ip = ip_address(peer)
        except ValueError:
            return False
        return from_ip.is_loopback or any(from_ip in ip_network(one, strict=False) for one in self.proxies)

    def knows_host(self, host: str, peer: str) -> bool:
        """Whether a request from `peer` is for us, by its Host header.

        Proxies sign readers in, but a browser on this host (or at the end of a tunnel to it) comes past them.
        """
        if self.token or (self.proxies and not ip_address(peer).is_loopback):
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in LOCAL_NAMES or name in (urlsplit(self.public_url).hostname, self.address)

    def admits(self, cookie: str, authorization: str) -> bool:
        """Whether a request carries the token: in the cookie of a sign-in, or as `Authorization: Bearer`."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given)
        return hmac.compare_digest(cookie.encode(), self.cookie.encode())

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.strip().encode(), self.token.encode())

    @property
    def cookie(self) -> str:
        """The cookie's value: it proves the token without holding it."""
        return blake2b(b"cookie", key=self.token.encode()[:64], digest_size=24).hexdigest()


def access(
    listen: str, token_file: str, certificate: str, key: str, proxies: tuple[str, ...], public_url: str
) -> Access:
    """Access by the settings, if they admit no stranger. Raises: ConfigError."""
    address, port = address_of(listen)
    found = Access(
        address=address,
        port=port,
        token=_token(token_file) if token_file else "",
        certificate=certificate,
        key=key,
        proxies=proxies,
        public_url=public_url.rstrip("/"),
    )
    if bool(certificate) != bool(key):
        raise ConfigError("web: tls_certificate and tls_key go together: set both or neither")
    for name in (certificate, key):
        if name and not os.access(name, os.R_OK):
            raise ConfigError(f"web: {name} cannot be read: name a PEM file that this user may read")
    if public_url and urlsplit(public_url).scheme not in ("http", "https"):
        raise ConfigError(f'web: public_url "{public_url}" is no address: write it as https://host/path')
    if not found.is_local and not (found.token and certificate) and not proxies:
        raise ConfigError(
            f"web: {listen} can be reached from elsewhere: set token_file, tls_certificate and tls_key,"
            " or proxies for a proxy in front, or listen on 127.0.0.1"
        )
    return found


def address_of(listen: str) -> tuple[str, int]:
    """(address, port) of `127.0.0.1:9643` or `[::1]:9643`. Raises: ConfigError."""
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        if not colon or not 0 <= int(port) <= 65535:
            raise ValueError(listen)
        return str(ip_address("127.0.0.1" if host == "localhost" else host)), int(port)
    except ValueError:
        raise ConfigError(f'web: listen "{listen}" will not do: write it as 127.0.0.1:9643') from None


def _token(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigError(f"web: token_file {path}: {reason}") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(f"web: token_file {path} can be read by others: chmod 600 it")
    if len(token) < LEAST_TOKEN:
        raise ConfigError(f"web: token_file {path}: a token has {LEAST_TOKEN} characters or more")
    return token
