"""Samples that were refused, kept as they were sent: what a stream's tombstones were.

Kept only where somebody asked for it. Each stream keeps at most `rejects_bytes_max` bytes, and
nothing longer than `rejects_age_s`; the oldest go first. What is kept is opaque here: the bytes of
the message in which the sample came.

Each has two hashes, SHA-256: of these bytes, and of that hash with all that is told of them, as
JSON. So what is listed can be checked without reading what was sent.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select

from rankspace.errors import Corrupt, NotFound
from rankspace.store.append import stream_row
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database, now_us, token_number
from rankspace.store.entries import Page, Refusal
from rankspace.store.records import DAMAGE
from rankspace.store.schema import rejects

_TOLD = ("offset", "created_us", "sample_id", "reason", "message", "field", "size")
_HEAD = [column for column in rejects.c if column.name != "raw"]


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
        """A page of them by offset, without what was sent; one that is damaged says only that."""
        after = rejects.c.offset > (token_number(token) if token else -1)
        found = self._rows(stream, [rejects.c.offset], after, size + 1)
        offsets = [row.offset for row in found[:size]]
        if not all(isinstance(offset, int) for offset in offsets):
            raise Corrupt(f"the refused samples kept of stream {stream} have lost their order")
        try:
            heads = self._rows(stream, _HEAD, rejects.c.offset.in_(offsets), size)
            items = [_told(stream, row._asdict()) for row in heads]
        except (Corrupt, *DAMAGE):
            items = [one for offset in offsets for one in self._listed(stream, offset)]
        return Page(tuple(items), str(offsets[-1]) if len(found) > size else "")

    def get(self, stream: str, offset: int) -> Refusal:
        """One of them, with what was sent. Raises Corrupt if it is not what was kept."""
        return self._one(stream, offset, list(rejects.c))

    def damaged(self, stream: str) -> Iterator[Refusal]:
        """Those that are not what was kept; takes as long as reading all does."""
        token, more = "", True
        while more:
            page = self.list(stream, token=token)
            for one in page.items:
                with suppress(NotFound):  # it has gone meanwhile
                    try:
                        self.get(stream, one.offset)
                    except Corrupt as error:
                        yield _damaged(one.offset, error)
            token = page.next_token
            more = bool(token)

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

    def _listed(self, stream: str, offset: int) -> Iterator[Refusal]:
        with suppress(NotFound):  # it has gone meanwhile
            try:
                yield self._one(stream, offset, _HEAD)
            except Corrupt as error:
                yield _damaged(offset, error)

    def _one(self, stream: str, offset: int, columns: Sequence[ColumnElement[Any]]) -> Refusal:
        try:
            found = self._rows(stream, columns, rejects.c.offset == offset, 1)
            if found:
                return _told(stream, found[0]._asdict())
        except (Corrupt, *DAMAGE) as error:
            raise _corrupt(stream, offset) from error
        raise NotFound(f"no refused sample is kept at offset {offset} of stream {stream}")

    def _rows(
        self,
        stream: str,
        columns: Sequence[ColumnElement[Any]],
        where: ColumnElement[bool],
        limit: int,
    ) -> Sequence[Row[Any]]:
        with self._database.read() as connection:
            row = stream_row(connection, stream)
            query = select(*columns).where(rejects.c.stream_id == row.id, where)
            return connection.execute(query.order_by(rejects.c.offset).limit(limit)).all()

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


def _told(stream: str, row: Mapping[str, Any]) -> Refusal:
    """What is kept, checked as far as it was read."""
    raw = row.get("raw")
    if _seal(row) != row["hash"] or (
        raw is not None and hashlib.sha256(raw).digest() != row["raw_hash"]
    ):
        raise _corrupt(stream, row["offset"])
    return Refusal(**{name: row[name] for name in _TOLD}, raw=raw or b"")


def _seal(row: Mapping[str, Any]) -> bytes:
    told = json.dumps([row[name] for name in ("stream_id", *_TOLD)])
    return hashlib.sha256(told.encode() + row["raw_hash"]).digest()


def _corrupt(stream: str, offset: int) -> Corrupt:
    return Corrupt(
        f"the refused sample kept at offset {offset} of stream {stream} is not what was kept"
    )


def _damaged(offset: int, error: Corrupt) -> Refusal:
    return Refusal(offset, "", error.reason(), error.message)


def _row(stream_id: int, one: Refusal) -> dict[str, Any]:
    row = {
        "stream_id": stream_id, "offset": one.offset, "sample_id": one.sample_id,
        "reason": one.reason, "message": one.message, "field": one.field,
        "created_us": now_us(), "size": len(one.raw), "raw": one.raw,
        "raw_hash": hashlib.sha256(one.raw).digest(),
    }  # fmt: skip
    return row | {"hash": _seal(row)}
