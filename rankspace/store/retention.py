"""What a stream no longer keeps: samples that expire, streams that were deleted.

A sample that is older than its stream's retention, or lies before the newest bytes that it keeps,
becomes a tombstone: its media and labels go (large ones with the last sample of their batch), its
offset and its hash stay, so offsets have no gap and the stream's digest can still be checked. Only
ever the oldest samples expire, so all before `first_kept` is gone. Both kinds go in steps of so
many rows, each a transaction of its own: nobody waits long for them, and a crash leaves a step done
or not done.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, null, select, update

from rankspace.store.blobs import Blobs, Region
from rankspace.store.database import Database, now_us
from rankspace.store.schema import records, regions, streams

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


def _oldest(connection: Connection, head: Row[Any]) -> list[Any]:
    """The first records that are still there and should not be, at most one step of them."""
    columns = records.c.offset, records.c.created_us, records.c.bytes, records.c.reject_reason
    where = records.c.stream_id == head.id, records.c.offset >= head.first_kept
    query = select(*columns).where(*where).order_by(records.c.offset).limit(_STEP)
    born = now_us() - head.retention_age_s * 1_000_000 if head.retention_age_s else 0
    excess = head.kept_bytes - head.retention_bytes if head.retention_bytes else 0
    found: list[Any] = []
    for row in connection.execute(query).all():
        if row.created_us >= born and excess <= 0:
            break
        found.append(row)
        excess -= row.bytes
    return found


def _bury(connection: Connection, head: Row[Any], rows: list[Any]) -> int:
    """Make tombstones of records; those that are tombstones already stay what they are."""
    first, last = rows[0].offset, rows[-1].offset
    where = records.c.stream_id == head.id, records.c.offset.between(first, last)
    blank = {"labels": null(), "parts": null(), "payload": null(), "bytes": 0}
    buried = update(records).where(*where, records.c.reject_reason.is_(None))
    connection.execute(buried.values(reject_reason=EXPIRED, reject_message=MESSAGE, **blank))
    kept = head.kept_bytes - sum(row.bytes for row in rows)
    changed = {"first_kept": last + 1, "kept_bytes": kept}
    connection.execute(update(streams).where(streams.c.id == head.id).values(**changed))
    return sum(row.reject_reason is None for row in rows)


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
        where = records.c.stream_id == stream
        query = select(records.c.offset).where(where).order_by(records.c.offset).limit(_STEP)
        offsets = connection.scalars(query).all()
        if offsets:
            connection.execute(delete(records).where(where, records.c.offset <= offsets[-1]))
            return _free(connection, stream, offsets[-1])
        connection.execute(delete(streams).where(streams.c.id == stream, streams.c.deleted))
    return None
