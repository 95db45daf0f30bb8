"""What this process looks at beside SQLite takes none of SQLite's locks away."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rankspace.store import beside
from rankspace.store.checkpoints import pages
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

OTHER = """
import sys
from pathlib import Path
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
with Store.open(StoreConfig(folder=Path(sys.argv[1]))) as store:
    store.log.create("other")
"""
"""A process that writes and, as it goes, removes the log if it takes itself for the last one."""

WRITER = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    sys.exit(error.sqlite_errorcode)
"""


def again(config: StoreConfig) -> None:
    with Store.open(config) as store:
        store.log.get("ours")


def looked_at(config: StoreConfig) -> None:
    assert pages(config.folder / "store.db")[0] > 0


@pytest.mark.parametrize("look", [again, looked_at])
def test_another_process_knows_that_we_have_the_store_open(
    sqlite: StoreConfig, look: Callable[[StoreConfig], None]
) -> None:
    files = [sqlite.folder / f"store.db-{which}" for which in ("wal", "shm")]
    with Store.open(sqlite) as store:
        store.log.create("ours")
        look(sqlite)
        before = [path.stat().st_ino for path in files]
        subprocess.run([sys.executable, "-c", OTHER, str(sqlite.folder)], check=True)
        assert [path.stat().st_ino for path in files] == before
        assert store.log.get("other").next_offset == 0
        store.log.create("more")
    with Store.open(sqlite) as store:
        assert {stream.name for stream in store.log.list(10, "").items} == {"ours", "other", "more"}


def test_a_write_that_is_under_way_stays_the_only_one(sqlite: StoreConfig) -> None:
    database = sqlite.folder / "store.db"
    with Store.open(sqlite) as store, store._database.write():
        assert pages(database)[0] > 0
        done = subprocess.run([sys.executable, "-c", WRITER, database], check=False)
        assert done.returncode == 5  # SQLITE_BUSY


def test_the_index_of_a_store_that_is_not_open_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "store.db-shm").write_bytes(bytes(200))
    assert beside.index(tmp_path / "store.db", 0, 8) == b""


def test_handles_go_with_the_last_one_that_has_the_store_open(sqlite: StoreConfig) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = handles()
    for turn in range(3):
        with Store.open(sqlite) as store, Store.open(sqlite):
            store.log.create(f"s{turn}")
            pages(sqlite.folder / "store.db")
    assert handles() == before
