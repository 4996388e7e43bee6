"""The part of moto that tests call: its own types are in 667 modules, and mypy would check them all."""

from contextlib import AbstractContextManager

def mock_aws() -> AbstractContextManager[None]: ...
