"""The .rpm by rpm itself: installed, asked, upgraded with its configuration kept, erased.

No registry that we reach has an RPM distribution, so the root is Debian's, with a database of rpm's in it.
Files, scripts and their order are as rpm does them; whether a distribution has the libraries that the package
asks for is not shown here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import deploy.package
from tests.deploy import packages
from tests.deploy.machine import ROOT
from tests.deploy.packages import CONFIG, MINE, there

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.package("rpm", tmp_path_factory.mktemp("venv"))


def rpm(root: Path, *options: str | Path) -> str:
    """rpm with its database below `root`, where the package's scripts run too."""
    command = ["rpm", "--root", str(root), "--dbpath", "/var/lib/rpm", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scriptlet failed" not in done.stderr, done.stderr
    return done.stdout


def asked(package: Path, *options: str) -> str:
    return subprocess.run(
        ["rpm", "-qp", *options, str(package)], capture_output=True, text=True, check=True
    ).stdout


def test_package_lives_through_install_upgrade_and_erasure(package: Path, clean: Path) -> None:
    rpm(clean, "-i", "--nodeps", package)
    printed = there(clean, "sbcwatch", "selftest").stdout
    assert "RTP loop: compiled" in printed
    assert "numbers: right" in printed
    assert (clean / "usr/lib/systemd/system/sbcwatch.service").exists()
    rpm(clean, "-V", "--nodeps", "sbcwatch")

    (clean / CONFIG).write_text(MINE)
    newer = deploy.package.rpm(ROOT / "build/rpm", "9.9.9")
    try:
        rpm(clean, "-U", "--nodeps", newer)
    finally:
        newer.unlink()
    assert "9.9.9" in rpm(clean, "-q", "sbcwatch")
    assert (clean / CONFIG).read_text() == MINE, "an upgrade keeps the configuration"
    rpm(clean, "-U", "--nodeps", "--oldpackage", package)  # and back
    assert (clean / CONFIG).read_text() == MINE
    there(clean, "sbcwatch", "check-config", f"/{CONFIG}")

    rpm(clean, "-e", "sbcwatch")
    assert not (clean / "opt/sbcwatch").exists()
    assert not (clean / "usr/bin/sbcwatch").is_symlink()
    assert (clean / f"{CONFIG}.rpmsave").read_text() == MINE


def test_package_asks_for_libraries_and_for_no_python(package: Path) -> None:
    needs = asked(package, "--requires").split()
    assert any(name.startswith("libc.so.6(GLIBC_2.") for name in needs)
    assert not [name for name in needs if "python" in name]


def test_service_is_stopped_by_an_erasure_and_not_by_an_upgrade(package: Path) -> None:
    """rpm runs `preun` with 0 where nothing stays, with 1 where another version does."""
    scripts = asked(package, "--scripts")
    before = scripts.split("preuninstall scriptlet")[1].split("scriptlet")[0]
    assert "remove | 0)" in before
    assert "systemctl disable --now sbcwatch.service" in before
    assert "try-restart" in scripts.split("postinstall scriptlet")[1].split("scriptlet")[0]
