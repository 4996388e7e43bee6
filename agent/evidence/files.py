"""The folder of evidence: a pcapng and a note for each call, mode 0600, bounded in number, bytes and age.

    evidence/NAME.pcapng     the packets
    evidence/NAME.json       the note: the call, the reason, the size
    evidence/orders.json     calls asked for (`agent.evidence.orders`)

Another process may read while the daemon writes: a note is replaced whole, packets are only added.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.store.private import make_folder, open_private, replace_file

FOLDER = "evidence"
PACKETS, NOTE = ".pcapng", ".json"


class EvidenceNote(Struct):
    """One call's evidence. Users and Call-IDs as in records; `ends_ns` None: it goes on."""

    name: str
    call_ids: list[str]
    reason: str
    asked_for: bool
    begins_ns: int
    kept_at: float  # seconds since the epoch, of the host: its age counts from here
    from_user: str | None = None
    to_user: str | None = None
    ends_ns: int | None = None
    packets: int = 0
    bytes: int = 0
    comments: int = 0  # packets that say where loss shows
    left_out: int = 0  # packets beyond the bound of one call
    with_payload: bool = False


class FileBounds(Struct, frozen=True):
    """Of all evidence."""

    files: int = 200
    bytes: int = 256 << 20
    age_s: float = 14 * 86_400


class EvidenceFiles:
    """Writes evidence, from one thread. A disk error loses evidence, is counted, and has no other effect."""

    def __init__(self, directory: Path, bounds: FileBounds) -> None:
        """`directory`: the store's. Raises OSError where no folder can be made in it."""
        self.folder = directory / FOLDER
        make_folder(self.folder)
        self.bounds = bounds
        self.removed = self.failed = 0
        self._sizes = {note.name: self._size(note.name) for note in read_notes(directory)}
        self._open: set[str] = set()

    def kept(self) -> tuple[int, int]:
        """Files, and their bytes. For any thread."""
        sizes = tuple(self._sizes.values())
        return len(sizes), sum(sizes)

    def begin(self, note: EvidenceNote, head: bytes) -> None:
        """Begins a file. Where there are too many, the oldest closed one is deleted."""
        self._expire(note.kept_at)
        while len(self._sizes) >= self.bounds.files and self._remove_oldest():
            pass
        if len(self._sizes) >= self.bounds.files:
            self.failed += 1
            return
        self._sizes[note.name] = 0
        self._open.add(note.name)
        self._write_note(note)
        self.add(note.name, head)

    def add(self, name: str, blocks: bytes) -> None:
        """Adds packets to a begun file, as long as there is room for all evidence together."""
        if name not in self._open:
            return
        while sum(self._sizes.values()) + len(blocks) > self.bounds.bytes:
            if not self._remove_oldest():
                self.failed += 1
                return
        try:
            descriptor = open_private(self._path(name, PACKETS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            with os.fdopen(descriptor, "ab") as file:
                file.write(blocks)
        except OSError:
            self.failed += 1
            self._open.discard(name)  # a block may be cut short: nothing may follow it
            return
        self._sizes[name] += len(blocks)

    def end(self, note: EvidenceNote) -> None:
        """Ends a file and writes its note."""
        if note.name in self._open:
            self._open.discard(note.name)
            self._write_note(note)

    def _write_note(self, note: EvidenceNote) -> None:
        try:
            replace_file(self._path(note.name, NOTE), msgspec.json.encode(note))
        except OSError:
            self.failed += 1

    def _expire(self, now_s: float) -> None:
        for name in [name for name in self._sizes if name not in self._open]:
            try:
                age_s = now_s - self._path(name, NOTE).stat().st_mtime
            except OSError:
                age_s = self.bounds.age_s + 1
            if age_s > self.bounds.age_s:
                self._remove(name)

    def _remove_oldest(self) -> bool:
        """Deletes the oldest closed file; names begin with the time. False: no file is closed."""
        closed = sorted(self._sizes.keys() - self._open)
        if closed:
            self._remove(closed[0])
        return bool(closed)

    def _remove(self, name: str) -> None:
        for suffix in (PACKETS, NOTE):
            self._path(name, suffix).unlink(missing_ok=True)
        del self._sizes[name]
        self.removed += 1

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

    def _size(self, name: str) -> int:
        try:
            return self._path(name, PACKETS).stat().st_size
        except OSError:
            return 0


def read_notes(directory: Path) -> list[EvidenceNote]:
    """The notes of all evidence in a store's directory, the newest first."""
    notes = []
    for path in sorted((directory / FOLDER).glob(f"*-*{NOTE}"), reverse=True):
        try:
            note = msgspec.json.decode(path.read_bytes(), type=EvidenceNote)
        except (OSError, msgspec.MsgspecError):
            continue
        if note.name == path.stem:
            notes.append(note)
    return notes


def notes_of(directory: Path, call_ids: Iterable[str]) -> list[EvidenceNote]:
    """The notes of a call, the newest first."""
    wanted = set(call_ids)
    return [note for note in read_notes(directory) if wanted & set(note.call_ids)]


def packets_of(directory: Path, call_ids: Iterable[str]) -> Path | None:
    """A call's newest pcapng; None where there is none."""
    paths = (path_of_note(directory, note) for note in notes_of(directory, call_ids))
    return next((path for path in paths if path.is_file()), None)


def path_of_note(directory: Path, note: EvidenceNote) -> Path:
    return directory / FOLDER / f"{note.name}{PACKETS}"
