"""Starts libFuzzer on one check: the seeds are read, a temporary directory collects what is found."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

ARTIFACTS = Path(tempfile.gettempdir(), "sbcwatch-")  # then crash-<hash>, timeout-<hash>, ...
CORPUS = Path(__file__).parent / "corpus"


def run(name: str, check: Callable[[bytes], None]) -> None:
    """Fuzz `check` until -runs or -max_total_time; an exception out of it ends the run with status 77.

    A reader that is compiled, or was imported past atheris, would be fuzzed blindly: it is refused.
    """
    blind = [
        module
        for module, loaded in sys.modules.items()
        if module.startswith("agent.wire.") and "atheris" not in type(loaded.__loader__).__module__
    ]
    if blind:
        raise SystemExit(f"not instrumented: {', '.join(blind)}: run with SBCWATCH_NO_COMPILED=1")
    options = [option for option in sys.argv[1:] if option.startswith("-")]
    directories = [option for option in sys.argv[1:] if not option.startswith("-")]
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as found:
        defaults = ["-max_len=2048", "-timeout=5", "-rss_limit_mb=1024", f"-artifact_prefix={ARTIFACTS}"]
        places = [*(directories or [found]), str(CORPUS / name)]
        atheris.Setup([sys.argv[0], *defaults, *options, *places], check)
        atheris.Fuzz()
