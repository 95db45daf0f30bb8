"""Compare and append: what happens to a batch of samples inside one transaction.

A stream's row is locked first, so one writer is inside at a time and offsets leave no gap. A batch
may begin before the end of the stream: what is there already must have the same content hash, the
rest is appended. A retry is therefore harmless however the client has cut its batches anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from rankspace.errors import (
    ContentConflict,
    Fenced,
    InvalidInput,
    NotFound,
    OffsetGap,
    StreamFinalized,
)
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.entries import Appended, Rejected
from rankspace.store.schema import blob_uses, records, streams


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample, ready to become a row."""

    sample: Sample | Rejected
    hash: bytes
    packed: content.Packed


def stream_row(connection: Connection, name: str, lock: bool = False) -> Row[Any]:
    """A stream's row; locked against other writers until the transaction ends, if asked for."""
    query = select(streams).where(streams.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no stream {name}", "stream")
    return row


def fence(connection: Connection, row: Row[Any], epoch: int) -> None:
    """Refuse a writer older than the newest; remember one that is newer. Epoch 0 takes no part."""
    if 0 < epoch < row.epoch:
        raise Fenced(
            f"writer epoch {epoch} of stream {row.name} is over, epoch {row.epoch} writes now; "
            "open the stream anew to go on"
        )
    if epoch > row.epoch:
        connection.execute(update(streams).where(streams.c.id == row.id).values(epoch=epoch))


def compare_and_append(
    connection: Connection,
    stream: str,
    offset: int | None,
    batch: Sequence[Prepared],
    epoch: int,
) -> Appended:
    """Append what is new of a batch, or nothing; see `Log.append`."""
    row = stream_row(connection, stream, lock=True)
    fence(connection, row, epoch)
    first = row.next_offset if offset is None else offset
    if first < 0:
        raise InvalidInput("offsets count from 0", "offset")
    if first > row.next_offset:
        raise OffsetGap(
            f"offset {first} leaves a gap in stream {stream}; expected {row.next_offset}", "offset"
        )
    there = min(row.next_offset - first, len(batch))
    _compare(connection, row, first, batch[:there])
    if there < len(batch):
        _extend(connection, row, batch[there:])
    return Appended(first, first + len(batch), duplicate=there == len(batch))


def _compare(connection: Connection, row: Row[Any], first: int, batch: Sequence[Prepared]) -> None:
    """Refuse other content where there is content already."""
    last = first + len(batch) - 1
    where = records.c.stream_id == row.id, records.c.offset.between(first, last)
    query = select(records.c.offset, records.c.hash).where(*where).order_by(records.c.offset)
    for (offset, found), sent in zip(connection.execute(query), batch, strict=True):
        if found != sent.hash:
            raise ContentConflict(
                f"offset {offset} of stream {row.name} holds other content; append new samples at "
                f"offset {row.next_offset}",
                "offset",
            )


def _extend(connection: Connection, row: Row[Any], batch: Sequence[Prepared]) -> None:
    """Add records at the end and bring the stream's figures up to date."""
    if row.finalized:
        raise StreamFinalized(f"stream {row.name} is finalized and takes no more samples", "stream")
    rows = [_record(row.id, row.next_offset + at, new) for at, new in enumerate(batch)]
    connection.execute(insert(records), rows)
    uses = [
        {"hash": name, "stream_id": row.id, "offset": row.next_offset + at}
        for at, new in enumerate(batch)
        for name in new.packed.blobs
    ]
    if uses:
        connection.execute(insert(blob_uses), uses)
    connection.execute(update(streams).where(streams.c.id == row.id).values(**_figures(row, batch)))


def _figures(row: Row[Any], batch: Sequence[Prepared]) -> dict[str, Any]:
    taken = [new.sample for new in batch if isinstance(new.sample, Sample)]
    digest = row.digest
    for new in batch:
        digest = content.chain(digest, new.hash)
    return {
        "next_offset": row.next_offset + len(batch),
        "rejected": row.rejected + len(batch) - len(taken),
        "bytes": row.bytes + sum(map(content.media_bytes, taken)),
        "digest": digest,
    }


def _record(stream_id: int, offset: int, new: Prepared) -> dict[str, Any]:
    sample = new.sample
    key = {"stream_id": stream_id, "offset": offset, "hash": new.hash}
    if isinstance(sample, Rejected):
        return key | {
            "sample_id": sample.sample_id, "event_time_us": 0, "labels": None, "parts": None,
            "payload": None, "reject_reason": sample.reason, "reject_message": sample.message,
        }  # fmt: skip
    return key | {
        "sample_id": sample.sample_id, "event_time_us": sample.event_time_us,
        "labels": dict(sample.labels), "parts": new.packed.parts,
        "payload": bytes(new.packed.payload), "reject_reason": None, "reject_message": None,
    }  # fmt: skip
