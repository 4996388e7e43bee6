"""A whole system to try units and images in: a debootstrap root, kept between runs.

`SBCWATCH_BASE` names a root to use instead (a folder with Debian's python3, systemd and iproute2).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
SUITE_PYTHON = (3, 11)
KEPT = Path(os.environ.get("SBCWATCH_BASE", f"/var/tmp/sbcwatch-{SUITE}"))
PACKAGES = "python3,python3-venv,systemd,systemd-sysv,dbus,iproute2,ca-certificates"

BOOT_S = 60  # up, and down again
CHECK = """[Unit]
Description=Work the units
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /in_root.py {seconds}
StandardOutput=journal+console
"""


def needs(*programs: str) -> None:
    """Skip, saying why, where this machine lacks something."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces and mounts")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (see tests/deploy/packages.txt)")


def base() -> Path:
    """The kept root, made where it is missing (one to three minutes)."""
    if (KEPT / "usr/bin/python3").exists():
        return KEPT
    needs("debootstrap")
    if sys.version_info[:2] != SUITE_PYTHON:
        pytest.skip(f"{SUITE} has another Python than the tests run on: name a root in SBCWATCH_BASE")
    making = KEPT.with_name(KEPT.name + f".{os.getpid()}")
    run = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(making)],
        capture_output=True,
        text=True,
        check=False,
        timeout=480,
    )
    if run.returncode:
        shutil.rmtree(making, ignore_errors=True)
        pytest.skip(f"debootstrap cannot make a {SUITE} root here: {run.stdout[-300:]}{run.stderr[-300:]}")
    making.rename(KEPT)
    return KEPT


def same_python(root: Path) -> None:
    """Skip where the root's Python could not load what this one compiled."""
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not (root / "usr/bin" / wanted).exists():
        pytest.skip(f"{root} has no {wanted}, for which the tests' packages are installed")


def site_packages() -> Path:
    return Path(sysconfig.get_path("purelib"))


def boot(root: Path, script: Path, *options: str, seconds: int) -> dict[str, Any]:
    """Boot `root` and call `main(seen)` of `script` once it is up: what that saw in at most `seconds`."""
    units = root / "etc/systemd/system"
    (units / "check.service").write_text(CHECK.format(seconds=seconds))
    (units / "check.target").write_text("[Unit]\nRequires=multi-user.target\nWants=check.service\n")
    shutil.copy(script, root / "check.py")
    shutil.copy(Path(__file__).with_name("in_root.py"), root)
    run = subprocess.run(
        [
            # SIGTERM tells the system inside to power off; SIGKILL would leave it running.
            "timeout", "--kill-after=20", str(seconds + BOOT_S),
            "systemd-nspawn", "--directory", str(root), "--boot", "--quiet", "--register=no", "--keep-unit",
            "--private-network", "--machine=sbcwatch-test", "--console=pipe",
            # Its own filter does not know these calls, a host's has none: ours is the one to be tried.
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            *options, "systemd.unit=check.target", "systemd.log_color=no",
        ],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if not (root / "seen.json").exists():
        if "Operation not permitted" in run.stdout + run.stderr:
            pytest.skip(f"systemd cannot boot in namespaces here: {run.stderr[-400:]}")
        pytest.fail(f"booted, but said nothing:\n{run.stdout[-3000:]}\n{run.stderr[-1000:]}")
    found: dict[str, Any] = json.loads((root / "seen.json").read_text())
    assert "failed" not in found, found["failed"]
    return found
