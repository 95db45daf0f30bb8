"""Transactions: the one place that knows which database there is.

SQLite runs in WAL mode with synchronous=FULL: a commit returns after an fsync, readers never wait
for writers. A write takes the write lock at its start (BEGIN IMMEDIATE): a transaction that reads
and then writes would otherwise fail when another one came between. On PostgreSQL row locks (FOR
UPDATE, which SQLite ignores) do the same.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rankspace.errors import Corrupt, InvalidConfig, InvalidInput, Overloaded, RankspaceError
from rankspace.store import schema
from rankspace.store.config import StoreConfig

_WRITE = "rankspace_write"
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """Short transactions on a pool of connections; safe to use from any number of threads."""

    def __init__(self, config: StoreConfig) -> None:
        self._engine = _engine(config)
        self._writer = self._engine.execution_options(**{_WRITE: True})
        with self.write() as connection:
            schema.metadata.create_all(connection)
            _check_version(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view, for the length of the block."""
        with _leaves(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """All of the block or nothing of it; on disk when the block has ended."""
        with _leaves(), self._writer.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def token_number(token: str) -> int:
    """The number in a page token."""
    if not token.isdecimal() or len(token) > 18:
        raise InvalidInput("the page token is not one this service gave", "page_token")
    return int(token)


def _engine(config: StoreConfig) -> Engine:
    arguments = {"timeout": config.busy_s} if config.address.startswith("sqlite") else {}
    engine = create_engine(
        config.address,
        pool_size=config.connections,
        max_overflow=0,
        pool_timeout=config.busy_s,
        connect_args=arguments,
    )
    if engine.dialect.name == "sqlite":  # pragma: no branch - PostgreSQL needs none of this
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _check_version(connection: Connection) -> None:
    facts = schema.facts
    found = connection.scalar(select(facts.c.value).where(facts.c.name == "version"))
    if found is None:
        connection.execute(insert(facts).values(name="version", value=schema.VERSION))
    elif found != schema.VERSION:
        raise InvalidConfig(
            f"the store has version {found}, this program reads version {schema.VERSION}", "folder"
        )


@contextmanager
def _leaves() -> Iterator[None]:
    """Turn what the database says into leaves of the library's tree."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise Overloaded("all connections to the store are in use", retry_after_s=1.0) from error
    except DatabaseError as error:
        raise _leaf(error) from error


def _leaf(error: DatabaseError) -> RankspaceError | DatabaseError:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Overloaded("the store is busy", retry_after_s=1.0)
    if code == sqlite3.SQLITE_FULL:
        return Overloaded("the disk of the store is full", retry_after_s=60.0)
    if code in _DAMAGE:
        return Corrupt("the database of the store is damaged")
    return error
