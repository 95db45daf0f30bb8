"""Which commits of SQLite were synced, written into the commits themselves.

Without this, a log that lost the end of what was only written cannot be told from a damaged one. A
database has one number for its users, `user_version`, on its first page; its two lowest bits say

    00, 10  every commit was synced
    01      some were only written, the last that changed the number was synced
    11      the commit that has this on its first page was only written

That some are only written is itself synced before the first of them. All commits that are only
written change the number, so their first page is in the log. PostgreSQL keeps its own log.
"""

import secrets
from typing import Any

from sqlalchemy import Connection, update

from rankspace.store import schema

_WRITTEN = 3
_AT = 60  # where the number is on the first page (sqlite.org/fileformat2.html#database_header)
NUMBER = slice(_AT, _AT + 4)


def is_used(number: Any) -> Any:
    """Whether some commits may have been written without being synced; one number or an array."""
    return number % 2 == 1


def is_written(number: Any) -> Any:
    """Whether the commit with this number was only written; one number or an array."""
    return number % 4 == _WRITTEN


def mark(connection: Connection, synced: bool) -> None:
    """Mark the commit that is to come."""
    if connection.dialect.name != "sqlite":
        return
    if not synced:
        _set(connection, _WRITTEN)
    elif is_written(_number(connection)):
        _set(connection, 1)


def announce(connection: Connection) -> None:
    """Say, in a synced commit, that some to come will only be written."""
    if connection.dialect.name == "sqlite" and not is_used(_number(connection)):
        _set(connection, 1)


def touch(connection: Connection) -> None:
    """Write something, so that the commit is synced, and all that came before it with it.

    On SQLite the mark has been written if there is anything to sync; it would pass over an update
    that changes nothing, as PostgreSQL does not.
    """
    if connection.dialect.name != "sqlite":
        version = schema.facts.c.name == "version"
        connection.execute(update(schema.facts).where(version).values(value=schema.VERSION))


def _number(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _set(connection: Connection, low: int) -> None:
    """Another number with these lowest bits."""
    number = secrets.randbits(29) << 2 | low
    connection.exec_driver_sql(f"PRAGMA user_version = {number}")
