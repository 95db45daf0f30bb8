"""The log: streams of samples in order, each at an offset of its own, none lost, none twice.

`append` compares and appends in one transaction: samples go in if and only if they are the next
ones. So any number of writers may retry as they like:

    the next offset              → appended
    an earlier one, same content → a duplicate, nothing to do
    an earlier one, other content → ContentConflict
    a later one                  → OffsetGap
    an older writer's            → Fenced (epoch 0 takes no part in this)

What was appended is on disk when `append` returns, unless less was asked for. Every read checks the
content hash. `append_all` does many batches at once, of whatever streams, with one commit.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from rankspace import hashing
from rankspace.errors import AlreadyExists, InvalidInput
from rankspace.media.sample import Sample
from rankspace.store.append import fence, stream_row
from rankspace.store.appends import Appends
from rankspace.store.blobs import Blobs, Region
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database, now_us
from rankspace.store.entries import (
    FOR_EVER,
    Page,
    Retention,
    Stream,
    StreamChange,
)
from rankspace.store.names import OWNED, owned
from rankspace.store.reading import Entry, Reading
from rankspace.store.records import hashes
from rankspace.store.retention import expire, purge
from rankspace.store.schema import regions, streams

NAME = re.compile(OWNED + r"[a-z0-9][a-z0-9._-]{0,62}")
_EMPTY = bytes(32)  # digest of a stream without samples
_HASHES = 4096  # that are read at once


class Log(Appends):
    """All streams of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database, blobs: Blobs, config: StoreConfig) -> None:
        super().__init__(database, blobs, config.rows_bytes_max)
        hashing.native()  # now, not while somebody waits for a stream
        self._config = config
        self._reading = Reading(database, blobs, config.page_rows)

    def create(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        description: str = "",
        retention: Retention = FOR_EVER,
        strip_metadata: bool = False,
    ) -> Stream:
        """Make an empty stream; who appends strips the media, for the stream's whole life or never.

        Were that changed, a retry would be other content.
        """
        if not NAME.fullmatch(name):
            raise InvalidInput("a stream name is 1 to 63 of a-z 0-9 . _ -, no mark first", "name")
        values = _changes(StreamChange(description, labels or {}, retention))
        values["strip_metadata"] = strip_metadata
        try:
            with self._database.write() as connection:
                query = insert(streams).values(name=name, created_us=now_us(), digest=_EMPTY)
                connection.execute(query.values(**values))
                return _stream(stream_row(connection, name))
        except IntegrityError as error:
            raise AlreadyExists(f"there is a stream {name} already", "name") from error

    def get(self, name: str) -> Stream:
        """A stream and its figures."""
        with self._database.read() as connection:
            return _stream(stream_row(connection, name))

    def list(self, size: int = 100, token: str = "", tenant: str | None = None) -> Page[Stream]:
        """Streams by name, `size` at a time; of all tenants, or of one."""
        where = streams.c.name > token, owned(streams.c.name, tenant), ~streams.c.deleted
        query = select(streams).where(*where).order_by(streams.c.name)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(size + 1)).all()
        items = tuple(_stream(row) for row in rows[:size])
        return Page(items, items[-1].name if len(rows) > size else "")

    def update(self, name: str, change: StreamChange) -> Stream:
        """Change what is not None; samples that are then too old or too many expire soon."""
        values = _changes(change)
        with self._database.write() as connection:
            row = stream_row(connection, name, lock=True)
            if values:
                connection.execute(update(streams).where(streams.c.id == row.id).values(**values))
            return _stream(stream_row(connection, name))

    def finalize(self, name: str) -> Stream:
        """Close a stream for good; what is in it stays."""
        with self._database.write() as connection:
            row = stream_row(connection, name, lock=True)
            query = update(streams).where(streams.c.id == row.id).values(finalized=True)
            connection.execute(query)
            return _stream(stream_row(connection, name))

    def delete(self, name: str) -> None:
        """Remove a stream; its samples and their media go with the next `purge` and `sweep`."""
        with self._database.write() as connection:
            row = stream_row(connection, name, lock=True)
            gone = {"deleted": True, "name": f"!{row.id}"}  # from now on the name is free
            connection.execute(update(streams).where(streams.c.id == row.id).values(**gone))

    def claim(self, name: str, epoch: int = 0) -> int:
        """Fence writers older than `epoch` (0: all there are); return the epoch to write with."""
        with self._database.write() as connection:
            row = stream_row(connection, name, lock=True)
            claimed = epoch or row.epoch + 1
            fence(connection, row, claimed)
        return claimed

    def next_offset(self, stream: str) -> int:
        """Where the next sample goes."""
        return self.get(stream).next_offset

    def read(
        self, stream: str, start: int = 0, stop: int | None = None, limit: int | None = None
    ) -> Iterator[tuple[int, Sample]]:
        """The samples among `records`, at most `limit`."""
        taken = (
            (offset, sample)
            for offset, sample in self.records(stream, start, stop)
            if isinstance(sample, Sample)
        )
        return islice(taken, limit)

    def records(
        self,
        stream: str,
        start: int = 0,
        stop: int | None = None,
        wanted: Callable[[Entry], bool] | None = None,
    ) -> Iterator[tuple[int, Entry]]:
        """What is at each offset of [start, stop); memory is bounded.

        Without `stop` it ends where the stream ended when the reading began. `wanted` is asked with
        samples whose media are empty: media that nobody wants are not read.
        """
        return self._reading.entries(stream, start, stop, wanted)

    def hashes(self, stream: str, stop: int) -> Iterator[bytes]:
        """The content hashes at [0, stop); media are not read."""
        with self._database.read() as connection:
            found: int | None = connection.scalar(
                select(streams.c.id).where(streams.c.name == stream)
            )
            if found is None:
                return
            for first in range(0, stop, _HASHES):
                last = min(first + _HASHES, stop) - 1
                yield from (one for _, one in hashes(connection, found, first, last))

    def expire(self) -> int:
        """Turn what its stream keeps no longer into tombstones, in small steps; return how many."""
        return expire(self._database, self._blobs)

    def sweep(self) -> int:
        """Remove what deleted streams held and what a crash has left; return how many regions.

        When it returns, no byte of a stream that was deleted before is on disk. *Scope*: SQLite and
        the folder; PostgreSQL gives space back when it is vacuumed.
        """
        swept = purge(self._database, self._blobs)
        swept += self._blobs.sweep(self._used, self._config.orphan_age_s)
        self._database.forget()
        return swept

    def _used(self, names: Sequence[str]) -> Sequence[Region]:
        query = select(regions.c.name, regions.c.start, regions.c.length)
        with self._database.read() as connection:
            found = connection.execute(query.where(regions.c.name.in_(names))).all()
        return [Region(*row) for row in found]


def _changes(change: StreamChange) -> dict[str, Any]:
    """The columns that a change sets."""
    values: dict[str, Any] = {}
    if change.description is not None:
        values["description"] = change.description
    if change.labels is not None:
        values["labels"] = dict(change.labels)
    if change.retention is not None:
        if min(change.retention.age_s, change.retention.bytes) < 0:
            raise InvalidInput("retention is 0 or more; 0 keeps samples for ever", "retention")
        values["retention_age_s"] = change.retention.age_s
        values["retention_bytes"] = change.retention.bytes
    return values


_PLAIN = tuple(field.name for field in fields(Stream) if field.name not in ("retention", "digest"))


def _stream(row: Row[Any]) -> Stream:
    values = {name: row._mapping[name] for name in _PLAIN}
    retention = Retention(row.retention_age_s, row.retention_bytes)
    return Stream(**values, retention=retention, digest=row.digest.hex())
