"""The locks have every package that pyproject.toml asks for, each with hashes, and no registry's address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {"runtime": ("confine", "web", "top", "fleet"), "test": ("test",)}


def locked(path: Path) -> dict[str, str]:
    """Name to version of a lock."""
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"(?m)^([\w.-]+)(?:\[[\w,]+\])?==([^\s;\\]+)", path.read_text())
    }


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    found = [Requirement(each) for each in PROJECT["project"]["dependencies"]]
    for extra in extras:
        for each in map(Requirement, PROJECT["project"]["optional-dependencies"][extra]):
            found += wanted(tuple(each.extras)) if each.name == "sbcwatch" else [each]
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_lock_has_what_the_project_asks_for(name: str) -> None:
    """Fails where a dependency was added: `make lock` writes the locks anew."""
    found = locked(ROOT / f"requirements/{name}.txt")
    for each in wanted(EXTRAS[name]):
        version = found.get(canonicalize_name(each.name))
        assert version is not None, f"{each.name} is not locked: make lock"
        assert each.specifier.contains(version, prereleases=True), f"{each.name} {version}: make lock"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_lock_names_hashes_and_no_address(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    entries = re.split(r"(?m)^(?=[\w.-]+(?:\[[\w,]+\])?==)", text)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


def test_no_preliminary_version_is_a_default() -> None:
    for name, version in locked(ROOT / "requirements/runtime.txt").items():
        assert not Version(version).is_prerelease, (name, version)
    for each in wanted(("confine", "scapy", "tshark")):
        assert not any(Version(one.version).is_prerelease for one in each.specifier), str(each)


def test_build_tools_are_pinned_alike_everywhere() -> None:
    pinned = locked(ROOT / "requirements/build.txt")
    (setuptools,) = PROJECT["build-system"]["requires"]
    assert setuptools == f"setuptools=={pinned['setuptools']}"
    assert f'CYTHON = "Cython=={pinned["cython"]}"' in (ROOT / "setup.py").read_text()
    tests = locked(ROOT / "requirements/test.txt")  # pip installs them while the modules are compiled
    assert {name: tests[name] for name in ("setuptools", "cython")} == pinned
