"""One SQLite file: how it is opened, written and read, and what its failures are called.

One connection writes, under a lock; each thread reads over one of its own. A commit returns after the journal is on
the disk (`synchronous=FULL` in WAL mode), and what is deleted is overwritten with zeros (`secure_delete`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bluerec.errors import DataError, StoreError

DATABASE_FILE = "store.sqlite"
APPLICATION_ID = 0x626C7565
SCHEMA_VERSION = 1
_BUSY_SECONDS = 10.0
_COMPACTION_DUE = "compaction_due"
_EMPTY_JOURNAL_SECONDS = 5.0

# Texts of items and reviews are strangers', texts of profiles their owner's. `checksum` covers every other column of
# its row: SQLite notices a damaged tree, not a damaged text.
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE items (
    item_row INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, description TEXT NOT NULL,
    categories TEXT NOT NULL, brand TEXT, price REAL, domain TEXT, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE users (
    user_row INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL UNIQUE, history_digest TEXT NOT NULL
) STRICT;
CREATE TABLE interactions (
    user_row INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, item_row INTEGER NOT NULL REFERENCES items,
    timestamp INTEGER NOT NULL, rating REAL, review_title TEXT, review_text TEXT, checksum INTEGER NOT NULL,
    PRIMARY KEY (user_row, timestamp, item_row)
) STRICT, WITHOUT ROWID;
CREATE INDEX interactions_of_item ON interactions (item_row);
CREATE TABLE versions (
    user_row INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, version INTEGER NOT NULL, text TEXT NOT NULL,
    sentences TEXT NOT NULL, locked TEXT NOT NULL, writer TEXT NOT NULL, created_at REAL NOT NULL,
    edited INTEGER NOT NULL, history_digest TEXT NOT NULL, offered TEXT, checksum INTEGER NOT NULL,
    PRIMARY KEY (user_row, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE sentence_vectors (
    user_row INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, place INTEGER NOT NULL, vector BLOB NOT NULL,
    near_rows BLOB NOT NULL, near_scores BLOB NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (user_row, place)
) STRICT;
CREATE TABLE jobs (
    job_row INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE,
    user_row INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, state TEXT NOT NULL, created_at REAL NOT NULL,
    history_digest TEXT, error TEXT
) STRICT;
CREATE INDEX jobs_of_user ON jobs (user_row);
CREATE INDEX jobs_in_state ON jobs (state);
"""


class DamagedError(StoreError):
    """Something in the file cannot be as it was written; what lies elsewhere in it may be whole."""


def row_checksum(*values: Any) -> int:
    """A checksum over the values of a row, each with its type and length."""
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


