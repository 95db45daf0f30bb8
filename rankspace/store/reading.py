"""Reading a stream back: in pages, checked, in bounded memory.

Each page is a transaction of its own, so that a slow reader holds up nobody. Every sample is
checked against its content hash before it is handed out. An offset without a sample gives its
tombstone, one that is damaged raises Corrupt and names its offset: neither is ever passed over.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from rankspace.errors import Corrupt, NotFound
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.append import stream_row
from rankspace.store.blobs import Blobs
from rankspace.store.database import Database
from rankspace.store.entries import Rejected
from rankspace.store.schema import records, streams

Entry = Sample | Rejected
DAMAGE = (ValueError, TypeError, KeyError, AttributeError, struct.error)
"""What decoding a row raises whose bytes are not those that were written."""

_OUTLINE = tuple(column for column in records.columns if column.name != "payload")


@dataclass(frozen=True, slots=True)
class Reading:
    """How the records of a store are read."""

    database: Database
    blobs: Blobs
    page_rows: int

    def entries(
        self,
        stream: str,
        start: int,
        stop: int | None,
        wanted: Callable[[Entry], bool] | None = None,
    ) -> Iterator[tuple[int, Entry]]:
        """What is at each offset of [start, stop) that is wanted."""
        with self.database.read() as connection:
            head = stream_row(connection, stream)
        end = head.next_offset if stop is None else min(stop, head.next_offset)
        at = max(start, 0)
        while at < end:
            last = min(at + self.page_rows, end)
            offsets: Sequence[int] = range(at, last)
            if wanted is not None:
                offsets = self._sift(head, offsets, wanted)
            for row in self._rows(head, offsets, records.columns):
                yield row.offset, self._entry(head, row)
            at = last

    def _sift(
        self, head: Row[Any], offsets: Sequence[int], wanted: Callable[[Entry], bool]
    ) -> list[int]:
        """The offsets whose records are wanted, without looking at their media."""
        return [
            row.offset
            for row in self._rows(head, offsets, _OUTLINE)
            if wanted(_hollow(head.name, row))
        ]

    def _rows(self, head: Row[Any], offsets: Sequence[int], columns: Any) -> Iterator[Row[Any]]:
        """The records at some offsets, all of them; one by one where a page cannot be read."""
        if not offsets:
            return
        try:
            rows = self._select(head, columns, offsets)
        except (Corrupt, *DAMAGE) as error:
            if len(offsets) == 1:
                raise _damaged(head.name, offsets[0]) from error
            for offset in offsets:
                yield from self._rows(head, [offset], columns)
            return
        for row, offset in zip(rows, offsets, strict=False):
            if row.offset != offset:
                raise _damaged(head.name, offset)
            yield row
        if len(rows) < len(offsets):
            raise _damaged(head.name, offsets[len(rows)])

    def _select(self, head: Row[Any], columns: Any, offsets: Sequence[int]) -> list[Row[Any]]:
        where = records.c.offset.in_(offsets)
        if isinstance(offsets, range):
            where = records.c.offset.between(offsets[0], offsets[-1])
        with self.database.read() as connection:
            alive = select(streams.c.id).where(streams.c.id == head.id, ~streams.c.deleted)
            if connection.execute(alive).first() is None:
                raise NotFound(f"stream {head.name} was deleted while it was read", "stream")
            query = select(*columns).where(records.c.stream_id == head.id, where)
            return list(connection.execute(query.order_by(records.c.offset)))

    def _entry(self, head: Row[Any], row: Row[Any]) -> Entry:
        if row.reject_reason is not None:
            return Rejected(row.sample_id, row.reject_reason, row.reject_message)
        try:
            return sample_of(head.name, row, self.blobs.get)
        except Corrupt:
            (now,) = self._rows(head, [row.offset], records.columns)
            if now.reject_reason is None:
                raise
            return self._entry(head, now)  # it has expired since the page was read


def sample_of(stream: str, row: Row[Any], blob: Callable[[str], bytes]) -> Sample:
    """The sample in a record, checked against its hash."""
    try:
        parts = content.unpack(row.parts, row.payload, blob)
        sample = Sample(row.sample_id, parts, row.event_time_us, row.labels)
        if content.digest(sample) == row.hash:
            return sample
    except NotFound as error:
        raise Corrupt(f"offset {row.offset} of stream {stream} has lost its media") from error
    except DAMAGE as error:
        raise _damaged(stream, row.offset) from error
    raise _damaged(stream, row.offset)


def _hollow(stream: str, row: Row[Any]) -> Entry:
    """What a record is, with media that are empty."""
    if row.reject_reason is not None:
        return Rejected(row.sample_id, row.reject_reason, row.reject_message)
    try:
        return Sample(row.sample_id, content.outline(row.parts), row.event_time_us, row.labels)
    except DAMAGE as error:
        raise _damaged(stream, row.offset) from error


def _damaged(stream: str, offset: int) -> Corrupt:
    return Corrupt(f"offset {offset} of stream {stream} does not hold what was written")
