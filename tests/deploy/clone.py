"""A clean Debian root with a clone of this tree in it, and this machine's ways to the registries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.deploy.machine import ROOT, base, needs

TREE = "root/sbcwatch"
# How a machine is told where packages come from; what of it is not there is left out.
SOURCES = ("etc/apt", "etc/pip.conf", "etc/xdg/pip", "etc/ssl/certs", "etc/resolv.conf", "etc/hosts")
KNOWN = ("PIP_", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@contextmanager
def clean(folder: Path) -> Iterator[Path]:
    """A clone's root that reaches the registries."""
    with cloned(folder) as root, connected(root):
        yield root


@contextmanager
def cloned(folder: Path) -> Iterator[Path]:
    """A copy of the kept root with this tree in it, as a clone has it."""
    needs("debootstrap", "git")
    root = folder / "root"
    try:
        subprocess.run(["cp", "-a", str(base()), str(root)], check=True)
        (root / TREE).mkdir()
        tree = subprocess.Popen(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE)
        packed = subprocess.Popen(
            ["tar", "-c", "--null", "-T", "-"], cwd=ROOT, stdin=tree.stdout, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", str(root / TREE)], stdin=packed.stdout, check=True)
        assert tree.wait() == packed.wait() == 0
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def connected(root: Path) -> Iterator[None]:
    """The ways to the registries, and their lists, which a host that was just installed has."""
    with ExitStack() as stack:
        for name in SOURCES:
            if Path("/", name).exists():
                shutil.rmtree(root / name, ignore_errors=True)
                (root / name).parent.mkdir(exist_ok=True)
                subprocess.run(["cp", "-aL", f"/{name}", str(root / name)], check=False)
        for place in _places_of_pip():
            (root / place[1:]).mkdir(parents=True, exist_ok=True)
            _mount(stack, root, place, "--rbind")
        for place in ("/proc", "/dev"):
            _mount(stack, root, place, "--rbind")
        run(root, "apt-get update -qq", 300)
        yield


def _places_of_pip() -> list[str]:
    """Folders of this machine that pip looks into."""
    told = subprocess.run(["pip", "config", "list"], capture_output=True, text=True).stdout
    words = re.findall(r"(?:file://)?(/[\w./-]+)", told)
    places = {"/" + word.strip("/").split("/")[0] + "/" + word.strip("/").split("/")[1] for word in words}
    return sorted(place for place in places if Path(place).is_dir() and not place.startswith("/etc"))


def _mount(stack: ExitStack, root: Path, place: str, how: str) -> None:
    there = str(root / place[1:])
    subprocess.run(["mount", how, place, there], check=True)
    subprocess.run(["mount", "--make-rslave", there], check=True)
    stack.callback(subprocess.run, ["umount", "-R", "-l", there], check=True)


def run(root: Path, commands: str, seconds: float) -> str:
    """The commands, as root types them in the tree; what they print and how long it took is printed."""
    told = {name: text for name, text in os.environ.items() if name.startswith(KNOWN)}
    environment = told | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8",
    }  # fmt: skip
    begun = time.monotonic()
    done = subprocess.run(
        ["chroot", str(root), "bash", "-e", "-o", "pipefail", "-c", f"cd /{TREE}\n{commands}"],
        env=environment, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    print(f"{time.monotonic() - begun:.0f} s: {commands.strip().splitlines()[-1]}\n{done.stdout[-1500:]}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
