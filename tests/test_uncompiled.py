"""Constants have one home, the declarations that the compiler reads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import uncompiled
from agent.capture.files import index_cy
from agent.provision import volume
from agent.sinks.aws import logs
from agent.wire.ip import decoder_cy, layers_cy

AGENT = Path(uncompiled.__file__).parent


def test_constants_are_read_from_the_declarations_in_the_order_asked() -> None:
    assert uncompiled.constants(layers_cy.__name__, "TCP NOT_IP BAD_TCP MAX_LAYERS") == (3, 0, -7, 16)
    assert uncompiled.constants(layers_cy.__name__, "V4_MAPPED") == (0xFFFF_0000_0000,)
    assert uncompiled.constants(index_cy.__name__, "TIME_LIMIT _SECTION_TYPE") == (1 << 62, 0x0A0D0D0A)
    assert uncompiled.constants(index_cy.__name__, "SECONDS_LIMIT") == ((1 << 62) // 1_000_000_000,)


def test_constant_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError, match="NOWHERE"):
        uncompiled.constants(layers_cy.__name__, "UDP NOWHERE")


def test_compiled_and_uncompiled_have_the_same_kinds() -> None:
    (source,) = uncompiled.sources("agent.wire.ip.decoder_cy")
    names = [name for name in vars(source) if name.startswith("KIND_")]
    assert {name: getattr(source, name) for name in names} == {
        name: getattr(decoder_cy, name) for name in names
    }
    assert source.REASONS == decoder_cy.REASONS


@pytest.mark.parametrize("room", ["calls", "capture", "media", "model", "summary", "transport", "wire"])
def test_number_in_the_declarations_stands_nowhere_in_the_source(room: str) -> None:
    twice = []
    for declared in sorted(AGENT.joinpath(room).rglob("*_cy.pxd")):
        names = set(re.findall(r"^ {4}(\w+) = ", declared.read_text(), re.M))
        for node in ast.walk(ast.parse(declared.with_suffix(".py").read_text())):
            if isinstance(node, ast.Assign) and "constants" not in ast.unparse(node.value):
                assigned = {
                    name.id
                    for target in node.targets
                    for name in ast.walk(target)
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
                }
                twice += [f"{declared.stem}: {name}" for name in sorted(assigned & names)]
    assert twice == []


# Numbers of one name and value that are two things all the same, or that two rooms may not share.
TWO_THINGS = {
    "EVENT_OVERHEAD",  # `provision` reckons with a sink's number, and imports no sink
    "MAX_NAMED", "MAX_SOURCES", "NESTING_MAX", "STAMP", "TIMEOUT_S", "VERSION",
    "REPEATS", "WINDOW",  # `verify` judges the loop's numbers by its own
}  # fmt: skip


def literals() -> Iterator[tuple[str, str, str]]:
    """Constants that are written as numbers or tables of them: (name, value, file)."""
    for path in sorted(AGENT.rglob("*.pxd")):
        for name, value in re.findall(r"^ {4}([A-Z][A-Z0-9_]+) = (-?\w+)", path.read_text(), re.M):
            yield name, str(int(value, 0)), str(path.relative_to(AGENT))
    for path in sorted(AGENT.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id.lstrip("_")
                if name.isupper() and re.fullmatch(r"(?=.*\d)[-({\[\d].*", value := ast.unparse(node.value)):
                    yield name, value, str(path.relative_to(AGENT))


def test_number_of_one_name_and_value_has_one_home() -> None:
    homes: dict[tuple[str, str], list[str]] = {}
    for name, value, path in literals():
        homes.setdefault((name, value), []).append(path)
    twice = {name: files for (name, _), files in homes.items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in TWO_THINGS} == {}
    assert twice.keys() == TWO_THINGS  # no exception outlives its reason


def test_overhead_of_a_log_event_is_the_sinks() -> None:
    assert volume.EVENT_OVERHEAD == logs.EVENT_OVERHEAD


def test_status_imports_none_of_the_modules_that_nothing_else_needs() -> None:
    unused = {"agent.evidence.picker_cy", "agent.capture.files.index_cy"}
    code = (
        "import sys\nfrom agent.uncompiled import modules, status\n"
        f"assert list(status()) == modules()\nassert not {unused} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=AGENT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
