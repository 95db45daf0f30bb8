"""Samples that were refused, kept as they were sent: what a stream's tombstones were.

Kept only where somebody asked for it. Each stream keeps at most `rejects_bytes_max` bytes, and
nothing longer than `rejects_age_s`; the oldest go first. What is kept is opaque here: the bytes of
the message in which the sample came.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from rankspace.errors import NotFound
from rankspace.store.append import stream_row
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database, now_us, token_number
from rankspace.store.entries import Page, Refusal
from rankspace.store.schema import rejects


class Rejects:
    """The refused samples of all streams; safe to use from any number of threads and processes."""

    def __init__(self, database: Database, config: StoreConfig) -> None:
        self._database = database
        self._config = config

    def keep(self, stream: str, refused: Sequence[Refusal]) -> None:
        """Keep samples, and let the oldest go if there are too many; those there already stay."""
        with self._database.write() as connection:
            row = stream_row(connection, stream, lock=True)
            offsets = [one.offset for one in refused]
            where = rejects.c.stream_id == row.id, rejects.c.offset.in_(offsets)
            there = set(connection.scalars(select(rejects.c.offset).where(*where)))
            new = [_row(row.id, one) for one in refused if one.offset not in there]
            if new:
                connection.execute(insert(rejects), new)
                self._bound(connection, row.id)

    def list(self, stream: str, size: int = 100, token: str = "") -> Page[Refusal]:
        """A page of them by offset, without what was sent."""
        columns = [column for column in rejects.c if column.name not in ("stream_id", "raw")]
        with self._database.read() as connection:
            row = stream_row(connection, stream)
            where = [rejects.c.stream_id == row.id]
            if token:
                where.append(rejects.c.offset > token_number(token))
            query = select(*columns).where(*where).order_by(rejects.c.offset).limit(size + 1)
            found = connection.execute(query).all()
        items = tuple(Refusal(**one._mapping) for one in found[:size])
        return Page(items, str(items[-1].offset) if len(found) > size else "")

    def get(self, stream: str, offset: int) -> Refusal:
        """One of them, with what was sent."""
        with self._database.read() as connection:
            row = stream_row(connection, stream)
            found = _one(connection, row, offset)
        return Refusal(**{key: value for key, value in found.items() if key != "stream_id"})

    def drop(self, stream: str, offset: int) -> None:
        """Keep one no longer."""
        with self._database.write() as connection:
            row = stream_row(connection, stream)
            where = rejects.c.stream_id == row.id, rejects.c.offset == offset
            connection.execute(delete(rejects).where(*where))

    def collect(self) -> int:
        """Remove what is too old; return how many."""
        before = now_us() - int(self._config.rejects_age_s * 1e6)
        where = rejects.c.created_us < before
        with self._database.read() as connection:
            if connection.execute(select(rejects.c.offset).where(where).limit(1)).first() is None:
                return 0
        with self._database.write(synced=False) as connection:
            return connection.execute(delete(rejects).where(where)).rowcount

    def _bound(self, connection: Connection, stream_id: int) -> None:
        """Remove the oldest beyond the bytes that may be kept."""
        newest_first = rejects.c.offset.desc()
        behind = func.sum(rejects.c.size).over(order_by=newest_first).label("behind")
        sums = select(rejects.c.offset, behind).where(rejects.c.stream_id == stream_id).subquery()
        query = select(func.max(sums.c.offset)).where(
            sums.c.behind > self._config.rejects_bytes_max
        )
        last = connection.scalar(query)
        if last is not None:
            where = rejects.c.stream_id == stream_id, rejects.c.offset <= last
            connection.execute(delete(rejects).where(*where))


def _one(connection: Connection, row: Row[Any], offset: int) -> dict[str, Any]:
    where = rejects.c.stream_id == row.id, rejects.c.offset == offset
    found = connection.execute(select(rejects).where(*where)).one_or_none()
    if found is None:
        raise NotFound(f"no refused sample is kept at offset {offset} of stream {row.name}")
    return dict(found._mapping)


def _row(stream_id: int, one: Refusal) -> dict[str, Any]:
    return {
        "stream_id": stream_id, "offset": one.offset, "sample_id": one.sample_id,
        "reason": one.reason, "message": one.message, "field": one.field,
        "created_us": now_us(), "size": len(one.raw), "raw": one.raw,
    }  # fmt: skip
