"""Snapshots: which samples a job learns from, for ever.

A snapshot names, for each stream, the offsets [start, stop) and the stream's digest at `stop`. The
digest is chained over the content of all offsets before it, so the same snapshot is the same
samples on whatever machine, while the streams go on growing.

    hash = SHA-256 over, for each source in order:
           u32 length + name, i64 start, i64 stop, 32 bytes digest
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence

from pydantic import Field

from rankspace.config import Config
from rankspace.errors import Corrupt, InvalidInput
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.log import Log


class Source(Config):
    """A stretch of one stream."""

    stream: str
    """Name of the stream."""

    start: int = Field(ge=0)
    """First offset."""

    stop: int = Field(ge=0)
    """Offset after the last."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of the stream at `stop`."""


class Snapshot(Config):
    """A fixed set of samples; plain data, to be written down with the model that comes of it."""

    sources: tuple[Source, ...]
    """One for each stream, in the order they were asked for."""

    @property
    def hash(self) -> str:
        """Hex SHA-256; equal hashes, equal samples."""
        hasher = hashlib.sha256()
        for source in self.sources:
            name = source.stream.encode()
            hasher.update(struct.pack("<I", len(name)) + name)
            hasher.update(struct.pack("<qq", source.start, source.stop))
            hasher.update(bytes.fromhex(source.digest))
        return hasher.hexdigest()

    @property
    def size(self) -> int:
        """Offsets in it, the rejected among them."""
        return sum(source.stop - source.start for source in self.sources)


def take(log: Log, streams: Sequence[str]) -> Snapshot:
    """All that is in these streams now."""
    if not streams or len(set(streams)) < len(streams):
        raise InvalidInput("name at least one stream, and each once", "streams")
    heads = [log.get(stream) for stream in streams]
    return Snapshot(
        sources=tuple(
            Source(stream=head.name, start=0, stop=head.next_offset, digest=head.digest)
            for head in heads
        )
    )


def verify(log: Log, snapshot: Snapshot) -> None:
    """Raise Corrupt if the streams no longer hold what they held; reads hashes, not media."""
    for source in snapshot.sources:
        digest, count = bytes(32), 0
        for found in log.hashes(source.stream, source.stop):
            digest, count = content.chain(digest, found), count + 1
        if count != source.stop or digest.hex() != source.digest:
            raise Corrupt(f"stream {source.stream} is not the one the snapshot was taken of")


def read(log: Log, snapshot: Snapshot) -> Iterator[tuple[str, int, Sample]]:
    """Every sample with its stream and offset, stream by stream, in order; verified first."""
    verify(log, snapshot)
    for source in snapshot.sources:
        for offset, sample in log.read(source.stream, source.start, source.stop):
            yield source.stream, offset, sample
