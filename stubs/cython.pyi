# What `*_cy.py` files use of the package `cython`, for mypy: C's numbers are Python's, and too large or too
# small is not its business. `cython_views.py` turns `cython.uint[::1]` into `View`.
import builtins
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar, overload

_Kind = TypeVar("_Kind", bound=type)

NULL: Any
compiled: builtins.bool
nogil: AbstractContextManager[None]

bint: TypeAlias = builtins.bool
uchar: TypeAlias = builtins.int
ushort: TypeAlias = builtins.int
int: TypeAlias = builtins.int
uint: TypeAlias = builtins.int
longlong: TypeAlias = builtins.int
ulonglong: TypeAlias = builtins.int
Py_ssize_t: TypeAlias = builtins.int
Py_UCS4: TypeAlias = builtins.str
double: TypeAlias = builtins.float

class View(Protocol):
    def __buffer__(self, flags: builtins.int, /) -> memoryview: ...
    def __len__(self) -> builtins.int: ...
    @overload
    def __getitem__(self, at: builtins.int, /) -> builtins.int: ...
    @overload
    def __getitem__(self, at: slice, /) -> View: ...
    def __setitem__(self, at: builtins.int, value: builtins.int, /) -> None: ...

def no_gc(kind: _Kind) -> _Kind: ...
def cclass(kind: _Kind) -> _Kind: ...
def address(lvalue: Any) -> Any: ...
def sizeof(type: Any) -> builtins.int: ...
