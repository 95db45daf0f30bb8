"""Where media lie that are not in the rows: regions, each with those of a batch, written once.

    place    "name:start:length", as a row tells where the media of its run are
    region   the bytes of one batch: of a file (`segments`), or an object of a bucket

These are what is called large media: those of batches that have more than their rows keep.

The order is what keeps the store whole: a region is written, settled together with the others of
its commit, and only then do rows name it. So a crash may leave a region that nothing names, never a
name without its bytes, and `sweep` frees what nothing names. Nothing is shared between batches, so
whether other bytes are there already tells nobody anything, and what a stream keeps no longer goes
with its own regions. Bytes are checked by the content hash of the sample they belong to.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rankspace.errors import Corrupt


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """The bytes [start, start + length) of what has this name."""

    name: str
    """32 of a-z and 0-9."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + self.length

    def place(self, at: int, length: int) -> str:
        """Where a piece is that begins so many bytes after the region."""
        return f"{self.name}:{self.start + at}:{length}"

    def part(self, at: int, length: int) -> "Region":
        """A stretch of it, that many bytes from its start."""
        if not 0 <= at <= at + length <= self.length:
            raise Corrupt("a record names no place of media")
        return Region(self.name, self.start + at, length)


Used = Callable[[Sequence[str]], Collection[Region]]
"""All regions with one of these names that rows name."""


Pieces = Sequence[bytes | memoryview]
"""Media of one batch."""


@runtime_checkable
class Blobs(Protocol):
    """Safe to use from any number of threads and processes."""

    slow: bool
    """Whether a write takes far longer than a commit of rows does."""

    def write_all(self, piles: Sequence[Pieces]) -> list[Region]:
        """Write the pieces of each pile one after the other, each pile into a region of its own.

        Before `settle` a crash may lose them. After an error none of them is there.
        """

    def settle(self, regions: Collection[Region]) -> None:
        """Bring regions to where no crash loses them. After an error nothing may name them."""

    def get(self, place: str) -> bytes:
        """The bytes at a place; who asks checks them."""

    def free(self, regions: Collection[Region]) -> None:
        """Remove regions that nothing names; their bytes are gone when this returns."""

    def sweep(self, used: Used, age_s: float) -> int:
        """Free what nothing names; return how many pieces of it.

        A region is written some moments before rows name it: `age_s` is longer than any append
        takes, and nothing younger is touched.
        """

    def close(self) -> None:
        """Give back what is held; nothing is written any more."""


def parse_place(place: str) -> tuple[str, int, int]:
    """Name, start and length; a place that was damaged must not lead anywhere else."""
    name, _, rest = place.partition(":")
    start, _, length = rest.partition(":")
    if not (is_name(name) and start.isdecimal() and length.isdecimal()):
        raise Corrupt("a record names no place of media")
    return name, int(start), int(length)


def is_name(name: str) -> bool:
    """Whether this can be the name of a region."""
    return len(name) == 32 and name.isascii() and name.isalnum()
