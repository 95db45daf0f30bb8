"""The log: streams of samples in order, each at an offset of its own, none lost, none twice.

`append` compares and appends in one transaction: samples go in if and only if they are the next
ones. So any number of writers may retry as they like:

    the next offset              → appended
    an earlier one, same content → a duplicate, nothing to do
    an earlier one, other content → ContentConflict
    a later one                  → OffsetGap
    an older writer's            → Fenced (epoch 0 takes no part in this)

What was appended is on disk when `append` returns. Every read checks the content hash.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Row, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from rankspace.errors import AlreadyExists, Corrupt, InvalidInput, NotFound
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.append import Prepared, compare_and_append, fence, stream_row
from rankspace.store.blobs import Blobs
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database, now_us
from rankspace.store.entries import Appended, Page, Rejected, Stream
from rankspace.store.schema import blob_uses, records, streams

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_EMPTY = bytes(32)  # digest of a stream without samples


class Log:
    """All streams of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database, blobs: Blobs, config: StoreConfig) -> None:
        self._database = database
        self._blobs = blobs
        self._config = config

    def create(
        self, name: str, labels: Mapping[str, str] | None = None, description: str = ""
    ) -> Stream:
        """Make an empty stream."""
        if not NAME.fullmatch(name):
            raise InvalidInput("a stream name is 1 to 63 of a-z 0-9 . _ -, no mark first", "name")
        values = {"name": name, "labels": dict(labels or {}), "description": description}
        try:
            with self._database.write() as connection:
                query = insert(streams).values(**values, created_us=now_us(), digest=_EMPTY)
                connection.execute(query)
                return _stream(stream_row(connection, name))
        except IntegrityError as error:
            raise AlreadyExists(f"there is a stream {name} already", "name") from error

    def get(self, name: str) -> Stream:
        """A stream and its figures."""
        with self._database.read() as connection:
            return _stream(stream_row(connection, name))

    def list(self, size: int = 100, token: str = "") -> Page[Stream]:
        """Streams by name, `size` at a time."""
        query = select(streams).where(streams.c.name > token).order_by(streams.c.name)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(size + 1)).all()
        items = tuple(_stream(row) for row in rows[:size])
        return Page(items, items[-1].name if len(rows) > size else "")

    def finalize(self, name: str) -> Stream:
        """Close a stream for good; what is in it stays."""
        with self._database.write() as connection:
            query = update(streams).where(streams.c.name == name).values(finalized=True)
            connection.execute(query)
            return _stream(stream_row(connection, name))

    def delete(self, name: str) -> None:
        """Remove a stream and its samples; their blobs go with the next `sweep`."""
        with self._database.write() as connection:
            row = stream_row(connection, name, lock=True)
            connection.execute(delete(streams).where(streams.c.id == row.id))

    def claim(self, name: str, epoch: int = 0) -> int:
        """Fence writers older than `epoch` (0: all there are); return the epoch to write with."""
        with self._database.write() as connection:
            row = stream_row(connection, name, lock=True)
            claimed = epoch or row.epoch + 1
            fence(connection, row, claimed)
        return claimed

    def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected],
        epoch: int = 0,
    ) -> Appended:
        """Append samples at an offset, or at the end (None: then a retry appends twice)."""
        if not samples:
            raise InvalidInput("a batch holds at least one sample", "samples")
        prepared = [self._prepare(sample) for sample in samples]
        blobs = {name: data for new in prepared for name, data in new.packed.blobs.items()}
        self._blobs.put_all(blobs)  # they are on disk before the rows that name them
        with self._database.write() as connection:
            return compare_and_append(connection, stream, offset, prepared, epoch)

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
        self, stream: str, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, Sample | Rejected]]:
        """What is at each offset of [start, stop); memory is bounded.

        Without `stop` it ends where the stream ended when the reading began.
        """
        for row in self._rows(stream, start, stop):
            if row.reject_reason is None:
                yield row.offset, self._sample(stream, row)
            else:
                yield row.offset, Rejected(row.sample_id, row.reject_reason, row.reject_message)

    def hashes(self, stream: str, stop: int) -> Iterator[bytes]:
        """The content hashes at [0, stop); media are not read."""
        where = streams.c.name == stream, records.c.offset < stop
        query = select(records.c.hash).join(streams).where(*where).order_by(records.c.offset)
        with self._database.read() as connection:
            for (found,) in connection.execute(query).yield_per(4096):
                yield found

    def sweep(self) -> int:
        """Remove blobs that no sample names; return how many."""

        def used(name: str) -> bool:
            with self._database.read() as connection:
                query = select(exists().where(blob_uses.c.hash == name))
                return bool(connection.scalar(query))

        return self._blobs.sweep(used, self._config.orphan_age_s)

    def _prepare(self, sample: Sample | Rejected) -> Prepared:
        packed = content.Packed()
        if isinstance(sample, Sample):
            packed = content.pack(sample, self._config.inline_bytes_max)
        return Prepared(sample, content.digest(sample), packed)

    def _rows(self, stream: str, start: int, stop: int | None) -> Iterator[Row[Any]]:
        """Records in pages, each a transaction of its own: a slow reader holds up nobody."""
        with self._database.read() as connection:
            head = stream_row(connection, stream)
        end = head.next_offset if stop is None else min(stop, head.next_offset)
        at = max(start, 0)
        while at < end:
            last = min(at + self._config.page_rows, end)
            where = records.c.stream_id == head.id, records.c.offset.between(at, last - 1)
            with self._database.read() as connection:
                query = select(records).where(*where).order_by(records.c.offset)
                rows = connection.execute(query).all()
            if len(rows) != last - at:
                raise NotFound(f"stream {stream} was deleted while it was read")
            yield from rows
            at = last

    def _sample(self, stream: str, row: Row[Any]) -> Sample:
        parts = content.unpack(row.parts, row.payload, self._blobs.get)
        sample = Sample(row.sample_id, parts, row.event_time_us, row.labels)
        if content.digest(sample) != row.hash:
            raise Corrupt(f"offset {row.offset} of stream {stream} does not hold what was written")
        return sample


def _stream(row: Row[Any]) -> Stream:
    values = {key: value for key, value in row._mapping.items() if key != "id"}
    return Stream(**values | {"digest": row.digest.hex()})
