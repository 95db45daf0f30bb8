"""Many rows in few statements.

They go to the driver directly: for wide rows that is several times faster than one by one, and
SQLite's driver gives other threads a turn at every statement and at every row.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table

_MOST = 256
"""Rows of one statement; with twelve values each they are below what SQLite takes."""

Values = Sequence[tuple[Any, ...]]


def insert_many(connection: Connection, table: Table, rows: Values) -> None:
    """Insert rows whose values are in the order of the columns, JSON as text."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    for some in _portions(connection, rows):
        sql = f'INSERT INTO "{table.name}" ({names}) VALUES '  # noqa: S608 - our own names
        _execute(connection, sql, some, "")


def update_many(connection: Connection, table: Table, names: Sequence[str], rows: Values) -> None:
    """Set columns of rows that are there: the values in the order of the names, first the key."""
    key, *others = names
    sets = ", ".join(f'"{name}" = new.column{at}' for at, name in enumerate(others, 2))
    where = f') AS new WHERE "{table.name}"."{key}" = new.column1'
    for some in _portions(connection, rows):
        sql = f'UPDATE "{table.name}" SET {sets} FROM (VALUES '  # noqa: S608 - our own names
        _execute(connection, sql, some, where)


def _portions(connection: Connection, rows: Values) -> Iterator[Values]:
    """As many as go into a statement; on SQLite in few sizes, for it remembers statements."""
    at = 0
    while at < len(rows):
        size = min(len(rows) - at, _MOST)
        if connection.dialect.name == "sqlite":
            size = 1 << size.bit_length() - 1
        yield rows[at : at + size]
        at += size


def _execute(connection: Connection, before: str, rows: Values, behind: str) -> None:
    marks = f"({', '.join([_mark(connection)] * len(rows[0]))})"
    sql = before + ", ".join([marks] * len(rows)) + behind
    connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows)))


def locked(
    connection: Connection, table: Table, names: Sequence[str], keys: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The columns of these names where the second is among the keys, locked in one order for all.

    The lock ends with the transaction. The first column is bytes, the others are what JSON has.
    SQLite tells all rows in a single one.
    """
    sqlite = connection.dialect.name == "sqlite"
    marks = ", ".join([_mark(connection)] * len(keys))
    first, *others = [f'"{name}"' for name in names]
    where = f'"{table.name}" WHERE {others[0]} IN ({marks})'
    order = ", ".join(f'"{column.name}"' for column in table.primary_key)
    if not sqlite:
        told = ", ".join((first, *others))
        sql = f"SELECT {told} FROM {where} ORDER BY {order} FOR UPDATE"  # noqa: S608
        return [tuple(row) for row in connection.exec_driver_sql(sql, tuple(keys))]
    told = ", ".join((f"hex({first})", *others))
    each = f"SELECT json_array({told}) AS told FROM {where} ORDER BY {order}"  # noqa: S608
    sql = f"SELECT json_group_array(json(told)) FROM ({each})"  # noqa: S608 - our own names
    text = connection.exec_driver_sql(sql, tuple(keys)).scalar_one()
    return [(bytes.fromhex(digest), *rest) for digest, *rest in json.loads(text)]


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"
