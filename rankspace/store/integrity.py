"""Whether everything that is kept is what was written, and what to do with what is not.

`check` reads every record and every blob: each sample has the content hash it came with, the hashes
of a stream chain up to its digest, refused samples that are kept have theirs, and the database
finds its own pages in order. `set_aside` moves a damaged record out of its stream into quarantine,
where its row stays as it was found (media that lie in a region are freed with that); a tombstone
with the reason takes its place, so that readers go on and nobody takes the gap for nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, insert, select, update

from rankspace.errors import Corrupt, InvalidInput, RankspaceError, Refused
from rankspace.store import content
from rankspace.store.append import stream_row
from rankspace.store.database import Database, now_us
from rankspace.store.log import Log
from rankspace.store.records import Brief, briefs, overlapping
from rankspace.store.rejects import Rejects
from rankspace.store.rows import insert_many
from rankspace.store.schema import quarantine, runs, streams, tombstones

QUARANTINED = "QUARANTINED"
_PAGE = 64  # records that are checked together while all of them are sound


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not what was written."""

    stream: str
    """Empty: the database itself."""

    offset: int
    """-1: the stream as a whole."""

    what: str


class Integrity:
    """The checks of one store; safe to use while it is written to."""

    def __init__(self, database: Database, log: Log, rejects: Rejects) -> None:
        self._database = database
        self._log = log
        self._rejects = rejects

    def check(self) -> Iterator[Damage]:
        """All damage there is, stream by stream; takes as long as reading everything does."""
        for what in self._database.check():
            yield Damage("", -1, what)
        token, more = "", True
        while more:
            page = self._log.list(100, token)
            for stream in page.items:
                yield from self._records(stream.name, stream.next_offset)
                yield from self._digest(stream.name, stream.next_offset, stream.digest)
                yield from self._kept(stream.name)
            token = page.next_token
            more = bool(token)

    def set_aside(self, stream: str, offsets: Iterable[int]) -> int:
        """Put damaged records into quarantine, tombstones into their places; return how many."""
        done = 0
        for offset in offsets:
            problem = self._problem(stream, offset)
            if problem is None:
                raise Refused(f"offset {offset} of stream {stream} is what was written; it stays")
            with self._database.write() as connection:
                _move(connection, stream_row(connection, stream, lock=True), offset, problem)
            done += 1
        return done

    def _records(self, stream: str, stop: int) -> Iterator[Damage]:
        for start in range(0, stop, _PAGE):
            offsets = range(start, min(start + _PAGE, stop))
            if self._sound(stream, offsets):
                continue
            for offset in offsets:
                problem = self._problem(stream, offset)
                if problem is not None:
                    yield Damage(stream, offset, problem)

    def _sound(self, stream: str, offsets: range) -> bool:
        try:
            for _ in self._log.records(stream, offsets.start, offsets.stop):
                pass
        except Corrupt:
            return False
        return True

    def _problem(self, stream: str, offset: int) -> str | None:
        """What is wrong with one record."""
        if not 0 <= offset < self._log.next_offset(stream):
            raise InvalidInput(f"stream {stream} has no offset {offset}", "offset")
        try:
            list(self._log.records(stream, offset, offset + 1))
        except Corrupt as error:
            return error.message
        return None

    def _kept(self, stream: str) -> Iterator[Damage]:
        try:
            for kept in self._rejects.damaged(stream):
                yield Damage(stream, kept.offset, kept.message)
        except Corrupt as error:
            yield Damage(stream, -1, error.message)

    def _digest(self, stream: str, stop: int, expected: str) -> Iterator[Damage]:
        digest, count = bytes(32), 0
        try:
            for found in self._log.hashes(stream, stop):
                digest, count = content.chain(digest, found), count + 1
        except (Corrupt, TypeError) as error:
            yield Damage(stream, -1, f"its hashes cannot be read: {_said(error)}")
            return
        if count != stop:
            yield Damage(stream, -1, f"it has {count} records of {stop}")
        elif digest.hex() != expected:
            yield Damage(stream, -1, "the hashes of its records do not chain up to its digest")


def _move(connection: Connection, head: Row[Any], offset: int, problem: str) -> None:
    now = now_us()
    where = _at(tombstones, head, offset)
    before = connection.scalar(select(tombstones.c.hash).where(*where))
    connection.execute(delete(tombstones).where(*where))  # what it hid counts, if anything
    lost = Brief(offset, now, before or bytes(32), "", 0, False)
    one = next(iter(briefs(connection, head.id, offset, offset)), lost)
    buried = head.id, offset, one.created_us, one.hash, "", QUARANTINED, problem
    insert_many(connection, tombstones, [buried])
    kept = select(runs.c.first).where(*overlapping(head.id, offset, offset)).order_by(runs.c.first)
    first = connection.scalar(kept.limit(1))
    row = {"stream_id": head.id, "offset": offset, "created_us": now, "problem": problem}
    same = quarantine.c.stream_id == head.id, quarantine.c.first == first
    there = connection.execute(select(quarantine.c.offset).where(*same).limit(1)).first()
    connection.execute(insert(quarantine).values(**row, first=first))
    if first is not None and there is None:  # as it is, without anybody looking into it
        found = [
            select(runs.c[name]).where(*_at(runs, head, first)).scalar_subquery()
            for name in _AS_FOUND
        ]
        copied = dict(zip(_AS_FOUND, found, strict=True))
        connection.execute(update(quarantine).where(*_at(quarantine, head, offset)).values(copied))
    counted = offset >= head.first_kept and one.hash != before
    left = head.kept_bytes - (one.size if counted else 0)
    connection.execute(update(streams).where(streams.c.id == head.id).values(kept_bytes=left))


_AS_FOUND = ("hashes", "told", "payload")


def _at(table: Table, head: Row[Any], offset: int) -> tuple[ColumnElement[bool], ...]:
    """The row of a table at an offset of a stream."""
    stream, at = list(table.primary_key)
    return stream == head.id, at == offset


def _said(error: RankspaceError | TypeError) -> str:
    return error.message if isinstance(error, RankspaceError) else "they are of another type"
