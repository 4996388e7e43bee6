"""The .deb in a clean Debian root: installed, timed, asked, upgraded with its configuration kept, removed."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from deploy.package import PREFIX, glibc_floor
from tests.deploy import packages
from tests.deploy.packages import CONFIG, MINE, there

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.package("deb", tmp_path_factory.mktemp("venv"))


def again(package: Path, into: Path, version: str) -> Path:
    """The same package as another version."""
    subprocess.run(["dpkg-deb", "-R", str(package), str(into / "next")], check=True)
    control = into / "next/DEBIAN/control"
    told = re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text())
    control.write_text(told)
    made = into / f"sbcwatch_{version}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(into / "next"), str(made)], check=True
    )
    shutil.rmtree(into / "next")
    return made


def dpkg(root: Path, package: Path) -> float:
    """Install; seconds that it took. The libraries of Depends are looked for by hand: no network here."""
    shutil.copy(package, root / "tmp/sbcwatch.deb")
    begun = time.monotonic()
    there(root, "dpkg", "--force-depends", "-i", "/tmp/sbcwatch.deb")
    took = time.monotonic() - begun
    (root / "tmp/sbcwatch.deb").unlink()
    return took


def test_package_lives_through_install_upgrade_downgrade_and_removal(
    package: Path, clean: Path, tmp_path: Path
) -> None:
    took = dpkg(clean, package)
    print(f"installed in {took:.1f} s")

    printed = there(clean, "sbcwatch", "selftest").stdout
    assert "RTP loop: compiled" in printed
    assert "numbers: right" in printed
    # Nothing that is called like our modules stands in the way, and nothing of ours in another's.
    (clean / "root/agent").mkdir()
    (clean / "root/agent/__init__.py").write_text("raise SystemExit('the wrong agent')\n")
    done = there(clean, "sh", "-c", "cd /root && PYTHONPATH=/root sbcwatch --version")
    assert done.stdout.startswith("sbcwatch "), done
    assert not list(clean.glob("usr/lib/python3*/dist-packages/agent"))

    there(clean, "sbcwatch", "check-config", f"/{CONFIG}")
    assert (clean / "lib/systemd/system/sbcwatch.service").exists()
    assert (clean / "usr/share/doc/sbcwatch/runbook.md").exists()
    assert (clean / "usr/share/doc/sbcwatch/sbc/asterisk.md").exists()
    assert (clean / "usr/share/man/man1/sbcwatch.1.gz").exists()
    there(clean, "dpkg", "-V", "sbcwatch")

    (clean / CONFIG).write_text(MINE)
    dpkg(clean, again(package, tmp_path, "9.9.9"))
    assert "9.9.9" in there(clean, "dpkg-query", "-W", "sbcwatch").stdout
    assert (clean / CONFIG).read_text() == MINE, "an upgrade keeps the configuration"
    dpkg(clean, package)  # and back
    assert (clean / CONFIG).read_text() == MINE
    there(clean, "sbcwatch", "check-config", f"/{CONFIG}")

    there(clean, "dpkg", "-r", "sbcwatch")
    assert not (clean / "opt/sbcwatch").exists()
    assert not (clean / "usr/bin/sbcwatch").is_symlink()
    assert (clean / CONFIG).read_text() == MINE, "removed, not purged"
    there(clean, "dpkg", "-P", "sbcwatch")
    assert not (clean / CONFIG).exists()
    assert there(clean, "dpkg-query", "-W", "sbcwatch", ok=False).returncode


def test_package_names_what_it_needs(package: Path, tmp_path: Path) -> None:
    fields = subprocess.run(
        ["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=True
    ).stdout
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path)], check=True)
    floor = glibc_floor(tmp_path / PREFIX)
    print(f"needs glibc {floor[0]}.{floor[1]}")
    assert f"libc6 (>= {floor[0]}.{floor[1]})" in fields
    assert "python" not in fields.partition("Depends:")[2].partition("\n")[0], "it brings its own"
    listed = subprocess.run(
        ["dpkg-deb", "-c", str(package)], capture_output=True, text=True, check=True
    ).stdout
    assert "site-packages/scapy/" not in listed
    assert "site-packages/pyshark/" not in listed
    assert not [line for line in listed.splitlines() if not line.split()[1].startswith("root/root")]
