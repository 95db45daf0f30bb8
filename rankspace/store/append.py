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
from typing import Any

from sqlalchemy import Connection, Row, select, update

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
from rankspace.store.blobs import Region
from rankspace.store.content import chain
from rankspace.store.database import now_us
from rankspace.store.drafts import Batch
from rankspace.store.entries import Appended, Outcome
from rankspace.store.marks import touch
from rankspace.store.records import hashes
from rankspace.store.rows import insert_many, locked, update_many
from rankspace.store.runs import DIGEST, Entry, Run, behind
from rankspace.store.schema import regions, runs, streams, tombstones

_HEAD = (
    "digest", "name", "id", "next_offset", "rejected", "bytes", "kept_bytes", "epoch", "finalized",
)  # fmt: skip


@dataclass(slots=True)
class _Head:
    """A stream as the batches so far would leave it."""

    digest: bytes
    name: str
    id: int
    stored: int
    """Where the samples end that are in the database."""

    rejected: int
    size: int
    kept: int
    epoch: int
    finalized: int
    """Not 0: no more samples are taken."""

    added: list[tuple[Entry, Region | None]] = field(default_factory=list)
    hashes: bytearray = field(default_factory=bytearray)
    """Of what is added."""

    regions: list[tuple[Region, int]] = field(default_factory=list)
    """Each with the last offset whose media it holds."""

    changed: bool = False

    @property
    def next(self) -> int:
        return self.stored + len(self.hashes) // DIGEST


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
    rows = locked(connection, streams, _HEAD, sorted(names))  # a deleted one has lost its name
    return {row[1]: _Head(*row) for row in rows}


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
    count = batch.offsets
    there = min(head.next - first, count)
    if there:
        sent = b"".join(entry.hashes for entry in batch.entries)
        _compare(connection, head, first, sent[: DIGEST * there])
    new = behind(batch.entries, there) if there else batch.entries
    if new and head.finalized:
        raise StreamFinalized(
            f"stream {batch.stream} is finalized and takes no more samples", "stream"
        )
    _extend(head, epoch, new, batch.region)
    if new and batch.region:
        head.regions.append((batch.region, head.next - 1))
    return Appended(first, first + count, not new, batch.durability)


def _compare(connection: Connection, head: _Head, first: int, sent: bytes) -> None:
    """Refuse other content where there is content already; `sent` is its hashes."""
    count = len(sent) // DIGEST
    stored = max(0, min(head.stored - first, count))
    found = _hashes(connection, head, first, stored) if stored else b""
    begun = DIGEST * (first + stored - head.stored)
    found += head.hashes[begun : begun + len(sent) - len(found)]
    if found == sent:
        return
    at = next(at for at in range(count) if _one(found, at) != _one(sent, at))
    there, new = _one(found, at).hex(), _one(sent, at).hex()
    raise ContentConflict(
        f"offset {first + at} of stream {head.name} holds other content "
        f"({there}, not {new}); append new samples at offset {head.next}",
        "offset",
        facts={
            "offset": str(first + at), "next_offset": str(head.next),
            "stored_hash": there, "sent_hash": new,
        },
    )  # fmt: skip


def _one(hashes: bytes, at: int) -> bytes:
    return hashes[DIGEST * at : DIGEST * (at + 1)]


def _hashes(connection: Connection, head: _Head, first: int, count: int) -> bytes:
    found = hashes(connection, head.id, first, first + count - 1)
    if [offset for offset, _ in found] != list(range(first, first + count)):
        raise Corrupt(f"stream {head.name} has lost records from offset {first} on")
    return b"".join(each for _, each in found)


def _extend(head: _Head, epoch: int, new: Sequence[Entry], region: Region | None) -> None:
    """Bring a stream's figures up to date."""
    head.changed = head.changed or bool(new) or epoch != head.epoch
    head.epoch = epoch
    for entry in new:
        head.added.append((entry, region))
        head.hashes += entry.hashes
        head.digest = chain(head.digest, entry.hashes)
        head.rejected += not isinstance(entry, Run)
        head.size += entry.size
        head.kept += entry.size


def _write(connection: Connection, heads: Iterable[_Head]) -> bool:
    """Add the records of all batches that were taken; whether there was anything to write."""
    changed = [head for head in heads if head.changed]
    now = now_us()
    samples: list[tuple[Any, ...]] = []
    refused: list[tuple[Any, ...]] = []
    for head in changed:
        at = head.stored
        for entry, region in head.added:
            last = at + entry.offsets - 1
            if isinstance(entry, Run):
                hashes_, told, payload, size, begins = entry
                place = region.place(begins, size) if region and begins is not None else None
                samples.append((head.id, at, last, now, size, place, hashes_, told, payload))
            else:
                refused.append((head.id, at, now, *entry))
            at = last + 1
    insert_many(connection, runs, samples)
    insert_many(connection, tombstones, refused)
    named = [
        (region.name, region.start, region.length, head.id, last)
        for head in changed
        for region, last in head.regions
    ]
    insert_many(connection, regions, named)
    update_many(connection, streams, _FIGURES, [_figures(head) for head in changed])
    return bool(changed)


_FIGURES = ("id", "next_offset", "rejected", "bytes", "kept_bytes", "epoch", "digest")


def _figures(head: _Head) -> tuple[Any, ...]:
    return head.id, head.next, head.rejected, head.size, head.kept, head.epoch, head.digest
