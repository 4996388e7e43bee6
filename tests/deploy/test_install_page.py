"""docs/install.md and README by their own commands in a clean Debian root.

The blocks of the page that carry a mark are run as they stand, and timed. The root knows apt's and pip's
sources as this machine does. Lines of systemctl and curl are left out: they need a booted system.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.deploy.clone import TREE, clean, run
from tests.deploy.machine import ROOT

pytestmark = pytest.mark.image
COMPILE_S = 1_500  # two to five minutes where nothing else runs
PAGE = ROOT / "docs/install.md"
README = (ROOT / "README.md").read_text()


def block(mark: str) -> str:
    """The commands below a mark of the page."""
    found = re.search(rf"<!-- {mark}: run [^\n]*-->\n```sh\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found, f"no block is marked {mark}"
    return found[1]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first build compiled, for those after it."""
    return tmp_path_factory.mktemp("compiled")


def keep(tree: Path, compiled: Path) -> None:
    """All that a build compiled but one module, for which the next one needs a compiler all the same."""
    for path in [*tree.glob("agent/**/*.c"), *tree.glob("build/lib*/agent/**/*.so")]:
        if not path.name.startswith("loop_cy"):
            to = compiled / path.relative_to(tree)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def test_package_is_built_and_installed_by_the_commands_of_the_page(tmp_path: Path, compiled: Path) -> None:
    with clean(tmp_path) as root:
        run(root, block("package"), COMPILE_S)
        keep(root / TREE, compiled)
        printed = run(root, block("host"), 300)
        assert "RTP loop: compiled" in printed
        assert "numbers: right" in printed
        assert "[vc]" in (root / "etc/sbcwatch/sbcwatch.toml.new").read_text()
        checked = run(root, "sbcwatch check-config --elsewhere /etc/sbcwatch/sbcwatch.toml.new", 60)
        assert checked
        run(root, block("start").partition("systemctl")[0], 60)


def test_wheel_is_built_and_installed_by_the_commands_of_the_page(tmp_path: Path, compiled: Path) -> None:
    with clean(tmp_path) as root:
        shutil.copytree(compiled, root / TREE, dirs_exist_ok=True)
        run(root, block("wheel"), COMPILE_S)
        printed = run(root, "sbcwatch selftest", 60)
        assert "RTP loop: compiled" in printed
        assert "numbers: right" in printed
        run(root, block("start").partition("systemctl")[0], 60)


def test_demo_runs_with_python_and_make_alone_and_prints_what_the_readme_shows(tmp_path: Path) -> None:
    shown = README.split("$ make demo\n")[1].split("```")[0]
    with clean(tmp_path) as root:
        run(root, "apt-get install -y make", 300)
        printed = run(root, "make demo", 300)
    lines = {line.rstrip() for line in printed.splitlines()}
    assert {line.rstrip() for line in shown.splitlines()} - lines == set()
    assert "This ran uncompiled" in printed


def test_first_commands_of_the_readme_run(tmp_path: Path, compiled: Path) -> None:
    text = README.split("## Watch a host")[1]
    commands = text.split("```")[1].partition("\n")[2]
    *before, last = commands.strip().splitlines()
    assert last.startswith("sbcwatch run ")
    with clean(tmp_path) as root:
        shutil.copytree(compiled, root / TREE, dirs_exist_ok=True)
        run(root, "\n".join([*before, "sbcwatch run --help"]), COMPILE_S)
