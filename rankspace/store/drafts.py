"""Samples on their way to becoming rows: hashed, laid out, and with a place for their large media.

samples ─▶ Draft, a sample a step ─▶ Batch ─▶ its large media are written ─▶ Batch, ready
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rankspace.errors import InvalidInput
from rankspace.media.sample import Sample
from rankspace.store import content
from rankspace.store.blobs import Region
from rankspace.store.content import Packed, Pile
from rankspace.store.entries import Durability, Rejected

Head = tuple[str, int | None, int, Durability]
"""Where a batch goes: the stream, the offset (None: at its end), the writer's epoch, and what an
acknowledgement is to promise."""


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
    """What somebody wants appended, ready to become rows once its large media are written."""

    stream: str
    offset: int | None
    samples: Sequence[Prepared]
    epoch: int = 0
    durability: Durability = "synced"
    region: Region | None = None
    """Where its large media are."""

    pieces: Sequence[bytes | memoryview] = ()
    """Large media that are not written yet, one after the other."""

    packed: Sequence[Packed | None] = ()
    """Of such samples how their rows will name them; None: they have no large media."""

    @property
    def size(self) -> int:
        """Media bytes."""
        return sum(new.size for new in self.samples)

    def written(self, region: Region) -> "Batch":
        """The same, now that its pieces are in this region."""
        rows = [
            row if packed is None else row._replace(parts=packed.parts(region))
            for row, packed in zip(self.samples, self.packed, strict=True)
        ]
        return replace(self, samples=rows, region=region, pieces=(), packed=())


@dataclass(slots=True)
class Laid:
    """Samples that are hashed and laid out: all of a batch but where it is to go."""

    rows: Sequence[Prepared]
    pieces: Sequence[bytes | memoryview]
    """Large media, one after the other."""

    packed: Sequence[Packed | None]
    """As in `Batch`; empty where there are no pieces."""

    @property
    def size(self) -> int:
        """Media bytes."""
        return sum(row.size for row in self.rows)

    def batch(self, head: Head) -> Batch:
        """To be appended there."""
        stream, offset, epoch, durability = head
        return Batch(stream, offset, self.rows, epoch, durability, None, self.pieces, self.packed)


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
        self._pile = Pile()
        self._rows: list[Prepared] = []
        self._packed: list[Packed | None] = []

    def __iter__(self) -> Iterator[None]:
        for sample in self._samples[len(self._rows) :]:
            self._prepare(sample)
            yield

    def batch(self) -> Batch:
        """What has come of it, after the last step."""
        for _ in self:
            pass
        pieces = self._pile.pieces
        laid = Laid(self._rows, pieces, self._packed if pieces else ())
        return laid.batch(self._head)

    def _prepare(self, sample: Sample | Rejected) -> None:
        if "\0" in sample.sample_id:
            raise InvalidInput("a sample id holds no NUL", "sample_id")
        found = content.digest(sample)
        if isinstance(sample, Rejected):
            row = Prepared(found, sample.sample_id, 0, 0, sample.reason, sample.message)
            self._add(row, None)
            return
        before = self._pile.size
        packed = content.pack(sample, self._inline_bytes_max, self._pile)
        there = self._pile.size == before
        row = Prepared(
            found, sample.sample_id, sample.event_time_us, content.media_bytes(sample), None, None,
            content.labels_json(sample.labels), packed.parts() if there else None, packed.payload,
        )  # fmt: skip
        self._add(row, None if there else packed)

    def _add(self, row: Prepared, packed: Packed | None) -> None:
        self._rows.append(row)
        self._packed.append(packed)
