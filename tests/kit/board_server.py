"""Debian's redis-server on loopback, with one user that may do what the docs say."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PASSWORD = "secret-of-the-test"
RIGHTS = "+xadd +set +xread +cluster|slots +command"  # of which the last two are for a cluster


def has_server() -> bool:
    """Whether there is a redis-server on this machine."""
    return shutil.which("redis-server") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A redis-server with one user that may do what docs say, and nothing else."""

    def __init__(self, folder: Path, *options: str) -> None:
        """`options`: more of the server's own."""
        self.folder = folder
        self._options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        (folder / "password").write_text(PASSWORD + "\n")
        (folder / "acl").write_text(
            f"user default on >{PASSWORD} ~* +@all\n"
            f"user host on >{PASSWORD} resetkeys ~claim:* ~leg:* -@all {RIGHTS}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--save", "", "--aclfile", str(self.folder / "acl"), "--daemonize", "no", *self._options],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"Ready to accept connections" in line:
                return
        raise AssertionError("redis-server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def admin(self) -> Any:
        import redis

        return redis.Redis(port=self.port, password=PASSWORD)

    @property
    def is_up(self) -> bool:
        return self.process is not None

    def entries(self) -> dict[str, str]:
        """The newest claim's id by its relay's address."""
        admin = self.admin()
        return {
            key.decode()[len("claim:{") : -1]: admin.xinfo_stream(key)["last-generated-id"].decode()
            for key in admin.keys("claim:*")
        }


class Slow:
    """A way to a server on which each answer takes so long."""

    def __init__(self, port: int, delay_s: float) -> None:
        self._port, self._delay_s = port, delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._port))
            self._open += [near, far]
            self._start(partial(self._pass, near, far, 0.0))
            self._start(partial(self._pass, far, near, self._delay_s))

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, delay_s: float) -> None:
        while data := source.recv(1 << 16):
            time.sleep(delay_s)
            target.sendall(data)

    @staticmethod
    def _start(work: Callable[[], None]) -> None:
        def quiet() -> None:
            with contextlib.suppress(OSError):  # it was closed
                work()

        threading.Thread(target=quiet, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            each.close()
