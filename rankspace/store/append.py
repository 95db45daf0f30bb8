"""Compare and append: what happens to batches of samples inside one transaction.

The rows of the streams are locked first, in one order for all, so one writer is inside a stream at
a time, offsets leave no gap, and two groups never wait for each other. Then every batch is judged
before anything is written: one that is refused leaves no trace and harms none of the others.

A batch may begin before the end of its stream: what is there already must have the same content
hash, the rest is appended. A retry is therefore harmless however the client has cut its batches
anew. What a group has appended counts for the batches after it in the same group.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Row, select, update
from sqlalchemy.sql import bindparam

from rankspace.errors import (
    ContentConflict,
    Corrupt,
    Fenced,
    InvalidInput,
    NotFound,
    OffsetGap,
    RankspaceError,
    StreamFinalized,
)
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.database import insert_many, now_us
from rankspace.store.entries import Appended, Durability, Outcome, Rejected
from rankspace.store.schema import blobs, records, streams


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample, ready to become a row."""

    sample_id: str
    event_time_us: int
    hash: bytes
    size: int
    """Media bytes, as sent."""

    labels: str | None
    parts: str | None
    payload: bytes | None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What somebody wants appended, ready to become rows."""

    stream: str
    offset: int | None
    samples: Sequence[Prepared]
    epoch: int = 0
    durability: Durability = "synced"
    blob: str = ""
    """Where its large media are already; empty: it has none."""

    @property
    def size(self) -> int:
        """Media bytes."""
        return sum(new.size for new in self.samples)


@dataclass(slots=True)
class _Head:
    """A stream as the transaction finds it, and as the batches so far would leave it."""

    row: Row[Any]
    epoch: int
    digest: bytes
    rejected: int
    size: int
    kept: int
    added: list[Prepared] = field(default_factory=list)
    blobs: list[tuple[str, int]] = field(default_factory=list)
    """Each with the last offset whose media it holds."""

    @property
    def next(self) -> int:
        return self.row.next_offset + len(self.added)


def prepare(
    sample: Sample | Rejected, inline_bytes_max: int, large: Callable[[bytes], str]
) -> Prepared:
    """Hash a sample and lay it out; this is what takes long, and it needs no database."""
    if "\0" in sample.sample_id:
        raise InvalidInput("a sample id holds no NUL", "sample_id")
    found = content.digest(sample)
    if isinstance(sample, Rejected):
        return Prepared(
            sample.sample_id, 0, found, 0, None, None, None, sample.reason, sample.message
        )
    packed = content.pack(sample, inline_bytes_max, large)
    return Prepared(
        sample.sample_id,
        sample.event_time_us,
        found,
        content.media_bytes(sample),
        to_json(dict(sample.labels)).decode() if sample.labels else "{}",
        to_json(packed.parts).decode(),
        packed.payload,
    )


def stream_row(connection: Connection, name: str, lock: bool = False) -> Row[Any]:
    """A stream's row; locked against other writers until the transaction ends, if asked for."""
    query = select(streams).where(streams.c.name == name, ~streams.c.deleted)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no stream {name}", "stream")
    return row


def fence(connection: Connection, row: Row[Any], epoch: int) -> None:
    """Refuse a writer older than the newest; remember one that is newer. Epoch 0 takes no part."""
    newest = _newest(row.name, row.epoch, epoch)
    if newest > row.epoch:
        connection.execute(update(streams).where(streams.c.id == row.id).values(epoch=newest))


def _newest(name: str, known: int, epoch: int) -> int:
    if 0 < epoch < known:
        raise Fenced(
            f"writer epoch {epoch} of stream {name} is over, epoch {known} writes now; "
            "open the stream anew to go on"
        )
    return max(known, epoch)


def compare_and_append(connection: Connection, batches: Sequence[Batch]) -> list[Outcome]:
    """Append what is new of each batch, or nothing of it; see `Log.append`."""
    heads = _lock(connection, {batch.stream for batch in batches})
    outcomes: list[Outcome] = []
    for batch in batches:
        try:
            outcomes.append(_place(connection, heads.get(batch.stream), batch))
        except RankspaceError as error:
            outcomes.append(error)
    _write(connection, heads.values())
    return outcomes


def _lock(connection: Connection, names: set[str]) -> dict[str, _Head]:
    query = select(streams).where(streams.c.name.in_(sorted(names)), ~streams.c.deleted)
    rows = connection.execute(query.order_by(streams.c.id).with_for_update())
    return {
        row.name: _Head(row, row.epoch, row.digest, row.rejected, row.bytes, row.kept_bytes)
        for row in rows
    }


