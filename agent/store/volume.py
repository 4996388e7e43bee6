"""The place of a transaction: the file, or memory while the file cannot be written.

A full disk must stop neither the capture nor the alarms. From the first failed write on, new rows are kept in
memory (`degraded`) and delivered from there. As soon as a write to the file works again, everything moves
back in one transaction. Ids are drawn here, unique over both, so that a sink's batch keeps its identity while
it moves. A damaged file is renamed to `<name>.corrupt-<stamp>` and a fresh one begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from agent.errors import ConfigError, SbcwatchError, StateError
from agent.store.call_index import index_rows, rebuild
from agent.store.database import Corrupt, Database, Unwritable
from agent.store.private import make_folder, open_private, refused

T = TypeVar("T")
INDEXED_FROM = 2  # tables of earlier versions had no index of calls
_NOTE_BYTES = 20  # digits of a time in ns
Work = Callable[[sqlite3.Connection], T]
_MOVED = ("rows", "parts", "due", "batches", "gaps", "marks", "checkpoint")


class Volume:
    """Raises: ConfigError (another process has the file, no folder can be made), StateError (no space)."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.counts = {"degraded_writes": 0, "degraded_times": 0, "recovered_times": 0, "corrupt_files": 0}
        self.notices: list[str] = []
        self.memory: Database | None = None
        self._writer = threading.RLock()
        self._read_only = read_only
        self._lock_file: IO[str] | None = None
        self._last_id = 0
        self._identity = (0, 0)  # of the file that is open: device and inode
        self.on_new_file: Work[None] | None = None  # state that a new file needs before its first row
        self._note_path = Path(f"{path}.closed")
        if read_only:
            if not path.exists():
                raise ConfigError(f"no store at {path}: start `sbcwatch run` first, or name another file")
            self.disk = Database(path, read_only=True)
            return
        self._take_lock()
        try:
            self.disk = self._open_disk()
        except Unwritable as error:
            self.close()
            if isinstance(error.__cause__, OSError):
                raise refused(error.__cause__, path) from None
            raise StateError(f"cannot write the store {path}: {error}; check its folder and space") from None
        self._last_id = self._greatest_id()
        self._make_note()

    @property
    def degraded(self) -> bool:
        return self.memory is not None

    def next_id(self) -> int:
        """Called inside `write` only, so never by two threads at once."""
        self._last_id += 1
        return self._last_id

    def write(self, work: Work[T]) -> T:
        """Runs `work` as one transaction of new content. Memory keeps it where the file fails."""
        with self._writer:
            self.recover()
            if self.memory is None:
                try:
                    return self._on_disk(work)
                except Unwritable as error:
                    self._degrade(str(error))
            self.counts["degraded_writes"] += 1
            assert self.memory is not None
            with self.memory.write() as connection:
                return work(connection)

    def change(self, table: str, row_id: int, work: Work[T]) -> T | None:
        """Runs `work` as one transaction where `table` holds `row_id`; None when that row is deleted.

        Raises: Unwritable, where the file holds it and cannot be written.
        """
        with self._writer:
            for database in self.databases():
                with database.read() as connection:
                    found = connection.execute(f"SELECT 1 FROM {table} WHERE id=?", (row_id,)).fetchone()
                if found is None:
                    continue
                if database is not self.disk:
                    with database.write() as connection:
                        return work(connection)
                try:
                    return self._on_disk(work)
                except Unwritable as error:
                    self._degrade(str(error))
                    raise
        return None

    def read(self, work: Work[T], *, newest_only: bool = False) -> list[T]:
        """`work` on the file and, while degraded, on memory too (`newest_only`: on memory alone)."""
        databases = self.databases()[-1:] if newest_only else self.databases()
        answers = []
        for database in databases:
            try:
                with database.read() as connection:
                    answers.append(work(connection))
            except Corrupt as error:
                if self._read_only or database is not self.disk:
                    raise
                with self._writer:
                    self._set_aside(str(error))
                with self.disk.read() as connection:
                    answers.append(work(connection))
        return answers

    def databases(self) -> list[Database]:
        memory = self.memory
        return [self.disk] if memory is None else [self.disk, memory]

    def recover(self) -> bool:
        """Moves the rows in memory to the file. False while that cannot be done."""
        with self._writer:
            memory = self.memory
            if memory is None:
                return True
            with memory.read() as held:
                tables = {name: held.execute(f"SELECT * FROM {name}").fetchall() for name in _MOVED}
                totals = held.execute("SELECT sink, name, value FROM totals").fetchall()

            def move(connection: sqlite3.Connection) -> None:
                for name, rows in tables.items():
                    if rows:
                        marks = ",".join("?" * len(rows[0]))
                        connection.executemany(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", rows)
                index_rows(connection, [row[0] for row in tables["rows"]])
                connection.executemany(ADD_TO_TOTAL, totals)

            try:
                self._on_disk(move)
            except Unwritable:
                return False
            self.memory = None  # not closed: another thread may be reading it
            self.counts["recovered_times"] += 1
            self.notices.append("store: the disk takes writes again; what memory held has been written")
            return True

    def _on_disk(self, work: Work[T]) -> T:
        if self._is_gone():
            self._begin_anew()
        try:
            with self.disk.write() as connection:
                return work(connection)
        except Corrupt as error:
            self._set_aside(str(error))
            with self.disk.write() as connection:
                return work(connection)

    def _degrade(self, why: str) -> None:
        if self.memory is not None:
            return
        memory = Database(None)
        with contextlib.suppress(Unwritable, Corrupt), self.disk.read() as connection:
            sinks = connection.execute("SELECT * FROM sinks").fetchall()
            marks = connection.execute("SELECT * FROM marks").fetchall()
            with memory.write() as held:
                held.executemany("INSERT INTO sinks VALUES (?,?,?)", sinks)
                held.executemany("INSERT INTO marks VALUES (?,?)", marks)
        self.memory = memory
        self.counts["degraded_times"] += 1
        self.notices.append(f"store: cannot write {self.path} ({why}); keeping new rows in memory")

    def _open_disk(self) -> Database:
        unclean = self._unclean()
        try:
            database = self._opened(Database(self.path))
            if unclean:
                database.check()
            if database.version < INDEXED_FROM:
                with database.write() as connection:
                    rebuild(connection)
            return database
        except Corrupt as error:
            return self._set_aside(str(error))

    def _unclean(self) -> bool:
        """Whether the last process was killed: it left a write-ahead log."""
        wal = Path(f"{self.path}-wal")
        return wal.exists() and wal.stat().st_size > 0

    def _is_gone(self) -> bool:
        """Whether the open file has lost its name. SQLite still writes to it."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return (found.st_dev, found.st_ino) != self._identity

    def _begin_anew(self) -> None:
        """Makes folder, lock and file again, with the content of the open file. Raises Unwritable."""
        old = self.disk
        try:
            if self._lock_file is not None:
                self._lock_file.close()
            self._take_lock()
            for suffix in ("-wal", "-shm"):  # the removed file's: SQLite would take them for the fresh one's
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        except (SbcwatchError, OSError) as error:
            raise Unwritable(f"it was removed, and: {error}") from None
        self.disk = self._opened(Database(self.path))
        try:
            with old.read() as held, self.disk.read() as target:
                held.backup(target)
        except (Corrupt, Unwritable, sqlite3.Error):
            if self.on_new_file is not None:
                with self.disk.write() as connection:
                    self.on_new_file(connection)
        self._make_note()
        self.notices.append(f"store: {self.path} was removed under way; made again with all that it held")

    def _opened(self, database: Database) -> Database:
        found = os.stat(self.path)
        self._identity = found.st_dev, found.st_ino
        return database

    def _set_aside(self, why: str) -> Database:
        # Other threads keep their connections to the renamed file until they next ask: harmless.
        stamp = f"{self.path.stat().st_mtime_ns // 1_000_000_000}" if self.path.exists() else "0"
        kept = Path(f"{self.path}.corrupt-{stamp}")
        number = 1
        while kept.exists():
            number += 1
            kept = Path(f"{self.path}.corrupt-{stamp}.{number}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{suffix}", f"{kept}{suffix}")
        self.counts["corrupt_files"] += 1
        self.notices.append(f"store: {self.path} is damaged ({why}); moved to {kept}, a fresh one begun")
        self.disk = self._opened(Database(self.path))
        if self.on_new_file is not None:
            with self.disk.write() as connection:
                self.on_new_file(connection)
        return self.disk

    # A minute closed into memory may be delivered and then forgotten by a kill, while the file still holds
    # the checkpoint from before it: after the restart that minute would count twice. So its end is written
    # over the digits of a small file made beforehand, which a full disk allows.

    def _make_note(self) -> None:
        flags = os.O_RDWR | os.O_CREAT
        with contextlib.suppress(OSError), os.fdopen(open_private(self._note_path, flags), "r+b") as note:
            if not note.read(1):
                note.write(b"0" * _NOTE_BYTES)

    def note_closed(self, until_ns: int) -> None:
        """Notes beside the file, while it cannot be written, that all before `until_ns` was closed."""
        if self.memory is None or self._read_only:
            return
        if until_ns in self.noted_closed():
            until_ns -= 1  # a checkpoint made the earlier note void
        with contextlib.suppress(OSError), os.fdopen(open_private(self._note_path, os.O_RDWR), "r+b") as note:
            note.write(b"%020d" % until_ns)
            note.flush()
            os.fsync(note.fileno())

    def noted_closed(self) -> list[int]:
        """The last time that `note_closed` wrote, if any."""
        try:
            descriptor = os.open(self._note_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as note:
                noted = int(note.read(_NOTE_BYTES) or b"0")
        except (OSError, ValueError):
            return []
        return [noted] if noted else []

    def _greatest_id(self) -> int:
        def greatest(connection: sqlite3.Connection) -> int:
            tables = ("rows", "batches", "gaps")
            return max(
                int(connection.execute(f"SELECT ifnull(max(id), 0) FROM {name}").fetchone()[0])
                for name in tables
            )

        return max(self.read(greatest))

    def _take_lock(self) -> None:
        try:
            make_folder(self.path.parent)
            self._lock_file = os.fdopen(open_private(f"{self.path}.lock", os.O_RDWR | os.O_CREAT), "r+")
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"the store {self.path} is in use by another sbcwatch: stop it, or set another path"
            ) from None
        except OSError as error:
            raise refused(error, self.path) from None

    def close(self) -> None:
        if self.memory is not None and not self._read_only:
            self.recover()
        for database in self.databases() if hasattr(self, "disk") else []:
            database.close()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None


ADD_TO_TOTAL = (
    "INSERT INTO totals VALUES (?,?,?) ON CONFLICT (sink, name) DO UPDATE SET value = value + excluded.value"
)
