"""Imports run one way: sinks -> store -> summary -> tracking -> wire; capture -> wire; errors for all."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AGENT = ROOT / "agent"
# Each room and what it may import besides itself. Files straight in agent/ are the shell and see all.
MAY_IMPORT = {
    "wire": {"errors", "uncompiled"},
    "capture": {"wire", "errors", "uncompiled"},
    "tracking": {"wire", "errors", "uncompiled"},
    "summary": {"tracking", "wire", "errors", "uncompiled"},
    "store": {"summary", "errors"},
    "sinks": {"store", "summary", "errors"},
    # Rooms of the shell: one command or one duty of the daemon each.
    "confine": set(),
    "deploy": {"summary", "errors", "config", "configfile"},
    "initialise": {"capture", "wire", "errors", "config", "configfile", "host"},
    "verify": {"tracking", "errors", "config", "configfile", "pipeline", "replay", "tables"},
}
SOURCES = {
    "capture": {"afpacket", "pcapfile", "scapy_source", "tshark_source"},
    "sinks": {"cloudwatch", "logs", "prometheus"},
}
HEAVY = {"scapy", "pyshark", "boto3", "botocore", "phonenumbers", "prometheus_client"}
MODULES = sorted(path.relative_to(ROOT) for path in AGENT.glob("**/*.py") if path.name != "__main__.py")


def imported(path: Path) -> set[str]:
    """Dotted names below `agent` that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name.removeprefix("agent.") for name in names if name.startswith("agent.")}


@pytest.mark.parametrize("path", [p for p in MODULES if len(p.parts) > 2], ids=str)
def test_module_imports_only_what_its_room_may(path: Path) -> None:
    room = path.parts[1]
    for name in imported(path):
        other = name.split(".")[0]
        assert other == room or other in MAY_IMPORT[room], f"{path} imports agent.{name}"


@pytest.mark.parametrize("path", [p for p in MODULES if len(p.parts) > 2 and p.parts[1] in SOURCES], ids=str)
def test_siblings_in_capture_and_sinks_never_meet(path: Path) -> None:
    room, stem = path.parts[1], path.stem
    siblings = SOURCES[room] - {stem}
    if stem in SOURCES[room]:
        met = {name.split(".")[1] for name in imported(path) if name.startswith(room + ".")} & siblings
        assert not met


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_room_imports_alone_without_the_heavy_packages(room: str) -> None:
    if not (AGENT / room).is_dir():
        pytest.skip(f"agent/{room} is not there")
    modules = [
        ".".join(path.with_suffix("").parts)
        for path in MODULES
        if len(path.parts) > 2 and path.parts[1] == room and path.name != "__init__.py"
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
