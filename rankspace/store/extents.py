"""Stretches of a file in whole blocks: what regions take of it, and what lies between them."""

from collections.abc import Iterable, Iterator, Sequence

from rankspace.store.blobs import Region

ALIGNED = 4096
"""Holes are made of whole blocks."""


def up(size: int) -> int:
    """The next multiple of a block."""
    return -(-size // ALIGNED) * ALIGNED


def end_of(region: Region) -> int:
    """The block after the last one that it touches."""
    return region.start + up(region.length)


def stretches(regions: Iterable[Region]) -> Iterator[tuple[int, int]]:
    """What sorted regions of one segment cover, neighbours as one."""
    start = stop = -1
    for region in regions:
        if region.start != stop:
            if stop > start:
                yield start, stop
            start = region.start
        stop = end_of(region)
    if stop > start:
        yield start, stop


def gaps(regions: Sequence[Region]) -> Iterator[tuple[int, int]]:
    """What lies before and between regions."""
    at = 0
    for region in regions:
        if region.start > at:
            yield at, region.start
        at = max(at, end_of(region))
