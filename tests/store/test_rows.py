"""Many rows at once: all of them are there, whatever their number, on both databases."""

import pytest
from sqlalchemy import select

from rankspace.store.database import Database
from rankspace.store.rows import insert_many, locked, update_many
from rankspace.store.schema import facts, streams
from rankspace.store.store import Store


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 255, 256, 257, 700])
def test_every_row_is_inserted_and_every_row_that_is_named_is_changed(
    store: Store, count: int
) -> None:
    rows = [(f"fact {number}", str(number)) for number in range(count)]
    query = select(facts.c.name, facts.c.value).where(facts.c.name.like("fact %"))
    changed = [(name, value + "!") for name, value in rows[::2]]
    database = Database(store.config)
    try:
        with database.write() as connection:
            insert_many(connection, facts, rows)
            assert {*map(tuple, connection.execute(query))} == {*rows}
            update_many(connection, facts, ("name", "value"), changed)
            assert {*map(tuple, connection.execute(query))} == {*rows[1::2], *changed}
    finally:
        database.close()


def test_rows_that_are_locked_are_told_as_they_are(store: Store) -> None:
    names = ("digest", "name", "id", "bytes", "finalized")
    keys, columns = ["big", "ended", "one"], [streams.c[name] for name in names]
    database = Database(store.config)
    try:
        with database.write() as connection:
            assert locked(connection, streams, names, keys) == []
        for name in ("one", "ended", "big"):
            store.log.create(name)
        store.log.finalize("ended")
        with database.write() as connection:
            update_many(connection, streams, ("name", "bytes"), [("big", (1 << 62) + 1)])
            assert [row[1] for row in locked(connection, streams, names, ["big"])] == ["big"]
            told = {row[1]: row for row in locked(connection, streams, names, keys)}
            plain = {row[1]: tuple(row) for row in connection.execute(select(*columns))}
            assert told == plain
    finally:
        database.close()