def _place(connection: Connection, head: _Head | None, batch: Batch) -> Appended:
    """Judge a batch; if it is taken, its head says so, and no other trace is left."""
    if head is None:
        raise NotFound(f"there is no stream {batch.stream}", "stream")
    epoch = _newest(batch.stream, head.epoch, batch.epoch)
    first = head.next if batch.offset is None else batch.offset
    if first < 0:
        raise InvalidInput("offsets count from 0", "offset")
    if first > head.next:
        raise OffsetGap(
            f"offset {first} leaves a gap in stream {batch.stream}; expected {head.next}",
            "offset",
            facts={"expected_offset": str(head.next)},
        )
    there = min(head.next - first, len(batch.samples))
    _compare(connection, head, first, batch.samples[:there])
    new = batch.samples[there:]
    if new and head.row.finalized:
        raise StreamFinalized(
            f"stream {batch.stream} is finalized and takes no more samples", "stream"
        )
    _extend(head, epoch, new)
    if new and batch.blob:
        head.blobs.append((batch.blob, head.next - 1))
    return Appended(first, first + len(batch.samples), not new, batch.durability)


def _compare(connection: Connection, head: _Head, first: int, sent: Sequence[Prepared]) -> None:
    """Refuse other content where there is content already."""
    stored = max(0, min(head.row.next_offset - first, len(sent)))
    found = _hashes(connection, head, first, stored) if stored else []
    begun = first + stored - head.row.next_offset
    found += [new.hash for new in head.added[begun : begun + len(sent) - stored]]
    for at, (there, new) in enumerate(zip(found, sent, strict=True)):
        if there != new.hash:
            raise ContentConflict(
                f"offset {first + at} of stream {head.row.name} holds other content "
                f"({there.hex()}, not {new.hash.hex()}); append new samples at offset {head.next}",
                "offset",
                facts={
                    "offset": str(first + at), "next_offset": str(head.next),
                    "stored_hash": there.hex(), "sent_hash": new.hash.hex(),
                },
            )  # fmt: skip


def _hashes(connection: Connection, head: _Head, first: int, count: int) -> list[bytes]:
    where = records.c.stream_id == head.row.id, records.c.offset.between(first, first + count - 1)
    query = select(records.c.offset, records.c.hash).where(*where).order_by(records.c.offset)
    rows = connection.execute(query).all()
    if [row.offset for row in rows] != list(range(first, first + count)):
        raise Corrupt(f"stream {head.row.name} has lost records from offset {first} on")
    return [row.hash for row in rows]


def _extend(head: _Head, epoch: int, new: Sequence[Prepared]) -> None:
    """Bring a stream's figures up to date."""
    head.epoch = epoch
    head.added.extend(new)
    for one in new:
        head.digest = content.chain(head.digest, one.hash)
        head.rejected += one.reason is not None
        head.size += one.size
        head.kept += one.size


def _write(connection: Connection, heads: Iterable[_Head]) -> None:
    """Add the records of all batches that were taken."""
    changed = [head for head in heads if head.added or head.epoch != head.row.epoch]
    now = now_us()
    rows = [row for head in changed for row in _records(head, now)]
    if rows:
        insert_many(connection, records, rows)
    named = [(name, head.row.id, last) for head in changed for name, last in head.blobs]
    if named:
        insert_many(connection, blobs, named)
    if changed:
        connection.execute(_ADVANCE, [_figures(head) for head in changed])


def _records(head: _Head, now: int) -> Iterable[tuple[Any, ...]]:
    """Rows in the order of the table's columns."""
    for offset, new in enumerate(head.added, head.row.next_offset):
        yield (
            head.row.id, offset, new.hash, new.sample_id, new.event_time_us, now, new.size,
            new.reason, new.message, new.labels, new.parts, new.payload,
        )  # fmt: skip


_ADVANCE = (
    update(streams)
    .where(streams.c.id == bindparam("stream"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("next_offset", "rejected", "bytes", "kept_bytes", "epoch", "digest")
        }
    )
)


def _figures(head: _Head) -> dict[str, Any]:
    return {
        "stream": head.row.id,
        "new_next_offset": head.next,
        "new_rejected": head.rejected,
        "new_bytes": head.size,
        "new_kept_bytes": head.kept,
        "new_epoch": head.epoch,
        "new_digest": head.digest,
    }