class Database:
    """The file `store.sqlite` of a folder. Raises `StoreError`, one line with the remedy, for whatever SQLite says.

    The line goes to the log of the service: it names no user and quotes no text. And `DataError` for a text that cannot
    be written because it is not valid Unicode.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / DATABASE_FILE
        self._lock = threading.RLock()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._readers: dict[threading.Thread, sqlite3.Connection] = {}
        self._in_use: set[sqlite3.Connection] = set()
        self._opening = threading.Lock()
        self._closed = False
        try:
            with self.named():
                self._writer = self._connect()
                self._writer.execute("PRAGMA secure_delete = ON")
                self._writer.execute("PRAGMA synchronous = FULL")
        except StoreError:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path) -> Database:
        """A new, empty database."""
        database = cls(folder)
        try:
            with database.named():
                for statement in ("journal_mode = WAL", f"application_id = {APPLICATION_ID}"):
                    database._writer.execute(f"PRAGMA {statement}")
                database._writer.executescript(SCHEMA)
                database._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except StoreError:
            database.close()
            raise
        return database

    @classmethod
    def open(cls, folder: Path) -> Database:
        """An existing database, looked through for damage; what a killed process left in its journal is taken over."""
        if not (folder / DATABASE_FILE).is_file():
            raise StoreError(
                f"{folder}: is not a store ({DATABASE_FILE} is missing); run: bluerec index DIR --out {folder}"
            )
        database = cls(folder)
        try:
            database._check()
        except StoreError:
            database.close()
            raise
        return database

    def _check(self) -> None:
        with self.named():
            found = self._writer.execute("PRAGMA application_id").fetchone()[0]
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if found != APPLICATION_ID or version != SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path}: not a store of this version (application {found}, schema {version}); "
                    "make it anew: bluerec index DIR --out STORE"
                )
            # The quick check does not compare an index with its table; ids are found through one.
            for check in ("quick_check(1)", "integrity_check(users)", "integrity_check(items)"):
                faults = self._writer.execute(f"PRAGMA {check}").fetchone()[0]
                if faults != "ok":
                    raise sqlite3.DatabaseError(faults)
            if self.is_compaction_due(self._writer):
                self.compact()
            else:
                self.empty_journal()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that only one thread has at a time; durable when the block has ended, undone if it fails."""
        with self._lock, self.named():
            self._refuse_closed()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot over this thread's own connection: all selects of the block see the same state."""
        with self.named():
            connection = self._take_reader()
            try:
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    if connection.in_transaction:  # after some errors SQLite has rolled back by itself
                        connection.execute("ROLLBACK")
            finally:
                self._give_back(connection)

    def empty_journal(self) -> bool:
        """Move everything from the write-ahead journal into the database and cut the journal to nothing.

        False where a reader held on to it for longer than a few seconds; then it is emptied at the next occasion.
        """
        deadline = time.monotonic() + _EMPTY_JOURNAL_SECONDS
        while True:
            with self._lock, self.named():
                busy = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy or time.monotonic() > deadline:
                return not busy
            time.sleep(0.02)

    def ask_for_compaction(self, writer: sqlite3.Connection) -> None:
        """Remember, inside a transaction, that the file has to be written anew."""
        writer.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, 'yes')", (_COMPACTION_DUE,))

    def is_compaction_due(self, connection: sqlite3.Connection) -> bool:
        """Whether a deletion still waits for the file to be written anew."""
        return connection.execute("SELECT 1 FROM meta WHERE key = ?", (_COMPACTION_DUE,)).fetchone() is not None

    def compact(self) -> bool:
        """Write the file anew, so that no byte of what was deleted is left; whether the journal is empty too.

        Readers go on meanwhile, writers wait. It is made in memory: nothing is left in a temporary folder.
        """
        with self._lock, self.named():
            self._writer.execute("VACUUM")
            self._writer.execute("DELETE FROM meta WHERE key = ?", (_COMPACTION_DUE,))
        return self.empty_journal()

    def close(self) -> None:
        """Empty the journal and close every connection; one that is being read over is closed when that has ended."""
        with self._lock, self._opening:
            if self._closed:
                return
            self._closed = True
            for connection in reversed(self._opened):
                if connection not in self._in_use:  # to close one under a thread that reads ends the process
                    connection.close()

    @contextmanager
    def named(self) -> Iterator[None]:
        """What SQLite and the system raise, as a `StoreError`; a text that is none as a `DataError`."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._name(error) from error
        except sqlite3.ProgrammingError as error:
            self._refuse_closed(error)  # closed while another thread was at work
            raise self.damaged(str(error)) from error
        except UnicodeEncodeError as error:
            near = error.object[max(0, error.start - 20) : error.end + 20]
            raise DataError(f"{near!r} is not valid Unicode (half a character); mend the text") from error
        except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError) as error:
            raise self.damaged(str(error)) from error

    def damaged(self, reason: str) -> DamagedError:
        """The error for a file whose content cannot be right; it quotes nothing of that content."""
        # Of a text that is no UTF-8 SQLite's module quotes what it can: ... column 'text' with text 'Likes ...'
        short = " ".join(reason.partition(" with text ")[0].split())[:120]
        return DamagedError(
            f"{self.path}: damaged ({short}); put a copy of the store in its place, or make it anew: bluerec index"
        )

    def _name(self, error: sqlite3.OperationalError) -> StoreError:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_BUSY"):
            return StoreError(f"{self.path}: another process is writing; try again when it has ended")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
            return StoreError(f"{self.path}: cannot be read or written ({error}); free the disk or mend the rights")
        return self.damaged(str(error))

    def _refuse_closed(self, cause: sqlite3.Error | None = None) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: is closed; open the store again") from cause

    def _take_reader(self) -> sqlite3.Connection:
        """The connection of this thread, which nobody closes until it is given back."""
        with self._opening:
            self._refuse_closed()
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect_reader()
            self._in_use.add(connection)
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._opening:
            self._in_use.discard(connection)
            if self._closed:
                connection.close()

    def _connect_reader(self) -> sqlite3.Connection:
        """A connection for this thread; those of threads that have ended are closed.

        A server ends threads that are idle and makes new ones: without this each would leave its open files behind.
        """
        for thread in [thread for thread in self._readers if not thread.is_alive()]:
            ended = self._readers.pop(thread)
            self._opened.remove(ended)
            ended.close()
        connection = self._readers[threading.current_thread()] = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._opened.append(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection


@contextmanager
def reading_anything(connection: sqlite3.Connection) -> Iterator[None]:
    """In this block a text that is no UTF-8 any more comes with marks in it, and is no error: its checksum tells."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        yield
    finally:
        connection.text_factory = str


def place_holders(values: Sequence[Any]) -> str:
    """`?, ?, ?` for so many values."""
    return ", ".join("?" * len(values))
