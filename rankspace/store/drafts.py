"""Samples on their way to becoming rows: hashed, laid out, and with a place for their media.

samples ─▶ Draft, a sample a step ─▶ Batch ─▶ what goes into a region is written ─▶ Batch, ready
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rankspace.errors import InvalidInput
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.blobs import Region
from rankspace.store.entries import Durability, Rejected
from rankspace.store.runs import Entry, Lines, Tombstone, laid

Head = tuple[str, int | None, int, Durability]
"""Where a batch goes: the stream, the offset (None: at its end), the writer's epoch, and what an
acknowledgement is to promise."""


class _Entries:
    """What is known of samples by their rows."""

    __slots__ = ()
    entries: Sequence[Entry]

    @property
    def offsets(self) -> int:
        """How many it takes."""
        return sum(entry.offsets for entry in self.entries)

    @property
    def size(self) -> int:
        """Media bytes."""
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Batch(_Entries):
    """What somebody wants appended, ready to become rows once its media are written."""

    stream: str
    offset: int | None
    entries: Sequence[Entry]
    epoch: int = 0
    durability: Durability = "synced"
    region: Region | None = None
    """Where its media are, where they are not in its rows."""

    pieces: Sequence[bytes | memoryview] = ()
    """Media that go into a region and are not written yet, one after the other."""

    def written(self, region: Region) -> "Batch":
        """The same, now that its pieces are in this region."""
        return replace(self, region=region, pieces=())


@dataclass(slots=True)
class Laid(_Entries):
    """Samples that are hashed and laid out: all of a batch but where it is to go."""

    entries: Sequence[Entry]
    pieces: Sequence[bytes | memoryview]
    """Media that go into a region, one after the other."""

    def batch(self, head: Head) -> Batch:
        """To be appended there."""
        stream, offset, epoch, durability = head
        return Batch(stream, offset, self.entries, epoch, durability, None, self.pieces)


class Draft:
    """A batch in the making: each step of the iteration hashes one sample and lays it out.

    It needs neither database nor disk, and a step takes as long as hashing the media of its sample.
    """

    def __init__(
        self,
        samples: Sequence[Sample | Rejected],
        inline_bytes_max: int,
        head: Head,
    ) -> None:
        if not samples:
            raise InvalidInput("a batch holds at least one sample", "samples")
        self._samples = samples
        self._inline_bytes_max = inline_bytes_max
        self._head = head
        self._done = 0
        self._pieces: list[bytes] = []
        self._lines = Lines(0)
        self._entries: list[Entry] = []

    def __iter__(self) -> Iterator[None]:
        for sample in self._samples[self._done :]:
            self._prepare(sample)
            self._done += 1
            yield

    def batch(self) -> Batch:
        """What has come of it, after the last step."""
        for _ in self:
            pass
        self._close()
        return Laid(*laid(self._entries, self._pieces, self._inline_bytes_max)).batch(self._head)

    def _prepare(self, sample: Sample | Rejected) -> None:
        if "\0" in sample.sample_id:
            raise InvalidInput("a sample id holds no NUL", "sample_id")
        if isinstance(sample, Rejected):
            self._close()
            found = content.digest(sample)
            tombstone = Tombstone(found, sample.sample_id, sample.reason, sample.message)
            self._entries.append(tombstone)
            return
        if self._lines.full:
            self._close()
        parts, pieces = content.pack(sample)
        self._lines.add(sample, parts, sum(map(len, pieces)))
        self._pieces.extend(pieces)

    def _close(self) -> None:
        run = self._lines.run()
        if run is not None:
            self._entries.append(run)
            self._lines = Lines(self._lines.end)
