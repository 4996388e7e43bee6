"""The packages of `make deb` and `make rpm`, and the clean roots that they are tried in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.machine import ROOT, base, needs

CONFIG = "etc/sbcwatch/sbcwatch.toml"
# Of a fleet, whose board needs a package that most do without.
MINE = """[vc]
addresses = ["192.0.2.1"]
[customers]
networks = ["198.51.100.0/24"]
[fleet]
board = "rediss://192.0.2.9"
"""
_MADE: dict[str, str] = {}  # packages of this run of the tests, by kind


def package(kind: str, venv: Path) -> Path:
    """`SBCWATCH_TEST_DEB` and `SBCWATCH_TEST_RPM` name packages that are there already."""
    needs("ldd", {"deb": "dpkg-deb", "rpm": "rpmbuild"}[kind])
    if ready := _MADE.get(kind) or os.environ.get(f"SBCWATCH_TEST_{kind.upper()}"):
        return Path(ready)
    done = subprocess.run(
        ["make", "--no-print-directory", kind, f"PYTHON={sys.base_prefix}/bin/python3", f"VENV={venv}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    _MADE[kind] = done.stdout.strip().splitlines()[-1]
    return Path(_MADE[kind])


@contextmanager
def root_without_python(folder: Path) -> Iterator[Path]:
    """A clean root without any Python that could run us: what runs is the package's own."""
    root = folder / "root"
    subprocess.run(["cp", "-a", str(base()), str(root)], check=True)
    for program in root.glob("usr/bin/python3*"):
        program.unlink()
    (root / "usr/bin/python3").write_text("#!/bin/sh\necho 'this is no Python for us' >&2\nexit 99\n")
    (root / "usr/bin/python3").chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


def there(root: Path, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """A command in the root."""
    done = subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, timeout=120)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done
