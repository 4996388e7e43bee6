"""Debian's redis-server on loopback, with one user that may do what the docs say."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

PASSWORD = "secret-of-the-test"


def has_server() -> bool:
    """Whether there is a redis-server on this machine."""
    return shutil.which("redis-server") is not None


class Server:
    """A redis-server with one user that may do what docs say, and nothing else."""

    def __init__(self, folder: Path, *options: str) -> None:
        """`options`: more of the server's own."""
        self.folder = folder
        self._options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        (folder / "password").write_text(PASSWORD + "\n")
        (folder / "acl").write_text(
            f"user default on >{PASSWORD} ~* +@all\n"
            f"user host on >{PASSWORD} resetkeys ~claim:* ~leg:* -@all +xadd +set +xread\n"
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
