"""Starts libFuzzer on one check: the seeds are read, a temporary directory collects what is found."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

ARTIFACTS = Path(tempfile.gettempdir(), "sbcwatch-")  # then crash-<hash>, timeout-<hash>
CORPUS = Path(__file__).parent / "corpus"


def run(name: str, check: Callable[[bytes], None]) -> None:
    """Fuzz `check` until -runs or -max_total_time; an exception out of it ends the run with status 77."""
    given = sys.argv[1:]
    options = [option for option in given if option.startswith("-")]
    directories = [option for option in given if not option.startswith("-")]
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as found:
        defaults = ["-max_len=4096", "-timeout=5", "-rss_limit_mb=1024"]
        atheris.Setup(
            [sys.argv[0], *defaults, *options, *(directories or [found]), str(CORPUS / name)], check
        )
        atheris.Fuzz()
