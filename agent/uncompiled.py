"""Runs `*_cy.py` files as plain Python, and says which modules run compiled.

The files are Cython in pure-Python mode. Where the package `cython` is absent, this module stands in for it.
Their annotations are never evaluated, so a handful of names suffices.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

compiled = False
nogil = nullcontext()
NULL = None

_ROOT = Path(__file__).parent


def as_it_is(kind: type) -> type:
    """Stands in for a decorator of compiled classes, and changes nothing."""
    return kind


no_gc = cclass = as_it_is


def stand_in_for_cython() -> None:
    """Makes `import cython` find this module where the package is absent. Compiled modules import neither."""
    if importlib.util.find_spec("cython") is None:
        sys.modules["cython"] = sys.modules[__name__]


def modules() -> list[str]:
    """The full names of all `*_cy.py` modules."""
    paths = sorted(path.relative_to(_ROOT.parent) for path in _ROOT.glob("**/*_cy.py"))
    return [".".join(path.with_suffix("").parts) for path in paths]


def status() -> dict[str, bool]:
    """Maps each `*_cy` module to whether it runs compiled."""
    return {name: not _origin(name).endswith(".py") for name in modules()}


def _origin(name: str) -> str:
    """The file that a module comes from; it is not imported for that."""
    spec = importlib.util.find_spec(name)
    return str(spec and spec.origin)


# As text: only uncompiled modules need it.
_CONSTANT = r"(?m)^ +(?:#define SBCWATCH_)?(\w+) (?:= )?(-?(?:0x[0-9A-Fa-f]+|\d+))(?:U?LL)?(?: +#.*)?$"


def constants(module: str, names: str) -> tuple[int, ...]:
    """The values of `names` (separated by blanks), read from the `.pxd` beside a `*_cy` module, their only
    home.

    It reads lines `NAME = 1` of an enum, and `#define SBCWATCH_NAME 0x1ULL`. Raises KeyError where a name is
    missing.
    """
    text = _ROOT.parent.joinpath(*module.split(".")).with_suffix(".pxd").read_text()
    found = {name: int(value, 0) for name, value in re.findall(_CONSTANT, text)}
    return tuple(found[name] for name in names.split())


class _SourceFirst:
    """A finder that imports the `.py` of a `*_cy` module even where a compiled extension stands beside it."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not (name.startswith("agent.") and name.endswith("_cy")):
            return None
        for folder in path or ():
            source = os.path.join(folder, name.rpartition(".")[2] + ".py")
            if os.path.exists(source):
                loader = SourceFileLoader(name, source)
                return importlib.util.spec_from_file_location(name, source, loader=loader)
        return None


def force_source() -> None:
    """Makes every later import of a `*_cy` module take the source. Call it before the first such import."""
    if _SourceFirst not in sys.meta_path:
        sys.meta_path.insert(0, _SourceFirst)


def sources(*names: str) -> list[ModuleType]:
    """Uncompiled copies of the named `*_cy` modules. The modules that are imported already stay as they are.

    All copies of one call work together; none of them works with a compiled module.
    """
    everyone = modules()
    kept = {name: sys.modules.pop(name) for name in everyone if name in sys.modules}
    sys.meta_path.insert(0, _SourceFirst)
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.meta_path.remove(_SourceFirst)
        for name in everyone:
            sys.modules.pop(name, None)
        for name, module in kept.items():
            sys.modules[name] = module
            package, _, leaf = name.rpartition(".")
            setattr(sys.modules[package], leaf, module)
