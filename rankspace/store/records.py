"""Records: what is at each offset of a stream, a sample of a run or a tombstone.

A run whose bytes are not those that were written raises one of DAMAGE when its samples are read,
and all of its offsets are damaged then; what is known of a run without its samples is still told.
"""

import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from rankspace.errors import Corrupt
from rankspace.store import content, faults
from rankspace.store.blobs import Region, parse_place
from rankspace.store.runs import DIGEST, SAMPLES
from rankspace.store.schema import runs, tombstones

DAMAGE = (ValueError, TypeError, KeyError, AttributeError, struct.error)
"""What decoding a row raises whose bytes are not those that were written."""

_OUTLINE = [column for column in runs.columns if column.name != "payload"]
_BARE = [column for column in _OUTLINE if column.name != "told"]


class Record(NamedTuple):
    """What is at an offset."""

    offset: int
    hash: bytes
    sample_id: str
    reason: str | None = None
    """Why there is no sample."""

    message: str = ""
    event_time_us: int = 0
    labels: dict[str, str] = {}
    parts: list[dict[str, Any]] = []
    payload: bytes = b""
    region: Region | None = None
    """Where its media are; None: they are the payload."""


class Brief(NamedTuple):
    """The same in a few words."""

    offset: int
    created_us: int
    hash: bytes
    sample_id: str
    size: int
    """Media bytes that are kept."""

    gone: bool
    """It is a tombstone."""


def overlapping(stream: int, first: int, last: int) -> tuple[Any, ...]:
    """Which runs have samples at these offsets."""
    begun = runs.c.first.between(first - SAMPLES + 1, last)
    return runs.c.stream_id == stream, begun, runs.c.last >= first


def records(
    connection: Connection, stream: int, first: int, last: int, media: bool = True
) -> list[Record]:
    """What is at these offsets, in their order; one that is lost is not among it.

    Without `media` payloads are empty.
    """
    query = select(*(runs.columns if media else _OUTLINE)).where(*overlapping(stream, first, last))
    found = {one.offset: one for one in _tombstones(connection, stream, first, last)}
    if len(found) == last - first + 1:  # nobody looks into what was set aside
        for offset, each in _underneath(connection, stream, first, last):
            _agree(found[offset], each)
        return [found[offset] for offset in sorted(found)]
    seen = 0
    for row in connection.execute(query.order_by(runs.c.first)):
        for one in _samples(row, row.payload if media else b""):
            if first <= one.offset <= last:
                seen += 1
                _agree(found.setdefault(one.offset, one), one.hash)
    if seen > last - first + 1:
        raise ValueError("runs lie over each other")
    return [found[offset] for offset in sorted(found)]


def hashes(connection: Connection, stream: int, first: int, last: int) -> list[tuple[int, bytes]]:
    """The hash at each of these offsets, in their order; media are not read."""
    query = select(runs.c.first, runs.c.last, runs.c.hashes)
    found = {
        offset: each
        for row in connection.execute(query.where(*overlapping(stream, first, last)))
        for offset, each in enumerate(_split(row), row.first)
        if first <= offset <= last
    }
    found |= {one.offset: one.hash for one in _tombstones(connection, stream, first, last)}
    return sorted(found.items())


def briefs(connection: Connection, stream: int, first: int, last: int) -> list[Brief]:
    """What is known of these offsets, in their order, whatever has become of the samples."""
    where = overlapping(stream, first, last)
    try:
        with faults.told():
            rows = connection.execute(select(*_OUTLINE).where(*where).order_by(runs.c.first)).all()
    except Corrupt:
        rows = connection.execute(select(*_BARE).where(*where).order_by(runs.c.first)).all()
    found: dict[int, Brief] = {}
    for row in rows:
        found |= {one.offset: one for one in _told(row) if first <= one.offset <= last}
    buried = tombstones.c.stream_id == stream, tombstones.c.offset.between(first, last)
    for row in connection.execute(select(tombstones).where(*buried)):
        told = Brief(row.offset, row.created_us, row.hash, row.sample_id, 0, True)
        found[row.offset] = told
    return [found[offset] for offset in sorted(found)]


def _tombstones(connection: Connection, stream: int, first: int, last: int) -> Iterator[Record]:
    where = tombstones.c.stream_id == stream, tombstones.c.offset.between(first, last)
    for row in connection.execute(select(tombstones).where(*where)):
        yield Record(row.offset, row.hash, row.sample_id, row.reason, row.message)


def _underneath(
    connection: Connection, stream: int, first: int, last: int
) -> Iterator[tuple[int, bytes]]:
    """The hashes of samples at these offsets, as far as they can be read."""
    query = select(runs.c.first, runs.c.last, runs.c.hashes)
    for row in connection.execute(query.where(*overlapping(stream, first, last))):
        found: list[bytes] = []
        with suppress(Corrupt, *DAMAGE):
            found = _split(row)
        for offset, each in enumerate(found, row.first):
            if first <= offset <= last:
                yield offset, each


def _agree(one: Record, found: bytes) -> None:
    """Refuse a tombstone that is not that of the sample in its place: it has moved."""
    if one.hash != found:
        raise ValueError("a tombstone is not that of the sample in its place")


def _split(row: Any) -> list[bytes]:
    """The hashes of a run."""
    count = row.last - row.first + 1
    if not 0 < count <= SAMPLES or len(row.hashes) != DIGEST * count:
        raise Corrupt("a run does not have a hash for each of its samples")
    return [row.hashes[at : at + DIGEST] for at in range(0, len(row.hashes), DIGEST)]


def _samples(row: Any, payload: bytes) -> Iterator[Record]:
    found, lines = _split(row), json.loads(row.told)
    region = Region(*parse_place(row.region)) if row.region else None
    at = 0
    for offset, (each, line) in enumerate(zip(found, lines, strict=True), row.first):
        sample_id, event_time_us, labels, parts = line
        size = content.size(parts)
        told = event_time_us, labels, parts
        if region is None:
            yield Record(offset, each, sample_id, None, "", *told, payload[at : at + size])
        else:
            yield Record(offset, each, sample_id, None, "", *told, b"", region.part(at, size))
        at += size


def _told(row: Any) -> Iterator[Brief]:
    try:
        found = _split(row)
    except (Corrupt, *DAMAGE):
        found = [bytes(DIGEST)] * max(1, min(row.last - row.first + 1, SAMPLES))
    try:
        lines = [(str(line[0]), content.size(line[3])) for line in json.loads(row.told)]
    except DAMAGE:  # also where it was not read
        lines = [("", row.bytes)]
    lines = [*lines, *[("", 0)] * len(found)]
    for offset, (each, (sample_id, size)) in enumerate(zip(found, lines, strict=False), row.first):
        yield Brief(offset, row.created_us, each, sample_id, size, False)
