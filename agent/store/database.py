"""One SQLite database: its tables, a connection for each thread, and the meaning of its errors.

WAL with `synchronous=FULL`: a transaction that returned is on the disk, and readers never wait for the
writer. The same tables in memory stand in while the disk is full.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from agent.store.private import open_private

SCHEMA_VERSION = 2
# Bodies come last in their table: SQLite then reads the columns before them without touching their pages.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY, connector TEXT NOT NULL, minute_ns INTEGER NOT NULL, part INTEGER NOT NULL,
    kind TEXT NOT NULL, key TEXT NOT NULL, records INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE (connector, minute_ns, part, kind, key));
CREATE INDEX IF NOT EXISTS rows_by_age ON rows (kind, minute_ns);
-- Which calls a row has records of, by `call_key`: a call's records are found without reading all of a
-- minute.
CREATE TABLE IF NOT EXISTS row_calls (
    call_key INTEGER, row_id INTEGER, PRIMARY KEY (call_key, row_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    minute_ns INTEGER, part INTEGER, complete INTEGER NOT NULL, gap TEXT, extras BLOB NOT NULL,
    PRIMARY KEY (minute_ns, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sinks (name TEXT PRIMARY KEY, kinds TEXT NOT NULL, active INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS due (
    sink TEXT, row_id INTEGER, PRIMARY KEY (sink, row_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due_by_row ON due (row_id);
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, lane TEXT NOT NULL, target TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'sent')), items INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS batches_by_sink ON batches (sink, id);
CREATE TABLE IF NOT EXISTS gaps (
    id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, kind TEXT NOT NULL, sink TEXT NOT NULL,
    connector TEXT NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, records INTEGER NOT NULL,
    why TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS totals (
    sink TEXT, name TEXT, value INTEGER NOT NULL, PRIMARY KEY (sink, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
-- One row a call; its id is its start in ms and a running number, so that ids are in order of time.
CREATE TABLE IF NOT EXISTS call_index (
    id INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, answer_ns INTEGER, end_ns INTEGER,
    seen_ns INTEGER NOT NULL, connector TEXT NOT NULL, carrier TEXT, host TEXT, direction TEXT,
    from_user TEXT, to_user TEXT, outcome TEXT NOT NULL, status INTEGER, end_reason TEXT, ended_by TEXT,
    setup_ms INTEGER, ring_ms INTEGER, customer_peer TEXT, remote_peer TEXT, codec TEXT, transaction_id TEXT,
    call_ids TEXT NOT NULL, flags TEXT NOT NULL, mos_worst REAL, loss_worst REAL,
    cust2vc_mos REAL, cust2vc_packets INTEGER, cust2vc_expected INTEGER, cust2vc_lost INTEGER,
    vc2cust_mos REAL, vc2cust_packets INTEGER, vc2cust_expected INTEGER, vc2cust_lost INTEGER,
    rem2vc_mos REAL, rem2vc_packets INTEGER, rem2vc_expected INTEGER, rem2vc_lost INTEGER,
    vc2rem_mos REAL, vc2rem_packets INTEGER, vc2rem_expected INTEGER, vc2rem_lost INTEGER);
CREATE INDEX IF NOT EXISTS calls_by_connector ON call_index (connector) WHERE connector IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_by_carrier ON call_index (carrier) WHERE carrier IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_by_host ON call_index (host) WHERE host IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_by_codec ON call_index (codec) WHERE codec IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_by_ended_by ON call_index (ended_by) WHERE ended_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_by_outcome ON call_index (outcome) WHERE outcome <> 'answered';
CREATE INDEX IF NOT EXISTS calls_by_status ON call_index (status) WHERE status <> 200;
CREATE INDEX IF NOT EXISTS calls_by_end_reason ON call_index (end_reason) WHERE end_reason <> 'bye';
CREATE INDEX IF NOT EXISTS calls_by_mos ON call_index (mos_worst) WHERE mos_worst IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_by_loss ON call_index (loss_worst) WHERE loss_worst > 0;
CREATE INDEX IF NOT EXISTS calls_by_setup ON call_index (setup_ms) WHERE setup_ms > 0;
CREATE INDEX IF NOT EXISTS calls_live ON call_index (seen_ns) WHERE end_ns IS NULL;
-- One row a minute part and connector, carrier, or ('host', '') the host: what an overview draws.
CREATE TABLE IF NOT EXISTS minute_index (
    minute_ns INTEGER, part INTEGER, kind TEXT, name TEXT, attempts INTEGER, failures INTEGER, active INTEGER,
    cust2vc_lost INTEGER, cust2vc_expected INTEGER, vc2cust_lost INTEGER, vc2cust_expected INTEGER,
    rem2vc_lost INTEGER, rem2vc_expected INTEGER, vc2rem_lost INTEGER, vc2rem_expected INTEGER,
    customer_mos_p10 REAL, remote_mos_p10 REAL, customer_rtt_us REAL, remote_rtt_us REAL, drops INTEGER,
    PRIMARY KEY (kind, minute_ns, name, part)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS minutes_by_age ON minute_index (minute_ns);
-- What a call may have many of: users (from their last digit on), Call-IDs, addresses, flags.
CREATE TABLE IF NOT EXISTS call_keys (
    key TEXT, call INTEGER, PRIMARY KEY (key, call)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (id INTEGER PRIMARY KEY CHECK (id = 0), body BLOB NOT NULL);
"""
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,  # another program held the file for longer than `busy_s`
    sqlite3.SQLITE_LOCKED,
}


