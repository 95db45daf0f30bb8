"""Compare and append: what happens to batches of samples inside one transaction.

The rows of the streams are locked first, in one order for all, so one writer is inside a stream at
a time, offsets leave no gap, and two groups never wait for each other. Then every batch is judged
before anything is written: one that is refused leaves no trace and harms none of the others.

A batch may begin before the end of its stream: what is there already must have the same content
hash, the rest is appended. A retry is therefore harmless however the client has cut its batches
anew. What a group has appended counts for the batches after it in the same group.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
from rankspace.store.blobs import Region
from rankspace.store.content import Pile
from rankspace.store.database import insert_many, now_us
from rankspace.store.entries import Appended, Durability, Outcome, Rejected
from rankspace.store.marks import touch
from rankspace.store.schema import records, regions, streams


class Prepared(NamedTuple):
    """A sample, ready to become a row: the columns after the time at which it was stored."""

    hash: bytes
    sample_id: str
    event_time_us: int
    size: int
    """Media bytes, as sent."""

    reason: str | None = None
    message: str | None = None
    labels: str | None = None
    parts: str | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What somebody wants appended, ready to become rows."""

    stream: str
    offset: int | None
    samples: Sequence[Prepared]
    epoch: int = 0
    durability: Durability = "synced"
    region: Region | None = None
    """Where its large media are already."""

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
    regions: list[tuple[Region, int]] = field(default_factory=list)
    """Each with the last offset whose media it holds."""

    @property
    def next(self) -> int:
        return self.row.next_offset + len(self.added)


def prepare(samples: Sequence[Sample | Rejected], inline_bytes_max: int, pile: Pile) -> "Drafts":
    """Hash samples and lay them out; this is what takes long, and it needs no database."""
    return [_prepare(sample, inline_bytes_max, pile) for sample in samples]


def placed(drafts: "Drafts", region: Region | None) -> list[Prepared]:
    """The same, now that it is known where their large media are."""
    return [
        row if packed is None else row._replace(parts=packed.parts(region))
        for row, packed in drafts
    ]


Drafts = list[tuple[Prepared, content.Packed | None]]
"""Samples, and the places of those that have large media."""


def _prepare(
    sample: Sample | Rejected, inline_bytes_max: int, pile: Pile
) -> tuple[Prepared, content.Packed | None]:
    if "\0" in sample.sample_id:
        raise InvalidInput("a sample id holds no NUL", "sample_id")
    found = content.digest(sample)
    if isinstance(sample, Rejected):
        return Prepared(found, sample.sample_id, 0, 0, sample.reason, sample.message), None
    before = pile.size
    packed = content.pack(sample, inline_bytes_max, pile)
    there = pile.size == before
    row = Prepared(
        found, sample.sample_id, sample.event_time_us, content.media_bytes(sample), None, None,
        content.labels_json(sample.labels), packed.parts() if there else None, packed.payload,
    )  # fmt: skip
    return row, None if there else packed


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
    wrote = _write(connection, heads.values())
    if not wrote and any(isinstance(outcome, Appended) for outcome in outcomes):
        touch(connection)  # what is acknowledged once more may have been written, not synced
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
    if new and batch.region:
        head.regions.append((batch.region, head.next - 1))
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


def _write(connection: Connection, heads: Iterable[_Head]) -> bool:
    """Add the records of all batches that were taken; whether there was anything to write."""
    changed = [head for head in heads if head.added or head.epoch != head.row.epoch]
    now = now_us()
    rows = [
        (head.row.id, offset, now, *new)
        for head in changed
        for offset, new in enumerate(head.added, head.row.next_offset)
    ]
    insert_many(connection, records, rows)
    named = [
        (region.name, region.start, region.length, head.row.id, last)
        for head in changed
        for region, last in head.regions
    ]
    insert_many(connection, regions, named)
    if changed:
        connection.execute(_ADVANCE, [_figures(head) for head in changed])
    return bool(changed)


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
