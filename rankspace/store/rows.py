"""Many rows in few statements.

They go to the driver directly: for wide rows that is several times faster than one by one, and
SQLite's driver gives other threads a turn at every statement and at every row.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, func, select

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
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = f"({', '.join([mark] * len(rows[0]))})"
    sql = before + ", ".join([marks] * len(rows)) + behind
    connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows)))


def locked(
    connection: Connection, query: Select[Any], columns: Sequence[Column[Any]]
) -> list[tuple[Any, ...]]:
    """The columns of all rows of a query, which are locked until the transaction ends.

    The first column is bytes, the others are what JSON has. SQLite tells them in a single row.
    """
    if connection.dialect.name != "sqlite":
        rows = connection.execute(query.with_only_columns(*columns).with_for_update())
        return [tuple(row) for row in rows]
    told = func.json_array(func.hex(columns[0]), *columns[1:])
    found = query.with_only_columns(told.label("told")).subquery()
    text = connection.scalar(select(func.json_group_array(func.json(found.c.told))))
    return [(bytes.fromhex(first), *rest) for first, *rest in json.loads(text or "[]")]
