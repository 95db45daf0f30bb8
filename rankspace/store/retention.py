"""What a stream no longer keeps: samples that expire, streams that were deleted.

A sample that is older than its stream's retention, or lies before the newest bytes that it keeps,
becomes a tombstone: its media and labels go (with the last sample of their run, large ones with the
last of their batch), its offset and its hash stay, so offsets have no gap and the stream's digest
can still be checked. Only ever the oldest samples expire, so all before `first_kept` is gone. Both
kinds go in steps of so many rows, each a transaction of its own: nobody waits long for them, and a
crash leaves a step done or not done.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, delete, func, select, update

from rankspace.store.blobs import Blobs, Region
from rankspace.store.database import Database, now_us
from rankspace.store.records import Brief, briefs
from rankspace.store.rows import insert_many
from rankspace.store.schema import regions, runs, streams, tombstones

_STEP = 256  # rows of one transaction
EXPIRED = "EXPIRED"
MESSAGE = "the stream keeps samples no longer than this"


def expire(database: Database, blobs: Blobs) -> int:
    """Bring every stream to what it keeps; return how many samples have expired."""
    bounded = (streams.c.retention_age_s > 0) | (streams.c.retention_bytes > 0)
    with database.read() as connection:
        found = connection.scalars(select(streams.c.id).where(bounded, ~streams.c.deleted)).all()
    return sum(_expire_stream(database, blobs, stream) for stream in found)


def purge(database: Database, blobs: Blobs) -> int:
    """Remove deleted streams with their records and regions; return how many regions."""
    with database.read() as connection:
        found = connection.scalars(select(streams.c.id).where(streams.c.deleted)).all()
    purged = 0
    for stream in found:
        while (freed := _purge_step(database, stream)) is not None:
            blobs.free(freed)
            purged += len(freed)
    return purged


def _expire_stream(database: Database, blobs: Blobs, stream: int) -> int:
    total, more = 0, True
    while more:
        freed: Sequence[Region] = ()
        with database.write() as connection:
            query = select(streams).where(streams.c.id == stream, ~streams.c.deleted)
            head = connection.execute(query.with_for_update()).one_or_none()
            rows = _oldest(connection, head) if head is not None else []
            more = len(rows) == _STEP
            if head is not None and rows:
                total += _bury(connection, head, rows)
                freed = _free(connection, stream, rows[-1].offset)
        blobs.free(freed)
    return total


def _oldest(connection: Connection, head: Row[Any]) -> list[Brief]:
    """The first records that are still there and should not be, at most one step of them."""
    last = min(head.first_kept + _STEP, head.next_offset) - 1
    born = now_us() - head.retention_age_s * 1_000_000 if head.retention_age_s else 0
    excess = head.kept_bytes - head.retention_bytes if head.retention_bytes else 0
    found: list[Brief] = []
    for one in briefs(connection, head.id, head.first_kept, last):
        if one.created_us >= born and excess <= 0:
            break
        found.append(one)
        excess -= one.size
    return found


def _bury(connection: Connection, head: Row[Any], found: list[Brief]) -> int:
    """Make tombstones of records; those that are tombstones already stay what they are."""
    buried = [
        (head.id, one.offset, one.created_us, one.hash, one.sample_id, EXPIRED, MESSAGE)
        for one in found
        if not one.gone
    ]
    insert_many(connection, tombstones, buried)
    last = found[-1].offset
    connection.execute(delete(runs).where(runs.c.stream_id == head.id, runs.c.last <= last))
    kept = head.kept_bytes - sum(one.size for one in found)
    changed = {"first_kept": last + 1, "kept_bytes": kept}
    connection.execute(update(streams).where(streams.c.id == head.id).values(**changed))
    return len(buried)


def _free(connection: Connection, stream: int, last: int) -> Sequence[Region]:
    """Forget the regions that hold nothing after an offset; which they are."""
    where = regions.c.stream_id == stream, regions.c.last <= last
    query = select(regions.c.name, regions.c.start, regions.c.length).where(*where)
    freed = [Region(*row) for row in connection.execute(query)]
    connection.execute(delete(regions).where(*where))
    return freed


def _purge_step(database: Database, stream: int) -> Sequence[Region] | None:
    """Remove some records of a deleted stream; the regions that are free now, None: it is gone."""
    with database.write() as connection:
        last = [_last(connection, table, at, stream) for table, at in _ENDS]
        ends = [end for end in last if end is not None]
        if ends:
            for table, at in _ENDS:
                gone = delete(table).where(table.c.stream_id == stream, at <= min(ends))
                connection.execute(gone)
            return _free(connection, stream, min(ends))
        connection.execute(delete(streams).where(streams.c.id == stream, streams.c.deleted))
    return None


_ENDS = ((runs, runs.c.last), (tombstones, tombstones.c.offset))
"""Of what lies at the offsets of a stream, and where each ends."""


def _last(connection: Connection, table: Table, at: Column[Any], stream: int) -> int | None:
    """Where a step of its rows ends; None: there are none."""
    ends = select(at.label("end")).where(table.c.stream_id == stream).order_by(at).limit(_STEP)
    found: int | None = connection.scalar(select(func.max(ends.subquery().c.end)))
    return found
