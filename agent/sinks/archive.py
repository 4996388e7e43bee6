"""The archive: records as gzipped JSON lines, one object a kind and hour, in S3 or in a folder.

    PREFIX/kind=media/dt=2026-11-29/hour=14/host=sbc-1/<first_ns>-<digest>.jsonl.gz

The name holds the digest of the content, and an object is written only where that name does not exist. So a
batch that is sent twice is stored once, even if the first answer was lost. Characters that a name may not
hold (the operator chooses a host's name) are replaced.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import msgspec

from agent.model.units import HOUR_NS
from agent.sinks.verdict import MAX_AHEAD_S, ErrorRule, SinkLimits, Verdict
from agent.store import UNASSIGNED, Draft, OutboxRow
from agent.store.codec import GZIP, to_json

KINDS = ("media", "calls", "sip", "metrics")
MAX_OBJECT_BYTES = 16 << 20  # gzipped
DUE_BYTES = 4 << 20  # bytes of the store's rows read at once: an archive's backlog must not fill the memory
DUE_ROWS = 4_096
INTERVAL_S = 60.0
MAX_AGE_S = 10 * 365 * 86_400
LEVEL = 2  # of gzip: the cheapest on records; level 6 takes three times as long and saves a quarter
LANE = "*"
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]")
_records = msgspec.json.Decoder(list[msgspec.Raw])


class Shelf(Protocol):
    """A place for objects."""

    def put(self, name: str, body: bytes) -> None:
        """Stores `body` unless that name exists. Raises errors that `verdict` knows."""

    def verdict(self, error: BaseException) -> Verdict:
        """The rule for an error of `put`; TAKEN where the object is there already."""


class ArchiveSink:
    """Each batch is one object."""

    name = "archive"
    limits = SinkLimits(MAX_AGE_S, MAX_AHEAD_S, DUE_ROWS, DUE_BYTES, INTERVAL_S)

    def __init__(self, shelf: Shelf, *, host: str, prefix: str = "", kinds: Sequence[str] = KINDS) -> None:
        self.kinds = tuple(kinds)
        self._shelf = shelf
        self._host = host
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """Rows by kind and hour, each an object of at most 16 MB or one row. `unassigned` is not exported."""
        grouped: dict[tuple[str, int], list[OutboxRow]] = {}
        for row in rows:
            if row.connector != UNASSIGNED:
                grouped.setdefault((row.kind, row.minute_ns // HOUR_NS), []).append(row)
        return [
            self._draft(kind, body, group)
            for (kind, _), part in grouped.items()
            for body, group in _objects(part, self._host)
        ]

    def _draft(self, kind: str, body: bytes, rows: Sequence[OutboxRow]) -> Draft:
        first_ns, last_ns = min(r.minute_ns for r in rows), max(r.minute_ns for r in rows)
        at = datetime.fromtimestamp(first_ns // 10**9, UTC)
        host = _NOT_IN_NAME.sub("_", self._host)
        digest = blake2b(body, digest_size=16).hexdigest()
        name = (
            f"{self._prefix}kind={kind}/dt={at:%Y-%m-%d}/hour={at:%H}/host={host}/"
            f"{first_ns}-{digest}.jsonl.gz"
        )
        item = {"first_ns": first_ns, "records": sum(r.records for r in rows), "gz": b64encode(body).decode()}
        return Draft(LANE, name, [item], first_ns, last_ns, is_packed=True)

    @staticmethod
    def item_ns(item: dict[str, Any]) -> int:
        """The first minute in an object, UTC ns."""
        return int(item["first_ns"])

    def send(self, target: str, items: list[dict[str, Any]]) -> None:
        """Stores one object. Raises the errors of its shelf."""
        for item in items:
            self._shelf.put(target, b64decode(item["gz"]))

    def partly_taken(self, answer: Any, items: list[dict[str, Any]]) -> None:
        """None: an object is stored whole or not at all."""

    def verdict(self, error: BaseException) -> Verdict:
        """The verdict of the shelf."""
        return self._shelf.verdict(error)

    def prepare(self, target: str) -> None:
        """Does nothing: a folder is made with the object; a bucket is the operator's."""


def _objects(rows: Sequence[OutboxRow], host: str) -> list[tuple[bytes, list[OutboxRow]]]:
    """Gzipped JSON lines, and the rows that each holds."""
    objects: list[tuple[bytes, list[OutboxRow]]] = []
    parts: list[bytes] = []
    held: list[OutboxRow] = []
    packer, size = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP), 0
    for row in rows:
        piece = packer.compress(lines_of(row, host))
        parts.append(piece)
        held.append(row)
        size += len(piece)
        if size >= MAX_OBJECT_BYTES // 2:  # a row is far smaller, and so is the packer's buffer
            objects.append((b"".join([*parts, packer.flush()]), held))
            parts, held, size = [], [], 0
            packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    if held:
        objects.append((b"".join([*parts, packer.flush()]), held))
    return objects


def lines_of(row: OutboxRow, host: str) -> bytes:
    """A row's records as JSON lines, not decoded; lines of metrics have minute, part and host besides.

    Raises: zlib.error, msgspec.DecodeError.
    """
    raws = _records.decode(zlib.decompress(row.body))
    if row.kind != "metrics":
        return b"".join([line for raw in raws for line in (raw, b"\n")])
    head = to_json({"event_timestamp": row.minute_ns // 1_000_000, "part": row.part, "host": host})[:-1]
    return b"".join([head + b"," + bytes(raw)[1:] + b"\n" for raw in raws])


class Folder:
    """A directory as a shelf, for one host that keeps months. Raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> None:
        """Writes a whole file or none: under another name first, flushed, then linked to its own."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.new")
        try:
            with open(unfinished, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def verdict(self, error: BaseException) -> Verdict:
        """A file of that name has that content, because its name holds the digest."""
        if isinstance(error, FileExistsError):
            return Verdict("exists", ErrorRule.TAKEN)
        code = errno.errorcode.get(getattr(error, "errno", 0) or 0, type(error).__name__)
        return Verdict(code, ErrorRule.UNKNOWN if isinstance(error, TimeoutError) else ErrorRule.UNREACHED)
