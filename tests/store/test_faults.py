"""What a database or a disk says when something is wrong reaches the caller as what to do."""

import errno
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError as SQLAlchemyError

from rankspace.errors import InvalidConfig, InvalidInput, Overloaded, Unreachable
from rankspace.media.sample import Part, Sample
from rankspace.store import append, files
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database
from rankspace.store.store import Store
from tests.postgres import Postgres
from tests.store.kept import blocks

SAMPLE = Sample("a", (Part("audio", b"sound" * 9, "wav"),))


@pytest.fixture
def shared(tmp_path: Path, postgres: Postgres) -> StoreConfig:
    """On PostgreSQL."""
    return StoreConfig(
        folder=tmp_path, url=postgres.fresh(), busy_s=2.0, inline_bytes_max=4, connections=4
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_database_that_is_away_is_told_and_met_again(
    shared: StoreConfig, postgres: Postgres, how: signal.Signals
) -> None:
    with Store.open(shared) as store:
        store.log.create("s")
        store.log.append("s", 0, [SAMPLE])
        postgres.end(how)
        for call in (lambda: store.log.get("s"), lambda: store.log.append("s", 1, [SAMPLE])):
            with pytest.raises(Overloaded) as caught:
                call()
            assert caught.value.retry_after_s > 0
        assert blocks(shared.folder / "blobs") == 1  # that of the refused append has gone
        postgres.start()
        assert store.log.append("s", 1, [SAMPLE]).next == 2
        assert [entry for _, entry in store.log.read("s")] == [SAMPLE] * 2


def test_a_commit_without_an_answer_is_not_said_to_have_failed(
    shared: StoreConfig, postgres: Postgres
) -> None:
    database = Database(shared)

    def cut(midway: bool) -> None:
        """Lose the database before the commit, or in the middle of what is to be committed."""
        with database.write() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            with psycopg.connect(postgres.url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            if midway:
                connection.exec_driver_sql("SELECT 1")

    with pytest.raises(Unreachable, match="not known"):
        cut(midway=False)
    with pytest.raises(Overloaded):
        cut(midway=True)
    database.close()


def test_who_waits_too_long_for_a_lock_is_told_to_come_again(shared: StoreConfig) -> None:
    with Store.open(shared.model_copy(update={"busy_s": 1.0})) as store:
        store.log.create("s")
        store.log.create("t")
        database = Database(shared.model_copy(update={"busy_s": 30.0}))
        with database.write() as connection:
            connection.exec_driver_sql("SELECT * FROM streams WHERE name = 's' FOR UPDATE")
            with pytest.raises(Overloaded):
                store.log.append("s", 0, [SAMPLE])
            assert store.log.append("t", 0, [SAMPLE]).next == 1  # another stream is free
        database.close()


def test_a_text_that_the_database_cannot_hold_is_the_callers_fault(shared: StoreConfig) -> None:
    with Store.open(shared) as store:
        with pytest.raises(InvalidInput):
            store.log.create("s", description="a\0b")
        with pytest.raises(InvalidInput):
            store.catalogue.jobs.create("r" * 300, {})


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense", "postgresql+asyncpg://h/n"])
def test_an_address_of_another_database_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Database(StoreConfig(folder=tmp_path, url=url))
    assert caught.value.field == "url"


def test_a_server_that_promises_nothing_is_refused(shared: StoreConfig, postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as other:
        try:
            other.execute("ALTER SYSTEM SET fsync = off")
            postgres.restart()
            with pytest.raises(InvalidConfig, match="fsync"):
                Store.open(shared)
        finally:
            with psycopg.connect(postgres.url, autocommit=True) as again:
                again.execute("ALTER SYSTEM RESET fsync")
            postgres.restart()


def test_a_folder_that_cannot_be_synced_is_not_taken_for_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "sync", fail)
    with pytest.raises(OSError, match="Input"):
        files.make_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def fail(number: int) -> Callable[..., None]:
    """A call of the system that only ever fails."""

    def call(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_a_disk_that_is_full_is_told_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(StoreConfig(folder=tmp_path, inline_bytes_max=4)) as store:
        store.log.create("s")
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwritev", fail(errno.ENOSPC))
            with pytest.raises(Overloaded, match="full"):
                store.log.append("s", 0, [SAMPLE])
        assert blocks(tmp_path / "blobs") == 0
        assert store.log.append("s", 0, [SAMPLE]).next == 1


def test_after_a_sync_that_failed_nothing_is_stored_until_the_store_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StoreConfig(folder=tmp_path, inline_bytes_max=4)
    text = Sample("b", (Part("text", b"abc"),))
    with Store.open(config) as store:
        store.log.create("s")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail(errno.EIO))
            with pytest.raises(Overloaded, match="disk"):
                store.log.append("s", 0, [SAMPLE])
        for sample in (SAMPLE, text):
            with pytest.raises(Overloaded, match="started again"):
                store.log.append("s", 0, [sample])
        with pytest.raises(Overloaded, match="started again"):
            store.log.create("t")
        assert list(store.log.read("s")) == []
    with Store.open(config) as store:
        assert store.log.append("s", 0, [text]).next == 1


def test_after_a_commit_that_could_not_be_synced_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(StoreConfig(folder=tmp_path)) as store:
        store.log.create("s")
        with monkeypatch.context() as patched:
            patched.setattr(append, "insert_many", unsynced)
            with pytest.raises(Overloaded, match="disk"):
                store.log.append("s", 0, [SAMPLE])
        with pytest.raises(Overloaded, match="started again"):
            store.log.append("s", 0, [SAMPLE])
        assert store.log.get("s").next_offset == 0


def unsynced(*_: object) -> None:
    """What SQLite says when a sync of its log failed."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    raise SQLAlchemyError("COMMIT", None, error)
