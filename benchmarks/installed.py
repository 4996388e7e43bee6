"""An environment as users have it: `agent` of this tree, what it requires, and nothing that only tests need.

A development environment starts slower: an editable installation imports its finder first, and libraries
import what tests brought (msgspec takes typing_extensions where it is).
"""

from __future__ import annotations

import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import agent


def installed(folder: Path) -> str:
    """The interpreter of such an environment, made in `folder`."""
    home = folder / "installed"
    venv.create(home, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "agent").symlink_to(Path(agent.__file__).parent)
    for name in required("sbcwatch", set()):
        brought = metadata.distribution(name)
        for entry in {file.parts[0] for file in brought.files or ()} - {"..", "__pycache__"}:
            if not (site / entry).exists():  # namespace packages are shared
                (site / entry).symlink_to(Path(str(brought.locate_file(entry))))
    return str(home / "bin" / "python")


def required(name: str, known: set[str]) -> Iterator[str]:
    """All that pip would install for `name` without extras, itself left out."""
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in known:
            known.add(requirement.name)
            yield requirement.name
            yield from required(requirement.name, known)
