"""One file and many threads: what ends leaves no open files behind, and what fails is called what it is."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bluerec.errors import DataError, StoreError
from bluerec.selftest.small_store import make_store, open_store
from bluerec.store import database as database_module
from bluerec.store.database import DATABASE_FILE, Database
from bluerec.store.store import Store
from bluerec.types import FIRST_SECOND, LAST_SECOND


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.create(tmp_path)
    yield made
    made.close()


def count_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_threads_that_end_leave_no_open_files(tmp_path: Path) -> None:
    """A server ends idle threads and makes new ones: with a connection kept for each it ran out of files."""
    with open_store(make_store(tmp_path / "store")) as store:
        before = count_open_files()
        for _ in range(60):
            thread = threading.Thread(target=store.profile, args=("u0000",))
            thread.start()
            thread.join()
        assert count_open_files() < before + 10
        assert store.profile("u0000") is not None


def test_threads_that_live_keep_their_connections(tmp_path: Path) -> None:
    ready, go = threading.Barrier(9), threading.Event()
    read: list[object] = []
    with open_store(make_store(tmp_path / "store")) as store:

        def work() -> None:
            store.profile("u0000")
            ready.wait()
            go.wait()
            read.append(store.profile("u0000"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        ready.wait()
        newcomer = threading.Thread(target=store.profile, args=("u0001",))
        newcomer.start()
        newcomer.join()
        go.set()
        for thread in threads:
            thread.join()
    assert len(read) == 8
    assert all(read)


def fail_inside(database: Database, access: str, error: Exception) -> None:
    """SQLite fails in the middle of a block, and has rolled back by itself."""
    with getattr(database, access)() as connection:
        connection.execute("ROLLBACK")
        raise error


@pytest.mark.parametrize("access", ["reading", "writing"])
def test_the_cause_is_named_where_sqlite_has_rolled_back_by_itself(database: Database, access: str) -> None:
    broken = sqlite3.OperationalError("disk I/O error")
    broken.sqlite_errorname = "SQLITE_IOERR_READ"
    with pytest.raises(StoreError, match=r"cannot be read or written \(disk I/O error\)"):
        fail_inside(database, access, broken)
    with getattr(database, access)() as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)


def test_a_store_closed_while_a_thread_reads_lets_it_read_to_the_end(tmp_path: Path) -> None:
    before = count_open_files()
    database = Database.create(tmp_path)
    with database.reading() as reader:
        database.close()
        assert reader.execute("SELECT count(*) FROM users").fetchone() == (0,)
    assert count_open_files() == before
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE_FILE]
    for ask in (database.reading().__enter__, database.empty_journal, database.compact):
        with pytest.raises(StoreError, match="is closed; open the store again"):
            ask()


def test_threads_that_read_a_store_which_is_closed_are_told_so(tmp_path: Path) -> None:
    """SQLite ends the process where a connection is closed under a thread that reads over it."""
    folder, errors = make_store(tmp_path / "store"), []

    def work(store: Store, reading: threading.Barrier) -> None:
        reading.wait()
        try:
            while True:
                store.view("u0000")
        except StoreError as error:
            errors.append(str(error))

    for _ in range(10):
        store, reading = open_store(folder), threading.Barrier(5)
        threads = [threading.Thread(target=work, args=(store, reading)) for _ in range(4)]
        for thread in threads:
            thread.start()
        reading.wait()
        time.sleep(0.01)
        store.close()
        for thread in threads:
            thread.join()
    assert errors == [f"{folder / DATABASE_FILE}: is closed; open the store again"] * 40


def test_a_database_that_cannot_be_made_leaves_no_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "SCHEMA", "CREATE TABLE meta (key TEXT) PLANTED;")
    before = count_open_files()
    with pytest.raises(StoreError, match="PLANTED"):
        Database.create(tmp_path)
    assert count_open_files() == before


def test_half_a_character_is_refused_in_one_line(tmp_path: Path) -> None:
    half = "u\ud800"
    with open_store(make_store(tmp_path / "store")) as store:
        for ask in (store.profile, store.history, store.enqueue, store.delete_user, store.item):
            with pytest.raises(DataError, match=r"'u\\ud800' .* not valid Unicode.*; mend the text"):
                ask(half)
        with pytest.raises(DataError, match="not valid Unicode"):
            store.save_edit(half, "Chess.")
        with pytest.raises(DataError, match="not valid Unicode"):
            store.add_interactions(half, [{"item_id": "i0005", "timestamp": 1}])
        assert store.count_users() == 3


@pytest.mark.parametrize("timestamp", [FIRST_SECOND - 1, LAST_SECOND + 1, -(2**63) - 1, 2**70])
def test_times_that_no_calendar_has_are_refused(tmp_path: Path, timestamp: int) -> None:
    with open_store(make_store(tmp_path / "store")) as store:
        with pytest.raises(DataError, match="not milliseconds"):
            store.add_interactions("newcomer", [{"item_id": "i0005", "timestamp": timestamp}])
        assert store.count_users() == 3
        assert store.add_interactions("newcomer", [{"item_id": "i0005", "timestamp": FIRST_SECOND}]) == 1
