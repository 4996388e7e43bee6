"""docs/install.md by its own commands in a clean Debian root: a package, a wheel, the first configuration.

The blocks of the page that carry a mark are run as they stand, and timed. The root knows apt's and pip's
sources as this machine does. Lines of systemctl and curl are left out: they need a booted system.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.machine import ROOT, base, needs

pytestmark = pytest.mark.image
PAGE = ROOT / "docs/install.md"
TREE = "root/sbcwatch"
# How a machine is told where packages come from; what of it is not there is left out.
SOURCES = ("etc/apt", "etc/pip.conf", "etc/xdg/pip", "etc/ssl/certs", "etc/resolv.conf", "etc/hosts")
KNOWN = ("PIP_", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CUSTOMERS = '[customers]\nnetworks = ["198.51.100.0/24"]\n'


def block(mark: str) -> str:
    """The commands below a mark of the page."""
    found = re.search(rf"<!-- {mark}: run [^\n]*-->\n```sh\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found, f"no block is marked {mark}"
    return found[1]


@contextmanager
def clean(folder: Path) -> Iterator[Path]:
    """A copy of the kept root with this tree in it, as a clone has it, and the ways to the registries."""
    needs("debootstrap", "git")
    root = folder / "root"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        subprocess.run(["cp", "-a", str(base()), str(root)], check=True)
        (root / TREE).mkdir()
        tree = subprocess.Popen(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE)
        packed = subprocess.Popen(
            ["tar", "-c", "--null", "-T", "-"], cwd=ROOT, stdin=tree.stdout, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", str(root / TREE)], stdin=packed.stdout, check=True)
        assert tree.wait() == packed.wait() == 0
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
        yield root


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


def prepared(root: Path) -> None:
    """The registries' lists, which a host that was just installed has."""
    run(root, "apt-get update -qq", 300)


def test_package_is_built_and_installed_by_the_commands_of_the_page(tmp_path: Path) -> None:
    with clean(tmp_path) as root:
        prepared(root)
        run(root, block("package"), 1_500)
        printed = run(root, block("host"), 300)
        assert "RTP loop: compiled" in printed
        assert "numbers: right" in printed
        assert "[vc]" in (root / "etc/sbcwatch/sbcwatch.toml.new").read_text()
        checked = run(root, "sbcwatch check-config --elsewhere /etc/sbcwatch/sbcwatch.toml.new", 60)
        assert checked
        run(root, block("start").partition("systemctl")[0], 60)


def test_wheel_is_built_and_installed_by_the_commands_of_the_page(tmp_path: Path) -> None:
    with clean(tmp_path) as root:
        prepared(root)
        run(root, block("wheel"), 1_500)
        assert "numbers: right" in run(root, "sbcwatch selftest", 60)
        run(root, block("start").partition("systemctl")[0], 60)


def test_first_commands_of_the_readme_run(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text().split("## Watch a host")[1]
    commands = text.split("```")[1].partition("\n")[2]
    *before, last = commands.strip().splitlines()
    assert last.startswith("sbcwatch run ")
    with clean(tmp_path) as root:
        prepared(root)
        run(root, "\n".join([*before, "sbcwatch run --help"]), 1_500)
