"""Connections to SQLite and to PostgreSQL: how they are made, and what is set on each.

SQLite brings its log into the database by itself only when that has grown far, in case nobody else
does: see `checkpoints`.
"""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from rankspace.errors import InvalidConfig
from rankspace.store import turns
from rankspace.store.config import StoreConfig

_CACHE_KB = 8192  # of one connection, taken as it is needed; a large commit is written once then
_LOG_PAGES = 8192


def open_engine(config: StoreConfig, synchronous: str) -> Engine:
    """The pool of connections to the database that the config names."""
    try:
        url = make_url(config.address)
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        sqlite = url.get_backend_name() == "sqlite"
        engine = create_engine(
            url,
            pool_size=config.connections,
            max_overflow=0,
            pool_timeout=config.busy_s,
            pool_pre_ping=not sqlite,  # a database that was restarted is met on a new connection
            connect_args={"timeout": config.busy_s} if sqlite else _reach(config),
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidConfig(
            "the address of the database is not one; write postgresql://USER@HOST:PORT/NAME", "url"
        ) from error
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite(synchronous))
        event.listen(engine, "begin", turns.begin(config.busy_s))
    elif url.drivername == "postgresql+psycopg":
        event.listen(engine, "connect", _prepare_postgres(config))
    else:
        raise InvalidConfig("the database is SQLite or PostgreSQL", "url")
    return engine


def file_of(engine: Engine) -> Path | None:
    """SQLite's file."""
    name = engine.url.database
    on_disk = engine.dialect.name == "sqlite" and name and name != ":memory:"
    return Path(name) if on_disk and name else None


def _reach(config: StoreConfig) -> dict[str, Any]:
    """How a connection to PostgreSQL is made, and how its end is noticed."""
    wait = max(2, round(config.busy_s))
    return {
        "connect_timeout": wait,
        "client_encoding": "utf8",
        "application_name": "rankspace",
        "keepalives_idle": wait,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": wait * 1000,
    }


def _prepare_sqlite(synchronous: str) -> Any:
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")

    return prepare


def _prepare_postgres(config: StoreConfig) -> Any:
    wait_ms = max(1, round(config.busy_s * 1000))
    idle_ms = max(10_000, 2 * wait_ms)  # of a transaction whose process hangs

    def prepare(connection: Any, _record: object) -> None:
        prepared = False
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {wait_ms}")
                cursor.execute(f"SET idle_in_transaction_session_timeout = {idle_ms}")
                found = cursor.execute("SHOW synchronous_commit").fetchone()
                if found is None or found[0] == "off":
                    cursor.execute("SET synchronous_commit = on")
            connection.commit()
            prepared = True
        finally:
            if not prepared:
                connection.close()

    return prepare