class Unwritable(Exception):
    """The disk is full, read-only, or fails. Nothing of the transaction was kept."""


class Corrupt(Exception):
    """The file is no database, or a damaged one."""


class Database:
    """A file, or (without a path) memory. Every thread gets a connection of its own to a file.

    Raises: Unwritable, Corrupt (every method).
    """

    def __init__(self, path: Path | None, *, read_only: bool = False, busy_s: float = 10.0) -> None:
        self.path = path
        self._read_only = read_only
        self._busy_s = busy_s
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._guard = threading.RLock()
        self._shared: sqlite3.Connection | None = None
        if path is None:
            self._shared = self._open(":memory:")
        self.version = SCHEMA_VERSION  # the schema's version at opening
        if not read_only:
            if path is not None:
                _make_private(path)
            with _translated():
                connection = self._connection()
                self.version = found = connection.execute("PRAGMA user_version").fetchone()[0]
                if found > SCHEMA_VERSION:
                    raise Corrupt(f"written by a newer version (tables {found}, known {SCHEMA_VERSION})")
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _open(self, name: str) -> sqlite3.Connection:
        uri = f"{Path(name).absolute().as_uri()}?mode=ro" if self._read_only else name
        connection = sqlite3.connect(
            uri,
            timeout=self._busy_s,
            isolation_level=None,  # transactions are opened by hand, in `write`
            check_same_thread=False,  # `close` comes from whichever thread stops the service
            uri=self._read_only,
            cached_statements=64,
        )
        self._opened.append(connection)
        if not self._read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA temp_store=MEMORY")  # /tmp belongs to others: no write there
            connection.execute("PRAGMA journal_size_limit=8388608")
        return connection

    def _connection(self) -> sqlite3.Connection:
        if self._shared is not None:
            return self._shared
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._guard:
                connection = self._local.connection = self._open(str(self.path))
        return connection

    def check(self) -> None:
        """Reads the whole file, for use after an unclean stop.

        Raises: Corrupt.
        """
        with _translated():
            answer = self._connection().execute("PRAGMA quick_check(1)").fetchone()
        if answer != ("ok",):
            raise Corrupt(str(answer))

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        with self._memory_guard(), _translated():
            yield self._connection()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is kept, or nothing."""
        with self._memory_guard(), _translated():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already; what matters is the first error.
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _memory_guard(self) -> contextlib.AbstractContextManager[object]:
        return self._guard if self._shared is not None else contextlib.nullcontext()

    def close(self) -> None:
        with self._guard:
            for connection in self._opened:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
            self._opened.clear()


def _make_private(path: Path) -> None:
    """Makes the file before SQLite does, because SQLite copies its mode to the files beside it.

    Raises Unwritable.
    """
    try:
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
        for suffix in ("-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.close(open_private(f"{path}{suffix}", os.O_RDWR))
    except OSError as error:
        raise Unwritable(str(error)) from error


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes in pages that hold something; freed pages are used again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
        if code in _CORRUPT:
            raise Corrupt(str(error)) from error
        if code in _UNWRITABLE:
            raise Unwritable(str(error)) from error
        raise
