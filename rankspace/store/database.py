"""Transactions: the one place that knows which database there is.

SQLite runs in WAL mode with synchronous=FULL: a commit returns after an fsync, readers never wait
for writers. A write takes the write lock at its start (BEGIN IMMEDIATE): a transaction that reads
and then writes would otherwise fail when another one came between. What is deleted is overwritten
(secure_delete). On PostgreSQL writes are READ COMMITTED and lock the rows they decide on (FOR
UPDATE, which SQLite ignores), reads are REPEATABLE READ, and a commit returns after its fsync
whatever the server's own settings are; a server with fsync = off is refused.

A write with `synced=False` returns when the operating system has what was written. On SQLite it
goes over connections with synchronous=NORMAL; a later synced commit brings it to disk as well, for
both write the same log in order. On PostgreSQL it is synchronous_commit = off.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from sqlalchemy import Connection, insert, select

from rankspace.errors import InvalidConfig, InvalidInput, Overloaded, RankspaceError
from rankspace.store import beside, faults, marks, recovery, schema, turns
from rankspace.store.config import StoreConfig
from rankspace.store.connections import file_of, open_engine

_STOPPED = (
    "the disk of the store failed to keep what was written; "
    "nothing more is stored until the server is started again"
)
_ALONE = 7_265_551  # the advisory lock of this program, any number


class Database:
    """Short transactions on a pool of connections; safe to use from any number of threads."""

    def __init__(self, config: StoreConfig) -> None:
        self.why_stopped = ""
        """What failed, once no more writes are taken."""

        self._closed = self._announced = False
        self._busy_s = config.busy_s
        self._turn: SimpleQueue[None] = SimpleQueue()
        self._turn.put(None)  # who takes it out is the one writer of this process
        self._engine = open_engine(config, "FULL")
        self.file = file_of(self._engine)
        """Where SQLite keeps it."""

        self._sqlite = self._engine.dialect.name == "sqlite"
        repeatable = {} if self._sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = self._engine.execution_options(**repeatable)
        self._writer = self._engine.execution_options(**{turns.WRITE: True})
        lazy = open_engine(config, "NORMAL") if self._sqlite else self._engine
        self._lazy = lazy.execution_options(**{turns.WRITE: True})
        if self.file is not None:
            with beside.opening(self.file) as alone:
                if alone and not config.cut_damaged_log:
                    recovery.check_log(self.file)
        ready = False
        try:
            if self.file is not None and not config.cut_damaged_log:
                self._settle(self.file)
            with self.alone() as connection:
                _check_fsync(connection)
                schema.metadata.create_all(connection, [schema.facts])
                _check_version(connection)
                schema.metadata.create_all(connection)
            ready = True
        finally:
            if not ready:
                self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view, for the length of the block."""
        with faults.told(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, synced: bool = True) -> Iterator[Connection]:
        """All of the block or nothing of it; on disk when the block has ended, if `synced`."""
        self.refuse_if_stopped()
        if not synced and not self._announced:
            with self.write() as connection:
                marks.announce(connection)
            self._announced = True
        engine = self._writer if synced else self._lazy
        with (
            self._watched(),
            self._in_turn(),
            faults.told(),
            engine.connect() as connection,
            connection.begin() as transaction,
        ):
            self.refuse_if_stopped()  # somebody else's sync may have failed meanwhile
            if not synced and not self._sqlite:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            marks.mark(connection, synced)
            yield connection
            with faults.committing():
                transaction.commit()

    @property
    def stopped(self) -> bool:
        """Whether no more writes are taken."""
        return bool(self.why_stopped)

    def stop(self, why: str = "large media could not be synced") -> None:
        """Take no more writes: a sync has failed, and what was written before it may be lost.

        No later sync that succeeds would tell. Opened anew, the store is what is on the disk.
        """
        self.why_stopped = self.why_stopped or why

    def refuse_if_stopped(self) -> None:
        """Raise Overloaded after `stop`."""
        if self.stopped:
            raise Overloaded(_STOPPED, retry_after_s=30.0)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One writer of this process after the other: SQLite would let them sleep and try again."""
        if not self._sqlite:
            yield
            return
        try:
            self._turn.get(timeout=self._busy_s)
        except Empty as error:
            raise Overloaded("the store is busy", retry_after_s=1.0) from error
        try:
            yield
        finally:
            self._turn.put(None)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Stop where SQLite could not write or sync its log."""
        try:
            yield
        except RankspaceError as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) in faults.UNSYNCED:
                name = getattr(error.__cause__, "sqlite_errorname", "")
                self.stop(f"the log of the database could not be written or synced {name}".rstrip())
            raise

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """A write beside which no other `alone` runs: for decisions that hang on no single row."""
        with self.write() as connection:
            if not self._sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ALONE})")
            yield connection

    def forget(self) -> None:
        """Overwrite what was deleted where the database keeps copies of its own, if we may."""
        self._checkpoint("TRUNCATE")

    def checkpoint(self) -> None:
        """Bring SQLite's log into the database, beside readers and a writer."""
        self._checkpoint("PASSIVE")

    def _checkpoint(self, how: str) -> None:
        if not self._sqlite:
            return
        with self._watched(), faults.told(), self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - the dialect says so
            driver.execute(f"PRAGMA wal_checkpoint({how})").fetchall()

    def _settle(self, file: Path) -> None:
        """Bring what a crash left in the log into the database before anything is added to it.

        The pages of a commit whose fsync failed may be in the log for readers and not on the disk:
        no later fsync of the log would write them, and commits after them would be lost with them.
        """
        log = file.with_name(file.name + "-wal")
        if not (log.exists() and log.stat().st_size):
            return
        with faults.told(), self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - only SQLite has a file
            wait_ms = driver.execute("PRAGMA busy_timeout").fetchone()[0]
            driver.execute("PRAGMA busy_timeout = 0")  # who holds it has settled it
            with suppress(sqlite3.OperationalError):  # a full disk can still be read from
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            driver.execute(f"PRAGMA busy_timeout = {wait_ms}")

    def check(self) -> Iterator[str]:
        """What the database finds wrong with its own pages and indexes (SQLite only)."""
        if self._sqlite:
            with self.read() as connection:
                for (found,) in connection.exec_driver_sql("PRAGMA integrity_check").all():
                    if found != "ok":
                        yield str(found)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()
        self._lazy.dispose()
        if self.file is not None and not self._closed:
            beside.closed(self.file)
        self._closed = True


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def token_number(token: str) -> int:
    """The number in a page token."""
    if not token.isdecimal() or len(token) > 18:
        raise InvalidInput("the page token is not one this service gave", "page_token")
    return int(token)


def _check_fsync(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        return
    if connection.exec_driver_sql("SHOW fsync").scalar() != "on":
        raise InvalidConfig(
            "the database runs with fsync = off and can promise nothing; turn it on", "url"
        )


def _check_version(connection: Connection) -> None:
    facts = schema.facts
    found = connection.scalar(select(facts.c.value).where(facts.c.name == "version"))
    if found is None:
        connection.execute(insert(facts).values(name="version", value=schema.VERSION))
    elif found != schema.VERSION:
        raise InvalidConfig(
            f"the store has version {found}, this program reads version {schema.VERSION}", "folder"
        )
