"""Reading a stream back: in pages, checked, in bounded memory.

Each page is a transaction of its own, so that a slow reader holds up nobody. Every sample is
checked against its content hash before it is handed out. An offset without a sample gives its
tombstone, one that is damaged raises Corrupt and names its offset: neither is ever passed over.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from rankspace.errors import Corrupt, NotFound, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.append import stream_row
from rankspace.store.blobs import Blobs, Region
from rankspace.store.database import Database
from rankspace.store.entries import Rejected
from rankspace.store.records import DAMAGE, Record, overlapping, records
from rankspace.store.runs import SAMPLES
from rankspace.store.schema import runs, streams

Entry = Sample | Rejected
_AT_ONCE = 1 << 20  # bytes of neighbours in a region; a sample that has more is read by itself


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
            last = self._page(head, at, end)
            offsets: Sequence[int] = range(at, last)
            if wanted is not None:
                offsets = self._sift(head, offsets, wanted)
            for some in _neighbours(self._records(head, offsets)):
                for one in self._fetched(some):
                    yield one.offset, self._entry(head, one)
            at = last

    def _page(self, head: Row[Any], at: int, end: int) -> int:
        """Where a page ends that begins here: with a run, so that none is read twice."""
        query = select(runs.c.last).where(*overlapping(head.id, at, at + self.page_rows - 1))
        with self.database.read() as connection:
            last = connection.scalar(query.order_by(runs.c.first.desc()).limit(1))
        stop = at + self.page_rows
        if isinstance(last, int) and stop <= last < stop + SAMPLES:
            stop = last + 1
        return min(stop, end)

    def _sift(
        self, head: Row[Any], offsets: Sequence[int], wanted: Callable[[Entry], bool]
    ) -> list[int]:
        """The offsets whose records are wanted, without looking at their media."""
        found = self._records(head, offsets, media=False)
        return [one.offset for one in found if wanted(_hollow(head.name, one))]

    def _records(
        self, head: Row[Any], offsets: Sequence[int], media: bool = True
    ) -> Iterator[Record]:
        """The records at some offsets, all of them; one by one where a page cannot be read."""
        if not offsets:
            return
        try:
            found = self._select(head, offsets, media)
        except (Corrupt, *DAMAGE) as error:
            if len(offsets) == 1:
                raise _damaged(head.name, offsets[0]) from error
            for offset in offsets:
                yield from self._records(head, [offset], media)
            return
        for one, offset in zip(found, offsets, strict=False):
            if one.offset != offset or (offset < head.first_kept and one.reason is None):
                raise _damaged(head.name, offset)
            yield one
        if len(found) < len(offsets):
            raise _damaged(head.name, offsets[len(found)])

    def _select(self, head: Row[Any], offsets: Sequence[int], media: bool) -> list[Record]:
        with self.database.read() as connection:
            alive = select(streams.c.id).where(streams.c.id == head.id, ~streams.c.deleted)
            if connection.execute(alive).first() is None:
                raise NotFound(f"stream {head.name} was deleted while it was read", "stream")
            found = records(connection, head.id, offsets[0], offsets[-1], media)
        if len(offsets) == offsets[-1] - offsets[0] + 1:
            return found
        chosen = set(offsets)
        return [one for one in found if one.offset in chosen]

    def _fetched(self, some: Sequence[Record]) -> Sequence[Record]:
        """Neighbours with their media, read at once; as they are where that cannot be done."""
        first, last = some[0].region, some[-1].region
        if first is None or last is None or len(some) == 1:
            return some
        try:
            media = self.blobs.get(first.place(0, last.end - first.start))
        except (Corrupt, NotFound):
            return some
        return [_filled(one, media, first.start) for one in some]

    def _entry(self, head: Row[Any], one: Record) -> Entry:
        if one.reason is not None:
            return Rejected(one.sample_id, one.reason, one.message)
        try:
            return sample_of(head.name, one, self.blobs.get)
        except Corrupt:
            (now,) = self._records(head, [one.offset])
            if now.reason is None:
                raise
            return self._entry(head, now)  # it has expired since the page was read


def sample_of(stream: str, one: Record, blob: Callable[[str], bytes]) -> Sample:
    """The sample of a record, checked against its hash."""
    try:
        region = one.region
        media = one.payload if region is None else blob(region.place(0, region.length))
        parts = content.unpack(one.parts, media)
        sample = Sample(one.sample_id, parts, one.event_time_us, one.labels)
        if content.digest(sample) == one.hash:
            return sample
    except NotFound as error:
        raise Corrupt(f"offset {one.offset} of stream {stream} has lost its media") from error
    except (Corrupt, *DAMAGE) as error:
        raise _damaged(stream, one.offset) from error
    raise _damaged(stream, one.offset)


def _neighbours(found: Iterable[Record]) -> Iterator[list[Record]]:
    """Records whose media lie one behind the other in a region, as many as are read at once."""
    some: list[Record] = []
    try:
        for one in found:
            if some and not _follows(one.region, some[0].region, some[-1].region):
                yield some
                some = []
            some.append(one)
    except RankspaceError:
        if some:
            yield some  # what was found before it is sound
        raise
    if some:
        yield some


def _follows(region: Region | None, first: Region | None, last: Region | None) -> bool:
    """Whether media lie behind the last, and not too far from the first."""
    if region is None or first is None or last is None:
        return False
    near = region.end - first.start <= _AT_ONCE
    return region.name == last.name and region.start == last.end and near


def _filled(one: Record, media: bytes, start: int) -> Record:
    """A record with its part of these bytes of its region."""
    if one.region is None:
        return one
    at = one.region.start - start
    return one._replace(payload=media[at : at + one.region.length], region=None)


def _hollow(stream: str, one: Record) -> Entry:
    """What a record is, with media that are empty."""
    if one.reason is not None:
        return Rejected(one.sample_id, one.reason, one.message)
    try:
        return Sample(one.sample_id, content.outline(one.parts), one.event_time_us, one.labels)
    except DAMAGE as error:
        raise _damaged(stream, one.offset) from error


def _damaged(stream: str, offset: int) -> Corrupt:
    return Corrupt(f"offset {offset} of stream {stream} does not hold what was written")
