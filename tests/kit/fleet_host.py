"""A host of a fleet that archives into its own folder: its configuration, and the records that it wrote."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

_CONFIG = """
[vc]
addresses = {vc}
[customers]
networks = {customers}
[store]
directory = "{folder}/state"
[archive]
url = "file://{folder}/archive"
[fleet]
host = "{name}"
key_file = "{key}"
"""


def configuration(folder: Path, name: str, key: Path, *, vc: list[str], customers: list[str]) -> str:
    """A file that ends in `[fleet]`, for more lines of that section and further sections."""
    return _CONFIG.format(
        folder=folder, name=name, key=key, vc=json.dumps(vc), customers=json.dumps(customers)
    )


def archived(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one kind, in the order of the objects' names."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"archive/kind={kind}/**/*.jsonl.gz")):
        rows += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return rows
