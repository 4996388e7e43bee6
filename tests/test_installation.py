"""An installation where no C compiler is: slow, and with the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.replayed import PCAPS, scenario, sidecar

pytestmark = pytest.mark.slow  # pip builds and installs
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installation")
    source = folder / "source"
    source.mkdir()
    # A copy: what a failed build cleans away must not be this tree's compiled files. With the tree's C it is
    # like an sdist, and Cython has nothing to do.
    shutil.copytree(ROOT / "agent", source / "agent", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (source / "PKG-INFO").touch()
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("SBCWATCH_")}
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", str(folder / "there"), str(source)],
        env={**environment, "CC": "/bin/false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "there"


def run(installed: Path, *command: str) -> str:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("SBCWATCH_")}
    return subprocess.run(
        [sys.executable, "-m", "agent", *command],
        cwd=installed,
        env={**environment, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_installation_without_a_compiler_says_that_it_is_slow(installed: Path) -> None:
    assert not list(installed.glob("**/*.so"))
    printed = run(installed, "selftest")
    assert "NOT COMPILED, slow" in printed
    assert "numbers: right" in printed


def test_installation_without_a_compiler_replays_to_the_same_numbers(installed: Path) -> None:
    side = sidecar("loss-vc2cust")
    sides = [word for address in side["vc"] for word in ("--vc", address)]
    sides += [word for network in side["customer_networks"] for word in ("--customer", network)]
    rows = map(
        json.loads,
        run(installed, "replay", *(str(PCAPS / f) for f in side["files"]), *sides, "--json").splitlines(),
    )
    minutes = [row["values"] for row in rows if row["type"] == "metrics"]
    for name in ("InboundCallsAnswered", "VcToCustomerPacketsLost", "CustomerToVcRtpPackets"):
        assert sum(values[name] or 0 for values in minutes) == scenario("loss-vc2cust").total(name)
