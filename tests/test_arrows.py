"""Imports run one way and in no circle; a class name exists once; heavy packages load late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AGENT = ROOT / "agent"
# Anyone may import these.
FOR_ALL = {"errors", "uncompiled", "gc_pause"}
# The rooms in packet order, each with the rooms that it may import besides itself.
MAY_IMPORT = {
    "wire": set(),
    "quality": set(),
    "model": {"wire", "quality"},
    "transport": {"wire", "model"},
    "media": {"model", "quality", "wire"},
    "calls": {"media", "model", "wire"},
    "engine": {"calls", "media", "transport", "model", "wire"},
    "summary": {"calls", "media", "model", "quality", "wire"},
    "store": {"summary", "model"},
    "capture": {"wire", "model"},
    "fleet": {"summary", "calls", "model", "wire"},
    "story": {"summary", "model", "wire"},
    "sinks": {"store", "summary", "model"},
    "evidence": {"store", "summary", "model", "wire"},
    "web": {"story", "store", "summary", "model"},
    "config": {"summary", "model", "quality"},
    "provision": {"config", "summary", "model"},
}
# The shell sees settings and every room above. Its own rooms, and what each may import of the shell.
SHELL = {
    "assembly": set(),
    "pipeline": {"assembly"},
    "daemon": {"assembly", "pipeline"},
    "commands": {"assembly", "pipeline", "daemon"},
    "cli": {"commands"},
}
HEAVY = {"redis", "scapy", "pyshark", "boto3", "botocore", "phonenumbers", "prometheus_client"}
MODULES = sorted(path.relative_to(ROOT) for path in AGENT.glob("**/*.py") if path.name != "__main__.py")


def room_of(module: str) -> str:
    """The room of a dotted name below `agent`."""
    return module.split(".")[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


@cache
def all_imported(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return frozenset(names)


def imported(path: Path) -> set[str]:
    """... of these the ones below `agent`, without it."""
    return {name.removeprefix("agent.") for name in all_imported(path) if name.startswith("agent.")}


def name_of(path: Path) -> str:
    """A file's dotted name below `agent`."""
    parts = path.with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_imported(path: Path) -> set[str]:
    """The files of the tree that a file imports, by dotted name."""
    known = {name_of(other) for other in MODULES}
    return {name for name in imported(path) if name in known} - {name_of(path), ""}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(name_of(path))
    if room in FOR_ALL or path == Path("agent/__init__.py"):
        allowed = FOR_ALL
    elif room in SHELL:
        allowed = {*FOR_ALL, *MAY_IMPORT, *SHELL[room]}
    else:
        allowed = FOR_ALL | MAY_IMPORT[room]
    for name in imported(path):
        other = room_of(name)
        assert other in {*allowed, room, "__version__"}, f"{path} imports agent.{name}"


def test_imports_make_no_circle() -> None:
    arrows = {name_of(path): modules_imported(path) for path in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(arrows.get(name, ())):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(arrows):
        visit(name, ())


@pytest.mark.parametrize(
    ("room", "siblings"),
    [
        ("capture", {"live.afpacket", "files.pcapfile", "live.scapy_source", "feeds.tls_keylog"}),
        ("sinks", {"aws.cloudwatch", "aws.logs", "prometheus"}),
    ],
)
def test_sources_and_sinks_never_meet(room: str, siblings: set[str]) -> None:
    for sibling in sorted(siblings):
        path = Path("agent", room, *sibling.split(".")).with_suffix(".py")
        met = {name.removeprefix(room + ".") for name in modules_imported(path)}
        assert not met & (siblings - {sibling}), path


def test_tests_import_no_other_test_and_no_benchmark() -> None:
    """What several need is in `tests/kit`."""
    for path in ROOT.glob("tests/**/*.py"):
        for name in all_imported(path.relative_to(ROOT)):
            room, *rest = name.split(".")
            assert room != "benchmarks", f"{path} imports {name}"
            assert room != "tests" or not any(part.startswith("test_") for part in rest), f"{path}: {name}"


def test_a_class_name_exists_once() -> None:
    homes = defaultdict(list)
    for path in MODULES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    assert not {name: files for name, files in homes.items() if len(files) > 1}


@pytest.mark.parametrize("room", sorted({room_of(name_of(path)) for path in MODULES} & MAY_IMPORT.keys()))
def test_room_imports_alone_without_the_heavy_packages(room: str) -> None:
    modules = [f"agent.{name_of(path)}" for path in MODULES if room_of(name_of(path)) == room]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
