"""Constants have one home, the declarations that the compiler reads."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from agent import uncompiled
from agent.capture.files import index_cy
from agent.wire.ip import decoder_cy, layers_cy


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
    for declared in sorted(Path(uncompiled.__file__).parent.joinpath(room).rglob("*_cy.pxd")):
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
