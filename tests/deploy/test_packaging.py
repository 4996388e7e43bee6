"""The sdist has all that a build needs, and builds; the wheels are described for both processors."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from agent.sinks.aws import clients
from deploy.trim import SERVICES

ROOT = Path(__file__).parents[2]
BACKEND = (
    "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(*sys.argv[2:]))"
)
COMPILED, UNCOMPILED = {"SBCWATCH_REQUIRE_COMPILED": "1"}, {"SBCWATCH_NO_COMPILED": "1"}


def backend(hook: str, *arguments: str, folder: Path, environment: dict[str, str]) -> str:
    """What a hook of our build backend (PEP 517) returns for `folder`."""
    others = {name: text for name, text in os.environ.items() if not name.startswith("SBCWATCH_")}
    run = subprocess.run(
        [sys.executable, "-c", BACKEND, hook, *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env={**others, **environment},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.strip().splitlines()[-1]


def built(kind: str, folder: Path, into: Path, environment: dict[str, str] = UNCOMPILED) -> Path:
    """The file that our build backend makes of `folder`."""
    return into / backend(f"build_{kind}", str(into), folder=folder, environment=environment)


def unpacked(sdist: Path, into: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    (folder,) = (path for path in into.iterdir() if path.is_dir())
    return folder


def copied(tmp_path_factory: pytest.TempPathFactory, without: tuple[str, ...] = ("*.so", "*.c")) -> Path:
    """The sources, by default without anything built."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "agent", source / "agent", ignore=shutil.ignore_patterns(*without, "__pycache__"))
    return source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("sdist", copied(tmp_path_factory), tmp_path_factory.mktemp("sdist"))


@pytest.mark.slow
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


@pytest.mark.slow
def test_sdist_builds_a_wheel_that_runs(sdist: Path, tmp_path: Path) -> None:
    wheel = built("wheel", unpacked(sdist, tmp_path), tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    run = subprocess.run(
        [sys.executable, "-m", "agent", "--version"],
        cwd=tmp_path / "installed", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.startswith("sbcwatch "), run.stderr


def test_wheel_carries_every_page_the_units_and_the_sample() -> None:
    shared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    carried = {path for patterns in shared.values() for pattern in patterns for path in ROOT.glob(pattern)}
    wanted = {*ROOT.glob("config/*.toml"), *ROOT.glob("systemd/*.service"), *ROOT.glob("docs/*.1")}
    pages = {page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "decisions"}
    assert wanted | pages <= carried


@pytest.mark.parametrize(("environment", "asked"), [(COMPILED, True), (UNCOMPILED, False)])
def test_cython_is_asked_for_only_where_modules_are_compiled(
    source: Path, environment: dict[str, str], asked: bool
) -> None:
    wanted = backend("get_requires_for_build_wheel", folder=source, environment=environment)
    assert ("Cython" in wanted) == asked


def test_services_that_are_called_stay_in_the_image_and_the_packages() -> None:
    text = Path(clients.__file__).read_text()
    called = set(re.findall(r'\.client\(\s*"([\w-]+)"', text))
    assert called >= {"cloudwatch", "logs", "s3"}
    assert called <= SERVICES


@pytest.mark.slow
def test_sdist_compiles_without_cython(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    # As in any build, C that is newer than its source is not written again: of one module it is missing.
    source = copied(tmp_path_factory, without=("*.so", "timeline_cy.c"))
    folder = unpacked(built("sdist", source, tmp_path, COMPILED), tmp_path)
    # Nor is the same C compiled again: this tree's modules lie where a build before this one left its own.
    compiled = folder / f"build/lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}/agent"
    anew = shutil.ignore_patterns("*.py", "*.c", "__pycache__", "timeline_cy*", "loop_cy*", "shared_cy*")
    shutil.copytree(ROOT / "agent", compiled, ignore=anew)
    assert backend("get_requires_for_build_wheel", folder=folder, environment=COMPILED) == "[]"
    absent = tmp_path / "absent" / "Cython.py"
    absent.parent.mkdir()
    absent.write_text("raise ModuleNotFoundError('Cython')\n")
    # Asked here is whether the C compiles, not how fast it runs. gcc heeds the last -O.
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nexec gcc "$@" -O0\n')
    compiler.chmod(0o755)
    environment = {**COMPILED, "PYTHONPATH": str(absent.parent), "CC": str(compiler)}
    wheel = built("wheel", folder, tmp_path, environment)
    assert {path.stem for path in folder.glob("build/temp*/**/*.o")} >= {
        "timeline_cy",
        "loop_cy",
        "shared_cy",
    }
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert not [name for name in names if name.endswith(".c")]
    run = subprocess.run(
        [sys.executable, "-m", "agent", "selftest"],
        cwd=tmp_path / "installed", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "RTP loop: compiled" in run.stdout, run.stdout + run.stderr
    assert "numbers: right" in run.stdout


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
