"""SQLite's log comes into the database beside the commits, and then begins anew."""

from pathlib import Path

import pytest

from rankspace.media.sample import Part, Sample
from rankspace.store import checkpoints
from rankspace.store.checkpoints import Checkpoints, pages
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database
from rankspace.store.store import Store


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "DUE_PAGES", 8)
    monkeypatch.setattr(checkpoints, "OVERDUE_PAGES", 16)


def append(store: Store, count: int) -> None:
    """Commits of some pages each."""
    for number in range(count):
        store.log.append("s", None, [Sample(f"{number}", (Part("text", b"x" * 10_000),))])


def log_bytes(config: StoreConfig) -> int:
    return (config.folder / "store.db-wal").stat().st_size


@pytest.mark.usefixtures("_short")
def test_after_a_checkpoint_the_log_begins_anew_and_grows_no_further(sqlite: StoreConfig) -> None:
    config = sqlite.model_copy(update={"inline_bytes_max": 1 << 16})
    with Store.open(config) as store:
        store.log.create("s")
        store.log.checkpoints.run()
        assert not store.log.checkpoints.due(store.log.checkpoints.look())
        append(store, 6)
        log, done = pages(config.folder / "store.db")
        assert log >= 8
        assert done < log
        assert store.log.checkpoints.due(store.log.checkpoints.look())
        store.log.checkpoints.run()
        assert pages(config.folder / "store.db") == (log, log)
        assert not store.log.checkpoints.due(store.log.checkpoints.look())
        before = log_bytes(config)
        for _ in range(4):
            append(store, 3)
            store.log.checkpoints.run()
        assert log_bytes(config) == before
        assert len(list(store.log.read("s"))) == 18


@pytest.mark.usefixtures("_short")
def test_where_a_reader_holds_it_up_commits_wait_once_for_each_growth(sqlite: StoreConfig) -> None:
    config = sqlite.model_copy(update={"inline_bytes_max": 1 << 16})
    with Store.open(config) as store:
        store.log.create("s")
        found = store.log.checkpoints
        found.run()
        reader = Database(config)
        with reader.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM streams").scalar()
            append(store, 8)
            assert found.overdue(found.look())
            found.run()
            assert not found.overdue(found.look())
            append(store, 8)
            assert found.overdue(found.look())
        reader.close()
        found.run()
        append(store, 1)
        assert not found.overdue(found.look())  # the log has begun anew
        append(store, 8)
        assert found.overdue(found.look())


def test_where_there_is_no_log_nothing_is_due(config: StoreConfig, tmp_path: Path) -> None:
    assert pages(tmp_path / "none.db") == (0, 0)
    with Store.open(config) as store:
        found = Checkpoints(store._database)
        assert not found.overdue(found.look())
        store.log.checkpoints.run()
