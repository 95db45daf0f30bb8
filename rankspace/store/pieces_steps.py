"""What one step does to a growing medium, inside a transaction that has locked its stream.

`stream` and `medium` are rows.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from rankspace.errors import (
    ContentConflict,
    Corrupt,
    InvalidInput,
    NotFound,
    OffsetGap,
    Overloaded,
    Refused,
    StreamFinalized,
)
from rankspace.media.sample import Part
from rankspace.store.database import now_us
from rankspace.store.growing import Abandon, Begin, Chunk, End, Grown, Medium
from rankspace.store.schema import growing, pieces


def begin(connection: Connection, stream: Row[Any], step: Begin, media_max: int) -> Grown:
    """Make a medium, unless it is there."""
    head = asdict(step.head)
    if found := _found(connection, stream, step.media_id):
        if found.head != head:
            raise ContentConflict(
                f"medium {step.media_id} was begun as another one; choose another id",
                "piece.media_id",
            )
        return grown(found, duplicate=True)
    if stream.finalized:
        raise StreamFinalized(f"stream {stream.name} is finalized and takes no more samples")
    where = growing.c.stream_id == stream.id, growing.c.taken.is_(False)
    count = connection.scalar(select(func.count()).select_from(growing).where(*where)) or 0
    if count >= media_max:
        raise Overloaded(
            f"{count} media grow in stream {stream.name} already; end or abandon one",
            retry_after_s=1.0,
        )
    now = now_us()
    values = {"stream_id": stream.id, "media_id": step.media_id, "head": head, "sha256": b""}
    values |= {"position": 0, "ended": False, "taken": False, "begun_us": now, "touched_us": now}
    connection.execute(insert(growing).values(**values))
    return Grown(step.media_id, 0)


def extend(connection: Connection, stream: Row[Any], step: Chunk) -> Grown:
    """Store what is new of a chunk."""
    medium = named(connection, stream, step.media_id)
    known = min(medium.position - step.position, len(step.data))
    if known < 0:
        raise OffsetGap(
            f"the chunk leaves a gap in medium {step.media_id}; expected {medium.position}",
            "piece.position",
            facts={"expected_position": str(medium.position)},
        )
    if known:
        _compare(connection, medium, step, known)
    if known == len(step.data):
        return grown(medium, duplicate=True)
    if medium.ended:
        raise Refused(f"medium {step.media_id} has ended at {medium.position} bytes; begin another")
    key = {"stream_id": medium.stream_id, "media_id": medium.media_id}
    new = step.data[known:]
    connection.execute(insert(pieces).values(**key, position=medium.position, data=new))
    position = medium.position + len(new)
    _write(connection, medium, position=position, touched_us=now_us())
    return Grown(step.media_id, position)


def end(connection: Connection, stream: Row[Any], step: End, sha256: bytes) -> Grown:
    """Close a medium, if it is the one that was sent; `sha256` is of what is there."""
    medium = named(connection, stream, step.media_id)
    if medium.position < step.size:
        raise OffsetGap(
            f"medium {step.media_id} has {medium.position} of {step.size} bytes; send the rest",
            "piece.end.bytes",
            facts={"expected_position": str(medium.position)},
        )
    if medium.position > step.size:
        raise InvalidInput(
            f"medium {step.media_id} has {medium.position} bytes, not {step.size}; abandon it",
            "piece.end.bytes",
        )
    if step.sha256 and step.sha256 != sha256:
        raise InvalidInput(
            f"medium {step.media_id} does not have this hash; abandon it and send it again",
            "piece.end.sha256",
        )
    if not medium.ended:
        _write(connection, medium, ended=True, sha256=sha256, touched_us=now_us())
    return Grown(step.media_id, medium.position, ended=True, duplicate=medium.ended)


def abandon(connection: Connection, stream: Row[Any], step: Abandon) -> Grown:
    """Remove a medium, if it is there."""
    key = growing.c.stream_id == stream.id, growing.c.media_id == step.media_id
    gone = connection.execute(delete(growing).where(*key)).rowcount
    return Grown(step.media_id, 0, duplicate=not gone)


def named(connection: Connection, stream: Row[Any], media_id: str) -> Row[Any]:
    """The medium of this name."""
    found = _found(connection, stream, media_id)
    if found is None:
        raise NotFound(
            f"medium {media_id} was never begun, or is gone; begin it and send it from its start",
            "piece.media_id",
            facts={"media_id": media_id},
        )
    return found


def grown(medium: Row[Any], duplicate: bool = False) -> Grown:
    """How far a medium has come."""
    return Grown(medium.media_id, medium.position, medium.ended, duplicate)


def whole(connection: Connection, medium: Row[Any]) -> Medium:
    """A medium that has ended, checked against its hash."""
    if not medium.ended:
        raise Refused(
            f"medium {medium.media_id} has not ended; end it first",
            facts={"media_id": medium.media_id},
        )
    found = _pieces(connection, medium.stream_id, medium.media_id)
    data = b"".join(data for _, data in found)
    if hashlib.sha256(data).digest() != medium.sha256:
        raise Corrupt(f"medium {medium.media_id} does not hold what was written; send it again")
    head = dict(medium.head)
    event_time_us = head.pop("event_time_us")
    return Medium(Part(data=data, **head), event_time_us)


def hashed(connection: Connection, stream: Row[Any], media_id: str) -> bytes:
    """SHA-256 of what there is of a medium."""
    hasher = hashlib.sha256()
    for _, data in _pieces(connection, stream.id, media_id):
        hasher.update(data)
    return hasher.digest()


def _found(connection: Connection, stream: Row[Any], media_id: str) -> Row[Any] | None:
    where = growing.c.stream_id == stream.id, growing.c.media_id == media_id
    return connection.execute(select(growing).where(*where)).one_or_none()


def _compare(connection: Connection, medium: Row[Any], step: Chunk, known: int) -> None:
    """Refuse other bytes where there are bytes already."""
    at, stop = step.position, step.position + known
    for start, data in _pieces(connection, medium.stream_id, medium.media_id, at, stop):
        until = min(start + len(data), stop)
        sent = step.data[at - step.position : until - step.position]
        if data[at - start : until - start] != sent:
            raise ContentConflict(
                f"medium {step.media_id} has other bytes from {at} to {until}; choose another id",
                "piece.chunk",
            )
        at = until


def _pieces(
    connection: Connection, stream_id: int, media_id: str, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Where each piece begins and its bytes, as far as they reach into [start, stop)."""
    where = [pieces.c.stream_id == stream_id, pieces.c.media_id == media_id]
    if start:
        before = select(func.max(pieces.c.position)).where(*where, pieces.c.position <= start)
        where.append(pieces.c.position >= before.scalar_subquery())
    if stop is not None:
        where.append(pieces.c.position < stop)
    query = select(pieces.c.position, pieces.c.data).where(*where).order_by(pieces.c.position)
    for row in connection.execute(query).yield_per(16):
        yield row.position, row.data


def _write(connection: Connection, medium: Row[Any], **values: object) -> None:
    key = growing.c.stream_id == medium.stream_id, growing.c.media_id == medium.media_id
    connection.execute(update(growing).where(*key).values(**values))
