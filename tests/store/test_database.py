"""The database under the store: shared by processes, honest when it is busy, foreign or damaged."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from rankspace.errors import Corrupt, InvalidConfig, Overloaded
from rankspace.media.sample import Part, Sample
from rankspace.store import schema
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database
from rankspace.store.store import Store

OPENER = """
import sys
from pathlib import Path
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

with Store.open(StoreConfig(folder=Path(sys.argv[1]))) as store:
    for n in range(10):
        store.catalogue.jobs.create(f"{sys.argv[2]}-{n}", {})
"""


def test_processes_may_open_a_new_store_at_the_same_moment(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    processes = [
        subprocess.Popen([sys.executable, "-c", OPENER, str(folder), str(n)]) for n in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with Store.open(StoreConfig(folder=folder)) as store:
        assert len(store.catalogue.jobs.list(size=100).items) == 30


def test_commits_are_synced_and_readers_do_not_wait(sqlite: StoreConfig) -> None:
    with Store.open(sqlite) as store:
        store.log.create("s")
        other = sqlite3.connect(sqlite.folder / "store.db")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.execute("BEGIN IMMEDIATE")
        assert store.log.get("s").next_offset == 0
        other.close()
        database = Database(sqlite)
        for synced, level in ((True, 2), (False, 1)):  # FULL, NORMAL
            with database.write(synced) as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
        database.close()


def test_a_writer_that_waits_too_long_is_told_to_come_again(sqlite: StoreConfig) -> None:
    with Store.open(sqlite.model_copy(update={"busy_s": 0.05})) as store:
        other = sqlite3.connect(sqlite.folder / "store.db")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Overloaded) as caught:
            store.log.create("s")
        assert caught.value.retry_after_s > 0
        other.close()
        store.log.create("s")


def test_writers_of_one_process_take_turns_and_wait_no_longer_than_is_said(
    sqlite: StoreConfig,
) -> None:
    with Store.open(sqlite.model_copy(update={"busy_s": 0.05})) as store:
        with store._database.write(), pytest.raises(Overloaded) as caught:
            store.log.create("s")
        assert caught.value.retry_after_s > 0
        store.log.create("s")


@pytest.mark.parametrize("count", [1, 63, 64, 200])
def test_rows_inserted_together_are_the_rows(config: StoreConfig, count: int) -> None:
    found = [Sample(f"{number}", (Part("text", b"%d" % number),)) for number in range(count)]
    with Store.open(config) as store:
        store.log.create("s")
        store.log.append("s", 0, found)
        assert [sample for _, sample in store.log.read("s")] == found


def test_a_store_of_another_version_is_refused(sqlite: StoreConfig) -> None:
    Store.open(sqlite).close()
    with sqlite3.connect(sqlite.folder / "store.db") as other:
        other.execute("UPDATE facts SET value = '99'")
    other.close()
    with pytest.raises(InvalidConfig, match="99"):
        Store.open(sqlite)


def test_a_damaged_database_is_corrupt(sqlite: StoreConfig) -> None:
    sqlite.folder.mkdir()
    (sqlite.folder / "store.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(Corrupt):
        Store.open(sqlite)


def test_a_thread_that_finds_no_connection_is_told_to_come_again(config: StoreConfig) -> None:
    with Store.open(config.model_copy(update={"busy_s": 0.05, "connections": 1})) as store:
        store.log.create("s")
        hashes = store.log.hashes("s", 1)
        assert next(hashes, None) is None
        database = Database(config.model_copy(update={"busy_s": 0.05, "connections": 1}))
        with database.read(), pytest.raises(Overloaded), database.read():
            pass
        database.close()


def test_a_full_disk_is_told_and_changes_nothing(sqlite: StoreConfig) -> None:
    def overfill(database: Database) -> None:
        with database.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # of this connection: no more
            big = {"name": "big", "value": "x" * 1_000_000}
            connection.execute(insert(schema.facts).values(**big))

    with Store.open(sqlite) as store:
        store.log.create("s")
        database = Database(sqlite)
        with pytest.raises(Overloaded, match="full"):
            overfill(database)
        database.close()
        assert store.log.append("s", 0, [Sample("a", ())]).next == 1


def test_a_bug_in_a_query_is_not_taken_for_trouble_of_the_store(config: StoreConfig) -> None:
    database = Database(config.model_copy(update={"folder": config.folder.parent}))
    with pytest.raises(DBAPIError), database.read() as connection:
        connection.exec_driver_sql("this is no query")
    database.close()
