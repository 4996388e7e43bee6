"""The sdist has all that a build needs, and builds; the wheels are described for both processors."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BACKEND = (
    "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
)


def built(kind: str, folder: Path, into: Path, compiled: bool = True) -> Path:
    """The file that our build backend makes of `folder`."""
    run = subprocess.run(
        [sys.executable, "-c", BACKEND, kind, str(into)],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "SBCWATCH_NO_COMPILED": "0" if compiled else "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    return into / run.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "agent", source / "agent", ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    )
    return built("build_sdist", source, tmp_path_factory.mktemp("sdist"))


def test_sdist_holds_every_source_and_declaration(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("agent/**/*.py", "agent/**/*.pxd", "setup.py", "agent/py.typed")
        for path in ROOT.glob(pattern)
    }
    assert not wanted - names
    assert not [name for name in names if name.endswith((".c", ".so"))]


def test_sdist_builds_a_wheel_that_runs(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    wheel = built("build_wheel", folder, tmp_path, compiled=False)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    run = subprocess.run(
        [sys.executable, "-m", "agent", "--version"],
        cwd=tmp_path / "installed", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.startswith("sbcwatch "), run.stderr


def test_wheels_are_described_for_both_processors_and_compiled() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    assert settings["linux"]["archs"] == ["x86_64", "aarch64"]
    assert settings["linux"]["environment"]["SBCWATCH_REQUIRE_COMPILED"] == "1"


def test_wheels_are_what_cibuildwheel_would_build() -> None:
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed (pip install cibuildwheel)")
    asked = ["--platform", "linux", "--archs", "x86_64,aarch64", "--print-build-identifiers"]
    run = subprocess.run(
        [sys.executable, "-m", "cibuildwheel", *asked, str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    identifiers = run.stdout.split()
    assert len(identifiers) == 6
    assert all("manylinux" in one for one in identifiers)
