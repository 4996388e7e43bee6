"""The image's launcher as a container runtime starts it: another user, NET_RAW in the bounding set or not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.machine import ROOT

NET_RAW = 1 << 13
STATUS = "#!/bin/sh\nexec cat /proc/self/status\n"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Executes a program that prints its own status."""
    if os.geteuid() != 0 or not shutil.which("cc") or not shutil.which("setpriv"):
        pytest.skip("it needs root, cc and setpriv")
    folder = tmp_path_factory.mktemp("launcher")
    for each in (folder, *folder.parents):
        if not each.stat().st_mode & 0o001:
            each.chmod(0o755)  # another user reaches it
    program, made = folder / "sbcwatch", folder / "launch"
    program.write_text(STATUS)
    program.chmod(0o755)
    words: list[str | Path] = [
        "cc",
        "-O2",
        "-Wall",
        "-Werror",
        f'-DPROGRAM="{program}"',
        "-o",
        made,
        ROOT / "deploy" / "launch.c",
    ]
    subprocess.run(words, check=True)
    subprocess.run([sys.executable, ROOT / "deploy" / "file_capability.py", made], check=True)
    return made


USER = ("setpriv", "--reuid", "65532", "--regid", "65532", "--clear-groups", "--inh-caps", "-all")


def status(launcher: Path, command: str, *more: str) -> dict[str, int]:
    """What /proc says of the process that the launcher became: capability sets, NoNewPrivs.

    `more`: words for a second setpriv, which has lost root's capabilities by its exec.
    """
    out = subprocess.check_output([*USER, *more, launcher, command], text=True)
    return {name: int(bits, 16) for name, bits in re.findall(r"(Cap\w+|NoNewPrivs):\s+([0-9a-f]+)", out)}


@pytest.mark.parametrize(("command", "held"), [("run", NET_RAW), ("selftest", NET_RAW), ("web", 0)])
def test_command_that_captures_holds_net_raw_and_no_other_does(
    launcher: Path, command: str, held: int
) -> None:
    found = status(launcher, command, "--bounding-set", "-all,+net_raw")
    assert {found[name] for name in ("CapPrm", "CapEff", "CapAmb", "CapInh")} == {held}
    assert found["NoNewPrivs"] == 1


def test_without_net_raw_in_the_bounding_set_a_command_runs_without_it(launcher: Path) -> None:
    assert status(launcher, "run", "--bounding-set", "-all")["CapEff"] == 0


def test_under_no_new_privs_a_command_runs_without_it(launcher: Path) -> None:
    found = status(launcher, "run", "setpriv", "--no-new-privs")
    assert found["CapEff"] == 0
