"""The `sbcwatch` command: in this process, where it starts at once, or in one of its own.

In this process it is `cli.main`, as a start of Python calls it. A process of its own is for standard input,
signals, another user, time limits.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent import cli

ROOT = Path(__file__).parents[2]


class Ran(NamedTuple):
    status: int
    out: bytes
    err: str


def run(*arguments: str) -> Ran:
    """The command in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except SystemExit as end:  # bad usage
            status = end.code if isinstance(end.code, int) else 1
    return Ran(status, out.buffer.getvalue(), err.getvalue())


def run_apart(*arguments: str, stdin: bytes = b"", before: Sequence[str] = (), seconds: float = 60.0) -> Ran:
    """The command in a process of its own, behind the words `before`. Raises TimeoutExpired."""
    command = [*before, sys.executable, "-m", "agent", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=ROOT, timeout=seconds, check=False)
    return Ran(done.returncode, done.stdout, done.stderr.decode())
