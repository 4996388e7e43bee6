"""`sbcwatch completion SHELL`: the script that completes commands and options in a shell.

The scripts lie beside this file, written from the parser by `make manual`: a host needs no further package,
and a shell starts no Python for each word that it completes.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def completion_command(options: argparse.Namespace) -> int:
    print(script(options.shell).read_text(encoding="utf-8"), end="")
    return 0


def script(shell: str) -> Path:
    """Where the script for `shell` lies."""
    return Path(__file__).with_name(f"sbcwatch.{shell}")
