"""A plugin of mypy: `cython.uint` is an int, `cython.uint[::1]` a view of ints."""

from __future__ import annotations

from collections.abc import Callable

from mypy.plugin import AnalyzeTypeContext, Plugin
from mypy.types import Type

NUMBERS = ("cython.uchar", "cython.ushort", "cython.uint", "cython.longlong", "cython.ulonglong")


def number_or_view(context: AnalyzeTypeContext) -> Type:
    return context.api.named_type("cython.View" if context.type.args else "builtins.int", [])


class CythonViews(Plugin):
    def get_type_analyze_hook(self, fullname: str) -> Callable[[AnalyzeTypeContext], Type] | None:
        return number_or_view if fullname in NUMBERS else None


def plugin(version: str) -> type[Plugin]:
    return CythonViews
